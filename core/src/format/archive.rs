//! A storage as one file: a head and the objects that its checkpoints need.
//!
//! Magic `EFXA`, format version (u16), 0 (u16); length of the head (u64), the head; number of objects (u64), and for
//! each the length of its name (u16), the name, its length (u64), its bytes; XXH3 of all before it (u64). Little-endian;
//! objects in the order of their names.

use alloc::string::String;
use alloc::vec::Vec;

use super::head::Head;
use super::{FORMAT_VERSION, hash64};
use crate::backend::{Backend, MemoryBackend};
use crate::error::{Error, Result};

const MAGIC: &[u8; 4] = b"EFXA";
/// Magic, version, and the lengths of the head and of the list of objects.
const PREFIX_BYTES: usize = 24;
/// Lengths of an object and of its name.
const OBJECT_BYTES: usize = 10;
const HASH_BYTES: usize = 8;
/// How errors call it.
const NAME: &str = "archive";

/// Writes a head and objects, sorted by name, as one file.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn write(head: &Head, objects: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let head = head.to_bytes();
    let of_objects = objects.iter().map(|(name, bytes)| name.len() + bytes.len() + OBJECT_BYTES).sum::<usize>();
    let bytes = PREFIX_BYTES + head.len() + of_objects + HASH_BYTES;
    let mut out = Vec::new();
    out.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { doing: "writing an archive", bytes })?;
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(head.len() as u64).to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&(objects.len() as u64).to_le_bytes());
    for (name, bytes) in objects {
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    let hash = hash64(&out);
    out.extend_from_slice(&hash.to_le_bytes());
    debug_assert_eq!(out.len(), bytes);
    Ok(out)
}

/// Whether bytes begin as an archive does.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads an archive into a storage in memory. What is in it is checked as in any storage, when it is read.
pub(crate) fn read(bytes: &[u8]) -> Result<MemoryBackend> {
    let damaged = |reason: &str| Error::damaged(NAME, "file", reason);
    let (covered, hash) =
        bytes.split_at_checked(bytes.len().wrapping_sub(HASH_BYTES)).ok_or_else(|| damaged("it is too short"))?;
    let mut rest = Reader(covered);
    if rest.take(4) != Some(MAGIC.as_slice()) {
        return Err(damaged("it is no archive of checkpoints; those begin with EFXA"));
    }
    if hash64(covered).to_le_bytes() != hash {
        return Err(damaged("it does not match its hash; it was cut short or changed on its way"));
    }
    match rest.u16() {
        Some(0) | None => return Err(damaged("there is no format version 0")),
        Some(found) if found > FORMAT_VERSION => {
            return Err(Error::VersionTooNew { object: NAME.into(), found, newest: FORMAT_VERSION });
        }
        Some(_) => {}
    }
    if rest.u16() != Some(0) {
        return Err(damaged("reserved bytes are not zero"));
    }
    let mut storage = MemoryBackend::new();
    read_parts(&mut rest, &mut storage)?
        .filter(|()| rest.0.is_empty())
        .ok_or_else(|| damaged("its lengths do not add up"))?;
    Ok(storage)
}

/// Head and objects; `None` if they end too early.
fn read_parts(rest: &mut Reader<'_>, storage: &mut MemoryBackend) -> Result<Option<()>> {
    let Some(head) = rest.u64().and_then(|len| rest.take(len)) else { return Ok(None) };
    let Some(count) = rest.u64() else { return Ok(None) };
    for _ in 0..count {
        let Some(name) = rest.u16().and_then(|len| rest.take(u64::from(len))) else { return Ok(None) };
        let Some(bytes) = rest.u64().and_then(|len| rest.take(len)) else { return Ok(None) };
        let name = core::str::from_utf8(name);
        storage.put(name.map_err(|_| Error::damaged(NAME, "file", "the name of an object is not UTF-8"))?, bytes)?;
    }
    storage.swap_head(None, head)?;
    Ok(Some(()))
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let head = Head { generation: 2, ..Head::default() };
        let whole = write(&head, &[("a".into(), alloc::vec![1, 2, 3]), ("b".into(), Vec::new())]).unwrap();
        let mut storage = read(&whole).unwrap();
        assert_eq!(storage.list().unwrap().len(), 2);
        assert_eq!(storage.read_head().unwrap(), Some(head.to_bytes()));
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).unwrap_err().is_damage(), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).unwrap_err().is_damage(), "{bit}");
        }
    }

    /// Two of them might become one.
    #[test]
    fn a_name_that_is_not_text_is_refused() {
        let mut changed = write(&Head::default(), &[("a".into(), Vec::new())]).unwrap();
        changed.truncate(changed.len() - HASH_BYTES);
        let name = changed.len() - OBJECT_BYTES + 1;
        assert_eq!(core::mem::replace(&mut changed[name], 0xff), b'a');
        let hash = hash64(&changed);
        changed.extend_from_slice(&hash.to_le_bytes());
        assert!(read(&changed).unwrap_err().is_damage());
    }

    #[test]
    fn lengths_that_lie_are_refused_though_the_hash_is_right() {
        let whole = write(&Head::default(), &[("a".into(), alloc::vec![1, 2, 3])]).unwrap();
        for at in 8..whole.len() - HASH_BYTES {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole[..whole.len() - HASH_BYTES].to_vec();
                changed[at] = value;
                let hash = hash64(&changed);
                changed.extend_from_slice(&hash.to_le_bytes());
                // Other bytes of head or object are for its readers; lengths are for this one.
                let is_length = !(16..16 + Head::default().to_bytes().len()).contains(&at) && changed[at] != whole[at];
                let answer = read(&changed);
                assert!(answer.as_ref().err().is_none_or(Error::is_damage), "{at}: {answer:?}");
                assert!(!is_length || answer != read(&whole), "{at}");
            }
        }
        let mut longer = whole[..whole.len() - HASH_BYTES].to_vec();
        longer.push(0);
        let hash = hash64(&longer);
        longer.extend_from_slice(&hash.to_le_bytes());
        assert!(read(&longer).unwrap_err().is_damage());
    }
}
