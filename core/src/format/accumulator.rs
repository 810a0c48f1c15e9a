//! Accumulators in rows of windows and aggregations.
//!
//! A list of accumulators is a postcard sequence of the enum below: variant number, then fields.
//! The growing ones say from which position their values follow; a whole one says 0.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Malformed;
use super::value::serialize_canonical;
use crate::state::{Accumulator, DistinctValues, MedianValues};
use crate::value::Value;

/// An accumulator as it is written. The order of the variants is the format.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AccumulatorRow {
    Count(u64),
    Sum(u64, i64, u64, #[serde(serialize_with = "serialize_canonical")] f64),
    Min(Option<Value>),
    Max(Option<Value>),
    Avg(u64, i128, #[serde(serialize_with = "serialize_canonical")] f64),
    Stddev(
        u64,
        #[serde(serialize_with = "serialize_canonical")] f64,
        #[serde(serialize_with = "serialize_canonical")] f64,
    ),
    First(Option<(i64, Value)>),
    Last(Option<(i64, Value)>),
    Distinct(u64, Vec<Value>),
    Median(u64, Vec<f64>),
}

impl AccumulatorRow {
    /// The whole accumulator, or of the growing ones what is new since the last capture.
    pub(crate) fn from_accumulator(accumulator: &Accumulator, whole: bool) -> Self {
        match accumulator {
            Accumulator::Count(count) => AccumulatorRow::Count(*count),
            Accumulator::Sum { ints, int_sum, floats, float_sum } => {
                AccumulatorRow::Sum(*ints, *int_sum, *floats, *float_sum)
            }
            Accumulator::Min(held) => AccumulatorRow::Min(held.clone()),
            Accumulator::Max(held) => AccumulatorRow::Max(held.clone()),
            Accumulator::Avg { count, int_sum, float_sum } => AccumulatorRow::Avg(*count, *int_sum, *float_sum),
            Accumulator::Stddev { count, mean, m2 } => AccumulatorRow::Stddev(*count, *mean, *m2),
            Accumulator::First(held) => AccumulatorRow::First(held.clone()),
            Accumulator::Last(held) => AccumulatorRow::Last(held.clone()),
            Accumulator::Distinct(values) => {
                let from = if whole { 0 } else { values.captured() };
                AccumulatorRow::Distinct(from as u64, values.values()[from..].to_vec())
            }
            Accumulator::Median(values) => {
                let from = if whole { 0 } else { values.captured() };
                AccumulatorRow::Median(from as u64, values.values()[from..].to_vec())
            }
        }
    }

    /// Applies the row on top of what was there, or on nothing.
    pub(crate) fn apply_to(self, held: Option<&mut Accumulator>) -> Result<Option<Accumulator>, Malformed> {
        let gap = || Malformed::new("values of an accumulator do not follow those before");
        let accumulator = match (self, held) {
            (AccumulatorRow::Distinct(from, values), held) if from > 0 => {
                let Some(Accumulator::Distinct(held)) = held else { return Err(gap()) };
                if held.len() as u64 != from {
                    return Err(gap());
                }
                values.iter().for_each(|value| held.add(value));
                return Ok(None);
            }
            (AccumulatorRow::Median(from, values), held) if from > 0 => {
                let Some(Accumulator::Median(held)) = held else { return Err(gap()) };
                if held.values().len() as u64 != from {
                    return Err(gap());
                }
                values.iter().for_each(|value| held.add(*value));
                return Ok(None);
            }
            (AccumulatorRow::Count(count), _) => Accumulator::Count(count),
            (AccumulatorRow::Sum(ints, int_sum, floats, float_sum), _) => {
                Accumulator::Sum { ints, int_sum, floats, float_sum }
            }
            (AccumulatorRow::Min(held), _) => Accumulator::Min(held),
            (AccumulatorRow::Max(held), _) => Accumulator::Max(held),
            (AccumulatorRow::Avg(count, int_sum, float_sum), _) => Accumulator::Avg { count, int_sum, float_sum },
            (AccumulatorRow::Stddev(count, mean, m2), _) => Accumulator::Stddev { count, mean, m2 },
            (AccumulatorRow::First(held), _) => Accumulator::First(held),
            (AccumulatorRow::Last(held), _) => Accumulator::Last(held),
            (AccumulatorRow::Distinct(_, values), _) => {
                let mut distinct = Box::<DistinctValues>::default();
                values.iter().for_each(|value| distinct.add(value));
                Accumulator::Distinct(distinct)
            }
            (AccumulatorRow::Median(_, values), _) => {
                let mut median = MedianValues::default();
                values.iter().for_each(|value| median.add(*value));
                Accumulator::Median(median)
            }
        };
        Ok(Some(accumulator))
    }
}

/// Rows of a list of accumulators.
pub(crate) fn to_rows(accumulators: &[Accumulator], whole: bool) -> Vec<AccumulatorRow> {
    accumulators.iter().map(|accumulator| AccumulatorRow::from_accumulator(accumulator, whole)).collect()
}

/// Applies rows to a list of accumulators, in place; an empty list becomes the rows.
pub(crate) fn apply_rows(rows: Vec<AccumulatorRow>, accumulators: &mut Vec<Accumulator>) -> Result<(), Malformed> {
    if accumulators.is_empty() {
        accumulators.reserve_exact(rows.len());
        for row in rows {
            accumulators.push(row.apply_to(None)?.ok_or_else(|| Malformed::new("accumulator without a start"))?);
        }
    } else if accumulators.len() == rows.len() {
        for (row, held) in rows.into_iter().zip(accumulators.iter_mut()) {
            if let Some(replaced) = row.apply_to(Some(held))? {
                *held = replaced;
            }
        }
    } else {
        return Err(Malformed::new("number of accumulators differs"));
    }
    accumulators.iter_mut().for_each(Accumulator::settle);
    Ok(())
}
