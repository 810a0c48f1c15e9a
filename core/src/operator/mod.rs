//! Operators: definitions resolved against the fields of a stream, and what each does with events.

mod aggregation;
mod condition;
mod functions;
mod json;
mod output;
mod pattern;
mod timers;
mod window;

use output::OutputNames;
pub use output::{MatchedStep, Output};
pub(crate) use timers::{Purpose, Timer, Timers};

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::aggregation::AggregationPlan;
use self::condition::Check;
use self::pattern::PatternPlan;
use self::window::WindowPlan;
use crate::definition::{OperatorDefinition, OperatorKind, PluginDefinition, hint};
use crate::error::{Error, Result};
use crate::format::key;
use crate::format::manifest::{StateDescriptor, StateKind};
use crate::limits::KEY_BYTES_MAX;
use crate::state::StateHolder;
use crate::tracked::MapKey;
use crate::value::{Event, Value};

/// An operator of a running engine.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) name: Arc<str>,
    names: Arc<OutputNames>,
    /// Places of the key's fields.
    key: Vec<usize>,
    filter: Vec<Check>,
    kind: Kind,
    pub(crate) descriptor: StateDescriptor,
}

#[derive(Debug)]
enum Kind {
    Window(WindowPlan),
    Pattern(PatternPlan),
    Aggregation(AggregationPlan),
    /// The engine asks it, of many events at once.
    Plugin(PluginDefinition),
}

/// Place of an operator's state in the holder of its engine: plain values come first.
pub(crate) fn state_of(number: usize) -> usize {
    number + 1
}

/// What an operator works with while it takes an event or a timer.
pub(crate) struct Context<'a> {
    /// Number of the operator, which orders results of one moment.
    pub(crate) number: u16,
    pub(crate) operator: &'a Operator,
    pub(crate) holder: &'a mut StateHolder,
    pub(crate) timers: &'a mut Timers,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) results: &'a mut u64,
    pub(crate) late: &'a mut u64,
    /// Watermark before the event, or the one that released a timer.
    pub(crate) watermark: i64,
    /// Number of the event in the input.
    pub(crate) sequence: u64,
}

impl Context<'_> {
    fn state(&self) -> usize {
        state_of(usize::from(self.number))
    }

    /// Gives out a result; those of no window, function or match are empty.
    pub(crate) fn emit(
        &mut self,
        key: &[u8],
        window: Option<(i64, i64)>,
        results: Vec<Value>,
        matched: Vec<MatchedStep>,
    ) {
        let key = key::read_values(key).unwrap_or_default();
        *self.results += 1;
        self.outputs.push_back(Output::new(&self.operator.names, key, window, results, matched));
    }
}

impl Operator {
    /// Resolves an operator against the fields of the stream.
    pub(crate) fn new(definition: &OperatorDefinition, path: &str, fields: &[Arc<str>]) -> Result<Self> {
        for (within, name) in definition.fields() {
            if !fields.iter().any(|field| **field == *name) {
                let reason = hint::no_field(name, fields.iter().map(AsRef::as_ref));
                return Err(Error::definition(format!("{path}.{within}"), reason));
            }
        }
        let place = |name: &str| fields.iter().position(|field| **field == *name).unwrap_or(0);
        let (kind, state) = match &definition.kind {
            OperatorKind::Window { window, compute } => {
                (Kind::Window(WindowPlan::new(*window, compute, &place)), StateKind::Windows)
            }
            OperatorKind::Pattern { steps, within_ms, skip } => {
                (Kind::Pattern(PatternPlan::new(steps, *within_ms, *skip, fields, &place)), StateKind::Patterns)
            }
            OperatorKind::Aggregation { compute, emit } => {
                (Kind::Aggregation(AggregationPlan::new(compute, *emit, &place)), StateKind::Aggregations)
            }
            OperatorKind::Plugin(plugin) => (Kind::Plugin(plugin.clone()), StateKind::Values),
        };
        let functions = match &definition.kind {
            OperatorKind::Window { compute, .. } | OperatorKind::Aggregation { compute, .. } => compute.as_slice(),
            OperatorKind::Pattern { .. } | OperatorKind::Plugin(_) => &[],
        };
        let names = OutputNames::new(
            &definition.name,
            definition.key.iter().map(String::as_str),
            functions.iter().map(|function| function.name.as_str()),
        );
        Ok(Operator {
            name: definition.name.as_str().into(),
            names: Arc::new(names),
            key: definition.key.iter().map(|name| place(name)).collect(),
            filter: Check::all(&definition.filter, &[], &place),
            kind,
            descriptor: StateDescriptor::new(definition.name.clone(), state, 1, describe(definition, state, fields)),
        })
    }

    /// Whether the filter lets the event through.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        self.filter.iter().all(|check| check.holds(event, &[]))
    }

    /// What the definition says, if it is a plugin.
    pub(crate) fn plugin(&self) -> Option<&PluginDefinition> {
        if let Kind::Plugin(plugin) = &self.kind { Some(plugin) } else { None }
    }

    /// Number of fields of the key.
    pub(crate) fn key_fields(&self) -> usize {
        self.key.len()
    }

    /// Gives the values of its results their names, which a plugin only says once it runs.
    pub(crate) fn set_outputs(&mut self, outputs: &[String]) {
        self.names = Arc::new(self.names.with_results(outputs.iter().map(String::as_str)));
    }

    /// Appends the key of an event.
    pub(crate) fn append_key(&self, event: &Event, key: &mut Vec<u8>) {
        for place in &self.key {
            key::append_value(key, event.values.get(*place).unwrap_or(&Value::Null));
        }
    }

    /// Whether the operator could take the event. Nothing changes.
    pub(crate) fn check(
        &mut self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        (event, watermark): (&Event, i64),
    ) -> Result<()> {
        if let Err(error) = self.check_key(key, event) {
            // Of what is late, or of no use, nothing is kept, its key neither.
            return if self.keeps(holder, state, key, (event, watermark)) { Err(error) } else { Ok(()) };
        }
        let result = match &mut self.kind {
            Kind::Window(plan) => plan.check(holder, state, key, (event, watermark)),
            Kind::Pattern(_) | Kind::Plugin(_) => Ok(()),
            Kind::Aggregation(plan) => plan.check(holder, state, key, event),
        };
        result.map_err(|(field, error)| self.refused(field, format!("{error}")))
    }

    /// Whether the key of an event could be too long, without making it: only texts can make it so, of which each byte
    /// takes two at most.
    pub(crate) fn may_have_long_key(&self, event: &Event) -> bool {
        let text_len = |place: &usize| event.values.get(*place).and_then(Value::as_str).map_or(0, str::len);
        // A number with its tag, or the tag and the end of a text, are less than this.
        let others = 16 * self.key.len();
        2 * self.key.iter().map(text_len).sum::<usize>() + others > KEY_BYTES_MAX
    }

    /// Whether the key of an event is short enough.
    pub(crate) fn check_key(&self, key: &[u8], event: &Event) -> Result<()> {
        if key.len() <= KEY_BYTES_MAX {
            return Ok(());
        }
        let text_len = |place: usize| event.values.get(place).and_then(Value::as_str).map_or(0, str::len);
        let longest = (0..self.key.len()).max_by_key(|at| text_len(self.key[*at])).unwrap_or(0);
        let reason = format!("makes a key of {} bytes, over the limit of {KEY_BYTES_MAX}", key.len());
        Err(self.refused(self.names.key_field(longest).into(), reason))
    }

    fn refused(&self, field: String, reason: String) -> Error {
        Error::Event { operator: String::from(&*self.name), field, reason }
    }

    /// Whether the state keeps anything of the event, which [`Operator::admits`] let through: of one that is late it does not.
    pub(crate) fn keeps(
        &self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        (event, watermark): (&Event, i64),
    ) -> bool {
        match &self.kind {
            Kind::Window(plan) => !plan.is_late(holder, state, key, (event, watermark)),
            Kind::Pattern(plan) => plan.keeps(event, watermark),
            Kind::Aggregation(_) | Kind::Plugin(_) => true,
        }
    }

    /// Most bytes by which the event makes the state of its key grow: what each event is reckoned at, unless more is known
    /// of it, and what comes beside, where it opens many windows, or where lists double.
    pub(crate) fn growth(
        &self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        (event, watermark): (&Event, i64),
        reckoned: usize,
    ) -> usize {
        match &self.kind {
            Kind::Window(plan) => plan.growth(holder, state, key, (event, watermark), reckoned),
            Kind::Pattern(plan) => reckoned + plan.growth(holder, state, key, event),
            Kind::Aggregation(plan) => plan.growth(holder, state, key, event, reckoned),
            Kind::Plugin(_) => 0,
        }
    }

    /// Takes an event that [`Operator::admits`] and [`Operator::check`] let through.
    pub(crate) fn take(context: &mut Context<'_>, key: &MapKey<'_>, event: &Event) -> Result<()> {
        let operator = context.operator;
        match &operator.kind {
            Kind::Window(plan) => plan.take(context, key, event),
            Kind::Pattern(plan) => plan.take(context, key, event),
            Kind::Aggregation(plan) => plan.take(context, key, event),
            Kind::Plugin(_) => Ok(()),
        }
    }

    /// Takes a timer that the watermark has reached.
    pub(crate) fn fire(context: &mut Context<'_>, timer: &Timer) -> Result<()> {
        let operator = context.operator;
        match &operator.kind {
            Kind::Window(plan) => plan.fire(context, timer),
            Kind::Pattern(plan) => plan.fire(context, timer),
            Kind::Aggregation(_) | Kind::Plugin(_) => Ok(()),
        }
    }

    /// Gives out what the end of the source releases beside timers.
    pub(crate) fn finish(context: &mut Context<'_>) -> Result<()> {
        let operator = context.operator;
        match &operator.kind {
            Kind::Window(plan) => plan.finish(context),
            Kind::Pattern(_) | Kind::Plugin(_) => Ok(()),
            Kind::Aggregation(plan) => plan.finish(context),
        }
    }

    /// Whether a timer, which is one of its own, has anything to do once its time comes.
    pub(crate) fn is_awaited(&self, number: usize, holder: &mut StateHolder, timer: &Timer) -> bool {
        match &self.kind {
            Kind::Window(plan) => plan.is_awaited(state_of(number), holder, timer),
            Kind::Pattern(plan) => plan.is_awaited(state_of(number), holder, timer),
            Kind::Aggregation(_) | Kind::Plugin(_) => true,
        }
    }

    /// Sets up what is derived from restored state: timers, and the guards of functions.
    pub(crate) fn resume(&mut self, number: u16, holder: &mut StateHolder, timers: &mut Timers) {
        let state = state_of(usize::from(number));
        match &mut self.kind {
            Kind::Window(plan) => plan.resume(number, state, holder, timers),
            Kind::Pattern(plan) => plan.resume(number, state, holder, timers),
            Kind::Aggregation(plan) => plan.resume(state, holder),
            Kind::Plugin(_) => {}
        }
    }
}

/// What the fingerprint of an operator's state covers. A pattern keeps whole events, so that the
/// fields of the stream are part of it.
///
/// A plugin says itself what its state is: not file, configuration and limits, which may change.
fn describe(definition: &OperatorDefinition, state: StateKind, fields: &[Arc<str>]) -> String {
    if matches!(definition.kind, OperatorKind::Plugin(_)) {
        return definition.to_plugin_json();
    }
    let operator = definition.to_canonical_json();
    if state != StateKind::Patterns {
        return operator;
    }
    let fields: Vec<serde_json::Value> = fields.iter().map(|field| serde_json::Value::from(&**field)).collect();
    format!("{{\"operator\":{operator},\"fields\":{}}}", serde_json::Value::from(fields))
}
