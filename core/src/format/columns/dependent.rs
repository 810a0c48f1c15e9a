//! Columns that follow from another one: for each code of the parent the codes seen beside it, and
//! for each cell its number in that list, in just as many bits as the list needs.
//!
//! A distance follows from its destination, an hour from a time of day: such columns take hardly any
//! bits. The idea is that of correlation-aware compression (H. Liu et al., *Corra*, 2024; A. Glas
//! et al., *C3: Compressing Correlated Columns*, 2024).

use alloc::vec::Vec;

use super::super::{Cursor, Malformed};
use super::bits::{BitReader, BitWriter, bit_width};
use super::ints::IntPlan;
use super::{Budget, cells_that_fit, with_room};

/// After so many rows it is looked at whether to go on.
const PART_ROWS: usize = 4096;
/// So many possible pairs have a place each.
const ALL_PAIRS_MAX: usize = 1 << 16;
/// Rows of the sample on which pairs of columns are judged.
pub(super) const SAMPLE_ROWS: usize = 2048;

/// The children of each parent code.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Where the list of each parent code ends.
    ends: Vec<u32>,
    children: Vec<u32>,
}

/// Rows in the order of their parent codes, to go through each list in one piece.
#[derive(Debug)]
struct ByParent {
    /// Rows, grouped by parent code; within a group as they came.
    rows: Vec<u32>,
    ends: Vec<u32>,
}

impl ByParent {
    fn new(codes: &[u32], entries: usize) -> Self {
        let mut ends = alloc::vec![0_u32; entries + 1];
        codes.iter().for_each(|code| ends[*code as usize + 1] += 1);
        for code in 0..entries {
            ends[code + 1] += ends[code];
        }
        // Now the start of each; filling moves it to the end.
        let mut rows = alloc::vec![0_u32; codes.len()];
        for (row, code) in codes.iter().enumerate() {
            let place = &mut ends[*code as usize];
            rows[*place as usize] = row as u32;
            *place += 1;
        }
        ends.pop();
        ByParent { rows, ends }
    }

    /// Calls with the rows of each parent code.
    fn for_each(&self, mut each: impl FnMut(&[u32])) {
        let mut from = 0;
        for to in &self.ends {
            each(&self.rows[from as usize..*to as usize]);
            from = *to;
        }
    }
}

/// Codes of a column with the number of its entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coded<'a> {
    pub(super) codes: &'a [u32],
    pub(super) entries: usize,
}

/// How many rows have each code of a column.
#[derive(Debug)]
pub(super) struct RowCounts(Vec<u32>);

impl RowCounts {
    pub(super) fn new(column: Coded<'_>) -> Self {
        let mut counts = alloc::vec![0; column.entries];
        column.codes.iter().for_each(|code| counts[*code as usize] += 1);
        RowCounts(counts)
    }
}

impl Lists {
    /// The lists of a child under a parent, the number of each row in its list, and the bits that these take.
    /// `None` once it shows that all of it will hardly take less than `cost` bits.
    pub(super) fn build(
        parent: Coded<'_>,
        rows: &RowCounts,
        child: Coded<'_>,
        cost: u64,
    ) -> Option<(Lists, Vec<u32>, u64)> {
        let mut pairs = Pairs::new(parent.entries, child.entries, child.codes.len());
        let mut lens = alloc::vec![0_u32; parent.entries];
        // Each pair once: parent, child. Its number in the parent's list follows from the order.
        let mut seen: Vec<(u32, u32)> = Vec::new();
        let mut ranks = Vec::with_capacity(child.codes.len());
        let entry_bits = u64::from(bit_width(child.entries as u64));
        let all_rows = child.codes.len() as u64;
        let parts = parent.codes.chunks(PART_ROWS).zip(child.codes.chunks(PART_ROWS));
        for (parents, children) in parts {
            for (parent, child) in parents.iter().zip(children) {
                ranks.push(pairs.rank_of(*parent, *child, || {
                    seen.push((*parent, *child));
                    let len = &mut lens[*parent as usize];
                    *len += 1;
                    *len - 1
                }));
            }
            // Where there is a relation most pairs turn up early; where there is none they go on as they began.
            let bits = seen.len() as u64 * entry_bits;
            if bits > cost * 3 / 20 + cost * 2 / 5 * ranks.len() as u64 / all_rows {
                return None;
            }
        }
        let (mut ends, mut end, mut bits) = (Vec::with_capacity(lens.len()), 0, 0);
        for (len, rows) in lens.iter().zip(&rows.0) {
            bits += u64::from(rank_width(*len as usize)) * u64::from(*rows);
            ends.push(end);
            end += len;
        }
        let mut children = alloc::vec![0; seen.len()];
        for (parent, child) in seen {
            // Begins are moved to ends.
            let place = &mut ends[parent as usize];
            children[*place as usize] = child;
            *place += 1;
        }
        Some((Lists { ends, children }, ranks, bits))
    }

    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let mut from = 0;
        let lengths: Vec<i64> = self
            .ends
            .iter()
            .map(|end| {
                let length = end - from;
                from = *end;
                i64::from(length)
            })
            .collect();
        let children: Vec<i64> = self.children.iter().map(|child| i64::from(*child)).collect();
        for numbers in [&lengths, &children] {
            let (plan, _) = IntPlan::choose(numbers);
            plan.append(out);
            plan.append_numbers(out, numbers);
        }
    }

    /// What they take of a reader's budget.
    pub(super) fn cells(&self) -> u64 {
        (self.ends.len() + self.children.len()) as u64
    }

    /// Reads the lists of a parent of so many entries.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        parents: usize,
        children: usize,
        budget: &mut Budget,
    ) -> Result<Lists, Malformed> {
        let plan = IntPlan::read(cursor)?;
        // Again for each child: many of them must not ask for the lengths of a large parent.
        let lengths = plan.read_numbers(cursor, cells_that_fit(parents as u64, budget)?)?;
        let (mut ends, mut end) = (Vec::with_capacity(parents), 0_u32);
        for length in lengths {
            end = u32::try_from(length)
                .ok()
                .and_then(|length| end.checked_add(length))
                .ok_or_else(|| Malformed::new("a list of a dependent column is too long"))?;
            ends.push(end);
        }
        let count = cells_that_fit(u64::from(end), budget)?;
        let plan = IntPlan::read(cursor)?;
        let codes = plan.read_numbers(cursor, count)?;
        let in_range = |code: i64| u32::try_from(code).ok().filter(|code| (*code as usize) < children);
        let codes: Option<Vec<u32>> = codes.into_iter().map(in_range).collect();
        let children = codes.ok_or_else(|| Malformed::new("a dependent column names an entry that is not there"))?;
        Ok(Lists { ends, children })
    }

    fn list(&self, parent: u32) -> &[u32] {
        let parent = parent as usize;
        let from = if parent == 0 { 0 } else { self.ends.get(parent - 1).copied().unwrap_or(0) };
        let to = self.ends.get(parent).copied().unwrap_or(from);
        self.children.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Appends the ranks of one section, under the parent's codes of that section.
    pub(super) fn append_ranks(&self, out: &mut Vec<u8>, parent: &[u32], ranks: &[u32]) {
        let widths = self.widths();
        let mut writer = BitWriter::new(out);
        for (parent, rank) in parent.iter().zip(ranks) {
            let width = u32::from(widths[*parent as usize]);
            if width > 0 {
                writer.push(u64::from(*rank), width);
            }
        }
        writer.finish();
    }

    /// Reads the codes of one section, under the parent's.
    pub(super) fn read_codes(&self, cursor: &mut Cursor<'_>, parent: &[u32]) -> Result<Vec<u32>, Malformed> {
        let mut reader = BitReader::new(cursor.rest());
        let mut codes = with_room(parent.len())?;
        for parent in parent {
            let list = self.list(*parent);
            let width = rank_width(list.len());
            let rank = if width == 0 { 0 } else { reader.take(width) };
            let code = list.get(rank as usize);
            codes.push(*code.ok_or_else(|| Malformed::new("a dependent column has a number beyond its list"))?);
        }
        let taken = reader.finish()?;
        cursor.take(taken as u64)?;
        Ok(codes)
    }

    fn widths(&self) -> Vec<u8> {
        (0..self.ends.len() as u32).map(|parent| rank_width(self.list(parent).len()) as u8).collect()
    }
}

/// Pairs of codes, each below 2^16, with the number of the child in its parent's list.
enum Pairs {
    /// A place for each possible pair: number plus one, 0 if it was not seen.
    All { numbers: Vec<u32>, children: usize },
    /// Those that were seen.
    Seen(PairTable),
}

impl Pairs {
    fn new(parents: usize, children: usize, rows: usize) -> Self {
        match parents.checked_mul(children).filter(|pairs| *pairs <= ALL_PAIRS_MAX) {
            Some(pairs) => Pairs::All { numbers: alloc::vec![0; pairs], children },
            None => Pairs::Seen(PairTable::new(rows)),
        }
    }

    #[inline]
    fn rank_of(&mut self, parent: u32, child: u32, new: impl FnOnce() -> u32) -> u32 {
        match self {
            Pairs::All { numbers, children } => {
                let number = &mut numbers[parent as usize * *children + child as usize];
                if *number == 0 {
                    *number = new() + 1;
                }
                *number - 1
            }
            Pairs::Seen(table) => table.rank_of(parent, child, new),
        }
    }
}

/// Pair plus one in the upper bits, number in the lower 16; 0 is free.
struct PairTable {
    slots: Vec<u64>,
    len: usize,
}

impl PairTable {
    /// Of so many rows: mostly there is a pair for every few of them, else columns are not this long together.
    fn new(rows: usize) -> Self {
        PairTable { slots: alloc::vec![0; (rows / 4).next_power_of_two().clamp(8192, 1 << 17)], len: 0 }
    }

    #[inline]
    fn rank_of(&mut self, parent: u32, child: u32, new: impl FnOnce() -> u32) -> u32 {
        let pair = (u64::from(parent) << 16 | u64::from(child)) + 1;
        let mut at = self.place(pair);
        loop {
            let slot = self.slots[at];
            if slot >> 16 == pair {
                return slot as u32 & 0xffff;
            }
            if slot == 0 {
                let rank = new();
                self.slots[at] = pair << 16 | u64::from(rank);
                self.len += 1;
                if 3 * self.len > 2 * self.slots.len() {
                    self.grow();
                }
                return rank;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn place(&self, pair: u64) -> usize {
        (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.slots.len() - 1)
    }

    #[cold]
    fn grow(&mut self) {
        let slots = alloc::vec![0; 2 * self.slots.len()];
        for slot in core::mem::replace(&mut self.slots, slots) {
            if slot != 0 {
                let mut at = self.place(slot >> 16);
                while self.slots[at] != 0 {
                    at = (at + 1) & (self.slots.len() - 1);
                }
                self.slots[at] = slot;
            }
        }
    }
}

/// Bits of a place in a list.
#[inline]
fn rank_width(len: usize) -> u32 {
    bit_width((len as u64).saturating_sub(1))
}

/// Codes of a column at a few rows spread evenly, and at half as many.
#[derive(Debug)]
pub(super) struct Sample {
    codes: [Vec<u32>; 2],
    entries: usize,
    rows: usize,
}

/// A sampled column as a parent.
#[derive(Debug)]
pub(super) struct SampledParent {
    by_parent: [ByParent; 2],
    entries: usize,
}

impl Sample {
    pub(super) fn of(column: Coded<'_>) -> Self {
        let rows = column.codes.len();
        let take = |sampled: usize| {
            (0..sampled).map(|at| column.codes[(at as u64 * rows as u64 / sampled as u64) as usize]).collect()
        };
        let sampled = rows.min(SAMPLE_ROWS);
        Sample { codes: [take(sampled / 2), take(sampled)], entries: column.entries, rows }
    }

    pub(super) fn as_parent(&self) -> SampledParent {
        let by_parent = self.codes.each_ref().map(|codes| ByParent::new(codes, self.entries));
        SampledParent { by_parent, entries: self.entries }
    }
}

impl SampledParent {
    /// Bits that a child would take for all its rows: numbers in the lists, and the lists, as far as
    /// they will have grown.
    pub(super) fn estimate(&self, child: &Sample, place: &mut Vec<u32>) -> u64 {
        let count = |half: usize, place: &mut Vec<u32>| {
            let coded = Coded { codes: &child.codes[half], entries: child.entries };
            count_pairs(&self.by_parent[half], coded, place)
        };
        let ((half_pairs, half_bits), (pairs, bits)) = (count(0, place), count(1, place));
        let sampled = child.codes[1].len();
        let mut pairs = pairs as f64;
        let mut bits_a_row = bits as f64 / sampled.max(1) as f64;
        // Pairs keep turning up as they did when the sample doubled, less often each time.
        let mut growth = pairs / half_pairs.max(1) as f64 - 1.0;
        let mut widening = (bits_a_row - half_bits as f64 / (sampled / 2).max(1) as f64).max(0.0);
        let mut at = sampled;
        while at < child.rows && sampled > 0 {
            let part = if child.rows - at < at { (child.rows - at) as f64 / at as f64 } else { 1.0 };
            pairs *= 1.0 + growth * part;
            bits_a_row += widening * part;
            growth *= 0.9;
            widening *= 0.97;
            at *= 2;
        }
        let entry_bits = f64::from(bit_width(child.entries as u64));
        (bits_a_row * child.rows as f64 + pairs * entry_bits + 4.0 * self.entries as f64) as u64
    }
}

/// Different pairs, and the bits of the children's numbers.
fn count_pairs(parent: &ByParent, child: Coded<'_>, place: &mut Vec<u32>) -> (usize, u64) {
    // The list a code was last seen in.
    place.clear();
    place.resize(child.entries, u32::MAX);
    let (mut different, mut bits, mut list) = (0, 0, 0);
    parent.for_each(|rows| {
        let mut len = 0;
        for row in rows {
            let seen = &mut place[child.codes[*row as usize] as usize];
            len += usize::from(*seen != list);
            *seen = list;
        }
        list += 1;
        different += len;
        bits += u64::from(rank_width(len)) * rows.len() as u64;
    });
    (different, bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_another_column_takes_few_bits() {
        let parent: Vec<u32> = (0..5000).map(|n| n * 7919 % 97).collect();
        let child: Vec<u32> = parent.iter().zip(0..).map(|(code, n)| code / 5 + u32::from(n % 100 == 0)).collect();
        let coded = Coded { codes: &child, entries: 21 };
        let of_parent = Coded { codes: &parent, entries: 97 };
        let (lists, ranks, bits) = Lists::build(of_parent, &RowCounts::new(of_parent), coded, 1 << 20).unwrap();
        assert!(bits <= 5000, "{bits}");
        let (mut plan, mut out) = (Vec::new(), Vec::new());
        lists.append(&mut plan);
        lists.append_ranks(&mut out, &parent[..3000], &ranks[..3000]);
        lists.append_ranks(&mut out, &parent[3000..], &ranks[3000..]);
        let read = Lists::read(&mut Cursor::new(&plan), 97, 21, &mut Budget::new(1000)).unwrap();
        let mut cursor = Cursor::new(&out);
        assert_eq!(read.read_codes(&mut cursor, &parent[..3000]).unwrap(), child[..3000]);
        assert_eq!(read.read_codes(&mut cursor, &parent[3000..]).unwrap(), child[3000..]);
        assert!(cursor.is_empty());
        assert!(Lists::read(&mut Cursor::new(&plan), 97, 19, &mut Budget::new(1000)).is_err());
        assert!(read.read_codes(&mut Cursor::new(&out[..10]), &parent).is_err());
        let parent = Sample::of(of_parent).as_parent();
        let estimated = parent.estimate(&Sample::of(coded), &mut Vec::new());
        assert!(estimated < 10_000, "{estimated}");
    }
}
