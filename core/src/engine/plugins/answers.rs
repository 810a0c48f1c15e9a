//! What plugins answered: given out where its event or its time is reached, or at the end.

use alloc::vec::Vec;

use super::super::Engine;
use crate::bytes::SmallBytes;
use crate::error::Result;
use crate::operator::{Purpose, Timer, state_of};
use crate::plugin::{Answer, Given, Trouble};

impl Engine {
    /// Gives out what a plugin answered to the event at hand.
    pub(super) fn give_out(&mut self, number: usize, watermark: i64) {
        let event = self.plugins.at;
        while let Some(answer) = self.slot_of(number).and_then(|slot| slot.next_answer(event, false)) {
            self.emit(number, watermark, answer);
        }
    }

    /// Sets timers for what plugins answered to the watermark after the event at hand.
    pub(super) fn schedule_answers(&mut self) {
        let event = self.plugins.at;
        for slot in &mut self.plugins.slots {
            while let Some(answer) = slot.next_answer(event, true) {
                let (time, tie) = (answer.time.unwrap_or(i64::MAX), slot.tie);
                let (operator, key) = (slot.operator as u16, SmallBytes::new(&answer.key));
                self.timers.set(Timer { time, operator, key, tie, purpose: Purpose::Plugin });
                slot.tie += 1;
                slot.waiting.insert(tie, answer);
            }
        }
    }

    /// Gives out the result that waited for a timer.
    pub(super) fn give_out_waiting(&mut self, timer: &Timer, watermark: i64) {
        let number = usize::from(timer.operator);
        if let Some(answer) = self.slot_of(number).and_then(|slot| slot.waiting.remove(&timer.tie)) {
            self.emit(number, watermark, answer);
        }
    }

    /// Tells plugins that the source has ended. What has no time waits for [`Engine::give_out_rest`].
    pub(super) fn end_plugins(&mut self) -> Result<()> {
        let mut rests = Vec::new();
        for at in 0..self.plugins.slots.len() {
            let slot = &mut self.plugins.slots[at];
            slot.answers.clear();
            let Some(state) = self.holder.values_at(state_of(slot.operator)) else { continue };
            if slot.supervisor.is_detached() {
                continue;
            }
            let answers = match slot.supervisor.give(state, Given::End) {
                Ok(answers) => answers,
                Err(Trouble::Stopped(error) | Trouble::StoppedBefore(error)) => {
                    self.stop_or_detach(at, 0, error)?;
                    continue;
                }
                Err(Trouble::BadEvent { .. }) => continue,
            };
            (slot.items, slot.watermarks) = (alloc::vec![0], alloc::vec![Some(i64::MAX)]);
            let (timed, mut rest): (Vec<Answer>, Vec<Answer>) =
                answers.into_iter().partition(|answer| answer.time.is_some_and(|time| time < i64::MAX));
            slot.answers = timed.into();
            self.plugins.at = 0;
            self.schedule_answers();
            rest.sort_by(|a, b| a.key.cmp(&b.key));
            rests.push((at, rest));
        }
        // Only now: what waits for its operator's turn must not be scheduled with what the next one answers.
        for (at, rest) in rests {
            self.plugins.slots[at].answers = rest.into();
        }
        Ok(())
    }

    /// Gives out what a plugin answered to the end of the source, without a time.
    pub(super) fn give_out_rest(&mut self, number: usize) {
        while let Some(answer) = self.slot_of(number).and_then(|slot| slot.answers.pop_front()) {
            self.emit(number, i64::MAX, answer);
        }
    }

    fn emit(&mut self, number: usize, watermark: i64, answer: Answer) {
        let sequence = self.progress.events;
        self.context(number, watermark, sequence).emit(&answer.key, None, answer.values, Vec::new());
    }
}
