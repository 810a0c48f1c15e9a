//! Calls of the disk fail, once or for good; work goes on as far as it can, then the power fails.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use eventflux::storage::{Access, FileSystem};

use crate::common::disk::faults::{Armed, EXTENTS, Extent, FAULTS, Fault};
use crate::common::disk::volume::Volume;
use crate::common::disk::{Disk, Recorded};
use crate::common::random::Random;
use crate::crashes::{recover, recover_with};
use crate::explorer::{Explorer, is_long};
use crate::program::Action::{self, Checkpoint, GoBack, Labelled, Prune, Reopen, Savepoint};
use crate::program::{Moment, Program, STORAGE, Watcher, open};

const ACTIONS: [Action; 10] =
    [Checkpoint, Labelled, Checkpoint, Savepoint, Checkpoint, GoBack, Checkpoint, Reopen, Checkpoint, Prune];

/// A life on a disk that fails: what is recorded of it, and how often the program had to open anew.
struct Life {
    disk: Disk,
    watcher: Watcher,
    moments: Vec<Moment>,
    failed: u64,
    extent: Extent,
}

impl Life {
    fn new(extent: Extent) -> Self {
        let disk = Disk::new(Volume::new());
        disk.record();
        Life { disk, watcher: Watcher::default(), moments: Vec::new(), failed: 0, extent }
    }

    fn run(&mut self, actions: &[Action], seed: u64) -> Result<(), String> {
        let mut program = self.open(seed)?;
        for action in actions {
            let mut outcome = Ok(());
            for _ in 0..2 {
                outcome = match action {
                    Action::Reopen => Err(String::new()),
                    action => self.try_once(|watcher| program.act(*action, watcher)),
                };
                if outcome.is_ok() {
                    break;
                }
                self.failed += 1;
            }
            if outcome.is_err() {
                drop(program);
                program = self.open(seed + 1)?;
            }
        }
        Ok(())
    }

    /// Opens; if that fails again and again the disk is repaired first.
    fn open(&mut self, seed: u64) -> Result<Program, String> {
        for attempt in 0.. {
            let disk = self.disk.clone();
            match self.try_once(|watcher| Program::begin(&disk, watcher, false, seed)) {
                Ok(program) => return Ok(program),
                // What it says then is no answer of the disk.
                Err(reason) if attempt == 3 => return Err(reason),
                Err(_) if attempt == 2 => self.repair(),
                Err(_) => self.failed += 1,
            }
        }
        unreachable!("the fourth attempt is the last")
    }

    /// The fault ends. One that is for good ends with the disk being mounted anew.
    fn repair(&mut self) {
        if self.extent == Extent::Once {
            self.disk.heal();
        } else {
            self.disk.mount_anew(&mut Random::new(self.disk.operations()));
        }
    }

    /// Does something, and takes note of the moments on the way.
    fn try_once<T>(&mut self, act: impl FnOnce(&mut Watcher) -> Result<T, String>) -> Result<T, String> {
        let mut before = self.watcher.clone();
        let mut after = self.watcher.clone();
        let outcome = act(&mut after);
        self.watcher = if outcome.is_ok() { after.clone() } else { unsure(before.clone(), &after) };
        // Of an attempt that fails nobody knows the list.
        before = unsure(before, &after);
        self.watcher.lists.clear();
        let on_its_way = Arc::new(before);
        let recorded = self.disk.take_recorded().into_iter();
        self.moments.extend(recorded.map(|Recorded { operation, volume }| Moment {
            operation,
            volume,
            watcher: on_its_way.clone(),
        }));
        let operation = format!("the answer to {}", self.moments.last().map_or("", |moment| &moment.operation));
        let watcher = Arc::new(self.watcher.clone());
        self.moments.push(Moment { operation, volume: self.disk.volume(), watcher });
        outcome
    }
}

/// What was known before, and that more may be published since.
fn unsure(mut before: Watcher, after: &Watcher) -> Watcher {
    let begun = after.acknowledged.iter().filter(|(id, _)| !before.acknowledged.contains_key(id));
    before.unsure.extend(begun.map(|(_, model)| model.clone()));
    before.unsure.extend(after.unsure.iter().skip(before.unsure.len()).cloned());
    before.lists.clear();
    before
}

/// Lives of a program whose objects wait for the head, and of one whose do not.
const SEEDS: [u64; 2] = [5, 6];

/// One life with a fault from one call on. Whether the fault struck.
fn live_with(
    explorer: &Explorer,
    seed: u64,
    at: u64,
    fault: Fault,
    extent: Extent,
    moments: usize,
    bound: u64,
) -> Result<bool, String> {
    let mut life = Life::new(extent);
    life.disk.arm(Armed::new(at, fault, extent));
    life.run(&ACTIONS, seed)?;
    let struck = life.disk.struck();
    let mut random = Random::new(at);
    // The power fails: at once, or at some of the moments since.
    let first = life.moments.iter().position(|moment| number(moment) >= at).unwrap_or(0);
    let last = life.moments.len() - 1;
    let drawn = (0..moments).map(|_| first + random.index(last + 1 - first));
    for moment in drawn.chain([first, last]).collect::<Vec<_>>() {
        explorer.explore_moment(&life.moments[moment], bound, at ^ moment as u64, &recover)?;
    }
    // Or does not fail: the next process goes on, on a disk that works.
    life.repair();
    let mut watcher = life.watcher.clone();
    Program::begin(&life.disk, &mut watcher, true, 6)?.go_on(&mut watcher, true)?;
    Ok(struck)
}

/// Number of the operation of a moment.
fn number(moment: &Moment) -> u64 {
    moment.operation.split(':').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn any_call_fails_once_or_for_good() {
    let (moments, bound) = if is_long() { (40, 30) } else { (3, 4) };
    let mut operations = 0;
    for seed in SEEDS {
        let mut whole = Life::new(Extent::Once);
        whole.run(&ACTIONS, seed).unwrap();
        assert_eq!(whole.failed, 2, "the one that ends and begins again");
        operations = operations.max(whole.disk.operations());
    }
    let cases: Vec<_> = (0..operations)
        .flat_map(|at| FAULTS.into_iter().flat_map(move |fault| EXTENTS.map(|extent| (at, fault, extent))))
        .zip(SEEDS.into_iter().cycle())
        .collect();
    let (explorer, next, struck) = (Explorer::default(), AtomicU64::new(0), AtomicU64::new(0));
    let failure = Mutex::new(None);
    let work = || {
        while let Some(((at, fault, extent), seed)) = cases.get(next.fetch_add(1, Relaxed) as usize).copied() {
            match live_with(&explorer, seed, at, fault, extent, moments, bound) {
                _ if failure.lock().unwrap().is_some() => return,
                Ok(hit) => drop(struck.fetch_add(hit.into(), Relaxed)),
                Err(reason) => {
                    *failure.lock().unwrap() = Some(format!("{fault:?} {extent:?} at call {at}, seed {seed}: {reason}"))
                }
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        (1..cores).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    if let Some(reason) = failure.into_inner().unwrap() {
        panic!("{reason}");
    }
    let struck = struck.into_inner();
    assert!(struck > operations * 3, "{struck} of {operations}");
    explorer.report(&format!("{struck} lives with a fault, at each of {operations} calls"));
}

/// What a prune deletes, no head names that a power failure may bring back.
#[test]
fn a_prune_of_which_any_call_fails_deletes_nothing_that_is_needed() {
    let explorer = Explorer::default();
    for fault in FAULTS {
        for call in 0.. {
            let mut life = Life::new(Extent::Once);
            let mut program = life.open(4).unwrap();
            for action in [Checkpoint; 9] {
                life.try_once(|watcher| program.act(action, watcher)).unwrap();
            }
            life.disk.arm(Armed::new(life.disk.operations() + call, fault, Extent::Once));
            let outcome = life.try_once(|watcher| program.act(Prune, watcher));
            let is_over = outcome.is_ok() && !life.disk.struck() && call > 20;
            life.disk.heal();
            let moment = life.moments.last().unwrap();
            let explored = explorer
                .explore_moment(moment, 5000, 1, &|image, watcher, random| recover_with(true, image, watcher, random));
            explored.unwrap_or_else(|reason| panic!("{fault:?} at call {call} of a prune: {reason}"));
            if is_over {
                break;
            }
        }
    }
    explorer.report("a prune of which a call fails");
}

/// A directory that somebody else made, in one that we may not open.
#[test]
fn a_parent_that_may_not_be_synced_is_no_obstacle() {
    let mut volume = Volume::new();
    for path in ["deep", STORAGE] {
        volume.put_durably(Path::new(path), None);
    }
    for (fault, opens) in [(Fault::Denied, true), (Fault::Io, false)] {
        let disk = Disk::new(volume.clone());
        disk.arm(Armed::new(0, fault, Extent::Once));
        assert_eq!(open(&disk, Access::Write).is_ok(), opens, "{fault:?}");
        assert!(disk.struck());
    }
    // Of a directory that we make we must know that it is durable.
    let disk = Disk::new(volume);
    disk.arm(Armed::new(2, Fault::Denied, Extent::Once));
    open(&disk, Access::Write).unwrap_err();
    assert!(!disk.is_directory(&Path::new(STORAGE).join("objects")));
}
