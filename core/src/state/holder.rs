//! The holder: named states under one budget, one cut and one lineage of checkpoints.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AggregationState, PatternState, PlainValue, WindowState};
use crate::bytes::heap_bytes_beyond_inline;
use crate::checkpoint::{Capture, CapturedState, Lineage, plan_rebase};
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::manifest::{Manifest, Progress, StateDescriptor, StateKind};
use crate::format::rows::Row;
use crate::limits::{KEY_GROUPS_DEFAULT, KEY_GROUPS_MAX, LABEL_BYTES_MAX, STATES_MAX};
use crate::tracked::sealed::Sealed;
use crate::tracked::{CapturedRows, Clock, MapKey, NO_CUT, TrackedMap};
use crate::value::Event;

/// Name of the state that [`StateHolder::set`] writes to. Empty, so that it is nobody else's.
const VALUES: &str = "";
/// What an event may take in an operator's state beside itself: a key, a window, accumulators.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// Keyed state of a program: plain values, and named windows, patterns and aggregations, with the
/// tracking that makes incremental checkpoints of them.
///
/// A checkpoint is [`begin`](Self::begin) (constant time: the cut), [`step`](Self::step) until it
/// is done, with writes in between as they come, [`take_capture`](Self::take_capture), then, on any
/// thread, [`Capture::into_object`], and when the object is durably published
/// [`commit`](Self::commit), else [`abort`](Self::abort).
///
/// ```
/// use eventflux_core::{CheckpointRequest, Compression, ObjectId, StateHolder, StepProgress};
/// # fn main() -> eventflux_core::Result<()> {
/// let mut holder = StateHolder::builder("orders").build()?;
/// holder.set("total/eu", &(3_u32, 12.5_f64))?;
/// assert_eq!(holder.get::<(u32, f64)>("total/eu")?, Some((3, 12.5)));
///
/// holder.begin(CheckpointRequest { created_ms: 1_700_000_000_000, ..Default::default() })?;
/// holder.set("total/eu", &(4_u32, 13.5_f64))?; // after the cut: not in this checkpoint
/// while holder.step(4096)? == StepProgress::More {}
/// let object = holder.take_capture()?.into_object(ObjectId { id: 0, generation: 1 }, Compression::Lz4)?;
/// holder.commit(&object)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StateHolder {
    id: String,
    key_groups: u16,
    budget: Option<usize>,
    descriptors: Vec<StateDescriptor>,
    maps: Vec<StateMap>,
    clock: Clock,
    lineage: Lineage,
    under_way: Option<UnderWay>,
    /// Where values are encoded before they are compared with the budget.
    scratch: Vec<u8>,
}

/// Declares the states of a [`StateHolder`].
#[derive(Debug)]
pub struct StateHolderBuilder {
    id: String,
    key_groups: u16,
    budget: Option<usize>,
    descriptors: Vec<StateDescriptor>,
}

/// What is recorded with a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct CheckpointRequest {
    /// Now, milliseconds since 1970.
    pub created_ms: i64,
    /// A label makes it a savepoint, which retention keeps.
    pub label: Option<String>,
    /// Positions, outputs, watermarks as of the cut.
    pub progress: Progress,
}

/// Whether a step has captured all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepProgress {
    /// Call again.
    More,
    /// All is captured: take it.
    Done,
}

/// What a restore may forgive, and how old schemas are brought up to date.
#[derive(Default)]
pub struct RestoreOptions<'a> {
    /// A state the program declares and the checkpoint lacks starts empty.
    pub allow_missing: bool,
    /// A state the checkpoint has and the program does not declare is dropped.
    pub allow_unknown: bool,
    /// Brings rows written under another version or fingerprint to the present schema.
    pub migrate: Option<&'a dyn Migrate>,
}

/// Brings the rows of a state from an older schema to the present one.
pub trait Migrate {
    /// Whether rows of this state as the checkpoint describes it can be migrated.
    fn accepts(&self, found: &StateDescriptor) -> bool;

    /// The encoded value of a key under the present schema; `None` drops the key.
    ///
    /// # Errors
    /// A reason, which becomes [`Error::StateChanged`].
    fn migrate(&self, found: &StateDescriptor, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String>;
}

/// One state, by kind.
#[derive(Debug)]
pub(crate) enum StateMap {
    Values(TrackedMap<PlainValue>),
    Windows(TrackedMap<WindowState>),
    Patterns(TrackedMap<PatternState>),
    Aggregations(TrackedMap<AggregationState>),
}

#[derive(Debug)]
struct UnderWay {
    cut: u32,
    request: CheckpointRequest,
    rebase: Vec<(u16, core::ops::Range<u16>)>,
    shrunk: u64,
    /// State the next step goes on with.
    state: usize,
    taken: bool,
}

/// Brings one row to another schema: key and value in, value out, or nothing.
type MigrateRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Option<Vec<u8>>, Malformed> + 'a;

/// What all maps can do, whatever their values: the checkpoint side.
pub(crate) trait AnyMap {
    fn begin(&mut self, clock: Clock, rebase: &mut dyn Iterator<Item = core::ops::Range<u16>>);
    fn step(&mut self, budget: &mut usize) -> bool;
    fn take_captured(&mut self) -> Result<CapturedRows>;
    fn take_shrunk(&mut self) -> u64;
    fn end(&mut self, clock: Clock);
    fn live_bytes(&self) -> &[u64];
    fn restore_row(&mut self, row: Row<'_>) -> Result<(), Malformed>;
    fn size_bytes(&self) -> usize;
    fn growth_of_insert(&self, key: &[u8]) -> usize;
    fn len(&self) -> usize;
    fn migrate(&mut self, migrate: &mut MigrateRow<'_>) -> Result<(), Malformed>;
    fn for_each_whole(&self, each: &mut dyn FnMut(&[u8], &[u8]));
}

impl<V: Sealed> AnyMap for TrackedMap<V> {
    fn begin(&mut self, clock: Clock, rebase: &mut dyn Iterator<Item = core::ops::Range<u16>>) {
        TrackedMap::begin(self, clock, rebase);
    }

    fn step(&mut self, budget: &mut usize) -> bool {
        TrackedMap::step(self, budget)
    }

    fn take_captured(&mut self) -> Result<CapturedRows> {
        TrackedMap::take_captured(self)
    }

    fn take_shrunk(&mut self) -> u64 {
        TrackedMap::take_shrunk(self)
    }

    fn end(&mut self, clock: Clock) {
        TrackedMap::end(self, clock);
    }

    fn live_bytes(&self) -> &[u64] {
        TrackedMap::live_bytes(self)
    }

    fn restore_row(&mut self, row: Row<'_>) -> Result<(), Malformed> {
        TrackedMap::restore_row(self, row)
    }

    fn size_bytes(&self) -> usize {
        TrackedMap::size_bytes(self)
    }

    fn growth_of_insert(&self, key: &[u8]) -> usize {
        TrackedMap::growth_of_insert(self, key)
    }

    fn len(&self) -> usize {
        TrackedMap::len(self)
    }

    fn migrate(&mut self, migrate: &mut MigrateRow<'_>) -> Result<(), Malformed> {
        let mut whole = Vec::new();
        for key in self.sorted_keys() {
            let key = key.as_slice();
            whole.clear();
            if let Some(value) = self.get(key) {
                value.write_whole(&mut whole);
            }
            match migrate(key, &whole)? {
                Some(bytes) => {
                    let value = V::read_whole(&bytes)?;
                    self.set(key, value).map_err(|error| Malformed::new(error.to_string()))?;
                }
                None => {
                    self.remove(key);
                }
            }
        }
        Ok(())
    }

    fn for_each_whole(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        let mut whole = Vec::new();
        for key in self.sorted_keys() {
            if let Some(value) = self.get(key.as_slice()) {
                whole.clear();
                value.write_whole(&mut whole);
                each(key.as_slice(), &whole);
            }
        }
    }
}

impl StateMap {
    pub(crate) fn new(kind: StateKind, key_groups: u16) -> Self {
        let clock = Clock::new();
        match kind {
            StateKind::Values => StateMap::Values(TrackedMap::new(key_groups, clock)),
            StateKind::Windows => StateMap::Windows(TrackedMap::new(key_groups, clock)),
            StateKind::Patterns => StateMap::Patterns(TrackedMap::new(key_groups, clock)),
            StateKind::Aggregations => StateMap::Aggregations(TrackedMap::new(key_groups, clock)),
        }
    }

    pub(crate) fn any(&self) -> &dyn AnyMap {
        match self {
            StateMap::Values(map) => map,
            StateMap::Windows(map) => map,
            StateMap::Patterns(map) => map,
            StateMap::Aggregations(map) => map,
        }
    }

    pub(crate) fn any_mut(&mut self) -> &mut dyn AnyMap {
        match self {
            StateMap::Values(map) => map,
            StateMap::Windows(map) => map,
            StateMap::Patterns(map) => map,
            StateMap::Aggregations(map) => map,
        }
    }
}

impl StateHolderBuilder {
    /// Number of key groups; [`KEY_GROUPS_DEFAULT`] unless set. A restore takes the checkpoint's.
    #[must_use]
    pub fn key_groups(mut self, key_groups: u16) -> Self {
        self.key_groups = key_groups;
        self
    }

    /// Most bytes of memory the states may take.
    #[must_use]
    pub fn budget_bytes(mut self, budget: usize) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Version and description of the schema of the plain values.
    #[must_use]
    pub fn values_schema(mut self, version: u32, description: &str) -> Self {
        self.descriptors[0] = StateDescriptor::new(VALUES, StateKind::Values, version, description);
        self
    }

    /// Declares a state.
    #[must_use]
    pub fn state(mut self, descriptor: StateDescriptor) -> Self {
        self.descriptors.push(descriptor);
        self
    }

    /// The holder, empty.
    ///
    /// # Errors
    /// [`Error::Definition`] for a name used twice or a number of key groups that is 0;
    /// [`Error::OverLimit`] for too many states or key groups.
    pub fn build(self) -> Result<StateHolder> {
        if self.key_groups == 0 {
            return Err(Error::definition("key_groups", "must be at least 1"));
        }
        let over =
            |what, found: usize, limit: usize| Err(Error::OverLimit { what, found: found as u64, limit: limit as u64 });
        if self.key_groups > KEY_GROUPS_MAX {
            return over("number of key groups", self.key_groups.into(), KEY_GROUPS_MAX.into());
        }
        if self.descriptors.len() > STATES_MAX {
            return over("number of states", self.descriptors.len(), STATES_MAX);
        }
        for (at, descriptor) in self.descriptors.iter().enumerate() {
            if self.descriptors[..at].iter().any(|other| other.name == descriptor.name) {
                return Err(Error::definition("state", alloc::format!("the name `{}` is used twice", descriptor.name)));
            }
        }
        let maps = self.descriptors.iter().map(|descriptor| StateMap::new(descriptor.kind, self.key_groups)).collect();
        Ok(StateHolder {
            id: self.id,
            key_groups: self.key_groups,
            budget: self.budget,
            descriptors: self.descriptors,
            maps,
            clock: Clock::new(),
            lineage: Lineage::default(),
            under_way: None,
            scratch: Vec::new(),
        })
    }
}

/// Reading and writing.
impl StateHolder {
    /// Starts declaring a holder; `id` names it in its checkpoints.
    #[must_use]
    pub fn builder(id: impl Into<String>) -> StateHolderBuilder {
        let values = StateDescriptor::new(VALUES, StateKind::Values, 1, "");
        StateHolderBuilder {
            id: id.into(),
            key_groups: KEY_GROUPS_DEFAULT,
            budget: None,
            descriptors: alloc::vec![values],
        }
    }

    /// Name of the holder.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads a plain value.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if what is stored is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let key = key.as_ref();
        let Some(value) = self.values().get(key) else { return Ok(None) };
        match postcard::take_from_bytes::<T>(value.as_bytes()) {
            Ok((value, [])) => Ok(Some(value)),
            Ok(_) => Err(undecodable::<T>(key, "bytes are left over".into())),
            Err(error) => Err(undecodable::<T>(key, error.to_string())),
        }
    }

    /// Writes a plain value.
    ///
    /// # Errors
    /// [`Error::OverBudget`], [`Error::OutOfMemory`], [`Error::OverLimit`] for a key too long,
    /// [`Error::Undecodable`] if the value's `Serialize` fails. Nothing has changed then.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let key = key.as_ref();
        // A short value in the place of another takes no memory: the budget need not be asked.
        if self.values_mut().change_in_place(&MapKey::new(key), |held| held.encode(value)) {
            return Ok(());
        }
        self.set_otherwise(key, value)
    }

    #[inline(never)]
    fn set_otherwise<T: Serialize + ?Sized>(&mut self, key: &[u8], value: &T) -> Result<()> {
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.clear();
        scratch = postcard::to_extend(value, scratch).map_err(|error| undecodable::<T>(key, error.to_string()))?;
        let result = self.set_encoded(key, &scratch);
        self.scratch = scratch;
        result
    }

    /// Writes a plain value that is already encoded.
    ///
    /// # Errors
    /// As [`StateHolder::set`].
    pub fn set_encoded(&mut self, key: &[u8], bytes: &[u8]) -> Result<()> {
        if self.budget.is_some() {
            self.ensure_room_for_value(key, bytes.len())?;
        }
        self.values_mut().set(key, PlainValue::new(bytes))
    }

    fn ensure_room_for_value(&self, key: &[u8], len: usize) -> Result<()> {
        let (held, slot) = match self.values().get(key) {
            Some(value) => (heap_bytes_beyond_inline(value.as_bytes().len()), 0),
            None => (0, self.values().growth_of_insert(key)),
        };
        let more = heap_bytes_beyond_inline(len).saturating_sub(held) + slot;
        if more > 0 { self.ensure_room(more) } else { Ok(()) }
    }

    /// Removes a plain value; whether it was there.
    ///
    /// # Errors
    /// None at present; removals may need room in states of fixed capacity.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.values_mut().remove(key.as_ref()))
    }

    /// The plain values.
    #[must_use]
    pub fn values(&self) -> &TrackedMap<PlainValue> {
        let StateMap::Values(values) = &self.maps[0] else { unreachable!("the first state is made of plain values") };
        values
    }

    #[inline]
    fn values_mut(&mut self) -> &mut TrackedMap<PlainValue> {
        let StateMap::Values(values) = &mut self.maps[0] else {
            unreachable!("the first state is made of plain values")
        };
        values
    }

    /// A window state by name.
    #[must_use]
    pub fn windows(&self, name: &str) -> Option<&TrackedMap<WindowState>> {
        if let StateMap::Windows(map) = &self.maps[self.index_of(name)?] { Some(map) } else { None }
    }

    /// A window state by name, to change it.
    pub fn windows_mut(&mut self, name: &str) -> Option<&mut TrackedMap<WindowState>> {
        let index = self.index_of(name)?;
        self.windows_at(index)
    }

    /// A pattern state by name.
    #[must_use]
    pub fn patterns(&self, name: &str) -> Option<&TrackedMap<PatternState>> {
        if let StateMap::Patterns(map) = &self.maps[self.index_of(name)?] { Some(map) } else { None }
    }

    /// A pattern state by name, to change it.
    pub fn patterns_mut(&mut self, name: &str) -> Option<&mut TrackedMap<PatternState>> {
        let index = self.index_of(name)?;
        self.patterns_at(index)
    }

    /// An aggregation state by name.
    #[must_use]
    pub fn aggregations(&self, name: &str) -> Option<&TrackedMap<AggregationState>> {
        if let StateMap::Aggregations(map) = &self.maps[self.index_of(name)?] { Some(map) } else { None }
    }

    /// An aggregation state by name, to change it.
    pub fn aggregations_mut(&mut self, name: &str) -> Option<&mut TrackedMap<AggregationState>> {
        let index = self.index_of(name)?;
        self.aggregations_at(index)
    }

    pub(crate) fn windows_at(&mut self, index: usize) -> Option<&mut TrackedMap<WindowState>> {
        if let Some(StateMap::Windows(map)) = self.maps.get_mut(index) { Some(map) } else { None }
    }

    pub(crate) fn patterns_at(&mut self, index: usize) -> Option<&mut TrackedMap<PatternState>> {
        if let Some(StateMap::Patterns(map)) = self.maps.get_mut(index) { Some(map) } else { None }
    }

    pub(crate) fn aggregations_at(&mut self, index: usize) -> Option<&mut TrackedMap<AggregationState>> {
        if let Some(StateMap::Aggregations(map)) = self.maps.get_mut(index) { Some(map) } else { None }
    }

    /// The declared states, in order.
    #[must_use]
    pub fn states(&self) -> &[StateDescriptor] {
        &self.descriptors
    }

    pub(crate) fn maps(&self) -> &[StateMap] {
        &self.maps
    }

    /// Keys of a state by its name, over all kinds.
    #[must_use]
    pub fn key_count(&self, name: &str) -> Option<usize> {
        Some(self.maps[self.index_of(name)?].any().len())
    }

    /// Memory the states take, in bytes, within 10 %.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.maps.iter().map(|map| map.any().size_bytes()).sum()
    }

    /// Answers [`Error::OverBudget`] if `more` bytes would take the states past the budget.
    ///
    /// Plain values ask by themselves. Who changes windows, patterns or aggregations asks before,
    /// with the size of what is to be added.
    ///
    /// # Errors
    /// [`Error::OverBudget`].
    pub fn ensure_room(&self, more: usize) -> Result<()> {
        let Some(budget) = self.budget else { return Ok(()) };
        let needed = self.size_bytes() + more;
        if needed > budget { Err(Error::OverBudget { needed, budget }) } else { Ok(()) }
    }

    /// What to ask [`StateHolder::ensure_room`] for when an event comes to a key of a state; 0 if
    /// there is no budget.
    pub(crate) fn growth_for(&self, state: usize, key: &[u8], event: &Event) -> usize {
        if self.budget.is_none() {
            return 0;
        }
        event.footprint().memory as usize + EVENT_OVERHEAD_BYTES + self.maps[state].any().growth_of_insert(key)
    }

    /// Number of the checkpoint that the state builds on.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<u64> {
        self.lineage.manifest().map(|manifest| manifest.object.id)
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.descriptors.iter().position(|descriptor| descriptor.name == name)
    }
}

/// Checkpoints.
impl StateHolder {
    /// The cut: what is in the state now is in the checkpoint, what comes later is not. Constant
    /// time, whatever the size of the state.
    ///
    /// # Errors
    /// [`Error::CheckpointUnderWay`] if the one before has not ended; [`Error::OverLimit`] for a
    /// label too long. Nothing has changed then.
    pub fn begin(&mut self, request: CheckpointRequest) -> Result<()> {
        if self.under_way.is_some() {
            return Err(Error::CheckpointUnderWay);
        }
        if let Some(label) = request.label.as_ref().filter(|label| label.len() > LABEL_BYTES_MAX) {
            return Err(Error::OverLimit {
                what: "length of a label",
                found: label.len() as u64,
                limit: LABEL_BYTES_MAX as u64,
            });
        }
        let cut = self.clock.epoch;
        if cut >= u32::MAX - 1 {
            return Err(Error::OverLimit {
                what: "checkpoints without a restart",
                found: u64::from(cut),
                limit: u64::from(cut),
            });
        }
        let maps = &self.maps;
        let rebase = plan_rebase(&self.lineage, self.key_groups, maps.iter().map(|map| map.any().live_bytes()));
        self.clock = Clock { epoch: cut + 1, under_way: cut, ..self.clock };
        let mut shrunk = 0;
        for (state, map) in self.maps.iter_mut().enumerate() {
            let mut ranges = rebase.iter().filter(|(of, _)| usize::from(*of) == state).map(|(_, range)| range.clone());
            shrunk += map.any_mut().take_shrunk();
            map.any_mut().begin(self.clock, &mut ranges);
        }
        self.under_way = Some(UnderWay { cut, request, rebase, shrunk, state: 0, taken: false });
        Ok(())
    }

    /// Captures state as of the cut, about `budget` bytes of it.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`].
    pub fn step(&mut self, mut budget: usize) -> Result<StepProgress> {
        let under_way = self.under_way.as_mut().ok_or(Error::NoCheckpointUnderWay)?;
        while let Some(map) = self.maps.get_mut(under_way.state) {
            if !map.any_mut().step(&mut budget) {
                return Ok(StepProgress::More);
            }
            under_way.state += 1;
        }
        Ok(StepProgress::Done)
    }

    /// The captured checkpoint, owned: the rest of the work may go to another thread.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`], also if it was taken before. Captures what is left first.
    pub fn take_capture(&mut self) -> Result<Capture> {
        while self.step(usize::MAX)? == StepProgress::More {}
        let under_way =
            self.under_way.as_mut().filter(|under_way| !under_way.taken).ok_or(Error::NoCheckpointUnderWay)?;
        let mut states = Vec::with_capacity(self.maps.len());
        for (map, descriptor) in self.maps.iter_mut().zip(&self.descriptors) {
            states.push(CapturedState { rows: map.any_mut().take_captured()?, descriptor: descriptor.clone() });
        }
        under_way.taken = true;
        Ok(Capture {
            holder: self.id.clone(),
            key_groups: self.key_groups,
            request: core::mem::take(&mut under_way.request),
            rebase: core::mem::take(&mut under_way.rebase),
            shrunk: under_way.shrunk,
            lineage: self.lineage.clone(),
            states,
        })
    }

    /// Ends the checkpoint: it is durable and published.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`].
    pub fn commit(&mut self, checkpoint: &crate::checkpoint::EncodedCheckpoint) -> Result<()> {
        let cut = self.under_way.take().ok_or(Error::NoCheckpointUnderWay)?.cut;
        self.clock = Clock { under_way: NO_CUT, committed: cut, ..self.clock };
        self.maps.iter_mut().for_each(|map| map.any_mut().end(self.clock));
        self.lineage = checkpoint.lineage.clone();
        Ok(())
    }

    /// Ends the checkpoint: it did not become durable. All it held is dirty again.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`].
    pub fn abort(&mut self) -> Result<()> {
        self.under_way.take().ok_or(Error::NoCheckpointUnderWay)?;
        self.clock = Clock { under_way: NO_CUT, ..self.clock };
        self.maps.iter_mut().for_each(|map| map.any_mut().end(self.clock));
        Ok(())
    }

    /// Whether a checkpoint has begun and not ended.
    #[must_use]
    pub fn is_checkpoint_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Takes restored states: all of them, at once.
    pub(crate) fn install(&mut self, maps: Vec<StateMap>, manifest: Arc<Manifest>) {
        self.key_groups = manifest.key_groups;
        self.maps = maps;
        self.clock = Clock::new();
        self.under_way = None;
        self.lineage = Lineage::new(manifest);
    }
}

fn undecodable<T: ?Sized>(key: &[u8], reason: String) -> Error {
    Error::Undecodable { key: super::describe::printable(key), wanted: type_name::<T>(), reason }
}
