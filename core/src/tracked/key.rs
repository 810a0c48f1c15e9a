//! A key on its way to a map: hashed once, and laid out as the map keeps it.

use alloc::vec::Vec;

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
    #[inline]
    fn new(bytes: &[u8]) -> Self {
        // The usual lengths need no detour over memory.
        match *bytes {
            [] => Words { first: 0, middle: 0, last: 0 },
            [a, b, c, d, e, f, g, h] => {
                Words { first: u64::from_le_bytes([a, b, c, d, e, f, g, h]), middle: 0, last: 0 }
            }
            _ => {
                let mut padded = [0; INLINE_BYTES];
                if let Some(start) = padded.get_mut(..bytes.len()) {
                    start.copy_from_slice(bytes);
                }
                Words::of(&padded)
            }
        }
    }

    #[inline]
    fn of(padded: &[u8; INLINE_BYTES]) -> Self {
        let word = |at| padded.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        Words { first: word(0), middle: word(8), last: word(LAST_AT) }
    }

    fn to_padded(self) -> [u8; INLINE_BYTES] {
        let mut padded = [0; INLINE_BYTES];
        padded[LAST_AT..].copy_from_slice(&self.last.to_le_bytes());
        padded[8..16].copy_from_slice(&self.middle.to_le_bytes());
        padded[..8].copy_from_slice(&self.first.to_le_bytes());
        padded
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
        if self.bytes.len() <= INLINE_BYTES {
            SmallBytes::Inline { len: self.bytes.len() as u8, data: self.words.to_padded() }
        } else {
            SmallBytes::new(self.bytes)
        }
    }
}

/// Where keys are put together, one after the other.
#[derive(Debug)]
pub(crate) struct KeyBuffer {
    bytes: Vec<u8>,
    hash: u64,
    words: Words,
}

impl KeyBuffer {
    pub(crate) fn new() -> Self {
        KeyBuffer { bytes: Vec::new(), hash: key_hash(&[]), words: Words::new(&[]) }
    }

    /// A new key, of the bytes that `append` appends.
    pub(crate) fn set(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        append(&mut self.bytes);
        let MapKey { hash, words, .. } = MapKey::new(&self.bytes);
        (self.hash, self.words) = (hash, words);
    }

    /// The key.
    pub(crate) fn key(&self) -> MapKey<'_> {
        MapKey { bytes: &self.bytes, hash: self.hash, words: self.words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
