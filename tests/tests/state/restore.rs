//! Going back to a checkpoint by number, label and time, and going on from there: a branch.

use crate::common::states::{Contents, contents, holder, write};
use crate::common::storage;
use eventflux::storage::{Fault, FaultBackend, Operation};
use eventflux::{
    CatalogEntry, CheckpointManager, Error, ManagerConfig, MemoryBackend, Retention, Selector, StateHolder,
    read_manifest, verify,
};
use eventflux_core::{
    Backend, CheckpointRequest, Compression, Error as CoreError, OpenWriter, Publish, Restore, RestoreOptions, Writer,
    drive,
};

/// A storage whose checkpoints have times of our choosing.
struct History {
    storage: MemoryBackend,
    writer: Writer,
    state: StateHolder,
    /// Number and contents, oldest first.
    known: Vec<(u64, Contents)>,
}

impl History {
    /// Four checkpoints, at 1000, 2000, 3000 and 4000 ms; the second is labelled.
    fn new() -> Self {
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut history = History { storage, writer, state: holder(), known: Vec::new() };
        history.checkpoint(1000, None);
        history.checkpoint(2000, Some("before the sale"));
        history.checkpoint(3000, None);
        history.checkpoint(4000, None);
        history
    }

    fn checkpoint(&mut self, created_ms: i64, label: Option<&str>) -> CatalogEntry {
        write(&mut self.state, self.known.len() as u64);
        let request = CheckpointRequest { created_ms, label: label.map(Into::into), ..Default::default() };
        self.state.begin(request).unwrap();
        let capture = self.state.take_capture().unwrap();
        let mut encoded = capture.into_object(self.writer.next_object(), Compression::Lz4).unwrap();
        let publish = Publish::new(&mut self.writer, &mut encoded, Retention { max_retained: 100 }).unwrap();
        let entry = drive(publish, &mut self.storage).unwrap().entry;
        self.state.commit(&encoded).unwrap();
        self.known.push((entry.object.id, contents(&self.state)));
        entry
    }

    fn restore(&mut self, selector: Selector) -> Result<(u64, Contents), CoreError> {
        let mut fresh = holder();
        let restored = drive(Restore::new(&mut fresh, selector, RestoreOptions::default()), &mut self.storage)?;
        Ok((restored.manifest.object.id, contents(&fresh)))
    }

    #[track_caller]
    fn assert_finds(&mut self, selector: Selector, place: usize) {
        let expected = self.known[place].clone();
        assert_eq!(self.restore(selector).unwrap(), expected);
    }

    #[track_caller]
    fn assert_says(&mut self, selector: Selector, message: &str) {
        let error = self.restore(selector).unwrap_err();
        assert!(matches!(error, CoreError::NoSuchCheckpoint { .. }), "{error}");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn by_number_label_time_and_the_newest() {
    let mut history = History::new();
    for place in 0..4 {
        history.assert_finds(Selector::Id(place as u64), place);
    }
    history.assert_finds(Selector::Latest, 3);
    history.assert_finds(Selector::Label("before the sale".into()), 1);
    let times = [(1000, 0), (1001, 0), (1999, 0), (2000, 1), (3999, 2), (4000, 3), (i64::MAX, 3)];
    for (time, place) in times {
        history.assert_finds(Selector::Time(time), place);
    }
}

#[test]
fn what_is_not_there_is_an_error_that_says_what_is() {
    let mut history = History::new();
    history.assert_says(Selector::Id(4), "no checkpoint with number 4; there are: 0, 1, 2, 3");
    history.assert_says(
        Selector::Label("after the sale".into()),
        "no checkpoint labelled `after the sale`; labels are: before the sale",
    );
    let before = "no checkpoint at or before 999 ms; the oldest was created at 1000 ms";
    history.assert_says(Selector::Time(999), before);
    history.assert_says(Selector::Time(i64::MIN), &before.replace("999", &i64::MIN.to_string()));
    history.storage = MemoryBackend::new();
    for selector in [Selector::Latest, Selector::Id(0), Selector::Label("x".into()), Selector::Time(0)] {
        let error = history.restore(selector).unwrap_err();
        assert!(error.to_string().ends_with("; the storage holds none"), "{error}");
    }
}

#[test]
fn the_newest_of_a_time_is_the_newest_by_time() {
    let mut history = History::new();
    // The clock was put back, then forward again.
    history.checkpoint(1500, None);
    history.checkpoint(1500, Some("before the sale"));
    history.assert_finds(Selector::Time(1500), 5);
    history.assert_finds(Selector::Time(2500), 1);
    history.assert_finds(Selector::Time(9000), 3);
    history.assert_finds(Selector::Label("before the sale".into()), 5);
    history.assert_finds(Selector::Latest, 5);
}

#[test]
fn going_back_starts_a_branch_and_the_old_one_stays() {
    let mut history = History::new();
    let restore = Restore::new(&mut history.state, Selector::Id(1), RestoreOptions::default());
    drive(restore, &mut history.storage).unwrap();
    assert_eq!(history.state.last_checkpoint(), Some(1));
    let branch = [history.checkpoint(5000, None), history.checkpoint(6000, None)];
    assert_eq!(branch.each_ref().map(|entry| (entry.object.id, entry.parent)), [(4, Some(1)), (5, Some(4))]);
    assert_ne!(history.known[4].1, history.known[2].1);
    for place in 0..6 {
        history.assert_finds(Selector::Id(place as u64), place);
    }
    history.assert_finds(Selector::Time(3500), 2);
    history.assert_finds(Selector::Latest, 5);

    // And from the branch that was given up, a branch.
    drive(Restore::new(&mut history.state, Selector::Id(3), RestoreOptions::default()), &mut history.storage).unwrap();
    assert_eq!(history.checkpoint(7000, None).parent, Some(3));
    for place in 0..7 {
        history.assert_finds(Selector::Id(place as u64), place);
    }
    let head = history.writer.head().clone();
    assert_eq!(
        head.entries.iter().map(|entry| entry.parent.map_or(-1, |id| id as i64)).collect::<Vec<_>>(),
        [-1, 0, 1, 2, 1, 4, 3]
    );
}

#[test]
fn what_was_restored_stays_until_something_builds_on_it() {
    let config = ManagerConfig { retention: Retention { max_retained: 2 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    let (mut state, mut known) = (holder(), Vec::new());
    for number in 0..4 {
        write(&mut state, number);
        manager.checkpoint(&mut state, None).unwrap();
        known.push(contents(&state));
    }
    let ids = |manager: &CheckpointManager<_>| -> Vec<u64> {
        manager.list().iter().map(|entry: &CatalogEntry| entry.object.id).collect()
    };
    assert_eq!(ids(&manager), [2, 3]);
    manager.restore(&mut state, 2).unwrap();
    manager.prune(Retention { max_retained: 1 }).unwrap();
    manager.savepoint(&Selector::Latest, "a label").unwrap();
    manager.savepoint(&Selector::Latest, "another").unwrap();
    assert_eq!(ids(&manager), [2, 3, 4, 5]);
    write(&mut state, 9);
    assert_eq!(manager.checkpoint(&mut state, None).unwrap().parent, Some(2));
    let mut again = holder();
    manager.restore_latest(&mut again).unwrap();
    assert_eq!(contents(&again), contents(&state));
    manager.prune(Retention { max_retained: 1 }).unwrap();
    assert_eq!(ids(&manager), [4, 5, 6]);
    assert_eq!(verify(manager.backend_mut()).unwrap().findings, []);
}

#[test]
fn a_state_whose_base_is_gone_is_refused_rather_than_published() {
    let storage = storage::Shared::default();
    let config = ManagerConfig { retention: Retention { max_retained: 1 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(storage.clone(), config).unwrap();
    let (mut state, mut stale) = (holder(), holder());
    write(&mut state, 0);
    manager.checkpoint(&mut state, None).unwrap();
    // Restored past the manager, which so does not know that somebody builds on it.
    eventflux::restore(&mut storage.clone(), &mut stale, Selector::Latest, RestoreOptions::default()).unwrap();
    let mut other = holder();
    manager.checkpoint(&mut other, None).unwrap();
    write(&mut stale, 1);
    let dirty = contents(&stale);
    let error = manager.checkpoint(&mut stale, None).unwrap_err();
    assert!(matches!(error, Error::Core(CoreError::NoSuchCheckpoint { .. })), "it would not restore: {error}");
    assert!(error.to_string().starts_with("no checkpoint 0 any more, on which this one builds; "), "{error}");
    assert_eq!(contents(&stale), dirty);
    assert_eq!(manager.latest().unwrap().object.id, 1);

    // As the error says.
    stale.forget_checkpoints().unwrap();
    manager.checkpoint(&mut stale, None).unwrap();
    let mut restored = holder();
    manager.restore_selected(&mut restored, Selector::Latest, RestoreOptions::default()).unwrap();
    assert_eq!(contents(&restored), dirty);
}

#[test]
fn two_holders_do_not_share_a_storage() {
    let config = ManagerConfig { retention: Retention { max_retained: 1 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    let mut first = StateHolder::builder("first").build().unwrap();
    let mut second = StateHolder::builder("second").build().unwrap();
    first.set("key", &1).unwrap();
    second.set("key", &2).unwrap();
    manager.checkpoint(&mut first, None).unwrap();
    let error = manager.checkpoint(&mut second, None).unwrap_err();
    let Error::Core(CoreError::OtherHolder { found, declared }) = error else { panic!("{error}") };
    assert_eq!((found.as_str(), declared.as_str()), ("first", "second"));
    assert!(!second.is_checkpoint_under_way());
    // Nothing of the first one is gone, and it goes on.
    manager.restore(&mut first, 0).unwrap();
    first.set("key", &3).unwrap();
    manager.checkpoint(&mut first, None).unwrap();
    assert_eq!(first.get::<i32>("key").unwrap(), Some(3));
    // Another writer, of another process, finds out whose they are.
    let storage = std::mem::take(manager.backend_mut());
    let mut manager = CheckpointManager::open(storage, config).unwrap();
    let error = manager.checkpoint(&mut second, None).unwrap_err();
    assert!(matches!(error, Error::Core(CoreError::OtherHolder { .. })), "{error}");
    manager.restore_latest(&mut StateHolder::builder("first").build().unwrap()).unwrap();
    // It may begin anew, as `--from none` does.
    manager.start_anew();
    manager.checkpoint(&mut second, None).unwrap();
    assert_eq!(manager.list().len(), 1);
    manager.checkpoint(&mut first, None).unwrap_err();
    // While the storage does not say whose they are, nothing is published.
    let backend = FaultBackend::new(std::mem::take(manager.backend_mut()));
    let mut manager = CheckpointManager::open(backend, config).unwrap();
    manager.backend_mut().arm_on(&[Operation::Read], 0, Fault::Fails);
    let mut third = StateHolder::builder("second").build().unwrap();
    third.set("key", &3).unwrap();
    let error = manager.checkpoint(&mut third, None).unwrap_err();
    assert!(matches!(error, Error::Core(CoreError::Storage { .. })), "{error}");
    assert_eq!(manager.list().len(), 1);
    manager.checkpoint(&mut third, None).unwrap();
    let mut manager = CheckpointManager::open(manager.backend_mut().inner_mut().clone(), config).unwrap();
    // What is damaged does not tell whose it is.
    let mut storage = std::mem::take(manager.backend_mut());
    storage.delete(&manager.list()[0].object.name()).unwrap();
    let mut manager = CheckpointManager::open(storage, config).unwrap();
    manager.checkpoint(&mut first, None).unwrap_err();
    first.forget_checkpoints().unwrap();
    manager.checkpoint(&mut first, None).unwrap();
}

#[test]
fn a_label_moves_nothing() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let (mut state, mut known) = (holder(), Vec::new());
    for number in 0..3 {
        write(&mut state, number);
        let entry = manager.checkpoint(&mut state, None).unwrap();
        // Each of a millisecond of its own.
        while eventflux::clock::now_ms() <= entry.created_ms {}
        known.push((entry, contents(&state)));
    }
    let old = manager.savepoint(&Selector::Id(0), "old").unwrap();
    assert_eq!((old.created_ms, old.parent), (known[0].0.created_ms, Some(0)));
    assert_eq!(manager.latest(), Some(&known[2].0), "the newest is what it was");
    let mut restored = holder();
    manager.restore_selected(&mut restored, Selector::Label("old".into()), RestoreOptions::default()).unwrap();
    assert_eq!(contents(&restored), known[0].1);
    manager.restore_at(&mut restored, i64::MAX).unwrap();
    assert_eq!(contents(&restored), known[2].1);

    let new = manager.savepoint(&Selector::Latest, "new").unwrap();
    assert_eq!(manager.latest(), Some(&new), "the same state, now labelled");
    write(&mut state, 3);
    let next = manager.checkpoint(&mut state, None).unwrap();
    assert_eq!(manager.latest(), Some(&next));
    // A labelled checkpoint holds no state itself: it names where it is.
    let manifest = read_manifest(manager.backend_mut(), old.object).unwrap();
    assert!(manifest.needed_objects().contains(&known[0].0.object));
    manager.prune(Retention { max_retained: 1 }).unwrap();
    assert_eq!(manager.list().iter().map(|entry| entry.object.id).collect::<Vec<_>>(), [3, 4, 5]);
    manager.restore(&mut restored, 3).unwrap();
    assert_eq!(contents(&restored), known[0].1);
}
