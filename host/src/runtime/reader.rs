//! The thread that reads and parses the source, so that the engine need not wait for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::source::{Batch, Source};

/// Events of a batch.
const BATCH_EVENTS: usize = 512;
/// Batches parsed ahead of the engine.
const BATCHES_AHEAD: usize = 8;
/// The thread, in messages.
const THREAD: &str = "of the source";

#[derive(Debug)]
pub(super) struct Reader {
    reads: Receiver<Read>,
    used: Sender<Batch>,
}

/// What the thread gives.
#[derive(Debug)]
pub(super) enum Read {
    /// Events, and the bytes read so far.
    Batch(Batch, u64),
    /// The last event, if what it was read from is all of its row: the input ended without the end of a line.
    LastRow(Batch, u64),
    /// The source cannot be read, or a row is wrong; `is_cut`: perhaps because the input ended in the midst of it.
    Failed { error: Error, is_cut: bool },
    /// The source has ended, or was stopped, after so many bytes.
    End(u64),
    /// Nothing yet.
    Nothing,
}

impl Reader {
    /// Starts reading. The thread ends with the source, or at its next batch once this is dropped.
    pub(super) fn start(mut source: Source) -> Result<Self> {
        let (sender, reads) = sync_channel(BATCHES_AHEAD);
        let (used, recycled) = channel();
        let read = move || {
            loop {
                recycled.try_iter().for_each(|batch| source.recycle(batch));
                let batch = source.read_batch(BATCH_EVENTS);
                let is_cut = source.is_row_cut(batch.as_ref().err());
                let bytes = source.bytes_read();
                let mut last = None;
                let (answer, is_end) = match batch {
                    Err(error) => (Read::Failed { error: error.into(), is_cut }, true),
                    Ok(None) => (Read::End(bytes), true),
                    Ok(Some(mut batch)) => {
                        last = is_cut.then(|| Read::LastRow(batch.split_last(), bytes));
                        (Read::Batch(batch, bytes), false)
                    }
                };
                let sent = sender.send(answer).is_ok() && last.is_none_or(|last| sender.send(last).is_ok());
                if !sent || is_end {
                    return;
                }
            }
        };
        thread::Builder::new().name("source".into()).spawn(read).map_err(|error| Error::no_thread(THREAD, &error))?;
        Ok(Reader { reads, used })
    }

    /// Gives back a batch that is done with: its memory is used again, by the thread that owns it.
    pub(super) fn recycle(&self, batch: Batch) {
        // Once the source has ended nobody wants it.
        let _ = self.used.send(batch);
    }

    /// What comes next within `wait`.
    pub(super) fn next(&self, wait: Duration) -> Result<Read> {
        match self.reads.recv_timeout(wait) {
            Ok(read) => Ok(read),
            Err(RecvTimeoutError::Timeout) => Ok(Read::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(Error::thread_gone(THREAD)),
        }
    }
}
