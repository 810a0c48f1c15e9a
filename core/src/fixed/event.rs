//! Events of fixed capacity.

use heapless::Vec;

use super::error::FixedError;
use crate::bytes::INLINE_BYTES;
use crate::format::event::EventRow;
use crate::format::payload::{At, Cell, Source, value_of};
use crate::value::{EVENT_ENCODED, Footprint, Value, varint_len};

/// One event with at most `FIELDS` values, whose texts have 22 bytes at most. It takes 16 bytes, and 24 for each field.
///
/// ```
/// use eventflux_core::{FixedEvent, Value};
/// let event = FixedEvent::<2>::new(5, &[Value::from(21), Value::from(0.5)])?;
/// assert_eq!((event.timestamp(), event.values()[0].as_f64()), (5, Some(21.0)));
/// assert!(FixedEvent::<1>::new(5, &[Value::Null, Value::Null]).is_err());
/// # Ok::<(), eventflux_core::FixedError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FixedEvent<const FIELDS: usize> {
    timestamp: i64,
    values: Vec<Value, FIELDS, u16>,
}

/// An event that a state keeps, with its place in the input.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedBufferedEvent<const FIELDS: usize> {
    /// Number of the event in the input, from 0: breaks ties of time.
    pub sequence: u64,
    /// The event.
    pub event: FixedEvent<FIELDS>,
}

impl<const FIELDS: usize> FixedEvent<FIELDS> {
    /// An event at a time, in milliseconds since 1970 (UTC), with a value for each field.
    ///
    /// # Errors
    /// [`FixedError::Full`] if there are more values, or a text is longer.
    pub fn new(timestamp: i64, values: &[Value]) -> Result<Self, FixedError> {
        let mut event = FixedEvent { timestamp, values: Vec::new() };
        values.iter().try_for_each(|value| event.push(value.clone()))?;
        Ok(event)
    }

    /// Event time, milliseconds since 1970-01-01T00:00Z.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// One value a field, in the order of the stream's fields.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    fn push(&mut self, value: Value) -> Result<(), FixedError> {
        check_text(&value)?;
        self.values.push(value).map_err(|_| FixedError::Full { what: "fields of an event", capacity: FIELDS })
    }

    /// Bytes in a row, by the estimate of its growable twin.
    pub(super) fn encoded(&self) -> u64 {
        EVENT_ENCODED + self.values.iter().map(|value| value.footprint().encoded).sum::<u64>()
    }
}

impl<const FIELDS: usize> FixedBufferedEvent<FIELDS> {
    pub(super) fn encoded(&self) -> u64 {
        self.event.encoded() + varint_len(self.sequence) as u64
    }
}

/// That a value needs no allocation.
pub(super) fn check_text(value: &Value) -> Result<(), FixedError> {
    check_len(value.as_str().map_or(0, str::len))
}

fn check_len(bytes: usize) -> Result<(), FixedError> {
    let full = FixedError::Full { what: "bytes of a text", capacity: INLINE_BYTES };
    if bytes > INLINE_BYTES { Err(full) } else { Ok(()) }
}

impl<const FIELDS: usize> EventRow for FixedEvent<FIELDS> {
    type Error = FixedError;

    fn timestamp(&self) -> i64 {
        self.timestamp
    }

    fn values(&self) -> &[Value] {
        &self.values
    }

    fn read<S: Source>(timestamp: i64, source: &mut S, at: At, count: u64) -> Result<(Self, Footprint), FixedError> {
        let mut event = FixedEvent { timestamp, values: Vec::new() };
        for place in 0..count {
            let cell = source.cell(at.plus(place))?;
            if let Cell::Bytes(bytes) = cell {
                check_len(bytes.len())?;
            }
            event.push(value_of(cell)?)?;
        }
        Ok((event, Footprint::default()))
    }
}
