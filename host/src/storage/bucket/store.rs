//! Objects: put, read, list, delete.
//!
//! Invariants:
//! - An object gets its name by one request, which carries all of it or ends its upload in parts:
//!   until then it is not there.
//! - No object is written over: what is there already must be the same, or it is an error. A
//!   repeated attempt whose first answer was lost so finds what it wrote.
//! - Of an upload in parts that fails no part stays, as far as the store can be reached. What a
//!   killed process leaves is seen by nobody, and removed by a rule of the bucket (see the module).

use std::sync::Arc;

use eventflux_core::{ByteRange, Error as CoreError, ObjectInfo};
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::task::JoinSet;

use super::failure::{Meaning, meaning, no_conditional_put, reason, storage_error_saying};
use super::retry::{Retry, RetryLimits};

/// The most that one request reads.
const READ_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Offsets above read nothing: no store has objects as long as that.
const OBJECT_BYTES_MAX: u64 = 1 << 50;
/// Bytes of a part. All are of one size but the last; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// S3 has no more parts than that in an object.
const PARTS_MAX: usize = 10_000;
/// Parts on their way at a time.
const PARTS_AT_ONCE: usize = 4;

/// A place in a store.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) inner: Arc<dyn ObjectStore>,
    /// How errors call the place, up to the prefix.
    pub(super) place: String,
    pub(super) head: Path,
    pub(super) objects: Path,
    /// Objects longer than that are uploaded in parts.
    pub(super) multipart_above: u64,
    pub(super) limits: RetryLimits,
    /// Whether an operation has succeeded: there were credentials.
    pub(super) has_worked: bool,
}

/// What is in the place of an object that is put.
enum Found {
    Nothing,
    Same,
    Other,
}

impl Store {
    /// How errors call an object.
    pub(super) fn name_of(&self, path: &Path) -> String {
        format!("{}/{path}", self.place)
    }

    /// What follows from a failure.
    pub(super) fn meaning(&self, error: &StoreError) -> Meaning {
        meaning(error, self.has_worked)
    }

    /// A failure as it is told.
    pub(super) fn error(&self, operation: &'static str, path: &Path, error: &StoreError) -> CoreError {
        storage_error_saying(operation, &self.name_of(path), reason(error, self.has_worked))
    }

    /// The path of an object. Names come from manifests too: none of them leads elsewhere.
    pub(super) fn object(&self, name: &str) -> Result<Path, CoreError> {
        if is_name(name) {
            Ok(self.objects.clone().join(name))
        } else {
            Err(storage_error_saying("name", name, "not a name of an object"))
        }
    }

    pub(super) async fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), CoreError> {
        let in_parts = bytes.len() as u64 > self.multipart_above;
        if in_parts {
            match self.find(path, bytes).await? {
                Found::Same => return Ok(()),
                Found::Nothing => {}
                Found::Other => return Err(self.is_taken(path)),
            }
        }
        let whole = PutPayload::from(if in_parts { Vec::new() } else { bytes.to_vec() });
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut retry = Retry::new(self.limits);
        loop {
            let outcome = if in_parts {
                self.upload(path, bytes).await
            } else {
                self.inner.put_opts(path, whole.clone(), create.clone()).await.map(drop)
            };
            let Err(error) = outcome else { return Ok(()) };
            match self.meaning(&error) {
                Meaning::Unsupported if !in_parts => {
                    let how = "a put under a condition is not implemented there";
                    return Err(no_conditional_put(&self.name_of(path), how));
                }
                Meaning::Unsupported | Meaning::Final => {
                    return Err(self.error("put", path, &error));
                }
                // Of parts: that the upload is gone, ended perhaps by an attempt whose answer was lost.
                Meaning::Refused | Meaning::Missing | Meaning::Transient => {}
            }
            match self.find(path, bytes).await {
                Ok(Found::Same) => return Ok(()),
                Ok(Found::Nothing) => {}
                Ok(Found::Other) => return Err(self.is_taken(path)),
                // What the put failed with says more.
                Err(_) => return Err(self.error("put", path, &error)),
            }
            if !retry.again().await {
                return Err(self.error("put", path, &error));
            }
        }
    }

    /// What is there in the place of an object.
    async fn find(&self, path: &Path, bytes: &[u8]) -> Result<Found, CoreError> {
        match self.len(path).await? {
            None => return Ok(Found::Nothing),
            Some(len) if len != bytes.len() as u64 => return Ok(Found::Other),
            Some(_) => {}
        }
        Ok(match self.read(path, ByteRange::All).await? {
            // Gone in between.
            None => Found::Nothing,
            Some(found) if found == bytes => Found::Same,
            Some(_) => Found::Other,
        })
    }

    fn is_taken(&self, path: &Path) -> CoreError {
        let reason = "another object of this name is there, and names are written once: two storages must not \
                      share a prefix; remove it if it was left behind by an interrupted copy";
        storage_error_saying("put", &self.name_of(path), reason)
    }

    /// Uploads an object in parts, in one attempt.
    async fn upload(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let options = PutMultipartOptions::default().with_retry_policy(Arc::new(self.limits));
        let mut upload = self.inner.put_multipart_opts(path, options).await?;
        let outcome = match upload_parts(upload.as_mut(), bytes).await {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            let mut retry = Retry::new(self.limits);
            while let Err(error) = upload.abort().await {
                if self.meaning(&error) != Meaning::Transient || !retry.again().await {
                    break;
                }
            }
        }
        outcome
    }

    /// Length of an object.
    pub(super) async fn len(&self, path: &Path) -> Result<Option<u64>, CoreError> {
        let mut retry = Retry::new(self.limits);
        loop {
            let error = match self.inner.head(path).await {
                Ok(meta) => return Ok(Some(meta.size)),
                Err(error) => error,
            };
            match self.meaning(&error) {
                Meaning::Missing => return Ok(None),
                Meaning::Transient | Meaning::Refused if retry.again().await => {}
                _ => return Err(self.error("read", path, &error)),
            }
        }
    }

    pub(super) async fn read(&self, path: &Path, range: ByteRange) -> Result<Option<Vec<u8>>, CoreError> {
        let (offset, end) = match range {
            ByteRange::All => (0, u64::MAX),
            ByteRange::At { offset, len } => (offset, offset.saturating_add(len)),
            ByteRange::Last { len } if len > 0 && len <= READ_BYTES_MAX => {
                if let Some((bytes, _)) = self.read_part(path, GetRange::Suffix(len)).await? {
                    return Ok(Some(bytes));
                }
                // Missing, empty, or a store that reads nothing from the end.
                (0, 0)
            }
            ByteRange::Last { .. } => (0, 0),
        };
        let is_first_part_known = offset < end && offset < OBJECT_BYTES_MAX;
        let (mut bytes, size) = match is_first_part_known {
            true => match self.read_part(path, bounded(offset, end)).await? {
                Some((bytes, size)) => (bytes, Some(size)),
                None => (Vec::new(), None),
            },
            false => (Vec::new(), None),
        };
        let size = match size {
            Some(size) => size,
            None => match self.len(path).await? {
                Some(len) => len,
                None => return Ok(None),
            },
        };
        let (offset, len) = range.within(size);
        while (bytes.len() as u64) < len {
            let part = self.read_part(path, bounded(offset + bytes.len() as u64, offset + len)).await?;
            match part {
                Some((part, _)) if !part.is_empty() => bytes.extend_from_slice(&part),
                // Deleted meanwhile.
                _ if self.len(path).await?.is_none() => return Ok(None),
                _ => {
                    return Err(storage_error_saying("read", &self.name_of(path), "it is shorter than the store says"));
                }
            }
        }
        Ok(Some(bytes))
    }

    /// Reads a part of an object, and the object's length; nothing if there is no such part.
    async fn read_part(&self, path: &Path, range: GetRange) -> Result<Option<(Vec<u8>, u64)>, CoreError> {
        let mut retry = Retry::new(self.limits);
        loop {
            let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
            let read = async {
                let result = self.inner.get_opts(path, options).await?;
                let size = result.meta.size;
                Ok((result.bytes().await?.to_vec(), size))
            };
            let error: StoreError = match read.await {
                Ok(part) => return Ok(Some(part)),
                Err(error) => error,
            };
            match self.meaning(&error) {
                Meaning::Missing => return Ok(None),
                Meaning::Transient | Meaning::Refused if retry.again().await => {}
                // Beyond the end, or refused: the length of the object says which.
                Meaning::Final | Meaning::Unsupported if self.is_beyond(path, &range).await => return Ok(None),
                _ => return Err(self.error("read", path, &error)),
            }
        }
    }

    /// Whether a part of an object has no bytes, or must be asked for otherwise.
    async fn is_beyond(&self, path: &Path, range: &GetRange) -> bool {
        match (self.inner.head(path).await, range) {
            (Ok(meta), GetRange::Bounded(range)) => range.start >= meta.size,
            (Ok(_), _) => true,
            (Err(error), _) => self.meaning(&error) == Meaning::Missing,
        }
    }

    /// Every object, with its length, from pages of a thousand.
    pub(super) async fn list(&self) -> Result<Vec<ObjectInfo>, CoreError> {
        let mut retry = Retry::new(self.limits);
        loop {
            let error = match self.list_once().await {
                Ok(objects) => return Ok(objects),
                Err(error) => error,
            };
            if !matches!(self.meaning(&error), Meaning::Transient | Meaning::Refused) || !retry.again().await {
                return Err(self.error("list", &self.objects, &error));
            }
        }
    }

    async fn list_once(&self) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut objects = Vec::new();
        let mut found = self.inner.list(Some(&self.objects));
        while let Some(meta) = found.next().await.transpose()? {
            // What lies deeper, or has a name that no object of ours can have, is none of ours.
            let mut below = meta.location.prefix_match(&self.objects).into_iter().flatten();
            let (name, deeper) = (below.next(), below.next());
            if let (Some(name), None) = (name, deeper)
                && is_name(name.as_ref())
            {
                objects.push(ObjectInfo { name: name.as_ref().into(), len: meta.size });
            }
        }
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    pub(super) async fn delete(&self, path: &Path) -> Result<(), CoreError> {
        let mut retry = Retry::new(self.limits);
        loop {
            let Err(error) = self.inner.delete(path).await else { return Ok(()) };
            match self.meaning(&error) {
                Meaning::Missing => return Ok(()),
                Meaning::Transient | Meaning::Refused if retry.again().await => {}
                _ => return Err(self.error("delete", path, &error)),
            }
        }
    }
}

/// A range of as many bytes as one request reads.
fn bounded(from: u64, to: u64) -> GetRange {
    GetRange::Bounded(from..to.min(from.saturating_add(READ_BYTES_MAX)))
}

fn is_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_plain && !name.is_empty() && !name.starts_with('.')
}

/// Uploads all parts, some at a time.
async fn upload_parts(upload: &mut dyn MultipartUpload, bytes: &[u8]) -> Result<(), StoreError> {
    let mut under_way = JoinSet::new();
    let mut outcome = Ok(());
    for part in bytes.chunks(PART_BYTES.max(bytes.len().div_ceil(PARTS_MAX))) {
        if under_way.len() >= PARTS_AT_ONCE {
            outcome = joined(under_way.join_next().await);
        }
        if outcome.is_err() {
            break;
        }
        under_way.spawn(upload.put_part(PutPayload::from(part.to_vec())));
    }
    // All of them, also after a failure: what is still under way could outlive the abort.
    while let Some(joined_one) = under_way.join_next().await {
        outcome = outcome.and(joined(Some(joined_one)));
    }
    outcome
}

fn joined(part: Option<Result<Result<(), StoreError>, tokio::task::JoinError>>) -> Result<(), StoreError> {
    match part {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(StoreError::JoinError { source: error }),
        None => Ok(()),
    }
}
