//! Captured rows of a key group, on their way into a section.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::rows::{CapturedRow, Form, append_group, append_row, group_bytes, row_bytes};
use crate::bytes::SmallBytes;

/// Rows that a bucket has, about, where keys are spread evenly: hardly anything to sort, and not too many buckets.
const ROWS_OF_BUCKET: u64 = 4;
/// Rows that are put in their places one by one.
const ROWS_INSERTED: usize = 16;

/// A row, with a number that its key sorts by first.
type Numbered = (u64, RowSpan);

/// Captured rows of one key group, in the order of their capture.
#[derive(Debug, Default)]
pub(crate) struct RowBlock {
    /// Key and payload of each row, one after the other.
    arena: Vec<u8>,
    rows: Vec<RowSpan>,
    /// Whether a row differs from the first one in its form or a length: mostly none does.
    differ: bool,
}

#[derive(Debug, Clone, Copy)]
struct RowSpan {
    start: u32,
    key_len: u32,
    payload_len: u32,
    form: Form,
}

impl RowSpan {
    #[inline]
    fn is_like(&self, other: &RowSpan) -> bool {
        (self.key_len, self.payload_len, self.form) == (other.key_len, other.payload_len, other.form)
    }

    #[inline]
    fn key<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.start as usize..][..self.key_len as usize]
    }

    #[inline]
    fn payload<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.start as usize + self.key_len as usize..][..self.payload_len as usize]
    }

    #[inline]
    fn row<'a>(&self, arena: &'a [u8]) -> CapturedRow<'a> {
        CapturedRow { key: self.key(arena), form: self.form, payload: self.payload(arena) }
    }
}

impl RowBlock {
    /// Makes room for about so many rows, and bytes of keys and payloads, with those that are there. Where there is none,
    /// it is found as they come: they may be fewer.
    pub(crate) fn reserve(&mut self, rows: usize, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        _ = self.rows.try_reserve(rows.saturating_sub(self.rows.len()));
        _ = self.arena.try_reserve(bytes.saturating_sub(self.arena.len()));
    }

    /// Adds a row; `write` appends the payload and says its form. Returns the bytes of the row.
    ///
    /// `None`, and no row, if a block would pass 4 GiB.
    #[inline]
    pub(crate) fn push(&mut self, key: &SmallBytes, write: impl FnOnce(&mut Vec<u8>) -> Form) -> Option<usize> {
        let start = self.arena.len();
        key.append_to(&mut self.arena);
        let payload_start = self.arena.len();
        let form = write(&mut self.arena);
        let end = self.arena.len();
        let (Ok(start_u32), Ok(_)) = (u32::try_from(start), u32::try_from(end)) else {
            self.arena.truncate(start);
            return None;
        };
        let (key_len, payload_len) = ((payload_start - start) as u32, (end - payload_start) as u32);
        let row = RowSpan { start: start_u32, key_len, payload_len, form };
        self.differ |= self.rows.first().is_some_and(|first| !row.is_like(first));
        self.rows.push(row);
        Some(end - start)
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
        let mut rows = beginnings(arena, &self.rows);
        sort_by_beginning(&mut rows, &|a, b| a.key(arena).cmp(b.key(arena)));
        self.rows.clear();
        self.rows.extend(rows.into_iter().map(|(_, row)| row));
    }

    /// The rows, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = CapturedRow<'_>> {
        self.rows.iter().map(|row| row.row(&self.arena))
    }

    /// Rows of which one at least has the form and the lengths of each row: only the first one, if all are alike.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = CapturedRow<'_>> {
        self.iter().take(if self.differ { self.len() } else { 1 })
    }

    /// Appends the forms of the rows.
    pub(crate) fn append_forms(&self, out: &mut Vec<i64>) {
        out.extend(self.rows.iter().map(|row| row.form as i64));
    }

    /// Appends of each key the eight bytes from a place on, or those up to its end, as a number: the first is the highest.
    pub(crate) fn append_key_words(&self, from: usize, out: &mut Vec<i64>) {
        if self.alike().is_some_and(|first| first.key_len as usize >= from + 8) {
            return self.append_words_at(from, i64::from_be_bytes, out);
        }
        out.extend(self.rows.iter().map(|row| {
            let bytes = row.key(&self.arena).get(from..).unwrap_or_default();
            let fold = || bytes.iter().fold(0, |word, byte| word << 8 | i64::from(*byte));
            bytes.first_chunk().map_or_else(fold, |word| i64::from_be_bytes(*word))
        }));
    }

    /// As [`RowBlock::append_key_words`], of the payloads of rows that are not removed: the first byte is the lowest.
    pub(crate) fn append_payload_words(&self, from: usize, out: &mut Vec<i64>) {
        let has_word = |first: &&RowSpan| first.form != Form::Removed && first.payload_len as usize >= from + 8;
        if let Some(first) = self.alike().filter(has_word) {
            return self.append_words_at(first.key_len as usize + from, i64::from_le_bytes, out);
        }
        out.reserve(self.len());
        for row in &self.rows {
            let bytes = row.payload(&self.arena).get(from..).unwrap_or_default();
            let fold = || bytes.iter().rev().fold(0, |word, byte| word << 8 | i64::from(*byte));
            if row.form != Form::Removed {
                out.push(bytes.first_chunk().map_or_else(fold, |word| i64::from_le_bytes(*word)));
            }
        }
    }

    /// The first row, if all are like it.
    fn alike(&self) -> Option<&RowSpan> {
        self.rows.first().filter(|_| !self.differ)
    }

    /// Appends the eight bytes that each row has at a place: what nearly all plain values are, and most of the time of a
    /// checkpoint of them goes into taking them apart.
    fn append_words_at(&self, at: usize, read: impl Fn([u8; 8]) -> i64, out: &mut Vec<i64>) {
        out.extend(self.rows.iter().map(|row| {
            let bytes = self.arena.get(row.start as usize + at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |word| read(*word))
        }));
    }

    /// Bytes the rows take in a section of rows, as those of `group`.
    pub(crate) fn raw_bytes(&self, group: u16) -> u64 {
        let row = |row: CapturedRow<'_>| row_bytes(row.key.len(), row.form, row.payload.len()) as u64;
        let of_kinds = self.kinds().map(row).sum::<u64>();
        let rows = if self.differ { of_kinds } else { of_kinds * self.len() as u64 };
        group_bytes(group, self.len() as u64) as u64 + rows
    }

    /// Appends sorted rows to a section of rows, as those of `group`.
    pub(crate) fn append_to(&self, group: u16, out: &mut Vec<u8>) {
        append_group(out, group, self.rows.len() as u64);
        self.iter().for_each(|row| append_row(out, row));
    }
}

/// Rows with eight bytes of their keys as a number, which decides nearly always: the first ones, or those behind what
/// all begin with. Keys sort like their numbers; if these are equal, the keys themselves have to be asked.
fn beginnings(arena: &[u8], rows: &[RowSpan]) -> Vec<Numbered> {
    let mut from = 0;
    loop {
        let with: Vec<Numbered> = rows.iter().map(|row| (word_of_key(row.key(arena), from), *row)).collect();
        from += 8;
        let Some((first, _)) = with.first() else { return with };
        let differ = with.iter().any(|(number, _)| number != first);
        if differ || rows.iter().all(|row| row.key_len as usize <= from) {
            return with;
        }
    }
}

/// The eight bytes of a key from a place on, with zeros behind its end, as a number.
#[inline]
fn word_of_key(key: &[u8], from: usize) -> u64 {
    let bytes = key.get(from..).unwrap_or_default();
    match bytes.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)) << (8 * (8 - bytes.len())).min(63),
    }
}

/// Sorts rows by their numbers, and as `of_equals` says: into buckets, evenly from the least number to the greatest, and
/// each bucket so again, as long as it has more than a few. Numbers that lie in lumps, as those of digits do, are told
/// apart that way too.
fn sort_by_beginning(rows: &mut [Numbered], of_equals: &impl Fn(&RowSpan, &RowSpan) -> Ordering) {
    sort_with(rows, &mut Vec::with_capacity(rows.len()), &|a, b| a.0.cmp(&b.0).then_with(|| of_equals(&a.1, &b.1)));
}

/// As [`sort_by_beginning`]. Within a bucket numbers differ in three bits less, at least: it goes no deeper than 22 times.
fn sort_with(rows: &mut [Numbered], unsorted: &mut Vec<Numbered>, compare: &impl Fn(&Numbered, &Numbered) -> Ordering) {
    if rows.len() <= ROWS_INSERTED {
        return insert_each(rows, compare);
    }
    let both = |(least, greatest): (u64, u64), row: &Numbered| (least.min(row.0), greatest.max(row.0));
    let (least, greatest) = rows.iter().fold((u64::MAX, 0), both);
    let spread = greatest - least;
    if spread == 0 {
        return rows.sort_unstable_by(compare);
    }
    let shift = bits_of(spread).saturating_sub(bits_of(rows.len() as u64 / ROWS_OF_BUCKET));
    let bucket = |number: u64| ((number - least) >> shift) as usize;
    let mut ends = alloc::vec![0_u32; bucket(greatest) + 2];
    rows.iter().for_each(|(number, _)| ends[bucket(*number) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    unsorted.clear();
    unsorted.extend_from_slice(rows);
    // Now where each bucket begins; filling moves it to its end.
    for row in unsorted.iter() {
        let place = &mut ends[bucket(row.0)];
        rows[*place as usize] = *row;
        *place += 1;
    }
    let (mut rest, mut from) = (rows, 0);
    for end in ends {
        let (of_bucket, behind) = rest.split_at_mut((end - from) as usize);
        sort_with(of_bucket, unsorted, compare);
        (rest, from) = (behind, end);
    }
}

/// Sorts a few rows: each goes to its place among those before.
fn insert_each(rows: &mut [Numbered], compare: &impl Fn(&Numbered, &Numbered) -> Ordering) {
    for at in 1..rows.len() {
        let row = rows[at];
        let mut to = at;
        while to > 0 && compare(&row, &rows[to - 1]).is_lt() {
            rows[to] = rows[to - 1];
            to -= 1;
        }
        rows[to] = row;
    }
}

fn bits_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn sorted(keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut block = RowBlock::default();
        for key in keys {
            block.push(&SmallBytes::new(key), |_| Form::Removed);
        }
        block.sort();
        block.iter().map(|row| row.key.to_vec()).collect()
    }

    /// Numbers that look random.
    fn numbers() -> impl Iterator<Item = u64> {
        (1..).map(|n: u64| crate::format::hash64(&n.to_le_bytes()))
    }

    #[test]
    fn keys_of_every_sort_are_sorted() {
        let of = |key: fn(u64) -> Vec<u8>| numbers().take(1000).map(key).collect::<Vec<_>>();
        let all = [
            of(|n| n.to_be_bytes().to_vec()),
            of(|n| (n % 5000).to_be_bytes().to_vec()),
            of(|n| alloc::format!("all alike until here: {}", n % 3000).into_bytes()),
            of(|n| alloc::vec![0; (n % 30) as usize]),
            of(|n| n.to_le_bytes()[..(n >> 9) as usize % 9].to_vec()),
            of(|n| [&[7; 16][..], &n.to_le_bytes()[..n as usize % 3]].concat()),
            of(|n| alloc::vec![(n % 2) as u8 * 255; 1 + n as usize / 2 % 12]),
            of(|n| alloc::format!("{:08}", n % 100_000_000).into_bytes()),
            of(|n| (1_u64 << (n % 64) | n >> 8 & 3).to_be_bytes().to_vec()),
            of(|n| (u64::MAX << (n % 64)).to_be_bytes().to_vec()),
            alloc::vec![],
            alloc::vec![alloc::vec![]],
        ];
        for mut keys in all {
            let found = sorted(&keys);
            keys.sort_unstable();
            assert_eq!(found, keys);
        }
    }

    /// A capture that goes on where it stopped expects the same rows again.
    #[test]
    fn room_is_made_once() {
        let mut block = RowBlock::default();
        block.reserve(100, 5000);
        let room = (block.rows.capacity(), block.arena.capacity());
        for n in 0..90 {
            block.push(&SmallBytes::new(&[n; 9]), |out| {
                out.extend_from_slice(&[n; 40]);
                Form::Whole
            });
            block.reserve(100, 5000);
        }
        assert_eq!((block.rows.capacity(), block.arena.capacity()), room);
        // More than there can be is found as it comes.
        block.reserve(usize::MAX, u64::MAX);
        assert_eq!(block.len(), 90);
    }

    #[test]
    fn what_all_have_in_common_is_said_once() {
        let mut block = RowBlock::default();
        let key = |n: u8| SmallBytes::new(&[n; 9]);
        for n in 0..5 {
            block.push(&key(n), |out| {
                out.extend_from_slice(&[n; 10]);
                Form::Whole
            });
        }
        let raw = |block: &RowBlock| {
            let mut out = Vec::new();
            block.append_to(300, &mut out);
            (block.raw_bytes(300), out.len() as u64)
        };
        assert_eq!(block.kinds().count(), 1);
        assert_eq!(raw(&block).0, raw(&block).1);
        let (mut words, mut rests) = (Vec::new(), Vec::new());
        block.append_payload_words(0, &mut words);
        block.append_key_words(8, &mut rests);
        assert_eq!((words[1], rests), (0x0101_0101_0101_0101, alloc::vec![0, 1, 2, 3, 4]));
        block.push(&key(9), |_| Form::Removed);
        assert_eq!(block.kinds().count(), 6);
        assert_eq!(raw(&block).0, raw(&block).1);
        words.clear();
        block.append_payload_words(8, &mut words);
        assert_eq!(words, [0, 0x0101, 0x0202, 0x0303, 0x0404]);
    }
}
