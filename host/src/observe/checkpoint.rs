//! One checkpoint as it is watched, from its cut until it is published.

use eventflux_core::CatalogEntry;
use tracing::Span;
use tracing::field::Empty;

use super::recorder::{Spent, Stopwatch};
use super::{Phase, TARGET};

/// The span of a checkpoint and its clocks, on the thread of the state.
#[derive(Debug)]
pub(crate) struct CheckpointWatch {
    application: String,
    span: Span,
    capture: Span,
    since_cut: Stopwatch,
    capturing: Spent,
}

impl CheckpointWatch {
    /// A checkpoint is about to be cut.
    pub(crate) fn begin(application: &str) -> Self {
        let span = tracing::info_span!(
            target: TARGET, "checkpoint", application, id = Empty, kind = Empty, label = Empty, stored_bytes = Empty,
            raw_bytes = Empty, dirty_bytes = Empty,
        );
        CheckpointWatch {
            application: application.into(),
            span,
            capture: Span::none(),
            since_cut: Stopwatch::start(),
            capturing: Spent::none(),
        }
    }

    /// The span, for the thread that publishes.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The cut.
    pub(crate) fn cut<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let span = tracing::debug_span!(target: TARGET, parent: &self.span, "cut");
        let stopwatch = Stopwatch::start();
        let result = span.in_scope(work);
        stopwatch.stop(&self.application, Phase::Cut);
        drop(span);
        self.capture = tracing::debug_span!(target: TARGET, parent: &self.span, "capture");
        result
    }

    /// A slice of the capture.
    pub(crate) fn capture<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let stopwatch = Stopwatch::start();
        let result = self.capture.in_scope(work);
        self.capturing.add(stopwatch);
        result
    }

    /// All is captured.
    pub(crate) fn captured(&mut self) {
        self.capture = Span::none();
        std::mem::replace(&mut self.capturing, Spent::none()).record(&self.application, Phase::Capture);
    }

    /// It is durable.
    pub(crate) fn published(self, entry: &CatalogEntry) {
        self.since_cut.stop(&self.application, Phase::Total);
        self.span.record("id", entry.object.id);
        self.span.record("kind", entry.kind());
        if let Some(label) = &entry.label {
            self.span.record("label", label.as_str());
        }
        self.span.record("stored_bytes", entry.object_bytes);
        self.span.record("raw_bytes", entry.sizes.delta_raw + entry.sizes.base_raw);
        self.span.record("dirty_bytes", entry.sizes.dirty);
    }
}

/// Makes the output durable, below the span of the checkpoint that needs it.
pub(crate) fn sync<R>(application: &str, work: impl FnOnce() -> R) -> R {
    let span = tracing::debug_span!(target: TARGET, "sync");
    let stopwatch = Stopwatch::start();
    let result = span.in_scope(work);
    stopwatch.stop(application, Phase::Sync);
    result
}

/// Encodes a checkpoint, below its span.
pub(crate) fn encode<R>(application: &str, work: impl FnOnce() -> R) -> R {
    let span = tracing::debug_span!(target: TARGET, "encode");
    let stopwatch = Stopwatch::start();
    let result = span.in_scope(work);
    stopwatch.stop(application, Phase::Encode);
    result
}
