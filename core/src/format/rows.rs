//! Rows of a section: which keys of which key groups, and what became of each.
//!
//! A section's raw bytes are, for each key group that has rows, in rising order: the group (varint),
//! the number of rows (varint), and the rows in the order of their keys: key length (varint), key,
//! form (1 byte: 0 removed, 1 whole, 2 change), and unless removed payload length (varint), payload.

use alloc::vec::Vec;

use super::{Cursor, Malformed, append_varint};
use crate::value::varint_len;

/// What a row says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The key is gone.
    Removed = 0,
    /// The payload is the whole value.
    Whole = 1,
    /// The payload is what changed since the checkpoint before.
    Change = 2,
}

impl Form {
    pub(crate) fn from_number(number: u64) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Form::Removed),
            1 => Ok(Form::Whole),
            2 => Ok(Form::Change),
            _ => Err(Malformed::new("unknown form of row")),
        }
    }
}

/// A captured row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CapturedRow<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) form: Form,
    pub(crate) payload: &'a [u8],
}

/// Captured rows of one key group, in the order of their capture.
#[derive(Debug, Default)]
pub(crate) struct RowBlock {
    /// Key and payload of each row, one after the other.
    arena: Vec<u8>,
    rows: Vec<RowSpan>,
}

#[derive(Debug, Clone, Copy)]
struct RowSpan {
    start: u32,
    key_len: u32,
    payload_len: u32,
    form: Form,
}

/// A row as read from a section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) group: u16,
    pub(crate) key: &'a [u8],
    pub(crate) form: Form,
    pub(crate) payload: &'a [u8],
}

impl RowBlock {
    /// Adds a row; `write` appends the payload and says its form. Returns the bytes of the row.
    ///
    /// `None`, and no row, if a block would pass 4 GiB.
    pub(crate) fn push(&mut self, key: &[u8], write: impl FnOnce(&mut Vec<u8>) -> Form) -> Option<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(key);
        let payload_start = self.arena.len();
        let form = write(&mut self.arena);
        let bytes = self.arena.len() - start;
        let (Ok(start_u32), Ok(_)) = (u32::try_from(start), u32::try_from(self.arena.len())) else {
            self.arena.truncate(start);
            return None;
        };
        let payload_len = (self.arena.len() - payload_start) as u32;
        self.rows.push(RowSpan { start: start_u32, key_len: key.len() as u32, payload_len, form });
        Some(bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes the rows will take in a section, within a few percent.
    pub(crate) fn section_bytes(&self) -> u64 {
        self.arena.len() as u64 + 3 * self.rows.len() as u64
    }

    /// Sorts the rows by key.
    pub(crate) fn sort(&mut self) {
        let arena = &self.arena;
        let key = |row: &RowSpan| &arena[row.start as usize..(row.start + row.key_len) as usize];
        // The first eight bytes decide nearly always, and compare as one number.
        let beginning = |key: &[u8]| match key.first_chunk::<8>() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)) << (8 * (8 - key.len())).min(63),
        };
        let mut order: Vec<(u64, RowSpan)> = self.rows.iter().map(|row| (beginning(key(row)), *row)).collect();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(&a.1).cmp(key(&b.1))));
        self.rows.clear();
        self.rows.extend(order.into_iter().map(|(_, row)| row));
    }

    /// The rows, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = CapturedRow<'_>> {
        self.rows.iter().map(|row| {
            let (start, key_len) = (row.start as usize, row.key_len as usize);
            let (key, rest) = self.arena[start..].split_at(key_len);
            CapturedRow { key, form: row.form, payload: &rest[..row.payload_len as usize] }
        })
    }

    /// Bytes the rows take in a section of rows, as those of `group`.
    pub(crate) fn raw_bytes(&self, group: u16) -> u64 {
        let row = |row: &RowSpan| {
            let payload = if row.form == Form::Removed { 0 } else { varint_len(u64::from(row.payload_len)) };
            (varint_len(u64::from(row.key_len)) + payload + 1) as u64
                + u64::from(row.key_len)
                + u64::from(row.payload_len)
        };
        let head = varint_len(u64::from(group)) + varint_len(self.rows.len() as u64);
        head as u64 + self.rows.iter().map(row).sum::<u64>()
    }

    /// Appends sorted rows to a section of rows, as those of `group`.
    pub(crate) fn append_to(&self, group: u16, out: &mut Vec<u8>) {
        append_varint(out, u64::from(group));
        append_varint(out, self.rows.len() as u64);
        for row in self.iter() {
            append_varint(out, row.key.len() as u64);
            out.extend_from_slice(row.key);
            out.push(row.form as u8);
            if row.form != Form::Removed {
                append_varint(out, row.payload.len() as u64);
                out.extend_from_slice(row.payload);
            }
        }
    }
}

/// Reads the rows of a section one by one; keys rise within a group, groups rise in the section.
pub(crate) fn read_rows<'a>(
    raw: &'a [u8],
    mut each: impl FnMut(Row<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(raw);
    let mut group_before = None;
    while !cursor.is_empty() {
        let group = u16::try_from(cursor.varint()?).map_err(|_| Malformed::new("key group out of range"))?;
        if group_before.is_some_and(|before| before >= group) {
            return Err(Malformed::new("key groups out of order"));
        }
        group_before = Some(group);
        let mut key_before: Option<&[u8]> = None;
        for _ in 0..cursor.varint()? {
            let key_len = cursor.varint()?;
            let key = cursor.take(key_len)?;
            if key_before.is_some_and(|before| before >= key) {
                return Err(Malformed::new("keys out of order"));
            }
            key_before = Some(key);
            let form = Form::from_number(u64::from(cursor.byte()?))?;
            let payload = if form == Form::Removed {
                &[][..]
            } else {
                let payload_len = cursor.varint()?;
                cursor.take(payload_len)?
            };
            each(Row { group, key, form, payload })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_sorted() {
        let mut block = RowBlock::default();
        for (key, form) in [(&b"b"[..], Form::Whole), (b"a", Form::Removed), (b"c", Form::Change)] {
            block.push(key, |out| {
                if form != Form::Removed {
                    out.extend_from_slice(key);
                }
                form
            });
        }
        let mut raw = Vec::new();
        block.sort();
        block.append_to(5, &mut raw);
        assert_eq!(block.raw_bytes(5), raw.len() as u64);
        let mut seen = Vec::new();
        read_rows(&raw, |row| {
            seen.push((row.group, row.key.to_vec(), row.form, row.payload.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                (5, b"a".to_vec(), Form::Removed, b"".to_vec()),
                (5, b"b".to_vec(), Form::Whole, b"b".to_vec()),
                (5, b"c".to_vec(), Form::Change, b"c".to_vec()),
            ]
        );
        for end in 1..raw.len() {
            assert!(read_rows(&raw[..end], |_| Ok(())).is_err(), "cut at {end}");
        }
    }
}
