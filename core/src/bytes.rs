//! Short byte strings without a heap allocation.

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec::Vec};
use core::fmt;

/// Bytes that fit in the value itself.
pub(crate) const INLINE_BYTES: usize = 22;

/// An immutable byte string of 24 bytes; up to [`INLINE_BYTES`] bytes need no allocation.
///
/// Invariants: what is short enough is inline; inline bytes behind `len` are zero. So two of them
/// compare as arrays of a fixed size, which needs no call.
#[derive(Clone)]
pub(crate) enum SmallBytes {
    Inline {
        len: u8,
        data: [u8; INLINE_BYTES],
    },
    #[cfg(feature = "alloc")]
    Heap(Box<[u8]>),
}

impl SmallBytes {
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self::inline(bytes).unwrap_or_else(|| SmallBytes::Heap(bytes.into()))
    }

    /// Bytes that need no allocation, if they are as few.
    #[inline]
    pub(crate) fn inline(bytes: &[u8]) -> Option<Self> {
        let mut data = [0; INLINE_BYTES];
        let place = data.get_mut(..bytes.len())?;
        match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            // As words, the last of which may overlap with the one before: a copy of any length is a call, and what is
            // written in parts and then read as a whole waits for the parts. It is the shorter code, though.
            (Some(first), Some(last)) if cfg!(feature = "alloc") => {
                let last_ending_at = |end: usize| u64::from_le_bytes(*last).checked_shr(8 * (end - bytes.len()) as u32);
                let [second, third] = match bytes.get(8..).and_then(<[u8]>::first_chunk::<8>) {
                    Some(second) => [u64::from_le_bytes(*second), last_ending_at(24).unwrap_or(0)],
                    None => [last_ending_at(16).unwrap_or(0), 0],
                };
                data[..8].copy_from_slice(first);
                data[8..16].copy_from_slice(&second.to_le_bytes());
                data[16..].copy_from_slice(&third.to_le_bytes()[..INLINE_BYTES - 16]);
            }
            _ => place.copy_from_slice(bytes),
        }
        Some(SmallBytes::Inline { len: bytes.len() as u8, data })
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            SmallBytes::Inline { len, data } => data.get(..usize::from(*len)).unwrap_or(data),
            #[cfg(feature = "alloc")]
            SmallBytes::Heap(bytes) => bytes,
        }
    }

    /// Appends the bytes.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            // With the zeros behind them: a copy of a fixed length needs no call.
            SmallBytes::Inline { len, data } => {
                let end = out.len() + usize::from(*len);
                out.extend_from_slice(data);
                out.truncate(end);
            }
            SmallBytes::Heap(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// The bytes with zeros behind them and their number, if they are inline.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn as_inline(&self) -> Option<(&[u8; INLINE_BYTES], usize)> {
        match self {
            SmallBytes::Inline { len, data } => Some((data, usize::from(*len))),
            SmallBytes::Heap(_) => None,
        }
    }

    /// Bytes on the heap.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            SmallBytes::Inline { .. } => 0,
            #[cfg(feature = "alloc")]
            SmallBytes::Heap(bytes) => heap_bytes_beyond_inline(bytes.len()),
        }
    }
}

#[cfg(feature = "alloc")]
/// What an allocation of `len` bytes takes with its header, in a common allocator.
#[inline]
pub(crate) fn heap_chunk_bytes(len: usize) -> usize {
    if len == 0 { 0 } else { ((len + 8 + 15) & !15).max(32) }
}

#[cfg(feature = "alloc")]
/// Bytes on the heap of a [`SmallBytes`] of `len` bytes.
#[inline]
pub(crate) fn heap_bytes_beyond_inline(len: usize) -> usize {
    if len > INLINE_BYTES { heap_chunk_bytes(len) } else { 0 }
}

#[cfg(feature = "alloc")]
/// What an allocation for `capacity` elements takes.
#[inline]
pub(crate) fn heap_bytes_of<T>(capacity: usize) -> u64 {
    heap_chunk_bytes(capacity * size_of::<T>()) as u64
}

impl PartialEq for SmallBytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (SmallBytes::Inline { len: a_len, data: a }, SmallBytes::Inline { len: b_len, data: b }) => {
                a_len == b_len && a == b
            }
            #[cfg(feature = "alloc")]
            _ => self.as_slice() == other.as_slice(),
        }
    }
}

impl Eq for SmallBytes {}

impl PartialOrd for SmallBytes {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallBytes {
    #[inline]
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        match (self, other) {
            (SmallBytes::Inline { len: a_len, data: a }, SmallBytes::Inline { len: b_len, data: b }) => {
                a.cmp(b).then(a_len.cmp(b_len))
            }
            #[cfg(feature = "alloc")]
            _ => self.as_slice().cmp(other.as_slice()),
        }
    }
}

impl fmt::Debug for SmallBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_slice() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

const _: () = assert!(size_of::<SmallBytes>() <= 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_slices() {
        let strings: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", &[b'a'; 22], &[b'a'; 23]];
        for (a, b) in strings.iter().flat_map(|a| strings.map(|b| (*a, b))) {
            assert_eq!(SmallBytes::new(a).cmp(&SmallBytes::new(b)), a.cmp(b), "{a:?} {b:?}");
            assert_eq!(SmallBytes::new(a) == SmallBytes::new(b), a == b, "{a:?} {b:?}");
        }
    }

    #[test]
    fn keeps_what_it_was_given_on_both_sides_of_the_inline_limit() {
        for len in (0..=INLINE_BYTES + 1).chain([1000]) {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 250) as u8 + 1).collect();
            let small = SmallBytes::new(&bytes);
            assert_eq!(small.as_slice(), bytes);
            assert_eq!(small.heap_bytes() > 0, len > INLINE_BYTES);
        }
    }
}
