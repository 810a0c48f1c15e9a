//! A holder with every kind of state, and plain maps that say what it must hold.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use eventflux_core::{
    Accumulator, AggregationState, BufferedEvent, Event, Function, PatternState, StateDescriptor, StateHolder,
    StateKind, Value, WindowState,
};

/// What a holder holds, by state and key; values as JSON.
pub type Contents = BTreeMap<String, BTreeMap<String, String>>;

/// A holder with a state of each kind, empty.
pub fn holder() -> StateHolder {
    let state = |name: &str, kind| StateDescriptor::new(name, kind, 1, format!("the {name}"));
    StateHolder::builder("test")
        .key_groups(8)
        .state(state("windows", StateKind::Windows))
        .state(state("patterns", StateKind::Patterns))
        .state(state("groups", StateKind::Aggregations))
        .build()
        .unwrap()
}

/// What it holds.
pub fn contents(holder: &StateHolder) -> Contents {
    let states = eventflux_core::contents(holder).unwrap().into_iter();
    let rows = |rows: Vec<(_, _)>| {
        rows.into_iter()
            .map(|(key, value): (serde_json::Value, serde_json::Value)| (key.to_string(), value.to_string()))
    };
    states.map(|state| (state.descriptor.name, rows(state.rows).collect())).collect()
}

/// Every function an accumulator can have.
pub const FUNCTIONS: [Function; 10] = [
    Function::Count,
    Function::Sum,
    Function::Min,
    Function::Max,
    Function::Avg,
    Function::Stddev,
    Function::First,
    Function::Last,
    Function::Distinct,
    Function::Median,
];

/// An event with a field of each kind.
pub fn event(number: u64) -> BufferedEvent {
    let text = format!("text {number}, long enough to lie on the heap");
    let values: Vec<Value> = vec![
        Value::Null,
        number.is_multiple_of(2).into(),
        (number as i64 * 1000).into(),
        (number as f64 / 4.0).into(),
        text.as_str().into(),
    ];
    BufferedEvent { sequence: number, event: Event::new(number as i64 * 100, values) }
}

/// Writes something to each state: the same number, the same changes.
pub fn write(holder: &mut StateHolder, number: u64) {
    let key = [number as u8 % 5, 7];
    holder.set(key, &(number, format!("value {number}"))).unwrap();
    if number % 4 == 3 {
        holder.remove([(number as u8 + 1) % 5, 7]).unwrap();
    }
    let window = |state: &mut WindowState| {
        let start = (number / 6 * 600) as i64;
        state.update(start, |window| {
            window.set_end(start + 600);
            window.push_back(event(number));
            if number % 3 == 2 {
                window.pop_front();
            }
            add(window.accumulators_mut(), number);
        });
        if number % 6 == 5 {
            state.close(start - 1200);
        }
    };
    holder.windows_mut("windows").unwrap().update(&key, WindowState::new, window).unwrap();
    let pattern = |state: &mut PatternState| {
        state.wait(event(number));
        if number % 2 == 1 {
            // What is written once more, after it was lost, has begun already if it was not.
            let _ = state.start(event(number + 1000));
            state.advance(0, event(number).event);
            drop(state.take_due(i64::MAX));
        }
        if number % 5 == 4 {
            state.drop_at(0);
        }
    };
    holder.patterns_mut("patterns").unwrap().update(&key, PatternState::new, pattern).unwrap();
    let group = |state: &mut AggregationState| state.update(|accumulators| add(accumulators, number));
    holder.aggregations_mut("groups").unwrap().update(&key, AggregationState::default, group).unwrap();
}

fn add(accumulators: &mut Vec<Accumulator>, number: u64) {
    if accumulators.is_empty() {
        accumulators.extend(FUNCTIONS.map(Accumulator::new));
    }
    for (accumulator, function) in accumulators.iter_mut().zip(FUNCTIONS) {
        if function == Function::Count {
            accumulator.add_event();
        } else {
            accumulator.add(number as i64, &(number as i64 % 7).into()).unwrap();
        }
    }
}
