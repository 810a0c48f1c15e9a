//! Why a command failed, as it is told.

use eventflux_core::Error as CoreError;

use crate::error::Error;

/// What is printed, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) exit_code: u8,
}

impl Failure {
    /// The command failed: exit code 1.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), exit_code: 1 }
    }

    /// It was called wrongly: exit code 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Failure { message: message.into(), exit_code: 2 }
    }

    /// What to do, on a line of its own.
    pub(super) fn with_advice(mut self, advice: &str) -> Self {
        self.message = format!("{}\n{advice}", self.message);
        self
    }

    /// Whether stored data is damaged.
    pub(super) fn is_damage(&self) -> bool {
        self.exit_code == 3
    }
}

/// What is left to do.
const WITHOUT_HEAD: &str = "Only the head says which objects are checkpoints: without it nothing goes on here, nor with --from none. \
                            Bring it back from a copy of the storage, or name another [checkpoint] storage. If this is \
                            what a copy left that was broken off, remove it and copy again.";

/// Whether it is the head that is damaged, or missing.
pub(super) fn is_of_head(error: &Error) -> bool {
    let (Error::Core(error) | Error::CheckpointDamaged { error, .. }) = error else { return false };
    matches!(error, CoreError::Damaged { object, .. } | CoreError::ObjectMissing { object } if object == "head")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Failure { message: error.to_string(), exit_code: error.exit_code() };
        if is_of_head(&error) { failure.with_advice(WITHOUT_HEAD) } else { failure }
    }
}

impl From<eventflux_core::Error> for Failure {
    fn from(error: eventflux_core::Error) -> Self {
        Error::from(error).into()
    }
}
