//! `eventflux copy`.
//!
//! Invariants:
//! - Objects are copied byte for byte and read back; the head comes last, so that a copy cut short
//!   is a storage without checkpoints, which the next attempt fills.
//! - The original may be written to meanwhile: if an object is gone that retention has deleted, those that a newer head
//!   names are copied, beside those that were copied already.
//! - The copy's generation is above the original's: no writer of the original can publish there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::Args;
use eventflux_core::{Backend, ByteRange, Error as CoreError, Head, MemoryBackend, ObjectId, Selector};
use serde_json::json;

use super::failure::Failure;
use super::selector::{find, parse};
use super::storage::{address, open_alone};
use super::table::{count, size};
use super::verify::{check, damages_to_json, damages_to_text, exit_code, read_to_text};
use super::{Outcome, archive_file};
use crate::beside::read_beside_writer;
use crate::error::Error;
use crate::manager::{read_head, read_manifest};
use crate::storage::{Access, StorageAddress, archive};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The storage to copy from: `file:PATH` or a path, `redis://…`, `s3://…`.
    #[arg(value_name = "FROM")]
    from: String,
    /// The storage to copy to, which must not have checkpoints. A path that ends in `.efx` becomes one file, an
    /// archive, which all commands can read and a browser can open.
    #[arg(value_name = "TO")]
    to: String,
    /// Only this checkpoint: its number, label or time (RFC 3339, or @MILLISECONDS), or `latest`.
    /// May be given several times.
    #[arg(long, value_name = "CHECKPOINT", value_parser = parse)]
    checkpoint: Vec<Selector>,
}

pub(super) fn copy(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let from = address(&arguments.from)?;
    let mut source = from.open(Access::Read)?;
    chosen(&arguments.checkpoint, read_head(&mut source)?)?;
    let to = address(&arguments.to)?;
    let mut archive = MemoryBackend::new();
    let archive_path = archive_path(&to)?;
    let mut opened = match archive_path {
        Some(_) => None,
        None => Some(open_alone(&to, "copying")?),
    };
    let target: &mut dyn Backend = match &mut opened {
        Some(storage) => storage,
        None => &mut archive,
    };
    let found = target.read_head()?;
    let before = found.as_deref().map(Head::from_bytes).transpose()?.unwrap_or_default();
    if !before.entries.is_empty() {
        let has = count(before.entries.len() as u64, "checkpoint");
        return Err(Failure::new(format!("{to} has {has} already; copy to a new storage")));
    }
    let (head, objects) = copy_objects(&mut source, target, &arguments.checkpoint)?;
    let copied: u64 = objects.values().sum();
    for entry in &head.entries {
        read_manifest(target, entry.object)?;
    }
    let next = Head {
        generation: head.generation.max(before.generation) + 1,
        next_id: head.next_id.max(before.next_id),
        ..head.clone()
    };
    if !target.swap_head(found.as_deref(), &next.to_bytes())? {
        return Err(Failure::new(format!("{to} was written to by another process meanwhile; copy to a new storage")));
    }
    let (report, damages) = check(target)?;
    if let Some(path) = archive_path {
        archive_file::write(path, &mut archive)?;
    }
    let exit_code = exit_code(&damages);
    let text = if json {
        let checkpoints: Vec<u64> = next.entries.iter().map(|entry| entry.object.id).collect();
        let answer = json!({ "from": from.to_string(), "to": to.to_string(), "checkpoints": checkpoints,
            "latest": next.latest, "objects": objects.len(), "bytes": copied,
            "findings": damages_to_json(&damages) });
        format!("{answer}\n")
    } else {
        let checkpoints = count(next.entries.len() as u64, "checkpoint");
        let latest = next.latest.map_or_else(String::new, |id| format!("; the newest is {id}"));
        let objects = count(objects.len() as u64, "object");
        let verdict = match exit_code {
            0 => "all is well",
            3 => "damaged, as is the original",
            _ => "not all could be read; see that it can, then `eventflux verify` the copy",
        };
        let mut text = format!("copied {checkpoints} ({objects}, {}) to {to}{latest}\n", size(copied));
        text.push_str(&format!("verified: {}: {verdict}\n", read_to_text(&report)));
        if !damages.is_empty() {
            text.push('\n');
            text.push_str(&damages_to_text(&damages));
        }
        text
    };
    Ok(Outcome { text, exit_code })
}

/// The file that a copy goes to, if it is to be one file.
fn archive_path(to: &StorageAddress) -> Result<Option<&Path>, Failure> {
    let StorageAddress::File(path) = to else { return Ok(None) };
    if path.extension().is_none_or(|extension| extension != archive::EXTENSION) || path.is_dir() {
        return Ok(None);
    }
    if path.exists() {
        return Err(Failure::new(format!("{to} is there already; copy to a new file")));
    }
    Ok(Some(path))
}

/// Copies what the chosen checkpoints need; the head with these alone, and the bytes of each object.
fn copy_objects<S: Backend + ?Sized>(
    source: &mut S,
    target: &mut dyn Backend,
    selectors: &[Selector],
) -> Result<(Head, BTreeMap<ObjectId, u64>), Error> {
    let mut copied = BTreeMap::new();
    let head = read_beside_writer(source, |source, head| {
        let head = chosen(selectors, head.clone())?;
        let needed = needed_objects(source, &head)?;
        // Of checkpoints that were deleted while they were copied.
        for object in copied.keys().filter(|object| !needed.contains(object)) {
            target.delete(&ObjectId::name(*object))?;
        }
        copied.retain(|object, _| needed.contains(object));
        for object in needed {
            if let Entry::Vacant(place) = copied.entry(object) {
                place.insert(copy_object(object, source, target)?);
            }
        }
        Ok(head)
    })?;
    Ok((head, copied))
}

/// The head with the chosen checkpoints only. If what was the latest is not among them, that of the newest state is.
fn chosen(selectors: &[Selector], mut head: Head) -> Result<Head, CoreError> {
    if head.entries.is_empty() {
        let available = String::from("the storage holds none");
        return Err(CoreError::NoSuchCheckpoint { selector: String::from("to copy"), available });
    }
    if selectors.is_empty() {
        return Ok(head);
    }
    let mut wanted = BTreeSet::new();
    for selector in selectors {
        wanted.insert(find(selector, &head)?);
    }
    // Of all: where a savepoint belongs may hang on one that is not copied.
    head.latest = head.newest_of(|id| wanted.iter().any(|object| object.id == id));
    head.entries.retain(|entry| wanted.contains(&entry.object));
    Ok(head)
}

/// Every object that a checkpoint of the head needs, by its catalog and by its manifest.
fn needed_objects(source: &mut (impl Backend + ?Sized), head: &Head) -> Result<BTreeSet<ObjectId>, Error> {
    let listed = source.list()?;
    let stored = listed.iter().filter_map(|object| ObjectId::from_name(&object.name));
    let mut needed: BTreeSet<ObjectId> =
        stored.filter(|object| head.entries.iter().any(|entry| entry.needs(*object))).collect();
    for entry in &head.entries {
        needed.extend(read_manifest(source, entry.object)?.needed_objects());
    }
    Ok(needed)
}

/// Copies an object and compares what was written with what was read; its bytes.
fn copy_object(
    object: ObjectId,
    source: &mut (impl Backend + ?Sized),
    target: &mut dyn Backend,
) -> Result<u64, CoreError> {
    let name = object.name();
    let missing = || CoreError::ObjectMissing { object: name.clone() };
    let bytes = source.read(&name, ByteRange::All)?.ok_or_else(missing)?;
    target.put(&name, &bytes)?;
    if target.read(&name, ByteRange::All)?.as_deref() != Some(&bytes) {
        let reason = String::from("the copy reads back otherwise than it was written");
        return Err(CoreError::Storage { operation: "read", object: name, reason });
    }
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside::tests::Live;
    use crate::manager::restore;
    use eventflux_core::{RestoreOptions, StateHolder};

    #[test]
    fn a_storage_is_copied_while_its_checkpoints_are_deleted() {
        for rounds in [0, 1, 3] {
            let mut source = Live::new(rounds);
            let mut target = MemoryBackend::new();
            let (head, copied) = copy_objects(&mut source, &mut target, &[]).unwrap();
            assert_eq!(head, source.newest_head());
            let objects: Vec<String> = target.list().unwrap().into_iter().map(|object| object.name).collect();
            assert_eq!(objects, copied.keys().map(|object| object.name()).collect::<Vec<_>>(), "{rounds} rounds");
            assert!(target.swap_head(None, &head.to_bytes()).unwrap());
            let mut holder = StateHolder::builder("live").build().unwrap();
            restore(&mut target, &mut holder, Selector::Latest, RestoreOptions::default()).unwrap();
            assert_eq!(holder.get::<u32>("round").unwrap(), Some(rounds));
        }
    }

    #[test]
    fn a_chosen_checkpoint_that_is_deleted_meanwhile_is_gone_not_damaged() {
        let mut source = Live::new(1);
        let mut target = MemoryBackend::new();
        let error = copy_objects(&mut source, &mut target, &[Selector::Id(0)]).unwrap_err();
        assert_eq!(error.to_string(), "no checkpoint with number 0; there are: 1");
        assert_eq!(error.exit_code(), 1);
    }
}
