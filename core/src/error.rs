//! The one error of the core. A variant of its own only where a caller would act differently.

use alloc::format;
use alloc::string::String;

use crate::format::manifest::StateKind;

/// What went wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Stored bytes are not what was written.
    #[error("{object}: damaged {part}: {reason}")]
    Damaged {
        /// Name of the stored object.
        object: String,
        /// Which part of it: header, manifest, section of which state.
        part: String,
        /// What is wrong.
        reason: String,
    },
    /// An object that should exist does not.
    #[error("{object}: object is missing from the storage")]
    ObjectMissing {
        /// Name of the stored object.
        object: String,
    },
    /// Written by a newer release.
    #[error(
        "{object}: format version {found} is newer than {newest}, the newest this release reads; use a newer release"
    )]
    VersionTooNew {
        /// Name of the stored object.
        object: String,
        /// Version found.
        found: u16,
        /// Newest version understood.
        newest: u16,
    },
    /// A plain value does not decode as the type asked for.
    #[error("value of key {key} does not decode as {type_name}: {reason}")]
    Undecodable {
        /// The key, printable.
        key: String,
        /// The Rust type asked for.
        type_name: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A plain value cannot be encoded: its `Serialize` fails, or is of a kind that `postcard` has not. Nothing was changed.
    #[error("value of key {key}, a {type_name}, cannot be encoded: {reason}")]
    Unencodable {
        /// The key, printable.
        key: String,
        /// The Rust type given.
        type_name: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// The write would take the holder past its budget. Nothing was changed.
    #[error("state would grow to {needed} bytes, over the budget of {budget}; raise the budget or remove state")]
    OverBudget {
        /// Size the state would have.
        needed: usize,
        /// The budget.
        budget: usize,
    },
    /// Another writer has taken over.
    #[error(
        "fenced: this writer holds generation {held}, the storage is at generation {current}; another writer has taken over, stop this one"
    )]
    Fenced {
        /// Generation of this writer.
        held: u64,
        /// Generation in the storage.
        current: u64,
    },
    /// A checkpoint is under way; finish or abort it first.
    #[error("a checkpoint is already under way; commit or abort it first")]
    CheckpointUnderWay,
    /// `step`, `commit` or `abort` without a checkpoint under way.
    #[error("no checkpoint is under way")]
    NoCheckpointUnderWay,
    /// Calls in an order that would lose something. Nothing has changed.
    #[error("{0}")]
    CallOrder(&'static str),
    /// The checkpoint is of another holder: most likely the storage is another program's. A storage is for one holder.
    #[error("the checkpoint is of `{found}`, not of `{declared}`; use another storage, or the name it was taken with")]
    OtherHolder {
        /// Name in the checkpoint, or in those of the storage.
        found: String,
        /// Name of the holder it should go into, or that is to be published beside them.
        declared: String,
    },
    /// No checkpoint fits what was asked for.
    #[error("no checkpoint {selector}; {available}")]
    NoSuchCheckpoint {
        /// What was asked for.
        selector: String,
        /// What there is instead.
        available: String,
    },
    /// The checkpoint lacks a state of the program.
    #[error(
        "the checkpoint has no state `{state}`, which the program declares; restore with `allow_missing` to start it empty"
    )]
    StateMissing {
        /// Name of the state.
        state: String,
    },
    /// The checkpoint has a state the program does not declare.
    #[error(
        "the checkpoint has a state `{state}` that the program does not declare; restore with `allow_unknown` to drop it"
    )]
    StateUnknown {
        /// Name of the state.
        state: String,
    },
    /// The checkpoint's state was written under another schema.
    #[error("state `{}` has changed since the checkpoint: {reason}", shown_state(state))]
    StateChanged {
        /// Name of the state; that of plain values has none.
        state: String,
        /// Kind, version or fingerprint: found and expected.
        reason: String,
    },
    /// The definition of the application is wrong.
    #[error("{path}: {reason}")]
    Definition {
        /// Where, such as `operator[1].window.tumbling`.
        path: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// An event does not fit what the operators need. State is unchanged.
    #[error("{}{reason}", event_place(operator, field))]
    Event {
        /// Name of the operator, empty when it is the event as such.
        operator: String,
        /// Name of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A plugin could not be started, or failed for good.
    #[error("operator `{operator}`: its plugin: {reason}")]
    Plugin {
        /// Name of the operator.
        operator: String,
        /// What it said, or what became of it.
        reason: String,
        /// Whether its component is another than that of the newest checkpoint, to which one can go back.
        upgraded: bool,
    },
    /// A bound of [`crate::limits`].
    #[error("{what} is {found}, over the limit of {limit}")]
    OverLimit {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The most allowed.
        limit: u64,
    },
    /// The storage could not do what was asked.
    #[error("storage: {operation} {object}: {reason}")]
    Storage {
        /// Which operation: put, read, list, delete, head.
        operation: &'static str,
        /// On which object.
        object: String,
        /// What the storage said.
        reason: String,
    },
    /// Allocation failed.
    #[error("out of memory while {doing}{}", asked_for(*bytes))]
    OutOfMemory {
        /// What was being done.
        doing: &'static str,
        /// How much was asked for; 0 if that is not known.
        bytes: usize,
    },
}

/// Result with the core's [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// Whether stored data is damaged or lacks a part (exit code 3 of the command).
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Damaged { .. } | Error::ObjectMissing { .. })
    }

    pub(crate) fn damaged(object: &str, part: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Damaged { object: object.into(), part: part.into(), reason: reason.into() }
    }

    /// That a quantity is within its limit.
    pub(crate) fn ensure_within(what: &'static str, found: u64, limit: u64) -> Result<()> {
        if found > limit { Err(Error::OverLimit { what, found, limit }) } else { Ok(()) }
    }

    pub(crate) fn definition(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Definition { path: path.into(), reason: reason.into() }
    }
}

/// How much memory was asked for.
fn asked_for(bytes: usize) -> String {
    if bytes == 0 { String::new() } else { format!(" ({bytes} bytes)") }
}

/// The name of a state as it is shown: the plain values have none.
fn shown_state(name: &str) -> &str {
    if name.is_empty() { StateKind::Values.as_str() } else { name }
}

/// Where in an event something is wrong, as a message begins; nothing for the event as such.
fn event_place(operator: &str, field: &str) -> String {
    match (operator, field) {
        ("", _) => String::new(),
        (operator, "") => format!("operator `{operator}`: "),
        (operator, field) => format!("operator `{operator}`, field `{field}`: "),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_error_of_the_event_as_such_names_no_operator() {
        let error = |operator: &str, field: &str| {
            Error::Event { operator: operator.into(), field: field.into(), reason: "is wrong".into() }.to_string()
        };
        assert_eq!(error("", ""), "is wrong");
        assert_eq!(error("o", "v"), "operator `o`, field `v`: is wrong");
    }
}
