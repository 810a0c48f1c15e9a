//! A section's bytes: codec, compression, and the checks around it.
//!
//! Codec 0: the raw bytes. Codec 1: LZ4 blocks; for each 65,280 raw bytes (the last one shorter) a
//! varint of the compressed length and the block in the LZ4 block format. Blocks are independent
//! and short enough that the compressor makes the same bytes on 32-bit and 64-bit machines.

use alloc::string::ToString;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Cursor, Malformed, append_varint, hash64};
use crate::limits::{LZ4_BLOCK_BYTES, LZ4_RATIO_MAX, SECTION_RAW_BYTES_MAX, STORAGE_BYTES_MAX};

/// How the bytes of sections are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4, where it pays.
    #[default]
    Lz4,
}

/// Encoding of a section's stored bytes; the order of the variants is the format.
///
/// A number stands for all there is to know of the bytes: compression, rows, payloads. Manifests
/// of later versions go on naming sections of older ones, so that whatever changes in rows or
/// payloads takes a new number, as columns will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Codec {
    Rows,
    RowsLz4,
}

/// Where a section is and how to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionRef {
    /// Index into the manifest's objects.
    pub(crate) object: u32,
    pub(crate) offset: u64,
    pub(crate) stored: u64,
    pub(crate) raw: u64,
    pub(crate) codec: Codec,
    /// XXH3 of the raw bytes, little-endian.
    pub(crate) hash: [u8; 8],
    /// Low half of XXH3 of the stored bytes, little-endian: checked before they are unpacked.
    pub(crate) check: [u8; 4],
}

impl SectionRef {
    /// Whether its numbers are small enough that arithmetic on them is safe.
    pub(crate) fn check_bounds(&self) -> Result<(), Malformed> {
        if self.offset > STORAGE_BYTES_MAX || self.stored > STORAGE_BYTES_MAX || self.raw > SECTION_RAW_BYTES_MAX {
            return Err(Malformed::new("place or length of a section is out of range"));
        }
        Ok(())
    }
}

/// Packs raw bytes onto the end of `object`; the reference points there.
pub(crate) fn append_section(object: &mut Vec<u8>, raw: &[u8], compression: Compression) -> SectionRef {
    let offset = object.len();
    let mut codec = Codec::Rows;
    if compression == Compression::Lz4 {
        append_lz4(object, raw);
        if object.len() - offset < raw.len() {
            codec = Codec::RowsLz4;
        } else {
            object.truncate(offset);
        }
    }
    if codec == Codec::Rows {
        object.extend_from_slice(raw);
    }
    let stored = &object[offset..];
    SectionRef {
        object: 0,
        offset: offset as u64,
        stored: stored.len() as u64,
        raw: raw.len() as u64,
        codec,
        hash: hash64(raw).to_le_bytes(),
        check: (hash64(stored) as u32).to_le_bytes(),
    }
}

/// Unpacks the stored bytes of a section, checking length and hash before and after.
pub(crate) fn read_section(section: &SectionRef, stored: &[u8]) -> Result<Vec<u8>, Malformed> {
    if stored.len() as u64 != section.stored {
        return Err(Malformed::new(alloc::format!(
            "{} bytes stored, the manifest says {}",
            stored.len(),
            section.stored
        )));
    }
    if (hash64(stored) as u32).to_le_bytes() != section.check {
        return Err(Malformed::new("the stored bytes do not match their hash"));
    }
    if section.raw > section.stored.saturating_mul(LZ4_RATIO_MAX) || section.raw > SECTION_RAW_BYTES_MAX {
        return Err(Malformed::new("raw length is out of proportion"));
    }
    let raw = match section.codec {
        Codec::Rows => stored.to_vec(),
        Codec::RowsLz4 => read_lz4(stored, section.raw)?,
    };
    if raw.len() as u64 != section.raw {
        return Err(Malformed::new("raw length differs from the manifest"));
    }
    if hash64(&raw).to_le_bytes() != section.hash {
        return Err(Malformed::new("the content does not match its hash"));
    }
    Ok(raw)
}

fn append_lz4(out: &mut Vec<u8>, raw: &[u8]) {
    for block in raw.chunks(LZ4_BLOCK_BYTES) {
        let packed = lz4_flex::block::compress(block);
        append_varint(out, packed.len() as u64);
        out.extend_from_slice(&packed);
    }
}

fn read_lz4(stored: &[u8], raw_len: u64) -> Result<Vec<u8>, Malformed> {
    let raw_len = usize::try_from(raw_len).map_err(|_| Malformed::new("larger than this machine's memory"))?;
    let mut raw = Vec::new();
    raw.try_reserve_exact(raw_len).map_err(|error| Malformed::new(error.to_string()))?;
    raw.resize(raw_len, 0);
    let mut cursor = Cursor::new(stored);
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

    #[test]
    fn sections_read_back_at_every_size_around_a_block() {
        for len in [0, 1, 100, LZ4_BLOCK_BYTES - 1, LZ4_BLOCK_BYTES, LZ4_BLOCK_BYTES + 1, 3 * LZ4_BLOCK_BYTES] {
            for compression in [Compression::None, Compression::Lz4] {
                let raw: Vec<u8> = (0..len).map(|i| (i / 7 % 50) as u8).collect();
                let mut object = alloc::vec![1, 2, 3];
                let section = append_section(&mut object, &raw, compression);
                assert_eq!(read_section(&section, &object[3..]).unwrap(), raw);
            }
        }
    }

    #[test]
    fn bytes_that_do_not_compress_are_stored_as_they_are() {
        let raw: Vec<u8> = (0..50_u64).flat_map(|i| hash64(&i.to_le_bytes()).to_le_bytes()).collect();
        let mut object = Vec::new();
        assert_eq!(append_section(&mut object, &raw, Compression::Lz4).codec, Codec::Rows);
        assert_eq!(object, raw);
    }
}
