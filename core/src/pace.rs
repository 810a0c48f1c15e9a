//! Long work in steps: functions are `async` only so that they can be left in the middle and gone on with.
//!
//! There is no executor and nothing that is waited for: whoever has the [`Stepped`] work calls it again. What a step may
//! cost is counted in bytes that were gone through, so that the same calls always stop at the same places.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};

/// What is left of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<AtomicUsize>);

impl Pace {
    /// That of work which is not divided.
    pub(crate) fn endless() -> Self {
        Pace(Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// Counts bytes that were gone through; once the step has none left, the work is left here until the next step.
    pub(crate) async fn spend(&self, bytes: u64) {
        // Both sides are on one thread at a time: the work, and who calls it.
        let left = self.0.load(Ordering::Relaxed).saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.0.store(left, Ordering::Relaxed);
        let mut was_left = left > 0;
        let step_ends = |_: &mut Context<'_>| match core::mem::replace(&mut was_left, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        };
        poll_fn(step_ends).await;
    }
}

/// Work that is done step by step.
pub(crate) struct Stepped<T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    pace: Pace,
}

impl<T> Stepped<T> {
    /// Work that has not begun.
    pub(crate) fn new<F: Future<Output = T> + Send + 'static>(work: impl FnOnce(Pace) -> F) -> Self {
        let pace = Pace::default();
        Stepped { work: Box::pin(work(pace.clone())), pace }
    }

    /// Goes on until about so many bytes were gone through; its outcome at its end. Not to be called after that.
    pub(crate) fn step(&mut self, budget: usize) -> Option<T> {
        self.pace.0.store(budget, Ordering::Relaxed);
        match self.work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

/// Does all of it at once.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = core::pin::pin!(work);
    loop {
        if let Poll::Ready(outcome) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_once_its_bytes_are_spent() {
        let mut work = Stepped::new(|pace| async move {
            for _ in 0..10 {
                pace.spend(3).await;
            }
            "done"
        });
        let mut steps = 1;
        while work.step(7).is_none() {
            steps += 1;
        }
        // Three parts a step: 3, 6, 9.
        assert_eq!(steps, 4);
        let mut at_once = Stepped::new(|pace| async move { pace.spend(1 << 20).await });
        assert_eq!(at_once.step(usize::MAX), Some(()));
    }
}
