//! An output that is a file: opened by one run at a time, and the very file that a checkpoint accounts for.
//!
//! Invariants, of a regular file from [`OutputFile::cut`] on:
//! - nothing but this run writes it: its length is what was written, and its name leads to it;
//! - what is written goes to its end, so that where something cut it the length tells, and no hole is left.
//!
//! Devices and pipes have no length and no lock; nothing of this is asked of them, they are as standard output is.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventflux_core::Output;
use xxhash_rust::xxh3::xxh3_64;

use super::recorded::Accounted;
use super::take_over;
use crate::error::{Error, Result};
use crate::storage::{Access, FileSystem, HostFiles, sync_directory};

/// How long an output may be locked by a process that was just forked from one that has closed it.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// What a file system answers whose service of locks cannot be reached, such as that of NFS.
const NO_LOCKS: Option<i32> = if cfg!(target_os = "linux") { Some(37) } else { Some(77) };
/// Bytes before the recorded length of which a checkpoint has the hash. Enough to tell outputs apart, and few enough
/// to be kept in memory.
const TAIL_BYTES: usize = 4096;

/// An open output.
#[derive(Debug)]
pub(super) struct OutputFile {
    file: File,
    path: PathBuf,
    lock: Lock,
    is_regular: bool,
    tail: Tail,
}

/// The lock of an output, which goes with the file: of two runs that write the same output one is refused, whatever
/// their storages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Ours; or the file is none that can be locked.
    Held,
    /// Of a run that is taken over and may still write.
    OfAnother,
}

/// The last bytes of what is accounted for: what is there must end so too to be taken for it.
#[derive(Debug, Default)]
struct Tail {
    /// The output as the definition names it.
    name: String,
    bytes: Vec<u8>,
}

impl Tail {
    fn of(name: &str) -> Self {
        Tail { name: name.into(), bytes: Vec::with_capacity(TAIL_BYTES) }
    }

    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(TAIL_BYTES);
        self.bytes.drain(..excess);
        self.bytes.extend_from_slice(bytes);
    }

    /// For an empty output its name stands, for any file begins with nothing.
    fn hash(&self) -> u64 {
        xxh3_64(if self.bytes.is_empty() { self.name.as_bytes() } else { &self.bytes })
    }
}

impl OutputFile {
    /// Opens an output and locks it. Changes nothing, unless there is none.
    pub(super) fn open(path: &Path, name: &str, access: Access) -> Result<Self> {
        let (file, lock) = open_locked(path, access)?;
        if lock == Lock::OfAnother {
            // Before the run that is taken over is fenced off: where no copy can be made, it lives on.
            take_over::try_copy(path)?;
        }
        let is_regular = file.metadata().map_err(failed("read", path))?.is_file();
        Ok(OutputFile { file, path: path.into(), lock, is_regular, tail: Tail::of(name) })
    }

    /// Whether it can be read again and cut; else it is as standard output is.
    pub(super) fn is_regular(&self) -> bool {
        self.is_regular
    }

    /// Once the storage is ours: opens what has the name by now, if another run has put a copy in its place since; whether
    /// it has.
    pub(super) fn find_again(&mut self) -> Result<bool> {
        let is_replaced =
            self.is_regular && !HostFiles.is_at(&self.file, &self.path).map_err(failed("read", &self.path))?;
        if is_replaced {
            // Whoever has that one open was fenced off by us, or has fenced us off.
            (self.file, self.lock) = open_locked(&self.path, Access::TakeOver)?;
        }
        Ok(is_replaced)
    }

    /// Goes on from what a checkpoint accounts for, which must be there, or from nothing. `operators`: those whose results
    /// may be behind that.
    pub(super) fn go_on_from<'o>(
        &mut self,
        accounted: Option<Accounted>,
        overwrite: bool,
        operators: impl Iterator<Item = &'o str>,
    ) -> Result<()> {
        self.tail = check(&self.file, &self.path, &self.tail.name, accounted, overwrite)?;
        match accounted {
            // Any file begins with nothing, and is as long as that.
            Some(Accounted { length, tail, .. }) if length == 0 || tail.is_none() => {
                check_ours(&self.file, &self.path, length, operators)
            }
            _ => Ok(()),
        }
    }

    /// Cuts off what lies behind a length; of an output that is taken over, in a copy. `ensure_ours` is to fail if another
    /// writer has taken the storage over.
    pub(super) fn cut(&mut self, len: u64, ensure_ours: &dyn Fn() -> Result<()>) -> Result<()> {
        if !self.is_regular {
            return Ok(());
        }
        take_over::end_copying(&self.path, ensure_ours)?;
        // One that was fenced off by us may just have put its copy here; or one that has fenced us off, and ended since.
        let is_replaced = self.find_again()?;
        self.check_still(len)?;
        if self.lock == Lock::OfAnother {
            self.file = take_over::go_on_in_copy(&mut self.file, &self.path, len, ensure_ours)?;
            self.lock = Lock::Held;
        } else if is_replaced {
            ensure_ours()?;
        }
        let mut cut = || -> io::Result<()> {
            self.file.set_len(len)?;
            self.file.seek(SeekFrom::Start(len))?;
            self.file.sync_all()?;
            // Where the file is, not a link to it.
            let path = self.path.canonicalize()?;
            sync_directory(path.parent().unwrap_or(Path::new("/")))
        };
        cut().map_err(failed("cut", &self.path))
    }

    /// Whether what is to stay is still there: it was looked at before the storage was written to, which takes its time, and
    /// to cut a file at a length that it does not have would fill it up with zeros.
    fn check_still(&self, len: u64) -> Result<()> {
        let failed = failed("read", &self.path);
        let found = self.file.metadata().map_err(&failed)?.len();
        check_length(&self.path, found, len)?;
        if self.tail.bytes.is_empty() || read_tail(&self.file, len).map_err(&failed)? == self.tail.bytes {
            return Ok(());
        }
        Err(refused(
            &self.path,
            "was replaced or written by something else while the run started; put the right file there, or start anew with \
             --from none",
        ))
    }

    /// Writes at the end, before which there must be `len` bytes.
    pub(super) fn append(&mut self, bytes: &[u8], len: u64) -> Result<()> {
        if self.is_regular {
            let found = self.file.metadata().map_err(failed("read", &self.path))?.len();
            if found != len {
                return Err(changed(&self.path, found, len));
            }
        }
        self.file.write_all(bytes).map_err(explain_full).map_err(failed("write to", &self.path))?;
        self.tail.push(bytes);
        Ok(())
    }

    /// A hash of the end of what was written.
    pub(super) fn tail_hash(&self) -> u64 {
        self.tail.hash()
    }

    /// A handle that makes the first `len` bytes durable.
    pub(super) fn sync_handle(&self, len: u64) -> Result<SyncHandle> {
        let file = self.file.try_clone().map_err(failed("sync", &self.path))?;
        Ok(SyncHandle { file, path: self.path.clone(), len: self.is_regular.then_some(len) })
    }
}

/// Makes the output durable, from another thread.
#[derive(Debug)]
pub(super) struct SyncHandle {
    file: File,
    path: PathBuf,
    /// Bytes there must be.
    len: Option<u64>,
}

impl SyncHandle {
    /// Fails as well if what was written is no longer there under the output's name: nobody would find it.
    pub(super) fn sync(&self) -> Result<()> {
        // A device or a pipe has nothing to be made durable.
        let Some(len) = self.len else { return Ok(()) };
        self.file.sync_data().map_err(failed("sync", &self.path))?;
        let found = self.file.metadata().map_err(failed("read", &self.path))?.len();
        if found < len {
            return Err(changed(&self.path, found, len));
        }
        if !HostFiles.is_at(&self.file, &self.path).map_err(failed("read", &self.path))? {
            return Err(refused(
                &self.path,
                "was renamed, removed or replaced while the run wrote it, and its results went to the file of before; put \
                 that back under this name, or start anew with --from none",
            ));
        }
        Ok(())
    }
}

/// Whether an output is just what the checkpoint of a finished run accounts for, without opening it to write. Changes
/// nothing.
pub(super) fn check_at(path: &Path, name: &str, accounted: Accounted) -> Result<()> {
    check_there(path, accounted)?;
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(_) if accounted.length == 0 => return Ok(()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    if metadata.is_file() {
        let file = File::open(path).map_err(failed("open", path))?;
        check(&file, path, name, Some(accounted), false)?;
        let found = file.metadata().map_err(failed("read", path))?.len();
        let behind = found.saturating_sub(accounted.length);
        if behind > 0 {
            return Err(refused(
                path,
                format!(
                    "has {behind} bytes behind the {} of the finished run, which something else wrote; move them away, or \
                     start anew with --from none",
                    accounted.length
                ),
            ));
        }
    }
    Ok(())
}

/// Whether an output that a checkpoint accounts for is there at all. Changes nothing.
pub(super) fn check_there(path: &Path, accounted: Accounted) -> Result<()> {
    let is_missing = path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if !is_missing || accounted.length == 0 {
        return Ok(());
    }
    Err(refused(
        path,
        format!(
            "is not there, but the checkpoint accounts for {} bytes of it: put the file back, or start anew with --from none",
            accounted.length
        ),
    ))
}

/// Whether a file has what a checkpoint accounts for; how that ends.
fn check(file: &File, path: &Path, name: &str, accounted: Option<Accounted>, overwrite: bool) -> Result<Tail> {
    let found = file.metadata().map_err(failed("read", path))?.len();
    let mut tail = Tail::of(name);
    let Some(Accounted { length, tail: wanted, .. }) = accounted else {
        if found == 0 || overwrite {
            return Ok(tail);
        }
        return Err(refused(
            path,
            "holds results that no checkpoint accounts for; move the file away, \
             or start with --from none to overwrite it",
        ));
    };
    check_length(path, found, length)?;
    tail.bytes = read_tail(file, length).map_err(failed("read", path))?;
    if found == 0 || wanted.is_none_or(|wanted| wanted == tail.hash()) {
        return Ok(tail);
    }
    let reason = match length {
        0 => String::from(
            "holds what this run did not write: when the checkpoint was taken the output had another name and was empty; \
             move the file away, or start with --from none to overwrite it",
        ),
        length => format!(
            "is another file than the one that the checkpoint accounts for, or of another branch: its first {length} bytes \
             end otherwise; put the right file there, or start with --from none to overwrite it"
        ),
    };
    Err(refused(path, reason))
}

/// Where a checkpoint accounts for a length alone, or for nothing, it does not tell files apart: whether this one begins with
/// a result of these operators, or with a part of one. It is what a run has written; anything else is not to be cut.
fn check_ours<'o>(
    mut file: &File,
    path: &Path,
    length: u64,
    mut operators: impl Iterator<Item = &'o str>,
) -> Result<()> {
    let mut start = Vec::new();
    file.rewind().and_then(|()| file.take(TAIL_BYTES as u64).read_to_end(&mut start)).map_err(failed("read", path))?;
    if start.is_empty() || operators.any(|operator| Output::is_line_of(&start, operator)) {
        return Ok(());
    }
    let reason = match length {
        0 => String::from(
            "holds what this run did not write: its newest checkpoint accounts for an empty output, and no result of its \
             operators is at the beginning; move the file away, or start with --from none to overwrite it",
        ),
        length => format!(
            "does not begin with a result of the run's operators, and the checkpoint, of another program, tells nothing of \
             the output but {length} bytes (no `output.tail`): put the output there, as lines of JSON, or start with --from \
             none to overwrite this file"
        ),
    };
    Err(refused(path, reason))
}

fn read_tail(mut file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.min(TAIL_BYTES as u64) as usize];
    if !bytes.is_empty() {
        file.seek(SeekFrom::Start(length - bytes.len() as u64))?;
        file.read_exact(&mut bytes)?;
    }
    Ok(bytes)
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

/// Something else has written the file or cut it.
fn changed(path: &Path, found: u64, written: u64) -> Error {
    let (what, advice) = if found < written {
        ("cut", "results were lost; put the file back, or start anew with --from none")
    } else {
        ("written by something else", "let nothing else write there and start again, which cuts that off")
    };
    refused(path, format!("was {what} while the run wrote it: it has {found} bytes instead of {written}; {advice}"))
}

/// Opens an output as the only run that writes it. What is no regular file, such as a device, has no lock.
pub(super) fn open_locked(path: &Path, access: Access) -> Result<(File, Lock)> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true);
        if path.metadata().map_or(true, |metadata| metadata.is_file()) {
            // Elsewhere a file to append to cannot be cut.
            options.read(true).create(true).truncate(false).append(cfg!(unix));
        }
        // Of a pipe only the one end: it is whoever reads it that has the other, or has gone away.
        let file = options.open(path).map_err(failed("open", path))?;
        // Elsewhere a lock would keep readers of the output away too.
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
                    "another run writes it, or something else has locked it; stop that run, or take over from it with --take-over if it is one of this \
                     application, else name another `file` under [sink]",
                ));
            }
            Err(reason) if reason.kind() == ErrorKind::Unsupported || reason.raw_os_error() == NO_LOCKS => {
                tracing::warn!(path = %path.display(), "its file system has no locks: no other run may write this output");
                return Ok((file, Lock::Held));
            }
            Err(reason) => return Err(failed("lock", path)(reason)),
        }
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |reason| Error::File { action, path: path.into(), reason }
}

pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Output { path: path.into(), reason: reason.into() }
}

/// Says what to do about a disk that is full.
pub(super) fn explain_full(reason: io::Error) -> io::Error {
    if reason.kind() != ErrorKind::StorageFull {
        return reason;
    }
    io::Error::new(ErrorKind::StorageFull, format!("{reason}; free space and run again, the last checkpoint is whole"))
}
