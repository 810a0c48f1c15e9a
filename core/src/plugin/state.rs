//! The state of a plugin: values by key, under one budget.

use alloc::vec::Vec;
use core::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bytes::{SmallBytes, heap_bytes_beyond_inline};
use crate::error::{Error, Result};
use crate::state::PlainValue;
use crate::state::describe::printable;
use crate::tracked::{Clock, MapKey, TrackedMap};

/// For frames key groups mean nothing, and each costs a visit a checkpoint; few of them keep what moves at once small
/// when the tables grow.
pub(super) const KEY_GROUPS: u16 = 16;
/// Not in the words of postcard, which would be in every plugin.
const NOT_ENCODED: &str = "its `Serialize` failed";

/// Values by key, with the tracking that makes incremental checkpoints of them: [`Frames`](super::Frames).
///
/// As the plain values of a [`StateHolder`](crate::StateHolder), and nothing else of one: a plugin that counts carries no
/// code for windows and patterns.
///
/// ```
/// use eventflux_core::plugin::PluginState;
/// # fn main() -> eventflux_core::Result<()> {
/// let mut state = PluginState::new(1 << 20);
/// state.set(b"eu", &(3_u32, 12.5_f64))?;
/// assert_eq!(state.get::<(u32, f64)>(b"eu")?, Some((3, 12.5)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PluginState {
    pub(super) values: TrackedMap<PlainValue>,
    pub(super) clock: Clock,
    budget: usize,
    /// Where values are encoded before they are compared with the budget.
    scratch: Vec<u8>,
}

impl PluginState {
    /// A state without values, which may take so many bytes of memory.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        let clock = Clock::new();
        PluginState { values: TrackedMap::new(KEY_GROUPS, clock), clock, budget, scratch: Vec::new() }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if what is there is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        decode(key, value.as_bytes()).map(Some)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Error::OverBudget`], [`Error::OutOfMemory`], [`Error::OverLimit`] for a key too long, [`Error::Unencodable`] if
    /// the value's `Serialize` fails. Nothing has changed then.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &[u8], value: &T) -> Result<()> {
        // A short value in the place of another takes no memory: the budget need not be asked.
        if self.values.change_in_place(&MapKey::new(key), |held| held.encode(value)) {
            return Ok(());
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.clear();
        self.scratch = postcard::to_extend(value, scratch).map_err(|_| unencodable::<T>(key))?;
        self.set_scratch(key)
    }

    /// Sets the value of a key to what was encoded.
    #[inline(never)]
    fn set_scratch(&mut self, key: &[u8]) -> Result<()> {
        let (held, slot) = match self.values.get(key) {
            Some(value) => (heap_bytes_beyond_inline(value.as_bytes().len()), 0),
            None => (0, self.values.growth_of_insert(key)),
        };
        let more = heap_bytes_beyond_inline(self.scratch.len()).saturating_sub(held) + slot;
        let needed = self.size_bytes() + more;
        if more > 0 && needed > self.budget {
            return Err(Error::OverBudget { needed, budget: self.budget });
        }
        self.values.set(key, PlainValue::new(&self.scratch))
    }

    /// Removes the value of a key; whether there was one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.values.remove(key)
    }

    /// Calls `each` with all keys that begin with `prefix` and their values, in the order of the keys.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if a value is not a `T`; what `each` answers.
    pub fn for_each<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], T) -> Result<()>,
    ) -> Result<()> {
        let keys = self.values.sorted_keys();
        for key in keys.iter().map(SmallBytes::as_slice).filter(|key| key.starts_with(prefix)) {
            if let Some(value) = self.get(key)? {
                each(key, value)?;
            }
        }
        Ok(())
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Memory it takes, in bytes, within 10 %.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.values.size_bytes()
    }
}

/// A value as it is kept: for what migrates one.
///
/// # Errors
/// [`Error::Unencodable`] if its `Serialize` fails.
pub fn encode_value<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(|_| unencodable::<T>(b""))
}

/// A value from what is kept.
///
/// # Errors
/// [`Error::Undecodable`] if it is not a `T`.
pub fn decode_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    decode(b"", bytes)
}

fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T> {
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(undecodable::<T>(key, "bytes are left over")),
        Err(_) => Err(undecodable::<T>(key, "it is of another type")),
    }
}

#[cold]
fn undecodable<T: ?Sized>(key: &[u8], reason: &str) -> Error {
    Error::Undecodable { key: printable(key), type_name: type_name::<T>(), reason: reason.into() }
}

#[cold]
fn unencodable<T: ?Sized>(key: &[u8]) -> Error {
    Error::Unencodable { key: printable(key), type_name: type_name::<T>(), reason: NOT_ENCODED.into() }
}
