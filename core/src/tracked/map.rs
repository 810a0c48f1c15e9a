//! The container of all keyed state: a map that tracks what changed and can be captured, bit by
//! bit, as of one instant while writes go on.
//!
//! Invariants:
//! - Entries lie in pages of 32, pages in key groups. What is dirty, frozen and captured is bits of
//!   a page (see `page.rs`); which pages have any is lists of the group.
//! - Pages and groups learn of a cut, a commit or an abort when they are next touched, so that each
//!   of the three takes constant time. A checkpoint cannot commit before all groups were visited.
//! - An entry of the cut is captured once: by a step, or by the first write to it, whichever comes
//!   first.
//! - A page with something dirty is on the dirty list of its group, at least once; a page that was
//!   dirty at the cut under way is on the frozen list.

use alloc::vec::Vec;

use super::clock::{Clock, NO_CUT};
use super::group::{Group, Place};
use super::key::MapKey;
use super::page::{Marks, Page, Slot};
use super::sealed::Sealed;
use crate::bytes::{SmallBytes, heap_bytes_beyond_inline};
use crate::error::Result;
use crate::format::key_group;
use crate::state::Vanished;
use crate::value::Footprint;

/// A keyed map that tracks changes. Keys are bytes; a named state of a
/// [`StateHolder`](crate::StateHolder) is one of these.
///
/// ```
/// use eventflux_core::{Accumulator, AggregationState, Function, StateDescriptor, StateHolder, StateKind};
/// # fn main() -> eventflux_core::Result<()> {
/// let visits = StateDescriptor::new("visits", StateKind::Aggregations, 1, "count by page");
/// let mut holder = StateHolder::builder("site").state(visits).build()?;
/// let map = holder.aggregations_mut("visits").expect("declared above");
/// let create = || AggregationState::new(vec![Accumulator::new(Function::Count)]);
/// map.update(b"/home", create, |page| page.update(|accumulators| accumulators[0].add_event()))?;
/// assert_eq!(map.get(b"/home").map(|page| page.accumulators()[0].result()), Some(1.into()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TrackedMap<V> {
    pub(super) groups: Vec<Group<V>>,
    /// Encoded bytes of the live rows of each group, an estimate.
    pub(super) live: Vec<u64>,
    /// Whether a base of the group is being captured.
    pub(super) rebasing: Vec<bool>,
    pub(super) clock: Clock,
    pub(super) keys: usize,
    /// Bytes of tables, and of keys and values beside them.
    pub(super) tables: usize,
    pub(super) heap: u64,
    /// Encoded bytes that rows lost since the newest cut.
    pub(super) vanished: Vanished,
    /// Encoded bytes of dirty rows captured as part of a base.
    pub(super) dirty_in_bases: u64,
    /// Where changes are written to be measured.
    pub(super) scratch: Vec<u8>,
    /// Entries captured that had changed.
    pub(super) dirty_entries: u64,
    /// Where the next step goes on: group, and place in its list of pages.
    pub(super) cursor: (usize, usize),
    pub(super) overflow: bool,
}

impl<V: Sealed> TrackedMap<V> {
    pub(crate) fn new(key_groups: u16, clock: Clock) -> Self {
        let groups = usize::from(key_groups);
        TrackedMap {
            groups: (0..groups).map(|_| Group::new()).collect(),
            live: alloc::vec![0; groups],
            rebasing: alloc::vec![false; groups],
            clock,
            keys: 0,
            tables: groups * size_of::<Group<V>>(),
            heap: 0,
            vanished: Vanished::NONE,
            dirty_in_bases: 0,
            scratch: Vec::new(),
            dirty_entries: 0,
            cursor: (0, 0),
            overflow: false,
        }
    }

    /// Takes over key groups of a map that has been restored beside this one and has no others.
    pub(crate) fn absorb(&mut self, mut other: Self, groups: core::ops::Range<u16>) {
        for group in groups.map(usize::from) {
            core::mem::swap(&mut self.groups[group], &mut other.groups[group]);
            self.live[group] = other.live[group];
        }
        self.keys += other.keys;
        self.heap += other.heap;
        self.tables += other.tables - other.groups.len() * size_of::<Group<V>>();
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.get_hashed(&MapKey::new(key))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Error::OverLimit`](crate::Error::OverLimit) if the key is longer than
    /// [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX); [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn set(&mut self, key: &[u8], mut value: V) -> Result<()> {
        value.take_place();
        let key = &MapKey::new(key);
        let group = self.group_of(key.hash());
        let Some(place) = self.locate(group, key) else {
            return self.insert(group, key, |held| *held = Some(value));
        };
        self.before_write(group, place);
        let after = value.footprint();
        match &mut self.slot_mut(group, place).value {
            Some(held) => {
                let before = held.footprint();
                *held = value;
                self.account_change(group, place, before, after);
            }
            gone => {
                *gone = Some(value);
                self.revive(group, key, after);
            }
        }
        Ok(())
    }

    /// Changes the value of a key, which `create` makes if there is none.
    ///
    /// # Errors
    /// As [`TrackedMap::set`]; then nothing was changed.
    pub fn update<R>(&mut self, key: &[u8], create: impl FnOnce() -> V, change: impl FnOnce(&mut V) -> R) -> Result<R> {
        self.update_hashed(&MapKey::new(key), create, change)
    }

    /// Changes the value of a key if it has one.
    pub fn modify<R>(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.modify_hashed(&MapKey::new(key), change)
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.remove_hashed(&MapKey::new(key))
    }

    #[inline]
    pub(crate) fn get_hashed(&self, key: &MapKey<'_>) -> Option<&V> {
        let group = &self.groups[self.group_of(key.hash())];
        group.slot(group.find(key)?).value.as_ref()
    }

    /// Changes the value of a key where it lies, if it has one and no checkpoint has to capture that
    /// first: nearly always. `change` says whether it could; if not, it has left the value as it was.
    /// Whether it was changed; if not, [`TrackedMap::set`] does it in any case.
    #[inline]
    pub(crate) fn change_in_place(&mut self, key: &MapKey<'_>, change: impl FnOnce(&mut V) -> bool) -> bool {
        let group = self.group_of(key.hash());
        let Some((place, held)) = self.groups[group].find_to_write(self.clock, key) else { return false };
        let before = held.footprint();
        let changed = change(held);
        let after = held.footprint();
        if before != after {
            self.account_change(group, place, before, after);
        }
        changed
    }

    pub(crate) fn update_hashed<R>(
        &mut self,
        key: &MapKey<'_>,
        create: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> Result<R> {
        let group = self.group_of(key.hash());
        let Some(place) = self.locate(group, key) else {
            return self.insert(group, key, |held| change(held.get_or_insert_with(create)));
        };
        self.before_write(group, place);
        match &mut self.slot_mut(group, place).value {
            Some(value) => {
                let before = value.footprint();
                let result = change_in(value, change);
                let after = value.footprint();
                self.account_change(group, place, before, after);
                Ok(result)
            }
            gone => {
                let value = gone.insert(create());
                let result = change(value);
                // After the change: it may have put another value there.
                value.take_place();
                let after = value.footprint();
                self.revive(group, key, after);
                Ok(result)
            }
        }
    }

    pub(crate) fn modify_hashed<R>(&mut self, key: &MapKey<'_>, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let group = self.group_of(key.hash());
        let place = self.locate(group, key)?;
        self.groups[group].slot(place).value.as_ref()?;
        self.before_write(group, place);
        let value = self.slot_mut(group, place).value.as_mut()?;
        let before = value.footprint();
        let result = change_in(value, change);
        let after = value.footprint();
        self.account_change(group, place, before, after);
        Some(result)
    }

    pub(crate) fn remove_hashed(&mut self, key: &MapKey<'_>) -> bool {
        let group = self.group_of(key.hash());
        let Some(place) = self.locate(group, key) else { return false };
        if self.groups[group].slot(place).value.is_none() {
            return false;
        }
        self.before_write(group, place);
        let value = self.slot_mut(group, place).value.take();
        let mut before = value.map_or_else(Footprint::default, |value| value.footprint());
        before.encoded += row_overhead(key.bytes().len());
        self.account(group, before, Footprint::default());
        self.keys -= 1;
        // What no checkpoint knows, durable or under way, has no reason to stay until the next is durable.
        if !self.shrank(group, place, before.encoded) {
            let slot = self.release_from(group, place.0, |page, marks| page.swap_remove(marks, place.1));
            self.heap = self.heap.saturating_sub(slot.key.heap_bytes() as u64);
        }
        true
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// Keys and values, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        let slots = self.groups.iter().flat_map(Group::iter);
        slots.filter_map(|slot| Some((slot.key.as_slice(), slot.value.as_ref()?)))
    }

    /// Memory it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.tables + self.heap as usize
    }

    /// Bytes by which it grows beside the value if a key is inserted; 0 if it is there.
    pub(crate) fn growth_of_insert(&self, key: &[u8]) -> usize {
        let key = MapKey::new(key);
        let group = &self.groups[self.group_of(key.hash())];
        if group.find(&key).is_some() {
            return 0;
        }
        group.growth_of_insert(key.hash()) + heap_bytes_beyond_inline(key.bytes().len())
    }

    #[inline]
    pub(super) fn group_of(&self, hash: u64) -> usize {
        usize::from(key_group(hash, self.groups.len() as u16))
    }

    /// Accounts for a key that was removed, not yet durably, and has a value again.
    #[cold]
    fn revive(&mut self, group: usize, key: &MapKey<'_>, mut after: Footprint) {
        self.keys += 1;
        after.encoded += row_overhead(key.bytes().len());
        self.account(group, Footprint::default(), after);
    }

    #[cold]
    fn insert<R>(&mut self, group: usize, key: &MapKey<'_>, change: impl FnOnce(&mut Option<V>) -> R) -> Result<R> {
        let mut value = None;
        let result = change(&mut value);
        let Some(value) = value else { return Ok(result) };
        let (page, at) = self.add(group, key, value)?;
        let held = &mut self.groups[group];
        held.marks[page as usize].never |= 1 << at;
        let page_held = &mut held.pages[page as usize];
        let is_first = page_held.dirty == 0;
        page_held.dirty |= 1 << at;
        if is_first {
            held.list_dirty(page);
        }
        Ok(result)
    }

    /// Adds an entry that is not dirty.
    pub(super) fn add(&mut self, group: usize, key: &MapKey<'_>, value: V) -> Result<Place> {
        let after = Slot::footprint(key.bytes(), &value)?;
        let slot = Slot::new(key.bytes(), value);
        let (clock, rebasing) = (self.clock, self.rebasing[group]);
        let held = &mut self.groups[group];
        held.sync(clock);
        let (before, mut freed) = (held.memory(), 0);
        let place = held.insert(key.hash(), slot, |page, marks| {
            page.sync(marks, clock, rebasing, |key| freed += key.heap_bytes() as u64);
        });
        self.tables = self.tables + held.memory() - before;
        self.heap = self.heap.saturating_sub(freed);
        let place = place?;
        self.keys += 1;
        self.account(group, Footprint::default(), after);
        Ok(place)
    }

    #[inline]
    pub(super) fn account(&mut self, group: usize, before: Footprint, after: Footprint) {
        self.heap = (self.heap + after.memory).saturating_sub(before.memory);
        let live = &mut self.live[group];
        *live = (*live + after.encoded).saturating_sub(before.encoded);
    }

    /// Accounts for a change of a value that stays. A function of its own for all that change values: a plugin has no room
    /// for many.
    #[inline(never)]
    fn account_change(&mut self, group: usize, place: Place, before: Footprint, after: Footprint) {
        self.account(group, before, after);
        if after.encoded < before.encoded {
            self.shrank(group, place, before.encoded - after.encoded);
        }
    }

    /// A row that a write has located lost bytes; whether any checkpoint knows it, durable or under way.
    #[inline(never)]
    fn shrank(&mut self, group: usize, (page, at): Place, encoded: u64) -> bool {
        let held = &self.groups[group];
        let known = held.pages[page as usize].known(&held.marks[page as usize], self.clock);
        let bit = 1 << at;
        self.vanished.add(encoded, bit, known);
        let [never, sent, absent] = known;
        // That it was captured as not there tells nobody of it either.
        !(never & (!sent | absent)) & bit != 0
    }

    /// Where a key is, with its group and page as far up to date as a write needs: what was durably
    /// removed is gone.
    #[inline]
    fn locate(&mut self, group: usize, key: &MapKey<'_>) -> Option<Place> {
        let held = &mut self.groups[group];
        held.sync(self.clock);
        let place = held.find(key)?;
        let page = &held.pages[place.0 as usize];
        if page.is_synced(self.clock) || page.is_settled(self.clock) && page.slot(place.1).value.is_some() {
            return Some(place);
        }
        self.sync_page(group, place.0);
        self.groups[group].find(key)
    }

    #[cold]
    pub(super) fn sync_page(&mut self, group: usize, page: u32) {
        let (clock, rebasing, mut freed) = (self.clock, self.rebasing[group], 0);
        self.release_from(group, page, |page, marks| {
            page.sync(marks, clock, rebasing, |key| freed += key.heap_bytes() as u64);
        });
        self.heap = self.heap.saturating_sub(freed);
    }

    /// Does what may take entries out of a page, which may give room back then.
    pub(super) fn release_from<R>(
        &mut self,
        group: usize,
        page: u32,
        release: impl FnOnce(&mut Page<V>, &mut Marks) -> R,
    ) -> R {
        let held = &mut self.groups[group];
        let page_held = &mut held.pages[page as usize];
        let before = page_held.slots_memory();
        let released = release(page_held, &mut held.marks[page as usize]);
        let given_back = before - page_held.slots_memory();
        held.slots_memory -= given_back;
        self.tables -= given_back;
        released
    }

    /// Everything that must happen before a located entry changes: the old value is captured if a
    /// checkpoint still needs it, and the entry is marked dirty.
    #[inline]
    fn before_write(&mut self, group: usize, place: Place) {
        let (page, at) = place;
        let bit = 1 << at;
        let held = &mut self.groups[group];
        let page_held = &mut held.pages[page as usize];
        if page_held.dirty & bit == 0 {
            let frozen = self.clock.under_way != NO_CUT && held.marks[page as usize].frozen & bit != 0;
            let is_first = page_held.dirty == 0;
            page_held.dirty |= bit;
            if is_first {
                held.list_dirty(page);
            }
            if frozen {
                self.capture(group, place);
            }
        }
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, group: usize, (page, at): Place) -> &mut Slot<V> {
        self.groups[group].pages[page as usize].slot_mut(at)
    }

    /// Keys in the order of their bytes.
    pub(crate) fn sorted_keys(&self) -> Vec<SmallBytes> {
        let slots = self.groups.iter().flat_map(Group::iter);
        let mut keys: Vec<SmallBytes> =
            slots.filter(|slot| slot.value.is_some()).map(|slot| slot.key.clone()).collect();
        keys.sort_unstable();
        keys
    }
}

/// Changes a value where it lies. Another value in its place is no change of what was captured of this one.
#[inline]
fn change_in<V: Sealed, R>(value: &mut V, change: impl FnOnce(&mut V) -> R) -> R {
    let captured = value.captured();
    let result = change(value);
    if value.captured() != captured {
        value.take_place();
    }
    result
}

/// Encoded bytes of a row beside its payload.
#[inline]
pub(super) fn row_overhead(key_len: usize) -> u64 {
    key_len as u64 + 3
}
