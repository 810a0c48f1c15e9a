//! Where events come from: CSV and NDJSON files, plain or gzipped, and standard input.
//!
//! A [`Source`] hands out batches of events, each event with the position just after it. A position
//! counts bytes of the *uncompressed* input, so a checkpoint that keeps one can go on from there.
//!
//! # CSV
//!
//! The first line that is not blank is the header. Lines end in LF or CRLF, the last may lack its
//! end; blank lines are skipped. A field may stand in double quotes and then hold commas, line ends
//! and doubled quotes. A field becomes, by what it looks like, whether or not it stands in quotes:
//!
//! | Text | Value |
//! |---|---|
//! | one of [`SourceOptions::null`] | null |
//! | a whole number as JSON writes it: `0`, `-0`, `-12` | integer; beyond `i64` an error |
//! | another number as JSON writes it: `1.5`, `2e3`, `-0.5E-7` | float; beyond `f64` an error |
//! | all else: `007`, `+5`, ` 5`, `1.`, `.5`, `nan`, `inf`, `true` | string |
//!
//! # NDJSON
//!
//! One flat JSON object a line; blank lines are skipped. A field that is absent is null, as is a
//! string that equals one of [`SourceOptions::null`]. A whole number is an integer, and beyond `i64`
//! an error; `1.0` and `1e2` are floats. A field the stream does not have, a field twice in one
//! object, an array or an object as a value: an error.
//!
//! # Both
//!
//! Values of the fields in [`SourceOptions::text`] stay text though they look like numbers: identifiers, codes, amounts of
//! more digits than a number has. Of a number in NDJSON it is the text that stands there.
//!
//! The input is UTF-8; a byte order mark is skipped. The time of an event is an integer in
//! milliseconds since 1970 or an RFC 3339 string (rounded down to the millisecond), and that field
//! keeps its own value too.

mod csv;
mod error;
mod field;
mod imprint;
mod input;
mod lines;
mod ndjson;
mod stdin;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use eventflux_core::{Event, Value};

use self::csv::CsvRows;
use self::field::Schema;
pub(crate) use self::imprint::Imprint;
use self::input::{Format, Input};
use self::lines::Lines;
use self::ndjson::NdjsonRows;

pub use self::error::{Place, SourceError};

/// Longest row of the input, in bytes: bounds the memory that a quote never closed can take.
const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes read from the input at a time.
const READ_BYTES: usize = 256 * 1024;
/// Events a batch reserves memory for before it has read any.
const BATCH_RESERVE_MAX: usize = 4096;
/// Bytes of the input after which a batch ends: a reader ahead of the engine holds a few batches.
const BATCH_BYTES_MAX: u64 = 4 << 20;

const _: () = assert!(READ_BYTES <= ROW_BYTES_MAX);

/// What to read, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// The file: `.csv`, `.ndjson` or `.jsonl`, each also `.gz`. `-` is standard input, taken for NDJSON if
    /// its first byte that is not blank is `{`, else for CSV.
    pub file: PathBuf,
    /// Name of the field that holds the time of an event.
    pub timestamp: String,
    /// Texts that stand for null.
    pub null: Vec<String>,
    /// Fields whose values stay text though they look like numbers. A name that is no field's does nothing.
    pub text: Vec<String>,
    /// For NDJSON, the stream's fields in order; by default those of the first object. CSV takes
    /// its fields from the header, which must be these if they are given.
    pub fields: Option<Vec<String>>,
}

/// A place between two rows of the input. The default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourcePosition {
    /// Bytes of the uncompressed input before it.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
}

/// Some consecutive events of the input; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The events, in the order of the input.
    pub events: Vec<Event>,
    /// For each event the position just after it.
    pub positions: Vec<SourcePosition>,
    /// For each event the line its row begins in, from 1.
    pub lines: Vec<u64>,
}

/// An open input. See the [module](self) for the formats.
///
/// Order of calls: [`open`](Source::open), [`seek`](Source::seek) to continue an earlier run, then
/// [`read_batch`](Source::read_batch) until `None`.
pub struct Source {
    lines: Lines,
    rows: Rows,
    schema: Schema,
    imprint: Imprint,
    /// Before the first row.
    start: SourcePosition,
    /// After the last event read; `lines` may have gone past blank lines.
    position: SourcePosition,
    /// The error of the row after the last batch.
    pending: Option<SourceError>,
    /// Lists of recycled events, empty.
    spare: Vec<Vec<Value>>,
}

enum Rows {
    Csv(CsvRows),
    Ndjson(NdjsonRows),
}

impl Source {
    /// Opens the input and finds out its fields.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is none of the known formats; its header, or without
    /// [`SourceOptions::fields`] its first object, is missing or wrong; it lacks the timestamp field.
    pub fn open(options: &SourceOptions) -> Result<Source, SourceError> {
        let (input, format) = Input::open(&options.file)?;
        let mut lines = Lines::new(input);
        let imprint = Imprint::of(&mut lines, &options.file);
        lines.skip_byte_order_mark()?;
        let format = match format {
            Some(format) => format,
            None => match lines.peek_nonblank()? {
                Some(b'{') => Format::Ndjson,
                // The rest of what another run has read to its end.
                None if options.fields.is_some() => Format::Ndjson,
                _ => Format::Csv,
            },
        };
        let (rows, fields) = match (format, &options.fields) {
            (Format::Csv, wanted) => {
                let mut rows = CsvRows::default();
                let fields = rows.read_header(&mut lines)?;
                if wanted.as_ref().is_some_and(|wanted| *wanted != fields) {
                    return Err(SourceError::OtherHeader { file: lines.file().into(), found: fields });
                }
                (Rows::Csv(rows), fields)
            }
            (Format::Ndjson, Some(fields)) => (Rows::Ndjson(NdjsonRows::default()), fields.clone()),
            (Format::Ndjson, None) => (Rows::Ndjson(NdjsonRows::default()), ndjson::peek_fields(&mut lines)?),
        };
        let schema = Schema::new(fields, options, lines.file())?;
        let start = lines.position();
        Ok(Source { lines, rows, schema, imprint, start, position: start, pending: None, spare: Vec::new() })
    }

    /// Names of the fields, in the order of each event's values.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        self.schema.fields()
    }

    /// What tells the file from others.
    pub(crate) fn imprint(&self) -> &Imprint {
        &self.imprint
    }

    /// The position after the last event read; right after `open` that after the header.
    #[must_use]
    pub fn position(&self) -> SourcePosition {
        self.position
    }

    /// Continues after an earlier event: the next batch starts with the event after it.
    ///
    /// `to` must be from [`position`](Source::position) or a [`Batch`] of the same input; before
    /// the first row it means the first row. A gzipped file is decompressed up to there.
    ///
    /// Standard input cannot be repeated: there this does nothing, and reading goes on where it was.
    ///
    /// # Errors
    ///
    /// The input is shorter than that, has no end of a row there, or cannot be read. Then seek elsewhere or open it anew.
    pub fn seek(&mut self, to: SourcePosition) -> Result<(), SourceError> {
        let to = if to.offset < self.start.offset { self.start } else { to };
        if self.lines.seek(to, self.start)? {
            self.position = to;
            self.pending = None;
        }
        Ok(())
    }

    /// The next events, at most `events_max` (at least 1), or `None` at the end of the input. Fewer, where rows are long:
    /// about 4 MiB of them make a batch.
    ///
    /// From standard input or a pipe it returns what has arrived and waits only for the first event.
    ///
    /// # Errors
    ///
    /// A row is wrong or the input cannot be read. The good events before it come first, without
    /// an error; the next call then gives it, and so does each later one.
    pub fn read_batch(&mut self, events_max: usize) -> Result<Option<Batch>, SourceError> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let events_max = events_max.max(1);
        let capacity = events_max.min(BATCH_RESERVE_MAX);
        let (positions, lines) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let mut batch = Batch { events: Vec::with_capacity(capacity), positions, lines };
        let begin = self.position.offset;
        let has_room = |at: SourcePosition| at.offset.saturating_sub(begin) < BATCH_BYTES_MAX;
        let spans_lines = matches!(self.rows, Rows::Csv(_));
        while batch.events.is_empty()
            || batch.events.len() < events_max && has_room(self.position) && !self.lines.may_wait(spans_lines)
        {
            let values = self.spare.pop().unwrap_or_default();
            let event = match &mut self.rows {
                Rows::Csv(rows) => rows.next_event(&mut self.lines, &mut self.schema, values),
                Rows::Ndjson(rows) => rows.next_event(&mut self.lines, &mut self.schema, values),
            };
            match event {
                Ok(Some(event)) => {
                    batch.events.push(event);
                    self.position = self.lines.position();
                    batch.positions.push(self.position);
                    batch.lines.push(self.lines.row_line());
                }
                Ok(None) => break,
                Err(error) if batch.events.is_empty() => return Err(error),
                Err(error) => {
                    self.pending = Some(error);
                    break;
                }
            }
        }
        Ok((!batch.events.is_empty()).then_some(batch))
    }

    /// Takes back a batch that is done with: its memory serves the next ones. Need not be called.
    pub fn recycle(&mut self, batch: Batch) {
        self.spare.extend(batch.events.into_iter().take(BATCH_RESERVE_MAX).map(|event| {
            let mut values = event.values;
            values.clear();
            values
        }));
        self.spare.truncate(BATCH_RESERVE_MAX);
    }

    /// Size of the file on disk (compressed, if it is); `None` if it has none, as standard input.
    #[must_use]
    pub fn bytes_total(&self) -> Option<u64> {
        self.lines.input().bytes_total()
    }

    /// Of standard input: from now on asks whether it is to stop before it takes anything. Then it ends with the row that
    /// has begun; whoever reads it next finds the row behind.
    pub(crate) fn stop_when(&mut self, is_stopped: Box<dyn Fn() -> bool + Send>) {
        self.lines.stop_when(is_stopped);
    }

    /// Whether the input has ended in the midst of a row, as far as can be told: of the last that was handed out; or of
    /// the one that an error was about. An object that is one is whole, with a line end or without.
    pub(crate) fn is_row_cut(&self, error: Option<&SourceError>) -> bool {
        let is_csv = matches!(self.rows, Rows::Csv(_));
        match error {
            None => is_csv && self.pending.is_none() && self.lines.is_all_consumed() && self.lines.is_cut(),
            // It is looked for up to the end of the input.
            Some(SourceError::UnclosedQuote { .. }) => true,
            Some(SourceError::MalformedJson { .. } | SourceError::NotUtf8 { .. }) => self.lines.is_cut(),
            Some(_) => is_csv && self.lines.is_cut(),
        }
    }

    /// Whether nothing but blank lines is left.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, SourceError> {
        Ok(self.lines.peek_nonblank()?.is_none())
    }

    /// Length of the uncompressed input; `None` if only reading it would tell.
    pub(crate) fn length(&self) -> Option<u64> {
        if self.lines.input().compressed_read().is_some() { None } else { self.bytes_total() }
    }

    /// How much of [`bytes_total`](Source::bytes_total) has been read, for a progress bar.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.lines.input().compressed_read().unwrap_or(self.lines.position().offset)
    }
}

impl Batch {
    /// Takes the last event out, as a batch of its own.
    pub(crate) fn split_last(&mut self) -> Batch {
        let at = self.events.len().saturating_sub(1);
        Batch {
            events: self.events.split_off(at),
            positions: self.positions.split_off(at),
            lines: self.lines.split_off(at),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.lines.file())
            .field("fields", &self.fields())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
