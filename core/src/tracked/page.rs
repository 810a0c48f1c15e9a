//! A page: up to 32 entries of a key group, with what is dirty, frozen and captured as bits.
//!
//! Invariants:
//! - Bit *n* of each mask is about slot *n*; bits beyond the slots are zero.
//! - `dirty`: written since the newest cut that the page knows of (`frozen_at`).
//! - `frozen`: belongs to the cut under way and is not captured yet. `sent`: belongs to it and is
//!   captured. `cut_dirty`: was dirty at that cut.
//! - A removed key keeps its slot, without a value, until a checkpoint without it is durable.
//! - `whole`: the last capture was aborted, so the next one cannot be a change. `never`: the newest
//!   durable checkpoint has no such key. `absent`: captured as not there, so that it is `never`
//!   once this checkpoint is durable.
//!
//! A page learns of a cut, a commit or an abort when it is next touched ([`Page::sync`]): a few
//! words for 32 entries, so that none of the three has to visit the entries. Of a commit not even
//! then, unless the write needs it ([`Page::is_settled`]): the next step is early enough.
//!
//! What a lookup and a write need is one cache line ([`Page`]); the rest lies elsewhere ([`Marks`]).

use alloc::vec::Vec;

use super::clock::{Clock, NO_CUT};
use super::key::MapKey;
use super::map::row_overhead;
use super::sealed::Sealed;
use super::tags::Tags;
use crate::bytes::{SmallBytes, heap_bytes_beyond_inline};
use crate::error::{Error, Result};
use crate::limits::KEY_BYTES_MAX;
use crate::value::Footprint;

/// Entries of a page: one bit each in a [`Mask`].
pub(super) const PAGE_SLOTS: usize = 32;
/// A bit for each slot.
pub(super) type Mask = u32;
/// Slots by which the storage of a page grows.
pub(super) const GROWTH_SLOTS: usize = 4;
/// No page.
pub(super) const NONE: u32 = u32::MAX;

const _: () = assert!(Mask::BITS as usize == PAGE_SLOTS);

/// One entry; `value` is `None` for a key that was removed but not yet durably so.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) key: SmallBytes,
    pub(super) value: Option<V>,
}

impl<V> Slot<V> {
    #[inline]
    pub(super) fn new(key: &[u8], value: V) -> Self {
        Slot { key: SmallBytes::new(key), value: Some(value) }
    }
}

impl<V: Sealed> Slot<V> {
    /// What an entry takes beside its place in a page; an error if the key is too long for one.
    #[inline]
    pub(super) fn footprint(key: &[u8], value: &V) -> Result<Footprint> {
        let len = key.len();
        if len > KEY_BYTES_MAX {
            let (found, limit) = (len as u64, KEY_BYTES_MAX as u64);
            return Err(Error::OverLimit { what: "length of a key", found, limit });
        }
        let mut footprint = value.footprint();
        footprint.encoded += row_overhead(len);
        footprint.memory += heap_bytes_beyond_inline(len) as u64;
        Ok(footprint)
    }

    /// Something of it, that it comes into the cache.
    #[inline]
    fn peek(&self) -> u64 {
        self.key.heap_bytes() as u64 ^ self.value.as_ref().map_or(0, |value| value.footprint().encoded)
    }
}

/// The entries of a page, and what every write asks.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Page<V> {
    /// One byte of each key's hash: a lookup compares these before any key.
    tags: Tags,
    slots: Vec<Slot<V>>,
    pub(super) dirty: Mask,
    /// Epoch of the cut that the marks are about, or [`NO_CUT`].
    frozen_at: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Page<u64>>() == 64);

/// What checkpoints and splits ask of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) frozen: Mask,
    pub(super) cut_dirty: Mask,
    pub(super) sent: Mask,
    pub(super) whole: Mask,
    pub(super) never: Mask,
    pub(super) absent: Mask,
    /// Page that takes what has no room here and cannot be told apart by splitting, or [`NONE`].
    pub(super) overflow: u32,
    /// Number of low bits of the hash that all keys of the page share.
    pub(super) depth: u8,
    /// Whether it has, or is, an overflow page.
    pub(super) chained: bool,
}

impl Marks {
    pub(super) fn new(depth: u8) -> Self {
        Marks { frozen: 0, cut_dirty: 0, sent: 0, whole: 0, never: 0, absent: 0, overflow: NONE, depth, chained: false }
    }

    fn masks(&mut self) -> [&mut Mask; 6] {
        [&mut self.frozen, &mut self.cut_dirty, &mut self.sent, &mut self.whole, &mut self.never, &mut self.absent]
    }
}

impl<V> Page<V> {
    pub(super) fn new() -> Self {
        Page { tags: Tags::new(), slots: Vec::new(), dirty: 0, frozen_at: NO_CUT }
    }

    /// A page with room for so many entries.
    pub(super) fn with_room(entries: usize) -> Result<Self> {
        let mut page = Self::new();
        page.reserve(entries.min(PAGE_SLOTS).next_multiple_of(GROWTH_SLOTS))?;
        Ok(page)
    }

    /// Place of a key.
    #[inline]
    pub(super) fn find(&self, tag: u8, key: &MapKey<'_>) -> Option<usize> {
        let mut places = self.tags.find(tag);
        while places != 0 {
            let at = places.trailing_zeros() as usize;
            match self.slots.get(at) {
                Some(slot) if key.is(&slot.key) => return Some(at),
                Some(_) => places &= places - 1,
                // Tags behind the last slot say nothing.
                None => return None,
            }
        }
        None
    }

    /// Places that have a tag.
    #[inline]
    pub(super) fn places(&self, tag: u8) -> Mask {
        self.tags.find(tag)
    }

    /// Something of the entry at the first of some places, if there is one.
    #[inline]
    pub(super) fn peek(&self, places: Mask) -> u64
    where
        V: Sealed,
    {
        self.slots.get(places.trailing_zeros() as usize).map_or(0, Slot::peek)
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

    #[inline]
    pub(super) fn value_mut(&mut self, at: usize) -> Option<&mut V> {
        self.slots.get_mut(at)?.value.as_mut()
    }

    /// A value, and what is dirty.
    pub(super) fn value_and_dirty(&mut self, at: usize) -> Option<(&mut V, &mut Mask)> {
        Some((self.slots.get_mut(at)?.value.as_mut()?, &mut self.dirty))
    }

    /// Adds an entry to a page that is not full; its place. The masks know nothing of it yet.
    pub(super) fn push(&mut self, tag: u8, slot: Slot<V>) -> Result<usize> {
        if !self.has_room() {
            self.reserve(GROWTH_SLOTS)?;
        }
        let at = self.slots.len();
        self.tags.set(at, tag);
        self.slots.push(slot);
        Ok(at)
    }

    /// Adds an entry to a page that has room for it. It is made where it stays: one that is handed over would be written
    /// in parts and read as a whole, which waits for the parts.
    #[inline]
    pub(super) fn push_into_room(&mut self, tag: u8, key: &[u8], value: V) {
        self.tags.set(self.slots.len(), tag);
        self.slots.push(Slot::new(key, value));
    }

    fn reserve(&mut self, slots: usize) -> Result<()> {
        let reserved = self.slots.try_reserve_exact(slots);
        reserved.map_err(|_| Error::OutOfMemory { doing: "adding a key", bytes: slots * size_of::<Slot<V>>() })
    }

    /// Takes an entry out; the last one takes its place. A page that has become empty gives its room back.
    pub(super) fn swap_remove(&mut self, marks: &mut Marks, at: usize) -> Slot<V> {
        let last = self.slots.len() - 1;
        self.tags.set(at, self.tags.get(last));
        for mask in marks.masks().into_iter().chain([&mut self.dirty]) {
            let moved = *mask >> last & 1;
            *mask = *mask & !(1 << at) & !(1 << last) | if at == last { 0 } else { moved << at };
        }
        let slot = self.slots.swap_remove(at);
        // Not of one that was small: it would take the same again with the next entry.
        if self.slots.is_empty() && self.slots.capacity() > GROWTH_SLOTS {
            self.slots = Vec::new();
        }
        slot
    }

    /// Moves the entries for which `moves` holds, with all that is known of them, to a new page.
    pub(super) fn split(&mut self, marks: &mut Marks, moves: impl Fn(&[u8]) -> bool) -> (Self, Marks) {
        let before = Page { slots: core::mem::take(&mut self.slots), tags: self.tags.clone(), ..*self };
        let mut marks_before = *marks;
        let mut sides = [(Page::new(), Marks::new(marks.depth + 1)), (Page::new(), Marks::new(marks.depth + 1))];
        for (from, slot) in before.slots.into_iter().enumerate() {
            let (page, marks) = &mut sides[usize::from(moves(slot.key.as_slice()))];
            let to = page.slots.len();
            page.tags.set(to, before.tags.get(from));
            page.dirty |= (before.dirty >> from & 1) << to;
            for (mask, before) in marks.masks().into_iter().zip(marks_before.masks()) {
                *mask |= (*before >> from & 1) << to;
            }
            if to == page.slots.capacity() {
                page.slots.reserve_exact(GROWTH_SLOTS);
            }
            page.slots.push(slot);
        }
        sides.iter_mut().for_each(|(page, _)| page.frozen_at = before.frozen_at);
        let [stays, goes] = sides;
        (*self, *marks) = stays;
        goes
    }

    /// Whether [`Page::sync`] has anything to do.
    #[inline]
    pub(super) fn is_synced(&self, clock: Clock) -> bool {
        self.frozen_at == clock.under_way
    }

    /// Whether a value may change without [`Page::sync`]. If no cut is under way and the one that the
    /// marks are about became durable, then all of that was captured; what is left to be done for it
    /// does not depend on what a write marks, which is about the next cut.
    ///
    /// So a write leaves the marks alone, which most likely are in no cache.
    #[inline]
    pub(super) fn is_settled(&self, clock: Clock) -> bool {
        clock.is_settled(self.frozen_at)
    }

    /// What checkpoints know of the entries of a page that is synced or settled: `never`, `sent` and `absent` as
    /// [`Page::sync`] would leave them.
    pub(super) fn known(&self, marks: &Marks, clock: Clock) -> [Mask; 3] {
        let Marks { never, sent, absent, .. } = *marks;
        if self.is_synced(clock) { [never, sent, absent] } else { [never & !sent | absent, 0, 0] }
    }

    /// Brings the page up to date with the cuts, commits and aborts since it was last touched.
    /// Calls `released` for each durably removed key.
    pub(super) fn sync(&mut self, marks: &mut Marks, clock: Clock, rebasing: bool, released: impl FnMut(SmallBytes)) {
        if self.is_synced(clock) {
            return;
        }
        if self.frozen_at != NO_CUT {
            if self.frozen_at <= clock.committed {
                marks.never = marks.never & !marks.sent | marks.absent;
                self.release(marks, released);
            } else {
                self.dirty |= marks.cut_dirty;
                marks.whole |= marks.sent & marks.cut_dirty;
            }
            (marks.frozen, marks.sent, marks.absent, marks.cut_dirty) = (0, 0, 0, 0);
        }
        if clock.under_way != NO_CUT {
            marks.cut_dirty = self.dirty;
            marks.frozen = if rebasing { mask_of(self.slots.len()) } else { self.dirty };
            self.dirty = 0;
        }
        self.frozen_at = clock.under_way;
    }

    /// Reads something of each entry that is frozen, or will be once this is synced.
    #[inline]
    pub(super) fn fetch(&self, marks: &Marks, clock: Clock, rebasing: bool) -> u64
    where
        V: Sealed,
    {
        let mut frozen = match (self.is_synced(clock), rebasing) {
            (true, _) => marks.frozen,
            (false, true) => Mask::MAX,
            (false, false) => self.dirty,
        };
        let mut read = 0;
        while frozen != 0 {
            let Some(slot) = self.slots.get(frozen.trailing_zeros() as usize) else { break };
            read ^= slot.peek();
            frozen &= frozen - 1;
        }
        read
    }

    fn release(&mut self, marks: &mut Marks, mut released: impl FnMut(SmallBytes)) {
        // Not all that was sent: to look whether it has a value would fetch each of these slots.
        let mut removed = marks.absent & !self.dirty;
        // From the last to the first: what takes a freed place has been looked at.
        while removed != 0 {
            let at = removed.ilog2() as usize;
            removed &= !(1 << at);
            if self.slots[at].value.is_none() {
                released(self.swap_remove(marks, at).key);
            }
        }
    }

    /// Bytes of the slots, used and reserved.
    pub(super) fn slots_memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<V>>()
    }
}

fn mask_of(slots: usize) -> Mask {
    if slots >= PAGE_SLOTS { Mask::MAX } else { (1 << slots) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: core::ops::Range<u8>) -> Page<u8> {
        let mut page = Page::new();
        for key in keys {
            page.push(key % 5, Slot { key: SmallBytes::new(&[key]), value: Some(key) }).unwrap();
        }
        page
    }

    #[test]
    fn keys_are_found_among_equal_tags() {
        let page = page(0..32);
        for key in 0..32 {
            assert_eq!(page.find(key % 5, &MapKey::new(&[key])), Some(usize::from(key)));
        }
        assert_eq!(page.find(1, &MapKey::new(&[200])), None);
    }

    #[test]
    fn masks_follow_their_slots() {
        let (mut page, mut marks) = (page(0..32), Marks::new(0));
        page.dirty = 1 << 31 | 1 << 5 | 1;
        marks.sent = 1 << 31;
        assert_eq!(page.swap_remove(&mut marks, 5).value, Some(5));
        assert_eq!((page.slot(5).value, page.dirty, marks.sent), (Some(31), 1 << 5 | 1, 1 << 5));
        let (other, other_marks) = page.split(&mut marks, |key| key[0] >= 16);
        let marked = |page: &Page<u8>, mask: Mask| -> Vec<u8> {
            (0..page.slots.len()).filter(|at| mask >> at & 1 == 1).filter_map(|at| page.slot(at).value).collect()
        };
        assert_eq!((marked(&page, page.dirty), marked(&other, other.dirty)), (alloc::vec![0], alloc::vec![31]));
        assert_eq!((marks.sent, marked(&other, other_marks.sent)), (0, alloc::vec![31]));
        assert_eq!((marks.depth, other_marks.depth), (1, 1));
    }
}
