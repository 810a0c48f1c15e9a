//! Copies of groups, of which captures have seen one and not the other.

use eventflux_core::{FixedAccumulator, FixedRequest, ObjectId};

use super::{Group, Groups, VALUES, Values, add_fixed, empty_fixed, fixed_holder, group_key, small};

/// A group equals its copy whatever captures have seen of either, and a copy is new wherever it is put.
#[test]
fn captures_make_no_difference_to_copies_of_groups() {
    let (mut holder, mut values, mut groups, first) = small();
    let mut objects = vec![first];
    let mut checkpoint = |groups: &mut Groups| {
        let (id, mut buffer) = (objects.len() as u64, vec![0; 1024]);
        let states = &mut [&mut values as _, groups as _];
        let object = ObjectId { id, generation: 1 };
        let len = holder.encode(object, &FixedRequest::default(), states, &mut buffer).unwrap();
        holder.commit(states).unwrap();
        buffer.truncate(len);
        objects.insert(0, buffer);
        let (mut restored, mut others) = (Groups::new(), Values::new());
        let given: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
        fixed_holder().restore(&mut [&mut others, &mut restored], &given).unwrap();
        restored
    };
    let (one, two) = (&group_key(1), &group_key(2));
    for (key, value) in [(one, 1), (two, 2)] {
        let add = |held: &mut [FixedAccumulator<VALUES>; 9]| {
            add_fixed(held, 0, &value.into());
            Ok(())
        };
        groups.update(key, || Group::new(&empty_fixed()), |group| group.update(add)).unwrap();
    }
    let copy = groups.get(one).unwrap().clone();
    checkpoint(&mut groups);
    assert_eq!(groups.get(one), Some(&copy));

    let seen = groups.get(one).unwrap().clone();
    let replace = |group: &mut Group| {
        *group = seen;
        Ok(())
    };
    groups.update(two, || unreachable!("it is there"), replace).unwrap();
    let restored = checkpoint(&mut groups);
    assert_eq!([one, two].map(|key| restored.get(key)), [Some(&copy); 2]);
}
