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

#[derive(Debug)]
pub(super) struct Reader {
    batches: Receiver<Result<(Option<Batch>, u64)>>,
    used: Sender<Batch>,
}

impl Reader {
    /// Starts reading. The thread ends with the source, or at its next batch once this is dropped.
    pub(super) fn start(mut source: Source) -> Result<Self> {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let (used, recycled) = channel();
        let read = move || {
            loop {
                recycled.try_iter().for_each(|batch| source.recycle(batch));
                let batch = source.read_batch(BATCH_EVENTS);
                let more = matches!(batch, Ok(Some(_)));
                let answer = batch.map(|batch| (batch, source.bytes_read())).map_err(Error::from);
                if sender.send(answer).is_err() || !more {
                    return;
                }
            }
        };
        thread::Builder::new().name("source".into()).spawn(read).map_err(|_| Error::Worker)?;
        Ok(Reader { batches, used })
    }

    /// Gives back a batch that is done with: its memory is used again, by the thread that owns it.
    pub(super) fn recycle(&self, batch: Batch) {
        // Once the source has ended nobody wants it.
        let _ = self.used.send(batch);
    }

    /// The next batch with the bytes read so far; `None` if there is none yet after `wait`.
    /// A batch of `None` is the end of the source.
    pub(super) fn next(&self, wait: Duration) -> Option<Result<(Option<Batch>, u64)>> {
        match self.batches.recv_timeout(wait) {
            Ok(batch) => Some(batch),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(Error::Worker)),
        }
    }
}
