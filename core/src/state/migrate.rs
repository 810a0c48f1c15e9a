//! What a restore may forgive, and how old rows become new ones.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::format::manifest::{StateDescriptor, StateKind};
use crate::schema::Schema;

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
    /// `value` is encoded as `core/FORMAT.md` says: plain values in postcard, as [`StateHolder::set`](crate::StateHolder::set)
    /// writes them, for which [`MigrateValues`] does the encoding; the others are payloads of rows.
    ///
    /// # Errors
    /// A reason, which becomes [`Error::StateChanged`](crate::Error::StateChanged).
    fn migrate(&self, found: &StateDescriptor, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String>;
}

/// Makes plain values of one type those of another; see [`RestoreOptions::migrate`].
///
/// ```
/// use eventflux_core::{
///     CheckpointRequest, Compression, MemoryBackend, MigrateValues, OpenWriter, Publish, Restore, RestoreOptions, Retention,
///     Selector, StateHolder, drive,
/// };
/// # fn main() -> eventflux_core::Result<()> {
/// # let mut storage = MemoryBackend::new();
/// # let mut writer = drive(OpenWriter::new(), &mut storage)?;
/// # let mut old = StateHolder::builder("prices").values_of::<f64>(1).build()?;
/// # old.set("EWR", &12.5)?;
/// # old.begin(CheckpointRequest::default())?;
/// # let mut encoded = old.take_capture()?.into_object(writer.next_object(), Compression::Lz4)?;
/// # drive(Publish::new(&mut writer, &mut encoded, Retention::default())?, &mut storage)?;
/// // Version 1 had the price alone, as an `f64`.
/// let migrate = MigrateValues::new(1, |price: f64| Ok(Some((price, String::from("EUR")))));
///
/// let mut prices = StateHolder::builder("prices").values_of::<(f64, String)>(2).build()?;
/// let options = RestoreOptions { migrate: Some(&migrate), ..RestoreOptions::default() };
/// drive(Restore::new(&mut prices, Selector::Latest, options), &mut storage)?;
/// assert_eq!(prices.get("EWR")?, Some((12.5, String::from("EUR"))));
/// # Ok(())
/// # }
/// ```
pub struct MigrateValues<Old, New, F> {
    version: u32,
    with: F,
    types: PhantomData<fn(Old) -> New>,
}

impl<Old, New, F> MigrateValues<Old, New, F>
where
    Old: DeserializeOwned,
    New: Serialize,
    F: Fn(Old) -> Result<Option<New>, String>,
{
    /// For values that were written under this version, each of which `with` makes one of the present type; `None` drops
    /// it, an error ends the restore. If the checkpoint describes the values, they must be of type `Old`.
    pub fn new(version: u32, with: F) -> Self {
        MigrateValues { version, with, types: PhantomData }
    }
}

impl<Old, New, F> Migrate for MigrateValues<Old, New, F>
where
    Old: DeserializeOwned,
    New: Serialize,
    F: Fn(Old) -> Result<Option<New>, String>,
{
    fn accepts(&self, found: &StateDescriptor) -> bool {
        let is_of_plain_values = found.kind == StateKind::Values && found.name.is_empty();
        // What another type wrote may decode as this one.
        let is_old = || match Schema::from_text(&found.description) {
            Some(_) => Schema::describe::<Old>().as_ref() == Ok(&found.description),
            None => true,
        };
        is_of_plain_values && found.version == self.version && is_old()
    }

    fn migrate(&self, _: &StateDescriptor, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let at_key = |reason: String| format!("the value of key `{}`: {reason}", key.escape_ascii());
        let old = match postcard::take_from_bytes::<Old>(value) {
            Ok((old, [])) => old,
            Ok(_) => return Err(at_key("bytes are left over".into())),
            Err(error) => return Err(at_key(format!("{error}"))),
        };
        let Some(new) = (self.with)(old).map_err(at_key)? else { return Ok(None) };
        postcard::to_allocvec(&new).map(Some).map_err(|error| at_key(format!("{error}")))
    }
}
