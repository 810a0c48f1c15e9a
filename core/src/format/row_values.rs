//! Rows of events, put together from values or columns.
//!
//! Most parts take a few bytes of a row. They are written as sixteen bytes at once, of which the next one
//! overwrites what is too much: a copy of a length that is not known beforehand is a call.

use alloc::vec::Vec;

use super::columns::zigzag;
use super::payload::{At, Cell, Sink, beyond_reckoning};
use super::sink::FixedBytes;
use super::tables;
use crate::value::{Value, canonical, varint_len};

/// Bytes that are copied at once.
pub(super) const PIECE_BYTES: usize = 16;
const LEN_SHIFT: u32 = 8 * (PIECE_BYTES as u32 - 1);
/// Numbers of the kinds in front of an integer, a double, a text.
const INT_KIND: u8 = 2;
const FLOAT_KIND: u8 = 3;
const TEXT_KIND: u8 = 4;
/// Rows have their parts in order, wherever columns would have them.
const ANYWHERE: At = At { table: tables::EVENTS, column: 0 };

/// A value as rows have it, the first byte lowest, and how many bytes that is in the highest one; 0 for a longer one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece(u128);

impl Piece {
    pub(super) const NULL: Piece = Piece(1 << LEN_SHIFT);
    /// What is longer than a piece.
    pub(super) const LONG: Piece = Piece(0);

    pub(super) fn of(cell: Cell<'_>) -> Self {
        let mut bytes = [0; PIECE_BYTES];
        let mut fixed = FixedBytes::new(&mut bytes[..PIECE_BYTES - 1]);
        fixed.cell(ANYWHERE, cell);
        let len = fixed.len();
        if len < PIECE_BYTES { Self::new((u128::from_le_bytes(bytes), len)) } else { Piece::LONG }
    }

    #[inline]
    pub(super) fn of_int(int: i64) -> Self {
        int_bytes(int).map_or_else(|| Self::of(Cell::Int(int)), Self::new)
    }

    #[inline]
    pub(super) fn of_float(float: f64) -> Self {
        Self::new(float_bytes(float))
    }

    /// A number without a kind in front.
    #[inline]
    pub(super) fn of_uint(number: u64) -> Self {
        let long = || {
            let mut bytes = [0; PIECE_BYTES];
            let mut fixed = FixedBytes::new(&mut bytes[..PIECE_BYTES - 1]);
            fixed.uint(ANYWHERE, number);
            let len = fixed.len();
            Self::new((u128::from_le_bytes(bytes), len))
        };
        varint_bytes(number).map_or_else(long, |(bytes, len)| Self::new((bytes.into(), len)))
    }

    #[inline]
    fn new((bytes, len): (u128, usize)) -> Self {
        Piece(bytes | (len as u128) << LEN_SHIFT)
    }

    #[inline]
    fn len(self) -> usize {
        (self.0 >> LEN_SHIFT) as usize
    }
}

/// An integer as rows have it, in so many of the bytes; `None` for one of more than 56 bits.
#[inline]
fn int_bytes(int: i64) -> Option<(u128, usize)> {
    let (bytes, len) = varint_bytes(zigzag(int))?;
    Some((u128::from(bytes) << 8 | u128::from(INT_KIND), 1 + len))
}

#[inline]
fn float_bytes(float: f64) -> (u128, usize) {
    (u128::from(canonical(float).to_bits()) << 8 | u128::from(FLOAT_KIND), 9)
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

/// Rows of events on their way to the end of a list, put together from their parts.
#[derive(Debug)]
pub(super) struct RowWriter<'a> {
    /// From `at` on there is room for what comes, with no meaning yet.
    bytes: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> RowWriter<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        let at = bytes.len();
        RowWriter { bytes, at }
    }

    /// Bytes of the list so far.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Makes room for so many parts.
    #[inline]
    pub(super) fn expect(&mut self, parts: usize) {
        let wanted = parts * PIECE_BYTES;
        if self.bytes.len() - self.at < wanted {
            self.bytes.resize(self.at + 2 * wanted, 0);
        }
    }

    /// Whether it was short enough for a piece.
    #[inline]
    pub(super) fn push(&mut self, piece: Piece) -> bool {
        self.push_bytes(piece.0, piece.len());
        piece.len() > 0
    }

    #[inline]
    fn push_bytes(&mut self, bytes: u128, len: usize) {
        if let Some(place) = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes.to_le_bytes();
        }
        self.at += len;
    }

    #[inline]
    pub(super) fn push_uint(&mut self, number: u64) {
        match varint_bytes(number) {
            Some((bytes, len)) => self.push_bytes(bytes.into(), len),
            None => self.insert(0, |bytes| bytes.uint(ANYWHERE, number)),
        }
    }

    #[inline]
    pub(super) fn push_int(&mut self, int: i64) {
        match int_bytes(int) {
            Some((bytes, len)) => self.push_bytes(bytes, len),
            None => self.insert(0, |bytes| bytes.cell(ANYWHERE, Cell::Int(int))),
        }
    }

    #[inline]
    pub(super) fn push_float(&mut self, float: f64) {
        let (bytes, len) = float_bytes(float);
        self.push_bytes(bytes, len);
    }

    /// A text of any length; returns by how much it is longer than its footprint says.
    pub(super) fn push_text(&mut self, text: &str) -> u64 {
        self.insert(text.len(), |bytes| bytes.cell(ANYWHERE, Cell::Bytes(text.as_bytes())));
        beyond_reckoning(text.as_bytes())
    }

    /// The slow way: what is longer than a piece by `longer` bytes at most. There is as much room behind it as before,
    /// since there is so much more at the end: none of it is made anew.
    fn insert(&mut self, longer: usize, append: impl FnOnce(&mut FixedBytes<'_>)) {
        self.bytes.resize(self.bytes.len() + PIECE_BYTES + longer, 0);
        let mut place = FixedBytes::new(self.bytes.get_mut(self.at..).unwrap_or_default());
        append(&mut place);
        self.at += place.len();
    }

    /// Ends the list behind what was written.
    #[inline]
    pub(super) fn finish(self) {
        self.bytes.truncate(self.at);
    }
}

/// Rows of as many parts each, put together side by side: of all of them the first part, then the second.
///
/// So what a column is like is asked once for all rows, and no part waits for the one before it.
#[derive(Debug, Default)]
pub(super) struct RowBatch {
    /// A place of `stride` bytes for each row.
    bytes: Vec<u8>,
    stride: usize,
    /// Bytes of each row so far.
    lens: Vec<usize>,
}

impl RowBatch {
    /// Begins so many rows in place of those that were there.
    pub(super) fn begin(&mut self, rows: usize, parts: usize) {
        self.stride = parts * PIECE_BYTES;
        self.lens.clear();
        self.lens.resize(rows, 0);
        if self.bytes.len() < rows * self.stride {
            self.bytes.resize(rows * self.stride, 0);
        }
    }

    /// Appends a part to each row; none is a long one.
    #[inline]
    pub(super) fn push_each(&mut self, pieces: impl Iterator<Item = Piece>) {
        let rows = self.bytes.chunks_exact_mut(self.stride).zip(&mut self.lens);
        for ((row, len), piece) in rows.zip(pieces) {
            if let Some(place) = row.get_mut(*len..).and_then(|rest| rest.first_chunk_mut()) {
                *place = piece.0.to_le_bytes();
            }
            *len += piece.len();
        }
    }

    /// Bytes of the rows so far.
    pub(super) fn len(&self) -> usize {
        self.lens.iter().sum()
    }

    /// Appends the rows to a list.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        let mut at = out.len();
        out.resize(at + self.len() + PIECE_BYTES, 0);
        for (row, len) in self.bytes.chunks_exact(self.stride).zip(&self.lens) {
            let pieces = row.as_chunks::<PIECE_BYTES>().0.iter().take(len.div_ceil(PIECE_BYTES));
            for (place, piece) in out[at..].as_chunks_mut().0.iter_mut().zip(pieces) {
                *place = *piece;
            }
            at += len;
        }
        out.truncate(at);
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
                self.push_bytes(bytes.to_le_bytes(), len);
            }
            Value::Int(int) => match int_bytes(*int) {
                Some((bytes, len)) => self.push_bytes(bytes.to_le_bytes(), len),
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

    fn any_number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any_number().prop_map(Value::from),
            any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
            (0_usize..400).prop_map(|len| Value::from("x".repeat(len / 2).as_str())),
        ]
    }

    proptest! {
        #[test]
        fn values_are_as_rows_have_them(values in prop::collection::vec((any_value(), any::<bool>()), 0..30)) {
            let (mut written, mut staged, mut expected) = (alloc::vec![7], alloc::vec![7], alloc::vec![7]);
            let (mut writer, mut row) = (RowWriter::new(&mut written), StagedRow::new(&mut staged));
            writer.expect(values.len());
            let (mut beyond, mut reckoned) = (0, 0);
            for (value, by_piece) in &values {
                let cell = super::super::payload::cell_of(value);
                expected.cell(ANYWHERE, cell);
                reckoned += value.footprint().encoded;
                beyond += row.push(value);
                match value {
                    Value::Int(int) if !by_piece => writer.push_int(*int),
                    Value::Float(float) if !by_piece => writer.push_float(*float),
                    Value::Str(text) if !by_piece || !writer.push(Piece::of(cell)) => {
                        writer.push_text(text.as_str());
                    }
                    Value::Str(_) => {}
                    _ => prop_assert!(writer.push(Piece::of(cell))),
                }
            }
            writer.finish();
            row.end();
            prop_assert_eq!(&written, &expected);
            prop_assert_eq!(&staged, &expected);
            prop_assert_eq!(expected.len() as u64 - 1 - beyond, reckoned);
        }

        #[test]
        fn room_is_not_made_anew_for_each_long_value(len in 16_usize..400) {
            let mut written = Vec::new();
            let mut writer = RowWriter::new(&mut written);
            writer.expect(1000);
            writer.bytes.fill(0xff);
            writer.push_text(&"x".repeat(len));
            writer.push_int(i64::MIN);
            writer.push_uint(u64::MAX);
            let (room, made) = (&writer.bytes[writer.at..], 2 * 1000 * PIECE_BYTES);
            prop_assert!(writer.bytes[writer.at..made].iter().all(|byte| *byte == 0xff));
            prop_assert!(room.len() >= made);
        }

        #[test]
        fn numbers_are_varints(number in any_number()) {
            let (mut written, mut staged, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            let mut writer = RowWriter::new(&mut written);
            writer.expect(1);
            writer.push_uint(number as u64);
            writer.finish();
            let mut row = StagedRow::new(&mut staged);
            row.push_uint(number as u64);
            row.end();
            super::super::append_varint(&mut expected, number as u64);
            prop_assert_eq!(&written, &expected);
            prop_assert_eq!(&staged, &expected);
        }
    }
}
