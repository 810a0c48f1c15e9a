//! Two small storages that hold one of everything the byte format has, made from the same inputs
//! each time, byte for byte: one of a plain holder, one of an engine.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{
    Accumulator, AggregationState, Backend, BufferedEvent, CheckpointRequest, Compression, EncodedCheckpoint, Engine,
    Event, Function, Manifest, OpenWriter, PatternState, Progress, Publish, ReadManifest, Republish, Restore,
    RestoreOptions, RestoredCheckpoint, Retention, Selector, StateDescriptor, StateHolder, StateKind, Value,
    WindowState, Writer, drive,
};
use serde_json::Value as Json;

use super::contents::{contents, manifest_to_json, point};

/// What each checkpoint holds, by its number, as the program saw it when it cut.
pub type Points = BTreeMap<u64, Json>;

const FUNCTIONS: [Function; 10] = [
    Function::Count,
    Function::Sum,
    Function::Min,
    Function::Max,
    Function::Avg,
    Function::Stddev,
    Function::First,
    Function::Last,
    Function::Distinct,
    Function::Median,
];

/// Checkpoints taken of the plain holder by its first writer.
const CHECKPOINTS: u64 = 17;
/// Keys that weigh, so that compaction takes some checkpoints to come round.
const BULK_KEYS: u8 = 18;
/// Fields of the engine's stream.
const FIELDS: [&str; 4] = ["at", "key", "number", "any"];
const APPLICATION: &str = include_str!("../../golden/application.json");

/// A storage under construction, with what its checkpoints hold.
pub struct Recorder<'b> {
    backend: &'b mut dyn Backend,
    writer: Writer,
    compression: Compression,
    pub points: Points,
}

impl<'b> Recorder<'b> {
    pub fn open(backend: &'b mut dyn Backend, compression: Compression, points: Points) -> Self {
        let writer = drive(OpenWriter::new(), backend).unwrap();
        Recorder { backend, writer, compression, points }
    }

    /// A writer after this one.
    pub fn next_writer(self, compression: Compression) -> Self {
        Self::open(self.backend, compression, self.points)
    }

    fn created_ms(&self) -> i64 {
        1_700_000_000_000 + 1000 * self.writer.next_object().id as i64
    }

    pub fn checkpoint(&mut self, holder: &mut StateHolder, label: Option<&str>) {
        let id = self.writer.next_object().id;
        let progress = Progress {
            positions: vec![("source.line".into(), id), ("source.offset".into(), id << 40)],
            outputs: vec![("output.length".into(), 100 * id)],
            watermarks: vec![("a".into(), i64::MIN), ("b".into(), -(id as i64)), ("c".into(), i64::MAX)],
            engine: None,
        };
        let (created_ms, label) = (self.created_ms(), label.map(Into::into));
        holder.begin(CheckpointRequest { created_ms, label, progress }).unwrap();
        self.publish_cut(holder);
    }

    fn publish_cut(&mut self, holder: &mut StateHolder) {
        let capture = holder.take_capture().unwrap();
        let encoded = capture.into_object(self.writer.next_object(), self.compression).unwrap();
        let held = contents(holder);
        holder.commit(&self.publish(encoded, held)).unwrap();
    }

    fn publish(&mut self, mut encoded: EncodedCheckpoint, held: Json) -> EncodedCheckpoint {
        let retention = Retention { max_retained: u32::MAX };
        let publish = Publish::new(&mut self.writer, &mut encoded, retention).unwrap();
        drive(publish, self.backend).unwrap();
        self.record(encoded.manifest(), held);
        encoded
    }

    fn record(&mut self, manifest: &Manifest, held: Json) {
        self.points.insert(manifest.object.id, point(manifest_to_json(manifest), held));
    }

    /// The savepoint of a checkpoint that exists.
    fn savepoint(&mut self, id: u64, label: &str) {
        let object = Selector::Id(id).find(self.writer.head()).unwrap();
        let manifest = drive(ReadManifest::new(object), self.backend).unwrap();
        let next = self.writer.next_object();
        let mut encoded = Republish::encode(&manifest, next, label).unwrap();
        let held = self.points[&id]["states"].clone();
        self.record(encoded.manifest(), held);
        let retention = Retention { max_retained: u32::MAX };
        drive(Publish::new(&mut self.writer, &mut encoded, retention).unwrap(), self.backend).unwrap();
    }

    pub fn restore(&mut self, holder: &mut StateHolder, id: u64) -> RestoredCheckpoint {
        drive(Restore::new(holder, Selector::Id(id), RestoreOptions::default()), self.backend).unwrap()
    }
}

/// The storage of a plain holder: 17 checkpoints with LZ4, a savepoint of an old one, then a second
/// writer that goes back to checkpoint 12 and does not compress.
pub fn of_holder(backend: &mut dyn Backend) -> Points {
    of_holder_restored(backend, false)
}

/// As [`of_holder`]; if so asked, each checkpoint is restored, and what was restored goes on.
pub fn of_holder_restored(backend: &mut dyn Backend, each: bool) -> Points {
    let mut recorder = Recorder::open(backend, Compression::Lz4, Points::new());
    let mut holder = holder();
    for step in 0..CHECKPOINTS {
        change(&mut holder, step);
        let label = (step == 7).then_some("before the change");
        recorder.checkpoint(&mut holder, label);
        if each {
            holder = self::holder();
            recorder.restore(&mut holder, step);
        }
    }
    recorder.savepoint(9, "größe ☃");
    let mut recorder = recorder.next_writer(Compression::None);
    let mut holder = self::holder();
    recorder.restore(&mut holder, 12);
    for step in 30..34 {
        change(&mut holder, step);
        recorder.checkpoint(&mut holder, None);
    }
    // Nothing has changed.
    recorder.checkpoint(&mut holder, Some("the end"));
    recorder.points
}

fn holder() -> StateHolder {
    let state =
        |name: &str, kind, version| StateDescriptor::new(name, kind, version, format!("{{\"about\":\"{name}\"}}"));
    StateHolder::builder("golden ☃")
        .key_groups(5)
        .values_schema(3, "postcard")
        .state(state("windows", StateKind::Windows, 1))
        .state(state("never used", StateKind::Windows, 0))
        .state(state("patterns", StateKind::Patterns, u32::MAX))
        .state(state("größe", StateKind::Aggregations, 2))
        .build()
        .unwrap()
}

fn value(step: u64) -> Value {
    match step % 14 {
        0 => Value::Int(i64::MAX),
        1 => Value::Float(-f64::NAN),
        2 => Value::Float(-0.0),
        3 => Value::Null,
        4 => Value::from(""),
        5 => Value::from("naïve ☃ \0 and so on, for more than twenty-two bytes"),
        6 => Value::Bool(true),
        7 => Value::Int(i64::MIN),
        8 => Value::Float(f64::NEG_INFINITY),
        9 => Value::Float(5e-324),
        10 => Value::Int(-65),
        11 => Value::Bool(false),
        12 => Value::Float(0.1),
        _ => Value::Int(step as i64),
    }
}

fn event(step: u64) -> Event {
    Event::new(1000 * step as i64 - 3000, vec![value(step), value(step + 3), Value::from(step as i64)])
}

fn change(holder: &mut StateHolder, step: u64) {
    change_values(holder, step);
    let key = ["", "naïve", "鍵\0"][step as usize % 3].as_bytes();
    change_windows(holder, step, key);
    change_patterns(holder, step, key);
    let groups = holder.aggregations_mut("größe").unwrap();
    let create = || AggregationState::new(FUNCTIONS.map(Accumulator::new).to_vec());
    groups.update(&[0xff, step as u8 % 4], create, |group| group.update(|held| add(held, step))).unwrap();
    if step == 14 {
        assert!(groups.remove(&[0xff, 3]));
    }
}

fn change_values(holder: &mut StateHolder, step: u64) {
    if step == 0 {
        for number in 0..BULK_KEYS {
            holder.set([b'k', number], &vec![number; 800]).unwrap();
        }
        holder.set("", &()).unwrap();
        holder.set("größe/鍵", "").unwrap();
        holder.set("numbers", &(u64::MAX, i64::MIN, i128::MIN, f64::NAN, -0.0_f64)).unwrap();
        holder.set("gone", &true).unwrap();
    }
    holder.set("hot", &step).unwrap();
    match step % 6 {
        2 => holder.set([b'k', step as u8 % BULK_KEYS], &vec![step; 100]).unwrap(),
        4 => drop(holder.remove([b'k', step as u8 % BULK_KEYS]).unwrap()),
        5 => drop(holder.remove("gone").unwrap()),
        0 => holder.set("gone", &step).unwrap(),
        _ => {}
    }
}

fn change_windows(holder: &mut StateHolder, step: u64, key: &[u8]) {
    let start = 1000 * (step as i64 / 4) - 2000;
    let windows = holder.windows_mut("windows").unwrap();
    let empty = windows.update(key, WindowState::new, |held| {
        held.update(start, |window| {
            if window.accumulators().is_empty() {
                window.set_end(if step.is_multiple_of(2) { start + 1000 } else { i64::MAX });
                let half = if start % 2000 == 0 { &FUNCTIONS[..5] } else { &FUNCTIONS[5..] };
                *window.accumulators_mut() = half.iter().copied().map(Accumulator::new).collect();
            }
            add(window.accumulators_mut(), step);
            window.push_back(BufferedEvent { sequence: step, event: event(step) });
        });
        if step % 5 >= 3 {
            let first = held.windows()[0].start();
            held.update(first, |window| drop(window.pop_front()));
        }
        if step % 7 == 6 {
            held.close(held.windows()[0].start()).unwrap();
        }
        held.is_empty()
    });
    if empty.unwrap() {
        windows.remove(key);
    }
}

fn change_patterns(holder: &mut StateHolder, step: u64, key: &[u8]) {
    let patterns = holder.patterns_mut("patterns").unwrap();
    let change = |held: &mut PatternState| {
        // The later one comes first.
        held.wait(BufferedEvent { sequence: 2 * step, event: event(step + 5) });
        held.wait(BufferedEvent { sequence: 2 * step + 1, event: event(step) });
        if step % 6 == 5 {
            held.drop_at(0);
        }
        if step >= 6 {
            held.advance(0, event(step));
        }
        if step % 4 != 3
            && let Some(due) = held.take_due(1000 * step as i64)
        {
            held.start(due).unwrap();
        }
    };
    patterns.update(key, PatternState::new, change).unwrap();
}

fn add(held: &mut [Accumulator], step: u64) {
    held[0].add_event();
    for (at, accumulator) in held.iter_mut().enumerate() {
        // What a function refuses leaves it as it is.
        let _ = accumulator.add(1000 * step as i64, &value(step + at as u64 / 4));
    }
}

/// The storage of an engine: operators of all kinds, keys of all kinds, a crash between, an end.
pub fn of_engine(backend: &mut dyn Backend) -> Points {
    let definition = ApplicationDefinition::from_json(APPLICATION).unwrap();
    let engine = || Engine::new(&definition, &FIELDS).unwrap();
    let mut recorder = Recorder::open(backend, Compression::Lz4, Points::new());
    let mut running = engine();
    checkpoint_engine(&mut recorder, &mut running);
    for sequence in 0..36 {
        if sequence % 9 == 0 {
            checkpoint_engine(&mut recorder, &mut running);
        }
        if sequence == 20 {
            // It crashes: a new one goes on from checkpoint 3, taken before event 18.
            running = engine();
            let restored = recorder.restore(running.holder_mut(), 3);
            running.resume(&restored.manifest).unwrap();
            (18..20).for_each(|sequence| take(&mut running, sequence));
        }
        take(&mut running, sequence);
    }
    checkpoint_engine(&mut recorder, &mut running);
    running.finish().unwrap();
    while running.poll_output().is_some() {}
    checkpoint_engine(&mut recorder, &mut running);
    recorder.points
}

fn checkpoint_engine(recorder: &mut Recorder<'_>, engine: &mut Engine) {
    let positions = vec![("source.offset".into(), engine.progress().events)];
    let progress = Progress { positions, ..Progress::default() };
    engine.begin_checkpoint(CheckpointRequest { created_ms: recorder.created_ms(), label: None, progress }).unwrap();
    recorder.publish_cut(engine.holder_mut());
}

/// Keys of the engine's events.
pub fn keys() -> [Value; 12] {
    [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        Value::Float(f64::NEG_INFINITY),
        Value::Int(i64::MIN),
        Value::Int(-1),
        Value::Float(-0.5),
        Value::Int((1 << 53) + 1),
        Value::Int(i64::MAX),
        Value::Float(f64::NAN),
        Value::from(""),
        Value::from("a\0☃"),
    ]
}

fn take(engine: &mut Engine, sequence: i64) {
    let key = keys()[sequence as usize * 7 % 12].clone();
    // Now and then out of order, and once late.
    let at = 1000 * sequence - [0, 1700, 0, 400][sequence as usize % 4] - if sequence == 23 { 9000 } else { 0 };
    let number = match sequence % 5 {
        0 => Value::Null,
        1 | 2 => Value::Int(sequence % 11),
        3 => Value::Float(sequence as f64 / 8.0),
        _ => Value::Int(-(1 << 40) * sequence),
    };
    let any = value((sequence as u64 % 3) * 5);
    engine.handle_event(Event::new(at, vec![at.into(), key, number, any])).unwrap();
    while engine.poll_output().is_some() {}
}
