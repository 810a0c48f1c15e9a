//! Rows of NDJSON: one flat object a line.

use std::borrow::Cow;
use std::fmt;

use eventflux_core::definition::nearest;
use eventflux_core::{Event, Value};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Place, SourceError, quoted};
use super::field::{Number, Schema, first_repeated};
use super::lines::{Lines, without_line_end};

/// Reads rows.
#[derive(Default)]
pub(super) struct NdjsonRows {
    /// For each field, whether the row has it.
    seen: Vec<bool>,
}

impl NdjsonRows {
    /// Consumes the next row; if it is wrong, it stays. `values` is an empty list to fill.
    pub(super) fn next_event(
        &mut self,
        lines: &mut Lines,
        schema: &mut Schema,
        values: Vec<Value>,
    ) -> Result<Option<Event>, SourceError> {
        let Some(length) = peek_object(lines)? else {
            return Ok(None);
        };
        let values = self.read_values(row_text(lines, length)?, schema, &|| lines.place(), values)?;
        if self.seen.get(schema.timestamp()) != Some(&true) {
            return Err(SourceError::TimestampMissing { place: lines.place(), field: schema.name(schema.timestamp()) });
        }
        let event = schema.event(values, || lines.place())?;
        lines.consume(length, 1);
        Ok(Some(event))
    }

    fn read_values(
        &mut self,
        text: &str,
        schema: &Schema,
        place: &dyn Fn() -> Place,
        mut values: Vec<Value>,
    ) -> Result<Vec<Value>, SourceError> {
        let fields = schema.fields();
        values.resize(fields.len(), Value::Null);
        self.seen.clear();
        self.seen.resize(fields.len(), false);
        // Objects mostly keep the order of the fields, so the next one is tried first.
        let mut next = 0;
        scan_object(text, place, |name, scalar| {
            let index = match fields.get(next) {
                Some(field) if *field == name => next,
                _ => schema.place_of(&name).ok_or_else(|| SourceError::UnknownField {
                    place: place(),
                    field: name.clone().into(),
                    hint: nearest(&name, fields.iter().map(String::as_str)).map(String::from),
                })?,
            };
            next = index + 1;
            if std::mem::replace(&mut self.seen[index], true) {
                return Err(SourceError::DuplicateField { place: place(), field: name.into() });
            }
            values[index] = match scalar {
                Scalar::Str(text) if schema.is_null(&text) => Value::Null,
                Scalar::Str(text) => Value::from(&*text),
                Scalar::Bool(bool) => Value::Bool(bool),
                Scalar::Null => Value::Null,
                // `serde_json` would make floats of whole numbers beyond 64 bits.
                Scalar::Number(json) => match schema.number(index, json) {
                    Number::Int(int) => Value::Int(int),
                    Number::Float(float) => Value::from(float),
                    Number::Not if schema.is_null(json) => Value::Null,
                    Number::Not => Value::from(json),
                    Number::TooLarge => {
                        return Err(SourceError::NumberTooLarge {
                            place: place(),
                            field: name.into(),
                            text: quoted(json),
                        });
                    }
                },
            };
            Ok(())
        })?;
        Ok(values)
    }
}

/// The field names of the next object, which stays.
pub(super) fn peek_fields(lines: &mut Lines) -> Result<Vec<String>, SourceError> {
    let Some(length) = peek_object(lines)? else {
        return Err(SourceError::Empty { file: lines.file().into() });
    };
    let mut fields: Vec<String> = Vec::new();
    scan_object(row_text(lines, length)?, &|| lines.place(), |name, _| {
        fields.push(name.into());
        Ok(())
    })?;
    if let Some(field) = first_repeated(&fields) {
        return Err(SourceError::DuplicateField { place: lines.place(), field: field.into() });
    }
    Ok(fields)
}

/// Length of the next line that is not blank, having consumed those before it.
fn peek_object(lines: &mut Lines) -> Result<Option<usize>, SourceError> {
    loop {
        let length = lines.extend(0)?;
        if length == 0 {
            return Ok(None);
        }
        if lines.bytes(length).iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Ok(Some(length));
        }
        lines.consume(length, 1);
    }
}

fn row_text(lines: &Lines, length: usize) -> Result<&str, SourceError> {
    std::str::from_utf8(without_line_end(lines.bytes(length))).map_err(|error| SourceError::NotUtf8 {
        place: lines.place(),
        field: None,
        byte: error.valid_up_to() + 1,
    })
}

/// A value that is neither array nor object.
enum Scalar<'a> {
    Null,
    Bool(bool),
    /// As it stands there.
    Number(&'a str),
    Str(Cow<'a, str>),
}

/// Reads one object and hands out each of its fields.
fn scan_object<'a>(
    text: &'a str,
    place: &dyn Fn() -> Place,
    mut on_field: impl FnMut(Cow<'a, str>, Scalar<'a>) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut refused = None;
    let object = Object(|name: Cow<'a, str>, json: &'a RawValue| {
        let taken = read_scalar(text, json.get(), &name, place).and_then(|scalar| on_field(name, scalar));
        taken.map_err(|error| refused = Some(error)).is_ok()
    });
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(object).and_then(|()| deserializer.end());
    match (refused, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(malformed(&error, 0, place())),
    }
}

/// What is wrong with a part of a row that begins after so many bytes.
fn malformed(error: &serde_json::Error, before: usize, place: Place) -> SourceError {
    let reason = error.to_string();
    // The row is one line: only the column says where in it.
    let reason = reason.rsplit_once(" at line ").map_or(&*reason, |(reason, _)| reason).into();
    SourceError::MalformedJson { place, column: before + error.column().max(1), reason }
}

/// A value from the text it stands as.
fn read_scalar<'a>(row: &str, json: &'a str, name: &str, place: &dyn Fn() -> Place) -> Result<Scalar<'a>, SourceError> {
    let nested = |kind| Err(SourceError::NestedValue { place: place(), field: name.into(), kind });
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str(json) {
            Ok(BorrowedText(text)) => Ok(Scalar::Str(text)),
            Err(error) => Err(malformed(&error, json.as_ptr() as usize - row.as_ptr() as usize, place())),
        },
        Some(b'[') => nested("an array"),
        Some(b'{') => nested("an object"),
        Some(b't') => Ok(Scalar::Bool(true)),
        Some(b'f') => Ok(Scalar::Bool(false)),
        Some(b'n') => Ok(Scalar::Null),
        _ => Ok(Scalar::Number(json)),
    }
}

/// Text, borrowed from the row unless it has escapes.
#[derive(Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Hands out the members of an object until one is refused.
struct Object<F>(F);

impl<'a, F: FnMut(Cow<'a, str>, &'a RawValue) -> bool> Visitor<'a> for Object<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut members: M) -> Result<(), M::Error> {
        while let Some((BorrowedText(name), json)) = members.next_entry()? {
            if !(self.0)(name, json) {
                return Err(M::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
