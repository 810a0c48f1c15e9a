//! Plugins among the operators of an engine.
//!
//! A plugin is asked about many events at once, all others take one after the other: it is asked first, and its results
//! wait until the event is reached to which each belongs. So the output is the same whatever the batches.
//!
//! All of it is behind one pointer, which attaching the first plugin sets: a program that attaches none, such as the npm
//! package, does not carry it along.
//!
//! Invariants:
//! - outside of [`Engine::take_chunk`] no answer waits: every plugin has seen the events that the engine has taken;
//! - if an event in the midst is refused, plugins are set back to before it.

mod answers;
mod detach;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Engine;
use crate::definition::{OnFailure, PluginDefinition, hint};
use crate::error::{Error, Result};
use crate::limits::FIELDS_MAX;
use crate::operator::{Timer, state_of};
use crate::plugin::{Answer, BatchWriter, Component, Given, GuestHome, PluginNotice, Supervisor, Trouble};
use crate::value::{Event, Value};

/// Members of every result that a plugin gives.
const RESERVED: [&str; 2] = ["operator", "key"];

/// The plugins of an engine.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    /// Operators that are plugins.
    wanted: usize,
    /// [`Engine::serve`], once there is a plugin.
    serve: Option<fn(&mut Engine, Moment<'_>) -> Result<()>>,
    slots: Vec<Slot>,
    /// Whether components are those of the checkpoint, whatever the definition says.
    keep: bool,
    /// Whether one has failed, so that they are not all at one event.
    failed: bool,
    /// From a restore to the first event: the watermark that was recorded, which is the last that plugins know.
    told: Option<i64>,
    /// Number of the event at hand in its chunk.
    at: u32,
}

/// When the engine turns to its plugins.
pub(super) enum Moment<'a> {
    /// Events come, at most [`PLUGIN_BATCH_EVENTS`](crate::limits::PLUGIN_BATCH_EVENTS).
    Events(&'a [&'a Event]),
    /// It is the turn of an operator at the event at hand, whose watermark is this.
    Turn { operator: usize, watermark: i64 },
    /// All operators have taken the event at hand.
    Taken,
    /// A timer is due at a watermark.
    Due { timer: &'a Timer, watermark: i64 },
    /// The source has ended.
    End,
    /// All that was due by then is out, and it is the turn of an operator.
    Rest { operator: usize },
    /// A checkpoint begins.
    Checkpoint,
    /// A checkpoint with this number was restored.
    Resume(u64),
}

/// A plugin and what it has answered.
#[derive(Debug)]
struct Slot {
    /// Number of the operator.
    operator: usize,
    supervisor: Supervisor,
    on_failure: OnFailure,
    /// Places of the fields that it wants.
    inputs: Vec<usize>,
    batch: BatchWriter,
    /// For each item of the batch its event in the chunk, and its time if it is a watermark.
    items: Vec<u32>,
    watermarks: Vec<Option<i64>>,
    answers: VecDeque<Answer>,
    /// Results that wait for their timers, by tie.
    waiting: BTreeMap<i64, Answer>,
    tie: i64,
}

impl Plugins {
    /// Of so many operators.
    pub(super) fn wanted(wanted: usize) -> Self {
        Plugins { wanted, ..Plugins::default() }
    }
}

impl Slot {
    /// The next answer if it belongs to an event of the chunk, or to the watermark after it.
    fn next_answer(&mut self, event: u32, of_watermark: bool) -> Option<Answer> {
        let answer = self.answers.front()?;
        let is_next = self.items.get(answer.item as usize) == Some(&event) && answer.time.is_some() == of_watermark;
        if is_next { self.answers.pop_front() } else { None }
    }
}

impl Engine {
    /// Gives an operator of the definition that is a plugin its component, and where instances of it come from. Every
    /// plugin needs that before the first event and before a restore.
    ///
    /// # Errors
    /// [`Error::Plugin`] if it does not start, or refuses its configuration; [`Error::Definition`] if there is no such
    /// operator, or it wants a field that is not there; [`Error::CallOrder`] after the first event.
    pub fn attach_plugin(&mut self, operator: &str, component: Component, home: Box<dyn GuestHome>) -> Result<()> {
        if self.progress.events > 0 {
            return Err(Error::CallOrder("attach plugins before the first event"));
        }
        let number = self.operators.iter().position(|own| *own.name == *operator);
        let Some((number, definition)) = number.and_then(|at| Some((at, self.operators[at].plugin()?.clone()))) else {
            return Err(Error::definition("operator", format!("`{}` is no plugin", hint::shown(operator))));
        };
        let PluginDefinition { config, limits, on_failure, .. } = definition;
        let key_fields = self.operators[number].key_fields();
        let budget = limits.state_budget_bytes();
        let supervisor = Supervisor::start(operator, key_fields, &config, budget, component, home)?;
        self.plugins.slots.retain(|slot| slot.operator != number);
        let mut slot = Slot {
            operator: number,
            supervisor,
            on_failure,
            inputs: Vec::new(),
            batch: BatchWriter::default(),
            items: Vec::new(),
            watermarks: Vec::new(),
            answers: VecDeque::new(),
            waiting: BTreeMap::new(),
            tie: 0,
        };
        self.set_up(&mut slot)?;
        self.plugins.slots.push(slot);
        self.plugins.serve = Some(Engine::serve);
        self.plugins.slots.sort_unstable_by_key(|slot| slot.operator);
        Ok(())
    }

    /// Plugins go on with the components of the checkpoint that is restored next, also where the definition has others:
    /// the way back from an upgrade that failed.
    pub fn keep_plugins_of_checkpoint(&mut self) {
        self.plugins.keep = true;
    }

    /// What happened to plugins since the last call.
    pub fn take_plugin_notices(&mut self) -> Vec<PluginNotice> {
        self.plugins.slots.iter_mut().flat_map(|slot| slot.supervisor.take_notices()).collect()
    }

    /// Names of plugins that failed for good and get no event any more.
    pub fn detached_plugins(&self) -> impl Iterator<Item = &str> {
        let slots = self.plugins.slots.iter().filter(|slot| slot.supervisor.is_detached());
        slots.map(|slot| &*self.operators[slot.operator].name)
    }

    /// Resolves what a plugin says of itself.
    fn set_up(&mut self, slot: &mut Slot) -> Result<()> {
        let operator = &mut self.operators[slot.operator];
        let setup = slot.supervisor.setup();
        let refused =
            |reason: String| Error::Plugin { operator: String::from(&*operator.name), reason, upgraded: false };
        if setup.inputs.len().max(setup.outputs.len()) > FIELDS_MAX {
            return Err(refused(format!("it has more than {FIELDS_MAX} inputs or outputs")));
        }
        let place = |name: &String| {
            self.fields.iter().position(|field| **field == **name).ok_or_else(|| {
                let hint = hint::hint(name, self.fields.iter().map(AsRef::as_ref));
                refused(format!("it wants the field `{}`, which the source does not have{hint}", hint::shown(name)))
            })
        };
        slot.inputs = setup.inputs.iter().map(place).collect::<Result<_>>()?;
        for (at, name) in setup.outputs.iter().enumerate() {
            if RESERVED.contains(&name.as_str()) || setup.outputs[..at].contains(name) || name.is_empty() {
                return Err(refused(format!(
                    "`{}` cannot be the name of an output, or is given twice",
                    hint::shown(name)
                )));
            }
        }
        let outputs = setup.outputs.clone();
        operator.set_outputs(&outputs);
        Ok(())
    }

    /// Turns to the plugins, if there are any.
    pub(super) fn plugins_at(&mut self, moment: Moment<'_>) -> Result<()> {
        self.plugins.serve.map_or(Ok(()), |serve| serve(self, moment))
    }

    fn serve(&mut self, moment: Moment<'_>) -> Result<()> {
        match moment {
            Moment::Events(events) => {
                self.tell_watermark()?;
                let taken = self.take_chunk(events);
                if taken.is_err() {
                    self.correct_detached()?;
                }
                return taken;
            }
            Moment::Turn { operator, watermark } => self.give_out(operator, watermark),
            Moment::Taken => self.schedule_answers(),
            Moment::Due { timer, watermark } => self.give_out_waiting(timer, watermark),
            Moment::End => {
                self.plugins.told = None;
                return self.end_plugins();
            }
            Moment::Rest { operator } => self.give_out_rest(operator),
            Moment::Checkpoint => return self.take_frames(),
            Moment::Resume(checkpoint) => return self.resume_plugins(checkpoint),
        }
        Ok(())
    }

    pub(super) fn check_plugins(&self) -> Result<()> {
        if self.plugins.failed {
            return Err(Error::CallOrder("a plugin has failed; restore a checkpoint to go on"));
        }
        if self.plugins.slots.len() < self.plugins.wanted {
            return Err(Error::CallOrder(
                "an operator is a plugin and has no component; give it one with `Engine::attach_plugin`",
            ));
        }
        Ok(())
    }

    /// Whether an operator of the definition is a plugin.
    #[must_use]
    pub fn has_plugins(&self) -> bool {
        self.plugins.wanted > 0
    }

    /// The watermark that a checkpoint records: until plugins are told a later one, it is the one that they know.
    pub(super) fn recorded_watermark(&self) -> Option<i64> {
        self.plugins.told.or_else(|| self.watermark_ms())
    }

    /// After a restart with a shorter delay plugins are told of the watermark before the first event, as it releases what
    /// other operators hold, and what they answer comes with that. Not before there is an event: what they answer would
    /// wait, and a checkpoint would lose it.
    fn tell_watermark(&mut self) -> Result<()> {
        self.check_resumed()?;
        let Some(told) = self.plugins.told.take() else { return Ok(()) };
        let Some(now) = self.watermark_ms().filter(|now| *now > told) else { return Ok(()) };
        for at in 0..self.plugins.slots.len() {
            let slot = &mut self.plugins.slots[at];
            slot.answers.clear();
            if !slot.supervisor.setup().watermarks {
                continue;
            }
            slot.batch.clear();
            slot.batch.watermark(now);
            (slot.items, slot.watermarks) = (alloc::vec![0], alloc::vec![Some(now)]);
            match self.ask(at) {
                Ok(()) | Err(Trouble::BadEvent { .. }) => {}
                Err(Trouble::Stopped(error) | Trouble::StoppedBefore(error)) => self.stop_or_detach(at, 0, error)?,
            }
        }
        self.plugins.at = 0;
        self.schedule_answers();
        self.release(now)
    }

    /// Takes events, at most [`PLUGIN_BATCH_EVENTS`](crate::limits::PLUGIN_BATCH_EVENTS).
    fn take_chunk(&mut self, mut events: &[&Event]) -> Result<()> {
        loop {
            self.plugins.slots.iter_mut().for_each(|slot| slot.answers.clear());
            let alone = self.plugins.slots.iter().any(|slot| slot.supervisor.takes_events_alone());
            let asked = if alone { &events[..events.len().min(1)] } else { events };
            let (mut count, mut refused) = self.count_of_good(asked);
            while let Err((event, error)) = self.ask_plugins(&events[..count])? {
                (count, refused) = (event, error);
            }
            for (at, event) in events[..count].iter().enumerate() {
                self.plugins.at = at as u32;
                if let Err(error) = self.take(event) {
                    // The plugins have seen what comes behind it.
                    self.set_back(&events[..at])?;
                    return Err(error);
                }
            }
            if let Some(error) = refused {
                return Err(error);
            }
            events = &events[count..];
            if events.is_empty() {
                return Ok(());
            }
        }
    }

    /// How many events are right as such and for plugins, and what is wrong with the one behind them.
    fn count_of_good(&mut self, events: &[&Event]) -> (usize, Option<Error>) {
        let mut key = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if let Err(error) = self.check_shape(event) {
                return (at, Some(error));
            }
            for slot in &self.plugins.slots {
                let operator = &self.operators[slot.operator];
                if !operator.may_have_long_key(event) || !operator.admits(event) {
                    continue;
                }
                key.clear();
                operator.append_key(event, &mut key);
                if let Err(error) = operator.check_key(&key, event) {
                    return (at, Some(error));
                }
            }
        }
        (events.len(), None)
    }

    /// Asks all plugins about events. If one refuses an event, or fails for good over it, none has seen any of them: its
    /// number, and the error if it was refused.
    fn ask_plugins(&mut self, events: &[&Event]) -> Result<Result<(), (usize, Option<Error>)>> {
        for at in 0..self.plugins.slots.len() {
            self.write_batch(at, events);
            let halted = match self.ask(at) {
                Ok(()) => None,
                Err(Trouble::Stopped(error)) => self.stop_in_batch(at, error)?,
                Err(Trouble::StoppedBefore(error)) => {
                    self.stop_or_detach(at, 0, error)?;
                    None
                }
                Err(Trouble::BadEvent { item, reason }) => Some((item, Some(reason))),
            };
            if let Some((item, reason)) = halted {
                self.take_back_all(at)?;
                let slot = &self.plugins.slots[at];
                let event = slot.items.get(item as usize).map_or(0, |event| *event as usize);
                let operator = || String::from(&*self.operators[slot.operator].name);
                let refused = |reason| Error::Event { operator: operator(), field: String::new(), reason };
                return Ok(Err((event, reason.map(refused))));
            }
        }
        Ok(Ok(()))
    }

    /// What a plugin gets of events: those that its filter lets through, and the watermarks if it wants them.
    fn write_batch(&mut self, at: usize, events: &[&Event]) {
        let mut watermark = self.watermark_ms();
        let mut newest = self.progress.timestamp_max;
        let (delay_ms, floor) = (self.watermark_delay_ms, self.watermark_floor_ms);
        let slot = &mut self.plugins.slots[at];
        let operator = &self.operators[slot.operator];
        let wants_watermarks = slot.supervisor.setup().watermarks;
        let mut key = Vec::new();
        slot.batch.clear();
        slot.items.clear();
        slot.watermarks.clear();
        for (number, event) in (0..).zip(events) {
            if operator.admits(event) {
                key.clear();
                operator.append_key(event, &mut key);
                let values = slot.inputs.iter().map(|place| event.values.get(*place).unwrap_or(&Value::Null));
                slot.batch.event(event.timestamp, &key, values);
                slot.items.push(number);
                slot.watermarks.push(None);
            }
            newest = newest.max(Some(event.timestamp));
            let now = newest.map(|newest| newest.saturating_sub(delay_ms)).max(floor);
            if now > watermark {
                watermark = now;
                if let Some(now) = now.filter(|_| wants_watermarks) {
                    slot.batch.watermark(now);
                    slot.items.push(number);
                    slot.watermarks.push(Some(now));
                }
            }
        }
    }

    fn ask(&mut self, at: usize) -> Result<(), Trouble> {
        let slot = &mut self.plugins.slots[at];
        if slot.supervisor.is_detached() {
            // Its last answers may be to the first of these events.
            return Ok(());
        }
        slot.answers.clear();
        let Some(state) = self.holder.values_at(state_of(slot.operator)) else { return Ok(()) };
        if slot.batch.items() > 0 {
            let given = Given::Batch { bytes: slot.batch.bytes(), watermarks: &slot.watermarks };
            slot.answers = slot.supervisor.give(state, given)?.into();
        }
        Ok(())
    }

    /// The first plugins are as before they were asked: each of them, whatever becomes of one.
    fn take_back_all(&mut self, plugins: usize) -> Result<()> {
        (0..plugins).map(|at| self.take_back(at)).fold(Ok(()), Result::and)
    }

    /// A plugin that was just asked is as before; or it is stopped or detached, if no instance gets there.
    fn take_back(&mut self, at: usize) -> Result<()> {
        let slot = &mut self.plugins.slots[at];
        if slot.supervisor.is_detached() {
            return Ok(());
        }
        slot.answers.clear();
        let Some(state) = self.holder.values_at(state_of(slot.operator)) else { return Ok(()) };
        if slot.batch.items() == 0 {
            return Ok(());
        }
        slot.supervisor.take_back(state).or_else(|error| self.stop_or_detach(at, 0, error))
    }

    /// All plugins have seen these events only of the last that they were asked about. Their results were given out.
    fn set_back(&mut self, events: &[&Event]) -> Result<()> {
        // Counts and watermark are those after these events, and a batch is written from those before: plugins see
        // the watermarks that they have seen, but for those after the last event.
        let mut outcome = Ok(());
        for at in 0..self.plugins.slots.len() {
            let seen = self.items_of(at, events.len());
            let again = self.take_back(at).and_then(|()| self.give_items_again(at, seen));
            outcome = outcome.and(again);
        }
        outcome
    }

    /// How many items of the last batch belong to the first events.
    fn items_of(&self, at: usize, events: usize) -> usize {
        self.plugins.slots[at].items.partition_point(|event| (*event as usize) < events)
    }

    /// Gives a plugin the first items of its last batch again.
    fn give_items_again(&mut self, at: usize, count: usize) -> Result<()> {
        let slot = &mut self.plugins.slots[at];
        slot.batch.truncate(count as u32, slot.inputs.len());
        slot.items.truncate(count);
        slot.watermarks.truncate(count);
        match self.ask(at) {
            Ok(()) => {}
            Err(Trouble::Stopped(error) | Trouble::StoppedBefore(error)) => self.stop_or_detach(at, 0, error)?,
            Err(Trouble::BadEvent { reason, .. }) => {
                let operator = String::from(&*self.operators[self.plugins.slots[at].operator].name);
                self.plugins.failed = true;
                let reason = format!("it refuses an event that it had taken: {reason}");
                return Err(Error::Plugin { operator, reason, upgraded: false });
            }
        }
        self.plugins.slots[at].answers.clear();
        Ok(())
    }

    /// Takes what plugins hand out for a checkpoint into the state.
    fn take_frames(&mut self) -> Result<()> {
        for at in 0..self.plugins.slots.len() {
            let slot = &mut self.plugins.slots[at];
            let Some(state) = self.holder.values_at(state_of(slot.operator)) else { continue };
            if let Err(error) = slot.supervisor.take_frames(state) {
                self.stop_or_detach(at, 0, error)?;
            }
        }
        Ok(())
    }

    /// Goes on with the plugins of a restored checkpoint.
    fn resume_plugins(&mut self, checkpoint: u64) -> Result<()> {
        let keep = core::mem::take(&mut self.plugins.keep);
        self.plugins.told = self.watermark_floor_ms;
        let resumed = (0..self.plugins.slots.len()).try_for_each(|at| self.resume_plugin(at, checkpoint, keep));
        self.plugins.failed = resumed.is_err();
        resumed
    }

    fn resume_plugin(&mut self, at: usize, checkpoint: u64, keep: bool) -> Result<()> {
        let slot = &mut self.plugins.slots[at];
        slot.answers.clear();
        slot.waiting.clear();
        if let Some(state) = self.holder.values_at(state_of(slot.operator))
            && let Err(error) = slot.supervisor.resume(state, checkpoint, keep)
        {
            // Its frames are in this checkpoint and in all after it: whoever wants to go on without it, must from here.
            self.stop_or_detach(at, 0, error)?;
        }
        let mut slots = core::mem::take(&mut self.plugins.slots);
        let set_up = self.set_up(&mut slots[at]);
        self.plugins.slots = slots;
        set_up
    }

    fn slot_of(&mut self, number: usize) -> Option<&mut Slot> {
        self.plugins.slots.iter_mut().find(|slot| slot.operator == number)
    }
}
