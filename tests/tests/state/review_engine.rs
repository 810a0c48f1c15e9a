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
            let before = engine.holder().size_bytes();
            let event = Event::new(number * 100, vec![number.into(), (number / 3).into(), number.into()]);
            match engine.handle_event(event) {
                Ok(()) => taken += 1,
                Err(error) => {
                    assert!(matches!(error, Error::OverBudget { .. }), "{error}");
                    assert_eq!(engine.holder().size_bytes(), before);
                }
            }
            let size = engine.holder().size_bytes();
            assert!(size <= budget, "{size} of {budget} after {taken}");
        }
        let size = engine.holder().size_bytes();
        assert!(taken == 60 || size + 5_000_000 > budget, "{size} of {budget}: {taken} taken");
    }
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
