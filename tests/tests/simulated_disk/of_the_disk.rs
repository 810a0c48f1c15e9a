//! The disk itself: it loses what a disk may lose, and nothing else.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::Path;

use eventflux::storage::FileSystem;
use eventflux_core::ByteRange;

use crate::common::disk::Disk;
use crate::common::disk::faults::{Armed, Extent, Fault};
use crate::common::disk::image::images;
use crate::common::disk::volume::{SECTOR, Volume};
use crate::common::random::Random;

/// What a file, by its name, may be after a crash: `None` if it is not there.
fn may_be(disk: &Disk, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    let mut found = BTreeSet::new();
    let all = images(&disk.volume(), 100_000, &mut Random::new(1), |image| {
        found.insert(image.file(path).map(<[u8]>::to_vec));
    });
    assert!(all, "a few images, not all of them");
    found
}

fn set<const N: usize>(expected: [Option<&[u8]>; N]) -> BTreeSet<Option<Vec<u8>>> {
    expected.map(|bytes| bytes.map(<[u8]>::to_vec)).into()
}

/// A file, written and not synced, in a directory that is durable.
fn written(bytes: &[u8]) -> (Disk, <Disk as FileSystem>::File) {
    let disk = Disk::new(Volume::new());
    let mut file = disk.create(Path::new("new")).unwrap();
    file.write_all(bytes).unwrap();
    (disk, file)
}

#[test]
fn what_is_not_synced_may_be_lost_in_any_part() {
    let (disk, file) = written(&[7; SECTOR + 1]);
    let zeros = |len: usize| vec![0; len];
    let second: Vec<u8> = [zeros(SECTOR), vec![7]].concat();
    let first: Vec<u8> = [vec![7; SECTOR], zeros(1)].concat();
    let contents: [Option<&[u8]>; 8] = [
        None,
        Some(&[]),
        Some(&zeros(SECTOR)),
        Some(&[7; SECTOR]),
        Some(&zeros(SECTOR + 1)),
        Some(&second),
        Some(&first),
        Some(&[7; SECTOR + 1]),
    ];
    assert_eq!(may_be(&disk, "new"), set(contents));
    disk.sync(&file).unwrap();
    assert_eq!(may_be(&disk, "new"), set([None, Some(&[7; SECTOR + 1])]), "its name is not durable");
    disk.sync_directory(Path::new(".")).unwrap();
    assert_eq!(may_be(&disk, "new"), set([Some(&[7; SECTOR + 1])]));
    assert_eq!(disk.read(Path::new("new"), ByteRange::At { offset: 1, len: 2 }).unwrap(), [7, 7]);
}

#[test]
fn a_directory_synced_before_the_file_leaves_it_empty() {
    let (disk, _file) = written(b"x");
    disk.sync_directory(Path::new("")).unwrap();
    assert_eq!(may_be(&disk, "new"), set([Some(b""), Some(b"\0"), Some(b"x")]));
}

#[test]
fn a_rename_happens_or_not_and_not_always_in_order() {
    let (disk, file) = written(b"1");
    disk.sync(&file).unwrap();
    disk.rename(Path::new("new"), Path::new("head")).unwrap();
    disk.sync_directory(Path::new(".")).unwrap();
    for bytes in [b"2", b"3"] {
        let mut file = disk.create(Path::new("new")).unwrap();
        file.write_all(bytes).unwrap();
        disk.sync(&file).unwrap();
        disk.rename(Path::new("new"), Path::new("head")).unwrap();
    }
    assert_eq!(may_be(&disk, "head"), set([Some(b"1"), Some(b"2"), Some(b"3")]));
    disk.remove(Path::new("head")).unwrap();
    assert_eq!(may_be(&disk, "head"), set([None, Some(b"1"), Some(b"2"), Some(b"3")]));
    disk.sync_directory(Path::new(".")).unwrap();
    assert_eq!(may_be(&disk, "head"), set([None]));
}

#[test]
fn a_directory_is_lost_with_all_that_is_in_it() {
    let disk = Disk::new(Volume::new());
    disk.make_directory(Path::new("a")).unwrap();
    disk.make_directory(Path::new("a/b")).unwrap();
    let mut file = disk.create(Path::new("a/b/file")).unwrap();
    file.write_all(b"x").unwrap();
    disk.sync(&file).unwrap();
    disk.sync_directory(Path::new("a/b")).unwrap();
    disk.sync_directory(Path::new("a")).unwrap();
    assert_eq!(may_be(&disk, "a/b/file"), set([None, Some(b"x")]));
    disk.sync_directory(Path::new("")).unwrap();
    assert_eq!(may_be(&disk, "a/b/file"), set([Some(b"x")]));
    assert_eq!(disk.remove_directory(Path::new("a/b")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(disk.make_directory(Path::new("a")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.create(Path::new("c/file")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn after_a_failed_sync_all_seems_well_until_the_crash() {
    let (disk, mut file) = written(b"x");
    disk.sync_directory(Path::new("")).unwrap();
    disk.arm(Armed::new(disk.operations(), Fault::Io, Extent::Once));
    disk.sync(&file).unwrap_err();
    disk.sync(&file).unwrap();
    assert_eq!(disk.read(Path::new("new"), ByteRange::All).unwrap(), b"x");
    assert_eq!(may_be(&disk, "new"), set([Some(b""), Some(b"\0"), Some(b"x")]));
    // What is written since is as safe as ever.
    file.write_all(&[9; SECTOR]).unwrap();
    disk.sync(&file).unwrap();
    assert_eq!(may_be(&disk, "new").len(), 1, "the sector was written once more, with all that is in it");

    // Names fare likewise.
    disk.rename(Path::new("new"), Path::new("other")).unwrap();
    disk.arm(Armed::new(disk.operations(), Fault::Io, Extent::Once));
    disk.sync_directory(Path::new("")).unwrap_err();
    disk.sync_directory(Path::new("")).unwrap();
    assert_eq!(may_be(&disk, "other").len(), 2);
    let mut file = disk.create(Path::new("new")).unwrap();
    file.write_all(b"z").unwrap();
    disk.sync(&file).unwrap();
    disk.rename(Path::new("new"), Path::new("other")).unwrap();
    disk.sync_directory(Path::new("")).unwrap();
    assert_eq!(may_be(&disk, "other"), set([Some(b"z")]), "what came first does not come back");
}

#[test]
fn faults_strike_when_and_as_long_as_they_are_told() {
    let (disk, mut file) = written(b"x");
    let create = |disk: &Disk| disk.create(Path::new("other")).map(drop).map_err(|error| error.kind());
    disk.arm(Armed::new(disk.operations() + 1, Fault::NoSpace, Extent::Once));
    assert_eq!([create(&disk), create(&disk), create(&disk)], [Ok(()), Err(ErrorKind::StorageFull), Ok(())]);
    disk.arm(Armed::new(disk.operations(), Fault::NoSpace, Extent::All));
    assert_eq!([create(&disk), create(&disk)], [Err(ErrorKind::StorageFull); 2]);
    disk.remove(Path::new("other")).unwrap();
    disk.arm(Armed::new(disk.operations(), Fault::Io, Extent::Kind));
    disk.sync(&file).unwrap_err();
    create(&disk).unwrap();
    disk.sync(&file).unwrap_err();
    disk.arm(Armed::new(disk.operations(), Fault::ShortWrite, Extent::Once));
    assert_eq!(file.write(b"four").unwrap(), 2);
    assert_eq!(file.write(b"four").unwrap(), 4);
    disk.arm(Armed::new(disk.operations(), Fault::Interrupted, Extent::Once));
    file.write_all(b"!").unwrap();
    disk.arm(Armed::new(disk.operations(), Fault::IoAfter, Extent::Once));
    disk.rename(Path::new("new"), Path::new("renamed")).unwrap_err();
    assert_eq!(disk.read(Path::new("renamed"), ByteRange::All).unwrap(), b"xfofour!");
    assert!(disk.struck());
    disk.heal();
    create(&disk).unwrap();
}
