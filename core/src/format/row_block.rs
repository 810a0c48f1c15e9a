//! Captured rows of a key group, on their way into a section.

use alloc::vec::Vec;

use super::rows::{CapturedRow, Form, append_group, append_row, group_bytes, row_bytes};

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
        let row = |row: &RowSpan| row_bytes(row.key_len as usize, row.form, row.payload_len as usize) as u64;
        let head = group_bytes(group, self.rows.len() as u64);
        head as u64 + self.rows.iter().map(row).sum::<u64>()
    }

    /// Appends sorted rows to a section of rows, as those of `group`.
    pub(crate) fn append_to(&self, group: u16, out: &mut Vec<u8>) {
        append_group(out, group, self.rows.len() as u64);
        self.iter().for_each(|row| append_row(out, row));
    }
}
