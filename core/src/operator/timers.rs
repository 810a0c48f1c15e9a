//! Timers: what waits for the watermark, in the order in which results go out.
//!
//! They are derived from the states, and set anew after a restore.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::bytes::SmallBytes;

/// Something to do once the watermark has reached a time. The order of the fields is the order of
/// the output: time, operator, key, then window start or input order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) time: i64,
    pub(crate) operator: u16,
    pub(crate) key: SmallBytes,
    /// Start of a window, number of an event, or id of a partial match.
    pub(crate) tie: i64,
    pub(crate) purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// A window may have ended.
    Window,
    /// An event takes part in the pattern.
    Event,
    /// A partial match cannot be completed any more.
    Expire,
    /// A plugin's result is due.
    Plugin,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    /// How many were left when those that nothing waits for were last dropped.
    left: usize,
}

/// Timers below which it does not matter what they wait for.
const FEW: usize = 1024;

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer) {
        self.heap.push(Reverse(timer));
    }

    /// The first timer whose time has come.
    pub(crate) fn pop_due(&mut self, watermark: i64) -> Option<Timer> {
        if self.heap.peek()?.0.time > watermark {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }

    /// Whether a timer is due.
    pub(crate) fn is_due(&self, watermark: i64) -> bool {
        self.heap.peek().is_some_and(|Reverse(timer)| timer.time <= watermark)
    }

    /// Drops those that nothing waits for, if there are twice as many timers as were left the last time: otherwise those of
    /// matches that were completed long ago would stay until the last moment at which they could have been.
    pub(crate) fn prune(&mut self, mut is_awaited: impl FnMut(&Timer) -> bool) {
        if self.heap.len() > 2 * self.left.max(FEW) {
            self.heap.retain(|Reverse(timer)| is_awaited(timer));
            self.heap.shrink_to(self.heap.len());
            self.left = self.heap.len();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.heap.clear();
        self.left = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}
