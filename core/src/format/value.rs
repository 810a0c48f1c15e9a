//! Values and events in rows and in plain values.
//!
//! A value is a postcard enum: its number below (varint), then what it carries. An event is its
//! time and the list of its values; a buffered event is its number in the input, then the event.
//! A number in double precision is written with one NaN and one zero.

use alloc::vec::Vec;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::{BufferedEvent, Event, Text, Value, canonical};

/// [`Value`] as it is written. The order of the variants is the format.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Value")]
enum ValueRow<T> {
    Null,
    Bool(bool),
    Int(i64),
    Float(#[serde(serialize_with = "serialize_canonical")] f64),
    Str(T),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = match self {
            Value::Null => ValueRow::Null,
            Value::Bool(bool) => ValueRow::Bool(*bool),
            Value::Int(int) => ValueRow::Int(*int),
            Value::Float(float) => ValueRow::Float(*float),
            Value::Str(text) => ValueRow::Str(text),
        };
        row.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match ValueRow::<Text>::deserialize(deserializer)? {
            ValueRow::Null => Value::Null,
            ValueRow::Bool(bool) => Value::Bool(bool),
            ValueRow::Int(int) => Value::Int(int),
            ValueRow::Float(float) => Value::Float(float),
            ValueRow::Str(text) => Value::Str(text),
        })
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::new(text))
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.timestamp, &self.values).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (timestamp, values) = <(i64, Vec<Value>)>::deserialize(deserializer)?;
        Ok(Event { timestamp, values })
    }
}

impl Serialize for BufferedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.sequence, &self.event).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BufferedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (sequence, event) = <(u64, Event)>::deserialize(deserializer)?;
        Ok(BufferedEvent { sequence, event })
    }
}

/// A number in double precision, with the one NaN and the one zero.
pub(crate) fn serialize_canonical<S: Serializer>(float: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(canonical(*float))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: impl Serialize) -> Vec<u8> {
        postcard::to_allocvec(&value).unwrap()
    }

    #[test]
    fn the_numbers_of_the_kinds_are_frozen() {
        assert_eq!(bytes(Value::Null), [0]);
        assert_eq!(bytes(Value::Bool(true)), [1, 1]);
        assert_eq!(bytes(Value::Int(-1)), [2, 1]);
        assert_eq!(bytes(Value::Float(1.0)), [3, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(bytes(Value::from("é")), [4, 2, 0xc3, 0xa9]);
        let event = Event::new(-2, alloc::vec![Value::Null]);
        assert_eq!(bytes(&event), [3, 1, 0]);
        assert_eq!(bytes(BufferedEvent { sequence: 128, event }), [0x80, 1, 3, 1, 0]);
    }

    #[test]
    fn nan_and_zero_have_one_encoding() {
        assert_eq!(bytes(Value::Float(-0.0)), bytes(Value::Float(0.0)));
        let negative = Value::Float(f64::from_bits(0xfff8_0000_0000_0001));
        assert_eq!(bytes(negative), [3, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]);
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for bad in [&[5][..], &[1, 2], &[4, 1, 0xff], &[4, 2, b'a'], &[2], &[]] {
            assert!(postcard::from_bytes::<Value>(bad).is_err(), "{bad:?}");
        }
    }
}
