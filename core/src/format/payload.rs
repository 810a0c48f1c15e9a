//! What a payload is made of, whatever it is written as: rows in postcard's encoding, or columns.
//!
//! Windows, patterns and accumulators say once what they write, read and copy, in terms of
//! [`Sink`] and [`Source`]. The bytes of rows are postcard's: see `core/FORMAT.md`.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

#[cfg(feature = "alloc")]
use super::columns::Column;
use super::{ByteSink, Cursor, Malformed, append_varint};
#[cfg(feature = "alloc")]
use crate::value::{Footprint, varint_len};
use crate::value::{Text, Value, canonical};

/// Where something goes among the columns of a section. Rows have it where it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) table: u16,
    pub(crate) column: u16,
}

impl At {
    /// A later column. Beyond [`VALUES_MAX`] it says nothing, which rows do not mind.
    #[inline]
    pub(crate) fn plus(self, columns: u64) -> At {
        At { table: self.table, column: self.column.wrapping_add(columns as u16) }
    }
}

/// One value of a column. A text is its bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(&'a [u8]),
}

/// Takes the parts of a payload, in order.
pub(crate) trait Sink {
    /// A count, a number of a variant, an id, or 0 and 1.
    fn uint(&mut self, at: At, number: u64);
    /// An integer that is mostly near `from`.
    fn int(&mut self, at: At, number: i64, from: i64);
    fn int128(&mut self, at: At, high: At, number: i128);
    fn float(&mut self, at: At, number: f64);
    fn cell(&mut self, at: At, cell: Cell<'_>);
    /// Whether it has places for so many things, of which columns tell at most `most` apart.
    fn has_places(&self, _count: u64, _most: u64) -> bool {
        true
    }
    /// So many rows of a table come next.
    fn expect(&mut self, _table: u16, _rows: u64) {}
    /// Copies `count` values of events, each from and to a column of its own, from `at` on.
    fn copy_cells<S: Source>(&mut self, at: At, count: u64, source: &mut S) -> Result<(), Malformed> {
        for place in 0..count {
            let at = at.plus(place);
            self.cell(at, source.cell(at)?);
        }
        Ok(())
    }
}

/// Buffered events as rows have them, one after the other.
#[cfg(feature = "alloc")]
pub(crate) struct EventRows<'a> {
    pub(crate) rows: &'a [u8],
    pub(crate) count: usize,
    /// What [`Footprint::encoded`] says of them together.
    pub(crate) reckoned: u64,
    /// About how many bytes come behind them.
    pub(crate) more: usize,
}

/// Gives the parts of a payload, in order.
pub(crate) trait Source {
    fn uint(&mut self, at: At) -> Result<u64, Malformed>;
    fn int(&mut self, at: At, from: i64) -> Result<i64, Malformed>;
    fn int128(&mut self, at: At, high: At) -> Result<i128, Malformed>;
    fn float(&mut self, at: At) -> Result<f64, Malformed>;
    fn cell(&mut self, at: At) -> Result<Cell<'_>, Malformed>;
    /// A cell as a value of an event.
    fn value(&mut self, at: At) -> Result<Value, Malformed>;
    #[cfg(feature = "alloc")]
    /// `count` values, each from a column of its own, from `at` on, and what they take together.
    fn values(&mut self, at: At, count: u64) -> Result<(Vec<Value>, Footprint), Malformed> {
        let mut values = Vec::with_capacity(self.room_for(at, count));
        let mut footprint = Footprint::default();
        for place in 0..count {
            let value = self.value(at.plus(place))?;
            footprint += value.footprint();
            values.push(value);
        }
        Ok((values, footprint))
    }
    #[cfg(feature = "alloc")]
    /// Appends buffered events of a table as rows have them, until there are `count` or `out` has so many bytes.
    /// Returns how many, and what [`Footprint::encoded`] says of them together.
    fn append_events(
        &mut self,
        table: u16,
        from: i64,
        limits: (u64, usize),
        out: &mut Vec<u8>,
    ) -> Result<(u64, u64), Malformed> {
        super::event_row::append_by_parts(self, table, from, limits, out)
    }
    #[cfg(feature = "alloc")]
    /// Hands over the next `count` events of a table as rows have them, in order and in a few parts.
    fn read_events(
        &mut self,
        table: u16,
        from: i64,
        count: u64,
        each: &mut (dyn FnMut(EventRows<'_>) + Send),
    ) -> Result<(), Malformed> {
        super::event_row::read_staged(self, table, from, count, each)
    }
    #[cfg(feature = "alloc")]
    /// A buffer to use again, empty; whoever takes it gives it back.
    fn take_scratch(&mut self) -> Vec<u8> {
        Vec::new()
    }
    #[cfg(feature = "alloc")]
    /// Takes back what [`Source::take_scratch`] gave.
    fn keep_scratch(&mut self, _scratch: Vec<u8>) {}
    #[cfg(feature = "alloc")]
    /// Puts cells into columns, one into each.
    fn fill(&mut self, at: At, columns: &mut [Column]) -> Result<(), Malformed> {
        for (column, place) in columns.iter_mut().zip(0..) {
            column.push_cell(self.cell(at.plus(place))?);
        }
        Ok(())
    }
    /// How many things there can be of what is counted at most: no more need room at once.
    fn room_for(&self, at: At, count: u64) -> usize;
}

impl<B: ByteSink> Sink for B {
    #[inline]
    fn uint(&mut self, _: At, number: u64) {
        append_varint(self, number);
    }

    #[inline]
    fn int(&mut self, _: At, number: i64, _: i64) {
        append_varint(self, ((number << 1) ^ (number >> 63)) as u64);
    }

    fn int128(&mut self, _: At, _: At, number: i128) {
        let mut rest = ((number << 1) ^ (number >> 127)) as u128;
        while rest >= 0x80 {
            self.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.push(rest as u8);
    }

    fn float(&mut self, _: At, number: f64) {
        self.extend_from_slice(&canonical(number).to_le_bytes());
    }

    #[inline]
    fn cell(&mut self, at: At, cell: Cell<'_>) {
        match cell {
            Cell::Null => self.push(0),
            Cell::Bool(bool) => self.extend_from_slice(&[1, u8::from(bool)]),
            Cell::Int(int) => match ((int << 1) ^ (int >> 63)) as u64 {
                // Most are short, and are written at once.
                short @ ..0x80 => self.extend_from_slice(&[2, short as u8]),
                middle @ ..0x4000 => self.extend_from_slice(&[2, middle as u8 | 0x80, (middle >> 7) as u8]),
                long => {
                    self.push(2);
                    append_varint(self, long);
                }
            },
            Cell::Float(float) => {
                self.push(3);
                self.float(at, float);
            }
            Cell::Bytes(bytes) => {
                self.push(4);
                append_varint(self, bytes.len() as u64);
                self.extend_from_slice(bytes);
            }
        }
    }
}

impl Cursor<'_> {
    /// The cell behind the number of its kind.
    #[inline]
    fn cell_of_kind(&mut self, at: At, kind: u8) -> Result<Cell<'_>, Malformed> {
        Ok(match kind {
            0 => Cell::Null,
            1 => match self.byte()? {
                0 => Cell::Bool(false),
                1 => Cell::Bool(true),
                _ => return Err(Malformed::new("a boolean is neither true nor false")),
            },
            2 => Cell::Int(self.int(at, 0)?),
            3 => Cell::Float(self.float(at)?),
            4 => {
                let len = self.varint()?;
                Cell::Bytes(self.take(len)?)
            }
            _ => return Err(Malformed::new("unknown kind of value")),
        })
    }
}

impl Source for Cursor<'_> {
    #[inline]
    fn uint(&mut self, _: At) -> Result<u64, Malformed> {
        self.varint()
    }

    #[inline]
    fn int(&mut self, _: At, _: i64) -> Result<i64, Malformed> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn int128(&mut self, _: At, _: At) -> Result<i128, Malformed> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if shift == 126 && bits > 3 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i128 ^ -((number & 1) as i128));
            }
        }
        Err(Malformed::new("a number is longer than 128 bits"))
    }

    fn float(&mut self, _: At) -> Result<f64, Malformed> {
        let bytes = self.take(8)?.first_chunk::<8>().copied().unwrap_or_default();
        Ok(f64::from_le_bytes(bytes))
    }

    #[inline]
    fn cell(&mut self, at: At) -> Result<Cell<'_>, Malformed> {
        let kind = self.byte()?;
        self.cell_of_kind(at, kind)
    }

    // Each value of each event is read so: a call for it would be a tenth of a restore. Flash is dearer than that.
    #[cfg_attr(feature = "alloc", inline(always))]
    fn value(&mut self, at: At) -> Result<Value, Malformed> {
        value_of(self.cell(at)?)
    }

    #[cfg(feature = "alloc")]
    fn fill(&mut self, at: At, columns: &mut [Column]) -> Result<(), Malformed> {
        for column in columns {
            // Without a cell in between, which would be written in parts and read as a whole.
            match self.byte()? {
                0 => column.push_cell(Cell::Null),
                2 => column.push_int(self.int(at, 0)?),
                4 => {
                    let len = self.varint()?;
                    // Most texts are short, and read with what follows at once.
                    match self.rest().first_chunk::<8>() {
                        Some(eight) if column.push_short(eight, len) => self.take(len).map(drop)?,
                        _ => column.push_bytes(self.take(len)?),
                    }
                }
                other => {
                    let cell = self.cell_of_kind(at, other)?;
                    column.push_cell(cell);
                }
            }
        }
        Ok(())
    }

    fn room_for(&self, _: At, count: u64) -> usize {
        // Each takes a byte at least.
        usize::try_from(count).unwrap_or(usize::MAX).min(self.rest().len())
    }
}

#[cfg(feature = "alloc")]
#[inline]
fn text_of(text: &str) -> Option<Text> {
    Some(Text::new(text))
}

#[cfg(not(feature = "alloc"))]
fn text_of(text: &str) -> Option<Text> {
    Text::inline(text)
}

pub(super) fn text_from(bytes: &[u8]) -> Result<&str, Malformed> {
    core::str::from_utf8(bytes).map_err(|_| Malformed::new("text is not UTF-8"))
}

/// Bytes of a text in rows that its [`Footprint::encoded`] leaves out: its length may take more than one.
#[cfg(feature = "alloc")]
#[inline]
pub(super) fn beyond_reckoning(text: &[u8]) -> u64 {
    varint_len(text.len() as u64) as u64 - 1
}

/// A cell as a value of an event.
#[cfg_attr(feature = "alloc", inline(always))]
pub(crate) fn value_of(cell: Cell<'_>) -> Result<Value, Malformed> {
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Bool(bool) => Value::Bool(bool),
        Cell::Int(int) => Value::Int(int),
        Cell::Float(float) => Value::Float(float),
        Cell::Bytes(bytes) => match text_of(text_from(bytes)?) {
            Some(text) => Value::Str(text),
            None => return Err(Malformed::new("a text is longer than can be held without an allocator")),
        },
    })
}

/// A value of an event as a cell: one NaN, one zero.
#[inline]
pub(crate) fn cell_of(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(bool) => Cell::Bool(*bool),
        Value::Int(int) => Cell::Int(*int),
        Value::Float(float) => Cell::Float(canonical(*float)),
        Value::Str(text) => Cell::Bytes(text.as_bytes()),
    }
}
