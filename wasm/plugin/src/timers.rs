//! What is due at which time.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Keys by the time at which something is to happen to them. Not part of the state: made again in
/// [`Operator::on_restored`](crate::Operator::on_restored).
///
/// ```
/// use eventflux_plugin::Timers;
///
/// let mut timers = Timers::default();
/// timers.set(None, 20, b"b");
/// timers.set(None, 10, b"a");
/// timers.set(Some(10), 30, b"a");
/// assert_eq!(timers.take_due(25), Some((20, b"b".to_vec())));
/// assert_eq!(timers.take_due(25), None);
/// ```
#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeSet<(i64, Vec<u8>)>,
}

impl Timers {
    /// Sets the time of a key, instead of the one it had. Time and key need not be unique on their own.
    pub fn set(&mut self, before: Option<i64>, ms: i64, key: &[u8]) {
        let mut entry = (ms, key.to_vec());
        if let Some(before) = before {
            entry.0 = before;
            self.due.remove(&entry);
            entry.0 = ms;
        }
        self.due.insert(entry);
    }

    /// Takes out the first that is due at a time or before: the earliest, the smallest key among equals.
    pub fn take_due(&mut self, ms: i64) -> Option<(i64, Vec<u8>)> {
        if self.due.first().is_some_and(|(due, _)| *due <= ms) { self.due.pop_first() } else { None }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.due.clear();
    }
}
