//! Accumulators of fixed capacity: the twin of [`Accumulator`], which it holds, but for those that grow.

use heapless::Vec;

use super::error::FixedError;
use super::event::check_text;
use crate::format::accumulator::{AccumulatorRow, DISTINCT, GrowingRow, MEDIAN, Place};
use crate::format::payload::{Sink, Source};
use crate::function::Function;
use crate::state::{AccumulateError, Accumulator, Captured, median_of};
use crate::value::{Value, canonical};

/// The running state of one function over a window or a group, as [`Accumulator`]. `distinct` and `median` have room
/// for `VALUES` values, 24 and 8 bytes each; without them it is 0, and neither can be kept in a state.
///
/// ```
/// use eventflux_core::{FixedAccumulator, FixedError, Value};
/// let mut median = FixedAccumulator::<3>::median();
/// for delay in [9, 2, 4] {
///     median.add(0, &Value::from(delay))?;
/// }
/// assert_eq!(median.result(), Value::from(4.0));
/// assert!(matches!(median.add(0, &Value::from(1)), Err(FixedError::Full { capacity: 3, .. })));
/// # Ok::<(), FixedError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FixedAccumulator<const VALUES: usize = 0>(Kind<VALUES>);

#[derive(Debug, Clone, PartialEq)]
enum Kind<const VALUES: usize> {
    Plain(Accumulator),
    Distinct(Values<Value, VALUES>),
    Median(Values<f64, VALUES>),
}

/// Values in the order of their coming, with a mark of which are new.
#[derive(Debug)]
struct Values<T, const VALUES: usize> {
    items: Vec<T, VALUES, u16>,
    old: Old,
}

/// How many of the values the last capture had, and which that was.
#[derive(Debug, Default)]
struct Old {
    len: u16,
    captured: Captured,
}

impl<T, const VALUES: usize> Default for Values<T, VALUES> {
    fn default() -> Self {
        const { assert!(VALUES < u16::MAX as usize) };
        Values { items: Vec::new(), old: Old::default() }
    }
}

impl<T: Clone, const VALUES: usize> Clone for Values<T, VALUES> {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        Values { items: self.items.clone(), old: Old::default() }
    }
}

impl<T: PartialEq, const VALUES: usize> PartialEq for Values<T, VALUES> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<T, const VALUES: usize> Values<T, VALUES> {
    fn push(&mut self, item: T) -> Result<(), FixedError> {
        self.items.push(item).map_err(|_| full(VALUES))
    }
}

fn full(capacity: usize) -> FixedError {
    FixedError::Full { what: "values of an accumulator", capacity }
}

impl<const VALUES: usize> GrowingRow for Values<Value, VALUES> {
    type Item = Value;
    type Error = FixedError;

    fn items(&self) -> &[Value] {
        &self.items
    }

    fn captured(&self) -> usize {
        usize::from(self.old.len)
    }

    fn add_item(&mut self, value: Value) -> Result<(), FixedError> {
        if self.items.contains(&value) {
            return Ok(());
        }
        check_text(&value)?;
        self.push(value)
    }
}

impl<const VALUES: usize> GrowingRow for Values<f64, VALUES> {
    type Item = f64;
    type Error = FixedError;

    fn items(&self) -> &[f64] {
        &self.items
    }

    fn captured(&self) -> usize {
        usize::from(self.old.len)
    }

    fn add_item(&mut self, value: f64) -> Result<(), FixedError> {
        self.push(canonical(value))
    }
}

impl<const VALUES: usize> FixedAccumulator<VALUES> {
    /// What stands where none was set yet.
    pub(super) const EMPTY: Self = FixedAccumulator(Kind::Plain(Accumulator::Count(0)));

    /// The empty accumulator of a function.
    #[must_use]
    pub fn new(function: Function) -> Self {
        match function {
            #[cfg(feature = "alloc")]
            Function::Distinct => Self::distinct(),
            #[cfg(feature = "alloc")]
            Function::Median => Self::median(),
            function => FixedAccumulator(Kind::Plain(Accumulator::new(function))),
        }
    }

    /// The empty accumulator of `distinct`: how many different values.
    #[must_use]
    pub fn distinct() -> Self {
        FixedAccumulator(Kind::Distinct(Values::default()))
    }

    /// The empty accumulator of `median`: the middle value, or the mean of the two middle ones.
    #[must_use]
    pub fn median() -> Self {
        FixedAccumulator(Kind::Median(Values::default()))
    }

    /// Counts an event as such: for `count` without a field.
    pub fn add_event(&mut self) {
        if let Kind::Plain(plain) = &mut self.0 {
            plain.add_event();
        }
    }

    /// Takes in a value of an event at a time, in milliseconds.
    ///
    /// # Errors
    /// [`FixedError::Refused`] for a value that the function does not take, [`FixedError::Full`] if there is no room for
    /// it: a text has 22 bytes at most. Nothing has changed then.
    pub fn add(&mut self, timestamp: i64, value: &Value) -> Result<(), FixedError> {
        match &mut self.0 {
            Kind::Plain(plain) => {
                if matches!(
                    plain,
                    Accumulator::Min(_) | Accumulator::Max(_) | Accumulator::First(_) | Accumulator::Last(_)
                ) {
                    check_text(value)?;
                }
                plain.add(timestamp, value).map_err(FixedError::Refused)
            }
            _ if value.is_null() => Ok(()),
            Kind::Distinct(values) if VALUES > 0 => values.add_item(value.clone()),
            Kind::Median(values) if VALUES > 0 => match value.as_f64() {
                Some(number) => values.add_item(number),
                None => Err(FixedError::Refused(AccumulateError::NotANumber(value.kind()))),
            },
            _ => Err(full(0)),
        }
    }

    /// Whether a state can keep it: one that grows needs room for values, without which it would be read back as another.
    pub(super) fn check_room(&self) -> Result<(), FixedError> {
        match &self.0 {
            Kind::Distinct(_) | Kind::Median(_) if VALUES == 0 => Err(full(0)),
            _ => Ok(()),
        }
    }

    /// What the function gives for what was taken in.
    #[must_use]
    pub fn result(&self) -> Value {
        match &self.0 {
            Kind::Plain(plain) => plain.result(),
            Kind::Distinct(values) => Value::Int(values.items.len() as i64),
            Kind::Median(values) if VALUES > 0 => median_of(&mut values.items.clone()).map_or(Value::Null, Value::from),
            Kind::Median(_) => Value::Null,
        }
    }

    /// Bytes in a row, by the estimate of its growable twin.
    pub(super) fn encoded(&self) -> u64 {
        match &self.0 {
            Kind::Plain(plain) => plain.footprint().encoded,
            Kind::Distinct(values) => 3 + values.items.iter().map(|value| value.footprint().encoded).sum::<u64>(),
            Kind::Median(values) => 4 + 8 * values.items.len() as u64,
        }
    }

    /// How many of its values the last capture had, if it grows.
    pub(super) fn captured(&self) -> Option<u16> {
        self.old().map(|old| old.len)
    }

    /// The last capture had so many of its values, as a part of a value.
    pub(super) fn set_captured(&mut self, len: u16, part: Captured) {
        if let Some(old) = self.old_mut() {
            *old = Old { len, captured: part };
        }
    }

    /// All of its values were captured, as a part of a value.
    pub(super) fn settle(&mut self, part: Captured) {
        let len = match &self.0 {
            Kind::Distinct(values) => values.items.len(),
            Kind::Median(values) => values.items.len(),
            Kind::Plain(_) => 0,
        };
        self.set_captured(len as u16, part);
    }

    /// Takes a place where another may have been captured: all of it is new there.
    pub(super) fn take_place(&mut self) {
        self.set_captured(0, Captured::NEVER);
    }

    /// Whether some of a value say of themselves what was captured elsewhere.
    pub(super) fn any_moved(accumulators: &[Self], captured: Captured) -> bool {
        accumulators.iter().enumerate().any(|(place, accumulator)| {
            accumulator.old().is_some_and(|old| old.len > 0 && old.captured != captured.of_part(place))
        })
    }

    fn old(&self) -> Option<&Old> {
        match &self.0 {
            Kind::Distinct(Values { old, .. }) | Kind::Median(Values { old, .. }) if VALUES > 0 => Some(old),
            _ => None,
        }
    }

    fn old_mut(&mut self) -> Option<&mut Old> {
        match &mut self.0 {
            Kind::Distinct(Values { old, .. }) | Kind::Median(Values { old, .. }) if VALUES > 0 => Some(old),
            _ => None,
        }
    }
}

// Where there is no room for values, no code for them is linked: each match says so.
impl<const VALUES: usize> AccumulatorRow for FixedAccumulator<VALUES> {
    type Error = FixedError;

    fn write(&self, place: Place, sink: &mut impl Sink, whole: bool) {
        match &self.0 {
            Kind::Plain(plain) => place.write(sink, plain),
            Kind::Distinct(values) if VALUES > 0 => place.write_growing(sink, values, whole),
            Kind::Median(values) if VALUES > 0 => place.write_growing(sink, values, whole),
            Kind::Distinct(_) => place.write_growing_head(sink, DISTINCT, 0, 0),
            Kind::Median(_) => place.write_growing_head(sink, MEDIAN, 0, 0),
        }
    }

    fn read<S: Source>(place: Place, source: &mut S, held: Option<&mut Self>) -> Result<Option<Self>, FixedError> {
        let kind = match source.uint(place.variant())? {
            DISTINCT if VALUES > 0 => {
                let held = if let Some(FixedAccumulator(Kind::Distinct(held))) = held { Some(held) } else { None };
                place.read_growing(source, held)?.map(Kind::Distinct)
            }
            MEDIAN if VALUES > 0 => {
                let held = if let Some(FixedAccumulator(Kind::Median(held))) = held { Some(held) } else { None };
                place.read_growing(source, held)?.map(Kind::Median)
            }
            DISTINCT | MEDIAN => return Err(full(0)),
            variant => {
                let plain = place.read(source, variant)?;
                match &plain {
                    Accumulator::Min(Some(value)) | Accumulator::Max(Some(value)) => check_text(value)?,
                    Accumulator::First(Some((_, value))) | Accumulator::Last(Some((_, value))) => check_text(value)?,
                    _ => {}
                }
                Some(Kind::Plain(plain))
            }
        };
        Ok(kind.map(FixedAccumulator))
    }
}
