//! Columns of integers: what they have in common taken out, then differences, then packed bits.
//!
//! A plan holds for a whole column of an object: a transform, a base and a scale. Each number n is
//! first (n - base) / scale; the transform makes differences of these; they are packed in blocks,
//! each with its own least number and its own width, so that a few outliers (M. Zukowski et al.,
//! *Super-Scalar RAM-CPU Cache Compression*, ICDE 2006: frame of reference with patches) do not
//! widen all others. Where sizes differ by orders of magnitude each number has its own width (as in
//! P. Elias, *Universal Codeword Sets and Representations of the Integers*, 1975).
//!
//! Arithmetic wraps: any numbers of 64 bits read back.

use alloc::vec::Vec;

use super::super::{Cursor, Malformed, append_varint};
use super::bits::bit_width;
use super::blocks::{append_blocks, blocks_cost, range, read_blocks};
use super::widths::{OwnWidths, unsigned};
use super::{unzigzag, with_room, zigzag};

/// What is packed of the scaled numbers; the order of the variants is the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    /// The numbers.
    Plain,
    /// The first, then the differences.
    Delta,
    /// The first, the first difference, then the differences of differences.
    DeltaDelta,
    /// Each number that differs from the one before, and how often it stands there.
    Runs,
}

/// How the integers of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntPlan {
    transform: Transform,
    /// Numbers of a block, as a power of two.
    block_bits: u8,
    /// Whether each number has a width of its own.
    own_widths: bool,
    base: i64,
    scale: u64,
}

/// Numbers of a short block: where neighbours are more alike than the column.
const SHORT_BLOCK_BITS: u8 = 7;
/// Numbers of a long block: where all are alike.
const LONG_BLOCK_BITS: u8 = 10;
/// Longest block that a reader takes.
const BLOCK_BITS_MAX: u8 = 16;
const SAMPLE_WINDOWS: usize = 4;
const SAMPLE_NUMBERS: usize = 1 << LONG_BLOCK_BITS;

impl IntPlan {
    /// The plan that changes nothing, for numbers that nobody has looked at.
    pub(super) const PLAIN: IntPlan =
        IntPlan { transform: Transform::Plain, block_bits: SHORT_BLOCK_BITS, own_widths: false, base: 0, scale: 1 };

    /// The cheapest plan for a column, judged by a sample of it, and its cost for the whole column in bits.
    pub(super) fn choose<N: Copy + Into<i64>>(numbers: &[N]) -> (IntPlan, u64) {
        Self::choose_within(numbers, range(numbers))
    }

    /// As [`IntPlan::choose`], if the least and the greatest number are known.
    pub(super) fn choose_within<N: Copy + Into<i64>>(numbers: &[N], (least, greatest): (i64, i64)) -> (IntPlan, u64) {
        let (base, scale) = common(numbers, least, greatest);
        let spread = scale_down(greatest, base, scale).wrapping_sub(scale_down(least, base, scale));
        Self::choose_scaled(numbers, (base, scale), spread as u64)
    }

    /// As [`IntPlan::choose`], for codes of so many entries, all of which occur.
    pub(super) fn choose_codes(codes: &[u32], entries: usize) -> (IntPlan, u64) {
        Self::choose_scaled(codes, (0, 1), entries.saturating_sub(1) as u64)
    }

    /// `spread`: between the least and the greatest of the scaled numbers.
    fn choose_scaled<N: Copy + Into<i64>>(numbers: &[N], (base, scale): (i64, u64), spread: u64) -> (IntPlan, u64) {
        if numbers.is_empty() {
            return (IntPlan::PLAIN, 0);
        }
        let windows = numbers.len().div_ceil(SAMPLE_NUMBERS).min(SAMPLE_WINDOWS);
        let plan = IntPlan { base, scale, ..IntPlan::PLAIN };
        if spread == 0 {
            return plan.for_nothing(numbers.len(), windows);
        }
        // All of the same length; spread evenly, the last one ends with the column.
        let len = SAMPLE_NUMBERS.min(numbers.len());
        let mut sample = Vec::with_capacity(windows * len);
        for window in 0..windows {
            let from = if windows == 1 { 0 } else { (numbers.len() - len) * window / (windows - 1) };
            let numbers = &numbers[from..from + len];
            sample.extend(numbers.iter().map(|number| scale_down((*number).into(), base, scale)));
        }
        let (plan, cost) = plan.for_sample(&mut sample, spread);
        (plan, cost * numbers.len() as u64 / sample.len() as u64)
    }

    /// As [`IntPlan::for_sample`], of zeros in so many windows of a column.
    fn for_nothing(self, numbers: usize, windows: usize) -> (IntPlan, u64) {
        let sampled = numbers.min(windows * SAMPLE_NUMBERS);
        let cost = 16 * windows as u64 * numbers as u64 / sampled as u64;
        (IntPlan { block_bits: LONG_BLOCK_BITS, ..self }, cost)
    }

    /// The cheapest of the plans with this base and scale for scaled numbers in windows of [`SAMPLE_NUMBERS`], and its
    /// cost for these.
    fn for_sample(self, sample: &mut [i64], spread: u64) -> (IntPlan, u64) {
        let windows = sample.len().div_ceil(SAMPLE_NUMBERS) as u64;
        let mut differences = Vec::with_capacity(SAMPLE_NUMBERS);
        // What each transform has in bits without outliers, and how often numbers change.
        let (mut widths, mut runs) = ([0_u64; 3], 0_u64);
        for window in sample.chunks(SAMPLE_NUMBERS) {
            runs += 1 + window.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64;
            differences.clear();
            differences.extend_from_slice(window);
            let mut differences = differences.as_mut_slice();
            for (order, bits) in widths.iter_mut().enumerate() {
                if order > 0 {
                    differences = to_differences(differences);
                }
                *bits += blocks_width(differences) + 32 * order as u64;
            }
        }
        let order = if widths[1] < widths[0].min(widths[2]) {
            1
        } else if widths[2] < widths[0] {
            2
        } else {
            0
        };
        // Of the best one: in short and in long blocks, with patches.
        let mut costs = [0_u64; 2];
        let mut own_cost = 0;
        for mut window in sample.chunks_mut(SAMPLE_NUMBERS) {
            for _ in 0..order {
                window = to_differences(window);
            }
            costs[0] += blocks_cost(window, SHORT_BLOCK_BITS) + 32 * order as u64;
            costs[1] += blocks_cost(window, LONG_BLOCK_BITS) + 32 * order as u64;
            own_cost += OwnWidths::of(window.iter().map(|number| unsigned(*number, order))).bits;
        }
        let transform = [Transform::Plain, Transform::Delta, Transform::DeltaDelta][order];
        let (block_bits, mut cost) =
            if costs[0] < costs[1] { (SHORT_BLOCK_BITS, costs[0]) } else { (LONG_BLOCK_BITS, costs[1]) };
        let mut plan = IntPlan { transform, block_bits, own_widths: false, ..self };
        // They are slower to read: it has to be worth it.
        if own_cost + own_cost / 16 < cost {
            (plan, cost) = (IntPlan { block_bits: LONG_BLOCK_BITS, own_widths: true, ..plan }, own_cost);
        }
        let runs_cost = runs * (u64::from(bit_width(spread)) + 8) + 16 * windows;
        if runs_cost < cost {
            let transform = Transform::Runs;
            plan = IntPlan { transform, block_bits: SHORT_BLOCK_BITS, own_widths: false, ..self };
            cost = runs_cost;
        }
        (plan, cost)
    }

    pub(super) fn append(&self, out: &mut Vec<u8>) {
        out.push(self.transform as u8 | self.block_bits << 2 | u8::from(self.own_widths) << 7);
        append_varint(out, zigzag(self.base));
        append_varint(out, self.scale);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let byte = cursor.byte()?;
        let transform = match byte & 3 {
            0 => Transform::Plain,
            1 => Transform::Delta,
            2 => Transform::DeltaDelta,
            _ => Transform::Runs,
        };
        let (block_bits, own_widths) = (byte >> 2 & 31, byte >> 7 == 1);
        if block_bits > BLOCK_BITS_MAX || own_widths && transform == Transform::Runs {
            return Err(Malformed::new("unknown form of a column of integers"));
        }
        Ok(IntPlan { transform, block_bits, own_widths, base: unzigzag(cursor.varint()?), scale: cursor.varint()? })
    }

    /// Appends the numbers of one section.
    pub(super) fn append_numbers<N: Copy + Into<i64>>(&self, out: &mut Vec<u8>, numbers: &[N]) {
        let scaled = |number: &N| scale_down((*number).into(), self.base, self.scale);
        let mut block = Vec::with_capacity(numbers.len().min(1 << self.block_bits));
        let orders = match self.transform {
            Transform::Plain => 0,
            Transform::Delta => 1,
            Transform::DeltaDelta => 2,
            Transform::Runs => return self.append_runs(out, numbers),
        };
        // The last number, and the last difference; each begins with the first one.
        let mut last = [0_i64; 2];
        let begin = numbers.len().min(orders);
        for (at, number) in numbers[..begin].iter().map(scaled).enumerate() {
            let first = if at == 0 { number } else { number.wrapping_sub(last[0]) };
            append_varint(out, zigzag(first));
            last = [number, first];
        }
        for part in numbers[begin..].chunks(1 << self.block_bits) {
            block.clear();
            match orders {
                0 => block.extend(part.iter().map(scaled)),
                1 => block.extend(part.iter().map(scaled).map(|number| {
                    let difference = number.wrapping_sub(last[0]);
                    last[0] = number;
                    difference
                })),
                _ => block.extend(part.iter().map(scaled).map(|number| {
                    let difference = number.wrapping_sub(last[0]);
                    let of_differences = difference.wrapping_sub(last[1]);
                    last = [number, difference];
                    of_differences
                })),
            }
            if self.own_widths {
                OwnWidths::append(out, &block, orders);
            } else {
                append_blocks(out, &block, self.block_bits);
            }
        }
    }

    fn append_runs<N: Copy + Into<i64>>(&self, out: &mut Vec<u8>, numbers: &[N]) {
        if numbers.is_empty() {
            return;
        }
        let (mut values, mut lengths) = (Vec::new(), Vec::<i64>::new());
        for number in numbers {
            let number = scale_down((*number).into(), self.base, self.scale);
            match lengths.last_mut().filter(|_| values.last() == Some(&number)) {
                Some(length) => *length += 1,
                None => {
                    values.push(number);
                    lengths.push(1);
                }
            }
        }
        append_varint(out, values.len() as u64);
        append_blocks(out, &values, self.block_bits);
        append_blocks(out, &lengths, self.block_bits);
    }

    /// Reads `count` numbers of one section; the caller has made sure that there can be as many.
    pub(super) fn read_numbers(&self, cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>, Malformed> {
        let mut numbers = with_room(count)?;
        if count == 0 {
            return Ok(numbers);
        }
        match self.transform {
            Transform::Plain => self.read_packed(cursor, count, &mut numbers)?,
            Transform::Delta => {
                numbers.push(unzigzag(cursor.varint()?));
                self.read_packed(cursor, count - 1, &mut numbers)?;
                sum_up(&mut numbers);
            }
            Transform::DeltaDelta => {
                numbers.push(unzigzag(cursor.varint()?));
                if count > 1 {
                    numbers.push(unzigzag(cursor.varint()?));
                    self.read_packed(cursor, count - 2, &mut numbers)?;
                    sum_up(&mut numbers[1..]);
                    sum_up(&mut numbers);
                }
            }
            Transform::Runs => self.read_runs(cursor, count, &mut numbers)?,
        }
        let (base, scale) = (self.base, self.scale as i64);
        if (base, scale) != (0, 1) {
            numbers.iter_mut().for_each(|number| *number = number.wrapping_mul(scale).wrapping_add(base));
        }
        Ok(numbers)
    }

    /// As [`IntPlan::read_numbers`], of codes of so many entries.
    pub(super) fn read_codes(
        &self,
        cursor: &mut Cursor<'_>,
        count: usize,
        entries: usize,
    ) -> Result<Vec<u32>, Malformed> {
        let mut codes = with_room(count)?;
        let mut out_of_range = false;
        let mut append = |numbers: &[i64]| {
            codes.extend(numbers.iter().map(|code| {
                out_of_range |= *code as u64 >= entries as u64;
                *code as u32
            }));
        };
        if self.transform == Transform::Plain && (self.base, self.scale) == (0, 1) {
            // Block by block, so that what lies between stays near.
            let mut block = Vec::new();
            let mut left = count;
            while left > 0 {
                let len = left.min(1 << self.block_bits);
                block.clear();
                self.read_packed(cursor, len, &mut block)?;
                append(&block);
                left -= len;
            }
        } else {
            append(&self.read_numbers(cursor, count)?);
        }
        if out_of_range {
            return Err(Malformed::new("a column names an entry that is not there"));
        }
        Ok(codes)
    }

    fn read_packed(&self, cursor: &mut Cursor<'_>, mut count: usize, numbers: &mut Vec<i64>) -> Result<(), Malformed> {
        if !self.own_widths {
            return read_blocks(cursor, count, self.block_bits, numbers);
        }
        while count > 0 {
            let len = count.min(1 << self.block_bits);
            OwnWidths::read(cursor, len, self.transform != Transform::Plain, numbers)?;
            count -= len;
        }
        Ok(())
    }

    fn read_runs(&self, cursor: &mut Cursor<'_>, count: usize, numbers: &mut Vec<i64>) -> Result<(), Malformed> {
        let disagree = || Malformed::new("runs of a column do not add up");
        let runs = usize::try_from(cursor.varint()?).ok().filter(|runs| *runs <= count).ok_or_else(disagree)?;
        let (mut values, mut lengths) = (with_room(runs)?, with_room(runs)?);
        read_blocks(cursor, runs, self.block_bits, &mut values)?;
        read_blocks(cursor, runs, self.block_bits, &mut lengths)?;
        for (value, length) in values.into_iter().zip(lengths) {
            let length = usize::try_from(length).map_err(|_| disagree())?;
            if length > count - numbers.len() {
                return Err(disagree());
            }
            numbers.resize(numbers.len() + length, value);
        }
        if numbers.len() == count { Ok(()) } else { Err(disagree()) }
    }
}

/// Least number and greatest common divisor of the distances to it; 0 and 1 if they go too far apart.
fn common<N: Copy + Into<i64>>(numbers: &[N], least: i64, greatest: i64) -> (i64, u64) {
    if greatest.checked_sub(least).is_none() {
        return (0, 1);
    }
    if least == greatest {
        return (least, 1);
    }
    let mut scale = 0_u64;
    for number in numbers {
        let distance = (*number).into().wrapping_sub(least) as u64;
        // Mostly it is a multiple, or there is nothing in common after the first few.
        if !distance.is_multiple_of(scale) {
            scale = divisor(distance, scale);
        }
        if scale == 1 {
            break;
        }
    }
    (least, scale.max(1))
}

fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[inline]
fn scale_down(number: i64, base: i64, scale: u64) -> i64 {
    let distance = number.wrapping_sub(base);
    if scale == 1 { distance } else { (distance as u64 / scale) as i64 }
}

fn sum_up(numbers: &mut [i64]) {
    let mut sum = 0_i64;
    for number in numbers {
        sum = sum.wrapping_add(*number);
        *number = sum;
    }
}

/// Numbers to the differences between them, one less.
fn to_differences(numbers: &mut [i64]) -> &mut [i64] {
    for at in 1..numbers.len() {
        numbers[at - 1] = numbers[at].wrapping_sub(numbers[at - 1]);
    }
    let len = numbers.len().saturating_sub(1);
    &mut numbers[..len]
}

/// Bits of numbers in short blocks, if each were as wide as it is.
fn blocks_width(numbers: &[i64]) -> u64 {
    let of_block = |block: &[i64]| {
        let least = block.iter().copied().min().unwrap_or(0);
        block.iter().map(|number| u64::from(bit_width(number.wrapping_sub(least) as u64))).sum::<u64>()
    };
    numbers.chunks(1 << SHORT_BLOCK_BITS).map(of_block).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of a plan with its numbers, after they were read back.
    fn round_trip(numbers: &[i64]) -> (IntPlan, usize) {
        let (plan, _) = IntPlan::choose(numbers);
        let mut out = Vec::new();
        plan.append(&mut out);
        plan.append_numbers(&mut out, numbers);
        let mut cursor = Cursor::new(&out);
        let read = IntPlan::read(&mut cursor).unwrap();
        assert_eq!(read, plan);
        assert_eq!(read.read_numbers(&mut cursor, numbers.len()).unwrap(), numbers);
        assert!(cursor.is_empty());
        (plan, out.len())
    }

    #[test]
    fn what_is_regular_is_short() {
        let hours: Vec<i64> = (0..10_000).map(|hour| 1_357_000_000_000 + hour / 20 * 3_600_000).collect();
        let (plan, bytes) = round_trip(&hours);
        assert_eq!(plan.scale, 3_600_000);
        assert!(bytes < 600, "{bytes}");
        let (plan, bytes) = round_trip(&(0..10_000).map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(plan.transform, Transform::DeltaDelta);
        assert!(bytes < 100, "{bytes}");
        let (plan, bytes) = round_trip(&(0..10_000).map(|n| n / 1000 * 7919 % 31).collect::<Vec<_>>());
        assert_eq!(plan.transform, Transform::Runs);
        assert!(bytes < 50, "{bytes}");
        assert!(round_trip(&[5; 100_000]).1 < 500);
    }

    #[test]
    fn numbers_that_are_all_the_same_need_no_look() {
        for len in [1_usize, 2, 1023, 1024, 1025, 5000, 100_000] {
            let windows = len.div_ceil(SAMPLE_NUMBERS).min(SAMPLE_WINDOWS);
            let mut sample = alloc::vec![0; len.min(windows * SAMPLE_NUMBERS)];
            let (plan, cost) = IntPlan::PLAIN.for_sample(&mut sample, 0);
            assert_eq!(IntPlan::PLAIN.for_nothing(len, windows), (plan, cost * len as u64 / sample.len() as u64));
        }
    }

    #[test]
    fn outliers_do_not_widen_the_others() {
        let numbers: Vec<i64> = (0..4096).map(|n| if n % 100 == 7 { n << 40 } else { n * 37 % 16 }).collect();
        let (_, bytes) = round_trip(&numbers);
        assert!(bytes < 4096 / 2 + 41 * 9 + 200, "{bytes}");
    }

    #[test]
    fn sizes_of_all_orders_have_widths_of_their_own() {
        let numbers: Vec<i64> = (0..4000_i64).map(|n| (n * 7919 % 1021 + 1) << (n * 31 % 23)).collect();
        let (plan, bytes) = round_trip(&numbers);
        assert!(plan.own_widths && bytes < 4000 * 27 / 8, "{plan:?} {bytes}");
        let signed: Vec<i64> = numbers.iter().zip(0..).map(|(n, at)| if at % 2 == 0 { *n } else { -n }).collect();
        round_trip(&signed);
    }

    #[test]
    fn the_farthest_numbers_read_back() {
        round_trip(&[]);
        round_trip(&[i64::MIN]);
        round_trip(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MAX, i64::MIN]);
        round_trip(&[i64::MIN, -1]);
        let wide: Vec<i64> = (0..300_i64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)).collect();
        round_trip(&wide);
    }

    #[test]
    fn claims_beyond_the_bytes_are_malformed() {
        let plan = IntPlan { transform: Transform::Runs, ..IntPlan::PLAIN };
        let mut out = Vec::new();
        plan.append_numbers(&mut out, &[3; 10]);
        assert!(plan.read_numbers(&mut Cursor::new(&out), 10).is_ok());
        assert!(plan.read_numbers(&mut Cursor::new(&out), 9).is_err());
        assert!(plan.read_numbers(&mut Cursor::new(&out), 11).is_err());
        for bytes in [&[0, 130][..], &[0, 16], &[0, 1, 1, 200, 1, 1]] {
            assert!(IntPlan::PLAIN.read_numbers(&mut Cursor::new(bytes), 5).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_numbers_read_back(
            numbers in prop::collection::vec(prop_oneof![any::<i64>(), -9_i64..9, Just(0)], 0..600),
            scale in 1_i64..1_000_000,
        ) {
            round_trip(&numbers);
            round_trip(&numbers.iter().map(|number| number.wrapping_mul(scale)).collect::<Vec<_>>());
            let mut sorted = numbers;
            sorted.sort_unstable();
            round_trip(&sorted);
        }

        #[test]
        fn any_bytes_are_an_error_at_most(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0_usize..300) {
            let mut cursor = Cursor::new(&bytes);
            if let Ok(plan) = IntPlan::read(&mut cursor) {
                let _ = plan.read_numbers(&mut cursor, count);
            }
        }
    }
}
