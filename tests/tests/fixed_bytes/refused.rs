//! What would be lost or read back as something else is refused.

use eventflux_core::{
    FixedAccumulator, FixedAggregation, FixedError, FixedMap, FixedOpenWindow, FixedRequest, FixedWindow, Function,
    ObjectId,
};

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
        assert_eq!(holder.forget_parent(), Err(FixedError::CheckpointUnderWay));
    });
    holder.forget_parent().unwrap();
    assert_eq!(holder.last_checkpoint(), None);
    let third = checkpoint(&mut holder, 2, &mut |_| ());
    let restore =
        |bytes: &[u8]| fixed_holder().restore(&mut [&mut Values::new(), &mut Groups::new()], &[bytes]).map(drop);
    assert!(matches!(restore(&second), Err(FixedError::ObjectMissing(_))));
    assert_eq!(restore(&third), Ok(()), "it needs no other object");
}
