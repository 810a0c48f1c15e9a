//! Events in payloads of windows and patterns.

use super::Malformed;
use super::payload::{At, Sink, Source, cell_of};
use crate::value::{BufferedEvent, Event, Footprint};

/// Most values of an event that columns tell apart.
const VALUES_MAX: u64 = crate::limits::FIELDS_MAX as u64;

/// Where buffered events and events of a partial match are: columns of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTable(pub(crate) u16);

impl EventTable {
    fn at(self, column: u16) -> At {
        At { table: self.0, column }
    }

    /// An event; its time is mostly near `from`.
    pub(crate) fn write(self, sink: &mut impl Sink, event: &Event, from: i64) {
        sink.int(self.at(1), event.timestamp, from);
        sink.uint(self.at(2), event.values.len() as u64);
        for (value, place) in event.values.iter().zip(0..) {
            sink.cell(self.at(3).plus(place), cell_of(value));
        }
    }

    pub(crate) fn write_buffered(self, sink: &mut impl Sink, event: &BufferedEvent, from: i64) {
        sink.uint(self.at(0), event.sequence);
        self.write(sink, &event.event, from);
    }

    pub(crate) fn read<S: Source>(self, source: &mut S, from: i64) -> Result<Event, Malformed> {
        Ok(self.read_measured(source, from)?.0)
    }

    /// An event with what its values take together.
    fn read_measured<S: Source>(self, source: &mut S, from: i64) -> Result<(Event, Footprint), Malformed> {
        let timestamp = source.int(self.at(1), from)?;
        let count = source.uint(self.at(2))?;
        let (values, footprint) = source.values(self.at(3), count)?;
        Ok((Event { timestamp, values }, footprint))
    }

    /// A buffered event with its own footprint.
    pub(crate) fn read_buffered<S: Source>(
        self,
        source: &mut S,
        from: i64,
    ) -> Result<(BufferedEvent, Footprint), Malformed> {
        let sequence = source.uint(self.at(0))?;
        let (event, of_values) = self.read_measured(source, from)?;
        let event = BufferedEvent { sequence, event };
        let footprint = event.footprint_with(of_values);
        Ok((event, footprint))
    }

    pub(crate) fn copy<S: Source, K: Sink>(self, source: &mut S, sink: &mut K, from: i64) -> Result<(), Malformed> {
        sink.int(self.at(1), source.int(self.at(1), from)?, from);
        let count = source.uint(self.at(2))?;
        sink.uint(self.at(2), count);
        if count > VALUES_MAX {
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
