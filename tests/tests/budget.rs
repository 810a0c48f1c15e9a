//! A holder knows its size within 10 %, and at its budget answers `OverBudget`, with nothing
//! changed.

#[path = "common/states.rs"]
mod states;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard};

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
use eventflux_core::{Accumulator, AggregationState, Engine, Error, Event, Function, PatternState, Value, WindowState};
use states::{FUNCTIONS, contents, event, holder};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What an allocation takes beside its bytes: a header of 8, and on average 4 to round it up.
const OVERHEAD_BYTES: usize = 12;

/// Memory in use.
fn in_use() -> usize {
    let stats = MEMORY.stats();
    let blocks = stats.allocations - stats.deallocations;
    stats.bytes_allocated - stats.bytes_deallocated + OVERHEAD_BYTES * blocks
}

/// Memory is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Fills a holder and compares its size with what the allocator gave out.
#[track_caller]
fn assert_measures(what: &str, fill: impl FnOnce(&mut StateHolder)) {
    let before = in_use();
    let mut state = holder();
    fill(&mut state);
    assert_size(what, &state, before);
    // As restored, it knows its size as well.
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    drop(state);
    let before = in_use();
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_size(&format!("{what}, restored"), &restored, before);
}

#[track_caller]
fn assert_size(what: &str, state: &StateHolder, before: usize) {
    let truth = in_use() - before;
    let ratio = state.size_bytes() as f64 / truth as f64;
    println!("budget: {what}: {truth} bytes, {:.3} of it known", ratio);
    assert!((0.9..=1.1).contains(&ratio), "{what}: {truth} bytes, the holder says {}", state.size_bytes());
}

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

#[test]
fn plain_values_are_measured() {
    let _alone = alone();
    let fill = |keys: u64, len: usize| {
        move |state: &mut StateHolder| {
            (0..keys).for_each(|number| state.set_encoded(&key(number), &vec![7; len]).unwrap())
        }
    };
    assert_measures("1,000 short values", fill(1_000, 8));
    assert_measures("50,000 short values", fill(50_000, 8));
    assert_measures("70,000 short values", fill(70_000, 16));
    assert_measures("10,000 values of 100 bytes", fill(10_000, 100));
    assert_measures("300 values of 10,000 bytes", fill(300, 10_000));
    assert_measures("long keys", |state| {
        (0..5_000)
            .for_each(|number| state.set(format!("a key that is longer than others: {number}"), &number).unwrap());
    });
    assert_measures("values that grew and shrank", |state| {
        for round in [500, 20, 0, 80] {
            (0..5_000).for_each(|number| state.set_encoded(&key(number), &vec![7; round]).unwrap());
        }
    });
}

#[test]
fn windows_are_measured() {
    let _alone = alone();
    let fill = |keys: u64, windows: i64, events: u64, functions: &'static [Function]| {
        move |state: &mut StateHolder| {
            let map = state.windows_mut("windows").unwrap();
            for number in 0..keys {
                for start in 0..windows {
                    let change = |state: &mut WindowState| {
                        state.update(start, |window| {
                            window.set_end(start + 1);
                            window
                                .accumulators_mut()
                                .extend(functions.iter().map(|function| Accumulator::new(*function)));
                            (0..events).for_each(|number| window.push_back(event(number)));
                        });
                    };
                    map.update(&key(number), WindowState::new, change).unwrap();
                }
            }
        }
    };
    assert_measures("5,000 keys, a window of two functions each", fill(5_000, 1, 0, &[Function::Count, Function::Avg]));
    assert_measures("2,000 keys, three windows of four functions", fill(2_000, 3, 0, &FUNCTIONS[..4]));
    assert_measures("1,000 keys, a window of five events", fill(1_000, 1, 5, &[]));
    assert_measures("20 windows of 520 events", fill(20, 1, 520, &[Function::Count]));
    assert_measures("20 windows of 300 events", fill(20, 1, 300, &[Function::Count]));
}

#[test]
fn patterns_are_measured() {
    let _alone = alone();
    let fill = |keys: u64, partials: u64, steps: u64, waiting: u64| {
        move |state: &mut StateHolder| {
            let map = state.patterns_mut("patterns").unwrap();
            for number in 0..keys {
                let change = |state: &mut PatternState| {
                    for partial in 0..partials {
                        state.start(event(partial)).unwrap();
                        (1..steps).for_each(|step| state.advance(partial as usize, event(step).event));
                    }
                    (0..waiting).for_each(|number| state.wait(event(number)));
                };
                map.update(&key(number), PatternState::new, change).unwrap();
            }
        }
    };
    assert_measures("5,000 keys, a partial match of an event", fill(5_000, 1, 1, 0));
    assert_measures("500 keys, five partial matches of three events", fill(500, 5, 3, 0));
    assert_measures("5,000 keys, an event that waits", fill(5_000, 0, 0, 1));
    assert_measures("20 keys, 520 events that wait", fill(20, 0, 0, 520));
    assert_measures("20 keys, 300 events that wait", fill(20, 0, 0, 300));
}

#[test]
fn aggregations_are_measured() {
    let _alone = alone();
    let fill = |keys: u64, functions: &'static [Function], values: u64, text: bool| {
        move |state: &mut StateHolder| {
            let map = state.aggregations_mut("groups").unwrap();
            for number in 0..keys {
                let create = || AggregationState::new(functions.iter().copied().map(Accumulator::new).collect());
                let change = |group: &mut AggregationState| {
                    group.update(|accumulators| {
                        for value in 0..values {
                            let text_value = format!("the value of number {value}");
                            let value = if text { text_value.as_str().into() } else { Value::from(value as i64) };
                            accumulators.iter_mut().for_each(|held| held.add(0, &value).unwrap());
                        }
                    });
                };
                map.update(&key(number), create, change).unwrap();
            }
        }
    };
    assert_measures("10,000 groups of two functions", fill(10_000, &[Function::Sum, Function::Avg], 2, false));
    assert_measures("3,000 groups of seven functions", fill(3_000, &FUNCTIONS[1..8], 2, false));
    assert_measures("2,000 groups with the largest text", fill(2_000, &[Function::Max, Function::Last], 3, true));
    assert_measures("500 groups of 30 distinct texts", fill(500, &[Function::Distinct], 30, true));
    assert_measures("20 groups of 1,000 distinct numbers", fill(20, &[Function::Distinct], 1_000, false));
    assert_measures("500 groups with the median of 30", fill(500, &[Function::Median], 30, false));
    assert_measures("20 groups of 1,100 distinct numbers", fill(20, &[Function::Distinct], 1_100, false));
    assert_measures("20 groups with the median of 1,100", fill(20, &[Function::Median], 1_100, false));
    assert_measures("20 groups with the median of 1,000", fill(20, &[Function::Median], 1_000, false));
}

#[test]
fn what_was_removed_is_measured_once_it_is_durable() {
    let _alone = alone();
    let before = in_use();
    let mut state = holder();
    (0..20_000).for_each(|number| state.set_encoded(&key(number), &[7; 60]).unwrap());
    (0..20_000).filter(|number| number % 4 != 0).for_each(|number| assert!(state.remove(key(number)).unwrap()));
    assert_size("three of four removed", &state, before);
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    for _ in 0..2 {
        manager.checkpoint(&mut state, None).unwrap();
    }
}

#[test]
fn over_budget_nothing_changes() {
    let _alone = alone();
    let budget = 200_000;
    let mut state = StateHolder::builder("small").key_groups(4).budget_bytes(budget).build().unwrap();
    let mut refused = None;
    for number in 0..100_000 {
        if let Err(error) = state.set_encoded(&key(number), &[1; 40]) {
            refused = Some((number, error));
            break;
        }
    }
    let (keys, Error::OverBudget { needed, budget: told }) = refused.unwrap() else { panic!("another error") };
    assert!(needed > budget && told == budget, "{needed} of {told}");
    assert!(state.size_bytes() <= budget && state.size_bytes() > budget / 2, "{}", state.size_bytes());
    let (before, size) = (contents(&state), state.size_bytes());
    let larger = vec![2; budget];
    for attempt in 0..3 {
        assert!(matches!(state.set_encoded(&key(keys), &[1; 40]), Err(Error::OverBudget { .. })), "attempt {attempt}");
        assert!(matches!(state.set_encoded(&key(1), &larger), Err(Error::OverBudget { .. })));
        assert!(matches!(state.set("another", &larger), Err(Error::OverBudget { .. })));
        assert!(matches!(state.ensure_room(budget), Err(Error::OverBudget { .. })));
    }
    assert_eq!((contents(&state), state.size_bytes()), (before.clone(), size));

    // Nor is anything dirty that was not.
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    state.set_encoded(&key(1), &larger).unwrap_err();
    let entry = manager.checkpoint(&mut state, None).unwrap();
    assert_eq!((entry.sizes.delta_rows, entry.sizes.base_rows), (0, 0));

    // What needs no more room goes on, and what is removed makes room again.
    state.set_encoded(&key(2), &[9; 40]).unwrap();
    state.set_encoded(&key(3), &[9; 1]).unwrap();
    for number in 0..keys {
        state.remove(key(number)).unwrap();
    }
    manager.checkpoint(&mut state, None).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    for number in 0..keys / 2 {
        state.set_encoded(&key(number), &[3; 40]).unwrap();
    }
    assert!(state.size_bytes() <= budget);
}

#[test]
fn a_budget_of_any_size_is_never_passed() {
    let _alone = alone();
    for budget in (0..40).map(|step| 20_000 + step * 1_777) {
        for len in [4, 16, 200] {
            let mut state = StateHolder::builder("small").key_groups(2).budget_bytes(budget).build().unwrap();
            let mut held = 0;
            for number in 0..5_000 {
                match state.set_encoded(&key(number % 3_000), &vec![1; len + number as usize % 40]) {
                    Ok(()) => held += 1,
                    Err(error) => assert!(matches!(error, Error::OverBudget { .. })),
                }
                assert!(state.size_bytes() <= budget, "{} of {budget}", state.size_bytes());
            }
            assert!(held == 5_000 || state.size_bytes() > budget * 8 / 10, "{} of {budget}", state.size_bytes());
        }
    }
}

/// One event goes into each of the partial matches that it fits.
#[test]
fn an_event_that_many_partial_matches_keep() {
    let _alone = alone();
    let definition = r#"{"name":"small","source":{"file":"-","timestamp":"at"},"checkpoint":{"storage":"memory:"},
        "sink":{"file":"-"},"operator":[{"name":"three","pattern":[
            {"step":"a","where":[{"field":"kind","eq":"a"}]},{"step":"b","where":[{"field":"kind","eq":"b"}]},
            {"step":"c","where":[{"field":"kind","eq":"c"}]}]}]}"#;
    let definition = eventflux::definition::ApplicationDefinition::from_json(definition).unwrap();
    let budget = 1_000_000;
    let mut engine = Engine::with_budget(&definition, &["at", "kind", "text"], Some(budget)).unwrap();
    let event =
        |at: i64, kind: &str, length| Event::new(at, vec![at.into(), kind.into(), "x".repeat(length).as_str().into()]);
    for at in 0..2000 {
        engine.handle_event(event(at, "a", 1)).unwrap();
    }
    for (at, length) in [(2000, 10_000), (2001, 1000), (2002, 200)] {
        let refused = engine.handle_event(event(at, "b", length)).unwrap_err();
        assert!(matches!(refused, Error::OverBudget { .. }), "{length}: {refused}");
    }
    engine.handle_event(event(2003, "b", 5)).unwrap();
    assert!(engine.holder().size_bytes() <= budget, "{}", engine.holder().size_bytes());
    // The last step is not kept: it always has room.
    engine.handle_event(event(3000, "c", 10_000)).unwrap();
    engine.finish().unwrap();
    assert!(engine.poll_output().is_some_and(|result| result.matched().len() == 3));
}

#[test]
fn an_engine_over_budget_takes_no_event_by_half() {
    let _alone = alone();
    let definition = r#"{"name":"small","source":{"file":"-","timestamp":"at"},"checkpoint":{"storage":"memory:"},
        "sink":{"file":"-"},"operator":[
        {"name":"pairs","pattern":[{"step":"a"},{"step":"b"}],"key":["id"],"within":"1h"},
        {"name":"sessions","window":{"session":"1h"},"key":["id"],"compute":{"ids":"median value"}},
        {"name":"all","aggregate":{"n":"count"},"key":["id"]}]}"#;
    let definition = eventflux::definition::ApplicationDefinition::from_json(definition).unwrap();
    let budget = 300_000;
    let mut engine = Engine::with_budget(&definition, &["at", "id", "value"], Some(budget)).unwrap();
    let event = |number: i64| Event::new(number, vec![number.into(), number.into(), 1.into()]);
    let mut taken = 0;
    let error = loop {
        match engine.handle_event(event(taken)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(engine.holder().size_bytes() <= budget, "{}", engine.holder().size_bytes());
    };
    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
    assert!(engine.holder().size_bytes() > budget / 2);
    let before = contents(engine.holder());
    engine.handle_event(event(taken)).unwrap_err();
    assert_eq!((contents(engine.holder()), engine.progress().events), (before, taken as u64));
    // The end of the source needs no room, and gives out all there is.
    engine.finish().unwrap();
    let mut results = 0;
    while engine.poll_output().is_some() {
        results += 1;
    }
    assert_eq!(results, 2 * taken);
}
