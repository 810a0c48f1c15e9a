//! Pattern state in payloads: what is gone, what is new. A whole one has nothing gone.

use super::event::{EventRow, EventTable};
use super::payload::{At, Sink, Source};
use super::tables;
use super::{Cursor, Malformed};

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

/// About what the pattern state of a key takes encoded beside its events, and a partial match beside its own.
pub(crate) const PATTERN_ENCODED: u64 = 4;
pub(crate) const PARTIAL_ENCODED: u64 = 6;

/// The pattern state of a key, growable or of fixed capacity.
pub(crate) trait PatternRows {
    /// [`Malformed`], or that there is no room.
    type Error: From<Malformed>;
    type Event: EventRow<Error = Self::Error> + 'static;

    /// Numbers of waiting events that the last capture had and that are gone; and ids of partial matches.
    fn gone(&self) -> (&[u64], &[u64]);

    /// Waiting events with their numbers: all, or those that the last capture had not.
    fn waiting(&self, all: bool) -> impl Iterator<Item = (u64, &Self::Event)>;

    /// Partial matches: id, how many of its events the last capture had, and its events.
    fn partials(&self) -> impl Iterator<Item = (u64, usize, &[Self::Event])>;

    /// Takes out waiting events by their numbers; whether all of them were there.
    fn forget_waiting(&mut self, numbers: impl Iterator<Item = Result<u64, Malformed>>) -> Result<bool, Malformed>;

    /// Adds waiting events with their numbers.
    fn add_waiting(
        &mut self,
        events: impl Iterator<Item = Result<(u64, Self::Event), Self::Error>>,
    ) -> Result<(), Self::Error>;

    /// Takes out partial matches by their ids.
    fn forget_partials(&mut self, ids: impl Iterator<Item = Result<u64, Malformed>>) -> Result<(), Self::Error>;

    /// Adds events, about `room` of them, to the partial match of an id that has as many as said, or begins one;
    /// whether there is such a one. It is looked for from the place `next` on, which then is the one behind it.
    fn add_to_partial(
        &mut self,
        next: &mut usize,
        id_and_events: (u64, u64),
        room: usize,
        events: impl Iterator<Item = Result<Self::Event, Self::Error>>,
    ) -> Result<bool, Self::Error>;
}

/// Writes all of it, or what changed since the last capture.
pub(crate) fn write(sink: &mut impl Sink, state: &impl PatternRows, all: bool) {
    let (taken, dropped) = if all { Default::default() } else { state.gone() };
    sink.uint(TAKEN_COUNT, taken.len() as u64);
    taken.iter().for_each(|sequence| sink.uint(TAKEN, *sequence));
    sink.uint(WAITING_COUNT, state.waiting(all).count() as u64);
    state.waiting(all).for_each(|(sequence, event)| WAITING.write_buffered(sink, sequence, event, 0));
    sink.uint(DROPPED_COUNT, dropped.len() as u64);
    dropped.iter().for_each(|id| sink.uint(DROPPED, *id));
    let advanced = || {
        let new = |(id, captured, events)| (id, if all { 0 } else { captured }, events);
        state.partials().map(new).filter(|(_, from, events)| *from < events.len())
    };
    sink.uint(PARTIAL_COUNT, advanced().count() as u64);
    for (id, from, events) in advanced() {
        let new = &events[from..];
        sink.uint(ID, id);
        sink.uint(FROM, from as u64);
        sink.uint(EVENT_COUNT, new.len() as u64);
        new.iter().for_each(|event| MATCHED.write(sink, event, 0));
    }
}

/// Applies a payload to the state it was taken against; a whole one to an empty state.
pub(crate) fn apply<S: Source, P: PatternRows>(source: &mut S, state: &mut P) -> Result<(), P::Error> {
    let taken = source.uint(TAKEN_COUNT)?;
    if taken > 0 && !state.forget_waiting((0..taken).map(|_| source.uint(TAKEN)))? {
        return Err(Malformed::new("takes a waiting event that is not there").into());
    }
    let waiting = source.uint(WAITING_COUNT)?;
    if waiting > 0 {
        state.add_waiting((0..waiting).map(|_| {
            let sequence = WAITING.read_sequence(source)?;
            Ok((sequence, WAITING.read::<S, P::Event>(source, 0)?.0))
        }))?;
    }
    let dropped = source.uint(DROPPED_COUNT)?;
    if dropped > 0 {
        state.forget_partials((0..dropped).map(|_| source.uint(DROPPED)))?;
    }
    // They come in the order in which they lie.
    let mut next = 0;
    for _ in 0..source.uint(PARTIAL_COUNT)? {
        let partial = (source.uint(ID)?, source.uint(FROM)?);
        let count = source.uint(EVENT_COUNT)?;
        let room = source.room_for(At { table: tables::MATCHED, column: 1 }, count);
        let events = (0..count).map(|_| Ok(MATCHED.read::<S, P::Event>(source, 0)?.0));
        if count == 0 || !state.add_to_partial(&mut next, partial, room, events)? {
            return Err(Malformed::new("advances a partial match that is not there").into());
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
        let events = counted(source, sink, EVENT_COUNT)?;
        if events == 0 {
            return Err(Malformed::new("advances a partial match by nothing"));
        }
        for _ in 0..events {
            MATCHED.copy(source, sink, 0)?;
        }
    }
    Ok(())
}

/// Applies a payload of a row.
pub(crate) fn apply_row<P: PatternRows>(bytes: &[u8], state: &mut P) -> Result<(), P::Error> {
    let mut cursor = Cursor::new(bytes);
    apply(&mut cursor, state)?;
    Ok(cursor.finish()?)
}
