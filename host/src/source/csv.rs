//! Rows of CSV (RFC 4180; see the parent module for what is taken).
//!
//! Written here rather than taken from the `csv` crate, against which the tests compare it, because
//! exactly-once needs positions that crate does not give: it ends a row between CR and LF, counts the
//! line after a blank one or after CRLF as the line before, and reads a quote that never closes as one
//! field up to the end of the file, without an error.

use std::borrow::Cow;

use eventflux_core::{Event, Value};

use super::error::{SourceError, quoted};
use super::field::{Number, Schema, first_repeated};
use super::lines::{Lines, without_line_end};

/// Splits and reads rows.
#[derive(Default)]
pub(super) struct CsvRows {
    spans: Vec<Span>,
}

/// Where a field is in its row, without its quotes.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    /// Whether it holds doubled quotes.
    doubled: bool,
}

/// How long a row is, with its line end.
struct Row {
    length: usize,
    lines: u64,
}

impl CsvRows {
    /// Consumes the header and returns its names.
    pub(super) fn read_header(&mut self, lines: &mut Lines) -> Result<Vec<String>, SourceError> {
        let Some(row) = self.split_row(lines)? else {
            return Err(SourceError::Empty { file: lines.file().into() });
        };
        let text = self.text(lines, &row, |_| None)?;
        if self.spans.iter().any(|span| span.raw(text).contains('\r') && !text.contains('"')) {
            return Err(SourceError::CarriageReturn { place: lines.place() });
        }
        let fields: Vec<String> = self.spans.iter().map(|span| span.text(text).into()).collect();
        if let Some(field) = first_repeated(&fields) {
            return Err(SourceError::DuplicateField { place: lines.place(), field: field.into() });
        }
        lines.consume(row.length, row.lines);
        Ok(fields)
    }

    /// Consumes the next row; if it is wrong, it stays. `values` is an empty list to fill.
    pub(super) fn next_event(
        &mut self,
        lines: &mut Lines,
        schema: &mut Schema,
        mut values: Vec<Value>,
    ) -> Result<Option<Event>, SourceError> {
        let Some(row) = self.split_row(lines)? else {
            return Ok(None);
        };
        let (expected, found) = (schema.fields().len(), self.spans.len());
        if expected != found {
            return Err(SourceError::FieldCount { place: lines.place(), expected, found });
        }
        let text = self.text(lines, &row, |index| Some(schema.name(index)))?;
        values.reserve_exact(found);
        for (index, span) in self.spans.iter().enumerate() {
            let read = if span.doubled {
                push_value(&mut values, &span.text(text), schema)
            } else {
                push_value(&mut values, span.raw(text), schema)
            };
            read.map_err(|TooLarge| SourceError::NumberTooLarge {
                place: lines.place(),
                field: schema.name(index),
                text: quoted(span.raw(text)),
            })?;
        }
        let event = schema.event(values, || lines.place())?;
        lines.consume(row.length, row.lines);
        Ok(Some(event))
    }

    /// Finds the fields of the next row, consuming only the blank lines before it.
    fn split_row(&mut self, lines: &mut Lines) -> Result<Option<Row>, SourceError> {
        loop {
            let length = lines.extend(0)?;
            let content = without_line_end(lines.bytes(length));
            if length == 0 {
                return Ok(None);
            }
            if content.is_empty() {
                lines.consume(length, 1);
                continue;
            }
            if self.split_unquoted(content) {
                return Ok(Some(Row { length, lines: 1 }));
            }
            return self.split_quoted(lines, length).map(Some);
        }
    }

    /// Splits a row of one line; false if it holds a quote.
    fn split_unquoted(&mut self, content: &[u8]) -> bool {
        self.spans.clear();
        let mut start = 0;
        for (at, byte) in content.iter().enumerate() {
            match byte {
                b',' => {
                    self.spans.push(Span { start, end: at, doubled: false });
                    start = at + 1;
                }
                b'"' => return false,
                _ => {}
            }
        }
        self.spans.push(Span { start, end: content.len(), doubled: false });
        true
    }

    /// Splits a row whose first line is `length` long.
    fn split_quoted(&mut self, lines: &mut Lines, length: usize) -> Result<Row, SourceError> {
        self.spans.clear();
        let mut row = Row { length, lines: 1 };
        let mut start = 0;
        loop {
            let span = if lines.bytes(row.length).get(start) == Some(&b'"') {
                self.find_closing_quote(lines, &mut row, start + 1)?
            } else {
                let content = without_line_end(lines.bytes(row.length));
                let rest = content.get(start..).unwrap_or_default();
                let end = start + rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
                Span { start, end, doubled: false }
            };
            let was_quoted = span.start > start;
            self.spans.push(span);
            let content = without_line_end(lines.bytes(row.length));
            let end = span.end + usize::from(was_quoted);
            match content.get(end) {
                Some(b',') => start = end + 1,
                Some(_) => {
                    return Err(SourceError::TextAfterQuote { place: lines.place(), number: self.spans.len() });
                }
                None => return Ok(row),
            }
        }
    }

    /// The field whose text starts at `start`, after its opening quote; the row grows by the lines it holds.
    fn find_closing_quote(&self, lines: &mut Lines, row: &mut Row, start: usize) -> Result<Span, SourceError> {
        let mut doubled = false;
        let mut from = start;
        loop {
            let bytes = lines.bytes(row.length);
            let rest = bytes.get(from..).unwrap_or_default();
            if let Some(quote) = rest.iter().position(|byte| *byte == b'"') {
                let end = from + quote;
                if bytes.get(end + 1) != Some(&b'"') {
                    return Ok(Span { start, end, doubled });
                }
                doubled = true;
                from = end + 2;
                continue;
            }
            from = row.length;
            row.length = lines.extend(from)?;
            if row.length == from {
                return Err(SourceError::UnclosedQuote { place: lines.place(), number: self.spans.len() + 1 });
            }
            row.lines += 1;
        }
    }

    /// The row as text.
    fn text<'a>(
        &self,
        lines: &'a Lines,
        row: &Row,
        name: impl Fn(usize) -> Option<String>,
    ) -> Result<&'a str, SourceError> {
        std::str::from_utf8(lines.bytes(row.length)).map_err(|error| {
            let at = error.valid_up_to();
            let index = self.spans.iter().position(|span| at <= span.end);
            SourceError::NotUtf8 { place: lines.place(), field: index.and_then(name), byte: at + 1 }
        })
    }
}

impl Span {
    /// The field as it stands in the row. The span starts and ends beside a comma, a quote or a line
    /// end, so always between two characters.
    #[inline]
    fn raw(self, row: &str) -> &str {
        row.get(self.start..self.end).unwrap_or_default()
    }

    /// The field's text.
    fn text(self, row: &str) -> Cow<'_, str> {
        let raw = self.raw(row);
        if self.doubled { Cow::Owned(raw.replace("\"\"", "\"")) } else { Cow::Borrowed(raw) }
    }
}

struct TooLarge;

/// Adds what a field means. Each kind is pushed on its own, which is measurably faster than to push
/// a value made before.
#[inline]
fn push_value(values: &mut Vec<Value>, text: &str, schema: &Schema) -> Result<(), TooLarge> {
    if schema.is_null(text) {
        values.push(Value::Null);
        return Ok(());
    }
    match schema.number(values.len(), text) {
        Number::Int(int) => values.push(Value::Int(int)),
        Number::Float(float) => values.push(Value::from(float)),
        Number::Not => values.push(Value::from(text)),
        Number::TooLarge => return Err(TooLarge),
    }
    Ok(())
}
