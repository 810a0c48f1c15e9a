//! Storages from hostile bytes: whole objects, manifests and head records, as they are and with hashes made right.

use std::sync::OnceLock;

use eventflux::definition::ApplicationDefinition;
use eventflux::{
    Accumulator, AggregationState, CheckpointManager, Compression, Engine, Event, ManagerConfig, MemoryBackend,
    Retention, Selector, StateDescriptor, StateHolder, StateKind, Value,
};
use eventflux_core::{
    BufferedEvent, CheckpointRequest, CheckpointSizes, Function, ObjectId, Progress, Restore, RestoreOptions, drive,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::memory::bounded;
use super::object::{Base, Delta, HEADER_BYTES, Manifest, Section, TRAILER_BYTES, fix_head};
use super::sections::unpacked;
use super::work::{STATE_PER_BYTE, read_all, set_head};

/// A head record as `FORMAT.md` has it.
#[derive(Serialize)]
struct Head {
    generation: u64,
    next_id: u64,
    latest: Option<u64>,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    object: ObjectId,
    parent: Option<u64>,
    created_ms: i64,
    label: Option<String>,
    object_bytes: u64,
    sizes: CheckpointSizes,
    needs: Vec<(u64, u64, u64)>,
}

/// A storage with one published object.
pub fn storage_of(id: ObjectId, object: Vec<u8>) -> MemoryBackend {
    let mut storage = MemoryBackend::new();
    let entry = Entry {
        object: id,
        parent: None,
        created_ms: 0,
        label: None,
        object_bytes: object.len() as u64,
        sizes: CheckpointSizes::default(),
        needs: vec![(id.id, 1, id.generation)],
    };
    let head = Head { generation: id.generation, next_id: id.id + 1, latest: Some(id.id), entries: vec![entry] };
    let mut bytes = b"EFXH\x03\0\0\0".to_vec();
    bytes.extend(postcard::to_allocvec(&head).expect("a head is encoded"));
    bytes.extend([0; 8]);
    fix_head(&mut bytes);
    storage.objects_mut().insert(id.name(), object);
    set_head(&mut storage, &bytes);
    storage
}

/// A header, of the version given.
pub fn header(id: ObjectId, version: u8) -> Vec<u8> {
    let mut header = b"EFXC\0\0\0\0".to_vec();
    header[4] = version;
    header.extend(id.id.to_le_bytes());
    header.extend(id.generation.to_le_bytes());
    header
}

/// Closes an object that has header and sections.
pub fn close(object: &mut Vec<u8>, manifest: &[u8]) {
    let len = (manifest.len() as u64).to_le_bytes();
    let hash = xxh3_64(&[&object[..HEADER_BYTES], manifest, &len].concat());
    object.extend_from_slice(manifest);
    object.extend_from_slice(&len);
    object.extend_from_slice(&hash.to_le_bytes());
    object.extend_from_slice(b"\0\0\0\0EFXT");
}

/// The identity that an object's header claims, if a head can name it.
fn claimed_id(object: &[u8]) -> ObjectId {
    let number = |at: usize| {
        let bytes = object.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).filter(|number| *number < 1 << 60)
    };
    ObjectId { id: number(8).unwrap_or(0), generation: number(16).unwrap_or(1) }
}

/// Takes an object apart and closes it again with every hash right: those of its own sections, where they lie inside
/// it, and that of the manifest. `None` if there is nothing to be taken apart.
fn sealed(object: &[u8]) -> Option<Vec<u8>> {
    let trailer = object.len().checked_sub(TRAILER_BYTES).filter(|at| *at >= HEADER_BYTES)?;
    let claimed = u64::from_le_bytes(object[trailer..trailer + 8].try_into().ok()?);
    let len = usize::try_from(claimed).ok().filter(|len| *len <= trailer - HEADER_BYTES)?;
    let (sections, manifest) = object[..trailer].split_at(trailer - len);
    let mut changed = sections.to_vec();
    close(&mut changed, &sealed_manifest(manifest, sections).unwrap_or_else(|| manifest.to_vec()));
    Some(changed)
}

/// A manifest of version 2: as that of version 3, without pages of bases.
#[derive(Serialize, Deserialize)]
pub struct ManifestV2 {
    pub beginning: (ObjectId, Option<u64>, i64, Option<String>, String, u16),
    pub middle: (Vec<StateDescriptor>, Progress, CheckpointSizes, Vec<ObjectId>),
    pub bases: Vec<Base>,
    pub plans: Vec<Section>,
    pub pages: Vec<Section>,
    pub deltas: Vec<Delta>,
    pub credits: (i64, i64),
}

/// A manifest with the hashes of its sections made right, if it is one.
fn sealed_manifest(manifest: &[u8], object: &[u8]) -> Option<Vec<u8>> {
    if let Ok(mut manifest) = postcard::from_bytes::<Manifest>(manifest) {
        seal_sections(&mut manifest.bases, &mut manifest.deltas, &mut manifest.plans, object);
        let pages = manifest.base_pages.iter_mut().chain(&mut manifest.pages);
        pages.for_each(|page| seal_section(page, object));
        return postcard::to_allocvec(&manifest).ok();
    }
    let mut manifest = postcard::from_bytes::<ManifestV2>(manifest).ok()?;
    seal_sections(&mut manifest.bases, &mut manifest.deltas, &mut manifest.plans, object);
    manifest.pages.iter_mut().for_each(|page| seal_section(page, object));
    postcard::to_allocvec(&manifest).ok()
}

fn seal_sections(bases: &mut [Base], deltas: &mut [Delta], plans: &mut [Section], object: &[u8]) {
    let bases = bases.iter_mut().filter_map(|base| base.section.as_mut());
    let deltas = deltas.iter_mut().map(|delta| &mut delta.section);
    for section in bases.chain(deltas).chain(plans) {
        seal_section(section, object);
    }
}

fn seal_section(section: &mut Section, object: &[u8]) {
    let from = usize::try_from(section.offset).ok();
    let to = section.offset.checked_add(section.stored).and_then(|to| usize::try_from(to).ok());
    let Some(stored) = from.zip(to).and_then(|(from, to)| object.get(from..to)) else { return };
    section.check = (xxh3_64(stored) as u32).to_le_bytes();
    let unpacked = if section.is_packed() { unpacked(section.codec, stored) } else { Some(stored.to_vec()) };
    if let Some(unpacked) = unpacked {
        section.hash = xxh3_64(&unpacked).to_le_bytes();
    }
}

/// A whole object: read as it is, then with all hashes right.
pub fn object(input: &[u8]) {
    let id = claimed_id(input);
    read_all(&mut storage_of(id, input.to_vec()), input.len());
    if let Some(sealed) = sealed(input) {
        read_all(&mut storage_of(id, sealed), input.len());
    }
}

/// A manifest of version 1, 2 or 3 in front of sections that are whole.
pub fn manifest(input: &[u8]) {
    let Some((first, manifest)) = input.split_first() else { return };
    let sample = sample();
    let id = sample.ids[2];
    let whole = &sample.objects[2];
    let mut object = header(id, 1 + first % 3);
    object.extend_from_slice(&whole[HEADER_BYTES..manifest_at(whole)]);
    close(&mut object, manifest);
    let mut storage = sample.storage.clone();
    storage.objects_mut().insert(id.name(), object);
    read_all(&mut storage, input.len() + whole.len());
}

/// Where the manifest of an object begins.
pub fn manifest_at(object: &[u8]) -> usize {
    object.len() - TRAILER_BYTES - super::object::manifest_bytes(object).len()
}

/// The record in the head of a storage with three checkpoints, without magic and hash.
pub fn head(input: &[u8]) {
    let mut bytes = b"EFXH\x03\0\0\0".to_vec();
    bytes.extend_from_slice(input);
    bytes.extend([0; 8]);
    fix_head(&mut bytes);
    let mut storage = sample().storage.clone();
    set_head(&mut storage, &bytes);
    let own_bytes: usize = sample().objects.iter().map(Vec::len).sum();
    read_all(&mut storage, input.len() + own_bytes);
    let read = eventflux::read_head(&mut storage);
    if let Ok(head) = &read {
        for selector in [Selector::Latest, Selector::Id(1), Selector::Label("label".into()), Selector::Time(2)] {
            if let Ok(object) = selector.find(head) {
                assert!(head.entries.iter().any(|entry| entry.object == object));
            }
        }
        for entry in &head.entries {
            assert!(["full", "incremental"].contains(&entry.kind()));
        }
    }
    let opened = CheckpointManager::open(storage, ManagerConfig::default());
    assert!(read.is_ok() || opened.is_err());
    let Ok(mut manager) = opened else { return };
    let mut holder = empty_holder();
    if manager.restore_latest(&mut holder).is_ok() {
        write(&mut holder, 7);
        let _ = manager.checkpoint_with(&mut holder, CheckpointRequest::default());
    }
    let _ = manager.prune(Retention { max_retained: 1 });
    let _ = manager.savepoint(&Selector::Latest, "again");
    let head = eventflux::read_head(manager.backend_mut());
    assert!(head.is_ok(), "a writer writes a head that nobody can read: {head:?}");
}

/// A storage with three small checkpoints.
pub struct Sample {
    pub storage: MemoryBackend,
    pub ids: Vec<ObjectId>,
    pub objects: Vec<Vec<u8>>,
}

/// The storage that manifests and heads of the input stand in.
pub fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let config = ManagerConfig { compression: Compression::None, retention: Retention::default() };
        let mut manager = CheckpointManager::open(MemoryBackend::new(), config).expect("memory opens");
        let (mut holder, mut ids) = (empty_holder(), Vec::new());
        for number in 0..3 {
            (2 * number..2 * number + 2).for_each(|number| write(&mut holder, number));
            let label = (number == 1).then(|| "label".into());
            let request = CheckpointRequest { created_ms: number as i64, label, ..CheckpointRequest::default() };
            ids.push(manager.checkpoint_with(&mut holder, request).expect("memory takes it").object);
        }
        let mut storage = manager.backend_mut().clone();
        let objects = ids.iter().map(|id| storage.objects_mut()[&id.name()].clone()).collect();
        Sample { storage, ids, objects }
    })
}

fn empty_holder() -> StateHolder {
    let state = |name: &str, kind| StateDescriptor::new(name, kind, 1, name);
    let holder = StateHolder::builder("sample").key_groups(2).state(state("windows", StateKind::Windows));
    let holder = holder.state(state("patterns", StateKind::Patterns)).state(state("groups", StateKind::Aggregations));
    holder.build().expect("a holder")
}

fn write(holder: &mut StateHolder, number: u64) {
    let key = [number as u8 % 3];
    let buffered = || BufferedEvent { sequence: number, event: Event::new(number as i64, vec![Value::from("a text")]) };
    holder.set(key, &(number, "value")).expect("a value fits");
    let windows = holder.windows_mut("windows").expect("declared");
    let window = |state: &mut eventflux::WindowState| {
        state.update(number as i64 / 4, |window| window.push_back(buffered()));
    };
    windows.update(&key, Default::default, window).expect("it fits");
    let patterns = holder.patterns_mut("patterns").expect("declared");
    let pattern = |state: &mut eventflux::PatternState| match number % 2 {
        0 => state.wait(buffered()),
        _ => drop(state.start(buffered())),
    };
    patterns.update(&key, Default::default, pattern).expect("it fits");
    let groups = holder.aggregations_mut("groups").expect("declared");
    let create =
        || AggregationState::new(vec![Accumulator::new(Function::Count), Accumulator::new(Function::Distinct)]);
    let group = |state: &mut AggregationState| {
        state.update(|accumulators| accumulators[1].add(0, &(number as i64).into()).expect("one more"));
    };
    groups.update(&key, create, group).expect("it fits");
}

/// An application with every kind of operator.
pub const APPLICATION: &str = r#"{
    "name": "fuzzed", "source": { "file": "-", "timestamp": "at", "watermark_delay": "2s" },
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

/// An engine for [`APPLICATION`].
pub fn new_engine() -> Engine {
    static DEFINITION: OnceLock<ApplicationDefinition> = OnceLock::new();
    let definition = DEFINITION.get_or_init(|| ApplicationDefinition::from_json(APPLICATION).expect("a definition"));
    Engine::new(definition, &["at", "id", "value", "text"]).expect("an engine")
}

/// An event for [`APPLICATION`].
pub fn engine_event(number: i64) -> Event {
    let text: Value = format!("text {}", number % 3).as_str().into();
    Event::new(number * 300, vec![(number * 300).into(), (number % 2).into(), (number * 7 % 5).into(), text])
}

/// A whole object with all hashes made right, restored into an engine, which goes on.
pub fn engine(input: &[u8]) {
    let Some(sealed) = sealed(input) else { return };
    let id = claimed_id(input);
    let mut storage = storage_of(id, sealed);
    // The empty state of six operators comes on top.
    bounded(input.len() + (64 << 10), STATE_PER_BYTE, || {
        let mut engine = new_engine();
        let restore = Restore::new(engine.holder_mut(), Selector::Latest, RestoreOptions::default());
        let Ok(restored) = drive(restore, &mut storage) else { return };
        if engine.resume(&restored.manifest).is_err() {
            return;
        }
        let mut line = Vec::new();
        for event in (25..40).map(engine_event) {
            if engine.handle_event(event).is_err() {
                return;
            }
        }
        let _ = engine.finish();
        while let Some(output) = engine.poll_output() {
            line.clear();
            output.append_json_line(&mut line);
            assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok_and(|line| line.is_object()));
        }
    });
}
