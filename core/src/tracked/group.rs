//! A key group: pages found through a directory that grows by splitting one page at a time
//! (extendible hashing: R. Fagin et al., *Extendible Hashing*, ACM TODS 1979), so that no insertion
//! ever moves more than 32 entries.
//!
//! This is the seam behind which fixed-capacity storage will go: nothing above it knows how keys
//! are found or where entries lie.

use alloc::vec::Vec;
use core::hint::black_box;
use core::ops::Range;

use super::clock::{Clock, NO_CUT};
use super::key::MapKey;
use super::page::{GROWTH_SLOTS, Marks, Mask, NONE, PAGE_SLOTS, Page, Slot};
use super::sealed::Sealed;
use crate::error::{Error, Result};
use crate::format::key_hash;
use crate::format::row_block::RowBlock;

/// Directory entries a page may cost before keys that cannot be told apart go to overflow pages
/// instead: bounds what keys made to collide can do.
const DIRECTORY_PER_PAGE_MAX: usize = 64;
/// Bits of the hash that the directory may use: those below the ones that choose the key group.
const DEPTH_MAX: u8 = 31;

/// Entries of a page, on average, with which it is hardly ever full.
const EXPECTED_SLOTS_MAX: usize = 20;
const _: () = assert!(EXPECTED_SLOTS_MAX < PAGE_SLOTS);

#[derive(Debug)]
pub(super) struct Group<V> {
    /// Page of each value of the hash's low `depth` bits.
    directory: Vec<u32>,
    depth: u8,
    pub(super) pages: Vec<Page<V>>,
    /// Of each page.
    pub(super) marks: Vec<Marks>,
    /// Pages with something dirty, each at least once, among others; see [`Group::list_dirty`].
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
    pub(super) slots_memory: usize,
}

/// Where an entry is: page, and place in it.
pub(super) type Place = (u32, usize);

impl<V> Group<V> {
    pub(super) fn new() -> Self {
        Group {
            directory: Vec::new(),
            depth: 0,
            pages: Vec::new(),
            marks: Vec::new(),
            dirty: Vec::new(),
            frozen: Vec::new(),
            frozen_at: NO_CUT,
            removed: Vec::new(),
            releasable: Vec::new(),
            captured: RowBlock::default(),
            slots_memory: 0,
        }
    }

    #[inline]
    pub(super) fn find(&self, key: &MapKey<'_>) -> Option<Place> {
        let mut number = self.page_of(key.hash())?;
        loop {
            if let Some(at) = self.pages[number as usize].find(tag_of(key.hash()), key) {
                return Some((number, at));
            }
            number = self.marks[number as usize].overflow;
            if number == NONE {
                return None;
            }
        }
    }

    /// Number of the page in which a key of a hash is, or of the first of a chain.
    #[inline]
    pub(super) fn page_of(&self, hash: u64) -> Option<u32> {
        self.directory.get(self.directory_index(hash)).copied()
    }

    /// Places of a page at which a key of a hash may be.
    #[inline]
    pub(super) fn places_in(&self, page: u32, hash: u64) -> Mask {
        self.pages.get(page as usize).map_or(0, |page| page.places(tag_of(hash)))
    }

    /// Something of the entry at the first of some places.
    #[inline]
    pub(super) fn peek(&self, page: u32, places: Mask) -> u64
    where
        V: Sealed,
    {
        self.pages.get(page as usize).map_or(0, |page| page.peek(places))
    }

    /// The value of a key and where it is, which may change at once: no checkpoint needs the value as it is. It counts
    /// as dirty from now on. `None`: find out in smaller steps.
    #[inline]
    pub(super) fn find_to_write(&mut self, clock: Clock, key: &MapKey<'_>) -> Option<(Place, &mut V)> {
        self.sync(clock);
        let number = self.page_of(key.hash())?;
        let page = self.pages.get_mut(number as usize)?;
        if !page.is_settled(clock) {
            return None;
        }
        let at = page.find(tag_of(key.hash()), key)?;
        if page.dirty & 1 << at == 0 {
            return Some(((number, at), self.first_change(clock, number, at)?));
        }
        Some(((number, at), self.pages.get_mut(number as usize)?.value_mut(at)?))
    }

    /// The value of an entry that has not changed since the newest cut.
    ///
    /// Not inline: it would take registers from every change that is not the first.
    #[inline(never)]
    fn first_change(&mut self, clock: Clock, number: u32, at: usize) -> Option<&mut V> {
        let (page, bit) = (&mut self.pages[number as usize], 1 << at);
        if clock.under_way != NO_CUT && self.marks[number as usize].frozen & bit != 0 {
            return None;
        }
        let is_first = page.dirty == 0;
        let (value, dirty) = page.value_and_dirty(at)?;
        *dirty |= bit;
        if is_first {
            // Once for each cut, unless something is inserted, which looks to the length of the list.
            self.dirty.push(number);
        }
        Some(value)
    }

    /// Notes that something of a page is dirty for the first time, or again: what was dirty may have gone without a
    /// trace. However often that happens, the list is not longer than twice the pages.
    pub(super) fn list_dirty(&mut self, page: u32) {
        self.dirty.push(page);
        if self.dirty.len() > 2 * self.pages.len() {
            self.list_all_dirty();
        }
    }

    /// Lists all pages with something dirty, or that was at a cut, each once.
    #[cold]
    fn list_all_dirty(&mut self) {
        self.dirty.clear();
        for (number, (page, marks)) in (0..).zip(self.pages.iter().zip(&self.marks)) {
            if page.dirty | marks.cut_dirty != 0 {
                self.dirty.push(number);
            }
        }
    }

    #[inline]
    pub(super) fn slot(&self, (page, at): Place) -> &Slot<V> {
        self.pages[page as usize].slot(at)
    }

    /// Whether it has had no entries.
    pub(super) fn is_new(&self) -> bool {
        self.directory.is_empty()
    }

    /// Makes room for entries of these hashes in a group that has had none: so many pages that hardly any is split, each
    /// with the places that it needs. Returns the places of the hashes in an order in which those of a page are together,
    /// each after the ones before it: whoever inserts in that order writes to one place in memory after the other.
    pub(super) fn expect(&mut self, hashes: &[u64]) -> Result<Vec<u32>> {
        debug_assert!(self.is_new());
        let mut depth = 0;
        while hashes.len() >> depth > EXPECTED_SLOTS_MAX {
            depth += 1;
        }
        let pages = 1_usize << depth;
        let (mut counts, mut order): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let reserved = self.pages.try_reserve_exact(pages).and(self.marks.try_reserve_exact(pages));
        let reserved = reserved.and(self.directory.try_reserve_exact(pages)).and(counts.try_reserve_exact(pages));
        let reserved = reserved.and(order.try_reserve_exact(hashes.len()));
        reserved.map_err(|_| Error::OutOfMemory { doing: "adding pages", bytes: pages * size_of::<Page<V>>() })?;
        let page_of = |hash: &u64| *hash as usize & (pages - 1);
        counts.resize(pages, 0);
        hashes.iter().for_each(|hash| counts[page_of(hash)] += 1);
        self.depth = depth;
        let mut first = 0;
        for count in &mut counts {
            let page = Page::with_room(*count as usize)?;
            self.slots_memory += page.slots_memory();
            let number = self.add_page(page, Marks::new(depth));
            self.directory.push(number);
            // From now on where the next of the page goes.
            first += core::mem::replace(count, first);
        }
        order.resize(hashes.len(), 0);
        for (at, hash) in hashes.iter().enumerate() {
            let next = &mut counts[page_of(hash)];
            order[*next as usize] = at as u32;
            *next += 1;
        }
        Ok(order)
    }

    /// Adds an entry that was expected; see [`Group::expect`].
    #[inline]
    pub(super) fn insert_expected(&mut self, hash: u64, key: &[u8], value: V) -> Result<()> {
        let number = self.directory[self.directory_index(hash)];
        let page = &mut self.pages[number as usize];
        if page.has_room() && !page.is_full() {
            page.push_into_room(tag_of(hash), key, value);
            return Ok(());
        }
        self.insert(hash, Slot::new(key, value), |_, _| {}).map(drop)
    }

    /// Adds an entry for a key that has none. `sync` is called for a page before it is split.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        slot: Slot<V>,
        mut sync: impl FnMut(&mut Page<V>, &mut Marks),
    ) -> Result<Place> {
        if self.directory.is_empty() {
            self.reserve_page()?;
            self.directory.push(0);
            self.add_page(Page::new(), Marks::new(0));
        }
        loop {
            let mut number = self.directory[self.directory_index(hash)];
            while self.pages[number as usize].is_full() && self.marks[number as usize].overflow != NONE {
                number = self.marks[number as usize].overflow;
            }
            let page = &mut self.pages[number as usize];
            let before = page.slots_memory();
            sync(page, &mut self.marks[number as usize]);
            if !page.is_full() {
                let at = page.push(tag_of(hash), slot);
                self.slots_memory = self.slots_memory + page.slots_memory() - before;
                return Ok((number, at?));
            }
            self.slots_memory = self.slots_memory + page.slots_memory() - before;
            self.reserve_page()?;
            if self.can_split(number) {
                self.split(number, hash);
            } else {
                let depth = self.marks[number as usize].depth;
                let overflow = self.add_page(Page::new(), Marks { chained: true, ..Marks::new(depth) });
                let marks = &mut self.marks[number as usize];
                (marks.chained, marks.overflow) = (true, overflow);
            }
        }
    }

    fn add_page(&mut self, page: Page<V>, marks: Marks) -> u32 {
        self.pages.push(page);
        self.marks.push(marks);
        self.pages.len() as u32 - 1
    }

    /// Bytes by which the tables grow if a key that is not there is inserted; unless several splits
    /// in a row do not part its page, never more.
    pub(super) fn growth_of_insert(&self, hash: u64) -> usize {
        let growth = GROWTH_SLOTS * size_of::<Slot<V>>();
        let page_bytes = size_of::<Page<V>>() + size_of::<Marks>();
        let Some(mut number) = self.directory.get(self.directory_index(hash)).copied() else {
            return growth + 4 * (page_bytes + size_of::<u32>());
        };
        while self.pages[number as usize].is_full() && self.marks[number as usize].overflow != NONE {
            number = self.marks[number as usize].overflow;
        }
        let page = &self.pages[number as usize];
        if !page.is_full() {
            return if page.has_room() { 0 } else { growth };
        }
        let pages = if self.pages.len() == self.pages.capacity() { self.pages.capacity() * page_bytes } else { 0 };
        let directory = 2 * self.directory.len() * size_of::<u32>();
        let lists = [&self.dirty, &self.frozen, &self.removed];
        let lists: usize = lists.iter().map(|list| (list.capacity() + 4) * size_of::<u32>()).sum();
        2 * growth + pages + directory + lists
    }

    #[inline]
    fn directory_index(&self, hash: u64) -> usize {
        // The length is a power of two.
        hash as usize & self.directory.len().wrapping_sub(1)
    }

    fn reserve_page(&mut self) -> Result<()> {
        let doubled = self.directory.len().max(1);
        let pages = self.pages.try_reserve(1).and(self.marks.try_reserve(1));
        pages.and(self.directory.try_reserve(doubled)).map_err(|_| Error::OutOfMemory {
            doing: "adding a page",
            bytes: 2 * self.pages.len() * size_of::<Page<V>>() + doubled * size_of::<u32>(),
        })
    }

    fn can_split(&self, number: u32) -> bool {
        let page = &self.marks[number as usize];
        let room = page.depth < self.depth || self.directory.len() < DIRECTORY_PER_PAGE_MAX * self.pages.len();
        // Pages of a chain stay as they are, whichever of them is full.
        room && !page.chained && page.depth < DEPTH_MAX
    }

    fn split(&mut self, number: u32, hash: u64) {
        let depth = self.marks[number as usize].depth;
        if depth == self.depth {
            self.directory.extend_from_within(..);
            self.depth += 1;
        }
        let bit = 1_u64 << depth;
        let page = &mut self.pages[number as usize];
        let before = page.slots_memory();
        let (other, marks) = page.split(&mut self.marks[number as usize], |key| key_hash(key) & bit != 0);
        self.slots_memory += page.slots_memory() + other.slots_memory() - before;
        let new = self.pages.len() as u32;
        if other.dirty != 0 {
            self.dirty.push(new);
        }
        if marks.cut_dirty != 0 {
            self.frozen.push(new);
        }
        if marks.sent != 0 {
            self.removed.push(new);
        }
        self.add_page(other, marks);
        let first = (hash & (bit - 1) | bit) as usize;
        for index in (first..self.directory.len()).step_by(2 << depth) {
            self.directory[index] = new;
        }
    }

    /// Brings the lists up to date with the cuts, commits and aborts since they were last touched.
    #[inline]
    pub(super) fn sync(&mut self, clock: Clock) {
        if self.frozen_at != clock.under_way {
            self.sync_changed(clock);
        }
    }

    #[cold]
    fn sync_changed(&mut self, clock: Clock) {
        if self.frozen_at != NO_CUT {
            if self.frozen_at <= clock.committed {
                self.frozen.clear();
                self.releasable.append(&mut self.removed);
            } else {
                // Aborted: what was frozen is dirty still, each page once it is touched.
                self.frozen.clear();
                self.list_all_dirty();
                self.removed.clear();
            }
        }
        if clock.under_way != NO_CUT {
            core::mem::swap(&mut self.frozen, &mut self.dirty);
        }
        self.frozen_at = clock.under_way;
    }

    /// Where the pages of the cut under way are, one after the other. Pages that are split off
    /// meanwhile come at the end.
    #[inline]
    pub(super) fn page_of_cut(&self, rebasing: bool, at: usize) -> Option<u32> {
        if rebasing { (at < self.pages.len()).then_some(at as u32) } else { self.frozen.get(at).copied() }
    }

    /// Reads something of all entries of the cut in some pages, so that they come into the cache all
    /// at once: one after the other, as they are captured, each would be waited for.
    #[inline(never)]
    pub(super) fn fetch(&self, clock: Clock, rebasing: bool, range: Range<usize>)
    where
        V: Sealed,
    {
        let pages = || range.clone().map_while(|at| self.page_of_cut(rebasing, at)).map(|page| page as usize);
        let marks = pages().map(|page| self.marks[page].frozen ^ self.pages[page].dirty);
        black_box(marks.fold(0, |all, mask| all ^ mask));
        let entries = pages().map(|page| self.pages[page].fetch(&self.marks[page], clock, rebasing));
        black_box(entries.fold(0, |all, read| all ^ read));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<V>> {
        self.pages.iter().flat_map(|page| page.slots())
    }

    /// Bytes of the tables and slots, used and reserved.
    pub(super) fn memory(&self) -> usize {
        let lists = [&self.directory, &self.dirty, &self.frozen, &self.removed, &self.releasable];
        lists.iter().map(|list| list.capacity() * size_of::<u32>()).sum::<usize>()
            + self.pages.capacity() * size_of::<Page<V>>()
            + self.marks.capacity() * size_of::<Marks>()
            + self.slots_memory
    }
}

fn tag_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::SmallBytes;
    use crate::state::PlainValue;
    use crate::tracked::TrackedMap;

    /// Adds an entry for each hash, and finds all of them; what the group says that it takes is what its parts take.
    fn fill(hashes: &[u64], expected: usize) -> Group<u64> {
        let mut group = Group::new();
        let order = group.expect(&hashes[..expected]).unwrap();
        let page_of = |at: &u32| hashes[*at as usize] & (group.directory.len() as u64 - 1);
        assert!(order.is_sorted_by_key(|at| (page_of(at), *at)));
        assert_eq!(order.len(), expected);
        for (number, hash) in hashes.iter().enumerate() {
            let slot = Slot { key: SmallBytes::new(&number.to_le_bytes()), value: Some(*hash) };
            group.insert(*hash, slot, |_, _| {}).unwrap();
        }
        let mut values: Vec<u64> = group.iter().filter_map(|slot| slot.value).collect();
        let mut wanted = hashes.to_vec();
        values.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(values, wanted);
        assert_eq!(group.slots_memory, group.pages.iter().map(Page::slots_memory).sum::<usize>());
        group
    }

    #[test]
    fn room_is_made_for_what_is_expected_and_more_can_come() {
        let hashes: Vec<u64> = (0..5000_u64).map(|number| key_hash(&number.to_le_bytes())).collect();
        for expected in [0, 1, 20, 21, 700, 5000] {
            let group = fill(&hashes[..expected], expected);
            assert!(group.pages.len() <= (expected / 9).max(1));
            fill(&hashes, expected);
        }
    }

    #[test]
    fn hashes_that_cannot_be_told_apart_have_a_place_all_the_same() {
        for hash in [0, u64::MAX] {
            fill(&[hash; 300], 300);
        }
    }

    #[test]
    fn a_page_is_listed_once_however_many_cuts_come_to_nothing() {
        let mut clock = Clock::new();
        let mut map = TrackedMap::new(1, clock);
        let set_all = |map: &mut TrackedMap<PlainValue>| {
            (0..500_u16).for_each(|key| map.set(&key.to_le_bytes(), PlainValue::new(&[7])).unwrap());
        };
        for _ in 0..100 {
            set_all(&mut map);
            clock = clock.begin();
            map.begin(clock, core::iter::empty());
            set_all(&mut map);
            clock = clock.abort();
            map.end(clock);
        }
        clock = clock.begin();
        map.groups[0].sync(clock);
        let Group { pages, dirty, frozen, .. } = &map.groups[0];
        assert_eq!((dirty.len(), frozen.len()), (0, pages.len()));
    }

    #[test]
    fn what_no_checkpoint_knows_leaves_nothing() {
        let mut map = TrackedMap::new(1, Clock::new());
        let key = |number: u32| number.to_le_bytes();
        for number in 0..20_000 {
            map.set(&key(number), PlainValue::new(&[7])).unwrap();
            if number >= 30 {
                assert!(map.remove(&key(number - 30)));
            }
        }
        let Group { pages, dirty, .. } = &map.groups[0];
        assert_eq!((map.len(), map.groups[0].iter().count()), (30, 30));
        assert!(pages.len() <= 4 && dirty.len() <= 2 * pages.len(), "{} pages, {} listed", pages.len(), dirty.len());
        let memory = map.size_bytes();
        assert!(memory < 20_000, "{memory} bytes");
    }

    /// What is removed gives its room back, at once or once a checkpoint without it is durable; most of it, since the next
    /// key is to find some.
    #[test]
    fn what_is_removed_gives_its_room_back() {
        let mut holder = crate::state::StateHolder::builder("removed").build().unwrap();
        let empty = holder.size_bytes();
        let key = |number: u32| number.to_le_bytes();
        let mut id = 0;
        let mut checkpoint = |holder: &mut crate::state::StateHolder| {
            holder.begin(crate::state::CheckpointRequest::default()).unwrap();
            let object = crate::format::manifest::ObjectId { id, generation: 1 };
            let encoded = holder.take_capture().unwrap().into_object(object, Default::default()).unwrap();
            holder.commit(&encoded).unwrap();
            id += 1;
        };
        for is_known in [false, true] {
            (0..50_000).for_each(|number| holder.set_encoded(&key(number), &[7; 16]).unwrap());
            let full = holder.size_bytes();
            if is_known {
                checkpoint(&mut holder);
            }
            (100..50_000).for_each(|number| assert!(holder.remove(key(number)).unwrap()));
            if is_known {
                // One without them, and one more to learn that it is durable.
                checkpoint(&mut holder);
                checkpoint(&mut holder);
            }
            let left = holder.size_bytes();
            assert!(left - empty < (full - empty) / 3, "{left} of {full} bytes");
            let values = holder.values();
            assert!((0..100).all(|number| values.get(&key(number)).is_some_and(|value| value.as_bytes() == [7; 16])));
            let groups = &values.groups;
            let held = groups.iter().map(|group| group.slots_memory).sum::<usize>();
            assert_eq!(held, groups.iter().flat_map(|group| &group.pages).map(Page::slots_memory).sum::<usize>());
            let tables = groups.iter().map(|group| size_of_val(group) + group.memory()).sum::<usize>();
            // Lists of pages grow without being counted at once.
            assert!(values.tables.abs_diff(tables) < tables / 10, "{} counted of {tables}", values.tables);
        }
    }
}
