//! Each bound: what is at it is taken, one beyond is refused and has changed nothing.

use std::collections::BTreeSet;

use crate::common::checkpoints::{Action, Session};
use crate::common::stream::{FIELDS, application, assert_example, poll_lines, take};
use eventflux_core::definition::{ApplicationDefinition, OperatorDefinition, SourceDefinition};
use eventflux_core::limits::{DURATION_MS_MAX, FIELDS_MAX, KEY_GROUPS_MAX, STATES_MAX, TIMESTAMP_MS_MAX};
use eventflux_core::{Engine, Error, Event, StateDescriptor, StateHolder, StateKind, Value, contents};
use serde_json::json;

const LAST: i64 = TIMESTAMP_MS_MAX;

fn window(window: &str) -> ApplicationDefinition {
    application(0, &format!("[[operator]]\nname = \"w\"\nwindow = {window}\ncompute = {{ c = \"count\" }}"))
}

fn line(start: i64, end: i64, count: u64) -> String {
    format!(r#"{{"operator":"w","key":{{}},"window_start":{start},"window_end":{end},"c":{count}}}"#)
}

/// The first and the last moment, twice each: what the last one ends, and what the end of the source.
#[track_caller]
fn assert_windows(definition: &ApplicationDefinition, ended: &[String], left: &[String]) {
    let ended: Vec<&str> = ended.iter().map(String::as_str).collect();
    let left: Vec<&str> = left.iter().map(String::as_str).collect();
    let table = [(json!([-LAST]), &[][..]), (json!([-LAST]), &[]), (json!([LAST]), &ended[..]), (json!([LAST]), &[])];
    assert_example(definition, &table, &left, &[0]);
}

#[test]
fn windows_at_the_ends_of_time() {
    assert_windows(&window("{ tumbling = 10 }"), &[line(-LAST, 10 - LAST, 2)], &[line(LAST, LAST + 10, 2)]);
    assert_windows(&window("{ session = 10 }"), &[line(-LAST, 10 - LAST, 2)], &[line(LAST, LAST + 10, 2)]);
    let (longest, half) = (DURATION_MS_MAX, DURATION_MS_MAX / 2);
    for kind in ["tumbling", "session"] {
        let definition = window(&format!("{{ {kind} = {longest} }}"));
        assert_windows(&definition, &[line(-LAST, 0, 2)], &[line(LAST, 2 * LAST, 2)]);
    }
    assert_windows(
        &window(&format!("{{ hopping = {{ size = {longest}, every = {half} }} }}")),
        &[line(-LAST - half, -half, 2), line(-LAST, 0, 2)],
        &[line(half, LAST + half, 2), line(LAST, 2 * LAST, 2)],
    );
}

#[test]
fn patterns_at_the_ends_of_time() {
    let definition = application(
        0,
        &format!(
            "[[operator]]\nname = \"p\"\nkey = [\"k\"]\nwithin = {DURATION_MS_MAX}\n\
             pattern = [{{ step = \"one\", where = [{{ field = \"n\", eq = 1 }}] }}, \
             {{ step = \"two\", where = [{{ field = \"n\", eq = 2 }}] }}]"
        ),
    );
    let matched = |key: &str, one: i64, two: i64| {
        let step = |step: &str, time: i64, n: i64| {
            format!(r#"{{"step":"{step}","timestamp":{time},"k":"{key}","n":{n},"s":null}}"#)
        };
        format!(
            r#"{{"operator":"p","key":{{"k":"{key}"}},"matched":[{},{}]}}"#,
            step("one", one, 1),
            step("two", two, 2)
        )
    };
    assert_example(
        &definition,
        &[
            (json!([-LAST, "a", 1]), &[]),
            (json!([-LAST, "b", 1]), &[]),
            // Just within, and a millisecond more.
            (json!([0, "a", 2]), &[&*matched("a", -LAST, 0)]),
            (json!([1, "b", 2]), &[]),
            (json!([LAST, "a", 1]), &[]),
            (json!([LAST, "a", 2]), &[&*matched("a", LAST, LAST)]),
        ],
        &[],
        &[0],
    );
}

#[test]
fn an_event_that_does_not_fit_changes_nothing() {
    let operators = "[[operator]]\nname = \"w\"\nwindow = { tumbling = 10 }\ncompute = { c = \"count\" }\n\
                     [[operator]]\nname = \"s\"\nwindow = { session = 10 }\ncompute = { c = \"count\" }\n\
                     [[operator]]\nname = \"a\"\naggregate = { c = \"count\" }\nemit = \"change\"\n\
                     [[operator]]\nname = \"p\"\npattern = [{ step = \"one\" }, { step = \"two\" }]";
    let mut engine = Engine::new(&application(5, operators), &FIELDS).unwrap();
    let event = |time: i64, values: usize| Event::new(time, vec![Value::Null; values]);
    take(&mut engine, &event(0, 3));
    let before = (contents(engine.holder()).unwrap(), engine.progress().clone());
    for (event, reason) in [
        (event(LAST + 1, 3), "the timestamp 8640000000000001 ms is out of range, ±8640000000000000 ms"),
        (event(-LAST - 1, 3), "the timestamp -8640000000000001 ms is out of range, ±8640000000000000 ms"),
        (event(i64::MIN, 3), "the timestamp -9223372036854775808 ms is out of range, ±8640000000000000 ms"),
        (event(1, 4), "the event has 4 values, the stream has 3 fields"),
        (event(1, 2), "the event has 2 values, the stream has 3 fields"),
    ] {
        let error = engine.handle_event(event).unwrap_err();
        assert!(matches!(&error, Error::Event { operator, field, .. } if operator.is_empty() && field.is_empty()));
        assert_eq!(error.to_string(), reason);
        assert_eq!((contents(engine.holder()).unwrap(), engine.progress().clone()), before);
        assert_eq!(poll_lines(&mut engine), [""; 0]);
    }
    assert!(!take(&mut engine, &event(1, 3)).0, "the next event is taken");
}

/// An application of so many operators that count.
fn counting(operators: usize) -> ApplicationDefinition {
    let count = |number| OperatorDefinition::aggregation(format!("o{number}")).compute("n", "count").unwrap();
    let application = ApplicationDefinition::new("many", SourceDefinition::file("-").timestamp("at"));
    (0..operators).map(count).fold(application, ApplicationDefinition::operator)
}

#[test]
fn operators() {
    // The plain values of the holder are a state too, and all of them go through a checkpoint.
    let most = counting(STATES_MAX - 1);
    let programme = [Action::Event, Action::Cut { budget: usize::MAX, abort_after: None }];
    let event = Event::new(1, vec![1.into()]);
    let outcome = Session::new(&most, &["at"], 1).run(&programme, &[event], BTreeSet::from([0]));
    assert_eq!((outcome.restarts, outcome.lines.concat().len()), (1, STATES_MAX - 1));
    let error = Engine::new(&counting(STATES_MAX), &["at"]).unwrap_err();
    assert!(matches!(&error, Error::Definition { path, .. } if path == "operator"), "{error:?}");
    assert_eq!(error.to_string(), "operator: has 1024 entries; at most 1023");
}

#[test]
fn fields() {
    let fields: Vec<String> = (0..=FIELDS_MAX).map(|number| format!("f{number}")).collect();
    let mut engine = Engine::new(&counting(1), &fields[1..]).unwrap();
    engine.handle_event(Event::new(1, vec![Value::Null; FIELDS_MAX])).unwrap();
    let error = Engine::new(&counting(1), &fields).unwrap_err();
    assert_eq!(error.to_string(), "number of fields is 10001, over the limit of 10000");
}

#[test]
fn states_and_key_groups() {
    let states = |count: usize| {
        let state = |number| StateDescriptor::new(format!("s{number}"), StateKind::Windows, 1, "");
        (0..count).map(state).fold(StateHolder::builder("many"), |builder, state| builder.state(state)).build()
    };
    assert_eq!(states(STATES_MAX - 1).unwrap().states().len(), STATES_MAX);
    let error = states(STATES_MAX).unwrap_err();
    assert!(matches!(error, Error::OverLimit { .. }), "{error:?}");
    assert_eq!(error.to_string(), "number of states is 1025, over the limit of 1024");

    let groups = |count| StateHolder::builder("many").key_groups(count).build();
    for count in [1, KEY_GROUPS_MAX] {
        let mut holder = groups(count).unwrap();
        (0..5000_u32).for_each(|key| holder.set(key.to_le_bytes(), &key).unwrap());
        assert_eq!(holder.get(4999_u32.to_le_bytes()).unwrap(), Some(4999_u32));
    }
    let error = |count| groups(count).unwrap_err().to_string();
    assert_eq!(error(KEY_GROUPS_MAX + 1), "number of key groups is 1025, over the limit of 1024");
    assert_eq!(error(0), "key_groups: must be at least 1");
}
