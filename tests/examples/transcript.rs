//! What this machine reads and writes, as lines: to be compared with those of another.
//!
//! ```sh
//! cargo run -p eventflux-tests --example transcript
//! ```
//!
//! `tests/wasm32` compares them with the lines that 32 bits and a single thread give. It is of no account what the
//! bytes are: a change of the format changes them in both.

#[path = "../tests/common/checkpoints.rs"]
mod checkpoints;
#[path = "../tests/common/contents.rs"]
mod contents;
#[path = "../tests/common/storages.rs"]
mod storages;
#[path = "../tests/common/stream.rs"]
mod stream;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoints::{Action, Session};
use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{
    Backend, CheckpointRequest, Compression, Event, FORMAT_VERSION, MemoryBackend, OpenWriter, Publish, ReadHead,
    ReadManifest, Restore, RestoreOptions, Retention, Selector, StateHolder, StepProgress, Value, Verify, drive,
};
use storages::{Points, of_engine, of_holder};

type Make = fn(&mut dyn Backend) -> Points;
/// The storages of each version, and what makes them.
const STORAGES: [(&str, Make); 2] = [("holder", of_holder), ("engine", of_engine)];
/// Random applications with random streams and cuts.
const CASES: usize = 300;

fn main() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let newest_version = format!("v{FORMAT_VERSION}b");
    for version in (1..=FORMAT_VERSION).map(|version| format!("v{version}")).chain([newest_version.clone()]) {
        // The newest has none while it is being made; `tests/tests/state/golden.rs` insists on them.
        if !golden.join(&version).join("holder/head").exists() {
            println!("golden {version}: not there");
            continue;
        }
        for (name, _) in STORAGES {
            read_golden(&format!("golden {version} {name}"), &golden.join(&version).join(name));
        }
    }
    let newest = golden.join(newest_version);
    for (name, make) in STORAGES {
        write_golden(name, make, &newest.join(name));
    }
    random_applications();
    many_keys();
    plain_values();
}

fn hash(bytes: impl AsRef<[u8]>) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes.as_ref()))
}

/// What a release wrote, and what this one finds in it.
fn read_golden(title: &str, directory: &Path) {
    let read = |file: &str| {
        fs::read(directory.join(file)).unwrap_or_else(|error| panic!("{}, {file}: {error}", directory.display()))
    };
    let mut storage = MemoryBackend::new();
    storage.swap_head(None, &read("head")).unwrap();
    let head = drive(ReadHead::new(), &mut storage).unwrap().unwrap();
    // By name, without listing the directory: Node's WASI does that wrong (nodejs/node#47193).
    for entry in &head.entries {
        let object = entry.object.name();
        storage.put(&object, &read(&format!("objects/{object}"))).unwrap();
    }
    for entry in &head.entries {
        let manifest = drive(ReadManifest::new(entry.object), &mut storage).unwrap();
        let mut holder = StateHolder::for_manifest(&manifest).unwrap();
        let restore = Restore::new(&mut holder, Selector::Id(entry.object.id), RestoreOptions::default());
        let restored = drive(restore, &mut storage).unwrap();
        let said = contents::manifest_to_json(&restored.manifest).to_string();
        let held = contents::contents(&holder).to_string();
        println!("{title} {}: manifest {}, states {}", entry.object.id, hash(said), hash(held));
    }
    let report = drive(Verify::new(), &mut storage).unwrap();
    println!("{title}: {} findings", report.findings.len());
}

/// The same storage once more: each file, and whether it is the golden one.
fn write_golden(name: &str, make: fn(&mut dyn Backend) -> Points, golden: &Path) {
    let mut storage = MemoryBackend::new();
    make(&mut storage);
    let head = storage.read_head().unwrap().unwrap();
    let objects = storage.objects_mut().iter().map(|(object, bytes)| (format!("objects/{object}"), bytes));
    for (file, bytes) in objects.chain([("head".into(), &head)]) {
        let path: PathBuf = golden.join(&file);
        let same =
            fs::read(path).map_or("not there", |golden| if golden == *bytes { "the same" } else { "other bytes" });
        println!("written {name} {file}: {} bytes, {}; golden: {same}", bytes.len(), hash(bytes));
    }
}

/// Operators, with places for numbers. Not those of the property tests: proptest does not make the same on 32 bits.
const OPERATORS: [&str; 8] = [
    "window = { tumbling = # }\nkey = [\"k\"]\ncompute = { n = \"count\", a = \"avg n\", d = \"stddev n\", m = \"median n\" }",
    "window = { hopping = { size = #0, every = # } }\nkey = [\"s\"]\ncompute = { x = \"max n\", f = \"first s\", l = \"last n\" }",
    "window = { session = # }\nkey = [\"k\", \"s\"]\ncompute = { n = \"count\", s = \"distinct s\", t = \"min n\" }",
    "window = { length = # }\ncompute = { s = \"distinct k\", m = \"median n\" }",
    "window = { session = # }\ncompute = { n = \"count n\" }\nwhere = [{ field = \"n\", ge = # }]",
    "pattern = [{ step = \"a\", where = [{ field = \"n\", lt = # }] }, { step = \"b\", where = [{ field = \"n\", gt = { step = \"a\", field = \"n\" } }] }]\nwithin = #0\nkey = [\"k\"]",
    "pattern = [{ step = \"a\" }, { step = \"b\", next = true, where = [{ field = \"s\", eq = { step = \"a\", field = \"s\" } }] }]\nwithin = #\nskip = \"none\"",
    "aggregate = { n = \"count\", a = \"avg n\", d = \"stddev n\", m = \"median n\", x = \"max s\", f = \"first n\" }\nkey = [\"k\"]\nemit = \"change\"",
];

fn random_applications() {
    let mut random = Random(3);
    for case in 0..CASES {
        let mut operators = String::new();
        for number in 0..=random.below(3) {
            operators.push_str(&format!("[[operator]]\nname = \"o{number}\"\n"));
            for part in OPERATORS[random.below(8) as usize].split_inclusive('#') {
                operators.push_str(&part.replace('#', &(1 + random.below(9)).to_string()));
            }
            operators.push('\n');
        }
        let mut application = stream::application(random.below(12), &operators);
        application.checkpoint.compression = if case % 2 == 0 { Compression::Lz4 } else { Compression::None };
        let (mut events, mut programme, mut now) = (Vec::new(), Vec::new(), 0);
        for _ in 0..random.below(120) {
            now += random.below(4);
            let values = vec![random.key(), random.number(), random.text()];
            events.push(Event::new(now - random.below(8), values));
            if random.below(5) == 0 {
                programme.push(Action::Cut { budget: random.below(900) as usize, abort_after: None });
            }
            programme.push(Action::Event);
        }
        println!("random application {case}: {}", run(&application, &stream::FIELDS, &programme, &events));
    }
}

/// Runs a programme, with a restart after every third checkpoint; what came of it.
fn run(application: &ApplicationDefinition, fields: &[&str], programme: &[Action], events: &[Event]) -> String {
    let restarts: BTreeSet<usize> = (0..programme.len()).step_by(3).collect();
    let outcome = Session::new(application, fields, 2).run(programme, events, restarts);
    let lines = outcome.lines.concat().join("\n");
    let objects: Vec<u8> = outcome.objects.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    let (count, restarts) = (outcome.objects.len(), outcome.restarts);
    format!(
        "output {}, {count} checkpoints with {restarts} restarts, {} bytes, {}",
        hash(lines),
        objects.len(),
        hash(&objects)
    )
}

/// Enough keys that pages of entries split and that LZ4 has blocks to fill.
fn many_keys() {
    let application = stream::application(
        30,
        r#"
        [[operator]]
        name = "groups"
        aggregate = { n = "count", mean = "avg n", spread = "stddev n", middle = "median n", last = "last s" }
        key = ["k"]
        [[operator]]
        name = "windows"
        window = { hopping = { size = 40, every = 20 } }
        compute = { n = "count", worst = "max n", texts = "distinct s" }
        key = ["s"]
        [[operator]]
        name = "rising"
        pattern = [{ step = "low", where = [{ field = "n", lt = 20 }] },
                   { step = "high", where = [{ field = "n", gt = { step = "low", field = "n" } }] }]
        within = 100
        key = ["s"]
        "#,
    );
    let mut random = Random(1);
    let event = |at: i64| {
        let text = format!("a text of some length, number {}", random.below(300));
        Event::new(at / 4 - random.below(20), vec![random.below(9000).into(), random.number(), text.as_str().into()])
    };
    let events: Vec<Event> = (0..12_000).map(event).collect();
    let mut programme = Vec::new();
    for at in 0..events.len() {
        if at % 300 == 0 {
            programme.push(Action::Cut { budget: 5000, abort_after: None });
        }
        programme.push(Action::Event);
    }
    println!("many keys: {}", run(&application, &stream::FIELDS, &programme, &events));
}

/// Numbers that are the same on all machines.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound) as i64
    }

    fn number(&mut self) -> Value {
        match self.below(8) {
            0 => Value::Null,
            1 | 2 => Value::from(self.below(1 << 30) as f64 / 1000.0),
            3 => Value::from(self.below(1 << 31) << self.below(30)),
            4 => Value::from(1.0 / self.below(5) as f64),
            _ => Value::from(self.below(12)),
        }
    }

    fn text(&mut self) -> Value {
        if self.below(9) == 0 {
            Value::Null
        } else {
            Value::from(["a", "ß", "a longer text than fits in place", ""][self.below(4) as usize])
        }
    }

    fn key(&mut self) -> Value {
        match self.below(4) {
            0 => self.number(),
            1 => self.text(),
            _ => Value::from(self.below(5)),
        }
    }
}

/// Plain values of all lengths, with the schema of their type; and what tools show of them.
fn plain_values() {
    type Plain = (usize, i128, Option<f64>, Vec<isize>, String);
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut holder = StateHolder::builder("plain").key_groups(16).values_of::<Plain>(1).build().unwrap();
    let mut random = Random(7);
    for checkpoint in 0..40 {
        for _ in 0..400 {
            let key = format!("key {}", random.below(5000));
            if random.below(10) == 0 {
                holder.remove(&key).unwrap();
                continue;
            }
            let number = random.below(1 << 31);
            let value: Plain = (
                number as usize,
                i128::from(number) << random.below(90),
                (number % 3 > 0).then(|| number as f64 / 7.0),
                (0..random.below(30)).map(|item| item as isize - 9).collect(),
                "text ".repeat(random.below(20) as usize),
            );
            holder.set(&key, &value).unwrap();
        }
        holder.begin(CheckpointRequest { created_ms: checkpoint, ..Default::default() }).unwrap();
        while holder.step(3000).unwrap() == StepProgress::More {}
        let capture = holder.take_capture().unwrap();
        let mut encoded = capture.into_object(writer.next_object(), Compression::Lz4).unwrap();
        println!("plain values {checkpoint}: {} bytes, {}", encoded.bytes().len(), hash(encoded.bytes()));
        let retention = Retention { max_retained: 5 };
        drive(Publish::new(&mut writer, &mut encoded, retention).unwrap(), &mut storage).unwrap();
        holder.commit(&encoded).unwrap();
    }
    for state in eventflux_core::contents(&holder).unwrap() {
        let rows: Vec<String> = state.rows.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        println!("plain values: {}, {} rows, {}", state.descriptor.description, rows.len(), hash(rows.join("\n")));
    }
}
