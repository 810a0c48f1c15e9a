//! Several maps in one state.

use alloc::vec::Vec;
use core::marker::PhantomData;

use eventflux_core::Result;
use eventflux_core::plugin::PluginState as State;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Keys up to this length, in bytes, are put behind their prefix without an allocation.
const SHORT_KEY_BYTES: usize = 63;

/// One of several maps in a state, all of whose values are of one type: its keys begin with a byte of their own.
///
/// ```
/// use eventflux_plugin::{Keyed, State};
/// # fn main() -> eventflux_core::Result<()> {
/// const COUNTS: Keyed<u64> = Keyed::new(b'c');
/// const NAMES: Keyed<String> = Keyed::new(b'n');
/// let mut state = State::new(1 << 20);
/// COUNTS.set(&mut state, b"a", &7)?;
/// NAMES.set(&mut state, b"a", &"Ada".into())?;
/// assert_eq!(COUNTS.get(&state, b"a")?, Some(7));
/// assert_eq!(NAMES.get(&state, b"a")?.as_deref(), Some("Ada"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Keyed<T> {
    prefix: u8,
    values: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Keyed<T> {
    /// The map of this prefix.
    #[must_use]
    pub const fn new(prefix: u8) -> Self {
        Keyed { prefix, values: PhantomData }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn get(&self, state: &State, key: &[u8]) -> Result<Option<T>> {
        self.with_key(key, |key| state.get(key))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// As [`State::set`].
    pub fn set(&self, state: &mut State, key: &[u8], value: &T) -> Result<()> {
        self.with_key(key, |key| state.set(key, value))
    }

    /// Removes the value of a key; whether there was one.
    pub fn remove(&self, state: &mut State, key: &[u8]) -> bool {
        self.with_key(key, |key| state.remove(key))
    }

    /// Calls `each` with all keys and values, in the order of the keys.
    ///
    /// # Errors
    /// As [`State::for_each`].
    pub fn for_each(&self, state: &State, mut each: impl FnMut(&[u8], T) -> Result<()>) -> Result<()> {
        state.for_each(&[self.prefix], |key, value| each(&key[1..], value))
    }

    fn with_key<R>(&self, key: &[u8], call: impl FnOnce(&[u8]) -> R) -> R {
        let mut short = [0; SHORT_KEY_BYTES + 1];
        match short.get_mut(1..=key.len()) {
            Some(place) => {
                place.copy_from_slice(key);
                short[0] = self.prefix;
                call(&short[..=key.len()])
            }
            None => {
                let mut long = Vec::with_capacity(1 + key.len());
                long.push(self.prefix);
                long.extend_from_slice(key);
                call(&long)
            }
        }
    }
}
