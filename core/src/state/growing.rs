//! What accumulators hold that grows with the values taken in: those that differ, or all of them.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::accumulator::median_of;
use super::captured::Captured;
use crate::bytes::heap_bytes_of;
use crate::format::accumulator::GrowingRow;
use crate::format::{Malformed, key};
use crate::value::{Footprint, Value, canonical};

/// How many of the values the last capture had, and which that was.
#[derive(Debug, Default)]
pub(crate) struct Old {
    len: usize,
    captured: Captured,
}

impl Old {
    /// Whether it is about another place than this one.
    fn is_of_another(&self, place: Captured) -> bool {
        self.len > 0 && self.captured != place
    }
}

/// Bytes by which a list that doubles grows with one more element.
fn growth_of_push<T>(list: &Vec<T>) -> usize {
    if list.len() < list.capacity() { 0 } else { list.capacity().max(4) * size_of::<T>() }
}

/// A set of values that remembers the order of their coming, and which are new.
#[derive(Debug, Default)]
pub struct DistinctValues {
    order: Vec<Value>,
    /// Places in `order`, by the hash of the value there.
    seen: HashTable<u32>,
    old: Old,
    footprint: Footprint,
}

impl Clone for DistinctValues {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        let (order, seen) = (self.order.clone(), self.seen.clone());
        DistinctValues { order, seen, old: Old::default(), footprint: self.footprint }
    }
}

impl PartialEq for DistinctValues {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl DistinctValues {
    pub(crate) fn add(&mut self, value: &Value) {
        let hash = key::hash_value(value);
        if self.seen.find(hash, |place| self.order[*place as usize] == *value).is_some() {
            return;
        }
        let order = &self.order;
        self.seen.insert_unique(hash, order.len() as u32, |place| key::hash_value(&order[*place as usize]));
        self.order.push(value.clone());
        self.footprint += value.footprint();
    }

    /// Number of different values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The values, in the order in which each was first seen.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.order
    }

    /// All of them were captured, as a part of a value.
    pub(crate) fn settle(&mut self, captured: Captured) {
        self.old = Old { len: self.order.len(), captured };
    }

    /// Whether they were captured elsewhere than as this part.
    pub(crate) fn is_moved(&self, part: Captured) -> bool {
        self.old.is_of_another(part)
    }

    /// Takes a place where others may have been captured: all of them are new there.
    pub(crate) fn take_place(&mut self) {
        self.old = Old::default();
    }

    /// Most bytes of memory by which one more makes it grow, beside those of the value.
    pub(crate) fn growth_of_add(&self) -> usize {
        // The table doubles, from nothing to its least size.
        let table = if self.seen.len() < self.seen.capacity() { 0 } else { self.seen.allocation_size() + 96 };
        table + growth_of_push(&self.order)
    }

    pub(crate) fn footprint(&self) -> Footprint {
        let reserved = heap_bytes_of::<DistinctValues>(1)
            + heap_bytes_of::<Value>(self.order.capacity())
            + heap_bytes_of::<u8>(self.seen.allocation_size());
        Footprint { memory: self.footprint.memory + reserved, encoded: self.footprint.encoded + 3 }
    }
}

impl GrowingRow for DistinctValues {
    type Item = Value;
    type Error = Malformed;

    fn items(&self) -> &[Value] {
        &self.order
    }

    fn captured(&self) -> usize {
        self.old.len
    }

    fn add_item(&mut self, value: Value) -> Result<(), Malformed> {
        self.add(&value);
        Ok(())
    }
}

/// Numbers in the order of their coming, with a mark of which are new.
#[derive(Debug, Default)]
pub struct MedianValues {
    values: Vec<f64>,
    old: Old,
}

impl Clone for MedianValues {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        MedianValues { values: self.values.clone(), old: Old::default() }
    }
}

impl PartialEq for MedianValues {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl MedianValues {
    pub(crate) fn add(&mut self, value: f64) {
        self.values.push(canonical(value));
    }

    /// The values, in the order of their coming.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn median(&self) -> Option<f64> {
        median_of(&mut self.values.clone())
    }

    /// All of them were captured, as a part of a value.
    pub(crate) fn settle(&mut self, captured: Captured) {
        self.old = Old { len: self.values.len(), captured };
    }

    /// Whether they were captured elsewhere than as this part.
    pub(crate) fn is_moved(&self, part: Captured) -> bool {
        self.old.is_of_another(part)
    }

    /// Takes a place where others may have been captured: all of them are new there.
    pub(crate) fn take_place(&mut self) {
        self.old = Old::default();
    }

    /// Most bytes of memory by which one more makes it grow.
    pub(crate) fn growth_of_add(&self) -> usize {
        growth_of_push(&self.values)
    }

    pub(crate) fn footprint(&self) -> Footprint {
        let encoded = 8 * self.values.len() as u64 + 4;
        Footprint { memory: heap_bytes_of::<f64>(self.values.capacity()), encoded }
    }
}

impl GrowingRow for MedianValues {
    type Item = f64;
    type Error = Malformed;

    fn items(&self) -> &[f64] {
        &self.values
    }

    fn captured(&self) -> usize {
        self.old.len
    }

    fn add_item(&mut self, value: f64) -> Result<(), Malformed> {
        self.add(value);
        Ok(())
    }
}
