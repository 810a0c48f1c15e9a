//! Definitions of applications and addresses of storages.

use std::path::Path;

use eventflux::definition::{
    ApplicationDefinition, Condition, Operand, OperatorDefinition, OperatorKind, Test, WindowKind,
};
use eventflux::storage::StorageAddress;
use eventflux::{Engine, Event, Value, config};

use super::memory::bounded;

/// A definition takes a few times its text; that is read twice to find the line of an error.
const DEFINITION_PER_BYTE: usize = 4096;
/// Fields of the source that the operators of a definition see.
const FIELDS_MAX: usize = 64;

/// JSON if it begins with a brace, else TOML.
pub fn definition(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = bounded(input.len(), DEFINITION_PER_BYTE, || {
        if text.trim_start().starts_with('{') {
            ApplicationDefinition::from_json(text).map_err(|error| error.to_string())
        } else {
            config::parse(text, "app.toml").map_err(|error| error.to_string())
        }
    });
    match read {
        Ok(definition) => {
            definition.check().expect("what was read obeys the rules");
            assert_canonical(&definition);
            run(&definition);
        }
        Err(error) => assert!(!error.is_empty()),
    }
}

/// The canonical text of each operator is a definition of the same operator, with the same text.
fn assert_canonical(definition: &ApplicationDefinition) {
    let operators: Vec<String> = definition.operators.iter().map(OperatorDefinition::to_canonical_json).collect();
    let text = format!(
        r#"{{"name":"again","source":{{"file":"-","timestamp":{}}},"operator":[{}]}}"#,
        serde_json::Value::from(definition.source.timestamp.as_str()),
        operators.join(",")
    );
    let again = ApplicationDefinition::from_json(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.operators, definition.operators, "{text}");
    let texts: Vec<String> = again.operators.iter().map(OperatorDefinition::to_canonical_json).collect();
    assert_eq!(texts, operators);
}

/// An engine of it takes some events, and gives out lines of JSON.
fn run(definition: &ApplicationDefinition) {
    let mut fields: Vec<&str> = vec![&definition.source.timestamp];
    for operator in &definition.operators {
        fields.extend(fields_of(operator));
        // Thousands of windows for each event are not what is tried here.
        if let OperatorKind::Window { window: WindowKind::Hopping { size_ms, every_ms }, .. } = operator.kind
            && size_ms / every_ms > 100
        {
            return;
        }
    }
    let fields = definition.source.fields.as_ref().map_or(fields, |fields| fields.iter().map(String::as_str).collect());
    let mut names: Vec<&str> = Vec::new();
    fields.into_iter().take(FIELDS_MAX).for_each(|field| {
        if !names.contains(&field) {
            names.push(field);
        }
    });
    let Ok(mut engine) = Engine::new(definition, &names) else { return };
    let values: [Value; 6] = [Value::Null, true.into(), 7.into(), 0.5.into(), "JFK".into(), (-3).into()];
    for number in 0..12_usize {
        let values = (0..names.len()).map(|field| values[(field * number + number) % values.len()].clone()).collect();
        let time = [0, 500, 500, 90_000, 3_600_000, 100_000_000][number % 6] + number as i64;
        if engine.handle_event(Event::new(time, values)).is_err() {
            return;
        }
    }
    let _ = engine.finish();
    while let Some(output) = engine.poll_output() {
        let mut line = Vec::new();
        output.append_json_line(&mut line);
        assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok_and(|line| line.is_object()));
    }
}

fn fields_of(operator: &OperatorDefinition) -> Vec<&str> {
    let mut fields: Vec<&str> = operator.key.iter().map(String::as_str).collect();
    match &operator.kind {
        OperatorKind::Window { compute, .. } | OperatorKind::Aggregation { compute, .. } => {
            fields.extend(compute.iter().filter_map(|compute| compute.field.as_deref()));
        }
        OperatorKind::Pattern { steps, .. } => {
            fields.extend(steps.iter().flat_map(|step| &step.conditions).flat_map(fields_of_condition));
        }
        // It says which it wants once it runs; here none does.
        OperatorKind::Plugin(_) => {}
    }
    fields.extend(operator.filter.iter().flat_map(fields_of_condition));
    fields
}

fn fields_of_condition(condition: &Condition) -> impl Iterator<Item = &str> {
    let other = match &condition.test {
        Test::Compare { operand: Operand::Step { field, .. }, .. } => Some(field.as_str()),
        _ => None,
    };
    [condition.field.as_str()].into_iter().chain(other)
}

/// An address that is understood says itself again.
pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let base = Path::new("/nowhere");
    let read = bounded(input.len(), 1024, || StorageAddress::parse(text, base));
    match read {
        Ok(address) => {
            let said = address.to_string();
            let again = StorageAddress::parse(&said, base);
            if matches!(address, StorageAddress::File(_) | StorageAddress::Memory) {
                let again = again.unwrap_or_else(|error| panic!("{said}: {error}"));
                assert_eq!(again, address, "{said}");
            } else if let Ok(again) = again {
                // A password is left out, and what people read has no escapes.
                assert_eq!(again.to_string(), said);
            }
        }
        Err(error) => assert!(error.to_string().contains("storage"), "{error}"),
    }
}
