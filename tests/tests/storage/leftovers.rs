//! 10,000 checkpoints that were retained for a while and pruned leave nothing in the storage that no
//! retained one needs: counted, object by object and file by file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::leftovers::{Counted, leaves_nothing_behind};
use crate::common::storage::Shared;
use eventflux::storage::{Access, FileBackend};
use tempfile::TempDir;

const CHECKPOINTS: u64 = 10_000;

fn report(what: &str, counted: Counted) {
    let Counted { checkpoints, retained, objects, orphans } = counted;
    println!(
        "leftovers in {what}: {checkpoints} checkpoints, {retained} retained, which need {objects} objects; no other is \
         there; {orphans} that failures had left were pruned"
    );
    assert!(orphans > 10);
}

#[test]
fn in_memory() {
    let shared = Shared::default();
    let names = || shared.objects().into_iter().collect();
    let counted = leaves_nothing_behind(CHECKPOINTS, &|| shared.clone(), &names);
    report("memory", counted);
}

/// A directory in memory where there is one, since nothing here needs to outlive a power failure:
/// thirty thousand times waiting for a disk would take minutes.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn in_files() {
    let directory = directory();
    let open = || FileBackend::open(directory.path(), Access::TakeOver).unwrap();
    // Not what the storage lists: what is there.
    let names = || names_in(&directory.path().join("objects"));
    let counted = leaves_nothing_behind(CHECKPOINTS, &open, &names);
    report("files", counted);
    let expected = ["head", "head.lock", "objects", "writer.lock"].map(String::from);
    assert_eq!(names_in(directory.path()), BTreeSet::from(expected));
}
