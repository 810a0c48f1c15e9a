//! Events as rows have them: in payloads, and in the buffers of windows.

use alloc::vec::Vec;

use super::columns::zigzag;
use super::event::EventTable;
use super::payload::{At, Cell, EventRows, Sink, Source, beyond_reckoning, text_from};
use super::row_values::StagedRow;
use super::{Cursor, Malformed, tables};
use crate::value::{BufferedEvent, Value, varint_len};

/// Rows have their parts in order, wherever columns would have them.
const ROW: EventTable = EventTable(tables::EVENTS);
/// Bytes of events that are collected before they are handed over.
pub(super) const STAGED_BYTES: usize = 32 * 1024;

/// Appends a buffered event of these values as rows have it; returns what [`Footprint::encoded`] says of it.
pub(crate) fn append_row<'v>(
    out: &mut Vec<u8>,
    sequence: u64,
    timestamp: i64,
    values: impl ExactSizeIterator<Item = &'v Value>,
) -> u64 {
    let (from, count) = (out.len(), values.len() as u64);
    let mut row = StagedRow::new(out);
    row.push_uint(sequence);
    row.push_uint(zigzag(timestamp));
    row.push_uint(count);
    let mut beyond = 0;
    for value in values {
        beyond += row.push(value);
    }
    let bytes = (row.end().len() - from) as u64;
    // Eight for the time and the number of values.
    bytes + 8 - beyond - (varint_len(zigzag(timestamp)) + varint_len(count)) as u64
}

/// Bytes that [`append_row`] appends.
pub(crate) fn row_bytes<'v>(sequence: u64, timestamp: i64, values: impl ExactSizeIterator<Item = &'v Value>) -> usize {
    let head = varint_len(sequence) + varint_len(zigzag(timestamp)) + varint_len(values.len() as u64);
    let of = |value: &Value| {
        let beyond = if let Value::Str(text) = value { beyond_reckoning(text.as_bytes()) } else { 0 };
        (value.footprint().encoded + beyond) as usize
    };
    head + values.map(of).sum::<usize>()
}

/// Reads a buffered event from a row.
pub(crate) fn read_row(cursor: &mut Cursor<'_>) -> Result<BufferedEvent, Malformed> {
    let sequence = ROW.read_sequence(cursor)?;
    let (event, _) = ROW.read(cursor, 0)?;
    Ok(BufferedEvent { sequence, event })
}

/// Appends buffered events as [`Source::append_events`] says, from any source.
pub(super) fn append_by_parts<S: Source + ?Sized>(
    source: &mut S,
    table: u16,
    from: i64,
    (count, bytes): (u64, usize),
    out: &mut Vec<u8>,
) -> Result<(u64, u64), Malformed> {
    let table = EventTable(table);
    let (mut events, mut reckoned) = (0, 0);
    while events < count && out.len() < bytes {
        let sequence = source.uint(table.at(0))?;
        out.uint(ROW.at(0), sequence);
        out.int(ROW.at(1), source.int(table.at(1), from)?, 0);
        let count = source.uint(table.at(2))?;
        out.uint(ROW.at(2), count);
        reckoned += reckoned_head(sequence);
        for place in 0..count {
            let at = table.at(3).plus(place);
            let (cell, before) = (source.cell(at)?, out.len());
            out.cell(at, cell);
            reckoned += (out.len() - before) as u64;
            if let Cell::Bytes(bytes) = cell {
                text_from(bytes)?;
                reckoned -= beyond_reckoning(bytes);
            }
        }
        events += 1;
    }
    Ok((events, reckoned))
}

/// As [`Source::read_events`] says, by way of one buffer.
pub(super) fn read_staged<S: Source + ?Sized>(
    source: &mut S,
    table: u16,
    from: i64,
    count: u64,
    each: &mut (dyn FnMut(EventRows<'_>) + Send),
) -> Result<(), Malformed> {
    let mut staged = source.take_scratch();
    let mut left = count;
    let mut read = Ok(());
    while left > 0 && read.is_ok() {
        staged.clear();
        read = source.append_events(table, from, (left, STAGED_BYTES), &mut staged).map(|(events, reckoned)| {
            left -= events;
            let count = events as usize;
            let room = source.room_for(At { table, column: 0 }, left);
            each(EventRows { rows: &staged, count, reckoned, more: room.saturating_mul(staged.len() / count) });
        });
    }
    source.keep_scratch(staged);
    read
}

/// As [`read_row`], into an event that is there: its list of values is used again.
pub(crate) fn read_row_into(cursor: &mut Cursor<'_>, event: &mut BufferedEvent) -> Result<(), Malformed> {
    event.sequence = cursor.uint(ROW.at(0))?;
    event.event.timestamp = cursor.int(ROW.at(1), 0)?;
    let values = &mut event.event.values;
    values.clear();
    for _ in 0..cursor.uint(ROW.at(2))? {
        values.push(cursor.value(ROW.at(3))?);
    }
    Ok(())
}

/// What [`BufferedEvent::footprint`] reckons an event without values at.
#[inline]
pub(super) fn reckoned_head(sequence: u64) -> u64 {
    8 + varint_len(sequence) as u64
}
