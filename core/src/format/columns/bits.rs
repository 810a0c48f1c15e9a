//! Numbers of equal width side by side, the low bits first, without gaps; at the end, zeros to a byte.

use alloc::vec::Vec;

use super::super::Malformed;

/// Bits it takes to write a number.
#[inline]
pub(super) fn bit_width(number: u64) -> u32 {
    64 - number.leading_zeros()
}

/// Writes numbers of any widths, one after the other.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        BitWriter { out, held: 0, bits: 0 }
    }

    /// Appends the low `width` bits of a number that has no others.
    #[inline]
    pub(super) fn push(&mut self, number: u64, width: u32) {
        self.held |= number << self.bits;
        let filled = self.bits + width;
        if filled >= 64 {
            self.out.extend_from_slice(&self.held.to_le_bytes());
            // What did not fit; a shift by 64 would be none.
            self.held = if self.bits == 0 { 0 } else { number >> (64 - self.bits) };
            self.bits = filled - 64;
        } else {
            self.bits = filled;
        }
    }

    pub(super) fn finish(self) {
        let bytes = self.bits.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.held.to_le_bytes()[..bytes]);
    }
}

/// Reads what [`BitWriter`] wrote. Beyond the end come zeros; the caller asks [`BitReader::finish`].
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Place of the next bit.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn take(&mut self, width: u32) -> u64 {
        let window = self.bytes.get(self.at / 8..).and_then(|rest| rest.first_chunk::<8>());
        let number = match window {
            Some(window) if width <= 56 => u64::from_le_bytes(*window) >> (self.at % 8) & ((1 << width) - 1),
            _ => read_bits(self.bytes, self.at, width),
        };
        self.at += width as usize;
        number
    }

    /// Bytes that were read, if there were as many.
    pub(super) fn finish(self) -> Result<usize, Malformed> {
        let taken = self.at.div_ceil(8);
        if taken > self.bytes.len() { Err(Malformed::new("a column ends early")) } else { Ok(taken) }
    }
}

/// Appends numbers of at most `width` bits each.
pub(super) fn pack(out: &mut Vec<u8>, numbers: &[u64], width: u32) {
    let from = out.len();
    out.resize(from + packed_bytes(numbers.len(), width) as usize, 0);
    let mut words = out[from..].chunks_mut(8);
    let (mut held, mut bits) = (0_u64, 0);
    for number in numbers {
        held |= number << bits;
        bits += width;
        if bits >= 64 {
            if let Some(word) = words.next().and_then(|word| word.first_chunk_mut()) {
                *word = held.to_le_bytes();
            }
            bits -= 64;
            // What did not fit; a shift by 64 would be none.
            held = number.checked_shr(width - bits).unwrap_or(0);
        }
    }
    if let Some(rest) = words.next() {
        rest.copy_from_slice(&held.to_le_bytes()[..rest.len()]);
    }
}

/// Bytes that [`pack`] makes of `count` numbers.
pub(super) fn packed_bytes(count: usize, width: u32) -> u64 {
    (count as u64 * u64::from(width)).div_ceil(8)
}

/// Hands over `count` numbers that [`pack`] wrote; `bytes` are theirs, and no others.
#[inline]
pub(super) fn unpack(bytes: &[u8], count: usize, width: u32, mut each: impl FnMut(u64)) {
    // All but the last few are read with one load each.
    let mut at = 0_usize;
    let width_bits = width as usize;
    if width <= 56 {
        let mask = (1_u64 << width) - 1;
        let whole_loads = if width == 0 { count } else { (bytes.len().saturating_sub(7) * 8).div_ceil(width_bits) };
        let fast = count.min(whole_loads);
        for _ in 0..fast {
            let word = bytes.get(at / 8..).and_then(|rest| rest.first_chunk::<8>());
            let word = word.map_or(0, |word| u64::from_le_bytes(*word));
            each(word >> (at % 8) & mask);
            at += width_bits;
        }
        for _ in fast..count {
            each(read_bits(bytes, at, width));
            at += width_bits;
        }
    } else {
        for _ in 0..count {
            each(read_bits(bytes, at, width));
            at += width_bits;
        }
    }
}

#[inline]
fn read_bits(bytes: &[u8], at: usize, width: u32) -> u64 {
    let from = (at / 8).min(bytes.len());
    let mut window = [0; 16];
    let rest = &bytes[from..bytes.len().min(from + 9)];
    window[..rest.len()].copy_from_slice(rest);
    let word = u128::from_le_bytes(window) >> (at % 8);
    (word & ((1_u128 << width) - 1)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_at_every_width() {
        for width in 0..=64 {
            for count in [0, 1, 7, 8, 9, 100] {
                let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let numbers: Vec<u64> =
                    (0..count).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) & mask).collect();
                let mut out = Vec::new();
                pack(&mut out, &numbers, width);
                assert_eq!(out.len() as u64, packed_bytes(numbers.len(), width));
                let mut seen = Vec::new();
                unpack(&out, numbers.len(), width, |number| seen.push(number));
                assert_eq!(seen, numbers, "{width} bits");
                let mut reader = BitReader::new(&out);
                assert!(numbers.iter().all(|number| reader.take(width) == *number));
                assert_eq!(reader.finish(), Ok(out.len()));
            }
        }
    }

    #[test]
    fn reading_beyond_the_end_is_noticed() {
        let mut reader = BitReader::new(&[0xff]);
        assert_eq!(reader.take(9), 0xff);
        assert!(reader.finish().is_err());
    }
}
