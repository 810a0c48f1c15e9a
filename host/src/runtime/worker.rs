//! The thread that makes checkpoints durable, so that processing goes on meanwhile.
//!
//! It sorts, compresses, hashes and writes what the engine's thread captured. One checkpoint at a
//! time: the engine's thread waits for the answer before it cuts the next one.

use eventflux_core::{Capture, EncodedCheckpoint, Published};
use tracing::Span;

use super::output::SyncHandle;
use crate::error::{Error, Result};
use crate::manager::CheckpointManager;
use crate::observe::{self, recorder};
use crate::storage::AnyBackend;
use crate::threads::{Gone, HandOff};

/// The thread, in messages.
const THREAD: &str = "of the checkpoints";

/// What comes back for each checkpoint handed over.
pub(super) type Outcome = Result<(EncodedCheckpoint, Published)>;

/// Dropping it lets the checkpoint in hand become durable, and the storage's lock go.
#[derive(Debug)]
pub(super) struct Worker(HandOff<Job, Outcome>);

#[derive(Debug)]
struct Job {
    capture: Capture,
    /// The output, durable before the checkpoint that accounts for it is published.
    output: Option<SyncHandle>,
    /// Span of the checkpoint.
    span: Span,
}

impl From<Gone> for Error {
    fn from(_: Gone) -> Self {
        Error::thread_gone(THREAD)
    }
}

impl Worker {
    pub(super) fn start(mut manager: CheckpointManager<AnyBackend>) -> Result<Self> {
        let work = move |Job { capture, output, span }| {
            let published = span.in_scope(|| {
                sync(&mut manager, capture.holder(), output)?;
                manager.publish(capture)
            });
            // It ends with the checkpoint, before anybody hears of it.
            drop(span);
            Some(published)
        };
        HandOff::start("checkpoint", work).map(Worker).map_err(|error| Error::no_thread(THREAD, &error))
    }

    pub(super) fn hand_over(&self, capture: Capture, output: Option<SyncHandle>, span: Span) -> Result<()> {
        Ok(self.0.hand_over(Job { capture, output, span })?)
    }

    /// The outcome, if it is there.
    pub(super) fn poll(&self) -> Option<Outcome> {
        self.0.poll().map(|outcome| outcome?)
    }

    /// Waits for the outcome.
    pub(super) fn wait(&self) -> Outcome {
        self.0.wait()?
    }
}

/// Makes the output durable; what fails here fails the checkpoint.
fn sync(manager: &mut CheckpointManager<AnyBackend>, application: &str, output: Option<SyncHandle>) -> Result<()> {
    let Some(output) = output else { return Ok(()) };
    observe::sync(application, || output.sync()).map_err(|error| {
        // Who took the storage over took the name of the output too: then that is what happened.
        manager.fenced(application).unwrap_or_else(|| {
            recorder::sync_failed(application);
            error
        })
    })
}
