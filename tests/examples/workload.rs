//! A random workload and what comes of it here, as JSON: other homes do the same and compare.
//!
//! ```sh
//! cargo run -p eventflux-tests --example workload > workload.json
//! ```
//!
//! `wasm/test` runs it in Node and in a browser, and compares each checkpoint, the head, and the output, by SHA-256.

use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{
    Backend, CheckpointRequest, Compression, Engine, JsonEvents, JsonValue, MemoryBackend, OpenWriter, Progress,
    Publish, Restore, RestoreOptions, Retention, Selector, StateHolder, StepProgress, Writer, drive,
};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

const RETENTION: Retention = Retention { max_retained: 7 };
const FIELDS: [&str; 4] = ["at", "k", "n", "s"];
const DEFINITION: &str = r#"{
  "name": "workload",
  "source": { "file": "-", "timestamp": "at", "null": ["", "NA"], "watermark_delay": 30, "fields": ["at", "k", "n", "s"] },
  "operator": [
    { "name": "groups", "key": ["k"], "emit": "change",
      "aggregate": { "n": "count", "mean": "avg n", "spread": "stddev n", "middle": "median n", "last": "last s" } },
    { "name": "windows", "key": ["s"], "window": { "hopping": { "size": 40, "every": 20 } },
      "compute": { "n": "count", "worst": "max n", "texts": "distinct s" } },
    { "name": "sessions", "key": ["k"], "window": { "session": 9 }, "compute": { "n": "count", "total": "sum n" } },
    { "name": "rising", "key": ["s"], "within": 100,
      "pattern": [{ "step": "low", "where": [{ "field": "n", "lt": 20 }] },
                  { "step": "high", "where": [{ "field": "n", "gt": { "step": "low", "field": "n" } }] }] }
  ]
}"#;

fn main() {
    let workload = json!({
        "retained": RETENTION.max_retained,
        "plain": [plain(Compression::Lz4, "lz4", 1), plain(Compression::None, "none", 2)],
        "engine": engine(),
    });
    println!("{workload}");
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes a checkpoint of what was begun; its bytes' hash.
fn publish(
    holder: &mut StateHolder,
    writer: &mut Writer,
    storage: &mut MemoryBackend,
    compression: Compression,
) -> String {
    while holder.step(64 * 1024).unwrap() == StepProgress::More {}
    let capture = holder.take_capture().unwrap();
    let mut encoded = capture.into_object(writer.next_object(), compression).unwrap();
    let hash = sha256(encoded.bytes());
    drive(Publish::new(writer, &mut encoded, RETENTION).unwrap(), storage).unwrap();
    holder.commit(&encoded).unwrap();
    hash
}

/// Keyed values: written, removed, gone back to, gone on from.
fn plain(compression: Compression, name: &str, seed: u64) -> Json {
    let (mut random, mut steps) = (Random(seed), Vec::new());
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let declare = || StateHolder::builder("plain").values_of::<JsonValue>(JsonValue::VERSION).build().unwrap();
    let mut holder = declare();
    for checkpoint in 0..60 {
        for _ in 0..random.below(400) {
            let key = format!("key/{}", random.below(900));
            if random.below(6) == 0 {
                holder.remove(&key).unwrap();
                steps.push(json!(["remove", key]));
                continue;
            }
            let value = random.value(3);
            holder.set(&key, &JsonValue::from_json(&value.to_string()).unwrap()).unwrap();
            steps.push(json!(["set", key, value]));
        }
        if random.below(9) == 0 {
            let latest = writer.head().latest;
            let entries = &writer.head().entries;
            if let Some(id) = latest.map(|_| entries[random.below(entries.len() as u64) as usize].object.id) {
                holder = declare();
                drive(Restore::new(&mut holder, Selector::Id(id), RestoreOptions::default()), &mut storage).unwrap();
                writer.hold(id);
                steps.push(json!(["restore", id]));
            }
        }
        let time = 1_700_000_000_000 + checkpoint * 1000;
        let label = (checkpoint % 20 == 3).then(|| format!("savepoint {checkpoint}"));
        let progress = Progress { positions: vec![("p0".into(), checkpoint as u64)], ..Progress::default() };
        holder.begin(CheckpointRequest { created_ms: time, label: label.clone(), progress }).unwrap();
        let hash = publish(&mut holder, &mut writer, &mut storage, compression);
        steps.push(json!(["checkpoint", time, label, { "p0": checkpoint }, hash]));
    }
    let keys = holder.values().len();
    json!({ "compression": name, "steps": steps, "keys": keys, "head": sha256(&storage.read_head().unwrap().unwrap()) })
}

/// An engine with each kind of state.
fn engine() -> Json {
    let (mut random, mut steps, mut output) = (Random(5), Vec::new(), Vec::new());
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let definition = ApplicationDefinition::from_json(DEFINITION).unwrap();
    let mut reader = JsonEvents::new(&definition.source).unwrap();
    let mut engine = Engine::new(&definition, &FIELDS).unwrap();
    let mut now = 0;
    for checkpoint in 0..30 {
        let mut batch = Vec::new();
        for _ in 0..random.below(300) {
            now += random.below(3);
            let (key, text) =
                (random.below(60), ["a", "ß", "a longer text than fits in place", ""][random.below(4) as usize]);
            let number = if random.below(3) == 0 { json!(random.fraction()) } else { json!(random.below(40)) };
            batch.push(json!({ "at": now - random.below(20), "k": key, "n": number, "s": text }));
        }
        let batch = Json::Array(batch);
        for event in reader.read(&batch.to_string()).unwrap() {
            engine.handle_event(&event).unwrap();
            take_lines(&mut engine, &mut output);
        }
        steps.push(json!(["push", batch]));
        let created_ms = 1_700_000_000_000 + checkpoint * 1000;
        let progress = Progress { outputs: vec![("out".into(), output.len() as u64)], ..Progress::default() };
        engine.begin_checkpoint(CheckpointRequest { created_ms, label: None, progress }).unwrap();
        let hash = publish(engine.holder_mut(), &mut writer, &mut storage, Compression::Lz4);
        steps.push(json!(["checkpoint", created_ms, output.len(), hash]));
    }
    engine.finish().unwrap();
    take_lines(&mut engine, &mut output);
    let definition: Json = serde_json::from_str(DEFINITION).unwrap();
    let head = sha256(&storage.read_head().unwrap().unwrap());
    json!({ "definition": definition, "text": DEFINITION, "steps": steps, "output": sha256(&output), "head": head })
}

fn take_lines(engine: &mut Engine, output: &mut Vec<u8>) {
    while let Some(result) = engine.poll_output() {
        result.append_json_line(output);
    }
}

/// Numbers that are the same on all machines.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound) as i64
    }

    /// A number that JavaScript writes with a fraction, as we do: else it would come back as an integer.
    fn fraction(&mut self) -> f64 {
        self.below(1 << 30) as f64 + 0.125 * (1 + self.below(7)) as f64
    }

    /// A value like those that programs keep.
    fn value(&mut self, depth: u32) -> Json {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Json::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.below(1 << 31) << self.below(20)),
            3 => json!(-self.below(1000)),
            4 => json!(self.fraction()),
            5 => json!(["", "a", "größer", "line\nbreak \"quoted\" \u{1F600}"][self.below(4) as usize]),
            6 => (0..self.below(5)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let names = ["n", "sum", "name", "a longer member"];
                let members = (0..self.below(4)).map(|at| (names[at as usize].to_owned(), self.value(depth - 1)));
                Json::Object(members.collect())
            }
        }
    }
}
