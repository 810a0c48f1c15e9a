//! Runs what is asynchronous, on the calling thread.

use std::fmt;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of its own. It works only while [`Runner::run`] is called: no thread runs beside.
pub(super) struct Runner {
    /// There until this is dropped.
    runtime: Option<Runtime>,
}

impl Runner {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Runner { runtime: Some(Builder::new_current_thread().enable_io().enable_time().build()?) })
    }

    /// Waits for a future. Called within another runtime, where waiting is not allowed, it waits on
    /// another thread; the calling one is blocked either way.
    pub(super) fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        if Handle::try_current().is_err() {
            return runtime.block_on(future);
        }
        let outcome = thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runner")
    }
}

impl Drop for Runner {
    /// Without waiting, which is not allowed within another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
