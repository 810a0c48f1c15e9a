//! The states of a holder by kind, and what all kinds can do.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{AggregationState, PatternState, PlainValue, WindowState};
use crate::error::Result;
use crate::format::Malformed;
use crate::format::columns::ColumnGroup;
use crate::format::manifest::StateKind;
use crate::format::rows::Row;
use crate::tracked::sealed::Sealed;
use crate::tracked::{CapturedRows, Clock, TrackedMap};

/// One state, by kind.
#[derive(Debug)]
pub(crate) enum StateMap {
    Values(TrackedMap<PlainValue>),
    Windows(TrackedMap<WindowState>),
    Patterns(TrackedMap<PatternState>),
    Aggregations(TrackedMap<AggregationState>),
}

/// Brings one row to another schema: key and value in, value out, or nothing.
type MigrateRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Option<Vec<u8>>, Malformed> + 'a;

/// What all maps can do, whatever their values: the checkpoint side.
pub(crate) trait AnyMap {
    fn begin(&mut self, clock: Clock, rebase: &mut dyn Iterator<Item = core::ops::Range<u16>>);
    fn step(&mut self, budget: &mut usize) -> bool;
    fn take_captured(&mut self) -> Result<CapturedRows>;
    fn take_shrunk(&mut self) -> u64;
    fn end(&mut self, clock: Clock);
    fn live_bytes(&self) -> &[u64];
    fn restore_row(&mut self, row: Row<'_>) -> Result<(), Malformed>;
    fn restore_columns(&mut self, rows: ColumnGroup<'_, '_>) -> Result<(), Malformed>;
    fn size_bytes(&self) -> usize;
    fn growth_of_insert(&self, key: &[u8]) -> usize;
    fn len(&self) -> usize;
    fn migrate(&mut self, migrate: &mut MigrateRow<'_>) -> Result<(), Malformed>;
    fn for_each_whole(&self, each: &mut dyn FnMut(&[u8], &[u8]));
}

impl<V: Sealed> AnyMap for TrackedMap<V> {
    fn begin(&mut self, clock: Clock, rebase: &mut dyn Iterator<Item = core::ops::Range<u16>>) {
        TrackedMap::begin(self, clock, rebase);
    }

    fn step(&mut self, budget: &mut usize) -> bool {
        TrackedMap::step(self, budget)
    }

    fn take_captured(&mut self) -> Result<CapturedRows> {
        TrackedMap::take_captured(self)
    }

    fn take_shrunk(&mut self) -> u64 {
        TrackedMap::take_shrunk(self)
    }

    fn end(&mut self, clock: Clock) {
        TrackedMap::end(self, clock);
    }

    fn live_bytes(&self) -> &[u64] {
        TrackedMap::live_bytes(self)
    }

    fn restore_row(&mut self, row: Row<'_>) -> Result<(), Malformed> {
        TrackedMap::restore_row(self, row)
    }

    fn restore_columns(&mut self, rows: ColumnGroup<'_, '_>) -> Result<(), Malformed> {
        TrackedMap::restore_columns(self, rows)
    }

    fn size_bytes(&self) -> usize {
        TrackedMap::size_bytes(self)
    }

    fn growth_of_insert(&self, key: &[u8]) -> usize {
        TrackedMap::growth_of_insert(self, key)
    }

    fn len(&self) -> usize {
        TrackedMap::len(self)
    }

    fn migrate(&mut self, migrate: &mut MigrateRow<'_>) -> Result<(), Malformed> {
        let mut whole = Vec::new();
        for key in self.sorted_keys() {
            let key = key.as_slice();
            whole.clear();
            if let Some(value) = self.get(key) {
                value.write_whole(&mut whole);
            }
            match migrate(key, &whole)? {
                Some(bytes) => {
                    let value = V::read_whole(&bytes)?;
                    self.set(key, value).map_err(|error| Malformed::new(error.to_string()))?;
                }
                None => {
                    self.remove(key);
                }
            }
        }
        Ok(())
    }

    fn for_each_whole(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        let mut whole = Vec::new();
        for key in self.sorted_keys() {
            if let Some(value) = self.get(key.as_slice()) {
                whole.clear();
                value.write_whole(&mut whole);
                each(key.as_slice(), &whole);
            }
        }
    }
}

impl StateMap {
    pub(crate) fn new(kind: StateKind, key_groups: u16) -> Self {
        let clock = Clock::new();
        match kind {
            StateKind::Values => StateMap::Values(TrackedMap::new(key_groups, clock)),
            StateKind::Windows => StateMap::Windows(TrackedMap::new(key_groups, clock)),
            StateKind::Patterns => StateMap::Patterns(TrackedMap::new(key_groups, clock)),
            StateKind::Aggregations => StateMap::Aggregations(TrackedMap::new(key_groups, clock)),
        }
    }

    /// Takes over the key groups of another map of this kind, which has no others.
    pub(crate) fn absorb(&mut self, other: StateMap, groups: core::ops::Range<u16>) {
        match (self, other) {
            (StateMap::Values(map), StateMap::Values(other)) => map.absorb(other, groups),
            (StateMap::Windows(map), StateMap::Windows(other)) => map.absorb(other, groups),
            (StateMap::Patterns(map), StateMap::Patterns(other)) => map.absorb(other, groups),
            (StateMap::Aggregations(map), StateMap::Aggregations(other)) => map.absorb(other, groups),
            (map, other) => debug_assert!(false, "{map:?} is of another kind than {other:?}"),
        }
    }

    pub(crate) fn any(&self) -> &dyn AnyMap {
        match self {
            StateMap::Values(map) => map,
            StateMap::Windows(map) => map,
            StateMap::Patterns(map) => map,
            StateMap::Aggregations(map) => map,
        }
    }

    pub(crate) fn any_mut(&mut self) -> &mut dyn AnyMap {
        match self {
            StateMap::Values(map) => map,
            StateMap::Windows(map) => map,
            StateMap::Patterns(map) => map,
            StateMap::Aggregations(map) => map,
        }
    }
}
