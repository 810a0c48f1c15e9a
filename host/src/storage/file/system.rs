//! What the file backend asks of a file system, and the one of the host that answers.
//!
//! The tests answer with a simulated disk, which loses power after any of these calls and leaves
//! what a real one may leave. So each method is one step of which the guarantee is known, and the
//! backend goes by no other way to a file.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use eventflux_core::{ByteRange, Task};

use crate::threads::run_tasks;

/// Files and directories, as far as [`FileBackend`](super::FileBackend) needs them. What a method
/// changes is seen at once by all processes; which of it a power failure leaves is said of each.
pub trait FileSystem: Debug {
    /// An open file. Its lock, if it has one, goes when it is dropped.
    ///
    /// What is written to it may be lost, in any part, until [`FileSystem::sync`] has returned.
    type File: Write + Debug;

    /// Whether there is a directory of this name.
    fn is_directory(&self, path: &Path) -> bool;

    /// Makes a directory in one that is there. Its name may be lost until that one is synced.
    ///
    /// # Errors
    /// Those of the system.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names a directory has, and of what.
    ///
    /// # Errors
    /// Those of the system; then nothing is known of the names that changed since.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Names and lengths of the files in a directory, and names of its directories; what is deleted
    /// meanwhile may be left out, as are names that are not Unicode.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Makes an empty file, or empties one. Its name may be lost until the directory is synced.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes the contents of a file durable; of its name it says nothing.
    ///
    /// # Errors
    /// Those of the system; then the contents may be lost whatever a later call says.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes several files and directories durable, in any order or at once.
    ///
    /// # Errors
    /// One of those that [`FileSystem::sync`] and [`FileSystem::sync_directory`] gave; then nothing is known of any.
    fn sync_each(&self, unsynced: &[Unsynced<'_, Self::File>]) -> io::Result<()>;

    /// Sets the length of a file.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Gives a file another name in the same directory, in the place of what had it. May be lost,
    /// as a whole, until the directory is synced.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away. May be lost until the directory is synced.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Reads a part of a file.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&self, path: &Path, range: ByteRange) -> io::Result<Vec<u8>>;

    /// Opens a file to lock it; makes it if there is none.
    ///
    /// # Errors
    /// Those of the system.
    fn open_lock(&self, path: &Path) -> io::Result<Self::File>;

    /// Locks an open file, or says that another one has.
    ///
    /// # Errors
    /// Another one has locked it; those of the system.
    fn try_lock(&self, file: &Self::File) -> Result<(), TryLockError>;

    /// Locks an open file once no other one has, unless that takes too long.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; those of the system.
    fn lock_within(&self, file: &Self::File, wait: Duration) -> io::Result<()>;

    /// Whether a path still names an open file.
    ///
    /// # Errors
    /// Those of the system.
    fn is_at(&self, file: &Self::File, path: &Path) -> io::Result<bool>;
}

/// What is to be made durable.
#[derive(Debug, Clone, Copy)]
pub enum Unsynced<'a, File> {
    /// The contents of a file.
    File(&'a File),
    /// The names in a directory.
    Directory(&'a Path),
}

impl<File> Unsynced<'_, File> {
    /// Makes it durable.
    ///
    /// # Errors
    /// As [`FileSystem::sync`] or [`FileSystem::sync_directory`].
    pub fn sync(&self, files: &impl FileSystem<File = File>) -> io::Result<()> {
        match self {
            Unsynced::File(file) => files.sync(file),
            Unsynced::Directory(path) => files.sync_directory(path),
        }
    }
}

/// The files of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostFiles;

impl FileSystem for HostFiles {
    type File = File;

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Elsewhere directories cannot be opened, and renames are durable by themselves.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(metadata) => found.push((name, metadata.len())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        File::create(path)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_each(&self, unsynced: &[Unsynced<'_, File>]) -> io::Result<()> {
        let failure = Mutex::new(None);
        let sync = |one: &Unsynced<'_, File>| {
            if let Err(error) = one.sync(self) {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        // Each waits for the disk, and the disk for none of them.
        run_tasks(unsynced.iter().map(|one| -> Task<'_> { Box::new(|| sync(one)) }).collect());
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn read(&self, path: &Path, range: ByteRange) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let (offset, len) = range.within(file.metadata()?.len());
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open_lock(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    fn try_lock(&self, file: &File) -> Result<(), TryLockError> {
        file.try_lock()
    }

    fn lock_within(&self, file: &File, wait: Duration) -> io::Result<()> {
        let until = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                Err(TryLockError::WouldBlock) => return Err(ErrorKind::TimedOut.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    #[cfg(unix)]
    fn is_at(&self, file: &File, path: &Path) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let ours = file.metadata()?;
        match fs::metadata(path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Elsewhere a file that is open keeps its name.
    #[cfg(not(unix))]
    fn is_at(&self, _: &File, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
}
