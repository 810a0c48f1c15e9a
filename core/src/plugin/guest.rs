//! What the engine asks of a plugin; the host answers with the runtime that it has.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A component: its bytes, and their SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The file as it is.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of the bytes: what a checkpoint knows it by.
    pub digest: [u8; 32],
}

/// Where instances come from.
pub trait GuestHome: Send {
    /// A new instance of a component, not yet initialised. Before, waits as long as befits so many failures since the
    /// last checkpoint; 0 is the usual start.
    ///
    /// # Errors
    /// Why there is none, for people.
    fn start(&mut self, component: &Component, failures: u32) -> Result<Box<dyn Guest>, String>;
}

/// A running instance: the calls of `wasm/wit/eventflux.wit`, whose order the engine keeps.
///
/// Nothing that comes from it is trusted. After [`GuestError::Lost`] the engine drops it.
pub trait Guest: Send {
    /// `operator.init`.
    ///
    /// # Errors
    /// [`GuestError`], as for all calls.
    fn init(&mut self, config: &str, state_budget_bytes: u64) -> Result<GuestSetup, GuestError>;

    /// `operator.process`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn process(&mut self, batch: &[u8]) -> Result<Vec<u8>, GuestError>;

    /// `operator.on-watermark`, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`GuestError`].
    fn on_watermark(&mut self, ms: i64) -> Result<Vec<u8>, GuestError>;

    /// `checkpointing.describe`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn describe(&mut self) -> Result<GuestDescription, GuestError>;

    /// `checkpointing.readable`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn readable(&mut self) -> Result<Vec<GuestSchema>, GuestError>;

    /// `checkpointing.checkpoint-begin`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn checkpoint_begin(&mut self, epoch: u64, full: bool) -> Result<(), GuestError>;

    /// `checkpointing.checkpoint-next`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn checkpoint_next(&mut self, max_bytes: u32) -> Result<Option<Vec<u8>>, GuestError>;

    /// `checkpointing.checkpoint-end`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn checkpoint_end(&mut self, epoch: u64, durable: bool) -> Result<(), GuestError>;

    /// `checkpointing.restore`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn restore(&mut self, frame: &[u8]) -> Result<(), GuestError>;

    /// `checkpointing.restore-end`.
    ///
    /// # Errors
    /// [`GuestError`].
    fn restore_end(&mut self) -> Result<(), GuestError>;
}

/// What a configured plugin takes and gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestSetup {
    /// Fields of the stream that it wants.
    pub inputs: Vec<String>,
    /// Names of the values of its results.
    pub outputs: Vec<String>,
    /// Whether it wants watermarks.
    pub watermarks: bool,
}

/// What a plugin is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestDescription {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Schema of its frames.
    pub schema: GuestSchema,
}

/// What a plugin's state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSchema {
    /// Another name is another state.
    pub name: String,
    /// Version of what is stored under it.
    pub version: u32,
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestError {
    /// An event cannot be taken; the state is as before the batch.
    BadEvent {
        /// Number of the item in the batch.
        index: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin refused, in its own words; what its state is now cannot be known.
    Refused(String),
    /// A trap, an answer that came too late or made no sense: the instance is of no use any more.
    Lost(String),
}

impl core::fmt::Display for GuestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            GuestError::BadEvent { index, reason } => write!(f, "it refused item {index} of a batch: {reason}"),
            GuestError::Refused(reason) | GuestError::Lost(reason) => f.write_str(reason),
        }
    }
}
