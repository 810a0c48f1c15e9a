//! Doubles as integers over the integers of another column: a mean over its count is a sum, and the
//! sum of squared distances from it is one as well.
//!
//! What the arithmetic that made them rounded differently is a small number of units in the last place.

use alloc::vec::Vec;

use super::with_room;
use crate::format::Malformed;

/// Integers up to here are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Rows that are tried before all are.
const SAMPLE_ROWS: usize = 64;
/// Most units in the last place that a row of the sample may be off.
const ERROR_MAX: u64 = 1 << 24;

/// Numerators, and what must be added to the bits of the quotients.
#[derive(Debug, Default)]
pub(super) struct Quotients {
    pub(super) numerators: Vec<i64>,
    pub(super) errors: Vec<i64>,
}

impl Quotients {
    /// The quotients that give these doubles (as bits) over these integers; `None` if that is hopeless.
    pub(super) fn of(floats: &[i64], divisors: &[i64]) -> Option<Self> {
        let rows = floats.len().min(divisors.len());
        let step = (rows / SAMPLE_ROWS).max(1);
        let is_near = |at: &usize| {
            let (_, error) = split(floats[*at], divisors[*at]);
            error.unsigned_abs() <= ERROR_MAX
        };
        let sampled = (0..rows).step_by(step).count();
        if (0..rows).step_by(step).filter(is_near).count() * 8 < sampled * 7 {
            return None;
        }
        let (numerators, errors) = floats.iter().zip(divisors).map(|(float, divisor)| split(*float, *divisor)).unzip();
        Some(Quotients { numerators, errors })
    }

    /// The doubles; room for them is asked for, since a few bytes may say that there are many.
    pub(super) fn to_floats(&self, divisors: &[i64]) -> Result<Vec<f64>, Malformed> {
        let mut floats = with_room(self.numerators.len().min(divisors.len()))?;
        let quotients = self.numerators.iter().zip(divisors);
        let quotients = quotients.map(|(numerator, divisor)| quotient(*numerator, *divisor));
        let exact = quotients.zip(&self.errors).map(|(bits, error)| bits.wrapping_add(*error));
        floats.extend(exact.map(|bits| f64::from_bits(bits as u64)));
        Ok(floats)
    }
}

/// Nearest numerator, and the error of its quotient.
fn split(float: i64, divisor: i64) -> (i64, i64) {
    let product = f64::from_bits(float as u64) * divide_by(divisor);
    let numerator = if !(-EXACT..=EXACT).contains(&product) {
        0
    } else if product < 0.0 {
        (product - 0.5) as i64
    } else {
        (product + 0.5) as i64
    };
    (numerator, float.wrapping_sub(quotient(numerator, divisor)))
}

/// Bits of a quotient.
fn quotient(numerator: i64, divisor: i64) -> i64 {
    (numerator as f64 / divide_by(divisor)).to_bits() as i64
}

fn divide_by(divisor: i64) -> f64 {
    if divisor == 0 { 1.0 } else { divisor as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn means_are_sums_over_counts() {
        let (mut floats, mut divisors) = (Vec::new(), Vec::new());
        for count in 1..200_i64 {
            let (mut mean, mut m2) = (0.0, 0.0);
            for n in 1..=count {
                let x = (n * 7919 % 211 - 20) as f64;
                let distance = x - mean;
                mean += distance / n as f64;
                m2 += distance * (x - mean);
            }
            for float in [mean, m2] {
                floats.push(f64::to_bits(float) as i64);
                divisors.push(count);
            }
        }
        let quotients = Quotients::of(&floats, &divisors).unwrap();
        assert!(quotients.errors.iter().all(|error| error.abs() < 1000));
        let bits: Vec<i64> =
            quotients.to_floats(&divisors).unwrap().iter().map(|float| float.to_bits() as i64).collect();
        assert_eq!(bits, floats);
    }

    proptest! {
        #[test]
        fn any_doubles_come_back(pairs in prop::collection::vec((any::<f64>(), any::<i64>()), 0..100)) {
            let floats: Vec<i64> = pairs.iter().map(|(float, _)| float.to_bits() as i64).collect();
            let divisors: Vec<i64> = pairs.iter().map(|(_, divisor)| *divisor).collect();
            let split = floats.iter().zip(&divisors).map(|(float, divisor)| split(*float, *divisor));
            let (numerators, errors) = split.unzip();
            let bits: Vec<i64> =
                Quotients { numerators, errors }.to_floats(&divisors).unwrap().iter().map(|float| float.to_bits() as i64).collect();
            prop_assert_eq!(bits, floats);
        }
    }
}
