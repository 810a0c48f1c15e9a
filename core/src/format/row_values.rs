//! Values as rows have them, put together from columns.
//!
//! Most values take a few bytes of a row. They are copied as sixteen bytes at once, of which the next one
//! overwrites what is too much: a copy of a length that is not known beforehand would be a call.

use alloc::vec::Vec;

use super::columns::zigzag;
use super::payload::{At, Cell, Sink, beyond_reckoning};
use super::sink::FixedBytes;
use super::tables;
use crate::value::{Value, canonical, varint_len};

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 16;
/// Numbers of the kinds in front of an integer, a double, a text.
const INT_KIND: u8 = 2;
const FLOAT_KIND: u8 = 3;
const TEXT_KIND: u8 = 4;
/// Rows have their parts in order, wherever columns would have them.
const ANYWHERE: At = At { table: tables::EVENTS, column: 0 };

/// A value as rows have it, and how many bytes that is in the last byte; 0 for a longer one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece([u8; PIECE_BYTES]);

impl Piece {
    pub(super) const NULL: Piece = Piece([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// What is longer than a piece.
    pub(super) const LONG: Piece = Piece([0; PIECE_BYTES]);

    pub(super) fn of(cell: Cell<'_>) -> Self {
        let mut bytes = [0; PIECE_BYTES];
        let mut fixed = FixedBytes::new(&mut bytes[..PIECE_BYTES - 1]);
        fixed.cell(ANYWHERE, cell);
        let len = fixed.len();
        bytes[PIECE_BYTES - 1] = if len < PIECE_BYTES { len as u8 } else { 0 };
        Piece(bytes)
    }

    #[inline]
    fn len(self) -> usize {
        usize::from(self.0[PIECE_BYTES - 1])
    }
}

/// An integer as rows have it, in so many of the bytes; `None` for one of more than 56 bits.
#[inline]
fn int_bytes(int: i64) -> Option<([u8; PIECE_BYTES], usize)> {
    let (bytes, len) = varint_bytes(zigzag(int))?;
    Some(((u128::from(bytes) << 8 | u128::from(INT_KIND)).to_le_bytes(), 1 + len))
}

#[inline]
fn float_bytes(float: f64) -> ([u8; PIECE_BYTES], usize) {
    let bytes = u128::from(canonical(float).to_bits()) << 8 | u128::from(FLOAT_KIND);
    (bytes.to_le_bytes(), 9)
}

/// A number of at most 56 bits as a varint, the first byte lowest, and how many bytes it takes.
#[inline]
fn varint_bytes(number: u64) -> Option<(u64, usize)> {
    if number < 0x80 {
        return Some((number, 1));
    }
    if number >= 1 << 56 {
        return None;
    }
    // Each seven bits into a byte: the halves apart, then their halves, and theirs.
    let apart = (number & 0x0fff_ffff) | (number & 0x00ff_ffff_f000_0000) << 4;
    let apart = (apart & 0x0000_3fff_0000_3fff) | (apart & 0x0fff_c000_0fff_c000) << 2;
    let apart = (apart & 0x007f_007f_007f_007f) | (apart & 0x3f80_3f80_3f80_3f80) << 1;
    let len = varint_len(number);
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
    Some((apart | more, len))
}

/// Values on their way to the end of a row.
#[derive(Debug)]
pub(super) struct RowValues<'a> {
    /// Behind `at` there is room for what comes.
    bytes: &'a mut Vec<u8>,
    from: usize,
    at: usize,
    /// Bytes that footprints leave out.
    beyond: u64,
    /// Most values that come.
    count: usize,
}

impl<'a> RowValues<'a> {
    /// Appends to `bytes`, so many values at most.
    #[inline]
    pub(super) fn new(bytes: &'a mut Vec<u8>, count: usize) -> Self {
        let from = bytes.len();
        bytes.resize(from + count * PIECE_BYTES, 0);
        RowValues { bytes, from, at: from, beyond: 0, count }
    }

    /// Whether it was short enough for a piece.
    #[inline]
    pub(super) fn push(&mut self, piece: Piece) -> bool {
        self.push_bytes(piece.0, piece.len());
        piece.len() > 0
    }

    #[inline]
    fn push_bytes(&mut self, bytes: [u8; PIECE_BYTES], len: usize) {
        if let Some(place) = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes;
        }
        self.at += len;
    }

    #[inline]
    pub(super) fn push_int(&mut self, int: i64) {
        match int_bytes(int) {
            Some((bytes, len)) => self.push_bytes(bytes, len),
            None => self.push_cell(Cell::Int(int)),
        }
    }

    #[inline]
    pub(super) fn push_float(&mut self, float: f64) {
        let (bytes, len) = float_bytes(float);
        self.push_bytes(bytes, len);
    }

    /// Any value, at any length. A text has to be UTF-8.
    pub(super) fn push_cell(&mut self, cell: Cell<'_>) {
        self.bytes.truncate(self.at);
        if let Cell::Bytes(text) = cell {
            self.beyond += beyond_reckoning(text);
        }
        self.bytes.cell(ANYWHERE, cell);
        self.at = self.bytes.len();
        self.bytes.resize(self.at + self.count * PIECE_BYTES, 0);
    }

    /// Ends the row; returns what [`Footprint::encoded`](crate::value::Footprint::encoded) says of the values.
    #[inline]
    pub(super) fn finish(self) -> u64 {
        self.bytes.truncate(self.at);
        (self.at - self.from) as u64 - self.beyond
    }
}

/// The beginning of a row, put together where nothing grows, and its end in the list it belongs to.
///
/// So a list of rows grows once for most of them, and the first one gets just the room it needs.
#[derive(Debug)]
pub(super) struct StagedRow<'a> {
    out: &'a mut Vec<u8>,
    staged: [u8; STAGED_BYTES],
    at: usize,
}

/// Most rows are shorter.
const STAGED_BYTES: usize = 192;

impl<'a> StagedRow<'a> {
    #[inline]
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        StagedRow { out, staged: [0; STAGED_BYTES], at: 0 }
    }

    #[inline]
    pub(super) fn push_uint(&mut self, number: u64) {
        match varint_bytes(number) {
            Some((bytes, len)) => self.push_bytes(bytes.to_le_bytes(), len),
            None => self.end().uint(ANYWHERE, number),
        }
    }

    /// Returns by how much the value is longer than its footprint says.
    #[inline]
    pub(super) fn push(&mut self, value: &Value) -> u64 {
        match value {
            Value::Null => self.push_bytes([0], 1),
            Value::Bool(bool) => self.push_bytes([1, u8::from(*bool)], 2),
            Value::Float(float) => {
                let (bytes, len) = float_bytes(*float);
                self.push_bytes(bytes, len);
            }
            Value::Int(int) => match int_bytes(*int) {
                Some((bytes, len)) => self.push_bytes(bytes, len),
                None => self.end().cell(ANYWHERE, Cell::Int(*int)),
            },
            Value::Str(text) => match text.as_inline() {
                Some((bytes, len)) => {
                    self.push_bytes([TEXT_KIND, len as u8], 2);
                    self.push_bytes(*bytes, len);
                }
                None => {
                    self.end().cell(ANYWHERE, Cell::Bytes(text.as_bytes()));
                    return beyond_reckoning(text.as_bytes());
                }
            },
        }
        0
    }

    /// The list, with all that was staged at its end.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        self.out.extend_from_slice(&self.staged[..self.at]);
        self.at = 0;
        self.out
    }

    /// The first `len` bytes of some.
    #[inline]
    fn push_bytes<const N: usize>(&mut self, bytes: [u8; N], len: usize) {
        if self.at + N > STAGED_BYTES {
            self.end();
        }
        if let Some(place) = self.staged.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes;
        }
        self.at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_cell() -> impl Strategy<Value = (u8, i64, u8)> {
        (0_u8..5, prop_oneof![any::<i64>(), -300_i64..300, (0_u32..64).prop_map(|bits| 1_i64 << bits)], 0_u8..40)
    }

    proptest! {
        #[test]
        fn values_are_as_rows_have_them(cells in prop::collection::vec(any_cell(), 0..12)) {
            let text = [b'x'; 200];
            let (mut bytes, mut expected) = (alloc::vec![7], alloc::vec![7]);
            let mut row = RowValues::new(&mut bytes, cells.len());
            for (kind, number, len) in cells {
                let cell = match kind {
                    0 => Cell::Null,
                    1 => Cell::Bool(number > 0),
                    2 => Cell::Int(number),
                    3 => Cell::Float(f64::from_bits(number as u64)),
                    _ => Cell::Bytes(&text[..usize::from(len) * 5]),
                };
                expected.cell(ANYWHERE, cell);
                match cell {
                    Cell::Int(int) if len % 2 == 0 => row.push_int(int),
                    Cell::Float(float) if len % 2 == 0 => row.push_float(float),
                    _ if !row.push(Piece::of(cell)) => row.push_cell(cell),
                    _ => {}
                }
            }
            row.finish();
            prop_assert_eq!(bytes, expected);
        }
    }
}
