//! Errors of the host: the core's, and those of files, definitions and sources.

use std::io;
use std::path::PathBuf;

use crate::source::SourceError;

/// What went wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the core.
    #[error(transparent)]
    Core(#[from] eventflux_core::Error),
    /// A checkpoint is damaged: it was not restored, and nothing was changed. Going back to an older one is for
    /// the caller to choose.
    #[error("{error}\n{}", whole_instead(*newest_whole))]
    CheckpointDamaged {
        /// What is damaged.
        error: eventflux_core::Error,
        /// Newest checkpoint of the storage that is whole, if there is one.
        newest_whole: Option<u64>,
    },
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The definition of the application is wrong.
    #[error("{file}{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Definition {
        /// The file of the definition.
        file: String,
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// Path and reason.
        reason: String,
    },
    /// An event of the source does not fit an operator.
    #[error("{file}, line {line}: {error}")]
    Event {
        /// The file of the source.
        file: String,
        /// The line of the event, from 1.
        line: u64,
        /// What the engine said.
        error: eventflux_core::Error,
    },
    /// The definition does not fit the checkpoint it should go on from.
    #[error("{what} since checkpoint {checkpoint}: {reason}\n{advice}")]
    DefinitionChanged {
        /// Which operator, and that it changed, is new or is gone.
        what: String,
        /// Number of the checkpoint.
        checkpoint: u64,
        /// The difference.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// Another process writes to the storage.
    #[error(
        "{path}: another process writes to this storage ({writer}); stop it, or take the storage over \
         (--take-over; in a program `Access::TakeOver`), after which its next checkpoint is refused",
        path = path.display()
    )]
    Locked {
        /// The storage.
        path: PathBuf,
        /// Who that is, as its lock says.
        writer: String,
    },
    /// Results that a checkpoint accounts for are not in the output, or the other way round.
    #[error("{path}: {reason}", path = path.display())]
    Output {
        /// The output file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// New input for a run whose source has ended.
    #[error(
        "checkpoint {checkpoint} says that the source is finished: standard input was not read; start anew with \
         --from none, or give the new input another [checkpoint] storage"
    )]
    Finished {
        /// Number of the checkpoint.
        checkpoint: u64,
    },
    /// A file could not be used.
    #[error("cannot {action} {path}: {reason}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// An address of a storage that this build cannot open.
    #[error("storage `{address}`: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of a plugin cannot be one.
    #[error("{file}: {reason}", file = file.display())]
    Plugin {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread of the run cannot be started, or is gone.
    #[error("the thread {of} {reason}")]
    Thread {
        /// What it is for, such as "of the source".
        of: &'static str,
        /// What became of it, and what to do.
        reason: String,
    },
}

impl Error {
    /// A thread cannot be started.
    pub(crate) fn no_thread(of: &'static str, error: &io::Error) -> Self {
        let reason = format!("cannot be started: {error}; let the process have more threads and memory");
        Error::Thread { of, reason }
    }

    /// A thread ended before its time: it panicked, and has said why.
    pub(crate) fn thread_gone(of: &'static str) -> Self {
        let reason = String::from("stopped unexpectedly; run again to go on from the last checkpoint");
        Error::Thread { of, reason }
    }
}

/// Result with the host's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Exit code of the command: 2 for a bad definition, 3 for damaged data, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Definition { .. } | Error::Address { .. } | Error::Plugin { .. } => 2,
            Error::Core(eventflux_core::Error::Definition { .. }) => 2,
            Error::Source(error) if error.is_of_definition() => 2,
            Error::Core(error) if error.is_damage() => 3,
            Error::CheckpointDamaged { .. } => 3,
            _ => 1,
        }
    }
}

fn whole_instead(newest_whole: Option<u64>) -> String {
    match newest_whole {
        Some(id) => format!("Nothing was restored. The newest whole checkpoint is {id}."),
        None => String::from("Nothing was restored. No checkpoint is whole."),
    }
}
