//! What would be lost or read back as something else is refused.

use eventflux_core::{
    FixedAccumulator, FixedAggregation, FixedError, FixedMap, FixedOpenWindow, FixedWindow, Function,
};

use crate::small;

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
