//! A key on its way to a map: hashed once, and laid out as the map keeps it.

use crate::bytes::{INLINE_BYTES, SmallBytes};
use crate::format::key_hash;

/// A key with its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapKey<'a> {
    bytes: &'a [u8],
    hash: u64,
    words: Words,
}

/// The bytes of a short key, with zeros behind, as overlapping words.
///
/// Not an array of bytes: a wide load of what was just written in parts has to wait until all writes
/// before it are done, and with them every lookup under way, which cost half of the time of an update.
#[derive(Debug, Clone, Copy)]
struct Words {
    first: u64,
    middle: u64,
    last: u64,
}

/// Where the last word begins.
const LAST_AT: usize = INLINE_BYTES - 8;
const _: () = assert!(LAST_AT > 8 && LAST_AT <= 16, "three words cover an inline key");

impl Words {
    /// The words of a key of any length; of one that is not short they mean nothing.
    #[inline]
    fn new(bytes: &[u8]) -> Self {
        let len = bytes.len();
        if len < 8 {
            return Words { first: read_short(bytes), middle: 0, last: 0 };
        }
        let (first, tail) = (read_word(bytes, 0), read_word(bytes, len - 8));
        // What is left of the last eight bytes from a place on.
        let from = |at: usize| tail.checked_shr((8 * (at + 8).saturating_sub(len)) as u32).unwrap_or(0);
        let middle = if len < 16 { from(8) } else { read_word(bytes, 8) };
        Words { first, middle, last: from(LAST_AT) }
    }

    #[inline]
    fn of(padded: &[u8; INLINE_BYTES]) -> Self {
        Words { first: read_word(padded, 0), middle: read_word(padded, 8), last: read_word(padded, LAST_AT) }
    }
}

#[inline]
fn read_word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Fewer than eight bytes as a word: two halves that may overlap.
#[inline]
fn read_short(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d, .., w, x, y, z] => {
            let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([w, x, y, z]));
            u64::from(low) | u64::from(high) << (8 * (bytes.len() - 4))
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

impl<'a> MapKey<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        MapKey { bytes, hash: key_hash(bytes), words: Words::new(bytes) }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) fn is(&self, held: &SmallBytes) -> bool {
        match held {
            SmallBytes::Inline { len, data } => {
                let (ours, theirs) = (&self.words, Words::of(data));
                let different = ours.first ^ theirs.first | ours.middle ^ theirs.middle | ours.last ^ theirs.last;
                different == 0 && usize::from(*len) == self.bytes.len()
            }
            SmallBytes::Heap(bytes) => **bytes == *self.bytes,
        }
    }

    /// The key as a map keeps it.
    #[inline]
    pub(crate) fn to_small(self) -> SmallBytes {
        SmallBytes::new(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn keys_are_what_they_were_made_of_and_nothing_else() {
        let keys: Vec<Vec<u8>> = (0..30)
            .flat_map(|len| [0, 1, 255].map(|byte| (0..len).map(|at| byte ^ (at == len - 1) as u8).collect()))
            .collect();
        for a in &keys {
            let key = MapKey::new(a);
            assert_eq!(key.to_small().as_slice(), a);
            for b in &keys {
                assert_eq!(key.is(&SmallBytes::new(b)), a == b, "{a:?} {b:?}");
            }
        }
    }
}
