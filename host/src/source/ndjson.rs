//! Rows of NDJSON: one flat object a line.
//!
//! The objects are scanned here, not by `serde_json`, which turns whole numbers beyond 64 bits into
//! floats without a word. Strings with escapes are still its work, and the tests compare the rest.

use std::borrow::Cow;

use eventflux_core::{Event, Value};

use super::error::{Place, SourceError, nearest, quoted};
use super::field::{Number, Schema, first_repeated, parse_number};
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
                _ => fields.iter().position(|field| *field == name).ok_or_else(|| SourceError::UnknownField {
                    place: place(),
                    field: name.clone().into(),
                    hint: nearest(&name, fields),
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
                Scalar::Number(Number::Int(int)) => Value::Int(int),
                Scalar::Number(Number::Float(float)) => Value::from(float),
                Scalar::Null | Scalar::Number(Number::TooLarge | Number::Not) => Value::Null,
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
    Number(Number),
    Str(Cow<'a, str>),
}

/// Reads one object and hands out each of its fields.
fn scan_object<'a>(
    text: &'a str,
    place: &dyn Fn() -> Place,
    mut on_field: impl FnMut(Cow<'a, str>, Scalar<'a>) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut scanner = Scanner { text, at: 0 };
    let malformed = |Malformed { at, expected }| {
        let column = text.get(..at).unwrap_or_default().chars().count() + 1;
        SourceError::MalformedJson { place: place(), column, expected }
    };
    scanner.skip_blanks();
    scanner.expect(b'{', "`{`").map_err(malformed)?;
    let mut more = !scanner.skip(b'}');
    while more {
        let name = scanner.string("a field name in quotes").map_err(malformed)?;
        scanner.skip_blanks();
        scanner.expect(b':', "`:` after the field name").map_err(malformed)?;
        let scalar = match scanner.byte() {
            Some(b'"') => Scalar::Str(scanner.string("a string").map_err(malformed)?),
            Some(b'[') => {
                return Err(SourceError::NestedValue { place: place(), field: name.into(), kind: "an array" });
            }
            Some(b'{') => {
                return Err(SourceError::NestedValue { place: place(), field: name.into(), kind: "an object" });
            }
            _ => {
                let token = scanner.token();
                let scalar = read_literal(token).ok_or_else(|| {
                    malformed(Malformed {
                        at: scanner.at - token.len(),
                        expected: "a string, a number, true, false or null",
                    })
                })?;
                if let Scalar::Number(Number::TooLarge) = scalar {
                    return Err(SourceError::NumberTooLarge {
                        place: place(),
                        field: name.into(),
                        text: quoted(token),
                    });
                }
                scalar
            }
        };
        on_field(name, scalar)?;
        scanner.skip_blanks();
        more = scanner.skip(b',');
        if !more {
            scanner.expect(b'}', "`,` or `}` after the value").map_err(malformed)?;
        }
    }
    if scanner.byte().is_some() {
        return Err(malformed(Malformed { at: scanner.at, expected: "nothing more after the object" }));
    }
    Ok(())
}

/// A place in the JSON text. Each method that takes something also takes the blanks after it.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// What the text should have had, and where.
struct Malformed {
    at: usize,
    expected: &'static str,
}

impl<'a> Scanner<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.byte() {
            self.at += 1;
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        if found {
            self.at += 1;
            self.skip_blanks();
        }
        found
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.skip(byte) { Ok(()) } else { Err(Malformed { at: self.at, expected }) }
    }

    fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at;
        if self.byte() != Some(b'"') {
            return Err(Malformed { at: start, expected });
        }
        let mut escaped = false;
        loop {
            self.at += 1;
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                }
                Some(0..0x20) => {
                    return Err(Malformed { at: self.at, expected: "an escape such as \\n for a control character" });
                }
                Some(_) => {}
                None => {
                    return Err(Malformed { at: self.text.len(), expected: "`\"` at the end of a string" });
                }
            }
        }
        self.at += 1;
        let token = self.text.get(start..self.at).unwrap_or_default();
        if escaped {
            serde_json::from_str(token)
                .map(Cow::Owned)
                .map_err(|_| Malformed { at: start, expected: "a string with valid escapes" })
        } else {
            Ok(Cow::Borrowed(token.get(1..token.len() - 1).unwrap_or_default()))
        }
    }

    /// The text of a number, `true`, `false` or `null`, or the like.
    fn token(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let token = rest.get(..rest.bytes().take_while(is_part).count()).unwrap_or_default();
        self.at += token.len();
        token
    }
}

fn read_literal(token: &str) -> Option<Scalar<'_>> {
    match token {
        "null" => Some(Scalar::Null),
        "true" => Some(Scalar::Bool(true)),
        "false" => Some(Scalar::Bool(false)),
        _ => match parse_number(token) {
            Number::Not => None,
            number => Some(Scalar::Number(number)),
        },
    }
}
