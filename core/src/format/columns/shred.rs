//! Taking rows apart: a sink that puts each part into its column.

use alloc::vec::Vec;

use super::super::Malformed;
use super::super::payload::{At, Sink, Source};
use super::cell::Cell;
use super::table::{PlannedTable, Table};
use super::tables;
use crate::pace::Pace;

/// Room for fewer rows than this is found as they come.
const EXPECTED_ROWS_MIN: u64 = 4096;

/// Tables under construction.
#[derive(Debug, Default)]
pub(super) struct Shredder {
    /// By their numbers; those that nothing was put into are empty.
    tables: Vec<Option<Table>>,
    sections: usize,
    /// Numbers on their way into a column.
    scratch: Vec<i64>,
}

impl Shredder {
    #[inline]
    fn table(&mut self, number: u16) -> &mut Table {
        let number = usize::from(number);
        if number >= self.tables.len() {
            self.tables.resize_with(number + 1, || None);
        }
        let sections = self.sections;
        self.tables[number].get_or_insert_with(|| Table::new(sections))
    }

    /// Puts numbers into one column, all at once.
    pub(super) fn ints(&mut self, at: At, append: impl FnOnce(&mut Vec<i64>)) {
        let mut numbers = core::mem::take(&mut self.scratch);
        numbers.clear();
        append(&mut numbers);
        let columns = self.table(at.table).columns(usize::from(at.column), 1);
        columns.iter_mut().for_each(|column| column.push_ints(&numbers));
        self.scratch = numbers;
    }

    pub(super) fn end_section(&mut self) {
        self.sections += 1;
        self.tables.iter_mut().flatten().for_each(Table::end_section);
    }

    /// Makes room for all, once a part of so many bytes has been taken apart: most columns go on as they begin.
    pub(super) fn reserve_rest(&mut self, part: u64, all: u64) {
        self.tables.iter_mut().flatten().for_each(|table| table.reserve_rest(part, all));
    }

    /// Plans all tables, with their numbers.
    pub(super) async fn plan(self, pace: &Pace) -> Vec<(u16, PlannedTable)> {
        // What has no bytes has no columns: no table then.
        let tables = self.tables.into_iter().zip(0..).filter_map(|(table, number)| Some((table?, number)));
        let mut planned: Vec<(u16, PlannedTable)> = Vec::new();
        for (table, number) in tables.filter(|(table, _)| !table.is_empty()) {
            let mut table = table.plan(pace).await;
            table.put_along(&planned, pace).await;
            planned.push((number, table));
        }
        planned
    }
}

impl Sink for Shredder {
    #[inline]
    fn uint(&mut self, at: At, number: u64) {
        self.table(at.table).push_int(usize::from(at.column), number as i64);
    }

    #[inline]
    fn int(&mut self, at: At, number: i64, from: i64) {
        self.table(at.table).push_int(usize::from(at.column), number.wrapping_sub(from));
    }

    fn int128(&mut self, at: At, high: At, number: i128) {
        let low = number as i64;
        self.int(at, low, 0);
        // Nothing, as long as the number fits into 64 bits.
        self.int(high, ((number >> 64) as i64).wrapping_sub(low >> 63), 0);
    }

    fn float(&mut self, at: At, number: f64) {
        self.cell(at, Cell::Float(crate::value::canonical(number)));
    }

    #[inline]
    fn cell(&mut self, at: At, cell: Cell<'_>) {
        self.table(at.table).push_cell(usize::from(at.column), cell);
    }

    fn has_places(&self, count: u64, most: u64) -> bool {
        count <= most
    }

    fn expect(&mut self, table: u16, rows: u64) {
        if rows >= EXPECTED_ROWS_MIN {
            self.table(table).expect(rows as usize);
        }
    }

    fn copy_cells<S: Source>(&mut self, at: At, count: u64, source: &mut S) -> Result<(), Malformed> {
        source.fill(at, self.table(at.table).columns(usize::from(at.column), count as usize))
    }
}

const _: () = assert!(tables::END < u16::MAX);
