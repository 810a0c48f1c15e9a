//! Putting rows together again: a source that takes each part from its column.

use alloc::vec::Vec;
use core::iter::repeat_n;

use super::super::Malformed;
use super::super::payload::{At, Source, cell_of, text_from, value_of};
use super::super::row_values::{Piece, RowBatch, RowWriter};
use super::Budget;
use super::cell::{Cell, FALSE, FLOAT, INT, NULL, TRUE};
use super::column::Cells;
use super::dictionary::{Entries, NO_BYTES};
use super::{event_rows, zigzag};
use crate::bytes::INLINE_BYTES;
use crate::value::{Footprint, Value, varint_len};

/// The columns of one section, each read from its beginning to its end.
#[derive(Debug)]
pub(crate) struct ColumnSource<'a> {
    tables: Vec<Vec<SourceColumn<'a>>>,
    /// Place in `tables` by the number of a table.
    places: Vec<usize>,
    budget: Budget,
    scratch: Vec<u8>,
    batch: RowBatch,
}

#[derive(Debug)]
pub(super) struct SourceColumn<'a> {
    cells: Cells<'a>,
    entries: &'a Entries,
    next: usize,
    next_int: usize,
    next_float: usize,
    next_length: usize,
    next_byte: usize,
}

pub(super) fn at_end() -> Malformed {
    Malformed::new("a column ends early")
}

fn another_kind() -> Malformed {
    Malformed::new("a cell of another kind than expected")
}

impl<'a> SourceColumn<'a> {
    pub(super) fn new(cells: Cells<'a>, entries: &'a Entries) -> Self {
        SourceColumn { cells, entries, next: 0, next_int: 0, next_float: 0, next_length: 0, next_byte: 0 }
    }

    /// All cells, if they are integers, and so many.
    pub(super) fn to_ints(&self, count: usize) -> Option<Vec<i64>> {
        self.cells.to_ints(count, self.entries)
    }

    /// Cells that have not been taken.
    pub(super) fn left(&self) -> usize {
        self.cells.count() - self.next
    }

    /// The next entry of a coded column.
    #[inline]
    fn entry(&mut self) -> Result<Option<usize>, Malformed> {
        let entry = match &self.cells {
            Cells::Codes(codes) => *codes.get(self.next).ok_or_else(at_end)? as usize,
            Cells::Same(count) if self.next < *count => 0,
            Cells::Same(_) => return Err(at_end()),
            Cells::Direct { .. } => return Ok(None),
        };
        self.next += 1;
        Ok(Some(entry))
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i64, Malformed> {
        if let Cells::Direct { tags, ints, .. } = &self.cells
            && tags.is_empty()
        {
            // All cells are integers, or none is.
            let int = *ints.get(self.next).ok_or_else(at_end)?;
            self.next += 1;
            return Ok(int);
        }
        match self.entry()? {
            Some(entry) => match self.entries.values.get(entry) {
                Some(Value::Int(int)) => Ok(*int),
                _ => Err(another_kind()),
            },
            None => match self.cell()? {
                Cell::Int(int) => Ok(int),
                _ => Err(another_kind()),
            },
        }
    }

    /// The next cells, which are to be integers, each with one of `places`.
    fn for_each_int<P>(
        &mut self,
        cells: usize,
        places: impl Iterator<Item = P>,
        mut each: impl FnMut(i64, P),
    ) -> Result<(), Malformed> {
        if let Cells::Direct { tags, ints, .. } = &self.cells
            && tags.is_empty()
        {
            let ints = ints.get(self.next..self.next + cells).ok_or_else(at_end)?;
            ints.iter().zip(places).for_each(|(int, place)| each(*int, place));
            self.next += cells;
            return Ok(());
        }
        for place in places.take(cells) {
            each(self.int()?, place);
        }
        Ok(())
    }

    /// Pushes the next cell as a value of an event. It is made where it stays: one that is handed back
    /// would be written in parts and read as a whole, which waits for the parts.
    #[inline]
    fn push_value(
        &mut self,
        out: &mut Vec<Value>,
        footprint: &mut Footprint,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let mut push_int = |int: i64| {
            out.push(Value::Int(int));
            footprint.encoded += 1 + varint_len(zigzag(int)) as u64;
        };
        let entry = match &self.cells {
            Cells::Codes(codes) => *codes.get(self.next).ok_or_else(at_end)? as usize,
            Cells::Same(count) if self.next < *count => 0,
            Cells::Direct { tags, ints, .. } if tags.is_empty() && self.next < ints.len() => {
                push_int(ints[self.next]);
                self.next += 1;
                return Ok(());
            }
            Cells::Direct { tags, .. } if tags.get(self.next) == Some(&NULL) => {
                out.push(Value::Null);
                footprint.encoded += 1;
                self.next += 1;
                return Ok(());
            }
            Cells::Direct { tags, ints, .. } if tags.get(self.next) == Some(&INT) => {
                push_int(*ints.get(self.next_int).ok_or_else(at_end)?);
                self.next_int += 1;
                self.next += 1;
                return Ok(());
            }
            Cells::Direct { .. } => {
                let value = value_of(self.cell()?)?;
                *footprint += value.footprint();
                out.push(value);
                return Ok(());
            }
            Cells::Same(_) => return Err(at_end()),
        };
        self.next += 1;
        match self.entries.values.get(entry).ok_or_else(at_end)? {
            Value::Int(int) => push_int(*int),
            Value::Str(text) if text.as_bytes().len() <= INLINE_BYTES => {
                footprint.encoded += 2 + text.as_bytes().len() as u64;
                out.push(Value::Str(text.clone()));
            }
            value => {
                match value {
                    // A short code must not ask for long texts without end.
                    Value::Str(text) => {
                        budget.take(text.as_bytes().len() as u64)?;
                    }
                    Value::Null if self.entries.has_bytes && self.entries.spans[entry] != NO_BYTES => {
                        return Err(Malformed::new("text is not UTF-8"));
                    }
                    _ => {}
                }
                *footprint += value.footprint();
                out.push(value.clone());
            }
        }
        Ok(())
    }

    /// The integer that each of the next cells is, if all of them are the same.
    pub(super) fn same_int(&self, cells: usize) -> Option<i64> {
        let range = self.next..self.next + cells;
        let all_same = |code: &[u32]| code.iter().all(|other| *other == code[0]).then_some(code[0] as usize);
        let entry = match &self.cells {
            Cells::Codes(codes) => codes.get(range).filter(|codes| !codes.is_empty()).and_then(all_same)?,
            Cells::Same(count) if range.end <= *count => 0,
            Cells::Same(_) => return None,
            Cells::Direct { tags, ints, .. } => {
                let ints = ints.get(range).filter(|_| tags.is_empty())?;
                return ints.first().copied().filter(|first| ints.iter().all(|other| other == first));
            }
        };
        match self.entries.values.get(entry) {
            Some(Value::Int(int)) => Some(*int),
            _ => None,
        }
    }

    /// Passes over so many cells that all are integers, and there.
    pub(super) fn pass(&mut self, cells: usize) {
        self.next += cells;
    }

    /// Whether the next cells are there, and each fits into a piece.
    pub(super) fn fits_batch(&self, rows: usize) -> bool {
        if self.left() < rows {
            return false;
        }
        match &self.cells {
            Cells::Codes(_) | Cells::Same(_) => !self.entries.has_long,
            Cells::Direct { tags, kind, .. } if tags.is_empty() => matches!(*kind, INT | FLOAT),
            Cells::Direct { tags, .. } => {
                tags[self.next..self.next + rows].iter().all(|tag| matches!(*tag, NULL | INT))
            }
        }
    }

    /// Appends one of the next cells to each row of a batch; see [`SourceColumn::fits_batch`].
    pub(super) fn append_to_batch(&mut self, rows: usize, batch: &mut RowBatch) {
        let range = self.next..self.next + rows;
        self.next = range.end;
        // Codes are those of entries: it was asked when they were read.
        let pieces = &self.entries.pieces;
        match &self.cells {
            Cells::Codes(codes) => batch.push_each(codes[range].iter().map(|code| pieces[*code as usize])),
            Cells::Same(_) => batch.push_each(repeat_n(pieces[0], rows)),
            Cells::Direct { tags, kind, ints, .. } if tags.is_empty() && *kind == INT => {
                batch.push_each(ints[range].iter().map(|int| Piece::of_int(*int)));
            }
            Cells::Direct { tags, floats, .. } if tags.is_empty() => {
                batch.push_each(floats[range].iter().map(|float| Piece::of_float(*float)));
                self.next_float += rows;
            }
            Cells::Direct { tags, ints, .. } => {
                let mut next_ints = ints[self.next_int..].iter();
                let piece = |tag: &u8| if *tag == INT { next_ints.next().map(|int| Piece::of_int(*int)) } else { None };
                batch.push_each(tags[range].iter().map(piece).map(|piece| piece.unwrap_or(Piece::NULL)));
                self.next_int = ints.len() - next_ints.len();
            }
        }
    }

    /// Appends the next cell to a row, as a value of an event; returns by how much it is longer than its footprint
    /// says.
    #[inline]
    pub(super) fn append_value(&mut self, row: &mut RowWriter<'_>, budget: &mut Budget) -> Result<u64, Malformed> {
        let entry = match &self.cells {
            Cells::Codes(codes) => *codes.get(self.next).ok_or_else(at_end)? as usize,
            Cells::Same(count) if self.next < *count => 0,
            Cells::Direct { tags, ints, .. } if tags.is_empty() && self.next < ints.len() => {
                row.push_int(ints[self.next]);
                self.next += 1;
                return Ok(0);
            }
            Cells::Direct { tags, .. } if tags.get(self.next) == Some(&NULL) => {
                row.push(Piece::NULL);
                self.next += 1;
                return Ok(0);
            }
            Cells::Direct { tags, ints, .. } if tags.get(self.next) == Some(&INT) => {
                row.push_int(*ints.get(self.next_int).ok_or_else(at_end)?);
                self.next_int += 1;
                self.next += 1;
                return Ok(0);
            }
            Cells::Direct { .. } => return self.append_cell(row, None),
            Cells::Same(_) => return Err(at_end()),
        };
        if row.push(*self.entries.pieces.get(entry).ok_or_else(at_end)?) {
            self.next += 1;
            return Ok(0);
        }
        self.append_cell(row, Some(budget))
    }

    /// As [`SourceColumn::append_value`], of any cell; `budget` if it is an entry.
    fn append_cell(&mut self, row: &mut RowWriter<'_>, budget: Option<&mut Budget>) -> Result<u64, Malformed> {
        match self.cell()? {
            Cell::Float(float) => row.push_float(float),
            Cell::Int(int) => row.push_int(int),
            Cell::Bytes(bytes) => {
                let text = text_from(bytes)?;
                if let Some(budget) = budget
                    && text.len() > INLINE_BYTES
                {
                    // A short code must not ask for long texts without end.
                    budget.take(text.len() as u64)?;
                }
                return Ok(row.push_text(text));
            }
            other => {
                row.push(Piece::of(other));
            }
        }
        Ok(0)
    }

    #[inline]
    fn cell(&mut self) -> Result<Cell<'_>, Malformed> {
        if let Some(entry) = self.entry()? {
            let span = *self.entries.spans.get(entry).ok_or_else(at_end)?;
            if span != NO_BYTES {
                return Ok(Cell::Bytes(&self.entries.text[span.0 as usize..span.1 as usize]));
            }
            return Ok(cell_of(&self.entries.values[entry]));
        }
        let Cells::Direct { count, tags, kind, ints, floats, lengths, text } = &self.cells else {
            return Err(at_end());
        };
        if self.next >= *count {
            return Err(at_end());
        }
        let only = tags.is_empty();
        let kind = if only { *kind } else { *tags.get(self.next).ok_or_else(at_end)? };
        self.next += 1;
        match kind {
            NULL => Ok(Cell::Null),
            FALSE => Ok(Cell::Bool(false)),
            TRUE => Ok(Cell::Bool(true)),
            INT if only => Ok(Cell::Int(*ints.get(self.next - 1).ok_or_else(at_end)?)),
            INT => {
                self.next_int += 1;
                Ok(Cell::Int(*ints.get(self.next_int - 1).ok_or_else(at_end)?))
            }
            FLOAT => {
                self.next_float += 1;
                Ok(Cell::Float(*floats.get(self.next_float - 1).ok_or_else(at_end)?))
            }
            _ => {
                let length = *lengths.get(self.next_length).ok_or_else(at_end)? as usize;
                self.next_length += 1;
                let from = self.next_byte;
                self.next_byte += length;
                Ok(Cell::Bytes(text.get(from..from + length).ok_or_else(at_end)?))
            }
        }
    }
}

impl<'a> ColumnSource<'a> {
    pub(super) fn new(tables: Vec<(u16, Vec<SourceColumn<'a>>)>, budget: Budget) -> Self {
        let mut places = Vec::new();
        let mut columns = Vec::with_capacity(tables.len());
        for (number, table) in tables {
            places.resize(places.len().max(usize::from(number) + 1), usize::MAX);
            places[usize::from(number)] = columns.len();
            columns.push(table);
        }
        ColumnSource { tables: columns, places, budget, scratch: Vec::new(), batch: RowBatch::default() }
    }

    #[inline]
    fn column(&mut self, at: At) -> Result<&mut SourceColumn<'a>, Malformed> {
        let table = self.places.get(usize::from(at.table)).and_then(|place| self.tables.get_mut(*place));
        table.and_then(|table| table.get_mut(usize::from(at.column))).ok_or_else(at_end)
    }

    /// Appends keys or values of one length, which their words make: those of the next rows, word by word.
    pub(super) fn append_words(
        &mut self,
        (table, len): (u16, usize),
        big_endian: bool,
        rows: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let start = out.len();
        for column in 0..len.div_ceil(8) {
            let at = At { table, column: column as u16 };
            let column_read = self.column(at)?;
            if column_read.left() < rows {
                return Err(at_end());
            }
            if column == 0 {
                out.resize(start + rows * len, 0);
            }
            let from = 8 * column;
            let to = len.min(from + 8);
            let places = out[start..].chunks_exact_mut(len).map(|row| &mut row[from..to]);
            column_read.for_each_int(rows, places, |word, place| {
                let bytes = if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
                match place.first_chunk_mut() {
                    // A copy of a length that is not known beforehand is a call.
                    Some(place) => *place = bytes,
                    None if big_endian => place.copy_from_slice(&bytes[8 - place.len()..]),
                    None => place.copy_from_slice(&bytes[..place.len()]),
                }
            })?;
        }
        Ok(())
    }

    /// Whether every cell was taken: more of them would be lost.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        let is_left = |column: &SourceColumn<'_>| column.left() > 0;
        if self.tables.iter().flatten().any(is_left) {
            return Err(Malformed::new("cells left over at the end of a section"));
        }
        Ok(())
    }
}

impl Source for ColumnSource<'_> {
    #[inline]
    fn uint(&mut self, at: At) -> Result<u64, Malformed> {
        Ok(self.column(at)?.int()? as u64)
    }

    #[inline]
    fn int(&mut self, at: At, from: i64) -> Result<i64, Malformed> {
        Ok(self.column(at)?.int()?.wrapping_add(from))
    }

    fn int128(&mut self, at: At, high: At) -> Result<i128, Malformed> {
        let low = self.int(at, 0)?;
        let high = self.int(high, 0)?.wrapping_add(low >> 63);
        Ok(i128::from(high) << 64 | i128::from(low as u64))
    }

    fn float(&mut self, at: At) -> Result<f64, Malformed> {
        match self.column(at)?.cell()? {
            Cell::Float(float) => Ok(float),
            _ => Err(another_kind()),
        }
    }

    fn cell(&mut self, at: At) -> Result<Cell<'_>, Malformed> {
        let table = self.places.get(usize::from(at.table)).and_then(|place| self.tables.get_mut(*place));
        let column = table.and_then(|table| table.get_mut(usize::from(at.column))).ok_or_else(at_end)?;
        let is_coded = !matches!(column.cells, Cells::Direct { .. });
        let cell = column.cell()?;
        if let Cell::Bytes(bytes) = cell
            && is_coded
            && bytes.len() > INLINE_BYTES
        {
            self.budget.take(bytes.len() as u64)?;
        }
        Ok(cell)
    }

    #[inline]
    fn value(&mut self, at: At) -> Result<Value, Malformed> {
        let table = self.places.get(usize::from(at.table)).and_then(|place| self.tables.get_mut(*place));
        let column = table.and_then(|table| table.get_mut(usize::from(at.column))).ok_or_else(at_end)?;
        let mut value = Vec::with_capacity(1);
        column.push_value(&mut value, &mut Footprint::default(), &mut self.budget)?;
        value.pop().ok_or_else(at_end)
    }

    fn values(&mut self, at: At, count: u64) -> Result<(Vec<Value>, Footprint), Malformed> {
        let mut footprint = Footprint::default();
        if count == 0 {
            return Ok((Vec::new(), footprint));
        }
        let table = self.places.get(usize::from(at.table)).and_then(|place| self.tables.get_mut(*place));
        let from = usize::from(at.column);
        let to = usize::try_from(count).ok().and_then(|count| from.checked_add(count));
        let columns = table.zip(to).and_then(|(table, to)| table.get_mut(from..to)).ok_or_else(at_end)?;
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            column.push_value(&mut values, &mut footprint, &mut self.budget)?;
        }
        Ok((values, footprint))
    }

    fn append_events(
        &mut self,
        table: u16,
        from: i64,
        (count, bytes): (u64, usize),
        out: &mut Vec<u8>,
    ) -> Result<(u64, u64), Malformed> {
        let table = self.places.get(usize::from(table)).and_then(|place| self.tables.get_mut(*place));
        let columns = table.map(Vec::as_mut_slice).ok_or_else(at_end)?;
        event_rows::append(columns, from, (count, bytes), (&mut self.batch, &mut self.budget), out)
    }

    fn take_scratch(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.scratch)
    }

    fn keep_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    fn room_for(&self, at: At, count: u64) -> usize {
        let table = self.places.get(usize::from(at.table)).and_then(|place| self.tables.get(*place));
        let left = table.and_then(|table| table.get(usize::from(at.column))).map_or(0, SourceColumn::left);
        usize::try_from(count).unwrap_or(usize::MAX).min(left)
    }
}
