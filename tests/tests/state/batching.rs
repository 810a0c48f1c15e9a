//! The same input in batches of any size gives the same bytes of output and of checkpoints.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::common::generate::{Application, Events, FIELDS, any_application, any_events, cases};
use eventflux::source::{Source, SourceOptions};
use eventflux::storage::{Access, StorageAddress};
use eventflux::{EventFluxManager, config, read_head, restore};
use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{
    Backend, CheckpointRequest, Compression, EncodedCheckpoint, Encoding, Engine, EngineProgress, Error, Event,
    MemoryBackend, ObjectId, OpenWriter, Progress, Publish, RestoreOptions, Retention, Selector, StateContents,
    StateHolder, StepProgress, Writer, contents, drive,
};
use proptest::prelude::*;

/// An engine that takes batches, and what it gave.
struct Batched {
    engine: Engine,
    compression: Compression,
    storage: MemoryBackend,
    writer: Writer,
    /// Bytes of a step in which a checkpoint is encoded; `None`: at once.
    encode_step: Option<usize>,
    capturing: bool,
    output: Vec<u8>,
    objects: Vec<Vec<u8>>,
}

impl Batched {
    fn new(definition: &ApplicationDefinition, fields: &[impl AsRef<str>], batch: usize) -> Self {
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        Batched {
            engine: Engine::new(definition, fields).unwrap(),
            compression: definition.checkpoint.compression,
            storage,
            writer,
            encode_step: (batch > 1).then_some(batch * batch),
            capturing: false,
            output: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// Takes a batch, without the events that are errors, and captures a little of the checkpoint under way.
    fn take(&mut self, batch: Vec<Event>) {
        let mut events = batch.into_iter();
        while let Err(error) = self.engine.handle_events(&mut events) {
            assert!(matches!(error, Error::Event { .. }), "{error}");
        }
        self.poll();
        if self.capturing && self.engine.holder_mut().step(4096).unwrap() == StepProgress::Done {
            self.publish();
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            output.append_json_line(&mut self.output);
        }
    }

    fn cut(&mut self) {
        if self.capturing {
            self.publish();
        }
        let outputs = vec![("output.length".into(), self.output.len() as u64)];
        let progress = Progress { outputs, ..Progress::default() };
        let created_ms = self.objects.len() as i64;
        self.engine.begin_checkpoint(CheckpointRequest { created_ms, label: None, progress }).unwrap();
        self.capturing = true;
    }

    fn publish(&mut self) {
        let capture = self.engine.holder_mut().take_capture().unwrap();
        let object = self.writer.next_object();
        let mut encoded = match self.encode_step {
            None => capture.into_object(object, self.compression).unwrap(),
            Some(budget) => in_steps(capture.encoding(object, self.compression), budget).1,
        };
        self.objects.push(encoded.bytes().to_vec());
        let retention = Retention { max_retained: 100 };
        drive(Publish::new(&mut self.writer, &mut encoded, retention).unwrap(), &mut self.storage).unwrap();
        self.engine.holder_mut().commit(&encoded).unwrap();
        self.capturing = false;
    }

    fn finish(&mut self) {
        self.engine.finish().unwrap();
        self.poll();
        self.cut();
        self.publish();
    }
}

/// Encodes in steps of so many bytes; how many there were, and the checkpoint.
fn in_steps(mut encoding: Encoding, budget: usize) -> (usize, EncodedCheckpoint) {
    for steps in 1.. {
        if let Some(encoded) = encoding.step(budget).unwrap() {
            assert!(matches!(encoding.step(budget), Err(Error::CallOrder(_))));
            return (steps, encoded);
        }
    }
    unreachable!("it ends")
}

/// The first checkpoint has bases that share a plan, the second one a long delta; texts, some of them twice.
#[test]
fn plain_values_are_encoded_in_steps_of_any_size() {
    let objects = |budget: Option<usize>| {
        let mut holder = StateHolder::builder("texts").build().unwrap();
        let mut objects = Vec::new();
        for id in 0..2 {
            for at in 0..20_000_u64 {
                let number = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 40);
                holder.set(format!("key/{at:06}"), &(id, format!("a text of {number} and {}", at % 97))).unwrap();
            }
            holder.begin(CheckpointRequest::default()).unwrap();
            let capture = holder.take_capture().unwrap();
            let object = ObjectId { id, generation: 1 };
            let encoded = match budget {
                None => capture.into_object(object, Compression::Lz4).unwrap(),
                Some(budget) => {
                    let (steps, encoded) = in_steps(capture.encoding(object, Compression::Lz4), budget);
                    let rows = encoded.manifest().sizes.base_raw + encoded.manifest().sizes.delta_raw;
                    // About five times through the rows, and columns that are looked at in one piece.
                    let fewest = 2 * rows as usize / budget;
                    assert!(budget != 64 * 1024 || (fewest..8 * fewest).contains(&steps), "{steps} steps of {budget}");
                    encoded
                }
            };
            holder.commit(&encoded).unwrap();
            objects.push(encoded.bytes().to_vec());
        }
        objects
    };
    let at_once = objects(None);
    for budget in [1, 64 * 1024, usize::MAX / 2] {
        assert!(objects(Some(budget)) == at_once, "{budget} bytes a step");
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn random_applications(
        Application(application) in any_application(),
        Events(events) in any_events(80),
        batch in prop_oneof![Just(7_usize), Just(1000), 2..30_usize],
        cuts in prop::collection::btree_set(0..80_usize, 0..8),
    ) {
        let run = |batch: usize| {
            let mut batched = Batched::new(&application, &FIELDS, batch);
            let mut at = 0;
            while at < events.len() {
                if cuts.contains(&at) {
                    batched.cut();
                }
                let next_cut = cuts.range(at + 1..).next().copied().unwrap_or(events.len());
                let end = (at + batch).min(next_cut).min(events.len());
                batched.take(events[at..end].to_vec());
                at = end;
            }
            batched.finish();
            batched
        };
        let (one, many) = (run(1), run(batch));
        prop_assert_eq!(String::from_utf8(many.output).unwrap(), String::from_utf8(one.output).unwrap());
        prop_assert_eq!(many.engine.progress(), one.engine.progress());
        prop_assert!(many.objects == one.objects, "bytes of checkpoints");
    }
}

/// The example application: the flights of January.
fn flights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights")
}

/// Events from one checkpoint to the next, as in the example's definition.
const EVERY_EVENTS: usize = 5000;

fn flights_in_batches(definition: &ApplicationDefinition, batch: usize) -> Batched {
    let mut source = Source::open(&SourceOptions {
        file: flights().join(&definition.source.file),
        timestamp: definition.source.timestamp.clone(),
        null: definition.source.null.clone(),
        ..SourceOptions::default()
    })
    .unwrap();
    let mut batched = Batched::new(definition, source.fields(), batch);
    batched.cut();
    let mut since_cut = 0;
    while let Some(read) = source.read_batch(batch.min(EVERY_EVENTS - since_cut)).unwrap() {
        since_cut += read.events.len();
        batched.take(read.events);
        if since_cut == EVERY_EVENTS {
            batched.cut();
            since_cut = 0;
        }
    }
    batched.finish();
    batched
}

/// All states of all checkpoints of a storage, with what the engine had counted.
fn all_contents(backend: &mut dyn Backend) -> Vec<(EngineProgress, Vec<StateContents>)> {
    let entries = read_head(backend).unwrap().entries;
    let state = |entry: &eventflux_core::CatalogEntry| {
        let manifest = eventflux::read_manifest(backend, entry.object).unwrap();
        let mut holder = StateHolder::for_manifest(&manifest).unwrap();
        restore(backend, &mut holder, Selector::Id(entry.object.id), RestoreOptions::default()).unwrap();
        (manifest.progress.engine.clone().unwrap(), contents(&holder).unwrap())
    };
    entries.iter().map(state).collect()
}

#[test]
fn flights_of_january() {
    let definition = config::load(&flights().join("app.toml")).unwrap();
    assert_eq!(definition.checkpoint.every_events, Some(EVERY_EVENTS as u64));
    let mut one = flights_in_batches(&definition, 1);
    assert!(one.output.len() > 1_000_000 && one.objects.len() == 7, "{} {}", one.output.len(), one.objects.len());
    for batch in [7, 1000] {
        let many = flights_in_batches(&definition, batch);
        assert!(many.output == one.output, "output in batches of {batch}");
        assert!(many.objects == one.objects, "checkpoints in batches of {batch}");
    }

    // The runtime has batches of its own, and a thread that reads them; its checkpoints differ in their times alone.
    let directory = tempfile::tempdir().unwrap();
    let mut absolute = definition;
    absolute.source.file = flights().join(&absolute.source.file).display().to_string();
    let manager = EventFluxManager::new().with_base_directory(directory.path());
    let summary = manager.create_runtime(absolute).unwrap().start().unwrap();
    assert_eq!((summary.events, summary.checkpoints), (27_004, 7));
    assert!(std::fs::read(directory.path().join("out.ndjson")).unwrap() == one.output, "output of the runtime");
    let address = StorageAddress::parse("file:state", directory.path()).unwrap();
    let of_runtime = all_contents(&mut address.open(Access::Read).unwrap());
    let ours = all_contents(&mut one.storage);
    assert_eq!(of_runtime.len(), 7);
    for (number, (of_runtime, ours)) in of_runtime.iter().zip(&ours).enumerate() {
        assert_eq!(of_runtime.0, ours.0, "counts of checkpoint {number}");
        assert!(of_runtime.1 == ours.1, "contents of checkpoint {number}");
    }
    let distinct: BTreeSet<u64> = ours.iter().map(|(progress, _)| progress.events).collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), [0, 5000, 10_000, 15_000, 20_000, 25_000, 27_004]);
}
