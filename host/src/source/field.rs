//! What the fields of a stream are called, and what a field's text means.

use std::collections::{HashMap, HashSet};

use eventflux_core::definition::nearest;
use eventflux_core::{Event, NoTimestamp, TimestampReader, Value};

use super::SourceOptions;
use super::error::{Place, SourceError, quoted};

/// Most digits that surely fit an `i64`.
const DIGITS_SAFE: usize = 18;

/// The fields of a stream, in order.
pub(super) struct Schema {
    fields: Vec<String>,
    places: HashMap<String, usize>,
    timestamp: usize,
    null: Vec<String>,
    /// For each field, whether its values stay text.
    text: Vec<bool>,
    /// For each byte, whether a text of `null` starts with it: few other fields do.
    null_starts: [bool; 256],
    times: TimestampReader,
}

impl Schema {
    pub(super) fn new(
        fields: Vec<String>,
        SourceOptions { timestamp, null, text, .. }: &SourceOptions,
        file: &str,
    ) -> Result<Schema, SourceError> {
        if let Some(field) = first_repeated(&fields) {
            return Err(SourceError::DuplicateListed { file: file.into(), field: field.into() });
        }
        let Some(index) = fields.iter().position(|field| field == timestamp) else {
            let (file, field, hint) = (
                file.into(),
                timestamp.clone(),
                nearest(timestamp, fields.iter().map(String::as_str)).map(String::from),
            );
            return Err(SourceError::TimestampField { file, field, hint, known: fields });
        };
        let mut null_starts = [false; 256];
        for byte in null.iter().filter_map(|text| text.bytes().next()) {
            null_starts[usize::from(byte)] = true;
        }
        let text = fields.iter().map(|field| text.contains(field)).collect();
        let places = fields.iter().cloned().zip(0..).collect();
        Ok(Schema {
            fields,
            places,
            timestamp: index,
            null: null.clone(),
            text,
            null_starts,
            times: TimestampReader::default(),
        })
    }

    pub(super) fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Name of the field with this number, from 0.
    pub(super) fn name(&self, index: usize) -> String {
        self.fields.get(index).cloned().unwrap_or_default()
    }

    /// Number of the field of a name.
    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Number of the field that holds the time.
    pub(super) fn timestamp(&self) -> usize {
        self.timestamp
    }

    /// The number that the text of a field is, unless it stays text.
    #[inline]
    pub(super) fn number(&self, index: usize, text: &str) -> Number {
        match parse_number(text) {
            Number::Not => Number::Not,
            _ if self.text.get(index) == Some(&true) => Number::Not,
            number => number,
        }
    }

    /// Whether a text stands for null.
    #[inline]
    pub(super) fn is_null(&self, text: &str) -> bool {
        text.bytes().next().is_none_or(|first| self.null_starts[usize::from(first)])
            && self.null.iter().any(|null| null == text)
    }

    /// The event of a row with one value a field.
    pub(super) fn event(&mut self, values: Vec<Value>, place: impl Fn() -> Place) -> Result<Event, SourceError> {
        let value = values.get(self.timestamp).unwrap_or(&Value::Null);
        match self.times.read(value) {
            Ok(timestamp) => Ok(Event::new(timestamp, values)),
            Err(problem) => {
                let (place, field) = (place(), self.name(self.timestamp));
                Err(match problem {
                    NoTimestamp::Null => SourceError::TimestampNull { place, field },
                    NoTimestamp::OutOfRange(milliseconds) => {
                        SourceError::TimestampOutOfRange { place, field, milliseconds }
                    }
                    NoTimestamp::Invalid => {
                        let text = value.as_str().map_or_else(|| value.to_json().to_string(), quoted);
                        SourceError::TimestampInvalid { place, field, text }
                    }
                })
            }
        }
    }
}

/// The first name that is there twice.
pub(super) fn first_repeated(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::new();
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}

/// What a text is as a number. No [`Value`], so that it can be returned in registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// Neither `i64` nor `f64` can hold it.
    TooLarge,
    /// No number.
    Not,
}

/// The number that a text is by the grammar of JSON: whole if it has neither fraction nor exponent.
#[inline]
pub(super) fn parse_number(text: &str) -> Number {
    let bytes = text.as_bytes();
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut at = start;
    let mut magnitude: i64 = 0;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        at += 1;
    }
    let whole = at - start;
    if whole == 0 || (whole > 1 && bytes.get(start) == Some(&b'0')) {
        Number::Not
    } else if at < bytes.len() {
        parse_float(text, at)
    } else if whole > DIGITS_SAFE {
        text.parse().map_or(Number::TooLarge, Number::Int)
    } else {
        Number::Int(if start == 0 { magnitude } else { -magnitude })
    }
}

/// A number whose whole part ends at byte `at`, before the end of the text.
fn parse_float(text: &str, mut at: usize) -> Number {
    let bytes = text.as_bytes();
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(bytes, at + 1);
        if fraction == 0 {
            return Number::Not;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(bytes, at);
        if exponent == 0 {
            return Number::Not;
        }
        at += exponent;
    }
    if at < bytes.len() {
        return Number::Not;
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Number::Float(float),
        Ok(_) => Number::TooLarge,
        Err(_) => Number::Not,
    }
}

/// How many digits there are from byte `from` on.
fn digits(bytes: &[u8], from: usize) -> usize {
    bytes.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for (text, expected) in [
            ("0", Number::Int(0)),
            ("-0", Number::Int(0)),
            ("-12", Number::Int(-12)),
            ("999999999999999999", Number::Int(999_999_999_999_999_999)),
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("1.5", Number::Float(1.5)),
            ("1.0", Number::Float(1.0)),
            ("-0.5E-7", Number::Float(-0.5e-7)),
            ("2e3", Number::Float(2000.0)),
            ("2E+3", Number::Float(2000.0)),
            ("1e-999", Number::Float(0.0)),
            ("9223372036854775808.0", Number::Float(9_223_372_036_854_775_808.0)),
        ] {
            assert_eq!(parse_number(text), expected, "{text}");
            assert!(serde_json::from_str::<f64>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn all_else_is_text() {
        for text in [
            "",
            "-",
            "007",
            "-07",
            "00",
            "+5",
            " 5",
            "5 ",
            "1.",
            ".5",
            "-.5",
            "1.e3",
            "1e",
            "1e+",
            "e5",
            "1_000",
            "1,5",
            "0x10",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "true",
            "2013-01-01T10:00:00Z",
            "N14228",
            "１",
        ] {
            assert_eq!(parse_number(text), Number::Not, "{text}");
        }
    }

    #[test]
    fn numbers_beyond_either_kind() {
        for text in
            ["9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "1e309", "-1.5e999"]
        {
            assert_eq!(parse_number(text), Number::TooLarge, "{text}");
        }
    }
}
