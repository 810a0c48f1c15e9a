//! Where results go: an output file, or standard output.

use std::io::{self, Write};
use std::path::Path;

use super::output::{OutputFile, SyncHandle, check_at, check_there, explain_full, failed};
use super::recorded::Accounted;
use crate::error::Result;
use crate::storage::Access;

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
    File(OutputFile),
    Stdout,
}

impl Sink {
    /// Opens an output, which the definition calls `name`, and locks it, so that no other run writes it; its contents
    /// stay as they are. Then call [`Sink::go_on_from`] and [`Sink::cut`].
    ///
    /// Standard output, devices and pipes cannot be cut: after a restart results may be there twice.
    pub(super) fn open(path: &Path, name: &str, access: Access) -> Result<Self> {
        let target = if is_stdout(path) { Target::Stdout } else { Target::File(OutputFile::open(path, name, access)?) };
        Ok(Sink { target, buffer: Vec::new(), len: 0 })
    }

    /// Whether an output has what a checkpoint accounts for, as [`Sink::go_on_from`] asks, if it accounts for any. Changes
    /// nothing.
    pub(super) fn check(path: &Path, name: &str, accounted: Option<Accounted>) -> Result<()> {
        match accounted.filter(|accounted| !accounted.is_printed && !is_stdout(path)) {
            Some(accounted) => check_at(path, name, accounted),
            None => Ok(()),
        }
    }

    /// Whether an output is there that a checkpoint accounts for: to open it would make an empty one.
    pub(super) fn check_there(path: &Path, accounted: Option<Accounted>) -> Result<()> {
        match accounted.filter(|accounted| !accounted.is_printed && !is_stdout(path)) {
            Some(accounted) => check_there(path, accounted),
            None => Ok(()),
        }
    }

    /// Once the storage is ours: goes on with the output that is there by now. Changes nothing.
    pub(super) fn find_again(&mut self) -> Result<()> {
        match &mut self.target {
            Target::File(file) => file.find_again().map(drop),
            Target::Stdout => Ok(()),
        }
    }

    /// Goes on from what a checkpoint accounts for, which must be there. `None`: there is no checkpoint, or it accounts for
    /// no output; this one must be empty or is overwritten. Changes nothing. Whether it goes on from that. `operators`: those
    /// whose results may be behind that.
    pub(super) fn go_on_from<'o>(
        &mut self,
        accounted: Option<Accounted>,
        overwrite: bool,
        operators: impl Iterator<Item = &'o str>,
    ) -> Result<bool> {
        let accounted = match &mut self.target {
            Target::File(file) if file.is_regular() => {
                // No file is what was printed.
                let accounted = accounted.filter(|accounted| !accounted.is_printed);
                file.go_on_from(accounted, overwrite, operators)?;
                accounted
            }
            Target::File(_) | Target::Stdout => accounted,
        };
        self.len = accounted.unwrap_or_default().length;
        Ok(accounted.is_some())
    }

    /// Cuts off what lies behind the recorded length. Only once the newest checkpoint of the
    /// storage accounts for just that length: a crash between would leave it without its output. `ensure_ours` is to fail if
    /// another writer has taken the storage over.
    pub(super) fn cut(&mut self, ensure_ours: &dyn Fn() -> Result<()>) -> Result<()> {
        match &mut self.target {
            Target::File(file) => file.cut(self.len, ensure_ours),
            Target::Stdout => Ok(()),
        }
    }

    /// Whether what is written to an output again takes the place of what was written before, as in a file.
    pub(super) fn is_repeatable(path: &Path) -> bool {
        !is_stdout(path) && path.metadata().map_or(true, |metadata| metadata.is_file())
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
        if self.buffer.is_empty() {
            return Ok(());
        }
        match &mut self.target {
            Target::File(file) => {
                let appended = file.append(&self.buffer, self.len - self.buffer.len() as u64);
                if appended.is_err() && !file.is_regular() {
                    // As of standard output.
                    self.buffer.clear();
                }
                appended?;
            }
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
                if written.is_err() {
                    // How much of it went out nobody knows: it is not tried again.
                    self.buffer.clear();
                }
                written.map_err(explain_full).map_err(failed("write to", Path::new("standard output")))?;
            }
        }
        self.buffer.clear();
        Ok(())
    }

    /// Prints what is buffered for standard output, before a run ends with another error: a file is cut to its checkpoint
    /// at the next start, but what was printed is all that there is of results that good events gave.
    pub(super) fn print(&mut self) {
        if !matches!(&self.target, Target::File(file) if file.is_regular()) {
            // The error that is being told came first.
            let _ = self.flush();
        }
    }

    /// Length of the output.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What a checkpoint of now accounts for. All of it is with the operating system then.
    pub(super) fn account(&mut self) -> Result<Accounted> {
        self.flush()?;
        Ok(match &self.target {
            Target::File(file) if file.is_regular() => {
                Accounted { length: self.len, tail: Some(file.tail_hash()), is_printed: false }
            }
            Target::File(_) | Target::Stdout => Accounted { length: self.len, tail: None, is_printed: true },
        })
    }

    /// A handle that makes durable all that was flushed.
    pub(super) fn sync_handle(&self) -> Result<Option<SyncHandle>> {
        match &self.target {
            Target::Stdout => Ok(None),
            Target::File(file) => file.sync_handle(self.len - self.buffer.len() as u64).map(Some),
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}
