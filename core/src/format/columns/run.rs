//! Cells that go into rows of events many at once.

use core::iter::repeat_n;

use super::super::row_values::{Piece, RowBatch};
use super::cell::INT;

/// Cells of a column, one after the other, each no longer than a piece.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run<'c> {
    /// Places among pieces.
    Codes(&'c [u32], &'c [Piece]),
    /// As many as one asks for.
    Same(Piece),
    Ints(&'c [i64]),
    Floats(&'c [f64]),
    /// Integers and nulls: of what kind each is, and the integers from here on.
    Sparse(&'c [u8], &'c [i64]),
}

impl<'c> Run<'c> {
    /// Takes the first so many cells, which are there, and appends one to each row of a batch.
    pub(super) fn append_to_batch(&mut self, rows: usize, batch: &mut RowBatch) {
        match self.split_off(rows) {
            Run::Codes(codes, pieces) => batch.push_each(codes.iter().map(|code| pieces[*code as usize])),
            Run::Same(piece) => batch.push_each(repeat_n(piece, rows)),
            Run::Ints(ints) => batch.push_each(ints.iter().map(|int| Piece::of_int(*int))),
            Run::Floats(floats) => batch.push_each(floats.iter().map(|float| Piece::of_float(*float))),
            Run::Sparse(tags, ints) => {
                let mut ints = ints.iter();
                let piece = |tag: &u8| if *tag == INT { ints.next().map(|int| Piece::of_int(*int)) } else { None };
                batch.push_each(tags.iter().map(piece).map(|piece| piece.unwrap_or(Piece::NULL)));
            }
        }
    }

    /// Takes the first so many cells, which are there.
    pub(super) fn split_off(&mut self, rows: usize) -> Run<'c> {
        match self {
            Run::Codes(codes, pieces) => Run::Codes(first(codes, rows), pieces),
            Run::Same(piece) => Run::Same(*piece),
            Run::Ints(ints) => Run::Ints(first(ints, rows)),
            Run::Floats(floats) => Run::Floats(first(floats, rows)),
            Run::Sparse(tags, ints) => {
                let tags = first(tags, rows);
                Run::Sparse(tags, first(ints, tags.iter().filter(|tag| **tag == INT).count()))
            }
        }
    }
}

/// Takes the first so many of a slice, which are there.
fn first<'c, T>(slice: &mut &'c [T], count: usize) -> &'c [T] {
    slice.split_off(..count).unwrap_or_default()
}
