//! Files that are whole and durable, or not there.
//!
//! Invariants:
//! - A file gets its name only once it is written whole.
//! - The head gets its name only once it is durable, and so is the object that it may name.
//! - An object gets its name first and is synced then. A power failure on the way may leave a name with a part of the
//!   object, which no head names yet and whose name no other writer takes: the next prune deletes it, and no procedure
//!   reads what no head names.
//! - After a failed fsync the file is abandoned and written anew under another temporary name: what the page cache says
//!   of the old one means nothing any more.
//! - An object is removed, or written anew, only while no head names it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::system::{FileSystem, Unsynced};

pub(super) const TEMPORARY: &str = "tmp";
/// How often a file is written anew after a failed fsync.
const WRITE_ATTEMPTS: u32 = 2;

/// When a file that is written whole gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rename {
    /// Before it is durable: where nobody needs what the name had, and nobody looks for the file yet.
    First,
    /// Once it is durable.
    Last,
}

/// An object that has its name and is not durable yet.
#[derive(Debug)]
pub(super) struct HeldBack<File> {
    path: PathBuf,
    bytes: Vec<u8>,
    file: File,
}

impl<File: Write> HeldBack<File> {
    /// Writes an object, so that all who read see it.
    pub(super) fn write<F: FileSystem<File = File>>(files: &F, path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let file = write_named(files, &temporary_name(path, 0), path, bytes, |_| Ok(()))?;
        Ok(HeldBack { path: path.into(), bytes: bytes.into(), file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it durable.
    pub(super) fn release<F: FileSystem<File = File>>(self, files: &F) -> io::Result<()> {
        self.sync(files, None).or_else(|_| self.write_anew(files))
    }

    /// Makes it durable, and `more` with it.
    fn sync<F: FileSystem<File = File>>(&self, files: &F, more: Option<Unsynced<'_, File>>) -> io::Result<()> {
        let object = [Unsynced::File(&self.file), Unsynced::Directory(parent(&self.path))];
        files.sync_each(&object.into_iter().chain(more).collect::<Vec<_>>())
    }

    /// Makes it durable after an fsync of it may have failed.
    fn write_anew<F: FileSystem<File = File>>(&self, files: &F) -> io::Result<()> {
        write_object(files, &self.path, &self.bytes)
            .map_err(|error| io::Error::new(error.kind(), format!("of {}: {error}", self.path.display())))
    }
}

/// Writes an object, durably, under a name that no head has. If that fails, no head may ever have it.
pub(super) fn write_object<F: FileSystem>(files: &F, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_durably(files, path, bytes, Rename::First)
}

/// Puts a new head in the place of the old one, durably, and the object that was held back before it. If that fails,
/// the name has the old head or the new one.
pub(super) fn replace_head<F: FileSystem>(
    files: &F,
    held: &mut Option<HeldBack<F::File>>,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    if held.is_some() && replace_at_once(files, held, path, bytes).is_ok() {
        return Ok(());
    }
    if let Some(object) = held.take() {
        object.write_anew(files)?;
    }
    write_durably(files, path, bytes, Rename::Last)
}

/// As [`replace_head`], where all goes well: object and head wait for the disk at once, and not one after the other.
fn replace_at_once<F: FileSystem>(
    files: &F,
    held: &mut Option<HeldBack<F::File>>,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    let sync = |head: &F::File| {
        if let Some(object) = held {
            object.sync(files, Some(Unsynced::File(head)))?;
        }
        // From here on it is not written anew, whatever happens: the head may name it.
        *held = None;
        Ok(())
    };
    write_named(files, &temporary_name(path, WRITE_ATTEMPTS), path, bytes, sync)?;
    files.sync_directory(parent(path))
}

/// Writes a file so that its name has all of `bytes`, durably. If that fails, the name has what it had before or all of
/// `bytes`; with [`Rename::First`] perhaps nothing.
fn write_durably<F: FileSystem>(files: &F, path: &Path, bytes: &[u8], rename: Rename) -> io::Result<()> {
    let mut outcome = Ok(());
    for attempt in 0..WRITE_ATTEMPTS {
        outcome = write_once(files, &temporary_name(path, attempt), path, bytes, rename);
        match &outcome {
            Ok(()) => return files.sync_directory(parent(path)),
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(_) => {}
        }
    }
    outcome
}

/// One attempt; of one that fails nothing stays.
fn write_once<F: FileSystem>(files: &F, temporary: &Path, path: &Path, bytes: &[u8], rename: Rename) -> io::Result<()> {
    match rename {
        Rename::First => {
            let file = write_named(files, temporary, path, bytes, |_| Ok(()))?;
            files.sync(&file).inspect_err(|_| drop(files.remove(path)))
        }
        Rename::Last => write_named(files, temporary, path, bytes, |file| files.sync(file)).map(drop),
    }
}

/// Writes a file under a temporary name, then gives it its own, once `before` is done. If one of that fails, nothing has
/// the temporary name.
fn write_named<F: FileSystem>(
    files: &F,
    temporary: &Path,
    path: &Path,
    bytes: &[u8],
    before: impl FnOnce(&F::File) -> io::Result<()>,
) -> io::Result<F::File> {
    let write = || -> io::Result<F::File> {
        let mut file = files.create(temporary)?;
        file.write_all(bytes)?;
        before(&file)?;
        files.rename(temporary, path)?;
        Ok(file)
    };
    write().inspect_err(|_| drop(files.remove(temporary)))
}

/// The name that a file has while it is written.
fn temporary_name(path: &Path, attempt: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{attempt}.{TEMPORARY}"));
    name.into()
}

/// The name that a file gets which has this one while it is written: what [`temporary_name`] makes, read back.
pub(super) fn named_while_written(temporary: &str) -> Option<&str> {
    let (name, attempt) = temporary.strip_suffix(TEMPORARY)?.strip_suffix('.')?.rsplit_once('.')?;
    let is_attempt = !attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_digit());
    is_attempt.then_some(name)
}

/// The directory that a path is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
