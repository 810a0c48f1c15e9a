//! Where a section is, and how to check it.

use serde::{Deserialize, Serialize};

use super::{Malformed, hash64};
use crate::limits::{SECTION_RAW_BYTES_MAX, STORAGE_BYTES_MAX};

/// Encoding of a section's stored bytes; the order of the variants is the format.
///
/// A number stands for all there is to know of the bytes: compression, rows or columns, payloads.
/// Manifests of later versions go on naming sections of older ones, so that whatever changes in rows,
/// columns or payloads takes a new number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Codec {
    Rows,
    RowsLz4,
    /// From version 2 on.
    Columns,
    ColumnsLz4,
}

impl Codec {
    pub(crate) fn is_columns(self) -> bool {
        matches!(self, Codec::Columns | Codec::ColumnsLz4)
    }
}

/// Where a section is and how to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionRef {
    /// Index into the manifest's objects.
    pub(crate) object: u32,
    pub(crate) offset: u64,
    pub(crate) stored: u64,
    /// What it holds, in bytes of rows; for columns as well, so that compaction compares like with like.
    pub(crate) raw: u64,
    pub(crate) codec: Codec,
    /// XXH3 of the rows or columns once unpacked, little-endian.
    pub(crate) hash: [u8; 8],
    /// Low half of XXH3 of the stored bytes, little-endian: checked before they are unpacked.
    pub(crate) check: [u8; 4],
}

impl SectionRef {
    /// Rows as they are: once unpacked they are what is stored.
    pub(crate) fn of_rows(object: u32, offset: u64, len: u64, hash: u64) -> Self {
        let (hash, check) = (hash.to_le_bytes(), (hash as u32).to_le_bytes());
        SectionRef { object, offset, stored: len, raw: len, codec: Codec::Rows, hash, check }
    }

    /// Whether its numbers are small enough that arithmetic on them is safe.
    pub(crate) fn check_bounds(&self) -> Result<(), Malformed> {
        if self.offset > STORAGE_BYTES_MAX || self.stored > STORAGE_BYTES_MAX || self.raw > SECTION_RAW_BYTES_MAX {
            return Err(Malformed::new("place or length of a section is out of range"));
        }
        Ok(())
    }

    /// Whether stored bytes are those it means.
    pub(crate) fn check_stored(&self, stored: &[u8]) -> Result<(), Malformed> {
        if stored.len() as u64 != self.stored {
            #[cfg(feature = "alloc")]
            return Err(Malformed::new(alloc::format!(
                "{} bytes stored, the manifest says {}",
                stored.len(),
                self.stored
            )));
            #[cfg(not(feature = "alloc"))]
            return Err(Malformed::new("another number of bytes is stored than the manifest says"));
        }
        if (hash64(stored) as u32).to_le_bytes() != self.check {
            return Err(Malformed::new("the stored bytes do not match their hash"));
        }
        Ok(())
    }
}

/// The reference to what was appended to `object` from `offset` on.
pub(super) fn section_ref(object: &[u8], offset: usize, unpacked: &[u8], raw: u64, codec: Codec) -> SectionRef {
    let stored = &object[offset..];
    SectionRef {
        object: 0,
        offset: offset as u64,
        stored: stored.len() as u64,
        raw,
        codec,
        hash: hash64(unpacked).to_le_bytes(),
        check: (hash64(stored) as u32).to_le_bytes(),
    }
}
