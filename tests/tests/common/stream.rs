//! Streams of events through an engine, and what came out, as the lines the sink writes.

#![allow(dead_code, reason = "each test file uses a part of it")]

use eventflux_core::definition::{ApplicationDefinition, Document};
use eventflux_core::{Engine, Error, Event, Value};

/// Fields of the worked examples: a key, a number, and a text.
pub const FIELDS: [&str; 3] = ["k", "n", "s"];

/// What a stream came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Lines that each event brought out, and after them those of the end of the source.
    pub lines: Vec<Vec<String>>,
    /// Late events of each operator.
    pub late: Vec<u64>,
    /// For each event, whether it was an error.
    pub refused: Vec<bool>,
}

/// Takes all results out of an engine, as lines without their line feed.
pub fn poll_lines(engine: &mut Engine) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(output) = engine.poll_output() {
        let mut line = Vec::new();
        output.append_json_line(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        lines.push(String::from_utf8(line).unwrap());
    }
    lines
}

/// Takes one event; whether it was an error of the event, and the lines it brought out.
pub fn take(engine: &mut Engine, event: &Event) -> (bool, Vec<String>) {
    let refused = match engine.handle_event(event.clone()) {
        Ok(()) => false,
        Err(Error::Event { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    (refused, poll_lines(engine))
}

/// Runs a definition over events to the end of the source.
pub fn observe(definition: &ApplicationDefinition, fields: &[&str], events: &[Event]) -> Observed {
    let mut engine = Engine::new(definition, fields).unwrap();
    let mut observed = Observed { lines: Vec::new(), late: Vec::new(), refused: Vec::new() };
    for event in events {
        let (refused, lines) = take(&mut engine, event);
        assert!(!refused || lines.is_empty(), "an event that is an error brings nothing out");
        observed.refused.push(refused);
        observed.lines.push(lines);
    }
    engine.finish().unwrap();
    observed.lines.push(poll_lines(&mut engine));
    let progress = engine.progress();
    assert_eq!(progress.events, observed.refused.iter().filter(|refused| !**refused).count() as u64);
    assert_eq!(
        progress.results.iter().sum::<u64>(),
        observed.lines.iter().map(|lines| lines.len() as u64).sum::<u64>()
    );
    observed.late.clone_from(&progress.late);
    observed
}

/// An application of these operators, as TOML, over events with [`FIELDS`].
pub fn application(watermark_delay_ms: i64, operators: &str) -> ApplicationDefinition {
    let text = format!(
        "name = \"example\"\n[source]\nfile = \"-\"\ntimestamp = \"at\"\nwatermark_delay = {watermark_delay_ms}\n{operators}"
    );
    ApplicationDefinition::from_document(&toml::from_str::<Document>(&text).unwrap()).unwrap()
}

/// One value of a worked example, as JSON would have it.
pub fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => (*bool).into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => int.into(),
            None => number.as_f64().unwrap().into(),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        _ => panic!("{json} is no value of a field"),
    }
}

/// Events from rows `[time, k, n, s]`; values left out are null.
pub fn events(rows: &serde_json::Value) -> Vec<Event> {
    let row = |row: &serde_json::Value| {
        let row = row.as_array().unwrap();
        let mut values: Vec<Value> = row[1..].iter().map(value).collect();
        values.resize(FIELDS.len(), Value::Null);
        Event::new(row[0].as_i64().unwrap(), values)
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

/// A worked example: for each row, the lines it brings out; then those of the end of the source, and the late counts.
#[track_caller]
pub fn assert_example(
    definition: &ApplicationDefinition,
    table: &[(serde_json::Value, &[&str])],
    end: &[&str],
    late: &[u64],
) {
    let rows = serde_json::Value::Array(table.iter().map(|(row, _)| row.clone()).collect());
    let observed = observe(definition, &FIELDS, &events(&rows));
    for (at, (row, lines)) in table.iter().enumerate() {
        assert!(!observed.refused[at], "{row} is an error");
        assert_eq!(observed.lines[at], *lines, "after event {at}: {row}");
    }
    assert_eq!(observed.lines[table.len()], end, "at the end of the source");
    assert_eq!(observed.late, late, "late events");
}
