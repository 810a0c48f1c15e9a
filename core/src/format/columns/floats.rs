//! Columns of doubles: as scaled integers where that is exact, else XORed and shuffled.
//!
//! Most decimals are integers over a power of ten (A. Afroozeh et al., *ALP*, SIGMOD 2024). What is
//! left differs from its neighbour in few bytes: XOR (T. Pelkonen et al., *Gorilla*, VLDB 2015),
//! then first bytes with first bytes and so on, for LZ4 to find.

use alloc::vec::Vec;

use super::super::{Cursor, Malformed};
use super::ints::IntPlan;

/// Powers of ten that a double holds exactly and that are tried.
const POWERS: [f64; 11] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/// Integers up to here are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The exponent that stands for "not scaled".
const SHUFFLED: u8 = 0xff;

/// How the doubles of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatPlan {
    /// As integers, the number over a power of ten.
    Scaled(u8, IntPlan),
    /// Each XOR the one before, the eight bytes apart.
    Shuffled,
}

impl FloatPlan {
    /// The plan for a column and its cost in bits.
    pub(super) fn choose(bits: &[u64]) -> (FloatPlan, u64) {
        let mut exponent = 0;
        for number in bits {
            // Once raised it stays: what is exact with few digits mostly is with more.
            while scaled(*number, exponent).is_none() {
                exponent += 1;
                if usize::from(exponent) == POWERS.len() {
                    return (FloatPlan::Shuffled, 64 * bits.len() as u64);
                }
            }
        }
        let ints: Option<Vec<i64>> = bits.iter().map(|number| scaled(*number, exponent)).collect();
        match ints {
            Some(ints) => {
                let (plan, cost) = IntPlan::choose(&ints);
                (FloatPlan::Scaled(exponent, plan), cost)
            }
            None => (FloatPlan::Shuffled, 64 * bits.len() as u64),
        }
    }

    pub(super) fn append(&self, out: &mut Vec<u8>) {
        match self {
            FloatPlan::Scaled(exponent, plan) => {
                out.push(*exponent);
                plan.append(out);
            }
            FloatPlan::Shuffled => out.push(SHUFFLED),
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        match cursor.byte()? {
            SHUFFLED => Ok(FloatPlan::Shuffled),
            exponent if usize::from(exponent) < POWERS.len() => Ok(FloatPlan::Scaled(exponent, IntPlan::read(cursor)?)),
            _ => Err(Malformed::new("unknown form of a column of numbers")),
        }
    }

    /// Appends the doubles of one section.
    pub(super) fn append_numbers(&self, out: &mut Vec<u8>, bits: &[u64]) {
        match self {
            FloatPlan::Scaled(exponent, plan) => {
                // All of them were tried when the plan was made.
                let ints: Vec<i64> = bits.iter().map(|number| scaled(*number, *exponent).unwrap_or_default()).collect();
                plan.append_numbers(out, &ints);
            }
            FloatPlan::Shuffled => {
                let start = out.len();
                out.resize(start + 8 * bits.len(), 0);
                let mut before = 0;
                for (at, number) in bits.iter().enumerate() {
                    for (plane, byte) in (number ^ before).to_le_bytes().into_iter().enumerate() {
                        out[start + plane * bits.len() + at] = byte;
                    }
                    before = *number;
                }
            }
        }
    }

    /// Reads `count` doubles of one section.
    pub(super) fn read_numbers(&self, cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<f64>, Malformed> {
        match self {
            FloatPlan::Scaled(exponent, plan) => {
                let power = POWERS[usize::from(*exponent)];
                let ints = plan.read_numbers(cursor, count)?;
                Ok(ints.into_iter().map(|int| int as f64 / power).collect())
            }
            FloatPlan::Shuffled => {
                let bytes = cursor.take(8 * count as u64)?;
                let mut before = 0;
                let read = |at: usize| {
                    let planes = (0..8).rev().map(|plane| bytes[plane * count + at]);
                    before ^= planes.fold(0, |bits, byte| bits << 8 | u64::from(byte));
                    f64::from_bits(before)
                };
                Ok((0..count).map(read).collect())
            }
        }
    }
}

/// The integer that gives this double, over a power of ten, bit for bit.
fn scaled(bits: u64, exponent: u8) -> Option<i64> {
    let number = f64::from_bits(bits);
    let power = POWERS[usize::from(exponent)];
    let product = number * power;
    if !(-EXACT..=EXACT).contains(&product) {
        return None;
    }
    let int = (if product < 0.0 { product - 0.5 } else { product + 0.5 }) as i64;
    ((int as f64 / power).to_bits() == bits).then_some(int)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[f64]) -> (FloatPlan, usize) {
        let bits: Vec<u64> = numbers.iter().map(|number| number.to_bits()).collect();
        let (plan, _) = FloatPlan::choose(&bits);
        let mut out = Vec::new();
        plan.append(&mut out);
        plan.append_numbers(&mut out, &bits);
        let mut cursor = Cursor::new(&out);
        assert_eq!(FloatPlan::read(&mut cursor).unwrap(), plan);
        let read = plan.read_numbers(&mut cursor, numbers.len()).unwrap();
        assert_eq!(read.iter().map(|number| number.to_bits()).collect::<Vec<_>>(), bits);
        assert!(cursor.is_empty());
        (plan, out.len())
    }

    #[test]
    fn decimals_are_integers() {
        let prices: Vec<f64> = (0..1000).map(|n| f64::from(n * 37 % 1000) / 100.0).collect();
        let (plan, bytes) = round_trip(&prices);
        assert!(matches!(plan, FloatPlan::Scaled(2, _)) && bytes < 1300, "{plan:?} {bytes}");
        assert!(matches!(round_trip(&[3.0, -4.0, 1e15]).0, FloatPlan::Scaled(0, _)));
    }

    #[test]
    fn what_is_no_decimal_reads_back() {
        let odd = [f64::NAN, f64::INFINITY, -0.0, 5e-324, 1.0 / 3.0, 1e300, f64::MIN];
        assert_eq!(round_trip(&odd).0, FloatPlan::Shuffled);
        assert_eq!(round_trip(&[-0.0]).0, FloatPlan::Shuffled);
        round_trip(&[]);
    }

    proptest! {
        #[test]
        fn any_doubles_read_back(numbers in prop::collection::vec(prop_oneof![any::<f64>(), (-999_i32..999).prop_map(|n| f64::from(n) / 8.0)], 0..200)) {
            round_trip(&numbers);
        }
    }
}
