//! What a restore may forgive, and how old rows become new ones.

use alloc::string::String;
use alloc::vec::Vec;

use crate::format::manifest::StateDescriptor;

/// What a restore may forgive, and how old schemas are brought up to date.
#[derive(Clone, Copy, Default)]
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
    /// A reason, which becomes [`Error::StateChanged`](crate::Error::StateChanged).
    fn migrate(&self, found: &StateDescriptor, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String>;
}
