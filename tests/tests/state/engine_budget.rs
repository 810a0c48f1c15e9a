//! An event that is refused leaves no trace, and a budget holds for operators that open many windows at once.

use eventflux::definition::ApplicationDefinition;
use eventflux_core::{Engine, Error, Event, contents};

fn engine(operators: &str, budget: Option<usize>) -> Engine {
    let definition = format!(
        r#"{{"name":"review","source":{{"file":"-","timestamp":"at"}},"checkpoint":{{"storage":"memory:"}},
        "sink":{{"file":"-"}},"operator":[{operators}]}}"#
    );
    let definition = ApplicationDefinition::from_json(&definition).unwrap();
    Engine::with_budget(&definition, &["at", "id", "value"], budget).unwrap()
}

#[test]
fn a_key_too_long_reaches_no_operator() {
    let operators = r#"{"name":"all","aggregate":{"n":"count"}},
        {"name":"by_id","window":{"tumbling":"1s"},"key":["id"],"compute":{"n":"count"}}"#;
    let mut engine = engine(operators, None);
    let event = |id: &str| Event::new(5, vec![5.into(), id.into(), 1.into()]);
    engine.handle_event(event("a")).unwrap();
    let before = contents(engine.holder()).unwrap();
    let error = engine.handle_event(event(&"x".repeat(70_000))).unwrap_err();
    assert_eq!(contents(engine.holder()).unwrap(), before);
    assert_eq!(engine.progress().events, 1);
    assert!(matches!(&error, Error::Event { operator, field, .. } if operator == "by_id" && field == "id"), "{error}");
    assert!(error.to_string().len() < 500);
    engine.handle_event(event("b")).unwrap();
    engine.finish().unwrap();
    assert_eq!(std::iter::from_fn(|| engine.poll_output()).count(), 3);
}

#[test]
fn a_budget_holds_for_many_windows_an_event() {
    let operators = r#"{"name":"hops","window":{"hopping":{"size":"1h","every":"1s"}},"key":["id"],
        "compute":{"n":"count","mean":"avg value","ids":"distinct value","middle":"median value","high":"max value"}}"#;
    for budget in [100_000, 500_000, 3_000_000, 20_000_000] {
        let mut engine = engine(operators, Some(budget));
        let mut taken = 0;
        for number in 0..60_i64 {
            while engine.poll_output().is_some() {}
            let before = engine.holder().size_bytes();
            let event = Event::new(number * 100, vec![number.into(), (number / 3).into(), number.into()]);
            match engine.handle_event(event) {
                Ok(()) => taken += 1,
                Err(error) => {
                    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
                    // Its time closes windows, with their results; else it leaves no trace.
                    let is_later = engine.poll_output().is_some();
                    assert_eq!(engine.holder().size_bytes() < before, is_later);
                    assert!(is_later || engine.holder().size_bytes() == before);
                }
            }
            let size = engine.holder().size_bytes();
            assert!(size <= budget, "{size} of {budget} after {taken}");
        }
        let size = engine.holder().size_bytes();
        assert!(taken == 60 || size + 5_000_000 > budget, "{size} of {budget}: {taken} taken");
    }
}

/// Time makes room: what the event closes goes before it, with the results that it would have had behind it.
#[test]
fn an_engine_at_its_budget_goes_on_as_windows_close() {
    let operators = r#"{"name":"seconds","window":{"tumbling":"1s"},"key":["id"],"compute":{"n":"count"}},
        {"name":"sessions","window":{"session":"1s"},"key":["id"],"compute":{"n":"count"}},
        {"name":"twice","pattern":[{"step":"a"},{"step":"b"}],"key":["id"],"within":"1s"}"#;
    let budget = 1_500_000;
    let (mut tight, mut free) = (engine(operators, Some(budget)), engine(operators, None));
    let event = |at: i64, id: i64| Event::new(at, vec![at.into(), id.into(), 1.into()]);
    let mut taken = 0;
    for second in 0..6 {
        let first = taken;
        for number in 0.. {
            let event = event(second * 3000 + number % 900, if number % 7 == 0 { first } else { taken });
            match tight.handle_event(&event) {
                Ok(()) => free.handle_event(event).unwrap(),
                Err(error) => {
                    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
                    break;
                }
            }
            taken += 1;
            assert!(tight.holder().size_bytes() <= budget, "{}", tight.holder().size_bytes());
        }
        assert!(taken > first + 500, "{second}: {}", taken - first);
    }
    tight.finish().unwrap();
    free.finish().unwrap();
    let lines = |engine: &mut Engine| {
        let mut lines = Vec::new();
        while let Some(output) = engine.poll_output() {
            output.append_json_line(&mut lines);
        }
        String::from_utf8(lines).unwrap()
    };
    assert_eq!(lines(&mut tight), lines(&mut free));
}

/// A count takes no more room, nor do windows that are over.
#[test]
fn an_engine_at_its_budget_takes_what_needs_no_room() {
    let operators = r#"{"name":"all","aggregate":{"n":"count","high":"max value"},"key":["id"]},
        {"name":"seconds","window":{"tumbling":"1h"},"key":["id"],"compute":{"n":"count"}}"#;
    let mut full = engine(operators, Some(100_000));
    let event = |at: i64, id: i64| Event::new(at, vec![at.into(), id.into(), 1.into()]);
    let keys = (0..).find(|id| full.handle_event(event(*id, *id)).is_err()).unwrap();
    for at in keys..keys + 1000 {
        full.handle_event(event(at, at % keys)).unwrap();
    }
    full.handle_event(event(keys + 1000, keys + 1)).unwrap_err();

    let hops = r#"{"name":"hops","window":{"hopping":{"size":"10s","every":"1ms"}},
        "where":[{"field":"id","eq":1}],"compute":{"n":"count"}}"#;
    let mut late = engine(hops, Some(100_000));
    late.handle_event(event(9_999, 0)).unwrap();
    late.handle_event(event(0, 1)).unwrap();
}

#[test]
fn a_budget_holds_where_lists_of_one_key_double() {
    for operator in [
        r#"{"name":"o","aggregate":{"ids":"distinct value","middle":"median value"}}"#,
        r#"{"name":"o","window":{"length":1000000},"compute":{"ids":"distinct value"}}"#,
        r#"{"name":"o","window":{"tumbling":"1d"},"compute":{"middle":"median value","ids":"distinct at"}}"#,
        r#"{"name":"o","window":{"session":"1h"},"compute":{"sum":"sum value"}}"#,
        r#"{"name":"o","pattern":[{"step":"a"},{"step":"b"}]}"#,
    ] {
        for budget in (0..20).map(|step| 20_000 + step * 7_777) {
            let definition = format!(
                r#"{{"name":"review","source":{{"file":"-","timestamp":"at","watermark_delay":"1h"}},
                "checkpoint":{{"storage":"memory:"}},"sink":{{"file":"-"}},"operator":[{operator}]}}"#
            );
            let definition = ApplicationDefinition::from_json(&definition).unwrap();
            let mut engine = Engine::with_budget(&definition, &["at", "id", "value"], Some(budget)).unwrap();
            let empty = engine.holder().size_bytes();
            let mut taken = 0;
            for number in 0..5_000_i64 {
                let event = Event::new(number, vec![number.into(), "a".into(), number.into()]);
                taken += i32::from(engine.handle_event(event).is_ok());
                let size = engine.holder().size_bytes();
                assert!(size <= budget.max(empty), "{operator}: {size} of {budget} after {taken}");
            }
            let size = engine.holder().size_bytes();
            assert!(taken == 5_000 || empty >= budget || size + 3_000 > budget / 4, "{operator}: {size} of {budget}");
        }
    }
}
