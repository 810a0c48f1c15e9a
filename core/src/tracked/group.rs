//! A key group: pages found through a directory that grows by splitting one page at a time
//! (extendible hashing: R. Fagin et al., *Extendible Hashing*, ACM TODS 1979), so that no insertion
//! ever moves more than 64 entries.
//!
//! This is the seam behind which fixed-capacity storage will go: nothing above it knows how keys
//! are found or where entries lie.

use alloc::vec::Vec;

use super::map::Clock;
use super::page::{GROWTH_SLOTS, NONE, Page, Slot};
use crate::error::{Error, Result};
use crate::format::key_hash;
use crate::format::rows::RowBlock;

/// Directory entries a page may cost before keys that cannot be told apart go to overflow pages
/// instead: bounds what keys made to collide can do.
const DIRECTORY_PER_PAGE_MAX: usize = 64;
/// Bits of the hash that the directory may use: those below the ones that choose the key group.
const DEPTH_MAX: u8 = 31;

#[derive(Debug)]
pub(super) struct Group<V> {
    /// Page of each value of the hash's low `depth` bits.
    directory: Vec<u32>,
    depth: u8,
    pub(super) pages: Vec<Page<V>>,
    /// Pages with something dirty, each at least once.
    pub(super) dirty: Vec<u32>,
    /// Pages that were dirty at the cut `frozen_at`.
    pub(super) frozen: Vec<u32>,
    frozen_at: u32,
    /// Pages with keys captured as removed.
    pub(super) removed: Vec<u32>,
    /// Pages with keys durably removed, which wait to be released.
    pub(super) releasable: Vec<u32>,
    pub(super) captured: RowBlock,
    /// Bytes of the pages' slots, used and reserved.
    slots_memory: usize,
}

/// Where an entry is: page, and place in it.
pub(super) type Place = (u32, usize);

impl<V> Group<V> {
    pub(super) fn new() -> Self {
        Group {
            directory: Vec::new(),
            depth: 0,
            pages: Vec::new(),
            dirty: Vec::new(),
            frozen: Vec::new(),
            frozen_at: 0,
            removed: Vec::new(),
            releasable: Vec::new(),
            captured: RowBlock::default(),
            slots_memory: 0,
        }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let mut number = *self.directory.get(self.directory_index(hash))?;
        loop {
            let page = &self.pages[number as usize];
            if let Some(at) = page.find(tag_of(hash), key) {
                return Some((number, at));
            }
            if page.overflow == NONE {
                return None;
            }
            number = page.overflow;
        }
    }

    #[inline]
    pub(super) fn slot(&self, (page, at): Place) -> &Slot<V> {
        self.pages[page as usize].slot(at)
    }

    /// Adds an entry for a key that has none. `sync` is called for a page before it is split.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot<V>, mut sync: impl FnMut(&mut Page<V>)) -> Result<Place> {
        if self.directory.is_empty() {
            self.directory.push(0);
            self.pages.push(Page::new(0));
        }
        loop {
            let mut number = self.directory[self.directory_index(hash)];
            while self.pages[number as usize].is_full() && self.pages[number as usize].overflow != NONE {
                number = self.pages[number as usize].overflow;
            }
            sync(&mut self.pages[number as usize]);
            let page = &mut self.pages[number as usize];
            if !page.is_full() {
                let before = page.slots_memory();
                let at = page.push(tag_of(hash), slot)?;
                self.slots_memory += page.slots_memory() - before;
                return Ok((number, at));
            }
            self.reserve_page()?;
            if self.can_split(number) {
                self.split(number, hash);
            } else {
                let overflow = self.pages.len() as u32;
                let page = &mut self.pages[number as usize];
                page.chained = true;
                page.overflow = overflow;
                let mut next = Page::new(page.depth);
                next.chained = true;
                self.pages.push(next);
            }
        }
    }

    /// Bytes by which the tables grow if a key that is not there is inserted; unless several splits
    /// in a row do not part its page, never more.
    pub(super) fn growth_of_insert(&self, hash: u64) -> usize {
        let growth = GROWTH_SLOTS * size_of::<Slot<V>>();
        let first_page = 4 * size_of::<Page<V>>() + 4 * size_of::<u32>();
        let Some(mut number) = self.directory.get(self.directory_index(hash)).copied() else {
            return growth + first_page;
        };
        while self.pages[number as usize].is_full() && self.pages[number as usize].overflow != NONE {
            number = self.pages[number as usize].overflow;
        }
        let page = &self.pages[number as usize];
        if !page.is_full() {
            return if page.has_room() { 0 } else { growth };
        }
        let pages =
            if self.pages.len() == self.pages.capacity() { self.pages.capacity() * size_of::<Page<V>>() } else { 0 };
        let directory = 2 * self.directory.len() * size_of::<u32>();
        let lists = [&self.dirty, &self.frozen, &self.removed];
        let lists: usize = lists.iter().map(|list| (list.capacity() + 4) * size_of::<u32>()).sum();
        2 * growth + pages + directory + lists
    }

    fn directory_index(&self, hash: u64) -> usize {
        hash as usize & ((1 << self.depth) - 1)
    }

    fn reserve_page(&mut self) -> Result<()> {
        let doubled = self.directory.len();
        let pages = self.pages.try_reserve(1);
        pages.and(self.directory.try_reserve(doubled)).map_err(|_| Error::OutOfMemory {
            doing: "adding a page",
            bytes: 2 * self.pages.len() * size_of::<Page<V>>() + doubled * size_of::<u32>(),
        })
    }

    fn can_split(&self, number: u32) -> bool {
        let page = &self.pages[number as usize];
        let room = page.depth < self.depth || self.directory.len() < DIRECTORY_PER_PAGE_MAX * self.pages.len();
        // Pages of a chain stay as they are, whichever of them is full.
        room && !page.chained && page.depth < DEPTH_MAX
    }

    fn split(&mut self, number: u32, hash: u64) {
        let depth = self.pages[number as usize].depth;
        if depth == self.depth {
            self.directory.extend_from_within(..);
            self.depth += 1;
        }
        let bit = 1_u64 << depth;
        let before = self.pages[number as usize].slots_memory();
        let other = self.pages[number as usize].split(|key| key_hash(key) & bit != 0);
        self.slots_memory += self.pages[number as usize].slots_memory() + other.slots_memory() - before;
        let new = self.pages.len() as u32;
        if other.dirty != 0 {
            self.dirty.push(new);
        }
        if other.cut_dirty != 0 {
            self.frozen.push(new);
        }
        if other.sent != 0 {
            self.removed.push(new);
        }
        self.pages.push(other);
        let first = (hash & (bit - 1) | bit) as usize;
        for index in (first..self.directory.len()).step_by(2 << depth) {
            self.directory[index] = new;
        }
    }

    /// Brings the lists up to date with the cuts, commits and aborts since they were last touched.
    #[inline]
    pub(super) fn sync(&mut self, clock: Clock) {
        if self.frozen_at != clock.under_way.unwrap_or(0) {
            self.sync_changed(clock);
        }
    }

    #[cold]
    fn sync_changed(&mut self, clock: Clock) {
        if self.frozen_at != 0 && clock.under_way != Some(self.frozen_at) {
            if self.frozen_at <= clock.committed {
                self.frozen.clear();
                self.releasable.append(&mut self.removed);
            } else {
                // Aborted: what was frozen is dirty still, each page once it is touched.
                core::mem::swap(&mut self.frozen, &mut self.dirty);
                self.dirty.append(&mut self.frozen);
                self.removed.clear();
            }
            self.frozen_at = 0;
        }
        if let Some(cut) = clock.under_way
            && self.frozen_at != cut
        {
            core::mem::swap(&mut self.frozen, &mut self.dirty);
            self.frozen_at = cut;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<V>> {
        self.pages.iter().flat_map(|page| page.slots())
    }

    /// Bytes of the tables and slots, used and reserved.
    pub(super) fn memory(&self) -> usize {
        let lists = [&self.directory, &self.dirty, &self.frozen, &self.removed, &self.releasable];
        lists.iter().map(|list| list.capacity() * size_of::<u32>()).sum::<usize>()
            + self.pages.capacity() * size_of::<Page<V>>()
            + self.slots_memory
    }
}

fn tag_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}
