//! The power fails, once and twice; or the process dies, and the power fails in its successor.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use eventflux::storage::FileSystem;

use crate::common::disk::Disk;
use crate::common::disk::image::Image;
use crate::common::disk::volume::Volume;
use crate::common::random::Random;
use crate::explorer::{Explorer, is_long};
use crate::program::Action::{self, Checkpoint, GoBack, Labelled, Prune, Reopen, Savepoint};
use crate::program::{Moment, Program, Watcher, live};

pub const ACTIONS: [Action; 26] = [
    Checkpoint, Checkpoint, Labelled, Checkpoint, Checkpoint, Savepoint, Checkpoint, Checkpoint, Reopen, Checkpoint,
    Checkpoint, GoBack, Checkpoint, Checkpoint, Prune, Checkpoint, Reopen, Checkpoint, Labelled, Checkpoint, Prune,
    Checkpoint, GoBack, Prune, Checkpoint, Checkpoint,
];

/// One of so many recoveries restores every checkpoint and prunes.
const THOROUGH_ONE_OF: usize = 8;

/// Every moment of a life of the program on a new disk.
fn moments(actions: &[Action], seed: u64) -> Vec<Moment> {
    live(&Disk::new(Volume::new()), Watcher::default(), actions, seed).unwrap().0
}

/// The power is back: all must be there, and work goes on.
pub fn recover(image: &Image, watcher: &Watcher, random: &mut Random) -> Result<(), String> {
    let thorough = random.index(THOROUGH_ONE_OF) == 0;
    recover_with(thorough, image, watcher, random)
}

/// As [`recover`]; `thorough`: every checkpoint is restored, and what a prune leaves is looked at.
pub fn recover_with(thorough: bool, image: &Image, watcher: &Watcher, random: &mut Random) -> Result<(), String> {
    let mut watcher = watcher.clone();
    Program::begin(&Disk::new(image.volume()), &mut watcher, thorough, random.next())?.go_on(&mut watcher, thorough)
}

/// Recovers, and fails again at every moment of that, into up to `bound` images of each.
fn recover_and_fail_again(
    explorer: &Explorer,
    disk: &Disk,
    watcher: &Watcher,
    bound: u64,
    random: &mut Random,
) -> Result<(), String> {
    let actions = [Checkpoint, Prune, Checkpoint];
    let (moments, _) = live(disk, watcher.clone(), &actions, random.next())?;
    moments.iter().try_for_each(|moment| {
        let again = explorer.explore_moment(moment, bound, random.next(), &recover);
        again.map_err(|reason| format!("recovery goes well, and then {reason}"))
    })
}

#[test]
fn the_power_fails_after_every_operation() {
    let (lives, bound, goal) = if is_long() { (48, 3000, 1_000_000) } else { (4, 600, 50_000) };
    let explorer = Explorer::default();
    for seed in 0..lives {
        explorer.explore(&moments(&ACTIONS, seed), bound, seed, &recover);
    }
    let distinct = explorer.report("the power fails");
    assert!(distinct >= goal, "{distinct} distinct images");
}

/// A process makes directories and dies before it syncs their names; the next one finds them.
#[test]
fn directories_of_a_process_that_died_are_made_durable() {
    for made in ["deep", "deep/state", "deep/state/objects"] {
        let disk = Disk::new(Volume::new());
        for path in ["deep", "deep/state", "deep/state/objects"] {
            disk.make_directory(Path::new(path)).unwrap();
            if path == made {
                break;
            }
            disk.sync_directory(Path::new(path).parent().unwrap()).unwrap();
        }
        let (moments, _) = live(&disk, Watcher::default(), &[Checkpoint], 1).unwrap();
        Explorer::default().explore(&moments, 500, 1, &recover);
    }
}

#[test]
fn the_power_fails_again_while_it_recovers() {
    let (one_of, bound) = if is_long() { (4, 24) } else { (12, 4) };
    let (explorer, first, count) = (Explorer::default(), Explorer::default(), AtomicU64::new(0));
    first.explore(&moments(&ACTIONS, 77), 40, 77, &|image, watcher, random| {
        if random.index(one_of) > 0 {
            return Ok(());
        }
        count.fetch_add(1, Relaxed);
        recover_and_fail_again(&explorer, &Disk::new(image.volume()), watcher, bound, random)
    });
    explorer.report(&format!("the power fails again in {} recoveries", count.into_inner()));
}

#[test]
fn the_process_dies_and_the_power_fails_in_its_successor() {
    let bound = if is_long() { 60 } else { 3 };
    let explorer = Explorer::default();
    let moments = moments(&ACTIONS, 55);
    let step = if is_long() { 1 } else { 2 };
    for (number, moment) in moments.iter().enumerate().step_by(step) {
        let disk = Disk::new(moment.volume.clone());
        let outcome = recover_and_fail_again(&explorer, &disk, &moment.watcher, bound, &mut Random::new(number as u64));
        outcome.unwrap_or_else(|reason| panic!("the process dies after {}: {reason}", moment.operation));
    }
    explorer.report(&format!("the power fails after the process died at {} moments", moments.len() / step));
}
