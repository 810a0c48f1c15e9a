//! FORMAT.md, "Columns": plan and cells of a section.

use std::collections::{BTreeMap, VecDeque};

use super::bytes::Bytes;
use super::numbers::{Bits, Doubles, Integers};
use super::seen::see;

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Bytes,
    Words(usize),
    Values(u64),
}

/// "Plan".
pub struct Plan {
    pub keys: Shape,
    pub values: Shape,
    tables: Vec<Table>,
    /// What the bound of "Bounds" counts.
    pub cells: u64,
}

struct Table {
    number: u64,
    /// In the order in which they are written.
    columns: Vec<Column>,
}

struct Column {
    number: u64,
    kinds: u8,
    aligned: bool,
    coding: Coding,
    /// Of the dictionary.
    entries: Vec<Cell>,
}

enum Coding {
    Direct { kinds: Option<Integers>, ints: Option<Integers>, doubles: Option<Doubles>, lengths: Option<Integers> },
    Codes(Integers),
    Under { parent: u64, lists: Vec<Vec<usize>> },
    Quotients { divisor: u64, numerators: Integers, errors: Integers },
    Along { table: Option<u64>, other: u64, factor: i64, shift: u8, rest: Integers },
}

impl Shape {
    fn read(bytes: &mut Bytes<'_>) -> Self {
        let shape = match (bytes.u8(), bytes.uint()) {
            (0, 0) => Shape::Bytes,
            (1, len) if len <= 64 => Shape::Words(len as usize),
            (2, count) if count <= 64 => Shape::Values(count),
            other => panic!("shape {other:?}"),
        };
        see(format!("shape {}", ["bytes", "words", "values"][shape.number()]));
        shape
    }

    fn number(self) -> usize {
        match self {
            Shape::Bytes => 0,
            Shape::Words(_) => 1,
            Shape::Values(_) => 2,
        }
    }
}

impl Plan {
    pub fn read(bytes: &mut Bytes<'_>) -> Self {
        let (keys, values) = (Shape::read(bytes), Shape::read(bytes));
        assert!(!matches!(values, Shape::Values(_)));
        let mut cells = 0;
        let tables = bytes.list(|bytes| {
            let number = bytes.uint();
            let count = bytes.uint();
            let mut columns = Vec::new();
            for _ in 0..count {
                let column = Column::read(bytes, &columns, &mut cells);
                columns.push(column);
            }
            let mut numbers: Vec<u64> = columns.iter().map(|column| column.number).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, Vec::from_iter(0..count));
            Table { number, columns }
        });
        assert!(tables.is_sorted_by(|a, b| a.number < b.number) && tables.iter().all(|table| table.number < 8208));
        Plan { keys, values, tables, cells }
    }

    /// "Cells": by table and column.
    pub fn cells(&self, mut bytes: Bytes<'_>) -> BTreeMap<(u64, u64), VecDeque<Cell>> {
        let mut cells = BTreeMap::new();
        for table in &self.tables {
            let rows = bytes.uint() as usize;
            let mut places = BTreeMap::new();
            for column in &table.columns {
                let count = if column.aligned { rows } else { bytes.uint() as usize };
                let read: VecDeque<Cell> = match &column.coding {
                    Coding::Quotients { divisor, numerators, errors } => {
                        let divisors = &cells[&(table.number, *divisor)];
                        quotients(&mut bytes, divisors, numerators, errors)
                    }
                    Coding::Along { table: before, other, factor, shift, rest } => {
                        let others = &cells[&(before.unwrap_or(table.number), *other)];
                        along(&mut bytes, others, (*factor, *shift), rest)
                    }
                    _ => column.cells(&mut bytes, count, &mut places).into(),
                };
                assert_eq!(read.len(), count);
                cells.insert((table.number, column.number), read);
            }
        }
        bytes.end();
        cells
    }
}

impl Column {
    fn has(kinds: u8, kind: u8) -> bool {
        kinds & 1 << kind != 0
    }

    fn read(bytes: &mut Bytes<'_>, before: &[Column], plan_cells: &mut u64) -> Self {
        let (number, byte, coding) = (bytes.uint(), bytes.u8(), bytes.u8());
        let (kinds, aligned) = (byte & 0x3f, byte & 0x80 != 0);
        assert_eq!(byte & 0x40, 0);
        *plan_cells += 1;
        see(["direct", "codes", "under", "quotients", "along"][usize::from(coding)]);
        see(if aligned { "aligned" } else { "not aligned" });
        let entries = if matches!(coding, 1 | 2) { dictionary(bytes, kinds, plan_cells) } else { Vec::new() };
        let coding = match coding {
            0 => {
                let mut plan = |has: bool| has.then(|| Integers::plan(bytes));
                let (kinds_plan, ints) = (plan(kinds.count_ones() > 1), plan(Self::has(kinds, 3)));
                let doubles = Self::has(kinds, 4).then(|| Doubles::plan(bytes));
                let lengths = Self::has(kinds, 5).then(|| Integers::plan(bytes));
                Coding::Direct { kinds: kinds_plan, ints, doubles, lengths }
            }
            1 => Coding::Codes(Integers::plan(bytes)),
            3 => {
                let divisor = bytes.uint();
                assert!(aligned && kinds == 1 << 4 && before.iter().any(|column| column.number == divisor));
                Coding::Quotients { divisor, numerators: Integers::plan(bytes), errors: Integers::plan(bytes) }
            }
            4 => {
                let (table, other) = (bytes.option(Bytes::uint), bytes.uint());
                assert!(aligned && kinds == 1 << 3);
                match table {
                    Some(_) => see("along a column of another table"),
                    None => assert!(before.iter().any(|column| column.number == other)),
                }
                let (factor, shift) = (bytes.int(), bytes.u8());
                assert!(shift < 64);
                Coding::Along { table, other, factor, shift, rest: Integers::plan(bytes) }
            }
            _ => {
                let parent = bytes.uint();
                let of = before.iter().find(|column| column.number == parent).unwrap();
                assert!(aligned && of.aligned && of.entries.len() > 1);
                let lengths = Integers::plan(bytes).read(bytes, of.entries.len());
                let total = lengths.iter().sum::<i64>() as usize;
                let mut items = Integers::plan(bytes).read(bytes, total).into_iter();
                *plan_cells += (lengths.len() + total) as u64;
                let list = |len: i64| items.by_ref().take(len as usize).map(|item| item as usize).collect();
                Coding::Under { parent, lists: lengths.into_iter().map(list).collect() }
            }
        };
        Column { number, kinds, aligned, coding, entries }
    }

    /// `places` has the entries of the columns before, by row.
    fn cells(&self, bytes: &mut Bytes<'_>, count: usize, places: &mut BTreeMap<u64, Vec<usize>>) -> Vec<Cell> {
        let codes: Vec<usize> = match &self.coding {
            Coding::Direct { .. } => return self.direct(bytes, count),
            Coding::Quotients { .. } | Coding::Along { .. } => unreachable!("they are of two columns"),
            Coding::Codes(_) if self.entries.len() == 1 => vec![0; count],
            Coding::Codes(plan) => plan.read(bytes, count).into_iter().map(|code| code as usize).collect(),
            Coding::Under { parent, lists } => {
                let mut bits = Bits::new(bytes);
                let mut code = |of: &usize| {
                    let list = &lists[*of];
                    let width = usize::BITS - (list.len() - 1).leading_zeros();
                    list[bits.take(width as usize) as usize]
                };
                places[parent].iter().map(&mut code).collect()
            }
        };
        let cells = codes.iter().map(|code| self.entries[*code].clone()).collect();
        places.insert(self.number, codes);
        cells
    }

    fn direct(&self, bytes: &mut Bytes<'_>, count: usize) -> Vec<Cell> {
        let Coding::Direct { kinds, ints, doubles, lengths } = &self.coding else { unreachable!() };
        let of_cells: Vec<u8> = match kinds {
            Some(plan) => {
                see("direct, kinds");
                plan.read(bytes, count).into_iter().map(|kind| kind as u8).collect()
            }
            None => vec![self.kinds.trailing_zeros() as u8; count],
        };
        assert!(of_cells.iter().all(|kind| Self::has(self.kinds, *kind)));
        let how_many = |kind: u8| of_cells.iter().filter(|of| **of == kind).count();
        let read = |plan: &Option<Integers>, bytes: &mut Bytes<'_>, kind| {
            plan.as_ref().map_or(Vec::new(), |plan| plan.read(bytes, how_many(kind)))
        };
        let mut ints = read(ints, bytes, 3).into_iter();
        let mut doubles = doubles.as_ref().map_or(Vec::new(), |plan| plan.read(bytes, how_many(4))).into_iter();
        let mut lengths = read(lengths, bytes, 5).into_iter();
        let cell = |kind: u8| match kind {
            0 => Cell::Null,
            1 => Cell::Bool(false),
            2 => Cell::Bool(true),
            3 => Cell::Int(ints.next().unwrap()),
            4 => Cell::Double(doubles.next().unwrap()),
            _ => Cell::Bytes(bytes.take(lengths.next().unwrap() as usize).to_vec()),
        };
        of_cells.into_iter().map(cell).collect()
    }
}

/// "Quotients".
fn quotients(
    bytes: &mut Bytes<'_>,
    divisors: &VecDeque<Cell>,
    numerators: &Integers,
    errors: &Integers,
) -> VecDeque<Cell> {
    let numerators = numerators.read(bytes, divisors.len());
    let errors = errors.read(bytes, divisors.len());
    if errors.iter().any(|error| *error != 0) {
        see("errors of quotients");
    }
    let quotient = |((divisor, numerator), error): ((&Cell, i64), i64)| match divisor {
        Cell::Int(divisor) => {
            let divisor = if *divisor == 0 { 1 } else { *divisor };
            let bits = (numerator as f64 / divisor as f64).to_bits();
            Cell::Double(f64::from_bits(bits.wrapping_add(error as u64)))
        }
        other => panic!("{other:?} is no divisor"),
    };
    divisors.iter().zip(numerators).zip(errors).map(quotient).collect()
}

/// "Along another column".
fn along(
    bytes: &mut Bytes<'_>,
    others: &VecDeque<Cell>,
    (factor, shift): (i64, u8),
    rest: &Integers,
) -> VecDeque<Cell> {
    let rest = rest.read(bytes, others.len());
    let cell = |(other, rest): (&Cell, i64)| match other {
        Cell::Int(other) => Cell::Int((other.wrapping_mul(factor) >> shift).wrapping_add(rest)),
        other => panic!("nothing is along {other:?}"),
    };
    others.iter().zip(rest).map(cell).collect()
}

/// "Dictionaries".
fn dictionary(bytes: &mut Bytes<'_>, kinds: u8, plan_cells: &mut u64) -> Vec<Cell> {
    let scalars = [Cell::Null, Cell::Bool(false), Cell::Bool(true)].into_iter().zip(0..);
    let mut entries: Vec<Cell> = scalars.filter(|(_, kind)| Column::has(kinds, *kind)).map(|(cell, _)| cell).collect();
    let without_bytes = entries.len();
    if Column::has(kinds, 3) {
        see("dictionary of integers");
        let count = bytes.uint() as usize;
        entries.extend(Integers::plan(bytes).read(bytes, count).into_iter().map(Cell::Int));
    }
    if Column::has(kinds, 4) {
        see("dictionary of doubles");
        entries.extend(bytes.list(|bytes| Cell::Double(bytes.f64())));
    }
    if Column::has(kinds, 5) {
        see("dictionary of byte strings");
        let count = bytes.uint() as usize;
        let shared = Integers::plan(bytes).read(bytes, count);
        let lengths = Integers::plan(bytes).read(bytes, count);
        let mut before = Vec::new();
        for (shared, length) in shared.into_iter().zip(lengths) {
            let shared = &before[..shared as usize];
            *plan_cells += shared.len() as u64;
            before = [shared, bytes.take(length as usize)].concat();
            entries.push(Cell::Bytes(before.clone()));
        }
    }
    *plan_cells += (entries.len() - without_bytes) as u64;
    if kinds.count_ones() > 1 {
        see("dictionary, kinds");
    }
    entries
}
