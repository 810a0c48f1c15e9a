//! The parts of a publication, told apart by what it asks the storage for.

use eventflux_core::{Backend, ByteRange, ObjectInfo, Result};
use tracing::Span;

use super::recorder::Stopwatch;
use super::{Phase, TARGET};

/// A storage during one publication: one span and one measurement for the object, one for the head,
/// one for all that is deleted.
#[derive(Debug)]
pub(crate) struct PhaseBackend<'a, B: ?Sized> {
    inner: &'a mut B,
    application: &'a str,
    current: Option<(Phase, Span, Stopwatch)>,
}

impl<'a, B: Backend + ?Sized> PhaseBackend<'a, B> {
    pub(crate) fn new(inner: &'a mut B, application: &'a str) -> Self {
        PhaseBackend { inner, application, current: None }
    }
}

impl<B: ?Sized> PhaseBackend<'_, B> {
    /// Does an operation of a part, which begins with it unless it is under way.
    fn run<R>(&mut self, phase: Phase, span: impl FnOnce() -> Span, work: impl FnOnce(&mut B) -> R) -> R {
        if self.current.as_ref().is_none_or(|(current, ..)| *current != phase) {
            self.end();
            self.current = Some((phase, span(), Stopwatch::start()));
        }
        let _entered = self.current.as_ref().map(|(_, span, _)| span.enter());
        work(self.inner)
    }

    fn publish<R>(&mut self, work: impl FnOnce(&mut B) -> R) -> R {
        self.run(Phase::Publish, || tracing::debug_span!(target: TARGET, "publish"), work)
    }

    fn end(&mut self) {
        if let Some((phase, _, stopwatch)) = self.current.take() {
            stopwatch.stop(self.application, phase);
        }
    }
}

impl<B: Backend + ?Sized> Backend for PhaseBackend<'_, B> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        let span = || tracing::debug_span!(target: TARGET, "put", object, bytes = bytes.len());
        self.run(Phase::Put, span, |inner| inner.put(object, bytes))
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.publish(|inner| inner.read(object, range))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        self.publish(Backend::list)
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.run(Phase::Prune, || tracing::debug_span!(target: TARGET, "prune"), |inner| inner.delete(object))
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.publish(Backend::read_head)
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        self.publish(|inner| inner.swap_head(expected, new))
    }
}

impl<B: ?Sized> Drop for PhaseBackend<'_, B> {
    fn drop(&mut self) {
        self.end();
    }
}
