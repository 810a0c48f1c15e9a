//! What an instance says, checked: it is shown to people, and stored in each checkpoint.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::guest::{Guest, GuestDescription, GuestError, GuestSchema, GuestSetup};
use crate::definition::hint::shown_up_to;
use crate::limits::{PLUGIN_NAME_BYTES_MAX, PLUGIN_REASON_CHARS_MAX, PLUGIN_SCHEMAS_MAX};

/// An instance whose words can be told: names that are long or have control characters are errors, reasons are one line
/// that is not too long. The engine makes one of each instance that it gets; who asks an instance himself does too.
pub struct CheckedGuest(Box<dyn Guest>);

impl CheckedGuest {
    /// Checks what an instance says.
    #[must_use]
    pub fn new(guest: Box<dyn Guest>) -> Self {
        CheckedGuest(guest)
    }
}

impl core::fmt::Debug for CheckedGuest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CheckedGuest").finish_non_exhaustive()
    }
}

/// Why a plugin did something not, as it can be told and stored: one line, of at most
/// [`PLUGIN_REASON_CHARS_MAX`] characters.
///
/// ```
/// use eventflux_core::plugin::shown_reason;
/// assert_eq!(shown_reason("red: \x1b[31m"), "red: \\u{1b}[31m");
/// ```
#[must_use]
pub fn shown_reason(reason: &str) -> String {
    shown_up_to(reason, PLUGIN_REASON_CHARS_MAX)
}

fn shown(error: GuestError) -> GuestError {
    match error {
        GuestError::BadEvent { index, reason } => GuestError::BadEvent { index, reason: shown_reason(&reason) },
        GuestError::Refused(reason) => GuestError::Refused(shown_reason(&reason)),
        GuestError::Lost(reason) => GuestError::Lost(shown_reason(&reason)),
    }
}

/// That something an instance calls itself, or a part of it, can be told.
fn check_name(call: &str, what: &str, name: &str) -> Result<(), GuestError> {
    check_length(call, what, name)?;
    if name.chars().any(char::is_control) {
        return Err(GuestError::Lost(format!("`{call}`: {what} has control characters")));
    }
    Ok(())
}

fn check_length(call: &str, what: &str, name: &str) -> Result<(), GuestError> {
    if name.len() > PLUGIN_NAME_BYTES_MAX {
        let found = name.len();
        return Err(GuestError::Lost(format!("`{call}`: {what} has {found} bytes; at most {PLUGIN_NAME_BYTES_MAX}")));
    }
    Ok(())
}

impl Guest for CheckedGuest {
    fn init(&mut self, config: &str, state_budget_bytes: u64) -> Result<GuestSetup, GuestError> {
        let setup = self.0.init(config, state_budget_bytes).map_err(shown)?;
        // An input is the name of a field, which may be anything; an output is one that the plugin makes up.
        setup.inputs.iter().try_for_each(|input| check_length("init", "the name of an input", input))?;
        setup.outputs.iter().try_for_each(|output| check_name("init", "the name of an output", output))?;
        Ok(setup)
    }

    fn process(&mut self, batch: &[u8]) -> Result<Vec<u8>, GuestError> {
        self.0.process(batch).map_err(shown)
    }

    fn on_watermark(&mut self, ms: i64) -> Result<Vec<u8>, GuestError> {
        self.0.on_watermark(ms).map_err(shown)
    }

    fn describe(&mut self) -> Result<GuestDescription, GuestError> {
        let description = self.0.describe().map_err(shown)?;
        check_name("describe", "its name", &description.name)?;
        check_name("describe", "its version", &description.version)?;
        check_name("describe", "the name of its schema", &description.schema.name)?;
        Ok(description)
    }

    fn readable(&mut self) -> Result<Vec<GuestSchema>, GuestError> {
        let schemas = self.0.readable().map_err(shown)?;
        if schemas.len() > PLUGIN_SCHEMAS_MAX {
            let found = schemas.len();
            return Err(GuestError::Lost(format!("`readable`: {found} schemas; at most {PLUGIN_SCHEMAS_MAX}")));
        }
        schemas.iter().try_for_each(|schema| check_name("readable", "the name of a schema", &schema.name))?;
        Ok(schemas)
    }

    fn checkpoint_begin(&mut self, epoch: u64, full: bool) -> Result<(), GuestError> {
        self.0.checkpoint_begin(epoch, full).map_err(shown)
    }

    fn checkpoint_next(&mut self, max_bytes: u32) -> Result<Option<Vec<u8>>, GuestError> {
        self.0.checkpoint_next(max_bytes).map_err(shown)
    }

    fn checkpoint_end(&mut self, epoch: u64, durable: bool) -> Result<(), GuestError> {
        self.0.checkpoint_end(epoch, durable).map_err(shown)
    }

    fn restore(&mut self, frame: &[u8]) -> Result<(), GuestError> {
        self.0.restore(frame).map_err(shown)
    }

    fn restore_end(&mut self) -> Result<(), GuestError> {
        self.0.restore_end().map_err(shown)
    }
}
