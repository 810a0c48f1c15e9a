//! Storage of one key group: slots with stable numbers and an index by key.
//!
//! This is the seam behind which fixed-capacity storage will go: nothing above it knows how keys
//! are found or where entries lie.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::bytes::SmallBytes;
use crate::error::{Error, Result};
use crate::format::key_hash;

/// Epoch of a slot that no capture has seen.
pub(super) const NEVER: u32 = 0;
/// Marks a slot on the free list.
const FREE: u32 = u32::MAX;

/// One entry. `value` is `None` for a key that was removed but not yet durably so.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) key: SmallBytes,
    pub(super) value: Option<V>,
    /// Epoch in which it was last put on the dirty list.
    pub(super) dirty: u32,
    /// Epoch of the checkpoint that last captured it, or [`NEVER`].
    pub(super) captured: u32,
}

#[derive(Debug)]
pub(super) struct Slots<V> {
    index: HashTable<u32>,
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
}

impl<V> Slots<V> {
    pub(super) fn new() -> Self {
        Slots { index: HashTable::new(), slots: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| self.slots[*slot as usize].key.as_slice() == key).copied()
    }

    /// Adds an entry for a key that has none.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], value: V, dirty: u32, captured: u32) -> Result<u32> {
        let slots = &mut self.slots;
        let out_of_memory =
            |_| Error::OutOfMemory { doing: "adding a key", bytes: 2 * slots.len() * size_of::<Slot<V>>() };
        self.index
            .try_reserve(1, |slot| key_hash(slots[*slot as usize].key.as_slice()))
            .map_err(|_| out_of_memory(()))?;
        let slot = Slot { key: SmallBytes::new(key), value: Some(value), dirty, captured };
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            number
        } else {
            let number = u32::try_from(self.slots.len()).ok().filter(|number| *number < FREE);
            let number = number.ok_or(Error::OverLimit {
                what: "keys of one key group",
                found: u64::from(FREE),
                limit: u64::from(FREE) - 1,
            })?;
            if self.slots.try_reserve(1).is_err() {
                return Err(Error::OutOfMemory {
                    doing: "adding a key",
                    bytes: 2 * self.slots.len() * size_of::<Slot<V>>(),
                });
            }
            self.slots.push(slot);
            number
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, number, |slot| key_hash(slots[*slot as usize].key.as_slice()));
        Ok(number)
    }

    /// Drops an entry; its number will be used again. Gives back its key.
    pub(super) fn release(&mut self, number: u32) -> SmallBytes {
        let slot = &mut self.slots[number as usize];
        slot.dirty = FREE;
        slot.value = None;
        let key = core::mem::replace(&mut slot.key, SmallBytes::new(&[]));
        if let Ok(entry) = self.index.find_entry(key_hash(key.as_slice()), |other| *other == number) {
            entry.remove();
        }
        self.free.push(number);
        key
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &Slot<V> {
        &self.slots[number as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut Slot<V> {
        &mut self.slots[number as usize]
    }

    /// Numbers run from 0 to this; some may be free.
    pub(super) fn bound(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<V>> {
        self.slots.iter()
    }

    /// Bytes of the tables, used and reserved.
    pub(super) fn memory(&self) -> usize {
        // hashbrown keeps a control byte beside each bucket; 7/8 of the buckets count as capacity.
        let buckets = self.index.capacity() * 8 / 7;
        buckets * (size_of::<u32>() + 1)
            + self.slots.capacity() * size_of::<Slot<V>>()
            + self.free.capacity() * size_of::<u32>()
    }
}
