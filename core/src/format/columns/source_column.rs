//! One column of a section, read from its beginning to its end.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::super::Malformed;
use super::super::payload::{text_from, value_of};
use super::super::row_values::{Piece, RowBatch, RowWriter};
use super::cell::{Cell, FALSE, FLOAT, INT, NULL, TRUE};
use super::column::Cells;
use super::entries::Entries;
use super::run::Run;
use super::{Budget, zigzag};
use crate::bytes::INLINE_BYTES;
use crate::value::{Footprint, Value, varint_len};

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

pub(super) fn another_kind() -> Malformed {
    Malformed::new("a cell of another kind than expected")
}

impl<'a> SourceColumn<'a> {
    pub(super) fn new(cells: Cells<'a>, entries: &'a Entries) -> Self {
        SourceColumn { cells, entries, next: 0, next_int: 0, next_float: 0, next_length: 0, next_byte: 0 }
    }

    /// Whether its cells are entries of a dictionary.
    pub(super) fn is_coded(&self) -> bool {
        !matches!(self.cells, Cells::Direct { .. })
    }

    /// All cells: integers, and so many.
    pub(super) fn to_ints(&self, count: usize) -> Result<Vec<i64>, Malformed> {
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
            Some(entry) => self.entries.int(entry).ok_or_else(another_kind),
            None => match self.cell()? {
                Cell::Int(int) => Ok(int),
                _ => Err(another_kind()),
            },
        }
    }

    /// The next cells, which are to be integers, each with one of `places`.
    pub(super) fn for_each_int<P>(
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
    pub(super) fn push_value(
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
        if let Some(int) = self.entries.int(entry) {
            push_int(int);
            return Ok(());
        }
        let value = match self.entries.text(entry) {
            Some(Some(text)) if text.as_bytes().len() <= INLINE_BYTES => {
                footprint.encoded += 2 + text.as_bytes().len() as u64;
                out.push(Value::Str(text.clone()));
                return Ok(());
            }
            Some(Some(text)) => {
                // A short code must not ask for long texts without end.
                budget.take(text.as_bytes().len() as u64)?;
                Value::Str(text.clone())
            }
            Some(None) => return Err(Malformed::new("text is not UTF-8")),
            None => value_of(self.entries.cell(entry).ok_or_else(at_end)?)?,
        };
        *footprint += value.footprint();
        out.push(value);
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
        self.entries.int(entry)
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

    /// The next cells; see [`SourceColumn::fits_batch`].
    pub(super) fn run(&self, rows: usize) -> Run<'_> {
        let range = self.next..self.next + rows;
        // Codes are those of entries: it was asked when they were read.
        let pieces = &self.entries.pieces;
        match &self.cells {
            Cells::Codes(codes) => Run::Codes(&codes[range], pieces),
            Cells::Same(_) => Run::Same(pieces[0]),
            Cells::Direct { tags, kind, ints, .. } if tags.is_empty() && *kind == INT => Run::Ints(&ints[range]),
            Cells::Direct { tags, floats, .. } if tags.is_empty() => Run::Floats(&floats[range]),
            Cells::Direct { tags, ints, .. } => Run::Sparse(&tags[range], &ints[self.next_int..]),
        }
    }

    /// Appends one of the next cells to each row of a batch; see [`SourceColumn::fits_batch`].
    pub(super) fn append_to_batch(&mut self, rows: usize, batch: &mut RowBatch) {
        self.run(rows).append_to_batch(rows, batch);
        self.pass_run(rows);
    }

    /// Passes over the cells of a run.
    pub(super) fn pass_run(&mut self, rows: usize) {
        match &self.cells {
            Cells::Direct { tags, .. } if !tags.is_empty() => {
                self.next_int += tags[self.next..self.next + rows].iter().filter(|tag| **tag == INT).count();
            }
            Cells::Direct { kind: FLOAT, .. } => self.next_float += rows,
            _ => {}
        }
        self.next += rows;
    }

    /// The next cells, if all of them are integers.
    pub(super) fn next_ints(&self, rows: usize) -> Option<Cow<'_, [i64]>> {
        let range = self.next..self.next + rows;
        let int = |entry: usize| self.entries.int(entry);
        match &self.cells {
            Cells::Codes(codes) => codes.get(range)?.iter().map(|code| int(*code as usize)).collect(),
            Cells::Same(count) if range.end <= *count => Some(alloc::vec![int(0)?; rows].into()),
            Cells::Direct { tags, ints, .. } if tags.is_empty() => ints.get(range).map(Cow::Borrowed),
            _ => None,
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
    pub(super) fn cell(&mut self) -> Result<Cell<'_>, Malformed> {
        if let Some(entry) = self.entry()? {
            return self.entries.cell(entry).ok_or_else(at_end);
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
