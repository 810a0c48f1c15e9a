//! Windows in payloads: starts of closed windows, then the new and changed windows.
//!
//! The whole and the change have one form: a whole row closes nothing, pops nothing and carries
//! every window with all its events and accumulators.

use alloc::vec::Vec;

use super::accumulator::{self, AccumulatorTables};
use super::event::EventTable;
use super::payload::{At, Sink, Source};
use super::tables;
use super::{ByteSink, Cursor, Malformed};
use crate::state::{Window, WindowState};

const CLOSED_COUNT: At = At { table: tables::PAYLOAD, column: 0 };
const WINDOW_COUNT: At = At { table: tables::PAYLOAD, column: 1 };
const CLOSED: At = At { table: tables::CLOSED, column: 0 };
const START: At = At { table: tables::WINDOWS, column: 0 };
const END: At = At { table: tables::WINDOWS, column: 1 };
const POPPED: At = At { table: tables::WINDOWS, column: 2 };
const APPENDED: At = At { table: tables::WINDOWS, column: 3 };
const EVENTS: EventTable = EventTable(tables::EVENTS);
/// How many accumulators a window has is one more of its columns.
const ACCUMULATORS: AccumulatorTables = AccumulatorTables(At { table: tables::WINDOWS, column: 4 });
/// Bytes of events that are collected before a window gets them.
const STAGED_BYTES: usize = 32 * 1024;

pub(crate) fn write_whole(sink: &mut impl ByteSink, state: &WindowState) {
    sink.uint(CLOSED_COUNT, 0);
    sink.uint(WINDOW_COUNT, state.windows().len() as u64);
    state.windows().iter().for_each(|window| write_window(sink, window, true));
}

pub(crate) fn write_change(sink: &mut impl ByteSink, state: &WindowState) {
    sink.uint(CLOSED_COUNT, state.closed().len() as u64);
    state.closed().iter().for_each(|start| sink.int(CLOSED, *start, 0));
    let changed = || state.windows().iter().filter(|window| window.changed);
    sink.uint(WINDOW_COUNT, changed().count() as u64);
    changed().for_each(|window| write_window(sink, window, !window.captured));
}

fn write_window(sink: &mut impl ByteSink, window: &Window, whole: bool) {
    sink.int(START, window.start, 0);
    sink.int(END, window.end, window.start);
    // Events to drop in front, then those that came.
    let (popped, (appended, rows)) = match whole {
        true => (0, (window.buffer.len(), window.buffer.rows())),
        false => (window.buffer.popped(), window.buffer.appended()),
    };
    sink.uint(POPPED, popped);
    sink.uint(APPENDED, appended as u64);
    sink.extend_from_slice(rows);
    ACCUMULATORS.write(sink, &window.accumulators, whole);
}

/// Applies a payload to the state it was taken against; a whole one to an empty state.
pub(crate) fn apply<S: Source>(source: &mut S, state: &mut WindowState) -> Result<(), Malformed> {
    for _ in 0..source.uint(CLOSED_COUNT)? {
        let start = source.int(CLOSED, 0)?;
        state.close(start).ok_or_else(|| Malformed::new("closes a window that is not open"))?;
    }
    for _ in 0..source.uint(WINDOW_COUNT)? {
        let start = source.int(START, 0)?;
        state.update(start, |window| read_window(source, window))?;
    }
    Ok(())
}

fn read_window<S: Source>(source: &mut S, window: &mut Window) -> Result<(), Malformed> {
    window.set_end(source.int(END, window.start)?);
    for _ in 0..source.uint(POPPED)? {
        window.pop_front().ok_or_else(|| Malformed::new("pops more events than there are"))?;
    }
    let appended = source.uint(APPENDED)?;
    let mut staged = source.take_scratch();
    let read = read_events(source, window, appended, &mut staged);
    source.keep_scratch(staged);
    read?;
    accumulator::apply(&ACCUMULATORS, source, window.accumulators_mut())
}

/// Reads events into a window by way of `staged`: it then asks for the memory that it needs, and asks once.
fn read_events<S: Source>(
    source: &mut S,
    window: &mut Window,
    appended: u64,
    staged: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut left = appended;
    while left > 0 {
        staged.clear();
        let limits = (left, STAGED_BYTES);
        let (events, reckoned) = source.append_events(tables::EVENTS, window.start, limits, staged)?;
        left -= events;
        let more = source
            .room_for(At { table: tables::EVENTS, column: 0 }, left)
            .saturating_mul(staged.len() / events as usize);
        window.buffer.append_rows(staged, events as usize, reckoned, more);
    }
    Ok(())
}

/// Copies a payload from one form to the other.
pub(crate) fn copy<S: Source, K: Sink>(source: &mut S, sink: &mut K) -> Result<(), Malformed> {
    let closed = source.uint(CLOSED_COUNT)?;
    sink.uint(CLOSED_COUNT, closed);
    for _ in 0..closed {
        sink.int(CLOSED, source.int(CLOSED, 0)?, 0);
    }
    let windows = source.uint(WINDOW_COUNT)?;
    sink.uint(WINDOW_COUNT, windows);
    for _ in 0..windows {
        let start = source.int(START, 0)?;
        sink.int(START, start, 0);
        sink.int(END, source.int(END, start)?, start);
        sink.uint(POPPED, source.uint(POPPED)?);
        let appended = source.uint(APPENDED)?;
        sink.uint(APPENDED, appended);
        sink.expect(tables::EVENTS, source.room_for(APPENDED, appended) as u64);
        for _ in 0..appended {
            EVENTS.copy_buffered(source, sink, start)?;
        }
        ACCUMULATORS.copy(source, sink)?;
    }
    Ok(())
}

/// Applies a payload of a row.
pub(crate) fn apply_row(bytes: &[u8], state: &mut WindowState) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    apply(&mut cursor, state)?;
    cursor.finish()
}
