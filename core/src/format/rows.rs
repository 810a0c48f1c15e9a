//! Rows of a section: which keys of which key groups, and what became of each.
//!
//! A section's raw bytes are, for each key group that has rows, in rising order: the group (varint),
//! the number of rows (varint), and the rows in the order of their keys: key length (varint), key,
//! form (1 byte: 0 removed, 1 whole, 2 change), and unless removed payload length (varint), payload.

use super::{ByteSink, Cursor, Malformed, append_varint};
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

/// A row as read from a section.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub(crate) group: u16,
    pub(crate) key: &'a [u8],
    pub(crate) form: Form,
    pub(crate) payload: &'a [u8],
}

/// Bytes that begin the rows of a key group.
pub(crate) fn group_bytes(group: u16, rows: u64) -> usize {
    varint_len(u64::from(group)) + varint_len(rows)
}

/// Begins the rows of a key group.
pub(crate) fn append_group(out: &mut impl ByteSink, group: u16, rows: u64) {
    append_varint(out, u64::from(group));
    append_varint(out, rows);
}

/// Bytes of a row; without a payload if its form has none.
pub(crate) fn row_bytes(key_len: usize, form: Form, payload_len: usize) -> usize {
    let payload = if form == Form::Removed { 0 } else { varint_len(payload_len as u64) + payload_len };
    varint_len(key_len as u64) + key_len + 1 + payload
}

/// Appends a row.
pub(crate) fn append_row(out: &mut impl ByteSink, row: CapturedRow<'_>) {
    append_row_head(out, row.key, row.form, row.payload.len());
    out.extend_from_slice(row.payload);
}

/// Appends a row up to its payload, which follows, unless the key was removed.
pub(crate) fn append_row_head(out: &mut impl ByteSink, key: &[u8], form: Form, payload_len: usize) {
    append_varint(out, key.len() as u64);
    out.extend_from_slice(key);
    out.push(form as u8);
    if form != Form::Removed {
        append_varint(out, payload_len as u64);
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
    use super::super::row_block::RowBlock;
    use super::*;
    use crate::bytes::SmallBytes;
    use alloc::vec::Vec;

    #[test]
    fn rows_come_back_sorted() {
        let mut block = RowBlock::default();
        for (key, form) in [(&b"b"[..], Form::Whole), (b"a", Form::Removed), (b"c", Form::Change)] {
            block.push(&SmallBytes::new(key), |out| {
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
