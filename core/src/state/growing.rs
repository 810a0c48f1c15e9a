//! What accumulators hold that grows with the values taken in: those that differ, or all of them.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use core::mem;

use hashbrown::HashTable;

use super::accumulator::{mean_of_middle, median_of};
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
    growth_of_one::<T>(list.len(), list.capacity())
}

fn growth_of_one<T>(len: usize, capacity: usize) -> usize {
    if len < capacity { 0 } else { capacity.max(4) * size_of::<T>() }
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
    held: Held,
    old: Old,
}

/// The numbers, and once their median is asked for while more come, their halves: in a box, since most have none.
#[derive(Debug)]
enum Held {
    Values(Vec<f64>),
    Halved(Box<(Vec<f64>, Halves)>),
}

impl Default for Held {
    fn default() -> Self {
        Held::Values(Vec::new())
    }
}

impl Clone for MedianValues {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        MedianValues { held: Held::Values(self.values().to_vec()), old: Old::default() }
    }
}

impl PartialEq for MedianValues {
    fn eq(&self, other: &Self) -> bool {
        self.values() == other.values()
    }
}

impl MedianValues {
    pub(crate) fn add(&mut self, value: f64) {
        let value = canonical(value);
        match &mut self.held {
            Held::Values(values) => values.push(value),
            Held::Halved(halved) => {
                halved.0.push(value);
                halved.1.add(value);
            }
        }
    }

    /// The values, in the order of their coming.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        self.list()
    }

    fn list(&self) -> &Vec<f64> {
        match &self.held {
            Held::Values(values) => values,
            Held::Halved(halved) => &halved.0,
        }
    }

    pub(crate) fn median(&self) -> Option<f64> {
        match &self.held {
            Held::Values(values) => median_of(&mut values.clone()),
            Held::Halved(halved) => halved.1.median(),
        }
    }

    /// The same, where it is asked for again and again while more values come.
    pub(crate) fn running_median(&mut self) -> Option<f64> {
        if let Held::Values(values) = &mut self.held {
            let values = mem::take(values);
            let halves = Halves::of(&values);
            self.held = Held::Halved(Box::new((values, halves)));
        }
        self.median()
    }

    /// All of them were captured, as a part of a value.
    pub(crate) fn settle(&mut self, captured: Captured) {
        self.old = Old { len: self.values().len(), captured };
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
        let halves = if let Held::Halved(halved) = &self.held { halved.1.growth_of_add() } else { 0 };
        growth_of_push(self.list()) + halves
    }

    /// Most bytes of memory by which the first running median after one more makes it grow.
    pub(crate) fn growth_of_running(&self) -> usize {
        match &self.held {
            Held::Values(values) => size_of::<(Vec<f64>, Halves)>() + (values.len() + 1) * size_of::<f64>() + 3 * 32,
            Held::Halved(_) => 0,
        }
    }

    pub(crate) fn footprint(&self) -> Footprint {
        let values = self.list();
        let halves = if let Held::Halved(halved) = &self.held {
            heap_bytes_of::<(Vec<f64>, Halves)>(1) + halved.1.memory()
        } else {
            0
        };
        let encoded = 8 * values.len() as u64 + 4;
        Footprint { memory: heap_bytes_of::<f64>(values.capacity()) + halves, encoded }
    }
}

/// Two halves of numbers, each with the one on top that is next to the other half. The upper one has as many as the
/// lower one, or one more.
#[derive(Debug)]
struct Halves {
    lower: BinaryHeap<Ordered>,
    upper: BinaryHeap<Reverse<Ordered>>,
}

impl Halves {
    fn of(values: &[f64]) -> Self {
        let half = values.len() / 2;
        let (lower, upper) = (BinaryHeap::with_capacity(half), BinaryHeap::with_capacity(values.len() - half));
        let mut halves = Halves { lower, upper };
        values.iter().for_each(|value| halves.add(*value));
        halves
    }

    fn add(&mut self, value: f64) {
        let value = Ordered(value);
        if self.lower.len() == self.upper.len() {
            let up = match self.lower.peek_mut() {
                Some(mut top) if value < *top => mem::replace(&mut *top, value),
                _ => value,
            };
            self.upper.push(Reverse(up));
        } else {
            let down = match self.upper.peek_mut() {
                Some(mut top) if value > top.0 => mem::replace(&mut top.0, value),
                _ => value,
            };
            self.lower.push(down);
        }
    }

    fn median(&self) -> Option<f64> {
        let Reverse(Ordered(upper)) = self.upper.peek()?;
        match self.lower.peek() {
            Some(Ordered(lower)) if self.lower.len() == self.upper.len() => Some(mean_of_middle(*lower, *upper)),
            _ => Some(*upper),
        }
    }

    fn growth_of_add(&self) -> usize {
        if self.lower.len() == self.upper.len() {
            growth_of_one::<f64>(self.upper.len(), self.upper.capacity())
        } else {
            growth_of_one::<f64>(self.lower.len(), self.lower.capacity())
        }
    }

    fn memory(&self) -> u64 {
        heap_bytes_of::<f64>(self.lower.capacity()) + heap_bytes_of::<f64>(self.upper.capacity())
    }
}

/// A number by the order of all of them.
#[derive(Debug, Clone, Copy)]
struct Ordered(f64);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ordered {}

impl GrowingRow for MedianValues {
    type Item = f64;
    type Error = Malformed;

    fn items(&self) -> &[f64] {
        self.values()
    }

    fn captured(&self) -> usize {
        self.old.len
    }

    fn add_item(&mut self, value: f64) -> Result<(), Malformed> {
        self.add(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is the median of what is there, whenever it is asked for, and takes no more memory than was said, but for
        /// what the allocator adds to each of three lists.
        #[test]
        fn a_running_median_is_the_median(
            first in prop::collection::vec(any::<f64>(), 0..20),
            then in prop::collection::vec(prop_oneof![any::<f64>(), (-3_i8..4).prop_map(f64::from)], 0..40),
        ) {
            let mut values = MedianValues::default();
            first.iter().for_each(|value| values.add(*value));
            for value in then {
                let memory = values.footprint().memory as usize;
                let most = memory + values.growth_of_add() + values.growth_of_running() + 3 * 16;
                values.add(value);
                let wanted = median_of(&mut values.values().to_vec());
                prop_assert_eq!(values.running_median().map(f64::to_bits), wanted.map(f64::to_bits));
                let memory = values.footprint().memory as usize;
                prop_assert!(memory <= most, "{} beyond {}", memory, most);
                prop_assert_eq!(values.clone().running_median().map(f64::to_bits), wanted.map(f64::to_bits));
            }
        }
    }
}
