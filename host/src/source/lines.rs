//! The input line by line, with the position counted.
//!
//! Invariants: `start <= end <= buffer.len()`; `buffer[start..end]` is read but not consumed, and
//! `position` is that of `start`. Nothing but `consume` and `seek` moves the position, so a row that
//! turns out wrong stays where it is.

use std::io::BufRead;

use super::error::{Place, SourceError};
use super::imprint::{BYTES, Beginning};
use super::input::Input;
use super::{READ_BYTES, ROW_BYTES_MAX, SourcePosition};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What gzip data starts with, and UTF-8 never has.
const GZIP_MARK: &[u8] = b"\x1f\x8b";

/// A buffer over an [`Input`].
pub(super) struct Lines {
    input: Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    position: SourcePosition,
    row_line: u64,
    /// The first bytes: of a file once they were asked for.
    beginning: Beginning,
    /// Whether what is consumed belongs to the beginning: of what cannot be repeated, until there is enough of it.
    begins: bool,
}

impl Lines {
    pub(super) fn new(input: Input) -> Lines {
        let buffer = vec![0; READ_BYTES];
        let position = SourcePosition::default();
        Lines {
            input,
            buffer,
            start: 0,
            end: 0,
            ended: false,
            position,
            row_line: 1,
            beginning: Beginning::default(),
            begins: false,
        }
    }

    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    /// The file as messages name it.
    pub(super) fn file(&self) -> &str {
        self.input.name()
    }

    pub(super) fn position(&self) -> SourcePosition {
        self.position
    }

    /// Where the row that starts here is.
    pub(super) fn place(&self) -> Place {
        Place { file: self.file().into(), line: self.position.line + 1 }
    }

    /// Reads on until a line end at or after byte `from` of what is not consumed yet, and returns
    /// the length up to and with it. At the end of the input that is all there is: no more than
    /// `from` if nothing follows.
    ///
    /// What is longer than a row may be is refused, wherever it lies in the buffer.
    pub(super) fn extend(&mut self, from: usize) -> Result<usize, SourceError> {
        let mut searched = from;
        loop {
            let unread = self.unread();
            let rest = unread.get(searched..).unwrap_or_default();
            // On a slice this is memchr and cannot fail.
            let length = { rest }.skip_until(b'\n').unwrap_or_default();
            let has_end = rest[..length].ends_with(b"\n");
            searched += length;
            if searched > ROW_BYTES_MAX {
                return Err(SourceError::RowTooLong { place: self.place(), bytes_max: ROW_BYTES_MAX });
            }
            if has_end || self.ended {
                return Ok(searched);
            }
            self.fill()?;
        }
    }

    /// The first bytes not consumed; at most as many as `extend` has returned.
    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        self.unread().get(..length).unwrap_or_default()
    }

    /// Goes on after `length` bytes that hold so many lines.
    pub(super) fn consume(&mut self, length: usize, lines: u64) {
        debug_assert!(length <= self.end - self.start, "only what was read can be consumed");
        if self.begins {
            self.begins = self.beginning.push(self.bytes(length));
        }
        self.start = (self.start + length).min(self.end);
        self.row_line = self.position.line + 1;
        self.position.offset += length as u64;
        self.position.line += lines;
    }

    /// The line, from 1, in which the row begins that was consumed last.
    pub(super) fn row_line(&self) -> u64 {
        self.row_line
    }

    /// The first bytes; for [`Lines`] of which nothing was consumed yet. Of what cannot be repeated they come as they are
    /// consumed.
    pub(super) fn beginning(&mut self) -> Beginning {
        self.begins = self.input.bytes_total().is_none();
        if !self.begins {
            // What goes wrong here goes wrong once more where its rows are read.
            while self.end < BYTES && !self.ended && self.fill().is_ok() {}
            self.beginning.push(self.bytes(self.end.min(BYTES)));
        }
        self.beginning.clone()
    }

    /// Skips the mark with which some programs start UTF-8.
    pub(super) fn skip_byte_order_mark(&mut self) -> Result<(), SourceError> {
        let length = self.extend(0)?;
        if self.bytes(length).starts_with(GZIP_MARK) {
            return Err(SourceError::Compressed { file: self.file().into() });
        }
        if self.bytes(length).starts_with(BYTE_ORDER_MARK) {
            self.consume(BYTE_ORDER_MARK.len(), 0);
        }
        Ok(())
    }

    /// Whether the next row may have to wait for someone to write it; `spans_lines`: between quotes, a row goes on.
    pub(super) fn may_wait(&self, spans_lines: bool) -> bool {
        if self.input.bytes_total().is_some() || self.ended {
            return false;
        }
        let mut in_quotes = false;
        let mut lines = self.unread().split_inclusive(|byte| *byte == b'\n');
        !lines.any(|line| {
            let quotes = if spans_lines { line.iter().filter(|byte| **byte == b'"').count() } else { 0 };
            in_quotes ^= quotes % 2 == 1;
            // Blank lines are no row.
            line.ends_with(b"\n") && !in_quotes && line.iter().any(|byte| !byte.is_ascii_whitespace())
        })
    }

    /// Of standard input: from now on asks whether it is to stop before it takes anything. Then it ends, once the row that
    /// has begun has come to its end, or does not.
    pub(super) fn stop_when(&mut self, is_stopped: Box<dyn Fn() -> bool + Send>) {
        self.input.stop_when(is_stopped);
    }

    /// Whether the input has ended without the end of a line: of the row consumed last, if that is all, else of the next.
    pub(super) fn is_cut(&self) -> bool {
        let read = if self.unread().is_empty() { &self.buffer[..self.end] } else { self.unread() };
        self.ended && read.last().is_some_and(|last| *last != b'\n')
    }

    /// Whether all that was read is consumed, and there is no more.
    pub(super) fn is_all_consumed(&self) -> bool {
        self.ended && self.unread().is_empty()
    }

    /// The next byte that is not white space, without consuming it; blank lines before it are consumed: they are no part of
    /// the row behind them.
    pub(super) fn peek_nonblank(&mut self) -> Result<Option<u8>, SourceError> {
        loop {
            let length = self.extend(0)?;
            if let Some(byte) = self.bytes(length).iter().find(|byte| !byte.is_ascii_whitespace()) {
                return Ok(Some(*byte));
            }
            if length == 0 {
                return Ok(None);
            }
            self.consume(length, 1);
        }
    }

    /// Goes on at a position of the input; false, and nothing happens, if it cannot be repeated.
    ///
    /// Unless it is the `start` of the rows, one must have ended just before.
    pub(super) fn seek(&mut self, to: SourcePosition, start: SourcePosition) -> Result<bool, SourceError> {
        let before = if to.offset > start.offset { to.offset - 1 } else { to.offset };
        // What was read is void even if the input then fails.
        let repeated = self.input.seek(before);
        if !matches!(repeated, Ok(false)) {
            (self.start, self.end, self.ended) = (0, 0, false);
            self.position = SourcePosition { offset: before, ..to };
        }
        let repeated = repeated.map_err(|error| match error {
            SourceError::PositionBeyondEnd { file, length, .. } => {
                SourceError::PositionBeyondEnd { file, offset: to.offset, length }
            }
            error => error,
        })?;
        if repeated && before < to.offset {
            self.pass_end_of_row(to)?;
        }
        Ok(repeated)
    }

    /// Passes the byte before a position, if a row ended with it.
    fn pass_end_of_row(&mut self, to: SourcePosition) -> Result<(), SourceError> {
        while self.unread().len() < 3 && !self.ended {
            self.fill()?;
        }
        let length = match self.unread() {
            [] => {
                let (file, length) = (self.file().into(), self.position.offset);
                return Err(SourceError::PositionBeyondEnd { file, offset: to.offset, length });
            }
            [b'\n', ..] | [_] => 1,
            // The last row lacked its end, and has got it since: it is no line of its own.
            [_, b'\n', ..] => 2,
            [_, b'\r', b'\n', ..] => 3,
            [_, b'\r', ..] => 1,
            _ => return Err(SourceError::PositionInRow { file: self.file().into(), offset: to.offset }),
        };
        self.consume(length, 0);
        Ok(())
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn fill(&mut self) -> Result<(), SourceError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let is_in_row = self.unread().iter().any(|byte| !byte.is_ascii_whitespace());
        let count = self.input.read(&mut self.buffer[self.end..], is_in_row)?;
        self.end += count;
        if count == 0 {
            let read = self.position.offset + self.end as u64;
            self.beginning.with(|beginning| self.input.check_whole(read, beginning))?;
            self.ended = true;
        }
        Ok(())
    }
}

/// A line, or a row of several lines, without the line end.
pub(super) fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_take_no_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in.ndjson");
        std::fs::write(&path, [vec![b'\n'; 20 * READ_BYTES], b"  {}".to_vec()].concat()).unwrap();
        let mut lines = Lines::new(Input::open(&path).unwrap().0);
        assert_eq!(lines.peek_nonblank().unwrap(), Some(b'{'));
        assert_eq!(lines.position(), SourcePosition { offset: 20 * READ_BYTES as u64, line: 20 * READ_BYTES as u64 });
        assert!(lines.buffer.len() <= 2 * READ_BYTES, "{}", lines.buffer.len());
    }
}
