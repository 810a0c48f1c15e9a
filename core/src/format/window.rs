//! Windows in payloads: starts of closed windows, then the new and changed windows.
//!
//! The whole and the change have one form: a whole row closes nothing, pops nothing and carries
//! every window with all its events and accumulators.

use super::accumulator::AccumulatorTables;
use super::event::{EventRow, EventTable};
use super::payload::{At, Sink, Source};
use super::tables;
use super::{Cursor, Malformed};
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

    /// Closes a window; whether it was open.
    fn close(&mut self, start: i64) -> bool;

    /// Changes a window, which is opened if need be.
    fn update(
        &mut self,
        start: i64,
        change: impl FnOnce(&mut Self::Window) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;
}

/// One of them.
pub(crate) trait WindowRow {
    type Error: From<Malformed>;
    type Event: EventRow<Error = Self::Error> + 'static;

    /// Start and end.
    fn bounds(&self) -> (i64, i64);

    fn set_end(&mut self, end: i64);

    /// Whether the last capture had it, and whether it changed since.
    fn marks(&self) -> (bool, bool);

    /// How many captured events were popped in front since.
    fn popped(&self) -> u64;

    /// The buffered events with their numbers in the input: all, or those appended since the last capture.
    fn events(&self, all: bool) -> impl ExactSizeIterator<Item = (u64, &Self::Event)>;

    /// Drops the first event; whether there was one.
    fn drop_front(&mut self) -> bool;

    /// So many events come next.
    fn expect(&mut self, events: usize);

    fn append(&mut self, sequence: u64, event: Self::Event, of_values: Footprint) -> Result<(), Self::Error>;

    fn write_accumulators(&self, sink: &mut impl Sink, whole: bool);

    fn read_accumulators<S: Source>(&mut self, source: &mut S) -> Result<(), Self::Error>;
}

/// Writes all windows, or what changed since the last capture.
pub(crate) fn write(sink: &mut impl Sink, state: &impl WindowRows, all: bool) {
    let closed = if all { &[] } else { state.closed() };
    sink.uint(CLOSED_COUNT, closed.len() as u64);
    closed.iter().for_each(|start| sink.int(CLOSED, *start, 0));
    let written = || state.windows().iter().filter(|window| all || window.marks().1);
    sink.uint(WINDOW_COUNT, written().count() as u64);
    written().for_each(|window| write_window(sink, window, all || !window.marks().0));
}

fn write_window(sink: &mut impl Sink, window: &impl WindowRow, whole: bool) {
    let (start, end) = window.bounds();
    sink.int(START, start, 0);
    sink.int(END, end, start);
    // Events to drop in front, then those that came.
    sink.uint(POPPED, if whole { 0 } else { window.popped() });
    let events = window.events(whole);
    sink.uint(APPENDED, events.len() as u64);
    events.for_each(|(sequence, event)| EVENTS.write_buffered(sink, sequence, event, start));
    window.write_accumulators(sink, whole);
}

/// Applies a payload to the state it was taken against; a whole one to an empty state.
pub(crate) fn apply<S: Source, W: WindowRows>(source: &mut S, state: &mut W) -> Result<(), W::Error> {
    for _ in 0..source.uint(CLOSED_COUNT)? {
        if !state.close(source.int(CLOSED, 0)?) {
            return Err(Malformed::new("closes a window that is not open").into());
        }
    }
    for _ in 0..source.uint(WINDOW_COUNT)? {
        let start = source.int(START, 0)?;
        state.update(start, |window| read_window(source, window))?;
    }
    Ok(())
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
    window.expect(source.room_for(At { table: tables::EVENTS, column: 0 }, appended));
    for _ in 0..appended {
        let sequence = EVENTS.read_sequence(source)?;
        let (event, of_values) = EVENTS.read::<S, W::Event>(source, start)?;
        window.append(sequence, event, of_values)?;
    }
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
pub(crate) fn apply_row<W: WindowRows>(bytes: &[u8], state: &mut W) -> Result<(), W::Error> {
    let mut cursor = Cursor::new(bytes);
    apply(&mut cursor, state)?;
    Ok(cursor.finish()?)
}
