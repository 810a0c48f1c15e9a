//! The checkpoint that a fixed holder builds on: which sections a restore of it reads.
//!
//! Invariants: there is one base a state, of all key groups, in the order of the states; or none at all,
//! and then the next checkpoint writes all. All sections are rows as they are.

use heapless::Vec;

use crate::credit::Credit;
use crate::format::manifest_parts::{Base, Delta, ObjectId};
use crate::format::section_ref::SectionRef;

/// A base or a delta. A base without rows has no bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// Object it is in, of the checkpoint it was taken with.
    pub(super) object: ObjectId,
    pub(super) hash: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) state: u16,
    pub(super) low: u16,
    pub(super) high: u16,
}

/// What is kept of a checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Lineage<const STATES: usize, const DELTAS: usize> {
    pub(super) id: u64,
    pub(super) credit: Credit,
    pub(super) bases: Vec<Held, STATES, u16>,
    pub(super) deltas: Vec<Held, DELTAS, u16>,
}

impl Held {
    fn section(&self, place: u32) -> SectionRef {
        SectionRef::of_rows(place, u64::from(self.offset), u64::from(self.len), self.hash)
    }
}

impl<const STATES: usize, const DELTAS: usize> Lineage<STATES, DELTAS> {
    pub(super) fn new(id: u64) -> Self {
        Lineage { id, credit: Credit::default(), bases: Vec::new(), deltas: Vec::new() }
    }

    /// Bytes that a restore reads.
    pub(super) fn restore_raw(&self) -> u64 {
        self.sections().map(|held| u64::from(held.len)).sum()
    }

    /// Whether a delta holds what no base has.
    pub(super) fn is_needed(&self, delta: &Held) -> bool {
        let mut bases = self.bases.iter().filter(|base| base.state == delta.state);
        bases.any(|base| base.object.id < delta.object.id)
    }

    /// Whether a state changed since its base was taken.
    pub(super) fn has_delta(&self, base: &Held) -> bool {
        self.deltas.iter().any(|delta| delta.state == base.state && delta.object.id > base.object.id)
    }

    fn sections(&self) -> impl Iterator<Item = &Held> + Clone {
        self.bases.iter().filter(|base| base.len > 0).chain(&self.deltas)
    }

    /// The objects, in the order of their first mention.
    pub(super) fn objects(&self) -> impl Iterator<Item = ObjectId> + Clone + '_ {
        let is_first =
            |(at, held): &(usize, &Held)| !self.sections().take(*at).any(|other| other.object == held.object);
        self.sections().enumerate().filter(is_first).map(|(_, held)| held.object)
    }

    fn place(&self, object: ObjectId) -> u32 {
        self.objects().take_while(|other| *other != object).count() as u32
    }

    pub(super) fn base_records(&self) -> impl Iterator<Item = Base> + Clone + '_ {
        self.bases.iter().map(|held| {
            let section = (held.len > 0).then(|| held.section(self.place(held.object)));
            let (state, low, high, checkpoint) = (held.state, held.low, held.high, held.object.id);
            Base { state, low, high, checkpoint, section, plan: None, page: None }
        })
    }

    pub(super) fn delta_records(&self) -> impl Iterator<Item = Delta> + Clone + '_ {
        self.deltas.iter().map(|held| {
            let section = held.section(self.place(held.object));
            let (state, low, high, checkpoint) = (held.state, held.low, held.high, held.object.id);
            Delta { state, low, high, checkpoint, section, page: None }
        })
    }
}
