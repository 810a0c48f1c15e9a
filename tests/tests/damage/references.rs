//! References that name much, or the same again and again, all hashes right: an error or no harm, in bounded memory
//! and time.

use crate::common::bulk::of_bulk;
use crate::common::object::{Delta, Manifest, fix_head, with_manifest};
use crate::measured;
use eventflux_core::{
    Backend, CatalogEntry, CheckpointRequest, Compression, Head, MemoryBackend, ObjectId, OpenWriter, Publish,
    ReadHead, ReadManifest, Retention, StateDescriptor, StateHolder, StateKind, Verify, drive,
};
use serde::Serialize;

/// What reading a few kilobytes may take at most.
const PEAK_BYTES_MAX: usize = 4 << 20;

/// Changes the manifest of the oldest checkpoint, and reads it: what is wrong with it.
fn changed(storage: &mut MemoryBackend, change: impl Fn(&mut Manifest)) -> Option<String> {
    let object = drive(ReadHead::new(), storage).unwrap().unwrap().entries[0].object;
    let whole = storage.objects_mut()[&object.name()].clone();
    let mut manifest = Manifest::of(&whole);
    change(&mut manifest);
    storage.objects_mut().insert(object.name(), with_manifest(&whole, &postcard::to_allocvec(&manifest).unwrap()));
    let (read, peak) = measured(|| drive(ReadManifest::new(object), storage));
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
    let error = read.err().map(|error| error.to_string());
    let findings = drive(Verify::new(), storage).unwrap().findings;
    assert_eq!(findings.is_empty(), error.is_none());
    storage.objects_mut().insert(object.name(), whole);
    error
}

fn publish(storage: &mut MemoryBackend, holder: &mut StateHolder) -> Vec<String> {
    let mut writer = drive(OpenWriter::new(), storage).unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    let mut encoded = holder.take_capture().unwrap().into_object(writer.next_object(), Compression::None).unwrap();
    let publish = Publish::new(&mut writer, &mut encoded, Retention { max_retained: 1 }).unwrap();
    drive(publish, storage).unwrap().deleted
}

#[test]
fn a_page_named_many_times() {
    let mut storage = MemoryBackend::new();
    let state = |number: u32| StateDescriptor::new(format!("state {number}"), StateKind::Aggregations, 1, "");
    let builder = (0..9).fold(StateHolder::builder("paged"), |builder, number| builder.state(state(number)));
    publish(&mut storage, &mut builder.build().unwrap());
    assert_eq!(changed(&mut storage, |manifest| assert_eq!(manifest.base_pages.len(), 1)), None);
    let again = |manifest: &mut Manifest| manifest.base_pages = vec![manifest.base_pages[0].clone(); 1000];
    assert!(changed(&mut storage, again).is_some_and(|error| error.contains("over one another")));
}

#[test]
fn a_plan_named_many_times() {
    let mut storage = MemoryBackend::new();
    of_bulk(&mut storage);
    let objects = storage.objects_mut().clone();
    let again = |times: usize| {
        let objects = &objects;
        move |manifest: &mut Manifest| {
            *manifest = manifest.without_pages(|object| objects[&object.name()].clone());
            let plan = manifest.plans.first().cloned().expect("bases share plans");
            manifest.plans.extend(vec![plan; times]);
        }
    };
    assert_eq!(changed(&mut storage, again(0)), None);
    assert!(changed(&mut storage, again(1)).is_some_and(|error| error.contains("over one another")));
}

/// Each time the same changes to the same keys: a restore would read them as often as they are named.
#[test]
fn a_section_named_many_times() {
    let mut storage = MemoryBackend::new();
    let mut holder = StateHolder::builder("small").build().unwrap();
    holder.set("key", &vec![7_u8; 1000]).unwrap();
    publish(&mut storage, &mut holder);
    let again = |times: usize| {
        move |manifest: &mut Manifest| {
            let section = manifest.bases.iter().find_map(|base| base.section.clone()).expect("it has a row");
            let delta = Delta { state: 0, low: 0, high: manifest.key_groups, checkpoint: 0, section };
            manifest.deltas = vec![delta; times];
        }
    };
    assert_eq!(changed(&mut storage, again(0)), None);
    assert!(changed(&mut storage, again(1000)).is_some_and(|error| error.contains("over one another")));
}

/// The record of a head with one entry.
#[derive(Serialize)]
struct HeadRecord<'a> {
    generation: u64,
    next_id: u64,
    latest: Option<u64>,
    entries: Vec<EntryRecord<'a>>,
}

#[derive(Serialize)]
struct EntryRecord<'a> {
    object: ObjectId,
    parent: Option<u64>,
    created_ms: i64,
    label: Option<String>,
    object_bytes: u64,
    sizes: &'a eventflux_core::CheckpointSizes,
    needs: Vec<(u64, u64, u64)>,
}

#[test]
fn a_checkpoint_that_claims_millions_of_objects_goes() {
    let mut storage = MemoryBackend::new();
    let holder = || StateHolder::builder("small").build().unwrap();
    publish(&mut storage, &mut holder());
    let old = storage.read_head().unwrap().unwrap();
    let CatalogEntry { sizes, object_bytes, .. } = Head::from_bytes(&old).unwrap().entries.remove(0);
    let object = ObjectId { id: 1 << 24, generation: 1 };
    let whole = storage.objects_mut().pop_first().unwrap().1;
    storage.objects_mut().insert(object.name(), whole);
    let entry = EntryRecord {
        object,
        parent: None,
        created_ms: 0,
        label: None,
        object_bytes,
        sizes: &sizes,
        needs: vec![(1, 1 << 24, 1)],
    };
    let head = HeadRecord { generation: 1, next_id: object.id + 1, latest: Some(object.id), entries: vec![entry] };
    let mut bytes = [&old[..8], &postcard::to_allocvec(&head).unwrap(), &[0; 8]].concat();
    fix_head(&mut bytes);
    assert!(storage.swap_head(Some(&old), &bytes).unwrap());
    let (deleted, peak) = measured(|| publish(&mut storage, &mut holder()));
    assert_eq!(deleted, [object.name()]);
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
    assert_eq!(storage.objects_mut().len(), 1);
}
