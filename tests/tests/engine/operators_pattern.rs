//! Patterns by worked examples. The events of a table are `[time, k, n]`; a match is told by its times and numbers.

use crate::common::stream::{self, FIELDS, application, assert_example, events, poll_lines};
use eventflux_core::Engine;
use eventflux_core::definition::ApplicationDefinition;
use serde_json::{Value as Json, json};

/// Two steps: 1, then 2.
const ONE_TWO: &str = r#"[{ step = "one", where = [{ field = "n", eq = 1 }] },
                          { step = "two", where = [{ field = "n", eq = 2 }] }]"#;
/// The same, and the 2 must come right after the 1.
const ONE_NEXT_TWO: &str = r#"[{ step = "one", where = [{ field = "n", eq = 1 }] },
                               { step = "two", next = true, where = [{ field = "n", eq = 2 }] }]"#;
/// Two numbers above 0.
const TWO_POSITIVE: &str = r#"[{ step = "one", where = [{ field = "n", gt = 0 }] },
                               { step = "two", where = [{ field = "n", gt = 0 }] }]"#;

/// A step of a match: its name, and the time and `n` of its event.
type Step<'a> = (&'a str, i64, i64);
/// What a table says of one event: its row, and the matches it brings out.
type Row<'a> = (Json, &'a [&'a [Step<'a>]]);

/// A pattern `p` over the key `k`, with more of its keys.
fn pattern(watermark_delay_ms: i64, steps: &str, more: &str) -> ApplicationDefinition {
    application(watermark_delay_ms, &format!("[[operator]]\nname = \"p\"\nkey = [\"k\"]\npattern = {steps}\n{more}"))
}

/// Asserts what each row brings out, and what the end of the source.
#[track_caller]
fn assert_matches(definition: &ApplicationDefinition, table: &[Row<'_>], end: &[&[Step<'_>]], late: u64) {
    let rows: Vec<Json> = table.iter().map(|(row, _)| row.clone()).collect();
    let observed = stream::observe(definition, &FIELDS, &events(&json!(rows)));
    let expected = table.iter().map(|(_, matches)| *matches).chain([end]);
    for (at, (lines, expected)) in observed.lines.iter().zip(expected).enumerate() {
        let found: Vec<Vec<(String, i64, i64)>> = lines.iter().map(|line| steps_of(line)).collect();
        let found: Vec<Vec<Step<'_>>> =
            found.iter().map(|steps| steps.iter().map(|(step, at, n)| (step.as_str(), *at, *n)).collect()).collect();
        assert_eq!(found, expected, "event {at}: {:?}", rows.get(at));
    }
    assert_eq!(observed.late, [late]);
}

fn steps_of(line: &str) -> Vec<(String, i64, i64)> {
    let line: Json = serde_json::from_str(line).unwrap();
    let step = |step: &Json| {
        (step["step"].as_str().unwrap().into(), step["timestamp"].as_i64().unwrap(), step["n"].as_i64().unwrap())
    };
    line["matched"].as_array().unwrap().iter().map(step).collect()
}

#[test]
fn the_line_of_a_match() {
    assert_example(
        &pattern(0, ONE_TWO, ""),
        &[
            (json!([10, "a", 1, "x"]), &[]),
            (
                json!([20, "a", 2]),
                &[
                    r#"{"operator":"p","key":{"k":"a"},"matched":[{"step":"one","timestamp":10,"k":"a","n":1,"s":"x"},{"step":"two","timestamp":20,"k":"a","n":2,"s":null}]}"#,
                ],
            ),
        ],
        &[],
        &[0],
    );
}

#[test]
fn followed_by_skips_what_does_not_fit() {
    assert_matches(
        &pattern(0, ONE_TWO, ""),
        &[
            // Nothing has begun.
            (json!([1, "a", 2]), &[]),
            (json!([2, "a", 1]), &[]),
            (json!([3, "a", 7]), &[]),
            // Of another key.
            (json!([4, "b", 2]), &[]),
            (json!([5, "a", null]), &[]),
            (json!([6, "a", 2]), &[&[("one", 2, 1), ("two", 6, 2)]]),
            // The match is over: a 2 alone is nothing.
            (json!([7, "a", 2]), &[]),
        ],
        &[],
        0,
    );
}

#[test]
fn next_takes_the_very_next_event_of_the_key() {
    assert_matches(
        &pattern(0, ONE_NEXT_TWO, ""),
        &[
            (json!([1, "a", 1]), &[]),
            // Of another key: not the next one of a.
            (json!([2, "b", 7]), &[]),
            (json!([3, "a", 2]), &[&[("one", 1, 1), ("two", 3, 2)]]),
            (json!([4, "a", 1]), &[]),
            // Does not fit: the match that began at 4 is over.
            (json!([5, "a", 7]), &[]),
            (json!([6, "a", 2]), &[]),
            (json!([7, "a", 1]), &[]),
            // Does not fit as `two`, so that the match from 7 is over, but begins one itself.
            (json!([8, "a", 1]), &[]),
            (json!([9, "a", 2]), &[&[("one", 8, 1), ("two", 9, 2)]]),
        ],
        &[],
        0,
    );
}

#[test]
fn next_means_next_of_those_that_the_filter_lets_through() {
    assert_matches(
        &pattern(0, ONE_NEXT_TWO, r#"where = [{ field = "n", null = false }]"#),
        &[
            (json!([1, "a", 1]), &[]),
            (json!([2, "a", null]), &[]),
            (json!([3, "a", 2]), &[&[("one", 1, 1), ("two", 3, 2)]]),
        ],
        &[],
        0,
    );
}

#[test]
fn next_behind_a_step_that_may_wait() {
    let steps = r#"[{ step = "one", where = [{ field = "n", eq = 1 }] },
                    { step = "two", where = [{ field = "n", eq = 2 }] },
                    { step = "three", next = true, where = [{ field = "n", eq = 3 }] }]"#;
    assert_matches(
        &pattern(0, steps, ""),
        &[
            (json!([1, "a", 1]), &[]),
            (json!([2, "a", 7]), &[]),
            (json!([3, "a", 2]), &[]),
            // `three` is strict: over.
            (json!([4, "a", 7]), &[]),
            (json!([5, "a", 3]), &[]),
            (json!([6, "a", 1]), &[]),
            (json!([7, "a", 7]), &[]),
            (json!([8, "a", 2]), &[]),
            (json!([9, "a", 3]), &[&[("one", 6, 1), ("two", 8, 2), ("three", 9, 3)]]),
        ],
        &[],
        0,
    );
}

#[test]
fn within_holds_its_last_millisecond() {
    assert_matches(
        &pattern(0, ONE_TWO, "within = 10"),
        &[
            (json!([0, "a", 1]), &[]),
            // last − first = 10.
            (json!([10, "a", 2]), &[&[("one", 0, 1), ("two", 10, 2)]]),
            (json!([20, "a", 1]), &[]),
            // 11: too late.
            (json!([31, "a", 2]), &[]),
            (json!([31, "b", 1]), &[]),
            (json!([41, "b", 2]), &[&[("one", 31, 1), ("two", 41, 2)]]),
        ],
        &[],
        0,
    );
    // Within 0: at the same time.
    assert_matches(
        &pattern(0, ONE_TWO, "within = 0"),
        &[
            (json!([5, "a", 1]), &[]),
            (json!([5, "a", 2]), &[&[("one", 5, 1), ("two", 5, 2)]]),
            (json!([6, "a", 1]), &[]),
            (json!([7, "a", 2]), &[]),
        ],
        &[],
        0,
    );
}

#[test]
fn within_counts_from_first_to_last_over_all_steps() {
    let steps = r#"[{ step = "one", where = [{ field = "n", eq = 1 }] }, { step = "two", where = [{ field = "n", eq = 2 }] },
                    { step = "three", where = [{ field = "n", eq = 3 }] }]"#;
    assert_matches(
        &pattern(0, steps, "within = 10"),
        &[
            (json!([0, "a", 1]), &[]),
            (json!([6, "a", 2]), &[]),
            // 6 after the step before, but 12 after the first.
            (json!([12, "a", 3]), &[]),
        ],
        &[],
        0,
    );
}

#[test]
fn skip_past_last_drops_all_that_had_started() {
    let rows = [json!([0, "a", 1]), json!([1, "a", 2]), json!([2, "a", 3]), json!([3, "a", 4])];
    let [a, b, c, d] = rows;
    assert_matches(
        &pattern(0, TWO_POSITIVE, ""),
        &[
            (a, &[]),
            // Completes the match from 0 and starts none.
            (b, &[&[("one", 0, 1), ("two", 1, 2)]]),
            (c, &[]),
            (d, &[&[("one", 2, 3), ("two", 3, 4)]]),
        ],
        &[],
        0,
    );
    // Two partial matches, and a 2 that would complete both: the oldest is given, the other dropped.
    assert_matches(
        &pattern(0, ONE_TWO, "skip = \"past_last\""),
        &[
            (json!([0, "a", 1]), &[]),
            (json!([1, "a", 1]), &[]),
            // Of another key, which loses nothing.
            (json!([1, "b", 1]), &[]),
            (json!([2, "a", 2]), &[&[("one", 0, 1), ("two", 2, 2)]]),
            (json!([3, "a", 2]), &[]),
            (json!([4, "b", 2]), &[&[("one", 1, 1), ("two", 4, 2)]]),
        ],
        &[],
        0,
    );
}

#[test]
fn skip_none_keeps_them() {
    assert_matches(
        &pattern(0, TWO_POSITIVE, "skip = \"none\""),
        &[
            (json!([0, "a", 1]), &[]),
            // Completes the one from 0, and starts one.
            (json!([1, "a", 2]), &[&[("one", 0, 1), ("two", 1, 2)]]),
            (json!([2, "a", 3]), &[&[("one", 1, 2), ("two", 2, 3)]]),
        ],
        &[],
        0,
    );
    assert_matches(
        &pattern(0, ONE_TWO, "skip = \"none\""),
        &[
            (json!([0, "a", 1]), &[]),
            (json!([1, "a", 1]), &[]),
            // Both, the oldest first.
            (json!([2, "a", 2]), &[&[("one", 0, 1), ("two", 2, 2)], &[("one", 1, 1), ("two", 2, 2)]]),
            // Each partial match gives one match and is gone.
            (json!([3, "a", 2]), &[]),
        ],
        &[],
        0,
    );
}

#[test]
fn a_condition_on_an_earlier_step() {
    let rising = r#"[{ step = "low", where = [{ field = "n", ge = 0 }] },
                     { step = "high", where = [{ field = "n", gt = { step = "low", field = "n" } }] },
                     { step = "between", where = [{ field = "n", gt = { step = "low", field = "n" },
                                                    lt = { step = "high", field = "n" } }] }]"#;
    assert_matches(
        &pattern(0, rising, ""),
        &[
            (json!([1, "a", 5]), &[]),
            // Not above 5, but it starts a match of its own.
            (json!([2, "a", 5]), &[]),
            // The second step of both; and a first.
            (json!([3, "a", 9]), &[]),
            // Not between 5 and 9, but above 9.
            (json!([4, "a", 12]), &[]),
            // A null is neither above nor below.
            (json!([5, "a", null]), &[]),
            // Between 5 and 9 for the oldest.
            (json!([6, "a", 7]), &[&[("low", 1, 5), ("high", 3, 9), ("between", 6, 7)]]),
        ],
        &[],
        0,
    );
    // What compares with a null of an earlier step never holds, not even for equal.
    let equal =
        r#"[{ step = "one" }, { step = "two", where = [{ field = "n", eq = { step = "one", field = "n" } }] }]"#;
    let null_then_null = stream::observe(
        &pattern(0, equal, ""),
        &FIELDS,
        &events(&json!([[1, "a", null], [2, "a", null], [3, "a", 4]])),
    );
    assert!(null_then_null.lines.concat().is_empty());
    // A field may compare with another one of the earlier event, of another sort of number.
    let crossed =
        r#"[{ step = "one" }, { step = "two", where = [{ field = "s", eq = { step = "one", field = "n" } }] }]"#;
    assert_matches(
        &pattern(0, crossed, ""),
        &[(json!([1, "a", 4]), &[]), (json!([2, "a", 5, 4.0]), &[&[("one", 1, 4), ("two", 2, 5)]])],
        &[],
        0,
    );
}

#[test]
fn ties_go_by_input_order() {
    assert_matches(
        &pattern(0, ONE_TWO, ""),
        &[
            (json!([5, "a", 1]), &[]),
            (json!([5, "a", 2]), &[&[("one", 5, 1), ("two", 5, 2)]]),
            // The other way round it is no match.
            (json!([5, "b", 2]), &[]),
            (json!([5, "b", 1]), &[]),
        ],
        &[],
        0,
    );
    // Also if they wait for the watermark.
    assert_matches(
        &pattern(10, ONE_TWO, ""),
        &[
            (json!([5, "a", 1]), &[]),
            (json!([5, "b", 2]), &[]),
            (json!([5, "a", 2]), &[]),
            (json!([5, "b", 1]), &[]),
            (json!([15, "c", 0]), &[&[("one", 5, 1), ("two", 5, 2)]]),
        ],
        &[],
        0,
    );
}

#[test]
fn events_take_part_in_the_order_of_time_once_the_watermark_is_there() {
    assert_matches(
        &pattern(10, ONE_TWO, ""),
        &[
            // The 2 comes first, but is later.
            (json!([8, "a", 2]), &[]),
            (json!([3, "a", 1]), &[]),
            // Watermark 7: the 1 has taken part, the 2 not yet.
            (json!([17, "b", 1]), &[]),
            // Watermark 8.
            (json!([18, "c", 0]), &[&[("one", 3, 1), ("two", 8, 2)]]),
            // Behind the watermark: late, of whatever key.
            (json!([7, "b", 1]), &[]),
            // At the watermark: not late.
            (json!([8, "b", 1]), &[]),
            (json!([20, "b", 2]), &[]),
            // What waits at the end takes part at the end. Watermark 10 now, so neither b nor c is through.
            (json!([19, "c", 1]), &[]),
            (json!([20, "c", 2]), &[]),
        ],
        // By time, then by key: both end at 20. The oldest of b began at 8.
        &[&[("one", 8, 1), ("two", 20, 2)], &[("one", 19, 1), ("two", 20, 2)]],
        1,
    );
}

#[test]
fn an_event_at_the_watermark_takes_part_at_once() {
    assert_matches(
        &pattern(0, ONE_TWO, ""),
        &[
            (json!([5, "a", 1]), &[]),
            // The watermark stands at 5, and does not move.
            (json!([5, "a", 2]), &[&[("one", 5, 1), ("two", 5, 2)]]),
            (json!([6, "b", 1]), &[]),
            // Behind it.
            (json!([5, "b", 2]), &[]),
        ],
        &[],
        1,
    );
}

#[test]
fn a_single_step_matches_each_event_that_fits() {
    for skip in ["past_last", "none"] {
        assert_matches(
            &pattern(
                5,
                r#"[{ step = "one", where = [{ field = "n", gt = 0 }] }]"#,
                &format!("within = 0\nskip = \"{skip}\""),
            ),
            &[
                (json!([5, "a", 1]), &[]),
                (json!([3, "a", 2]), &[]),
                (json!([4, "a", 0]), &[]),
                (json!([9, "b", 3]), &[&[("one", 3, 2)]]),
            ],
            &[&[("one", 5, 1)], &[("one", 9, 3)]],
            0,
        );
    }
}

/// One advance of the watermark releases an event that still completes a match, although the match before it has
/// expired, and although the watermark is already beyond what the completed one may last.
#[test]
fn a_leap_of_the_watermark_keeps_what_events_before_it_complete() {
    assert_matches(
        &pattern(5, ONE_TWO, "within = 5"),
        &[
            (json!([0, "a", 1]), &[]),
            (json!([4, "a", 1]), &[]),
            // 9 after the first, 5 after the second.
            (json!([9, "a", 2]), &[]),
            (json!([100, "b", 0]), &[&[("one", 4, 1), ("two", 9, 2)]]),
        ],
        &[],
        0,
    );
}

#[test]
fn partial_matches_expire_without_events_of_their_key() {
    let definition = pattern(0, ONE_TWO, "within = 10");
    let mut engine = Engine::new(&definition, &FIELDS).unwrap();
    let mut take = |row: Json| {
        engine.handle_event(events(&json!([row])).remove(0)).unwrap();
        (engine.holder().key_count("p").unwrap(), engine.timer_count(), poll_lines(&mut engine).len())
    };
    // Keys with state, timers, matches.
    assert_eq!(take(json!([0, "a", 1])), (1, 1, 0));
    assert_eq!(take(json!([5, "b", 1])), (2, 2, 0));
    // The watermark is 10, which a 2 of a could still have.
    assert_eq!(take(json!([10, "c", 0])), (2, 2, 0));
    // 11: a can no longer match.
    assert_eq!(take(json!([11, "c", 0])), (1, 1, 0));
    assert_eq!(take(json!([15, "b", 2])).2, 1);
    // Nothing is left of b; its timer goes when its time comes.
    assert_eq!(take(json!([16, "c", 0])), (0, 0, 0));
    // Without `within` it stays for ever.
    let definition = pattern(0, ONE_TWO, "");
    let mut engine = Engine::new(&definition, &FIELDS).unwrap();
    engine.handle_events(events(&json!([[0, "a", 1], [1_000_000, "c", 0]]))).unwrap();
    assert_eq!(engine.holder().key_count("p"), Some(1));
}

#[test]
fn fields_that_have_the_names_of_members() {
    let fields = ["step", "timestamp"];
    let definition = application(0, "[[operator]]\nname = \"p\"\nkey = [\"step\"]\npattern = [{ step = \"one\" }]");
    let event = eventflux_core::Event::new(7, vec!["x".into(), 8.into()]);
    assert_eq!(
        stream::observe(&definition, &fields, &[event]).lines[0],
        [r#"{"operator":"p","key":{"step":"x"},"matched":[{"step":"one","timestamp":7,"step_":"x","timestamp_":8}]}"#]
    );
    // Nor does one become another one's.
    let fields = ["step_", "step", "timestamp"];
    let event = eventflux_core::Event::new(7, vec!["y".into(), "x".into(), 8.into()]);
    assert_eq!(
        stream::observe(&definition, &fields, &[event]).lines[0],
        [
            r#"{"operator":"p","key":{"step":"x"},"matched":[{"step":"one","timestamp":7,"step_":"y","step__":"x","timestamp_":8}]}"#
        ]
    );
}
