//! What an engine holds is what its state needs, however long it runs: also if nobody takes checkpoints of it, whatever
//! the order of its events.

use crate::common::stream::{FIELDS, application, poll_lines, take};
use eventflux_core::{Engine, Event, Value};

const PAIR: &str = "[[operator]]\nname = \"p\"\nkey = [\"k\"]\nwithin = \"30d\"\n\
     pattern = [{ step = \"one\", where = [{ field = \"n\", eq = 1 }] }, { step = \"two\", where = [{ field = \"n\", eq = 2 }] }]";

fn event(timestamp: i64, key: i64, n: i64) -> Event {
    Event::new(timestamp, vec![key.into(), n.into(), Value::Null])
}

#[test]
fn keys_that_went_before_any_checkpoint_leave_nothing() {
    let operator = "[[operator]]\nname = \"w\"\nkey = [\"k\"]\nwindow = { tumbling = \"1ms\" }\n\
                    compute = { n = \"count\" }";
    let mut engine = Engine::with_budget(&application(0, operator), &FIELDS, Some(200_000)).unwrap();
    for number in 0..50_000 {
        assert!(!take(&mut engine, &event(number, number, 0)).0, "event {number} is refused");
    }
    assert!(engine.holder().key_count("w").unwrap() <= 2);
}

#[test]
fn matches_that_are_complete_leave_no_timers() {
    let mut engine = Engine::new(&application(0, PAIR), &FIELDS).unwrap();
    let open = 3000;
    for key in 0..open {
        take(&mut engine, &event(key, key, 1));
    }
    for number in 0..20_000 {
        let (time, key) = (10_000 + number, open + number % 7);
        take(&mut engine, &event(time, key, 1));
        assert_eq!(take(&mut engine, &event(time, key, 2)).1.len(), 1);
        assert!(engine.timer_count() < 3 * open as usize, "{} timers", engine.timer_count());
    }
    assert_eq!(engine.holder().key_count("p"), Some(open as usize));

    // What is under way still ends when its time is over, each in turn.
    let month = 30 * 24 * 3_600_000;
    for over in [1, 1500, 2999] {
        take(&mut engine, &event(month + over, -1, 0));
        assert_eq!(engine.holder().key_count("p"), Some((open - over) as usize));
    }
    take(&mut engine, &event(month + 40_000, -1, 0));
    assert_eq!((engine.holder().key_count("p"), engine.timer_count()), (Some(0), 0));
}

#[test]
fn a_session_may_grow_towards_the_past() {
    let operator = "[[operator]]\nname = \"s\"\nkey = []\nwindow = { session = \"1m\" }\n\
                    compute = { n = \"count\", first = \"first n\", last = \"last n\", sum = \"sum n\", different = \"distinct n\" }";
    let mut engine = Engine::new(&application(31 * 24 * 3_600_000, operator), &FIELDS).unwrap();
    // Added anew with each event, they would be decoded half a billion times.
    let events = 30_000;
    for number in 0..events {
        take(&mut engine, &event(1000 * (events - number), 0, number % 100));
    }
    engine.finish().unwrap();
    let lines = poll_lines(&mut engine);
    assert_eq!(lines.len(), 1);
    let result: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    for (name, expected) in [("n", events), ("first", 99), ("last", 0), ("sum", events * 99 / 2), ("different", 100)] {
        assert_eq!(result[name], expected, "{name}");
    }
}
