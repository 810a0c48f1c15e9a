//! Each storage keeps the contract of `Backend`.

use std::fs;

use crate::common::conformance::conforms;
use crate::common::storage::Shared;
use eventflux::Backend;
use eventflux::storage::{Access, AnyBackend, FaultBackend, FileBackend};
use eventflux_core::{ByteRange, Error};

#[test]
fn memory() {
    let shared = Shared::default();
    conforms(|| shared.clone());
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    conforms(|| FileBackend::open(directory.path().join("deep/down/state"), Access::TakeOver).unwrap());
}

#[test]
fn boxed_and_wrapped() {
    let directory = tempfile::tempdir().unwrap();
    conforms(|| -> AnyBackend {
        Box::new(FaultBackend::new(FileBackend::open(directory.path(), Access::TakeOver).unwrap()))
    });
}

#[test]
fn names_do_not_lead_out_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = FileBackend::open(directory.path().join("state"), Access::Write).unwrap();
    fs::write(directory.path().join("state/secret"), "bytes").unwrap();
    for name in ["", "..", ".", "../secret", "/etc/passwd", "a/b", "a\\b", ".hidden", "nul\0", "ü"] {
        assert!(matches!(storage.put(name, b"x"), Err(Error::Storage { .. })), "{name}");
        assert!(matches!(storage.read(name, ByteRange::All), Err(Error::Storage { .. })), "{name}");
        assert!(matches!(storage.delete(name), Err(Error::Storage { .. })), "{name}");
    }
    assert_eq!(storage.list().unwrap(), []);
    assert_eq!(fs::read(directory.path().join("state/secret")).unwrap(), b"bytes");
}

#[test]
fn what_is_half_written_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = FileBackend::open(directory.path(), Access::Write).unwrap();
    fs::write(directory.path().join("objects/checkpoint-0000000001-g1.efx.0.tmp"), "half").unwrap();
    fs::write(directory.path().join("head.1.tmp"), "half").unwrap();
    assert_eq!((storage.list().unwrap(), storage.read_head().unwrap()), (vec![], None));
    drop(storage);
    FileBackend::open(directory.path(), Access::Read).unwrap();
    assert!(directory.path().join("head.1.tmp").exists(), "a reader changes nothing");
    FileBackend::open(directory.path(), Access::Write).unwrap();
    assert!(!directory.path().join("head.1.tmp").exists());
    assert_eq!(fs::read_dir(directory.path().join("objects")).unwrap().count(), 0);
}

#[test]
fn temporary_files_of_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let ours = ["head.0.tmp", "head.12.tmp", "objects/checkpoint-0000000001-g1.efx.1.tmp"];
    // A storage in a directory that has other files too, as `file:.` or `file:/tmp`.
    let others = [
        "notes.tmp",
        "notes.0.tmp",
        "head.tmp",
        "head..tmp",
        "head.a.tmp",
        "head.0.tmp2",
        "head0.tmp",
        ".tmp",
        "0.tmp",
        "checkpoint-0000000001-g1.efx.1.tmp",
        "objects/notes.tmp",
        "objects/notes.0.tmp",
        "objects/head.0.tmp",
        "objects/checkpoint-0000000001-g1.efx.tmp",
        "objects/checkpoint-1-g1.efx.0.tmp",
    ];
    fs::create_dir(directory.path().join("objects")).unwrap();
    for name in ours.iter().chain(&others) {
        fs::write(directory.path().join(name), "bytes").unwrap();
    }
    for access in [Access::Write, Access::TakeOver] {
        let mut storage = FileBackend::open(directory.path(), access).unwrap();
        assert_eq!(storage.list().unwrap(), []);
    }
    for name in ours {
        assert!(!directory.path().join(name).exists(), "{name} is left");
    }
    for name in others {
        assert!(directory.path().join(name).exists(), "{name} is gone");
    }
}

/// A file that can be written and not synced, in the place of the first attempts.
#[cfg(unix)]
fn fail_syncs(directory: &std::path::Path, name: &str, attempts: u32) {
    for attempt in 0..attempts {
        std::os::unix::fs::symlink("/dev/null", directory.join(format!("{name}.{attempt}.tmp"))).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn after_a_failed_sync_it_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = FileBackend::open(directory.path(), Access::Write).unwrap().holding_back(0);
    let objects = directory.path().join("objects");
    let files = |at: &std::path::Path| fs::read_dir(at).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    fail_syncs(&objects, "once", 1);
    storage.put("once", b"bytes").unwrap();
    assert!(objects.join("once").symlink_metadata().unwrap().is_file());
    assert_eq!(storage.read("once", ByteRange::All).unwrap().unwrap(), b"bytes");
    fail_syncs(&objects, "never", 2);
    assert!(matches!(storage.put("never", b"bytes"), Err(Error::Storage { .. })));
    assert_eq!(files(&objects), [objects.join("once")], "what may be damaged is gone");
    storage.put("never", b"bytes").unwrap();
    assert_eq!(storage.read("never", ByteRange::All).unwrap().unwrap(), b"bytes");

    // Of the head there is always one.
    assert!(storage.swap_head(None, b"first").unwrap());
    fail_syncs(directory.path(), "head", 1);
    assert!(storage.swap_head(Some(b"first"), b"second").unwrap());
    fail_syncs(directory.path(), "head", 2);
    assert!(matches!(storage.swap_head(Some(b"second"), b"third"), Err(Error::Storage { .. })));
    assert!(directory.path().join("head").symlink_metadata().unwrap().is_file());
    assert_eq!(storage.read_head().unwrap().unwrap(), b"second");
    assert!(storage.swap_head(Some(b"second"), b"third").unwrap());
    assert!(files(directory.path()).iter().all(|file| file.extension().is_none_or(|extension| extension != "tmp")));
}

#[cfg(unix)]
#[test]
fn an_object_that_waits_for_the_head_is_written_anew_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = FileBackend::open(directory.path(), Access::Write).unwrap();
    let objects = directory.path().join("objects");
    let is_file = |name: &str| objects.join(name).symlink_metadata().is_ok_and(|found| found.is_file());
    // By the head, or by the next object.
    fail_syncs(&objects, "one", 1);
    storage.put("one", b"bytes").unwrap();
    assert!(!is_file("one"), "it has its name and is not synced");
    assert!(storage.swap_head(None, b"first").unwrap());
    fail_syncs(&objects, "two", 1);
    storage.put("two", b"bytes").unwrap();
    storage.put("three", b"more").unwrap();
    for (name, bytes) in [("one", "bytes"), ("two", "bytes"), ("three", "more")] {
        assert!(is_file(name));
        assert_eq!(storage.read(name, ByteRange::All).unwrap().unwrap(), bytes.as_bytes());
    }
    // The head's own failed, and not the object's.
    fail_syncs(directory.path(), "head", 3);
    fs::remove_file(directory.path().join("head.0.tmp")).unwrap();
    assert!(storage.swap_head(Some(b"first"), b"second").unwrap());
    assert_eq!(storage.read_head().unwrap().unwrap(), b"second");

    // What cannot be synced is gone, and the head stays.
    fail_syncs(&objects, "four", 1);
    storage.put("four", b"bytes").unwrap();
    fail_syncs(&objects, "four", 2);
    let error = storage.swap_head(Some(b"second"), b"third").unwrap_err().to_string();
    assert!(error.contains("objects/four"), "{error}");
    assert!(objects.join("four").symlink_metadata().is_err());
    assert_eq!(storage.read_head().unwrap().unwrap(), b"second");
    storage.put("four", b"bytes").unwrap();
    assert!(storage.swap_head(Some(b"second"), b"third").unwrap());
    assert!(is_file("four"));
}
