//! What can be wrong with an input, said so that its owner can put it right.

use std::fmt;
use std::io;

/// Known names that a message lists.
const NAMES_LISTED_MAX: usize = 30;
/// Characters of the input that a message quotes.
const QUOTED_CHARS_MAX: usize = 60;

/// A row of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the options named it.
    pub file: String,
    /// The line the row starts in, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)
    }
}

/// Why an input cannot be read. Each message says where, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is missing or may not be opened.
    #[error("{file}: cannot open it: {reason}; check `file` under [source]")]
    Open {
        /// The file.
        file: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The name does not tell the format.
    #[error(
        "{file}: unknown format; the name must end in .csv, .ndjson or .jsonl, each also with .gz, or be `-` for standard input"
    )]
    Extension {
        /// The file.
        file: String,
    },
    /// Reading failed.
    #[error("{file}: cannot read it: {reason}; check the disk or the program that writes it, then start again")]
    Io {
        /// The file.
        file: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// A compressed file that ends too early.
    #[error("{file}: the gzip data ends too early: the file is cut off; copy it again (`gzip -t` tests it)")]
    GzipTruncated {
        /// The file.
        file: String,
    },
    /// A compressed file with wrong bytes.
    #[error(
        "{file}: not valid gzip data: {reason}; copy it again (`gzip -t` tests it), or drop .gz from the name if it is not compressed"
    )]
    GzipCorrupt {
        /// The file.
        file: String,
        /// What the decompressor says.
        reason: io::Error,
    },
    /// Compressed bytes where none are expected.
    #[error(
        "{file}: is compressed with gzip; {}",
        if file == "standard input" { "put `gzip -dc |` before the command" } else { "let its name end in .gz, or decompress it" }
    )]
    Compressed {
        /// The file.
        file: String,
    },
    /// No header, or no object to take the fields from.
    #[error(
        "{file}: it is empty; CSV starts with a header of field names, and NDJSON without any object needs `fields` in [source]"
    )]
    Empty {
        /// The file.
        file: String,
    },
    /// A position that the input does not have.
    #[error(
        "{file}: it has {length} bytes (uncompressed), fewer than the {offset} read before: it was cut or replaced; put the old file back, or start without the earlier checkpoints"
    )]
    PositionBeyondEnd {
        /// The file.
        file: String,
        /// The position asked for, in bytes of the uncompressed input.
        offset: u64,
        /// The bytes there are.
        length: u64,
    },
    /// A position that is in the midst of a row.
    #[error(
        "{file}: no row begins behind the {offset} bytes (uncompressed) read before: it was cut or replaced; put the old file back, or start without the earlier checkpoints"
    )]
    PositionInRow {
        /// The file.
        file: String,
        /// The position asked for, in bytes of the uncompressed input.
        offset: u64,
    },
    /// A file that has become shorter.
    #[error(
        "{file}: it has {length} bytes and had {before}: it was cut or replaced while it was read; put the whole file back, then start again"
    )]
    CutWhileRead {
        /// The file.
        file: String,
        /// The bytes there are.
        length: u64,
        /// The bytes there were.
        before: u64,
    },
    /// A file with other contents than before.
    #[error(
        "{file}: it does not begin any more with what was read: something else was written over it while it was read; put the whole file back, then start with --from none"
    )]
    OverwrittenWhileRead {
        /// The file.
        file: String,
    },
    /// A header whose line ends in what is no line end here, or nowhere.
    #[error(
        "{place}: a carriage return within the header; lines end in LF or CRLF: convert the file, for example with `tr '\\r' '\\n'`"
    )]
    CarriageReturn {
        /// The row.
        place: Place,
    },
    /// A field twice in the header or in one object.
    #[error("{place}, field `{}`: the name is there twice; rename or remove one of them", named(field))]
    DuplicateField {
        /// The row.
        place: Place,
        /// The name.
        field: String,
    },
    /// A field twice in the list of the options.
    #[error("{file}: `fields` under [source] lists `{}` twice; remove one of them", named(field))]
    DuplicateListed {
        /// The file.
        file: String,
        /// The name.
        field: String,
    },
    /// A header with other fields than the list of the options.
    #[error(
        "{file}: its header has other fields than `fields` under [source] lists, or in another order; CSV needs no list, since it has a header: {}",
        listed(found)
    )]
    OtherHeader {
        /// The file.
        file: String,
        /// The fields of the header.
        found: Vec<String>,
    },
    /// The timestamp field is not among the fields.
    #[error("{file}: it has no field `{}`{}; `timestamp` under [source] must name one of its fields: {}", named(field), did_you_mean(hint.as_deref()), listed(known))]
    TimestampField {
        /// The file.
        file: String,
        /// The name asked for.
        field: String,
        /// The nearest name there is.
        hint: Option<String>,
        /// All names there are.
        known: Vec<String>,
    },
    /// A row with more or fewer fields than the header.
    #[error(
        "{place}: expected {expected} fields as in the header, found {found}; add or remove commas, and put a field that holds a comma in double quotes"
    )]
    FieldCount {
        /// The row.
        place: Place,
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// A quote that never closes.
    #[error(
        "{place}, field number {number}: its opening quote is never closed; add the closing quote, or double the quote if it is part of the text"
    )]
    UnclosedQuote {
        /// The row.
        place: Place,
        /// Number of the field in the row, from 1.
        number: usize,
    },
    /// Text between a closing quote and the comma.
    #[error(
        "{place}, field number {number}: text follows its closing quote; end it with a comma, or double the quote if it is part of the text"
    )]
    TextAfterQuote {
        /// The row.
        place: Place,
        /// Number of the field in the row, from 1.
        number: usize,
    },
    /// A row beyond the limit.
    #[error("{place}: the row is longer than {bytes_max} bytes; split it, or close the quote that it leaves open")]
    RowTooLong {
        /// The row.
        place: Place,
        /// The limit.
        bytes_max: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("{place}{}: not valid UTF-8 at byte {byte} of the row; convert the file, for example with `iconv -f latin1 -t utf-8`", in_field(field.as_deref()))]
    NotUtf8 {
        /// The row.
        place: Place,
        /// The field, where it is known.
        field: Option<String>,
        /// The first wrong byte, from 1.
        byte: usize,
    },
    /// A whole number beyond `i64` or another beyond `f64`.
    #[error(
        "{place}, field `{}`: number too large: {text}; whole numbers go from {} to {}, others to {:.3e}; correct it, or name the field under `text` of the source, so that its values stay text (with checkpoints already there, start anew then: --from none)",
        named(field),
        i64::MIN,
        i64::MAX,
        f64::MAX
    )]
    NumberTooLarge {
        /// The row.
        place: Place,
        /// The field.
        field: String,
        /// The number, perhaps shortened.
        text: String,
    },
    /// An object without the timestamp field.
    #[error(
        "{place}, field `{}`: the timestamp is missing; add it to the object, or name another field as `timestamp` in [source] (with checkpoints already there, start anew then: --from none)",
        named(field)
    )]
    TimestampMissing {
        /// The row.
        place: Place,
        /// The field.
        field: String,
    },
    /// An event whose time is null.
    #[error(
        "{place}, field `{}`: the timestamp is null; fill it in, or name another field as `timestamp` in [source] (with checkpoints already there, start anew then: --from none)",
        named(field)
    )]
    TimestampNull {
        /// The row.
        place: Place,
        /// The field.
        field: String,
    },
    /// An event whose time cannot be read.
    #[error(
        "{place}, field `{}`: not a timestamp: {text}; write RFC 3339 such as 2013-01-01T10:00:00Z, or an integer in milliseconds since 1970",
        named(field)
    )]
    TimestampInvalid {
        /// The row.
        place: Place,
        /// The field.
        field: String,
        /// What is there, perhaps shortened.
        text: String,
    },
    /// An event whose time is too far from 1970.
    #[error(
        "{place}, field `{}`: timestamp out of range: {milliseconds} ms; it must be within ±{} ms of 1970, so check that the unit is milliseconds",
        named(field),
        eventflux_core::limits::TIMESTAMP_MS_MAX
    )]
    TimestampOutOfRange {
        /// The row.
        place: Place,
        /// The field.
        field: String,
        /// The time that is there.
        milliseconds: i64,
    },
    /// A field of an object that the stream does not have.
    #[error("{place}, field `{}`: unknown field{}; correct the name, or list it under `fields` in [source] (with checkpoints already there, start anew then: --from none)", named(field), did_you_mean(hint.as_deref()))]
    UnknownField {
        /// The row.
        place: Place,
        /// The name.
        field: String,
        /// The nearest name there is.
        hint: Option<String>,
    },
    /// A line that is not a JSON object.
    #[error(
        "{place}, column {column}: malformed JSON: {reason}; each line must be one complete object such as {{\"a\": 1}}"
    )]
    MalformedJson {
        /// The row.
        place: Place,
        /// The byte of the line where it goes wrong, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// An array or an object as a value.
    #[error(
        "{place}, field `{}`: {kind} is not supported as a value; flatten it into fields of its own, or write it as a string",
        named(field)
    )]
    NestedValue {
        /// The row.
        place: Place,
        /// The field.
        field: String,
        /// `an array` or `an object`.
        kind: &'static str,
    },
}

impl SourceError {
    /// Whether what the definition says of the source is wrong, and not the source.
    pub(crate) fn is_of_definition(&self) -> bool {
        matches!(
            self,
            SourceError::Extension { .. }
                | SourceError::DuplicateListed { .. }
                | SourceError::OtherHeader { .. }
                | SourceError::TimestampField { .. }
        )
    }
}

/// The start of a text of the input, safe to print.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A name of the input as a message has it: on one line, and not too long.
fn named(name: &str) -> String {
    let mut chars = name.chars();
    let mut shown = String::new();
    for char in chars.by_ref().take(QUOTED_CHARS_MAX) {
        if char.is_control() { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    if chars.next().is_some() { shown + "…" } else { shown }
}

fn did_you_mean(hint: Option<&str>) -> String {
    hint.map(|name| format!(" (did you mean `{}`?)", named(name))).unwrap_or_default()
}

fn in_field(field: Option<&str>) -> String {
    field.map(|name| format!(", field `{}`", named(name))).unwrap_or_default()
}

fn listed(known: &[String]) -> String {
    let mut text = known.iter().take(NAMES_LISTED_MAX).map(|name| named(name)).collect::<Vec<_>>().join(", ");
    if known.len() > NAMES_LISTED_MAX {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert_eq!(quoted(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        assert_eq!(named("a\nb"), "a\\nb");
        assert_eq!([60, 61].map(|chars| named(&"é".repeat(chars))), ["é".repeat(60), "é".repeat(60) + "…"]);
    }
}
