//! The flights application and its input, for benchmarks.

use std::path::{Path, PathBuf};

use eventflux::config;
use eventflux::definition::ApplicationDefinition;
use eventflux::source::{Source, SourceOptions};
use eventflux::{Engine, Event};

/// Parsed flights with the application that takes them.
#[derive(Debug)]
pub struct Flights {
    /// The definition.
    pub definition: ApplicationDefinition,
    /// Names of the fields.
    pub fields: Vec<String>,
    /// The events, in input order.
    pub events: Vec<Event>,
}

impl Flights {
    /// A fresh engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::new(&self.definition, &self.fields).expect("the example is a good definition")
    }
}

/// Folder of the example.
#[must_use]
pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights")
}

/// January, as the example has it.
#[must_use]
pub fn january() -> Flights {
    load(&[example().join("flights-2013-01.csv.gz")])
}

/// January to April 2013, in order: 109,119 departures.
#[must_use]
pub fn four_months() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let month = |number| data.join(format!("flights-2013-0{number}.csv.gz"));
    vec![example().join("flights-2013-01.csv.gz"), month(2), month(3), month(4)]
}

/// The flights of several files, one after the other.
#[must_use]
pub fn load(files: &[PathBuf]) -> Flights {
    let definition = config::load(&example().join("app.toml")).expect("the example is a good definition");
    let (mut fields, mut events) = (Vec::new(), Vec::new());
    for file in files {
        let mut source = Source::open(&SourceOptions {
            file: file.clone(),
            timestamp: definition.source.timestamp.clone(),
            null: definition.source.null.clone(),
            ..SourceOptions::default()
        })
        .expect("the flights are there");
        fields = source.fields().to_vec();
        while let Some(batch) = source.read_batch(1024).expect("the flights are good") {
            events.extend(batch.events);
        }
    }
    Flights { definition, fields, events }
}

/// Runs events through an engine to the end; bytes of the results as JSON lines.
pub fn run(engine: &mut Engine, events: Vec<Event>) -> u64 {
    let mut line = Vec::new();
    let mut bytes = 0;
    for event in events {
        engine.handle_event(event).expect("the flights are good");
        while let Some(output) = engine.poll_output() {
            line.clear();
            output.append_json_line(&mut line);
            bytes += line.len() as u64;
        }
    }
    engine.finish().expect("nothing is in the way");
    while let Some(output) = engine.poll_output() {
        line.clear();
        output.append_json_line(&mut line);
        bytes += line.len() as u64;
    }
    bytes
}
