//! What an operator is.

use alloc::string::String;
use alloc::vec::Vec;

use eventflux_core::Value;
use eventflux_core::plugin::{PluginState as State, ResultsWriter};

use crate::config::Config;
use crate::error::Failure;

/// What the state of an operator is: another name is another state.
pub use eventflux_core::plugin::FrameSchema as Schema;

/// A stream operator.
///
/// What it has to remember from one event to another belongs into the state: members of its own are lost when the host
/// starts it anew, unless [`configure`](Self::configure) or [`on_restored`](Self::on_restored) makes them again. The
/// same events must give the same results: iterate over nothing whose order is not settled.
pub trait Operator: Send {
    /// Name of the plugin, for people.
    fn name(&self) -> &'static str;

    /// Its version, for people.
    fn version(&self) -> &'static str {
        "1.0.0"
    }

    /// What its state is, and of which version.
    fn schema(&self) -> Schema {
        Schema { name: self.name().into(), version: 1 }
    }

    /// Older schemas that [`migrate`](Self::migrate) knows.
    fn readable(&self) -> Vec<Schema> {
        Vec::new()
    }

    /// The first call: takes the configuration. A member that it does not ask for is an error.
    ///
    /// # Errors
    /// What is wrong with it: which member, and what it should be.
    fn configure(&mut self, config: &mut Config) -> Result<Setup, String>;

    /// A state was restored; what is kept beside it, such as [`Timers`](crate::Timers), must be made again.
    ///
    /// # Errors
    /// [`Failure`] if it does not make sense.
    fn on_restored(&mut self, state: &State) -> Result<(), Failure> {
        let _ = state;
        Ok(())
    }

    /// Whether an event can be taken. Asked for all events of a batch before the first of them changes anything.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, event: &Event<'_>) -> Result<(), String> {
        let _ = event;
        Ok(())
    }

    /// Takes an event.
    ///
    /// # Errors
    /// [`Failure`]: the operator cannot go on. An event that cannot be taken is for [`check`](Self::check) to say.
    fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), Failure>;

    /// The watermark has come this far (milliseconds since 1970), at the end of the source to [`i64::MAX`].
    ///
    /// # Errors
    /// As [`on_event`](Self::on_event).
    fn on_watermark(&mut self, state: &mut State, ms: i64, out: &mut Results<'_>) -> Result<(), Failure> {
        let _ = (state, ms, out);
        Ok(())
    }

    /// Brings a value of an older state to the present schema; `None` drops the key.
    ///
    /// # Errors
    /// Why it cannot.
    fn migrate(&self, from: &Schema, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let _ = (from, key);
        Ok(Some(value.to_vec()))
    }
}

/// What a configured operator takes and gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// Fields of the stream whose values it wants of each event.
    pub inputs: Vec<String>,
    /// Names of the values of its results.
    pub outputs: Vec<String>,
    /// Whether it wants to be told of watermarks.
    pub watermarks: bool,
}

impl Setup {
    /// Fields it takes, and values it gives.
    #[must_use]
    pub fn new<'a>(inputs: impl IntoIterator<Item = &'a str>, outputs: impl IntoIterator<Item = &'a str>) -> Self {
        let owned = |name: &str| name.into();
        Setup {
            inputs: inputs.into_iter().map(owned).collect(),
            outputs: outputs.into_iter().map(owned).collect(),
            watermarks: false,
        }
    }

    /// It wants to be told of watermarks.
    #[must_use]
    pub fn with_watermarks(mut self) -> Self {
        self.watermarks = true;
        self
    }
}

/// An event on its way to an operator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// Event time, milliseconds since 1970.
    pub timestamp: i64,
    /// The values of the operator's key fields, in bytes that sort as they do.
    pub key: &'a [u8],
    /// A value for each of [`Setup::inputs`].
    pub values: &'a [Value],
}

/// Where results go.
#[derive(Debug)]
pub struct Results<'a> {
    writer: &'a mut ResultsWriter,
    item: u32,
}

impl<'a> Results<'a> {
    pub(crate) fn new(writer: &'a mut ResultsWriter, item: u32) -> Self {
        Results { writer, item }
    }

    /// Gives a result: its time (milliseconds since 1970), which orders it among what the same watermark releases, as
    /// the end of a window does, the key of an event, and a value for each of [`Setup::outputs`].
    pub fn give<'v>(&mut self, time_ms: i64, key: &[u8], values: impl IntoIterator<Item = &'v Value>) {
        self.writer.result(self.item, time_ms, key, values);
    }
}
