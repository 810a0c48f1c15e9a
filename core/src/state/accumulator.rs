//! Accumulators: what a function has taken in so far.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::cmp::Ordering;

#[cfg(feature = "alloc")]
use super::captured::Captured;
#[cfg(feature = "alloc")]
use super::growing::{DistinctValues, MedianValues};
use crate::function::Function;
use crate::value::{Footprint, Value, varint_len};

/// The running state of one function over a window or a group.
///
/// All functions skip nulls, but for `Count` without a field. Over no values `Count` and `Distinct`
/// give 0, the others null.
///
/// ```
/// use eventflux_core::{Accumulator, Function, Value};
/// let mut avg = Accumulator::new(Function::Avg);
/// for delay in [2, 4] {
///     avg.add(0, &Value::from(delay)).unwrap();
/// }
/// assert_eq!(avg.result(), Value::from(3.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Accumulator {
    /// Number of events or values.
    Count(u64),
    /// Whole numbers add up exactly; others in double precision, in the order of the events.
    Sum {
        /// Number of whole numbers.
        ints: u64,
        /// Their sum.
        int_sum: i64,
        /// Number of other numbers.
        floats: u64,
        /// Their sum.
        float_sum: f64,
    },
    /// The smallest value.
    Min(Option<Value>),
    /// The largest value.
    Max(Option<Value>),
    /// Count and sum; whole numbers add up exactly, beyond the range of `i64` too.
    Avg {
        /// Number of values.
        count: u64,
        /// Sum of the whole numbers.
        int_sum: i128,
        /// Sum of the other numbers.
        float_sum: f64,
    },
    /// Mean and sum of squared distances from it (B. P. Welford, *Note on a method for calculating
    /// corrected sums of squares and products*, 1962), which does not cancel.
    Stddev {
        /// Number of values.
        count: u64,
        /// Their mean.
        mean: f64,
        /// Sum of squared distances from the mean.
        m2: f64,
    },
    /// The earliest value: by time, then by input order.
    First(Option<(i64, Value)>),
    /// The latest value: by time, then by input order.
    Last(Option<(i64, Value)>),
    #[cfg(feature = "alloc")]
    /// Different values. In a box, since the other accumulators are half as large.
    Distinct(Box<DistinctValues>),
    #[cfg(feature = "alloc")]
    /// All values.
    Median(MedianValues),
}

/// A value that a function cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccumulateError {
    /// The function takes numbers.
    NotANumber(&'static str),
    /// The value does not compare with the ones before: kinds of both.
    MixedKinds(&'static str, &'static str),
    /// The sum does not fit in `i64`.
    Overflow,
}

/// A kind as a sentence has it.
struct Article(&'static str);

impl core::fmt::Display for Article {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", if self.0.starts_with('i') { "an" } else { "a" }, self.0)
    }
}

impl core::error::Error for AccumulateError {}

impl core::fmt::Display for AccumulateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AccumulateError::NotANumber(kind) => {
                write!(f, "needs numbers, found {}; filter such events with `where`", Article(kind))
            }
            AccumulateError::MixedKinds(a, b) => {
                write!(f, "cannot order {} against {}; filter one kind with `where`", Article(a), Article(b))
            }
            AccumulateError::Overflow => write!(f, "the sum of whole numbers leaves the range of 64 bits"),
        }
    }
}

impl Accumulator {
    /// The empty accumulator of a function.
    #[must_use]
    pub fn new(function: Function) -> Self {
        match function {
            Function::Count => Accumulator::Count(0),
            Function::Sum => Accumulator::Sum { ints: 0, int_sum: 0, floats: 0, float_sum: 0.0 },
            Function::Min => Accumulator::Min(None),
            Function::Max => Accumulator::Max(None),
            Function::Avg => Accumulator::Avg { count: 0, int_sum: 0, float_sum: 0.0 },
            Function::Stddev => Accumulator::Stddev { count: 0, mean: 0.0, m2: 0.0 },
            Function::First => Accumulator::First(None),
            Function::Last => Accumulator::Last(None),
            #[cfg(feature = "alloc")]
            Function::Distinct => Accumulator::Distinct(Box::default()),
            #[cfg(feature = "alloc")]
            Function::Median => Accumulator::Median(MedianValues::default()),
        }
    }

    /// Whether [`Accumulator::add`] would take the value. Changes nothing.
    ///
    /// # Errors
    /// What `add` would answer.
    pub fn check(&self, value: &Value) -> Result<(), AccumulateError> {
        match (self, value) {
            (_, Value::Null) => Ok(()),
            (Accumulator::Sum { int_sum, .. }, Value::Int(int)) => {
                int_sum.checked_add(*int).map(|_| ()).ok_or(AccumulateError::Overflow)
            }
            (Accumulator::Sum { .. } | Accumulator::Avg { .. } | Accumulator::Stddev { .. }, value) => {
                needs_number(value)
            }
            #[cfg(feature = "alloc")]
            (Accumulator::Median(_), value) => needs_number(value),
            (Accumulator::Min(Some(held)) | Accumulator::Max(Some(held)), value) => {
                let number = |value: &Value| value.as_f64().is_some();
                if held.kind() == value.kind() || number(held) && number(value) {
                    Ok(())
                } else {
                    Err(AccumulateError::MixedKinds(held.kind(), value.kind()))
                }
            }
            _ => Ok(()),
        }
    }

    #[cfg(feature = "alloc")]
    /// Whether an accumulator of this function, as long as it is empty, would take the value.
    pub(crate) fn check_kind(function: Function, value: &Value) -> Result<(), AccumulateError> {
        match function {
            Function::Sum | Function::Avg | Function::Stddev | Function::Median => needs_number(value),
            _ => Ok(()),
        }
    }

    /// Counts an event as such: for `Count` without a field.
    pub fn add_event(&mut self) {
        if let Accumulator::Count(count) = self {
            *count = count.saturating_add(1);
        }
    }

    /// Takes in a value of an event at a time.
    ///
    /// # Errors
    /// See [`AccumulateError`]; then nothing has changed.
    pub fn add(&mut self, timestamp: i64, value: &Value) -> Result<(), AccumulateError> {
        self.check(value)?;
        self.add_checked(timestamp, value);
        Ok(())
    }

    /// As [`Accumulator::add`] for a value that [`Accumulator::check`] let through.
    pub(crate) fn add_checked(&mut self, timestamp: i64, value: &Value) {
        if value.is_null() {
            return;
        }
        match self {
            Accumulator::Count(count) => *count = count.saturating_add(1),
            Accumulator::Sum { ints, int_sum, floats, float_sum } => match value {
                Value::Int(int) => {
                    *ints = ints.saturating_add(1);
                    *int_sum = int_sum.wrapping_add(*int);
                }
                _ => {
                    *floats = floats.saturating_add(1);
                    *float_sum += value.as_f64().unwrap_or_default();
                }
            },
            Accumulator::Min(held) => replace_if(held, value, Ordering::Less),
            Accumulator::Max(held) => replace_if(held, value, Ordering::Greater),
            Accumulator::Avg { count, int_sum, float_sum } => {
                *count = count.saturating_add(1);
                match value {
                    Value::Int(int) => *int_sum = int_sum.wrapping_add(i128::from(*int)),
                    _ => *float_sum += value.as_f64().unwrap_or_default(),
                }
            }
            Accumulator::Stddev { count, mean, m2 } => {
                let number = value.as_f64().unwrap_or_default();
                *count = count.saturating_add(1);
                let distance = number - *mean;
                *mean += distance / *count as f64;
                *m2 += distance * (number - *mean);
            }
            Accumulator::First(held) => {
                if held.as_ref().is_none_or(|(time, _)| timestamp < *time) {
                    *held = Some((timestamp, value.clone()));
                }
            }
            Accumulator::Last(held) => {
                if held.as_ref().is_none_or(|(time, _)| timestamp >= *time) {
                    *held = Some((timestamp, value.clone()));
                }
            }
            #[cfg(feature = "alloc")]
            Accumulator::Distinct(values) => values.add(value),
            #[cfg(feature = "alloc")]
            Accumulator::Median(values) => values.add(value.as_f64().unwrap_or_default()),
        }
    }

    /// What the function gives for what was taken in.
    #[must_use]
    pub fn result(&self) -> Value {
        match self {
            Accumulator::Count(count) => Value::Int(*count as i64),
            Accumulator::Sum { ints: 0, floats: 0, .. } => Value::Null,
            Accumulator::Sum { int_sum, floats: 0, .. } => Value::Int(*int_sum),
            Accumulator::Sum { int_sum, float_sum, .. } => Value::from(*int_sum as f64 + *float_sum),
            Accumulator::Min(held) | Accumulator::Max(held) => held.clone().unwrap_or_default(),
            Accumulator::Avg { count: 0, .. } | Accumulator::Stddev { count: 0, .. } => Value::Null,
            Accumulator::Avg { count, int_sum, float_sum } => {
                Value::from((*int_sum as f64 + float_sum) / *count as f64)
            }
            Accumulator::Stddev { count, m2, .. } => Value::from(libm::sqrt(m2 / *count as f64)),
            Accumulator::First(held) | Accumulator::Last(held) => {
                held.as_ref().map_or(Value::Null, |(_, value)| value.clone())
            }
            #[cfg(feature = "alloc")]
            Accumulator::Distinct(values) => Value::Int(values.len() as i64),
            #[cfg(feature = "alloc")]
            Accumulator::Median(values) => values.median().map_or(Value::Null, Value::from),
        }
    }

    #[cfg(feature = "alloc")]
    /// As [`Accumulator::result`], where it is asked for again and again while more values come.
    pub(crate) fn running_result(&mut self) -> Value {
        match self {
            Accumulator::Median(values) => values.running_median().map_or(Value::Null, Value::from),
            _ => self.result(),
        }
    }

    #[cfg(feature = "alloc")]
    /// Whether what it holds may depend on the order in which it took in values of different times: sums of other than
    /// whole numbers are rounded, and of equal values, such as 1 and 1.0, the first one counts.
    pub(crate) fn follows_order(&self) -> bool {
        match self {
            Accumulator::Sum { floats, .. } => *floats > 0,
            Accumulator::Avg { .. } | Accumulator::Stddev { .. } => true,
            Accumulator::Min(held) | Accumulator::Max(held) => {
                held.as_ref().is_some_and(|held| held.as_f64().is_some())
            }
            _ => false,
        }
    }

    #[cfg(feature = "alloc")]
    /// Forgets what is new in those of a value since it was last captured, which is now.
    pub(crate) fn settle(accumulators: &mut [Self], captured: Captured) {
        for (place, accumulator) in accumulators.iter_mut().enumerate() {
            match accumulator {
                Accumulator::Distinct(values) => values.settle(captured.of_part(place)),
                Accumulator::Median(values) => values.settle(captured.of_part(place)),
                _ => {}
            }
        }
    }

    #[cfg(feature = "alloc")]
    /// Whether some of a value say of themselves what was captured elsewhere.
    pub(crate) fn any_moved(accumulators: &[Self], captured: Captured) -> bool {
        accumulators.iter().enumerate().any(|(place, accumulator)| match accumulator {
            Accumulator::Distinct(values) => values.is_moved(captured.of_part(place)),
            Accumulator::Median(values) => values.is_moved(captured.of_part(place)),
            _ => false,
        })
    }

    #[cfg(feature = "alloc")]
    /// Takes a place where another may have been captured: all of it is new there.
    pub(crate) fn take_place(&mut self) {
        match self {
            Accumulator::Distinct(values) => values.take_place(),
            Accumulator::Median(values) => values.take_place(),
            _ => {}
        }
    }

    #[cfg(feature = "alloc")]
    /// Most bytes of memory by which taking in a value makes it grow.
    pub(crate) fn growth_of_add(&self, value: &Value) -> usize {
        let memory = value.footprint().memory as usize;
        match self {
            Accumulator::Min(_) | Accumulator::Max(_) | Accumulator::First(_) | Accumulator::Last(_) => memory,
            Accumulator::Distinct(values) => memory + values.growth_of_add(),
            Accumulator::Median(values) => values.growth_of_add(),
            _ => 0,
        }
    }

    #[cfg(feature = "alloc")]
    /// Most bytes of memory by which the first running result after taking in one more value makes it grow.
    pub(crate) fn growth_of_running(&self) -> usize {
        if let Accumulator::Median(values) = self { values.growth_of_running() } else { 0 }
    }

    pub(crate) fn footprint(&self) -> Footprint {
        match self {
            Accumulator::Count(count) => Footprint { memory: 0, encoded: 1 + varint_len(*count) as u64 },
            Accumulator::Sum { .. } => Footprint { memory: 0, encoded: 14 },
            Accumulator::Avg { .. } => Footprint { memory: 0, encoded: 13 },
            Accumulator::Stddev { .. } => Footprint { memory: 0, encoded: 18 },
            Accumulator::Min(held) | Accumulator::Max(held) => {
                let mut footprint = held.as_ref().map_or_else(Footprint::default, Value::footprint);
                footprint.encoded += 2;
                footprint
            }
            Accumulator::First(held) | Accumulator::Last(held) => {
                let mut footprint = held.as_ref().map_or_else(Footprint::default, |(_, value)| value.footprint());
                footprint.encoded += 8;
                footprint
            }
            #[cfg(feature = "alloc")]
            Accumulator::Distinct(values) => values.footprint(),
            #[cfg(feature = "alloc")]
            Accumulator::Median(values) => values.footprint(),
        }
    }
}

fn needs_number(value: &Value) -> Result<(), AccumulateError> {
    match value {
        Value::Bool(_) | Value::Str(_) => Err(AccumulateError::NotANumber(value.kind())),
        Value::Null | Value::Int(_) | Value::Float(_) => Ok(()),
    }
}

fn replace_if(held: &mut Option<Value>, value: &Value, when: Ordering) {
    if held.as_ref().is_none_or(|held| value.cmp(held) == when) {
        *held = Some(value.clone());
    }
}

/// The middle one of values, or the mean of the two middle ones; they end up in another order.
pub(crate) fn median_of(values: &mut [f64]) -> Option<f64> {
    let len = values.len();
    if len == 0 {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(len / 2, f64::total_cmp);
    let upper = *upper;
    if len % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(mean_of_middle(lower, upper))
}

/// The mean of the two middle ones.
pub(crate) fn mean_of_middle(lower: f64, upper: f64) -> f64 {
    // Halved first: the sum of two large numbers need not fit.
    if (lower + upper).is_finite() { (lower + upper) / 2.0 } else { lower / 2.0 + upper / 2.0 }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn result(function: Function, values: &[Value]) -> Value {
        let mut accumulator = Accumulator::new(function);
        for (time, value) in values.iter().enumerate() {
            accumulator.add(time as i64, value).unwrap();
        }
        accumulator.result()
    }

    #[test]
    fn functions_by_hand() {
        let values = [Value::Null, 3.into(), 1.into(), 1.5.into(), 3.into(), Value::Null];
        let expected: [(Function, Value); 10] = [
            (Function::Count, 4.into()),
            (Function::Sum, 8.5.into()),
            (Function::Min, 1.into()),
            (Function::Max, 3.into()),
            (Function::Avg, 2.125.into()),
            (Function::Stddev, libm::sqrt(0.796_875).into()),
            (Function::First, 3.into()),
            (Function::Last, 3.into()),
            (Function::Distinct, 3.into()),
            (Function::Median, 2.25.into()),
        ];
        for (function, wanted) in expected {
            assert_eq!(result(function, &values), wanted, "{function:?}");
        }
    }

    #[test]
    fn over_no_values() {
        for function in [Function::Count, Function::Distinct] {
            assert_eq!(result(function, &[Value::Null]), Value::Int(0));
        }
        for function in [
            Function::Sum,
            Function::Min,
            Function::Max,
            Function::Avg,
            Function::Stddev,
            Function::First,
            Function::Last,
            Function::Median,
        ] {
            assert_eq!(result(function, &[Value::Null]), Value::Null, "{function:?}");
        }
    }

    #[test]
    fn whole_sums_are_exact_or_an_error() {
        let mut sum = Accumulator::new(Function::Sum);
        sum.add(0, &Value::Int(i64::MAX - 1)).unwrap();
        sum.add(0, &Value::Int(1)).unwrap();
        assert_eq!(sum.result(), Value::Int(i64::MAX));
        assert_eq!(sum.add(0, &Value::Int(1)), Err(AccumulateError::Overflow));
        assert_eq!(sum.result(), Value::Int(i64::MAX));
        assert_eq!(result(Function::Avg, &[Value::Int(i64::MAX), Value::Int(i64::MAX)]), Value::from(i64::MAX as f64));
    }

    #[test]
    fn deviation_does_not_cancel() {
        let values: Vec<Value> = [4.0, 7.0, 13.0, 16.0].iter().map(|x| Value::from(1e9 + x)).collect();
        assert_eq!(result(Function::Stddev, &values), Value::from(libm::sqrt(22.5)));
    }

    #[test]
    fn first_and_last_go_by_time_then_input_order() {
        let mut first = Accumulator::new(Function::First);
        let mut last = Accumulator::new(Function::Last);
        for (time, value) in [(5, 1), (5, 2), (3, 3), (3, 4), (4, 5)] {
            first.add(time, &Value::Int(value)).unwrap();
            last.add(time, &Value::Int(value)).unwrap();
        }
        assert_eq!((first.result(), last.result()), (Value::Int(3), Value::Int(2)));
    }

    #[test]
    fn wrong_kinds_are_refused_and_change_nothing() {
        let mut max = Accumulator::new(Function::Max);
        max.add(0, &Value::from("a")).unwrap();
        assert_eq!(max.add(0, &Value::Int(1)), Err(AccumulateError::MixedKinds("string", "integer")));
        assert_eq!(max.result(), Value::from("a"));
        assert!(Accumulator::new(Function::Avg).add(0, &Value::from("x")).is_err());
    }
}
