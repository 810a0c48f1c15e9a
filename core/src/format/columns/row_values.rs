//! Values as rows have them, put together from columns.
//!
//! Most values take a few bytes of a row. They are copied as sixteen bytes at once, of which the next one
//! overwrites what is too much: a copy of a length that is not known beforehand would be a call.

use alloc::vec::Vec;

use super::super::payload::{At, Cell, Sink, beyond_reckoning};
use super::super::sink::FixedBytes;
use super::{tables, zigzag};
use crate::value::{canonical, varint_len};

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 16;
/// Number of the kind in front of an integer, and of a double.
const INT_KIND: u8 = 2;
const FLOAT_KIND: u8 = 3;
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
        let number = zigzag(int);
        if number >= 1 << 56 {
            return self.push_cell(Cell::Int(int));
        }
        // Each seven bits into a byte: the halves apart, then their halves, and theirs.
        let apart = (number & 0x0fff_ffff) | (number & 0x00ff_ffff_f000_0000) << 4;
        let apart = (apart & 0x0000_3fff_0000_3fff) | (apart & 0x0fff_c000_0fff_c000) << 2;
        let apart = (apart & 0x007f_007f_007f_007f) | (apart & 0x3f80_3f80_3f80_3f80) << 1;
        let len = varint_len(number);
        let more = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
        let bytes = u128::from(apart | more) << 8 | u128::from(INT_KIND);
        self.push_bytes(bytes.to_le_bytes(), 1 + len);
    }

    #[inline]
    pub(super) fn push_float(&mut self, float: f64) {
        let bytes = u128::from(canonical(float).to_bits()) << 8 | u128::from(FLOAT_KIND);
        self.push_bytes(bytes.to_le_bytes(), 9);
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
