//! A plugin that has failed for good.

use alloc::vec::Vec;

use super::super::Engine;
use crate::definition::OnFailure;
use crate::error::{Error, Result};
use crate::plugin::Answer;

impl Engine {
    /// A plugin has failed for good over the batch that it was just asked about. If it is detached, then behind the last
    /// item that it takes: what it answers to the ones before goes out. Which events come in one batch does not show.
    pub(super) fn stop_in_batch(&mut self, at: usize, error: Error) -> Result<()> {
        let (items, answers) = match self.plugins.slots[at].on_failure {
            OnFailure::Detach => self.last_answers(at),
            OnFailure::Stop => (0, Vec::new()),
        };
        let event = self.plugins.slots[at].items.get(items).copied().unwrap_or(0);
        self.stop_or_detach_at(at, self.progress.events + u64::from(event), error)?;
        self.plugins.slots[at].answers = answers.into();
        Ok(())
    }

    /// How many items of its batch a plugin takes, and what it answers to these. It fails over one of them.
    fn last_answers(&mut self, at: usize) -> (usize, Vec<Answer>) {
        let slot = &mut self.plugins.slots[at];
        let (mut taken, mut failing, mut answers) = (0, slot.batch.items() as usize, Vec::new());
        let Some(state) = self.holder.values_at(slot.operator + 1) else { return (0, answers) };
        while failing - taken > 1 {
            let items = taken.midpoint(failing);
            let batch = slot.batch.first(items as u32, slot.inputs.len());
            match slot.supervisor.probe(state, batch, &slot.watermarks[..items]) {
                Some(answered) => (taken, answers) = (items, answered),
                None => failing = items,
            }
        }
        (taken, answers)
    }

    /// A plugin has failed for good: it is detached if the definition wants that, else this is the end.
    pub(super) fn stop_or_detach(&mut self, at: usize, error: Error) -> Result<()> {
        self.stop_or_detach_at(at, self.progress.events, error)
    }

    fn stop_or_detach_at(&mut self, at: usize, event: u64, error: Error) -> Result<()> {
        let newest = self.holder.last_checkpoint();
        let slot = &mut self.plugins.slots[at];
        slot.answers.clear();
        let error = slot.supervisor.stopped(error, newest);
        if let (Error::Plugin { upgraded: false, .. }, OnFailure::Detach) = (&error, slot.on_failure)
            && let Some(state) = self.holder.values_at(slot.operator + 1)
        {
            return slot.supervisor.detach(state, event, &error);
        }
        self.plugins.failed = true;
        Err(error)
    }
}
