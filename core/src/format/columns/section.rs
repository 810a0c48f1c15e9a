//! Rows of several sections to a plan and columns, and back.
//!
//! A plan: how keys and plain values are taken apart, then the tables with the plans of their
//! columns. A section: the tables in the same order, each its number of rows and its cells.

use alloc::vec::Vec;

use super::super::manifest::StateKind;
use super::super::payload::{At, Sink, Source, cell_of};
use super::super::row_block::RowBlock;
use super::super::rows::Form;
use super::super::{Cursor, Malformed, accumulator, append_varint, key, pattern, window};
use super::cell::Cell;
use super::column::no_integers;
use super::shred::Shredder;
use super::source::ColumnSource;
use super::source_column::SourceColumn;
use super::table::{PlannedTable, TablePlan};
use super::{Budget, tables};
use crate::executor::Executor;
use crate::limits::COLUMNS_RATIO_MAX;
use crate::pace::Pace;

pub(super) const GROUP: At = At { table: tables::GROUPS, column: 0 };
pub(super) const GROUP_ROWS: At = At { table: tables::GROUPS, column: 1 };
pub(super) const FORM: At = At { table: tables::ROWS, column: 0 };
pub(super) const KEY: At = At { table: tables::KEYS, column: 0 };
pub(super) const VALUE: At = At { table: tables::PAYLOAD, column: 0 };
/// Longest key or plain value that is taken apart into words.
pub(super) const WORDS_BYTES_MAX: u64 = 64;
/// Most values of a key that are columns of their own.
pub(super) const KEY_VALUES_MAX: u64 = 64;
/// About so many bytes are gone through to see how a key is made.
const BYTES_OF_KEY: u64 = 16;
/// A section of this many bytes tells how large the columns of all will be.
const FORECAST_BYTES: u64 = 16 * 1024;

/// How keys, or plain values, are taken apart; the order of the variants is the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Not at all: one column of byte strings.
    Bytes,
    /// All have this length: integers of eight bytes, and the rest.
    Words(u64),
    /// Keys of operators, of so many values each.
    Values(u64),
}

impl Shape {
    fn append(self, out: &mut Vec<u8>) {
        let (number, count) = match self {
            Shape::Bytes => (0, 0),
            Shape::Words(len) => (1, len),
            Shape::Values(count) => (2, count),
        };
        out.push(number);
        append_varint(out, count);
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        match (cursor.byte()?, cursor.varint()?) {
            (0, 0) => Ok(Shape::Bytes),
            (1, len) if len <= WORDS_BYTES_MAX => Ok(Shape::Words(len)),
            (2, count) if count <= KEY_VALUES_MAX => Ok(Shape::Values(count)),
            _ => Err(Malformed::new("unknown shape of keys or values")),
        }
    }
}

/// A plan and the sections that share it.
#[derive(Debug)]
pub(crate) struct EncodedColumns {
    pub(crate) plan: Vec<u8>,
    /// What the plan holds: columns, entries, what these share, lists.
    pub(crate) plan_cells: u64,
    tables: Vec<(u16, PlannedTable)>,
}

/// Takes the rows of sections apart: for each section its key groups, their rows sorted by key.
///
/// `None` if they have more columns than can be told apart.
pub(crate) async fn encode(kind: StateKind, sections: &[&[(u16, RowBlock)]], pace: &Pace) -> Option<EncodedColumns> {
    let (mut keys, mut lens_of_values) = (KeysSeen::default(), LensSeen::default());
    let (mut all, mut count) = (0, 0);
    for section in sections {
        for (_, rows) in *section {
            keys.take(rows);
            count += rows.len() as u64;
            if kind == StateKind::Values {
                let values = rows.kinds().filter(|row| row.form != Form::Removed);
                lens_of_values.take(values.map(|row| row.payload.len()));
            }
            all += rows.section_bytes();
            pace.spend(rows.len() as u64 * BYTES_OF_KEY).await;
        }
    }
    let (key_shape, value_shape) = (keys.shape(), lens_of_values.shape());
    let mut part = 0;
    let mut shredder = Shredder::default();
    shredder.expect(FORM.table, count);
    shredder.expect(KEY.table, count);
    if kind == StateKind::Values {
        shredder.expect(VALUE.table, count);
    }
    for section in sections {
        for (group, rows) in *section {
            shredder.uint(GROUP, u64::from(*group));
            shredder.uint(GROUP_ROWS, rows.len() as u64);
            shredder.ints(FORM, |forms| rows.append_forms(forms));
            shred_keys(&mut shredder, key_shape, rows)?;
            shred_payloads(&mut shredder, kind, value_shape, rows)?;
            pace.spend(rows.section_bytes()).await;
        }
        shredder.end_section();
        let bytes: u64 = section.iter().map(|(_, rows)| rows.section_bytes()).sum();
        if part == 0 && bytes >= FORECAST_BYTES {
            part = bytes;
            shredder.reserve_rest(part, all);
        }
    }
    let mut plan = Vec::new();
    key_shape.append(&mut plan);
    value_shape.append(&mut plan);
    let tables = shredder.plan(pace).await;
    append_varint(&mut plan, tables.len() as u64);
    for (number, table) in &tables {
        append_varint(&mut plan, u64::from(*number));
        table.append_plan(&mut plan);
    }
    let plan_cells = tables.iter().map(|(_, table)| table.plan_cells()).sum();
    Some(EncodedColumns { plan, plan_cells, tables })
}

impl EncodedColumns {
    /// Appends the cells of one section.
    pub(crate) async fn append_section(&self, section: usize, out: &mut Vec<u8>, pace: &Pace) {
        for (_, table) in &self.tables {
            table.append_cells(section, out, pace).await;
        }
    }
}

/// What all byte strings so far have in common.
#[derive(Default)]
struct LensSeen {
    first: Option<usize>,
    differ: bool,
}

impl LensSeen {
    fn take(&mut self, mut lens: impl Iterator<Item = usize>) {
        self.differ = self.differ || lens.any(|len| *self.first.get_or_insert(len) != len);
    }

    /// Words, if all have one length, and it is short.
    fn shape(&self) -> Shape {
        let len = self.first.map(|len| len as u64).filter(|len| !self.differ && *len <= WORDS_BYTES_MAX);
        len.map_or(Shape::Bytes, Shape::Words)
    }
}

/// What all keys so far have in common.
#[derive(Default)]
struct KeysSeen {
    /// Values of a key, if all are keys of operators.
    count: Option<u64>,
    differ: bool,
    lens: LensSeen,
    bytes: Vec<u8>,
}

impl KeysSeen {
    fn take(&mut self, rows: &RowBlock) {
        self.differ = self.differ || !rows.iter().all(|row| self.is_alike(row.key));
        self.lens.take(rows.kinds().map(|row| row.key.len()));
    }

    /// Whether it has as many values as all before.
    fn is_alike(&mut self, key: &[u8]) -> bool {
        self.bytes.clear();
        let mut values = 0;
        let read = key::for_each_value(key, |value| {
            values += 1;
            key::append_value(&mut self.bytes, &value);
        });
        // Another encoding of the same values would not come back.
        let is_key = read.is_ok() && self.bytes == key;
        is_key && *self.count.get_or_insert(values) == values && values <= KEY_VALUES_MAX
    }

    fn shape(&self) -> Shape {
        if self.differ { self.lens.shape() } else { Shape::Values(self.count.unwrap_or(0)) }
    }
}

fn shred_keys(shredder: &mut Shredder, shape: Shape, rows: &RowBlock) -> Option<()> {
    let mut keys = rows.iter().map(|row| row.key);
    match shape {
        Shape::Bytes => keys.for_each(|key| shredder.cell(KEY, Cell::Bytes(key))),
        Shape::Words(len) => {
            for_each_word(KEY, len, |at, from| shredder.ints(at, |words| rows.append_key_words(from, words)))
        }
        Shape::Values(_) => {
            return keys.try_for_each(|key| {
                let mut column = 0;
                key::for_each_value(key, |value| {
                    shredder.cell(At { column, ..KEY }, cell_of(&value));
                    column += 1;
                })
                .ok()
            });
        }
    }
    Some(())
}

/// Calls with the column of each word of so many bytes, and where the word begins.
fn for_each_word(at: At, len: u64, mut each: impl FnMut(At, usize)) {
    for word in 0..len.div_ceil(8) {
        each(at.plus(word), 8 * word as usize);
    }
}

fn shred_payloads(shredder: &mut Shredder, kind: StateKind, shape: Shape, rows: &RowBlock) -> Option<()> {
    let mut payloads = rows.iter().filter(|row| row.form != Form::Removed).map(|row| row.payload);
    match (kind, shape) {
        (StateKind::Values, Shape::Words(len)) => for_each_word(VALUE, len, |at, from| {
            shredder.ints(at, |words| rows.append_payload_words(from, words));
        }),
        (StateKind::Values, _) => payloads.for_each(|payload| shredder.cell(VALUE, Cell::Bytes(payload))),
        _ => return payloads.try_for_each(|payload| shred_state(shredder, kind, &mut Cursor::new(payload)).ok()),
    }
    Some(())
}

fn shred_state(shredder: &mut Shredder, kind: StateKind, payload: &mut Cursor<'_>) -> Result<(), Malformed> {
    match kind {
        StateKind::Values => Ok(()),
        StateKind::Windows => window::copy(payload, shredder),
        StateKind::Patterns => pattern::copy(payload, shredder),
        StateKind::Aggregations => accumulator::GROUP.copy(payload, shredder),
    }
}

/// A plan as it was read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) key_shape: Shape,
    pub(super) value_shape: Shape,
    tables: Vec<(u16, TablePlan)>,
}

impl Plan {
    /// Reads a plan from the beginning of what was unpacked from so many stored bytes.
    pub(crate) fn read(cursor: &mut Cursor<'_>, stored: u64) -> Result<Self, Malformed> {
        let mut budget = Budget::new(stored.saturating_mul(COLUMNS_RATIO_MAX));
        let (key_shape, value_shape) = (Shape::read(cursor)?, Shape::read(cursor)?);
        if matches!(value_shape, Shape::Values(_)) {
            return Err(Malformed::new("unknown shape of keys or values"));
        }
        let mut tables = Vec::new();
        let mut before = None;
        for _ in 0..cursor.varint()? {
            let number = u16::try_from(cursor.varint()?).ok().filter(|number| *number < tables::END);
            let number = number.filter(|number| before.is_none_or(|before| before < *number));
            let number = number.ok_or_else(|| Malformed::new("tables of a plan are out of order"))?;
            before = Some(number);
            tables.push((number, TablePlan::read(number, cursor, &mut budget)?));
        }
        Ok(Plan { key_shape, value_shape, tables })
    }

    /// The columns of one section; `raw` is its length in rows.
    pub(super) fn source<'a>(
        &'a self,
        bytes: &'a [u8],
        raw: u64,
        executor: Option<&'a dyn Executor>,
    ) -> Result<ColumnSource<'a>, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let mut budget = Budget::new(raw);
        let mut tables: Vec<(u16, Vec<SourceColumn<'_>>)> = Vec::with_capacity(self.tables.len());
        for (number, plan) in &self.tables {
            let ints_before = |table: u16, column: usize, count: usize| {
                let before = tables.iter().find(|(before, _)| *before == table);
                let column = before.and_then(|(_, columns)| columns.get(column));
                column.ok_or_else(no_integers)?.to_ints(count)
            };
            let cells = plan.read_cells(ints_before, &mut cursor, &mut budget)?;
            let columns = cells.into_iter().zip(&plan.columns);
            let columns = columns.map(|(cells, plan)| SourceColumn::new(cells, &plan.entries));
            tables.push((*number, columns.collect()));
        }
        cursor.finish()?;
        Ok(ColumnSource::new(tables, Budget::new(raw), executor))
    }
}

/// Passes over the payload of a row that is no column.
pub(crate) fn pass_over(kind: StateKind, payload: &[u8]) -> Result<(), Malformed> {
    if kind == StateKind::Values {
        return Ok(());
    }
    let mut cursor = Cursor::new(payload);
    read_parts(kind, &mut cursor)?;
    cursor.finish()
}

/// Reads each part of a payload that is not of plain values.
pub(super) fn read_parts<S: Source>(kind: StateKind, source: &mut S) -> Result<(), Malformed> {
    let nothing = &mut Nothing;
    match kind {
        StateKind::Values => Ok(()),
        StateKind::Windows => window::copy(source, nothing),
        StateKind::Patterns => pattern::copy(source, nothing),
        StateKind::Aggregations => accumulator::GROUP.copy(source, nothing),
    }
}

/// Where a payload goes of which only is wanted to know that it can be read.
struct Nothing;

impl Sink for Nothing {
    fn uint(&mut self, _: At, _: u64) {}
    fn int(&mut self, _: At, _: i64, _: i64) {}
    fn int128(&mut self, _: At, _: At, _: i128) {}
    fn float(&mut self, _: At, _: f64) {}
    fn cell(&mut self, _: At, _: Cell<'_>) {}

    /// Cells that are copied are values of events, and their texts are UTF-8.
    fn copy_cells<S: Source>(&mut self, at: At, count: u64, source: &mut S) -> Result<(), Malformed> {
        (0..count).try_for_each(|place| source.value(at.plus(place)).map(drop))
    }
}
