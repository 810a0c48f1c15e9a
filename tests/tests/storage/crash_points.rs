//! The process dies, or one operation of the storage fails, between any two operations: what is
//! published is what was acknowledged, or the one checkpoint on its way, and work goes on from it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::states::{self, Contents, contents, holder, write};
use crate::common::storage::Shared;
use eventflux::storage::{Access, Fault, FaultBackend, FileBackend};
use eventflux::{
    Backend, CheckpointManager, ManagerConfig, Result, Retention, Selector, StateHolder, read_head, restore, verify,
};
use eventflux_core::{ObjectId, RestoreOptions};

/// What a program does, step by step.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// Writes, then takes a checkpoint.
    Checkpoint(Option<&'static str>),
    /// Labels the oldest checkpoint.
    Savepoint,
    /// Goes back to the oldest checkpoint.
    Restore,
    Prune,
}

use Action::{Checkpoint, Prune, Restore, Savepoint};

const LONG: [Action; 14] = [
    Checkpoint(None),
    Checkpoint(Some("first")),
    Checkpoint(None),
    Checkpoint(None),
    Savepoint,
    Checkpoint(None),
    Checkpoint(None),
    Restore,
    Checkpoint(None),
    Checkpoint(None),
    Prune,
    Restore,
    Prune,
    Checkpoint(None),
];
const SHORT: [Action; 6] =
    [Checkpoint(None), Checkpoint(None), Checkpoint(Some("kept")), Restore, Checkpoint(None), Prune];

/// What somebody knows who watches the program from outside.
#[derive(Debug, Default)]
struct Watcher {
    acknowledged: BTreeMap<u64, Contents>,
    labelled: Vec<u64>,
    latest: Option<u64>,
    /// The checkpoint on its way.
    pending: Option<Contents>,
    writes: u64,
}

/// One life of the program.
struct Program<B> {
    manager: CheckpointManager<FaultBackend<B>>,
    holder: StateHolder,
}

fn config() -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained: 2 }, ..ManagerConfig::default() }
}

impl<B: Backend> Program<B> {
    fn take(&mut self, action: Action, watcher: &mut Watcher) -> Result<()> {
        let oldest = self.manager.list().first().map(|entry| entry.object.id);
        let entry = match action {
            Checkpoint(label) => {
                for _ in 0..3 {
                    write(&mut self.holder, watcher.writes);
                    watcher.writes += 1;
                }
                watcher.pending = Some(contents(&self.holder));
                self.manager.checkpoint(&mut self.holder, label)?
            }
            Savepoint => {
                watcher.pending = Some(watcher.acknowledged[&oldest.unwrap()].clone());
                self.manager.savepoint(&Selector::Id(oldest.unwrap()), "saved")?
            }
            Restore => {
                self.manager.restore(&mut self.holder, oldest.unwrap())?;
                assert_eq!(contents(&self.holder), watcher.acknowledged[&oldest.unwrap()]);
                return Ok(());
            }
            Prune => {
                self.manager.prune(Retention { max_retained: 1 })?;
                return Ok(());
            }
        };
        watcher.acknowledged.insert(entry.object.id, watcher.pending.take().unwrap());
        if entry.label.is_some() {
            watcher.labelled.push(entry.object.id);
        }
        watcher.latest = self.manager.latest().map(|entry| entry.object.id);
        Ok(())
    }
}

/// What a power failure leaves of objects that were being put: their names, and any part of them.
fn tear_what_no_head_names(directory: &Path) {
    let head = read_head(&mut FileBackend::open(directory, Access::Read).unwrap()).unwrap();
    let whole = head.entries.last().map(|entry| entry.object.name());
    let whole = whole.map_or_else(Vec::new, |name| std::fs::read(directory.join("objects").join(name)).unwrap());
    for (id, part) in [(0, 0), (1, whole.len() / 2), (70, 1), (71, whole.len().saturating_sub(1))] {
        let object = ObjectId { id: head.next_id + id, generation: head.generation };
        std::fs::write(directory.join("objects").join(object.name()), &whole[..part.min(whole.len())]).unwrap();
    }
}

#[test]
fn power_fails_while_an_object_is_put() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| FileBackend::open(directory.path().join(name), Access::Write).unwrap();
    let (_, operations) = live_until_death(open("all"), &SHORT, None);
    // Opening is three operations; before it there is no head, and no object is put.
    for at in 3..operations {
        let path = directory.path().join(at.to_string());
        let (watcher, _) = live_until_death(open(&at.to_string()), &SHORT, Some((at, Fault::DiesAfter)));
        tear_what_no_head_names(&path);
        let report = verify(&mut FileBackend::open(&path, Access::Read).unwrap()).unwrap();
        assert_eq!(report.findings, []);
        assert!(report.unneeded.len() >= 4, "{:?}", report.unneeded);
        check_after_death(open(&at.to_string()), &watcher);
    }
}

#[test]
fn a_torn_object_is_no_new_storage() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = FileBackend::open(directory.path(), Access::Write).unwrap();
    let object = ObjectId { id: 0, generation: 1 };
    storage.put(&object.name(), b"").unwrap();
    assert!(read_head(&mut storage).is_err(), "the head was lost");
    assert!(CheckpointManager::open(storage, config()).is_err());
}

/// Opens the storage after a death and checks all that must hold.
fn check_after_death<B: Backend>(storage: B, watcher: &Watcher) {
    let mut manager = CheckpointManager::open(storage, config()).unwrap();
    let entries = manager.list().to_vec();
    let ids: Vec<u64> = entries.iter().map(|entry| entry.object.id).collect();
    let just_published: Vec<u64> = ids.iter().copied().filter(|id| !watcher.acknowledged.contains_key(id)).collect();
    assert!(just_published.len() <= 1, "{just_published:?}");
    assert!(just_published.is_empty() || watcher.pending.is_some());
    let latest = manager.latest().map(|entry| entry.object.id);
    assert!(latest == watcher.latest || just_published.first() == latest.as_ref(), "{latest:?}, {watcher:?}");
    assert!(watcher.labelled.iter().all(|id| ids.contains(id)), "a labelled checkpoint is gone");
    for id in &ids {
        let mut fresh = holder();
        manager.restore(&mut fresh, *id).unwrap();
        let expected = watcher.acknowledged.get(id).or(watcher.pending.as_ref());
        assert_eq!(Some(&contents(&fresh)), expected, "checkpoint {id}");
    }
    assert_eq!(verify(manager.backend_mut()).unwrap().findings, []);
    go_on(&mut manager);
}

/// The next checkpoint works, and pruning leaves just what is needed.
fn go_on<B: Backend>(manager: &mut CheckpointManager<B>) {
    let mut holder = holder();
    if manager.latest().is_some() {
        manager.restore_latest(&mut holder).unwrap();
    }
    write(&mut holder, 1000);
    let entry = manager.checkpoint(&mut holder, None).unwrap();
    assert_eq!(manager.latest(), Some(&entry));
    manager.prune(Retention { max_retained: 1 }).unwrap();
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded), (vec![], vec![]));
    let mut again = states::holder();
    manager.restore_latest(&mut again).unwrap();
    assert_eq!(contents(&again), contents(&holder));
}

/// Runs the actions until one fails; how many operations that took.
fn live_until_death<B: Backend>(storage: B, actions: &[Action], death: Option<(u64, Fault)>) -> (Watcher, u64) {
    let mut watcher = Watcher::default();
    let mut storage = FaultBackend::new(storage);
    if let Some((at, fault)) = death {
        storage.arm(at, fault);
    }
    let Ok(manager) = CheckpointManager::open(storage, config()) else { return (watcher, 0) };
    let mut program = Program { manager, holder: holder() };
    let died = actions.iter().any(|action| program.take(*action, &mut watcher).is_err());
    assert!(!died || death.is_some());
    (watcher, program.manager.backend_mut().operations())
}

#[test]
fn it_dies_between_any_two_operations() {
    let (_, operations) = live_until_death(Shared::default(), &LONG, None);
    assert!(operations > 50, "{operations}");
    for fault in [Fault::DiesBefore, Fault::DiesAfter] {
        for at in 0..=operations {
            let storage = Shared::default();
            let (watcher, _) = live_until_death(storage.clone(), &LONG, Some((at, fault)));
            check_after_death(storage, &watcher);
        }
    }
    println!("crash points: {} deaths between {operations} operations in memory", 2 * (operations + 1));
}

#[test]
fn it_dies_between_any_two_operations_on_files() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| FileBackend::open(directory.path().join(name), Access::Write).unwrap();
    let (_, operations) = live_until_death(open("all"), &SHORT, None);
    for at in 0..operations {
        let name = at.to_string();
        let (watcher, _) = live_until_death(open(&name), &SHORT, Some((at, Fault::DiesAfter)));
        // What a death within an operation leaves.
        for file in ["objects/checkpoint-0000000077-g1.efx.0.tmp", "head.0.tmp"] {
            std::fs::write(directory.path().join(&name).join(file), "half").unwrap();
        }
        let storage = open(&name);
        assert_eq!(std::fs::read_dir(directory.path().join(&name).join("objects")).unwrap().count(), {
            let mut reader = FileBackend::open(directory.path().join(&name), Access::Read).unwrap();
            reader.list().unwrap().len()
        });
        check_after_death(storage, &watcher);
    }
}

#[test]
fn any_one_operation_fails_and_work_goes_on() {
    let (_, operations) = live_until_death(Shared::default(), &LONG, None);
    for fault in [Fault::Fails, Fault::FailsAfter] {
        for at in 3..operations {
            let storage = Shared::default();
            let mut faulty = FaultBackend::new(storage.clone());
            // Opening is three operations; without a writer there is no work.
            faulty.arm(at, fault);
            let manager = CheckpointManager::open(faulty, config()).unwrap();
            let (mut program, mut watcher) = (Program { manager, holder: holder() }, Watcher::default());
            for action in LONG {
                if program.take(action, &mut watcher).is_err() {
                    program.take(action, &mut watcher).unwrap();
                }
            }
            drop(program);
            check_after_death(storage, &watcher);
        }
    }
}

/// What a checkpoint holds, whoever has it open.
fn held(storage: &Shared, id: u64) -> Contents {
    let mut fresh = holder();
    restore(&mut storage.clone(), &mut fresh, Selector::Id(id), RestoreOptions::default()).unwrap();
    contents(&fresh)
}

/// Two outages, each of which may begin with an answer that is lost: of a checkpoint that failed it may not be known
/// whether it is there, and the same writer and the same holder go on whatever became of it.
fn two_outages(first: (u64, Fault), second: (u64, Fault)) {
    let storage = Shared::default();
    let mut faulty = FaultBackend::new(storage.clone());
    faulty.arm(first.0, first.1);
    let manager = CheckpointManager::open(faulty, config()).unwrap();
    let (mut program, mut watcher) = (Program { manager, holder: holder() }, Watcher::default());
    let (mut unsure, mut faults) = (Vec::new(), [second].into_iter());
    for action in LONG {
        while program.take(action, &mut watcher).is_err() {
            unsure.extend(watcher.pending.take());
            match faults.next() {
                Some((after, fault)) => program.manager.backend_mut().arm(after, fault),
                None => program.manager.backend_mut().disarm(),
            }
            // Only the next checkpoint finds out.
            if matches!(action, Prune) && program.take(Checkpoint(None), &mut watcher).is_err() {
                unsure.extend(watcher.pending.take());
                program.manager.backend_mut().disarm();
                program.take(Checkpoint(None), &mut watcher).unwrap();
            }
        }
        for entry in read_head(&mut storage.clone()).unwrap().entries {
            let held = held(&storage, entry.object.id);
            let expected = watcher.acknowledged.entry(entry.object.id).or_insert_with(|| {
                assert!(unsure.contains(&held), "checkpoint {} is of no state that there was", entry.object.id);
                held.clone()
            });
            assert_eq!(held, *expected, "checkpoint {}", entry.object.id);
        }
    }
    drop(program);
    check_after_death(storage, &watcher);
}

#[test]
fn two_outages_anywhere_and_the_same_writer_goes_on() {
    let (_, operations) = live_until_death(Shared::default(), &LONG, None);
    for second in [Fault::DiesBefore, Fault::DiesAfter] {
        // Opening is three operations; in the checkpoint after the first outage the head is swapped with the third.
        (3..operations).for_each(|at| (1..5).for_each(|after| two_outages((at, Fault::DiesAfter), (after, second))));
    }
}
