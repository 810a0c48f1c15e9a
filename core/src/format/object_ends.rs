//! What an object begins and ends with: `Object` in `core/FORMAT.md`. Both keep layout and meaning in every version, so
//! that an old release tells what is newer than itself from what is damaged.

use super::manifest_parts::ObjectId;
use super::pieces::hash64_of;
use super::{FORMAT_VERSION, Malformed};

pub(crate) const HEADER_BYTES: usize = 24;
pub(crate) const TRAILER_BYTES: usize = 24;
const HEADER_MAGIC: &[u8; 4] = b"EFXC";
const TRAILER_MAGIC: &[u8; 4] = b"EFXT";

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
fn manifest_hash(header: &[u8], manifest: &[u8], len: &[u8]) -> u64 {
    hash64_of([header, manifest, len])
}

fn read_u64(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What the first bytes of an object say.
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) object: ObjectId,
    /// Whether what means nothing yet is zero.
    pub(super) is_reserved_zero: bool,
}

impl Header {
    /// `None` if the object does not begin like one.
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        (bytes[..4] == *HEADER_MAGIC).then(|| Header {
            version: u16::from_le_bytes([bytes[4], bytes[5]]),
            object: ObjectId { id: read_u64(&bytes[8..16]), generation: read_u64(&bytes[16..]) },
            is_reserved_zero: bytes[6..8] == [0; 2],
        })
    }
}

/// What the last bytes of an object say.
pub(super) struct Trailer {
    /// Length of the manifest.
    pub(super) len: u64,
    pub(super) hash: u64,
    /// Whether what means nothing yet is zero.
    pub(super) is_reserved_zero: bool,
}

impl Trailer {
    /// `None` if the object does not end like one.
    pub(super) fn read(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        (bytes[20..] == *TRAILER_MAGIC).then(|| Trailer {
            len: read_u64(&bytes[..8]),
            hash: read_u64(&bytes[8..16]),
            is_reserved_zero: bytes[16..20] == [0; 4],
        })
    }

    /// Whether header and manifest are those that were written with it.
    pub(super) fn fits(&self, header: &[u8], manifest: &[u8]) -> bool {
        self.hash == manifest_hash(header, manifest, &self.len.to_le_bytes())
    }
}

/// The manifest of a whole object in memory: whose it claims to be, its version, and its bytes, which match their hash.
pub(crate) fn read_frame(object: &[u8]) -> Result<(ObjectId, u16, &[u8]), Malformed> {
    let cut_short = || Malformed::new("an object is cut short");
    let (header_bytes, rest) = object.split_first_chunk::<HEADER_BYTES>().ok_or_else(cut_short)?;
    let (body, trailer) = rest.split_last_chunk::<TRAILER_BYTES>().ok_or_else(cut_short)?;
    let (Some(header), Some(trailer)) = (Header::read(header_bytes), Trailer::read(trailer)) else {
        return Err(Malformed::new("it does not begin and end like a checkpoint"));
    };
    let len = usize::try_from(trailer.len).ok().filter(|len| *len <= body.len());
    let manifest = len.and_then(|len| body.get(body.len() - len..)).ok_or_else(cut_short)?;
    if !trailer.fits(header_bytes, manifest) {
        return Err(Malformed::new("header and manifest do not match their hash"));
    }
    if header.version <= FORMAT_VERSION && !(header.is_reserved_zero && trailer.is_reserved_zero) {
        return Err(Malformed::new("reserved bytes are not zero"));
    }
    Ok((header.object, header.version, manifest))
}

/// Whether an object claims to be this one.
pub(crate) fn is_object(bytes: &[u8], object: ObjectId) -> bool {
    bytes.first_chunk().and_then(Header::read).is_some_and(|header| header.object == object)
}
