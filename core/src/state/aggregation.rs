//! A group of a running aggregation: its accumulators.

use alloc::vec::Vec;

use super::accumulator::Accumulator;
use super::captured::Captured;
use crate::bytes::heap_bytes_of;
use crate::format::Malformed;
use crate::format::accumulator;
use crate::format::columns::ColumnRow;
use crate::format::rows::Form;
use crate::tracked::sealed::Sealed;
use crate::value::Footprint;

/// The accumulators of one group. Its change since the last checkpoint: the accumulators, and of
/// the growing ones (distinct, median) what was added.
///
/// ```
/// use eventflux_core::{Accumulator, AggregationState, Function};
/// let mut group = AggregationState::new(vec![Accumulator::new(Function::Count)]);
/// group.update(|accumulators| accumulators[0].add_event());
/// assert_eq!(group.accumulators()[0].result(), 1.into());
/// ```
#[derive(Debug)]
pub struct AggregationState {
    accumulators: Vec<Accumulator>,
    captured: Captured,
    footprint: Footprint,
}

impl Default for AggregationState {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Clone for AggregationState {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        Self::new(self.accumulators.clone())
    }
}

impl PartialEq for AggregationState {
    fn eq(&self, other: &Self) -> bool {
        self.accumulators == other.accumulators
    }
}

impl AggregationState {
    /// A new group.
    #[must_use]
    pub fn new(accumulators: Vec<Accumulator>) -> Self {
        let mut state = AggregationState { accumulators, captured: Captured::NEVER, footprint: Footprint::default() };
        state.measure();
        state
    }

    /// The accumulators.
    #[must_use]
    pub fn accumulators(&self) -> &[Accumulator] {
        &self.accumulators
    }

    /// Changes the accumulators.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut Vec<Accumulator>) -> R) -> R {
        let functions = self.accumulators.len();
        let result = change(&mut self.accumulators);
        // Other functions are no change of what was captured, nor are values that are another's.
        if functions != self.accumulators.len() || Accumulator::any_moved(&self.accumulators, self.captured) {
            self.captured = Captured::NEVER;
        }
        self.measure();
        result
    }

    fn measure(&mut self) {
        let memory = heap_bytes_of::<Accumulator>(self.accumulators.capacity());
        self.footprint = Footprint { memory, encoded: 1 };
        for accumulator in &self.accumulators {
            self.footprint += accumulator.footprint();
        }
    }
}

impl Sealed for AggregationState {
    fn write_whole(&self, out: &mut Vec<u8>) {
        accumulator::GROUP.write(out, &self.accumulators, true);
    }

    fn write_change(&self, out: &mut Vec<u8>) -> Form {
        let whole = !self.captured.is_any();
        accumulator::GROUP.write(out, &self.accumulators, whole);
        if whole { Form::Whole } else { Form::Change }
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut accumulators = Vec::new();
        accumulator::apply_row(bytes, &mut accumulators)?;
        let mut state = AggregationState::new(accumulators);
        state.settle();
        Ok(state)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.update(|accumulators| accumulator::apply_row(bytes, accumulators))
    }

    fn read_columns(row: &mut ColumnRow<'_, '_>) -> Result<Self, Malformed> {
        let mut accumulators = Vec::new();
        accumulator::apply(&accumulator::GROUP, row.source, &mut accumulators)?;
        let mut state = AggregationState::new(accumulators);
        state.settle();
        Ok(state)
    }

    fn apply_columns(&mut self, row: &mut ColumnRow<'_, '_>) -> Result<(), Malformed> {
        self.update(|accumulators| accumulator::apply(&accumulator::GROUP, row.source, accumulators))
    }

    fn settle(&mut self) {
        self.captured = Captured::now();
        Accumulator::settle(&mut self.accumulators, self.captured);
    }

    fn captured(&self) -> Captured {
        self.captured
    }

    fn take_place(&mut self) {
        self.captured = Captured::NEVER;
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_events_could_add_up_to_reads_back_as_the_most() {
        let most = i64::MAX as u64;
        let wide = i128::from(most) << 63;
        let written = alloc::vec![
            Accumulator::Count(u64::MAX),
            Accumulator::Sum { ints: u64::MAX, int_sum: 1, floats: most + 1, float_sum: 0.5 },
            Accumulator::Avg { count: u64::MAX, int_sum: i128::MIN, float_sum: 0.5 },
            Accumulator::Stddev { count: u64::MAX, mean: 1.0, m2: 0.0 },
        ];
        let read = alloc::vec![
            Accumulator::Count(most),
            Accumulator::Sum { ints: most, int_sum: 1, floats: most, float_sum: 0.5 },
            Accumulator::Avg { count: most, int_sum: -wide, float_sum: 0.5 },
            Accumulator::Stddev { count: most, mean: 1.0, m2: 0.0 },
        ];
        let mut bytes = Vec::new();
        AggregationState::new(written).write_whole(&mut bytes);
        assert_eq!(AggregationState::read_whole(&bytes).unwrap().accumulators(), read);
    }
}
