//! The rows of a section, one key group after the other: first all keys of a group, so that whoever takes the rows can
//! make room for all of them at once, then the payloads, row by row.

use alloc::vec::Vec;

use super::super::manifest::StateKind;
use super::super::payload::{At, Source};
use super::super::rows::Form;
use super::super::{Malformed, key};
use super::Budget;
use super::cell::Cell;
use super::section::{FORM, GROUP, GROUP_ROWS, KEY, Plan, Shape, VALUE, read_parts};
use super::source::ColumnSource;
use super::source_column::at_end;
use crate::executor::Executor;

/// Rows of a key group for which there is room before they are read: there may be fewer than their number says.
const ROWS_AT_ONCE: usize = 4096;

/// The rows of a key group as columns give them.
pub struct ColumnGroup<'r, 's> {
    pub(crate) group: u16,
    pub(crate) heads: &'r RowHeads,
    source: &'r mut ColumnSource<'s>,
    plain: &'r mut PlainValues,
    shape: Shape,
}

/// The bytes of plain values: of the next one, or, if all have the same length, of all of a key group.
#[derive(Debug, Default)]
struct PlainValues {
    bytes: Vec<u8>,
    next: usize,
}

/// Keys and forms of the rows of a key group. The keys rise.
#[derive(Debug, Default)]
pub(crate) struct RowHeads {
    keys: Vec<u8>,
    /// Where each key ends, and the form of its row.
    rows: Vec<(usize, Form)>,
}

/// A row as columns give it: its payload is the next thing in `source`.
pub struct ColumnRow<'r, 's> {
    pub(crate) group: u16,
    pub(crate) key: &'r [u8],
    pub(crate) form: Form,
    pub(crate) source: &'r mut ColumnSource<'s>,
    plain: &'r mut PlainValues,
    shape: Shape,
}

impl PlainValues {
    fn read_words(&mut self, source: &mut ColumnSource<'_>, len: usize, values: usize) -> Result<(), Malformed> {
        self.bytes.clear();
        self.next = 0;
        source.append_words((VALUE.table, len), false, values, &mut self.bytes)
    }

    fn next_of(&mut self, len: usize) -> Result<&[u8], Malformed> {
        let from = self.next;
        self.next += len;
        self.bytes.get(from..self.next).ok_or_else(at_end)
    }
}

impl ColumnGroup<'_, '_> {
    /// Hands over the rows one by one, each with its number. `each` has to take the payload of every row that is not
    /// removed.
    pub(crate) fn for_each(
        self,
        mut each: impl FnMut(usize, ColumnRow<'_, '_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let ColumnGroup { group, heads, source, plain, shape } = self;
        if let Shape::Words(len) = shape {
            let values = heads.rows.iter().filter(|(_, form)| *form != Form::Removed).count();
            plain.read_words(source, len as usize, values)?;
        }
        for (number, (key, form)) in heads.iter().enumerate() {
            each(number, ColumnRow { group, key, form, source, plain, shape })?;
        }
        Ok(())
    }

    /// Passes over all of them.
    pub(crate) fn skip(self, kind: StateKind) -> Result<(), Malformed> {
        self.for_each(|_, mut row| if row.form == Form::Removed { Ok(()) } else { row.skip(kind) })
    }
}

impl RowHeads {
    /// Key and form of each row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Form)> {
        let mut from = 0;
        self.rows.iter().map(move |(to, form)| (&self.keys[core::mem::replace(&mut from, *to)..*to], *form))
    }

    /// Key of a row, by its number.
    pub(crate) fn key(&self, row: usize) -> &[u8] {
        let from = row.checked_sub(1).map_or(0, |before| self.rows[before].0);
        &self.keys[from..self.rows[row].0]
    }

    /// Reads those of the next rows in place of what it held.
    fn read(
        &mut self,
        rows: u64,
        shape: Shape,
        source: &mut ColumnSource<'_>,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.keys.clear();
        self.rows.clear();
        let rows = usize::try_from(rows).map_err(|_| at_end())?;
        self.rows.reserve(source.room_for(FORM, rows as u64).min(ROWS_AT_ONCE));
        if let Shape::Words(len) = shape {
            let len = len as usize;
            // As rows they have as many bytes.
            budget.take((len as u64).saturating_mul(rows as u64))?;
            source.append_words((KEY.table, len), true, rows, &mut self.keys)?;
        }
        let (mut before, mut from) = (0, 0);
        for row in 0..rows {
            let form = Form::from_number(source.uint(FORM)?)?;
            let to = match shape {
                Shape::Words(len) => from + len as usize,
                Shape::Bytes => {
                    append_bytes(source, KEY, &mut self.keys)?;
                    self.keys.len()
                }
                Shape::Values(count) => {
                    for column in 0..count as u16 {
                        key::append_value(&mut self.keys, &source.value(At { column, ..KEY })?);
                    }
                    self.keys.len()
                }
            };
            if !matches!(shape, Shape::Words(_)) {
                budget.take((to - from) as u64)?;
            }
            if row > 0 && !is_less(&self.keys[before..from], &self.keys[from..to]) {
                return Err(Malformed::new("keys out of order"));
            }
            (before, from) = (from, to);
            self.rows.push((to, form));
        }
        Ok(())
    }
}

impl ColumnRow<'_, '_> {
    /// The bytes of a plain value.
    pub(crate) fn plain_value(&mut self) -> Result<&[u8], Malformed> {
        if let Shape::Words(len) = self.shape {
            return self.plain.next_of(len as usize);
        }
        self.plain.bytes.clear();
        append_bytes(self.source, VALUE, &mut self.plain.bytes)?;
        Ok(&self.plain.bytes)
    }

    /// Passes over the payload.
    pub(crate) fn skip(&mut self, kind: StateKind) -> Result<(), Malformed> {
        match kind {
            StateKind::Values => self.plain_value().map(|_| ()),
            _ => read_parts(kind, self.source),
        }
    }
}

/// Reads the rows of a section, of `raw` bytes as rows, group by group; groups rise. `executor` divides what is long in
/// one of them. `each` has to take the payloads as [`ColumnGroup::for_each`] says.
pub(crate) fn read_section(
    plan: &Plan,
    (bytes, raw): (&[u8], u64),
    executor: Option<&dyn Executor>,
    mut each: impl FnMut(ColumnGroup<'_, '_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut source = plan.source(bytes, raw, executor)?;
    let (mut heads, mut plain) = (RowHeads::default(), PlainValues::default());
    let mut budget = Budget::new(raw);
    let mut group_before = None;
    while source.room_for(GROUP, 1) > 0 {
        let group = u16::try_from(source.uint(GROUP)?).map_err(|_| Malformed::new("key group out of range"))?;
        if group_before.is_some_and(|before| before >= group) {
            return Err(Malformed::new("key groups out of order"));
        }
        group_before = Some(group);
        let rows = source.uint(GROUP_ROWS)?;
        heads.read(rows, plan.key_shape, &mut source, &mut budget)?;
        let (heads, source, plain) = (&heads, &mut source, &mut plain);
        each(ColumnGroup { group, heads, source, plain, shape: plan.value_shape })?;
    }
    source.finish()
}

/// Whether a key comes before another. Most differ in their first bytes, which need no call to compare.
#[inline]
fn is_less(a: &[u8], b: &[u8]) -> bool {
    match (a.first_chunk(), b.first_chunk()) {
        (Some(a), Some(b)) if a != b => u64::from_be_bytes(*a) < u64::from_be_bytes(*b),
        _ => a < b,
    }
}

fn append_bytes(source: &mut ColumnSource<'_>, at: At, out: &mut Vec<u8>) -> Result<(), Malformed> {
    match source.cell(at)? {
        Cell::Bytes(bytes) => out.extend_from_slice(bytes),
        _ => return Err(Malformed::new("a cell of another kind than expected")),
    }
    Ok(())
}
