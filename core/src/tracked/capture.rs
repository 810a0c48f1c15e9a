//! The checkpoint side of a tracked map, driven by the holder: cut, capture, end.

use alloc::vec::Vec;

use super::clock::{Clock, NO_CUT};
use super::group::Place;
use super::map::TrackedMap;
use super::page::PAGE_SLOTS;
use super::sealed::Sealed;
use crate::error::{Error, Result};
use crate::format::row_block::RowBlock;
use crate::format::rows::Form;
use crate::limits::STEP_ROW_BYTES;
use crate::state::Vanished;

/// What visiting a page or group costs of a step's budget, in bytes.
const STEP_VISIT_BYTES: usize = 16;

/// Pages whose entries a step fetches into the cache at once.
const FETCHED_PAGES: usize = 32;

/// Entries of a page of a base, and of one with changes, for which there is room at once: a page is half full mostly, at
/// least, and has few changes.
const BASE_ENTRIES: usize = PAGE_SLOTS / 2;
const CHANGED_ENTRIES: usize = 1;

/// Rows captured of one key group.
#[derive(Debug)]
pub(crate) struct GroupRows {
    pub(crate) group: u16,
    pub(crate) rows: RowBlock,
}

/// What a map hands over at the end of a capture.
#[derive(Debug)]
pub(crate) struct CapturedRows {
    pub(crate) deltas: Vec<GroupRows>,
    pub(crate) bases: Vec<GroupRows>,
    pub(crate) dirty_in_bases: u64,
    /// Entries that had changed, those in bases and those removed among them.
    pub(crate) dirty_entries: u64,
}

impl<V: Sealed> TrackedMap<V> {
    /// Cut: what is dirty now belongs to the checkpoint. Bases of the `rebase` groups go with it.
    pub(crate) fn begin(&mut self, clock: Clock, rebase: impl Iterator<Item = core::ops::Range<u16>>) {
        self.clock = clock;
        self.cursor = (0, 0);
        self.dirty_in_bases = 0;
        self.dirty_entries = 0;
        for range in rebase {
            self.rebasing[usize::from(range.start)..usize::from(range.end)].fill(true);
        }
    }

    /// Encoded bytes by which rows shrank or vanished since the cut before; starts anew.
    pub(crate) fn take_shrunk(&mut self) -> u64 {
        core::mem::replace(&mut self.vanished, Vanished::NONE).known()
    }

    /// Captures rows until about `budget` bytes are spent; whether all are captured.
    pub(crate) fn step(&mut self, budget: &mut usize) -> bool {
        if self.clock.under_way == NO_CUT {
            return true;
        }
        while self.cursor.0 < self.groups.len() {
            let (group, mut at) = self.cursor;
            self.groups[group].sync(self.clock);
            if at == 0 && !self.release(group, budget) {
                return false;
            }
            let rebasing = self.rebasing[group];
            if at == 0 {
                self.expect_rows(group);
            }
            while let Some(page) = self.groups[group].page_of_cut(rebasing, at) {
                if at.is_multiple_of(FETCHED_PAGES) {
                    self.groups[group].fetch(self.clock, rebasing, at..at + FETCHED_PAGES);
                }
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
        let mut frozen = self.groups[group].marks[page as usize].frozen;
        while frozen != 0 {
            if *budget == 0 {
                return false;
            }
            let bytes = self.capture(group, (page, frozen.trailing_zeros() as usize));
            frozen &= frozen - 1;
            *budget = budget.saturating_sub(STEP_ROW_BYTES + bytes);
        }
        *budget = budget.saturating_sub(STEP_VISIT_BYTES);
        true
    }

    /// Makes room for the rows of a group. A step that begins where the one before stopped may ask again.
    fn expect_rows(&mut self, group: usize) {
        let held = &mut self.groups[group];
        let (pages, entries) = match self.rebasing[group] {
            true => (held.pages.len(), BASE_ENTRIES),
            false => (held.frozen.len(), CHANGED_ENTRIES),
        };
        let all = (held.pages.len() * BASE_ENTRIES).max(1) as u64;
        let rows = pages.min(held.pages.len()) * entries;
        held.captured.reserve(rows, self.live[group].saturating_mul(rows as u64) / all);
    }

    /// Gives back the slots of durably removed keys; whether of all.
    fn release(&mut self, group: usize, budget: &mut usize) -> bool {
        while let Some(page) = self.groups[group].releasable.last().copied() {
            if *budget == 0 {
                return false;
            }
            self.groups[group].releasable.pop();
            self.sync_page(group, page);
            *budget = budget.saturating_sub(STEP_ROW_BYTES);
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
        let (dirty_in_bases, dirty_entries) = (self.dirty_in_bases, self.dirty_entries);
        let mut rows = CapturedRows { deltas: Vec::new(), bases: Vec::new(), dirty_in_bases, dirty_entries };
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
        self.vanished.end(!aborted);
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

    /// Encodes an entry of the cut under way; the bytes of its row.
    pub(super) fn capture(&mut self, group: usize, (page, at): Place) -> usize {
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
        let mut changed = None;
        let written = match &mut slot.value {
            Some(value) => {
                if V::CHANGES_IN_PART && rebasing && was_dirty && !whole {
                    self.scratch.clear();
                    value.write_change(&mut self.scratch);
                    changed = Some(slot.key.as_slice().len() + self.scratch.len());
                }
                let written = held.captured.push(&slot.key, |out| {
                    if whole || rebasing {
                        out.reserve(value.footprint().encoded as usize);
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
                if never || rebasing { Some(0) } else { held.captured.push(&slot.key, |_| Form::Removed) }
            }
        };
        self.dirty_entries += u64::from(was_dirty);
        if rebasing && was_dirty {
            // What a delta would have said: the rest of the row is not dirty, and a base pays for it.
            self.dirty_in_bases += changed.or(written).unwrap_or(0) as u64;
        }
        self.overflow |= written.is_none();
        written.unwrap_or(0)
    }
}
