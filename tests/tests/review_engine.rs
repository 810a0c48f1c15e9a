//! An event that is refused leaves no trace.

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
