//! Where a run begins, and whether it may.

use std::io::ErrorKind;

use eventflux_core::definition::OperatorKind;
use eventflux_core::{
    Backend, Engine, Error as CoreError, Head, Manifest, MemoryBackend, ReadManifest, RestoreOptions, Selector,
    StateHolder, drive,
};

use super::plugins;
use super::recorded::{
    Accounted, is_of_other_source, is_of_standard_input, source_before, source_beginning, source_fingerprint,
    source_offset, source_position,
};
use super::sink::Sink;
use super::{OperatorSummary, RunSummary, Runtime, StartFrom};
use crate::beside::read_beside_writer;
use crate::error::{Error, Result};
use crate::manager::{CheckpointManager, restore, with_newest_whole};
use crate::source::{Source, SourceError};
use crate::storage::AnyBackend;

/// Where a run begins: found out before the storage is opened for writing, so that a run with
/// nothing to do changes nothing.
pub(super) struct Start {
    /// The checkpoint found.
    manifest: Option<Manifest>,
    /// Whether it is the newest.
    is_latest: bool,
}

impl Start {
    pub(super) fn find(runtime: &Runtime) -> Result<Self> {
        let mut storage = runtime.to_read()?;
        let mut nothing = MemoryBackend::new();
        let storage: &mut dyn Backend = storage.as_mut().map_or(&mut nothing, |storage| storage);
        let found = read_beside_writer(storage, |storage, head| Self::find_in(runtime, storage, head));
        found.map_err(|error| with_newest_whole(error, storage))
    }

    fn find_in(runtime: &Runtime, storage: &mut dyn Backend, head: &Head) -> Result<Self> {
        let selector = match &runtime.from {
            StartFrom::Start => None,
            StartFrom::LatestOrStart => head.latest.map(Selector::Id),
            StartFrom::Checkpoint(selector) => Some(selector.clone()),
        };
        let Some(selector) = selector else { return Ok(Start { manifest: None, is_latest: false }) };
        let object = selector.find(head)?;
        let manifest = drive(ReadManifest::new(object), storage)?;
        Ok(Start { manifest: Some(manifest), is_latest: head.latest == Some(object.id) })
    }

    /// The summary of a run whose source has ended, which has nothing to do.
    pub(super) fn nothing_to_do(&self, runtime: &Runtime) -> Result<Option<RunSummary>> {
        // Of another checkpoint than the newest the output may not be there: to go to it is to go back.
        let Some(manifest) = self.manifest.as_ref().filter(|manifest| self.is_latest && is_finished(manifest)) else {
            return Ok(None);
        };
        if runtime.definition.source.file == "-" {
            return Err(Error::Finished { checkpoint: manifest.object.id });
        }
        Sink::check(&runtime.sink_path(), &runtime.definition.sink.file, Accounted::of(manifest))?;
        let mut source = match runtime.open_source() {
            // The input may be gone by now.
            Err(Error::Source(SourceError::Open { reason, .. })) if reason.kind() == ErrorKind::NotFound => {
                return finished_before(runtime, manifest).map(Some);
            }
            source => source?,
        };
        check_definition(runtime, &source, &runtime.engine(&source)?, manifest)?;
        check_imprint(&source, manifest)?;
        check_end(runtime, &mut source, manifest)?;
        finished_before(runtime, manifest).map(Some)
    }

    /// Opens the output, and refuses a start with another definition, source or output than those of the checkpoint found:
    /// before the storage is opened for writing, which fences off a run that may live.
    pub(super) fn check(&self, runtime: &Runtime, source: &mut Source, engine: &Engine) -> Result<Sink> {
        if let Some(manifest) = &self.manifest {
            check_definition(runtime, source, engine, manifest)?;
            seek(source, manifest)?;
            if is_finished(manifest) {
                // Of the newest that was found out before.
                ensure_ended(runtime, source, manifest)?;
            }
            Sink::check_there(&runtime.sink_path(), Accounted::of(manifest))?;
        }
        let mut sink = Sink::open(&runtime.sink_path(), &runtime.definition.sink.file, runtime.access)?;
        if let Some(manifest) = &self.manifest {
            sink.go_on_from(Accounted::of(manifest), false, operator_names(engine, Some(manifest)))?;
        }
        Ok(sink)
    }

    /// What to restore, now that the storage is ours: another writer may have published since.
    pub(super) fn selector(&self, runtime: &Runtime, manager: &CheckpointManager<AnyBackend>) -> Option<Selector> {
        match &runtime.from {
            StartFrom::Start => None,
            StartFrom::LatestOrStart => manager.latest().map(|entry| Selector::Id(entry.object.id)),
            StartFrom::Checkpoint(_) => self.manifest.as_ref().map(|manifest| Selector::Id(manifest.object.id)),
        }
    }

    /// Restores a checkpoint into an engine, which goes on from there.
    pub(super) fn restore(
        &self,
        runtime: &Runtime,
        selector: Selector,
        manager: &mut CheckpointManager<AnyBackend>,
        engine: &mut Engine,
    ) -> Result<Manifest> {
        let options = restore_options(runtime);
        let checkpoint = self.manifest.as_ref().map_or(0, |manifest| manifest.object.id);
        let restored = manager
            .restore_selected(engine.holder_mut(), selector, options)
            .map_err(|error| changed(error, checkpoint))?;
        let resumed = engine.resume(&restored.manifest);
        plugins::tell(engine);
        resumed?;
        Ok((*restored.manifest).clone())
    }
}

/// Operators whose results may be in the output: those there are, and those of the checkpoint, of which some may be gone.
pub(super) fn operator_names<'n>(engine: &'n Engine, from: Option<&'n Manifest>) -> impl Iterator<Item = &'n str> {
    let of_checkpoint = from.into_iter().flat_map(|manifest| &manifest.states);
    engine.operator_names().chain(of_checkpoint.map(|state| state.name.as_str()))
}

fn restore_options(runtime: &Runtime) -> RestoreOptions<'static> {
    RestoreOptions {
        allow_missing: runtime.allow_missing,
        allow_unknown: runtime.allow_unknown,
        ..RestoreOptions::default()
    }
}

/// Refuses to go on with other operators, or in a source that is read in another way now.
fn check_definition(runtime: &Runtime, source: &Source, engine: &Engine, manifest: &Manifest) -> Result<()> {
    let checked = restore_options(runtime).check(engine.holder(), manifest);
    checked.map_err(|error| changed(error.into(), manifest.object.id))?;
    check_source(runtime, source, manifest)
}

/// Goes to where a checkpoint was in the source, which must be the same; where it is there already, nothing is
/// decompressed once more.
pub(super) fn seek(source: &mut Source, manifest: &Manifest) -> Result<()> {
    let to = source_position(manifest);
    if source.position() != to {
        source.seek(to)?;
    }
    check_imprint(source, manifest)
}

/// Refuses to go on in the midst of a source that is read in another way now, or of another program's.
pub(super) fn check_source(runtime: &Runtime, source: &Source, manifest: &Manifest) -> Result<()> {
    // What comes in on standard input is what comes next, for whoever sends it; after the end nothing comes.
    let is_file = runtime.definition.source.file != "-";
    if is_file && is_of_standard_input(manifest) {
        // After its end nothing follows.
        let first =
            if is_finished(manifest) { "Go back" } else { "Set `file` to \"-\" again and send what follows, go back" };
        return Err(Error::DefinitionChanged {
            what: String::from("the source was standard input"),
            checkpoint: manifest.object.id,
            reason: String::from(
                "what was sent there is a place in no file, whose rows might be taken twice or not at all",
            ),
            advice: format!(
                "{first} with --from to a checkpoint of before, or start anew with --from none or another [checkpoint] \
                 storage.",
            ),
        });
    }
    if is_file && !is_finished(manifest) && is_of_other_source(manifest) {
        return Err(Error::DefinitionChanged {
            what: String::from("another program took the checkpoint"),
            checkpoint: manifest.object.id,
            reason: String::from("it has positions, but no `source.offset`, which tells where to go on in the source"),
            advice: String::from(
                "Let that program record `source.offset` (bytes) and `source.line` too, send what follows to standard \
                 input, or start anew with --from none or another [checkpoint] storage.",
            ),
        });
    }
    let now = runtime.definition.source.fingerprint(source.fields());
    if source_fingerprint(manifest).is_none_or(|before| before == now) {
        return Ok(());
    }
    Err(Error::DefinitionChanged {
        what: String::from("the source has changed"),
        checkpoint: manifest.object.id,
        reason: String::from("its fields, or `timestamp`, `null` or `text` under [source], are not what they were"),
        advice: String::from("Put it back as it was, or start anew with --from none or another [checkpoint] storage."),
    })
}

/// Refuses to go on in another file than the one that was read.
fn check_imprint(source: &Source, manifest: &Manifest) -> Result<()> {
    if source.bytes_total().is_none() {
        // What is sent is what follows.
        return Ok(());
    }
    let (imprint, offset) = (source.imprint(), source_position(manifest).offset);
    // Of one that is too short by now the position tells.
    let differs = |before: Option<u64>, now: Option<u64>| before.zip(now).is_some_and(|(before, now)| before != now);
    let reason = if differs(source_beginning(manifest), imprint.beginning_before(offset)) {
        "it does not begin with what was read"
    } else if differs(source_before(manifest), imprint.end_before(offset)) {
        "what lies before the place to go on from is not what was read"
    } else {
        return Ok(());
    };
    Err(Error::DefinitionChanged {
        what: String::from("the source is another file"),
        checkpoint: manifest.object.id,
        reason: reason.into(),
        advice: String::from(
            "Put the file of before in its place, or start anew with --from none or another [checkpoint] storage.",
        ),
    })
}

/// Of a source that has ended: whether it still ends there. Of a compressed one only reading all of it would tell.
fn check_end(runtime: &Runtime, source: &mut Source, manifest: &Manifest) -> Result<()> {
    let (Some(length), Some(end)) = (source.length(), source_offset(manifest)) else { return Ok(()) };
    // Some file systems do not tell the length of what they make as it is read.
    if length == end || length == 0 && !source.is_at_end()? {
        return Ok(());
    }
    source.seek(source_position(manifest))?;
    ensure_ended(runtime, source, manifest)
}

/// Of a source that is where one of before has ended: whether it has ended too.
fn ensure_ended(runtime: &Runtime, source: &mut Source, manifest: &Manifest) -> Result<()> {
    if runtime.definition.source.file == "-" {
        return Err(Error::Finished { checkpoint: manifest.object.id });
    }
    // Blank lines are no rows, and a line end may come late.
    if source.is_at_end()? {
        return Ok(());
    }
    let behind = source.length().zip(source_offset(manifest)).map(|(length, end)| length.saturating_sub(end));
    let found = behind.map_or_else(|| String::from("rows"), |bytes| format!("{bytes} bytes"));
    Err(Error::DefinitionChanged {
        what: "the source has grown".into(),
        checkpoint: manifest.object.id,
        reason: format!("it has {found} behind its end; with the end of the source all windows were closed"),
        advice: String::from(
            "Put the file of before in its place, go back with --from to a checkpoint before the end, or start anew with \
             --from none.",
        ),
    })
}

/// Says in terms of the definition what does not fit.
fn changed(error: Error, checkpoint: u64) -> Error {
    let anew = "or start anew with --from none or another [checkpoint] storage";
    let (what, reason, advice) = match error {
        Error::Core(CoreError::StateChanged { state, reason }) => {
            (format!("operator `{state}` has changed"), reason, format!("Undo the change, {anew}."))
        }
        Error::Core(CoreError::StateMissing { state }) => (
            format!("operator `{state}` is new"),
            String::from("the checkpoint has no state for it"),
            format!("Let it start empty with --allow-missing, {anew}."),
        ),
        Error::Core(CoreError::StateUnknown { state }) => (
            format!("operator `{state}` is gone"),
            String::from("the checkpoint has state for it"),
            format!("Put it back, drop its state with --allow-unknown, {anew}."),
        ),
        Error::Core(CoreError::OtherHolder { found, declared }) => (
            String::from("`name` has changed"),
            format!("it was `{found}` and is now `{declared}`"),
            format!("Give it the old name, {anew}."),
        ),
        error => return error,
    };
    Error::DefinitionChanged { what, checkpoint, reason, advice }
}

fn is_finished(manifest: &Manifest) -> bool {
    manifest.progress.engine.as_ref().is_some_and(|engine| engine.finished)
}

/// The summary of a run that had nothing to do.
fn finished_before(runtime: &Runtime, manifest: &Manifest) -> Result<RunSummary> {
    let progress = manifest.progress.engine.clone().unwrap_or_default();
    let names = manifest.states.iter().skip(1).map(|state| state.name.clone());
    Ok(RunSummary {
        name: runtime.definition.name.clone(),
        already_finished: true,
        finished: true,
        restored_from: Some(manifest.object.id),
        events: progress.events,
        late: progress.late.iter().sum(),
        results: progress.results.iter().sum(),
        operators: OperatorSummary::all(names, &progress),
        output_bytes: Accounted::of(manifest).unwrap_or_default().length,
        latest_checkpoint: Some(manifest.object.id),
        detached: detached_before(runtime, manifest)?,
        ..RunSummary::default()
    })
}

/// Operators that a finished run went on without: it is no more of a success when it is started again. Only the state
/// tells, which is read for that alone; of applications without plugins it is not.
fn detached_before(runtime: &Runtime, manifest: &Manifest) -> Result<Vec<String>> {
    let has_plugins =
        runtime.definition.operators.iter().any(|operator| matches!(operator.kind, OperatorKind::Plugin(_)));
    let Some(mut storage) = runtime.to_read()?.filter(|_| has_plugins) else { return Ok(Vec::new()) };
    let mut holder = StateHolder::for_manifest(manifest)?;
    restore(&mut storage, &mut holder, Selector::Id(manifest.object.id), RestoreOptions::default())?;
    Ok(holder.detached_plugins()?)
}
