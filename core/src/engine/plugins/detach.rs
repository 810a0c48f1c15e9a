//! A plugin that has failed for good.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::Engine;
use crate::definition::OnFailure;
use crate::error::{Error, Result};
use crate::operator::state_of;
use crate::plugin::{Answer, GuestError};

impl Engine {
    /// A plugin has failed for good over the batch that it was just asked about. If it is to be detached, it is at the
    /// event that it fails over, once that is the first: until then the item that it fails over is given, up to which all
    /// plugins are to be asked; or one before that it refuses, and why. So which events come in one batch does not show.
    pub(super) fn stop_in_batch(&mut self, at: usize, error: Error) -> Result<Option<(u32, Option<String>)>> {
        // What it is asked from here on is something else, and no instance of that is to be waited for.
        self.plugins.slots[at].supervisor.begin_anew();
        let (item, answers) = match self.plugins.slots[at].on_failure {
            OnFailure::Stop => (0, Vec::new()),
            OnFailure::Detach => match self.last_answers(at) {
                Ok(answered) => answered,
                Err((item, reason)) => return Ok(Some((item, Some(reason)))),
            },
        };
        let slot = &mut self.plugins.slots[at];
        if slot.items.get(item as usize).is_some_and(|event| *event > 0) {
            slot.supervisor.count_failed_batch();
            return Ok(Some((item, None)));
        }
        // A watermark is behind its event, which it took.
        let taken = matches!(slot.watermarks.get(item as usize), Some(Some(_)));
        self.stop_or_detach(at, u64::from(taken), error)?;
        self.plugins.slots[at].answers = answers.into();
        Ok(None)
    }

    /// How many items of its batch a plugin takes, and what it answers to these; it fails over the next. Or the one before
    /// that it refuses, and why.
    fn last_answers(&mut self, at: usize) -> core::result::Result<(u32, Vec<Answer>), (u32, String)> {
        let slot = &mut self.plugins.slots[at];
        let (mut taken, mut failing, mut answers) = (0, slot.batch.items(), Vec::new());
        let Some(state) = self.holder.values_at(state_of(slot.operator)) else { return Ok((0, answers)) };
        while failing - taken > 1 {
            let items = taken.midpoint(failing);
            let batch = slot.batch.first(items, slot.inputs.len());
            match slot.supervisor.probe(state, batch, &slot.watermarks[..items as usize]) {
                Ok(answered) => (taken, answers) = (items, answered),
                Err(GuestError::BadEvent { index, reason }) => return Err((index, reason)),
                Err(_) => failing = items,
            }
        }
        Ok((taken, answers))
    }

    /// Events were refused: one that a plugin had taken before it failed over the watermark behind it may be among them.
    pub(super) fn correct_detached(&mut self) -> Result<()> {
        for slot in &mut self.plugins.slots {
            if let Some(state) = self.holder.values_at(state_of(slot.operator)) {
                slot.supervisor.correct_detached(state, self.progress.events)?;
            }
        }
        Ok(())
    }

    /// A plugin has failed for good: it is detached if the definition wants that, else this is the end. `taken`: events of
    /// those at hand that it has taken.
    pub(super) fn stop_or_detach(&mut self, at: usize, taken: u64, error: Error) -> Result<()> {
        let newest = self.holder.last_checkpoint();
        let slot = &mut self.plugins.slots[at];
        slot.answers.clear();
        let error = slot.supervisor.stopped(error, newest);
        if let (Error::Plugin { upgraded: false, .. }, OnFailure::Detach) = (&error, slot.on_failure)
            && let Some(state) = self.holder.values_at(state_of(slot.operator))
        {
            return slot.supervisor.detach(state, self.progress.events + taken, &error);
        }
        self.plugins.failed = true;
        Err(error)
    }
}
