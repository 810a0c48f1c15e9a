//! A storage that tells what is done with it.

use std::time::Instant;

use eventflux_core::{Backend, ByteRange, ObjectInfo, Result};

use super::{HEAD, Operation};
use crate::storage::AnyBackend;

/// A storage that sends an event through `tracing` for each operation, once it is over.
///
/// Fields: `operation`; `object`, its name, `head` for the head, empty for a list; `bytes` moved;
/// `microseconds` taken; `outcome`: `done`, `missing` (nothing was there to be read), `refused` (the
/// head was not as expected) or `failed`, then with the `error`. The level is `debug`, `warn` for
/// what failed; the target is `eventflux::storage`. Storages that are opened by their address are
/// wrapped in one where that target is listened to at that level, as with `EVENTFLUX_LOG=debug`.
///
/// ```
/// use eventflux::storage::TracingBackend;
/// use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend};
/// # fn main() -> eventflux::Result<()> {
/// tracing_subscriber::fmt().with_env_filter("eventflux::storage=debug").init();
/// let storage = TracingBackend::new(MemoryBackend::new());
/// CheckpointManager::open(storage, ManagerConfig::default())?; // logs: read head, swap head, …
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TracingBackend<B> {
    inner: B,
}

/// Target of the events.
const TARGET: &str = "eventflux::storage";

/// A storage that tells of its operations if anybody listens now.
pub(in crate::storage) fn told(storage: AnyBackend) -> AnyBackend {
    if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        Box::new(TracingBackend::new(storage))
    } else {
        storage
    }
}

impl<B> TracingBackend<B> {
    /// A storage that tells.
    pub fn new(inner: B) -> Self {
        TracingBackend { inner }
    }

    /// The storage inside, which does not tell.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The storage inside.
    pub fn into_inner(self) -> B {
        self.inner
    }

    /// Does an operation and tells of it; `outcome` gives the bytes moved and the word for an answer.
    fn tell<T>(
        &mut self,
        operation: Operation,
        object: &str,
        work: impl FnOnce(&mut B) -> Result<T>,
        outcome: impl FnOnce(&T) -> (usize, &'static str),
    ) -> Result<T> {
        let started = Instant::now();
        let answer = work(&mut self.inner);
        let microseconds = started.elapsed().as_micros() as u64;
        let operation = operation.as_str();
        match &answer {
            Ok(found) => {
                let (bytes, outcome) = outcome(found);
                tracing::debug!(target: TARGET, operation, object, bytes, microseconds, outcome);
            }
            Err(error) => {
                tracing::warn!(target: TARGET, operation, object, microseconds, outcome = "failed", %error);
            }
        }
        answer
    }
}

impl<B: Backend> Backend for TracingBackend<B> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        self.tell(Operation::Put, object, |inner| inner.put(object, bytes), |()| (bytes.len(), "done"))
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.tell(Operation::Read, object, |inner| inner.read(object, range), |found| found_or_missing(found.as_ref()))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        let bytes = |objects: &Vec<ObjectInfo>| objects.iter().map(|object| object.name.len()).sum();
        self.tell(Operation::List, "", Backend::list, |objects| (bytes(objects), "done"))
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.tell(Operation::Delete, object, |inner| inner.delete(object), |()| (0, "done"))
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.tell(Operation::ReadHead, HEAD, Backend::read_head, |found| found_or_missing(found.as_ref()))
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        let outcome = |swapped: &bool| (new.len(), if *swapped { "done" } else { "refused" });
        self.tell(Operation::SwapHead, HEAD, |inner| inner.swap_head(expected, new), outcome)
    }
}

fn found_or_missing(found: Option<&Vec<u8>>) -> (usize, &'static str) {
    found.map_or((0, "missing"), |bytes| (bytes.len(), "done"))
}
