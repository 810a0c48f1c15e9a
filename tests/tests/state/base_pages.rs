//! Pages name the bases that do not change from one checkpoint to the next: a small delta is a small object, however many
//! bases there are.

use crate::common::object::Manifest;
use crate::common::random::Random;
use eventflux::{Compression, MemoryBackend, RestoreOptions, Retention, Selector, StateHolder, restore, verify};
use eventflux_core::{CheckpointRequest, EncodedCheckpoint, OpenWriter, Publish, Writer, drive};

const KEYS: u64 = 500;
/// Enough that each key group has a base of its own.
const VALUE_BYTES: usize = 16 * 1024;
/// Bytes of the largest object whose checkpoint changed nothing.
const NOTHING_BYTES_MAX: usize = 700;

struct Job {
    storage: MemoryBackend,
    writer: Writer,
    holder: StateHolder,
}

impl Job {
    fn new() -> Self {
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut job = Job { storage, writer, holder: holder() };
        (0..KEYS).for_each(|key| job.set(key, 0));
        job
    }

    fn set(&mut self, key: u64, value: u8) {
        self.holder.set_encoded(&key.to_be_bytes(), &[value; VALUE_BYTES]).unwrap();
    }

    fn encode(&mut self) -> EncodedCheckpoint {
        self.holder.begin(CheckpointRequest::default()).unwrap();
        self.holder.take_capture().unwrap().into_object(self.writer.next_object(), Compression::Lz4).unwrap()
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        let mut encoded = self.encode();
        let bytes = encoded.bytes().to_vec();
        let publish = Publish::new(&mut self.writer, &mut encoded, Retention { max_retained: 3 }).unwrap();
        drive(publish, &mut self.storage).unwrap();
        self.holder.commit(&encoded).unwrap();
        bytes
    }

    /// A holder that was restored goes on in the place of the other, to the same bytes.
    fn restart(&mut self) {
        let went_on = self.encode().bytes().to_vec();
        self.holder.abort().unwrap();
        let mut restored = holder();
        restore(&mut self.storage, &mut restored, Selector::Latest, RestoreOptions::default()).unwrap();
        for key in 0..KEYS {
            let key = key.to_be_bytes();
            assert!(
                restored.values().get(&key).map(|value| value.as_bytes())
                    == self.holder.values().get(&key).map(|value| value.as_bytes())
            );
        }
        self.holder = restored;
        assert!(self.encode().bytes() == went_on, "checkpoint {}", self.writer.next_object().id);
        self.holder.abort().unwrap();
    }
}

fn holder() -> StateHolder {
    StateHolder::builder("paged").key_groups(40).build().unwrap()
}

#[test]
fn bases_that_pages_name_come_back() {
    let (mut job, mut numbers) = (Job::new(), Random::new(5));
    job.checkpoint();
    let (mut pages, mut deltas_paged, mut renewed) = (0, 0, 0);
    for step in 1..=150 {
        (0..numbers.below(8)).for_each(|_| job.set(numbers.below(KEYS), step));
        let object = job.checkpoint();
        let manifest = Manifest::of(&object);
        assert!(manifest.bases.len() < 8 && manifest.deltas.len() < 8 && manifest.base_pages.len() < 8);
        pages = pages.max(manifest.base_pages.len());
        deltas_paged = deltas_paged.max(manifest.pages.len());
        renewed += u32::from(manifest.sizes.base_rows > 0);
        if step % 15 == 0 {
            job.restart();
            let report = verify(&mut job.storage).unwrap();
            assert_eq!((report.findings, report.unneeded), (Vec::new(), Vec::new()), "after checkpoint {step}");
        }
    }
    assert!(pages > 1 && deltas_paged > 1 && renewed > 20, "{pages}, {deltas_paged}, {renewed}");
}

#[test]
fn a_checkpoint_of_nothing_is_small() {
    let mut job = Job::new();
    let first = job.checkpoint();
    assert_eq!(Manifest::of(&first).base_pages.len(), 1);
    for _ in 0..20 {
        assert!(job.checkpoint().len() < NOTHING_BYTES_MAX);
    }
    job.restart();
}
