//! Patterns: sequences of events of a key.
//!
//! An event waits until the watermark has reached it; then, by time and input order, it first
//! advances the partial matches, oldest first, and then may start one.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Context;
use super::condition::Check;
use super::output::MatchedStep;
use super::timers::{Purpose, Timer, Timers};
use crate::bytes::SmallBytes;
use crate::definition::{PatternStep, Skip};
use crate::error::Result;
use crate::state::{Fate, PartialMatch, PatternState, StateHolder};
use crate::tracked::MapKey;
use crate::value::{BufferedEvent, Event};

#[derive(Debug)]
pub(super) struct PatternPlan {
    steps: Vec<Step>,
    within_ms: Option<i64>,
    skip: Skip,
    fields: Arc<[Arc<str>]>,
    /// Whether some step must be met by the very next event, so that every event counts.
    strict: bool,
}

#[derive(Debug)]
struct Step {
    name: Arc<str>,
    next: bool,
    checks: Vec<Check>,
}

impl PatternPlan {
    pub(super) fn new(
        steps: &[PatternStep],
        within_ms: Option<i64>,
        skip: Skip,
        fields: &[Arc<str>],
        place: &dyn Fn(&str) -> usize,
    ) -> Self {
        let mut resolved: Vec<Step> = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let mut checks = Check::all(&step.conditions, &steps[..at], place);
            checks.iter_mut().for_each(|check| check.imply(|step| resolved.get(step).map_or(&[], |step| &step.checks)));
            resolved.push(Step { name: step.name.as_str().into(), next: step.next, checks });
        }
        PatternPlan {
            steps: resolved,
            within_ms,
            skip,
            fields: fields.into(),
            strict: steps.iter().any(|step| step.next),
        }
    }

    pub(super) fn take(&self, context: &mut Context<'_>, key: &MapKey<'_>, event: &Event) -> Result<()> {
        if event.timestamp < context.watermark {
            *context.late += 1;
            return Ok(());
        }
        if !self.is_of_use(event) {
            return Ok(());
        }
        let state = context.state();
        let Some(patterns) = context.holder.patterns_at(state) else { return Ok(()) };
        let waiting = BufferedEvent { sequence: context.sequence, event: event.clone() };
        patterns.update_hashed(key, PatternState::new, |held| held.wait(waiting))?;
        context.timers.set(event_timer(context.number, key.to_small(), event.timestamp, context.sequence));
        Ok(())
    }

    /// Whether the state keeps an event.
    pub(super) fn keeps(&self, event: &Event, watermark: i64) -> bool {
        event.timestamp >= watermark && self.is_of_use(event)
    }

    /// An event that no step can take changes nothing, unless a step insists on the next one.
    fn is_of_use(&self, event: &Event) -> bool {
        self.strict || self.steps.iter().any(|step| step.checks.iter().all(|check| check.may_hold(event)))
    }

    /// As [`Operator::growth`](super::Operator::growth), beside what each event is reckoned at. Which partial matches the event will advance is known once its
    /// time has come: here it is those that it fits now, and one for each event that waits.
    pub(super) fn growth(&self, holder: &mut StateHolder, state: usize, key: &[u8], event: &Event) -> usize {
        let Some(held) = holder.patterns_at(state).and_then(|patterns| patterns.get(key)) else { return 0 };
        // The event of the last step is not kept.
        let kept = self.steps.get(1..self.steps.len() - 1).unwrap_or_default();
        let may_be_kept = kept.iter().any(|step| step.checks.iter().all(|check| check.may_hold(event)));
        if !may_be_kept {
            return held.growth_of_wait(event.timestamp);
        }
        let next = |partial: &PartialMatch| kept.get(partial.events().len() - 1);
        let fitting = held
            .partials()
            .iter()
            .filter(|partial| next(partial).is_some_and(|step| step.fits(event, partial.events())));
        let copies = fitting.count() + held.pending().len();
        held.growth_of_wait(event.timestamp) + copies * PartialMatch::growth_of(event)
    }

    pub(super) fn fire(&self, context: &mut Context<'_>, fired: &Timer) -> Result<()> {
        let (number, state) = (context.number, context.state());
        let key = &MapKey::new(fired.key.as_slice());
        let Some(patterns) = context.holder.patterns_at(state) else { return Ok(()) };
        if fired.purpose == Purpose::Expire {
            // The match may have been completed or dropped: then the state stays as it is. Not the watermark alone decides:
            // one advance releases events before it too, and they have yet to take part. What ends before the next of them
            // goes at once, instead of with a timer each.
            let Some(within) = self.within_ms else { return Ok(()) };
            let watermark = context.watermark;
            let is_over = |held: &PatternState, partial: &PartialMatch| {
                let next = held.pending().next().map_or(i64::MAX, |waiting| waiting.event.timestamp);
                let end = expire_time(partial.first_ms(), within);
                end <= fired.time || end <= watermark && end < next
            };
            // They began in the order of their times.
            let first_is_over = |held: &PatternState| held.partials().first().is_some_and(|first| is_over(held, first));
            if patterns.get_hashed(key).is_some_and(first_is_over) {
                patterns.modify_hashed(key, |held| {
                    let over = held.partials().partition_point(|partial| is_over(held, partial));
                    held.drop_first(over);
                });
            }
        } else {
            let (within, timers) = (self.within_ms, &mut *context.timers);
            let started = |event: &BufferedEvent| {
                if let Some(within) = within {
                    timers.set(expire_timer(number, key.to_small(), event.event.timestamp, within, event.sequence));
                }
            };
            let matches = patterns.modify_hashed(key, |held| match held.take_due(fired.time) {
                Some(event) => self.advance(held, event, started),
                None => Vec::new(),
            });
            for events in matches.unwrap_or_default() {
                let matched = self.steps.iter().zip(events).map(|(step, event)| MatchedStep {
                    step: Arc::clone(&step.name),
                    timestamp: event.timestamp,
                    fields: Arc::clone(&self.fields),
                    values: event.values,
                });
                context.emit(key.bytes(), None, Vec::new(), matched.collect());
            }
        }
        let Some(patterns) = context.holder.patterns_at(state) else { return Ok(()) };
        if patterns.get_hashed(key).is_some_and(PatternState::is_empty) {
            patterns.remove_hashed(key);
        }
        Ok(())
    }

    /// Lets one event take part; gives the matches it completes, oldest first.
    fn advance(
        &self,
        held: &mut PatternState,
        event: BufferedEvent,
        started: impl FnOnce(&BufferedEvent),
    ) -> Vec<Vec<Event>> {
        let mut is_over = false;
        let mut matches = held.take_event(&event.event, |partial| {
            if is_over {
                // Dropped with all others, below.
                return Fate::Waits;
            }
            let in_time =
                self.within_ms.is_none_or(|within| event.event.timestamp.saturating_sub(partial.first_ms()) <= within);
            let step = self.steps.get(partial.events().len()).filter(|_| in_time);
            match step {
                Some(step) if !step.fits(&event.event, partial.events()) => {
                    // Not the next event that had to fit?
                    if step.next { Fate::Ends } else { Fate::Waits }
                }
                Some(_) if partial.events().len() + 1 < self.steps.len() => Fate::Advances,
                Some(_) => {
                    is_over = self.skip == Skip::PastLast;
                    Fate::Completes
                }
                None => Fate::Ends,
            }
        });
        if is_over {
            held.retain(|_| false);
            return matches;
        }
        if self.steps[0].fits(&event.event, &[]) {
            if self.steps.len() == 1 {
                matches.push(alloc::vec![event.event]);
            } else {
                started(&event);
                held.start_new(event);
            }
        }
        matches
    }

    /// Whether the partial match is still there whose end a timer waits for.
    pub(super) fn is_awaited(&self, state: usize, holder: &mut StateHolder, timer: &Timer) -> bool {
        let Some(within) = self.within_ms.filter(|_| timer.purpose == Purpose::Expire) else { return true };
        let held = holder.patterns_at(state).and_then(|patterns| patterns.get(timer.key.as_slice()));
        // They began in the order of their times, then of the input.
        let order = |partial: &PartialMatch| (expire_time(partial.first_ms(), within), partial.id());
        let wanted = (timer.time, timer.tie as u64);
        // What would end after all time is not in that order.
        timer.time == i64::MAX || held.is_some_and(|held| held.partials().binary_search_by_key(&wanted, order).is_ok())
    }

    pub(super) fn resume(&mut self, number: u16, state: usize, holder: &mut StateHolder, timers: &mut Timers) {
        let Some(patterns) = holder.patterns_at(state) else { return };
        for (key, held) in patterns.iter() {
            for event in held.pending() {
                timers.set(event_timer(number, SmallBytes::new(key), event.event.timestamp, event.sequence));
            }
            if let Some(within) = self.within_ms {
                for partial in held.partials() {
                    timers.set(expire_timer(number, SmallBytes::new(key), partial.first_ms(), within, partial.id()));
                }
            }
        }
    }
}

impl Step {
    fn fits(&self, event: &Event, earlier: &[Event]) -> bool {
        self.checks.iter().all(|check| check.holds(event, earlier))
    }
}

fn event_timer(operator: u16, key: SmallBytes, time: i64, sequence: u64) -> Timer {
    Timer { time, operator, key, tie: sequence as i64, purpose: Purpose::Event }
}

/// Fires once the watermark has passed the last moment at which the match could be completed.
fn expire_timer(operator: u16, key: SmallBytes, first_ms: i64, within: i64, id: u64) -> Timer {
    Timer { time: expire_time(first_ms, within), operator, key, tie: id as i64, purpose: Purpose::Expire }
}

fn expire_time(first_ms: i64, within: i64) -> i64 {
    first_ms.saturating_add(within).saturating_add(1)
}
