//! One column: which coding it gets, what of it is shared by all sections, and its cells in one.

use alloc::vec::Vec;

use super::super::{Cursor, Malformed, append_varint};
use super::along::{self, Other, Slope};
use super::blocks::range;
use super::cell::{BITS_OF_BYTE, BYTES, Column, FLOAT, INT, KINDS};
use super::dependent::{Coded, Lists, RowCounts};
use super::dictionary::Dictionary;
use super::entries::Entries;
use super::floats::FloatPlan;
use super::ints::IntPlan;
use super::quotients::Quotients;
use super::{Budget, cells_that_fit, with_room};
use crate::pace::Pace;

/// How a column is written; the order of the variants is the format.
#[derive(Debug)]
enum Coding {
    /// Kinds, integers, doubles, lengths of byte strings and these, each for itself.
    Direct { tags: IntPlan, ints: IntPlan, floats: FloatPlan, lengths: IntPlan },
    /// Codes of the dictionary.
    Codes(IntPlan),
    /// Numbers in the lists of another column of the table.
    Under { parent: usize, lists: Lists, ranks: Vec<u32> },
    /// Doubles that are integers over those of another column of the table, and how far off they are.
    Quotient { divisor: usize, quotients: Quotients, numerators: IntPlan, errors: IntPlan },
    /// Integers that rise with those of another column, and what they have beside a multiple of these.
    Along { other: Other, slope: Slope, rest: Vec<i64>, plan: IntPlan },
}

const DIRECT: u8 = 0;
const CODES: u8 = 1;
const UNDER: u8 = 2;
const QUOTIENT: u8 = 3;
const ALONG: u8 = 4;
/// Flag beside the kinds: as many cells as the table has rows, in every section.
const ALIGNED: u8 = 1 << 7;

/// A column with its plan, ready to be written.
#[derive(Debug)]
pub(super) struct PlannedColumn {
    column: Column,
    aligned: bool,
    coding: Coding,
    dictionary: Option<Dictionary>,
    entries: Vec<u8>,
    /// What the entries take of a reader's budget.
    entries_cells: u64,
    /// Estimated cost of the cells in bits, entries included.
    cost: u64,
    /// Plan and cost with codes of the dictionary.
    by_codes: (IntPlan, u64),
}

impl PlannedColumn {
    /// Plans a column by itself; `rows` are those of its table at the end of each section.
    pub(super) async fn new(mut column: Column, rows: &[usize], pace: &Pace) -> Self {
        let aligned = column.cuts == rows;
        let range_of_ints = (column.kinds == 1 << INT).then(|| range(&column.words));
        let dictionary = Dictionary::of(&mut column, range_of_ints, pace).await;
        pace.spend(8 * column.len() as u64).await;
        let mut planned = PlannedColumn {
            column,
            aligned,
            coding: Coding::Codes(IntPlan::PLAIN),
            dictionary,
            entries: Vec::new(),
            entries_cells: 0,
            cost: u64::MAX,
            by_codes: (IntPlan::PLAIN, u64::MAX),
        };
        if let Some(dictionary) = &planned.dictionary {
            planned.entries_cells = dictionary.append_entries(&planned.column, &mut planned.entries);
            let (plan, cost) = IntPlan::choose_codes(&dictionary.codes, dictionary.entries.len());
            planned.by_codes = (plan, cost + 8 * planned.entries.len() as u64);
            // Byte strings for themselves take their bytes at least: mostly there is nothing to compare.
            if planned.column.is_longer(planned.by_codes.1) {
                (planned.coding, planned.cost) = (Coding::Codes(planned.by_codes.0), planned.by_codes.1);
                planned.column.forget_cells();
                return planned;
            }
        }
        (planned.coding, planned.cost) = Self::direct(&planned.column, range_of_ints);
        pace.spend(planned.words_bytes()).await;
        if planned.by_codes.1 < planned.cost {
            planned.use_codes();
            // Numbers of one kind may be divided, or divide others.
            if planned.column.kinds.count_ones() > 1 {
                planned.column.forget_cells();
            }
        }
        planned
    }

    fn direct(column: &Column, range_of_ints: Option<(i64, i64)>) -> (Coding, u64) {
        let everything = 0..column.len();
        let (tags, mut cost) = match column.tags.is_empty() {
            true => (IntPlan::PLAIN, 0),
            false => IntPlan::choose(&column.tags),
        };
        let (mut ints, mut floats, mut lengths) = (IntPlan::PLAIN, FloatPlan::Shuffled, IntPlan::PLAIN);
        if column.kinds & 1 << INT != 0 {
            let numbers = column.ints(everything.clone());
            let (plan, bits) = IntPlan::choose_within(&numbers, range_of_ints.unwrap_or_else(|| range(&numbers)));
            (ints, cost) = (plan, cost + bits);
        }
        if column.kinds & 1 << FLOAT != 0 {
            let (plan, bits) = FloatPlan::choose(&column.floats(everything.clone()));
            (floats, cost) = (plan, cost + bits);
        }
        if column.kinds & 1 << BYTES != 0 {
            let all = column.lengths(everything);
            let (plan, bits) = IntPlan::choose(&all);
            (lengths, cost) = (plan, cost + bits + BITS_OF_BYTE * all.iter().sum::<i64>() as u64);
        }
        (Coding::Direct { tags, ints, floats, lengths }, cost)
    }

    /// Codes and number of entries, if other columns may be related to it.
    pub(super) fn coded(&self) -> Option<Coded<'_>> {
        let dictionary = self.dictionary.as_ref().filter(|dictionary| self.aligned && dictionary.entries.len() > 1)?;
        Some(Coded { codes: &dictionary.codes, entries: dictionary.entries.len() })
    }

    /// What one look at all its cells goes through.
    pub(super) fn words_bytes(&self) -> u64 {
        8 * self.column.len() as u64
    }

    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// What it costs to have other columns under this one: they need its codes.
    pub(super) fn cost_as_parent(&self) -> u64 {
        match self.coding {
            Coding::Direct { .. } => self.by_codes.1.saturating_sub(self.cost),
            _ => 0,
        }
    }

    /// Writes codes, even if the cells themselves were shorter.
    pub(super) fn use_codes(&mut self) {
        if self.dictionary.is_some() && matches!(self.coding, Coding::Direct { .. }) {
            (self.coding, self.cost) = (Coding::Codes(self.by_codes.0), self.by_codes.1);
        }
    }

    /// Bytes of the dictionary, which a dependent column needs as well.
    pub(super) fn entries_cost(&self) -> u64 {
        8 * self.entries.len() as u64
    }

    /// Puts it under a parent if that is really shorter; whether it is.
    pub(super) fn put_under(&mut self, parent: usize, coded: Coded<'_>, rows: &RowCounts) -> bool {
        let Some(child) = self.coded() else { return false };
        let Some((lists, ranks, bits)) = Lists::build(coded, rows, child, self.cost) else { return false };
        let mut bytes = Vec::new();
        lists.append(&mut bytes);
        let cost = bits + 8 * bytes.len() as u64 + self.entries_cost();
        if cost >= self.cost {
            return false;
        }
        (self.coding, self.cost) = (Coding::Under { parent, lists, ranks }, cost);
        true
    }

    /// Whether it is all doubles, and long.
    pub(super) fn is_undivided(&self) -> bool {
        let is_scaled = matches!(self.coding, Coding::Direct { floats: FloatPlan::Scaled(..), .. });
        // Few different ones are as short as can be.
        let is_long = self.cost > 16 * self.column.len() as u64;
        self.aligned && self.column.kinds == 1 << FLOAT && !is_scaled && is_long
    }

    /// Whether it holds integers, as many as rows.
    pub(super) fn is_of_ints(&self) -> bool {
        self.aligned && self.column.kinds == 1 << INT
    }

    /// Writes doubles as integers over another column's, if that is shorter; whether it is.
    pub(super) fn divide_by(&mut self, divisor: usize, of_divisor: &PlannedColumn) -> bool {
        let Some(quotients) = Quotients::of(&self.column.words, &of_divisor.column.words) else { return false };
        let (numerators, cost) = IntPlan::choose(&quotients.numerators);
        let (errors, cost_of_errors) = IntPlan::choose(&quotients.errors);
        if cost + cost_of_errors >= self.cost {
            return false;
        }
        self.cost = cost + cost_of_errors;
        self.coding = Coding::Quotient { divisor, quotients, numerators, errors };
        // It has no codes now that another column could be under.
        self.dictionary = None;
        true
    }

    /// A sample of its integers, if it has no other cells, and as many as rows.
    pub(super) fn sample_of_ints(&self) -> Option<along::Sample> {
        self.is_of_ints().then(|| along::Sample::of(&self.column.words))
    }

    /// Writes integers beside a multiple of another column's, if that is shorter; whether it is.
    pub(super) fn put_along(&mut self, other: Other, of_other: &PlannedColumn, slope: Slope) -> bool {
        let rest: Vec<i64> = slope.rest(&self.column.words, &of_other.column.words).collect();
        let (plan, cost) = IntPlan::choose(&rest);
        if cost >= self.cost {
            return false;
        }
        (self.coding, self.cost) = (Coding::Along { other, slope, rest, plan }, cost);
        self.dictionary = None;
        true
    }

    /// Appends what all sections share.
    pub(super) fn append_plan(&self, out: &mut Vec<u8>) {
        out.push(self.column.kinds | if self.aligned { ALIGNED } else { 0 });
        match &self.coding {
            Coding::Direct { tags, ints, floats, lengths } => {
                out.push(DIRECT);
                if !self.column.tags.is_empty() {
                    tags.append(out);
                }
                if self.column.kinds & 1 << INT != 0 {
                    ints.append(out);
                }
                if self.column.kinds & 1 << FLOAT != 0 {
                    floats.append(out);
                }
                if self.column.kinds & 1 << BYTES != 0 {
                    lengths.append(out);
                }
            }
            Coding::Codes(plan) => {
                out.push(CODES);
                out.extend_from_slice(&self.entries);
                plan.append(out);
            }
            Coding::Under { parent, lists, .. } => {
                out.push(UNDER);
                out.extend_from_slice(&self.entries);
                append_varint(out, *parent as u64);
                lists.append(out);
            }
            Coding::Quotient { divisor, numerators, errors, .. } => {
                out.push(QUOTIENT);
                append_varint(out, *divisor as u64);
                numerators.append(out);
                errors.append(out);
            }
            Coding::Along { other, slope, plan, .. } => {
                out.push(ALONG);
                other.append(out);
                slope.append(out);
                plan.append(out);
            }
        }
    }

    /// What the plan takes of a reader's budget.
    pub(super) fn plan_cells(&self) -> u64 {
        match &self.coding {
            Coding::Direct { .. } | Coding::Quotient { .. } | Coding::Along { .. } => 1,
            Coding::Codes(_) => 1 + self.entries_cells,
            Coding::Under { lists, .. } => 1 + self.entries_cells + lists.cells(),
        }
    }

    /// Appends the cells of one section, and says how many; `columns` are those of the table.
    pub(super) fn append_cells(&self, section: usize, columns: &[PlannedColumn], out: &mut Vec<u8>) -> usize {
        let from = if section == 0 { 0 } else { self.column.cuts[section - 1] };
        let range = from..self.column.cuts[section];
        let count = range.len();
        if !self.aligned {
            append_varint(out, range.len() as u64);
        }
        match (&self.coding, &self.dictionary) {
            (Coding::Codes(plan), Some(dictionary)) => {
                if dictionary.entries.len() > 1 {
                    plan.append_numbers(out, &dictionary.codes[range]);
                }
            }
            (Coding::Under { parent, lists, ranks }, _) => {
                if let Some(parent) = columns[*parent].coded() {
                    lists.append_ranks(out, &parent.codes[range.clone()], &ranks[range]);
                }
            }
            (Coding::Quotient { quotients, numerators, errors, .. }, _) => {
                numerators.append_numbers(out, &quotients.numerators[range.clone()]);
                errors.append_numbers(out, &quotients.errors[range]);
            }
            (Coding::Along { rest, plan, .. }, _) => plan.append_numbers(out, &rest[range]),
            (Coding::Direct { tags, ints, floats, lengths }, _) => {
                if !self.column.tags.is_empty() {
                    tags.append_numbers(out, &self.column.tags[range.clone()]);
                }
                ints.append_numbers(out, &self.column.ints(range.clone()));
                floats.append_numbers(out, &self.column.floats(range.clone()));
                lengths.append_numbers(out, &self.column.lengths(range.clone()));
                for word in self.column.words_of(range, BYTES) {
                    out.extend_from_slice(self.column.bytes(word, &mut [0; 8]));
                }
            }
            (Coding::Codes(_), None) => unreachable!("codes come from a dictionary"),
        }
        count
    }

    /// The column of its table that must be read before it, if there is one.
    pub(super) fn parent(&self) -> Option<usize> {
        match &self.coding {
            Coding::Under { parent, .. }
            | Coding::Quotient { divisor: parent, .. }
            | Coding::Along { other: Other { table: None, column: parent }, .. } => Some(*parent),
            _ => None,
        }
    }

    /// The column whose codes it needs, if there is one.
    pub(super) fn coded_parent(&self) -> Option<usize> {
        if let Coding::Under { parent, .. } = &self.coding { Some(*parent) } else { None }
    }
}

/// What all sections share of a column, as it was read.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    kinds: u8,
    aligned: bool,
    coding: Coding,
    pub(super) entries: Entries,
}

/// A column that others follow from is not there, or not what they follow from.
pub(super) fn no_integers() -> Malformed {
    Malformed::new("a column follows from one without as many integers")
}

/// The cells of a column in one section.
#[derive(Debug)]
pub(super) enum Cells<'a> {
    /// Places among the entries of the plan.
    Codes(Vec<u32>),
    /// All of them the first entry.
    Same(usize),
    /// As they are: kinds, unless there is only one; then what each kind has.
    Direct {
        count: usize,
        tags: Vec<u8>,
        kind: u8,
        ints: Vec<i64>,
        floats: Vec<f64>,
        lengths: Vec<i64>,
        text: &'a [u8],
    },
}

impl Cells<'_> {
    pub(super) fn count(&self) -> usize {
        match self {
            Cells::Codes(codes) => codes.len(),
            Cells::Same(count) | Cells::Direct { count, .. } => *count,
        }
    }

    /// All of them: integers, and so many.
    pub(super) fn to_ints(&self, count: usize, entries: &Entries) -> Result<Vec<i64>, Malformed> {
        if self.count() != count {
            return Err(no_integers());
        }
        let int_of = |entry: usize| entries.int(entry).ok_or_else(no_integers);
        let mut all = with_room(count)?;
        match self {
            Cells::Codes(codes) => {
                for code in codes {
                    all.push(int_of(*code as usize)?);
                }
            }
            Cells::Same(_) => all.resize(count, int_of(0)?),
            Cells::Direct { tags, ints, .. } if tags.is_empty() && ints.len() == count => all.extend_from_slice(ints),
            Cells::Direct { .. } => return Err(no_integers()),
        }
        Ok(all)
    }
}

impl ColumnPlan {
    /// Reads a plan; `entries_of` tells of a column read before it the number of entries, if it has codes.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        entries_of: impl Fn(usize) -> Option<Option<usize>>,
        budget: &mut Budget,
    ) -> Result<Self, Malformed> {
        let byte = cursor.byte()?;
        let (kinds, aligned) = (byte & !ALIGNED, byte & ALIGNED != 0);
        if kinds >> KINDS != 0 {
            return Err(Malformed::new("unknown kind of cell"));
        }
        let coding = cursor.byte()?;
        let mut entries = Entries::default();
        let coding = match coding {
            DIRECT => Coding::Direct {
                tags: if kinds.count_ones() > 1 { IntPlan::read(cursor)? } else { IntPlan::PLAIN },
                ints: if kinds & 1 << INT != 0 { IntPlan::read(cursor)? } else { IntPlan::PLAIN },
                floats: if kinds & 1 << FLOAT != 0 { FloatPlan::read(cursor)? } else { FloatPlan::Shuffled },
                lengths: if kinds & 1 << BYTES != 0 { IntPlan::read(cursor)? } else { IntPlan::PLAIN },
            },
            CODES => {
                entries = Entries::read(kinds, cursor, budget)?;
                Coding::Codes(IntPlan::read(cursor)?)
            }
            UNDER => {
                entries = Entries::read(kinds, cursor, budget)?;
                let parent = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
                let parents = entries_of(parent)
                    .flatten()
                    .filter(|_| aligned)
                    .ok_or_else(|| Malformed::new("a column depends on one that is not before it"))?;
                let lists = Lists::read(cursor, parents, entries.len(), budget)?;
                Coding::Under { parent, lists, ranks: Vec::new() }
            }
            QUOTIENT if kinds == 1 << FLOAT && aligned => {
                let divisor = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
                entries_of(divisor).ok_or_else(|| Malformed::new("a column depends on one that is not before it"))?;
                let (numerators, errors) = (IntPlan::read(cursor)?, IntPlan::read(cursor)?);
                Coding::Quotient { divisor, quotients: Quotients::default(), numerators, errors }
            }
            ALONG if kinds == 1 << INT && aligned => {
                // Whether it is there shows once the cells are read.
                let (other, slope) = (Other::read(cursor)?, Slope::read(cursor)?);
                Coding::Along { other, slope, rest: Vec::new(), plan: IntPlan::read(cursor)? }
            }
            _ => return Err(Malformed::new("unknown coding of a column")),
        };
        Ok(ColumnPlan { kinds, aligned, coding, entries })
    }

    /// Number of entries, if other columns may depend on it.
    pub(super) fn entries_as_parent(&self) -> Option<usize> {
        let has_codes = matches!(self.coding, Coding::Codes(_) | Coding::Under { .. });
        (self.aligned && has_codes).then(|| self.entries.len())
    }

    /// Reads the cells of one section; `before` are those of the columns of its table read before it, `ints_of` gives
    /// them, and those of tables before, as so many integers.
    pub(super) fn read_cells<'a>(
        &self,
        rows: usize,
        before: &[Option<Cells<'a>>],
        ints_of: impl Fn(Other, usize) -> Result<Vec<i64>, Malformed>,
        cursor: &mut Cursor<'a>,
        budget: &mut Budget,
    ) -> Result<Cells<'a>, Malformed> {
        let count = if self.aligned { rows as u64 } else { cursor.varint()? };
        let count = cells_that_fit(count, budget)?;
        match &self.coding {
            Coding::Codes(_) if self.entries.len() == 1 => Ok(Cells::Same(count)),
            Coding::Codes(plan) => Ok(Cells::Codes(plan.read_codes(cursor, count, self.entries.len())?)),
            Coding::Under { parent, lists, .. } => match before.get(*parent) {
                Some(Some(Cells::Codes(parent))) => Ok(Cells::Codes(lists.read_codes(cursor, parent)?)),
                _ => Err(Malformed::new("a column depends on one without codes")),
            },
            Coding::Quotient { divisor, numerators, errors, .. } => {
                let numerators = numerators.read_numbers(cursor, count)?;
                let errors = errors.read_numbers(cursor, count)?;
                let divisors = ints_of(Other { table: None, column: *divisor }, count)?;
                let floats = Quotients { numerators, errors }.to_floats(&divisors)?;
                let (tags, ints, lengths) = (Vec::new(), Vec::new(), Vec::new());
                Ok(Cells::Direct { count, tags, kind: FLOAT, ints, floats, lengths, text: &[] })
            }
            Coding::Along { other, slope, plan, .. } => {
                let mut ints = plan.read_numbers(cursor, count)?;
                slope.add(&mut ints, &ints_of(*other, count)?);
                let (tags, floats, lengths) = (Vec::new(), Vec::new(), Vec::new());
                Ok(Cells::Direct { count, tags, kind: INT, ints, floats, lengths, text: &[] })
            }
            Coding::Direct { tags, ints, floats, lengths } => {
                self.read_direct(count, [tags, ints, lengths], floats, cursor, budget)
            }
        }
    }

    fn read_direct<'a>(
        &self,
        count: usize,
        [tags, ints, lengths]: [&IntPlan; 3],
        floats: &FloatPlan,
        cursor: &mut Cursor<'a>,
        budget: &mut Budget,
    ) -> Result<Cells<'a>, Malformed> {
        let mut kinds = Vec::new();
        let mut counts = [0; KINDS as usize];
        if self.kinds.count_ones() > 1 {
            kinds = with_room(count)?;
            for tag in tags.read_numbers(cursor, count)? {
                let tag = u8::try_from(tag).ok().filter(|tag| *tag < KINDS && self.kinds & 1 << tag != 0);
                let tag = tag.ok_or_else(|| Malformed::new("unknown kind of cell"))?;
                counts[usize::from(tag)] += 1;
                kinds.push(tag);
            }
        } else if self.kinds != 0 {
            counts[self.kinds.trailing_zeros() as usize] = count;
        } else if count > 0 {
            return Err(Malformed::new("cells of no kind"));
        }
        let ints = ints.read_numbers(cursor, counts[usize::from(INT)])?;
        let floats = floats.read_numbers(cursor, counts[usize::from(FLOAT)])?;
        let lengths = lengths.read_numbers(cursor, counts[usize::from(BYTES)])?;
        let total = lengths.iter().try_fold(0_u64, |sum, length| sum.checked_add(u64::try_from(*length).ok()?));
        let total = total.ok_or_else(|| Malformed::new("lengths of byte strings are out of range"))?;
        budget.take(total)?;
        let text = cursor.take(total)?;
        let kind = if self.kinds == 0 { 0 } else { self.kinds.trailing_zeros() as u8 };
        Ok(Cells::Direct { count, tags: kinds, kind, ints, floats, lengths, text })
    }
}
