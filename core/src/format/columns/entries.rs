//! The entries of a dictionary as a reader has them.

use alloc::vec::Vec;

use super::super::payload::cell_of;
use super::super::row_values::Piece;
use super::super::{Cursor, Malformed};
use super::cell::{BYTES, Cell, FALSE, FLOAT, INT, NULL, TRUE};
use super::dictionary::ENTRIES_MAX;
use super::ints::IntPlan;
use super::{Budget, cells_that_fit};
use crate::value::{Text, Value};

/// Entries as they were read, in their order: by kind, each kind as short as it is in memory. A few bytes of a plan may
/// stand for thousands of them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Nulls and booleans.
    scalars: Vec<Value>,
    ints: Vec<i64>,
    floats: Vec<f64>,
    strings: Vec<Entry>,
    /// The bytes of all strings.
    text: Vec<u8>,
    /// All entries as rows have them, if they are short; those bytes are not.
    pub(super) pieces: Vec<Piece>,
    /// Whether one of them is not.
    pub(super) has_long: bool,
}

/// A byte string.
#[derive(Debug)]
struct Entry {
    /// Where it is in the bytes of all.
    from: u32,
    to: u32,
    /// As a value of events; `None` if it is no UTF-8.
    text: Option<Text>,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// An entry that is an integer.
    #[inline]
    pub(super) fn int(&self, entry: usize) -> Option<i64> {
        self.ints.get(entry.wrapping_sub(self.scalars.len())).copied()
    }

    /// An entry that is text of events. The outer `None`: it is none; the inner one: it is no UTF-8.
    #[inline]
    pub(super) fn text(&self, entry: usize) -> Option<Option<&Text>> {
        self.strings.get(entry.wrapping_sub(self.before_strings())).map(|entry| entry.text.as_ref())
    }

    pub(super) fn cell(&self, entry: usize) -> Option<Cell<'_>> {
        if let Some(scalar) = self.scalars.get(entry) {
            return Some(cell_of(scalar));
        }
        if let Some(int) = self.int(entry) {
            return Some(Cell::Int(int));
        }
        if let Some(float) = self.floats.get(entry.wrapping_sub(self.scalars.len() + self.ints.len())) {
            return Some(Cell::Float(*float));
        }
        let string = self.strings.get(entry.wrapping_sub(self.before_strings()))?;
        self.text.get(string.from as usize..string.to as usize).map(Cell::Bytes)
    }

    fn before_strings(&self) -> usize {
        self.scalars.len() + self.ints.len() + self.floats.len()
    }

    pub(super) fn read(kinds: u8, cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<Self, Malformed> {
        let mut entries = Entries::default();
        for (kind, value) in [(NULL, Value::Null), (FALSE, Value::Bool(false)), (TRUE, Value::Bool(true))] {
            if kinds & 1 << kind != 0 {
                entries.push_piece(cell_of(&value));
                entries.scalars.push(value);
            }
        }
        if kinds & 1 << INT != 0 {
            let count = entries_that_fit(cursor, budget)?;
            let plan = IntPlan::read(cursor)?;
            entries.ints = plan.read_numbers(cursor, count)?;
            entries.pieces.extend(entries.ints.iter().map(|int| Piece::of_int(*int)));
        }
        if kinds & 1 << FLOAT != 0 {
            for _ in 0..entries_that_fit(cursor, budget)? {
                let bits = cursor.take(8)?.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
                entries.floats.push(f64::from_bits(bits));
                entries.push_piece(Cell::Float(f64::from_bits(bits)));
            }
        }
        if kinds & 1 << BYTES != 0 {
            entries.read_strings(cursor, budget)?;
        }
        Ok(entries)
    }

    fn push_piece(&mut self, cell: Cell<'_>) {
        let piece = Piece::of(cell);
        self.has_long |= piece == Piece::LONG;
        self.pieces.push(piece);
    }

    fn read_strings(&mut self, cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<(), Malformed> {
        let count = entries_that_fit(cursor, budget)?;
        let plan = IntPlan::read(cursor)?;
        let shared = plan.read_numbers(cursor, count)?;
        let plan = IntPlan::read(cursor)?;
        let lengths = plan.read_numbers(cursor, count)?;
        let mut before = 0..0;
        for (shared, length) in shared.into_iter().zip(lengths) {
            let (shared, length) = (shared as u64, length as u64);
            if shared > before.len() as u64 {
                return Err(Malformed::new("an entry of a dictionary shares more than there is"));
            }
            if length == 0 && !self.strings.is_empty() {
                // Sorted, it would not come after the one before. Without a byte of its own, it would take memory for
                // nothing.
                return Err(Malformed::new("an entry of a dictionary adds nothing to the one before"));
            }
            let rest = cursor.take(length)?;
            budget.take(shared)?;
            let start = self.text.len();
            self.text.extend_from_within(before.start..before.start + shared as usize);
            self.text.extend_from_slice(rest);
            before = start..self.text.len();
            let (Ok(from), Ok(to)) = (u32::try_from(before.start), u32::try_from(before.end)) else {
                return Err(Malformed::new("a dictionary is larger than 4 GiB"));
            };
            let text = core::str::from_utf8(&self.text[before.clone()]).ok();
            let piece = text.map_or(Piece::LONG, |text| Piece::of(Cell::Bytes(text.as_bytes())));
            self.strings.push(Entry { from, to, text: text.map(Text::new) });
            self.has_long |= piece == Piece::LONG;
            self.pieces.push(piece);
        }
        Ok(())
    }
}

/// The number of entries of a kind, if there can be as many.
fn entries_that_fit(cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<usize, Malformed> {
    let count = cursor.varint()?;
    if count > ENTRIES_MAX as u64 {
        return Err(Malformed::new("a dictionary of too many entries"));
    }
    cells_that_fit(count, budget)
}

#[cfg(test)]
mod tests {
    use super::super::super::append_varint;
    use super::*;

    #[test]
    fn a_string_that_adds_nothing_to_the_one_before_is_damage() {
        let read = |lengths: &[i64], shared: &[i64], bytes: &[u8]| {
            let mut out = Vec::new();
            append_varint(&mut out, lengths.len() as u64);
            for numbers in [shared, lengths] {
                IntPlan::PLAIN.append(&mut out);
                IntPlan::PLAIN.append_numbers(&mut out, numbers);
            }
            out.extend_from_slice(bytes);
            Entries::read(1 << BYTES, &mut Cursor::new(&out), &mut Budget::new(1 << 20)).map(|entries| entries.len())
        };
        assert_eq!(read(&[0, 3, 1], &[0, 0, 3], b"abcd").unwrap(), 3);
        assert!(read(&[0, 3, 0], &[0, 0, 3], b"abc").is_err());
        assert!(read(&[0, 0], &[0, 0], b"").is_err());
    }
}
