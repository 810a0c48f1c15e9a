//! Swaps of the head of which nobody knows whether they took effect, since the answer was lost: who goes on finds out.

use crate::common::states::{contents, holder, write};
use crate::common::storage::Shared;
use crate::fencing::{config, writer};
use eventflux::storage::{Fault, FaultBackend, Operation};
use eventflux::{Backend, CheckpointManager, ManagerConfig, Retention, Selector, StateHolder, read_head, verify};
use eventflux_core::{ByteRange, Error as CoreError, ObjectInfo};

/// The same writer and holder, of which one was told of a failure and the other one aborted.
#[test]
fn a_checkpoint_of_which_nothing_is_known_is_looked_for_by_the_next() {
    for fault in [Fault::DiesAfter, Fault::DiesBefore] {
        for max_retained in [1, 2, 10] {
            let storage = Shared::default();
            let config = ManagerConfig { retention: Retention { max_retained }, ..ManagerConfig::default() };
            let mut manager = CheckpointManager::open(FaultBackend::new(storage.clone()), config).unwrap();
            let mut state = holder();
            write(&mut state, 0);
            let first = manager.checkpoint(&mut state, None).unwrap();
            write(&mut state, 1);
            manager.backend_mut().arm_on(&[Operation::SwapHead, Operation::ReadHead], 0, fault);
            manager.checkpoint(&mut state, None).unwrap_err();
            let unsure = contents(&state);
            // Nor is it known of those that follow, for as long as that lasts.
            write(&mut state, 2);
            manager.checkpoint(&mut state, Some("never")).unwrap_err();
            manager.backend_mut().disarm();
            let is_there = fault == Fault::DiesAfter;
            assert_eq!(read_head(&mut storage.clone()).unwrap().latest, Some(u64::from(is_there)));

            write(&mut state, 3);
            let next = manager.checkpoint(&mut state, None).unwrap();
            // On what the holder knows, not on what it was told has failed.
            assert_eq!((next.object.id, next.parent), (3, Some(first.object.id)));
            assert_eq!(manager.latest(), Some(&next));
            let ids: Vec<u64> = manager.list().iter().map(|entry| entry.object.id).collect();
            let all = if is_there { &[0, 1, 3][..] } else { &[0, 3] };
            assert_eq!(ids, all[all.len().saturating_sub(max_retained as usize)..]);
            for (id, expected) in [(1, unsure), (3, contents(&state))] {
                let mut restored = holder();
                if ids.contains(&id) {
                    manager.restore(&mut restored, id).unwrap();
                    assert_eq!(contents(&restored), expected);
                }
            }
            manager.prune(config.retention).unwrap();
            let report = verify(manager.backend_mut()).unwrap();
            assert_eq!((report.findings, report.unneeded), (vec![], vec![]));
            write(&mut state, 4);
            assert_eq!(manager.checkpoint(&mut state, None).unwrap().parent, Some(3));
        }
    }
}

/// What was published after all can be restored at once, and gone on from.
#[test]
fn a_checkpoint_of_which_nothing_was_known_is_gone_on_from() {
    let storage = Shared::default();
    let config = ManagerConfig { retention: Retention { max_retained: 1 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(FaultBackend::new(storage.clone()), config).unwrap();
    let mut state = holder();
    write(&mut state, 0);
    manager.checkpoint(&mut state, None).unwrap();
    write(&mut state, 1);
    manager.backend_mut().arm_on(&[Operation::SwapHead, Operation::ReadHead], 0, Fault::DiesAfter);
    manager.checkpoint(&mut state, None).unwrap_err();
    manager.backend_mut().disarm();
    let before = contents(&state);
    write(&mut state, 2);
    assert_eq!(manager.restore_latest(&mut state).unwrap().manifest.object.id, 1);
    assert_eq!(contents(&state), before);
    write(&mut state, 3);
    assert_eq!(manager.checkpoint(&mut state, None).unwrap().parent, Some(1));
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), contents(&state));
}

/// A storage that replaces the head only as the next object is put, and has said before that it failed.
#[derive(Default)]
struct Late {
    storage: Shared,
    delays: bool,
    /// Whether the answer to the next swap is lost.
    loses: bool,
    delayed: Option<(Option<Vec<u8>>, Vec<u8>)>,
}

impl Backend for Late {
    fn put(&mut self, object: &str, bytes: &[u8]) -> eventflux_core::Result<()> {
        if let Some((expected, new)) = self.delayed.take() {
            self.storage.swap_head(expected.as_deref(), &new)?;
        }
        self.storage.put(object, bytes)
    }
    fn read(&mut self, object: &str, range: ByteRange) -> eventflux_core::Result<Option<Vec<u8>>> {
        self.storage.read(object, range)
    }
    fn list(&mut self) -> eventflux_core::Result<Vec<ObjectInfo>> {
        self.storage.list()
    }
    fn delete(&mut self, object: &str) -> eventflux_core::Result<()> {
        self.storage.delete(object)
    }
    fn read_head(&mut self) -> eventflux_core::Result<Option<Vec<u8>>> {
        self.storage.read_head()
    }
    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> eventflux_core::Result<bool> {
        if std::mem::take(&mut self.delays) {
            self.delayed = Some((expected.map(Into::into), new.into()));
            return Err(CoreError::Storage { operation: "write", object: "head".into(), reason: "too slow".into() });
        }
        let swapped = self.storage.swap_head(expected, new)?;
        if std::mem::take(&mut self.loses) {
            return Err(CoreError::Storage { operation: "write", object: "head".into(), reason: "no answer".into() });
        }
        Ok(swapped)
    }
}

/// A writer whose second checkpoint failed, and will yet be there; something has been written since.
fn one_is_late() -> (CheckpointManager<Late>, StateHolder) {
    let mut manager = CheckpointManager::open(Late::default(), config()).unwrap();
    let mut state = holder();
    write(&mut state, 0);
    manager.checkpoint(&mut state, None).unwrap();
    write(&mut state, 1);
    manager.backend_mut().delays = true;
    manager.checkpoint(&mut state, None).unwrap_err();
    write(&mut state, 2);
    (manager, state)
}

/// The third one fails, and finds that the second is there by now; the next goes on.
fn the_third_fails(mut manager: CheckpointManager<Late>, mut state: StateHolder, says: &str) {
    let error = manager.checkpoint(&mut state, None).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
    let entry = manager.checkpoint(&mut state, None).unwrap();
    assert_eq!((entry.object.id, entry.parent), (3, Some(0)));
    assert_eq!(manager.list().iter().map(|entry| entry.object.id).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(verify(manager.backend_mut()).unwrap().findings, []);
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), contents(&state));
}

#[test]
fn a_swap_that_comes_late_costs_one_more_attempt() {
    let (manager, state) = one_is_late();
    the_third_fails(manager, state, "came late");
}

/// Nothing is known of two at once, and the first of them takes effect.
#[test]
fn of_two_swaps_without_an_answer_either_may_be_there() {
    let (mut manager, state) = one_is_late();
    manager.backend_mut().loses = true;
    the_third_fails(manager, state, "no answer");
}

/// What is deleted is named by no head, also by none that is still on its way.
#[test]
fn a_prune_shuts_out_a_swap_that_comes_late() {
    let (mut manager, mut state) = one_is_late();
    assert_eq!(manager.prune(Retention { max_retained: 100 }).unwrap().len(), 1);
    assert_eq!(manager.checkpoint(&mut state, None).unwrap().parent, Some(0));
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded, report.checkpoints), (vec![], vec![], 2));
}

/// The state builds on the last checkpoint that it was told of, which is kept until the next one.
#[test]
fn a_savepoint_after_a_lost_answer_keeps_what_the_state_builds_on() {
    let retention = Retention { max_retained: 1 };
    let config = ManagerConfig { retention, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(FaultBackend::new(Shared::default()), config).unwrap();
    let mut state = holder();
    write(&mut state, 0);
    manager.checkpoint(&mut state, None).unwrap();
    write(&mut state, 1);
    manager.backend_mut().arm_on(&[Operation::SwapHead, Operation::ReadHead], 0, Fault::DiesAfter);
    manager.checkpoint(&mut state, None).unwrap_err();
    manager.backend_mut().disarm();
    manager.savepoint(&Selector::Latest, "kept").unwrap();
    assert!(manager.list().iter().any(|entry| entry.object.id == 0), "{:?}", manager.list());
    write(&mut state, 2);
    assert_eq!(manager.checkpoint(&mut state, None).unwrap().parent, Some(0));
    manager.prune(retention).unwrap();
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded), (vec![], vec![]));
    let mut restored = holder();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(contents(&restored), contents(&state));
}

#[test]
fn a_prune_of_which_nothing_is_known_stops_no_checkpoint() {
    for fault in [Fault::DiesAfter, Fault::DiesBefore] {
        let (mut manager, mut state) = writer(FaultBackend::new(Shared::default()));
        manager.backend_mut().arm_on(&[Operation::SwapHead, Operation::ReadHead], 0, fault);
        manager.prune(Retention { max_retained: 1 }).unwrap_err();
        manager.backend_mut().disarm();
        manager.checkpoint(&mut state, None).unwrap();
        manager.prune(Retention { max_retained: 1 }).unwrap();
        let report = verify(manager.backend_mut()).unwrap();
        assert_eq!((report.findings, report.unneeded, report.checkpoints), (vec![], vec![], 1));
    }
}
