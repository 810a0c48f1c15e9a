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

use super::group::{Group, Place};
use super::key::MapKey;
use super::page::Slot;
use super::sealed::Sealed;
use crate::bytes::{SmallBytes, heap_bytes_beyond_inline};
use crate::error::{Error, Result};
use crate::format::rows::{Form, Row, RowBlock};
use crate::format::{Malformed, key_group};
use crate::limits::{KEY_BYTES_MAX, STEP_ROW_BYTES};
use crate::value::Footprint;

/// No epoch: nothing is under way.
pub(crate) const NO_CUT: u32 = 0;
/// Epoch of entries that came from a checkpoint.
const EPOCH_RESTORED: u32 = 1;
/// Epoch in which a new or restored map starts.
const EPOCH_FIRST: u32 = 2;
/// What visiting a page or group costs of a step's budget, in bytes.
const STEP_VISIT_BYTES: usize = 16;

/// Where the checkpoints of a holder stand; each of its maps has the same copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Epoch that writes belong to.
    pub(crate) epoch: u32,
    /// Epoch of the cut being captured or published, or [`NO_CUT`].
    pub(crate) under_way: u32,
    /// Epoch of the newest durable cut.
    pub(crate) committed: u32,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { epoch: EPOCH_FIRST, under_way: NO_CUT, committed: EPOCH_RESTORED }
    }
}

/// Rows captured of one key group.
#[derive(Debug)]
pub(crate) struct GroupRows {
    pub(crate) group: u16,
    pub(crate) rows: RowBlock,
}

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
    groups: Vec<Group<V>>,
    /// Encoded bytes of the live rows of each group, an estimate.
    live: Vec<u64>,
    /// Whether a base of the group is being captured.
    rebasing: Vec<bool>,
    clock: Clock,
    keys: usize,
    /// Bytes of tables, and of keys and values beside them.
    tables: usize,
    heap: u64,
    /// Encoded bytes by which rows shrank or vanished since the newest cut.
    shrunk: u64,
    /// Encoded bytes of dirty rows captured as part of a base.
    dirty_in_bases: u64,
    /// Where the next step goes on: group, and place in its list of pages.
    cursor: (usize, usize),
    overflow: bool,
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
            shrunk: 0,
            dirty_in_bases: 0,
            cursor: (0, 0),
            overflow: false,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.get_hashed(&MapKey::new(key))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Error::OverLimit`] if the key is longer than [`KEY_BYTES_MAX`]; [`Error::OutOfMemory`].
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
                self.account(group, before, after);
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
        let Some(held) = self.groups[group].find_to_write(self.clock, key) else { return false };
        let before = held.footprint();
        let changed = change(held);
        let after = held.footprint();
        if before != after {
            self.account(group, before, after);
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
                let result = change(value);
                let after = value.footprint();
                self.account(group, before, after);
                Ok(result)
            }
            gone => {
                let value = gone.insert(create());
                value.take_place();
                let result = change(value);
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
        let result = change(value);
        let after = value.footprint();
        self.account(group, before, after);
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
        let before = value.map_or_else(Footprint::default, |value| value.footprint());
        let row = row_overhead(key.bytes().len());
        self.account(group, Footprint { memory: before.memory, encoded: before.encoded + row }, Footprint::default());
        self.keys -= 1;
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
    fn group_of(&self, hash: u64) -> usize {
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
        if page_held.dirty == 0 {
            held.dirty.push(page);
        }
        page_held.dirty |= 1 << at;
        Ok(result)
    }

    /// Adds an entry that is not dirty.
    fn add(&mut self, group: usize, key: &MapKey<'_>, value: V) -> Result<Place> {
        let len = key.bytes().len();
        if len > KEY_BYTES_MAX {
            let (found, limit) = (len as u64, KEY_BYTES_MAX as u64);
            return Err(Error::OverLimit { what: "length of a key", found, limit });
        }
        let (clock, rebasing) = (self.clock, self.rebasing[group]);
        let mut after = value.footprint();
        let slot = Slot { key: key.to_small(), value: Some(value) };
        after.encoded += row_overhead(len);
        after.memory += slot.key.heap_bytes() as u64;
        let held = &mut self.groups[group];
        held.sync(clock);
        let (before, mut freed) = (held.memory(), 0);
        let place = held.insert(key.hash(), slot, |page, marks| {
            page.sync(marks, clock, rebasing, |key| freed += key.heap_bytes() as u64);
        })?;
        self.tables = self.tables + held.memory() - before;
        self.heap = self.heap.saturating_sub(freed);
        self.keys += 1;
        self.account(group, Footprint::default(), after);
        Ok(place)
    }

    #[inline]
    fn account(&mut self, group: usize, before: Footprint, after: Footprint) {
        self.heap = (self.heap + after.memory).saturating_sub(before.memory);
        let live = &mut self.live[group];
        *live = (*live + after.encoded).saturating_sub(before.encoded);
        self.shrunk += before.encoded.saturating_sub(after.encoded);
    }

    /// Where a key is, with its group and page up to date: what was durably removed is gone.
    #[inline]
    fn locate(&mut self, group: usize, key: &MapKey<'_>) -> Option<Place> {
        let held = &mut self.groups[group];
        held.sync(self.clock);
        let place = held.find(key)?;
        if held.pages[place.0 as usize].is_synced(self.clock) {
            return Some(place);
        }
        self.sync_page(group, place.0);
        self.groups[group].find(key)
    }

    #[cold]
    fn sync_page(&mut self, group: usize, page: u32) {
        let (clock, rebasing, mut freed) = (self.clock, self.rebasing[group], 0);
        let held = &mut self.groups[group];
        let marks = &mut held.marks[page as usize];
        held.pages[page as usize].sync(marks, clock, rebasing, |key| freed += key.heap_bytes() as u64);
        self.heap = self.heap.saturating_sub(freed);
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
            let frozen = held.marks[page as usize].frozen & bit != 0;
            if page_held.dirty == 0 {
                held.dirty.push(page);
            }
            page_held.dirty |= bit;
            if frozen {
                self.capture(group, place);
            }
        }
    }

    #[inline]
    fn slot_mut(&mut self, group: usize, (page, at): Place) -> &mut Slot<V> {
        self.groups[group].pages[page as usize].slot_mut(at)
    }

    /// Encodes an entry of the cut under way.
    fn capture(&mut self, group: usize, (page, at): Place) {
        let rebasing = self.rebasing[group];
        let held = &mut self.groups[group];
        let marks = &mut held.marks[page as usize];
        let bit = 1 << at;
        let (never, whole) = (marks.never & bit != 0, (marks.never | marks.whole) & bit != 0);
        let was_dirty = marks.cut_dirty & bit != 0;
        marks.frozen &= !bit;
        marks.sent |= bit;
        marks.whole &= !bit;
        let slot = held.pages[page as usize].slot_mut(at);
        if slot.value.is_none() {
            marks.absent |= bit;
        }
        let written = match &mut slot.value {
            Some(value) => {
                let written = held.captured.push(slot.key.as_slice(), |out| {
                    if whole || rebasing {
                        value.write_whole(out);
                        Form::Whole
                    } else {
                        value.write_change(out)
                    }
                });
                value.settle();
                written
            }
            None => {
                if held.removed.last() != Some(&page) {
                    held.removed.push(page);
                }
                // Never durable, or a base without it: there is nothing to say.
                if never || rebasing { Some(0) } else { held.captured.push(slot.key.as_slice(), |_| Form::Removed) }
            }
        };
        if rebasing && was_dirty {
            self.dirty_in_bases += written.unwrap_or(0) as u64;
        }
        self.overflow |= written.is_none();
    }
}

/// The checkpoint side: driven by the holder.
impl<V: Sealed> TrackedMap<V> {
    /// Cut: what is dirty now belongs to the checkpoint. Bases of the `rebase` groups go with it.
    pub(crate) fn begin(&mut self, clock: Clock, rebase: impl Iterator<Item = core::ops::Range<u16>>) {
        self.clock = clock;
        self.cursor = (0, 0);
        self.dirty_in_bases = 0;
        for range in rebase {
            self.rebasing[usize::from(range.start)..usize::from(range.end)].fill(true);
        }
    }

    /// Encoded bytes by which rows shrank since the cut before; starts anew.
    pub(crate) fn take_shrunk(&mut self) -> u64 {
        core::mem::take(&mut self.shrunk)
    }

    /// Captures rows until about `budget` bytes are spent; whether all are captured.
    pub(crate) fn step(&mut self, budget: &mut usize) -> bool {
        if self.clock.under_way == NO_CUT {
            return true;
        }
        while self.cursor.0 < self.groups.len() {
            let (group, mut at) = self.cursor;
            self.groups[group].sync(self.clock);
            if at == 0 {
                self.release(group, budget);
            }
            let rebasing = self.rebasing[group];
            loop {
                let held = &self.groups[group];
                // Pages that are split off meanwhile come at the end of either.
                let page =
                    if rebasing { (at < held.pages.len()).then_some(at as u32) } else { held.frozen.get(at).copied() };
                let Some(page) = page else { break };
                if !self.step_page(group, page, budget) {
                    self.cursor = (group, at);
                    return false;
                }
                at += 1;
            }
            self.cursor = (group + 1, 0);
            *budget = budget.saturating_sub(STEP_VISIT_BYTES);
            if *budget == 0 && self.cursor.0 < self.groups.len() {
                return false;
            }
        }
        true
    }

    /// Captures what is frozen of a page; whether all of it.
    fn step_page(&mut self, group: usize, page: u32, budget: &mut usize) -> bool {
        self.sync_page(group, page);
        loop {
            let held = &self.groups[group];
            let frozen = held.marks[page as usize].frozen;
            if frozen == 0 {
                *budget = budget.saturating_sub(STEP_VISIT_BYTES);
                return true;
            }
            if *budget == 0 {
                return false;
            }
            let bytes_before = held.captured.section_bytes();
            self.capture(group, (page, frozen.trailing_zeros() as usize));
            let bytes = self.groups[group].captured.section_bytes() - bytes_before;
            *budget = budget.saturating_sub(STEP_ROW_BYTES + bytes as usize);
        }
    }

    /// Gives back the slots of durably removed keys.
    fn release(&mut self, group: usize, budget: &mut usize) {
        while let Some(page) = self.groups[group].releasable.pop() {
            self.sync_page(group, page);
            *budget = budget.saturating_sub(STEP_ROW_BYTES);
        }
    }

    /// The captured rows, once all are: of each group that has any or is rebased.
    pub(crate) fn take_captured(&mut self) -> Result<CapturedRows> {
        if self.overflow {
            return Err(Error::OverLimit {
                what: "captured bytes of one key group",
                found: 1 << 32,
                limit: (1 << 32) - 1,
            });
        }
        let mut rows = CapturedRows { deltas: Vec::new(), bases: Vec::new(), dirty_in_bases: self.dirty_in_bases };
        for (group, held) in self.groups.iter_mut().enumerate() {
            if held.captured.is_empty() {
                continue;
            }
            let block = GroupRows { group: group as u16, rows: core::mem::take(&mut held.captured) };
            if self.rebasing[group] { rows.bases.push(block) } else { rows.deltas.push(block) }
        }
        Ok(rows)
    }

    /// Ends the checkpoint, durable or not: `clock` says which.
    pub(crate) fn end(&mut self, clock: Clock) {
        let aborted = self.clock.under_way != NO_CUT && clock.committed < self.clock.under_way;
        self.clock = clock;
        self.rebasing.fill(false);
        self.overflow = false;
        if aborted {
            for group in 0..self.groups.len() {
                self.groups[group].captured = RowBlock::default();
            }
        }
    }

    /// Encoded bytes of the live rows of each group.
    pub(crate) fn live_bytes(&self) -> &[u64] {
        &self.live
    }

    /// Takes a row of a base or delta section into a map that is being restored.
    pub(crate) fn restore_row(&mut self, row: Row<'_>) -> Result<(), Malformed> {
        let key = MapKey::new(row.key);
        let group = self.group_of(key.hash());
        if group != usize::from(row.group) {
            return Err(Malformed::new("a key is filed under another key group than its own"));
        }
        let place = self.groups[group].find(&key);
        match (row.form, place) {
            (Form::Whole, None) => {
                let value = V::read_whole(row.payload)?;
                self.add(group, &key, value).map_err(|error| Malformed::new(alloc::format!("{error}")))?;
            }
            (Form::Whole, Some(place)) => {
                let value = V::read_whole(row.payload)?;
                self.restore_replace(group, place, |held| *held = value);
            }
            (Form::Change, Some(place)) => {
                let mut applied = Ok(());
                self.restore_replace(group, place, |held| {
                    applied = held.apply_change(row.payload);
                    held.settle();
                });
                applied?;
            }
            (Form::Change, None) => return Err(Malformed::new("a change of a key that is not there")),
            (Form::Removed, None) => {}
            (Form::Removed, Some((page, at))) => {
                let held = &mut self.groups[group];
                let slot = held.pages[page as usize].swap_remove(&mut held.marks[page as usize], at);
                let mut before = slot.value.map_or_else(Footprint::default, |value| value.footprint());
                before.memory += slot.key.heap_bytes() as u64;
                before.encoded += row_overhead(row.key.len());
                self.keys -= 1;
                self.account(group, before, Footprint::default());
            }
        }
        self.shrunk = 0;
        Ok(())
    }

    fn restore_replace(&mut self, group: usize, place: Place, replace: impl FnOnce(&mut V)) {
        let Some(value) = self.slot_mut(group, place).value.as_mut() else { return };
        let before = value.footprint();
        replace(value);
        let after = value.footprint();
        self.account(group, before, after);
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

/// What a map hands over at the end of a capture.
#[derive(Debug)]
pub(crate) struct CapturedRows {
    pub(crate) deltas: Vec<GroupRows>,
    pub(crate) bases: Vec<GroupRows>,
    pub(crate) dirty_in_bases: u64,
}

/// Encoded bytes of a row beside its payload.
#[inline]
fn row_overhead(key_len: usize) -> u64 {
    key_len as u64 + 3
}
