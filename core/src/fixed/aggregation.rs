//! A group of a running aggregation: its accumulators, encoded.
//!
//! They lie as they are written into a checkpoint, in a third of the memory that they take otherwise,
//! and are taken out to be changed.

use heapless::Vec;

use super::error::FixedError;
use super::map::sealed::Sealed;
use crate::format::accumulator::{GROUP, read_into};
use crate::format::manifest_parts::StateKind;
use crate::format::{ByteSink, Cursor, FixedBytes, Malformed};
use crate::state::Accumulator;

/// `FUNCTIONS` accumulators that take at most `BYTES` bytes encoded: a count 2 to 10, a sum 12 to 36, an
/// average 11 to 38, a deviation 18 to 27, a `min`, `max`, `first` or `last` 2 to 22 and the length of a text.
///
/// ```
/// use eventflux_core::{Accumulator, FixedAggregation, Function, Value};
/// # fn main() -> Result<(), eventflux_core::FixedError> {
/// let mut group = FixedAggregation::<2, 40>::new(&[Function::Count, Function::Max].map(Accumulator::new))?;
/// group.update(|[count, max]| {
///     count.add_event();
///     max.add(0, &Value::from(21.5))
/// })?
/// .expect("a number");
/// assert_eq!(group.accumulators().map(|of| of.result()), [Value::from(1), Value::from(21.5)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAggregation<const FUNCTIONS: usize, const BYTES: usize>(Vec<u8, BYTES, u16>);

impl<const FUNCTIONS: usize, const BYTES: usize> FixedAggregation<FUNCTIONS, BYTES> {
    /// A new group.
    ///
    /// # Errors
    /// [`FixedError::Full`] if the accumulators take more than `BYTES` bytes.
    pub fn new(accumulators: &[Accumulator; FUNCTIONS]) -> Result<Self, FixedError> {
        let mut group = FixedAggregation(Vec::new());
        group.put(accumulators)?;
        Ok(group)
    }

    /// The accumulators.
    #[must_use]
    pub fn accumulators(&self) -> [Accumulator; FUNCTIONS] {
        // Only what was written or checked gets in; empty counts stand for the impossible.
        read(&self.0).unwrap_or([const { Accumulator::Count(0) }; FUNCTIONS])
    }

    /// Changes the accumulators.
    ///
    /// # Errors
    /// [`FixedError::Full`] if they then take more than `BYTES` bytes; they are as they were.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut [Accumulator; FUNCTIONS]) -> R) -> Result<R, FixedError> {
        let mut accumulators = self.accumulators();
        let result = change(&mut accumulators);
        self.put(&accumulators)?;
        Ok(result)
    }

    fn put(&mut self, accumulators: &[Accumulator; FUNCTIONS]) -> Result<(), FixedError> {
        let mut bytes = [0; BYTES];
        let mut out = FixedBytes::new(&mut bytes);
        GROUP.write(&mut out, accumulators, true);
        let full = FixedError::Full { what: "bytes of accumulators", capacity: BYTES };
        let written = out.finish().map_err(|_| full.clone())?;
        self.0 = Vec::from_slice(written).map_err(|_| full)?;
        Ok(())
    }
}

fn read<const FUNCTIONS: usize>(bytes: &[u8]) -> Result<[Accumulator; FUNCTIONS], Malformed> {
    let mut accumulators = [const { Accumulator::Count(0) }; FUNCTIONS];
    let mut cursor = Cursor::new(bytes);
    read_into(&GROUP, &mut cursor, &mut accumulators)?;
    cursor.finish()?;
    Ok(accumulators)
}

impl<const FUNCTIONS: usize, const BYTES: usize> Sealed for FixedAggregation<FUNCTIONS, BYTES> {
    const KIND: StateKind = StateKind::Aggregations;
    const CHANGES: bool = true;

    fn encoded(&self) -> u64 {
        1 + self.accumulators().iter().map(|accumulator| accumulator.footprint().encoded).sum::<u64>()
    }

    /// Whole or change: only accumulators that grow would make a difference.
    fn write(&self, out: &mut FixedBytes<'_>, _: bool) {
        out.extend_from_slice(&self.0);
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, FixedError> {
        Self::new(&read(bytes)?)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), FixedError> {
        let mut accumulators = self.accumulators();
        let mut cursor = Cursor::new(bytes);
        read_into(&GROUP, &mut cursor, &mut accumulators)?;
        cursor.finish()?;
        self.put(&accumulators)
    }
}
