//! Another writer takes over before any operation of the first: what the first one published before
//! is there, and from then on it changes nothing.

use std::sync::{Arc, Mutex};

use eventflux::storage::{Access, FileBackend};
use eventflux::{Backend, CheckpointRequest, Error, Retention};
use eventflux_core::{Compression, Error as CoreError, OpenWriter, Publish, drive};

use crate::common::disk::Disk;
use crate::common::disk::volume::Volume;
use crate::crashes::recover;
use crate::explorer::{Explorer, is_long};
use crate::program::Action::{self, Checkpoint, Labelled, Prune, Savepoint};
use crate::program::{Moment, Program, STORAGE, Watcher, add_moments, live, new_holder, open};

const ACTIONS: [Action; 9] =
    [Checkpoint, Labelled, Checkpoint, Checkpoint, Savepoint, Checkpoint, Checkpoint, Prune, Checkpoint];
const SEED: u64 = 21;

/// The second writer, once it has opened.
struct Opened {
    program: Program,
    watcher: Watcher,
    /// Of opening, and of its first checkpoint.
    moments: Vec<Moment>,
}

type Second = Arc<Mutex<Option<Opened>>>;

/// What is known of the moment just before an operation.
fn watcher_at(moments: &[Moment], operation: u64) -> Watcher {
    let number = |moment: &Moment| moment.operation.split_once(':').and_then(|(number, _)| number.parse::<u64>().ok());
    let moment = moments.iter().find(|moment| number(moment).is_some_and(|number| number >= operation));
    (*moment.unwrap_or(&moments[moments.len() - 1]).watcher).clone()
}

fn take_over(disk: &Disk, mut watcher: Watcher, second: &Second) {
    let (mut before, mut moments) = (watcher.clone(), Vec::new());
    disk.record();
    match Program::begin_with(disk, Access::TakeOver, &mut watcher, true, SEED + 1) {
        Ok(mut program) => {
            add_moments(&mut moments, disk, &before, &watcher);
            before = watcher.clone();
            program.act(Checkpoint, &mut watcher).unwrap();
            add_moments(&mut moments, disk, &before, &watcher);
            *second.lock().unwrap() = Some(Opened { program, watcher, moments });
        }
        // The first one is just replacing the head.
        Err(reason) => assert!(reason.contains("the head's lock"), "{reason}"),
    }
    disk.stop_recording();
}

/// Runs the first writer, until it ends, with a take-over before the operation of a number.
fn fight(at: u64, moments: &[Moment], explorer: &Explorer) {
    let (disk, second) = (Disk::new(Volume::new()), Second::default());
    let watcher = watcher_at(moments, at);
    let intruder = {
        let (disk, second) = (disk.clone(), second.clone());
        move || take_over(&disk, watcher, &second)
    };
    let mut first_watcher = Watcher::default();
    let mut first = Program::begin(&disk, &mut first_watcher, false, SEED).unwrap();
    disk.intrude(at, intruder);
    let mut was_fenced = false;
    for action in ACTIONS {
        if action == Savepoint && first.ids().is_empty() {
            continue;
        }
        let fenced_before = second.lock().unwrap().is_some();
        let outcome = first.act(action, &mut first_watcher);
        let held = second.lock().unwrap();
        match (&*held, outcome) {
            (None, outcome) => outcome.unwrap(),
            (Some(_), Ok(())) if fenced_before => panic!("{action:?} of a writer that was fenced off, before {at}"),
            (Some(Opened { watcher: of_second, .. }), Ok(())) => {
                // It was published before: then the second one has seen it, unless it is pruned since.
                let newest = first_watcher.acknowledged.last_key_value().unwrap();
                assert_eq!(of_second.acknowledged.get(newest.0), Some(newest.1), "{action:?} before {at}");
            }
            (Some(_), Err(reason)) => {
                assert!(!fenced_before || reason.contains("taken over"), "{action:?} before {at}: {reason}");
                was_fenced = true;
            }
        }
    }
    let Some(Opened { mut program, mut watcher, mut moments }) = second.lock().unwrap().take() else {
        // It came while the head was being replaced: it comes again.
        drop(first);
        Program::begin(&disk, &mut first_watcher, true, SEED).unwrap().go_on(&mut first_watcher, true).unwrap();
        return;
    };
    assert!(was_fenced);
    let operation = String::from("what the first one did then");
    moments.push(Moment { operation, volume: disk.volume(), watcher: Arc::new(watcher.clone()) });
    for moment in &moments {
        let outcome = explorer.explore_moment(moment, if is_long() { 200 } else { 6 }, at, &recover);
        outcome.unwrap_or_else(|reason| panic!("a take-over before {at}, and {reason}"));
    }
    program.go_on(&mut watcher, true).unwrap();
}

#[test]
fn another_writer_takes_over_before_any_operation() {
    let disk = Disk::new(Volume::new());
    let (moments, _) = live(&disk, Watcher::default(), &ACTIONS, SEED).unwrap();
    let opened = {
        let disk = Disk::new(Volume::new());
        let _opened = open(&disk, Access::Write).unwrap();
        disk.operations()
    };
    let explorer = Explorer::default();
    for at in opened..disk.operations() {
        fight(at, &moments, &explorer);
    }
    explorer.report(&format!("a take-over before each of {} operations", disk.operations() - opened));
}

#[test]
fn while_it_writes_no_other_one_opens() {
    let opened = |disk: &Disk| FileBackend::open_on(disk.clone(), STORAGE, Access::Write);
    let disk = Disk::new(Volume::new());
    let (mut watcher, mut operations) = (Watcher::default(), 0);
    let mut program = Program::begin(&disk, &mut watcher, false, SEED).unwrap();
    for action in ACTIONS {
        let before = disk.operations();
        let other = disk.clone();
        disk.intrude(before + operations % 12, move || {
            assert!(matches!(opened(&other), Err(Error::Locked { .. })));
        });
        program.act(action, &mut watcher).unwrap();
        operations += disk.operations() - before;
    }
    drop(program);
    opened(&disk).unwrap();
}

#[test]
fn of_two_that_replace_the_head_one_does() {
    let mut at = 0;
    loop {
        let disk = Disk::new(Volume::new());
        let mut first = FileBackend::open_on(disk.clone(), STORAGE, Access::Write).unwrap();
        let mut second = FileBackend::open_on(disk.clone(), STORAGE, Access::TakeOver).unwrap();
        assert!(first.swap_head(None, b"old").unwrap());
        let (before, outcome) = (disk.operations(), Arc::new(Mutex::new(None)));
        let of_second = outcome.clone();
        disk.intrude(before + at, move || *of_second.lock().unwrap() = Some(second.swap_head(Some(b"old"), b"second")));
        let replaced = first.swap_head(Some(b"old"), b"first").unwrap();
        let Some(outcome) = outcome.lock().unwrap().take() else { break };
        let expected: &[u8] = match (replaced, outcome) {
            // It finds the head locked, or that it has changed.
            (true, Err(_) | Ok(false)) => b"first",
            (false, Ok(true)) => b"second",
            outcome => panic!("before operation {at} of the first: {outcome:?}"),
        };
        assert_eq!(first.read_head().unwrap().unwrap(), expected);
        at += 1;
    }
    assert!(at > 7, "{at} operations");
}

#[test]
fn a_lock_file_without_a_name_is_no_lock() {
    let opened = |disk: &Disk, access| FileBackend::open_on(disk.clone(), STORAGE, access);
    let disk = Disk::new(Volume::new());
    let first = Arc::new(Mutex::new(Some(opened(&disk, Access::Write).unwrap())));
    for at in 0.. {
        // While another one opens, a third one takes over, and the first one dies.
        let (third, other, dying) = (Arc::new(Mutex::new(None)), disk.clone(), first.clone());
        let of_third = third.clone();
        disk.intrude(disk.operations() + at, move || {
            *of_third.lock().unwrap() = Some(opened(&other, Access::TakeOver).unwrap());
            drop(dying.lock().unwrap().take());
        });
        let outcome = opened(&disk, Access::Write);
        assert!(matches!(outcome, Err(Error::Locked { .. })), "before operation {at}: {outcome:?}");
        let Some(third) = third.lock().unwrap().take() else {
            assert!(at > 2);
            return;
        };
        *first.lock().unwrap() = Some(third);
    }
}

/// What a writer encoded is its own, however the bytes reach another one.
#[test]
fn a_checkpoint_of_another_generation_is_not_published() {
    let mut storage = FileBackend::open_on(Disk::new(Volume::new()), STORAGE, Access::Write).unwrap();
    let first = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut second = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut holder = new_holder();
    holder.set("key", "value").unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    let mut encoded = holder.take_capture().unwrap().into_object(first.next_object(), Compression::default()).unwrap();
    let refused = Publish::new(&mut second, &mut encoded, Retention::default()).map(|_| ());
    assert_eq!(refused, Err(CoreError::Fenced { held: 1, current: 2 }));
}
