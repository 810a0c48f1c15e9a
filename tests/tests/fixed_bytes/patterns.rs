//! Patterns: the same bytes as their growable twins, and full is an error.

use std::mem::swap;

use eventflux_core::{
    BufferedEvent, Event, FixedBufferedEvent, FixedError, FixedEvent, FixedPattern, PatternState, StateHolder,
    StateKind, Value,
};
use proptest::prelude::*;

use crate::pair::{Keyed, STATE, Step, Subject, any_steps, any_value, run};

const WAITING: usize = 4;
const PARTIALS: usize = 3;
const STEPS: usize = 3;
const FIELDS: usize = 2;

type FixedState = FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>;

struct Patterns;

/// What is done to a key.
#[derive(Debug, Clone)]
enum Operation {
    Wait(i64, Vec<Value>),
    /// As before, under a number that another may have.
    WaitAs(u64, i64, Vec<Value>),
    /// An event whose time has come begins a partial match, if there is room for one, or goes.
    TakeDue(i64, bool),
    Advance(usize, i64, Vec<Value>),
    DropAt(usize),
    /// All but those whose id divides by two or three.
    Retain(u64),
    Renew {
        in_place: bool,
    },
    /// Both are moved into each other's place.
    Exchange(u8),
    Remove,
}

impl Subject for Patterns {
    type Fixed = FixedState;
    type Operation = (u8, Operation);
    const KIND: StateKind = StateKind::Patterns;

    fn any_operation() -> BoxedStrategy<(u8, Operation)> {
        let values = || prop::collection::vec(any_value(), 0..=FIELDS);
        let operation = prop_oneof![
            6 => (-5_i64..5, values()).prop_map(|(time, values)| Operation::Wait(time, values)),
            6 => (-5_i64..5, prop::bool::weighted(0.8)).prop_map(|(time, begins)| Operation::TakeDue(time, begins)),
            4 => (0..PARTIALS, -5_i64..5, values())
                .prop_map(|(at, time, values)| Operation::Advance(at, time, values)),
            1 => (0..PARTIALS).prop_map(Operation::DropAt),
            1 => (2_u64..4).prop_map(Operation::Retain),
            1 => any::<bool>().prop_map(|in_place| Operation::Renew { in_place }),
            1 => (0_u8..4).prop_map(Operation::Exchange),
            1 => Just(Operation::Remove),
        ];
        (0_u8..4, operation).boxed()
    }

    fn apply(
        (key, operation): &(u8, Operation),
        number: u64,
        fixed: &mut Keyed<FixedState>,
        growable: &mut StateHolder,
    ) {
        let (key, map) = (&[*key][..], growable.patterns_mut(STATE).unwrap());
        let before = fixed.get(key).cloned();
        match operation {
            Operation::Exchange(other) => {
                let (mut held, mut twin) = (FixedState::new(), PatternState::new());
                for key in [key, &[*other][..], key] {
                    fixed
                        .update(
                            key,
                            || Ok(FixedState::new()),
                            |state| {
                                swap(state, &mut held);
                                Ok(())
                            },
                        )
                        .unwrap();
                    map.update(key, PatternState::new, |state| swap(state, &mut twin)).unwrap();
                }
            }
            Operation::Remove => assert_eq!(fixed.remove(key), map.remove(key)),
            Operation::Renew { in_place: false } => {
                fixed.set(key, before.unwrap_or_default()).unwrap();
                let copy = map.get(key).cloned().unwrap_or_default();
                map.set(key, copy).unwrap();
            }
            operation => {
                let change = |state: &mut FixedState| change_fixed(state, operation, number);
                match fixed.update(key, || Ok(FixedState::new()), change) {
                    Ok(()) => {
                        map.update(key, PatternState::new, |state| change_growable(state, operation, number)).unwrap();
                    }
                    Err(error) => {
                        assert!(matches!(error, FixedError::Full { .. }), "{error}");
                        assert_eq!(fixed.get(key), before.as_ref());
                        // What was tried counts as written.
                        if before.is_some() {
                            map.update(key, PatternState::new, |_| ()).unwrap();
                        }
                    }
                }
            }
        }
    }

    fn contents(fixed: &Keyed<FixedState>, growable: &StateHolder) -> [Vec<String>; 2] {
        let growable = growable.patterns(STATE).unwrap();
        let mut keys: Vec<&[u8]> = fixed.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys.len(), growable.len());
        let of_fixed = |key: &&[u8]| {
            let state = fixed.get(key).unwrap();
            let pending = state.pending().map(|of| (of.sequence, of.event.timestamp(), of.event.values()));
            let partials = state.partials().iter().map(|partial| {
                let events = partial.events().iter().map(|event| (event.timestamp(), event.values()));
                (partial.id(), partial.first_ms(), events.collect::<Vec<_>>())
            });
            format!("{key:?} {:?} {:?}", pending.collect::<Vec<_>>(), partials.collect::<Vec<_>>())
        };
        let of_growable = |key: &&[u8]| {
            let state = growable.get(key).unwrap();
            let pending = state.pending().map(|of| (of.sequence, of.event.timestamp, &of.event.values[..]));
            let partials = state.partials().iter().map(|partial| {
                let events = partial.events().iter().map(|event| (event.timestamp, &event.values[..]));
                (partial.id(), partial.first_ms(), events.collect::<Vec<_>>())
            });
            format!("{key:?} {:?} {:?}", pending.collect::<Vec<_>>(), partials.collect::<Vec<_>>())
        };
        [keys.iter().map(of_fixed).collect(), keys.iter().map(of_growable).collect()]
    }
}

fn change_fixed(state: &mut FixedState, operation: &Operation, sequence: u64) -> Result<(), FixedError> {
    match operation {
        Operation::Wait(time, values) => {
            state.wait(FixedBufferedEvent { sequence, event: FixedEvent::new(*time, values)? })?;
        }
        Operation::WaitAs(number, time, values) => {
            state.wait(FixedBufferedEvent { sequence: *number, event: FixedEvent::new(*time, values)? })?;
        }
        Operation::TakeDue(watermark, begins) => {
            if let Some(event) = state.take_due(*watermark)
                && *begins
                && state.partials().len() < PARTIALS
            {
                // Of a number that is under way both refuse.
                match state.start(event) {
                    Err(FixedError::NumberInUse { .. }) => {}
                    started => started?,
                }
            }
        }
        Operation::Advance(at, time, values) => state.advance(*at, FixedEvent::new(*time, values)?)?,
        Operation::DropAt(at) => drop(state.drop_at(*at)),
        Operation::Retain(divisor) => state.retain(|partial| partial.id() % divisor != 0),
        Operation::Renew { .. } => *state = state.clone(),
        Operation::Exchange(_) | Operation::Remove => unreachable!("done before"),
    }
    Ok(())
}

fn change_growable(state: &mut PatternState, operation: &Operation, sequence: u64) {
    match operation {
        Operation::Wait(time, values) => {
            state.wait(BufferedEvent { sequence, event: Event::new(*time, values.clone()) });
        }
        Operation::WaitAs(number, time, values) => {
            state.wait(BufferedEvent { sequence: *number, event: Event::new(*time, values.clone()) });
        }
        Operation::TakeDue(watermark, begins) => {
            if let Some(event) = state.take_due(*watermark)
                && *begins
                && state.partials().len() < PARTIALS
            {
                let _ = state.start(event);
            }
        }
        Operation::Advance(at, time, values) => state.advance(*at, Event::new(*time, values.clone())),
        Operation::DropAt(at) => drop(state.drop_at(*at)),
        Operation::Retain(divisor) => state.retain(|partial| partial.id() % divisor != 0),
        Operation::Renew { .. } => *state = state.clone(),
        Operation::Exchange(_) | Operation::Remove => unreachable!("done before"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn patterns_have_the_same_bytes_whatever_is_done(steps in any_steps::<Patterns>()) {
        run::<Patterns>(&steps);
    }
}

#[test]
fn events_of_one_time_and_number_keep_the_order_of_their_coming() {
    let operation = |operation| Step::Operation((0, operation));
    let wait = |text: &str| operation(Operation::WaitAs(0, 5, vec![text.into()]));
    let take = || operation(Operation::TakeDue(5, false));
    let checkpoint = || Step::Checkpoint { durable: true, meanwhile: Vec::new() };
    // The first of them goes from those that wrote both, and from those that restored both.
    for restart in [vec![], vec![Step::Restart]] {
        let before = [wait("a"), checkpoint(), wait("b"), checkpoint()];
        let after = [take(), checkpoint(), Step::Restart, take()];
        run::<Patterns>(&[&before[..], &restart, &after].concat());
    }
    let event = |text: &str| FixedBufferedEvent { sequence: 0, event: FixedEvent::new(5, &[text.into()]).unwrap() };
    let mut state = FixedState::new();
    ["a", "b"].into_iter().for_each(|text| state.wait(event(text)).unwrap());
    assert_eq!([state.take_due(5), state.take_due(5)], [Some(event("a")), Some(event("b"))]);
}

#[test]
fn full_is_an_error_and_changes_nothing() {
    let full = |what, capacity| Err(FixedError::Full { what, capacity });
    let event = |sequence| FixedBufferedEvent { sequence, event: FixedEvent::new(0, &[]).unwrap() };
    let mut state = FixedPattern::<1, 1, 1, 0>::new();
    state.wait(event(0)).unwrap();
    state.start(event(1)).unwrap();
    assert_eq!(state.start(event(1)), Err(FixedError::NumberInUse { number: 1 }));
    let before = state.clone();
    assert_eq!(state.wait(event(2)), full("events that wait", 1));
    assert_eq!(state.start(event(2)), full("partial matches", 1));
    assert_eq!(state.advance(0, event(2).event), full("events of a partial match", 1));
    assert_eq!(state, before);
    let mut none = FixedPattern::<0, 1, 0, 0>::new();
    assert_eq!(none.start(event(0)), full("events of a partial match", 0));
    assert!(none.is_empty());
}
