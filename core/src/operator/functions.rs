//! The functions of an operator, resolved to places in the event.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::definition::{Compute, Function};
use crate::state::{AccumulateError, Accumulator};
use crate::value::{Event, Value};

/// A refused value: the field and why.
pub(super) type Refusal = (String, AccumulateError);

#[derive(Debug)]
pub(super) struct Functions {
    functions: Vec<ResolvedFunction>,
}

#[derive(Debug)]
struct ResolvedFunction {
    function: Function,
    /// Place and name of the field; `None` counts events.
    field: Option<(usize, Arc<str>)>,
    /// Kinds of value it has seen, over all keys.
    kinds: u8,
    /// Sum of the magnitudes of the whole numbers it has seen, over all keys. While it fits in
    /// `i64` no sum overflows.
    magnitude: u64,
    /// The largest of these magnitudes.
    largest: u64,
}

const KIND_NUMBER: u8 = 1;
const KIND_STRING: u8 = 2;
const KIND_BOOL: u8 = 4;

impl Functions {
    pub(super) fn new(compute: &[Compute], place: &dyn Fn(&str) -> usize) -> Self {
        let resolve = |compute: &Compute| ResolvedFunction {
            function: compute.function,
            field: compute.field.as_deref().map(|field| (place(field), field.into())),
            kinds: 0,
            magnitude: 0,
            largest: 0,
        };
        Functions { functions: compute.iter().map(resolve).collect() }
    }

    pub(super) fn accumulators(&self) -> Vec<Accumulator> {
        self.functions.iter().map(|function| Accumulator::new(function.function)).collect()
    }

    /// The values the functions want of an event, one a function.
    pub(super) fn project<'e>(&'e self, event: &'e Event) -> impl ExactSizeIterator<Item = &'e Value> {
        let value = |function: &'e ResolvedFunction| {
            function.field.as_ref().map_or(&Value::Null, |(place, _)| value_at(event, *place))
        };
        self.functions.iter().map(value)
    }

    /// Most bytes by which accumulators grow that take an event.
    pub(super) fn growth(&self, accumulators: &[Accumulator], event: &Event) -> usize {
        let of = |(function, accumulator): (&ResolvedFunction, &Accumulator)| {
            function.field.as_ref().map_or(0, |(place, _)| accumulator.growth_of_add(value_at(event, *place)))
        };
        self.functions.iter().zip(accumulators).map(of).sum()
    }

    /// Most bytes of new accumulators that take an event.
    pub(super) fn growth_of_new(&self, event: &Event) -> usize {
        let made = self.accumulators();
        // Rounded up by the allocator, each with what it keeps beside itself, and one more for `length`.
        let themselves = (made.capacity() + 1) * size_of::<Accumulator>() + 24;
        let beside: u64 = made.iter().map(|accumulator| accumulator.footprint().memory).sum();
        let rounding = 48 * made.len();
        themselves + beside as usize + rounding + self.growth(&made, event)
    }

    /// Adds an event that [`Functions::check`] let through.
    pub(super) fn add(&self, accumulators: &mut [Accumulator], event: &Event) {
        for (function, accumulator) in self.functions.iter().zip(accumulators) {
            match &function.field {
                Some((place, _)) => accumulator.add_checked(event.timestamp, value_at(event, *place)),
                None => accumulator.add_event(),
            }
        }
    }

    /// Adds an event made by [`Functions::project`], likewise.
    pub(super) fn add_projected(&self, accumulators: &mut [Accumulator], projected: &Event) {
        for ((function, accumulator), value) in self.functions.iter().zip(accumulators).zip(&projected.values) {
            match &function.field {
                Some(_) => accumulator.add_checked(projected.timestamp, value),
                None => accumulator.add_event(),
            }
        }
    }

    /// One value a function.
    pub(super) fn results(&self, accumulators: &[Accumulator]) -> Vec<Value> {
        accumulators.iter().take(self.functions.len()).map(Accumulator::result).collect()
    }

    /// The same, where they are asked for again and again while more events come.
    pub(super) fn running_results(&self, accumulators: &mut [Accumulator]) -> Vec<Value> {
        accumulators.iter_mut().take(self.functions.len()).map(Accumulator::running_result).collect()
    }

    /// Whether accumulators, whatever they hold, would take an event.
    ///
    /// `Ok(true)`: certainly. `Ok(false)`: it depends on what they hold; ask
    /// [`Functions::check_against`]. What was seen is remembered, so that the answer is `true` as
    /// long as no sum can overflow and no kinds can be mixed.
    pub(super) fn check(&mut self, event: &Event) -> Result<bool, Refusal> {
        let mut certain = true;
        for function in &mut self.functions {
            let Some((place, name)) = &function.field else { continue };
            let value = value_at(event, *place);
            Accumulator::check_kind(function.function, value).map_err(|error| (String::from(&**name), error))?;
            certain &= function.remember(value);
        }
        Ok(certain)
    }

    /// Whether these accumulators would take an event. Changes nothing.
    pub(super) fn check_against(&self, accumulators: &[Accumulator], event: &Event) -> Result<(), Refusal> {
        for (function, accumulator) in self.functions.iter().zip(accumulators) {
            if let Some((place, name)) = &function.field {
                accumulator.check(value_at(event, *place)).map_err(|error| (String::from(&**name), error))?;
            }
        }
        Ok(())
    }

    /// Whether they would certainly take an event together with the `events` that several accumulators took, whatever
    /// the order.
    pub(super) fn take_together<'a>(
        &self,
        taken: impl Iterator<Item = &'a [Accumulator]> + Clone,
        events: usize,
        event: &Event,
    ) -> bool {
        let certain = |(at, function): (usize, &ResolvedFunction)| match (function.function, &function.field) {
            (Function::Sum, _) => {
                function.largest.checked_mul(events as u64 + 1).is_some_and(|most| most <= i64::MAX as u64)
            }
            (Function::Min | Function::Max, Some((place, _))) => {
                let kinds = taken.clone().filter_map(|accumulators| accumulators.get(at)).map(kind_held);
                kinds.fold(kind_of(value_at(event, *place)), |all, kind| all | kind).count_ones() <= 1
            }
            _ => true,
        };
        self.functions.iter().enumerate().all(certain)
    }

    /// Copies of the accumulators that may refuse a value for what they hold; of the others, empty ones.
    pub(super) fn refusing(&self, accumulators: &[Accumulator]) -> Vec<Accumulator> {
        let copy = |(function, accumulator): (&ResolvedFunction, &Accumulator)| match function.function {
            Function::Sum | Function::Min | Function::Max => accumulator.clone(),
            other => Accumulator::new(other),
        };
        self.functions.iter().zip(accumulators).map(copy).collect()
    }

    /// Remembers what restored accumulators hold.
    pub(super) fn resume(&mut self, accumulators: &[Accumulator]) {
        for (function, accumulator) in self.functions.iter_mut().zip(accumulators) {
            match accumulator {
                Accumulator::Sum { int_sum, .. } => {
                    function.kinds |= KIND_NUMBER;
                    function.magnitude = function.magnitude.saturating_add(int_sum.unsigned_abs());
                }
                _ => function.kinds |= kind_held(accumulator),
            }
        }
    }

    /// Remembers an event made by [`Functions::project`] that restored state keeps.
    pub(super) fn resume_projected(&mut self, projected: &Event) {
        for (function, value) in self.functions.iter_mut().zip(&projected.values) {
            function.remember(value);
        }
    }

    /// The name of a function's field, for messages.
    pub(super) fn field_name(&self, at: usize) -> String {
        self.functions
            .get(at)
            .and_then(|function| function.field.as_ref())
            .map_or_else(String::new, |(_, name)| String::from(&**name))
    }
}

impl ResolvedFunction {
    /// Takes note of a value; whether any accumulator of this function would take it.
    fn remember(&mut self, value: &Value) -> bool {
        match (self.function, value) {
            // Whatever the value, a null too: it may make two sessions one whose sum overflows.
            (Function::Sum, value) => {
                if let Value::Int(int) = value {
                    self.magnitude = self.magnitude.saturating_add(int.unsigned_abs());
                    self.largest = self.largest.max(int.unsigned_abs());
                }
                self.magnitude <= i64::MAX as u64
            }
            (Function::Min | Function::Max, value) => {
                self.kinds |= kind_of(value);
                self.kinds.count_ones() <= 1
            }
            _ => true,
        }
    }
}

/// The kind of value that the smallest or the largest is of.
fn kind_held(accumulator: &Accumulator) -> u8 {
    match accumulator {
        Accumulator::Min(Some(value)) | Accumulator::Max(Some(value)) => kind_of(value),
        _ => 0,
    }
}

fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => KIND_BOOL,
        Value::Int(_) | Value::Float(_) => KIND_NUMBER,
        Value::Str(_) => KIND_STRING,
    }
}

fn value_at(event: &Event, place: usize) -> &Value {
    event.values.get(place).unwrap_or(&Value::Null)
}
