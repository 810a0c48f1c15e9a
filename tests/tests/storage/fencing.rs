//! One writer at a time: a second one is refused while the first lives; after a take-over the
//! first one is fenced off, and whatever it tries changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::common::conformance::only_reads;
use crate::common::states::{contents, holder, write};
use crate::common::storage::Shared;
use eventflux::storage::{Access, Fault, FaultBackend, FileBackend};
use eventflux::{Backend, CheckpointManager, Error, ManagerConfig, Retention, Selector, read_head, verify};
use eventflux_core::{Error as CoreError, OpenWriter, Procedure, Step, drive};

pub(crate) fn config() -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained: 3 }, ..ManagerConfig::default() }
}

/// Every file of a storage but its locks, which cannot be read everywhere while they are held.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.append(&mut files(&path));
        } else if path.extension().is_none_or(|extension| extension != "lock") {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[track_caller]
fn assert_fenced<T: std::fmt::Debug>(outcome: eventflux::Result<T>, generations: (u64, u64)) {
    match outcome {
        Err(Error::Core(CoreError::Fenced { held, current })) => assert_eq!((held, current), generations),
        other => panic!("not fenced: {other:?}"),
    }
}

/// A writer with three checkpoints, and what it goes on with.
pub(crate) fn writer<B: Backend>(storage: B) -> (CheckpointManager<B>, eventflux::StateHolder) {
    let mut manager = CheckpointManager::open(storage, config()).unwrap();
    let mut state = holder();
    for number in 0..3 {
        write(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
    }
    write(&mut state, 3);
    (manager, state)
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let directory = tempfile::tempdir().unwrap();
    let (mut first, mut state) = writer(FileBackend::open(directory.path(), Access::Write).unwrap());
    let before = files(directory.path());
    let Err(Error::Locked { path, writer: by }) = FileBackend::open(directory.path(), Access::Write) else {
        panic!("not refused")
    };
    assert_eq!((path.as_path(), by), (directory.path(), format!("process {}", std::process::id())));
    FileBackend::open(directory.path(), Access::Read).unwrap();
    assert_eq!(files(directory.path()), before);
    first.checkpoint(&mut state, None).unwrap();
    drop(first);
    let second = CheckpointManager::open(FileBackend::open(directory.path(), Access::Write).unwrap(), config());
    assert_eq!(second.unwrap().generation(), 2);
}

#[test]
fn a_reader_cannot_cut_the_writer_off() {
    let directory = tempfile::tempdir().unwrap();
    let (mut first, mut state) = writer(FileBackend::open(directory.path(), Access::Write).unwrap());
    only_reads(FileBackend::open(directory.path(), Access::Read).unwrap());
    first.checkpoint(&mut state, None).unwrap();
}

#[test]
fn after_a_take_over_the_first_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let open = |access| FileBackend::open(directory.path(), access).unwrap();
    let (mut first, mut state) = writer(open(Access::Write));
    // Left by a crash: what pruning would delete.
    fs::write(directory.path().join("objects/checkpoint-0000000077-g1.efx"), "orphan").unwrap();
    let mut second = CheckpointManager::open(open(Access::TakeOver), config()).unwrap();
    let before = files(directory.path());

    assert_fenced(first.checkpoint(&mut state, Some("zombie")), (1, 2));
    assert_fenced(first.checkpoint(&mut state, None), (1, 2));
    assert_fenced(first.savepoint(&Selector::Latest, "zombie"), (1, 2));
    assert_fenced(first.prune(Retention { max_retained: 1 }), (1, 2));
    assert_fenced(first.prune(Retention { max_retained: 3 }), (1, 2));
    let mut after = files(directory.path());
    after.retain(|path, _| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Its own orphans, which no head names, are all that may be new.
        before.contains_key(path) || !(name.starts_with("checkpoint-") && name.ends_with("-g1.efx"))
    });
    assert_eq!(after, before);

    let mut restored = holder();
    second.restore_latest(&mut restored).unwrap();
    write(&mut restored, 10);
    second.checkpoint(&mut restored, None).unwrap();
    second.prune(config().retention).unwrap();
    let report = verify(second.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded, report.checkpoints), (vec![], vec![], 3));
    drop(first);
    // The lock of the second is not the first one's to give.
    assert!(matches!(FileBackend::open(directory.path(), Access::Write), Err(Error::Locked { .. })));
}

#[test]
fn a_zombie_wakes_after_several_take_overs() {
    let storage = Shared::default();
    let (mut zombie, mut state) = writer(storage.clone());
    let dirty = contents(&state);
    let mut expected = None;
    for generation in 2..8 {
        let (mut next, mut of_next) = (CheckpointManager::open(storage.clone(), config()).unwrap(), holder());
        next.restore_latest(&mut of_next).unwrap();
        assert_eq!(next.generation(), generation);
        write(&mut of_next, generation + 20);
        next.checkpoint(&mut of_next, None).unwrap();
        // By now nothing that the zombie knows of is retained, and it knows nothing of the rest.
        expected = Some((storage.snapshot().read_head().unwrap(), contents(&of_next)));
        let objects = storage.objects();
        assert_fenced(zombie.prune(Retention { max_retained: 1 }), (1, generation));
        assert_fenced(zombie.checkpoint(&mut state, None), (1, generation));
        assert!(objects.iter().all(|object| storage.objects().contains(object)), "it deleted something");
        assert_eq!(contents(&state), dirty, "its own state is untouched");
    }
    let (head, of_last) = expected.unwrap();
    assert_eq!(storage.snapshot().read_head().unwrap(), head);
    let (mut last, mut restored) = (CheckpointManager::open(storage.clone(), config()).unwrap(), holder());
    last.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), of_last);
    last.prune(config().retention).unwrap();
    assert!(verify(last.backend_mut()).unwrap().unneeded.is_empty(), "the zombie's orphans go");
    // Restored from what is there, it may go on as a writer of its own.
    let mut manager = CheckpointManager::open(storage, config()).unwrap();
    manager.restore_latest(&mut state).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
}

#[test]
fn a_zombie_that_does_not_know_what_it_published_deletes_nothing() {
    let storage = Shared::default();
    let mut zombie = CheckpointManager::open(FaultBackend::new(storage.clone()), config()).unwrap();
    let mut state = holder();
    write(&mut state, 0);
    zombie.checkpoint(&mut state, None).unwrap();
    write(&mut state, 1);
    // Put, swap, and then no answer comes through, as if the network had gone.
    zombie.backend_mut().arm(1, Fault::DiesAfter);
    zombie.checkpoint(&mut state, None).unwrap_err();
    zombie.backend_mut().disarm();
    assert_eq!(read_head(&mut storage.clone()).unwrap().latest, Some(1), "it is published all the same");

    let objects = storage.objects();
    // It finds out that it was, and prunes by that head.
    assert_eq!(zombie.prune(Retention { max_retained: 3 }).unwrap(), Vec::<String>::new());
    assert_eq!(zombie.list().iter().map(|entry| entry.object.id).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(verify(&mut storage.clone()).unwrap().findings, vec![]);
    let mut second = CheckpointManager::open(storage.clone(), config()).unwrap();
    assert_fenced(zombie.prune(Retention { max_retained: 3 }), (1, 2));
    assert_fenced(zombie.checkpoint(&mut state, None), (1, 2));
    assert!(objects.iter().all(|object| storage.objects().contains(object)));
    let mut restored = holder();
    second.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), contents(&state));
}

#[test]
fn one_that_opens_while_another_publishes_takes_over_all_the_same() {
    let mut storage = Shared::default();
    let (mut first, mut state) = writer(storage.clone());
    let mut second = OpenWriter::new();
    for attempt in 0..4 {
        assert!(matches!(second.poll_request().unwrap(), Step::Request(_)));
        second.handle_response(eventflux_core::Response::Head(storage.read_head().unwrap())).unwrap();
        write(&mut state, 10 + attempt);
        first.checkpoint(&mut state, None).unwrap();
        let Step::Request(eventflux_core::Request::SwapHead { expected, new }) = second.poll_request().unwrap() else {
            panic!("no swap")
        };
        let swapped = storage.swap_head(expected.as_deref(), &new).unwrap();
        assert!(!swapped);
        second.handle_response(eventflux_core::Response::Swapped(swapped)).unwrap();
    }
    let second = drive(second, &mut storage).unwrap();
    assert_eq!((second.head().generation, second.head().latest), (2, Some(6)));
    assert_fenced(first.checkpoint(&mut state, None), (1, 2));
    // Not without end.
    let mut third = OpenWriter::new();
    let outcome = (0..1000).find_map(|_| {
        third.poll_request().unwrap();
        third.handle_response(eventflux_core::Response::Head(storage.read_head().unwrap())).unwrap();
        third.poll_request().unwrap();
        third.handle_response(eventflux_core::Response::Swapped(false)).err()
    });
    assert!(matches!(outcome, Some(CoreError::Storage { .. })), "{outcome:?}");
}

#[test]
fn one_that_opens_after_a_generation_refuses_any_other() {
    let mut storage = Shared::default();
    assert_eq!(drive(OpenWriter::after(0), &mut storage).unwrap().head().generation, 1);
    let refused = drive(OpenWriter::after(0), &mut storage).unwrap_err();
    assert_eq!(refused, CoreError::Fenced { held: 0, current: 1 });
    assert_eq!(drive(OpenWriter::after(1), &mut storage).unwrap().head().generation, 2);
}

#[test]
fn generations_never_go_back() {
    let directory = tempfile::tempdir().unwrap();
    let open = || CheckpointManager::open(FileBackend::open(directory.path(), Access::Write).unwrap(), config());
    let (first, _) = writer(FileBackend::open(directory.path(), Access::Write).unwrap());
    let mut newest = first.generation();
    drop(first);
    let mut opened = |prune: bool| {
        let mut manager = open().unwrap();
        assert!(manager.generation() > newest, "{} after {newest}", manager.generation());
        newest = manager.generation();
        if prune {
            manager.prune(Retention { max_retained: 1 }).unwrap();
        }
    };
    opened(true);
    opened(false);
    // Everything but the head is lost.
    for path in fs::read_dir(directory.path().join("objects")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::remove_file(path).unwrap();
    }
    for lock in ["writer.lock", "head.lock"] {
        fs::remove_file(directory.path().join(lock)).unwrap();
    }
    opened(false);
    opened(true);
    let mut manager = open().unwrap();
    assert!(matches!(
        manager.restore_latest(&mut holder()),
        Err(Error::CheckpointDamaged { error: CoreError::ObjectMissing { object }, newest_whole: None })
            if object == "checkpoint-0000000002-g1.efx"
    ));
    // A number is never given twice either.
    let entry = manager.checkpoint(&mut holder(), None).unwrap();
    assert_eq!((entry.object.id, entry.object.generation), (3, manager.generation()));
}

#[test]
fn of_two_that_open_at_once_one_is_fenced() {
    let mut storage = Shared::default();
    let (mut one, mut other) = (OpenWriter::new(), OpenWriter::new());
    for procedure in [&mut one, &mut other] {
        assert!(matches!(procedure.poll_request().unwrap(), Step::Request(_)));
        let head = storage.read_head().unwrap();
        procedure.handle_response(eventflux_core::Response::Head(head)).unwrap();
    }
    assert_eq!(drive(other, &mut storage).unwrap().head().generation, 1);
    assert!(matches!(drive(one, &mut storage), Err(CoreError::Fenced { .. })));
    assert_eq!(CheckpointManager::open(storage, config()).unwrap().generation(), 2);
}

#[test]
fn writers_that_fight_over_a_directory_leave_it_whole() {
    let directory = tempfile::tempdir().unwrap();
    let fight = |seed: u64| {
        let directory = directory.path().to_owned();
        move || {
            let (mut generations, mut published) = (Vec::new(), Vec::new());
            for round in 0..8 {
                // The lock file may go to another one in the same moment.
                let Ok(backend) = FileBackend::open(&directory, Access::TakeOver) else { continue };
                let Ok(mut manager) = CheckpointManager::open(backend, config()) else { continue };
                generations.push(manager.generation());
                let mut state = holder();
                if manager.latest().is_some() && manager.restore_latest(&mut state).is_err() {
                    continue;
                }
                for number in 0..3 {
                    write(&mut state, seed * 100 + round * 10 + number);
                    match manager.checkpoint(&mut state, None) {
                        Ok(entry) => published.push(entry.object),
                        Err(Error::Core(CoreError::Fenced { held, current })) => assert!(held < current),
                        // The one that takes over clears away what is just being written.
                        Err(Error::Core(CoreError::Storage { .. })) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            (generations, published)
        }
    };
    let threads: Vec<_> = (0..4).map(|seed| thread::spawn(fight(seed))).collect();
    let (mut generations, mut published) = (Vec::new(), Vec::new());
    for (of_one, objects) in threads.into_iter().map(|thread| thread.join().unwrap()) {
        assert!(of_one.is_sorted(), "a generation went back");
        generations.extend(of_one);
        published.extend(objects);
    }
    let taken = generations.len();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), taken, "two writers had one generation");
    published.sort_unstable();
    assert!(published.is_sorted_by(|a, b| a.id < b.id), "two checkpoints have one number");

    let backend = FileBackend::open(directory.path(), Access::Write).unwrap();
    let mut manager = CheckpointManager::open(backend, config()).unwrap();
    assert_eq!(manager.latest().map(|entry| entry.object), published.last().copied());
    manager.prune(config().retention).unwrap();
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded), (vec![], vec![]));
    manager.restore_latest(&mut holder()).unwrap();
}
