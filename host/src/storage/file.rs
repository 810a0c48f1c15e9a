//! A storage in a directory.
//!
//! Layout: `objects/` with one file a checkpoint; `head`, the head record; `writer.lock`, held by
//! the process that writes, for as long as it lives; `head.lock`, held while the head is replaced.
//!
//! Invariants:
//! - A file gets its name only once it is written whole, so that readers beside the writer see all
//!   of it or nothing. Names ending in `.tmp` are never read, and are removed by the next writer.
//! - The head gets its name only once it is durable: temporary file, fsync, rename, fsync of the
//!   directory. Whatever a power failure leaves, `head` is one that was written whole.
//! - An object is renamed first and synced then, file before directory: a journal makes both durable
//!   in one transaction, where syncing first takes two. A power failure on the way may leave a name
//!   with a part of the object, which no head names yet and whose name no other writer takes: the
//!   next prune deletes it, and no procedure reads what no head names.
//! - After a failed fsync the file is abandoned and written anew under another temporary name: what
//!   the page cache says of the old one means nothing any more.
//! - The head is compared and replaced under `head.lock`, so that of two writers one is refused,
//!   even if one of them has lost `writer.lock` to a takeover.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use eventflux_core::{Backend, ByteRange, Error as CoreError, ObjectInfo};

use crate::error::{Error, Result};

const OBJECTS: &str = "objects";
const HEAD: &str = "head";
const HEAD_LOCK: &str = "head.lock";
const WRITER_LOCK: &str = "writer.lock";
const TEMPORARY: &str = "tmp";
/// How long replacing the head waits for another process that does the same.
const HEAD_LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often a file is written anew after a failed fsync.
const WRITE_ATTEMPTS: u32 = 2;

/// What a storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; beside a writer if there is one.
    Read,
    /// Writing; refused while another process has it open for writing.
    Write,
    /// Writing, also while another process has it open: that one is fenced off.
    TakeOver,
}

/// A storage in a directory of its own. See the module for what is in it.
///
/// ```
/// use eventflux::storage::{Access, FileBackend};
/// use eventflux_core::Backend;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let mut storage = FileBackend::open(directory.path().join("state"), Access::Write)?;
/// storage.put("checkpoint-0000000000-g1.efx", b"bytes")?;
/// assert_eq!(storage.list()?[0].len, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FileBackend {
    directory: PathBuf,
    objects: PathBuf,
    /// Held for as long as this lives; the lock goes with the process.
    _lock: Option<File>,
}

impl FileBackend {
    /// Opens a directory, which is made if it is opened for writing.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process writes to it; [`Error::File`] if it cannot be made or
    /// written to, or, for reading, is not there.
    pub fn open(directory: impl Into<PathBuf>, access: Access) -> Result<Self> {
        let directory = directory.into();
        let objects = directory.join(OBJECTS);
        let mut lock = None;
        if access == Access::Read {
            if !objects.is_dir() {
                let reason = io::Error::new(ErrorKind::NotFound, "there is no checkpoint storage here");
                return Err(Error::File { action: "open", path: directory, reason });
            }
        } else {
            make_directory(&objects)?;
            lock = Some(lock_writer(&directory, access)?);
            remove_temporary(&objects);
            remove_temporary(&directory);
        }
        Ok(FileBackend { directory, objects, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn object_path(&self, object: &str) -> Result<PathBuf, CoreError> {
        // Names come from manifests too: none of them leads out of the directory.
        let plain =
            !object.is_empty() && object.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if plain && !object.starts_with('.') {
            Ok(self.objects.join(object))
        } else {
            Err(storage_error(
                "name",
                Path::new(object),
                &io::Error::new(ErrorKind::InvalidInput, "not a name of an object"),
            ))
        }
    }
}

impl Backend for FileBackend {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<(), CoreError> {
        let path = self.object_path(object)?;
        write_durably(&path, bytes, Rename::First).map_err(|error| storage_error("put", &path, &error))
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>, CoreError> {
        let path = self.object_path(object)?;
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            let (offset, len) = range.within(file.metadata()?.len());
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(len).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        found(read()).map_err(|error| storage_error("read", &path, &error))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>, CoreError> {
        let list = || -> io::Result<Vec<ObjectInfo>> {
            let mut objects = Vec::new();
            for entry in fs::read_dir(&self.objects)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if Path::new(&name).extension().is_some_and(|extension| extension == TEMPORARY) {
                    continue;
                }
                // Deleted while we look: not there.
                if let Some(metadata) = found(entry.metadata())? {
                    objects.push(ObjectInfo { name, len: metadata.len() });
                }
            }
            objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(objects)
        };
        list().map_err(|error| storage_error("list", &self.objects, &error))
    }

    fn delete(&mut self, object: &str) -> Result<(), CoreError> {
        let path = self.object_path(object)?;
        found(fs::remove_file(&path)).map(|_| ()).map_err(|error| storage_error("delete", &path, &error))
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>, CoreError> {
        let path = self.directory.join(HEAD);
        found(fs::read(&path)).map_err(|error| storage_error("read", &path, &error))
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, CoreError> {
        let path = self.directory.join(HEAD);
        let swap = || -> io::Result<bool> {
            let lock = open_lock(&self.directory.join(HEAD_LOCK))?;
            wait_for_lock(&lock)?;
            if found(fs::read(&path))?.as_deref() != expected {
                return Ok(false);
            }
            write_durably(&path, new, Rename::Last)?;
            Ok(true)
        };
        swap().map_err(|error| storage_error("write", &path, &error))
    }
}

/// When a file that is written whole gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rename {
    /// Before it is durable: where nobody needs what the name had, and nobody looks for the file yet.
    First,
    /// Once it is durable.
    Last,
}

/// Writes a file so that its name has all of `bytes`, durably. If that fails, the name has what it
/// had before or all of `bytes`; with [`Rename::First`] perhaps nothing.
fn write_durably(path: &Path, bytes: &[u8], rename: Rename) -> io::Result<()> {
    let mut outcome = Ok(());
    for attempt in 0..WRITE_ATTEMPTS {
        let mut name = OsString::from(path);
        name.push(format!(".{attempt}.{TEMPORARY}"));
        outcome = write_once(&PathBuf::from(name), path, bytes, rename);
        match &outcome {
            Ok(()) => return sync_directory(path.parent().unwrap_or(Path::new("."))),
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(_) => {}
        }
    }
    outcome
}

/// One attempt; of one that fails nothing stays.
fn write_once(temporary: &Path, path: &Path, bytes: &[u8], rename: Rename) -> io::Result<()> {
    let write = || -> io::Result<File> {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        if rename == Rename::Last {
            file.sync_all()?;
        }
        fs::rename(temporary, path)?;
        Ok(file)
    };
    let file = write().inspect_err(|_| drop(fs::remove_file(temporary)))?;
    match rename {
        Rename::First => file.sync_all().inspect_err(|_| drop(fs::remove_file(path))),
        Rename::Last => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // Elsewhere directories cannot be opened, and renames are durable by themselves.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

fn make_directory(path: &Path) -> Result<()> {
    let make = || -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let missing = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).count();
        fs::create_dir_all(path)?;
        // The names of all directories that are new.
        for parent in path.ancestors().skip(1).take(missing) {
            sync_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        Ok(())
    };
    make().map_err(|reason| Error::File { action: "make the directory", path: path.into(), reason })
}

fn lock_writer(directory: &Path, access: Access) -> Result<File> {
    let path = directory.join(WRITER_LOCK);
    let failed = |reason| Error::File { action: "lock", path: path.clone(), reason };
    let mut file = open_lock(&path).map_err(failed)?;
    loop {
        match file.try_lock() {
            // A take-over between opening and locking has left us a file without a name.
            Ok(()) if is_at(&file, &path).map_err(failed)? => break,
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if access == Access::TakeOver => {
                // The other one keeps its lock on a file without a name; the generation fences it off.
                found(fs::remove_file(&path)).map_err(failed)?;
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.is_empty() { String::from("unknown") } else { holder.trim().into() };
                return Err(Error::Locked { path: directory.into(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file = open_lock(&path).map_err(failed)?;
    }
    let mut write = || -> io::Result<()> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "process {}", std::process::id())
    };
    write().map_err(failed)?;
    Ok(file)
}

/// Whether a path still names an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata()?;
    Ok(found(fs::metadata(path))?.is_some_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())))
}

/// Whether a path still names an open file: elsewhere one that is open keeps its name.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Waits until the lock is ours, but not for ever: its holder may have been stopped.
fn wait_for_lock(file: &File) -> io::Result<()> {
    let until = Instant::now() + HEAD_LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "another process holds the head's lock for too long"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Removes what a writer before us left half-written; what cannot be removed does no harm.
fn remove_temporary(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == TEMPORARY) {
            let _ = fs::remove_file(path);
        }
    }
}

/// `None` for what is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn storage_error(operation: &'static str, path: &Path, error: &io::Error) -> CoreError {
    let advice = match error.kind() {
        ErrorKind::StorageFull => "; free space and run again, the last checkpoint is whole",
        ErrorKind::PermissionDenied => "; give this user the right to write there",
        _ => "",
    };
    CoreError::Storage { operation, object: path.display().to_string(), reason: format!("{error}{advice}") }
}
