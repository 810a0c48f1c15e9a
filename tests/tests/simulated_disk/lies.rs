//! A disk that lies: of what was synced a sector is not what was written. That is noticed, or does
//! not matter; what is restored is never wrong.

use std::collections::BTreeMap;
use std::path::Path;

use eventflux::storage::{Access, FileBackend};
use eventflux::{Error, Selector, read_head};

use crate::common::disk::Disk;
use crate::common::disk::image::{Image, images};
use crate::common::disk::volume::{SECTOR, Volume};
use crate::common::random::Random;
use crate::crashes::ACTIONS;
use crate::program::{STORAGE, Watcher, holds, live, new_holder, open};

/// What becomes of a sector.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Zeros,
    /// One bit, somewhere.
    Flipped,
    /// What another file has there.
    Misdirected,
    /// It and all after it are gone.
    CutOff,
}

fn tell(lie: Lie, bytes: &mut Vec<u8>, at: usize, other: &[u8], random: &mut Random) {
    let end = bytes.len().min(at + SECTOR);
    match lie {
        Lie::Zeros => bytes[at..end].fill(0),
        Lie::Flipped => bytes[at + random.index(end - at)] ^= 1 << random.index(8),
        Lie::Misdirected => {
            let sector = other.get(at..).unwrap_or_default();
            let len = sector.len().min(end - at);
            bytes[at..at + len].copy_from_slice(&sector[..len]);
        }
        Lie::CutOff => bytes.truncate(at),
    }
}

/// The disk once all is durable, and what it must hold.
fn durable() -> (Image, Watcher) {
    let disk = Disk::new(Volume::new());
    let (_, watcher) = live(&disk, Watcher::default(), &ACTIONS, 3).unwrap();
    disk.sync_all();
    let mut found = None;
    images(&disk.volume(), 1, &mut Random::new(0), |image| found = Some(image));
    (found.unwrap(), watcher)
}

/// Whether anything was noticed.
fn is_noticed(volume: Volume, watcher: &Watcher) -> bool {
    let disk = Disk::new(volume);
    let mut storage = FileBackend::open_on(disk.clone(), STORAGE, Access::Read).unwrap();
    let head = match read_head(&mut storage) {
        Ok(head) => head,
        Err(error) => {
            assert_damage(&error);
            assert_damage(&open(&disk, Access::Write).unwrap_err());
            return true;
        }
    };
    assert_eq!(vec![head.entries.iter().map(|entry| entry.object.id).collect::<Vec<_>>()], watcher.lists);
    assert_eq!(head.latest, watcher.latest);
    let mut noticed = false;
    for entry in &head.entries {
        let (id, mut holder) = (entry.object.id, new_holder());
        match eventflux::restore(&mut storage, &mut holder, Selector::Id(id), Default::default()) {
            Ok(_) => {
                assert!(holds(&holder, &watcher.acknowledged[&id]), "checkpoint {id} is wrong, and nobody says so")
            }
            Err(error) => {
                assert_damage(&error);
                noticed = true;
            }
        }
    }
    let report = eventflux::verify(&mut storage).unwrap();
    assert!(!noticed || !report.findings.is_empty(), "verify finds what a restore finds");
    noticed
}

fn assert_damage(error: &Error) {
    let error = match error {
        Error::Core(error) | Error::CheckpointDamaged { error, .. } => error,
        error => panic!("{error}"),
    };
    assert!(error.is_damage(), "{error}");
}

#[test]
fn what_a_lying_disk_changes_is_noticed() {
    let (image, watcher) = durable();
    assert!(!is_noticed(image.volume(), &watcher));
    let files: BTreeMap<&str, &[u8]> = image
        .paths()
        .filter(|path| !path.ends_with(".lock"))
        .filter_map(|path| Some((path, image.file(path)?)))
        .collect();
    let mut random = Random::new(1);
    let (mut told, mut noticed) = (0, 0);
    for (number, (path, bytes)) in files.iter().enumerate() {
        let other = files.values().nth((number + 1) % files.len()).unwrap();
        for at in (0..bytes.len()).step_by(SECTOR) {
            for lie in [Lie::Zeros, Lie::Flipped, Lie::Misdirected, Lie::CutOff] {
                let mut volume = image.volume();
                volume.damage(Path::new(path), |bytes| tell(lie, bytes, at, other, &mut random));
                let changed = volume.bytes(Path::new(path)).unwrap() != *bytes;
                let found = is_noticed(volume, &watcher);
                assert!(found || !changed || !path.ends_with("head"), "{lie:?} of the head at {at}");
                assert!(!found || changed);
                told += u32::from(changed);
                noticed += u32::from(found);
            }
        }
    }
    // The rest is in parts of objects that no checkpoint listed needs any more.
    assert!(told > 100 && noticed * 4 > told * 3, "{noticed} of {told}");
}

#[test]
fn an_object_in_the_place_of_another_is_noticed() {
    let (image, watcher) = durable();
    let objects: Vec<&str> = image.paths().filter(|path| path.ends_with(".efx")).collect();
    for object in &objects {
        for other in objects.iter().filter(|other| *other != object) {
            let mut volume = image.volume();
            volume.damage(Path::new(object), |bytes| *bytes = image.file(other).unwrap().to_vec());
            assert!(is_noticed(volume, &watcher), "{other} under the name of {object}");
        }
    }
}
