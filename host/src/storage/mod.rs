//! Storages of the host, by address.

pub(crate) mod archive;
#[cfg(feature = "object-store")]
mod bucket;
mod file;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "redis", feature = "object-store"))]
mod tls;
mod wrappers;

#[cfg(feature = "redis")]
pub use self::redis::{RedisAddress, RedisBackend, RedisDurability, RedisPersistence};
#[cfg(feature = "object-store")]
pub use bucket::{ObjectStoreBackend, S3Address};
pub(crate) use file::sync_directory;
pub use file::{Access, FileBackend};
#[doc(hidden)]
pub use file::{FileSystem, HostFiles, Unsynced};
use wrappers::told;
pub use wrappers::{Fault, FaultBackend, Latency, LatencyBackend, Operation, TracingBackend};

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventflux_core::{Backend, Error as CoreError, MemoryBackend};

use crate::error::{Error, Result};

/// Any storage.
pub type AnyBackend = Box<dyn Backend + Send>;

/// Refuses to write to a storage opened for reading: it would cut off the writer that goes on beside it.
fn check_writer(may_write: bool, object: &str) -> std::result::Result<(), CoreError> {
    if may_write {
        return Ok(());
    }
    Err(CoreError::Storage {
        operation: "write",
        object: object.into(),
        reason: "the storage was opened for reading; open it with `Access::Write`, or read with `eventflux::restore`, \
                 `inspect` and `verify`, which need no writer"
            .into(),
    })
}

/// Where a storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageAddress {
    /// A directory; to read, also an archive, which is one file.
    File(PathBuf),
    /// A bucket of an object store.
    #[cfg(feature = "object-store")]
    S3(Box<S3Address>),
    /// In memory: gone with the process.
    Memory,
    /// On Redis.
    #[cfg(feature = "redis")]
    Redis(Box<RedisAddress>),
}

impl StorageAddress {
    /// How long what is there lives after the last checkpoint, if not for ever: the next must come though nothing has
    /// changed.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "redis")]
            StorageAddress::Redis(address) => address.lifetime(),
            _ => None,
        }
    }

    /// Reads `file:PATH`, a bare path, `memory:`, with the feature `redis` also `redis://…` and `rediss://…`, with
    /// `object-store` also `s3://BUCKET/PREFIX`; relative paths are below `base`.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn parse(address: &str, base: &Path) -> Result<Self> {
        let wrong = |reason: &str| Err(Error::Address { address: address.into(), reason: reason.into() });
        match address.split_once(':') {
            Some(("memory", "")) => Ok(StorageAddress::Memory),
            Some(("file", "")) => wrong("a path must follow `file:`, such as file:state"),
            Some(("file", path)) => Ok(StorageAddress::File(base.join(path))),
            #[cfg(feature = "redis")]
            Some(("redis" | "rediss", _)) => Ok(StorageAddress::Redis(Box::new(RedisAddress::parse(address, base)?))),
            #[cfg(not(feature = "redis"))]
            Some((scheme @ ("redis" | "rediss"), _)) => Err(Error::Address {
                // Not all of it: it may have a password.
                address: format!("{scheme}:…"),
                reason: "this build has no storage on Redis: build it with --features redis".into(),
            }),
            #[cfg(feature = "object-store")]
            Some(("s3", _)) => Ok(StorageAddress::S3(Box::new(address.parse()?))),
            #[cfg(not(feature = "object-store"))]
            Some(("s3", _)) => wrong("this build has no object stores: build it with --features object-store"),
            Some((_, _)) if !Path::new(address).exists() => {
                wrong("unknown kind of storage; use file:PATH, redis://…, s3://… or memory:")
            }
            _ if address.is_empty() => wrong("it is empty; use file:PATH, redis://…, s3://… or memory:"),
            _ => Ok(StorageAddress::File(base.join(address))),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process writes there; [`Error::File`].
    pub fn open(&self, access: Access) -> Result<AnyBackend> {
        Ok(told(self.open_itself(access)?))
    }

    fn open_itself(&self, access: Access) -> Result<AnyBackend> {
        Ok(match self {
            StorageAddress::File(path) if path.is_file() => Box::new(archive::open(path, access)?),
            StorageAddress::File(path) => Box::new(FileBackend::open(path, access)?),
            #[cfg(feature = "object-store")]
            StorageAddress::S3(address) => Box::new(ObjectStoreBackend::open(address, access)?),
            StorageAddress::Memory => Box::new(MemoryBackend::new()),
            #[cfg(feature = "redis")]
            StorageAddress::Redis(address) => Box::new(RedisBackend::open((**address).clone(), access)?),
        })
    }
}

impl std::fmt::Display for StorageAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StorageAddress::File(path) => write!(f, "file:{}", path.display()),
            #[cfg(feature = "object-store")]
            StorageAddress::S3(address) => address.fmt(f),
            StorageAddress::Memory => f.write_str("memory:"),
            #[cfg(feature = "redis")]
            StorageAddress::Redis(address) => address.fmt(f),
        }
    }
}
