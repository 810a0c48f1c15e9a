//! What tells one capture of a value from all others.

#[cfg(feature = "alloc")]
use core::sync::atomic::{AtomicU32, Ordering};

/// The last capture that a value was in. A change is written against what the capture had, so that a value which another
/// one takes the place of, wherever it was captured itself, must not pass for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Captured(u32);

impl Captured {
    /// No capture has seen it.
    pub(crate) const NEVER: Captured = Captured(0);

    /// A capture unlike all others, but for one in four billion.
    #[cfg(feature = "alloc")]
    pub(crate) fn now() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Captured(NEXT.fetch_add(1, Ordering::Relaxed).max(1))
    }

    /// That of a map of fixed capacity, by where it lies and how many it has had: a microcontroller may have no atomics.
    pub(crate) fn of_map(place: usize, captures: u32) -> Self {
        // Maps that are captured together have the same count, and no two the same place.
        let count = captures.wrapping_add((place as u32).wrapping_mul(0x9E37_79B9));
        Captured(count.wrapping_mul(0xC2B2_AE35))
    }

    /// That of one of the map's values, by the hash of its key.
    pub(crate) fn of_key(self, hash: u32) -> Self {
        Captured(self.0.wrapping_add(hash).max(1))
    }

    /// That of one of the value's windows, by its place.
    pub(crate) fn of_window(self, place: usize) -> Self {
        Captured(self.0.wrapping_add(place as u32 + 1).max(1))
    }

    pub(crate) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 4]) -> Self {
        Captured(u32::from_le_bytes(bytes))
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
