//! The holder of fixed states: their checkpoints, one cut and one lineage.

use heapless::Vec;

use super::error::FixedError;
use super::lineage::{Held, Lineage};
use super::map::sealed::Written;
use super::map::{FixedState, insertion_sort};
use crate::credit::{Account, Credit};
pub use crate::format::manifest_fixed::FixedEngine;
use crate::format::manifest_fixed::{Beginning, ProgressRecord, Sections, StateRecord, append_manifest};
use crate::format::manifest_parts::{CheckpointSizes, ObjectId, StateKind};
use crate::format::object_ends::{HEADER_BYTES, header, trailer};
use crate::format::{ByteSink, FixedBytes, hash64};
use crate::limits::{EVENTS_MAX, KEY_GROUPS_MAX, LABEL_BYTES_MAX, STATES_MAX};

/// A state as its program declares it; the fingerprint is the hash of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedStateDescriptor<'a> {
    /// Name, unique in the holder; empty for the plain values, which come first.
    pub name: &'a str,
    /// Version of the schema.
    pub version: u32,
    /// What the state is: see `StateDescriptor`.
    pub description: &'a str,
}

impl<'a> FixedStateDescriptor<'a> {
    pub(super) fn record(&self, kind: StateKind) -> StateRecord<'a> {
        let FixedStateDescriptor { name, version, description } = *self;
        StateRecord { name, kind, version, fingerprint: hash64(description.as_bytes()), description }
    }
}

/// What is recorded with a checkpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedRequest<'a> {
    /// Now, milliseconds since 1970.
    pub created_ms: i64,
    /// A label makes it a savepoint, which retention keeps.
    pub label: Option<&'a str>,
    /// Positions in sources, by name.
    pub positions: &'a [(&'a str, u64)],
    /// Lengths of outputs, by name.
    pub outputs: &'a [(&'a str, u64)],
    /// Watermarks by source, in milliseconds since 1970.
    pub watermarks: &'a [(&'a str, i64)],
    /// Lets an engine go on from it.
    pub engine: Option<FixedEngine<'a>>,
}

/// Checkpoints of `STATES` states of fixed capacity, of which the first is that of the plain values.
///
/// A checkpoint is [`encode`](Self::encode), which writes the object into the caller's buffer, then, once it is durable
/// wherever it goes, [`commit`](Self::commit), else [`abort`](Self::abort). In between the states may change. What was
/// changed since the checkpoint before goes in, until it pays to write a state whole, or until `DELTAS` sections of
/// changes have come together, which is all that the holder remembers.
///
/// The states are the caller's, who hands them over in the same order each time.
///
/// ```
/// use eventflux_core::{FixedError, FixedHolder, FixedMap, FixedPlain, FixedRequest, FixedStateDescriptor, ObjectId};
/// # fn main() -> Result<(), FixedError> {
/// // Up to 8 keys of up to 12 bytes, with values of up to 16 bytes.
/// let mut values = FixedMap::<FixedPlain<16>, 8, 12>::new();
/// let mut holder =
///     FixedHolder::<1, 4>::new("meter", 16, [FixedStateDescriptor { name: "", version: 1, description: "" }]);
/// values.set_value("total", &(3_u32, 12.5_f64))?;
///
/// let mut buffer = [0; 256];
/// let object = ObjectId { id: 0, generation: 1 };
/// let len = holder.encode(object, &FixedRequest::default(), &mut [&mut values], &mut buffer)?;
/// // … send buffer[..len] …
/// holder.commit(&mut [&mut values])?;
///
/// // After a restart:
/// let mut restored = FixedMap::<FixedPlain<16>, 8, 12>::new();
/// holder.restore(&mut [&mut restored], &[&buffer[..len]])?;
/// assert_eq!(restored.get_value("total")?, Some((3_u32, 12.5_f64)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FixedHolder<'a, const STATES: usize, const DELTAS: usize> {
    pub(super) id: &'a str,
    pub(super) key_groups: u16,
    pub(super) descriptors: [FixedStateDescriptor<'a>; STATES],
    pub(super) lineage: Option<Lineage<STATES, DELTAS>>,
    /// What [`FixedHolder::commit`] makes the lineage.
    pub(super) under_way: Option<Lineage<STATES, DELTAS>>,
    /// Bytes by which rows shrank before the newest cut, since the newest one that became durable.
    pub(super) shrunk: u64,
    /// Which states the checkpoint under way has whole.
    whole: [bool; STATES],
}

impl<'a, const STATES: usize, const DELTAS: usize> FixedHolder<'a, STATES, DELTAS> {
    /// A holder without checkpoints; `id` names it in them. `STATES` is at most [`STATES_MAX`]. `key_groups`, from 1 to
    /// [`KEY_GROUPS_MAX`], are frozen in them.
    #[must_use]
    pub const fn new(id: &'a str, key_groups: u16, descriptors: [FixedStateDescriptor<'a>; STATES]) -> Self {
        const { assert!(STATES > 0 && STATES <= STATES_MAX, "there are the plain values, and no more than STATES_MAX") };
        let key_groups = if key_groups == 0 { 1 } else { key_groups };
        let key_groups = if key_groups > KEY_GROUPS_MAX { KEY_GROUPS_MAX } else { key_groups };
        FixedHolder { id, key_groups, descriptors, lineage: None, under_way: None, shrunk: 0, whole: [false; STATES] }
    }

    /// Number of the checkpoint that the states build on.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<u64> {
        self.lineage.as_ref().map(|lineage| lineage.id)
    }

    /// The next checkpoint needs no other object: for when those before it are lost.
    ///
    /// # Errors
    /// [`FixedError::CheckpointUnderWay`]: that one may need them, and so would all after it. Nothing has changed then.
    pub fn forget_checkpoints(&mut self) -> Result<(), FixedError> {
        if self.under_way.is_some() {
            return Err(FixedError::CheckpointUnderWay);
        }
        self.lineage = None;
        Ok(())
    }

    /// Writes a checkpoint into `buffer`; how many bytes it takes. The number of `object` is above that of the last one.
    ///
    /// # Errors
    /// [`FixedError::BufferFull`], [`FixedError::CheckpointUnderWay`], [`FixedError::NumberDoesNotRise`],
    /// [`FixedError::OtherStates`], [`FixedError::Full`] for a label too long, [`FixedError::OverLimit`] for a count of
    /// events that no reader takes. Nothing has changed then.
    pub fn encode(
        &mut self,
        object: ObjectId,
        request: &FixedRequest<'_>,
        states: &mut [&mut dyn FixedState],
        buffer: &mut [u8],
    ) -> Result<usize, FixedError> {
        self.check_states(states)?;
        let names = |to| self.descriptors.iter().take(to).map(|of| of.name);
        if self.descriptors.iter().enumerate().any(|(at, of)| names(at).any(|name| name == of.name)) {
            return Err(FixedError::OtherStates);
        }
        if self.under_way.is_some() {
            return Err(FixedError::CheckpointUnderWay);
        }
        // Which changes count is known by the numbers: others would be lost.
        if let Some(last) = self.last_checkpoint().filter(|last| object.id <= *last) {
            return Err(FixedError::NumberDoesNotRise { last });
        }
        if request.label.is_some_and(|label| label.len() > LABEL_BYTES_MAX) {
            return Err(FixedError::Full { what: "bytes of a label", capacity: LABEL_BYTES_MAX });
        }
        let counts = |engine: FixedEngine<'_>| {
            engine.results.iter().chain(engine.late).chain([&engine.events]).any(|count| *count > EVENTS_MAX)
        };
        if request.engine.is_some_and(counts) {
            return Err(FixedError::OverLimit { what: "a count of events or results", limit: EVENTS_MAX });
        }
        let whole = self.plan(states);
        let available = buffer.len();
        let mut out = FixedBytes::new(buffer);
        out.extend_from_slice(&header(object));
        let (next, sizes) = self.append_sections(object, &whole, states, &mut out);
        self.append_end(object, request, states, &next, &sizes, &mut out);
        let written = out.finish().map_err(|needed| FixedError::BufferFull { needed, available })?;
        for (state, whole) in states.iter_mut().zip(whole) {
            self.shrunk += state.shrunk();
            state.cut(whole);
        }
        self.whole = whole;
        self.under_way = Some(next);
        Ok(written.len())
    }

    /// Ends the checkpoint: it is durable.
    ///
    /// # Errors
    /// [`FixedError::NoCheckpointUnderWay`], [`FixedError::OtherStates`].
    pub fn commit(&mut self, states: &mut [&mut dyn FixedState]) -> Result<(), FixedError> {
        self.check_states(states)?;
        self.lineage = Some(self.under_way.take().ok_or(FixedError::NoCheckpointUnderWay)?);
        self.shrunk = 0;
        states.iter_mut().for_each(|state| state.end(true));
        Ok(())
    }

    /// Ends the checkpoint: it did not become durable. What it held goes into the next one.
    ///
    /// # Errors
    /// [`FixedError::NoCheckpointUnderWay`], [`FixedError::OtherStates`].
    pub fn abort(&mut self, states: &mut [&mut dyn FixedState]) -> Result<(), FixedError> {
        self.check_states(states)?;
        self.under_way.take().ok_or(FixedError::NoCheckpointUnderWay)?;
        states.iter_mut().for_each(|state| state.end(false));
        Ok(())
    }

    pub(super) fn check_states(&self, states: &[&mut dyn FixedState]) -> Result<(), FixedError> {
        let first = states.first().zip(self.descriptors.first());
        let begins_right = first.is_some_and(|(state, of)| state.kind() == StateKind::Values && of.name.is_empty());
        if states.len() == STATES && begins_right { Ok(()) } else { Err(FixedError::OtherStates) }
    }

    /// Which states are written whole: as `plan_rebase` in `checkpoint/compaction.rs`, of one base a state, which is never cut.
    fn plan(&self, states: &[&mut dyn FixedState]) -> [bool; STATES] {
        let Some(lineage) = self.lineage.as_ref().filter(|lineage| lineage.bases.len() == STATES) else {
            return [true; STATES];
        };
        let mut whole = [false; STATES];
        let live = states.iter().map(|state| state.live_bytes()).sum();
        let mut credit = lineage.credit.to_spend(lineage.restore_raw(), live);
        let mut by_age: Vec<&Held, STATES, u16> = lineage.bases.iter().collect();
        insertion_sort(&mut by_age, |a, b| (a.object.id, a.state) < (b.object.id, b.state));
        for base in by_age.into_iter().filter(|base| lineage.has_delta(base)) {
            let state = usize::from(base.state);
            match credit.checked_sub(states[state].live_bytes()) {
                Some(rest) => credit = rest,
                None => break,
            }
            whole[state] = true;
        }
        // More changes than can be remembered: all anew.
        let kept = lineage.deltas.iter().filter(|delta| !whole[usize::from(delta.state)] && lineage.is_needed(delta));
        let new = states.iter().zip(whole).filter(|(state, whole)| !whole && state.has_changes());
        if kept.count() + new.count() > DELTAS { [true; STATES] } else { whole }
    }

    /// Writes the sections; with what the lineage will be then.
    fn append_sections(
        &self,
        object: ObjectId,
        whole: &[bool; STATES],
        states: &mut [&mut dyn FixedState],
        out: &mut FixedBytes<'_>,
    ) -> (Lineage<STATES, DELTAS>, CheckpointSizes) {
        let mut next = Lineage::new(object.id);
        let mut new_deltas: Vec<Held, STATES, u16> = Vec::new();
        let mut sizes = CheckpointSizes::default();
        let mut dirty_in_bases = 0;
        for (place, state) in states.iter_mut().enumerate() {
            let start = out.len();
            state.sort(self.key_groups);
            let Written { rows, low, high, dirty } = state.write_rows(self.key_groups, whole[place], out);
            let raw = (out.len() - start) as u64;
            let hash = hash64(out.written_from(start));
            let held = Held { object, hash, offset: start as u32, len: raw as u32, state: place as u16, low, high };
            // There is room, since the plan saw to it.
            let fitted = if whole[place] {
                sizes.base_rows += rows;
                sizes.base_raw += raw;
                dirty_in_bases += dirty;
                next.bases.push(Held { low: 0, high: self.key_groups, ..held })
            } else {
                sizes.delta_rows += rows;
                sizes.delta_raw += raw;
                let base = self.lineage.iter().flat_map(|lineage| &lineage.bases).find(|base| base.state == held.state);
                let added = if rows > 0 { new_deltas.push(held) } else { Ok(()) };
                added.and(base.map_or(Ok(()), |base| next.bases.push(*base)))
            };
            debug_assert!(fitted.is_ok(), "a section without room in the lineage");
        }
        for delta in self.lineage.iter().flat_map(|lineage| &lineage.deltas).chain(&new_deltas) {
            let fitted = if next.is_needed(delta) { next.deltas.push(*delta) } else { Ok(()) };
            debug_assert!(fitted.is_ok(), "a delta without room in the lineage");
        }
        let shrunk = self.shrunk + states.iter().map(|state| state.shrunk()).sum::<u64>();
        let parent = self.lineage.as_ref().map(|lineage| lineage.credit);
        sizes.stored = (out.len() - HEADER_BYTES) as u64;
        sizes.dirty = if parent.is_none() { sizes.base_raw } else { sizes.delta_raw + dirty_in_bases + shrunk };
        sizes.restore_raw = next.restore_raw();
        let account = Account {
            dirty: sizes.dirty,
            bases: next.bases.len() as u64,
            deltas: next.deltas.len() as u64,
            base_cost: sizes.base_raw.saturating_sub(dirty_in_bases),
            restore_raw: sizes.restore_raw,
        };
        next.credit = Credit::settle(parent, account);
        (next, sizes)
    }

    /// Writes manifest and trailer.
    fn append_end(
        &self,
        object: ObjectId,
        request: &FixedRequest<'_>,
        states: &[&mut dyn FixedState],
        next: &Lineage<STATES, DELTAS>,
        sizes: &CheckpointSizes,
        out: &mut FixedBytes<'_>,
    ) {
        let start = out.len();
        let beginning = Beginning {
            object,
            parent: self.last_checkpoint(),
            created_ms: request.created_ms,
            label: request.label,
            holder: self.id,
            key_groups: self.key_groups,
        };
        let records = self.descriptors.iter().zip(states).map(|(of, state)| of.record(state.kind()));
        let FixedRequest { positions, outputs, watermarks, engine, .. } = *request;
        let progress = ProgressRecord { positions, outputs, watermarks, engine };
        let sections = Sections { objects: next.objects(), bases: next.base_records(), deltas: next.delta_records() };
        append_manifest(out, &beginning, records, &progress, sizes, sections, next.credit);
        let trailer = trailer(&header(object), out.written_from(start));
        out.extend_from_slice(&trailer);
    }
}
