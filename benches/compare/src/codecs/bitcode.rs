//! bitcode, which puts the same field of all values together, and LZ4 over that.
//!
//! Its own traits, not serde: they are what makes it fast and small. Our values do not have them, so that they are
//! borrowed into types that do, and made again from those.

use bitcode::{Decode, Encode};
use eventflux_core::{Event, Value};

use super::Codec;
use crate::data::WindowRows;

/// bitcode and LZ4.
pub struct Bitcode;

#[derive(Encode, Decode)]
struct WindowBits<'a> {
    key: Vec<u8>,
    start: i64,
    end: i64,
    events: Vec<EventBits<'a>>,
}

#[derive(Encode, Decode)]
struct EventBits<'a> {
    timestamp: i64,
    values: Vec<ValueBits<'a>>,
}

#[derive(Encode, Decode)]
enum ValueBits<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a str),
}

impl Codec<Vec<WindowRows>> for Bitcode {
    fn name(&self) -> String {
        "bitcode + LZ4".into()
    }

    fn encode(&self, state: &Vec<WindowRows>) -> Vec<u8> {
        let windows: Vec<WindowBits<'_>> = state.iter().map(WindowBits::from).collect();
        lz4_flex::block::compress_prepend_size(&bitcode::encode(&windows))
    }

    fn decode(&self, bytes: &[u8]) -> Vec<WindowRows> {
        let bits = lz4_flex::block::decompress_size_prepended(bytes).expect("it was encoded");
        let windows: Vec<WindowBits<'_>> = bitcode::decode(&bits).expect("it was encoded");
        windows.into_iter().map(WindowRows::from).collect()
    }
}

impl<'a> From<&'a WindowRows> for WindowBits<'a> {
    fn from(window: &'a WindowRows) -> Self {
        let event = |event: &'a Event| EventBits {
            timestamp: event.timestamp,
            values: event.values.iter().map(ValueBits::from).collect(),
        };
        let events = window.events.iter().map(event).collect();
        WindowBits { key: window.key.clone(), start: window.start, end: window.end, events }
    }
}

impl From<WindowBits<'_>> for WindowRows {
    fn from(window: WindowBits<'_>) -> Self {
        let event =
            |event: EventBits<'_>| Event::new(event.timestamp, event.values.into_iter().map(Value::from).collect());
        let events = window.events.into_iter().map(event).collect();
        WindowRows { key: window.key, start: window.start, end: window.end, events }
    }
}

impl<'a> From<&'a Value> for ValueBits<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => ValueBits::Null,
            Value::Bool(bool) => ValueBits::Bool(*bool),
            Value::Int(int) => ValueBits::Int(*int),
            Value::Float(float) => ValueBits::Float(*float),
            Value::Str(text) => ValueBits::Str(text.as_str()),
        }
    }
}

impl From<ValueBits<'_>> for Value {
    fn from(value: ValueBits<'_>) -> Self {
        match value {
            ValueBits::Null => Value::Null,
            ValueBits::Bool(bool) => Value::Bool(bool),
            ValueBits::Int(int) => Value::Int(int),
            ValueBits::Float(float) => Value::Float(float),
            ValueBits::Str(text) => Value::from(text),
        }
    }
}
