//! Windows in payloads: starts of closed windows, then the new and changed windows.
//!
//! The whole and the change have one form: a whole row closes nothing, pops nothing and carries
//! every window with all its events and accumulators.

use super::accumulator::AccumulatorTables;
use super::event::{EventRow, EventTable};
use super::payload::{At, Sink, Source};
use super::tables;
use super::{ByteSink, Cursor, Malformed};
use crate::value::Footprint;

const CLOSED_COUNT: At = At { table: tables::PAYLOAD, column: 0 };
const WINDOW_COUNT: At = At { table: tables::PAYLOAD, column: 1 };
const CLOSED: At = At { table: tables::CLOSED, column: 0 };
const START: At = At { table: tables::WINDOWS, column: 0 };
const END: At = At { table: tables::WINDOWS, column: 1 };
const POPPED: At = At { table: tables::WINDOWS, column: 2 };
const APPENDED: At = At { table: tables::WINDOWS, column: 3 };
const EVENTS: EventTable = EventTable(tables::EVENTS);
/// How many accumulators a window has is one more of its columns.
pub(crate) const ACCUMULATORS: AccumulatorTables = AccumulatorTables(At { table: tables::WINDOWS, column: 4 });

/// About what the windows of a key take encoded beside the windows, and a window beside events and accumulators.
pub(crate) const WINDOWS_ENCODED: u64 = 1;
pub(crate) const WINDOW_ENCODED: u64 = 12;

/// The windows of a key, growable or of fixed capacity.
pub(crate) trait WindowRows {
    /// [`Malformed`], or that there is no room.
    type Error: From<Malformed>;
    type Window: WindowRow<Error = Self::Error>;

    fn windows(&self) -> &[Self::Window];

    /// Starts of windows that the last capture had and that are gone.
    fn closed(&self) -> &[i64];

    /// Closes windows by their starts; whether all of them were open.
    fn close(&mut self, starts: impl Iterator<Item = Result<i64, Malformed>>) -> Result<bool, Malformed>;

    /// Changes a window, which is opened if it is not among the first `there`: it may lie behind all others until
    /// [`WindowRows::sort`].
    fn update(
        &mut self,
        there: usize,
        start: i64,
        change: impl FnOnce(&mut Self::Window) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;

    /// Puts the windows in the order of their starts, if they are not yet.
    fn sort(&mut self) {}
}

/// One of them.
pub(crate) trait WindowRow {
    type Error: From<Malformed>;

    /// Start and end.
    fn bounds(&self) -> (i64, i64);

    fn set_end(&mut self, end: i64);

    /// Whether the last capture had it, and whether it changed since.
    fn marks(&self) -> (bool, bool);

    /// How many captured events were popped in front since.
    fn popped(&self) -> u64;

    /// Writes the number of the buffered events, and the events: all, or those appended since the last capture.
    fn write_events(&self, sink: &mut impl ByteSink, all: bool);

    /// Drops the first event; whether there was one.
    fn drop_front(&mut self) -> bool;

    /// Reads so many events, behind those that are there.
    fn read_events<S: Source>(&mut self, source: &mut S, events: u64) -> Result<(), Self::Error>;

    fn write_accumulators(&self, sink: &mut impl ByteSink, whole: bool);

    fn read_accumulators<S: Source>(&mut self, source: &mut S) -> Result<(), Self::Error>;
}

/// Writes all windows, or what changed since the last capture.
pub(crate) fn write(sink: &mut impl ByteSink, state: &impl WindowRows, all: bool) {
    let closed = if all { &[] } else { state.closed() };
    sink.uint(CLOSED_COUNT, closed.len() as u64);
    closed.iter().for_each(|start| sink.int(CLOSED, *start, 0));
    let written = || state.windows().iter().filter(|window| all || window.marks().1);
    sink.uint(WINDOW_COUNT, written().count() as u64);
    written().for_each(|window| write_window(sink, window, all || !window.marks().0));
}

/// Writes events one by one.
pub(crate) fn write_events<'e, E: EventRow + 'e>(
    sink: &mut impl ByteSink,
    events: impl ExactSizeIterator<Item = (u64, &'e E)>,
    start: i64,
) {
    sink.uint(APPENDED, events.len() as u64);
    events.for_each(|(sequence, event)| EVENTS.write_buffered(sink, sequence, event, start));
}

/// Writes events that are held as rows have them.
#[cfg(feature = "alloc")]
pub(crate) fn write_rows(sink: &mut impl ByteSink, events: usize, rows: &[u8]) {
    sink.uint(APPENDED, events as u64);
    sink.extend_from_slice(rows);
}

/// Reads an event with its number in the input, and what its values take together.
pub(crate) fn read_event<S: Source, E: EventRow>(source: &mut S, start: i64) -> Result<(u64, E, Footprint), E::Error> {
    let sequence = EVENTS.read_sequence(source)?;
    let (event, of_values) = EVENTS.read::<S, E>(source, start)?;
    Ok((sequence, event, of_values))
}

fn write_window(sink: &mut impl ByteSink, window: &impl WindowRow, whole: bool) {
    let (start, end) = window.bounds();
    sink.int(START, start, 0);
    sink.int(END, end, start);
    // Events to drop in front, then those that came.
    sink.uint(POPPED, if whole { 0 } else { window.popped() });
    window.write_events(sink, whole);
    window.write_accumulators(sink, whole);
}

/// Applies a payload to the state it was taken against; a whole one to an empty state.
pub(crate) fn apply<S: Source, W: WindowRows>(source: &mut S, state: &mut W) -> Result<(), W::Error> {
    let closed = source.uint(CLOSED_COUNT)?;
    if closed > 0 && !state.close((0..closed).map(|_| source.int(CLOSED, 0)))? {
        return Err(Malformed::new("closes a window that is not open").into());
    }
    // New ones are sorted in at the end: each by itself would move all that lie behind it.
    let (there, mut before) = (state.windows().len(), None);
    for _ in 0..source.uint(WINDOW_COUNT)? {
        let start = read_start(source, &mut before)?;
        state.update(there, start, |window| read_window(source, window))?;
    }
    if state.windows().len() > there {
        state.sort();
    }
    Ok(())
}

/// The start of the next window: behind that of the one before.
fn read_start<S: Source>(source: &mut S, before: &mut Option<i64>) -> Result<i64, Malformed> {
    let start = source.int(START, 0)?;
    if before.replace(start).is_some_and(|before| before >= start) {
        return Err(Malformed::new("windows out of order"));
    }
    Ok(start)
}

fn read_window<S: Source, W: WindowRow>(source: &mut S, window: &mut W) -> Result<(), W::Error> {
    let (start, _) = window.bounds();
    window.set_end(source.int(END, start)?);
    for _ in 0..source.uint(POPPED)? {
        if !window.drop_front() {
            return Err(Malformed::new("pops more events than there are").into());
        }
    }
    let appended = source.uint(APPENDED)?;
    window.read_events(source, appended)?;
    window.read_accumulators(source)
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
    let mut before = None;
    for _ in 0..windows {
        let start = read_start(source, &mut before)?;
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
pub(crate) fn apply_row<W: WindowRows>(bytes: &[u8], state: &mut W) -> Result<(), W::Error> {
    let mut cursor = Cursor::new(bytes);
    apply(&mut cursor, state)?;
    Ok(cursor.finish()?)
}
