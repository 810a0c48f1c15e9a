//! What tells one capture of a value from all others.

use core::sync::atomic::{AtomicU32, Ordering};

/// The last capture that a value was in. A change is written against what the capture had, so that a value which another
/// one takes the place of, wherever it was captured itself, must not pass for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Captured(u32);

impl Captured {
    /// No capture has seen it.
    pub(crate) const NEVER: Captured = Captured(0);

    /// A capture unlike all others, but for one in four billion.
    pub(crate) fn now() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Captured(NEXT.fetch_add(1, Ordering::Relaxed).max(1))
    }

    /// Whether any capture has seen it.
    pub(crate) fn is_any(self) -> bool {
        self != Captured::NEVER
    }

    /// That of a part of the value, by its place.
    pub(crate) fn of_part(self, place: usize) -> Self {
        // Far from those that come next.
        Captured(self.0.wrapping_add((place as u32 + 1).wrapping_mul(0x9E37_79B9)))
    }
}
