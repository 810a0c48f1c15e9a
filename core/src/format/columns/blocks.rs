//! Blocks of integers around their least one, in as many bits as most of them need; what needs more is
//! patched (M. Zukowski et al., *Super-Scalar RAM-CPU Cache Compression*, ICDE 2006).

use alloc::vec::Vec;

use super::super::{Cursor, Malformed, append_varint};
use super::bits::{bit_width, pack, packed_bytes, unpack};
use super::{unzigzag, zigzag};

/// Least and greatest number.
pub(super) fn range<N: Copy + Into<i64>>(numbers: &[N]) -> (i64, i64) {
    let both =
        |(least, greatest): (i64, i64), number: &N| (least.min((*number).into()), greatest.max((*number).into()));
    numbers.iter().fold((i64::MAX, i64::MIN), both)
}

/// Least number of a block, and the width at which it is shortest with its patches.
struct Frame {
    least: i64,
    width: u32,
    patches: usize,
    /// Its length without the least number, in bits.
    bits: u64,
}

impl Frame {
    /// The frame of a block; `over` becomes what each number has over the least one.
    fn of(block: &[i64], over: &mut Vec<u64>) -> Frame {
        let least = block.iter().copied().fold(i64::MAX, i64::min);
        over.clear();
        over.extend(block.iter().map(|number| number.wrapping_sub(least) as u64));
        let widest = bit_width(over.iter().fold(0, |all, number| all | number));
        let all = Frame { least, width: widest, patches: 0, bits: 8 * packed_bytes(block.len(), widest) + 8 };
        // Few bits, or few numbers: patches would cost more than they save.
        if widest < 3 || block.len() < 16 {
            return all;
        }
        // Bits of the widest number that needs no patch.
        let mut narrow = widest;
        let (mut best, mut patches) = (all, 0);
        for width in (0..widest).rev() {
            if width < narrow {
                (patches, narrow) = wider_than(width, over);
            }
            // A patch is a distance of mostly one byte, and what is cut off.
            let patch_bits = 8 + 8 * u64::from((widest - width).div_ceil(7));
            let bits = 8 * packed_bytes(block.len(), width) + 16 + patches as u64 * patch_bits;
            if bits < best.bits {
                best = Frame { least, width, patches, bits };
            }
            if patches > block.len() / 4 {
                break;
            }
        }
        best
    }
}

/// How many numbers are wider than that, and the width of the widest other one.
///
/// Gone through for each width that occurs, not once for all: mostly there are few widths until a quarter of the numbers
/// is wider, and many numbers are compared at once.
fn wider_than(width: u32, numbers: &[u64]) -> (usize, u32) {
    let (mut wider, mut others) = (0_u64, 0);
    for number in numbers {
        let is_wider = u64::from(number >> width != 0);
        wider += is_wider;
        others |= number & is_wider.wrapping_sub(1);
    }
    (wider as usize, bit_width(others))
}

/// Bits that blocks take.
pub(super) fn blocks_cost(numbers: &[i64], block_bits: u8) -> u64 {
    let blocks = numbers.chunks(1 << block_bits);
    let mut over = Vec::with_capacity(numbers.len().min(1 << block_bits));
    blocks
        .map(|block| {
            let frame = Frame::of(block, &mut over);
            frame.bits + 8 * crate::value::varint_len(zigzag(frame.least)) as u64
        })
        .sum()
}

/// Appends blocks: least number (zigzag varint), width with a flag (1 byte), with the flag the
/// patches, and the packed low bits.
pub(super) fn append_blocks(out: &mut Vec<u8>, numbers: &[i64], block_bits: u8) {
    let mut packed = Vec::with_capacity(numbers.len().min(1 << block_bits));
    for block in numbers.chunks(1 << block_bits) {
        let Frame { least, width, patches, .. } = Frame::of(block, &mut packed);
        append_varint(out, zigzag(least));
        out.push((width as u8) << 1 | u8::from(patches > 0));
        if patches > 0 {
            append_varint(out, patches as u64);
            let mut next = 0;
            for (at, number) in packed.iter_mut().enumerate() {
                if bit_width(*number) > width {
                    append_varint(out, (at - next) as u64);
                    append_varint(out, *number >> width);
                    *number &= (1 << width) - 1;
                    next = at + 1;
                }
            }
        }
        pack(out, &packed, width);
    }
}

pub(super) fn read_blocks(
    cursor: &mut Cursor<'_>,
    mut count: usize,
    block_bits: u8,
    numbers: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let mut patches = Vec::new();
    while count > 0 {
        let len = count.min(1 << block_bits);
        let least = unzigzag(cursor.varint()?);
        let byte = cursor.byte()?;
        let width = u32::from(byte >> 1);
        if width > 64 {
            return Err(Malformed::new("numbers of a column are wider than 64 bits"));
        }
        patches.clear();
        if byte & 1 == 1 {
            let mut next = 0_u64;
            for _ in 0..cursor.varint()? {
                let at = next.checked_add(cursor.varint()?).filter(|at| *at < len as u64 && width < 64);
                let at = at.ok_or_else(|| Malformed::new("a patch of a column is out of its block"))?;
                patches.push((at as usize, cursor.varint()? << width));
                next = at + 1;
            }
        }
        let bytes = cursor.take(packed_bytes(len, width))?;
        let from = numbers.len();
        numbers.resize(from + len, 0);
        let mut places = numbers[from..].iter_mut();
        unpack(bytes, len, width, |number| {
            if let Some(place) = places.next() {
                *place = least.wrapping_add(number as i64);
            }
        });
        for (at, high) in &patches {
            let number = &mut numbers[from + at];
            *number = number.wrapping_add(*high as i64);
        }
        count -= len;
    }
    Ok(())
}
