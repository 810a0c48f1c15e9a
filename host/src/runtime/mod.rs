//! Running an application: source, engine, sink, and checkpoints that make its output exact.
//!
//! Exactly once: a checkpoint holds the position in the source and the length of the output. The
//! first one is taken before the first event. A start restores the newest, cuts the output to the
//! recorded length, and goes on from the recorded position, so that the finished output is the same
//! however often and wherever the process was killed. Standard input and output can be neither
//! rewound nor cut: with `-` this does not hold.
//!
//! The output is locked by the run that writes it, and known by a hash of its last bytes: what is not
//! its own a run neither cuts nor appends to.

mod output;
mod plugins;
mod reader;
mod recorded;
mod run;
mod sink;
mod start;
mod take_over;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventflux_core::definition::{ApplicationDefinition, CheckpointDefinition, OperatorDefinition, OperatorKind};
use eventflux_core::{CatalogEntry, Compression, Engine, EngineProgress, Head, Selector};

use crate::config;
use crate::error::{Error, Result};
use crate::manager::read_head;
use crate::source::{Source, SourceOptions};
use crate::storage::{Access, AnyBackend, StorageAddress};

/// Makes runtimes of application definitions, built in Rust or read from TOML ([`Self::load`]).
///
/// A [`Runtime`] is configured, then started once; to go on, or back, make another one.
///
/// ```
/// use eventflux::definition::{ApplicationDefinition, OperatorDefinition, SinkDefinition, SourceDefinition};
/// use eventflux::{CheckpointConfig, EventFluxManager};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// std::fs::write(directory.join("in.csv"), "at,city\n1000,Oslo\n2000,Bonn\n3000,Oslo\n")?;
/// let definition = ApplicationDefinition::new("cities", SourceDefinition::file("in.csv").timestamp("at"))
///     .sink(SinkDefinition::file("out.ndjson"))
///     .operator(OperatorDefinition::aggregation("visits").key(["city"]).compute("n", "count")?);
///
/// let manager = EventFluxManager::new().with_base_directory(directory);
/// let config = CheckpointConfig { storage: Some("file:state".into()), every_events: Some(2), ..Default::default() };
/// let runtime = manager.create_runtime(definition.clone())?.with_checkpoint_config(config.clone());
/// let summary = runtime.start()?;
/// assert_eq!((summary.events, summary.results, summary.finished), (3, 2, true));
///
/// // Started again, it goes on from its newest checkpoint: the source is finished, nothing is done.
/// let runtime = manager.create_runtime(definition.clone())?.with_checkpoint_config(config.clone());
/// let latest = runtime.get_latest_checkpoint()?.expect("it took some");
/// assert!(runtime.start()?.already_finished);
///
/// // Back to the checkpoint before: the output is cut, and what follows is done again.
/// let runtime = manager.create_runtime(definition)?.with_checkpoint_config(config);
/// let summary = runtime.restore_from_checkpoint(latest.object.id - 1)?.start()?;
/// assert_eq!((summary.events, summary.events_this_run, summary.results), (3, 1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct EventFluxManager {
    base: PathBuf,
}

/// When and where checkpoints of a runtime go. `None` leaves what the definition says; but of `interval` and
/// `every_events`, either takes the place of both: there would be no other way to leave one out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// Address of the storage, such as `file:state`.
    pub storage: Option<String>,
    /// Time between checkpoints.
    pub interval: Option<Duration>,
    /// Events between checkpoints.
    pub every_events: Option<u64>,
    /// Compression.
    pub compression: Option<Compression>,
    /// How many checkpoints stay, beside labelled ones.
    pub max_retained: Option<u32>,
}

/// Where a run begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// At the newest checkpoint; at the start of the source if there is none.
    #[default]
    LatestOrStart,
    /// At a checkpoint, which must exist.
    Checkpoint(Selector),
    /// At the start of the source, with empty state; the output is overwritten.
    Start,
}

/// An application about to run.
pub struct Runtime {
    definition: ApplicationDefinition,
    /// File and text of the definition, for messages.
    text: Option<(String, String)>,
    base: PathBuf,
    from: StartFrom,
    access: Access,
    allow_missing: bool,
    allow_unknown: bool,
    stop: StopHandle,
    observer: Option<Observer>,
    #[cfg(feature = "plugins")]
    plugins: Option<crate::plugin::Runtime>,
}

/// Called now and then with how far a run is.
type Observer = Box<dyn FnMut(&RunProgress) + Send>;

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("definition", &self.definition)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// Stops a run from another thread: it takes a last checkpoint and ends.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    stopped: AtomicBool,
    /// Whether the source is open, which standard input may be waited for with.
    begun: AtomicBool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Events taken, those before a restart among them.
    pub events: u64,
    /// Results given out, likewise.
    pub results: u64,
    /// Checkpoints taken by this run.
    pub checkpoints: u64,
    /// Bytes of the source file read.
    pub bytes_read: u64,
    /// Bytes of the source file; `None` for standard input.
    pub bytes_total: Option<u64>,
}

/// What an operator did since the start of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorSummary {
    /// Its name.
    pub name: String,
    /// Results that it gave.
    pub results: u64,
    /// Events that came too late for it.
    pub late: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSummary {
    /// Name of the application.
    pub name: String,
    /// Whether the source had ended before this run: it changed nothing.
    pub already_finished: bool,
    /// Whether the source has ended.
    pub finished: bool,
    /// Checkpoint from which this run continued.
    pub restored_from: Option<u64>,
    /// Events since the start of the source.
    pub events: u64,
    /// Events taken by this run.
    pub events_this_run: u64,
    /// Late events since the start of the source, over all operators.
    pub late: u64,
    /// Results since the start of the source.
    pub results: u64,
    /// What each operator did, in the order of the definition.
    pub operators: Vec<OperatorSummary>,
    /// Checkpoints taken by this run.
    pub checkpoints: u64,
    /// Raw bytes of their sections, that is as rows; see [`CheckpointSizes`](eventflux_core::CheckpointSizes).
    pub checkpoint_raw_bytes: u64,
    /// Stored bytes of their objects.
    pub checkpoint_stored_bytes: u64,
    /// Operators whose plugins failed for good, and that the others went on without.
    pub detached: Vec<String>,
    /// Length of the output.
    pub output_bytes: u64,
    /// Newest checkpoint.
    pub latest_checkpoint: Option<u64>,
    /// How long this run took.
    pub elapsed: Duration,
}

impl OperatorSummary {
    /// Those of operators with these names, of what an engine has counted.
    pub(crate) fn all<S: Into<String>>(
        names: impl Iterator<Item = S>,
        progress: &EngineProgress,
    ) -> Vec<OperatorSummary> {
        let counts = progress.results.iter().zip(&progress.late);
        let all = names.zip(counts);
        all.map(|(name, (results, late))| OperatorSummary { name: name.into(), results: *results, late: *late })
            .collect()
    }
}

impl EventFluxManager {
    /// A manager; relative paths of definitions are below the working directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Relative paths of definitions are below `base`.
    #[must_use]
    pub fn with_base_directory(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = base.into();
        self
    }

    /// A runtime for a definition built in Rust.
    ///
    /// # Errors
    /// [`Error::Core`] with [`Definition`](eventflux_core::Error::Definition) if it is wrong.
    pub fn create_runtime(&self, definition: ApplicationDefinition) -> Result<Runtime> {
        definition.check()?;
        Ok(Runtime::new(definition, None, self.base.clone()))
    }

    /// A runtime for a definition in a TOML file; its paths are relative to the file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Definition`].
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Runtime> {
        let path = self.base.join(path.as_ref());
        let text = std::fs::read_to_string(&path).map_err(|reason| Error::File {
            action: "read",
            path: path.clone(),
            reason,
        })?;
        let file = path.display().to_string();
        let definition = config::parse(&text, &file)?;
        let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Runtime::new(definition, Some((file, text)), base))
    }
}

impl Runtime {
    fn new(definition: ApplicationDefinition, text: Option<(String, String)>, base: PathBuf) -> Self {
        Runtime {
            definition,
            text,
            base,
            from: StartFrom::default(),
            access: Access::Write,
            allow_missing: false,
            allow_unknown: false,
            stop: StopHandle::default(),
            observer: None,
            #[cfg(feature = "plugins")]
            plugins: None,
        }
    }

    /// Changes when and where checkpoints go.
    #[must_use]
    pub fn with_checkpoint_config(mut self, config: CheckpointConfig) -> Self {
        let checkpoint: &mut CheckpointDefinition = &mut self.definition.checkpoint;
        if config.interval.is_some() || config.every_events.is_some() {
            checkpoint.interval_ms =
                config.interval.map(|interval| interval.as_millis().clamp(1, i64::MAX as u128) as i64);
            checkpoint.every_events = config.every_events;
        }
        checkpoint.storage = config.storage.unwrap_or_else(|| std::mem::take(&mut checkpoint.storage));
        checkpoint.compression = config.compression.unwrap_or(checkpoint.compression);
        checkpoint.max_retained = config.max_retained.unwrap_or(checkpoint.max_retained);
        self
    }

    /// Starts somewhere other than at the newest checkpoint.
    #[must_use]
    pub fn start_from(mut self, from: StartFrom) -> Self {
        self.from = from;
        self
    }

    /// Takes storage and output over from a run that may still be alive. Its next checkpoint is refused; the output
    /// continues in a copy that replaces the old file.
    #[must_use]
    pub fn take_over(mut self) -> Self {
        self.access = Access::TakeOver;
        self
    }

    /// Operators that the checkpoint does not know start empty.
    #[must_use]
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.allow_missing = allow;
        self
    }

    /// State of operators that are gone is dropped.
    #[must_use]
    pub fn allow_unknown(mut self, allow: bool) -> Self {
        self.allow_unknown = allow;
        self
    }

    /// Runs plugins there; without this, in a runtime of its own with the user's cache of compiled components.
    #[cfg(feature = "plugins")]
    #[must_use]
    pub fn with_plugins_in(mut self, plugins: crate::plugin::Runtime) -> Self {
        self.plugins = Some(plugins);
        self
    }

    /// Calls `observer` now and then with how far the run is.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(&RunProgress) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// A handle that stops the run.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &ApplicationDefinition {
        &self.definition
    }

    /// The newest checkpoint of the storage, if there is one.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn get_latest_checkpoint(&self) -> Result<Option<CatalogEntry>> {
        let head = self.published()?;
        Ok(head.latest.and_then(|id| head.entry(id)).cloned())
    }

    /// Begins at the checkpoint of this number.
    ///
    /// # Errors
    /// [`NoSuchCheckpoint`](eventflux_core::Error::NoSuchCheckpoint) if there is none.
    pub fn restore_from_checkpoint(self, id: u64) -> Result<Self> {
        Selector::Id(id).find(&self.published()?)?;
        Ok(self.start_from(StartFrom::Checkpoint(Selector::Id(id))))
    }

    /// Runs until the source ends or the run is stopped, on this thread.
    ///
    /// # Errors
    /// Any of [`Error`]. Whatever fails, the newest checkpoint stays good: start again to go on.
    pub fn start(self) -> Result<RunSummary> {
        run::run(self)
    }

    /// What the storage holds now; nothing if it does not exist yet.
    fn published(&self) -> Result<Head> {
        self.to_read()?.map_or_else(|| Ok(Head::default()), |mut backend| read_head(&mut backend))
    }

    /// The storage, if it exists.
    fn to_read(&self) -> Result<Option<AnyBackend>> {
        let address = self.storage()?;
        if let StorageAddress::File(path) = &address
            && !path.exists()
        {
            return Ok(None);
        }
        match address.open(Access::Read) {
            Ok(backend) => Ok(Some(backend)),
            // Made, but nothing was ever published.
            Err(Error::File { reason, .. }) if reason.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn storage(&self) -> Result<StorageAddress> {
        StorageAddress::parse(&self.definition.checkpoint.storage, &self.base)
    }

    fn source_path(&self) -> PathBuf {
        let file = &self.definition.source.file;
        if file == "-" { PathBuf::from("-") } else { self.base.join(file) }
    }

    /// The source as all messages name it.
    fn source_name(&self) -> String {
        let path = self.source_path();
        if path.as_os_str() == "-" { String::from("standard input") } else { path.display().to_string() }
    }

    fn open_source(&self) -> Result<Source> {
        let source = &self.definition.source;
        let file = self.source_path();
        // What cannot be read again is lost when a run goes on from a checkpoint.
        if source.file != "-" && file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let reason = format!(
                "`{}` is no regular file, so that a run could not go on in it from a checkpoint; write \"-\", and send its \
                 events to standard input",
                source.file
            );
            return Err(self.located(eventflux_core::Error::Definition { path: "source.file".into(), reason }));
        }
        Ok(Source::open(&SourceOptions {
            file,
            timestamp: source.timestamp.clone(),
            null: source.null.clone(),
            text: source.text.clone(),
            fields: source.fields.clone(),
        })?)
    }

    fn engine(&self, source: &Source) -> Result<Engine> {
        Engine::new(&self.definition, source.fields()).map_err(|error| self.located(error))
    }

    /// With file and line of the definition, if it has any.
    fn located(&self, error: eventflux_core::Error) -> Error {
        match &self.text {
            Some((file, text)) => config::with_line(error, text, file),
            None => error.into(),
        }
    }

    /// Refuses an output that would overwrite what the run needs.
    fn check_sink_path(&self) -> Result<()> {
        let sink = self.sink_path();
        if sink.as_os_str() == "-" {
            return Ok(());
        }
        let found = resolved(&sink);
        let is = |path: &Path| path.canonicalize().is_ok_and(|path| path == found) || is_linked(path, &sink);
        let refused = |what: &str| {
            Err(Error::Output { path: sink.clone(), reason: format!("is {what}; name another `file` under [sink]") })
        };
        if self.definition.source.file != "-" && is(&self.base.join(&self.definition.source.file)) {
            return refused("the source too");
        }
        if self.text.as_ref().is_some_and(|(file, _)| is(Path::new(file))) {
            return refused("the definition of the application");
        }
        let plugin = |operator: &OperatorDefinition| match &operator.kind {
            OperatorKind::Plugin(plugin) => is(&self.base.join(&plugin.file)),
            _ => false,
        };
        if let Some(operator) = self.definition.operators.iter().find(|operator| plugin(operator)) {
            return refused(&format!("the plugin of operator `{}`", operator.name));
        }
        if let StorageAddress::File(directory) = self.storage()?
            && found.starts_with(resolved(&directory))
        {
            return refused("inside the storage of the checkpoints");
        }
        Ok(())
    }

    fn sink_path(&self) -> PathBuf {
        let file = &self.definition.sink.file;
        if file == "-" { PathBuf::from("-") } else { self.base.join(file) }
    }
}

/// Whether two names are of one file, though neither is a link to the other.
fn is_linked(path: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(path), Ok(other)) = (path.metadata(), other.metadata()) {
        use std::os::unix::fs::MetadataExt;
        return path.is_file() && (path.dev(), path.ino()) == (other.dev(), other.ino());
    }
    let _ = (path, other);
    false
}

impl StopHandle {
    /// Asks the run to stop.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Whether there is something to end: before its source is open a run has changed nothing, and may wait for ever.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }
}

/// A path without links, also of what does not exist yet: what does is resolved, the rest stays behind it.
fn resolved(path: &Path) -> PathBuf {
    let below = |ancestor: &Path| path.strip_prefix(ancestor).map(Path::to_path_buf).unwrap_or_default();
    let known = |ancestor: &Path| {
        let named = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        Some(named.canonicalize().ok()?.join(below(ancestor)))
    };
    path.ancestors().find_map(known).unwrap_or_else(|| path.into())
}
