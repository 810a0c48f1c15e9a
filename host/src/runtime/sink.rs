//! The output file, and standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::storage::{Access, FileSystem, HostFiles, sync_directory};

/// Bytes of results collected before they are written.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long an output may be locked by a process that was just forked from one that has closed it.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Added to the name of an output that is taken over, until the copy is whole.
const TAKE_OVER: &str = ".take-over";

/// Where results go, with the length a checkpoint records.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    buffer: Vec<u8>,
    /// Bytes given out so far, the buffered ones among them.
    len: u64,
}

#[derive(Debug)]
enum Target {
    File { file: File, path: PathBuf, lock: Lock },
    Stdout,
}

/// The lock of an output, which goes with the file: of two runs that write the same output one is refused, whatever
/// their storages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// Ours; or the file is none that can be locked.
    Held,
    /// Of a run that is taken over and may still write.
    OfAnother,
}

impl Sink {
    /// Opens an output and locks it, so that no other run writes it; its contents stay as they are. Then call
    /// [`Sink::go_on_from`] and [`Sink::cut`].
    ///
    /// Standard output cannot be cut: after a restart results may be printed twice.
    pub(super) fn open(path: &Path, access: Access) -> Result<Self> {
        let target = if path.as_os_str() == "-" {
            Target::Stdout
        } else {
            let (file, lock) = open_locked(path, access)?;
            Target::File { file, path: path.into(), lock }
        };
        Ok(Sink { target, buffer: Vec::new(), len: 0 })
    }

    /// Goes on from a checkpoint that accounts for the output up to `recorded`, which must be there. `None`: there is no
    /// checkpoint, the output must be empty or is overwritten. Changes nothing.
    pub(super) fn go_on_from(&mut self, recorded: Option<u64>, overwrite: bool) -> Result<()> {
        self.len = recorded.unwrap_or(0);
        let Target::File { file, path, .. } = &self.target else { return Ok(()) };
        let found = file.metadata().map_err(failed("read", path))?.len();
        if recorded.is_none() && found > 0 && !overwrite {
            return Err(refused(
                path,
                "holds results that no checkpoint accounts for; move the file away, \
                 or start with --from none to overwrite it",
            ));
        }
        check_length(path, found, self.len)
    }

    /// Whether an output has what a checkpoint accounts for. Changes nothing.
    pub(super) fn check(path: &Path, recorded: u64) -> Result<()> {
        if path.as_os_str() == "-" {
            return Ok(());
        }
        check_length(path, path.metadata().map_or(0, |metadata| metadata.len()), recorded)
    }

    /// Cuts off what lies behind the recorded length. Only once the newest checkpoint of the
    /// storage accounts for just that length: a crash between would leave it without its output.
    pub(super) fn cut(&mut self) -> Result<()> {
        let Target::File { file, path, lock } = &mut self.target else { return Ok(()) };
        if *lock == Lock::OfAnother {
            *file = take_over(file, path, self.len)?;
            *lock = Lock::Held;
        }
        let mut cut = || -> io::Result<()> {
            file.set_len(self.len)?;
            file.seek(SeekFrom::Start(self.len))?;
            file.sync_all()?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or(Path::new(".")))
        };
        cut().map_err(failed("cut", path))
    }

    /// Where the next result is appended; call [`Sink::written`] afterwards.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Takes note of results appended to the buffer since it held `before` bytes.
    pub(super) fn written(&mut self, before: usize) -> Result<()> {
        self.len += (self.buffer.len() - before) as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands what is buffered to the operating system.
    pub(super) fn flush(&mut self) -> Result<()> {
        let (outcome, path) = match &mut self.target {
            Target::File { file, path, .. } => (file.write_all(&self.buffer), path.as_path()),
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                (stdout.write_all(&self.buffer).and_then(|()| stdout.flush()), Path::new("standard output"))
            }
        };
        outcome.map_err(|reason| {
            let reason = if reason.kind() == ErrorKind::StorageFull {
                io::Error::new(
                    ErrorKind::StorageFull,
                    format!("{reason}; free space and run again, the last checkpoint is whole"),
                )
            } else {
                reason
            };
            Error::File { action: "write to", path: path.into(), reason }
        })?;
        self.buffer.clear();
        Ok(())
    }

    /// Length of the output.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// A handle whose `sync_data` makes durable all that was flushed.
    pub(super) fn sync_handle(&self) -> Result<Option<SyncHandle>> {
        match &self.target {
            Target::Stdout => Ok(None),
            Target::File { file, path, .. } => {
                let file = file.try_clone().map_err(failed("sync", path))?;
                Ok(Some(SyncHandle { file, path: path.clone() }))
            }
        }
    }
}

/// Opens an output as the only run that writes it. What is no regular file, such as a device, has no lock.
fn open_locked(path: &Path, access: Access) -> Result<(File, Lock)> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(failed("open", path))?;
        // Elsewhere than on Unix a lock would keep readers of the output away too.
        if !cfg!(unix) || !file.metadata().map_err(failed("read", path))?.is_file() {
            return Ok((file, Lock::Held));
        }
        match HostFiles.lock_within(&file, LOCK_WAIT) {
            // Between opening and locking a take-over may have left us a file without a name.
            Ok(()) if HostFiles.is_at(&file, path).map_err(failed("lock", path))? => return Ok((file, Lock::Held)),
            Ok(()) => {}
            Err(reason) if reason.kind() == ErrorKind::TimedOut && access == Access::TakeOver => {
                return Ok((file, Lock::OfAnother));
            }
            Err(reason) if reason.kind() == ErrorKind::TimedOut => {
                return Err(refused(
                    path,
                    "another run writes it; stop that run, or take over from it with --take-over if it is one of this \
                     application, else name another `file` under [sink]",
                ));
            }
            Err(reason) if reason.kind() == ErrorKind::Unsupported => {
                tracing::warn!(path = %path.display(), "its file system has no locks: no other run may write this output");
                return Ok((file, Lock::Held));
            }
            Err(reason) => return Err(failed("lock", path)(reason)),
        }
    }
}

/// Goes on in a copy of the first `len` bytes, which gets the name of the output. The other run keeps the file that it
/// has open, and so can write nothing between our results before it notices that it was fenced off.
fn take_over(old: &mut File, path: &Path, len: u64) -> Result<File> {
    // Of a link, where it leads to.
    let path = path.canonicalize().map_err(failed("take over", path))?;
    let mut name = path.clone().into_os_string();
    name.push(TAKE_OVER);
    let temporary = PathBuf::from(name);
    let (mut copy, _) = open_locked(&temporary, Access::Write)?;
    let mut take_over = || -> io::Result<()> {
        copy.set_len(0)?;
        old.rewind()?;
        if io::copy(&mut Read::by_ref(old).take(len), &mut copy)? < len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        copy.set_permissions(old.metadata()?.permissions())?;
        copy.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    };
    match take_over() {
        Ok(()) => Ok(copy),
        Err(reason) => {
            // If it is still there; with its new name it is left alone.
            let _ = fs::remove_file(&temporary);
            Err(failed("take over", &path)(reason))
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |reason| Error::File { action, path: path.into(), reason }
}

fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Output { path: path.into(), reason: reason.into() }
}

fn check_length(path: &Path, found: u64, recorded: u64) -> Result<()> {
    if found >= recorded {
        return Ok(());
    }
    Err(refused(
        path,
        format!(
            "ends after {found} bytes, but the checkpoint accounts for {recorded}: results were lost; \
             put the file back, or start anew with --from none"
        ),
    ))
}

/// Makes the output durable, from another thread.
#[derive(Debug)]
pub(super) struct SyncHandle {
    file: File,
    path: PathBuf,
}

impl SyncHandle {
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }
}
