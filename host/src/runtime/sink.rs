//! The output file, and standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::storage::sync_directory;

/// Bytes of results collected before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

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
    File { file: File, path: PathBuf },
    Stdout,
}

impl Sink {
    /// Opens an output that a checkpoint accounts for up to `recorded`; call [`Sink::cut`] before
    /// the first result. `None`: there is no checkpoint, the output must be empty or is overwritten.
    ///
    /// Standard output cannot be cut: after a restart results may be printed twice.
    pub(super) fn open(path: &Path, recorded: Option<u64>, overwrite: bool) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Sink { target: Target::Stdout, buffer: Vec::new(), len: recorded.unwrap_or(0) });
        }
        let output = |reason: String| Error::Output { path: path.into(), reason };
        let failed = |action| move |reason| Error::File { action, path: path.into(), reason };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed("open"))?;
        let found = file.metadata().map_err(failed("read"))?.len();
        let len = recorded.unwrap_or(0);
        if recorded.is_none() && found > 0 && !overwrite {
            return Err(output(String::from(
                "holds results that no checkpoint accounts for; move the file away, \
                 or start with --from none to overwrite it",
            )));
        }
        check_length(path, found, len)?;
        Ok(Sink { target: Target::File { file, path: path.into() }, buffer: Vec::new(), len })
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
        let Target::File { file, path } = &mut self.target else { return Ok(()) };
        let mut cut = || -> io::Result<()> {
            file.set_len(self.len)?;
            file.seek(SeekFrom::Start(self.len))?;
            file.sync_all()?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or(Path::new(".")))
        };
        cut().map_err(|reason| Error::File { action: "cut", path: path.clone(), reason })
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
            Target::File { file, path } => (file.write_all(&self.buffer), path.as_path()),
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
            Target::File { file, path } => {
                let file =
                    file.try_clone().map_err(|reason| Error::File { action: "sync", path: path.clone(), reason })?;
                Ok(Some(SyncHandle { file, path: path.clone() }))
            }
        }
    }
}

fn check_length(path: &Path, found: u64, recorded: u64) -> Result<()> {
    if found >= recorded {
        return Ok(());
    }
    Err(Error::Output {
        path: path.into(),
        reason: format!(
            "ends after {found} bytes, but the checkpoint accounts for {recorded}: results were lost; \
             put the file back, or start anew with --from none"
        ),
    })
}

/// Makes the output durable, from another thread.
#[derive(Debug)]
pub(super) struct SyncHandle {
    file: File,
    path: PathBuf,
}

impl SyncHandle {
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|reason| Error::File { action: "sync", path: self.path.clone(), reason })
    }
}
