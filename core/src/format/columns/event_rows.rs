//! Events of columns as rows have them: many at once, column by column, or one by one where a value is long.

use alloc::vec::Vec;
use core::iter::repeat_n;

use super::super::Malformed;
use super::super::event_row::reckoned_head;
use super::super::row_values::{PIECE_BYTES, Piece, RowBatch, RowWriter};
use super::source_column::{SourceColumn, at_end};
use super::{Budget, zigzag};

/// Rows of events that are put together at once, at most and at least, and the most values that they have.
pub(super) const BATCH_ROWS: usize = 32;
const BATCH_ROWS_MIN: usize = 3;
const BATCH_VALUES_MAX: usize = 64;
/// Most bytes of a batch.
pub(super) const BATCH_BYTES_MAX: usize = BATCH_ROWS * (BATCH_VALUES_MAX + 3) * PIECE_BYTES;

/// Appends the next events of a table until there are `count` or `out` has so many bytes; the times are from `from` on.
/// Returns how many, and what they are reckoned at.
pub(super) fn append(
    columns: &mut [SourceColumn<'_>],
    from: i64,
    (count, bytes): (u64, usize),
    (batch, budget): (&mut RowBatch, &mut Budget),
    out: &mut Vec<u8>,
) -> Result<(u64, u64), Malformed> {
    let (mut events, mut reckoned) = (0, 0);
    while events < count && out.len() < bytes {
        let rows = (count - events).min(BATCH_ROWS as u64) as usize;
        let (appended, of_these) = match values_of_batch(columns, rows) {
            Some(values) => (rows, append_batch(columns, (rows, values), from, batch, out)?),
            None => append_rows(columns, from, (rows, bytes), budget, out)?,
        };
        events += appended as u64;
        reckoned += of_these;
    }
    Ok((events, reckoned))
}

/// How many values the next rows of events have, if all have as many, and none that does not fit into a batch.
pub(super) fn values_of_batch(columns: &[SourceColumn<'_>], rows: usize) -> Option<usize> {
    let [sequences, times, counts, columns @ ..] = columns else { return None };
    // First of all: how many there are to be is what stored bytes say.
    if rows < BATCH_ROWS_MIN || [sequences, times, counts].iter().any(|column| column.left() < rows) {
        return None;
    }
    let values = usize::try_from(counts.same_int(rows)?).ok().filter(|values| *values <= BATCH_VALUES_MAX)?;
    (columns.get(..values)?.iter().all(|column| column.fits_batch(rows))).then_some(values)
}

/// Appends so many rows of so many values at once, as [`values_of_batch`] says of them. Returns what they are reckoned at.
fn append_batch(
    columns: &mut [SourceColumn<'_>],
    (rows, values): (usize, usize),
    from: i64,
    batch: &mut RowBatch,
    out: &mut Vec<u8>,
) -> Result<u64, Malformed> {
    let [sequences, times, counts, columns @ ..] = columns else { return Err(at_end()) };
    let mut heads = [(0, 0); BATCH_ROWS];
    for head in &mut heads[..rows] {
        *head = (sequences.int()?, times.int()?);
    }
    counts.pass(rows);
    let (reckoned, bytes) = append_heads(heads[..rows].iter().copied(), from, values, batch);
    columns.iter_mut().take(values).for_each(|column| column.append_to_batch(rows, batch));
    batch.append_to(out);
    Ok(reckoned + (batch.len() - bytes) as u64)
}

/// Begins a batch with sequences, times and numbers of values. Returns what these are reckoned at, and their bytes.
#[inline]
pub(super) fn append_heads(
    heads: impl ExactSizeIterator<Item = (i64, i64)> + Clone,
    from: i64,
    values: usize,
    batch: &mut RowBatch,
) -> (u64, usize) {
    batch.begin(heads.len(), values + 3);
    let mut reckoned = 0;
    batch.push_each(heads.clone().map(|(sequence, _)| {
        reckoned += reckoned_head(sequence as u64);
        Piece::of_uint(sequence as u64)
    }));
    batch.push_each(heads.clone().map(|(_, time)| Piece::of_uint(zigzag(time.wrapping_add(from)))));
    batch.push_each(repeat_n(Piece::of_uint(values as u64), heads.len()));
    (reckoned, batch.len())
}

/// Appends rows one by one, until there are so many or `out` has so many bytes. Returns how many, and what they are
/// reckoned at.
fn append_rows(
    columns: &mut [SourceColumn<'_>],
    from: i64,
    (rows, bytes): (usize, usize),
    budget: &mut Budget,
    out: &mut Vec<u8>,
) -> Result<(usize, u64), Malformed> {
    let [sequences, times, counts, columns @ ..] = columns else { return Err(at_end()) };
    let mut row = RowWriter::new(out);
    let (mut events, mut reckoned) = (0, 0);
    while events < rows && row.len() < bytes {
        let sequence = sequences.int()? as u64;
        let time = times.int()?.wrapping_add(from);
        let count = counts.int()? as u64;
        let columns = usize::try_from(count).ok().and_then(|count| columns.get_mut(..count)).ok_or_else(at_end)?;
        row.expect(columns.len() + 3);
        row.push_uint(sequence);
        row.push_uint(zigzag(time));
        row.push_uint(count);
        let at = row.len();
        let mut beyond = 0;
        for column in columns {
            beyond += column.append_value(&mut row, budget)?;
        }
        reckoned += reckoned_head(sequence) + (row.len() - at) as u64 - beyond;
        events += 1;
    }
    row.finish();
    Ok((events, reckoned))
}
