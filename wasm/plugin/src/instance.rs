//! All calls of the world, on bytes: what the exports of a plugin call, and native tests and benchmarks.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use eventflux_core::plugin::{BatchReader, FrameMigration, Frames, Item, PluginState as State, ResultsWriter};

use crate::config::Config;
use crate::error::Error;
use crate::operator::{Event, Operator, Results, Schema, Setup};

/// A plugin, and the calls of the world (`eventflux.wit`) that a host makes.
///
/// ```
/// use eventflux_core::plugin::{BatchWriter, ResultsReader};
/// use eventflux_plugin::{Config, Event, Failure, Instance, Operator, Results, Setup, State, Value};
///
/// struct Counter;
///
/// impl Operator for Counter {
///     fn name(&self) -> &'static str {
///         "counter"
///     }
///     fn configure(&mut self, _config: &mut Config) -> Result<Setup, String> {
///         Ok(Setup::new([], ["count"]))
///     }
///     fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), Failure> {
///         let count = state.get::<i64>(event.key)?.unwrap_or(0) + 1;
///         state.set(event.key, &count)?;
///         out.give(event.timestamp, event.key, [&Value::Int(count)]);
///         Ok(())
///     }
/// }
///
/// let mut instance = Instance::new(Box::new(Counter));
/// instance.init("{}", 1 << 20).unwrap();
/// let mut batch = BatchWriter::default();
/// batch.event(1_000, b"key", []);
/// batch.event(2_000, b"key", []);
/// let results = instance.process(batch.bytes()).unwrap();
/// let mut results = ResultsReader::new(&results, batch.items(), 1);
/// assert_eq!(results.next_result().unwrap().unwrap().values, [Value::Int(1)]);
/// assert_eq!(results.next_result().unwrap().unwrap().values, [Value::Int(2)]);
/// ```
pub struct Instance {
    operator: Box<dyn Operator>,
    running: Option<Running>,
    /// Whether a call failed with the state half changed.
    is_broken: bool,
}

/// What there is once it is configured.
struct Running {
    state: State,
    frames: Frames,
    inputs: usize,
}

/// What the plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Name, for people.
    pub name: String,
    /// Version, for people.
    pub version: String,
    /// Schema of the frames it hands out.
    pub schema: Schema,
}

impl Instance {
    /// An instance that has not been configured.
    #[must_use]
    pub fn new(operator: Box<dyn Operator>) -> Self {
        Instance { operator, running: None, is_broken: false }
    }

    /// First call: a JSON object, and how many bytes of memory the state may take.
    ///
    /// # Errors
    /// [`Error::BadConfig`]; [`Error::Internal`] if it was called before.
    pub fn init(&mut self, config: &str, state_budget: u64) -> Result<Setup, Error> {
        if self.running.is_some() {
            return Err(Error::Internal("`init` was called before".into()));
        }
        let mut config = Config::parse(config).map_err(Error::BadConfig)?;
        let setup = self.operator.configure(&mut config).map_err(Error::BadConfig)?;
        config.finish().map_err(Error::BadConfig)?;
        let state = State::new(usize::try_from(state_budget).unwrap_or(usize::MAX));
        let frames = Frames::new(self.operator.schema());
        self.running = Some(Running { state, frames, inputs: setup.inputs.len() });
        Ok(setup)
    }

    /// Takes a batch, gives results.
    ///
    /// # Errors
    /// [`Error::BadEvent`], with the state as before; [`Error::StateLimit`] and [`Error::Internal`], after which
    /// the instance is of no more use.
    pub fn process(&mut self, batch: &[u8]) -> Result<Vec<u8>, Error> {
        let Running { inputs, .. } = *self.running()?;
        self.check(batch, inputs)?;
        // A result is about as long as an event.
        let mut writer = ResultsWriter::with_capacity(batch.len());
        let applied = self.apply(batch, &mut writer);
        self.is_broken = applied.is_err();
        applied.map(|()| writer.into_bytes())
    }

    /// The source has come this far without an event of this operator.
    ///
    /// # Errors
    /// As [`Instance::process`].
    pub fn on_watermark(&mut self, ms: i64) -> Result<Vec<u8>, Error> {
        self.running()?;
        let Instance { operator, running: Some(running), .. } = self else { return Err(not_configured()) };
        let mut writer = ResultsWriter::default();
        let applied = operator.on_watermark(&mut running.state, ms, &mut Results::new(&mut writer, 0));
        self.is_broken = applied.is_err();
        applied.map_err(Error::from).map(|()| writer.into_bytes())
    }

    /// What the plugin is.
    #[must_use]
    pub fn describe(&self) -> Description {
        let operator = &self.operator;
        Description { name: operator.name().into(), version: operator.version().into(), schema: operator.schema() }
    }

    /// Schemas whose frames [`Instance::restore`] takes: its own first.
    #[must_use]
    pub fn readable(&self) -> Vec<Schema> {
        let mut readable = alloc::vec![self.operator.schema()];
        readable.extend(self.operator.readable());
        readable
    }

    /// Cuts a checkpoint.
    ///
    /// # Errors
    /// [`Error::Internal`] if one is under way.
    pub fn checkpoint_begin(&mut self, epoch: u64, full: bool) -> Result<(), Error> {
        let running = self.running()?;
        Ok(running.frames.begin(&mut running.state, epoch, full)?)
    }

    /// The next frame, or none.
    ///
    /// # Errors
    /// [`Error::Internal`] if no checkpoint is under way.
    pub fn checkpoint_next(&mut self, max_bytes: u32) -> Result<Option<Vec<u8>>, Error> {
        let running = self.running()?;
        Ok(running.frames.next_frame(&mut running.state, usize::try_from(max_bytes).unwrap_or(usize::MAX))?)
    }

    /// The checkpoint is over.
    ///
    /// # Errors
    /// [`Error::Internal`] if it is not under way, or is to be durable before all frames were handed out.
    pub fn checkpoint_end(&mut self, epoch: u64, durable: bool) -> Result<(), Error> {
        let running = self.running()?;
        Ok(running.frames.end(&mut running.state, epoch, durable)?)
    }

    /// Takes a frame back.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::ChainGap`], [`Error::UnsupportedSchema`]. The state has not changed.
    pub fn restore(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.running()?;
        let Instance { operator, running: Some(running), .. } = self else { return Err(not_configured()) };
        Ok(running.frames.restore(frame, Some(&Migration(operator.as_ref())))?)
    }

    /// All frames were given.
    ///
    /// # Errors
    /// As [`Instance::restore`]; also what [`Operator::on_restored`] says.
    pub fn restore_end(&mut self) -> Result<(), Error> {
        self.running()?;
        let Instance { operator, running: Some(running), .. } = self else { return Err(not_configured()) };
        running.frames.restore_end(&mut running.state, Some(&Migration(operator.as_ref())))?;
        let restored = operator.on_restored(&running.state);
        self.is_broken = restored.is_err();
        Ok(restored?)
    }

    /// The state, to look at.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.running.as_ref().map(|running| &running.state)
    }

    fn running(&mut self) -> Result<&mut Running, Error> {
        if self.is_broken {
            return Err(Error::Internal("a call before failed, with the state half changed".into()));
        }
        self.running.as_mut().ok_or_else(not_configured)
    }

    /// Whether a batch can be taken. Changes nothing.
    fn check(&self, batch: &[u8], inputs: usize) -> Result<(), Error> {
        let mut reader = BatchReader::new(batch, inputs);
        let mut index = 0;
        while let Some(item) = reader.next_item().map_err(|reason| Error::Internal(reason.to_string()))? {
            if let Item::Event { timestamp, key, values } = item {
                let event = Event { timestamp, key, values };
                self.operator.check(&event).map_err(|reason| Error::BadEvent { index, reason })?;
            }
            index += 1;
        }
        Ok(())
    }

    fn apply(&mut self, batch: &[u8], writer: &mut ResultsWriter) -> Result<(), Error> {
        let Instance { operator, running: Some(running), .. } = self else { return Err(not_configured()) };
        let mut reader = BatchReader::new(batch, running.inputs);
        let mut index = 0;
        while let Some(item) = reader.next_item().map_err(|reason| Error::Internal(reason.to_string()))? {
            let mut out = Results::new(writer, index);
            match item {
                Item::Event { timestamp, key, values } => {
                    operator.on_event(&mut running.state, &Event { timestamp, key, values }, &mut out)?;
                }
                Item::Watermark { ms } => operator.on_watermark(&mut running.state, ms, &mut out)?,
            }
            index += 1;
        }
        Ok(())
    }
}

impl core::fmt::Debug for Instance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Instance").field("plugin", &self.operator.name()).finish_non_exhaustive()
    }
}

/// Migrates by asking the operator.
struct Migration<'a>(&'a dyn Operator);

impl FrameMigration for Migration<'_> {
    fn reads(&self, found: &Schema) -> bool {
        self.0.readable().contains(found)
    }

    fn migrate(&self, found: &Schema, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.0.migrate(found, key, value)
    }
}

fn not_configured() -> Error {
    Error::Internal("`init` must be called first".into())
}

#[cfg(test)]
mod tests;
