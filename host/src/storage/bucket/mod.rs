//! A storage in a bucket of an object store: S3, or one that speaks its language.
//!
//! Layout below the prefix: `objects/` with one object a checkpoint; `head`, the head record, with a
//! mark of who wrote it as metadata. The same as in a directory, so that tools of the store can copy
//! the one into the other.
//!
//! Invariants:
//! - Objects are written once and never changed; each appears whole, by one request.
//! - The head is only written under a condition (`If-None-Match: *`, or `If-Match` with the tag of
//!   the head that was read): of two writers one is refused. A store without conditional put, or one
//!   that ignores one of the two conditions, is an error.
//! - Whether a put of the head whose answer was lost has taken effect is read from its mark, which no
//!   other put has. Its bytes would not tell: two writers that open at the same moment write the same.
//! - Whatever fails in a way that may pass (no connection, time-outs, status 408, 429, 5xx) is tried
//!   again, within the bounds of the address. The client beneath never tries again by itself.
//! - Credentials come from the environment, and show in no address, error or log.
//!
//! # Durability
//!
//! What a store has acknowledged is as durable as the store: S3 has it on several devices, in
//! several zones unless the storage class says otherwise, before it answers. Nothing is cached here.
//! S3 is strongly consistent since 2020: what was acknowledged is read and listed by all. A store
//! that only becomes consistent later is not supported.
//!
//! # What the bucket needs
//!
//! ```json
//! { "Version": "2012-10-17", "Statement": [
//!     { "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
//!       "Resource": "arn:aws:s3:::BUCKET/PREFIX/*" },
//!     { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::BUCKET",
//!       "Condition": { "StringLike": { "s3:prefix": "PREFIX/*" } } } ] }
//! ```
//!
//! Who only reads needs no `Put`, `Delete` and `Abort`. Without `s3:ListBucket` a missing object is
//! answered with "access denied", so that a new storage cannot be told from one out of reach.
//!
//! Set a lifecycle rule that aborts unfinished multipart uploads after a day: a process that is
//! killed during one leaves parts behind, which no list shows and which cost. Let no rule expire or
//! archive objects below the prefix: which ones are needed only the head says. With versioning a
//! deleted object stays as an old version; a rule for old versions is safe.

mod address;
mod failure;
mod head;
mod retry;
mod runner;
mod store;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::{Backend, ByteRange, Error as CoreError, ObjectInfo};
use object_store::ObjectStore;
use object_store::path::Path;

pub use self::address::S3Address;
use self::head::Known;
use self::retry::RetryLimits;
use self::runner::Runner;
use self::store::Store;
use super::{Access, check_writer};
use crate::error::{Error, Result};

const OBJECTS: &str = "objects";
const HEAD: &str = "head";

/// A storage in a bucket, at `s3://BUCKET/PREFIX?OPTION=VALUE&…`. See the module for what is in it,
/// and which rights and rules the bucket needs.
///
/// | option | meaning | without it |
/// |---|---|---|
/// | `region` | region of the bucket | `AWS_REGION`, else us-east-1 |
/// | `endpoint` | URL of a store that is not Amazon's | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` |
/// | `allow_http` | `true`: the endpoint may be http | `AWS_ALLOW_HTTP`, else `false` |
/// | `path_style` | `false`: the bucket goes into the host name | `true` |
/// | `timeout` | for one request, answer and all: `500ms`, `30s`, `2m` | `30s` |
/// | `connect_timeout` | for one connection | `5s` |
/// | `retries` | further attempts after one that may pass | `10` |
/// | `retry_timeout` | no further attempt begins later than that | `60s` |
/// | `multipart_above` | longer objects go up in parts of 8 MiB: bytes, or `64MiB` | `16MiB` |
///
/// Credentials come from the environment: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (and
/// `AWS_SESSION_TOKEN`), `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`, else those that the cloud
/// gives to the container or machine. Files and profiles of the `aws` command are not read.
///
/// There is no lock: [`Access::Write`] does the same as [`Access::TakeOver`]. Whoever opens for
/// writing takes a new generation, and the next checkpoint of the writer before is refused
/// ([`Fenced`](eventflux_core::Error::Fenced)).
///
/// Methods block, and may be called on any thread, also within an asynchronous runtime; they then
/// block the thread of that runtime.
pub struct ObjectStoreBackend {
    runner: Runner,
    store: Store,
    known: Known,
    may_write: bool,
}

impl ObjectStoreBackend {
    /// Opens a bucket. For reading there must be a storage.
    ///
    /// # Errors
    /// [`Error::Address`] for options or an environment that do not fit; [`Error::File`] with
    /// [`ErrorKind::NotFound`] if there is no storage to read; those of the store.
    pub fn open(address: &S3Address, access: Access) -> Result<Self> {
        let mut backend = Self::new(address.client()?, address.prefix_path(), address.place())?;
        backend.store.limits = address.limits();
        backend.store.multipart_above = address.multipart_above();
        if access == Access::Read && backend.read_head()?.is_none() && backend.list()?.is_empty() {
            let reason = io::Error::new(ErrorKind::NotFound, "there is no checkpoint storage here");
            return Err(Error::File { action: "open", path: PathBuf::from(address.to_string()), reason });
        }
        Ok(if access == Access::Read { backend.for_reading() } else { backend })
    }

    /// A storage in any store that the crate `object_store` knows, or that implements its trait, below
    /// a prefix. The store must have conditional put ([`PutMode::Create`](object_store::PutMode::Create)
    /// and [`PutMode::Update`](object_store::PutMode::Update)) and keep metadata of objects; if it
    /// tries again by itself, let it do so a few times only.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use eventflux::storage::ObjectStoreBackend;
    /// use eventflux::{CheckpointManager, ManagerConfig, StateHolder};
    /// use object_store::memory::InMemory;
    /// # fn main() -> eventflux::Result<()> {
    /// let storage = ObjectStoreBackend::with_store(Arc::new(InMemory::new()), "flights")?;
    /// let mut manager = CheckpointManager::open(storage, ManagerConfig::default())?;
    /// let mut orders = StateHolder::builder("orders").build()?;
    /// orders.set("eu", &3_u32)?;
    /// manager.checkpoint(&mut orders, None)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Address`] if the prefix is none; [`Error::File`] if the system gives no event queue.
    pub fn with_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        let wrong = |error: object_store::path::Error| Error::Address {
            address: prefix.into(),
            reason: format!("it is no prefix: {error}"),
        };
        let prefix = Path::parse(prefix.trim_matches('/')).map_err(wrong)?;
        let place = store.to_string();
        Self::new(store, &prefix, place)
    }

    /// Tries again so often after a failure that may pass, and begins no attempt later than `within`.
    #[must_use]
    pub fn with_retries(mut self, retries: u32, within: Duration) -> Self {
        self.store.limits = RetryLimits { attempts: retries, within };
        self
    }

    /// Only reads from now on, as a storage opened with [`Access::Read`]: what would write is an error.
    #[must_use]
    pub fn for_reading(mut self) -> Self {
        self.may_write = false;
        self
    }

    /// Uploads objects longer than so many bytes in parts.
    #[must_use]
    pub fn with_multipart_above(mut self, bytes: u64) -> Self {
        self.store.multipart_above = bytes;
        self
    }

    fn new(inner: Arc<dyn ObjectStore>, prefix: &Path, place: String) -> Result<Self> {
        let failed = |reason| Error::File { action: "open", path: PathBuf::from(&place), reason };
        let runner = Runner::new().map_err(failed)?;
        let store = Store {
            inner,
            place,
            head: prefix.clone().join(HEAD),
            objects: prefix.clone().join(OBJECTS),
            multipart_above: address::MULTIPART_ABOVE,
            limits: RetryLimits::default(),
            has_worked: false,
        };
        Ok(ObjectStoreBackend { runner, store, known: Known::default(), may_write: true })
    }

    /// Once something has succeeded there are credentials: where they fail to come later, they are waited for.
    fn noted<T>(&mut self, outcome: Result<T, CoreError>) -> Result<T, CoreError> {
        self.store.has_worked |= outcome.is_ok();
        outcome
    }
}

impl Backend for ObjectStoreBackend {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<(), CoreError> {
        check_writer(self.may_write, object)?;
        let path = self.store.object(object)?;
        let outcome = self.runner.run(self.store.put(&path, bytes));
        self.noted(outcome)
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>, CoreError> {
        let path = self.store.object(object)?;
        let outcome = self.runner.run(self.store.read(&path, range));
        self.noted(outcome)
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>, CoreError> {
        let outcome = self.runner.run(self.store.list());
        self.noted(outcome)
    }

    fn delete(&mut self, object: &str) -> Result<(), CoreError> {
        check_writer(self.may_write, object)?;
        let path = self.store.object(object)?;
        let outcome = self.runner.run(self.store.delete(&path));
        self.noted(outcome)
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>, CoreError> {
        let outcome = self.runner.run(head::read(&self.store, &mut self.known));
        self.noted(outcome)
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, CoreError> {
        check_writer(self.may_write, HEAD)?;
        let outcome = self.runner.run(head::swap(&self.store, &mut self.known, expected, new));
        self.noted(outcome)
    }
}

impl fmt::Debug for ObjectStoreBackend {
    /// The place alone: what the store shows of itself may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreBackend")
            .field("head", &self.store.name_of(&self.store.head))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn it_works_within_a_runtime_and_on_any_thread() {
        let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut storage = outer.block_on(async {
            let mut storage = ObjectStoreBackend::with_store(Arc::new(InMemory::new()), "flights").unwrap();
            storage.put("a", b"within").unwrap();
            assert!(storage.swap_head(None, b"head").unwrap());
            storage
        });
        let read = move || {
            assert_eq!(storage.read("a", ByteRange::All).unwrap().unwrap(), b"within");
            storage
        };
        let storage = thread::spawn(read).join().unwrap();
        outer.block_on(async move { drop(storage) });
    }
}
