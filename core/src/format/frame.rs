//! What an object begins and ends with: see `object.rs`, and `Object` in `core/FORMAT.md`.

use super::manifest_parts::ObjectId;
use super::pieces::hash64_of;
use super::{FORMAT_VERSION, Malformed};

pub(crate) const HEADER_BYTES: usize = 24;
pub(crate) const TRAILER_BYTES: usize = 24;
pub(super) const HEADER_MAGIC: &[u8; 4] = b"EFXC";
pub(super) const TRAILER_MAGIC: &[u8; 4] = b"EFXT";

/// The first bytes of an object.
pub(crate) fn header(object: ObjectId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(HEADER_MAGIC);
    header[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[8..16].copy_from_slice(&object.id.to_le_bytes());
    header[16..].copy_from_slice(&object.generation.to_le_bytes());
    header
}

/// What follows the manifest, at the end of an object.
pub(crate) fn trailer(header: &[u8], manifest: &[u8]) -> [u8; TRAILER_BYTES] {
    let len = (manifest.len() as u64).to_le_bytes();
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..8].copy_from_slice(&len);
    trailer[8..16].copy_from_slice(&manifest_hash(header, manifest, &len).to_le_bytes());
    trailer[20..].copy_from_slice(TRAILER_MAGIC);
    trailer
}

/// XXH3 of header, manifest and length, as if they lay together.
pub(super) fn manifest_hash(header: &[u8], manifest: &[u8], len: &[u8]) -> u64 {
    hash64_of([header, manifest, len])
}

pub(super) fn read_u64(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The manifest of a whole object in memory: whose it claims to be, its version, and its bytes, which match their hash.
pub(crate) fn read_frame(object: &[u8]) -> Result<(ObjectId, u16, &[u8]), Malformed> {
    let cut_short = || Malformed::new("an object is cut short");
    let (header, rest) = object.split_first_chunk::<HEADER_BYTES>().ok_or_else(cut_short)?;
    let (body, trailer) = rest.split_last_chunk::<TRAILER_BYTES>().ok_or_else(cut_short)?;
    if &header[..4] != HEADER_MAGIC || &trailer[20..] != TRAILER_MAGIC {
        return Err(Malformed::new("it does not begin and end like a checkpoint"));
    }
    let len = usize::try_from(read_u64(&trailer[..8])).ok().filter(|len| *len <= body.len());
    let manifest = len.and_then(|len| body.get(body.len() - len..)).ok_or_else(cut_short)?;
    if manifest_hash(header, manifest, &trailer[..8]) != read_u64(&trailer[8..16]) {
        return Err(Malformed::new("header and manifest do not match their hash"));
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if version <= FORMAT_VERSION && (header[6..8] != [0; 2] || trailer[16..20] != [0; 4]) {
        return Err(Malformed::new("reserved bytes are not zero"));
    }
    Ok((object_of(header), version, manifest))
}

fn object_of(header: &[u8; HEADER_BYTES]) -> ObjectId {
    ObjectId { id: read_u64(&header[8..16]), generation: read_u64(&header[16..]) }
}

/// Whether an object claims to be this one.
pub(crate) fn is_object(bytes: &[u8], object: ObjectId) -> bool {
    bytes.first_chunk().is_some_and(|header| header[..4] == *HEADER_MAGIC && object_of(header) == object)
}
