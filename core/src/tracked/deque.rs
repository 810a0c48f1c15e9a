//! A queue that remembers how many elements it lost in front and gained at the back.

use alloc::collections::VecDeque;

/// A queue whose change since the last capture is "n popped in front, these appended".
///
/// ```
/// use eventflux_core::TrackedDeque;
/// let mut queue = TrackedDeque::new();
/// queue.push_back(1);
/// queue.push_back(2);
/// assert_eq!(queue.pop_front(), Some(1));
/// assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [2]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedDeque<T> {
    items: VecDeque<T>,
    /// How many items in front were there at the last capture.
    captured: usize,
    /// How many captured items have been popped since.
    popped: u64,
}

impl<T> Default for TrackedDeque<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> TrackedDeque<T> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        TrackedDeque { items: VecDeque::new(), captured: 0, popped: 0 }
    }

    /// Appends an element.
    pub fn push_back(&mut self, item: T) {
        // Many hold one element and never more: the first growth of a queue is to four.
        if self.items.capacity() == 0 {
            self.items.reserve_exact(1);
        }
        self.items.push_back(item);
    }

    /// Takes the first element.
    pub fn pop_front(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        if self.captured > 0 {
            self.captured -= 1;
            self.popped += 1;
        }
        Some(item)
    }

    /// The first element.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// The elements from first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + DoubleEndedIterator {
        self.items.iter()
    }

    /// Makes room for so many elements more, and no others if there are none yet.
    pub(crate) fn reserve(&mut self, more: usize) {
        if self.items.is_empty() {
            self.items.reserve_exact(more);
        } else {
            self.items.reserve(more);
        }
    }

    /// Number of elements there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Captured elements popped since the last capture.
    pub(crate) fn popped(&self) -> u64 {
        self.popped
    }

    /// How many elements in front the last capture had: those behind them were appended since.
    pub(crate) fn captured(&self) -> usize {
        self.captured
    }

    pub(crate) fn settle(&mut self) {
        self.captured = self.items.len();
        self.popped = 0;
    }
}

impl<T> FromIterator<T> for TrackedDeque<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        TrackedDeque { items: items.into_iter().collect(), captured: 0, popped: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        /// The change since any capture turns the queue of then into the queue of now.
        #[test]
        fn change_leads_from_capture_to_now(operations in prop::collection::vec(0_u8..4, 0..60)) {
            let mut queue = TrackedDeque::new();
            let mut captured: Vec<usize> = Vec::new();
            for (i, operation) in operations.into_iter().enumerate() {
                match operation {
                    0 | 1 => queue.push_back(i),
                    2 => { queue.pop_front(); }
                    _ => {
                        queue.settle();
                        captured = queue.iter().copied().collect();
                    }
                }
                let mut replayed: Vec<usize> = captured[queue.popped() as usize..].to_vec();
                replayed.extend(queue.iter().skip(queue.captured()));
                prop_assert_eq!(replayed, queue.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
