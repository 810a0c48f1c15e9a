//! Checkpoint objects taken apart and put together again, from `FORMAT.md` rather than with the
//! code of the core: for tests that change them and make every hash right again.

#![allow(dead_code, reason = "each test file uses a part of it")]

use eventflux_core::{CheckpointSizes, ObjectId, Progress, StateDescriptor};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub const HEADER_BYTES: usize = 24;
pub const TRAILER_BYTES: usize = 24;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub object: ObjectId,
    pub parent: Option<u64>,
    pub created_ms: i64,
    pub label: Option<String>,
    pub holder: String,
    pub key_groups: u16,
    pub states: Vec<StateDescriptor>,
    pub progress: Progress,
    pub sizes: CheckpointSizes,
    pub objects: Vec<ObjectId>,
    pub bases: Vec<Base>,
    pub plans: Vec<Section>,
    pub pages: Vec<Section>,
    pub deltas: Vec<Delta>,
    pub credit: i64,
    pub reserve: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Base {
    pub state: u16,
    pub low: u16,
    pub high: u16,
    pub checkpoint: u64,
    pub section: Option<Section>,
    pub plan: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub state: u16,
    pub low: u16,
    pub high: u16,
    pub checkpoint: u64,
    pub section: Section,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    pub object: u32,
    pub offset: u64,
    pub stored: u64,
    pub raw: u64,
    /// 0: rows, 1: in LZ4, 2: columns, 3: in LZ4.
    pub codec: u32,
    pub hash: [u8; 8],
    pub check: [u8; 4],
}

impl Manifest {
    /// The manifest of an object.
    pub fn of(object: &[u8]) -> Self {
        postcard::from_bytes(manifest_bytes(object)).unwrap()
    }

    /// Sections in the object that the manifest is in, plans and pages among them.
    pub fn own_sections(&mut self) -> Vec<&mut Section> {
        let own = self.objects.iter().position(|object| *object == self.object).unwrap() as u32;
        let bases = self.bases.iter_mut().filter_map(|base| base.section.as_mut());
        let sections = bases.chain(self.deltas.iter_mut().map(|delta| &mut delta.section)).chain(&mut self.plans);
        let sections = sections.chain(&mut self.pages);
        sections.filter(|section| section.object == own).collect()
    }
}

impl Section {
    /// The stored bytes, to change them.
    pub fn stored_mut<'a>(&self, object: &'a mut [u8]) -> &'a mut [u8] {
        &mut object[self.offset as usize..(self.offset + self.stored) as usize]
    }

    /// Whether LZ4 has packed it.
    pub fn is_packed(&self) -> bool {
        matches!(self.codec, 1 | 3)
    }

    /// Makes the hashes those of the stored bytes; where these are packed, only the one over them.
    pub fn fix(&mut self, stored: &[u8]) {
        self.check = (xxh3_64(stored) as u32).to_le_bytes();
        if !self.is_packed() {
            self.hash = xxh3_64(stored).to_le_bytes();
        }
    }
}

/// Puts a section in front of the manifest of an object that has none yet.
pub fn append_section(object: &mut Vec<u8>, unpacked: &[u8], stored: &[u8], codec: u32, raw: u64) -> Section {
    let section = Section {
        object: 0,
        offset: object.len() as u64,
        stored: stored.len() as u64,
        raw,
        codec,
        hash: xxh3_64(unpacked).to_le_bytes(),
        check: (xxh3_64(stored) as u32).to_le_bytes(),
    };
    object.extend_from_slice(stored);
    section
}

/// The bytes of the manifest in an object.
pub fn manifest_bytes(object: &[u8]) -> &[u8] {
    let trailer = &object[object.len() - TRAILER_BYTES..];
    let len = u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize;
    &object[object.len() - TRAILER_BYTES - len..object.len() - TRAILER_BYTES]
}

/// The object with another manifest, its hash right.
pub fn with_manifest(object: &[u8], manifest: &[u8]) -> Vec<u8> {
    let sections_end = object.len() - TRAILER_BYTES - manifest_bytes(object).len();
    let mut bytes = object[..sections_end].to_vec();
    let len = (manifest.len() as u64).to_le_bytes();
    let covered = [&object[..HEADER_BYTES], manifest, &len].concat();
    bytes.extend_from_slice(manifest);
    bytes.extend_from_slice(&len);
    bytes.extend_from_slice(&xxh3_64(&covered).to_le_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0]);
    bytes.extend_from_slice(b"EFXT");
    bytes
}

/// A head record with its hash made right.
pub fn fix_head(head: &mut [u8]) {
    let (covered, hash) = head.split_at_mut(head.len() - 8);
    hash.copy_from_slice(&xxh3_64(covered).to_le_bytes());
}
