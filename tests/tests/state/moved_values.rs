//! States that a program replaces, moves and reshapes: what restores is what it had.

use crate::common::states::{contents, event, holder};
use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
use eventflux_core::{Accumulator, AggregationState, Function, PatternState, WindowState};

/// Changes a holder between two checkpoints: the second restores to what it then is.
#[track_caller]
fn assert_restores(before: impl FnOnce(&mut StateHolder), change: impl FnOnce(&mut StateHolder)) {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut state = holder();
    before(&mut state);
    // Enough that the next checkpoint is a delta alone.
    (0..500_u64).for_each(|number| state.set(number.to_le_bytes(), &number).unwrap());
    manager.checkpoint(&mut state, None).unwrap();
    change(&mut state);
    manager.checkpoint(&mut state, None).unwrap();
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), contents(&state));
}

fn fill(state: &mut StateHolder) {
    for (key, from) in [(b"a", 0), (b"b", 10)] {
        let window = |state: &mut WindowState| {
            for start in [from, from + 1] {
                state.update(start as i64, |window| {
                    window.push_back(event(from));
                    *window.accumulators_mut() = vec![Accumulator::new(Function::Distinct)];
                    window.accumulators_mut()[0].add(0, &(from as i64).into()).unwrap();
                });
            }
        };
        state.windows_mut("windows").unwrap().update(key, WindowState::new, window).unwrap();
        let pattern = |state: &mut PatternState| {
            state.wait(event(from));
            state.start(event(from + 1)).unwrap();
        };
        state.patterns_mut("patterns").unwrap().update(key, PatternState::new, pattern).unwrap();
        let create = || AggregationState::new(vec![Accumulator::new(Function::Median)]);
        let group = |state: &mut AggregationState| {
            state.update(|held| held[0].add(0, &(from as i64).into()).unwrap());
        };
        state.aggregations_mut("groups").unwrap().update(key, create, group).unwrap();
    }
}

#[test]
fn set_to_an_empty_state() {
    assert_restores(fill, |state| state.windows_mut("windows").unwrap().set(b"a", WindowState::default()).unwrap());
    assert_restores(fill, |state| state.patterns_mut("patterns").unwrap().set(b"a", PatternState::default()).unwrap());
    assert_restores(fill, |state| {
        state.aggregations_mut("groups").unwrap().set(b"a", AggregationState::default()).unwrap()
    });
}

#[test]
fn set_to_the_state_of_another_key() {
    assert_restores(fill, |state| {
        let map = state.windows_mut("windows").unwrap();
        let other = map.get(b"b").unwrap().clone();
        map.set(b"a", other).unwrap();
    });
    assert_restores(fill, |state| {
        let map = state.patterns_mut("patterns").unwrap();
        let other = map.get(b"b").unwrap().clone();
        map.set(b"a", other).unwrap();
    });
    assert_restores(fill, |state| {
        let map = state.aggregations_mut("groups").unwrap();
        let other = map.get(b"b").unwrap().clone();
        map.set(b"a", other).unwrap();
    });
    // Moved, not cloned.
    assert_restores(fill, |state| {
        let map = state.aggregations_mut("groups").unwrap();
        let other = map.modify(b"b", std::mem::take).unwrap();
        map.set(b"a", other).unwrap();
    });
}

#[test]
fn replaced_where_they_lie() {
    assert_restores(fill, |state| {
        let map = state.windows_mut("windows").unwrap();
        map.modify(b"a", |held| *held = WindowState::default());
        let other = map.get(b"b").unwrap().clone();
        map.modify(b"b", |held| *held = other);
    });
    assert_restores(fill, |state| {
        let map = state.patterns_mut("patterns").unwrap();
        let other = map.get(b"b").unwrap().clone();
        map.modify(b"a", |held| *held = other);
    });
}

#[test]
fn functions_that_come_and_go() {
    for functions in [
        vec![],
        vec![Function::Count],
        vec![Function::Median, Function::Count],
        vec![Function::Count, Function::Distinct],
    ] {
        let made = || functions.iter().map(|function| Accumulator::new(*function)).collect::<Vec<_>>();
        assert_restores(fill, |state| {
            state.aggregations_mut("groups").unwrap().modify(b"a", |group| group.update(|held| *held = made()));
        });
        assert_restores(fill, |state| {
            let change = |held: &mut WindowState| held.update(0, |window| *window.accumulators_mut() = made());
            state.windows_mut("windows").unwrap().modify(b"a", change);
        });
    }
    assert_restores(fill, |state| {
        let add = |held: &mut Vec<Accumulator>| held.push(Accumulator::new(Function::Count));
        state.aggregations_mut("groups").unwrap().modify(b"a", |group| group.update(add));
    });
}

#[test]
fn a_window_put_in_the_place_of_another() {
    assert_restores(fill, |state| {
        let map = state.windows_mut("windows").unwrap();
        let other = map.get(b"b").unwrap().windows()[0].clone();
        map.modify(b"a", |held| held.update(0, |window| *window = other));
    });
    assert_restores(fill, |state| {
        state.windows_mut("windows").unwrap().modify(b"a", |held| {
            let other = held.close(1).unwrap();
            held.update(0, |window| *window = other);
        });
    });
}

/// What a checkpoint has seen of one key and is moved, not cloned, to where it has seen another.
#[test]
fn moved_into_the_place_of_another() {
    assert_restores(fill, |state| {
        let map = state.windows_mut("windows").unwrap();
        let other = map.modify(b"b", std::mem::take).unwrap();
        map.modify(b"a", |held| *held = other);
    });
    assert_restores(fill, |state| {
        let map = state.windows_mut("windows").unwrap();
        let other = map.modify(b"b", std::mem::take).unwrap();
        map.update(b"a", WindowState::new, |held| *held = other).unwrap();
    });
    // Where one was that is removed, but not durably.
    assert_restores(fill, |state| {
        let map = state.windows_mut("windows").unwrap();
        assert!(map.remove(b"a"));
        let other = map.modify(b"b", std::mem::take).unwrap();
        map.update(b"a", WindowState::new, |held| *held = other).unwrap();
    });
    assert_restores(fill, |state| {
        let map = state.patterns_mut("patterns").unwrap();
        let other = map.modify(b"b", std::mem::take).unwrap();
        map.modify(b"a", |held| *held = other);
    });
    assert_restores(fill, |state| {
        let map = state.aggregations_mut("groups").unwrap();
        let other = map.modify(b"b", std::mem::take).unwrap();
        map.modify(b"a", |held| *held = other);
    });
}

/// A window with more values than the other has, so that a part of them would do for the other.
fn fill_unevenly(state: &mut StateHolder) {
    fill(state);
    let longer = |held: &mut WindowState| {
        for start in [10, 11] {
            held.update(start, |window| {
                (0..start).for_each(|n| window.accumulators_mut()[0].add(0, &n.into()).unwrap());
            });
        }
    };
    state.windows_mut("windows").unwrap().modify(b"b", longer);
    let median = |held: &mut Vec<Accumulator>| (0..5).for_each(|n| held[0].add(0, &n.into()).unwrap());
    state.aggregations_mut("groups").unwrap().modify(b"b", |group| group.update(median));
}

#[test]
fn accumulators_moved_into_the_place_of_others() {
    for fill in [fill, fill_unevenly] {
        for (from, to) in [(b"a", b"b"), (b"b", b"a")] {
            // From one group to another.
            assert_restores(fill, |state| {
                let map = state.aggregations_mut("groups").unwrap();
                let other = map.modify(from, |group| group.update(|held| std::mem::replace(&mut held[0], count())));
                map.modify(to, |group| group.update(|held| held[0] = other.unwrap()));
            });
        }
        // From one window of a key to the other, and to a window of the same start of another key.
        for start in [10, 11] {
            assert_restores(fill, |state| {
                let map = state.windows_mut("windows").unwrap();
                map.modify(b"b", |held| {
                    let other = held.update(start, |window| std::mem::take(window.accumulators_mut()));
                    held.update(21 - start, |window| *window.accumulators_mut() = other);
                });
            });
        }
    }
    // Two of one group change places.
    let two = |state: &mut StateHolder| {
        let create = || AggregationState::new(vec![Accumulator::new(Function::Median); 2]);
        let group = |state: &mut AggregationState| {
            state.update(|held| (0..4).for_each(|n| held[n % 2].add(0, &(n as i64).into()).unwrap()));
        };
        state.aggregations_mut("groups").unwrap().update(b"a", create, group).unwrap();
    };
    assert_restores(two, |state| {
        state.aggregations_mut("groups").unwrap().modify(b"a", |group| group.update(|held| held.swap(0, 1)));
    });
}

/// A window that was captured under one key and is put, by way of a cell, where another of its start was.
#[test]
fn a_window_moved_to_another_key() {
    let fill = |state: &mut StateHolder| {
        for (key, value) in [(b"a", 1_i64), (b"b", 2)] {
            let open = |held: &mut WindowState| {
                held.update(0, |window| {
                    window.push_back(event(value as u64));
                    *window.accumulators_mut() = vec![Accumulator::new(Function::Distinct)];
                    window.accumulators_mut()[0].add(0, &value.into()).unwrap();
                });
            };
            state.windows_mut("windows").unwrap().update(key, WindowState::new, open).unwrap();
        }
    };
    // Window 0 of `b` into a spare state, and from there to `a`; also where `a` had none, and where it is closed then.
    for (closed_before, closed_after) in [(false, false), (true, false), (true, true)] {
        assert_restores(
            |state| {
                fill(state);
                let other = |held: &mut WindowState| held.update(5, |window| window.set_end(9));
                state.windows_mut("windows").unwrap().modify(b"a", other);
                if closed_before {
                    state.windows_mut("windows").unwrap().modify(b"a", |held| held.close(0));
                }
            },
            |state| {
                let map = state.windows_mut("windows").unwrap();
                let mut spare = WindowState::new();
                spare.update(0, |window| window.set_end(5));
                map.modify(b"b", |held| {
                    held.update(0, |window| spare.update(0, |other| std::mem::swap(window, other)))
                });
                map.modify(b"a", |held| {
                    held.update(0, |window| spare.update(0, |other| std::mem::swap(window, other)))
                });
                if closed_after {
                    map.modify(b"a", |held| held.close(0));
                }
            },
        );
    }
}

fn count() -> Accumulator {
    Accumulator::new(Function::Count)
}
