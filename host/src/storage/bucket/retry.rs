//! Trying again, with growing pauses and within bounds.
//!
//! The client of the crate is told never to try again by itself: each answer is looked at here, where
//! it is known what it means for the operation.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use object_store::client::HttpErrorKind;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};

/// The first pause; each one after it is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryLimits {
    /// Attempts after the first.
    pub(super) attempts: u32,
    /// From the first attempt on; no further one begins later.
    pub(super) within: Duration,
}

impl Default for RetryLimits {
    fn default() -> Self {
        RetryLimits { attempts: 10, within: Duration::from_secs(60) }
    }
}

/// The attempts of one operation.
#[derive(Debug)]
pub(super) struct Retry {
    limits: RetryLimits,
    began: Instant,
    failed: u32,
}

impl Retry {
    pub(super) fn new(limits: RetryLimits) -> Self {
        Retry { limits, began: Instant::now(), failed: 0 }
    }

    /// After a failed attempt: waits, and answers whether there is another one.
    pub(super) async fn again(&mut self) -> bool {
        self.failed += 1;
        let pause = pause(self.failed);
        if self.failed > self.limits.attempts || self.began.elapsed() + pause >= self.limits.within {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

/// The pause after so many failures: up to twice the one before, by chance at least half of that, so
/// that many clients of a store that was gone do not all come back at the same moment.
fn pause(failed: u32) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(1 << failed.min(16).saturating_sub(1)).min(PAUSE_MAX);
    let chance = random() as f64 / u64::MAX as f64;
    whole.mul_f64(0.5 + chance / 2.0)
}

/// A number that nobody else has: the keys of the hasher are the random numbers of the standard library.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl RetryPolicy for RetryLimits {
    /// For the parts of an upload. What `async_trait` makes of `async fn retry(&self, …) -> bool`.
    fn retry<'life, 'future>(
        &'life self,
        context: RetryContext,
    ) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            let is_transient = match context.failure {
                RetryFailure::Status(status) => matches!(status.as_u16(), 200 | 408 | 429 | 500 | 502..=599),
                RetryFailure::Transport(kind) => kind != HttpErrorKind::Decode,
                _ => false,
            };
            let failed = u32::try_from(context.attempt).unwrap_or(u32::MAX);
            let pause = pause(failed);
            if !is_transient || failed > self.attempts || context.elapsed + pause >= self.within {
                return false;
            }
            tokio::time::sleep(pause).await;
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        for (failed, whole) in [(1, 50), (2, 100), (3, 200), (7, 3200), (8, 5000), (1000, 5000)] {
            let found = pause(failed);
            let whole = Duration::from_millis(whole);
            assert!(found <= whole && found >= whole / 2, "{failed}: {found:?}");
        }
    }

    #[test]
    fn attempts_are_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let again = |limits| {
            let mut retry = Retry::new(limits);
            runtime.block_on(async { [retry.again().await, retry.again().await, retry.again().await] })
        };
        let within = Duration::from_secs(60);
        assert_eq!(again(RetryLimits { attempts: 2, within }), [true, true, false]);
        assert_eq!(again(RetryLimits { attempts: 0, within }), [false; 3]);
        assert_eq!(again(RetryLimits { attempts: 9, within: Duration::ZERO }), [false; 3]);
    }
}
