//! What every storage must do, whatever it is made of: [`conforms`] runs on each of them.

use std::collections::BTreeMap;
use std::thread;

use eventflux_core::{Backend, ByteRange};

/// Checks a storage. `open` opens it, each time the same one, also while others have it open; it
/// must be empty at first.
pub fn conforms<B: Backend + Send>(open: impl Fn() -> B + Sync) {
    objects_are_written_whole(&mut open());
    ranges_are_cut_short(&mut open());
    objects_are_listed(&mut open());
    objects_are_deleted(&mut open());
    the_head_is_swapped_if_it_is_as_expected(&mut open());
    all_is_there_when_opened_again(&open);
    of_many_writers_one_swaps(&open);
    readers_see_whole_objects_or_none(&open);
}

fn objects_are_written_whole(storage: &mut impl Backend) {
    assert_eq!(storage.read("nothing", ByteRange::All).unwrap(), None);
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    for (name, bytes) in [("empty", &b""[..]), ("one", b"1"), ("large-g1.efx", &large)] {
        storage.put(name, bytes).unwrap();
        assert!(storage.read(name, ByteRange::All).unwrap().unwrap() == bytes, "{name}");
        // An attempt that is repeated, since its answer was lost.
        storage.put(name, bytes).unwrap();
        assert!(storage.read(name, ByteRange::All).unwrap().unwrap() == bytes, "{name}");
    }
}

fn ranges_are_cut_short(storage: &mut impl Backend) {
    storage.put("digits", b"0123456789").unwrap();
    let mut at = |offset, len| storage.read("digits", ByteRange::At { offset, len }).unwrap().unwrap();
    assert_eq!(at(0, 10), b"0123456789");
    assert_eq!(at(3, 4), b"3456");
    assert_eq!(at(8, 5), b"89");
    assert_eq!(at(4, 0), b"");
    assert_eq!(at(10, 1), b"");
    assert_eq!(at(11, 1), b"");
    assert_eq!(at(u64::MAX, u64::MAX), b"");
    assert_eq!(at(5, u64::MAX), b"56789");
    let mut last = |len| storage.read("digits", ByteRange::Last { len }).unwrap().unwrap();
    assert_eq!(last(3), b"789");
    assert_eq!(last(0), b"");
    assert_eq!(last(10), b"0123456789");
    assert_eq!(last(u64::MAX), b"0123456789");
    for range in [ByteRange::All, ByteRange::At { offset: 0, len: 1 }, ByteRange::Last { len: 1 }] {
        assert_eq!(storage.read("nothing", range).unwrap(), None);
        storage.put("empty", b"").unwrap();
        assert_eq!(storage.read("empty", range).unwrap(), Some(Vec::new()));
    }
}

fn list(storage: &mut impl Backend) -> BTreeMap<String, u64> {
    storage.list().unwrap().into_iter().map(|object| (object.name, object.len)).collect()
}

fn objects_are_listed(storage: &mut impl Backend) {
    let before = list(storage);
    for number in 0..50 {
        storage.put(&format!("checkpoint-{number:010}-g7.efx"), &vec![1; number]).unwrap();
    }
    let after = list(storage);
    assert_eq!(after.len(), before.len() + 50);
    assert!((0..50).all(|number| after[&format!("checkpoint-{number:010}-g7.efx")] == number));
    assert!(before.iter().all(|(name, len)| after[name] == *len));
}

fn objects_are_deleted(storage: &mut impl Backend) {
    storage.put("gone", b"bytes").unwrap();
    let before = list(storage);
    storage.delete("gone").unwrap();
    assert_eq!(storage.read("gone", ByteRange::All).unwrap(), None);
    assert_eq!(list(storage).len(), before.len() - 1);
    storage.delete("gone").unwrap();
    storage.delete("never").unwrap();
    storage.put("gone", b"back").unwrap();
    assert_eq!(storage.read("gone", ByteRange::All).unwrap().unwrap(), b"back");
}

fn the_head_is_swapped_if_it_is_as_expected(storage: &mut impl Backend) {
    let objects = list(storage);
    assert_eq!(storage.read_head().unwrap(), None);
    assert!(!storage.swap_head(Some(b""), b"one").unwrap());
    assert!(!storage.swap_head(Some(b"none"), b"one").unwrap());
    assert_eq!(storage.read_head().unwrap(), None);
    assert!(storage.swap_head(None, b"one").unwrap());
    assert_eq!(storage.read_head().unwrap().unwrap(), b"one");
    for wrong in [None, Some(&b"on"[..]), Some(b"one "), Some(b"two"), Some(b"")] {
        assert!(!storage.swap_head(wrong, b"two").unwrap());
        assert_eq!(storage.read_head().unwrap().unwrap(), b"one");
    }
    assert!(storage.swap_head(Some(b"one"), b"one").unwrap());
    let large = vec![3; 100_000];
    assert!(storage.swap_head(Some(b"one"), &large).unwrap());
    assert!(storage.swap_head(Some(&large), b"0").unwrap());
    assert_eq!(storage.read_head().unwrap().unwrap(), b"0");
    assert_eq!(list(storage), objects, "the head is no object");
}

fn all_is_there_when_opened_again<B: Backend>(open: &impl Fn() -> B) {
    let mut storage = open();
    let (objects, head) = (list(&mut storage), storage.read_head().unwrap());
    drop(storage);
    let mut storage = open();
    assert_eq!((list(&mut storage), storage.read_head().unwrap()), (objects, head));
    assert_eq!(storage.read("digits", ByteRange::All).unwrap().unwrap(), b"0123456789");
}

/// Each counts the head up; no count is lost, none is taken twice.
fn of_many_writers_one_swaps<B: Backend + Send>(open: &(impl Fn() -> B + Sync)) {
    const WRITERS: usize = 4;
    const SWAPS: usize = 25;
    let count_up = |mut storage: B| {
        let mut swapped = 0;
        while swapped < SWAPS {
            let before = storage.read_head().unwrap().unwrap();
            let number: usize = String::from_utf8(before.clone()).unwrap().parse().unwrap();
            swapped += usize::from(storage.swap_head(Some(&before), (number + 1).to_string().as_bytes()).unwrap());
        }
    };
    // Opened first: opening for writing clears away what another one is just writing.
    let storages: Vec<B> = (0..WRITERS).map(|_| open()).collect();
    thread::scope(|scope| {
        storages.into_iter().for_each(|storage| drop(scope.spawn(|| count_up(storage))));
    });
    assert_eq!(open().read_head().unwrap().unwrap(), (WRITERS * SWAPS).to_string().as_bytes());
}

fn readers_see_whole_objects_or_none<B: Backend + Send>(open: &(impl Fn() -> B + Sync)) {
    const OBJECTS: usize = 20;
    let bytes = |number: usize| vec![number as u8; 100_000 + number];
    let name = |number: usize| format!("whole-{number}");
    let (mut storage, mut read_from) = (open(), open());
    let read = move || {
        let mut number = 0;
        while number < OBJECTS {
            let listed = list(&mut read_from).get(&name(number)).copied();
            let found = read_from.read(&name(number), ByteRange::All).unwrap();
            assert!(listed.is_none_or(|len| len == bytes(number).len() as u64));
            assert!(listed.is_none() || found.is_some(), "listed, but not there");
            assert!(found.as_ref().is_none_or(|found| *found == bytes(number)), "half an object");
            number += usize::from(found.is_some());
        }
    };
    thread::scope(|scope| {
        scope.spawn(read);
        (0..OBJECTS).for_each(|number| storage.put(&name(number), &bytes(number)).unwrap());
    });
}

/// Checks that what was opened for reading, beside a writer, changes nothing and cuts nobody off.
pub fn only_reads<B: Backend>(mut reader: B) {
    let (head, objects) = (reader.read_head().unwrap(), reader.list().unwrap());
    let refused = |error: eventflux_core::Error| {
        let text = error.to_string();
        assert!(text.contains("opened for reading") && !error.is_damage(), "{text}");
    };
    refused(reader.put("checkpoint-0000000099-g9.efx", b"bytes").unwrap_err());
    refused(reader.delete(&objects[0].name).unwrap_err());
    refused(reader.swap_head(head.as_deref(), b"bytes").unwrap_err());
    assert_eq!((reader.read_head().unwrap(), reader.list().unwrap()), (head, objects));
    match eventflux::CheckpointManager::open(reader, eventflux::ManagerConfig::default()) {
        Err(eventflux::Error::Core(error)) => refused(error),
        other => panic!("not refused: {:?}", other.map(|_| ())),
    }
}
