//! A page: up to 64 entries of a key group, with what is dirty, frozen and captured as bits.
//!
//! Invariants:
//! - Bit *n* of each mask is about slot *n*; bits beyond the slots are zero.
//! - `dirty`: written since the newest cut that the page knows of (`frozen_at`).
//! - `frozen`: belongs to the cut under way and is not captured yet. `sent`: belongs to it and is
//!   captured. `cut_dirty`: was dirty at that cut.
//! - A removed key keeps its slot, without a value, until a checkpoint without it is durable.
//! - `whole`: the last capture was aborted, so the next one cannot be a change. `never`: no capture
//!   has seen it.
//!
//! A page learns of a cut, a commit or an abort when it is next touched ([`Page::sync`]): a few
//! words for 64 entries, so that none of the three has to visit the entries.

use alloc::vec::Vec;

use super::map::Clock;
use crate::bytes::SmallBytes;
use crate::error::{Error, Result};

/// Entries of a page: one bit each in a word.
pub(super) const PAGE_SLOTS: usize = 64;
/// Slots by which the storage of a page grows.
pub(super) const GROWTH_SLOTS: usize = 8;
/// No page.
pub(super) const NONE: u32 = u32::MAX;

/// One entry; `value` is `None` for a key that was removed but not yet durably so.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) key: SmallBytes,
    pub(super) value: Option<V>,
}

/// The fields that every lookup and write touch come first, next to each other.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Page<V> {
    /// One byte of each key's hash: a lookup compares these before any key.
    tags: [u8; PAGE_SLOTS],
    slots: Vec<Slot<V>>,
    pub(super) dirty: u64,
    pub(super) frozen: u64,
    /// Epoch of the cut that `frozen`, `sent` and `cut_dirty` are about; 0 for none.
    frozen_at: u32,
    /// Page that takes what has no room here and cannot be told apart by splitting, or [`NONE`].
    pub(super) overflow: u32,
    pub(super) cut_dirty: u64,
    pub(super) sent: u64,
    pub(super) whole: u64,
    pub(super) never: u64,
    /// Number of low bits of the hash that all keys of the page share.
    pub(super) depth: u8,
    /// Whether it has, or is, an overflow page.
    pub(super) chained: bool,
}

impl<V> Page<V> {
    pub(super) fn new(depth: u8) -> Self {
        Page {
            tags: [0; PAGE_SLOTS],
            slots: Vec::new(),
            dirty: 0,
            frozen: 0,
            frozen_at: 0,
            overflow: NONE,
            cut_dirty: 0,
            sent: 0,
            whole: 0,
            never: 0,
            depth,
            chained: false,
        }
    }

    /// Place of a key. Eight tags are compared at a time: the bytes of `word ^ pattern` that are
    /// zero (M. Mycroft's test; it may name a byte too many, which the key then refutes).
    #[inline]
    pub(super) fn find(&self, tag: u8, key: &[u8]) -> Option<usize> {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let pattern = LOW * u64::from(tag);
        let slots = self.slots.as_slice();
        for (number, word) in self.tags.as_chunks::<8>().0.iter().enumerate() {
            let difference = u64::from_le_bytes(*word) ^ pattern;
            let mut hits = difference.wrapping_sub(LOW) & !difference & HIGH;
            while hits != 0 {
                let at = number * 8 + hits.trailing_zeros() as usize / 8;
                match slots.get(at) {
                    Some(slot) if slot.key.as_slice() == key => return Some(at),
                    Some(_) => hits &= hits - 1,
                    // Tags behind the last slot are zero, and so may be a tag.
                    None => return None,
                }
            }
        }
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() == PAGE_SLOTS
    }

    /// Whether one more slot fits without growing.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() < self.slots.capacity()
    }

    pub(super) fn slots(&self) -> &[Slot<V>] {
        &self.slots
    }

    #[inline]
    pub(super) fn slot(&self, at: usize) -> &Slot<V> {
        &self.slots[at]
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, at: usize) -> &mut Slot<V> {
        &mut self.slots[at]
    }

    /// Adds an entry to a page that is not full; its place. The masks know nothing of it yet.
    pub(super) fn push(&mut self, tag: u8, slot: Slot<V>) -> Result<usize> {
        if self.slots.len() == self.slots.capacity() && self.slots.try_reserve_exact(GROWTH_SLOTS).is_err() {
            return Err(Error::OutOfMemory { doing: "adding a key", bytes: GROWTH_SLOTS * size_of::<Slot<V>>() });
        }
        let at = self.slots.len();
        self.tags[at] = tag;
        self.slots.push(slot);
        Ok(at)
    }

    /// Takes an entry out; the last one takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) -> Slot<V> {
        let last = self.slots.len() - 1;
        self.tags[at] = self.tags[last];
        for mask in
            [&mut self.dirty, &mut self.frozen, &mut self.cut_dirty, &mut self.sent, &mut self.whole, &mut self.never]
        {
            let moved = *mask >> last & 1;
            *mask = *mask & !(1 << at) & !(1 << last) | if at == last { 0 } else { moved << at };
        }
        self.slots.swap_remove(at)
    }

    /// Moves the entries for which `moves` holds, with all that is known of them, to a new page.
    pub(super) fn split(&mut self, moves: impl Fn(&[u8]) -> bool) -> Self {
        self.depth += 1;
        let mut other = Page { frozen_at: self.frozen_at, ..Page::new(self.depth) };
        let (mut stay_tags, mut masks) = ([0; PAGE_SLOTS], [[0_u64; 6]; 2]);
        let mut stay = Vec::new();
        let before = [self.dirty, self.frozen, self.cut_dirty, self.sent, self.whole, self.never];
        for (from, slot) in core::mem::take(&mut self.slots).into_iter().enumerate() {
            let side = usize::from(moves(slot.key.as_slice()));
            let (tags, slots) =
                if side == 1 { (&mut other.tags, &mut other.slots) } else { (&mut stay_tags, &mut stay) };
            let to = slots.len();
            tags[to] = self.tags[from];
            for (mask, before) in masks[side].iter_mut().zip(before) {
                *mask |= (before >> from & 1) << to;
            }
            if slots.len() == slots.capacity() {
                slots.reserve_exact(GROWTH_SLOTS);
            }
            slots.push(slot);
        }
        self.slots = stay;
        self.tags = stay_tags;
        for (page, masks) in [(self, masks[0]), (&mut other, masks[1])] {
            [page.dirty, page.frozen, page.cut_dirty, page.sent, page.whole, page.never] = masks;
        }
        other
    }

    /// Whether [`Page::sync`] has anything to do.
    #[inline]
    pub(super) fn is_synced(&self, clock: Clock) -> bool {
        self.frozen_at == clock.under_way.unwrap_or(0)
    }

    /// Brings the page up to date with the cuts, commits and aborts since it was last touched.
    /// Calls `released` for each durably removed key.
    pub(super) fn sync(&mut self, clock: Clock, rebasing: bool, released: impl FnMut(SmallBytes)) {
        if self.frozen_at != 0 && Some(self.frozen_at) != clock.under_way {
            if self.frozen_at <= clock.committed {
                self.release(released);
            } else {
                self.dirty |= self.cut_dirty;
                self.whole |= self.sent & self.cut_dirty;
            }
            (self.frozen, self.sent, self.cut_dirty, self.frozen_at) = (0, 0, 0, 0);
        }
        if let Some(cut) = clock.under_way
            && self.frozen_at != cut
        {
            self.cut_dirty = self.dirty;
            self.frozen = if rebasing { mask_of(self.slots.len()) } else { self.dirty };
            self.dirty = 0;
            self.frozen_at = cut;
        }
    }

    fn release(&mut self, mut released: impl FnMut(SmallBytes)) {
        let mut removed = self.sent & !self.dirty;
        // From the last to the first: what takes a freed place has been looked at.
        while removed != 0 {
            let at = 63 - removed.leading_zeros() as usize;
            removed &= !(1 << at);
            if self.slots[at].value.is_none() {
                released(self.swap_remove(at).key);
            }
        }
    }

    /// Bytes of the slots, used and reserved.
    pub(super) fn slots_memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<V>>()
    }
}

fn mask_of(slots: usize) -> u64 {
    if slots >= PAGE_SLOTS { u64::MAX } else { (1 << slots) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: core::ops::Range<u8>) -> Page<u8> {
        let mut page = Page::new(0);
        for key in keys {
            page.push(key % 5, Slot { key: SmallBytes::new(&[key]), value: Some(key) }).unwrap();
        }
        page
    }

    #[test]
    fn keys_are_found_among_equal_tags() {
        let page = page(0..64);
        for key in 0..64 {
            assert_eq!(page.find(key % 5, &[key]), Some(usize::from(key)));
        }
        assert_eq!(page.find(1, &[200]), None);
    }

    #[test]
    fn masks_follow_their_slots() {
        let mut page = page(0..64);
        page.dirty = 1 << 63 | 1 << 5 | 1;
        assert_eq!(page.swap_remove(5).value, Some(5));
        assert_eq!((page.slot(5).value, page.dirty), (Some(63), 1 << 5 | 1));
        let other = page.split(|key| key[0] >= 32);
        let dirty = |page: &Page<u8>| -> Vec<u8> {
            (0..page.slots.len()).filter(|at| page.dirty >> at & 1 == 1).filter_map(|at| page.slot(at).value).collect()
        };
        assert_eq!((dirty(&page), dirty(&other)), (alloc::vec![0], alloc::vec![63]));
    }
}
