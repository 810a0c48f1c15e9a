//! An adversary changes the state of an engine and makes all hashes right again: the engine either
//! refuses it, or works with it; it never panics and never takes much memory.

use crate::common::object::{Manifest, manifest_bytes, with_manifest};
use crate::measured;
use eventflux::definition::ApplicationDefinition;
use eventflux::{CheckpointRequest, Compression, Engine, Event, MemoryBackend, Progress, Retention, Selector, Value};
use eventflux_core::{OpenWriter, Publish, Restore, RestoreOptions, drive};

/// What restoring a few kilobytes and going on for some events may take at most.
const PEAK_BYTES_MAX: usize = 4 << 20;

const DEFINITION: &str = r#"{
    "name": "damaged", "source": { "file": "-", "timestamp": "at", "watermark_delay": "2s" },
    "checkpoint": { "storage": "memory:" }, "sink": { "file": "-" },
    "operator": [
        { "name": "tumbling", "window": { "tumbling": "3s" }, "key": ["id"],
          "compute": { "n": "count", "sum": "sum value", "mid": "median value", "dev": "stddev value" } },
        { "name": "hopping", "window": { "hopping": { "size": "4s", "every": "2s" } }, "key": ["id"],
          "compute": { "least": "min value", "most": "max value", "mean": "avg value", "kinds": "distinct text" } },
        { "name": "sessions", "window": { "session": "1s" }, "key": ["id"],
          "compute": { "from": "first text", "to": "last text", "sum": "sum value" } },
        { "name": "tens", "window": { "length": 10 }, "key": ["id"], "compute": { "n": "count", "mid": "median value" } },
        { "name": "rises", "key": ["id"], "within": "5s", "pattern": [
            { "step": "low" },
            { "step": "high", "where": [{ "field": "value", "gt": { "step": "low", "field": "value" } }] } ] },
        { "name": "all", "aggregate": { "n": "count", "mean": "avg value", "dev": "stddev value" }, "key": ["id"] }
    ] }"#;

fn engine() -> Engine {
    let definition = ApplicationDefinition::from_json(DEFINITION).unwrap();
    Engine::new(&definition, &["at", "id", "value", "text"]).unwrap()
}

fn event(number: i64) -> Event {
    let text: Value = format!("text {}", number % 3).as_str().into();
    Event::new(number * 300, vec![(number * 300).into(), (number % 2).into(), (number * 7 % 5).into(), text])
}

/// A storage with one checkpoint of an engine in the midst of its work, and the object's name.
fn sample() -> (MemoryBackend, String) {
    let mut engine = engine();
    engine.handle_events((0..25).map(event)).unwrap();
    while engine.poll_output().is_some() {}
    let (positions, outputs) = (vec![("source".into(), 25)], vec![("output".into(), 100)]);
    let progress = Progress { positions, outputs, ..Progress::default() };
    engine.begin_checkpoint(CheckpointRequest { progress, ..CheckpointRequest::default() }).unwrap();
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let capture = engine.holder_mut().take_capture().unwrap();
    let mut encoded = capture.into_object(writer.next_object(), Compression::None).unwrap();
    let publish = Publish::new(&mut writer, &mut encoded, Retention::default()).unwrap();
    let name = drive(publish, &mut storage).unwrap().entry.object.name();
    (storage, name)
}

/// Restores, goes on, finishes; whether nothing refused.
fn go_on(storage: &mut MemoryBackend) -> bool {
    let (fine, peak) = measured(|| restored_goes_on(storage));
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
    fine
}

fn restored_goes_on(storage: &mut MemoryBackend) -> bool {
    let mut engine = engine();
    let restore = Restore::new(engine.holder_mut(), Selector::Latest, RestoreOptions::default());
    let restored = drive(restore, storage);
    let fine = restored.is_ok_and(|restored| {
        engine.resume(&restored.manifest).is_ok()
            && (25..40).all(|number| engine.handle_event(event(number)).is_ok())
            && engine.finish().is_ok()
    });
    while let Some(output) = engine.poll_output() {
        output.append_json_line(&mut Vec::new());
    }
    fine
}

#[test]
fn a_changed_state_is_refused_or_worked_with() {
    let (mut storage, name) = sample();
    assert!(go_on(&mut storage));
    let whole = storage.objects_mut()[&name].clone();
    let manifest = Manifest::of(&whole);
    let (mut tried, mut fine) = (0, 0);
    for number in 0..manifest.clone().own_sections().len() {
        let section = manifest.clone().own_sections()[number].clone();
        for at in 0..section.stored as usize {
            for change in [1_u8, 2, 4, 8, 16, 32, 64, 128, 0xff] {
                let (mut object, mut changed) = (whole.clone(), manifest.clone());
                let stored = section.stored_mut(&mut object);
                stored[at] = if change == 0xff { 0xff } else { stored[at] ^ change };
                changed.own_sections()[number].fix(stored);
                let object = with_manifest(&object, &postcard::to_allocvec(&changed).unwrap());
                storage.objects_mut().insert(name.clone(), object);
                tried += 1;
                fine += u32::from(go_on(&mut storage));
            }
        }
    }
    println!("damage: {tried} changes of an engine's state, hashes made right; {fine} worked with");
}

#[test]
fn a_changed_manifest_is_refused_or_worked_with() {
    let (mut storage, name) = sample();
    let whole = storage.objects_mut()[&name].clone();
    let manifest = manifest_bytes(&whole).to_vec();
    for at in 0..manifest.len() {
        for change in [1_u8, 2, 4, 8, 16, 32, 64, 128, 0xff] {
            let mut changed = manifest.clone();
            changed[at] = if change == 0xff { 0xff } else { changed[at] ^ change };
            storage.objects_mut().insert(name.clone(), with_manifest(&whole, &changed));
            go_on(&mut storage);
        }
    }
}
