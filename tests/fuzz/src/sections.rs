//! Sections from hostile bytes, in an object that is otherwise whole: what is behind the hashes.

use eventflux_core::{CheckpointSizes, ObjectId, Progress, StateDescriptor, StateKind};
use xxhash_rust::xxh3::xxh3_64;

use super::object::{Base, Delta, HEADER_BYTES, Manifest, Section};
use super::storage::{close, header, storage_of};
use super::work::read_all;

/// Raw bytes of an LZ4 block.
const BLOCK_BYTES: usize = 65_280;
/// A section of columns may stand for so many bytes of rows a stored byte.
const COLUMNS_RATIO_MAX: u64 = 1024;
const ID: ObjectId = ObjectId { id: 1, generation: 1 };

/// The codecs; their numbers are the format.
const ROWS: u32 = 0;
const COLUMNS: u32 = 2;
const PACKED_ROWS: u32 = 1;
const PACKED_COLUMNS: u32 = 3;

/// Sections of rows. The first byte says which kind of state, and whether there is a delta.
pub fn rows(input: &[u8]) {
    with_codecs(input, [ROWS, ROWS]);
}

/// Sections of columns, with a plan of their own or one apart.
pub fn columns(input: &[u8]) {
    with_codecs(input, [COLUMNS, COLUMNS]);
}

/// Sections in LZ4.
pub fn packed(input: &[u8]) {
    let codecs = [PACKED_ROWS, PACKED_COLUMNS];
    let first = input.first().map_or(0, |first| usize::from(first >> 6));
    with_codecs(input, [codecs[first % 2], codecs[first / 2]]);
}

/// Input: what to make, the length of the first part, both parts.
fn with_codecs(input: &[u8], codecs: [u32; 2]) {
    let [first, low, high, parts @ ..] = input else { return };
    let kinds = [StateKind::Values, StateKind::Windows, StateKind::Patterns, StateKind::Aggregations];
    let kind = kinds[usize::from(first % 4)];
    let (one, two) = parts.split_at(usize::from(u16::from_le_bytes([*low, *high])) % (parts.len() + 1));
    let mut object = header(ID, 3);
    let mut manifest = manifest_of(vec![StateDescriptor::new("", StateKind::Values, 1, "")]);
    let state = if kind == StateKind::Values { 0 } else { 1 };
    if state == 1 {
        manifest.states.push(StateDescriptor::new("state", kind, 1, "state"));
        manifest.bases.push(Base { state, ..manifest.bases[0].clone() });
    }
    let base = usize::from(state);
    match first >> 2 & 3 {
        // A base alone.
        0 => manifest.bases[base].section = Some(append(&mut object, codecs[0], one)),
        // A base and a delta.
        1 => {
            manifest.bases[base].section = Some(append(&mut object, codecs[0], one));
            let section = append(&mut object, codecs[1], two);
            manifest.deltas.push(Delta { state, low: 0, high: 1, checkpoint: 1, section });
        }
        // A plan, and a base that has none of its own.
        2 => {
            manifest.plans.push(append(&mut object, codecs[0], one));
            manifest.bases[base].section = Some(append(&mut object, codecs[1], two));
            manifest.bases[base].plan = Some(0);
        }
        // A delta on nothing, twice.
        _ => {
            for part in [one, two] {
                let section = append(&mut object, codecs[0], part);
                manifest.deltas.push(Delta { state, low: 0, high: 1, checkpoint: 1, section });
            }
        }
    }
    close(&mut object, &postcard::to_allocvec(&manifest).expect("a manifest is encoded"));
    let bytes = object.len() - HEADER_BYTES;
    read_all(&mut storage_of(ID, object), bytes);
}

/// A plain value with the schema that the checkpoint carries. Input: length of the schema, schema, value.
pub fn schema(input: &[u8]) {
    let [low, high, parts @ ..] = input else { return };
    let (description, value) = parts.split_at(usize::from(u16::from_le_bytes([*low, *high])) % (parts.len() + 1));
    let Ok(description) = std::str::from_utf8(description) else { return };
    let mut object = header(ID, 3);
    let mut manifest = manifest_of(vec![StateDescriptor::new("", StateKind::Values, 1, description)]);
    let mut row = vec![0, 1, 1, b'k', 1];
    row.extend(postcard::to_allocvec(&(value.len() as u64)).expect("a number is encoded"));
    row.extend_from_slice(value);
    manifest.bases[0].section = Some(append(&mut object, ROWS, &row));
    close(&mut object, &postcard::to_allocvec(&manifest).expect("a manifest is encoded"));
    let restored = read_all(&mut storage_of(ID, object), input.len());
    assert_eq!(restored, [1], "a value is a value, whatever its schema");
}

/// A manifest of states of one key group, without rows.
fn manifest_of(states: Vec<StateDescriptor>) -> Manifest {
    let base = Base { state: 0, low: 0, high: 1, checkpoint: 0, section: None, plan: None };
    Manifest {
        object: ID,
        parent: None,
        created_ms: 0,
        label: None,
        holder: "fuzzed".into(),
        key_groups: 1,
        states,
        progress: Progress::default(),
        sizes: CheckpointSizes::default(),
        objects: vec![ID],
        bases: vec![base],
        plans: vec![],
        base_pages: vec![],
        pages: vec![],
        deltas: vec![],
        credit: 0,
        reserve: 0,
    }
}

/// Puts stored bytes into an object, with the numbers that fit them best.
fn append(object: &mut Vec<u8>, codec: u32, stored: &[u8]) -> Section {
    let unpacked = match codec {
        PACKED_ROWS | PACKED_COLUMNS => unpacked(codec, stored),
        _ => Some(stored.to_vec()),
    };
    let raw = match (&unpacked, codec) {
        (_, COLUMNS | PACKED_COLUMNS) => stored.len() as u64 * COLUMNS_RATIO_MAX,
        (Some(unpacked), _) => unpacked.len() as u64,
        (None, _) => stored.len() as u64 * 3,
    };
    let section = Section {
        object: 0,
        offset: object.len() as u64,
        stored: stored.len() as u64,
        raw,
        codec,
        hash: xxh3_64(&unpacked.unwrap_or_default()).to_le_bytes(),
        check: (xxh3_64(stored) as u32).to_le_bytes(),
    };
    object.extend_from_slice(stored);
    section
}

/// What is packed, read from `FORMAT.md` rather than with the code of the core; `None` if it cannot be unpacked.
pub fn unpacked(codec: u32, stored: &[u8]) -> Option<Vec<u8>> {
    let (wanted, mut rest) = match codec {
        PACKED_COLUMNS => {
            let (len, rest) = postcard::take_from_bytes::<u64>(stored).ok()?;
            (usize::try_from(len).ok()?, rest)
        }
        _ => (usize::MAX, stored),
    };
    let mut unpacked = Vec::new();
    let mut block = vec![0; BLOCK_BYTES];
    while !rest.is_empty() && unpacked.len() < wanted {
        let (len, after) = postcard::take_from_bytes::<u64>(rest).ok()?;
        let (packed, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
        let room = (wanted - unpacked.len()).min(BLOCK_BYTES);
        let length = lz4_flex::block::decompress_into(packed, &mut block[..room]).ok()?;
        unpacked.extend_from_slice(&block[..length]);
        rest = after;
    }
    (wanted == usize::MAX || unpacked.len() == wanted).then_some(unpacked)
}
