//! The only code that knows bytes. One file a record, writer and reader next to each other.
//!
//! The specification is `core/FORMAT.md`; each of its sections names the file here.
//!
//! Invariants:
//! - little-endian, no `usize`, one NaN and one zero: the same state gives the same bytes everywhere;
//! - a reader never trusts a length before the hash over it has been checked, and never allocates
//!   more than the stored bytes can account for.

pub(crate) mod accumulator;
#[cfg(feature = "alloc")]
pub(crate) mod archive;
#[cfg(feature = "alloc")]
pub(crate) mod columns;
pub(crate) mod event;
#[cfg(feature = "alloc")]
pub(crate) mod event_row;
#[cfg(feature = "alloc")]
pub(crate) mod head;
pub(crate) mod key;
#[cfg(feature = "alloc")]
pub(crate) mod manifest;
pub(crate) mod manifest_fixed;
#[cfg(feature = "alloc")]
pub(crate) mod manifest_names;
#[cfg(feature = "alloc")]
pub(crate) mod manifest_pages;
pub(crate) mod manifest_parts;
#[cfg(feature = "alloc")]
mod manifest_record;
#[cfg(feature = "alloc")]
pub(crate) mod object;
pub(crate) mod object_ends;
pub(crate) mod pattern;
pub(crate) mod payload;
mod pieces;
#[cfg(feature = "alloc")]
pub(crate) mod plugin_frame;
#[cfg(feature = "alloc")]
pub(crate) mod row_block;
#[cfg(feature = "alloc")]
mod row_values;
pub(crate) mod rows;
#[cfg(feature = "alloc")]
pub(crate) mod section;
pub(crate) mod section_ref;
pub(crate) mod sink;
pub(crate) mod tables;
#[cfg(feature = "alloc")]
pub(crate) mod value;
pub(crate) mod window;

use serde::Deserialize;

pub(crate) use sink::{ByteSink, FixedBytes, append, append_varint};

/// The format this release writes. It reads this one and all before it.
pub const FORMAT_VERSION: u16 = 3;

/// What is wrong with bytes, in words.
#[cfg(feature = "alloc")]
pub(crate) type Reason = alloc::borrow::Cow<'static, str>;
#[cfg(not(feature = "alloc"))]
pub(crate) type Reason = &'static str;

/// Bytes that do not say what they should; the caller adds object and part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(Fault);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Bytes(Reason),
    /// They may be as they should be, and do not fit into memory.
    #[cfg(feature = "alloc")]
    Memory,
}

impl Malformed {
    pub(crate) fn new(reason: impl Into<Reason>) -> Self {
        Malformed(Fault::Bytes(reason.into()))
    }

    pub(crate) fn reason(&self) -> &str {
        match &self.0 {
            Fault::Bytes(reason) => reason,
            #[cfg(feature = "alloc")]
            Fault::Memory => "there is no memory for what it holds",
        }
    }

    /// There is no memory for what was read: no word against the bytes.
    #[cfg(feature = "alloc")]
    pub(crate) fn no_memory() -> Self {
        Malformed(Fault::Memory)
    }

    /// The error of who knows what was read.
    #[cfg(feature = "alloc")]
    pub(crate) fn at(self, object: &str, part: impl Into<alloc::string::String>) -> crate::error::Error {
        self.or_no_memory(|reason| crate::error::Error::damaged(object, part, reason))
    }

    /// As [`Malformed::at`], of another error than damage.
    #[cfg(feature = "alloc")]
    pub(crate) fn or_no_memory(self, error: impl FnOnce(Reason) -> crate::error::Error) -> crate::error::Error {
        match self.0 {
            Fault::Memory => crate::error::Error::OutOfMemory { doing: "reading a checkpoint", bytes: 0 },
            Fault::Bytes(reason) => error(reason),
        }
    }
}

impl core::error::Error for Malformed {}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}

impl From<postcard::Error> for Malformed {
    #[cfg(feature = "alloc")]
    fn from(error: postcard::Error) -> Self {
        Malformed::new(alloc::string::ToString::to_string(&error))
    }

    #[cfg(not(feature = "alloc"))]
    fn from(_: postcard::Error) -> Self {
        Malformed::new("a record is not what it should be")
    }
}

/// Reads a record that takes all of `bytes`.
pub(crate) fn read_all<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    let (record, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(record) } else { Err(Malformed::new("bytes left over at the end of a record")) }
}

/// A cursor over bytes that answers `Malformed` where they end too early.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that has not been taken.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    // Plugins, which are made small, do not inline it otherwise.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.bytes.len());
        let (taken, rest) = count
            .and_then(|count| self.bytes.split_at_checked(count))
            .ok_or_else(|| Malformed::new("ends in the middle of a record"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Takes a record in postcard's encoding.
    pub(crate) fn record<T: Deserialize<'a>>(&mut self) -> Result<T, Malformed> {
        let (record, rest) = postcard::take_from_bytes(self.bytes)?;
        self.bytes = rest;
        Ok(record)
    }

    /// That all was taken.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::new("bytes left over at the end of a record")) }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        match self.bytes {
            [first, rest @ ..] => {
                self.bytes = rest;
                Ok(*first)
            }
            [] => Err(Malformed::new("ends in the middle of a record")),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        // Most numbers are short.
        if let [first, rest @ ..] = self.bytes
            && *first < 0x80
        {
            self.bytes = rest;
            return Ok(u64::from(*first));
        }
        if let [first, second, rest @ ..] = self.bytes
            && *second < 0x80
        {
            self.bytes = rest;
            return Ok(u64::from(first & 0x7f) | u64::from(*second) << 7);
        }
        self.long_varint()
    }

    /// A varint of up to eight bytes at once, by what its last byte is known by.
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let Some(word) = self.bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
            return self.last_varint();
        };
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.last_varint();
        }
        // The bits below that of the last byte.
        let bits = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
        let pairs = bits & 0x007f_007f_007f_007f | (bits & 0x7f00_7f00_7f00_7f00) >> 1;
        let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
        self.bytes = self.bytes.get(ends.trailing_zeros() as usize / 8 + 1..).unwrap_or_default();
        Ok(fours & 0x0fff_ffff | fours >> 32 << 28)
    }

    /// A varint near the end of the bytes, or of more than eight.
    #[cold]
    fn last_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::new("a number is longer than 64 bits"))
    }
}

/// XXH3, 64 bits, seed 0: sections, manifests and head records.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Hash of an encoded key. Frozen: it decides the key group of every stored row.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    // One copy of the code is enough where flash is scarce; elsewhere it belongs into the lookup.
    if cfg!(feature = "alloc") { xxhash_rust::xxh3::xxh3_64(key) } else { hash64(key) }
}

/// Key group of a key: bits 32 and up of its hash, modulo the number of groups. The low bits stay
/// free for the hash table of the group.
#[inline]
pub(crate) fn key_group(hash: u64, groups: u16) -> u16 {
    let bits = (hash >> 32) as u32;
    let groups = u32::from(groups);
    // The usual case spares a division.
    (if groups.is_power_of_two() { bits & (groups - 1) } else { bits % groups }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn varints_read_back_and_agree_with_postcard() {
        let edges = (0..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1_u64 << bits).wrapping_mul(3)]);
        for number in edges.chain([300, 0x0123_4567_89ab_cdef, u64::MAX]) {
            let mut out = Vec::new();
            append_varint(&mut out, number);
            assert_eq!(out, postcard::to_allocvec(&number).unwrap());
            assert_eq!(out.len(), crate::value::varint_len(number));
            // At the end of the bytes, and with others behind it.
            assert_eq!(Cursor::new(&out).varint().unwrap(), number);
            for behind in [0, 0xff] {
                let bytes = [out.as_slice(), &[behind; 9]].concat();
                let mut cursor = Cursor::new(&bytes);
                assert_eq!(cursor.varint().unwrap(), number);
                assert_eq!(cursor.rest(), [behind; 9]);
            }
        }
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
        assert!(Cursor::new(&[0x80]).varint().is_err());
    }

    #[test]
    fn the_hash_of_keys_is_frozen() {
        assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
        for groups in 1..=1024 {
            assert_eq!(u64::from(key_group(u64::MAX << 32 >> 3, groups)), (u64::MAX >> 35) % u64::from(groups));
        }
        let keys = [&b""[..], b"JFK", b"\x04JFK\0\0", b"a key of more than sixteen bytes"];
        assert_eq!(keys.map(|key| key_group(key_hash(key), 128)), [5, 6, 16, 8]);
        assert_eq!(keys.map(|key| key_group(key_hash(key), 1000)), [709, 982, 328, 568]);
    }
}
