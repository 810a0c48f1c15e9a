//! The error of states of fixed capacity: without an allocator, so without texts of its own.

use crate::format::Malformed;
use crate::format::manifest_parts::ObjectId;
use crate::state::AccumulateError;

/// What went wrong. Unless a variant says otherwise, nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FixedError {
    /// Something has no room. Remove state, or build with a larger capacity. A restore that ends so has left
    /// the states empty.
    Full {
        /// What there is no room for.
        what: &'static str,
        /// How much room there is.
        capacity: usize,
    },
    /// A checkpoint does not fit into the buffer.
    BufferFull {
        /// Bytes it takes.
        needed: usize,
        /// Bytes of the buffer.
        available: usize,
    },
    /// A count to be recorded is larger than a checkpoint may have.
    OverLimit {
        /// What is counted.
        what: &'static str,
        /// The most allowed.
        limit: u64,
    },
    /// Bytes are not what was written. [`FixedHolder::restore`](super::FixedHolder::restore) says when states are empty then.
    Damaged(Malformed),
    /// Written in another version of the format than the one that can be read here.
    OtherVersion {
        /// Version found.
        found: u16,
    },
    /// A part of the checkpoint is stored in a form that needs an allocator: write it with
    /// `Capture::into_row_object`.
    NotRows,
    /// The checkpoint needs an object that was not given.
    ObjectMissing(ObjectId),
    /// The checkpoint is of another holder.
    OtherHolder,
    /// The checkpoint has other states: their number, or name, kind, version or description of this one.
    StateChanged {
        /// Place of the state.
        state: usize,
    },
    /// The states given are not those that the holder declares, or two of these have one name.
    OtherStates,
    /// A function does not take a value.
    Refused(AccumulateError),
    /// A plain value does not decode as the type asked for.
    Undecodable,
    /// The `Serialize` of a plain value fails.
    Unencodable,
    /// The number of a checkpoint is not above that of the one it builds on.
    NumberDoesNotRise {
        /// Number of the checkpoint it builds on.
        last: u64,
    },
    /// A partial match under way began with an event of the same number: a checkpoint could not tell them apart.
    NumberInUse {
        /// The number.
        number: u64,
    },
    /// A checkpoint is under way; commit or abort it first.
    CheckpointUnderWay,
    /// No checkpoint is under way.
    NoCheckpointUnderWay,
}

impl core::fmt::Display for FixedError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FixedError::Full { what, capacity } => {
                write!(f, "full: room for {capacity} {what}; remove state, or build with a larger capacity")
            }
            FixedError::BufferFull { needed, available } => {
                write!(f, "the checkpoint takes {needed} bytes, the buffer has {available}")
            }
            FixedError::OverLimit { what, limit } => write!(f, "{what}: over the limit of {limit}"),
            FixedError::Damaged(malformed) => write!(f, "damaged checkpoint: {malformed}"),
            FixedError::OtherVersion { found } => write!(f, "format version {found} cannot be read here"),
            FixedError::NotRows => {
                f.write_str("the checkpoint is compressed or in columns; write it with `Capture::into_row_object`")
            }
            FixedError::ObjectMissing(ObjectId { id, generation }) => {
                write!(f, "the checkpoint needs object {id} of generation {generation}, which was not given")
            }
            FixedError::OtherHolder => f.write_str("the checkpoint is of another holder"),
            FixedError::StateChanged { state } => write!(f, "state {state} is not that of the checkpoint"),
            FixedError::OtherStates => {
                f.write_str("the states given are not those that the holder declares, or two of these have one name")
            }
            FixedError::Refused(error) => error.fmt(f),
            FixedError::Undecodable => f.write_str("a plain value does not decode as the type asked for"),
            FixedError::Unencodable => f.write_str("a plain value cannot be encoded: its `Serialize` fails"),
            FixedError::NumberDoesNotRise { last } => {
                write!(f, "the number of a checkpoint must be above that of the last one, {last}")
            }
            FixedError::NumberInUse { number } => {
                write!(f, "a partial match under way began with an event of number {number} as well")
            }
            FixedError::CheckpointUnderWay => {
                f.write_str("a checkpoint is already under way; commit or abort it first")
            }
            FixedError::NoCheckpointUnderWay => f.write_str("no checkpoint is under way"),
        }
    }
}

impl core::error::Error for FixedError {}

impl From<Malformed> for FixedError {
    fn from(malformed: Malformed) -> Self {
        FixedError::Damaged(malformed)
    }
}
