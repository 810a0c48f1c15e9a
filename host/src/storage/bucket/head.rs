//! Reading and swapping the head.
//!
//! Invariants:
//! - The head is only ever written under a condition: that there is none, or that it still has the
//!   tag it had when its bytes were read and found to be the expected ones.
//! - Each swap puts a mark of its own beside the head, as metadata. Whether a put whose answer was
//!   lost has taken effect is read from that mark, never from the bytes: two writers that open a
//!   storage at the same moment write the same bytes, and only one of them may have the generation.
//! - A put that was given up may still take effect later, when its condition holds. It then finds
//!   the head that its writer knew, and no other one can have been written meanwhile.
//! - A store that takes a put whose condition does not hold is refused: the first swap that succeeds
//!   under each of the two conditions is sent once more, and must be turned down. A store may know the
//!   one and ignore the other, and it is the second that fences.

use std::borrow::Cow;

use eventflux_core::Error as CoreError;
use eventflux_core::limits::HEAD_BYTES_MAX;
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};

use super::failure::{Meaning, no_conditional_put, storage_error_saying};
use super::retry::{Retry, random};
use super::store::Store;

/// Metadata of the head: which swap has written it.
const MARK: Attribute = Attribute::Metadata(Cow::Borrowed("eventflux-swap"));

/// The head as it is in the store.
#[derive(Debug, Clone)]
struct Found {
    bytes: Vec<u8>,
    version: UpdateVersion,
    mark: Option<String>,
}

/// What is known of the head from the last look at it, so that a swap need not look first. It may
/// have changed since: then the tag no longer fits, and the store refuses the put.
#[derive(Debug, Default)]
pub(super) struct Known {
    head: Option<(Vec<u8>, UpdateVersion)>,
    /// Whether this store was seen to refuse a put where there is a head already.
    refuses_create: bool,
    /// Whether it was seen to refuse a put where the head has another tag.
    refuses_update: bool,
}

impl Known {
    /// Whether the store was seen to refuse such a put if its condition does not hold.
    fn refuses(&mut self, mode: &PutMode) -> &mut bool {
        match mode {
            PutMode::Update(_) => &mut self.refuses_update,
            PutMode::Create | PutMode::Overwrite => &mut self.refuses_create,
        }
    }
}

/// What comes of one put of the head.
enum Attempt {
    Written(PutResult),
    /// Refused, or not known: look.
    Look(StoreError),
}

/// The head's bytes.
pub(super) async fn read(store: &Store, known: &mut Known) -> Result<Option<Vec<u8>>, CoreError> {
    let found = look(store).await?;
    known.head = found.as_ref().map(|found| (found.bytes.clone(), found.version.clone()));
    Ok(found.map(|found| found.bytes))
}

/// Replaces the head if it is as expected.
pub(super) async fn swap(
    store: &Store,
    known: &mut Known,
    expected: Option<&[u8]>,
    new: &[u8],
) -> Result<bool, CoreError> {
    if expected == Some(new) {
        // What can be read is durable: nothing is left to do.
        return Ok(read(store, known).await?.as_deref() == Some(new));
    }
    let Some(mut mode) = condition(store, known, expected).await? else { return Ok(false) };
    let mark = format!("{:016x}{:016x}", random(), random());
    let mut retry = Retry::new(store.limits);
    loop {
        let error = match put(store, mode.clone(), new, &mark).await? {
            Attempt::Written(result) => {
                let is_known_to_refuse = known.refuses(&mode);
                if !*is_known_to_refuse {
                    *is_known_to_refuse = refuses(store, mode, new, &mark).await?;
                }
                let PutResult { e_tag, version, .. } = result;
                known.head = Some((new.to_vec(), UpdateVersion { e_tag, version }));
                return Ok(true);
            }
            Attempt::Look(error) => error,
        };
        let found = look(store).await?;
        known.head = found.as_ref().map(|found| (found.bytes.clone(), found.version.clone()));
        match found {
            Some(found) if found.mark.as_deref() == Some(&mark) => return Ok(true),
            Some(found) if expected == Some(&found.bytes) => mode = PutMode::Update(found.version),
            None if expected.is_none() => {}
            _ => return Ok(false),
        }
        if !retry.again().await {
            return Err(store.error("head", &store.head, &error));
        }
    }
}

/// The condition under which the head is what is expected; `None` if it is not.
async fn condition(store: &Store, known: &mut Known, expected: Option<&[u8]>) -> Result<Option<PutMode>, CoreError> {
    let Some(expected) = expected else { return Ok(Some(PutMode::Create)) };
    if known.head.as_ref().is_none_or(|(bytes, _)| bytes != expected) {
        read(store, known).await?;
    }
    let tag = known.head.as_ref().filter(|(bytes, _)| bytes == expected).map(|(_, version)| version.clone());
    Ok(tag.map(PutMode::Update))
}

async fn put(store: &Store, mode: PutMode, new: &[u8], mark: &str) -> Result<Attempt, CoreError> {
    let name = store.name_of(&store.head);
    if let PutMode::Update(UpdateVersion { e_tag: None, version: None }) = mode {
        return Err(no_conditional_put(&name, "the head has no tag"));
    }
    let attributes = Attributes::from_iter([(MARK, mark.to_owned())]);
    let options = PutOptions { mode, attributes, ..PutOptions::default() };
    let outcome = store.inner.put_opts(&store.head, PutPayload::from(new.to_vec()), options).await;
    let error = match outcome {
        Ok(result) => return Ok(Attempt::Written(result)),
        Err(error) => error,
    };
    match store.meaning(&error) {
        Meaning::Refused | Meaning::Missing | Meaning::Transient => Ok(Attempt::Look(error)),
        Meaning::Unsupported => Err(no_conditional_put(&name, "a put under a condition is not implemented there")),
        Meaning::Final => Err(store.error("head", &store.head, &error)),
    }
}

/// Whether the store turns down a put that has succeeded already, whose condition so no longer holds.
/// Not known if there is no answer; taken, it has changed nothing.
async fn refuses(store: &Store, mode: PutMode, new: &[u8], mark: &str) -> Result<bool, CoreError> {
    match put(store, mode, new, mark).await? {
        Attempt::Written(_) => Err(no_conditional_put(
            &store.name_of(&store.head),
            "the store has taken a put whose condition does not hold",
        )),
        Attempt::Look(error) => Ok(store.meaning(&error) != Meaning::Transient),
    }
}

async fn look(store: &Store) -> Result<Option<Found>, CoreError> {
    let mut retry = Retry::new(store.limits);
    let name = || store.name_of(&store.head);
    loop {
        let error = match get(store).await {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => return Err(storage_error_saying("head", &name(), "it is too long to be a head")),
            Err(error) => error,
        };
        match store.meaning(&error) {
            Meaning::Missing => return Ok(None),
            Meaning::Transient | Meaning::Refused if retry.again().await => {}
            _ => return Err(store.error("head", &store.head, &error)),
        }
    }
}

/// One attempt; nothing for a head longer than one can be.
async fn get(store: &Store) -> Result<Option<Found>, StoreError> {
    let result = store.inner.get_opts(&store.head, GetOptions::default()).await?;
    if result.meta.size > HEAD_BYTES_MAX {
        return Ok(None);
    }
    let version = UpdateVersion { e_tag: result.meta.e_tag.clone(), version: result.meta.version.clone() };
    let mark = result.attributes.get(&MARK).map(|mark| mark.as_ref().to_owned());
    Ok(Some(Found { bytes: result.bytes().await?.to_vec(), version, mark }))
}
