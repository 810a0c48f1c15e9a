//! Room for an event of an engine at its budget: what is over by the event's own time goes out before it, where it would
//! have gone behind it. Else the engine would stay at its budget. The results keep their order.

use alloc::collections::VecDeque;

use super::Engine;
use crate::error::{Error, Result};
use crate::operator::Output;
use crate::value::Event;

/// Results of what was over, in their order; they come behind those that the event gives at once.
#[derive(Debug)]
pub(super) struct Released {
    before: VecDeque<Output>,
    /// Those of the event's watermark itself: patterns may take the event at that time, among them.
    at_last: VecDeque<Output>,
}

impl Engine {
    /// Releases what is over by an event's own time if the event was refused for want of room; its watermark. No window and
    /// no match that this closes has room for the event.
    ///
    /// With plugins nothing is released before its event: they have been asked about it in another order.
    pub(super) fn make_room(&mut self, event: &Event, refused: Error) -> Result<(i64, Released)> {
        let Error::OverBudget { needed, budget } = refused else { return Err(refused) };
        let is_newest = self.progress.timestamp_max.is_none_or(|max| event.timestamp > max);
        // One that has no room in an empty state changes nothing, and no time passes by it.
        let has_room_alone = (needed + self.empty_bytes).saturating_sub(self.holder.size_bytes()) <= budget;
        let watermark = event.timestamp.saturating_sub(self.watermark_delay_ms);
        let watermark = self.watermark_floor_ms.map_or(watermark, |floor| floor.max(watermark));
        if !is_newest || !has_room_alone || self.has_plugins() || !self.timers.is_due(watermark) {
            return Err(refused);
        }
        self.progress.timestamp_max = Some(event.timestamp);
        let waiting = self.outputs.len();
        self.release(watermark.saturating_sub(1))?;
        let before = self.outputs.len();
        self.release(watermark)?;
        self.check(event, watermark)?;
        let at_last = self.outputs.split_off(before);
        Ok((watermark, Released { before: self.outputs.split_off(waiting), at_last }))
    }

    /// Gives out what was released before an event, behind what the event gave; of its watermark itself only if the event
    /// was not taken after all.
    pub(super) fn give_released(&mut self, mut released: Released, taken: bool) -> VecDeque<Output> {
        self.outputs.append(&mut released.before);
        if !taken {
            self.outputs.append(&mut released.at_last);
        }
        released.at_last
    }

    /// Gives out what was left, among the results from place `own` on, which the event's own release has brought out at the
    /// same time: in the order of the operators, of which each has its results on one side.
    pub(super) fn put_in_order(&mut self, own: usize, mut at_last: VecDeque<Output>) {
        at_last.append(&mut self.outputs.split_off(own));
        let operators = &self.operators;
        let number = |output: &Output| operators.iter().position(|operator| *operator.name == *output.operator());
        at_last.make_contiguous().sort_by_key(number);
        self.outputs.append(&mut at_last);
    }
}
