//! Plain keyed values of at most so many bytes.

use heapless::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::FixedError;
use super::map::FixedMap;
use super::map::sealed::Sealed;
use crate::format::manifest_parts::StateKind;
use crate::format::{ByteSink, FixedBytes, Malformed};

/// An encoded plain value of at most `BYTES` bytes; its change is the whole value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FixedPlain<const BYTES: usize>(Vec<u8, BYTES, u16>);

impl<const BYTES: usize> FixedPlain<BYTES> {
    /// A value that is already encoded.
    ///
    /// # Errors
    /// [`FixedError::Full`] if it has more bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, FixedError> {
        Vec::from_slice(bytes).map(FixedPlain).map_err(|_| full(BYTES))
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn full(capacity: usize) -> FixedError {
    FixedError::Full { what: "bytes of a plain value", capacity }
}

impl<const BYTES: usize> Sealed for FixedPlain<BYTES> {
    const KIND: StateKind = StateKind::Values;
    const CHANGES: bool = false;

    fn encoded(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&self, out: &mut FixedBytes<'_>, _: bool) {
        out.extend_from_slice(&self.0);
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, FixedError> {
        FixedPlain::new(bytes)
    }

    fn apply_change(&mut self, _: &[u8]) -> Result<(), FixedError> {
        Err(Malformed::new("a plain value does not change in part").into())
    }
}

impl<const BYTES: usize, const KEYS: usize, const KEY_BYTES: usize> FixedMap<FixedPlain<BYTES>, KEYS, KEY_BYTES> {
    /// Reads a plain value.
    ///
    /// # Errors
    /// [`FixedError::Undecodable`] if what is stored is not a `T`.
    pub fn get_value<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, FixedError> {
        let Some(value) = self.get(key.as_ref()) else { return Ok(None) };
        match postcard::take_from_bytes::<T>(value.as_bytes()) {
            Ok((value, [])) => Ok(Some(value)),
            _ => Err(FixedError::Undecodable),
        }
    }

    /// Writes a plain value.
    ///
    /// # Errors
    /// [`FixedError::Full`], [`FixedError::Unencodable`] if the value's `Serialize` fails. Nothing has changed then.
    pub fn set_value<T: Serialize + ?Sized>(&mut self, key: impl AsRef<[u8]>, value: &T) -> Result<(), FixedError> {
        let mut bytes = [0; BYTES];
        let encoded = postcard::to_slice(value, &mut bytes).map_err(|error| match error {
            postcard::Error::SerializeBufferFull => full(BYTES),
            _ => FixedError::Unencodable,
        })?;
        self.set(key.as_ref(), FixedPlain::new(encoded)?)
    }
}
