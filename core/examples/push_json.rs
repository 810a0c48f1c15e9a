//! Pushes events as JSON into an engine and takes the results as lines, as the npm package does, and prints how long that
//! took at best: the native side of the comparison in `wasm/bench`.
//!
//! The file has a definition as JSON in its first line, and a batch of events, a JSON array, in each that follows.
//!
//! ```sh
//! cargo run --release -p eventflux-core --example push_json -- batches.ndjson 5
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use eventflux_core::definition::{ApplicationDefinition, Document};
use eventflux_core::{Engine, JsonEvents};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(rounds)) = (arguments.next(), arguments.next()) else {
        return Err("give a file of batches and a number of rounds".into());
    };
    let text = std::fs::read_to_string(file)?;
    let mut lines = text.lines();
    let document: Document = serde_json::from_str(lines.next().ok_or("the file is empty")?)?;
    let definition = ApplicationDefinition::from_document(&document)?;
    let batches: Vec<&str> = lines.collect();
    let mut best = Duration::MAX;
    for _ in 0..rounds.parse()? {
        best = best.min(run(&definition, &batches)?);
    }
    println!("{}", best.as_secs_f64() * 1000.0);
    Ok(())
}

/// One run over all batches; how long it took.
fn run(definition: &ApplicationDefinition, batches: &[&str]) -> Result<Duration, Box<dyn Error>> {
    let mut events = JsonEvents::new(&definition.source)?;
    let mut engine = Engine::new(definition, events.fields())?;
    let mut results = Vec::new();
    let start = Instant::now();
    for batch in batches {
        let mut lines = Vec::new();
        for event in events.read(batch)? {
            engine.handle_event(&event)?;
            while let Some(output) = engine.poll_output() {
                output.append_json_line(&mut lines);
            }
        }
        results.push(String::from_utf8(lines)?);
    }
    engine.finish()?;
    let mut lines = Vec::new();
    while let Some(output) = engine.poll_output() {
        output.append_json_line(&mut lines);
    }
    results.push(String::from_utf8(lines)?);
    Ok(start.elapsed())
}
