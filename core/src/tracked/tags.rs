//! Thirty-two one-byte tags, searched all at once.
//!
//! No loop that ends early: where in a page a key lies cannot be predicted, and a branch guessed
//! wrong costs more than the rest of a lookup.

use wide::u8x16;

use super::page::{Mask, PAGE_SLOTS};

/// One byte of the hash of each key of a page.
#[derive(Debug, Clone)]
pub(super) struct Tags([u8; PAGE_SLOTS]);

impl Tags {
    pub(super) fn new() -> Self {
        Tags([0; PAGE_SLOTS])
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> u8 {
        self.0[at]
    }

    #[inline]
    pub(super) fn set(&mut self, at: usize, tag: u8) {
        self.0[at] = tag;
    }

    /// A bit for each place with this tag.
    #[inline]
    pub(super) fn find(&self, tag: u8) -> Mask {
        let wanted = u8x16::splat(tag);
        let parts = self.0.as_chunks::<16>().0.iter().enumerate();
        parts.fold(0, |found, (number, part)| found | u8x16::new(*part).simd_eq(wanted).to_bitmask() << (16 * number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_and_no_others() {
        let mut tags = Tags::new();
        for round in 0..2000_usize {
            let at = round * 7 % PAGE_SLOTS;
            tags.set(at, [0, 1, 2, 127, 128, 129, 254, 255][round * round / 3 % 8]);
            for tag in [0, 1, 2, 127, 128, 129, 254, 255] {
                let wanted = (0..PAGE_SLOTS).filter(|at| tags.get(*at) == tag).fold(0, |bits, at| bits | 1 << at);
                assert_eq!(tags.find(tag), wanted);
            }
        }
    }
}
