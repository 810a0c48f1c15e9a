//! Pattern state in payloads: what is gone, what is new. A whole one has nothing gone.

use alloc::vec::Vec;

use super::event::EventTable;
use super::payload::{At, Sink, Source};
use super::tables;
use super::{Cursor, Malformed};
use crate::state::PatternChange;
use crate::state::PatternState;

const fn count(column: u16) -> At {
    At { table: tables::PAYLOAD, column }
}

const TAKEN_COUNT: At = count(0);
const WAITING_COUNT: At = count(1);
const DROPPED_COUNT: At = count(2);
const PARTIAL_COUNT: At = count(3);
/// Numbers of waiting events that were taken.
const TAKEN: At = At { table: tables::TAKEN, column: 0 };
/// Ids of partial matches that are gone.
const DROPPED: At = At { table: tables::DROPPED, column: 0 };
const ID: At = At { table: tables::PARTIALS, column: 0 };
/// How many events it had; 0 for a new one.
const FROM: At = At { table: tables::PARTIALS, column: 1 };
const EVENT_COUNT: At = At { table: tables::PARTIALS, column: 2 };
const WAITING: EventTable = EventTable(tables::EVENTS);
const MATCHED: EventTable = EventTable(tables::MATCHED);

pub(crate) fn write(sink: &mut impl Sink, change: &PatternChange<'_>) {
    sink.uint(TAKEN_COUNT, change.taken.len() as u64);
    change.taken.iter().for_each(|sequence| sink.uint(TAKEN, *sequence));
    sink.uint(WAITING_COUNT, change.waiting.len() as u64);
    change.waiting.iter().for_each(|event| WAITING.write_buffered(sink, event, 0));
    sink.uint(DROPPED_COUNT, change.dropped.len() as u64);
    change.dropped.iter().for_each(|id| sink.uint(DROPPED, *id));
    sink.uint(PARTIAL_COUNT, change.advanced.len() as u64);
    for (id, from, events) in &change.advanced {
        sink.uint(ID, *id);
        sink.uint(FROM, *from as u64);
        sink.uint(EVENT_COUNT, events.len() as u64);
        events.iter().for_each(|event| MATCHED.write(sink, event, 0));
    }
}

/// Applies a payload to the state it was taken against; a whole one to an empty state.
pub(crate) fn apply<S: Source>(source: &mut S, state: &mut PatternState) -> Result<(), Malformed> {
    for _ in 0..source.uint(TAKEN_COUNT)? {
        if !state.forget_waiting(source.uint(TAKEN)?) {
            return Err(Malformed::new("takes a waiting event that is not there"));
        }
    }
    for _ in 0..source.uint(WAITING_COUNT)? {
        state.wait(WAITING.read_buffered(source, 0)?.0);
    }
    let mut dropped = Vec::new();
    for _ in 0..source.uint(DROPPED_COUNT)? {
        dropped.push(source.uint(DROPPED)?);
    }
    if !dropped.is_empty() {
        dropped.sort_unstable();
        state.retain(|partial| dropped.binary_search(&partial.id()).is_err());
    }
    for _ in 0..source.uint(PARTIAL_COUNT)? {
        let (id, from) = (source.uint(ID)?, source.uint(FROM)?);
        let count = source.uint(EVENT_COUNT)?;
        let mut events = Vec::with_capacity(source.room_for(At { table: tables::MATCHED, column: 1 }, count));
        for _ in 0..count {
            events.push(MATCHED.read(source, 0)?);
        }
        if events.is_empty() || !state.restore_partial(id, from, events) {
            return Err(Malformed::new("advances a partial match that is not there"));
        }
    }
    Ok(())
}

fn counted<S: Source, K: Sink>(source: &mut S, sink: &mut K, at: At) -> Result<u64, Malformed> {
    let count = source.uint(at)?;
    sink.uint(at, count);
    Ok(count)
}

/// Copies a payload from one form to the other.
pub(crate) fn copy<S: Source, K: Sink>(source: &mut S, sink: &mut K) -> Result<(), Malformed> {
    for _ in 0..counted(source, sink, TAKEN_COUNT)? {
        sink.uint(TAKEN, source.uint(TAKEN)?);
    }
    for _ in 0..counted(source, sink, WAITING_COUNT)? {
        WAITING.copy_buffered(source, sink, 0)?;
    }
    for _ in 0..counted(source, sink, DROPPED_COUNT)? {
        sink.uint(DROPPED, source.uint(DROPPED)?);
    }
    for _ in 0..counted(source, sink, PARTIAL_COUNT)? {
        sink.uint(ID, source.uint(ID)?);
        sink.uint(FROM, source.uint(FROM)?);
        for _ in 0..counted(source, sink, EVENT_COUNT)? {
            MATCHED.copy(source, sink, 0)?;
        }
    }
    Ok(())
}

/// Applies a payload of a row.
pub(crate) fn apply_row(bytes: &[u8], state: &mut PatternState) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    apply(&mut cursor, state)?;
    cursor.finish()
}
