//! Bytes that state takes as rows of bincode 1: every number 8 bytes, every length 8, every variant 4.
//!
//! What throughputs are counted in, here as in `benches/compare`: fewer bytes do not make a codec slower.

use eventflux::{Accumulator, Event, Value};

/// Bytes of a length or a number.
const WORD: usize = 8;
/// Bytes of the number of a variant.
const VARIANT: usize = 4;

/// Bytes of a value.
#[must_use]
pub fn value_bytes(value: &Value) -> usize {
    VARIANT
        + match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) | Value::Float(_) => WORD,
            _ => WORD + value.as_str().unwrap_or_default().len(),
        }
}

/// Bytes of an event: its time, and its values.
#[must_use]
pub fn event_bytes(event: &Event) -> usize {
    2 * WORD + event.values.iter().map(value_bytes).sum::<usize>()
}

/// Bytes of a window: its key, both ends, and the events.
#[must_use]
pub fn window_bytes(key: &[u8], events: &[Event]) -> usize {
    4 * WORD + key.len() + events.iter().map(event_bytes).sum::<usize>()
}

/// Bytes of a group: its key, and its accumulators with 8 bytes for each sum.
#[must_use]
pub fn group_bytes(key: &[u8], accumulators: &[Accumulator]) -> usize {
    2 * WORD + key.len() + accumulators.iter().map(accumulator_bytes).sum::<usize>()
}

fn accumulator_bytes(accumulator: &Accumulator) -> usize {
    VARIANT
        + match accumulator {
            Accumulator::Count(_) => WORD,
            Accumulator::Sum { .. } => 4 * WORD,
            Accumulator::Min(value) | Accumulator::Max(value) => 1 + value.as_ref().map_or(0, value_bytes),
            Accumulator::Avg { .. } | Accumulator::Stddev { .. } => 3 * WORD,
            other => unreachable!("no benchmark has it: {other:?}"),
        }
}
