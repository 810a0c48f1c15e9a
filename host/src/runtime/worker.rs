//! The thread that makes checkpoints durable, so that processing goes on meanwhile.
//!
//! It sorts, compresses, hashes and writes what the engine's thread captured. One checkpoint at a
//! time: the engine's thread waits for the answer before it cuts the next one.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use eventflux_core::{Capture, EncodedCheckpoint, Published};
use tracing::Span;

use super::sink::SyncHandle;
use crate::error::{Error, Result};
use crate::manager::CheckpointManager;
use crate::observe;
use crate::storage::AnyBackend;

/// What comes back for each checkpoint handed over.
pub(super) type Outcome = Result<(EncodedCheckpoint, Published)>;

#[derive(Debug)]
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    capture: Capture,
    /// The output, durable before the checkpoint that accounts for it is published.
    output: Option<SyncHandle>,
    /// Span of the checkpoint.
    span: Span,
}

impl Worker {
    pub(super) fn start(mut manager: CheckpointManager<AnyBackend>) -> Result<Self> {
        let (jobs, received) = channel::<Job>();
        let (outcome, outcomes) = channel();
        let work = move || {
            for Job { capture, output, span } in received {
                let published = span.in_scope(|| {
                    sync(capture.holder(), output)?;
                    manager.publish(capture)
                });
                // It ends with the checkpoint, before anybody hears of it.
                drop(span);
                if outcome.send(published).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("checkpoint".into()).spawn(work).map_err(|_| Error::Worker)?;
        Ok(Worker { jobs: Some(jobs), outcomes, thread: Some(thread) })
    }

    pub(super) fn hand_over(&self, capture: Capture, output: Option<SyncHandle>, span: Span) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or(Error::Worker)?;
        jobs.send(Job { capture, output, span }).map_err(|_| Error::Worker)
    }

    /// The outcome, if it is there.
    pub(super) fn poll(&self) -> Option<Outcome> {
        match self.outcomes.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(Error::Worker)),
        }
    }

    /// Waits for the outcome.
    pub(super) fn wait(&self) -> Outcome {
        loop {
            match self.outcomes.recv_timeout(Duration::from_secs(3600)) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Worker),
            }
        }
    }
}

/// Makes the output durable; what fails here fails the checkpoint.
fn sync(application: &str, output: Option<SyncHandle>) -> Result<()> {
    let Some(output) = output else { return Ok(()) };
    observe::sync(application, || output.sync()).inspect_err(|_| observe::recorder::sync_failed(application))
}

impl Drop for Worker {
    /// Lets the checkpoint in hand become durable, and the storage's lock go.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
