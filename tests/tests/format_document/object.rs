//! FORMAT.md, "Head", "Object", "Manifest", "Sections", "Pages".

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::Bytes;
use super::columns::Plan;
use super::seen::see;
use super::tables;

/// Number and generation.
pub type ObjectId = (u64, u64);

/// The files of a storage.
pub struct Storage {
    pub head: Vec<u8>,
    /// By name.
    pub objects: BTreeMap<String, Vec<u8>>,
}

pub struct Entry {
    pub object: ObjectId,
    pub parent: Option<u64>,
    pub created_ms: i64,
    pub label: Option<String>,
    pub object_bytes: u64,
    pub sizes: [u64; 7],
    /// First, count, generation.
    pub needs: Vec<(u64, u64, u64)>,
}

pub struct Head {
    pub generation: u64,
    pub next_id: u64,
    pub latest: Option<u64>,
    pub entries: Vec<Entry>,
}

#[derive(Clone)]
pub struct Section {
    pub object: ObjectId,
    pub offset: usize,
    pub stored: usize,
    pub raw: usize,
    pub codec: u64,
    pub hash: [u8; 8],
    pub check: [u8; 4],
}

pub struct Base {
    pub state: u64,
    pub low: u64,
    pub high: u64,
    pub checkpoint: u64,
    pub section: Option<Section>,
    /// Place among the plans.
    pub plan: Option<u64>,
}

pub struct Delta {
    pub state: u64,
    pub low: u64,
    pub high: u64,
    pub checkpoint: u64,
    pub section: Section,
}

pub struct State {
    pub name: String,
    pub kind: u64,
    pub version: u64,
    pub fingerprint: u64,
    pub description: String,
}

pub struct Engine {
    pub events: u64,
    pub timestamp_max: Option<i64>,
    pub finished: bool,
    pub results: Vec<u64>,
    pub late: Vec<u64>,
}

pub struct Manifest {
    pub version: u16,
    pub object: ObjectId,
    pub parent: Option<u64>,
    pub created_ms: i64,
    pub label: Option<String>,
    pub holder: String,
    pub key_groups: u64,
    pub states: Vec<State>,
    pub positions: Vec<(String, u64)>,
    pub outputs: Vec<(String, u64)>,
    pub watermarks: Vec<(String, i64)>,
    pub engine: Option<Engine>,
    pub sizes: [u64; 7],
    pub bases: Vec<Base>,
    pub plans: Vec<Section>,
    pub base_pages: Vec<Section>,
    pub pages: Vec<Section>,
    pub deltas: Vec<Delta>,
    pub credit: i64,
    pub reserve: i64,
}

impl Manifest {
    /// Bases and deltas: place of the state, section, plan.
    pub fn sections_with_states(&self) -> impl Iterator<Item = (u64, &Section, Option<u64>)> {
        let bases = self.bases.iter().filter_map(|base| Some((base.state, base.section.as_ref()?, base.plan)));
        bases.chain(self.deltas.iter().map(|delta| (delta.state, &delta.section, None)))
    }

    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections_with_states().map(|(_, section, _)| section)
    }
}

pub fn name((id, generation): ObjectId) -> String {
    format!("checkpoint-{id:010}-g{generation}.efx")
}

pub fn head(bytes: &[u8]) -> Head {
    let (covered, hash) = bytes.split_at(bytes.len() - 8);
    assert_eq!(xxh3_64(covered).to_le_bytes(), hash);
    let mut bytes = Bytes(covered);
    assert_eq!(bytes.take(4), b"EFXH");
    assert!((1..=3).contains(&bytes.le16()) && bytes.le16() == 0);
    let head = Head {
        generation: bytes.uint(),
        next_id: bytes.uint(),
        latest: bytes.option(Bytes::uint),
        entries: bytes.list(|bytes| Entry {
            object: object_id(bytes),
            parent: bytes.option(Bytes::uint),
            created_ms: bytes.int(),
            label: bytes.option(Bytes::text),
            object_bytes: bytes.uint(),
            sizes: sizes(bytes),
            needs: bytes.list(|bytes| (bytes.uint(), bytes.uint(), bytes.uint())),
        }),
    };
    bytes.end();
    head
}

/// Checks header and trailer, and reads the manifest between them.
pub fn manifest(object: ObjectId, bytes: &[u8]) -> Manifest {
    let (header, _) = bytes.split_at(24);
    let (rest, trailer) = bytes.split_at(bytes.len() - 24);
    let mut fields = Bytes(trailer);
    let (len, hash) = (fields.le64() as usize, fields.le64());
    assert_eq!((fields.take(4), fields.take(4)), (&[0; 4][..], &b"EFXT"[..]));
    let manifest = &rest[rest.len() - len..];
    assert_eq!(xxh3_64(&[header, manifest, &trailer[..8]].concat()), hash);
    let mut fields = Bytes(header);
    assert_eq!(fields.take(4), b"EFXC");
    let version = fields.le16();
    assert!((1..=3).contains(&version) && fields.le16() == 0);
    assert_eq!((fields.le64(), fields.le64()), object);
    let manifest = manifest_record(version, Bytes(manifest));
    assert_eq!(manifest.object, object);
    manifest
}

fn manifest_record(version: u16, mut bytes: Bytes<'_>) -> Manifest {
    let object = object_id(&mut bytes);
    let (parent, created_ms, label) = (bytes.option(Bytes::uint), bytes.int(), bytes.option(Bytes::text));
    let (holder, key_groups) = (bytes.text(), bytes.uint());
    let states = bytes.list(|bytes| State {
        name: bytes.text(),
        kind: bytes.uint(),
        version: bytes.uint(),
        fingerprint: bytes.uint(),
        description: bytes.text(),
    });
    let numbers = |bytes: &mut Bytes<'_>| bytes.list(|bytes| (bytes.text(), bytes.uint()));
    let (positions, outputs) = (numbers(&mut bytes), numbers(&mut bytes));
    let watermarks = bytes.list(|bytes| (bytes.text(), bytes.int()));
    let engine = bytes.option(|bytes| Engine {
        events: bytes.uint(),
        timestamp_max: bytes.option(Bytes::int),
        finished: bytes.bool(),
        results: bytes.list(Bytes::uint),
        late: bytes.list(Bytes::uint),
    });
    let sizes = sizes(&mut bytes);
    let objects = bytes.list(object_id);
    let bases = bytes.list(|bytes| base(version, bytes, &objects));
    let plans = if version == 1 { Vec::new() } else { bytes.list(|bytes| section(bytes, &objects)) };
    let base_pages = if version < 3 { Vec::new() } else { bytes.list(|bytes| section(bytes, &objects)) };
    let pages = bytes.list(|bytes| section(bytes, &objects));
    let deltas = bytes.list(|bytes| delta(bytes, &objects));
    let (credit, reserve) = (bytes.int(), bytes.int());
    bytes.end();
    Manifest {
        version,
        object,
        parent,
        created_ms,
        label,
        holder,
        key_groups,
        states,
        positions,
        outputs,
        watermarks,
        engine,
        sizes,
        bases,
        plans,
        base_pages,
        pages,
        deltas,
        credit,
        reserve,
    }
}

/// The bases that a page names, with their plans.
pub fn base_page(raw: &[u8]) -> (Vec<Base>, Vec<Section>) {
    let mut bytes = Bytes(raw);
    let objects = bytes.list(object_id);
    let plans = bytes.list(|bytes| section(bytes, &objects));
    let bases = bytes.list(|bytes| base(3, bytes, &objects));
    bytes.end();
    (bases, plans)
}

/// The deltas that a page names.
pub fn page(raw: &[u8]) -> Vec<Delta> {
    let mut bytes = Bytes(raw);
    let deltas = bytes.list(|bytes| {
        let object = object_id(bytes);
        delta(bytes, &[object])
    });
    bytes.end();
    deltas
}

/// A plan that stands for itself.
pub fn plan(storage: &Storage, section: &Section) -> Plan {
    assert!(section.codec >= 2);
    let unpacked = unpacked(storage, section);
    assert_eq!(unpacked.len(), section.raw);
    let mut bytes = Bytes(&unpacked);
    let plan = Plan::read(&mut bytes);
    bytes.end();
    assert!(plan.cells <= 1024 * section.stored as u64);
    plan
}

/// The bytes of a section as rows, of a state of this kind; with the plan that it shares.
pub fn rows(storage: &Storage, section: &Section, plan: Option<&Plan>, kind: u64) -> Vec<u8> {
    let unpacked = unpacked(storage, section);
    if section.codec < 2 {
        assert!(plan.is_none());
        return unpacked;
    }
    let mut bytes = Bytes(&unpacked);
    let own;
    let plan = match plan {
        Some(plan) => {
            see(format!("shared plan of kind {kind}"));
            plan
        }
        None => {
            see(format!("own plan of kind {kind}"));
            own = Plan::read(&mut bytes);
            assert!(own.cells <= 1024 * section.stored as u64);
            &own
        }
    };
    let rows = tables::to_rows(bytes, plan, kind);
    assert!(rows.len() == section.raw && section.raw <= 1024 * section.stored);
    rows
}

/// The bytes of a section once unpacked, every check made.
pub fn unpacked(storage: &Storage, section: &Section) -> Vec<u8> {
    let stored = &storage.objects[&name(section.object)][section.offset..][..section.stored];
    assert_eq!(xxh3_64(stored).to_le_bytes()[..4], section.check);
    see(format!("codec {}", section.codec));
    let unpacked = match section.codec {
        0 | 2 => stored.to_vec(),
        1 => lz4(Bytes(stored), section.raw),
        3 => {
            let mut bytes = Bytes(stored);
            let len = bytes.uint() as usize;
            lz4(bytes, len)
        }
        codec => panic!("codec {codec}"),
    };
    assert!(section.codec >= 2 || unpacked.len() == section.raw);
    assert_eq!(xxh3_64(&unpacked).to_le_bytes(), section.hash);
    unpacked
}

fn lz4(mut bytes: Bytes<'_>, raw_len: usize) -> Vec<u8> {
    let mut raw = Vec::new();
    while raw.len() < raw_len {
        let block_len = (raw_len - raw.len()).min(65_280);
        let packed_len = bytes.uint() as usize;
        let block = lz4_flex::block::decompress(bytes.take(packed_len), block_len).unwrap();
        assert_eq!(block.len(), block_len);
        raw.extend(block);
    }
    bytes.end();
    raw
}

fn object_id(bytes: &mut Bytes<'_>) -> ObjectId {
    (bytes.uint(), bytes.uint())
}

fn sizes(bytes: &mut Bytes<'_>) -> [u64; 7] {
    std::array::from_fn(|_| bytes.uint())
}

fn section(bytes: &mut Bytes<'_>, objects: &[ObjectId]) -> Section {
    Section {
        object: objects[bytes.uint() as usize],
        offset: bytes.uint() as usize,
        stored: bytes.uint() as usize,
        raw: bytes.uint() as usize,
        codec: bytes.uint(),
        hash: bytes.take(8).try_into().unwrap(),
        check: bytes.take(4).try_into().unwrap(),
    }
}

fn base(version: u16, bytes: &mut Bytes<'_>, objects: &[ObjectId]) -> Base {
    Base {
        state: bytes.uint(),
        low: bytes.uint(),
        high: bytes.uint(),
        checkpoint: bytes.uint(),
        section: bytes.option(|bytes| section(bytes, objects)),
        plan: if version == 1 { None } else { bytes.option(Bytes::uint) },
    }
}

fn delta(bytes: &mut Bytes<'_>, objects: &[ObjectId]) -> Delta {
    Delta {
        state: bytes.uint(),
        low: bytes.uint(),
        high: bytes.uint(),
        checkpoint: bytes.uint(),
        section: section(bytes, objects),
    }
}
