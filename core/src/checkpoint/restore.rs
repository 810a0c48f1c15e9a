//! Restoring: which checkpoint, which sections, and the states from them. All or nothing.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::Value as Json;

use super::open::{FindHead, ReadManifest};
use super::procedure::{ByteRange, Procedure, Request, Response, Step, unexpected};
use super::sections::{Reading, Shard, TASKS_UNDONE, Wanted};
use crate::error::{Error, Result};
use crate::executor::{Executor, Task};
use crate::format::head::Head;
use crate::format::manifest::{Base, Manifest, ObjectId, StateDescriptor};
use crate::format::{Malformed, Reason};
use crate::limits::{PARALLEL_RESTORE_BYTES, RESTORE_WAITING_BYTES, SHARDS_MAX};
use crate::state::{RestoreOptions, StateHolder};

/// Which checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The one to go on from: the newest, unless an older one was labelled since.
    Latest,
    /// The one of this number.
    Id(u64),
    /// The newest of this label.
    Label(String),
    /// The newest by the time of its cut, at or before this time, milliseconds since 1970.
    Time(i64),
}

impl Selector {
    /// Finds the checkpoint in a head.
    ///
    /// # Errors
    /// [`Error::NoSuchCheckpoint`], which says what there is instead.
    pub fn find(&self, head: &Head) -> Result<ObjectId> {
        let found = match self {
            Selector::Latest => head.latest.and_then(|id| head.entry(id)).map(|entry| entry.object),
            Selector::Id(id) => head.entry(*id).map(|entry| entry.object),
            Selector::Label(label) => {
                let mut newest_first = head.entries.iter().rev();
                newest_first.find(|entry| entry.label.as_ref() == Some(label)).map(|entry| entry.object)
            }
            // A savepoint of an older state has a high number, and the time of that state.
            Selector::Time(time) => {
                let before = head.entries.iter().filter(|entry| entry.created_ms <= *time);
                before.max_by_key(|entry| (entry.created_ms, entry.object.id)).map(|entry| entry.object)
            }
        };
        found.ok_or_else(|| self.not_found(head))
    }

    fn not_found(&self, head: &Head) -> Error {
        let selector = match self {
            Selector::Latest => String::from("yet"),
            Selector::Id(id) => format!("with number {id}"),
            Selector::Label(label) => format!("labelled `{label}`"),
            Selector::Time(time) => format!("at or before {time} ms"),
        };
        let ids: Vec<String> = head.entries.iter().map(|entry| entry.object.id.to_string()).collect();
        let labels: Vec<&str> = head.entries.iter().filter_map(|entry| entry.label.as_deref()).collect();
        let mut available = match (ids.as_slice(), self) {
            ([], _) => String::from("the storage holds none"),
            (_, Selector::Time(_)) => {
                let oldest = head.entries.iter().map(|entry| entry.created_ms).min().unwrap_or_default();
                format!("the oldest was created at {oldest} ms")
            }
            _ => format!("there are: {}", ids.join(", ")),
        };
        if matches!(self, Selector::Label(_)) && !labels.is_empty() {
            available = format!("labels are: {}", labels.join(", "));
        }
        Error::NoSuchCheckpoint { selector, available }
    }
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct RestoredCheckpoint {
    /// Its manifest.
    pub manifest: Arc<Manifest>,
}

/// Restores a checkpoint into a holder.
///
/// The holder changes at the very end, at once, or not at all. A checkpoint under way is dropped then; its `commit`
/// answers [`Error::NoCheckpointUnderWay`].
pub struct Restore<'h> {
    holder: Option<&'h mut StateHolder>,
    options: RestoreOptions<'h>,
    selector: Selector,
    executor: Option<&'h dyn Executor>,
    state: RestoreState,
}

enum RestoreState {
    Head(FindHead),
    Manifest(ReadManifest),
    Sections(Box<Sections>),
}

/// States being filled from sections.
struct Sections {
    reading: Reading,
    shards: Vec<Shard>,
    /// Number of the next section: bases, then deltas.
    next: usize,
    /// Sections that were read and wait to be taken in by all shards, with their numbers.
    waiting: Vec<(usize, Vec<u8>)>,
    waiting_bytes: u64,
}

impl<'h> Restore<'h> {
    /// Begins to restore.
    #[must_use]
    pub fn new(holder: &'h mut StateHolder, selector: Selector, options: RestoreOptions<'h>) -> Self {
        Restore { holder: Some(holder), options, selector, executor: None, state: RestoreState::Head(FindHead::new()) }
    }

    /// Begins to restore a checkpoint whose object is known already.
    #[must_use]
    pub fn object(holder: &'h mut StateHolder, object: ObjectId, options: RestoreOptions<'h>) -> Self {
        let state = RestoreState::Manifest(ReadManifest::new(object));
        Restore { holder: Some(holder), options, selector: Selector::Id(object.id), executor: None, state }
    }

    /// Divides the work of a large restore among the threads of an executor, by key groups.
    #[must_use]
    pub fn with_executor(mut self, executor: &'h dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }
}

impl Procedure for Restore<'_> {
    type Output = RestoredCheckpoint;

    fn poll_request(&mut self) -> Result<Step<RestoredCheckpoint>> {
        loop {
            match &mut self.state {
                RestoreState::Head(read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(head) => {
                        let object = self.selector.find(&head)?;
                        self.state = RestoreState::Manifest(ReadManifest::new(object));
                    }
                },
                RestoreState::Manifest(read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(manifest) => {
                        let holder = self.holder.as_deref().ok_or_else(|| unexpected("restore", ""))?;
                        self.state = RestoreState::Sections(Box::new(Sections::new(
                            holder,
                            manifest,
                            &self.options,
                            self.executor,
                        )?));
                    }
                },
                RestoreState::Sections(sections) => {
                    if let Some(request) = sections.poll_request() {
                        return Ok(Step::Request(request));
                    }
                    let holder = self.holder.take().ok_or_else(|| unexpected("restore", ""))?;
                    sections.apply_waiting(self.executor)?;
                    return sections.finish(holder, &self.options).map(Step::Done);
                }
            }
        }
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match &mut self.state {
            RestoreState::Head(read) => read.handle_response(response),
            RestoreState::Manifest(read) => read.handle_response(response),
            RestoreState::Sections(sections) => sections.handle_response(response, self.executor),
        }
    }
}

impl Sections {
    fn new(
        holder: &StateHolder,
        manifest: Manifest,
        options: &RestoreOptions<'_>,
        executor: Option<&dyn Executor>,
    ) -> Result<Self> {
        options.check(holder, &manifest)?;
        let declared = holder.states();
        let places = places_of(declared, &manifest, options)?;
        let plans = manifest.plans.iter().map(|_| None).collect();
        let is_large = manifest.sizes.restore_raw >= PARALLEL_RESTORE_BYTES;
        let shards = executor.filter(|_| is_large).map_or(1, |executor| executor.parallelism().clamp(1, SHARDS_MAX));
        let reading = Reading { manifest, places, plans };
        let shards = Shard::divide(declared, &reading, shards);
        Ok(Sections { reading, shards, next: 0, waiting: Vec::new(), waiting_bytes: 0 })
    }

    fn poll_request(&mut self) -> Option<Request> {
        let manifest = &self.reading.manifest;
        while self.next < manifest.bases.len() + manifest.deltas.len() {
            if let Some(wanted) = Wanted::of(manifest, self.next)
                && self.reading.places[usize::from(wanted.state)].is_some()
            {
                let plan = self.reading.unread_plan(wanted.plan);
                let section = plan.map_or(wanted.section, |(_, section)| section);
                let object = manifest.objects[section.object as usize].name();
                let range = ByteRange::At { offset: section.offset, len: section.stored };
                return Some(Request::Read { object, range });
            }
            self.next += 1;
        }
        None
    }

    fn handle_response(&mut self, response: Response, executor: Option<&dyn Executor>) -> Result<()> {
        let manifest = &self.reading.manifest;
        let Some(wanted) = Wanted::of(manifest, self.next) else { return Err(unexpected("restore", "")) };
        let plan = self.reading.unread_plan(wanted.plan);
        let section = plan.map_or(wanted.section, |(_, section)| section);
        let object = || manifest.objects[section.object as usize].name();
        let stored = match response {
            Response::Bytes(Some(bytes)) => bytes,
            Response::Bytes(None) => return Err(Error::ObjectMissing { object: object() }),
            Response::Failed(error) => return Err(error),
            _ => return Err(unexpected("read", &object())),
        };
        if let Some((place, _)) = plan {
            return self.reading.take_plan(place, &stored);
        }
        // Damaged columns may be longer than their rows.
        self.waiting_bytes += section.raw.max(section.stored);
        self.waiting.push((self.next, stored));
        self.next += 1;
        // One shard takes them as they come; of several each waits until all have something to do.
        if self.shards.len() == 1 || self.waiting_bytes >= RESTORE_WAITING_BYTES {
            self.apply_waiting(executor)?;
        }
        Ok(())
    }

    /// Lets every shard take in what waits.
    fn apply_waiting(&mut self, executor: Option<&dyn Executor>) -> Result<()> {
        let waiting = core::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let reading = &self.reading;
        let apply = |shard: &mut Shard| {
            waiting.iter().try_for_each(|(number, stored)| shard.apply(reading, *number, stored, executor))
        };
        match executor {
            Some(executor) if self.shards.len() > 1 => {
                let mut results: Vec<Result<()>> = self.shards.iter().map(|_| Err(TASKS_UNDONE)).collect();
                let pairs = self.shards.iter_mut().zip(&mut results);
                let apply = &apply;
                let task = |(shard, result)| -> Task<'_> { work(apply, shard, result) };
                executor.run(pairs.map(task).collect());
                results.into_iter().collect()
            }
            _ => self.shards.iter_mut().try_for_each(apply),
        }
    }

    fn finish(&mut self, holder: &mut StateHolder, options: &RestoreOptions<'_>) -> Result<RestoredCheckpoint> {
        let mut maps = Shard::unite(core::mem::take(&mut self.shards));
        let Reading { manifest, places, .. } = &self.reading;
        let mut migrated = alloc::vec![false; maps.len()];
        if let Some(migrate) = options.migrate {
            for (found, place) in manifest.states.iter().zip(places) {
                let Some(place) = *place else { continue };
                if !same_schema(found, &holder.states()[place]) {
                    migrated[place] = true;
                    let rows = |key: &[u8], value: &[u8]| migrate.migrate(found, key, value).map_err(Malformed::new);
                    let changed =
                        |reason: Reason| Error::StateChanged { state: found.name.clone(), reason: reason.into() };
                    maps[place]
                        .any_mut()
                        .migrate(&mut { rows })
                        .map_err(|malformed| malformed.or_no_memory(changed))?;
                }
            }
        }
        let restored = Arc::new(manifest.clone());
        let lineage = lineage_manifest(manifest, places, &migrated, holder.states());
        holder.install(maps, Arc::new(lineage));
        Ok(RestoredCheckpoint { manifest: restored })
    }
}

impl RestoreOptions<'_> {
    /// Whether a holder could take the states of a checkpoint: what [`Restore`] asks before it reads any.
    ///
    /// # Errors
    /// [`Error::OtherHolder`], [`Error::StateChanged`], [`Error::StateMissing`], [`Error::StateUnknown`].
    pub fn check(&self, holder: &StateHolder, manifest: &Manifest) -> Result<()> {
        if holder.id() != manifest.holder {
            return Err(Error::OtherHolder { found: manifest.holder.clone(), declared: holder.id().into() });
        }
        places_of(holder.states(), manifest, self).map(|_| ())
    }
}

fn work<'a>(
    apply: &'a (impl Fn(&mut Shard) -> Result<()> + Sync),
    shard: &'a mut Shard,
    result: &'a mut Result<()>,
) -> Task<'a> {
    Box::new(move || *result = apply(shard))
}

/// For each state of the checkpoint its place in the holder; `None` if it is to be dropped.
fn places_of(
    declared: &[StateDescriptor],
    manifest: &Manifest,
    options: &RestoreOptions<'_>,
) -> Result<Vec<Option<usize>>> {
    let mut places = Vec::with_capacity(manifest.states.len());
    for found in &manifest.states {
        let place = declared.iter().position(|state| state.name == found.name);
        match place {
            Some(place) => check_schema(&declared[place], found, options)?,
            None if options.allow_unknown => {}
            None => return Err(Error::StateUnknown { state: found.name.clone() }),
        }
        places.push(place);
    }
    for (place, state) in declared.iter().enumerate() {
        if !places.contains(&Some(place)) && !options.allow_missing {
            return Err(Error::StateMissing { state: state.name.clone() });
        }
    }
    Ok(places)
}

/// The manifest as the holder builds on it: states in the holder's order, without those dropped;
/// states that were migrated lose their bases, so that the next checkpoint writes them whole.
fn lineage_manifest(
    manifest: &Manifest,
    places: &[Option<usize>],
    migrated: &[bool],
    declared: &[StateDescriptor],
) -> Manifest {
    let mut lineage = manifest.clone();
    let place = |state: u16| places[usize::from(state)].filter(|place| !migrated[*place]).map(|place| place as u16);
    lineage.states = declared.to_vec();
    lineage.bases =
        manifest.bases.iter().filter_map(|base| Some(Base { state: place(base.state)?, ..base.clone() })).collect();
    lineage.bases.sort_unstable_by_key(|base| (base.state, base.low));
    lineage.deltas.clear();
    // Pages know states by their old numbers.
    let renumbered = (0..manifest.states.len() as u16).any(|state| place(state) != Some(state));
    if renumbered {
        lineage.base_pages.clear();
        lineage.bases.iter_mut().for_each(|base| base.page = None);
        lineage.pages.clear();
    }
    for delta in &manifest.deltas {
        if let Some(state) = place(delta.state) {
            let mut delta = delta.clone();
            delta.state = state;
            if renumbered {
                delta.page = None;
            }
            lineage.deltas.push(delta);
        }
    }
    lineage
}

fn same_schema(a: &StateDescriptor, b: &StateDescriptor) -> bool {
    a.kind == b.kind && a.version == b.version && a.fingerprint == b.fingerprint
}

fn check_schema(declared: &StateDescriptor, found: &StateDescriptor, options: &RestoreOptions<'_>) -> Result<()> {
    let changed = |reason| Err(Error::StateChanged { state: declared.name.clone(), reason });
    if declared.kind != found.kind {
        return changed(format!("it holds {}, the program declares {}", found.kind.as_str(), declared.kind.as_str()));
    }
    if same_schema(declared, found) || options.migrate.is_some_and(|migrate| migrate.accepts(found)) {
        return Ok(());
    }
    if declared.version != found.version {
        return changed(format!(
            "its schema has version {}, the program's has {}; migrate it",
            found.version, declared.version
        ));
    }
    changed(describe_change(&found.description, &declared.description))
}

/// What differs between two descriptions: of JSON objects, the members.
fn describe_change(found: &str, declared: &str) -> String {
    let mut members = Vec::new();
    if let (Ok(found), Ok(declared)) = (serde_json::from_str(found), serde_json::from_str(declared)) {
        collect_changes("", &found, &declared, &mut members);
    }
    if members.is_empty() { format!("it was `{found}` and is now `{declared}`") } else { members.join("; ") }
}

fn collect_changes(path: &str, found: &Json, declared: &Json, members: &mut Vec<String>) {
    match (found, declared) {
        (Json::Object(old), Json::Object(new)) => {
            let mut names: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { String::from(name) } else { format!("{path}.{name}") };
                let (found, declared) = (old.get(name), new.get(name));
                collect_changes(&path, found.unwrap_or(&Json::Null), declared.unwrap_or(&Json::Null), members);
            }
        }
        _ if found == declared => {}
        _ => members.push(match (found, declared) {
            (Json::Null, _) => format!("`{path}` is new: {declared}"),
            (_, Json::Null) => format!("`{path}` is gone: it was {found}"),
            _ => format!("`{path}` was {found} and is now {declared}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_description_is_told_by_its_members() {
        let before = r#"{"name":"a","window":{"tumbling":3600000},"compute":{"n":"count"},"within":null}"#;
        let after = r#"{"name":"a","window":{"tumbling":7200000},"compute":{"m":"count"},"within":5}"#;
        assert_eq!(
            describe_change(before, after),
            "`compute.m` is new: \"count\"; `compute.n` is gone: it was \"count\"; \
             `window.tumbling` was 3600000 and is now 7200000; `within` is new: 5"
        );
        assert_eq!(describe_change("u32", "u64"), "it was `u32` and is now `u64`");
        // Only the order has changed.
        let (ab, ba) = (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#);
        assert_eq!(describe_change(ab, ba), format!("it was `{ab}` and is now `{ba}`"));
    }
}
