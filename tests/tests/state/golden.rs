//! Golden files: storages that a release wrote, which every later one opens.
//!
//! `tests/golden/v1/` was written by format version 1, and so on; `contents.json` says what each
//! checkpoint holds. Golden files are never changed. After a change of the format, which takes a new number in
//! `FORMAT_VERSION`, the ones of the new version are made by
//!
//! ```sh
//! EVENTFLUX_GOLDEN=v4 cargo test -p eventflux-tests --test state golden
//! ```
//!
//! which refuses to write over what is there, and listed in `VERSIONS`. `v3b` to `v3d` have the format of `v3`: since then
//! a writer makes other choices within it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use crate::common::bulk::of_bulk;
use crate::common::contents::{contents, manifest_to_json, point};
use crate::common::golden_file::{FILE, brief, expected, to_text};
use crate::common::storages::{Points, of_engine, of_holder, of_holder_restored};
use eventflux::storage::{Access, FileBackend};
use eventflux::{
    CheckpointManager, ManagerConfig, MemoryBackend, RestoreOptions, Retention, Selector, StateHolder, read_head,
    restore, verify,
};
use eventflux_core::{Backend, FORMAT_VERSION};

/// Versions with golden files, oldest first; the last is the one this release writes.
const VERSIONS: [&str; 6] = ["v1", "v2", "v3", "v3b", "v3c", "v3d"];
type Make = fn(&mut dyn Backend) -> Points;
/// The storages of the newest version, and what makes them. Versions before 2 have no `bulk`.
const STORAGES: [(&str, Make); 3] = [("holder", of_holder), ("engine", of_engine), ("bulk", of_bulk)];

/// Directory of the golden files of a version.
fn golden(version: &str) -> PathBuf {
    static MADE: Once = Once::new();
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    MADE.call_once(|| {
        if let Ok(asked) = std::env::var("EVENTFLUX_GOLDEN") {
            make(&all, &asked);
        }
    });
    all.join(version)
}

/// Writes the golden files of a new version.
fn make(all: &Path, version: &str) {
    let directory = all.join(version);
    assert!(!directory.exists(), "{} is there; golden files are never changed", directory.display());
    fs::create_dir_all(all).unwrap();
    let temporary = tempfile::tempdir_in(all).unwrap();
    for (name, make) in STORAGES {
        let path = temporary.path().join(name);
        let points = make(&mut FileBackend::open(&path, Access::Write).unwrap());
        for lock in ["writer.lock", "head.lock"] {
            fs::remove_file(path.join(lock)).unwrap();
        }
        fs::write(path.join(FILE), to_text(&points)).unwrap();
    }
    fs::rename(temporary.keep(), directory).unwrap();
}

#[test]
fn this_release_reads_what_all_before_it_wrote() {
    for version in VERSIONS {
        for storage in fs::read_dir(golden(version)).unwrap() {
            let path = storage.unwrap().path();
            let mut storage = FileBackend::open(&path, Access::Read).unwrap();
            let head = read_head(&mut storage).unwrap();
            let expected = expected(&path);
            assert_eq!(head.entries.len(), expected.len());
            for entry in &head.entries {
                let manifest = eventflux::read_manifest(&mut storage, entry.object).unwrap();
                let mut holder = StateHolder::for_manifest(&manifest).unwrap();
                let selector = Selector::Id(entry.object.id);
                let restored = restore(&mut storage, &mut holder, selector, RestoreOptions::default()).unwrap();
                let found = brief(&point(manifest_to_json(&restored.manifest), contents(&holder)));
                let id = entry.object.id;
                assert_eq!(found, expected[&id], "{}, checkpoint {id}", path.display());
            }
            let report = verify(&mut storage).unwrap();
            assert_eq!((report.findings, report.unneeded), (Vec::new(), Vec::new()));
        }
    }
}

#[test]
fn this_release_goes_on_from_what_all_before_it_wrote() {
    for version in VERSIONS {
        for storage in fs::read_dir(golden(version)).unwrap() {
            let path = storage.unwrap().path();
            let mut storage = in_memory(&path);
            let newest = read_head(&mut storage).unwrap().entries.last().unwrap().object;
            let manifest = eventflux::read_manifest(&mut storage, newest).unwrap();
            let mut holder = StateHolder::for_manifest(&manifest).unwrap();
            let config = ManagerConfig { retention: Retention { max_retained: 1000 }, ..ManagerConfig::default() };
            let mut manager = CheckpointManager::open(storage, config).unwrap();
            manager.restore(&mut holder, newest.id).unwrap();
            // Each checkpoint names sections of the old version and of this one, until no old one is needed.
            let mut ids = Vec::new();
            for step in 0..40_u64 {
                for key in 0..40_u64 {
                    holder.set_encoded(&(key * 7919 % 400).to_be_bytes(), &(step * key).to_le_bytes()).unwrap();
                }
                let id = manager.checkpoint(&mut holder, None).unwrap().object.id;
                if step % 13 == 0 {
                    ids.push((id, contents(&holder)));
                }
            }
            for (id, expected) in ids {
                let mut restored = StateHolder::for_manifest(&manifest).unwrap();
                manager.restore(&mut restored, id).unwrap();
                assert!(contents(&restored) == expected, "{}, checkpoint {id}", path.display());
            }
            assert_eq!(verify(manager.backend_mut()).unwrap().findings, Vec::new());
        }
    }
}

/// A golden storage that may be written to.
fn in_memory(path: &Path) -> MemoryBackend {
    let mut storage = MemoryBackend::new();
    for object in fs::read_dir(path.join("objects")).unwrap() {
        let object = object.unwrap();
        storage.put(object.file_name().to_str().unwrap(), &fs::read(object.path()).unwrap()).unwrap();
    }
    assert!(storage.swap_head(None, &fs::read(path.join("head")).unwrap()).unwrap());
    storage
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let newest = VERSIONS.last().unwrap();
    let format = newest.trim_end_matches(char::is_alphabetic);
    assert_eq!(format, format!("v{FORMAT_VERSION}"), "a new version of the format needs golden files");
    let directory = golden(newest);
    for (name, make) in STORAGES {
        let path = directory.join(name);
        let mut storage = MemoryBackend::new();
        let points = make(&mut storage);
        let expected = expected(&path);
        for (id, point) in &points {
            let same = expected.get(id) == Some(&brief(point));
            assert!(same, "{name}, checkpoint {id}: what the program holds is another thing; it is now {point}");
        }
        assert_eq!(points.len(), expected.len(), "{name}");
        let head = storage.read_head().unwrap().unwrap();
        let advice = "other bytes. If the format has changed, give it a new version and golden files; if only what the \
                      program keeps, or when it compacts, say so in the changelog and make these anew beside the old";
        for (object, bytes) in storage.objects_mut() {
            let golden = fs::read(path.join("objects").join(object)).unwrap();
            assert!(*bytes == golden, "{name}, {object}: {advice}");
        }
        let written = fs::read_dir(path.join("objects")).unwrap().count();
        assert_eq!(written, storage.objects_mut().len());
        assert!(head == fs::read(path.join("head")).unwrap(), "{name}, head: {advice}");
    }
}

#[test]
fn a_restored_state_goes_on_to_the_same_bytes() {
    let (mut went_on, mut restored) = (MemoryBackend::new(), MemoryBackend::new());
    of_holder(&mut went_on);
    of_holder_restored(&mut restored, true);
    for (object, bytes) in went_on.objects_mut() {
        assert!(restored.objects_mut().get(object) == Some(bytes), "{object}");
    }
    assert_eq!(restored, went_on);
}
