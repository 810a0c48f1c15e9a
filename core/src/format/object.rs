//! The checkpoint object: header · sections · manifest · trailer. Written once, never changed.
//!
//! Header, 24 bytes: magic `EFXC`, format version (u16), 0 (u16), checkpoint id (u64), generation
//! (u64). Trailer, 24 bytes: length of the manifest (u64), XXH3 of header ‖ manifest ‖ that length
//! (u64), 0 (u32), magic `EFXT`. All little-endian.
//!
//! Both keep layout and meaning in every version, so that an old release tells what is newer than
//! itself from what is damaged.

use alloc::format;
use alloc::vec::Vec;

use super::FORMAT_VERSION;
pub(crate) use super::frame::{HEADER_BYTES, TRAILER_BYTES, header};
use super::frame::{HEADER_MAGIC, TRAILER_MAGIC, manifest_hash, read_u64, trailer};
use super::manifest::{Manifest, ObjectId};
use crate::error::{Error, Result};
use crate::limits::MANIFEST_BYTES_MAX;

/// Closes an object that begins with [`header`]: manifest and trailer.
///
/// # Errors
/// [`Error::OverLimit`] for a manifest beyond [`MANIFEST_BYTES_MAX`], or with a number that no reader takes.
pub(crate) fn append_manifest(object: &mut Vec<u8>, manifest: &Manifest) -> Result<()> {
    if let Some((what, found, limit)) = manifest.over_limit() {
        return Err(Error::OverLimit { what, found, limit });
    }
    let bytes = manifest.to_bytes();
    Error::ensure_within("bytes of a manifest", bytes.len() as u64, MANIFEST_BYTES_MAX)?;
    let trailer = trailer(&object[..HEADER_BYTES], &bytes);
    object.extend_from_slice(&bytes);
    object.extend_from_slice(&trailer);
    Ok(())
}

/// Length of the manifest in front of this trailer.
pub(crate) fn read_trailer(name: &str, trailer: &[u8]) -> Result<u64> {
    let damaged = |reason| Error::damaged(name, "trailer", reason);
    let trailer: &[u8; TRAILER_BYTES] = trailer
        .try_into()
        .map_err(|_| damaged(format!("the object ends after {} bytes, before its trailer", trailer.len())))?;
    if &trailer[20..] != TRAILER_MAGIC {
        return Err(damaged("it does not end like a checkpoint; it is cut short or another file".into()));
    }
    let len = read_u64(&trailer[..8]);
    if len > MANIFEST_BYTES_MAX {
        return Err(damaged(format!("it claims a manifest of {len} bytes")));
    }
    Ok(len)
}

/// Reads a manifest from the object's header and `tail`: manifest and trailer.
pub(crate) fn read_manifest(object: ObjectId, header_bytes: &[u8], tail: &[u8]) -> Result<Manifest> {
    let name = object.name();
    let damaged = |part: &str, reason: &str| Error::damaged(&name, part, reason);
    let (body, trailer) = tail
        .len()
        .checked_sub(TRAILER_BYTES)
        .map(|at| tail.split_at(at))
        .ok_or_else(|| damaged("trailer", "the object ends before its trailer"))?;
    let len = read_trailer(&name, trailer)?;
    if body.len() as u64 != len {
        return Err(damaged("manifest", "the object ends in the middle of its manifest"));
    }
    if header_bytes.len() != HEADER_BYTES || &header_bytes[..4] != HEADER_MAGIC {
        return Err(damaged("header", "it does not begin like a checkpoint"));
    }
    if manifest_hash(header_bytes, body, &trailer[..8]) != read_u64(&trailer[8..16]) {
        return Err(damaged("manifest", "header and manifest do not match their hash"));
    }
    let manifest = match u16::from_le_bytes([header_bytes[4], header_bytes[5]]) {
        0 => return Err(damaged("header", "there is no format version 0")),
        version @ 1..=3 => {
            Manifest::from_bytes(version, body).map_err(|malformed| damaged("manifest", malformed.reason()))?
        }
        found => return Err(Error::VersionTooNew { object: name, found, newest: FORMAT_VERSION }),
    };
    if header_bytes[6..8] != [0; 2] {
        return Err(damaged("header", "reserved bytes are not zero"));
    }
    if trailer[16..20] != [0; 4] {
        return Err(damaged("trailer", "reserved bytes are not zero"));
    }
    let found = ObjectId { id: read_u64(&header_bytes[8..16]), generation: read_u64(&header_bytes[16..]) };
    if found != object || manifest.object != object {
        return Err(damaged("header", "it is another checkpoint than its name says"));
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::format::manifest::tests::empty_manifest;
    use crate::format::manifest::{EngineProgress, Progress};
    use crate::limits::EVENTS_MAX;

    const OBJECT: ObjectId = ObjectId { id: 5, generation: 3 };

    /// An object, changed before its hash is taken.
    fn read(change: impl FnOnce(&mut [u8])) -> Result<Manifest> {
        let mut object = Vec::from(header(OBJECT));
        append_manifest(&mut object, &empty_manifest(OBJECT)).unwrap();
        change(&mut object);
        let trailer = object.len() - TRAILER_BYTES;
        let hash =
            manifest_hash(&object[..HEADER_BYTES], &object[HEADER_BYTES..trailer], &object[trailer..trailer + 8]);
        object[trailer + 8..trailer + 16].copy_from_slice(&hash.to_le_bytes());
        read_manifest(OBJECT, &object[..HEADER_BYTES], &object[HEADER_BYTES..])
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        assert_eq!(read(|_| ()).unwrap(), empty_manifest(OBJECT));
        // Whatever its manifest and its reserved bytes are.
        let newer = read(|object| {
            object[4..8].copy_from_slice(&[4, 0, 1, 1]);
            object[HEADER_BYTES] ^= 0xff;
            let reserved = object.len() - 8;
            object[reserved] = 1;
        });
        assert_eq!(newer, Err(Error::VersionTooNew { object: OBJECT.name(), found: 4, newest: FORMAT_VERSION }));
    }

    #[test]
    fn what_no_reader_takes_is_not_written() {
        let over = |change: fn(&mut Manifest)| {
            let mut manifest = empty_manifest(OBJECT);
            change(&mut manifest);
            append_manifest(&mut Vec::from(header(OBJECT)), &manifest).unwrap_err()
        };
        let engine = |results: Vec<u64>| Some(EngineProgress { results, ..EngineProgress::default() });
        let count = |found| Error::OverLimit { what: "a count of events or results", found, limit: EVENTS_MAX };
        assert_eq!(
            over(|manifest| manifest.sizes.dirty = u64::MAX).to_string(),
            "a size of a checkpoint is 18446744073709551615, over the limit of 281474976710656"
        );
        let mut manifest = Manifest {
            progress: Progress { engine: engine(alloc::vec![1, u64::MAX]), ..Progress::default() },
            ..empty_manifest(OBJECT)
        };
        assert_eq!(append_manifest(&mut Vec::from(header(OBJECT)), &manifest), Err(count(u64::MAX)));
        manifest.progress.engine = engine(alloc::vec![EVENTS_MAX]);
        append_manifest(&mut Vec::from(header(OBJECT)), &manifest).unwrap();
    }

    #[test]
    fn what_this_version_does_not_write_is_damage() {
        type Change = fn(&mut [u8]);
        let changes: [(Change, &str); 5] = [
            (|object| object[4] = 0, "version 0"),
            (|object| object[7] = 1, "reserved"),
            (|object| object[8] = 6, "another checkpoint"),
            (|object| object[HEADER_BYTES] = 6, "another checkpoint"),
            (|object| object[object.len() - 8] = 1, "reserved"),
        ];
        for (change, reason) in changes {
            let error = read(change).unwrap_err();
            assert!(error.is_damage() && alloc::format!("{error}").contains(reason), "{error}");
        }
    }
}
