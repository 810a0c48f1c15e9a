//! FORMAT.md, "Tables": from the cells of a section to the bytes that its rows would have.

use std::collections::{BTreeMap, VecDeque};

use super::bytes::Bytes;
use super::columns::{Cell, Plan, Shape};
use super::seen::see;

/// Cells that have not been taken, by table and column; and the rows so far.
struct Tables {
    cells: BTreeMap<(u64, u64), VecDeque<Cell>>,
    out: Vec<u8>,
}

/// The rows of a section of columns.
pub fn to_rows(bytes: Bytes<'_>, plan: &Plan, kind: u64) -> Vec<u8> {
    let mut tables = Tables { cells: plan.cells(bytes), out: Vec::new() };
    let groups = tables.cells[&(0, 0)].len();
    for _ in 0..groups {
        tables.uint(0, 0);
        for _ in 0..tables.uint(0, 1) {
            tables.row(plan, kind);
        }
    }
    assert!(tables.cells.values().all(VecDeque::is_empty), "cells are left over");
    see(format!("columns of kind {kind}"));
    tables.out
}

impl Tables {
    fn row(&mut self, plan: &Plan, kind: u64) {
        let mut key = Vec::new();
        match plan.keys {
            Shape::Bytes => key = self.bytes(2),
            Shape::Words(len) => key = self.words(2, len, |word| word.to_be_bytes(), true),
            Shape::Values(count) => (0..count).for_each(|column| append_key(&mut key, &self.cell(2, column))),
        }
        self.append_bytes(&key);
        let form = self.int(1, 0);
        self.out.push(form as u8);
        if form == 0 {
            return;
        }
        let before = std::mem::take(&mut self.out);
        match (kind, plan.values) {
            (0, Shape::Words(len)) => self.out = self.words(3, len, |word| word.to_le_bytes(), false),
            (0, _) => self.out = self.bytes(3),
            (1, Shape::Bytes) => self.windows(),
            (2, Shape::Bytes) => self.patterns(),
            (3, Shape::Bytes) => self.accumulators(3, 0),
            other => panic!("{other:?}"),
        }
        let payload = std::mem::replace(&mut self.out, before);
        self.append_bytes(&payload);
    }

    fn windows(&mut self) {
        for _ in 0..self.uint(3, 0) {
            self.copy_int(4, 0, 0);
        }
        for _ in 0..self.uint(3, 1) {
            let start = self.int(5, 0);
            self.append_int(start);
            self.copy_int(5, 1, start);
            self.uint(5, 2);
            for _ in 0..self.uint(5, 3) {
                self.uint(6, 0);
                self.event(6, start);
            }
            self.accumulators(5, 4);
        }
    }

    fn patterns(&mut self) {
        for _ in 0..self.uint(3, 0) {
            self.uint(7, 0);
        }
        for _ in 0..self.uint(3, 1) {
            self.uint(6, 0);
            self.event(6, 0);
        }
        for _ in 0..self.uint(3, 2) {
            self.uint(8, 0);
        }
        for _ in 0..self.uint(3, 3) {
            self.uint(9, 0);
            self.uint(9, 1);
            for _ in 0..self.uint(9, 2) {
                self.event(10, 0);
            }
        }
    }

    fn event(&mut self, table: u64, start: i64) {
        self.copy_int(table, 1, start);
        for value in 0..self.uint(table, 2) {
            self.value(table, 3 + value);
        }
    }

    fn accumulators(&mut self, table: u64, column: u64) {
        for place in 0..self.uint(table, column) {
            let (table, values) = (16 + 2 * place, 17 + 2 * place);
            let function = self.uint(table, 0);
            see(format!("columns of accumulator {function}"));
            let first = self.uint(table, 1);
            match function {
                0 => {}
                1 => {
                    self.copy_int(table, 2, 0);
                    self.uint(table, 3);
                    self.double(table, 4);
                }
                2 | 3 if first == 1 => self.value(table, 2),
                4 => {
                    let (low, high) = (self.int(table, 2), self.int(table, 5));
                    self.append_int128(i128::from(high.wrapping_add(low >> 63)) << 64 | i128::from(low as u64));
                    self.double(table, 3);
                }
                5 => {
                    self.double(table, 2);
                    self.double(table, 3);
                }
                6 | 7 if first == 1 => {
                    self.copy_int(table, 2, 0);
                    self.value(table, 3);
                }
                2 | 3 | 6 | 7 => assert_eq!(first, 0),
                8 => (0..self.uint(table, 2)).for_each(|_| self.value(values, 0)),
                9 => (0..self.uint(table, 2)).for_each(|_| self.double(values, 0)),
                other => panic!("accumulator {other}"),
            }
        }
    }

    fn cell(&mut self, table: u64, column: u64) -> Cell {
        self.cells.get_mut(&(table, column)).unwrap().pop_front().unwrap()
    }

    fn int(&mut self, table: u64, column: u64) -> i64 {
        match self.cell(table, column) {
            Cell::Int(int) => int,
            other => panic!("{other:?} is no integer"),
        }
    }

    fn bytes(&mut self, table: u64) -> Vec<u8> {
        match self.cell(table, 0) {
            Cell::Bytes(bytes) => bytes,
            other => panic!("{other:?} is no byte string"),
        }
    }

    fn words(&mut self, table: u64, len: usize, to_bytes: impl Fn(i64) -> [u8; 8], at_end: bool) -> Vec<u8> {
        let mut all = Vec::new();
        for column in 0..len.div_ceil(8) {
            let bytes = to_bytes(self.int(table, column as u64));
            let count = (len - 8 * column).min(8);
            all.extend(if at_end { &bytes[8 - count..] } else { &bytes[..count] });
        }
        all
    }

    /// Copies a number, and says it.
    fn uint(&mut self, table: u64, column: u64) -> u64 {
        let number = self.int(table, column) as u64;
        self.append_uint(number.into());
        number
    }

    fn copy_int(&mut self, table: u64, column: u64, from: i64) {
        let number = self.int(table, column).wrapping_add(from);
        self.append_int(number);
    }

    fn double(&mut self, table: u64, column: u64) {
        match self.cell(table, column) {
            Cell::Double(double) => self.out.extend(double.to_le_bytes()),
            other => panic!("{other:?} is no double"),
        }
    }

    fn value(&mut self, table: u64, column: u64) {
        match self.cell(table, column) {
            Cell::Null => self.out.push(0),
            Cell::Bool(bool) => self.out.extend([1, bool.into()]),
            Cell::Int(int) => {
                self.out.push(2);
                self.append_int(int);
            }
            Cell::Double(double) => {
                self.out.push(3);
                self.out.extend(double.to_le_bytes());
            }
            Cell::Bytes(text) => {
                self.out.push(4);
                self.append_bytes(&text);
            }
        }
    }

    fn append_uint(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    fn append_int(&mut self, number: i64) {
        self.append_int128(number.into());
    }

    fn append_int128(&mut self, number: i128) {
        self.append_uint(((number << 1) ^ (number >> 127)) as u128);
    }

    fn append_bytes(&mut self, bytes: &[u8]) {
        self.append_uint(bytes.len() as u128);
        self.out.extend(bytes);
    }
}

/// "Keys of operators".
fn append_key(key: &mut Vec<u8>, value: &Cell) {
    let (below, rest) = match value {
        Cell::Null => return key.push(0),
        Cell::Bool(bool) => return key.push(1 + u8::from(*bool)),
        Cell::Bytes(text) => {
            key.push(4);
            text.iter().for_each(|byte| if *byte == 0 { key.extend([0, 0xff]) } else { key.push(*byte) });
            return key.extend([0, 0]);
        }
        Cell::Double(double) => (*double, 0),
        Cell::Int(int) => {
            let nearest = *int as f64;
            let below = if nearest as i128 > i128::from(*int) { nearest.next_down() } else { nearest };
            (below, (i128::from(*int) - below as i128) as u16)
        }
    };
    let bits = below.to_bits();
    key.push(3);
    key.extend((if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }).to_be_bytes());
    key.extend(rest.to_be_bytes());
}
