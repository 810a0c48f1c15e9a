//! The engine: events in, results and checkpoints out.

mod json_events;
mod plugins;
mod rfc3339;
mod room;
mod timestamp;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::definition::{ApplicationDefinition, hint};
use crate::error::{Error, Result};
use crate::format::manifest::{EngineProgress, Manifest};
use crate::limits::{FIELDS_MAX, PLUGIN_BATCH_EVENTS, PLUGIN_BATCH_TEXT_BYTES, TIMESTAMP_MS_MAX};
use crate::operator::{Context, Operator, Purpose, Timers, state_of};
use crate::state::{CheckpointRequest, StateHolder};
use crate::tracked::MapKey;
use crate::value::Event;

pub use self::json_events::JsonEvents;
use self::plugins::{Moment, Plugins};
pub use self::timestamp::{NoTimestamp, TimestampReader};
pub use crate::operator::{MatchedStep, Output};

/// Name under which the watermark of the one source is recorded.
const SOURCE: &str = "source";

/// A key of the event at hand.
#[derive(Debug, Default)]
struct Key {
    bytes: Vec<u8>,
    made: bool,
}

impl Key {
    fn clear(&mut self) {
        self.made = false;
    }

    /// Makes it, unless another operator did.
    fn make(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if !self.made {
            self.bytes.clear();
            append(&mut self.bytes);
            self.made = true;
        }
    }
}

/// Operators over one stream of events, and their state.
///
/// Feed it with [`handle_event`](Self::handle_event), take results with
/// [`poll_output`](Self::poll_output) after each event or now and then, and say
/// [`finish`](Self::finish) at the end of the source. Checkpoints go through
/// [`begin_checkpoint`](Self::begin_checkpoint) and the [`holder`](Self::holder_mut); take all
/// results out before, since they are not part of the state.
///
/// ```
/// use eventflux_core::definition::{ApplicationDefinition, OperatorDefinition, SourceDefinition, WindowKind};
/// use eventflux_core::{Engine, Event};
/// # fn main() -> eventflux_core::Result<()> {
/// let definition = ApplicationDefinition::new("demo", SourceDefinition::file("-").timestamp("at")).operator(
///     OperatorDefinition::window("per_second", WindowKind::Tumbling { size_ms: 1000 }).compute("events", "count")?,
/// );
/// let mut engine = Engine::new(&definition, &["at"])?;
/// for at in [10, 20, 1500] {
///     engine.handle_event(Event::new(at, vec![at.into()]))?;
/// }
/// let result = engine.poll_output().expect("the first second is over");
/// assert_eq!((result.operator(), result.window()), ("per_second", Some((0, 1000))));
/// assert_eq!(result.results().collect::<Vec<_>>(), [("events", &2.into())]);
/// engine.finish()?;
/// assert_eq!(engine.poll_output().map(|result| result.window()), Some(Some((1000, 2000))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Engine {
    fields: Vec<Arc<str>>,
    watermark_delay_ms: i64,
    /// Watermark of the checkpoint that this goes on from: it never goes back, also if the delay is
    /// longer now.
    watermark_floor_ms: Option<i64>,
    operators: Vec<Operator>,
    holder: StateHolder,
    timers: Timers,
    outputs: VecDeque<Output>,
    progress: EngineProgress,
    /// Whether the end of the source was begun and has not ended: an error came in between.
    half_finished: bool,
    /// The event's keys, used again for every event: one for all operators with the same key fields.
    keys: Vec<Key>,
    /// Place of each operator's key among them.
    key_of: Vec<usize>,
    admitted: Vec<bool>,
    plugins: Plugins,
    /// Size of the state when there is none.
    empty_bytes: usize,
}

impl Engine {
    /// An engine for a definition, over events with these fields.
    ///
    /// # Errors
    /// [`Error::Definition`] if the definition is wrong or names a field that is not there, or two fields have one name.
    pub fn new<S: AsRef<str>>(definition: &ApplicationDefinition, fields: &[S]) -> Result<Self> {
        Self::with_budget(definition, fields, None)
    }

    /// As [`Engine::new`], with a bound on the memory of the states: an event that may take them
    /// past it is answered with [`Error::OverBudget`], and not taken. What it may add is reckoned as it comes: an event
    /// that waits for the watermark, and advances several partial matches of a pattern in the end, may pass the bound.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_budget<S: AsRef<str>>(
        definition: &ApplicationDefinition,
        fields: &[S],
        budget_bytes: Option<usize>,
    ) -> Result<Self> {
        definition.check()?;
        if fields.len() > FIELDS_MAX {
            return Err(Error::OverLimit {
                what: "number of fields",
                found: fields.len() as u64,
                limit: FIELDS_MAX as u64,
            });
        }
        let fields: Vec<Arc<str>> = fields.iter().map(|field| field.as_ref().into()).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = fields.iter().map(AsRef::as_ref).find(|field: &&str| !seen.insert(*field)) {
            let reason = format!("two fields have the name `{twice}`; operators could not tell them apart");
            return Err(Error::definition("fields", reason));
        }
        for (at, name) in definition.source.text.iter().enumerate() {
            if !seen.contains(name.as_str()) {
                let reason = hint::no_field(name, fields.iter().map(AsRef::as_ref));
                return Err(Error::definition(format!("source.text[{at}]"), reason));
            }
        }
        let mut operators = Vec::with_capacity(definition.operators.len());
        let mut builder = StateHolder::builder(definition.name.clone());
        for (at, operator) in definition.operators.iter().enumerate() {
            let operator = Operator::new(operator, &format!("operator[{at}]"), &fields)?;
            builder = builder.state(operator.descriptor.clone());
            operators.push(operator);
        }
        if let Some(budget) = budget_bytes {
            builder = builder.budget_bytes(budget);
        }
        let mut holder = builder.build()?;
        holder.set_driven();
        let empty_bytes = holder.size_bytes();
        let count = operators.len();
        let plugins = operators.iter().filter(|operator| operator.plugin().is_some()).count();
        let mut key_of: Vec<usize> = Vec::with_capacity(count);
        for operator in &definition.operators {
            let same = definition.operators[..key_of.len()].iter().position(|other| other.key == operator.key);
            key_of.push(same.map_or(key_of.len(), |same| key_of[same]));
        }
        Ok(Engine {
            fields,
            watermark_delay_ms: definition.source.watermark_delay_ms,
            watermark_floor_ms: None,
            operators,
            holder,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            progress: EngineProgress {
                results: alloc::vec![0; count],
                late: alloc::vec![0; count],
                ..EngineProgress::default()
            },
            half_finished: false,
            keys: (0..count).map(|_| Key::default()).collect(),
            key_of,
            admitted: alloc::vec![false; count],
            plugins: Plugins::wanted(plugins),
            empty_bytes,
        })
    }

    /// Takes one event: operators first, in the order of the definition, then the watermark.
    /// Borrowed is enough: what an operator keeps of it, it copies.
    ///
    /// # Errors
    /// [`Error::Event`] if the event does not fit the stream or a function cannot take a value; [`Error::OverBudget`].
    /// The event is not taken then, and the engine can go on. Results may still come out: an event over budget may first
    /// advance the watermark, and after a restart with a shorter delay the first event does.
    pub fn handle_event(&mut self, event: impl Borrow<Event>) -> Result<()> {
        if !self.has_plugins() {
            return self.take(event.borrow());
        }
        self.check_plugins()?;
        self.plugins_at(Moment::Events(&[event.borrow()]))
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        let watermark = self.watermark_ms().unwrap_or(i64::MIN);
        if self.timers.is_due(watermark) {
            // After a restart with a shorter delay what is over is over, whatever this event would belong to.
            self.check_shape(event)?;
            self.release(watermark)?;
        }
        let (watermark, released) = match self.check(event, watermark) {
            Ok(()) => (watermark, None),
            Err(error) => self.make_room(event, error).map(|(watermark, released)| (watermark, Some(released)))?,
        };
        let sequence = self.progress.events;
        let keys = core::mem::take(&mut self.keys);
        let mut taken = Ok(());
        for number in 0..self.operators.len() {
            if taken.is_err() || !self.admitted[number] {
                continue;
            }
            taken = if self.operators[number].plugin().is_some() {
                self.plugins_at(Moment::Turn { operator: number, watermark })
            } else {
                let key = MapKey::new(&keys[self.key_of[number]].bytes);
                Operator::take(&mut self.context(number, watermark, sequence), &key, event)
            };
        }
        self.keys = keys;
        let at_last = released.map(|released| self.give_released(released, taken.is_ok()));
        taken?;
        self.progress.events += 1;
        if self.progress.timestamp_max.is_none_or(|max| event.timestamp > max) {
            self.progress.timestamp_max = Some(event.timestamp);
        }
        self.plugins_at(Moment::Taken)?;
        // Waiting events may be due even if the watermark stands: those that came at its very time.
        let own = self.outputs.len();
        let released = self.release(self.watermark_ms().unwrap_or(i64::MIN));
        if let Some(at_last) = at_last {
            self.put_in_order(own, at_last);
        }
        released
    }

    /// Takes events one by one: the same as [`Engine::handle_event`] for each, but faster where there are plugins,
    /// which are asked about many at once.
    ///
    /// # Errors
    /// As [`Engine::handle_event`]; the events before have been taken, the ones after have not. `progress().events`
    /// says how many were taken: the difference from before is the index of the refused one.
    pub fn handle_events(&mut self, events: impl IntoIterator<Item: Borrow<Event>>) -> Result<()> {
        if !self.has_plugins() {
            return events.into_iter().try_for_each(|event| self.take(event.borrow()));
        }
        let mut events = events.into_iter();
        let mut chunk = Vec::new();
        loop {
            let mut text_bytes = 0;
            while chunk.len() < PLUGIN_BATCH_EVENTS
                && text_bytes < PLUGIN_BATCH_TEXT_BYTES
                && let Some(event) = events.next()
            {
                text_bytes += event.borrow().text_bytes();
                chunk.push(event);
            }
            if chunk.is_empty() {
                return Ok(());
            }
            self.check_plugins()?;
            let borrowed: Vec<&Event> = chunk.iter().map(Borrow::borrow).collect();
            self.plugins_at(Moment::Events(&borrowed))?;
            chunk.clear();
        }
    }

    /// The source has ended: the watermark becomes +∞, and all that is left goes out.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::CallOrder`].
    pub fn finish(&mut self) -> Result<()> {
        self.check_resumed()?;
        self.check_finished()?;
        if self.progress.finished {
            return Ok(());
        }
        self.check_plugins()?;
        self.plugins_at(Moment::End)?;
        self.progress.finished = true;
        self.half_finished = true;
        self.release(i64::MAX)?;
        for number in 0..self.operators.len() {
            self.plugins_at(Moment::Rest { operator: number })?;
            Operator::finish(&mut self.context(number, i64::MAX, self.progress.events))?;
        }
        self.half_finished = false;
        Ok(())
    }

    /// What an end that failed has not given out is not known any more.
    fn check_finished(&self) -> Result<()> {
        if !self.half_finished {
            return Ok(());
        }
        self.check_plugins()?;
        Err(Error::CallOrder("the end of the source has failed; restore a checkpoint to go on"))
    }

    /// The next result.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The watermark in milliseconds since 1970; `None` before the first event, `i64::MAX` after
    /// the end of the source.
    #[must_use]
    pub fn watermark_ms(&self) -> Option<i64> {
        if self.progress.finished {
            return Some(i64::MAX);
        }
        let by_events = self.progress.timestamp_max.map(|max| max.saturating_sub(self.watermark_delay_ms));
        by_events.max(self.watermark_floor_ms)
    }

    /// Events taken, results given, late events by operator.
    #[must_use]
    pub fn progress(&self) -> &EngineProgress {
        &self.progress
    }

    /// Names of the operators, in the order of the definition.
    pub fn operator_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.operators.iter().map(|operator| &*operator.name)
    }

    /// Names of the stream's fields.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &str> {
        self.fields.iter().map(AsRef::as_ref)
    }

    /// Number of timers set: for windows open, events waiting and matches under way; and for some that have gone early, at
    /// most about as many.
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.timers.len()
    }

    /// Cuts a checkpoint of the state, with positions in sources and lengths of outputs as of now; watermarks and how far
    /// the engine is are put in here, whatever the request has of them. Constant time. Go on with [`StateHolder::step`]
    /// and the rest of the [`holder`](Self::holder_mut)'s checkpoint.
    ///
    /// # Errors
    /// As [`StateHolder::begin`]; [`Error::CallOrder`] if results wait to be taken out.
    pub fn begin_checkpoint(&mut self, mut request: CheckpointRequest) -> Result<()> {
        self.check_resumed()?;
        if !self.outputs.is_empty() {
            return Err(Error::CallOrder(
                "results are waiting; take them out with `Engine::poll_output` before a checkpoint, they are not part of it",
            ));
        }
        if self.holder.is_checkpoint_under_way() {
            return Err(Error::CheckpointUnderWay);
        }
        self.check_finished()?;
        self.check_plugins()?;
        self.plugins_at(Moment::Checkpoint)?;
        request.progress.watermarks =
            self.recorded_watermark().map(|watermark| (SOURCE.into(), watermark)).into_iter().collect();
        request.progress.engine = Some(self.progress.clone());
        self.holder.begin(request)
    }

    /// The state.
    #[must_use]
    pub fn holder(&self) -> &StateHolder {
        &self.holder
    }

    /// The state, to checkpoint it, or to restore it and then [`resume`](Self::resume).
    pub fn holder_mut(&mut self) -> &mut StateHolder {
        &mut self.holder
    }

    /// Goes on from a checkpoint that was just restored into the [`holder`](Self::holder_mut); without
    /// it no event is taken.
    ///
    /// # Errors
    /// [`Error::StateChanged`] if the checkpoint was not written by an engine; [`Error::CallOrder`] if it is not the one
    /// that was restored; [`Error::Plugin`] if a plugin cannot go on.
    pub fn resume(&mut self, manifest: &Manifest) -> Result<()> {
        if self.holder.last_checkpoint().is_some_and(|restored| restored != manifest.object.id) {
            return Err(Error::CallOrder(
                "this is not the manifest of the checkpoint that was restored; give that one",
            ));
        }
        let Some(progress) = &manifest.progress.engine else {
            return Err(Error::StateChanged {
                state: manifest.holder.clone(),
                reason: "an engine did not write this checkpoint".into(),
            });
        };
        // Counts go by operator name: operators may have come or gone, if the restore allowed it.
        let count = |counts: &[u64], name: &str| {
            let place = manifest.states.iter().skip(1).position(|state| state.name == name);
            place.and_then(|place| counts.get(place)).copied().unwrap_or(0)
        };
        let names = || self.operators.iter().map(|operator| &*operator.name);
        self.progress = EngineProgress {
            results: names().map(|name| count(&progress.results, name)).collect(),
            late: names().map(|name| count(&progress.late, name)).collect(),
            ..progress.clone()
        };
        self.half_finished = false;
        self.holder.set_resumed();
        let watermarks = &manifest.progress.watermarks;
        self.watermark_floor_ms =
            watermarks.iter().find(|(source, _)| source == SOURCE).map(|(_, watermark)| *watermark);
        self.outputs.clear();
        self.timers.clear();
        for (number, operator) in self.operators.iter_mut().enumerate() {
            operator.resume(number as u16, &mut self.holder, &mut self.timers);
        }
        self.plugins_at(Moment::Resume(manifest.object.id))
    }

    fn check_resumed(&self) -> Result<()> {
        if self.holder.is_unresumed() {
            return Err(Error::CallOrder(
                "a checkpoint was restored into the engine's state; call `Engine::resume` with its manifest first",
            ));
        }
        Ok(())
    }

    /// Everything that could be wrong with an event, before anything changes.
    fn check(&mut self, event: &Event, watermark: i64) -> Result<()> {
        self.check_shape(event)?;
        // All keys first: what was just written byte by byte is slow to read as words, for the hash.
        self.keys.iter_mut().for_each(Key::clear);
        for (number, operator) in self.operators.iter().enumerate() {
            self.admitted[number] = operator.admits(event);
            // A plugin has its key in its batch.
            if self.admitted[number] && operator.plugin().is_none() {
                self.keys[self.key_of[number]].make(|bytes| operator.append_key(event, bytes));
            }
        }
        let mut growth = 0;
        for (number, operator) in self.operators.iter_mut().enumerate() {
            if self.admitted[number] && operator.plugin().is_none() {
                let (key, state) = (&self.keys[self.key_of[number]].bytes, state_of(number));
                operator.check(&mut self.holder, state, key, (event, watermark))?;
                let reckoned = self.holder.growth_for(state, key, event);
                if reckoned > 0 && operator.keeps(&mut self.holder, state, key, (event, watermark)) {
                    growth += operator.growth(&mut self.holder, state, key, (event, watermark), reckoned);
                }
            }
        }
        if growth > 0 { self.holder.ensure_room(growth) } else { Ok(()) }
    }

    /// What could be wrong with an event as such.
    fn check_shape(&self, event: &Event) -> Result<()> {
        self.check_resumed()?;
        let wrong = |reason: String| Err(Error::Event { operator: String::new(), field: String::new(), reason });
        if self.progress.finished {
            return wrong("the source has ended; no event can follow".into());
        }
        if event.values.len() != self.fields.len() {
            return wrong(format!(
                "the event has {} values, the stream has {} fields",
                event.values.len(),
                self.fields.len()
            ));
        }
        if event.timestamp.unsigned_abs() > TIMESTAMP_MS_MAX as u64 {
            return wrong(format!("the timestamp {} ms is out of range, ±{TIMESTAMP_MS_MAX} ms", event.timestamp));
        }
        Ok(())
    }

    fn release(&mut self, watermark: i64) -> Result<()> {
        while let Some(timer) = self.timers.pop_due(watermark) {
            if timer.purpose == Purpose::Plugin {
                self.plugins_at(Moment::Due { timer: &timer, watermark })?;
                continue;
            }
            let sequence = self.progress.events;
            Operator::fire(&mut self.context(usize::from(timer.operator), watermark, sequence), &timer)?;
        }
        let (operators, holder) = (&self.operators, &mut self.holder);
        self.timers.prune(|timer| {
            let number = usize::from(timer.operator);
            operators.get(number).is_some_and(|operator| operator.is_awaited(number, holder, timer))
        });
        Ok(())
    }

    fn context(&mut self, number: usize, watermark: i64, sequence: u64) -> Context<'_> {
        Context {
            number: number as u16,
            operator: &self.operators[number],
            holder: &mut self.holder,
            timers: &mut self.timers,
            outputs: &mut self.outputs,
            results: &mut self.progress.results[number],
            late: &mut self.progress.late[number],
            watermark,
            sequence,
        }
    }
}
