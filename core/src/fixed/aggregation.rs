//! A group of a running aggregation: its accumulators, encoded.
//!
//! They lie as they are written into a checkpoint, in a third of the memory that they take otherwise,
//! and are taken out to be changed.

use core::num::NonZeroU16;

use super::accumulator::FixedAccumulator;
use super::error::FixedError;
use super::map::sealed::Sealed;
use crate::format::accumulator::{GROUP, read_each, read_into};
use crate::format::manifest_parts::StateKind;
use crate::format::{ByteSink, Cursor, FixedBytes};
use crate::state::Captured;

/// `FUNCTIONS` accumulators, of `VALUES` values, that take at most `BYTES` bytes encoded: a count 2 to 10, a sum 12 to
/// 36, an average 11 to 38, a deviation 18 to 27, a `min`, `max`, `first` or `last` 2 to 22 and the length of a text;
/// `distinct` and `median` 5 to 7 and their values, which take 2 to 24 bytes each, and 8; with `VALUES`, 4 more.
///
/// ```
/// use eventflux_core::{FixedAccumulator, FixedAggregation, FixedError, Function, Value};
/// # fn main() -> Result<(), FixedError> {
/// let empty = [Function::Count, Function::Max].map(FixedAccumulator::new);
/// let mut group = FixedAggregation::<2, 40>::new(&empty)?;
/// group.update(|[count, max]| {
///     count.add_event();
///     max.add(0, &Value::from(21.5))
/// })?;
/// assert_eq!(group.accumulators().map(|of| of.result()), [Value::from(1), Value::from(21.5)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FixedAggregation<const FUNCTIONS: usize, const BYTES: usize, const VALUES: usize = 0> {
    /// Never nothing, which leaves a map a number for a value that is not there.
    len: NonZeroU16,
    /// As a row has them whole; then, with `VALUES`, of each that grows how many values the last capture had, in two
    /// bytes, and which capture that was, in four; zeros.
    bytes: [u8; BYTES],
}

impl<const FUNCTIONS: usize, const BYTES: usize, const VALUES: usize> Clone
    for FixedAggregation<FUNCTIONS, BYTES, VALUES>
{
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        let mut copy = Self::EMPTY;
        let put = copy.put(&self.accumulators(), Captured::NEVER);
        debug_assert!(put.is_ok(), "it takes as many bytes");
        copy
    }
}

impl<const FUNCTIONS: usize, const BYTES: usize, const VALUES: usize> PartialEq
    for FixedAggregation<FUNCTIONS, BYTES, VALUES>
{
    /// Whatever captures have seen of it.
    fn eq(&self, other: &Self) -> bool {
        self.accumulators() == other.accumulators()
    }
}

impl<const FUNCTIONS: usize, const BYTES: usize, const VALUES: usize> FixedAggregation<FUNCTIONS, BYTES, VALUES> {
    /// A new group.
    ///
    /// # Errors
    /// [`FixedError::Full`] if the accumulators take more than `BYTES` bytes, or for `distinct` and `median` without room
    /// for values.
    pub fn new(accumulators: &[FixedAccumulator<VALUES>; FUNCTIONS]) -> Result<Self, FixedError> {
        let mut group = Self::EMPTY;
        group.put(accumulators, Captured::NEVER)?;
        Ok(group)
    }

    /// The accumulators.
    #[must_use]
    pub fn accumulators(&self) -> [FixedAccumulator<VALUES>; FUNCTIONS] {
        let mut accumulators = [const { FixedAccumulator::EMPTY }; FUNCTIONS];
        let read = self.read_held(&mut accumulators);
        debug_assert!(read.is_ok(), "only what was written or checked gets in");
        accumulators
    }

    /// Changes the accumulators.
    ///
    /// # Errors
    /// [`FixedError::Full`] as [`Self::new`], or what `change` answers; they are as they were.
    pub fn update<R>(
        &mut self,
        change: impl FnOnce(&mut [FixedAccumulator<VALUES>; FUNCTIONS]) -> Result<R, FixedError>,
    ) -> Result<R, FixedError> {
        let mut accumulators = self.accumulators();
        let result = change(&mut accumulators)?;
        self.put(&accumulators, Sealed::captured(self))?;
        Ok(result)
    }

    /// Before anything is put in.
    const EMPTY: Self = {
        assert!(BYTES < u16::MAX as usize);
        FixedAggregation { len: NonZeroU16::MIN, bytes: [0; BYTES] }
    };

    fn held(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len.get())).unwrap_or(&self.bytes)
    }

    /// Puts accumulators in, of which those that say what was captured elsewhere make all of it new.
    fn put(
        &mut self,
        accumulators: &[FixedAccumulator<VALUES>; FUNCTIONS],
        captured: Captured,
    ) -> Result<(), FixedError> {
        accumulators.iter().try_for_each(FixedAccumulator::check_room)?;
        let mut bytes = [0; BYTES];
        let mut out = FixedBytes::new(&mut bytes);
        GROUP.write(&mut out, accumulators, true);
        if VALUES > 0 {
            let moved = !captured.is_any() || FixedAccumulator::any_moved(accumulators, captured);
            for old in accumulators.iter().filter_map(FixedAccumulator::captured) {
                out.extend_from_slice(&if moved { 0 } else { old }.to_le_bytes());
            }
            out.extend_from_slice(&if moved { Captured::NEVER } else { captured }.to_bytes());
        }
        let len = NonZeroU16::new(out.len() as u16).filter(|_| out.finish().is_ok());
        self.len = len.ok_or(FixedError::Full { what: "bytes of accumulators", capacity: BYTES })?;
        self.bytes = bytes;
        Ok(())
    }

    fn read_held(&self, accumulators: &mut [FixedAccumulator<VALUES>; FUNCTIONS]) -> Result<(), FixedError> {
        let mut cursor = Cursor::new(self.held());
        read_into(&GROUP, &mut cursor, accumulators)?;
        if VALUES > 0 {
            let captured = Sealed::captured(self);
            for (place, accumulator) in accumulators.iter_mut().enumerate() {
                if accumulator.captured().is_some() {
                    let old = u16::from_le_bytes([cursor.byte()?, cursor.byte()?]);
                    accumulator.set_captured(old, captured.of_part(place));
                }
            }
            cursor.take(4)?;
        }
        Ok(cursor.finish()?)
    }

    /// Takes in what a row says of the accumulators that are there.
    fn apply(
        &mut self,
        bytes: &[u8],
        accumulators: &mut [FixedAccumulator<VALUES>; FUNCTIONS],
    ) -> Result<(), FixedError> {
        let mut cursor = Cursor::new(bytes);
        read_into(&GROUP, &mut cursor, accumulators)?;
        cursor.finish()?;
        self.put(accumulators, Captured::NEVER)
    }
}

impl<const FUNCTIONS: usize, const BYTES: usize, const VALUES: usize> Sealed
    for FixedAggregation<FUNCTIONS, BYTES, VALUES>
{
    const KIND: StateKind = StateKind::Aggregations;
    const CHANGES: bool = true;

    fn encoded(&self) -> u64 {
        // One after the other: all of them would lie on the stack of every change.
        let mut cursor = Cursor::new(self.held());
        let encoded = read_each(&GROUP, &mut cursor, |accumulator: &FixedAccumulator<VALUES>| accumulator.encoded());
        debug_assert!(encoded.is_ok(), "only what was written or checked gets in");
        1 + encoded.unwrap_or_default()
    }

    fn captured(&self) -> Captured {
        let last = if VALUES > 0 { self.held().last_chunk() } else { None };
        last.map_or(Captured::NEVER, |bytes| Captured::from_bytes(*bytes))
    }

    fn write(&self, out: &mut FixedBytes<'_>, whole: bool) {
        // Only accumulators that grow make a difference.
        if VALUES == 0 {
            out.extend_from_slice(self.held());
        } else {
            GROUP.write(out, &self.accumulators(), whole);
        }
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, FixedError> {
        let mut group = Self::EMPTY;
        group.apply(bytes, &mut [const { FixedAccumulator::EMPTY }; FUNCTIONS])?;
        Ok(group)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), FixedError> {
        // Without values, what a change says does not depend on what is there.
        let mut accumulators = [const { FixedAccumulator::EMPTY }; FUNCTIONS];
        if VALUES > 0 {
            self.read_held(&mut accumulators)?;
        }
        self.apply(bytes, &mut accumulators)
    }

    fn settle(&mut self, captured: Captured) {
        if VALUES > 0 {
            let mut accumulators = self.accumulators();
            for (place, accumulator) in accumulators.iter_mut().enumerate() {
                accumulator.settle(captured.of_part(place));
            }
            let kept = self.put(&accumulators, captured);
            debug_assert!(kept.is_ok(), "they take as many bytes as before");
        }
    }
}
