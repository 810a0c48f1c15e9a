//! Cells: what a column is made of, as it is collected.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashTable;

use super::super::hash64;
pub(crate) use super::super::payload::Cell;
use crate::pace::Pace;

/// Kinds of cells, in the order in which columns and dictionaries have them; part of the format.
pub(super) const NULL: u8 = 0;
pub(super) const FALSE: u8 = 1;
pub(super) const TRUE: u8 = 2;
pub(super) const INT: u8 = 3;
pub(super) const FLOAT: u8 = 4;
pub(super) const BYTES: u8 = 5;
pub(super) const KINDS: u8 = 6;

/// Longest byte string that lies in a word itself.
const SHORT_BYTES: usize = 7;
/// Low byte of a word that says where a longer one lies.
const LONG: i64 = 0xff;

/// What a byte of a string takes, about, once LZ4 has taken a quarter off.
pub(super) const BITS_OF_BYTE: u64 = 6;
/// Strings that are measured before it is looked at whether to go on.
const LENGTHS_AT_ONCE: usize = 1024;
/// Long byte strings that are compared with those before in one go.
const UNITED_AT_ONCE: usize = 1024;

/// The cells of one column, over all sections of an object that share its plan.
///
/// A cell is a kind and a word: an integer, the bits of a double, up to seven bytes with their
/// number, or the place of more bytes.
#[derive(Debug, Default)]
pub(crate) struct Column {
    /// Which kinds occur, as bits.
    pub(super) kinds: u8,
    /// Kinds of the cells, once there is more than one; until then empty.
    pub(super) tags: Vec<u8>,
    pub(super) words: Vec<i64>,
    text: Vec<u8>,
    /// Ends in `text`, of the long byte strings in order.
    ends: Vec<usize>,
    /// Number of cells at the end of each section.
    pub(super) cuts: Vec<usize>,
}

impl Column {
    /// A column that begins in the section after `sections` others, with room for so many cells.
    pub(super) fn new(sections: usize, expected: usize) -> Self {
        Column { cuts: alloc::vec![0; sections], words: Vec::with_capacity(expected), ..Column::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    #[inline]
    pub(crate) fn push_int(&mut self, number: i64) {
        self.push(INT, number);
    }

    /// Adds integers, all at once.
    pub(super) fn push_ints(&mut self, numbers: &[i64]) {
        let Some((first, rest)) = numbers.split_first() else { return };
        self.push_int(*first);
        match self.kinds == 1 << INT {
            true => self.words.extend_from_slice(rest),
            false => rest.iter().for_each(|number| self.push_int(*number)),
        }
    }

    #[inline]
    pub(crate) fn push_cell(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Null => self.push(NULL, 0),
            Cell::Bool(false) => self.push(FALSE, 0),
            Cell::Bool(true) => self.push(TRUE, 0),
            Cell::Int(number) => self.push(INT, number),
            Cell::Float(number) => self.push(FLOAT, number.to_bits() as i64),
            Cell::Bytes(bytes) => self.push_bytes(bytes),
        }
    }

    #[inline]
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        let word = self.word_of(bytes);
        self.push(BYTES, word);
    }

    /// As [`Column::push_bytes`], of the first bytes of eight that lie there; whether they are as few as that.
    #[inline]
    pub(crate) fn push_short(&mut self, eight: &[u8; 8], len: u64) -> bool {
        let is_short = len <= SHORT_BYTES as u64;
        if is_short {
            let word = u64::from_be_bytes(*eight) & !(u64::MAX >> (8 * len));
            self.push(BYTES, (word | len) as i64);
        }
        is_short
    }

    #[inline]
    fn push(&mut self, kind: u8, word: i64) {
        if self.kinds != 1 << kind {
            self.mix(kind);
        }
        self.words.push(word);
    }

    /// The slow half of a push: the first cell, or more kinds than one.
    fn mix(&mut self, kind: u8) {
        if self.words.is_empty() {
            self.kinds = 1 << kind;
            return;
        }
        if self.tags.is_empty() {
            self.tags.resize(self.words.len(), self.kinds.trailing_zeros() as u8);
        }
        self.kinds |= 1 << kind;
        self.tags.push(kind);
    }

    #[inline]
    fn word_of(&mut self, bytes: &[u8]) -> i64 {
        if bytes.len() <= SHORT_BYTES {
            // Shifted together: bytes put side by side in memory would have to be waited for.
            let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            return (word << (8 * (8 - bytes.len() as u32)).min(63) | bytes.len() as u64) as i64;
        }
        self.text.extend_from_slice(bytes);
        self.ends.push(self.text.len());
        (self.ends.len() as i64 - 1) << 8 | LONG
    }

    #[inline]
    pub(super) fn tag(&self, at: usize) -> u8 {
        if self.tags.is_empty() { self.kinds.trailing_zeros() as u8 } else { self.tags[at] }
    }

    /// The bytes behind a word of a byte string; short ones are put into `short`.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, word: i64, short: &'a mut [u8; 8]) -> &'a [u8] {
        if word & 0xff == LONG {
            let number = (word >> 8) as usize;
            let start = if number == 0 { 0 } else { self.ends[number - 1] };
            return &self.text[start..self.ends[number]];
        }
        *short = word.to_be_bytes();
        &short[..(word & 0xff) as usize]
    }

    /// Number of bytes behind a word of a byte string.
    #[inline]
    pub(super) fn bytes_len(&self, word: i64) -> usize {
        if word & 0xff == LONG { self.bytes(word, &mut [0; 8]).len() } else { (word & 0xff) as usize }
    }

    /// The words of the cells of one kind.
    pub(super) fn words_of(&self, range: Range<usize>, kind: u8) -> impl Iterator<Item = i64> {
        let only = self.kinds == 1 << kind;
        let none = self.kinds & 1 << kind == 0;
        let range = if none { 0..0 } else { range };
        range.filter(move |at| only || self.tags[*at] == kind).map(|at| self.words[at])
    }

    /// Whether byte strings alone take more bits than that.
    pub(super) fn is_longer(&self, bits: u64) -> bool {
        if self.kinds & 1 << BYTES == 0 {
            return false;
        }
        let mut bytes = 0;
        (0..self.len()).step_by(LENGTHS_AT_ONCE).any(|from| {
            let part = from..self.len().min(from + LENGTHS_AT_ONCE);
            bytes += self.words_of(part, BYTES).map(|word| self.bytes_len(word) as u64).sum::<u64>();
            BITS_OF_BYTE * bytes > bits
        })
    }

    pub(super) fn ints(&self, range: Range<usize>) -> Cow<'_, [i64]> {
        // Mostly there are no others.
        if self.kinds == 1 << INT {
            return Cow::Borrowed(&self.words[range]);
        }
        if self.kinds & 1 << INT == 0 {
            return Cow::Borrowed(&[]);
        }
        // Each into the next place, which only an integer takes: there is no branch to guess.
        let mut ints = alloc::vec![0; range.len()];
        let mut len = 0;
        for (word, tag) in self.words[range.clone()].iter().zip(&self.tags[range]) {
            ints[len] = *word;
            len += usize::from(*tag == INT);
        }
        ints.truncate(len);
        Cow::Owned(ints)
    }

    /// Bits of the doubles.
    pub(super) fn floats(&self, range: Range<usize>) -> Vec<u64> {
        self.words_of(range, FLOAT).map(|word| word as u64).collect()
    }

    /// Lengths of the byte strings.
    pub(super) fn lengths(&self, range: Range<usize>) -> Vec<i64> {
        self.words_of(range, BYTES).map(|word| self.bytes_len(word) as i64).collect()
    }

    /// Makes words of equal long byte strings equal.
    pub(super) async fn unite_long(&mut self, pace: &Pace) {
        if self.ends.is_empty() {
            return;
        }
        let mut first_of = FirstOf::new(self);
        while first_of.len() < self.ends.len() {
            let from = first_of.len();
            first_of.take(self, self.ends.len().min(from + UNITED_AT_ONCE));
            let bytes = self.ends[first_of.len() - 1] - if from == 0 { 0 } else { self.ends[from - 1] };
            pace.spend(bytes as u64).await;
        }
        let first_of = first_of.numbers;
        let tags = &self.tags;
        let only_bytes = self.kinds == 1 << BYTES;
        for (at, word) in self.words.iter_mut().enumerate() {
            if *word & 0xff == LONG && (only_bytes || tags.get(at) == Some(&BYTES)) {
                *word = i64::from(first_of[(*word >> 8) as usize]) << 8 | LONG;
            }
        }
    }

    /// Makes room for the rest, once a part of so many of all bytes has been collected.
    pub(super) fn reserve_rest(&mut self, part: u64, all: u64) {
        let rest = |len: usize| (len as u64 * (all - part) / part) as usize;
        self.words.reserve_exact(rest(self.words.len()));
        self.tags.reserve_exact(rest(self.tags.len()));
        self.text.reserve_exact(rest(self.text.len()));
    }

    /// Gives the memory of cells back that nobody asks for any more: the next columns take it.
    pub(super) fn forget_cells(&mut self) {
        (self.words, self.tags, self.text, self.ends) = Default::default();
    }

    /// Number of long byte strings.
    pub(super) fn long_count(&self) -> usize {
        self.ends.len()
    }
}

/// The first of each of the long byte strings that are equal.
struct FirstOf {
    seen: HashTable<u32>,
    numbers: Vec<u32>,
}

impl FirstOf {
    fn new(column: &Column) -> Self {
        let count = column.ends.len();
        FirstOf { seen: HashTable::with_capacity(count.min(1024)), numbers: Vec::with_capacity(count) }
    }

    fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Takes the strings up to a number.
    fn take(&mut self, column: &Column, to: usize) {
        let span = |number: u32| {
            let start = if number == 0 { 0 } else { column.ends[number as usize - 1] };
            &column.text[start..column.ends[number as usize]]
        };
        for number in self.numbers.len() as u32..to as u32 {
            let (hash, is_equal) = (hash64(span(number)), |other: &u32| span(*other) == span(number));
            let entry = self.seen.entry(hash, is_equal, |other| hash64(span(*other)));
            self.numbers.push(*entry.or_insert(number).get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::at_once;

    #[test]
    fn bytes_of_every_length_come_back_and_short_ones_sort() {
        let mut column = Column::new(0, 0);
        let strings: Vec<Vec<u8>> = (0..20).map(|len| alloc::vec![b'x'; len]).collect();
        strings.iter().for_each(|bytes| column.push_cell(Cell::Bytes(bytes)));
        let mut short = [0; 8];
        for (word, bytes) in column.words.iter().zip(&strings) {
            assert_eq!(column.bytes(*word, &mut short), bytes);
            assert_eq!(column.bytes_len(*word), bytes.len());
            let eight = [b'x'; 8];
            let mut other = Column::new(0, 0);
            assert_eq!(other.push_short(&eight, bytes.len() as u64), bytes.len() <= SHORT_BYTES);
            assert!(other.words.iter().all(|short| short == word));
        }
        assert!(column.words[..=SHORT_BYTES].is_sorted_by_key(|word| *word as u64));
    }

    #[test]
    fn kinds_are_told_apart_once_they_mix() {
        let mut column = Column::new(0, 0);
        column.push_cell(Cell::Int(0xff));
        column.push_cell(Cell::Int(2));
        assert!(column.tags.is_empty());
        column.push_cell(Cell::Bytes(b"a long byte string"));
        column.push_cell(Cell::Null);
        column.push_cell(Cell::Bytes(b"a long byte string"));
        assert_eq!(column.tags, [INT, INT, BYTES, NULL, BYTES]);
        at_once(column.unite_long(&Pace::default()));
        assert_eq!(column.words[0], 0xff);
        assert_eq!(column.words[2], column.words[4]);
    }
}
