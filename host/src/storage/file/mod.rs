//! A storage in a directory.
//!
//! Layout: `objects/` with one file a checkpoint; `head`, the head record; `writer.lock`, held by
//! the process that writes, for as long as it lives; `head.lock`, held while the head is replaced.
//!
//! Invariants:
//! - A file gets its name only once it is written whole, so that readers beside the writer see all
//!   of it or nothing. Names ending in `.tmp` are never read; those that we give are removed by the
//!   next writer, and no others: the directory may be one that the user has other files in.
//! - The head gets its name only once it is durable: temporary file, fsync, rename, fsync of the
//!   directory. Whatever a power failure leaves, `head` is one that was written whole.
//! - A small object waits for the head that comes after it: object, its name and the new head become
//!   durable at once, then the head gets its name. So a checkpoint waits twice for the disk, as long
//!   as a file that is written durably, and not four times. A larger one is durable when it is put:
//!   others would wait too long for the lock of the head.
//! - The head is compared and replaced under `head.lock`, so that of two writers one is refused,
//!   even if one of them has lost `writer.lock` to a takeover.
//! - A directory is made only in one whose own name is durable, so that of those that are there only
//!   the deepest may have been left by a process that died before it synced the name.

mod durable;
mod opened;
mod system;

use std::fs::TryLockError;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventflux_core::{Backend, ByteRange, Error as CoreError, ObjectId, ObjectInfo};

use super::check_writer;
use crate::error::{Error, Result};
use durable::{HeldBack, TEMPORARY, named_while_written, parent, replace_head, write_object};
use opened::{Opened, is_open_here};
pub use system::{FileSystem, HostFiles, Unsynced};

const OBJECTS: &str = "objects";
const HEAD: &str = "head";
const HEAD_LOCK: &str = "head.lock";
const WRITER_LOCK: &str = "writer.lock";
/// How long a process that was just forked may take to become another program.
const FORK_WAIT: Duration = Duration::from_secs(1);
/// How long replacing the head waits for another process that does the same.
const HEAD_LOCK_WAIT: Duration = Duration::from_secs(10);
/// Longest object that waits for the head.
const HELD_BACK_BYTES_MAX: usize = 1024 * 1024;

/// What a storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; beside a writer if there is one. What would write is refused.
    Read,
    /// Writing. Files and Redis refuse while another process has it open for writing; a bucket cannot tell, and fences
    /// that writer off.
    Write,
    /// Writing, even while another process has it open for writing: that one is fenced off.
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
pub struct FileBackend<F: FileSystem = HostFiles> {
    files: F,
    directory: PathBuf,
    objects: PathBuf,
    /// The object put last, unless it is durable.
    held: Option<HeldBack<F::File>>,
    held_back_bytes_max: usize,
    /// Held for as long as this lives; the lock goes with the process.
    lock: Option<F::File>,
    /// Dropped after the lock.
    _opened: Option<Opened>,
}

impl FileBackend {
    /// Opens a directory, which is made if it is opened for writing.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process writes to it; [`Error::File`] if it cannot be made or
    /// written to, or, for reading, is not there.
    pub fn open(directory: impl Into<PathBuf>, access: Access) -> Result<Self> {
        Self::open_on(HostFiles, directory, access)
    }
}

impl<F: FileSystem> FileBackend<F> {
    /// As [`FileBackend::open`], on another file system: the simulated disk of the tests.
    ///
    /// # Errors
    /// As [`FileBackend::open`].
    #[doc(hidden)]
    pub fn open_on(files: F, directory: impl Into<PathBuf>, access: Access) -> Result<Self> {
        let directory = directory.into();
        let objects = directory.join(OBJECTS);
        let (mut lock, mut opened) = (None, None);
        if access == Access::Read {
            // One that has lost its objects is no empty place: what the head names is missing.
            let has_head = || found(files.read(&directory.join(HEAD), ByteRange::At { offset: 0, len: 0 }));
            if !files.is_directory(&objects) && !matches!(has_head(), Ok(Some(_))) {
                let hidden = objects.metadata().err().filter(|error| error.kind() == ErrorKind::PermissionDenied);
                let none = || io::Error::new(ErrorKind::NotFound, "there is no checkpoint storage here");
                let reason = hidden.unwrap_or_else(none);
                return Err(Error::File { action: "open", path: directory, reason });
            }
        } else {
            make_directory(&files, &objects)?;
            lock = Some(lock_writer(&files, &directory, access)?);
            opened = Some(Opened::new(&directory));
            remove_temporary(&files, &objects, |name| ObjectId::from_name(name).is_some());
            remove_temporary(&files, &directory, |name| name == HEAD);
        }
        let held_back_bytes_max = HELD_BACK_BYTES_MAX;
        Ok(FileBackend { files, directory, objects, held: None, held_back_bytes_max, lock, _opened: opened })
    }

    /// Lets only objects up to this length wait for the head: for tests of both ways with small ones.
    #[doc(hidden)]
    #[must_use]
    pub fn holding_back(self, bytes_max: usize) -> Self {
        FileBackend { held_back_bytes_max: bytes_max, ..self }
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

impl<F: FileSystem> Backend for FileBackend<F> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<(), CoreError> {
        check_writer(self.lock.is_some(), object)?;
        let path = self.object_path(object)?;
        if let Some(held) = self.held.take() {
            let path = held.path().to_path_buf();
            held.release(&self.files).map_err(|error| storage_error("put", &path, &error))?;
        }
        if bytes.len() <= self.held_back_bytes_max {
            self.held = HeldBack::write(&self.files, &path, bytes).ok();
        }
        match self.held {
            Some(_) => Ok(()),
            None => write_object(&self.files, &path, bytes).map_err(|error| storage_error("put", &path, &error)),
        }
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>, CoreError> {
        let path = self.object_path(object)?;
        found(self.files.read(&path, range)).map_err(|error| storage_error("read", &path, &error))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>, CoreError> {
        let listed = found(self.files.list(&self.objects));
        let listed = listed.map_err(|error| storage_error("list", &self.objects, &error))?.unwrap_or_default();
        let mut objects: Vec<ObjectInfo> = listed
            .into_iter()
            .filter(|(name, _)| !is_temporary(name))
            .map(|(name, len)| ObjectInfo { name, len })
            .collect();
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    fn delete(&mut self, object: &str) -> Result<(), CoreError> {
        check_writer(self.lock.is_some(), object)?;
        let path = self.object_path(object)?;
        self.held.take_if(|held| held.path() == path);
        found(self.files.remove(&path)).map(|_| ()).map_err(|error| storage_error("delete", &path, &error))
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>, CoreError> {
        let path = self.directory.join(HEAD);
        found(self.files.read(&path, ByteRange::All)).map_err(|error| storage_error("read", &path, &error))
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, CoreError> {
        check_writer(self.lock.is_some(), HEAD)?;
        let path = self.directory.join(HEAD);
        let mut swap = || -> io::Result<bool> {
            let lock = self.files.open_lock(&self.directory.join(HEAD_LOCK))?;
            self.files.lock_within(&lock, HEAD_LOCK_WAIT).map_err(explain_wait)?;
            if found(self.files.read(&path, ByteRange::All))?.as_deref() != expected {
                return Ok(false);
            }
            replace_head(&self.files, &mut self.held, &path, new)?;
            Ok(true)
        };
        swap().map_err(|error| storage_error("write", &path, &error))
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    HostFiles.sync_directory(path)
}

fn make_directory<F: FileSystem>(files: &F, path: &Path) -> Result<()> {
    let make = || -> io::Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !files.is_directory(path);
        let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
        if let Some(deepest) = path.ancestors().nth(missing.len()).filter(|path| path.file_name().is_some()) {
            // Whoever made it may have died before its name was durable.
            sync_if_allowed(files, parent(deepest))?;
        }
        for new in missing.into_iter().rev() {
            match files.make_directory(new) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                Err(_) if !files.is_directory(new) => {
                    let reason = format!("Not a directory, but a file: {}", new.display());
                    return Err(io::Error::new(ErrorKind::NotADirectory, reason));
                }
                // A later sync would say nothing of this name: it is made anew.
                _ => files.sync_directory(parent(new)).inspect_err(|_| drop(files.remove_directory(new)))?,
            }
        }
        Ok(())
    };
    make().map_err(|reason| Error::File { action: "make the directory", path: path.into(), reason })
}

/// Syncs a directory, unless it is one that we cannot have made anything in, and whoever did saw to it.
fn sync_if_allowed<F: FileSystem>(files: &F, directory: &Path) -> io::Result<()> {
    match files.sync_directory(directory) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::InvalidInput
                    | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

fn lock_writer<F: FileSystem>(files: &F, directory: &Path, access: Access) -> Result<F::File> {
    let path = directory.join(WRITER_LOCK);
    let failed = |reason| Error::File { action: "lock", path: path.clone(), reason };
    let mut file = files.open_lock(&path).map_err(failed)?;
    loop {
        match files.try_lock(&file) {
            // A take-over between opening and locking has left us a file without a name.
            Ok(()) if files.is_at(&file, &path).map_err(failed)? => break,
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if access == Access::TakeOver => {
                // The other one keeps its lock on a file without a name; the generation fences it off.
                found(files.remove(&path)).map_err(failed)?;
            }
            Err(TryLockError::WouldBlock) => {
                let holder = files.read(&path, ByteRange::All).unwrap_or_default();
                let holder = String::from_utf8_lossy(&holder);
                let holder = if holder.is_empty() { String::from("unknown") } else { holder.trim().into() };
                // A process that this one has just forked still has all files of ours, until it becomes another program.
                let was_ours = holder == this_process() && !is_open_here(directory);
                if was_ours
                    && files.lock_within(&file, FORK_WAIT).is_ok()
                    && files.is_at(&file, &path).map_err(failed)?
                {
                    break;
                }
                return Err(Error::Locked { path: directory.into(), writer: holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file = files.open_lock(&path).map_err(failed)?;
    }
    files.set_len(&file, 0).map_err(failed)?;
    writeln!(file, "{}", this_process()).map_err(failed)?;
    Ok(file)
}

/// What a lock file says of its holder.
fn this_process() -> String {
    format!("process {}", std::process::id())
}

/// The holder of the head's lock may have been stopped: nobody waits for it for ever.
fn explain_wait(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::TimedOut {
        io::Error::new(ErrorKind::TimedOut, "another process holds the head's lock for too long")
    } else {
        error
    }
}

/// Removes what a writer before us left half-written of files that we write; what cannot be removed does no harm.
fn remove_temporary<F: FileSystem>(files: &F, directory: &Path, is_ours: impl Fn(&str) -> bool) {
    for (name, _) in files.list(directory).unwrap_or_default() {
        if named_while_written(&name).is_some_and(&is_ours) {
            let _ = files.remove(&directory.join(name));
        }
    }
}

fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == TEMPORARY)
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
        ErrorKind::StorageFull => {
            "; free space and run again (pruning needs a little, too); the last checkpoint is whole"
        }
        ErrorKind::PermissionDenied if matches!(operation, "read" | "list") => {
            "; give this user the right to read there"
        }
        ErrorKind::PermissionDenied => "; give this user the right to write there",
        _ => "",
    };
    CoreError::Storage { operation, object: path.display().to_string(), reason: format!("{error}{advice}") }
}
