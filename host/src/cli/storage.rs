//! The storage that a command names.

use std::path::Path;

use clap::Args;
use eventflux_core::{CatalogEntry, Head, ObjectId, Retention};
use serde_json::{Value as Json, json};

use super::failure::Failure;
use crate::clock::to_rfc3339;
use crate::error::Error;
use crate::manager::{CheckpointManager, ManagerConfig, read_head};
use crate::storage::{Access, AnyBackend, StorageAddress};

/// The storage a command works on.
#[derive(Debug, Args)]
pub(super) struct Storage {
    /// The storage: `file:PATH` or a path, `redis://…`, `s3://…`.
    #[arg(value_name = "STORAGE")]
    address: String,
}

impl Storage {
    pub(super) fn address(&self) -> Result<StorageAddress, Failure> {
        address(&self.address)
    }

    /// Opens it for reading, which does not disturb a run that writes to it.
    pub(super) fn open(&self) -> Result<AnyBackend, Failure> {
        Ok(self.address()?.open(Access::Read)?)
    }

    /// Opens it for reading, and reads which checkpoints there are.
    pub(super) fn open_with_head(&self) -> Result<(AnyBackend, Head), Failure> {
        let mut backend = self.open()?;
        let head = read_head(&mut backend)?;
        Ok((backend, head))
    }

    /// Opens it for writing; it must exist. Publishing deletes nothing: this is for the run and
    /// for `prune`. `doing` is what needs it, for the message if a run has it.
    pub(super) fn open_to_write(&self, doing: &str) -> Result<CheckpointManager<AnyBackend>, Failure> {
        self.open()?;
        let backend = open_alone(&self.address()?, doing)?;
        let config = ManagerConfig { retention: Retention { max_retained: u32::MAX }, ..ManagerConfig::default() };
        Ok(CheckpointManager::open(backend, config)?)
    }
}

/// Reads an address. A storage in memory is none that another process could look into.
pub(super) fn address(text: &str) -> Result<StorageAddress, Failure> {
    match StorageAddress::parse(text, Path::new(""))? {
        StorageAddress::Memory => Err(Failure::usage("storage `memory:` is gone with its process; name a directory")),
        address => Ok(address),
    }
}

/// Opens a storage for writing, which it says in plain words that a run does not allow, where there is a lock.
pub(super) fn open_alone(address: &StorageAddress, doing: &str) -> Result<AnyBackend, Failure> {
    address.open(Access::Write).map_err(|error| match error {
        Error::Locked { path, writer } => Failure::new(format!(
            "{}: another process writes to this storage ({writer}), and {doing} needs it alone; \
             stop that run first, started again it goes on from its newest checkpoint",
            path.display()
        )),
        error => error.into(),
    })
}

/// One checkpoint as JSON.
pub(super) fn entry_to_json(entry: &CatalogEntry, head: &Head) -> Json {
    let raw = raw_bytes(entry);
    json!({
        "id": entry.object.id, "generation": entry.object.generation, "object": entry.object.name(),
        "parent": entry.parent, "latest": head.latest == Some(entry.object.id),
        "created": to_rfc3339(entry.created_ms), "created_ms": entry.created_ms,
        "kind": entry.kind(), "label": entry.label,
        "stored_bytes": entry.object_bytes, "raw_bytes": raw,
        "ratio": (entry.object_bytes > 0).then(|| raw as f64 / entry.object_bytes as f64),
        "delta_rows": entry.sizes.delta_rows, "base_rows": entry.sizes.base_rows,
        "dirty_bytes": entry.sizes.dirty, "restore_raw_bytes": entry.sizes.restore_raw,
    })
}

/// Raw bytes of the sections of a checkpoint.
pub(super) fn raw_bytes(entry: &CatalogEntry) -> u64 {
    entry.sizes.delta_raw.saturating_add(entry.sizes.base_raw)
}

/// Whether an object is one of a checkpoint's, and no checkpoint of the head needs it.
pub(super) fn is_unneeded(head: &Head, name: &str) -> bool {
    ObjectId::from_name(name).is_some_and(|object| {
        object.generation <= head.generation && !head.entries.iter().any(|entry| entry.needs(object))
    })
}
