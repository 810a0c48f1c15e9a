//! Running aggregation: one group a key.

use alloc::vec::Vec;

use super::Context;
use super::functions::{Functions, Refusal};
use crate::definition::{Compute, Emit};
use crate::error::Result;
use crate::state::{Accumulator, AggregationState, StateHolder};
use crate::tracked::MapKey;
use crate::value::Event;

#[derive(Debug)]
pub(super) struct AggregationPlan {
    functions: Functions,
    emit: Emit,
}

impl AggregationPlan {
    pub(super) fn new(compute: &[Compute], emit: Emit, place: &dyn Fn(&str) -> usize) -> Self {
        AggregationPlan { functions: Functions::new(compute, place), emit }
    }

    pub(super) fn check(
        &mut self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        event: &Event,
    ) -> Result<(), Refusal> {
        if self.functions.check(event)? {
            return Ok(());
        }
        let group = holder.aggregations_at(state).and_then(|groups| groups.get(key));
        group.map_or(Ok(()), |group| self.functions.check_against(group.accumulators(), event))
    }

    /// As [`Operator::growth`](super::Operator::growth). Of a group that is there nothing has to be reckoned.
    pub(super) fn growth(
        &self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        event: &Event,
        reckoned: usize,
    ) -> usize {
        let running = |accumulators: &[Accumulator]| match self.emit {
            Emit::Change => accumulators.iter().map(Accumulator::growth_of_running).sum(),
            Emit::End => 0,
        };
        match holder.aggregations_at(state).and_then(|groups| groups.get(key)) {
            Some(group) => self.functions.growth(group.accumulators(), event) + running(group.accumulators()),
            None => reckoned + self.functions.growth_of_new(event) + running(&self.functions.accumulators()),
        }
    }

    pub(super) fn take(&self, context: &mut Context<'_>, key: &MapKey<'_>, event: &Event) -> Result<()> {
        let state = context.state();
        let Some(groups) = context.holder.aggregations_at(state) else { return Ok(()) };
        let create = || AggregationState::new(self.functions.accumulators());
        let results = groups.update_hashed(key, create, |group| {
            group.update(|accumulators| {
                self.functions.add(accumulators, event);
                (self.emit == Emit::Change).then(|| self.functions.running_results(accumulators))
            })
        })?;
        if let Some(results) = results {
            context.emit(key.bytes(), None, results, Vec::new());
        }
        Ok(())
    }

    pub(super) fn finish(&self, context: &mut Context<'_>) -> Result<()> {
        if self.emit == Emit::Change {
            return Ok(());
        }
        let state = context.state();
        let Some(groups) = context.holder.aggregations_at(state) else { return Ok(()) };
        for key in groups.sorted_keys() {
            let Some(groups) = context.holder.aggregations_at(state) else { return Ok(()) };
            let Some(group) = groups.get(key.as_slice()) else { continue };
            let results = self.functions.results(group.accumulators());
            context.emit(key.as_slice(), None, results, Vec::new());
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, state: usize, holder: &mut StateHolder) {
        if let Some(groups) = holder.aggregations_at(state) {
            groups.iter().for_each(|(_, group)| self.functions.resume(group.accumulators()));
        }
    }
}
