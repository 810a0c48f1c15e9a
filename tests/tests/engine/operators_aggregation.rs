//! Aggregations by worked examples.

use crate::common::stream::{FIELDS, application, assert_example, poll_lines};
use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{Engine, Event, Value};
use serde_json::json;

fn aggregation(more: &str) -> ApplicationDefinition {
    application(
        0,
        &format!(
            "[[operator]]\nname = \"g\"\naggregate = {{ c = \"count\", sum = \"sum n\", last = \"last n\" }}\n{more}"
        ),
    )
}

#[test]
fn at_the_end_one_result_a_group() {
    assert_example(
        &aggregation("key = [\"k\"]"),
        &[
            (json!([5, "b", 1]), &[]),
            (json!([900, "a", 2]), &[]),
            // Groups last as long as the source: nothing is late. The last by time stays the one of 5.
            (json!([4, "b", 4]), &[]),
            // A group without a value is a group.
            (json!([901, null, null]), &[]),
        ],
        &[
            r#"{"operator":"g","key":{"k":null},"c":1,"sum":null,"last":null}"#,
            r#"{"operator":"g","key":{"k":"a"},"c":1,"sum":2,"last":2}"#,
            r#"{"operator":"g","key":{"k":"b"},"c":2,"sum":5,"last":1}"#,
        ],
        &[0],
    );
}

#[test]
fn on_change_one_result_an_event_and_none_at_the_end() {
    assert_example(
        &aggregation("key = [\"k\"]\nemit = \"change\"\nwhere = [{ field = \"s\", null = true }]"),
        &[
            (json!([5, "b", 1]), &[r#"{"operator":"g","key":{"k":"b"},"c":1,"sum":1,"last":1}"#]),
            (json!([900, "a", 2]), &[r#"{"operator":"g","key":{"k":"a"},"c":1,"sum":2,"last":2}"#]),
            // Filtered.
            (json!([901, "a", 8, "x"]), &[]),
            // Old, but not late; the last by time does not change.
            (json!([4, "b", 4]), &[r#"{"operator":"g","key":{"k":"b"},"c":2,"sum":5,"last":1}"#]),
            // One result an event, even if nothing has changed but the count.
            (json!([6, "b", null]), &[r#"{"operator":"g","key":{"k":"b"},"c":3,"sum":5,"last":1}"#]),
        ],
        &[],
        &[0],
    );
}

#[test]
fn without_a_key_there_is_one_group() {
    assert_example(
        &aggregation(""),
        &[(json!([5, "b", 1]), &[]), (json!([4, "a", 2]), &[])],
        &[r#"{"operator":"g","key":{},"c":2,"sum":3,"last":1}"#],
        &[0],
    );
}

#[test]
fn keys_of_several_fields() {
    assert_example(
        &aggregation("key = [\"s\", \"k\"]"),
        &[
            (json!([1, "b", 1, "x"]), &[]),
            (json!([2, "a", 2, "y"]), &[]),
            (json!([3, "a", 4, "x"]), &[]),
            // "x" and "b" are not "xb" and nothing.
            (json!([4, "", 8, "xb"]), &[]),
        ],
        // By `s` first, which the key names first.
        &[
            r#"{"operator":"g","key":{"s":"x","k":"a"},"c":1,"sum":4,"last":4}"#,
            r#"{"operator":"g","key":{"s":"x","k":"b"},"c":1,"sum":1,"last":1}"#,
            r#"{"operator":"g","key":{"s":"xb","k":""},"c":1,"sum":8,"last":8}"#,
            r#"{"operator":"g","key":{"s":"y","k":"a"},"c":1,"sum":2,"last":2}"#,
        ],
        &[0],
    );
}

/// To look for each anew among all values takes half a minute.
#[test]
fn a_median_on_change_of_many_events() {
    const MANY: i64 = 100_000;
    let definition = application(
        0,
        r#"[[operator]]
        name = "m"
        aggregate = { median = "median n" }
        emit = "change""#,
    );
    let mut engine = Engine::new(&definition, &FIELDS).unwrap();
    for number in 0..MANY {
        // From the middle to both sides: 50000, 49999, 50001, 49998, …
        let away = (number + 1) / 2;
        let value = MANY / 2 + if number % 2 == 0 { away } else { -away };
        engine.handle_event(Event::new(number, vec![Value::Null, value.into(), Value::Null])).unwrap();
        let median = if number % 2 == 0 { "50000.0" } else { "49999.5" };
        assert_eq!(poll_lines(&mut engine), [format!(r#"{{"operator":"m","key":{{}},"median":{median}}}"#)]);
    }
}
