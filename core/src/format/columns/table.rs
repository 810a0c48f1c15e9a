//! Tables of columns: collected over the sections of an object, planned, written, read.

use alloc::vec::Vec;

use super::super::{Cursor, Malformed, append_varint};
use super::along::{self, Other, Slope};
use super::cell::{Cell, Column};
use super::column::{Cells, ColumnPlan, PlannedColumn, no_integers};
use super::dependent::{RowCounts, SAMPLE_ROWS, Sample};
use super::section::{KEY_VALUES_MAX, WORDS_BYTES_MAX};
use super::{Budget, cells_that_fit, tables};
use crate::limits::FIELDS_MAX;
use crate::pace::Pace;

/// Columns of which pairs are tried.
const RELATED_COLUMNS_MAX: usize = 48;
/// Pairs of doubles and integers of a table that are tried as quotients.
const DIVIDED_PAIRS_MAX: usize = 1 << 14;
/// About so many bytes are gone through to write a cell.
const BYTES_OF_CELL: u64 = 8;
/// Integers of fewer bits a row than this are not looked at along others.
const ALONG_BITS_MIN: u64 = 2;
/// Columns of a table, and of those before it, along which others are put.
const OTHERS_MAX: usize = 16;
/// Fewer rows than this are not worth looking for relations.
const RELATED_ROWS_MIN: usize = 64;

/// Columns with a row for each thing of one sort.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<Column>,
    sections: usize,
    /// Rows that come next, if it is known.
    expected: usize,
}

impl Table {
    pub(super) fn new(sections: usize) -> Self {
        Table { columns: Vec::new(), sections, expected: 0 }
    }

    /// So many rows come next.
    pub(super) fn expect(&mut self, rows: usize) {
        self.expected = rows;
        self.columns.iter_mut().for_each(|column| column.words.reserve(rows));
    }

    #[inline]
    pub(super) fn push_int(&mut self, column: usize, number: i64) {
        self.column(column).push_int(number);
    }

    #[inline]
    pub(super) fn push_cell(&mut self, column: usize, cell: Cell<'_>) {
        self.column(column).push_cell(cell);
    }

    #[inline]
    fn column(&mut self, column: usize) -> &mut Column {
        if column >= self.columns.len() {
            self.columns.resize_with(column + 1, || Column::new(self.sections, self.expected));
        }
        &mut self.columns[column]
    }

    /// So many columns from one on.
    #[inline]
    pub(super) fn columns(&mut self, from: usize, count: usize) -> &mut [Column] {
        if from + count > self.columns.len() {
            self.columns.resize_with(from + count, || Column::new(self.sections, self.expected));
        }
        &mut self.columns[from..from + count]
    }

    pub(super) fn end_section(&mut self) {
        self.sections += 1;
        self.columns.iter_mut().for_each(|column| column.cuts.push(column.len()));
    }

    /// Whether it has no columns.
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(super) fn reserve_rest(&mut self, part: u64, all: u64) {
        self.columns.iter_mut().for_each(|column| column.reserve_rest(part, all));
    }

    pub(super) async fn plan(self, pace: &Pace) -> PlannedTable {
        // A column that says something of every row; mostly the first one.
        let longest = self.columns.iter().rev().max_by_key(|column| column.len());
        let rows = longest.map(|column| column.cuts.clone()).unwrap_or_default();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            columns.push(PlannedColumn::new(column, &rows, pace).await);
        }
        let mut planned = PlannedTable { rows, order: (0..columns.len()).collect(), columns };
        if planned.rows.last().is_some_and(|rows| *rows >= RELATED_ROWS_MIN) {
            planned.divide(pace).await;
            planned.relate(pace).await;
        }
        planned
    }
}

/// A table with the plans of its columns.
#[derive(Debug)]
pub(super) struct PlannedTable {
    rows: Vec<usize>,
    columns: Vec<PlannedColumn>,
    /// Columns in the order in which they are written: parents before their children.
    order: Vec<usize>,
}

impl PlannedTable {
    /// Finds doubles that are integers divided by those of another column, as means are by counts.
    async fn divide(&mut self, pace: &Pace) {
        let divisors: Vec<usize> = (0..self.columns.len()).filter(|at| self.columns[*at].is_of_ints()).collect();
        let mut tried = 0;
        for at in 0..self.columns.len() {
            if !self.columns[at].is_undivided() {
                continue;
            }
            for divisor in divisors.iter().copied() {
                tried += 1;
                if tried > DIVIDED_PAIRS_MAX {
                    return;
                }
                let Ok([column, of_divisor]) = self.columns.get_disjoint_mut([at, divisor]) else { continue };
                let is_divided = column.divide_by(divisor, of_divisor);
                pace.spend(column.words_bytes()).await;
                if is_divided {
                    break;
                }
            }
        }
    }

    /// Finds columns that follow from others.
    async fn relate(&mut self, pace: &Pace) {
        let total = self.rows.last().copied().unwrap_or(0) as u64;
        // A column that is all the same has no codes: it is no parent, and no child.
        let coded = (0..self.columns.len()).filter_map(|at| Some((at, self.columns[at].coded()?)));
        let coded = coded.take(RELATED_COLUMNS_MAX);
        let samples: Vec<(usize, Sample)> = coded.map(|(at, coded)| (at, Sample::of(coded))).collect();
        let mut place = Vec::new();
        let mut gains: Vec<(u64, usize, usize)> = Vec::new();
        for (parent, sample) in &samples {
            let sampled = sample.as_parent();
            for (child, sample) in &samples {
                let column = &self.columns[*child];
                // Less than half a bit a row is not worth a look.
                if child == parent || column.cost() < total / 2 {
                    continue;
                }
                let cost = sampled.estimate(sample, &mut place) + column.entries_cost();
                // Estimates are rough, and to try costs time: a sixth has to be in it.
                if cost < column.cost() - column.cost() / 6 {
                    gains.push((column.cost() - cost, *parent, *child));
                }
            }
            pace.spend((samples.len() * SAMPLE_ROWS) as u64).await;
        }
        gains.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut counts: Vec<Option<RowCounts>> = (0..self.columns.len()).map(|_| None).collect();
        for (gain, parent, child) in gains {
            let is_worth_it = gain > self.columns[parent].cost_as_parent();
            if self.columns[child].parent().is_some() || self.descends(parent, child) || !is_worth_it {
                continue;
            }
            let [parent_column, child_column] = match self.columns.get_disjoint_mut([parent, child]) {
                Ok(both) => both,
                Err(_) => continue,
            };
            let Some(coded) = parent_column.coded() else { continue };
            let rows = counts[parent].get_or_insert_with(|| RowCounts::new(coded));
            if child_column.put_under(parent, coded, rows) {
                parent_column.use_codes();
            }
            pace.spend(parent_column.words_bytes()).await;
        }
    }

    /// Finds integers that rise with those of other columns: of this table, or of ones before that have the same rows.
    pub(super) async fn put_along(&mut self, before: &[(u16, PlannedTable)], pace: &Pace) {
        if self.rows.last().is_some_and(|rows| *rows >= RELATED_ROWS_MIN) {
            let mut others = self.samples(None);
            let alike = before.iter().filter(|(_, table)| table.rows == self.rows);
            others.extend(alike.flat_map(|(number, table)| table.samples(Some(*number))).take(OTHERS_MAX));
            self.put_along_any(&others, before, pace).await;
        }
        self.sort();
    }

    async fn put_along_any(&mut self, others: &[(Other, along::Sample)], before: &[(u16, PlannedTable)], pace: &Pace) {
        let mut gains: Vec<(u64, usize, Other, Slope)> = Vec::new();
        for (Other { column: at, .. }, sample) in others.iter().filter(|(own, _)| own.table.is_none()) {
            // Others need its codes.
            if self.columns.iter().any(|column| column.coded_parent() == Some(*at)) {
                continue;
            }
            let cost_alone = self.columns[*at].cost();
            for (other, of_other) in others.iter().filter(|(other, _)| *other != Other { table: None, column: *at }) {
                if let Some((slope, cost)) = sample.along(of_other, cost_alone - cost_alone / 8) {
                    gains.push((cost_alone - cost, *at, *other, slope));
                }
            }
            pace.spend((others.len() * SAMPLE_ROWS) as u64).await;
        }
        gains.sort_unstable_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut put = Vec::new();
        for (_, at, other, slope) in gains {
            if put.contains(&at) || other.table.is_none() && self.descends(other.column, at) {
                continue;
            }
            let is_put = match other.table {
                None => match self.columns.get_disjoint_mut([at, other.column]) {
                    Ok([column, of_other]) => column.put_along(other, of_other, slope),
                    Err(_) => false,
                },
                Some(table) => before
                    .iter()
                    .find(|(number, _)| *number == table)
                    .is_some_and(|(_, table)| self.columns[at].put_along(other, &table.columns[other.column], slope)),
            };
            if is_put {
                put.push(at);
            }
            pace.spend(self.columns[at].words_bytes()).await;
        }
    }

    /// Samples of the columns of integers, as those of a table of that number.
    fn samples(&self, table: Option<u16>) -> Vec<(Other, along::Sample)> {
        let rows = self.rows.last().copied().unwrap_or(0) as u64;
        // What takes few bits is as short as can be; what takes none goes along with nothing.
        let columns = self.columns.iter().enumerate().filter(|(_, column)| column.cost() > rows * ALONG_BITS_MIN);
        let samples = columns.filter_map(|(column, of)| Some((Other { table, column }, of.sample_of_ints()?)));
        samples.take(OTHERS_MAX).collect()
    }

    /// Whether a column is, or is under, another one.
    fn descends(&self, mut column: usize, ancestor: usize) -> bool {
        while column != ancestor {
            match self.columns[column].parent() {
                Some(parent) => column = parent,
                None => return false,
            }
        }
        true
    }

    fn depth(&self, mut column: usize) -> usize {
        let mut depth = 0;
        while let Some(parent) = self.columns[column].parent() {
            (column, depth) = (parent, depth + 1);
        }
        depth
    }

    fn sort(&mut self) {
        let mut order = core::mem::take(&mut self.order);
        order.sort_by_key(|column| self.depth(*column));
        self.order = order;
    }

    pub(super) fn append_plan(&self, out: &mut Vec<u8>) {
        append_varint(out, self.columns.len() as u64);
        for column in &self.order {
            append_varint(out, *column as u64);
            self.columns[*column].append_plan(out);
        }
    }

    /// What the plan takes of a reader's budget.
    pub(super) fn plan_cells(&self) -> u64 {
        self.columns.iter().map(PlannedColumn::plan_cells).sum()
    }

    pub(super) async fn append_cells(&self, section: usize, out: &mut Vec<u8>, pace: &Pace) {
        let from = if section == 0 { 0 } else { self.rows[section - 1] };
        append_varint(out, (self.rows[section] - from) as u64);
        for column in &self.order {
            let cells = self.columns[*column].append_cells(section, &self.columns, out);
            pace.spend(cells as u64 * BYTES_OF_CELL).await;
        }
    }
}

/// A table's plan as it was read.
#[derive(Debug)]
pub(super) struct TablePlan {
    /// By their numbers.
    pub(super) columns: Vec<ColumnPlan>,
    order: Vec<usize>,
}

impl TablePlan {
    pub(super) fn read(table: u16, cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<Self, Malformed> {
        let count = cursor.varint()?;
        // All sections that share the plan go through all of them, cells or none.
        if count > columns_max(table) {
            return Err(Malformed::new("a table has more columns than rows can fill"));
        }
        let count = cells_that_fit(count, budget)?;
        // Each takes a few bytes.
        if count > cursor.rest().len() {
            return Err(Malformed::new("a table has not each column once"));
        }
        // Plans take room as they come, not as they are claimed.
        let (mut read, mut order) = (Vec::new(), Vec::new());
        let mut places = alloc::vec![u32::MAX; count];
        for _ in 0..count {
            let number = usize::try_from(cursor.varint()?).ok().filter(|number| places.get(*number) == Some(&u32::MAX));
            let number = number.ok_or_else(|| Malformed::new("a table has not each column once"))?;
            let entries_of = |before: usize| {
                let column = read.get(*places.get(before)? as usize);
                column.map(ColumnPlan::entries_as_parent)
            };
            let column = ColumnPlan::read(cursor, entries_of, budget)?;
            places[number] = order.len() as u32;
            read.push(column);
            order.push(number);
        }
        let mut columns: Vec<(usize, ColumnPlan)> = order.iter().copied().zip(read).collect();
        columns.sort_unstable_by_key(|(number, _)| *number);
        Ok(TablePlan { columns: columns.into_iter().map(|(_, column)| column).collect(), order })
    }

    /// The cells of one section, by column number; `ints_before` gives those of a table before and a column as so
    /// many integers.
    pub(super) fn read_cells<'a>(
        &self,
        ints_before: impl Fn(u16, usize, usize) -> Result<Vec<i64>, Malformed>,
        cursor: &mut Cursor<'a>,
        budget: &mut Budget,
    ) -> Result<Vec<Cells<'a>>, Malformed> {
        // Paid for by the cells of each column.
        let rows = cells_that_fit(cursor.varint()?, &mut budget.clone())?;
        let mut cells: Vec<Option<Cells<'a>>> = (0..self.columns.len()).map(|_| None).collect();
        for number in &self.order {
            let ints_of = |Other { table, column }: Other, count: usize| match table {
                Some(table) => ints_before(table, column, count),
                None => {
                    let read = cells.get(column).and_then(Option::as_ref);
                    read.ok_or_else(no_integers)?.to_ints(count, &self.columns[column].entries)
                }
            };
            cells[*number] = Some(self.columns[*number].read_cells(rows, &cells, ints_of, cursor, budget)?);
        }
        Ok(cells.into_iter().flatten().collect())
    }
}

/// Most columns of a table that rows can fill.
fn columns_max(table: u16) -> u64 {
    match table {
        tables::KEYS => KEY_VALUES_MAX,
        // Number, time, number of values, and these.
        tables::EVENTS | tables::MATCHED => 3 + FIELDS_MAX as u64,
        // Words of a plain value; all others have fewer.
        _ => WORDS_BYTES_MAX / 8,
    }
}
