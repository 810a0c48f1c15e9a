//! The holder: named states under one budget, one cut and one lineage of checkpoints.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::any::StateMap;
use super::cut::UnderWay;
use super::{AggregationState, PatternState, PlainValue, StateHolderBuilder, WindowState};
use crate::bytes::heap_bytes_beyond_inline;
use crate::checkpoint::Lineage;
use crate::error::{Error, Result};
use crate::format::manifest::StateDescriptor;
use crate::tracked::{Clock, FETCHED_KEYS, MapKey, TrackedMap};
use crate::value::Event;

/// Name of the state that [`StateHolder::set`] writes to. Empty, so that it is nobody else's.
pub(super) const VALUES: &str = "";
/// What an event may take in an operator's state beside itself: a key, a window, accumulators.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// Keyed state of a program: plain values, and named windows, patterns and aggregations, with the
/// tracking that makes incremental checkpoints of them.
///
/// A checkpoint is [`begin`](Self::begin) (constant time: the cut), [`step`](Self::step) until it
/// is done, with writes in between as they come, [`take_capture`](Self::take_capture), then, on any
/// thread, [`Capture::into_object`](crate::Capture::into_object), and when the object is durably published
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
    pub(super) id: String,
    pub(super) key_groups: u16,
    pub(super) budget: Option<usize>,
    pub(super) descriptors: Vec<StateDescriptor>,
    pub(super) maps: Vec<StateMap>,
    pub(super) clock: Clock,
    pub(super) lineage: Lineage,
    pub(super) under_way: Option<UnderWay>,
    /// Bytes by which rows shrank before the newest cut, since the newest one that became durable.
    pub(super) shrunk: u64,
    /// Cuts so far: numbers that no two of them share, whatever was restored in between.
    pub(super) cuts: u64,
    /// Whether an engine drives it, and must record with each checkpoint how far it is.
    pub(super) driven: bool,
    /// Whether a checkpoint was restored of which the engine does not know yet.
    pub(super) unresumed: bool,
    /// Where values are encoded before they are compared with the budget.
    pub(super) scratch: Vec<u8>,
}

impl StateHolder {
    /// Starts declaring a holder; `id` names it in its checkpoints.
    #[must_use]
    pub fn builder(id: impl Into<String>) -> StateHolderBuilder {
        StateHolderBuilder::new(id.into())
    }

    /// From now on an engine drives it.
    pub(crate) fn set_driven(&mut self) {
        self.driven = true;
    }

    /// Whether a checkpoint was restored and the engine that drives it was not told.
    pub(crate) fn is_unresumed(&self) -> bool {
        self.unresumed
    }

    /// The engine knows what was restored.
    pub(crate) fn set_resumed(&mut self) {
        self.unresumed = false;
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
        self.values().get(key).map(|value| decode(key, value)).transpose()
    }

    /// Whether there is a plain value of a key, of whatever type.
    #[must_use]
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> bool {
        self.values().get(key.as_ref()).is_some()
    }

    /// All plain values, each decoded as it comes, with their keys; in no useful order. [`StateHolder::values`] has them
    /// as bytes.
    ///
    /// # Errors
    /// As [`StateHolder::get`], for each.
    ///
    /// ```
    /// use eventflux_core::{Result, StateHolder};
    ///
    /// let mut totals = StateHolder::builder("shop").build()?;
    /// totals.set_many([("total/eu", 3_u32), ("total/us", 4)])?;
    /// let mut all = totals.iter::<u32>().collect::<Result<Vec<_>>>()?;
    /// all.sort();
    /// assert_eq!(all, [(&b"total/eu"[..], 3), (&b"total/us"[..], 4)]);
    /// # Ok::<(), eventflux_core::Error>(())
    /// ```
    pub fn iter<T: DeserializeOwned>(&self) -> impl Iterator<Item = Result<(&[u8], T)>> {
        self.values().iter().map(|(key, value)| Ok((key, decode(key, value)?)))
    }

    /// Writes a plain value.
    ///
    /// # Errors
    /// [`Error::OverBudget`], [`Error::OutOfMemory`], [`Error::OverLimit`] for a key too long,
    /// [`Error::Unencodable`] if the value's `Serialize` fails. Nothing has changed then, but that the next checkpoint may
    /// write the value of before once more.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        self.set_hashed(&MapKey::new(key.as_ref()), value)
    }

    /// Writes plain values one after the other, as [`StateHolder::set`] does. Of a state that is larger than the
    /// caches of the machine, values that are there take about half of the time: the machine waits for the memory of
    /// several at once.
    ///
    /// # Errors
    /// As [`StateHolder::set`], of the first value that cannot be written; those before it are.
    ///
    /// ```
    /// use eventflux_core::StateHolder;
    ///
    /// let mut totals = StateHolder::builder("shop").build()?;
    /// totals.set_many([("eu", 3), ("us", 4), ("eu", 5)])?;
    /// assert_eq!((totals.get("eu")?, totals.get("us")?), (Some(5), Some(4)));
    /// # Ok::<(), eventflux_core::Error>(())
    /// ```
    pub fn set_many<K: AsRef<[u8]>, T: Serialize>(&mut self, entries: impl IntoIterator<Item = (K, T)>) -> Result<()> {
        let mut entries = entries.into_iter();
        loop {
            let batch: Vec<(K, T)> = entries.by_ref().take(FETCHED_KEYS).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let keys: Vec<MapKey<'_>> = batch.iter().map(|(key, _)| MapKey::new(key.as_ref())).collect();
            self.values().fetch(&keys);
            keys.iter().zip(&batch).try_for_each(|(key, (_, value))| self.set_hashed(key, value))?;
        }
    }

    #[inline]
    fn set_hashed<T: Serialize + ?Sized>(&mut self, key: &MapKey<'_>, value: &T) -> Result<()> {
        // A short value in the place of another takes no memory: the budget need not be asked.
        if self.values_mut().change_in_place(key, |held| held.encode(value)) {
            return Ok(());
        }
        self.set_otherwise(key.bytes(), value)
    }

    #[inline(never)]
    fn set_otherwise<T: Serialize + ?Sized>(&mut self, key: &[u8], value: &T) -> Result<()> {
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.clear();
        scratch = postcard::to_extend(value, scratch).map_err(|error| unencodable::<T>(key, &error))?;
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
    /// None at present.
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

    pub(crate) fn values_at(&mut self, index: usize) -> Option<&mut TrackedMap<PlainValue>> {
        if let Some(StateMap::Values(map)) = self.maps.get_mut(index) { Some(map) } else { None }
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

    /// Memory that a state takes, by its name, in bytes, within 10 %; all of them together take
    /// [`StateHolder::size_bytes`].
    #[must_use]
    pub fn state_size_bytes(&self, name: &str) -> Option<usize> {
        Some(self.maps[self.index_of(name)?].any().size_bytes())
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
        let needed = self.size_bytes().saturating_add(more);
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

fn decode<T: DeserializeOwned>(key: &[u8], value: &PlainValue) -> Result<T> {
    match postcard::take_from_bytes::<T>(value.as_bytes()) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(undecodable::<T>(key, "bytes are left over".into())),
        Err(error) => Err(undecodable::<T>(key, error.to_string())),
    }
}

fn undecodable<T: ?Sized>(key: &[u8], reason: String) -> Error {
    Error::Undecodable { key: super::describe::printable(key), type_name: type_name::<T>(), reason }
}

#[cold]
fn unencodable<T: ?Sized>(key: &[u8], error: &postcard::Error) -> Error {
    Error::Unencodable { key: super::describe::printable(key), type_name: type_name::<T>(), reason: error.to_string() }
}
