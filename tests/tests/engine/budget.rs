//! A budget refuses events. What it takes gives the same results in the same order as without one, though at its budget an
//! engine closes windows before an event instead of behind it.

use eventflux_core::{Engine, Error, Event};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::common::generate::{FIELDS, any_application, any_events, cases};
use crate::common::stream::{application, poll_lines};

/// Takes events, until the first is refused for want of room.
fn assert_same(free: &mut Engine, bounded: &mut Engine, events: &[Event]) -> Result<(), TestCaseError> {
    for event in events {
        let taken = free.handle_event(event);
        match bounded.handle_event(event) {
            Err(Error::OverBudget { .. }) => return Ok(()),
            other => prop_assert_eq!(other, taken),
        }
        prop_assert_eq!(poll_lines(bounded), poll_lines(free));
    }
    bounded.finish().unwrap();
    free.finish().unwrap();
    prop_assert_eq!(poll_lines(bounded), poll_lines(free));
    Ok(())
}

#[test]
fn a_budget_does_not_show_in_what_is_taken() {
    let mut runner = TestRunner::new(cases(400));
    runner
        .run(&(any_application(), any_events(120)), |(application, events)| {
            let engine = |budget| Engine::with_budget(&application.0, &FIELDS, budget).unwrap();
            let mut free = engine(None);
            let largest = events.0.iter().map(|event| {
                // What cannot be taken for another reason is not of interest here.
                drop(free.handle_event(event));
                free.holder().size_bytes()
            });
            let largest = largest.max().unwrap_or_default();
            for more in (0..12).map(|step| step * 200) {
                assert_same(&mut engine(None), &mut engine(Some(largest + more)), &events.0)?;
            }
            Ok(())
        })
        .unwrap();
}

/// What an event gives at once comes before what its time closes, and what it completes in the order of the definition.
#[test]
fn what_makes_room_for_an_event_comes_behind_it() {
    let window = r#"[[operator]]
        name = "w"
        key = ["k"]
        window = { tumbling = "1s" }
        compute = { n = "count" }
        "#;
    let change = r#"[[operator]]
        name = "c"
        aggregate = { n = "count" }
        emit = "change"
        "#;
    let length = r#"[[operator]]
        name = "l"
        window = { length = 1 }
        compute = { n = "count" }
        "#;
    let pattern = r#"[[operator]]
        name = "p"
        pattern = [{ step = "one", where = [{ field = "n", eq = 7 }] }]
        "#;
    let fields = ["at", "k", "n"];
    let event = |at: i64, k: &str, n: i64| Event::new(at, vec![at.into(), k.into(), n.into()]);
    for ((delay, operators), more) in [
        (0, [window, change].concat()),
        (0, [change, window].concat()),
        (500, [window, change].concat()),
        (0, [window, length].concat()),
        (500, [pattern, window].concat()),
        (0, [pattern, window].concat()),
        (0, [window, pattern, change].concat()),
        (0, [window, pattern, window.replace("\"w\"", "\"v\"").as_str(), change].concat()),
    ]
    .into_iter()
    .flat_map(|case| [(case.clone(), 0), (case, 1)])
    {
        let definition = application(delay, &operators);
        let budget = 400_000;
        let mut bounded = Engine::with_budget(&definition, &fields, Some(budget)).unwrap();
        let mut free = Engine::new(&definition, &fields).unwrap();
        let full = (0..).find(|number| bounded.handle_event(event(5, &number.to_string(), 0)).is_err()).unwrap();
        (0..full).for_each(|number| free.handle_event(event(5, &number.to_string(), 0)).unwrap());
        assert_eq!(poll_lines(&mut bounded), poll_lines(&mut free));
        for (at, k) in [(1000 + more + delay, "new"), (2000 + more + delay, "newer")] {
            bounded.handle_event(event(at, k, 7)).unwrap_or_else(|error| panic!("{operators}: {error}"));
            free.handle_event(event(at, k, 7)).unwrap();
            let given = poll_lines(&mut free);
            assert!(given.len() > 1 || at >= 2000, "{operators}: {given:?}");
            assert_eq!(poll_lines(&mut bounded), given, "{operators}, at {at}");
        }
    }
}

/// One that cannot be taken in any case lets no time pass.
#[test]
fn an_event_that_has_no_room_in_an_empty_state_changes_nothing() {
    let definition = application(
        0,
        r#"[[operator]]
        name = "w"
        key = ["k"]
        window = { tumbling = "1s" }
        compute = { n = "count" }
        "#,
    );
    let fields = ["at", "k", "n"];
    let empty = Engine::new(&definition, &fields).unwrap().holder().size_bytes();
    let mut engine = Engine::with_budget(&definition, &fields, Some(empty + 50_000)).unwrap();
    let event = |at: i64, k: &str| Event::new(at, vec![at.into(), k.into(), 1.into()]);
    engine.handle_event(event(10, "a")).unwrap();
    let refused = engine.handle_event(event(1_000_000_000_000, &"x".repeat(60_000))).unwrap_err();
    assert!(matches!(refused, Error::OverBudget { .. }), "{refused}");
    assert_eq!((poll_lines(&mut engine), engine.watermark_ms()), (Vec::new(), Some(10)));
    engine.handle_event(event(20, "a")).unwrap();
    engine.finish().unwrap();
    let counted: serde_json::Value = serde_json::from_str(&poll_lines(&mut engine)[0]).unwrap();
    assert_eq!(counted["n"], json!(2));
}

/// A `length` window and a session that are open need no more room than they do.
#[test]
fn an_engine_at_its_budget_fills_windows_that_are_open() {
    for kind in ["length = 100", "session = \"1h\""] {
        let operators = format!(
            "[[operator]]\nname = \"w\"\nkey = [\"k\"]\nwindow = {{ {kind} }}\ncompute = {{ n = \"count\" }}\n"
        );
        let definition = application(0, &operators);
        let mut engine = Engine::with_budget(&definition, &["at", "k", "n"], Some(100_000)).unwrap();
        let event = |at: i64, k: i64| Event::new(at, vec![at.into(), k.to_string().as_str().into(), 1.into()]);
        let keys = (0..).find(|key| engine.handle_event(event(0, *key)).is_err()).unwrap();
        for number in 0..keys * 10 {
            // A session keeps the times of its events, which take room.
            let at_budget = engine.handle_event(event(0, number % keys)).is_err();
            assert!(!at_budget || kind != "length = 100" && number >= keys, "{kind}, {number} of {keys}");
        }
        assert!((1..200).any(|key| engine.handle_event(event(0, -key)).is_err()), "it is at its budget");
        assert!(engine.holder().size_bytes() <= 100_000);
    }
}
