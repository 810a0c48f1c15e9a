//! Sections as columns: what is alike in many rows lies together, and takes few bits.
//!
//! Rows of a state are taken apart into tables ([`tables`]): one row a key, a window, an event, and
//! so on, with a column for each thing that is said of it, across all keys and all sections of an
//! object. A plan says of each column how it is written: by itself ([`ints`], [`floats`]), by a
//! [`dictionary`], or as what follows from another column ([`dependent`], [`quotients`], [`along`]). The plan with
//! the dictionaries is written once, the cells section by section.
//!
//! Which coding a column gets is decided by estimates over samples of it: same cells, same choice.

mod along;
mod bits;
mod blocks;
mod cell;
mod column;
mod dependent;
mod dictionary;
mod divided_events;
mod entries;
mod event_rows;
mod floats;
mod groups;
mod ints;
mod quotients;
mod run;
mod section;
mod shred;
mod source;
mod source_column;
mod table;
mod widths;

pub(crate) use cell::Column;
pub(crate) use groups::{ColumnGroup, ColumnRow, read_section};
pub(crate) use section::{EncodedColumns, Plan, encode, pass_over};

use alloc::vec::Vec;

use super::Malformed;
pub(crate) use super::tables;

/// What columns may still ask for. As rows they would have had a byte at least for each cell; a plan
/// may hold [`COLUMNS_RATIO_MAX`](crate::limits::COLUMNS_RATIO_MAX) cells for each stored byte.
#[derive(Debug, Clone)]
pub(crate) struct Budget(u64);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        Budget(bytes)
    }

    #[inline]
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Malformed> {
        match self.0.checked_sub(bytes) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => Err(Malformed::new("columns hold more than the length of the section says")),
        }
    }
}

/// A number of cells, if there can be as many.
fn cells_that_fit(count: u64, budget: &mut Budget) -> Result<usize, Malformed> {
    budget.take(count)?;
    usize::try_from(count).map_err(|_| Malformed::new("a column does not fit in memory"))
}

/// Room for so many items, for which a few stored bytes may stand.
fn with_room<T>(items: usize) -> Result<Vec<T>, Malformed> {
    let mut room = Vec::new();
    room.try_reserve_exact(items).map_err(|_| Malformed::no_memory())?;
    Ok(room)
}

/// A signed number as an unsigned one: both signs in turn.
#[inline]
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[inline]
fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests;
