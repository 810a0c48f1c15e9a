//! Windows: the same bytes as their growable twins, and full is an error.

use std::mem::{replace, swap};

use eventflux_core::{
    Accumulator, BufferedEvent, Event, FixedAccumulator, FixedBufferedEvent, FixedError, FixedEvent, FixedOpenWindow,
    FixedWindow, Function, StateHolder, StateKind, TrackedMap, Value, Window, WindowState,
};
use proptest::prelude::*;

use crate::pair::{Keyed, STATE, Step, Subject, any_steps, any_value, run};

const WINDOWS: usize = 2;
const EVENTS: usize = 3;
const FIELDS: usize = 2;
const FUNCTIONS: usize = 3;
const VALUES: usize = 4;
const FUNCTION_LISTS: [&[Function]; 3] = [
    &[Function::Distinct, Function::Last, Function::Median],
    &[Function::Max, Function::Distinct, Function::Count],
    &[Function::Avg],
];

type FixedState = FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>;
type FixedOpen = FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>;

struct Windows;

/// What is done to a key.
#[derive(Debug, Clone)]
enum Operation {
    Change(i64, Change),
    Close(i64),
    /// A copy takes the place of a state, in the state's own place or as a new value of the key.
    Renew {
        in_place: bool,
    },
    /// Both are moved into each other's place.
    Exchange(u8),
    /// Moved into the place of another one, where a copy stays.
    Move(i64, i64),
    Remove,
}

/// What is done to a window.
#[derive(Debug, Clone)]
enum Change {
    Push(i64, Vec<Value>),
    Pop(usize),
    Functions(usize),
    Add(usize, Value),
    End(i64),
    /// Accumulators are moved into each other's places.
    Turn,
    Renew,
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (any::<i8>(), prop::collection::vec(any_value(), 0..=FIELDS))
            .prop_map(|(time, values)| Change::Push(i64::from(time), values)),
        4 => (1..=EVENTS).prop_map(Change::Pop),
        1 => (0..FUNCTION_LISTS.len()).prop_map(Change::Functions),
        4 => (0..FUNCTIONS, any_value()).prop_map(|(at, value)| Change::Add(at, value)),
        1 => any::<i64>().prop_map(Change::End),
        1 => Just(Change::Turn),
        1 => Just(Change::Renew),
    ]
}

fn change_growable(window: &mut Window, change: &Change, sequence: u64) {
    match change {
        Change::Push(time, values) => {
            window.push_back(BufferedEvent { sequence, event: Event::new(*time, values.clone()) });
        }
        Change::Pop(count) => (0..*count).for_each(|_| drop(window.pop_front())),
        Change::Functions(list) => {
            *window.accumulators_mut() = FUNCTION_LISTS[*list].iter().copied().map(Accumulator::new).collect();
        }
        Change::Add(at, value) => {
            if let Some(accumulator) = window.accumulators_mut().get_mut(*at) {
                drop(accumulator.add(0, value));
            }
        }
        Change::End(end) => window.set_end(*end),
        Change::Turn => window.accumulators_mut().reverse(),
        Change::Renew => *window = window.clone(),
    }
}

fn change_fixed(window: &mut FixedOpen, change: &Change, sequence: u64) -> Result<(), FixedError> {
    match change {
        Change::Push(time, values) => {
            window.push_back(FixedBufferedEvent { sequence, event: FixedEvent::new(*time, values)? })?;
        }
        Change::Pop(count) => (0..*count).for_each(|_| drop(window.pop_front())),
        Change::Functions(list) => {
            let empty: Vec<_> = FUNCTION_LISTS[*list].iter().copied().map(FixedAccumulator::new).collect();
            window.set_accumulators(&empty)?;
        }
        Change::Add(at, value) => match window.accumulators_mut().get_mut(*at).map(|of| of.add(0, value)) {
            Some(Err(FixedError::Refused(_))) | None => {}
            Some(added) => added?,
        },
        Change::End(end) => window.set_end(*end),
        Change::Turn => window.accumulators_mut().reverse(),
        Change::Renew => *window = window.clone(),
    }
    Ok(())
}

impl Subject for Windows {
    type Fixed = FixedState;
    type Operation = (u8, Operation);
    const KIND: StateKind = StateKind::Windows;

    fn any_operation() -> BoxedStrategy<(u8, Operation)> {
        let start = || (0_i64..3).prop_map(|at| at * 100 - 100);
        let operation = prop_oneof![
            14 => (start(), any_change()).prop_map(|(start, change)| Operation::Change(start, change)),
            3 => start().prop_map(Operation::Close),
            1 => any::<bool>().prop_map(|in_place| Operation::Renew { in_place }),
            1 => (0_u8..3).prop_map(Operation::Exchange),
            1 => (start(), start()).prop_map(|(from, to)| Operation::Move(from, to)),
            1 => Just(Operation::Remove),
        ];
        (0_u8..3, operation).boxed()
    }

    fn apply(
        (key, operation): &(u8, Operation),
        number: u64,
        fixed: &mut Keyed<FixedState>,
        growable: &mut StateHolder,
    ) {
        let (key, map) = (&[*key][..], growable.windows_mut(STATE).unwrap());
        match operation {
            Operation::Change(start, change) => apply_change(key, *start, (change, number), fixed, map),
            Operation::Close(start) => {
                let closed = fixed.update(key, || Ok(FixedState::new()), |state| Ok(state.close(*start).is_some()));
                let twin = map.update(key, WindowState::new, |state| state.close(*start).is_some()).unwrap();
                assert_eq!(closed, Ok(twin));
            }
            Operation::Renew { in_place: true } => {
                let renew = |state: &mut FixedState| {
                    *state = state.clone();
                    Ok(())
                };
                fixed.update(key, || Ok(FixedState::new()), renew).unwrap();
                map.update(key, WindowState::new, |state| *state = state.clone()).unwrap();
            }
            Operation::Renew { in_place: false } => {
                let (copy, twin) = (fixed.get(key).cloned(), map.get(key).cloned());
                fixed.set(key, copy.unwrap_or_default()).unwrap();
                map.set(key, twin.unwrap_or_default()).unwrap();
            }
            Operation::Exchange(other) => {
                let (mut held, mut twin) = (FixedState::new(), WindowState::new());
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
                    map.update(key, WindowState::new, |state| swap(state, &mut twin)).unwrap();
                }
            }
            Operation::Move(from, to) => {
                let is_open = |start: &i64| fixed.get(key).is_some_and(|state| state.window(*start).is_some());
                if is_open(from) && is_open(to) {
                    let take = |window: &mut FixedOpen| {
                        let copy = window.clone();
                        Ok(replace(window, copy))
                    };
                    let change = |state: &mut FixedState| {
                        let moved = state.update(*from, take)?;
                        state.update(*to, |window| {
                            *window = moved;
                            Ok(())
                        })
                    };
                    fixed.update(key, || unreachable!(), change).unwrap();
                    let change = |state: &mut WindowState| {
                        let copy = state.window(*from).unwrap().clone();
                        let moved = state.update(*from, |window| replace(window, copy));
                        state.update(*to, |window| *window = moved);
                    };
                    map.update(key, || unreachable!(), change).unwrap();
                }
            }
            Operation::Remove => assert_eq!(fixed.remove(key), map.remove(key)),
        }
    }

    fn contents(fixed: &Keyed<FixedState>, growable: &StateHolder) -> [Vec<String>; 2] {
        let growable = growable.windows(STATE).unwrap();
        let mut keys: Vec<&[u8]> = fixed.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys.len(), growable.len());
        let of_fixed = |key: &&[u8]| {
            let windows = fixed.get(key).unwrap().windows().iter().map(|window| {
                let events = window.buffer().map(|of| (of.sequence, of.event.timestamp(), of.event.values()));
                let results = window.accumulators().iter().map(FixedAccumulator::result);
                words(window.start(), window.end(), events, results)
            });
            format!("{key:?} {:?}", windows.collect::<Vec<_>>())
        };
        let of_growable = |key: &&[u8]| {
            let windows = growable.get(key).unwrap().windows().iter().map(|window| {
                let buffered: Vec<_> = window.buffer().collect();
                let events = buffered.iter().map(|of| (of.sequence, of.event.timestamp, &of.event.values[..]));
                words(window.start(), window.end(), events, window.accumulators().iter().map(Accumulator::result))
            });
            format!("{key:?} {:?}", windows.collect::<Vec<_>>())
        };
        [keys.iter().map(of_fixed).collect(), keys.iter().map(of_growable).collect()]
    }
}

fn words<'a>(
    start: i64,
    end: i64,
    events: impl Iterator<Item = (u64, i64, &'a [Value])>,
    results: impl Iterator<Item = Value>,
) -> String {
    format!("{start} {end} {:?} {:?}", events.collect::<Vec<_>>(), results.collect::<Vec<_>>())
}

fn apply_change(
    key: &[u8],
    start: i64,
    (change, number): (&Change, u64),
    fixed: &mut Keyed<FixedState>,
    map: &mut TrackedMap<WindowState>,
) {
    let before = fixed.get(key).cloned();
    let change_state = |state: &mut FixedState| state.update(start, |window| change_fixed(window, change, number));
    match fixed.update(key, || Ok(FixedState::new()), change_state) {
        Ok(()) => {
            map.update(key, WindowState::new, |state| {
                state.update(start, |window| change_growable(window, change, number));
            })
            .unwrap();
        }
        Err(error) => {
            assert!(matches!(error, FixedError::Full { .. }), "{error}");
            assert_eq!(fixed.get(key), before.as_ref());
            // What was tried counts as written.
            if let Some(before) = before {
                map.update(key, WindowState::new, |state| {
                    if before.window(start).is_some() {
                        state.update(start, |_| ());
                    }
                })
                .unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn windows_have_the_same_bytes_whatever_is_done(steps in any_steps::<Windows>()) {
        let steps: Vec<Step<_>> = steps;
        run::<Windows>(&steps);
    }
}

#[test]
fn full_is_an_error_and_changes_nothing() {
    let full = |what, capacity| Err(FixedError::Full { what, capacity });
    let event = |sequence| FixedBufferedEvent { sequence, event: FixedEvent::new(0, &[]).unwrap() };
    let mut state = FixedWindow::<1, 2, 1, 1, 2>::new();
    state.update(0, |window| window.set_accumulators(&[FixedAccumulator::distinct()])).unwrap();
    let before = state.clone();
    assert_eq!(state.update(1, |_| Ok(())), full("open windows of a key", 1));
    let two = [Function::Count, Function::Avg].map(FixedAccumulator::new);
    assert_eq!(state.update(0, |window| window.set_accumulators(&two)), full("accumulators of a window", 1));
    let add =
        |value: Value| move |window: &mut FixedOpenWindow<2, 1, 1, 2>| window.accumulators_mut()[0].add(0, &value);
    assert_eq!(state.update(0, add("a text of more than 22 bytes".into())), full("bytes of a text", 22));
    assert_eq!(state, before);

    for number in 0..2 {
        state.update(0, |window| window.push_back(event(number))).unwrap();
        state.update(0, add(Value::from(number as i64))).unwrap();
    }
    let before = state.clone();
    assert_eq!(state.update(0, |window| window.push_back(event(2))), full("events of a window", 2));
    assert_eq!(state.update(0, add(2.into())), full("values of an accumulator", 2));
    // One that is there already needs no room.
    assert_eq!(state.update(0, add(1.into())), Ok(()));
    assert_eq!(state, before);
    // A window that was to be opened for what has no room is not open.
    state.close(0).unwrap();
    let too_many = |window: &mut FixedOpenWindow<2, 1, 1, 2>| {
        window.set_accumulators(&two.clone().map(|_| FixedAccumulator::median()))
    };
    assert!(state.update(5, too_many).is_err() && state.is_empty());

    assert_eq!(FixedEvent::<1>::new(0, &[1.into(), 2.into()]).map(drop), full("fields of an event", 1));
    assert_eq!(
        FixedEvent::<1>::new(0, &["a text of more than 22 bytes".into()]).map(drop),
        full("bytes of a text", 22)
    );
}
