//! A storage that takes its time.

use std::thread;
use std::time::Duration;

use eventflux_core::{Backend, ByteRange, ObjectInfo, Result};

/// How long operations take beyond what they take anyway.
///
/// ```
/// use std::time::Duration;
/// use eventflux::storage::Latency;
/// // A bucket in another region: 30 ms there and back, 50 MiB/s.
/// let latency = Latency { per_operation: Duration::from_millis(30), per_mebibyte: Duration::from_millis(20) };
/// assert_eq!(latency.of(512 * 1024), Duration::from_millis(40));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Of each operation, whatever it moves.
    pub per_operation: Duration,
    /// Of each mebibyte (1,048,576 bytes) moved, parts in proportion.
    pub per_mebibyte: Duration,
}

impl Latency {
    /// Delay of an operation that moves so many bytes.
    #[must_use]
    pub fn of(&self, bytes: u64) -> Duration {
        let nanoseconds = self.per_mebibyte.as_nanos().saturating_mul(bytes.into()) >> 20;
        let moving = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.per_operation.saturating_add(moving)
    }
}

/// A storage whose answers come later: to see how a program does on a slow one. The calling thread
/// sleeps after the operation, failed ones too; a list moves the names that it answers.
///
/// ```
/// use std::time::{Duration, Instant};
/// use eventflux::storage::{Latency, LatencyBackend};
/// use eventflux::{Backend, MemoryBackend};
///
/// let latency = Latency { per_operation: Duration::from_millis(5), ..Latency::default() };
/// let mut storage = LatencyBackend::new(MemoryBackend::new(), latency);
/// let started = Instant::now();
/// storage.put("checkpoint-0000000000-g1.efx", b"bytes")?;
/// assert!(started.elapsed() >= Duration::from_millis(5));
/// # Ok::<(), eventflux::eventflux_core::Error>(())
/// ```
#[derive(Debug)]
pub struct LatencyBackend<B> {
    inner: B,
    latency: Latency,
}

impl<B> LatencyBackend<B> {
    /// A storage that takes so much longer.
    pub fn new(inner: B, latency: Latency) -> Self {
        LatencyBackend { inner, latency }
    }

    /// Makes it faster or slower.
    pub fn set_latency(&mut self, latency: Latency) {
        self.latency = latency;
    }

    /// The storage inside, without delay.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The storage inside.
    pub fn into_inner(self) -> B {
        self.inner
    }

    fn sleep(&self, bytes: usize) {
        let delay = self.latency.of(bytes as u64);
        if delay > Duration::ZERO {
            thread::sleep(delay);
        }
    }
}

impl<B: Backend> Backend for LatencyBackend<B> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        let answer = self.inner.put(object, bytes);
        self.sleep(bytes.len());
        answer
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        let answer = self.inner.read(object, range);
        self.sleep(bytes_of(&answer));
        answer
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        let answer = self.inner.list();
        self.sleep(answer.iter().flatten().map(|object| object.name.len()).sum());
        answer
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        let answer = self.inner.delete(object);
        self.sleep(0);
        answer
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        let answer = self.inner.read_head();
        self.sleep(bytes_of(&answer));
        answer
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        let answer = self.inner.swap_head(expected, new);
        self.sleep(expected.map_or(0, <[u8]>::len) + new.len());
        answer
    }
}

fn bytes_of(answer: &Result<Option<Vec<u8>>>) -> usize {
    answer.as_ref().ok().and_then(Option::as_ref).map_or(0, Vec::len)
}
