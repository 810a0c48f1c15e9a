//! What a test has met of all that the document describes.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static SEEN: RefCell<BTreeMap<String, usize>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts something that was read.
pub fn see(what: impl Into<String>) {
    SEEN.with_borrow_mut(|seen| *seen.entry(what.into()).or_default() += 1);
}

/// What was read by this test, and how often.
pub fn seen() -> BTreeMap<String, usize> {
    SEEN.with_borrow(Clone::clone)
}
