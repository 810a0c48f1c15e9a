//! A section's bytes: codec, compression, and the checks around it.
//!
//! Codec 0: rows as they are. Codec 1: rows in LZ4 blocks; for each 65,280 bytes (the last one
//! shorter) a varint of the compressed length and the block in the LZ4 block format. Blocks are
//! independent and short enough that the compressor makes the same bytes on 32-bit and 64-bit machines.
//! Codec 2: columns as they are. Codec 3: a varint of the columns' length, then LZ4 blocks of them.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::section_ref::section_ref;
pub(crate) use super::section_ref::{Codec, SectionRef};
use super::{Cursor, Malformed, append_varint, hash64};
use crate::limits::{COLUMNS_RATIO_MAX, LZ4_BLOCK_BYTES, LZ4_RATIO_MAX, SECTION_RAW_BYTES_MAX};
use crate::pace::Pace;

/// Bytes are copied and hashed so many times as fast as they are gone through otherwise.
const COPIES_A_PASS: u64 = 8;

/// How the bytes of sections are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4, where it pays.
    #[default]
    Lz4,
}

/// Packs rows, or a page, onto the end of `object`; the reference points there.
pub(crate) async fn append_section(
    object: &mut Vec<u8>,
    raw: &[u8],
    compression: Compression,
    pace: &Pace,
) -> SectionRef {
    let offset = object.len();
    let mut codec = Codec::Rows;
    if compression == Compression::Lz4 {
        append_lz4(object, raw, pace).await;
        if object.len() - offset < raw.len() {
            codec = Codec::RowsLz4;
        } else {
            object.truncate(offset);
        }
    }
    if codec == Codec::Rows {
        object.extend_from_slice(raw);
    }
    pace.spend(raw.len() as u64 / COPIES_A_PASS).await;
    section_ref(object, offset, raw, raw.len() as u64, codec)
}

/// Packs columns that stand for `raw` bytes of rows onto the end of `object`; the plan among them, if
/// there is one, holds `plan_cells`.
///
/// `None`, and nothing appended, if they are shorter than a reader would believe.
pub(crate) async fn append_columns(
    object: &mut Vec<u8>,
    columns: &[u8],
    raw: u64,
    plan_cells: u64,
    compression: Compression,
    pace: &Pace,
) -> Option<SectionRef> {
    let offset = object.len();
    let stored_min = raw.max(plan_cells).div_ceil(COLUMNS_RATIO_MAX) as usize;
    let mut codec = Codec::Columns;
    if compression == Compression::Lz4 {
        append_varint(object, columns.len() as u64);
        append_lz4(object, columns, pace).await;
        if (stored_min..columns.len()).contains(&(object.len() - offset)) {
            codec = Codec::ColumnsLz4;
        } else {
            object.truncate(offset);
        }
    }
    if codec == Codec::Columns {
        object.extend_from_slice(columns);
    }
    if object.len() - offset < stored_min {
        object.truncate(offset);
        return None;
    }
    pace.spend(columns.len() as u64 / COPIES_A_PASS).await;
    Some(section_ref(object, offset, columns, raw, codec))
}

/// Unpacks the stored bytes of a section, checking length and hash before and after: rows or columns,
/// as its codec says.
pub(crate) fn read_section(section: &SectionRef, stored: &[u8]) -> Result<Vec<u8>, Malformed> {
    section.check_stored(stored)?;
    let out_of_proportion = || Malformed::new("raw length is out of proportion");
    let ratio_max = if section.codec.is_columns() { COLUMNS_RATIO_MAX } else { LZ4_RATIO_MAX };
    if section.raw > section.stored.saturating_mul(ratio_max) || section.raw > SECTION_RAW_BYTES_MAX {
        return Err(out_of_proportion());
    }
    let mut unpacked_len = section.raw;
    let unpacked = match section.codec {
        Codec::Rows => stored.to_vec(),
        Codec::RowsLz4 => read_lz4(Cursor::new(stored), section.raw)?,
        Codec::Columns => {
            unpacked_len = section.stored;
            stored.to_vec()
        }
        Codec::ColumnsLz4 => {
            let mut cursor = Cursor::new(stored);
            unpacked_len = cursor.varint()?;
            if unpacked_len > section.stored.saturating_mul(LZ4_RATIO_MAX) || unpacked_len > SECTION_RAW_BYTES_MAX {
                return Err(out_of_proportion());
            }
            read_lz4(cursor, unpacked_len)?
        }
    };
    if unpacked.len() as u64 != unpacked_len {
        return Err(Malformed::new("raw length differs from the manifest"));
    }
    if hash64(&unpacked).to_le_bytes() != section.hash {
        return Err(Malformed::new("the content does not match its hash"));
    }
    Ok(unpacked)
}

async fn append_lz4(out: &mut Vec<u8>, raw: &[u8], pace: &Pace) {
    for block in raw.chunks(LZ4_BLOCK_BYTES) {
        let packed = lz4_flex::block::compress(block);
        append_varint(out, packed.len() as u64);
        out.extend_from_slice(&packed);
        pace.spend(block.len() as u64).await;
    }
}

fn read_lz4(mut cursor: Cursor<'_>, raw_len: u64) -> Result<Vec<u8>, Malformed> {
    let raw_len = usize::try_from(raw_len).map_err(|_| Malformed::new("larger than this machine's memory"))?;
    let mut raw = Vec::new();
    raw.try_reserve_exact(raw_len).map_err(|_| Malformed::no_memory())?;
    raw.resize(raw_len, 0);
    for block in raw.chunks_mut(LZ4_BLOCK_BYTES) {
        let packed_len = cursor.varint()?;
        let packed = cursor.take(packed_len)?;
        let unpacked =
            lz4_flex::block::decompress_into(packed, block).map_err(|error| Malformed::new(error.to_string()))?;
        if unpacked != block.len() {
            return Err(Malformed::new("a compressed block is shorter than it should be"));
        }
    }
    if cursor.is_empty() { Ok(raw) } else { Err(Malformed::new("bytes left over after the last block")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::at_once;

    #[test]
    fn sections_read_back_at_every_size_around_a_block() {
        for len in [0, 1, 100, LZ4_BLOCK_BYTES - 1, LZ4_BLOCK_BYTES, LZ4_BLOCK_BYTES + 1, 3 * LZ4_BLOCK_BYTES] {
            for compression in [Compression::None, Compression::Lz4] {
                let raw: Vec<u8> = (0..len).map(|i| (i / 7 % 50) as u8).collect();
                let mut object = alloc::vec![1, 2, 3];
                let section = at_once(append_section(&mut object, &raw, compression, &Pace::default()));
                assert_eq!(read_section(&section, &object[3..]).unwrap(), raw);
            }
        }
    }

    #[test]
    fn bytes_that_do_not_compress_are_stored_as_they_are() {
        let raw: Vec<u8> = (0..50_u64).flat_map(|i| hash64(&i.to_le_bytes()).to_le_bytes()).collect();
        let mut object = Vec::new();
        let section = at_once(append_section(&mut object, &raw, Compression::Lz4, &Pace::default()));
        assert_eq!(section.codec, Codec::Rows);
        assert_eq!(object, raw);
    }
}
