//! Accumulators in payloads of windows and aggregations: how many, then each: its variant, its fields.
//!
//! The growing ones (`distinct`, `median`) say from which position their values follow; a whole one
//! says 0.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

#[cfg(feature = "alloc")]
use super::Cursor;
use super::payload::{At, Sink, Source, cell_of};
use super::{Malformed, tables};
use crate::state::Accumulator;
#[cfg(feature = "alloc")]
use crate::state::DistinctValues;
use crate::value::Value;

/// Most accumulators of one list that columns tell apart.
const PLACES_MAX: u64 = 4096;

/// Most values that an accumulator counts, and what they add up to at most. A program may put in more, which no events
/// could: that is written as the most, since nobody reads beyond.
const COUNT_MAX: u64 = i64::MAX as u64;
const WIDE_SUM_MAX: u128 = (COUNT_MAX as u128) << 63;

/// Numbers of the variants; part of the format.
const COUNT: u64 = 0;
const SUM: u64 = 1;
const MIN: u64 = 2;
const MAX: u64 = 3;
const AVG: u64 = 4;
const STDDEV: u64 = 5;
const FIRST: u64 = 6;
const LAST: u64 = 7;
pub(crate) const DISTINCT: u64 = 8;
pub(crate) const MEDIAN: u64 = 9;

/// An accumulator, growable or of fixed capacity.
pub(crate) trait AccumulatorRow: Sized {
    /// [`Malformed`], or that it has no room.
    type Error: From<Malformed>;

    /// Writes it whole, or what is new of it; if it does not grow there is no difference.
    fn write(&self, place: Place, sink: &mut impl Sink, whole: bool);

    /// Reads what replaces an accumulator, or adds to the one that is there.
    fn read<S: Source>(place: Place, source: &mut S, held: Option<&mut Self>) -> Result<Option<Self>, Self::Error>;
}

/// The values of a growing accumulator, growable or of fixed capacity.
pub(crate) trait GrowingRow: Default {
    type Item: GrowingItem;
    /// [`Malformed`], or that there is no room.
    type Error: From<Malformed>;

    fn items(&self) -> &[Self::Item];

    /// How many of them the last capture had.
    fn captured(&self) -> usize;

    fn add_item(&mut self, item: Self::Item) -> Result<(), Self::Error>;
}

/// One of them: what it is says of which function.
pub(crate) trait GrowingItem: Sized {
    const VARIANT: u64;

    fn write(&self, sink: &mut impl Sink, at: At);

    fn read<S: Source>(source: &mut S, at: At) -> Result<Self, Malformed>;
}

impl GrowingItem for Value {
    const VARIANT: u64 = DISTINCT;

    fn write(&self, sink: &mut impl Sink, at: At) {
        sink.cell(at, cell_of(self));
    }

    fn read<S: Source>(source: &mut S, at: At) -> Result<Self, Malformed> {
        source.value(at)
    }
}

impl GrowingItem for f64 {
    const VARIANT: u64 = MEDIAN;

    fn write(&self, sink: &mut impl Sink, at: At) {
        sink.float(at, *self);
    }

    fn read<S: Source>(source: &mut S, at: At) -> Result<Self, Malformed> {
        source.float(at)
    }
}

#[cfg(feature = "alloc")]
impl AccumulatorRow for Accumulator {
    type Error = Malformed;

    fn write(&self, place: Place, sink: &mut impl Sink, whole: bool) {
        match self {
            Accumulator::Distinct(values) => place.write_growing(sink, &**values, whole),
            Accumulator::Median(values) => place.write_growing(sink, values, whole),
            plain => place.write(sink, plain),
        }
    }

    fn read<S: Source>(place: Place, source: &mut S, held: Option<&mut Self>) -> Result<Option<Self>, Malformed> {
        Ok(match source.uint(place.variant())? {
            DISTINCT => {
                let held = if let Some(Accumulator::Distinct(held)) = held { Some(&mut **held) } else { None };
                let whole = place.read_growing::<S, DistinctValues>(source, held)?;
                whole.map(|values| Accumulator::Distinct(Box::new(values)))
            }
            MEDIAN => {
                let held = if let Some(Accumulator::Median(held)) = held { Some(held) } else { None };
                place.read_growing(source, held)?.map(Accumulator::Median)
            }
            variant => Some(place.read(source, variant)?),
        })
    }
}

/// Where lists of accumulators are: the column of their lengths. Each place in the list has a table
/// of its own, and one for the values that it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccumulatorTables(pub(crate) At);

/// The columns of one place in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u16);

impl AccumulatorTables {
    /// Beyond [`PLACES_MAX`] it says nothing, which rows do not mind.
    fn place(place: u64) -> Place {
        Place(tables::ACCUMULATORS.wrapping_add((place as u16).wrapping_mul(2)))
    }

    /// Writes a list, whole or what is new of it; without growing ones there is no difference.
    pub(crate) fn write(self, sink: &mut impl Sink, accumulators: &[impl AccumulatorRow], whole: bool) {
        sink.uint(self.0, accumulators.len() as u64);
        for (accumulator, place) in accumulators.iter().zip(0..) {
            accumulator.write(Self::place(place), sink, whole);
        }
    }

    /// How many accumulators come next.
    pub(crate) fn read_count<S: Source>(self, source: &mut S) -> Result<u64, Malformed> {
        source.uint(self.0)
    }

    /// Copies a list from one form to the other.
    pub(crate) fn copy<S: Source, K: Sink>(self, source: &mut S, sink: &mut K) -> Result<(), Malformed> {
        let count = source.uint(self.0)?;
        sink.uint(self.0, count);
        if !sink.has_places(count, PLACES_MAX) {
            return Err(Malformed::new("more accumulators than columns can be told apart"));
        }
        for place in 0..count {
            Self::place(place).copy(source, sink)?;
        }
        Ok(())
    }
}

impl Place {
    pub(crate) fn variant(self) -> At {
        At { table: self.0, column: 0 }
    }

    fn field(self, number: u16) -> At {
        At { table: self.0, column: number }
    }

    /// What is above 64 bits of a sum.
    fn high(self) -> At {
        At { table: self.0, column: 5 }
    }

    fn values(self) -> At {
        At { table: self.0 + 1, column: 0 }
    }

    /// Writes what does not grow.
    pub(crate) fn write(self, sink: &mut impl Sink, accumulator: &Accumulator) {
        let field = |number| self.field(number);
        match accumulator {
            Accumulator::Count(count) => {
                sink.uint(self.variant(), COUNT);
                sink.uint(field(1), (*count).min(COUNT_MAX));
            }
            Accumulator::Sum { ints, int_sum, floats, float_sum } => {
                sink.uint(self.variant(), SUM);
                sink.uint(field(1), (*ints).min(COUNT_MAX));
                sink.int(field(2), *int_sum, 0);
                sink.uint(field(3), (*floats).min(COUNT_MAX));
                sink.float(field(4), *float_sum);
            }
            Accumulator::Min(held) => self.write_option(sink, MIN, held.as_ref()),
            Accumulator::Max(held) => self.write_option(sink, MAX, held.as_ref()),
            Accumulator::Avg { count, int_sum, float_sum } => {
                sink.uint(self.variant(), AVG);
                sink.uint(field(1), (*count).min(COUNT_MAX));
                let most = WIDE_SUM_MAX as i128;
                sink.int128(field(2), self.high(), (*int_sum).clamp(-most, most));
                sink.float(field(3), *float_sum);
            }
            Accumulator::Stddev { count, mean, m2 } => {
                sink.uint(self.variant(), STDDEV);
                sink.uint(field(1), (*count).min(COUNT_MAX));
                sink.float(field(2), *mean);
                sink.float(field(3), *m2);
            }
            Accumulator::First(held) => self.write_timed(sink, FIRST, held.as_ref()),
            Accumulator::Last(held) => self.write_timed(sink, LAST, held.as_ref()),
            #[cfg(feature = "alloc")]
            Accumulator::Distinct(_) | Accumulator::Median(_) => debug_assert!(false, "these grow"),
        }
    }

    fn write_option(self, sink: &mut impl Sink, variant: u64, held: Option<&Value>) {
        sink.uint(self.variant(), variant);
        sink.uint(self.field(1), u64::from(held.is_some()));
        if let Some(value) = held {
            sink.cell(self.field(2), cell_of(value));
        }
    }

    fn write_timed(self, sink: &mut impl Sink, variant: u64, held: Option<&(i64, Value)>) {
        sink.uint(self.variant(), variant);
        sink.uint(self.field(1), u64::from(held.is_some()));
        if let Some((time, value)) = held {
            sink.int(self.field(2), *time, 0);
            sink.cell(self.field(3), cell_of(value));
        }
    }

    /// Writes what grows: from which value on, how many, and these.
    pub(crate) fn write_growing<G: GrowingRow>(self, sink: &mut impl Sink, values: &G, whole: bool) {
        let from = if whole { 0 } else { values.captured() };
        let new = &values.items()[from..];
        self.write_growing_head(sink, G::Item::VARIANT, from as u64, new.len() as u64);
        new.iter().for_each(|item| item.write(sink, self.values()));
    }

    pub(crate) fn write_growing_head(self, sink: &mut impl Sink, variant: u64, from: u64, new: u64) {
        sink.uint(self.variant(), variant);
        sink.uint(self.field(1), from);
        sink.uint(self.field(2), new);
    }

    /// Reads what does not grow.
    pub(crate) fn read<S: Source>(self, source: &mut S, variant: u64) -> Result<Accumulator, Malformed> {
        Ok(match variant {
            COUNT => Accumulator::Count(count(source, self.field(1))?),
            SUM => Accumulator::Sum {
                ints: count(source, self.field(1))?,
                int_sum: source.int(self.field(2), 0)?,
                floats: count(source, self.field(3))?,
                float_sum: source.float(self.field(4))?,
            },
            MIN => Accumulator::Min(self.read_option(source)?),
            MAX => Accumulator::Max(self.read_option(source)?),
            AVG => Accumulator::Avg {
                count: count(source, self.field(1))?,
                int_sum: wide_sum(source.int128(self.field(2), self.high())?)?,
                float_sum: source.float(self.field(3))?,
            },
            STDDEV => Accumulator::Stddev {
                count: count(source, self.field(1))?,
                mean: source.float(self.field(2))?,
                m2: source.float(self.field(3))?,
            },
            FIRST => Accumulator::First(self.read_timed(source)?),
            LAST => Accumulator::Last(self.read_timed(source)?),
            DISTINCT | MEDIAN => return Err(Malformed::new("distinct or median, for whose values there is no room")),
            _ => return Err(Malformed::new("unknown function of an accumulator")),
        })
    }

    fn read_option<S: Source>(self, source: &mut S) -> Result<Option<Value>, Malformed> {
        if is_some(source.uint(self.field(1))?)? { source.value(self.field(2)).map(Some) } else { Ok(None) }
    }

    fn read_timed<S: Source>(self, source: &mut S) -> Result<Option<(i64, Value)>, Malformed> {
        if !is_some(source.uint(self.field(1))?)? {
            return Ok(None);
        }
        Ok(Some((source.int(self.field(2), 0)?, source.value(self.field(3))?)))
    }

    /// Reads what replaces growing values, or goes on behind those that are there.
    pub(crate) fn read_growing<S: Source, G: GrowingRow>(
        self,
        source: &mut S,
        held: Option<&mut G>,
    ) -> Result<Option<G>, G::Error> {
        let (from, new) = (source.uint(self.field(1))?, source.uint(self.field(2))?);
        let mut whole = G::default();
        let values = match held {
            _ if from == 0 => &mut whole,
            Some(held) if held.items().len() as u64 == from => held,
            _ => return Err(gap().into()),
        };
        for _ in 0..new {
            values.add_item(G::Item::read(source, self.values())?)?;
        }
        Ok((from == 0).then_some(whole))
    }

    fn copy<S: Source, K: Sink>(self, source: &mut S, sink: &mut K) -> Result<(), Malformed> {
        let field = |number| self.field(number);
        let variant = source.uint(self.variant())?;
        sink.uint(self.variant(), variant);
        // Every one of them begins with a number.
        let first = source.uint(field(1))?;
        sink.uint(field(1), first);
        match variant {
            COUNT => _ = counted(first)?,
            SUM => {
                counted(first)?;
                sink.int(field(2), source.int(field(2), 0)?, 0);
                sink.uint(field(3), count(source, field(3))?);
                sink.float(field(4), source.float(field(4))?);
            }
            MIN | MAX => {
                if is_some(first)? {
                    sink.copy_cells(field(2), 1, source)?;
                }
            }
            AVG => {
                counted(first)?;
                sink.int128(field(2), self.high(), wide_sum(source.int128(field(2), self.high())?)?);
                sink.float(field(3), source.float(field(3))?);
            }
            STDDEV => {
                counted(first)?;
                sink.float(field(2), source.float(field(2))?);
                sink.float(field(3), source.float(field(3))?);
            }
            FIRST | LAST => {
                if is_some(first)? {
                    sink.int(field(2), source.int(field(2), 0)?, 0);
                    sink.copy_cells(field(3), 1, source)?;
                }
            }
            DISTINCT | MEDIAN => {
                let new = source.uint(field(2))?;
                sink.uint(field(2), new);
                for _ in 0..new {
                    match variant {
                        DISTINCT => sink.copy_cells(self.values(), 1, source)?,
                        _ => sink.float(self.values(), source.float(self.values())?),
                    }
                }
            }
            _ => return Err(Malformed::new("unknown function of an accumulator")),
        }
        Ok(())
    }
}

fn count<S: Source>(source: &mut S, at: At) -> Result<u64, Malformed> {
    counted(source.uint(at)?)
}

/// A number of values: none goes so far that it could not be counted on.
fn counted(count: u64) -> Result<u64, Malformed> {
    if count > COUNT_MAX { Err(Malformed::new("more values than can be counted")) } else { Ok(count) }
}

/// A sum of as many integers.
fn wide_sum(sum: i128) -> Result<i128, Malformed> {
    if sum.unsigned_abs() > WIDE_SUM_MAX { Err(Malformed::new("a sum is out of range")) } else { Ok(sum) }
}

fn is_some(option: u64) -> Result<bool, Malformed> {
    match option {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::new("an option is neither there nor not")),
    }
}

fn gap() -> Malformed {
    Malformed::new("values of an accumulator do not follow those before")
}

#[cfg(feature = "alloc")]
/// Applies a list to the accumulators that are there, in place; an empty list becomes what is read.
pub(crate) fn apply<S: Source>(
    at: &AccumulatorTables,
    source: &mut S,
    accumulators: &mut Vec<Accumulator>,
) -> Result<(), Malformed> {
    let count = source.uint(at.0)?;
    if accumulators.is_empty() {
        accumulators.reserve_exact(source.room_for(Place(tables::ACCUMULATORS).variant(), count));
        for place in 0..count {
            let read = Accumulator::read(AccumulatorTables::place(place), source, None)?;
            accumulators.push(read.ok_or_else(gap)?);
        }
        return Ok(());
    }
    apply_each(source, count, accumulators)
}

/// Applies a list whose length has been read to as many accumulators that are there.
pub(crate) fn apply_each<S: Source, A: AccumulatorRow>(
    source: &mut S,
    count: u64,
    accumulators: &mut [A],
) -> Result<(), A::Error> {
    if accumulators.len() as u64 != count {
        return Err(Malformed::new("number of accumulators differs").into());
    }
    for (held, place) in accumulators.iter_mut().zip(0..) {
        if let Some(replaced) = A::read(AccumulatorTables::place(place), source, Some(held))? {
            *held = replaced;
        }
    }
    Ok(())
}

/// Reads a list into as many accumulators as are there, whatever they were.
pub(crate) fn read_into<S: Source, A: AccumulatorRow>(
    at: &AccumulatorTables,
    source: &mut S,
    accumulators: &mut [A],
) -> Result<(), A::Error> {
    let count = source.uint(at.0)?;
    apply_each(source, count, accumulators)
}

/// Reads a whole list and adds up what is asked of each.
pub(crate) fn read_each<S: Source, A: AccumulatorRow>(
    at: &AccumulatorTables,
    source: &mut S,
    ask: impl Fn(&A) -> u64,
) -> Result<u64, A::Error> {
    let mut sum = 0;
    for place in 0..source.uint(at.0)? {
        let read = A::read(AccumulatorTables::place(place), source, None)?;
        sum += ask(&read.ok_or_else(gap)?);
    }
    Ok(sum)
}

/// Where the accumulators of a running group are.
pub(crate) const GROUP: AccumulatorTables = AccumulatorTables(At { table: tables::PAYLOAD, column: 0 });

#[cfg(feature = "alloc")]
/// Applies the payload of a row to the accumulators of a running group.
pub(crate) fn apply_row(bytes: &[u8], accumulators: &mut Vec<Accumulator>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    apply(&GROUP, &mut cursor, accumulators)?;
    cursor.finish()
}
