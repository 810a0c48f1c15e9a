//! Windows by worked examples: what each event brings out, small enough to check by hand.

use crate::common::stream::{FIELDS, application, assert_example, events, observe};
use eventflux_core::Engine;
use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::limits::KEY_BYTES_MAX;
use serde_json::json;

/// A window `w` over the key `k`, with the number of events and the sum of `n`.
fn window(watermark_delay_ms: i64, window: &str) -> ApplicationDefinition {
    application(
        watermark_delay_ms,
        &format!(
            r#"[[operator]]
            name = "w"
            window = {window}
            key = ["k"]
            compute = {{ c = "count", sum = "sum n" }}"#
        ),
    )
}

#[test]
fn tumbling() {
    assert_example(
        &window(0, "{ tumbling = 10 }"),
        &[
            (json!([1, "a", 5]), &[]),
            // The watermark is 9: [0, 10) has not ended.
            (json!([9, "a", 6]), &[]),
            // 10 is no part of [0, 10), and takes the watermark to its end.
            (
                json!([10, "b", 1]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":10,"c":2,"sum":11}"#],
            ),
            // Late: [0, 10) has ended. What is dropped need not be a number.
            (json!([9, "a", 7]), &[]),
            (json!([9, "a", "seven"]), &[]),
            // [10, 20) of b; a had no event in it, so it gives nothing; nor does [20, 30) of b.
            (
                json!([35, "a", 2]),
                &[r#"{"operator":"w","key":{"k":"b"},"window_start":10,"window_end":20,"c":1,"sum":1}"#],
            ),
        ],
        &[r#"{"operator":"w","key":{"k":"a"},"window_start":30,"window_end":40,"c":1,"sum":2}"#],
        &[2],
    );
}

#[test]
fn tumbling_waits_for_the_delay() {
    assert_example(
        &window(5, "{ tumbling = 10 }"),
        &[
            (json!([1, "a", 1]), &[]),
            // Watermark 7.
            (json!([12, "a", 2]), &[]),
            // Behind the largest time, and even behind the watermark; its window is open, so it is not late.
            (json!([3, "a", 4]), &[]),
            // Watermark 10.
            (
                json!([15, "b", 8]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":10,"c":2,"sum":5}"#],
            ),
            // The first millisecond whose window is open, and the last whose window is closed.
            (json!([10, "a", 16]), &[]),
            (json!([9, "a", 32]), &[]),
        ],
        &[
            r#"{"operator":"w","key":{"k":"a"},"window_start":10,"window_end":20,"c":2,"sum":18}"#,
            r#"{"operator":"w","key":{"k":"b"},"window_start":10,"window_end":20,"c":1,"sum":8}"#,
        ],
        &[1],
    );
}

#[test]
fn times_before_1970() {
    assert_example(
        &window(0, "{ tumbling = 10 }"),
        &[
            (json!([-11, "a", 1]), &[]),
            // -10 begins the window that ends with 1970, and ends the one before.
            (
                json!([-10, "a", 2]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":-20,"window_end":-10,"c":1,"sum":1}"#],
            ),
            (json!([-1, "a", 4]), &[]),
            (
                json!([0, "a", 8]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":-10,"window_end":0,"c":2,"sum":6}"#],
            ),
        ],
        &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":10,"c":1,"sum":8}"#],
        &[0],
    );
    assert_example(
        &window(0, "{ hopping = { size = 10, every = 4 } }"),
        // Multiples of 4 from which 10 ms reach -1: -8 and -4.
        &[(json!([-1, "a", 1]), &[])],
        &[
            r#"{"operator":"w","key":{"k":"a"},"window_start":-8,"window_end":2,"c":1,"sum":1}"#,
            r#"{"operator":"w","key":{"k":"a"},"window_start":-4,"window_end":6,"c":1,"sum":1}"#,
        ],
        &[0],
    );
}

#[test]
fn hopping() {
    assert_example(
        &window(0, "{ hopping = { size = 10, every = 5 } }"),
        &[
            // In [0, 10) and [5, 15).
            (json!([7, "a", 1]), &[]),
            // In [5, 15) and [10, 20); [0, 10) ends.
            (
                json!([12, "a", 2]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":10,"c":1,"sum":1}"#],
            ),
            // [0, 10) is closed, [5, 15) is open: not late, and counted there alone.
            (json!([9, "a", 4]), &[]),
            // Both of its windows, [-5, 5) and [0, 10), are closed: late, once.
            (json!([4, "a", 8]), &[]),
        ],
        &[
            r#"{"operator":"w","key":{"k":"a"},"window_start":5,"window_end":15,"c":3,"sum":7}"#,
            r#"{"operator":"w","key":{"k":"a"},"window_start":10,"window_end":20,"c":1,"sum":2}"#,
        ],
        &[1],
    );
}

#[test]
fn hopping_with_gaps() {
    assert_example(
        &window(0, "{ hopping = { size = 3, every = 10 } }"),
        &[
            (json!([2, "a", 1]), &[]),
            // Between [0, 3) and [10, 13): it belongs to no window, which counts as late; the watermark moves all the
            // same.
            (
                json!([3, "a", 2]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":3,"c":1,"sum":1}"#],
            ),
            (json!([9, "a", 4]), &[]),
            (json!([10, "a", 8]), &[]),
            (json!([12, "a", 16]), &[]),
            (
                json!([13, "a", 32]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":10,"window_end":13,"c":2,"sum":24}"#],
            ),
        ],
        &[],
        &[3],
    );
}

#[test]
fn session_ends_where_the_gap_is_full() {
    assert_example(
        &window(0, "{ session = 10 }"),
        &[
            (json!([0, "a", 1]), &[]),
            // Closer than the gap by one: the same session, which now ends at 19.
            (json!([9, "a", 2]), &[]),
            // Exactly the gap: [0, 19) and [19, …) touch but do not merge, and the watermark 19 ends the first.
            (
                json!([19, "a", 4]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":19,"c":2,"sum":3}"#],
            ),
            // Another key has a session of its own; this one's watermark ends a's: [19, 29).
            (
                json!([40, "b", 8]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":19,"window_end":29,"c":1,"sum":4}"#],
            ),
        ],
        &[r#"{"operator":"w","key":{"k":"b"},"window_start":40,"window_end":50,"c":1,"sum":8}"#],
        &[0],
    );
}

#[test]
fn an_event_in_the_middle_makes_two_sessions_one() {
    assert_example(
        &window(30, "{ session = 10 }"),
        &[
            (json!([0, "a", 1]), &[]),
            // 15 after: a second session.
            (json!([15, "a", 2]), &[]),
            // 8 after the one and 7 before the other: all three are one, [0, 25).
            (json!([8, "a", 4]), &[]),
            // Exactly the gap before the first: another session, [-10, 0).
            (json!([-10, "a", 8]), &[]),
            // Watermark 0: it ends.
            (
                json!([30, "b", 0]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":-10,"window_end":0,"c":1,"sum":8}"#],
            ),
            (json!([54, "b", 0]), &[]),
            // Watermark 25.
            (
                json!([55, "b", 0]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":25,"c":3,"sum":7}"#],
            ),
        ],
        &[
            r#"{"operator":"w","key":{"k":"b"},"window_start":30,"window_end":40,"c":1,"sum":0}"#,
            r#"{"operator":"w","key":{"k":"b"},"window_start":54,"window_end":65,"c":2,"sum":0}"#,
        ],
        &[0],
    );
}

#[test]
fn an_old_event_is_not_late_in_a_session_still_open() {
    assert_example(
        &window(0, "{ session = 10 }"),
        &[
            (json!([0, "a", 1]), &[]),
            (json!([9, "a", 2]), &[]),
            // The session is [0, 28), the watermark 18.
            (json!([18, "a", 4]), &[]),
            // Alone it would have ended at 13; merged it ends at 28.
            (json!([3, "a", 8]), &[]),
            // For b there is nothing to merge with: late, whatever it holds.
            (json!([3, "b", 16]), &[]),
            (json!([3, "b", "sixteen"]), &[]),
            // Nine before the session: it now starts there.
            (json!([-9, "a", 32]), &[]),
            // Exactly the gap before: alone, and late.
            (json!([-19, "a", 64]), &[]),
        ],
        &[r#"{"operator":"w","key":{"k":"a"},"window_start":-9,"window_end":28,"c":5,"sum":47}"#],
        &[3],
    );
}

/// Neither a value nor a key that is refused elsewhere.
#[test]
fn a_late_event_is_counted_whatever_it_holds() {
    let long = "k".repeat(KEY_BYTES_MAX);
    let refused = format!("makes a key of {} bytes, over the limit of {KEY_BYTES_MAX}", KEY_BYTES_MAX + 3);
    for kind in ["{ tumbling = 10 }", "{ session = 10 }"] {
        let mut engine = Engine::new(&window(0, kind), &FIELDS).unwrap();
        for event in events(&json!([[100, "a", 1], [5, "a", "sixteen"], [5, long, 1]])) {
            engine.handle_event(event).unwrap();
        }
        let in_time = events(&json!([[100, long, 1]])).remove(0);
        let error = engine.handle_event(in_time).unwrap_err().to_string();
        assert!(error.contains(&refused), "{error}");
        assert_eq!(engine.progress().late, [2], "{kind}");
    }
}

#[test]
fn a_session_that_was_given_out_is_over() {
    assert_example(
        &window(0, "{ session = 10 }"),
        &[
            (json!([0, "a", 1]), &[]),
            (
                json!([10, "b", 0]),
                &[r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":10,"c":1,"sum":1}"#],
            ),
            // Closer than the gap to an event of a session given out: a new one, [9, 19), which is open.
            (json!([9, "a", 2]), &[]),
        ],
        &[
            r#"{"operator":"w","key":{"k":"a"},"window_start":9,"window_end":19,"c":1,"sum":2}"#,
            r#"{"operator":"w","key":{"k":"b"},"window_start":10,"window_end":20,"c":1,"sum":0}"#,
        ],
        &[0],
    );
}

#[test]
fn length() {
    assert_example(
        &window(0, "{ length = 3 }"),
        &[
            (json!([5, "b", 1]), &[]),
            (json!([6, null, 2]), &[]),
            (json!([7, "b", 4]), &[]),
            // Input order counts, not time: nothing is late.
            (json!([1, "b", 8]), &[r#"{"operator":"w","key":{"k":"b"},"c":3,"sum":13}"#]),
            (json!([8, "b", 16]), &[]),
            (json!([9, "a", 32]), &[]),
            (json!([9, "a", 64]), &[]),
        ],
        // The rest of each key, in the order of the keys: null before strings.
        &[
            r#"{"operator":"w","key":{"k":null},"c":1,"sum":2}"#,
            r#"{"operator":"w","key":{"k":"a"},"c":2,"sum":96}"#,
            r#"{"operator":"w","key":{"k":"b"},"c":1,"sum":16}"#,
        ],
        &[0],
    );
    // A full window leaves no rest.
    assert_example(
        &window(0, "{ length = 1 }"),
        &[(json!([5, "b", 1]), &[r#"{"operator":"w","key":{"k":"b"},"c":1,"sum":1}"#])],
        &[],
        &[0],
    );
}

#[test]
fn no_events_no_results() {
    let operators = r#"
        [[operator]]
        name = "w"
        window = { hopping = { size = 10, every = 5 } }
        compute = { c = "count" }
        [[operator]]
        name = "l"
        window = { length = 2 }
        compute = { c = "count" }
        [[operator]]
        name = "a"
        aggregate = { c = "count" }
        [[operator]]
        name = "p"
        pattern = [{ step = "any" }]"#;
    assert_example(&application(0, operators), &[], &[], &[0, 0, 0, 0]);
    // Nor if there are events, none of which meets the conditions.
    let filtered = operators.replace("name =", "where = [{ field = \"n\", gt = 0 }]\nname =");
    assert_example(&application(0, &filtered), &[(json!([1, "a", 0]), &[]), (json!([100, "a"]), &[])], &[], &[0; 4]);
}

#[test]
fn a_filtered_event_is_not_late_but_moves_the_watermark() {
    let filtered = application(
        0,
        r#"[[operator]]
        name = "w"
        window = { tumbling = 10 }
        where = [{ field = "n", gt = 0 }]
        compute = { c = "count" }"#,
    );
    assert_example(
        &filtered,
        &[
            (json!([5, "a", 1]), &[]),
            // Without a key there is one of no fields.
            (json!([10, "a", 0]), &[r#"{"operator":"w","key":{},"window_start":0,"window_end":10,"c":1}"#]),
            // It would be late, but is filtered before.
            (json!([5, "a", 0]), &[]),
            (json!([5, "a", 1]), &[]),
        ],
        &[],
        &[1],
    );
}

/// Late is judged by the watermark before the event: what the event itself ends, it may still belong to.
#[test]
fn an_event_is_not_late_by_its_own_doing() {
    assert_example(
        &application(
            0,
            r#"[[operator]]
            name = "w"
            window = { hopping = { size = 10, every = 5 } }
            compute = { c = "count" }"#,
        ),
        &[
            (json!([0, "a"]), &[]),
            // No window of it has been closed by the watermark 0 before it. With it the watermark is 100.
            (
                json!([100, "a"]),
                &[
                    r#"{"operator":"w","key":{},"window_start":-5,"window_end":5,"c":1}"#,
                    r#"{"operator":"w","key":{},"window_start":0,"window_end":10,"c":1}"#,
                ],
            ),
        ],
        &[
            r#"{"operator":"w","key":{},"window_start":95,"window_end":105,"c":1}"#,
            r#"{"operator":"w","key":{},"window_start":100,"window_end":110,"c":1}"#,
        ],
        &[0],
    );
}

#[test]
fn the_same_end_for_the_same_events_whatever_the_delay() {
    // With the delay longer than the whole input nothing is late, and all comes at the end, by window end.
    let rows = json!([[25, "a", 1], [3, "b", 2], [14, "a", 4], [3, "a", 8]]);
    let observed = observe(&window(1000, "{ tumbling = 10 }"), &FIELDS, &events(&rows));
    assert_eq!(observed.late, [0]);
    assert!(observed.lines[..4].iter().all(Vec::is_empty));
    assert_eq!(
        observed.lines[4],
        [
            r#"{"operator":"w","key":{"k":"a"},"window_start":0,"window_end":10,"c":1,"sum":8}"#,
            r#"{"operator":"w","key":{"k":"b"},"window_start":0,"window_end":10,"c":1,"sum":2}"#,
            r#"{"operator":"w","key":{"k":"a"},"window_start":10,"window_end":20,"c":1,"sum":4}"#,
            r#"{"operator":"w","key":{"k":"a"},"window_start":20,"window_end":30,"c":1,"sum":1}"#,
        ]
    );
}
