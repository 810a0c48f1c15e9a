//! The head: the one record that changes. It says which checkpoints exist and who may write.
//!
//! Magic `EFXH`, format version (u16), 0 (u16), the record in postcard, XXH3 of all before it (u64);
//! little-endian. Magic, version and hash keep their places in every version.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::manifest::{CheckpointSizes, Manifest, ObjectId};
use super::{FORMAT_VERSION, append, hash64, read_all};
use crate::error::{Error, Result};
use crate::limits::{HEAD_BYTES_MAX, OBJECTS_PER_CHECKPOINT_MAX};

const MAGIC: &[u8; 4] = b"EFXH";
const PREFIX_BYTES: usize = 8;
const HASH_BYTES: usize = 8;
/// Numbers and generations stay below: counting up from there cannot overflow.
const NUMBER_MAX: u64 = 1 << 62;
/// How errors call the head.
pub(crate) const HEAD_NAME: &str = "head";

/// The published checkpoints of a storage and the generation of its writer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Generation of the newest writer. Rises with every opening for writing, never falls.
    pub generation: u64,
    /// Number the next checkpoint takes.
    pub next_id: u64,
    /// The checkpoint to go on from: the newest, unless an older one was labelled since.
    pub latest: Option<u64>,
    /// Checkpoints that can be restored, in the order of their numbers.
    pub entries: Vec<CatalogEntry>,
}

/// One published checkpoint, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// The checkpoint.
    pub object: ObjectId,
    /// Checkpoint it builds on.
    pub parent: Option<u64>,
    /// Time of its cut, milliseconds since 1970; of a savepoint, that of the state it labels.
    pub created_ms: i64,
    /// Label, if it is a savepoint.
    pub label: Option<String>,
    /// Bytes of its object in the storage.
    pub object_bytes: u64,
    /// What it wrote, in bytes and rows.
    pub sizes: CheckpointSizes,
    /// Objects a restore reads, as runs: first, count, generation.
    pub(crate) needs: Vec<(u64, u64, u64)>,
}

impl CatalogEntry {
    pub(crate) fn new(manifest: &Manifest, object_bytes: u64) -> Self {
        let mut needs: Vec<(u64, u64, u64)> = Vec::new();
        for object in manifest.needed_objects() {
            match needs.last_mut() {
                Some((first, count, generation))
                    if *generation == object.generation && *first + *count == object.id =>
                {
                    *count += 1
                }
                _ => needs.push((object.id, 1, object.generation)),
            }
        }
        CatalogEntry {
            object: manifest.object,
            parent: manifest.parent,
            created_ms: manifest.created_ms,
            label: manifest.label.clone(),
            object_bytes,
            sizes: manifest.sizes,
            needs,
        }
    }

    /// Whether a restore of this checkpoint reads `object`.
    #[must_use]
    pub fn needs(&self, object: ObjectId) -> bool {
        self.needs.iter().any(|(first, count, generation)| {
            *generation == object.generation && object.id >= *first && object.id - *first < *count
        })
    }

    /// "full" if it carries all of its state itself, else "incremental".
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.needs.as_slice() {
            [(first, 1, _)] if *first == self.object.id => "full",
            _ => "incremental",
        }
    }
}

impl Head {
    /// Bytes of the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(*MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        append(&mut out, self);
        let hash = hash64(&out);
        out.extend_from_slice(&hash.to_le_bytes());
        out
    }

    /// Bytes of the record, for the storage.
    ///
    /// # Errors
    /// [`Error::OverLimit`] or [`Error::Damaged`] for one that nobody could read.
    pub(crate) fn to_readable_bytes(&self) -> Result<Vec<u8>> {
        self.ensure_readable()?;
        let bytes = self.to_bytes();
        Error::ensure_within("bytes of the head", bytes.len() as u64, HEAD_BYTES_MAX)?;
        Ok(bytes)
    }

    /// Of the checkpoints for which `may_be` holds, the one to go on from: the latest, or that of the newest state. A
    /// savepoint of an older state is not newer than it, whatever its number and its time.
    #[must_use]
    pub fn newest_of(&self, may_be: impl Fn(u64) -> bool) -> Option<u64> {
        let places = self.places();
        let ids = self.entries.iter().map(|entry| entry.object.id).filter(|id| may_be(*id));
        ids.max_by_key(|id| (Some(*id) == self.latest, places.get(id).copied(), *id))
    }

    /// Number of the checkpoint that each was taken as: clocks jump, and a label may have been given later, under a number
    /// of its own.
    fn places(&self) -> BTreeMap<u64, u64> {
        // With their times, by which a label is known from a checkpoint in which nothing had changed.
        let mut places: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
        for CatalogEntry { object, parent, label, sizes, created_ms, .. } in &self.entries {
            let is_label = label.is_some() && sizes.stored == 0;
            let of =
                parent.filter(|parent| is_label && *parent < object.id).map(|parent| (parent, places.get(&parent)));
            let place = match of {
                Some((_, Some((place, time)))) if time == created_ms => *place,
                Some((parent, None)) => parent,
                _ => object.id,
            };
            places.insert(object.id, (place, *created_ms));
        }
        places.into_iter().map(|(id, (place, _))| (id, place)).collect()
    }

    /// Reads and checks a head record.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::VersionTooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = |reason: &str| Error::damaged(HEAD_NAME, "record", reason);
        if bytes.len() < PREFIX_BYTES + HASH_BYTES || &bytes[..4] != MAGIC {
            return Err(damaged("it is not a head record, or cut short"));
        }
        if bytes.len() as u64 > HEAD_BYTES_MAX {
            return Err(damaged("it is too long"));
        }
        let (covered, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
        if hash64(covered).to_le_bytes() != hash {
            return Err(damaged("it does not match its hash"));
        }
        let head: Head = match u16::from_le_bytes([covered[4], covered[5]]) {
            0 => return Err(damaged("there is no format version 0")),
            // The record is the same in all of them.
            1..=3 => read_all(&covered[PREFIX_BYTES..]).map_err(|malformed| damaged(malformed.reason()))?,
            found => {
                return Err(Error::VersionTooNew { object: HEAD_NAME.into(), found, newest: FORMAT_VERSION });
            }
        };
        if covered[6..PREFIX_BYTES] != [0; 2] {
            return Err(damaged("reserved bytes are not zero"));
        }
        if head.entries.windows(2).any(|pair| pair[0].object.id >= pair[1].object.id) {
            return Err(damaged("checkpoints out of order"));
        }
        head.ensure_readable()?;
        Ok(head)
    }

    /// That numbers fit together: asked of what is read, and of what is to be written, so that no writer leaves a head
    /// that nobody can read.
    fn ensure_readable(&self) -> Result<()> {
        self.check().map_err(|reason| Error::damaged(HEAD_NAME, "record", reason))
    }

    /// Whether numbers fit together, so that arithmetic on them is safe.
    fn check(&self) -> Result<(), &'static str> {
        if self.generation >= NUMBER_MAX || self.next_id >= NUMBER_MAX {
            return Err("generation or number out of range");
        }
        if self.entries.last().is_some_and(|entry| entry.object.id >= self.next_id) {
            return Err("a checkpoint has a number not yet given out");
        }
        if self.latest.is_none() != self.entries.is_empty() || self.latest.is_some_and(|id| self.entry(id).is_none()) {
            return Err("the newest checkpoint is none of those there are");
        }
        for entry in &self.entries {
            let mut objects = 0_u64;
            for (first, count, _) in &entry.needs {
                objects = objects.saturating_add(*count);
                if *first > entry.object.id || *count > entry.object.id - *first + 1 {
                    return Err("a checkpoint needs an object that came after it");
                }
            }
            if objects > OBJECTS_PER_CHECKPOINT_MAX {
                return Err("a checkpoint needs too many objects");
            }
        }
        Ok(())
    }

    /// Rises with every head that writers of one storage leave: of two, the greater is the newer. Retention by itself
    /// gives out no number, and only takes entries away.
    #[must_use]
    pub fn written_order(&self) -> (u64, u64, Reverse<usize>) {
        (self.generation, self.next_id, Reverse(self.entries.len()))
    }

    /// The entry of a checkpoint.
    #[must_use]
    pub fn entry(&self, id: u64) -> Option<&CatalogEntry> {
        self.entries.iter().find(|entry| entry.object.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head, changed before its hash is taken.
    fn read(change: impl FnOnce(&mut Vec<u8>)) -> Result<Head> {
        let head = Head { generation: 3, ..Head::default() };
        let mut bytes = head.to_bytes();
        bytes.truncate(bytes.len() - HASH_BYTES);
        change(&mut bytes);
        let hash = hash64(&bytes);
        bytes.extend_from_slice(&hash.to_le_bytes());
        Head::from_bytes(&bytes)
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        assert_eq!(read(|_| ()).unwrap().generation, 3);
        let newer = read(|bytes| bytes.splice(4.., [4, 0, 1, 1, 0xff]).for_each(drop));
        assert_eq!(newer, Err(Error::VersionTooNew { object: HEAD_NAME.into(), found: 4, newest: FORMAT_VERSION }));
        for (at, value, reason) in [(4, 0, "version 0"), (6, 1, "reserved"), (8, 0x83, "record")] {
            let error = read(|bytes| bytes[at] = value).unwrap_err();
            assert!(error.is_damage() && alloc::format!("{error}").contains(reason), "{error}");
        }
        assert!(read(|bytes| bytes.push(0)).unwrap_err().is_damage());
    }
}
