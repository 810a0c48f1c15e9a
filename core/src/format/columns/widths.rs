//! Blocks of integers with a width each, for sizes that differ by orders of magnitude (as in P. Elias,
//! *Universal Codeword Sets and Representations of the Integers*, 1975).

use alloc::vec::Vec;

use super::super::{Cursor, Malformed};
use super::bits::{BitReader, BitWriter, bit_width, packed_bytes, unpack};
use super::{unzigzag, zigzag};

/// A number without a sign: as it is, or of differences both signs in turn.
#[inline]
pub(super) fn unsigned(number: i64, order: usize) -> u64 {
    if order == 0 { number as u64 } else { zigzag(number) }
}

/// A block of numbers of a width each: least width (1 byte), bits of what the others have more (1 byte),
/// that of each number, packed; then the numbers without their top bits, which are known.
pub(super) struct OwnWidths {
    least: u32,
    width: u32,
    /// Length of the block.
    pub(super) bits: u64,
}

impl OwnWidths {
    pub(super) fn of(numbers: impl Iterator<Item = u64>) -> Self {
        let (mut least, mut greatest, mut bits, mut count) = (64, 0, 0, 0);
        for number in numbers {
            let width = bit_width(number);
            (least, greatest) = (width.min(least), width.max(greatest));
            bits += u64::from(width.saturating_sub(1));
            count += 1;
        }
        let width = bit_width(u64::from(greatest.saturating_sub(least)));
        OwnWidths { least, width, bits: bits + 16 + 8 * packed_bytes(count, width) }
    }

    pub(super) fn append(out: &mut Vec<u8>, block: &[i64], order: usize) {
        let numbers = || block.iter().map(|number| unsigned(*number, order));
        let OwnWidths { least, width, .. } = Self::of(numbers());
        out.push(least as u8);
        out.push(width as u8);
        let mut widths = BitWriter::new(out);
        numbers().for_each(|number| widths.push(u64::from(bit_width(number) - least), width));
        widths.finish();
        let mut rest = BitWriter::new(out);
        for number in numbers() {
            let low = bit_width(number).saturating_sub(1);
            rest.push(number & ((1 << low) - 1), low);
        }
        rest.finish();
    }

    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        len: usize,
        has_signs: bool,
        numbers: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        let (least, width) = (u32::from(cursor.byte()?), u32::from(cursor.byte()?));
        if least > 64 || width > 7 {
            return Err(Malformed::new("numbers of a column are wider than 64 bits"));
        }
        let packed = cursor.take(packed_bytes(len, width))?;
        let mut rest = BitReader::new(cursor.rest());
        let mut widest = 0;
        let from = numbers.len();
        numbers.resize(from + len, 0);
        let mut places = numbers[from..].iter_mut();
        unpack(packed, len, width, |more| {
            let width = least + more as u32;
            widest = widest.max(width);
            let low = width.saturating_sub(1).min(63);
            let number = rest.take(low) | if width > 0 { 1 << low } else { 0 };
            if let Some(place) = places.next() {
                *place = if has_signs { unzigzag(number) } else { number as i64 };
            }
        });
        if widest > 64 {
            return Err(Malformed::new("numbers of a column are wider than 64 bits"));
        }
        let taken = rest.finish()?;
        cursor.take(taken as u64).map(drop)
    }
}
