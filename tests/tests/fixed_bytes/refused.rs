//! What would be lost or read back as something else is refused.

use eventflux_core::{
    FixedAccumulator, FixedAggregation, FixedError, FixedMap, FixedOpenWindow, FixedRequest, FixedWindow, Function,
    ObjectId,
};

use crate::common::object::{manifest_bytes, with_manifest};
use crate::common::random::Random;
use crate::{Groups, Holder, Values, fixed_holder, small};

/// They would be read back as a count, or not at all.
#[test]
fn distinct_and_median_are_not_kept_without_room_for_values() {
    let full = |what, capacity| Err(FixedError::Full { what, capacity });
    for grows in [[FixedAccumulator::<0>::distinct()], [FixedAccumulator::median()]] {
        let no_room = || full("values of an accumulator", 0);
        assert_eq!(FixedAggregation::<1, 40>::new(&grows).map(drop), no_room());
        let mut group = FixedAggregation::<1, 40>::new(&[FixedAccumulator::new(Function::Sum)]).unwrap();
        let before = group.clone();
        let put = |accumulators: &mut [FixedAccumulator]| {
            accumulators[0] = grows[0].clone();
            Ok(())
        };
        assert_eq!(group.update(|accumulators| put(accumulators)), no_room());
        assert_eq!(group, before);

        let mut windows = FixedWindow::<1, 1, 1, 1>::new();
        assert_eq!(windows.update(0, |window| window.set_accumulators(&grows)), no_room());
        let count = [FixedAccumulator::new(Function::Count)];
        let put_later = |window: &mut FixedOpenWindow<1, 1, 1>| {
            window.set_accumulators(&count)?;
            put(window.accumulators_mut())
        };
        assert_eq!(windows.update(0, put_later), no_room());
        assert!(windows.is_empty());
    }
    // What another program wrote that has room is no damage.
    let (mut holder, mut values, _, bytes) = small();
    let mut narrow = FixedMap::<FixedAggregation<9, 400>, 24, 12>::new();
    let restored = holder.restore(&mut [&mut values, &mut narrow], &[&bytes]);
    assert_eq!(restored.map(drop), full("values of an accumulator", 0));
}

/// Changes are told from what their base has by the numbers: with one that does not rise they would be lost.
#[test]
fn numbers_of_checkpoints_rise() {
    let (mut holder, mut values, mut groups, first) = small();
    let encode = |holder: &mut Holder, values: &mut Values, groups: &mut Groups, id| {
        let (object, mut buffer) = (ObjectId { id, generation: 2 }, vec![0; 1024]);
        let len = holder.encode(object, &FixedRequest::default(), &mut [values, groups], &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    };
    values.set_value("a", &2_u64).unwrap();
    assert_eq!(encode(&mut holder, &mut values, &mut groups, 0), Err(FixedError::NumberDoesNotRise { last: 0 }));
    let second = encode(&mut holder, &mut values, &mut groups, 7).unwrap();
    // One that was given up gives its number back.
    holder.abort(&mut [&mut values, &mut groups]).unwrap();
    assert_eq!(encode(&mut holder, &mut values, &mut groups, 7).unwrap(), second);
    holder.commit(&mut [&mut values, &mut groups]).unwrap();
    for id in [0, 6, 7] {
        assert_eq!(encode(&mut holder, &mut values, &mut groups, id), Err(FixedError::NumberDoesNotRise { last: 7 }));
    }
    // After a restore it is that of the checkpoint.
    let (mut holder, mut values, mut groups) = (fixed_holder(), Values::new(), Groups::new());
    holder.restore(&mut [&mut values, &mut groups], &[&second, &first]).unwrap();
    assert_eq!(values.get_value("a").unwrap(), Some(2_u64));
    assert_eq!(encode(&mut holder, &mut values, &mut groups, 7), Err(FixedError::NumberDoesNotRise { last: 7 }));
    encode(&mut holder, &mut values, &mut groups, 8).unwrap();
}

/// The checkpoint under way builds on what is to be forgotten, and its commit would bring that back.
#[test]
fn the_parent_is_not_forgotten_during_a_checkpoint() {
    let (mut holder, mut values, mut groups, _) = small();
    let mut checkpoint = |holder: &mut Holder, id, meanwhile: &mut dyn FnMut(&mut Holder)| {
        let states = &mut [&mut values as _, &mut groups as _];
        let (object, mut buffer) = (ObjectId { id, generation: 1 }, vec![0; 1024]);
        let len = holder.encode(object, &FixedRequest::default(), states, &mut buffer).unwrap();
        meanwhile(holder);
        holder.commit(states).unwrap();
        buffer.truncate(len);
        buffer
    };
    let second = checkpoint(&mut holder, 1, &mut |holder| {
        assert_eq!(holder.forget_checkpoints(), Err(FixedError::CheckpointUnderWay));
    });
    holder.forget_checkpoints().unwrap();
    assert_eq!(holder.last_checkpoint(), None);
    let third = checkpoint(&mut holder, 2, &mut |_| ());
    let restore =
        |bytes: &[u8]| fixed_holder().restore(&mut [&mut Values::new(), &mut Groups::new()], &[bytes]).map(drop);
    assert!(matches!(restore(&second), Err(FixedError::ObjectMissing(_))));
    assert_eq!(restore(&third), Ok(()), "it needs no other object");
}

/// Whatever a manifest says, its hash right: it is refused, or what follows from it is a checkpoint like any other.
#[test]
fn an_adversary_changes_the_manifest() {
    let (mut holder, mut values, mut groups, first) = small();
    values.set_value("b", &2_u64).unwrap();
    let mut second = vec![0; 1024];
    let states = &mut [&mut values as _, &mut groups as _];
    let len = holder.encode(ObjectId { id: 1, generation: 1 }, &FixedRequest::default(), states, &mut second).unwrap();
    holder.commit(states).unwrap();
    second.truncate(len);

    let manifest = manifest_bytes(&second).to_vec();
    let mut random = Random::new(7);
    // What numbers are put in the place of others: small ones, ends of ranges, one of ten bytes.
    let largest = [[0xFF; 9].as_slice(), &[1]].concat();
    let most_signed = [&[0xFE], [0xFF; 8].as_slice(), &[1]].concat();
    let numbers: [&[u8]; 9] = [&[0], &[1], &[2], &[7], &[8], &[0x7F], &[0xFF, 0xFF, 3], &most_signed, &largest];
    // Where numbers end. The last two are credit and reserve.
    let ends: Vec<usize> = (0..manifest.len()).filter(|at| manifest[*at] < 0x80).collect();
    let [.., before_credit, credit, _] = ends[..] else { panic!("it has numbers") };
    let (mut taken, mut refused) = (0, 0);
    for round in 0..40_000 {
        let mut changed = manifest.clone();
        let number = |random: &mut Random| numbers[random.index(numbers.len())].iter().copied();
        if round < 1000 {
            let from = if round % 2 == 0 { before_credit } else { credit };
            changed.truncate(from + 1);
            (from..=credit)
                .filter(|at| [before_credit, credit].contains(at))
                .for_each(|_| changed.extend(number(&mut random)));
        } else {
            for _ in 0..=random.below(2) {
                let at = random.index(changed.len());
                changed.splice(at..=at, number(&mut random));
            }
        }
        let changed = with_manifest(&second, &changed);
        let (mut holder, mut values, mut groups) = (fixed_holder(), Values::new(), Groups::new());
        let states = &mut [&mut values as _, &mut groups as _];
        if holder.restore(states, &[&changed, &first]).is_err() {
            refused += 1;
            continue;
        }
        taken += 1;
        values.set_value("c", &3_u64).unwrap();
        let last = holder.last_checkpoint().unwrap();
        let (object, mut next) = (ObjectId { id: last.saturating_add(1), generation: 1 }, vec![0; 2048]);
        let states = &mut [&mut values as _, &mut groups as _];
        // A parent with the last number has none after it.
        if let Ok(len) = holder.encode(object, &FixedRequest::default(), states, &mut next) {
            next.truncate(len);
            let (mut values, mut groups) = (Values::new(), Groups::new());
            let states = &mut [&mut values as _, &mut groups as _];
            fixed_holder().restore(states, &[&next, &changed, &first]).unwrap();
            assert_eq!(values.get_value("c").unwrap(), Some(3_u64));
        }
    }
    assert!(taken > 500 && refused > 10_000, "{taken} taken, {refused} refused");
}
