//! Conditions, keys, and the order of the output, by worked examples.

use crate::common::stream::{FIELDS, application, assert_example, events, observe};
use serde_json::{Value as Json, json};

/// The values of which the condition on `n` holds.
fn holding(condition: &str, values: &[Json]) -> Vec<Json> {
    let definition = application(
        0,
        &format!(
            "[[operator]]\nname = \"o\"\naggregate = {{ c = \"count\" }}\nemit = \"change\"\nwhere = [{{ field = \"n\", {condition} }}]"
        ),
    );
    let rows: Vec<Json> = values.iter().map(|value| json!([0, "k", value])).collect();
    let lines = observe(&definition, &FIELDS, &events(&json!(rows))).lines;
    values.iter().zip(lines).filter(|(_, lines)| !lines.is_empty()).map(|(value, _)| value.clone()).collect()
}

#[test]
fn conditions() {
    let values = [
        json!(null),
        json!(false),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(2),
        json!(""),
        json!("1"),
        json!("a"),
        json!("b"),
    ];
    let table: [(&str, Json); 22] = [
        // Both sorts of number are one kind; a text that looks like a number is none.
        ("eq = 1", json!([1, 1.0])),
        ("eq = 1.0", json!([1, 1.0])),
        ("eq = 1.5", json!([1.5])),
        // Not equal holds of what compares: neither of null nor of other kinds.
        ("ne = 1", json!([-1, 0, 1.5, 2])),
        ("ne = \"a\"", json!(["", "1", "b"])),
        ("ne = true", json!([false])),
        ("lt = 1", json!([-1, 0])),
        ("le = 1", json!([-1, 0, 1, 1.0])),
        ("gt = 1", json!([1.5, 2])),
        ("ge = 1", json!([1, 1.0, 1.5, 2])),
        ("ge = 1, lt = 2", json!([1, 1.0, 1.5])),
        ("lt = \"a\"", json!(["", "1"])),
        ("ge = \"a\"", json!(["a", "b"])),
        ("eq = false", json!([false])),
        ("lt = true", json!([false])),
        ("ge = false", json!([false, true])),
        ("in = [2, \"a\", true, 1.5]", json!([true, 1.5, 2, "a"])),
        ("in = [1]", json!([1, 1.0])),
        ("null = true", json!([null])),
        ("null = false", json!(values[1..])),
        // All must hold.
        ("null = true, eq = 1", json!([])),
        ("gt = 0, ne = 2", json!([1, 1.0, 1.5])),
    ];
    for (condition, expected) in table {
        assert_eq!(json!(holding(condition, &values)), expected, "{condition}");
    }
}

#[test]
fn numbers_compare_exactly() {
    // 2^53 + 1 is no double: as doubles these would be equal.
    let (exact, near) = (9_007_199_254_740_993_i64, 9_007_199_254_740_992.0);
    assert_eq!(holding("eq = 9007199254740992.0", &[json!(exact), json!(near)]), [json!(near)]);
    assert_eq!(holding("gt = 9007199254740992.0", &[json!(exact), json!(near)]), [json!(exact)]);
    assert_eq!(holding("lt = 9223372036854775807", &[json!(i64::MAX), json!(9.3e18), json!(9.2e18)]), [json!(9.2e18)]);
}

#[test]
fn keys_are_in_order_null_booleans_numbers_strings() {
    // In the order in which they must come out; fed in the opposite one. A whole number is written whole.
    let keys = [
        ("null", json!(null)),
        ("false", json!(false)),
        ("true", json!(true)),
        ("-1e300", json!(-1e300)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("-2", json!(-2)),
        ("-1.5", json!(-1.5)),
        ("0", json!(-0.0)),
        ("1", json!(1.0)),
        ("1.5", json!(1.5)),
        ("10", json!(10)),
        ("9007199254740992", json!(9_007_199_254_740_992_i64)),
        ("9007199254740993", json!(9_007_199_254_740_993_i64)),
        ("1e300", json!(1e300)),
        (r#""""#, json!("")),
        (r#""\u0000""#, json!("\0")),
        (r#""10""#, json!("10")),
        (r#""9""#, json!("9")),
        (r#""B""#, json!("B")),
        (r#""a""#, json!("a")),
        (r#""a\u0000""#, json!("a\0")),
        (r#""a\u0000b""#, json!("a\0b")),
        (r#""a\u0001""#, json!("a\u{1}")),
        (r#""aa""#, json!("aa")),
        (r#""b""#, json!("b")),
        (r#""z""#, json!("z")),
        (r#""é""#, json!("é")),
        (r#""😀""#, json!("😀")),
    ];
    let rows: Vec<Json> = keys.iter().rev().map(|(_, key)| json!([0, key])).collect();
    for kind in ["aggregate = { c = \"count\" }", "window = { tumbling = 10 }\ncompute = { c = \"count\" }"] {
        let definition = application(0, &format!("[[operator]]\nname = \"o\"\nkey = [\"k\"]\n{kind}"));
        let lines = observe(&definition, &FIELDS, &events(&json!(rows))).lines.concat();
        let found: Vec<&str> = lines
            .iter()
            .map(|line| line.strip_prefix(r#"{"operator":"o","key":{"k":"#).unwrap().split_once('}').unwrap().0)
            .collect();
        let expected: Vec<String> = keys.iter().map(|(text, _)| text.replace("1e300", "1e+300")).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn numbers_equal_in_value_are_one_key() {
    assert_example(
        &application(0, "[[operator]]\nname = \"o\"\nkey = [\"k\"]\naggregate = { c = \"count\" }"),
        &[(json!([0, 1]), &[]), (json!([0, 1.0]), &[]), (json!([0, "1"]), &[]), (json!([0, true]), &[])],
        &[
            r#"{"operator":"o","key":{"k":true},"c":1}"#,
            r#"{"operator":"o","key":{"k":1},"c":2}"#,
            r#"{"operator":"o","key":{"k":"1"},"c":1}"#,
        ],
        &[0],
    );
}

/// Operators of each kind; what they give out together is in no order of their names.
const ONE_OF_EACH: &str = r#"
        [[operator]]
        name = "z"
        window = { hopping = { size = 20, every = 10 } }
        compute = { c = "count" }
        key = ["k"]
        [[operator]]
        name = "p"
        pattern = [{ step = "one", where = [{ field = "n", eq = 1 }] }]
        key = ["k"]
        [[operator]]
        name = "a"
        window = { tumbling = 10 }
        compute = { c = "count" }
        key = ["k"]
        [[operator]]
        name = "s"
        window = { session = 5 }
        compute = { c = "count" }
        key = ["k"]
        [[operator]]
        name = "every"
        aggregate = { c = "count" }
        emit = "change"
        [[operator]]
        name = "pairs"
        window = { length = 2 }
        compute = { c = "count" }
        [[operator]]
        name = "groups"
        aggregate = { c = "count" }
        key = ["k"]"#;

#[test]
fn one_advance_of_the_watermark_releases_by_end_then_operator_then_key() {
    assert_example(
        &application(100, ONE_OF_EACH),
        &[
            (json!([5, "b"]), &[r#"{"operator":"every","key":{},"c":1}"#]),
            // What needs no watermark goes out at once, by operator.
            (
                json!([10, "a", 1]),
                &[r#"{"operator":"every","key":{},"c":2}"#, r#"{"operator":"pairs","key":{},"c":2}"#],
            ),
            // And before what the watermark releases, whose ends are all earlier. The watermark is 20.
            (
                json!([120, "c"]),
                &[
                    r#"{"operator":"every","key":{},"c":3}"#,
                    // End 10: operator z, then p (its time is 10), then a, then s.
                    r#"{"operator":"z","key":{"k":"b"},"window_start":-10,"window_end":10,"c":1}"#,
                    r#"{"operator":"p","key":{"k":"a"},"matched":[{"step":"one","timestamp":10,"k":"a","n":1,"s":null}]}"#,
                    r#"{"operator":"a","key":{"k":"b"},"window_start":0,"window_end":10,"c":1}"#,
                    r#"{"operator":"s","key":{"k":"b"},"window_start":5,"window_end":10,"c":1}"#,
                    // End 15.
                    r#"{"operator":"s","key":{"k":"a"},"window_start":10,"window_end":15,"c":1}"#,
                    // End 20: the keys of z before the operator a.
                    r#"{"operator":"z","key":{"k":"a"},"window_start":0,"window_end":20,"c":1}"#,
                    r#"{"operator":"z","key":{"k":"b"},"window_start":0,"window_end":20,"c":1}"#,
                    r#"{"operator":"a","key":{"k":"a"},"window_start":10,"window_end":20,"c":1}"#,
                ],
            ),
        ],
        &[
            // What is left of time: 30 (a's second window of z), then those of the event at 120.
            r#"{"operator":"z","key":{"k":"a"},"window_start":10,"window_end":30,"c":1}"#,
            r#"{"operator":"s","key":{"k":"c"},"window_start":120,"window_end":125,"c":1}"#,
            r#"{"operator":"z","key":{"k":"c"},"window_start":110,"window_end":130,"c":1}"#,
            r#"{"operator":"a","key":{"k":"c"},"window_start":120,"window_end":130,"c":1}"#,
            r#"{"operator":"z","key":{"k":"c"},"window_start":120,"window_end":140,"c":1}"#,
            // At +∞ what has no end: by operator, then key.
            r#"{"operator":"pairs","key":{},"c":1}"#,
            r#"{"operator":"groups","key":{"k":"a"},"c":1}"#,
            r#"{"operator":"groups","key":{"k":"b"},"c":1}"#,
            r#"{"operator":"groups","key":{"k":"c"},"c":1}"#,
        ],
        &[0; 7],
    );
}

#[test]
fn matches_of_one_time_go_by_key_then_input() {
    let definition = application(10, "[[operator]]\nname = \"p\"\nkey = [\"k\"]\npattern = [{ step = \"one\" }]");
    let line = |k: &str, n: i64| {
        format!(
            r#"{{"operator":"p","key":{{"k":"{k}"}},"matched":[{{"step":"one","timestamp":5,"k":"{k}","n":{n},"s":null}}]}}"#
        )
    };
    let rows = json!([[5, "b", 1], [5, "a", 2], [5, "b", 3], [5, "a", 4]]);
    let observed = observe(&definition, &FIELDS, &events(&rows));
    assert_eq!(observed.lines[4], [line("a", 2), line("a", 4), line("b", 1), line("b", 3)]);
}

#[test]
fn each_operator_counts_its_own_late_events() {
    let operators = r#"
        [[operator]]
        name = "short"
        window = { tumbling = 10 }
        compute = { c = "count" }
        [[operator]]
        name = "long"
        window = { tumbling = 100 }
        compute = { c = "count" }
        [[operator]]
        name = "pattern"
        pattern = [{ step = "one", where = [{ field = "n", eq = 77 }] }]
        [[operator]]
        name = "length"
        window = { length = 100 }
        compute = { c = "count" }"#;
    assert_example(
        &application(0, operators),
        &[
            (json!([50, "a"]), &[]),
            // Its window of `short`, [40, 50), is closed; that of `long` is open; for the pattern it is behind the
            // watermark, whether or not it would fit a step.
            (json!([49, "a"]), &[]),
            // At the watermark, in an open window: late for none.
            (json!([50, "a"]), &[]),
            // Behind the watermark, but in an open window.
            (json!([55, "a"]), &[]),
            (json!([51, "a"]), &[]),
        ],
        &[
            r#"{"operator":"short","key":{},"window_start":50,"window_end":60,"c":4}"#,
            r#"{"operator":"long","key":{},"window_start":0,"window_end":100,"c":5}"#,
            r#"{"operator":"length","key":{},"c":5}"#,
        ],
        &[1, 0, 2, 0],
    );
}
