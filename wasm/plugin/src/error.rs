//! What went wrong: as the world says it, and as an operator does.

use alloc::format;
use alloc::string::String;

use eventflux_core::plugin::FrameError;

/// An error as the host is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The configuration is wrong: which member, and what it should be.
    BadConfig(String),
    /// An event cannot be taken. The state is as before the whole batch.
    BadEvent {
        /// Number of the item in the batch.
        index: u32,
        /// What is wrong.
        reason: String,
    },
    /// The state would grow past its budget.
    StateLimit(String),
    /// A state of this schema cannot be restored.
    UnsupportedSchema(String),
    /// A frame is not what was handed out.
    Corrupt(String),
    /// Frames are missing or out of order.
    ChainGap(String),
    /// Anything else.
    Internal(String),
}

/// Why an operator cannot go on. The host starts it anew from the last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The state would grow past its budget.
    StateLimit(String),
    /// Anything else.
    Other(String),
}

impl From<eventflux_core::Error> for Failure {
    /// In words for the errors that a plugin's state has; those for all others would be in every plugin.
    fn from(error: eventflux_core::Error) -> Self {
        use eventflux_core::Error;
        let over = |what: &str, found: u64, limit: u64| format!("{what} is {found}, over the limit of {limit}");
        match error {
            Error::OverBudget { needed, budget } => {
                Failure::StateLimit(over("size of the state in bytes", needed as u64, budget as u64))
            }
            Error::OutOfMemory { bytes, .. } => Failure::StateLimit(format!("no memory for {bytes} bytes")),
            Error::Undecodable { key, type_name, reason } | Error::Unencodable { key, type_name, reason } => {
                Failure::Other(format!("the value of key {key} is no {type_name}: {reason}"))
            }
            Error::OverLimit { what, found, limit } => Failure::Other(over(what, found, limit)),
            Error::CheckpointUnderWay => "a checkpoint is under way".into(),
            Error::NoCheckpointUnderWay => "no checkpoint is under way".into(),
            Error::CallOrder(reason) => reason.into(),
            _ => "an error of no state".into(),
        }
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Failure::Other(reason.into())
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure::Other(reason)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::StateLimit(reason) => Error::StateLimit(reason),
            Failure::Other(reason) => Error::Internal(reason),
        }
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Corrupt(reason) => Error::Corrupt(reason),
            FrameError::ChainGap(reason) => Error::ChainGap(reason),
            FrameError::Schema(reason) => Error::UnsupportedSchema(reason),
            FrameError::State(error) => Failure::from(error).into(),
        }
    }
}
