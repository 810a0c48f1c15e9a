//! Inputs to begin with: what the project itself writes, in the form that each target takes.

use eventflux::{
    Accumulator, AggregationState, CheckpointManager, Compression, ManagerConfig, MemoryBackend, PatternState,
    Retention, StateDescriptor, StateHolder, StateKind, Value, WindowState,
};
use eventflux_core::{BufferedEvent, CheckpointRequest, Event, Function, ObjectId, Progress};

use super::object::{Manifest, Section};
use super::storage::{APPLICATION, ManifestV2, engine_event, new_engine, sample};

/// Seeds of a target.
///
/// # Panics
/// If the code under test fails.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "object" => sample().objects.iter().cloned().chain(engine_objects()).collect(),
        "engine" => engine_objects(),
        "manifest" => manifests(),
        "head" => vec![head()],
        "rows" | "columns" | "packed" => sections(target),
        "schema" => SCHEMAS.iter().map(|(schema, value)| with_length(&[], schema.as_bytes(), value)).collect(),
        "state" => {
            (0..8_u8).map(|seed| (0..400_u32).map(|at| (at * at / 7 + at * u32::from(seed)) as u8).collect()).collect()
        }
        "definition" => vec![APPLICATION.as_bytes().to_vec(), TOML.as_bytes().to_vec()],
        "csv" => {
            let rows = b"at,city,value\r\n1000,Oslo,1.5\n\n2000,\"a \"\"b\"\",\nc\",NA\n2013-01-01T10:00:00Z,,-7\n";
            [0, 8, 16].iter().map(|first| [&[*first], &rows[..]].concat()).chain([gzipped(rows)]).collect()
        }
        "ndjson" => {
            let rows = b"{\"at\":1000,\"city\":\"Oslo\",\"value\":1.5}\n\n{\"value\":null,\"at\":\"2013-01-01T10:00:00+01:00\"}\r\n{\"at\":2,\"city\":\"\\u00e9\"}";
            [0, 8, 16].iter().map(|first| [&[*first], &rows[..]].concat()).chain([gzipped(rows)]).collect()
        }
        "timestamp" => ["2013-01-01T10:00:00Z", "1969-12-31T23:59:59.9995-02:30", "9999-12-31 00:00:00+00"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec(),
        "address" => [
            "file:state",
            "memory:",
            "state/a b",
            "redis://user:secret@127.0.0.1:6379/0?prefix=flights",
            "s3://bucket/prefix",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        _ => vec![],
    }
}

/// Rows in gzip, stored as they are.
fn gzipped(rows: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let len = rows.len() as u16;
    bytes.extend(len.to_le_bytes());
    bytes.extend((!len).to_le_bytes());
    bytes.extend_from_slice(rows);
    let crc = !rows.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    bytes.extend(crc.to_le_bytes());
    bytes.extend(u32::from(len).to_le_bytes());
    bytes
}

const TOML: &str = r#"name = "flights"

[source]
file = "flights.csv.gz"
timestamp = "time_hour"
null = ["", "NA"]
watermark_delay = "24h"

[checkpoint]
storage = "file:state"
interval = "10s"
compression = "none"
max_retained = 3

[[operator]]
name = "hourly"
window = { hopping = { size = "1h", every = "30m" } }
key = ["origin"]
where = [ { field = "dep_delay", ge = 0, lt = 500 }, { field = "origin", in = ["JFK", "EWR"] } ]
compute = { flights = "count", worst = "max dep_delay" }

[[operator]]
name = "twice"
pattern = [ { step = "first", where = [ { field = "dep_delay", null = false } ] },
            { step = "again", next = true, where = [ { field = "dep_delay", gt = { step = "first", field = "dep_delay" } } ] } ]
key = ["tailnum"]
within = "6h"
skip = "none"

[[operator]]
name = "carriers"
aggregate = { flights = "count", mean = "avg air_time" }
key = ["carrier"]
emit = "change"
"#;

const SCHEMAS: [(&str, &[u8]); 6] = [
    (r#"{"postcard":"text"}"#, b"\x03abc"),
    (r#"{"postcard":{"struct":{"a":"u32","b":{"option":"f64"},"c":{"list":"i128"}}}}"#, b"\x07\x00\x02\x01\x02"),
    (r#"{"postcard":{"enum":{"A":{},"B":"char","C":{"tuple":["bool","bytes"]}}}}"#, b"\x02\x01\x02ab"),
    (r#"{"postcard":{"map":{"key":"u8","value":{"type":0}}},"types":{"0":{"list":{"type":0}}}}"#, b"\x01\x05\x01\x00"),
    (r#"{"postcard":{"array":{"of":"unit","length":3}}}"#, b""),
    ("words of its own", b"anything"),
];

/// What the targets of sections take: what to make, the length of the first part, both parts.
fn with_length(head: &[u8], one: &[u8], two: &[u8]) -> Vec<u8> {
    [head, &(one.len() as u16).to_le_bytes(), one, two].concat()
}

fn engine_objects() -> Vec<Vec<u8>> {
    [Compression::None, Compression::Lz4]
        .map(|compression| {
            let mut engine = new_engine();
            engine.handle_events((0..25).map(engine_event)).expect("the events fit");
            while engine.poll_output().is_some() {}
            let progress = Progress { positions: vec![("source".into(), 25)], ..Progress::default() };
            let request = CheckpointRequest { progress, ..CheckpointRequest::default() };
            engine.begin_checkpoint(request).expect("no other is under way");
            let capture = engine.holder_mut().take_capture().expect("it was begun");
            let encoded = capture.into_object(ObjectId { id: 0, generation: 1 }, compression).expect("it fits");
            encoded.bytes().to_vec()
        })
        .to_vec()
}

fn manifests() -> Vec<Vec<u8>> {
    let whole = &sample().objects[2];
    let manifest = Manifest::of(whole);
    let new = [&[2][..], super::object::manifest_bytes(whole)].concat();
    let second = ManifestV2 {
        beginning: (
            manifest.object,
            manifest.parent,
            manifest.created_ms,
            manifest.label.clone(),
            manifest.holder.clone(),
            manifest.key_groups,
        ),
        middle: (manifest.states.clone(), manifest.progress.clone(), manifest.sizes, manifest.objects.clone()),
        bases: manifest.bases.clone(),
        plans: manifest.plans.clone(),
        pages: manifest.pages.clone(),
        deltas: manifest.deltas.clone(),
        credits: (manifest.credit, manifest.reserve),
    };
    let bases: Vec<_> =
        manifest.bases.iter().map(|base| (base.state, base.low, base.high, base.checkpoint, &base.section)).collect();
    let first = (
        (manifest.object, manifest.parent, manifest.created_ms, &manifest.label),
        (&manifest.holder, manifest.key_groups, &manifest.states, &manifest.progress),
        (&manifest.sizes, &manifest.objects, bases, &manifest.pages),
        (&manifest.deltas, manifest.credit, manifest.reserve),
    );
    let with_version = |version: u8, manifest: &[u8]| [&[version], manifest].concat();
    vec![
        new,
        with_version(1, &postcard::to_allocvec(&second).expect("it is encoded")),
        with_version(0, &postcard::to_allocvec(&first).expect("it is encoded")),
    ]
}

fn head() -> Vec<u8> {
    let mut storage = sample().storage.clone();
    let head = eventflux::Backend::read_head(&mut storage).expect("memory is read").expect("it was written");
    head[8..head.len() - 8].to_vec()
}

/// Sections that holders of one state write, in the form a target takes.
fn sections(target: &str) -> Vec<Vec<u8>> {
    let compression = if target == "packed" { Compression::Lz4 } else { Compression::None };
    let is_wanted = |section: &Section| match target {
        "rows" => section.codec == 0,
        "columns" => section.codec == 2,
        _ => section.is_packed(),
    };
    let mut seeds = Vec::new();
    for (number, kind) in
        [StateKind::Values, StateKind::Windows, StateKind::Patterns, StateKind::Aggregations].into_iter().enumerate()
    {
        for keys in [1, 3, 60, 150] {
            for object in objects_of(kind, keys, compression) {
                let manifest = Manifest::of(&object);
                let stored = |section: &Section| section.clone().stored_mut(&mut object.clone()).to_vec();
                // Two bits for the codecs of what is packed: both columns, or both rows.
                let first = |shape: u8, section: &Section| {
                    number as u8 | shape << 2 | if section.codec == 3 { 3 << 6 } else { 0 }
                };
                let is_own = |section: &Section| manifest.objects[section.object as usize] == manifest.object;
                let is_wanted = |section: &Section| is_own(section) && is_wanted(section);
                for base in &manifest.bases {
                    let Some(section) = base.section.as_ref().filter(|section| is_wanted(section)) else { continue };
                    let seed = match base.plan.map(|plan| &manifest.plans[plan as usize]) {
                        Some(plan) => with_length(&[first(2, section)], &stored(plan), &stored(section)),
                        None => with_length(&[first(0, section)], &stored(section), &[]),
                    };
                    seeds.push(seed);
                }
                for delta in manifest.deltas.iter().map(|delta| &delta.section).filter(|section| is_wanted(section)) {
                    seeds.push(with_length(&[first(1, delta)], &stored(delta), &stored(delta)));
                }
            }
        }
    }
    seeds.retain(|seed| seed.len() <= 2048);
    seeds
}

/// Objects of three checkpoints of a holder with one state of a kind.
fn objects_of(kind: StateKind, keys: u32, compression: Compression) -> Vec<Vec<u8>> {
    let mut holder = StateHolder::builder("fuzzed").key_groups(1);
    if kind != StateKind::Values {
        holder = holder.state(StateDescriptor::new("state", kind, 1, "state"));
    }
    let mut holder = holder.build().expect("a holder");
    let config = ManagerConfig { compression, retention: Retention::default() };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).expect("memory opens");
    let mut ids = Vec::new();
    for round in 0..3 {
        for key in (0..keys).filter(|key| round == 0 || key % 3 == round) {
            write(&mut holder, kind, key, round);
        }
        ids.push(manager.checkpoint_with(&mut holder, CheckpointRequest::default()).expect("memory takes it").object);
    }
    ids.iter().map(|id| manager.backend_mut().objects_mut()[&id.name()].clone()).collect()
}

fn write(holder: &mut StateHolder, kind: StateKind, key: u32, round: u32) {
    let bytes = key.to_be_bytes();
    let number = i64::from(key * 7 % 50 + round);
    let text = ["JFK", "EWR", "a text that is too long to lie inline"][key as usize % 3];
    // In no order of the keys; one of the values goes along.
    let sequence = key * 7919 % 997 + 1000 * round;
    let values: Vec<Value> =
        vec![number.into(), (number as f64 / 4.0).into(), text.into(), Value::Null, i64::from(sequence * 5 / 2).into()];
    let buffered = BufferedEvent { sequence: u64::from(sequence), event: Event::new(number * 100, values) };
    match kind {
        StateKind::Values => holder.set(bytes, &(u64::from(key), number as f64, 5_u8)).expect("it fits"),
        StateKind::Windows => {
            let map = holder.windows_mut("state").expect("declared");
            let change = |state: &mut WindowState| {
                state.update(number / 10 * 1000, |window| {
                    window.set_end(number / 10 * 1000 + 1000);
                    window.push_back(buffered);
                    if round == 2 {
                        window.pop_front();
                    }
                });
            };
            map.update(&bytes, WindowState::new, change).expect("it fits");
        }
        StateKind::Patterns => {
            let map = holder.patterns_mut("state").expect("declared");
            let change = |state: &mut PatternState| match round {
                0 if key.is_multiple_of(2) => state.start(buffered).unwrap(),
                1 if !state.partials().is_empty() => state.advance(0, buffered.event),
                2 if !state.partials().is_empty() => drop(state.drop_at(0)),
                _ => state.wait(buffered),
            };
            map.update(&bytes, PatternState::new, change).expect("it fits");
        }
        StateKind::Aggregations => {
            let map = holder.aggregations_mut("state").expect("declared");
            let functions =
                [Function::Sum, Function::Avg, Function::Stddev, Function::First, Function::Distinct, Function::Median];
            let create = || AggregationState::new(functions.map(Accumulator::new).to_vec());
            let change = |state: &mut AggregationState| {
                state.update(|held| {
                    held.iter_mut().for_each(|accumulator| accumulator.add(number, &number.into()).expect("it fits"));
                });
            };
            map.update(&bytes, create, change).expect("it fits");
        }
    }
}
