//! An output that goes on in a copy: the run that is taken over keeps the file that it has open, and so can write nothing
//! between our results before it notices that it was fenced off.
//!
//! Invariants, where several take over at once:
//! - The copy is locked by who makes it; it gets the output's name as long as the storage is still its maker's, which is
//!   asked last, with the lock held; and who has fenced others off waits for that lock before it writes. So a run that was
//!   fenced off meanwhile puts nothing in the place of what the one that has fenced it off wrote.
//! - What is copied is what the checkpoint accounts for: whichever of the files before it is copied from, it is the same.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::output::{Lock, failed, open_locked, refused};
use crate::error::Result;
use crate::storage::{Access, sync_directory};

/// Name of a copy, around that of its output: one that nobody gives to something else.
const COPY: (&str, &str) = (".", ".eventflux-take-over");

/// How long a copy is waited for that another run makes and that does not grow. To start again goes on.
const COPYING_WAIT: Duration = Duration::from_secs(60);

/// Whether a copy can be made: asked before the run that is taken over is fenced off, so that it lives on where not.
pub(super) fn try_copy(path: &Path) -> Result<()> {
    let copy = copy_of(path).map_err(failed("take over", path))?;
    let (_file, lock) = open_locked(&copy, Access::TakeOver)?;
    if lock == Lock::OfAnother {
        return Err(refused(path, "another run is taking it over just now; wait for it, then try again"));
    }
    fs::remove_file(&copy).map_err(failed("take over", path))
}

/// Goes on in a copy of the first `len` bytes, which gets the name of the output, unless `ensure_ours` fails.
pub(super) fn go_on_in_copy(
    old: &mut File,
    path: &Path,
    len: u64,
    ensure_ours: &dyn Fn() -> Result<()>,
) -> Result<File> {
    let path = path.canonicalize().map_err(failed("take over", path))?;
    let temporary = copy_of(&path).map_err(failed("take over", &path))?;
    let mut copy = lock_copy(&temporary, ensure_ours)?;
    let taken = copy_to(old, &mut copy, len).map_err(failed("take over", &path)).and_then(|()| {
        ensure_ours()?;
        let renamed = fs::rename(&temporary, &path);
        let synced = renamed.and_then(|()| sync_directory(path.parent().unwrap_or(Path::new("."))));
        synced.map_err(failed("take over", &path))
    });
    if taken.is_err() {
        // If it is still there; with its new name it is left alone.
        let _ = fs::remove_file(&temporary);
    }
    taken.map(|()| copy)
}

fn copy_to(old: &mut File, copy: &mut File, len: u64) -> io::Result<()> {
    copy.set_len(0)?;
    // Who may read the one may read the other, from the first byte on; its owner may write it.
    let metadata = old.metadata()?;
    copy.set_permissions(metadata.permissions())?;
    keep_owner(copy, &metadata);
    old.rewind()?;
    if io::copy(&mut Read::by_ref(old).take(len), copy)? < len {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    copy.sync_all()
}

/// Locks the copy, once whoever else is at work with it has ended or given up; that one or we have been fenced off.
fn lock_copy(copy: &Path, ensure_ours: &dyn Fn() -> Result<()>) -> Result<File> {
    let (mut begun, mut copied) = (Instant::now(), 0);
    loop {
        let (file, lock) = open_locked(copy, Access::TakeOver)?;
        if lock == Lock::Held {
            return Ok(file);
        }
        ensure_ours()?;
        let len = file.metadata().map_err(failed("read", copy))?.len();
        if len > copied {
            (begun, copied) = (Instant::now(), len);
        }
        if begun.elapsed() > COPYING_WAIT {
            let reason = "another process has it locked, as one does that takes the output over; wait for it or end it, \
                          then start again";
            return Err(refused(copy, reason));
        }
    }
}

/// Waits for a run that is making a copy, which asked before it was fenced off, and removes what one left that was killed.
pub(super) fn end_copying(path: &Path, ensure_ours: &dyn Fn() -> Result<()>) -> Result<()> {
    let copy = copy_of(path).map_err(failed("read", path))?;
    if copy.exists() {
        let _locked = lock_copy(&copy, ensure_ours)?;
        // It is only room on the disk.
        let _ = fs::remove_file(&copy);
    }
    Ok(())
}

/// The copy in which an output that is taken over goes on; of a link, beside where it leads to.
fn copy_of(path: &Path) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    let mut name = std::ffi::OsString::from(COPY.0);
    name.push(path.file_name().unwrap_or_default());
    name.push(COPY.1);
    Ok(path.with_file_name(name))
}

/// Only the owner of all files may give one away: for others it is their own already, or stays so.
#[cfg(unix)]
fn keep_owner(copy: &File, of: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt;
    let _ = std::os::unix::fs::fchown(copy, Some(of.uid()), Some(of.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &fs::Metadata) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::runtime::output::OutputFile;
    use crate::runtime::recorded::Accounted;

    /// An output into which a run has written `one `, and that run.
    fn begun(directory: &tempfile::TempDir) -> (PathBuf, OutputFile) {
        let path = directory.path().join("out.ndjson");
        let mut run = OutputFile::open(&path, "out.ndjson", Access::Write).expect("a directory of our own");
        run.cut(0, &|| Ok(())).expect("nobody else has it");
        run.append(b"one ", 0).expect("the disk has room");
        (path, run)
    }

    fn taken(path: &Path) -> OutputFile {
        OutputFile::open(path, "out.ndjson", Access::TakeOver).expect("a directory of our own")
    }

    /// It was as long as that when it was looked at.
    #[test]
    fn an_output_that_became_shorter_is_not_filled_up() {
        let directory = tempfile::tempdir().unwrap();
        let (path, run) = begun(&directory);
        drop(run);
        let mut run = OutputFile::open(&path, "out.ndjson", Access::Write).unwrap();
        let accounted = Accounted { length: 4, tail: None, is_printed: false };
        run.go_on_from(Some(accounted), false, ["one"].into_iter()).unwrap_err();
        let accounted = Accounted { tail: Some(xxhash_rust::xxh3::xxh3_64(b"one ")), ..accounted };
        for (found, reason) in [("on", "ends after 2 bytes"), ("ONE two", "was replaced or written")] {
            fs::write(&path, "one ").unwrap();
            run.go_on_from(Some(accounted), false, ["one"].into_iter()).unwrap();
            fs::write(&path, found).unwrap();
            let error = run.cut(4, &|| Ok(())).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), found);
        }
    }

    /// Of two that take over from a third, the one that was fenced off by the other puts nothing in its place; and one
    /// whose file was replaced before it had the storage goes on with what is there.
    #[test]
    fn who_was_fenced_off_meanwhile_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut hung) = begun(&directory);
        let mut slow = taken(&path);
        let mut quick = taken(&path);
        let mut late = taken(&path);
        let mut later = taken(&path);
        quick.cut(4, &|| Ok(())).unwrap();
        quick.append(b"two ", 4).unwrap();

        let fenced = || Err(Error::Core(eventflux_core::Error::Fenced { held: 2, current: 3 }));
        assert!(slow.cut(4, &fenced).unwrap_err().to_string().contains("fenced"));
        assert_eq!(fs::read(&path).unwrap(), b"one two ");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no copy is left");

        late.cut(8, &|| Ok(())).unwrap();
        late.append(b"three", 8).unwrap();
        // What is written into the file without a name, nobody finds.
        hung.append(b"late", 4).unwrap();
        quick.append(b"late", 8).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one two three");

        // Nor does one cut it that wakes when all others have ended, so that nothing is locked.
        drop((hung, quick, late));
        assert!(later.cut(4, &fenced).unwrap_err().to_string().contains("fenced"));
        assert_eq!(fs::read(&path).unwrap(), b"one two three");
    }

    /// One that has asked, and is slow to put its copy there, is waited for: also where the run of before has ended by then,
    /// so that nothing keeps the output locked.
    #[test]
    fn a_copy_on_its_way_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (path, hung) = begun(&directory);
        let mut slow = taken(&path);
        drop(hung);
        let mut quick = taken(&path);
        std::thread::scope(|scope| {
            let (asked, has_asked) = std::sync::mpsc::channel();
            scope.spawn(move || {
                let delayed = || {
                    asked.send(()).unwrap();
                    std::thread::sleep(Duration::from_secs(2));
                    Ok(())
                };
                slow.cut(4, &delayed).unwrap();
                slow.append(b"of one that was fenced off", 4).unwrap();
            });
            has_asked.recv().unwrap();
            quick.cut(4, &|| Ok(())).unwrap();
            quick.append(b"two ", 4).unwrap();
        });
        assert_eq!(fs::read(&path).unwrap(), b"one two ");
    }
}
