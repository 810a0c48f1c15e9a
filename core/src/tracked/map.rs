//! The container of all keyed state: a map that tracks what changed and can be captured, bit by
//! bit, as of one instant while writes go on.
//!
//! Invariants:
//! - The *dirty list* of a group holds every slot written since the newest cut, at least once. A
//!   slot is on it exactly if `slot.dirty > boundary`, where the boundary is the epoch being
//!   captured, else the epoch last committed.
//! - While a checkpoint is under way, the *frozen list* of a group holds every slot written
//!   between the cut before and this one. Such a slot is captured once: by a step, or by the first
//!   write to it, whichever comes first; then `slot.captured` is the epoch of the cut.
//! - A group learns of a cut, a commit or an abort when it is next touched (`sync`), so that each
//!   of the three takes constant time. A checkpoint cannot commit before all groups were visited.
//! - A removed key keeps its slot, without a value, until a checkpoint without it is durable.
//! - If the last capture of a slot was aborted (`captured > committed`), its next one is whole.

use alloc::vec::Vec;

use super::sealed::Sealed;
use super::slots::{NEVER, Slots};
use crate::bytes::SmallBytes;
use crate::error::{Error, Result};
use crate::format::rows::{Form, Row, RowBlock};
use crate::format::{Malformed, key_group, key_hash};
use crate::limits::{KEY_BYTES_MAX, RELEASE_PER_WRITE, STEP_ROW_BYTES};
use crate::value::Footprint;

/// Epoch of entries that came from a checkpoint.
const EPOCH_RESTORED: u32 = 1;
/// Epoch in which a new or restored map starts.
const EPOCH_FIRST: u32 = 2;
/// What visiting a group without work costs of a step's budget, in bytes.
const STEP_GROUP_BYTES: usize = 16;

/// Where the checkpoints of a holder stand; each of its maps has the same copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Epoch that writes belong to.
    pub(crate) epoch: u32,
    /// Epoch of the cut being captured or published.
    pub(crate) under_way: Option<u32>,
    /// Epoch of the newest durable cut.
    pub(crate) committed: u32,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { epoch: EPOCH_FIRST, under_way: None, committed: EPOCH_RESTORED }
    }

    fn boundary(self) -> u32 {
        self.under_way.unwrap_or(self.committed)
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
    /// Where the next step goes on: group, and place in its list or slots.
    cursor: (usize, usize),
    overflow: bool,
}

#[derive(Debug)]
struct Group<V> {
    slots: Slots<V>,
    dirty: Vec<u32>,
    frozen: Vec<u32>,
    /// Epoch of the cut the frozen list belongs to.
    frozen_at: u32,
    /// Slots captured as removed at `frozen_at`.
    removed: Vec<u32>,
    /// Slots durably removed, to be released.
    releasable: Vec<u32>,
    captured: RowBlock,
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
        let hash = key_hash(key);
        let slots = &self.groups[self.group_of(hash)].slots;
        slots.get(slots.find(hash, key)?).value.as_ref()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Error::OverLimit`] if the key is longer than [`KEY_BYTES_MAX`]; [`Error::OutOfMemory`].
    pub fn set(&mut self, key: &[u8], value: V) -> Result<()> {
        // `update` would make a value only to replace it.
        let mut value = Some(value);
        self.with_slot(key, |held| {
            *held = value.take();
        })
    }

    /// Changes the value of a key, which `create` makes if there is none.
    ///
    /// # Errors
    /// As [`TrackedMap::set`]; then nothing was changed.
    pub fn update<R>(&mut self, key: &[u8], create: impl FnOnce() -> V, change: impl FnOnce(&mut V) -> R) -> Result<R> {
        self.with_slot(key, |held| change(held.get_or_insert_with(create)))
    }

    /// Changes the value of a key if it has one.
    pub fn modify<R>(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let hash = key_hash(key);
        let group = self.group_of(hash);
        let number = self.groups[group].slots.find(hash, key)?;
        self.groups[group].slots.get(number).value.as_ref()?;
        self.before_write(group, number);
        let slot = self.groups[group].slots.get_mut(number);
        let value = slot.value.as_mut()?;
        let before = value.footprint();
        let result = change(value);
        let after = value.footprint();
        self.account(group, before, after);
        Some(result)
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = key_hash(key);
        let group = self.group_of(hash);
        let Some(number) = self.groups[group].slots.find(hash, key) else { return false };
        if self.groups[group].slots.get(number).value.is_none() {
            return false;
        }
        self.before_write(group, number);
        let slot = self.groups[group].slots.get_mut(number);
        let before = slot.value.take().map_or_else(Footprint::default, |value| value.footprint());
        let row = row_overhead(key.len());
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
        let slots = self.groups.iter().flat_map(|group| group.slots.iter());
        slots.filter_map(|slot| Some((slot.key.as_slice(), slot.value.as_ref()?)))
    }

    /// Memory it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.tables + self.heap as usize
    }

    fn group_of(&self, hash: u64) -> usize {
        usize::from(key_group(hash, self.groups.len() as u16))
    }

    /// Finds or makes the slot of a key and lets `change` at its value.
    fn with_slot<R>(&mut self, key: &[u8], change: impl FnOnce(&mut Option<V>) -> R) -> Result<R> {
        let hash = key_hash(key);
        let group = self.group_of(hash);
        let Some(number) = self.groups[group].slots.find(hash, key) else {
            return self.insert(group, hash, key, change);
        };
        self.before_write(group, number);
        let slot = self.groups[group].slots.get_mut(number);
        let was_there = slot.value.is_some();
        let before = slot.value.as_ref().map_or_else(Footprint::default, Sealed::footprint);
        let result = change(&mut slot.value);
        let mut after = slot.value.as_ref().map_or_else(Footprint::default, Sealed::footprint);
        if !was_there {
            self.keys += 1;
            after.encoded += row_overhead(key.len());
        }
        self.account(group, before, after);
        Ok(result)
    }

    #[cold]
    fn insert<R>(
        &mut self,
        group: usize,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Option<V>) -> R,
    ) -> Result<R> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::OverLimit {
                what: "length of a key",
                found: key.len() as u64,
                limit: KEY_BYTES_MAX as u64,
            });
        }
        self.sync(group);
        let held = &mut self.groups[group];
        let memory_before = held.slots.memory();
        let mut value = None;
        let result = change(&mut value);
        let Some(value) = value else { return Ok(result) };
        let mut after = value.footprint();
        let number = held.slots.insert(hash, key, value, self.clock.epoch, NEVER)?;
        self.tables = self.tables + held.slots.memory() - memory_before;
        push_dirty(&mut held.dirty, number, &mut self.tables);
        after.encoded += row_overhead(key.len());
        after.memory += held.slots.get(number).key.heap_bytes() as u64;
        self.keys += 1;
        self.account(group, Footprint::default(), after);
        Ok(result)
    }

    #[inline]
    fn account(&mut self, group: usize, before: Footprint, after: Footprint) {
        self.heap = (self.heap + after.memory).saturating_sub(before.memory);
        let live = &mut self.live[group];
        *live = (*live + after.encoded).saturating_sub(before.encoded);
        self.shrunk += before.encoded.saturating_sub(after.encoded);
    }

    /// Everything that must happen before a slot changes: the old value is captured if a
    /// checkpoint still needs it, and the slot goes on the dirty list.
    #[inline]
    fn before_write(&mut self, group: usize, number: u32) {
        self.sync(group);
        if !self.groups[group].releasable.is_empty() {
            self.release(group, RELEASE_PER_WRITE, Some(number));
        }
        let slot = self.groups[group].slots.get(number);
        if slot.dirty > self.clock.boundary() {
            return;
        }
        if let Some(cut) = self.clock.under_way
            && slot.captured != cut
            && (slot.dirty > self.clock.committed || self.rebasing[group])
        {
            self.capture(group, number, cut);
        }
        let held = &mut self.groups[group];
        held.slots.get_mut(number).dirty = self.clock.epoch;
        push_dirty(&mut held.dirty, number, &mut self.tables);
    }

    /// Brings a group up to date with the cuts, commits and aborts since it was last touched.
    #[inline]
    fn sync(&mut self, group: usize) {
        if self.groups[group].frozen_at != self.clock.under_way.unwrap_or(0) {
            self.sync_changed(group);
        }
    }

    #[cold]
    fn sync_changed(&mut self, group: usize) {
        let held = &mut self.groups[group];
        if held.frozen_at != 0 && self.clock.under_way != Some(held.frozen_at) {
            if held.frozen_at <= self.clock.committed {
                held.frozen.clear();
                held.releasable.append(&mut held.removed);
            } else {
                // Aborted: what was frozen is dirty still. A slot may now be listed twice; it is
                // captured once all the same, since the capture marks the slot.
                core::mem::swap(&mut held.frozen, &mut held.dirty);
                let before = held.dirty.capacity();
                held.dirty.append(&mut held.frozen);
                self.tables += (held.dirty.capacity() - before) * size_of::<u32>();
                held.removed.clear();
            }
            held.frozen_at = 0;
        }
        if let Some(cut) = self.clock.under_way
            && held.frozen_at != cut
        {
            core::mem::swap(&mut held.frozen, &mut held.dirty);
            held.frozen_at = cut;
        }
    }

    /// Encodes a slot as of the cut.
    fn capture(&mut self, group: usize, number: u32, cut: u32) {
        let committed = self.clock.committed;
        let rebasing = self.rebasing[group];
        let held = &mut self.groups[group];
        let slot = held.slots.get_mut(number);
        let written = match &mut slot.value {
            Some(value) => {
                let whole = rebasing || slot.captured == NEVER || slot.captured > committed;
                let written = held.captured.push(slot.key.as_slice(), |out| {
                    if whole {
                        value.write_whole(out);
                        Form::Whole
                    } else {
                        value.write_change(out)
                    }
                });
                value.settle();
                written
            }
            // Never durable, or a base without it: there is nothing to say.
            None if slot.captured == NEVER || rebasing => {
                held.removed.push(number);
                Some(0)
            }
            None => {
                held.removed.push(number);
                held.captured.push(slot.key.as_slice(), |_| Form::Removed)
            }
        };
        if rebasing && slot.dirty > committed {
            self.dirty_in_bases += written.unwrap_or(0) as u64;
        }
        slot.captured = cut;
        self.overflow |= written.is_none();
    }

    /// Gives back slots of durably removed keys, `most` of them, but not `keep`.
    fn release(&mut self, group: usize, most: usize, keep: Option<u32>) {
        let held = &mut self.groups[group];
        for _ in 0..most {
            let Some(number) = held.releasable.pop() else { return };
            if Some(number) == keep {
                // About to be written: if it is removed again, that removal is listed anew.
                continue;
            }
            let slot = held.slots.get(number);
            if slot.value.is_none() && slot.dirty <= self.clock.committed {
                let key = held.slots.release(number);
                self.heap = self.heap.saturating_sub(key.heap_bytes() as u64);
            }
        }
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
        let Some(cut) = self.clock.under_way else { return true };
        while self.cursor.0 < self.groups.len() {
            let (group, mut at) = self.cursor;
            self.sync(group);
            let rebasing = self.rebasing[group];
            let end =
                if rebasing { self.groups[group].slots.bound() as usize } else { self.groups[group].frozen.len() };
            while at < end {
                if *budget == 0 {
                    self.cursor = (group, at);
                    return false;
                }
                let held = &self.groups[group];
                let number = if rebasing { at as u32 } else { held.frozen[at] };
                let slot = held.slots.get(number);
                let bytes_before = held.captured.section_bytes();
                if slot.captured != cut && slot.dirty <= cut {
                    self.capture(group, number, cut);
                }
                let bytes = self.groups[group].captured.section_bytes() - bytes_before;
                *budget = budget.saturating_sub(STEP_ROW_BYTES + bytes as usize);
                at += 1;
            }
            if *budget == 0 {
                self.cursor = (group, at);
                return false;
            }
            *budget = budget.saturating_sub(STEP_GROUP_BYTES);
            self.release(group, STEP_ROW_BYTES, None);
            self.cursor = (group + 1, 0);
        }
        true
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
        let aborted = self.clock.under_way.is_some_and(|cut| clock.committed < cut);
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
        let hash = key_hash(row.key);
        let group = self.group_of(hash);
        if group != usize::from(row.group) {
            return Err(Malformed::new("a key is filed under another key group than its own"));
        }
        let number = self.groups[group].slots.find(hash, row.key);
        match (row.form, number) {
            (Form::Whole, None) => {
                let value = V::read_whole(row.payload)?;
                self.restore_insert(group, hash, row.key, value)
                    .map_err(|error| Malformed::new(alloc::format!("{error}")))?;
            }
            (Form::Whole, Some(number)) => {
                let value = V::read_whole(row.payload)?;
                self.restore_replace(group, number, |held| *held = value);
            }
            (Form::Change, Some(number)) => {
                let mut applied = Ok(());
                self.restore_replace(group, number, |held| {
                    applied = held.apply_change(row.payload);
                    held.settle();
                });
                applied?;
            }
            (Form::Change, None) => return Err(Malformed::new("a change of a key that is not there")),
            (Form::Removed, None) => {}
            (Form::Removed, Some(number)) => {
                let held = &mut self.groups[group];
                let value =
                    held.slots.get_mut(number).value.take().map_or_else(Footprint::default, |value| value.footprint());
                let key = held.slots.release(number);
                let before = Footprint {
                    memory: value.memory + key.heap_bytes() as u64,
                    encoded: value.encoded + row_overhead(row.key.len()),
                };
                self.keys -= 1;
                self.account(group, before, Footprint::default());
            }
        }
        self.shrunk = 0;
        Ok(())
    }

    fn restore_insert(&mut self, group: usize, hash: u64, key: &[u8], value: V) -> Result<()> {
        let held = &mut self.groups[group];
        let memory_before = held.slots.memory();
        let mut after = value.footprint();
        let number = held.slots.insert(hash, key, value, 0, EPOCH_RESTORED)?;
        self.tables = self.tables + held.slots.memory() - memory_before;
        after.encoded += row_overhead(key.len());
        after.memory += held.slots.get(number).key.heap_bytes() as u64;
        self.keys += 1;
        self.account(group, Footprint::default(), after);
        Ok(())
    }

    fn restore_replace(&mut self, group: usize, number: u32, replace: impl FnOnce(&mut V)) {
        let slot = self.groups[group].slots.get_mut(number);
        let Some(value) = slot.value.as_mut() else { return };
        let before = value.footprint();
        replace(value);
        let after = value.footprint();
        self.account(group, before, after);
    }

    /// Keys in the order of their bytes.
    pub(crate) fn sorted_keys(&self) -> Vec<SmallBytes> {
        let slots = self.groups.iter().flat_map(|group| group.slots.iter());
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

impl<V> Group<V> {
    fn new() -> Self {
        Group {
            slots: Slots::new(),
            dirty: Vec::new(),
            frozen: Vec::new(),
            frozen_at: 0,
            removed: Vec::new(),
            releasable: Vec::new(),
            captured: RowBlock::default(),
        }
    }
}

#[inline]
fn push_dirty(dirty: &mut Vec<u32>, number: u32, tables: &mut usize) {
    if dirty.len() == dirty.capacity() {
        let before = dirty.capacity();
        dirty.reserve(1);
        *tables += (dirty.capacity() - before) * size_of::<u32>();
    }
    dirty.push(number);
}

/// Encoded bytes of a row beside its payload.
#[inline]
fn row_overhead(key_len: usize) -> u64 {
    key_len as u64 + 3
}
