//! Integers that rise with those of another column: what they have beside a multiple of these.
//!
//! Numbers and times of events, keys that are given out one after the other: within a window each goes far from one
//! event to the next, and all of them go together, at about the same pace.

use alloc::vec::Vec;

use super::super::{Cursor, Malformed, append_varint};
use super::bits::bit_width;
use super::ints::IntPlan;
use super::{unzigzag, zigzag};

/// Rows on which a pair of columns is judged: stretches of neighbours, spread evenly.
const SAMPLE_ROWS: usize = 1024;
const STRETCH_ROWS: usize = 128;
/// Bits of a factor that are worth their bytes, and that a double has.
const FACTOR_BITS: i32 = 40;

/// A multiple of an integer: times a factor, over a power of two, rounded down; modulo 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slope {
    factor: i64,
    shift: u8,
}

impl Slope {
    /// As near to a ratio as can be, for integers of so many bits; `None` if that is nothing, or too much.
    fn near(ratio: f64, bits: u32) -> Option<Self> {
        let exponent = (ratio.to_bits() >> 52 & 0x7ff) as i32 - 1023;
        // The product must not wrap, or it foretells nothing.
        let shift = (FACTOR_BITS.min(61 - bits as i32) - exponent).min(62);
        if shift < 0 {
            return None;
        }
        let factor = (ratio * (1_u64 << shift) as f64) as i64;
        let spare = factor.trailing_zeros().min(shift as u32);
        (factor != 0).then_some(Slope { factor: factor >> spare, shift: shift as u8 - spare as u8 })
    }

    #[inline]
    fn of(self, number: i64) -> i64 {
        number.wrapping_mul(self.factor) >> self.shift
    }

    /// What numbers have beside the multiples of others.
    pub(super) fn rest<'a>(self, numbers: &'a [i64], others: &'a [i64]) -> impl Iterator<Item = i64> + 'a {
        numbers.iter().zip(others).map(move |(number, other)| number.wrapping_sub(self.of(*other)))
    }

    /// Adds the multiples of others: makes numbers of what they have beside these.
    pub(super) fn add(self, numbers: &mut [i64], others: &[i64]) {
        numbers.iter_mut().zip(others).for_each(|(number, other)| *number = number.wrapping_add(self.of(*other)));
    }

    pub(super) fn append(self, out: &mut Vec<u8>) {
        append_varint(out, zigzag(self.factor));
        out.push(self.shift);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let slope = Slope { factor: unzigzag(cursor.varint()?), shift: cursor.byte()? };
        if slope.shift < 64 { Ok(slope) } else { Err(Malformed::new("unknown multiple of a column")) }
    }
}

/// A column of integers that another one goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Other {
    /// Number of a table before; `None` is the column's own.
    pub(super) table: Option<u16>,
    pub(super) column: usize,
}

impl Other {
    pub(super) fn append(self, out: &mut Vec<u8>) {
        out.push(u8::from(self.table.is_some()));
        self.table.iter().for_each(|table| append_varint(out, u64::from(*table)));
        append_varint(out, self.column as u64);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let unknown = || Malformed::new("a column is along one that is not before it");
        let table = match cursor.byte()? {
            0 => None,
            1 => Some(u16::try_from(cursor.varint()?).map_err(|_| unknown())?),
            _ => return Err(unknown()),
        };
        Ok(Other { table, column: usize::try_from(cursor.varint()?).map_err(|_| unknown())? })
    }
}

/// A few rows of a column of integers.
#[derive(Debug)]
pub(super) struct Sample {
    numbers: Vec<i64>,
    rows: usize,
    /// Bits of the farthest number from 0.
    bits: u32,
}

impl Sample {
    pub(super) fn of(column: &[i64]) -> Self {
        let rows = column.len();
        let stretches = if rows <= SAMPLE_ROWS { 1 } else { SAMPLE_ROWS / STRETCH_ROWS };
        let len = if stretches == 1 { rows } else { STRETCH_ROWS };
        let from = |stretch: usize| (rows - len) * stretch / (stretches - 1).max(1);
        let numbers: Vec<i64> =
            (0..stretches).flat_map(|stretch| &column[from(stretch)..from(stretch) + len]).copied().collect();
        let bits = column.iter().fold(0, |all, number| all | number.unsigned_abs());
        Sample { numbers, rows, bits: bit_width(bits) }
    }

    /// The multiple of another column beside which there is least, and about how many bits that takes in all rows;
    /// `None` if not fewer than so many.
    pub(super) fn along(&self, other: &Sample, bits: u64) -> Option<(Slope, u64)> {
        // At one pace over all of it; or at one from row to row, with leaps between the keys.
        let distances = [self.numbers.len() / 2, 1];
        let slopes = distances.iter().filter_map(|distance| Slope::near(self.pace(other, *distance)?, other.bits));
        let with_cost = slopes.filter_map(|slope| {
            let rest: Vec<i64> = slope.rest(&self.numbers, &other.numbers).collect();
            let of_all = |cost: u64| cost * self.rows as u64 / rest.len() as u64;
            // Mostly there is nothing in it, which shows without a plan.
            let is_hopeless = of_all(least_bits(&rest)) >= bits;
            let cost = if is_hopeless { bits } else { of_all(IntPlan::choose(&rest).1) };
            (cost < bits).then_some((slope, cost))
        });
        with_cost.min_by_key(|(_, cost)| *cost)
    }

    /// How much it rises as the other rises by one, in the middle of all pairs of rows so far apart (as in P. K. Sen,
    /// *Estimates of the Regression Coefficient Based on Kendall's Tau*, 1968): leaps between keys do not count.
    fn pace(&self, other: &Sample, distance: usize) -> Option<f64> {
        let rises = |numbers: &[i64], at: usize| numbers[at + distance].wrapping_sub(numbers[at]);
        let pairs = 0..self.numbers.len().saturating_sub(distance);
        let rises = pairs.map(|at| (rises(&self.numbers, at), rises(&other.numbers, at)));
        let rises = rises.filter(|(_, of_other)| *of_other != 0);
        let mut paces: Vec<f64> = rises.map(|(rise, of_other)| rise as f64 / of_other as f64).collect();
        let middle = paces.len() / 2;
        (middle < paces.len()).then(|| *paces.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}

/// Bits of numbers over the least of them, or of their differences: hardly any plan takes fewer.
fn least_bits(numbers: &[i64]) -> u64 {
    let least = numbers.iter().copied().fold(i64::MAX, i64::min);
    let over = numbers.iter().map(|number| u64::from(bit_width(number.wrapping_sub(least) as u64)));
    let differences = numbers.windows(2).map(|pair| u64::from(bit_width(zigzag(pair[1].wrapping_sub(pair[0])))));
    over.sum::<u64>().min(differences.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(numbers: &[i64], others: &[i64]) -> (Slope, u64) {
        Sample::of(numbers).along(&Sample::of(others), u64::MAX).unwrap()
    }

    #[test]
    fn numbers_and_times_of_events_rise_together() {
        // Every key has an event now and then.
        let sequences: Vec<i64> =
            (0..5_i64).flat_map(|key| (0..1000_i64).map(move |n| n * 1000 + n * n * 7919 % 997 + key)).collect();
        let times: Vec<i64> = sequences.iter().map(|sequence| sequence * 109 / 1000 + sequence % 3).collect();
        let (slope, cost) = found(&times, &sequences);
        assert!(cost < 4 * 5000, "{slope:?} {cost}");
        // Times that begin anew with every key.
        let in_window: Vec<i64> = times.iter().zip(0..).map(|(time, row)| time - row / 1000 * 86_400).collect();
        let (slope, cost) = found(&in_window, &sequences);
        assert!(cost < 5 * 5000, "{slope:?} {cost}");
    }

    #[test]
    fn what_is_equal_or_a_multiple_leaves_nothing() {
        let numbers: Vec<i64> = (0..300).map(|n| n * 7919 % 1021).collect();
        assert_eq!(found(&numbers, &numbers).0, Slope { factor: 1, shift: 0 });
        let half: Vec<i64> = numbers.iter().map(|number| number / 2).collect();
        let (slope, cost) = found(&numbers, &half);
        assert!(slope == Slope { factor: 2, shift: 0 } && cost < 2 * 300, "{slope:?} {cost}");
        assert_eq!(Sample::of(&numbers).along(&Sample::of(&[5; 300]), u64::MAX), None);
        assert_eq!(Sample::of(&[5; 300]).along(&Sample::of(&numbers), u64::MAX), None);
        assert_eq!(Sample::of(&[]).along(&Sample::of(&[]), u64::MAX), None);
    }

    #[test]
    fn ratios_of_any_size_are_told_or_given_up() {
        for exponent in 0..2048 {
            for bits in [0, 1, 20, 41, 63, 64] {
                let Some(slope) = Slope::near(-f64::from_bits(exponent << 52 | 99), bits) else { continue };
                assert!(slope.factor < 0 && slope.shift < 64, "{slope:?}");
            }
        }
        let slope = Slope::near(0.1087, 20).unwrap();
        assert_eq!((slope.of(1_000_000), slope.of(-1_000_000)), (108_699, -108_700));
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(
            pairs in prop::collection::vec((any::<i64>(), any::<i64>()), 0..50),
            factor in any::<i64>(),
            shift in 0_u8..64,
        ) {
            let (numbers, others): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
            let slope = Slope { factor, shift };
            let mut bytes = Vec::new();
            slope.append(&mut bytes);
            prop_assert_eq!(Slope::read(&mut Cursor::new(&bytes)), Ok(slope));
            let mut read: Vec<i64> = slope.rest(&numbers, &others).collect();
            slope.add(&mut read, &others);
            prop_assert_eq!(read, numbers.clone());
            let _ = Sample::of(&numbers).along(&Sample::of(&others), u64::MAX);
        }
    }
}
