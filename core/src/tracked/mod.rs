//! Collections that know what changed since the last checkpoint.

mod capture;
mod clock;
mod events;
mod fetch;
mod group;
mod key;
mod map;
mod page;
mod restore;
mod tags;

pub(crate) use capture::{CapturedRows, GroupRows};
pub(crate) use clock::Clock;
pub(crate) use events::TrackedEvents;
pub(crate) use fetch::FETCHED_KEYS;
pub(crate) use key::MapKey;
pub use map::TrackedMap;

use alloc::vec::Vec;

use crate::format::Malformed;
use crate::format::columns::ColumnRow;
use crate::format::rows::Form;
use crate::state::Captured;
use crate::value::Footprint;

/// A value of a [`TrackedMap`]: it writes itself whole, or what changed since it was last
/// captured, and takes either back.
///
/// The library implements it for its states; it is sealed, since the bytes are part of the format.
pub trait TrackedValue: sealed::Sealed + Sized {}

/// The working half of [`TrackedValue`], not nameable outside the crate.
pub(crate) mod sealed {
    use super::{Captured, ColumnRow, Footprint, Form, Malformed, Vec};

    pub trait Sealed: Sized {
        /// Whether a change may say less than the whole value.
        const CHANGES_IN_PART: bool = true;

        /// Appends the whole value.
        fn write_whole(&self, out: &mut Vec<u8>);

        /// Appends what changed since [`Sealed::settle`], or the whole value if that is all it
        /// can say, and tells which.
        fn write_change(&self, out: &mut Vec<u8>) -> Form;

        /// The value from its whole encoding.
        fn read_whole(bytes: &[u8]) -> Result<Self, Malformed>;

        /// Applies a change to the value it was taken against.
        fn apply_change(&mut self, bytes: &[u8]) -> Result<(), Malformed>;

        /// As [`Sealed::read_whole`], from columns.
        fn read_columns(row: &mut ColumnRow<'_, '_>) -> Result<Self, Malformed>;

        /// As [`Sealed::apply_change`], from columns.
        fn apply_columns(&mut self, row: &mut ColumnRow<'_, '_>) -> Result<(), Malformed>;

        /// Forgets the changes: they have been captured.
        fn settle(&mut self);

        /// The last capture that it was in. Of a value that always says itself whole it does not matter.
        fn captured(&self) -> Captured {
            Captured::NEVER
        }

        /// Takes a place where another value may have been captured: says itself whole next time.
        fn take_place(&mut self);

        /// Size; constant time.
        fn footprint(&self) -> Footprint;
    }
}

impl<V: sealed::Sealed> TrackedValue for V {}
