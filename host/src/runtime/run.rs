//! The loop of a run.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use eventflux_core::limits::PLUGIN_BATCH_EVENTS;
use eventflux_core::{CheckpointRequest, Engine, Error as CoreError, Progress, Retention, StepProgress};

use super::plugins;
use super::reader::{Read, Reader};
use super::recorded::{Accounted, positions};
use super::sink::Sink;
use super::start::{Start, check_source, operator_names, seek};
use super::worker::{Outcome, Worker};
use super::{OperatorSummary, RunProgress, RunSummary, Runtime, StartFrom};
use crate::clock::now_ms;
use crate::error::{Error, Result};
use crate::manager::{CheckpointManager, ManagerConfig, read_head};
use crate::observe::CheckpointWatch;
use crate::observe::recorder::RunMetrics;
use crate::source::{Batch, Imprint, Source, SourcePosition};
use crate::storage::{Access, StorageAddress};

/// Bytes of state captured after each event while a checkpoint is under way.
const STEP_BYTES: usize = 8 * 1024;
/// … and while no events come, which nothing has to wait for.
const IDLE_STEP_BYTES: usize = 64 * 1024;
/// Checkpoints within the time that a storage keeps what is there after the last one: it may take a while to become durable.
const RENEWALS: u32 = 3;
/// How long the loop waits for events before it looks at clock and worker.
const IDLE_WAIT: Duration = Duration::from_millis(20);
/// How long the news that a run is to stop may take longer than those that its input has ended.
const STOP_WAIT: Duration = Duration::from_millis(30);
/// How long a run that is to stop waits for an input that cannot be asked whether anything is there.
const INPUT_WAIT: Duration = Duration::from_secs(5);

pub(super) fn run(mut runtime: Runtime) -> Result<RunSummary> {
    let mut observer = runtime.observer.take();
    match attempt(&runtime, &mut observer, false) {
        Err(error) if is_taken_back(&runtime, &error) => {
            tracing::warn!(%error, "a new plugin failed before its first checkpoint; back to the one before");
            attempt(&runtime, &mut observer, true)
        }
        Err(Error::Core(CoreError::Plugin { operator, reason, upgraded: true })) => {
            Err(failed_upgrade(&runtime, operator, reason))
        }
        outcome => outcome,
    }
}

/// A new plugin failed, and there is no way back by itself: what was read of standard input is gone, and what was printed
/// cannot be taken back.
fn failed_upgrade(runtime: &Runtime, operator: String, reason: String) -> Error {
    let Ok(Some(newest)) = runtime.get_latest_checkpoint() else {
        return CoreError::Plugin { operator, reason, upgraded: true }.into();
    };
    let advice = if runtime.definition.source.file == "-" {
        "Standard input cannot be read again, so the old one does not go on by itself: put its file and configuration \
         back, and send the events again that came after that checkpoint."
    } else {
        "What was printed cannot be taken back, so the old one does not go on by itself: put its file and configuration \
         back and run again, which prints once more what came after that checkpoint."
    };
    Error::DefinitionChanged {
        what: format!("the plugin of operator `{operator}` has changed"),
        checkpoint: newest.object.id,
        reason: format!("the new one failed before its first checkpoint: {reason}"),
        advice: advice.into(),
    }
}

/// Runs; with `keep_plugins`, the components of the checkpoint, not those of the definition.
fn attempt(runtime: &Runtime, observer: &mut Option<super::Observer>, keep_plugins: bool) -> Result<RunSummary> {
    let started = Instant::now();
    let start = Start::find(runtime)?;
    if let Some(summary) = start.nothing_to_do(runtime)? {
        return Ok(summary);
    }
    let address = runtime.storage()?;
    let lock = || (runtime.access == Access::Write).then(|| address.open(runtime.access)).transpose();
    let mut locked = None;
    runtime.check_sink_path()?;
    if !is_repeatable(runtime) && runtime.to_read()?.is_some() {
        // What a run reads of standard input no other one gets: not as long as another one has the storage.
        locked = lock()?;
    }
    let mut source = runtime.open_source()?;
    runtime.stop.begin();
    let mut engine = runtime.engine(&source)?;
    plugins::attach(runtime, &mut engine)?;
    if keep_plugins {
        engine.keep_plugins_of_checkpoint();
    }
    let checkpoint = &runtime.definition.checkpoint;
    let config = ManagerConfig {
        compression: checkpoint.compression,
        retention: Retention { max_retained: checkpoint.max_retained },
    };
    if locked.is_none() {
        // A lock tells of a run that lives, before anything else; who breaks it is first to be sure that it may start.
        locked = lock()?;
    }
    let mut sink = start.check(runtime, &mut source, &engine)?;
    let storage = locked.map_or_else(|| address.open(runtime.access), Ok)?;
    // From here on no other writer can publish: what is restored now is what we build on.
    let mut manager = CheckpointManager::open(storage, config)?;
    let generation = manager.generation();
    sink.find_again()?;
    let mut restored_from = None;
    let mut newest = None;
    // Another writer may have published since all this was checked.
    if let Some(selector) = start.selector(runtime, &manager) {
        let manifest = start.restore(runtime, selector, &mut manager, &mut engine)?;
        check_source(runtime, &source, &manifest)?;
        seek(&mut source, &manifest)?;
        newest = manager.latest().map(|entry| entry.object.id);
        restored_from = Some(manifest);
    } else if runtime.from == StartFrom::Start {
        manager.start_anew();
    }
    let is_newest = newest.is_some() && restored_from.as_ref().map(|manifest| manifest.object.id) == newest;
    let position = source.position();
    let bytes_total = source.bytes_total();
    let events_before = engine.progress().events;
    let accounted = restored_from.as_ref().and_then(Accounted::of);
    let fingerprint = runtime.definition.source.fingerprint(source.fields());
    let imprint = source.imprint().clone();
    let overwrite = runtime.from == StartFrom::Start;
    let names = operator_names(&engine, restored_from.as_ref());
    let goes_on = sink.go_on_from(accounted, overwrite, names)? && is_newest;
    let mut run = Run {
        metrics: RunMetrics::new(&runtime.definition.name, &engine),
        engine,
        sink,
        worker: Worker::start(manager)?,
        position,
        fingerprint,
        imprint,
        is_sent: !is_repeatable(runtime) && restored_from.is_some(),
        renew_after: address.lifetime().map(|lifetime| lifetime / RENEWALS),
        state: CheckpointState::Idle,
        interval: checkpoint.interval_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        every_events: checkpoint.every_events,
        last_cut: Instant::now(),
        events_since_cut: 0,
        progress: RunProgress { bytes_total, ..RunProgress::default() },
        summary: RunSummary {
            name: runtime.definition.name.clone(),
            restored_from: restored_from.as_ref().map(|manifest| manifest.object.id),
            ..RunSummary::default()
        },
        observer,
    };
    if !goes_on {
        // A new start, a branch, or a checkpoint of another program: from now on the newest accounts for this output.
        run.checkpoint_now()?;
    }
    run.sink.cut(&|| ensure_ours(runtime, generation))?;
    if let Err(error) = run.take_source(source, runtime) {
        let error = run.told_of_upgrade(error);
        if is_taken_back(runtime, &error) {
            return Err(error);
        }
        if !is_repeatable(runtime) && matches!(error, Error::Source(_) | Error::Event { .. }) {
            // A wrong row has changed nothing, and those before it do not come again.
            let saved = run.checkpoint_now();
            saved.unwrap_or_else(|reason| tracing::warn!(%reason, "no checkpoint could be taken before the wrong row"));
        }
        run.sink.print();
        return Err(error);
    }
    run.summary.events_this_run = run.engine.progress().events - events_before;
    Ok(run.into_summary(started))
}

/// Fails if another writer has taken the storage over since it was opened with this generation.
fn ensure_ours(runtime: &Runtime, held: u64) -> Result<()> {
    if matches!(runtime.storage()?, StorageAddress::Memory) {
        // Nobody else has it.
        return Ok(());
    }
    let Some(mut storage) = runtime.to_read()? else { return Ok(()) };
    let current = read_head(&mut storage)?.generation;
    if current == held { Ok(()) } else { Err(CoreError::Fenced { held, current }.into()) }
}

/// Whether a run that failed so begins again with the plugins of its checkpoint: nothing of the new one is in a checkpoint
/// yet, and nothing was read or printed that cannot be read or printed again.
fn is_taken_back(runtime: &Runtime, error: &Error) -> bool {
    let is_upgrade = matches!(error, Error::Core(CoreError::Plugin { upgraded: true, .. }));
    is_upgrade && is_repeatable(runtime) && Sink::is_repeatable(&runtime.sink_path())
}

/// Whether a run that has met the end of its input is to stop. Whoever stops it mostly stops what feeds it too, and news of
/// both come in either order.
fn is_stopped_now(runtime: &Runtime) -> bool {
    if !runtime.stop.is_stopped() {
        thread::sleep(STOP_WAIT);
    }
    runtime.stop.is_stopped()
}

fn warn_of_cut_row(what: &str) {
    tracing::warn!("standard input ended in the midst of a row as the run was stopped: {what}");
}

/// Whether the source can be read once more.
fn is_repeatable(runtime: &Runtime) -> bool {
    runtime.definition.source.file != "-"
}

/// The checkpoint of the loop, from its cut to its end.
#[derive(Debug, Default)]
enum CheckpointState {
    #[default]
    Idle,
    /// Cut; being captured between events.
    Capturing(CheckpointWatch),
    /// Captured; the worker has it.
    Publishing(CheckpointWatch),
}

struct Run<'o> {
    engine: Engine,
    metrics: RunMetrics,
    sink: Sink,
    worker: Worker,
    /// After the last event taken.
    position: SourcePosition,
    fingerprint: u64,
    imprint: Imprint,
    /// Whether the source is what was sent on standard input since an earlier run, whose bytes it does not have.
    is_sent: bool,
    /// How long after the last checkpoint one must come though nothing has changed: else the storage lets all of them go.
    renew_after: Option<Duration>,
    state: CheckpointState,
    interval: Option<Duration>,
    every_events: Option<u64>,
    last_cut: Instant,
    events_since_cut: u64,
    progress: RunProgress,
    summary: RunSummary,
    observer: &'o mut Option<super::Observer>,
}

impl Run<'_> {
    /// Takes events until the source has ended or the run is to stop, and then a last checkpoint. Standard input ends as the
    /// run is to stop, behind the rows that were read: nobody can read them again.
    fn take_source(&mut self, mut source: Source, runtime: &Runtime) -> Result<()> {
        let is_repeatable = is_repeatable(runtime);
        let stop = runtime.stop.clone();
        source.stop_when(Box::new(move || stop.is_stopped()));
        let reader = Reader::start(source)?;
        let mut stopped_since: Option<Instant> = None;
        loop {
            if runtime.stop.is_stopped() && is_repeatable {
                return self.checkpoint_now();
            }
            let is_capturing = matches!(self.state, CheckpointState::Capturing(_));
            match reader.next(if is_capturing { Duration::ZERO } else { IDLE_WAIT })? {
                Read::Nothing => {
                    if runtime.stop.is_stopped()
                        && stopped_since.get_or_insert_with(Instant::now).elapsed() > INPUT_WAIT
                    {
                        return self.checkpoint_now();
                    }
                    // Nothing comes in: who reads the output live need not wait for more of it.
                    self.sink.flush()?;
                    if is_capturing {
                        self.step(IDLE_STEP_BYTES)?;
                    }
                    self.between_batches()?;
                }
                Read::LastRow(..) if !is_repeatable && is_stopped_now(runtime) => warn_of_cut_row("it is not taken"),
                Read::Batch(batch, bytes_read) | Read::LastRow(batch, bytes_read) => {
                    self.progress.bytes_read = bytes_read;
                    self.take_batch(&batch, runtime)?;
                    reader.recycle(batch);
                    stopped_since = None;
                }
                Read::Failed { error, is_cut: true } if !is_repeatable && is_stopped_now(runtime) => {
                    warn_of_cut_row(&error.to_string());
                    return self.checkpoint_now();
                }
                Read::Failed { error, .. } => return Err(error),
                Read::End(_) if !is_repeatable && is_stopped_now(runtime) => return self.checkpoint_now(),
                Read::End(bytes_read) => {
                    self.progress.bytes_read = bytes_read;
                    return self.finish();
                }
            }
        }
    }

    fn take_batch(&mut self, batch: &Batch, runtime: &Runtime) -> Result<()> {
        // The rest of a file is read again; what came in on standard input would be lost.
        let can_stop = is_repeatable(runtime);
        let mut at = 0;
        while at < batch.events.len() && !(can_stop && runtime.stop.is_stopped()) {
            let count = self.events_at_once().min(batch.events.len() - at);
            let taken = self.take_events(batch, at..at + count, runtime);
            plugins::tell(&mut self.engine);
            taken?;
            at += count;
            if self.every_events.is_some_and(|every| self.events_since_cut >= every) {
                self.complete()?;
                self.cut()?;
            }
            if matches!(self.state, CheckpointState::Capturing(_)) {
                self.step(STEP_BYTES * count)?;
            }
        }
        self.between_batches()
    }

    /// One, but that plugins are asked about many, of which none is behind the next cut.
    fn events_at_once(&self) -> usize {
        if !self.engine.has_plugins() {
            return 1;
        }
        let until_cut = self.every_events.map_or(u64::MAX, |every| every.saturating_sub(self.events_since_cut).max(1));
        usize::try_from(until_cut).map_or(PLUGIN_BATCH_EVENTS, |until_cut| until_cut.min(PLUGIN_BATCH_EVENTS))
    }

    fn take_events(&mut self, batch: &Batch, range: Range<usize>, runtime: &Runtime) -> Result<()> {
        let before = self.engine.progress().events;
        let outcome = match &batch.events[range.clone()] {
            [event] => self.engine.handle_event(event),
            events => self.engine.handle_events(events),
        };
        let taken = self.engine.progress().events - before;
        let of = |number: u64| batch.positions.get(range.start + number as usize);
        if let Some(position) = taken.checked_sub(1).and_then(of) {
            self.position = *position;
        }
        self.events_since_cut += taken;
        self.write_outputs()?;
        outcome.map_err(|error| match (error, batch.lines.get(range.start + taken as usize)) {
            (error @ CoreError::Event { .. }, Some(line)) => {
                Error::Event { file: runtime.source_name(), line: *line, error }
            }
            (error, _) => error.into(),
        })
    }

    /// What need not be done after each event: clock, worker, observer.
    fn between_batches(&mut self) -> Result<()> {
        if matches!(self.state, CheckpointState::Capturing(_)) {
            self.step(STEP_BYTES)?;
        }
        if matches!(self.state, CheckpointState::Publishing(_))
            && let Some(outcome) = self.worker.poll()
        {
            self.published(outcome)?;
        }
        // Where nothing came, another checkpoint would only take the place of an older one.
        let interval = self.interval.filter(|_| self.events_since_cut > 0);
        let due_after = interval.into_iter().chain(self.renew_after).min();
        if matches!(self.state, CheckpointState::Idle)
            && due_after.is_some_and(|after| self.last_cut.elapsed() >= after)
        {
            self.cut()?;
        }
        self.report();
        Ok(())
    }

    fn write_outputs(&mut self) -> Result<()> {
        while let Some(output) = self.engine.poll_output() {
            let buffer = self.sink.buffer();
            let before = buffer.len();
            output.append_json_line(buffer);
            self.sink.written(before)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let finished = self.engine.finish();
        plugins::tell(&mut self.engine);
        finished?;
        self.write_outputs()?;
        self.checkpoint_now()?;
        self.report();
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let positions = positions(self.position, self.fingerprint, &self.imprint, self.is_sent);
        // What the cut accounts for must be with the operating system before the worker syncs it.
        let outputs = self.sink.account()?.to_outputs();
        let progress = Progress { positions, outputs, ..Progress::default() };
        let request = CheckpointRequest { created_ms: now_ms(), label: None, progress };
        let mut watch = CheckpointWatch::begin(&self.summary.name);
        let cut = watch.cut(|| self.engine.begin_checkpoint(request));
        plugins::tell(&mut self.engine);
        cut?;
        self.last_cut = Instant::now();
        self.events_since_cut = 0;
        self.state = CheckpointState::Capturing(watch);
        Ok(())
    }

    fn step(&mut self, budget: usize) -> Result<()> {
        let CheckpointState::Capturing(watch) = &mut self.state else { return Ok(()) };
        let holder = self.engine.holder_mut();
        if watch.capture(|| holder.step(budget))? == StepProgress::Done {
            let capture = watch.capture(|| holder.take_capture())?;
            watch.captured();
            self.worker.hand_over(capture, self.sink.sync_handle()?, watch.span().clone())?;
            if let CheckpointState::Capturing(watch) = std::mem::take(&mut self.state) {
                self.state = CheckpointState::Publishing(watch);
            }
        }
        Ok(())
    }

    /// The error of a plugin that failed before its first checkpoint, or after it, if that was on its way: then there is
    /// no checkpoint before to be told of.
    fn told_of_upgrade(&mut self, error: Error) -> Error {
        let Error::Core(CoreError::Plugin { operator, reason, upgraded: true }) = error else { return error };
        let is_on_its_way = matches!(std::mem::take(&mut self.state), CheckpointState::Publishing(_));
        let is_published = is_on_its_way && self.worker.wait().is_ok();
        CoreError::Plugin { operator, reason, upgraded: !is_published }.into()
    }

    /// Waits until no checkpoint is under way.
    fn complete(&mut self) -> Result<()> {
        while matches!(self.state, CheckpointState::Capturing(_)) {
            self.step(usize::MAX)?;
        }
        if matches!(self.state, CheckpointState::Publishing(_)) {
            let outcome = self.worker.wait();
            self.published(outcome)?;
        }
        Ok(())
    }

    fn checkpoint_now(&mut self) -> Result<()> {
        self.complete()?;
        self.cut()?;
        self.complete()
    }

    fn published(&mut self, outcome: Outcome) -> Result<()> {
        let state = std::mem::take(&mut self.state);
        let (encoded, published) = match outcome {
            Ok(published) => published,
            Err(error) => {
                self.engine.holder_mut().abort()?;
                return Err(error);
            }
        };
        self.engine.holder_mut().commit(&encoded)?;
        if let CheckpointState::Publishing(watch) = state {
            watch.published(&published.entry);
        }
        if let Some(error) = published.not_deleted {
            tracing::warn!(%error, "an old checkpoint could not be deleted; `eventflux prune` will do it");
        }
        let sizes = &published.entry.sizes;
        self.progress.checkpoints += 1;
        self.summary.checkpoint_raw_bytes += sizes.delta_raw + sizes.base_raw;
        self.summary.checkpoint_stored_bytes += published.entry.object_bytes;
        self.summary.latest_checkpoint = Some(published.entry.object.id);
        Ok(())
    }

    fn report(&mut self) {
        self.metrics.refresh(&self.engine);
        if let Some(observer) = self.observer.as_mut() {
            let progress = self.engine.progress();
            self.progress.events = progress.events;
            self.progress.results = progress.results.iter().sum();
            observer(&self.progress);
        }
    }

    fn into_summary(mut self, started: Instant) -> RunSummary {
        self.metrics.refresh(&self.engine);
        let progress = self.engine.progress();
        self.summary.detached = self.engine.detached_plugins().map(String::from).collect();
        self.summary.finished = progress.finished;
        self.summary.events = progress.events;
        self.summary.late = progress.late.iter().sum();
        self.summary.results = progress.results.iter().sum();
        self.summary.operators = OperatorSummary::all(self.engine.operator_names(), progress);
        self.summary.checkpoints = self.progress.checkpoints;
        self.summary.output_bytes = self.sink.len();
        self.summary.elapsed = started.elapsed();
        self.summary
    }
}
