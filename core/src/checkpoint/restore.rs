//! Restoring: which checkpoint, which sections, and the states from them. All or nothing.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use serde_json::Value as Json;

use super::open::{ReadHead, ReadManifest};
use super::procedure::{ByteRange, Procedure, Request, Response, Step, unexpected};
use crate::error::{Error, Result};
use crate::format::columns::{self, ColumnRow, Plan};
use crate::format::head::Head;
use crate::format::manifest::{Base, Delta, Manifest, ObjectId, StateDescriptor};
use crate::format::rows::{Form, Row, read_rows};
use crate::format::section::{SectionRef, read_section};
use crate::format::{Cursor, Malformed};
use crate::state::{RestoreOptions, StateHolder, StateMap};

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
/// The holder changes at the very end, at once, or not at all.
pub struct Restore<'h> {
    holder: Option<&'h mut StateHolder>,
    options: RestoreOptions<'h>,
    selector: Selector,
    state: RestoreState,
}

enum RestoreState {
    Head(ReadHead),
    Manifest(ReadManifest),
    Sections(Box<Sections>),
}

/// States being filled from sections.
struct Sections {
    /// The manifest as read.
    manifest: Manifest,
    /// Place in the holder of each state of the manifest; `None` drops it.
    places: Vec<Option<usize>>,
    maps: Vec<StateMap>,
    /// Plans that were read, by their places in the manifest.
    plans: Vec<Option<Plan>>,
    /// Number of the next section: bases, then deltas.
    next: usize,
}

/// A section to read.
struct Wanted<'a> {
    state: u16,
    /// Key groups it covers.
    groups: Range<u16>,
    /// Checkpoint of a delta; `None` is a base.
    delta: Option<u64>,
    section: &'a SectionRef,
    /// Place of its plan in the manifest, if it shares one.
    plan: Option<u32>,
}

impl<'h> Restore<'h> {
    /// Begins to restore.
    #[must_use]
    pub fn new(holder: &'h mut StateHolder, selector: Selector, options: RestoreOptions<'h>) -> Self {
        Restore { holder: Some(holder), options, selector, state: RestoreState::Head(ReadHead::new()) }
    }

    /// Begins to restore a checkpoint whose object is known already.
    #[must_use]
    pub fn object(holder: &'h mut StateHolder, object: ObjectId, options: RestoreOptions<'h>) -> Self {
        let state = RestoreState::Manifest(ReadManifest::new(object));
        Restore { holder: Some(holder), options, selector: Selector::Id(object.id), state }
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
                        let object = self.selector.find(&head.unwrap_or_default())?;
                        self.state = RestoreState::Manifest(ReadManifest::new(object));
                    }
                },
                RestoreState::Manifest(read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(manifest) => {
                        let holder = self.holder.as_deref().ok_or_else(|| unexpected("restore", ""))?;
                        self.state = RestoreState::Sections(Box::new(Sections::new(holder, manifest, &self.options)?));
                    }
                },
                RestoreState::Sections(sections) => {
                    if let Some(request) = sections.poll_request() {
                        return Ok(Step::Request(request));
                    }
                    let holder = self.holder.take().ok_or_else(|| unexpected("restore", ""))?;
                    return sections.finish(holder, &self.options).map(Step::Done);
                }
            }
        }
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match &mut self.state {
            RestoreState::Head(read) => read.handle_response(response),
            RestoreState::Manifest(read) => read.handle_response(response),
            RestoreState::Sections(sections) => sections.handle_response(response),
        }
    }
}

impl Sections {
    fn new(holder: &StateHolder, manifest: Manifest, options: &RestoreOptions<'_>) -> Result<Self> {
        options.check(holder, &manifest)?;
        let declared = holder.states();
        let places = places_of(declared, &manifest, options)?;
        let maps = declared.iter().map(|state| StateMap::new(state.kind, manifest.key_groups)).collect();
        let plans = manifest.plans.iter().map(|_| None).collect();
        Ok(Sections { manifest, places, maps, plans, next: 0 })
    }

    fn poll_request(&mut self) -> Option<Request> {
        let count = self.manifest.bases.len() + self.manifest.deltas.len();
        while self.next < count {
            if let Some(Wanted { state, section, plan, .. }) = wanted(&self.manifest, self.next)
                && self.places[usize::from(state)].is_some()
            {
                let section = unread_plan(&self.manifest, &self.plans, plan).unwrap_or(section);
                let object = self.manifest.objects[section.object as usize].name();
                let range = ByteRange::At { offset: section.offset, len: section.stored };
                return Some(Request::Read { object, range });
            }
            self.next += 1;
        }
        None
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        let Some(wanted) = wanted(&self.manifest, self.next) else { return Err(unexpected("restore", "")) };
        let unread_plan = unread_plan(&self.manifest, &self.plans, wanted.plan);
        let section = unread_plan.unwrap_or(wanted.section);
        let object = self.manifest.objects[section.object as usize].name();
        let stored = match response {
            Response::Bytes(Some(bytes)) => bytes,
            Response::Bytes(None) => return Err(Error::ObjectMissing { object }),
            Response::Failed(error) => return Err(error),
            _ => return Err(unexpected("read", &object)),
        };
        let name = &self.manifest.states[usize::from(wanted.state)].name;
        let damaged = |malformed: Malformed| Error::damaged(&object, format!("section of state `{name}`"), malformed.0);
        let unpacked = read_section(section, &stored).map_err(damaged)?;
        if unread_plan.is_some() {
            let plan = read_plan(section, &unpacked).map_err(damaged)?;
            if let Some(place) = wanted.plan {
                self.plans[place as usize] = Some(plan);
            }
            return Ok(());
        }
        let bases = bases_of(&self.manifest.bases, wanted.state);
        let plan = wanted.plan.and_then(|plan| self.plans[plan as usize].as_ref());
        let kind = self.manifest.states[usize::from(wanted.state)].kind;
        let filter = RowFilter { groups: wanted.groups, delta: wanted.delta, bases };
        let Some(map) = self.places[usize::from(wanted.state)].and_then(|place| self.maps.get_mut(place)) else {
            return Err(unexpected("restore", &object));
        };
        let map = map.any_mut();
        read_any(section, plan, &unpacked, |row| match (filter.is_wanted(row.group(), row.form())?, row) {
            (true, AnyRow::Row(row)) => map.restore_row(row),
            (true, AnyRow::Columns(row)) => map.restore_columns(row),
            (false, AnyRow::Columns(mut row)) if row.form != Form::Removed => row.skip(kind),
            (false, _) => Ok(()),
        })
        .map_err(damaged)?;
        self.next += 1;
        Ok(())
    }

    fn finish(&mut self, holder: &mut StateHolder, options: &RestoreOptions<'_>) -> Result<RestoredCheckpoint> {
        let mut maps = core::mem::take(&mut self.maps);
        let mut migrated = alloc::vec![false; maps.len()];
        if let Some(migrate) = options.migrate {
            for (found, place) in self.manifest.states.iter().zip(&self.places) {
                let Some(place) = *place else { continue };
                if !same_schema(found, &holder.states()[place]) {
                    migrated[place] = true;
                    let rows = |key: &[u8], value: &[u8]| migrate.migrate(found, key, value).map_err(Malformed::new);
                    maps[place]
                        .any_mut()
                        .migrate(&mut { rows })
                        .map_err(|malformed| Error::StateChanged { state: found.name.clone(), reason: malformed.0 })?;
                }
            }
        }
        let restored = Arc::new(self.manifest.clone());
        let lineage = lineage_manifest(&self.manifest, &self.places, &migrated, holder.states());
        holder.install(maps, Arc::new(lineage));
        Ok(RestoredCheckpoint { manifest: restored })
    }
}

/// The section of a number: bases, then deltas. `None` is a base without rows.
fn wanted(manifest: &Manifest, number: usize) -> Option<Wanted<'_>> {
    let bases = &manifest.bases;
    Some(match bases.get(number) {
        Some(base) => {
            let section = base.section.as_ref()?;
            Wanted { state: base.state, groups: base.low..base.high, delta: None, section, plan: base.plan }
        }
        None => {
            let Delta { state, low, high, checkpoint, section, .. } = manifest.deltas.get(number - bases.len())?;
            Wanted { state: *state, groups: *low..*high, delta: Some(*checkpoint), section, plan: None }
        }
    })
}

/// The section of a plan that was not read yet.
fn unread_plan<'m>(manifest: &'m Manifest, plans: &[Option<Plan>], plan: Option<u32>) -> Option<&'m SectionRef> {
    let plan = plan? as usize;
    if plans[plan].is_none() { manifest.plans.get(plan) } else { None }
}

/// Which rows of a section count.
struct RowFilter<'a> {
    groups: Range<u16>,
    delta: Option<u64>,
    bases: &'a [Base],
}

impl RowFilter<'_> {
    fn is_wanted(&self, group: u16, form: Form) -> Result<bool, Malformed> {
        match self.delta {
            _ if !self.groups.contains(&group) => {
                Err(Malformed::new("a row of a key group the section does not cover"))
            }
            None if form == Form::Whole => Ok(true),
            None => Err(Malformed::new("a base with a row that is not whole")),
            // A newer base has this change already.
            Some(checkpoint) => Ok(base_of(self.bases, group).is_none_or(|base| base.checkpoint < checkpoint)),
        }
    }
}

/// A row of a section of either form.
pub(super) enum AnyRow<'r, 's> {
    Row(Row<'r>),
    Columns(ColumnRow<'r, 's>),
}

impl AnyRow<'_, '_> {
    fn group(&self) -> u16 {
        match self {
            AnyRow::Row(row) => row.group,
            AnyRow::Columns(row) => row.group,
        }
    }

    fn form(&self) -> Form {
        match self {
            AnyRow::Row(row) => row.form,
            AnyRow::Columns(row) => row.form,
        }
    }
}

/// Reads a plan that stands for itself.
pub(super) fn read_plan(section: &SectionRef, unpacked: &[u8]) -> Result<Plan, Malformed> {
    if !section.codec.is_columns() {
        return Err(Malformed::new("a plan that is none"));
    }
    let mut cursor = Cursor::new(unpacked);
    let plan = Plan::read(&mut cursor, section.stored)?;
    cursor.finish()?;
    Ok(plan)
}

/// Reads the rows of an unpacked section, of either form.
pub(super) fn read_any(
    section: &SectionRef,
    plan: Option<&Plan>,
    unpacked: &[u8],
    mut each: impl FnMut(AnyRow<'_, '_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if !section.codec.is_columns() {
        return read_rows(unpacked, |row| each(AnyRow::Row(row)));
    }
    let mut cursor = Cursor::new(unpacked);
    let own;
    let plan = match plan {
        Some(plan) => plan,
        None => {
            own = Plan::read(&mut cursor, section.stored)?;
            &own
        }
    };
    columns::read_section(plan, cursor.rest(), section.raw, |row| each(AnyRow::Columns(row)))
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
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let member = |of: &serde_json::Map<String, Json>| of.get(name).cloned().unwrap_or_default();
                collect_changes(&path, &member(old), &member(new), members);
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

fn bases_of(bases: &[Base], state: u16) -> &[Base] {
    let from = bases.partition_point(|base| base.state < state);
    let to = bases.partition_point(|base| base.state <= state);
    bases.get(from..to).unwrap_or_default()
}

fn base_of(bases: &[Base], group: u16) -> Option<&Base> {
    bases.get(bases.partition_point(|base| base.high <= group))
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
