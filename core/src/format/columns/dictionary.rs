//! Columns of few different cells: each of them once, sorted, and codes instead.
//!
//! The entries are shared by all sections of an object that have the plan: thousands of small
//! windows pay for them once.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::super::{append_varint, hash64};
use super::cell::{BYTES, Column, FALSE, FLOAT, INT, KINDS, NULL, TRUE};
use super::ints::IntPlan;
use crate::pace::Pace;

/// Most entries of a dictionary.
pub(super) const ENTRIES_MAX: usize = 1 << 16;
/// Entries that are never too many: how many there will be shows late.
const ENTRIES_SPARE: usize = 8192;
/// Cells that are looked at before all are.
const SAMPLE_CELLS: usize = 1024;
/// Integers within this range are looked up in a table instead of by their hash.
const TABLE_RANGE: u64 = 1 << 16;
/// Entries that a cell may be compared with, on average, before they are looked up by their order: who chooses the cells
/// knows their hashes.
const COMPARED_A_CELL_MAX: usize = 4;
/// So many of all are free.
const COMPARED_SPARE: usize = 4096;
/// How much longer the entries may be than their encoding.
const SHARED_PREFIX_RATIO: u64 = 64;

/// A column as codes. Entries are sorted by kind, then value.
#[derive(Debug)]
pub(super) struct Dictionary {
    pub(super) entries: Vec<(u8, i64)>,
    pub(super) codes: Vec<u32>,
}

impl Dictionary {
    /// The dictionary of a column, whose long byte strings it unites, unless its cells are mostly different.
    ///
    /// `range_of_ints`: of a column of nothing else.
    pub(super) async fn of(column: &mut Column, range_of_ints: Option<(i64, i64)>, pace: &Pace) -> Option<Dictionary> {
        let numbers = 1 << NULL | 1 << FALSE | 1 << TRUE | 1 << INT;
        if column.kinds & !numbers == 0
            && let Some(dictionary) = Self::by_table(column, range_of_ints)
        {
            return dictionary;
        }
        // Before strings are united: to compare them all takes longer than all else here.
        if column.len() >= 4 * SAMPLE_CELLS && is_diverse(column) {
            return None;
        }
        column.unite_long(pace).await;
        Self::by_hash(column).unwrap_or_else(|| Self::by_order(column))
    }

    /// The inner `None`: too many entries. The outer: the integers are too far apart for a table.
    fn by_table(column: &Column, range_of_ints: Option<(i64, i64)>) -> Option<Option<Dictionary>> {
        let only_ints = range_of_ints.is_some();
        let (mut least, mut greatest) = range_of_ints.unwrap_or((i64::MAX, i64::MIN));
        if only_ints {
            if least == greatest {
                // Nobody asks for codes that are all the same.
                return Some(Some(Dictionary { entries: alloc::vec![(INT, least)], codes: Vec::new() }));
            }
        } else if column.kinds & 1 << INT != 0 {
            for (tag, word) in column.tags.iter().zip(&column.words) {
                if *tag == INT {
                    (least, greatest) = (least.min(*word), greatest.max(*word));
                }
            }
        }
        let places = if least > greatest { 0 } else { greatest.checked_sub(least)?.unsigned_abs() + 1 };
        if places > TABLE_RANGE || places > 64 + 16 * column.len() as u64 {
            return None;
        }
        // Null, false and true have the first three places.
        let mut table = alloc::vec![0_u32; places as usize + 3];
        let place = |tag: u8, word: i64| match tag {
            INT => word.wrapping_sub(least) as usize + 3,
            scalar => usize::from(scalar),
        };
        if only_ints {
            column.words.iter().for_each(|word| table[place(INT, *word)] = 1);
        } else {
            (0..column.len()).for_each(|at| table[place(column.tag(at), column.words[at])] = 1);
        }
        let mut entries = Vec::new();
        for (at, code) in table.iter_mut().enumerate() {
            if *code == 1 {
                *code = entries.len() as u32;
                entries.push(match at {
                    0..3 => (at as u8, 0),
                    _ => (INT, least.wrapping_add(at as i64 - 3)),
                });
            }
        }
        if entries.len() > ENTRIES_MAX || is_too_many(entries.len(), column.len()) {
            return Some(None);
        }
        let codes = if only_ints {
            column.words.iter().map(|word| table[place(INT, *word)]).collect()
        } else {
            (0..column.len()).map(|at| table[place(column.tag(at), column.words[at])]).collect()
        };
        Some(Some(Dictionary { entries, codes }))
    }

    /// The outer `None`: so many hashes collide that somebody chose the cells.
    fn by_hash(column: &Column) -> Option<Option<Dictionary>> {
        let mut seen = HashTable::<(i64, u8, u32)>::with_capacity(256);
        let mut compared = 0;
        let compared_max = COMPARED_A_CELL_MAX * column.len() + COMPARED_SPARE;
        Self::by_first(column, |_, (tag, word), next| {
            let entry = seen.entry(
                hash(tag, word),
                |(other, kind, _)| {
                    compared += 1;
                    (*kind, *other) == (tag, word)
                },
                |(other, kind, _)| hash(*kind, *other),
            );
            let code = match entry {
                hashbrown::hash_table::Entry::Occupied(held) => held.get().2,
                hashbrown::hash_table::Entry::Vacant(vacant) => vacant.insert((word, tag, next)).get().2,
            };
            (compared <= compared_max).then_some(code)
        })
    }

    /// As [`Dictionary::by_hash`], whatever the cells are.
    fn by_order(column: &Column) -> Option<Dictionary> {
        let cells = (0..column.len()).map(|at| sort_key((column.tag(at), column.words[at])));
        let mut sorted: Vec<((u8, u64), u32)> = cells.zip(0..).collect();
        sorted.sort_unstable();
        // Of each cell the place of the first that is the same; then the code of that one.
        let mut first_of = alloc::vec![0_u32; column.len()];
        for same in sorted.chunk_by(|one, other| one.0 == other.0) {
            same.iter().for_each(|(_, at)| first_of[*at as usize] = same[0].1);
        }
        let mut code_at = alloc::vec![0_u32; column.len()];
        Self::by_first(column, |at, _, next| {
            let first = first_of[at] as usize;
            if first == at {
                code_at[at] = next;
            }
            Some(code_at[first])
        })
        .flatten()
    }

    /// `code_of` gives a cell, at its place, its code: the one in hand if it was not there before. Where it gives none, the
    /// outer `None`; the inner one: too many entries.
    fn by_first(
        column: &Column,
        mut code_of: impl FnMut(usize, (u8, i64), u32) -> Option<u32>,
    ) -> Option<Option<Dictionary>> {
        let mut entries: Vec<(u8, i64)> = Vec::new();
        let mut codes = Vec::with_capacity(column.len());
        let mut before = None;
        for (at, word) in column.words.iter().enumerate() {
            let tag = column.tag(at);
            // What repeats is often what was there just before.
            if let Some((cell, code)) = before
                && cell == (tag, *word)
            {
                codes.push(code);
                continue;
            }
            let code = code_of(at, (tag, *word), entries.len() as u32)?;
            if code as usize == entries.len() {
                if entries.len() == ENTRIES_MAX || is_too_many(entries.len(), at) {
                    return Some(None);
                }
                entries.push((tag, *word));
            }
            codes.push(code);
            before = Some(((tag, *word), code));
        }
        if is_too_many(entries.len(), column.len()) {
            return Some(None);
        }
        let order = order_of(column, &entries);
        let mut place_of = alloc::vec![0_u32; entries.len()];
        order.iter().zip(0..).for_each(|(code, place)| place_of[*code as usize] = place);
        codes.iter_mut().for_each(|code| *code = place_of[*code as usize]);
        let entries = order.iter().map(|code| entries[*code as usize]).collect();
        Some(Some(Dictionary { entries, codes }))
    }

    /// Appends the entries; returns what they take of a reader's budget.
    pub(super) fn append_entries(&self, column: &Column, out: &mut Vec<u8>) -> u64 {
        let of = |kind: u8| {
            let from = self.entries.partition_point(|(tag, _)| *tag < kind);
            let to = self.entries.partition_point(|(tag, _)| *tag <= kind);
            &self.entries[from..to]
        };
        let ints: Vec<i64> = of(INT).iter().map(|(_, word)| *word).collect();
        if !ints.is_empty() {
            append_varint(out, ints.len() as u64);
            let (plan, _) = IntPlan::choose(&ints);
            plan.append(out);
            plan.append_numbers(out, &ints);
        }
        let floats = of(FLOAT);
        if !floats.is_empty() {
            append_varint(out, floats.len() as u64);
            floats.iter().for_each(|(_, bits)| out.extend_from_slice(&bits.to_le_bytes()));
        }
        let shared = if of(BYTES).is_empty() { 0 } else { append_strings(column, of(BYTES), out) };
        (ints.len() + floats.len() + of(BYTES).len()) as u64 + shared
    }
}

/// Too many entries for this many cells: more than a quarter of them, with some to spare.
fn is_too_many(entries: usize, cells: usize) -> bool {
    entries > ENTRIES_SPARE + cells / 4
}

/// Whether hardly any cell of a sample is there twice: then there are more than [`ENTRIES_MAX`], or nearly all differ.
fn is_diverse(column: &Column) -> bool {
    let place = |at: usize| (at as u64 * column.len() as u64 / SAMPLE_CELLS as u64) as usize;
    let is_equal = |a: usize, b: usize| {
        let (kind, word, other) = (column.tag(a), column.words[a], column.words[b]);
        let are_strings = kind == BYTES && column.tag(b) == BYTES;
        match are_strings {
            true => column.bytes(word, &mut [0; 8]) == column.bytes(other, &mut [0; 8]),
            false => kind == column.tag(b) && word == other,
        }
    };
    let hash_of = |at: usize| match column.tag(at) {
        BYTES => hash64(column.bytes(column.words[at], &mut [0; 8])),
        kind => hash(kind, column.words[at]),
    };
    let mut seen = HashTable::<usize>::with_capacity(SAMPLE_CELLS);
    for at in (0..SAMPLE_CELLS).map(place) {
        seen.entry(hash_of(at), |other| is_equal(at, *other), |other| hash_of(*other)).or_insert(at);
    }
    SAMPLE_CELLS - seen.len() < 4
}

/// Entries in their order: by kind, then value.
fn order_of(column: &Column, entries: &[(u8, i64)]) -> Vec<u32> {
    if column.long_count() > 0 {
        let mut order: Vec<u32> = (0..entries.len() as u32).collect();
        order.sort_unstable_by(|a, b| compare(column, entries[*a as usize], entries[*b as usize]));
        return order;
    }
    let mut order: Vec<((u8, u64), u32)> = entries.iter().copied().map(sort_key).zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, code)| code).collect()
}

/// Short strings are in the order of their words; integers are once their sign is turned.
fn sort_key((kind, word): (u8, i64)) -> (u8, u64) {
    (kind, word as u64 ^ if kind == INT { 1 << 63 } else { 0 })
}

#[inline]
fn hash(tag: u8, word: i64) -> u64 {
    let mixed = (word as u64 ^ u64::from(tag) << 60).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

fn compare(column: &Column, a: (u8, i64), b: (u8, i64)) -> core::cmp::Ordering {
    a.0.cmp(&b.0).then_with(|| match a.0 {
        INT => a.1.cmp(&b.1),
        BYTES => {
            let (mut short_a, mut short_b) = ([0; 8], [0; 8]);
            column.bytes(a.1, &mut short_a).cmp(column.bytes(b.1, &mut short_b))
        }
        _ => (a.1 as u64).cmp(&(b.1 as u64)),
    })
}

/// Byte strings in order: how many bytes each shares with the one before, how many follow, and those.
/// Returns how many bytes they share.
fn append_strings(column: &Column, entries: &[(u8, i64)], out: &mut Vec<u8>) -> u64 {
    let (mut shared, mut lengths, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = Vec::new();
    let mut total = 0_u64;
    let mut write = |share: bool| {
        (shared, lengths, rest, before) = Default::default();
        total = 0;
        for (_, word) in entries {
            let mut short = [0; 8];
            let bytes = column.bytes(*word, &mut short);
            let same = bytes.iter().zip(&before).take_while(|(a, b)| share && a == b).count();
            shared.push(same as i64);
            lengths.push((bytes.len() - same) as i64);
            rest.extend_from_slice(&bytes[same..]);
            total += bytes.len() as u64;
            before.clear();
            before.extend_from_slice(bytes);
        }
        total <= SHARED_PREFIX_RATIO * (rest.len() + entries.len()) as u64
    };
    if !write(true) {
        write(false);
    }
    append_varint(out, entries.len() as u64);
    for numbers in [&shared, &lengths] {
        let (plan, _) = IntPlan::choose(numbers);
        plan.append(out);
        plan.append_numbers(out, numbers);
    }
    out.extend_from_slice(&rest);
    shared.iter().map(|same| *same as u64).sum()
}

const _: () = assert!(KINDS == BYTES + 1);

#[cfg(test)]
mod tests {
    use super::super::super::Cursor;
    use super::super::Budget;
    use super::super::blocks::range;
    use super::super::cell::Cell;
    use super::super::entries::Entries;
    use super::*;
    use crate::pace::at_once;

    fn column(cells: &[Cell<'_>]) -> Column {
        let mut column = Column::new(0, 0);
        cells.iter().for_each(|cell| column.push_cell(*cell));
        column
    }

    fn of(column: &mut Column) -> Option<Dictionary> {
        let range_of_ints = (column.kinds == 1 << INT).then(|| range(&column.words));
        at_once(Dictionary::of(column, range_of_ints, &Pace::default()))
    }

    fn round_trip(cells: &[Cell<'_>]) -> usize {
        let mut column = column(cells);
        let dictionary = of(&mut column).unwrap();
        let mut out = Vec::new();
        dictionary.append_entries(&column, &mut out);
        let mut cursor = Cursor::new(&out);
        let entries = Entries::read(column.kinds, &mut cursor, &mut Budget::new(1 << 20)).unwrap();
        assert!(cursor.is_empty());
        for (at, cell) in cells.iter().enumerate() {
            let code = dictionary.codes.get(at).map_or(0, |code| *code as usize);
            assert_eq!(entries.cell(code), Some(*cell));
        }
        assert!(cells.len() < 5 || entries.len() < cells.len());
        out.len()
    }

    #[test]
    fn every_kind_comes_back() {
        let long = b"a string of more than seven bytes";
        let cells = [
            Cell::Bytes(long),
            Cell::Int(7),
            Cell::Null,
            Cell::Bytes(b"JFK"),
            Cell::Bytes(long),
            Cell::Bool(true),
            Cell::Int(-7),
            Cell::Float(1.5),
            Cell::Bytes(b"\xff\0"),
            Cell::Bool(false),
            Cell::Int(i64::MIN),
            Cell::Int(i64::MAX),
            Cell::Bytes(b""),
        ];
        round_trip(&cells);
        round_trip(&[Cell::Null, Cell::Int(3), Cell::Null, Cell::Int(5), Cell::Bool(true), Cell::Int(3)]);
        round_trip(&[Cell::Int(i64::MAX)]);
        assert!(round_trip(&[Cell::Null; 9]) == 0);
    }

    #[test]
    fn names_that_begin_alike_are_stored_once() {
        let names: Vec<alloc::string::String> = (0..1000).map(|n| alloc::format!("sensor/{n:05}")).collect();
        let cells: Vec<Cell<'_>> = names.iter().chain(&names).map(|name| Cell::Bytes(name.as_bytes())).collect();
        assert!(round_trip(&cells) < 2500);
    }

    #[test]
    fn too_many_entries_are_none() {
        let mut column = Column::new(0, 0);
        (0..20_000_i64).for_each(|n| column.push_int(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)));
        assert!(of(&mut column).is_none());
    }

    #[test]
    fn cells_whose_hashes_collide_are_looked_up_by_their_order() {
        // What the hash makes of these differs in its middle only, of which the table looks at nothing.
        let inverse = {
            let golden = 0x9e37_79b9_7f4a_7c15_u64;
            (0..6)
                .fold(golden, |inverse: u64, _| inverse.wrapping_mul(2_u64.wrapping_sub(golden.wrapping_mul(inverse))))
        };
        let colliding = |n: u64| {
            let mixed = n << 20;
            let word = (mixed ^ mixed >> 32).wrapping_mul(inverse) ^ u64::from(INT) << 60;
            assert_eq!(hash(INT, word as i64), mixed);
            word as i64
        };
        let mut chosen = Column::new(0, 0);
        (0..12_000).for_each(|n| chosen.push_int(colliding(n * n % 4001)));
        assert!(Dictionary::by_hash(&chosen).is_none());
        let dictionary = of(&mut chosen).unwrap();
        assert_eq!(dictionary.entries.len(), 2001);
        for (word, code) in chosen.words.iter().zip(&dictionary.codes) {
            assert_eq!(dictionary.entries[*code as usize], (INT, *word));
        }
        // Both ways lead to the same.
        let mut usual = Column::new(0, 0);
        (0..9000_i64).for_each(|n| usual.push_int((n % 1000).wrapping_mul(0x51_7c_c1_b7_27_22_0a_95)));
        let (by_hash, by_order) =
            (Dictionary::by_hash(&usual).unwrap().unwrap(), Dictionary::by_order(&usual).unwrap());
        assert_eq!((by_hash.entries, by_hash.codes), (by_order.entries, by_order.codes));
    }
}
