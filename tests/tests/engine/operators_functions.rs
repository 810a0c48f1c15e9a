//! The functions by worked examples: nulls, no values, both sorts of numbers, order, and what is an error.

use crate::common::stream::{FIELDS, application, events, observe, poll_lines};
use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{Engine, Error, Event};
use serde_json::{Value as Json, json};

const ALL: &str = r#"events = "count", values = "count n", sum = "sum n", min = "min n", max = "max n", avg = "avg n",
    stddev = "stddev n", first = "first n", last = "last n", distinct = "distinct n", median = "median n""#;

/// The same functions in a window of each kind and in an aggregation.
fn everywhere(functions: &str) -> Vec<ApplicationDefinition> {
    let functions = functions.replace('\n', " ");
    let of = |kind: &str, word: &str| {
        application(1000, &format!("[[operator]]\nname = \"o\"\n{kind}\n{word} = {{ {functions} }}"))
    };
    vec![
        of("window = { tumbling = 1000 }", "compute"),
        of("window = { hopping = { size = 1000, every = 1000 } }", "compute"),
        of("window = { session = 1000 }", "compute"),
        of("window = { length = 100 }", "compute"),
        of("", "aggregate"),
    ]
}

/// Asserts the functions' part of the one result over these rows `[time, n]`, in each kind of operator.
#[track_caller]
fn assert_functions(functions: &str, rows: &[Json], expected: &str) {
    let rows: Vec<Json> = rows.iter().map(|row| json!([row[0], "k", row[1]])).collect();
    for definition in everywhere(functions) {
        let observed = observe(&definition, &FIELDS, &events(&json!(rows)));
        assert!(!observed.refused.contains(&true));
        let lines: Vec<String> = observed.lines.concat();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let json = lines[0].replace(r#""window_start":0,"window_end":1000,"#, "");
        // A session ends after its last event.
        let json = match json.find(r#""window_end":"#) {
            Some(at) => format!(
                "{}{}",
                &json[..json.find(r#""window_start""#).unwrap()],
                &json[at + json[at..].find(',').unwrap() + 1..]
            ),
            None => json,
        };
        assert_eq!(json, format!(r#"{{"operator":"o","key":{{}},{expected}}}"#), "{:?}", definition.operators[0].kind);
    }
}

#[test]
fn over_no_values() {
    // Two events, no value: only the events count, and nothing is not different from nothing.
    assert_functions(
        ALL,
        &[json!([1, null]), json!([2, null])],
        r#""events":2,"values":0,"sum":null,"min":null,"max":null,"avg":null,"stddev":null,"first":null,"last":null,"distinct":0,"median":null"#,
    );
}

#[test]
fn whole_numbers() {
    // 1, 3, 3, 9: sum 16, mean 4, squared distances 9 + 1 + 1 + 25 = 36, over 4 is 9, deviation 3.
    // Sum, smallest, largest, first and last are whole; the middle of 3 and 3 is a mean.
    assert_functions(
        ALL,
        &[json!([1, 3]), json!([2, 1]), json!([3, 9]), json!([4, 3])],
        r#""events":4,"values":4,"sum":16,"min":1,"max":9,"avg":4.0,"stddev":3.0,"first":3,"last":3,"distinct":3,"median":3.0"#,
    );
}

#[test]
fn both_sorts_of_numbers_and_nulls() {
    // 4, 2.5, 1 without the nulls: sum 7.5, mean 2.5, squared distances 2.25 + 0 + 2.25, over 3 is 1.5.
    assert_functions(
        ALL,
        &[json!([1, null]), json!([2, 4]), json!([3, 2.5]), json!([4, null]), json!([5, 1]), json!([6, null])],
        r#""events":6,"values":3,"sum":7.5,"min":1,"max":4,"avg":2.5,"stddev":1.224744871391589,"first":4,"last":1,"distinct":3,"median":2.5"#,
    );
    // One that is not whole makes the sum one that is not.
    assert_functions(r#"sum = "sum n""#, &[json!([1, 1]), json!([2, 2.0])], r#""sum":3.0"#);
    // The middle of 1, 2, 2.5, 10 is between 2 and 2.5.
    assert_functions(
        r#"median = "median n""#,
        &[json!([1, 10]), json!([2, 1]), json!([3, 2.5]), json!([4, 2])],
        r#""median":2.25"#,
    );
    // A deviation that a sum of squares would lose: 1e9 + 4, + 7, + 13, + 16 has mean + 10 and deviation sqrt(22.5).
    assert_functions(
        r#"d = "stddev n""#,
        &[json!([1, 1_000_000_004]), json!([2, 1_000_000_007]), json!([3, 1_000_000_013]), json!([4, 1_000_000_016])],
        r#""d":4.743416490252569"#,
    );
}

/// JSON has no infinity: what leaves the range of doubles is null, and never a wrong number.
#[test]
fn numbers_beyond_doubles() {
    let functions = r#"sum = "sum n", avg = "avg n", spread = "stddev n", median = "median n""#;
    // The sum, and with it the mean, is beyond; the deviation of equal numbers is 0, the median lies between them.
    assert_functions(
        functions,
        &[json!([1, 1.7e308]), json!([2, 1.7e308])],
        r#""sum":null,"avg":null,"spread":0.0,"median":1.7e+308"#,
    );
    // The distance of the two is beyond.
    assert_functions(
        functions,
        &[json!([1, 1.7e308]), json!([2, -1.7e308])],
        r#""sum":0.0,"avg":0.0,"spread":null,"median":0.0"#,
    );
}

#[test]
fn numbers_equal_in_value_are_one_value() {
    // 1 and 1.0 are not different; the smallest and the largest is the one that came first.
    assert_functions(
        r#"d = "distinct n", min = "min n", max = "max n""#,
        &[json!([1, 1]), json!([2, 1.0]), json!([3, 1])],
        r#""d":1,"min":1,"max":1"#,
    );
    assert_functions(
        r#"d = "distinct n", min = "min n", max = "max n""#,
        &[json!([1, 1.0]), json!([2, 1])],
        r#""d":1,"min":1.0,"max":1.0"#,
    );
    // Zero has no sign.
    assert_functions(r#"d = "distinct n", min = "min n""#, &[json!([1, -0.0]), json!([2, 0.0])], r#""d":1,"min":0.0"#);
}

#[test]
fn first_and_last_go_by_time_then_by_input() {
    // By time: 3 (twice), 5, 7 (twice). Of the same time the first is the one that came first, the last the one that
    // came last. Nulls do not count, even at either end.
    assert_functions(
        r#"first = "first n", last = "last n""#,
        &[
            json!([5, 1]),
            json!([7, 2]),
            json!([3, 3]),
            json!([7, 4]),
            json!([3, 5]),
            json!([1, null]),
            json!([9, null]),
        ],
        r#""first":3,"last":4"#,
    );
}

#[test]
fn texts_and_booleans() {
    // By bytes: capitals before small letters, "" before all. 1 and "1" and true are three different values.
    let functions =
        r#"c = "count n", min = "min n", max = "max n", first = "first n", last = "last n", d = "distinct n""#;
    assert_functions(
        functions,
        &[json!([1, "b"]), json!([2, "B"]), json!([3, "é"]), json!([4, "b"])],
        r#""c":4,"min":"B","max":"é","first":"b","last":"b","d":3"#,
    );
    assert_functions(
        functions,
        &[json!([1, true]), json!([2, false])],
        r#""c":2,"min":false,"max":true,"first":true,"last":false,"d":2"#,
    );
    assert_functions(
        r#"c = "count n", first = "first n", last = "last n", d = "distinct n""#,
        &[json!([1, 1]), json!([2, "1"]), json!([3, true])],
        r#""c":3,"first":1,"last":true,"d":3"#,
    );
}

/// Takes rows of which the one at `wrong` is an error; the message, and the lines.
fn error_at(definition: &ApplicationDefinition, rows: &Json, wrong: usize) -> (String, Vec<String>) {
    let mut engine = Engine::new(definition, &FIELDS).unwrap();
    let mut message = String::new();
    for (at, event) in events(rows).into_iter().enumerate() {
        let (before, timers) = (engine.progress().clone(), engine.timer_count());
        match engine.handle_event(event) {
            Ok(()) => assert_ne!(at, wrong, "no error"),
            Err(error) => {
                assert!(matches!(error, Error::Event { .. }));
                assert_eq!(at, wrong, "{error}");
                assert_eq!((engine.progress(), engine.timer_count()), (&before, timers), "nothing has changed");
                message = error.to_string();
            }
        }
    }
    engine.finish().unwrap();
    (message, poll_lines(&mut engine))
}

#[test]
fn a_sum_beyond_64_bits_is_an_error_and_changes_nothing() {
    for definition in everywhere(r#"sum = "sum n", c = "count""#) {
        let rows = json!([[1, "k", i64::MAX - 1], [2, "k", 2], [3, "k", 1], [4, "k", -5]]);
        let (message, lines) = error_at(&definition, &rows, 1);
        assert_eq!(message, "operator `o`, field `n`: the sum of whole numbers leaves the range of 64 bits");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with(r#""sum":9223372036854775802,"c":3}"#), "{}", lines[0]);
    }
    // The other way, too.
    let (_, lines) = error_at(&everywhere(r#"s = "sum n""#)[4], &json!([[1, "k", i64::MIN], [2, "k", -1]]), 1);
    assert_eq!(lines, [r#"{"operator":"o","key":{},"s":-9223372036854775808}"#]);
    // The mean of whole numbers does not overflow.
    assert_functions(
        r#"avg = "avg n""#,
        &[json!([1, i64::MAX]), json!([2, i64::MAX]), json!([3, i64::MIN]), json!([4, i64::MIN + 2])],
        r#""avg":0.0"#,
    );
}

#[test]
fn sessions_that_overflow_only_together() {
    let definition = application(
        1000,
        "[[operator]]\nname = \"o\"\nwindow = { session = 10 }\ncompute = { sum = \"sum n\", c = \"count\" }",
    );
    // Two sessions, and an event between that would make them one; whatever its value.
    for value in [json!(0), json!(null), json!(0.5)] {
        let rows = json!([[0, "k", i64::MAX], [15, "k", 1], [8, "k", value], [30, "k", 5]]);
        let (message, lines) = error_at(&definition, &rows, 2);
        assert_eq!(message, "operator `o`, field `n`: the sum of whole numbers leaves the range of 64 bits");
        assert_eq!(
            lines,
            [
                r#"{"operator":"o","key":{},"window_start":0,"window_end":10,"sum":9223372036854775807,"c":1}"#,
                r#"{"operator":"o","key":{},"window_start":15,"window_end":25,"sum":1,"c":1}"#,
                r#"{"operator":"o","key":{},"window_start":30,"window_end":40,"sum":5,"c":1}"#,
            ]
        );
    }
}

#[test]
fn values_of_the_wrong_kind_are_errors() {
    for function in ["sum", "avg", "stddev", "median"] {
        for (wrong, kind) in [(json!("x"), "string"), (json!(true), "boolean")] {
            for definition in everywhere(&format!(r#"f = "{function} n", c = "count""#)) {
                let (message, lines) = error_at(&definition, &json!([[1, "k", 1], [2, "k", wrong], [3, "k", 1]]), 1);
                let wanted =
                    format!("operator `o`, field `n`: needs numbers, found a {kind}; filter such events with `where`");
                assert_eq!(message, wanted);
                assert!(lines.len() == 1 && lines[0].ends_with(r#""c":2}"#), "{lines:?}");
            }
        }
    }
    for function in ["min", "max"] {
        for definition in everywhere(&format!(r#"f = "{function} n", c = "count""#)) {
            let (message, lines) = error_at(&definition, &json!([[1, "k", 1.5], [2, "k", "x"], [3, "k", 1.5]]), 1);
            let wanted =
                "operator `o`, field `n`: cannot order a number against a string; filter one kind with `where`";
            assert_eq!(message, wanted);
            assert!(lines[0].ends_with(r#""f":1.5,"c":2}"#), "{lines:?}");
        }
    }
}

/// An error in one operator keeps the event from all of them, those before it too.
#[test]
fn an_event_that_is_an_error_reaches_no_operator() {
    let definition = application(
        0,
        r#"[[operator]]
        name = "before"
        aggregate = { c = "count" }
        emit = "change"
        [[operator]]
        name = "wrong"
        aggregate = { s = "sum n" }
        [[operator]]
        name = "window"
        window = { tumbling = 10 }
        compute = { c = "count" }"#,
    );
    let mut engine = Engine::new(&definition, &FIELDS).unwrap();
    let event = |at: i64, n: Json| events(&json!([[at, "k", n]])).remove(0);
    engine.handle_event(event(1, json!(1))).unwrap();
    assert_eq!(poll_lines(&mut engine), [r#"{"operator":"before","key":{},"c":1}"#]);
    // It would have ended the window, too.
    engine.handle_event(event(50, json!("x"))).unwrap_err();
    assert!(poll_lines(&mut engine).is_empty());
    assert_eq!(engine.watermark_ms(), Some(1));
    engine.handle_event(event(2, json!(2))).unwrap();
    assert_eq!(poll_lines(&mut engine), [r#"{"operator":"before","key":{},"c":2}"#]);
    engine.finish().unwrap();
    assert_eq!(
        poll_lines(&mut engine),
        [
            r#"{"operator":"window","key":{},"window_start":0,"window_end":10,"c":2}"#,
            r#"{"operator":"wrong","key":{},"s":3}"#,
        ]
    );
    // After the end nothing can follow, and a second end changes nothing.
    let error = engine.handle_event(Event::new(60, vec!["k".into(), 1.into(), 1.into()])).unwrap_err();
    assert!(error.to_string().contains("the source has ended"), "{error}");
    engine.finish().unwrap();
    assert!(poll_lines(&mut engine).is_empty());
}
