//! Many checkpoints that come and go, and what they leave in a storage: [`leaves_nothing_behind`]
//! runs on each kind.

use std::collections::BTreeSet;

use super::random::Random;
use eventflux::storage::{Fault, FaultBackend, Operation};
use eventflux::{
    Backend, CheckpointManager, ManagerConfig, Retention, Selector, StateHolder, read_head, read_manifest, verify,
};

/// Newest checkpoints that stay.
const RETAINED: u32 = 5;
/// Every so many checkpoints one is labelled, and stays too.
const LABELLED_EVERY: u64 = 1_300;
/// Every so many the program starts anew, as a new generation, and every other time goes back.
const RESTART_EVERY: u64 = 700;
/// How often what is there is counted while they come and go.
const COUNT_EVERY: u64 = 250;
const KEYS: u64 = 300;

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub checkpoints: u64,
    /// Checkpoints retained at the end, and the objects they need.
    pub retained: usize,
    pub objects: usize,
    /// Objects that failures had left, and that pruning deleted.
    pub orphans: usize,
}

type Manager<B> = CheckpointManager<FaultBackend<B>>;

struct Program<'a, B> {
    open: &'a dyn Fn() -> B,
    manager: Option<Manager<B>>,
    holder: StateHolder,
    numbers: Random,
}

/// Takes checkpoints, most of which retention gives up again, in a storage that is empty at first;
/// `names` says which objects are there, however that is found out.
///
/// While nothing fails each object that is there is needed, by a base or a delta of a retained
/// checkpoint, at every count; after failures pruning brings that about.
pub fn leaves_nothing_behind<B: Backend>(
    checkpoints: u64,
    open: &dyn Fn() -> B,
    names: &dyn Fn() -> BTreeSet<String>,
) -> Counted {
    let mut program = Program { open, manager: None, holder: holder(), numbers: Random::new(5) };
    program.restart(false);
    for number in 1..=checkpoints {
        program.change();
        let label = number.is_multiple_of(LABELLED_EVERY).then(|| format!("label {number}"));
        program.take(label.as_deref()).unwrap();
        if number.is_multiple_of(COUNT_EVERY) || number == checkpoints {
            assert_eq!(names(), program.needed(), "after {number} checkpoints");
        }
        if number.is_multiple_of(RESTART_EVERY) {
            program.restart((number / RESTART_EVERY).is_multiple_of(2));
        }
    }
    program.fail_now_and_then(checkpoints.div_ceil(100));
    let orphans = names().difference(&program.needed()).count();
    program.restart(false);
    let deleted = program.manager().prune(Retention { max_retained: RETAINED }).unwrap();
    assert!(deleted.len() >= orphans, "{orphans} orphans, and {deleted:?}");
    let needed = program.needed();
    assert_eq!(names(), needed, "after pruning");
    let manager = program.manager.as_mut().unwrap();
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded), (vec![], vec![]));
    let entries = manager.list().to_vec();
    for entry in &entries {
        manager.restore(&mut holder(), entry.object.id).unwrap();
    }
    let labelled = entries.iter().filter(|entry| entry.label.is_some()).count();
    assert_eq!(labelled as u64, checkpoints / LABELLED_EVERY);
    assert!(entries.len() <= labelled + RETAINED as usize, "{} are retained", entries.len());
    Counted { checkpoints, retained: entries.len(), objects: needed.len(), orphans }
}

fn holder() -> StateHolder {
    StateHolder::builder("leftovers").key_groups(8).build().unwrap()
}

impl<B: Backend> Program<'_, B> {
    fn manager(&mut self) -> &mut Manager<B> {
        self.manager.as_mut().unwrap()
    }

    /// Starts anew from the newest checkpoint, or from an older one.
    fn restart(&mut self, goes_back: bool) {
        self.manager = None;
        let config = ManagerConfig { retention: Retention { max_retained: RETAINED }, ..ManagerConfig::default() };
        self.manager = Some(CheckpointManager::open(FaultBackend::new((self.open)()), config).unwrap());
        self.holder = holder();
        let entries = self.manager().list().to_vec();
        let Some(newest) = self.manager().latest().map(|entry| entry.object.id) else { return };
        let id = if goes_back { entries[entries.len() / 2].object.id } else { newest };
        let manager = self.manager.as_mut().unwrap();
        manager.restore_selected(&mut self.holder, Selector::Id(id), Default::default()).unwrap();
    }

    fn change(&mut self) {
        for _ in 0..1 + self.numbers.below(12) {
            let key = self.numbers.below(KEYS).to_be_bytes();
            if self.numbers.below(4) == 0 {
                self.holder.remove(key).unwrap();
            } else {
                self.holder.set(key, &self.numbers.below(1 << 50)).unwrap();
            }
        }
    }

    fn take(&mut self, label: Option<&str>) -> eventflux::Result<()> {
        self.manager.as_mut().unwrap().checkpoint(&mut self.holder, label).map(drop)
    }

    /// Objects that the bases and deltas of the retained checkpoints are in, by their manifests.
    fn needed(&mut self) -> BTreeSet<String> {
        let storage = self.manager().backend_mut();
        let head = read_head(storage).unwrap();
        let manifests = head.entries.iter().map(|entry| read_manifest(storage, entry.object).unwrap());
        manifests.flat_map(|manifest| manifest.needed_objects()).map(|object| object.name()).collect()
    }

    /// Checkpoints during which an operation fails, or the process dies.
    fn fail_now_and_then(&mut self, times: u64) {
        let operations = [Operation::Put, Operation::SwapHead, Operation::Delete];
        let faults = [Fault::Fails, Fault::FailsAfter, Fault::DiesAfter];
        for number in 0..times as usize {
            self.change();
            let (operation, fault) = (operations[number % 3], faults[number / 3 % 3]);
            self.manager().backend_mut().arm_on(&[operation], 0, fault);
            let failed = self.take(None).is_err();
            if failed && fault == Fault::DiesAfter {
                self.restart(false);
            }
            self.manager().backend_mut().disarm();
        }
    }
}
