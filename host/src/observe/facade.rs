//! The metrics, by their names; all go through the facade `metrics` to whatever recorder the
//! program has installed.
//!
//! Each has a label `application`, the name of the application or the id of the holder. Counters
//! count what this process did: a restart begins again at 0, as Prometheus expects.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use eventflux_core::{EncodedCheckpoint, Engine, Error, Published, StateHolder};
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::Phase;
use crate::clock::now_ms;

const CHECKPOINTS: &str = "eventflux_checkpoints_total";
const CHECKPOINT_DURATION: &str = "eventflux_checkpoint_duration_seconds";
const CHECKPOINT_RAW_BYTES: &str = "eventflux_checkpoint_raw_bytes_total";
const CHECKPOINT_STORED_BYTES: &str = "eventflux_checkpoint_stored_bytes_total";
const CHECKPOINT_DIRTY_ENTRIES: &str = "eventflux_checkpoint_dirty_entries_total";
const CHECKPOINT_DIRTY_BYTES: &str = "eventflux_checkpoint_dirty_bytes_total";
const CHECKPOINT_FAILURES: &str = "eventflux_checkpoint_failures_total";
const FENCED: &str = "eventflux_fenced_total";
const LAST_CHECKPOINT: &str = "eventflux_last_checkpoint_timestamp_seconds";
const LAST_CHECKPOINT_AGE: &str = "eventflux_last_checkpoint_age_seconds";
const RESTORE_DURATION: &str = "eventflux_restore_duration_seconds";
const STATE_BYTES: &str = "eventflux_state_size_bytes";
const STATE_ENTRIES: &str = "eventflux_state_entries";
const EVENTS: &str = "eventflux_events_total";
const LATE_EVENTS: &str = "eventflux_late_events_total";
const RESULTS: &str = "eventflux_results_total";

/// Bounds that suit the histograms of durations, in seconds: from the cut, some microseconds, to
/// an object that takes half a minute to upload. For recorders that must be told.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// How often a run calls [`refresh`] itself, for programs that do not.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// When the newest durable checkpoint of each application was cut, milliseconds since 1970.
static DURABLE: Mutex<BTreeMap<String, i64>> = Mutex::new(BTreeMap::new());

/// Tells the recorder installed what the metrics mean and in which units they are. Once, after it
/// is installed.
///
/// ```
/// use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder, observe};
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = PrometheusBuilder::new().set_buckets(&observe::DURATION_BUCKETS)?.install_recorder()?;
/// observe::describe();
///
/// let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default())?;
/// let mut orders = StateHolder::builder("orders").build()?;
/// orders.set("eu", &3_u32)?;
/// manager.checkpoint(&mut orders, None)?;
///
/// observe::refresh(); // before each look
/// assert!(metrics.render().contains("eventflux_checkpoints_total{application=\"orders\"} 1"));
/// # Ok(())
/// # }
/// ```
pub fn describe() {
    describe_counter!(CHECKPOINTS, Unit::Count, "Checkpoints that became durable.");
    describe_histogram!(
        CHECKPOINT_DURATION,
        Unit::Seconds,
        "Duration of a checkpoint by its parts: cut and capture hold up the events, in slices; sync (of the output), \
         encode, put (of the object), publish (of the head) and prune (of what retention gives up) do not; total is \
         from the cut until it is durable."
    );
    describe_counter!(
        CHECKPOINT_RAW_BYTES,
        Unit::Bytes,
        "State written to checkpoints, before packing and compression: what changed (delta), and key groups written \
         anew (base)."
    );
    describe_counter!(
        CHECKPOINT_STORED_BYTES,
        Unit::Bytes,
        "Bytes of checkpoints put into the storage: delta, base, and what describes them (manifest)."
    );
    describe_counter!(
        CHECKPOINT_DIRTY_ENTRIES,
        Unit::Count,
        "Entries of state written or removed since the checkpoint before."
    );
    describe_counter!(
        CHECKPOINT_DIRTY_BYTES,
        Unit::Bytes,
        "Bytes of state written or removed since the checkpoint before, as they are before packing and compression."
    );
    describe_counter!(CHECKPOINT_FAILURES, Unit::Count, "Checkpoints that did not become durable.");
    describe_counter!(FENCED, Unit::Count, "Checkpoints refused since another writer has taken the storage over.");
    describe_gauge!(
        LAST_CHECKPOINT,
        Unit::Seconds,
        "When the newest durable checkpoint was cut, in seconds since 1970 (UTC)."
    );
    describe_gauge!(LAST_CHECKPOINT_AGE, Unit::Seconds, "How long ago the newest durable checkpoint was cut.");
    describe_histogram!(RESTORE_DURATION, Unit::Seconds, "Duration of a restore, from the storage into memory.");
    describe_gauge!(STATE_BYTES, Unit::Bytes, "Memory that a state takes, within 10 %.");
    describe_gauge!(STATE_ENTRIES, Unit::Count, "Entries of a state: its keys.");
    describe_counter!(EVENTS, Unit::Count, "Events taken.");
    describe_counter!(LATE_EVENTS, Unit::Count, "Events that came too late for an operator, which dropped them.");
    describe_counter!(RESULTS, Unit::Count, "Results given out.");
}

/// Brings up to date what changes without anything being done: the age of the newest checkpoint.
/// Call it before the recorder is read; a run does so once a second, unless it waits for a storage.
pub fn refresh() {
    let now = now_ms();
    let durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    for (application, created_ms) in durable.iter() {
        // A clock that was set back makes no age below nothing.
        let age = now.saturating_sub(*created_ms).max(0);
        gauge!(LAST_CHECKPOINT_AGE, "application" => application.clone()).set(age as f64 / 1000.0);
    }
}

/// Measures one duration.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Records it as that of a part of a checkpoint.
    pub(crate) fn stop(self, application: &str, phase: Phase) {
        record_phase(application, phase, self.0.elapsed());
    }

    /// Records it as that of a restore.
    pub(crate) fn stop_restore(self, application: &str) {
        histogram!(RESTORE_DURATION, "application" => application.to_owned()).record(self.0.elapsed());
    }
}

/// The sum of several durations.
#[derive(Debug)]
pub(crate) struct Spent(Duration);

impl Spent {
    pub(crate) fn none() -> Self {
        Spent(Duration::ZERO)
    }

    pub(crate) fn add(&mut self, stopwatch: Stopwatch) {
        self.0 += stopwatch.0.elapsed();
    }

    pub(crate) fn record(self, application: &str, phase: Phase) {
        record_phase(application, phase, self.0);
    }
}

fn record_phase(application: &str, phase: Phase, duration: Duration) {
    let application = application.to_owned();
    histogram!(CHECKPOINT_DURATION, "application" => application, "phase" => phase.as_str()).record(duration);
}

/// A checkpoint is durable.
pub(crate) fn checkpoint_published(encoded: &EncodedCheckpoint, published: &Published) {
    let application = &encoded.manifest().holder;
    let (entry, sizes) = (&published.entry, &published.entry.sizes);
    let add = |name: &'static str, count: u64| counter!(name, "application" => application.clone()).increment(count);
    let add_part = |name: &'static str, part: &'static str, count: u64| {
        counter!(name, "application" => application.clone(), "part" => part).increment(count);
    };
    add(CHECKPOINTS, 1);
    add(CHECKPOINT_DIRTY_ENTRIES, encoded.dirty_entries());
    add(CHECKPOINT_DIRTY_BYTES, sizes.dirty);
    add_part(CHECKPOINT_RAW_BYTES, "delta", sizes.delta_raw);
    add_part(CHECKPOINT_RAW_BYTES, "base", sizes.base_raw);
    let (delta, base) = (encoded.delta_stored_bytes(), encoded.base_stored_bytes());
    add_part(CHECKPOINT_STORED_BYTES, "delta", delta);
    add_part(CHECKPOINT_STORED_BYTES, "base", base);
    add_part(CHECKPOINT_STORED_BYTES, "manifest", entry.object_bytes.saturating_sub(delta + base));
}

/// A checkpoint did not become durable.
pub(crate) fn checkpoint_failed(application: &str, error: &Error) {
    counter!(CHECKPOINT_FAILURES, "application" => application.to_owned()).increment(1);
    if matches!(error, Error::Fenced { .. }) {
        counter!(FENCED, "application" => application.to_owned()).increment(1);
    }
}

/// The output could not be made durable, nor then the checkpoint.
pub(crate) fn sync_failed(application: &str) {
    counter!(CHECKPOINT_FAILURES, "application" => application.to_owned()).increment(1);
}

/// The state of an application builds on a durable checkpoint that was cut at that time.
pub(crate) fn builds_on(application: &str, created_ms: i64) {
    gauge!(LAST_CHECKPOINT, "application" => application.to_owned()).set(created_ms as f64 / 1000.0);
    let mut durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    durable.insert(application.into(), created_ms);
}

/// Sizes of the states of a holder, as they are now. Plain values are the state without a name.
pub(crate) fn state_sizes(holder: &StateHolder) {
    for state in holder.states() {
        if let (Some(bytes), Some(entries)) = (holder.state_size_bytes(&state.name), holder.key_count(&state.name)) {
            let (of_bytes, of_entries) = state_gauges(holder.id(), &state.name);
            of_bytes.set(bytes as f64);
            of_entries.set(entries as f64);
        }
    }
}

fn state_gauges(application: &str, state: &str) -> (Gauge, Gauge) {
    let labels = [("application", application.to_owned()), ("state", state.to_owned())];
    (gauge!(STATE_BYTES, &labels), gauge!(STATE_ENTRIES, &labels))
}

/// The metrics of a run that change with every event; looked up once.
pub(crate) struct RunMetrics {
    events: Counter,
    operators: Vec<OperatorMetrics>,
    events_counted: u64,
    last_refresh: Instant,
}

struct OperatorMetrics {
    name: String,
    results: Counter,
    late: Counter,
    size_bytes: Gauge,
    entries: Gauge,
    /// Results and late events that are in the counters, or came before this process.
    counted: (u64, u64),
}

impl RunMetrics {
    /// Those of a run that begins now; what the engine did before it was restored is not counted.
    pub(crate) fn new(application: &str, engine: &Engine) -> Self {
        let progress = engine.progress();
        let labelled = |name: &'static str| counter!(name, "application" => application.to_owned());
        // Those that may never happen: there from the beginning, so that an alert can tell 0 from none.
        for name in [CHECKPOINTS, CHECKPOINT_FAILURES, FENCED, CHECKPOINT_DIRTY_ENTRIES, CHECKPOINT_DIRTY_BYTES] {
            labelled(name).increment(0);
        }
        // A handle is enough for a histogram to be there.
        drop(histogram!(RESTORE_DURATION, "application" => application.to_owned()));
        let operators = engine.operator_names().zip(progress.results.iter().zip(&progress.late));
        let operators = operators.map(|(name, (results, late))| {
            let labels = [("application", application.to_owned()), ("operator", name.to_owned())];
            let (size_bytes, entries) = state_gauges(application, name);
            OperatorMetrics {
                name: name.into(),
                results: counter!(RESULTS, &labels),
                late: counter!(LATE_EVENTS, &labels),
                size_bytes,
                entries,
                counted: (*results, *late),
            }
        });
        let operators = operators.collect();
        let (events, events_counted) = (labelled(EVENTS), progress.events);
        let mut run = RunMetrics { events, operators, events_counted, last_refresh: Instant::now() };
        run.refresh(engine);
        run
    }

    /// Brings them up to date.
    pub(crate) fn refresh(&mut self, engine: &Engine) {
        let progress = engine.progress();
        self.events.increment(progress.events.saturating_sub(self.events_counted));
        self.events_counted = progress.events;
        for (operator, counts) in self.operators.iter_mut().zip(progress.results.iter().zip(&progress.late)) {
            operator.results.increment(counts.0.saturating_sub(operator.counted.0));
            operator.late.increment(counts.1.saturating_sub(operator.counted.1));
            operator.counted = (*counts.0, *counts.1);
            let holder = engine.holder();
            operator.size_bytes.set(holder.state_size_bytes(&operator.name).unwrap_or(0) as f64);
            operator.entries.set(holder.key_count(&operator.name).unwrap_or(0) as f64);
        }
        if self.last_refresh.elapsed() >= REFRESH_INTERVAL {
            refresh();
            self.last_refresh = Instant::now();
        }
    }
}
