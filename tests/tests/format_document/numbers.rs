//! FORMAT.md, "Integers", "Doubles", and the bits of "Dependent columns".

use super::bytes::Bytes;
use super::seen::see;

/// A plan of integers.
pub struct Integers {
    transform: u8,
    block_bits: u8,
    /// Whether each number has a width of its own.
    own_widths: bool,
    base: i64,
    scale: u64,
}

impl Integers {
    pub fn plan(bytes: &mut Bytes<'_>) -> Self {
        let form = bytes.u8();
        let (transform, block_bits, own_widths) = (form & 3, form >> 2 & 31, form >> 7 == 1);
        assert!(block_bits <= 16 && !(own_widths && transform == 3));
        Integers { transform, block_bits, own_widths, base: bytes.int(), scale: bytes.uint() }
    }

    pub fn read(&self, bytes: &mut Bytes<'_>, count: usize) -> Vec<i64> {
        if count == 0 {
            return Vec::new();
        }
        let transform = ["plain", "delta", "delta of delta", "runs"][usize::from(self.transform)];
        see(if self.own_widths { format!("{transform}, own widths") } else { transform.to_owned() });
        let s = match self.transform {
            0 => self.blocks(bytes, count),
            1 => {
                let first = bytes.int();
                sums(first, self.blocks(bytes, count - 1))
            }
            2 if count == 1 => vec![bytes.int()],
            2 => {
                let (first, difference) = (bytes.int(), bytes.int());
                sums(first, sums(difference, self.blocks(bytes, count - 2)))
            }
            _ => {
                let runs = bytes.uint() as usize;
                assert!(runs <= count);
                let (values, lengths) = (self.blocks(bytes, runs), self.blocks(bytes, runs));
                let runs = values.into_iter().zip(lengths);
                runs.flat_map(|(value, length)| vec![value; usize::try_from(length).unwrap()]).collect()
            }
        };
        assert_eq!(s.len(), count);
        if self.scale > 1 {
            see("scale");
        }
        s.into_iter().map(|s| s.wrapping_mul(self.scale as i64).wrapping_add(self.base)).collect()
    }

    fn blocks(&self, bytes: &mut Bytes<'_>, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let len = (count - numbers.len()).min(1 << self.block_bits);
            if self.own_widths {
                numbers.extend(self.block_of_own_widths(bytes, len));
                continue;
            }
            let (least, width) = (bytes.int(), bytes.u8());
            let (patched, width) = (width & 1 == 1, usize::from(width >> 1));
            assert!(width < 64 || width == 64 && !patched);
            let mut high = vec![0; len];
            if patched {
                see("patches");
                let mut at = 0;
                for _ in 0..bytes.uint() {
                    at += bytes.uint() as usize;
                    high[at] = bytes.uint() << width;
                    at += 1;
                }
            }
            let mut bits = Bits::new(bytes);
            let low: Vec<u64> = (0..len).map(|_| bits.take(width)).collect();
            numbers.extend(low.iter().zip(high).map(|(low, high)| least.wrapping_add(low.wrapping_add(high) as i64)));
        }
        numbers
    }

    fn block_of_own_widths(&self, bytes: &mut Bytes<'_>, len: usize) -> Vec<i64> {
        let (least, more) = (usize::from(bytes.u8()), usize::from(bytes.u8()));
        assert!(least <= 64 && more <= 7);
        let mut bits = Bits::new(bytes);
        let widths: Vec<usize> = (0..len).map(|_| least + bits.take(more) as usize).collect();
        let mut bits = Bits::new(bytes);
        let number = |width: usize| {
            assert!(width <= 64);
            let number = if width == 0 { 0 } else { 1 << (width - 1) | bits.take(width - 1) };
            match self.transform {
                0 => number as i64,
                // As an `int`.
                _ if number % 2 == 1 => !((number >> 1) as i64),
                _ => (number >> 1) as i64,
            }
        };
        widths.into_iter().map(number).collect()
    }
}

/// A first number and what each is above the one before.
fn sums(first: i64, differences: Vec<i64>) -> Vec<i64> {
    let mut numbers = vec![first];
    for difference in differences {
        numbers.push(numbers.last().unwrap().wrapping_add(difference));
    }
    numbers
}

/// Bits from bytes, the low ones first; those of a byte begun are gone at the end.
pub struct Bits<'b, 'a> {
    bytes: &'b mut Bytes<'a>,
    byte: u8,
    left: usize,
}

impl<'b, 'a> Bits<'b, 'a> {
    pub fn new(bytes: &'b mut Bytes<'a>) -> Self {
        Bits { bytes, byte: 0, left: 0 }
    }

    pub fn take(&mut self, width: usize) -> u64 {
        let mut number = 0;
        for bit in 0..width {
            if self.left == 0 {
                (self.byte, self.left) = (self.bytes.u8(), 8);
            }
            number |= u64::from(self.byte >> (8 - self.left) & 1) << bit;
            self.left -= 1;
        }
        number
    }
}

/// A plan of doubles.
pub enum Doubles {
    /// Power of ten.
    Scaled(i32, Integers),
    Shuffled,
}

impl Doubles {
    pub fn plan(bytes: &mut Bytes<'_>) -> Self {
        match bytes.u8() {
            255 => Doubles::Shuffled,
            exponent if exponent <= 10 => Doubles::Scaled(exponent.into(), Integers::plan(bytes)),
            other => panic!("doubles {other}"),
        }
    }

    pub fn read(&self, bytes: &mut Bytes<'_>, count: usize) -> Vec<f64> {
        match self {
            Doubles::Scaled(exponent, plan) => {
                see("scaled doubles");
                plan.read(bytes, count).into_iter().map(|int| int as f64 / 10_f64.powi(*exponent)).collect()
            }
            Doubles::Shuffled => {
                see("shuffled doubles");
                let planes = bytes.take(8 * count);
                let mut before = 0;
                let double = |at: usize| {
                    let bytes: [u8; 8] = std::array::from_fn(|plane| planes[plane * count + at]);
                    before ^= u64::from_le_bytes(bytes);
                    f64::from_bits(before)
                };
                (0..count).map(double).collect()
            }
        }
    }
}
