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
    pub base_pages: Vec<Section>,
    pub pages: Vec<Section>,
    pub deltas: Vec<Delta>,
    pub credit: i64,
    pub reserve: i64,
}

/// The raw bytes of a page of bases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BasePage {
    pub objects: Vec<ObjectId>,
    pub plans: Vec<Section>,
    pub bases: Vec<Base>,
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
        let sections = sections.chain(&mut self.base_pages).chain(&mut self.pages);
        sections.filter(|section| section.object == own).collect()
    }

    /// As if it had no pages: what they name it names itself. `object` has the bytes of an object.
    pub fn without_pages(&self, object: impl Fn(ObjectId) -> Vec<u8>) -> Manifest {
        let raw = |page: &Section| page.unpacked(&object(self.objects[page.object as usize]));
        let mut whole = Manifest { base_pages: Vec::new(), pages: Vec::new(), ..self.clone() };
        for page in self.base_pages.iter().rev() {
            let mut page: BasePage = postcard::from_bytes(&raw(page)).unwrap();
            let shares = |a: &Base, b: &Base| a.state == b.state && a.low < b.high && b.low < a.high;
            page.bases.retain(|base| !whole.bases.iter().any(|newer| shares(base, newer)));
            let (objects, plans) = (whole.objects.len() as u32, whole.plans.len() as u32);
            whole.objects.append(&mut page.objects);
            for base in &mut page.bases {
                base.plan = base.plan.map(|plan| plan + plans);
            }
            let sections = page.bases.iter_mut().filter_map(|base| base.section.as_mut());
            sections.chain(&mut page.plans).for_each(|section| section.object += objects);
            whole.bases.append(&mut page.bases);
            whole.plans.append(&mut page.plans);
        }
        whole.bases.sort_by_key(|base| (base.state, base.low));
        let mut deltas = Vec::new();
        for page in &self.pages {
            for (object, mut delta) in postcard::from_bytes::<Vec<(ObjectId, Delta)>>(&raw(page)).unwrap() {
                delta.section.object = whole.objects.len() as u32;
                whole.objects.push(object);
                deltas.push(delta);
            }
        }
        deltas.append(&mut whole.deltas);
        let is_needed = |delta: &Delta| {
            let mut bases = whole.bases.iter().filter(|base| base.state == delta.state);
            bases.any(|base| base.low < delta.high && delta.low < base.high && base.checkpoint < delta.checkpoint)
        };
        deltas.retain(is_needed);
        whole.deltas = deltas;
        // Each object once.
        let places = |section: &mut Section| {
            let object = whole.objects[section.object as usize];
            section.object = whole.objects.iter().position(|other| *other == object).unwrap() as u32;
        };
        whole.bases.iter_mut().filter_map(|base| base.section.as_mut()).for_each(places);
        whole.plans.iter_mut().for_each(places);
        whole.deltas.iter_mut().map(|delta| &mut delta.section).for_each(places);
        whole
    }
}

impl Section {
    /// The rows or the page that is stored in an object.
    pub fn unpacked(&self, object: &[u8]) -> Vec<u8> {
        let stored = &object[self.offset as usize..(self.offset + self.stored) as usize];
        let mut rest = match self.codec {
            0 => return stored.to_vec(),
            1 => stored,
            codec => panic!("codec {codec}"),
        };
        let mut raw = Vec::new();
        while !rest.is_empty() {
            let (len, packed) = postcard::take_from_bytes::<u64>(rest).unwrap();
            let (block, more) = packed.split_at(len as usize);
            let block_len = (self.raw as usize - raw.len()).min(65_280);
            raw.extend(lz4_flex::block::decompress(block, block_len).unwrap());
            rest = more;
        }
        raw
    }

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
