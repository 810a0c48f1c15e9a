//! Packed bytes being written.
//!
//! Most of what a plugin does for an event is to read and write a few short numbers. So there is always room for some
//! more, zeroed beforehand: a number is put where it belongs, and no call asks for memory or copies five bytes.
//! What must be inline says so, since plugins are made small.

use alloc::vec::Vec;

use crate::value::{Value, canonical};

/// Room that numbers and a short key are put into.
const ROOM: usize = 64;
/// Longest varint, in bytes.
const VARINT_BYTES_MAX: usize = 10;
/// Most bytes that two words cover.
const SHORT_BYTES_MAX: usize = 16;

/// Bytes, and room for more.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// What was written, and behind it anything.
    bytes: Vec<u8>,
    /// How much was written.
    len: usize,
}

impl Packed {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Packed { bytes: alloc::vec![0; bytes + ROOM], len: 0 }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Numbers as varints.
    #[inline]
    pub(super) fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        const { assert!(N * VARINT_BYTES_MAX <= ROOM) };
        let room = self.room();
        let len = numbers.into_iter().fold(0, |at, number| put_varint(room, at, number));
        self.len += len;
    }

    /// Numbers as varints, then how many bytes there are, then the bytes.
    #[inline]
    pub(super) fn record<const N: usize>(&mut self, numbers: [u64; N], bytes: &[u8]) {
        const { assert!((N + 1) * VARINT_BYTES_MAX + SHORT_BYTES_MAX <= ROOM) };
        let room = self.room();
        let at = numbers.into_iter().fold(0, |at, number| put_varint(room, at, number));
        let at = put_varint(room, at, bytes.len() as u64);
        if put_short(room, at, bytes) {
            self.len += at + bytes.len();
        } else {
            self.len += at;
            self.many_bytes(bytes);
        }
    }

    #[inline(never)]
    fn many_bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if self.bytes.len() < end {
            self.grow(bytes.len());
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// A value, as its `Serialize` writes it.
    #[inline]
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.numbers([0]),
            Value::Bool(value) => self.numbers([1, u64::from(*value)]),
            Value::Int(value) => self.numbers([2, zigzag(*value)]),
            Value::Float(value) => {
                self.numbers([3]);
                self.many_bytes(&canonical(*value).to_le_bytes());
            }
            Value::Str(text) => self.record([4], text.as_bytes()),
        }
    }

    /// The room behind what was written.
    #[inline(always)]
    fn room(&mut self) -> &mut [u8; ROOM] {
        if self.bytes.len() - self.len < ROOM {
            self.grow(ROOM);
        }
        match self.bytes[self.len..].first_chunk_mut() {
            Some(room) => room,
            None => unreachable!("it has just grown"),
        }
    }

    /// Makes room for so many bytes, and as much again.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        // `resize` would be a loop over bytes where code is made small.
        let mut bytes = alloc::vec![0; 2 * (self.len + more)];
        bytes[..self.len].copy_from_slice(self.as_slice());
        self.bytes = bytes;
    }
}

/// Puts a varint there; where it ends.
#[inline(always)]
fn put_varint(room: &mut [u8; ROOM], at: usize, number: u64) -> usize {
    if number >= 0x80 {
        return put_long_varint(room, at, number);
    }
    room[at] = number as u8;
    at + 1
}

fn put_long_varint(room: &mut [u8; ROOM], mut at: usize, mut number: u64) -> usize {
    while number >= 0x80 {
        room[at] = number as u8 | 0x80;
        number >>= 7;
        at += 1;
    }
    room[at] = number as u8;
    at + 1
}

/// Puts bytes there if they are neither many nor very few, as two words that may overlap; whether it did.
#[inline]
fn put_short(room: &mut [u8; ROOM], at: usize, bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) else { return false };
    let Some(room) = room.get_mut(at..at + bytes.len()).filter(|room| room.len() <= SHORT_BYTES_MAX) else {
        return false;
    };
    if let Some(to) = room.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = room.last_chunk_mut() {
        *to = *last;
    }
    true
}

#[inline]
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}
