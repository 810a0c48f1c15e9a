//! The thread that reads and parses the source, so that the engine need not wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::source::{Batch, Source};

/// Events of a batch.
const BATCH_EVENTS: usize = 512;
/// Batches parsed ahead of the engine.
const BATCHES_AHEAD: usize = 8;

#[derive(Debug)]
pub(super) struct Reader {
    reads: Receiver<Result<Read>>,
    used: Sender<Batch>,
    signs: Arc<Signs>,
}

/// What the thread gives.
#[derive(Debug)]
pub(super) enum Read {
    /// Events, and the bytes read so far.
    Batch(Batch, u64),
    /// The source has ended, after so many bytes.
    End(u64),
    /// Nothing yet.
    Nothing,
    /// All rows that were read have been handed out, and no more are: [`Reader::end_with_row`].
    Stopped,
}

#[derive(Debug, Default)]
struct Signs {
    /// To the thread: to end with the row that it is in.
    ending: AtomicBool,
    /// From the thread: that it waits for a row of which nothing has come.
    waiting: AtomicBool,
}

impl Reader {
    /// Starts reading. The thread ends with the source, or at its next batch once this is dropped.
    pub(super) fn start(mut source: Source) -> Result<Self> {
        let (sender, reads) = sync_channel(BATCHES_AHEAD);
        let (used, recycled) = channel();
        let signs = Arc::new(Signs::default());
        let of_thread = Arc::clone(&signs);
        let read = move || {
            loop {
                recycled.try_iter().for_each(|batch| source.recycle(batch));
                of_thread.waiting.store(source.is_between_rows(), Ordering::SeqCst);
                if of_thread.ending.load(Ordering::SeqCst) {
                    source.read_to_end_of_row();
                    if source.is_between_rows() {
                        let _ = sender.send(Ok(Read::Stopped));
                        return;
                    }
                }
                let batch = source.read_batch(BATCH_EVENTS);
                of_thread.waiting.store(false, Ordering::SeqCst);
                let is_last = !matches!(batch, Ok(Some(_)));
                let is_cut = of_thread.ending.load(Ordering::SeqCst) && source.is_row_cut(batch.is_err());
                let answer = match batch {
                    // Whoever stops a run mostly stops what writes its input, too: in the midst of a row.
                    Err(_) if is_cut => Ok(Read::Stopped),
                    Err(error) => Err(Error::from(error)),
                    Ok(None) => Ok(Read::End(source.bytes_read())),
                    Ok(Some(mut batch)) => {
                        if is_cut {
                            batch.pop();
                        }
                        Ok(Read::Batch(batch, source.bytes_read()))
                    }
                };
                if sender.send(answer).is_err() || is_last {
                    return;
                }
            }
        };
        thread::Builder::new().name("source".into()).spawn(read).map_err(|_| Error::Worker)?;
        Ok(Reader { reads, used, signs })
    }

    /// Gives back a batch that is done with: its memory is used again, by the thread that owns it.
    pub(super) fn recycle(&self, batch: Batch) {
        // Once the source has ended nobody wants it.
        let _ = self.used.send(batch);
    }

    /// Asks the thread to read no further than to the end of the row that has begun, of which a part may have come: what
    /// follows stays where it is.
    pub(super) fn end_with_row(&self) {
        self.signs.ending.store(true, Ordering::SeqCst);
    }

    /// Whether the thread waits for a row of which nothing has come.
    pub(super) fn is_waiting(&self) -> bool {
        self.signs.waiting.load(Ordering::SeqCst)
    }

    /// What comes next within `wait`.
    pub(super) fn next(&self, wait: Duration) -> Result<Read> {
        match self.reads.recv_timeout(wait) {
            Ok(read) => read,
            Err(RecvTimeoutError::Timeout) => Ok(Read::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Worker),
        }
    }
}
