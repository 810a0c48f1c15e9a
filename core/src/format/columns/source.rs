//! Putting rows together again: a source that takes each part from its column.

use alloc::vec::Vec;

use super::super::payload::{At, EventRows, Source};
use super::super::row_values::RowBatch;
use super::super::{Malformed, event_row};
use super::cell::Cell;
use super::source_column::{SourceColumn, another_kind, at_end};
use super::{Budget, divided_events, event_rows};
use crate::bytes::INLINE_BYTES;
use crate::executor::Executor;
use crate::limits::PARALLEL_EVENTS_MIN;
use crate::value::{Footprint, Value};

/// The columns of one section, each read from its beginning to its end.
pub(crate) struct ColumnSource<'a> {
    tables: Vec<Vec<SourceColumn<'a>>>,
    /// Place in `tables` by the number of a table.
    places: Vec<usize>,
    budget: Budget,
    scratch: Vec<u8>,
    batch: RowBatch,
    executor: Option<&'a dyn Executor>,
}

impl<'a> ColumnSource<'a> {
    pub(super) fn new(
        tables: Vec<(u16, Vec<SourceColumn<'a>>)>,
        budget: Budget,
        executor: Option<&'a dyn Executor>,
    ) -> Self {
        let mut places = Vec::new();
        let mut columns = Vec::with_capacity(tables.len());
        for (number, table) in tables {
            places.resize(places.len().max(usize::from(number) + 1), usize::MAX);
            places[usize::from(number)] = columns.len();
            columns.push(table);
        }
        ColumnSource { tables: columns, places, budget, scratch: Vec::new(), batch: RowBatch::default(), executor }
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
        let is_coded = column.is_coded();
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

    fn read_events(
        &mut self,
        table: u16,
        from: i64,
        count: u64,
        each: &mut (dyn FnMut(EventRows<'_>) + Send),
    ) -> Result<(), Malformed> {
        // Without threads there is nothing to divide, and less to load.
        if cfg!(not(target_family = "wasm"))
            && let Some(executor) = self.executor
            && count >= PARALLEL_EVENTS_MIN
            && let Some(columns) = self.places.get(usize::from(table)).and_then(|place| self.tables.get_mut(*place))
            && divided_events::read(columns, from, count, executor, each)
        {
            return Ok(());
        }
        event_row::read_staged(self, table, from, count, each)
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
