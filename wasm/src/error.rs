//! The core's errors as JavaScript has them: a code to act on, and a message that says what to do.

use eventflux_core::Error;
use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// Result of what JavaScript calls.
pub(crate) type Result<T, E = JsValue> = core::result::Result<T, E>;

/// An `Error` with a `code`.
pub(crate) fn coded(code: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    error.set_name("StateError");
    // An object that was made just now takes a property.
    let _ = Reflect::set(&error, &"code".into(), &code.into());
    error.into()
}

/// What ends work that waits for a storage.
pub(crate) enum Failure {
    Core(Error),
    /// JavaScript threw it, and it says more than an error of the core could.
    Thrown(JsValue),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> JsValue {
        match failure {
            Failure::Core(error) => from_core(error),
            Failure::Thrown(thrown) => thrown,
        }
    }
}

/// An error of the core.
pub(crate) fn from_core(error: Error) -> JsValue {
    coded(code_of(&error), &told(&error))
}

/// What the core says of an error, without advice that is for Rust.
fn told(error: &Error) -> String {
    match error {
        Error::StateMissing { state } => format!("the checkpoint has no state `{state}`, which the definition has"),
        Error::StateUnknown { state } => {
            format!("the checkpoint has a state `{state}`, which the definition does not have")
        }
        error => error.to_string(),
    }
}

impl Failure {
    /// Of what a state was opened from: with what to do if that is of another definition.
    pub(crate) fn of_opening(self, is_engine: bool) -> Failure {
        let advice = match is_engine {
            true => {
                "put the definition back as it was, or begin anew: with `from: \"none\"`, or under another name in a \
                     storage of its own"
            }
            false => "what an engine wrote is opened with engine(), with its definition",
        };
        match self {
            Failure::Core(
                error @ (Error::StateMissing { .. } | Error::StateUnknown { .. } | Error::StateChanged { .. }),
            ) => Failure::Thrown(coded(code_of(&error), &format!("{}; {advice}", told(&error)))),
            other => other,
        }
    }
}

/// An error of the core, with a message that says more.
pub(crate) fn with_message(error: Error, message: &str) -> JsValue {
    coded(code_of(&error), message)
}

fn code_of(error: &Error) -> &'static str {
    match error {
        Error::Damaged { .. } | Error::ObjectMissing { .. } => "CORRUPT",
        Error::VersionTooNew { .. } => "VERSION",
        Error::Fenced { .. } => "FENCED",
        Error::OverBudget { .. } | Error::OutOfMemory { .. } => "BUDGET",
        Error::NoSuchCheckpoint { .. } => "NOT_FOUND",
        Error::Storage { .. } => "STORAGE",
        Error::CheckpointUnderWay | Error::NoCheckpointUnderWay | Error::CallOrder(_) => "BUSY",
        Error::OtherHolder { .. }
        | Error::StateMissing { .. }
        | Error::StateUnknown { .. }
        | Error::StateChanged { .. } => "MISMATCH",
        _ => "INVALID",
    }
}
