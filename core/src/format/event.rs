//! Events in payloads of windows and patterns.

use super::Malformed;
use super::payload::{At, Sink, Source, cell_of};
#[cfg(feature = "alloc")]
use crate::value::Event;
use crate::value::{Footprint, Value};

/// Most values of an event that columns tell apart.
const VALUES_MAX: u64 = crate::limits::FIELDS_MAX as u64;

/// Where buffered events and events of a partial match are: columns of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTable(pub(crate) u16);

/// An event, growable or of fixed capacity.
pub(crate) trait EventRow: Sized {
    /// [`Malformed`], or that it has no room.
    type Error: From<Malformed>;

    fn timestamp(&self) -> i64;

    fn values(&self) -> &[Value];

    /// An event with `count` values, which come from `at` on; with what the values take together.
    fn read<S: Source>(timestamp: i64, source: &mut S, at: At, count: u64) -> Result<(Self, Footprint), Self::Error>;
}

#[cfg(feature = "alloc")]
impl EventRow for Event {
    type Error = Malformed;

    #[inline]
    fn timestamp(&self) -> i64 {
        self.timestamp
    }

    #[inline]
    fn values(&self) -> &[Value] {
        &self.values
    }

    #[inline]
    fn read<S: Source>(timestamp: i64, source: &mut S, at: At, count: u64) -> Result<(Self, Footprint), Malformed> {
        let (values, footprint) = source.values(at, count)?;
        Ok((Event { timestamp, values }, footprint))
    }
}

impl EventTable {
    pub(super) fn at(self, column: u16) -> At {
        At { table: self.0, column }
    }

    /// An event; its time is mostly near `from`.
    pub(crate) fn write(self, sink: &mut impl Sink, event: &impl EventRow, from: i64) {
        sink.int(self.at(1), event.timestamp(), from);
        sink.uint(self.at(2), event.values().len() as u64);
        for (value, place) in event.values().iter().zip(0..) {
            sink.cell(self.at(3).plus(place), cell_of(value));
        }
    }

    /// An event with its number in the input.
    pub(crate) fn write_buffered(self, sink: &mut impl Sink, sequence: u64, event: &impl EventRow, from: i64) {
        sink.uint(self.at(0), sequence);
        self.write(sink, event, from);
    }

    /// An event with what its values take together.
    pub(crate) fn read<S: Source, E: EventRow>(self, source: &mut S, from: i64) -> Result<(E, Footprint), E::Error> {
        let timestamp = source.int(self.at(1), from)?;
        let count = source.uint(self.at(2))?;
        E::read(timestamp, source, self.at(3), count)
    }

    /// The number of an event in the input; the event comes next.
    pub(crate) fn read_sequence<S: Source>(self, source: &mut S) -> Result<u64, Malformed> {
        source.uint(self.at(0))
    }

    pub(crate) fn copy<S: Source, K: Sink>(self, source: &mut S, sink: &mut K, from: i64) -> Result<(), Malformed> {
        sink.int(self.at(1), source.int(self.at(1), from)?, from);
        let count = source.uint(self.at(2))?;
        sink.uint(self.at(2), count);
        if !sink.has_places(count, VALUES_MAX) {
            return Err(Malformed::new("an event has more values than columns can be told apart"));
        }
        sink.copy_cells(self.at(3), count, source)
    }

    pub(crate) fn copy_buffered<S: Source, K: Sink>(
        self,
        source: &mut S,
        sink: &mut K,
        from: i64,
    ) -> Result<(), Malformed> {
        sink.uint(self.at(0), source.uint(self.at(0))?);
        self.copy(source, sink, from)
    }
}
