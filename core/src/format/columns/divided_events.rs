//! Many events of one row, put together by several threads: a part of them each.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::event_row::STAGED_BYTES;
use super::super::payload::EventRows;
use super::super::row_values::RowBatch;
use super::event_rows::{BATCH_BYTES_MAX, BATCH_ROWS, append_heads, values_of_batch};
use super::run::Run;
use super::source_column::SourceColumn;
use crate::executor::{Executor, Task};
use crate::limits::SHARDS_MAX;

/// Events behind each other: their columns.
struct Part<'c> {
    sequences: &'c [i64],
    times: &'c [i64],
    values: Vec<Run<'c>>,
    batch: RowBatch,
}

/// A part that is put together before it is its turn.
struct Early<'c> {
    part: Part<'c>,
    rows: Vec<u8>,
    count: usize,
    reckoned: u64,
}

/// Hands over the next events of a table as rows have them; their times are from `from` on. Whether they could be divided:
/// if not, nothing was done.
pub(super) fn read(
    columns: &mut [SourceColumn<'_>],
    from: i64,
    count: u64,
    executor: &dyn Executor,
    each: &mut (dyn FnMut(EventRows<'_>) + Send),
) -> bool {
    let Ok(count) = usize::try_from(count) else { return false };
    let Some(values) = values_of_batch(columns, count) else { return false };
    let [sequences, times, _, value_columns @ ..] = &*columns else { return false };
    let Some((sequences, times)) = sequences.next_ints(count).zip(times.next_ints(count)) else { return false };
    let runs = value_columns.iter().take(values).map(|column| column.run(count)).collect();
    let parts = executor.parallelism().min(SHARDS_MAX);
    let Some((mut first, mut others)) = divide((&sequences, &times, runs), parts) else { return false };
    let behind = count - first.sequences.len();
    let mut tasks: Vec<Task<'_>> = Vec::with_capacity(parts);
    for early in &mut others {
        tasks.push(Box::new(|| early.put_together(from)));
    }
    tasks.push(Box::new(|| first.hand_over(from, behind, each)));
    executor.run(tasks);
    // What an executor has left undone is done here.
    first.hand_over(from, behind, each);
    for mut early in others {
        early.put_together(from);
        each(EventRows { rows: &early.rows, count: early.count, reckoned: early.reckoned, more: 0 });
    }
    if let [sequences, times, counts, columns @ ..] = columns {
        sequences.pass(count);
        times.pass(count);
        counts.pass(count);
        columns.iter_mut().take(values).for_each(|column| column.pass_run(count));
    }
    true
}

/// Takes events apart: the first part, and those behind it.
fn divide<'c>(
    (mut sequences, mut times, mut runs): (&'c [i64], &'c [i64], Vec<Run<'c>>),
    parts: usize,
) -> Option<(Part<'c>, Vec<Early<'c>>)> {
    let count = sequences.len();
    let mut parts = (0..parts).map(|part| {
        // Of 32 bits their product may be too long.
        let until = |part: usize| (count as u64 * part as u64 / parts as u64) as usize;
        let rows = until(part + 1) - until(part);
        Part {
            sequences: sequences.split_off(..rows).unwrap_or_default(),
            times: times.split_off(..rows).unwrap_or_default(),
            values: runs.iter_mut().map(|run| run.split_off(rows)).collect(),
            batch: RowBatch::default(),
        }
    });
    let first = parts.next()?;
    let early = |part: Part<'c>| Early { count: part.sequences.len(), part, rows: Vec::new(), reckoned: 0 };
    Some((first, parts.map(early).collect()))
}

impl Part<'_> {
    /// Appends events until none is left, or the list has so many bytes. Returns what they are reckoned at.
    fn append_to(&mut self, from: i64, bytes: usize, out: &mut Vec<u8>) -> u64 {
        let mut reckoned = 0;
        while !self.sequences.is_empty() && out.len() < bytes {
            let rows = self.sequences.len().min(BATCH_ROWS);
            let sequences = self.sequences.split_off(..rows).unwrap_or_default();
            let times = self.times.split_off(..rows).unwrap_or_default();
            let heads = sequences.iter().copied().zip(times.iter().copied());
            let (of_heads, head_bytes) = append_heads(heads, from, self.values.len(), &mut self.batch);
            self.values.iter_mut().for_each(|run| run.append_to_batch(rows, &mut self.batch));
            self.batch.append_to(out);
            reckoned += of_heads + (self.batch.len() - head_bytes) as u64;
        }
        reckoned
    }

    /// Hands over all that is left, of `behind` more events.
    fn hand_over(&mut self, from: i64, behind: usize, each: &mut (dyn FnMut(EventRows<'_>) + Send)) {
        let mut staged = Vec::new();
        while !self.sequences.is_empty() {
            let before = self.sequences.len();
            staged.clear();
            let reckoned = self.append_to(from, STAGED_BYTES, &mut staged);
            let left = self.sequences.len();
            let (count, rows) = (before - left, &staged[..]);
            each(EventRows { rows, count, reckoned, more: (left + behind).saturating_mul(rows.len() / count) });
        }
    }
}

impl Early<'_> {
    fn put_together(&mut self, from: i64) {
        let mut until = STAGED_BYTES;
        while !self.part.sequences.is_empty() {
            self.reckoned += self.part.append_to(from, until, &mut self.rows);
            let left = self.part.sequences.len();
            // As long as those that are there: not twice the room. What comes may still be shorter.
            let each = self.rows.len() / (self.count - left).max(1) + 1;
            let wanted = left.saturating_mul(each).min(3 * self.rows.len());
            self.rows.reserve_exact(wanted + BATCH_BYTES_MAX);
            until = self.rows.len() + wanted;
        }
    }
}
