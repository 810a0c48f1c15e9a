//! Entries of the index of objects.

use std::fmt;

use eventflux_core::Error as CoreError;

use super::address::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};
use super::failure::storage_error;

/// Most chunks of an object; the scripts have it too. What claims more is damage, for which no script is to go through
/// all the keys there could be.
const CHUNKS_MAX: u64 = 1 << 20;

/// An entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) len: u64,
    pub(super) chunk_bytes: u64,
}

impl Entry {
    /// The entry of an object that is to be written.
    pub(super) fn of(object: &str, len: u64, chunk_bytes: u64) -> Result<Self, CoreError> {
        let possible = Some(Entry { len, chunk_bytes }).filter(Entry::is_possible);
        possible.ok_or_else(|| {
            let reason = format!("{len} bytes in chunks of {chunk_bytes} are more than {CHUNKS_MAX} of them");
            storage_error("put", object, reason)
        })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (len, chunk_bytes) = text.split_once(':')?;
        let (len, chunk_bytes) = (len.parse().ok()?, chunk_bytes.parse().ok()?);
        Some(Entry { len, chunk_bytes }).filter(Entry::is_possible)
    }

    /// Whether an object can have this length in chunks of this size.
    fn is_possible(&self) -> bool {
        (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&self.chunk_bytes)
            && self.len.div_ceil(self.chunk_bytes) <= CHUNKS_MAX
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.len, self.chunk_bytes)
    }
}

/// Names come from manifests too: none of them is more than a part of a key.
pub(super) fn check_name(object: &str) -> Result<(), CoreError> {
    let plain = object.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain && !object.is_empty() && !object.starts_with('.') {
        Ok(())
    } else {
        Err(storage_error("name", object, "not a name of an object".into()))
    }
}

pub(super) fn wrong_entry(object: &str, text: &str) -> CoreError {
    let reason = format!("`{text}` is not length and chunk size, or more than can be");
    CoreError::Damaged { object: object.into(), part: "entry in the index".into(), reason }
}

pub(super) fn chunk_missing(object: &str, number: u64) -> CoreError {
    let reason = "its key is missing or too short: evicted, or deleted by hand; see the server's maxmemory-policy";
    CoreError::Damaged { object: object.into(), part: format!("chunk {number}"), reason: reason.into() }
}
