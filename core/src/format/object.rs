//! The checkpoint object: header · sections · manifest · trailer (`Object` in `core/FORMAT.md`). Written once, never
//! changed.

use alloc::format;
use alloc::vec::Vec;

use super::FORMAT_VERSION;
use super::manifest::{Manifest, ObjectId};
pub(crate) use super::object_ends::{HEADER_BYTES, TRAILER_BYTES, header};
use super::object_ends::{Header, Trailer, trailer};
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
pub(crate) fn read_trailer(name: &str, bytes: &[u8]) -> Result<u64> {
    Ok(trailer_of(name, bytes)?.len)
}

fn trailer_of(name: &str, bytes: &[u8]) -> Result<Trailer> {
    let damaged = |reason| Error::damaged(name, "trailer", reason);
    let bytes: &[u8; TRAILER_BYTES] = bytes
        .try_into()
        .map_err(|_| damaged(format!("the object ends after {} bytes, before its trailer", bytes.len())))?;
    let trailer = Trailer::read(bytes)
        .ok_or_else(|| damaged("it does not end like a checkpoint; it is cut short or another file".into()))?;
    if trailer.len > MANIFEST_BYTES_MAX {
        return Err(damaged(format!("it claims a manifest of {} bytes", trailer.len)));
    }
    Ok(trailer)
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
    let trailer = trailer_of(&name, trailer)?;
    if body.len() as u64 != trailer.len {
        return Err(damaged("manifest", "the object ends in the middle of its manifest"));
    }
    let header = header_bytes.try_into().ok().and_then(Header::read);
    let header = header.ok_or_else(|| damaged("header", "it does not begin like a checkpoint"))?;
    if !trailer.fits(header_bytes, body) {
        return Err(damaged("manifest", "header and manifest do not match their hash"));
    }
    let manifest = match header.version {
        0 => return Err(damaged("header", "there is no format version 0")),
        version @ 1..=3 => {
            Manifest::from_bytes(version, body).map_err(|malformed| damaged("manifest", malformed.reason()))?
        }
        found => return Err(Error::VersionTooNew { object: name, found, newest: FORMAT_VERSION }),
    };
    if !header.is_reserved_zero {
        return Err(damaged("header", "reserved bytes are not zero"));
    }
    if !trailer.is_reserved_zero {
        return Err(damaged("trailer", "reserved bytes are not zero"));
    }
    if header.object != object || manifest.object != object {
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
        let at = object.len() - TRAILER_BYTES;
        let hash = trailer(&object[..HEADER_BYTES], &object[HEADER_BYTES..at])[8..16].to_vec();
        object[at + 8..at + 16].copy_from_slice(&hash);
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
