//! A savepoint of an older checkpoint is kept, and found by its label and its time; nothing goes back to it unasked.

use eventflux::{
    CheckpointManager, CheckpointRequest, ManagerConfig, MemoryBackend, Retention, Selector, StateHolder, verify,
};

fn checkpoint(manager: &mut CheckpointManager<MemoryBackend>, holder: &mut StateHolder, created_ms: i64) -> u64 {
    holder.set("now", &created_ms).unwrap();
    let request = CheckpointRequest { created_ms, ..CheckpointRequest::default() };
    manager.checkpoint_with(holder, request).unwrap().object.id
}

#[test]
fn labelling_an_older_checkpoint_leaves_the_latest() {
    let config = ManagerConfig { retention: Retention { max_retained: 2 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    let mut holder = StateHolder::builder("clock").build().unwrap();
    let first = checkpoint(&mut manager, &mut holder, 100);
    let second = checkpoint(&mut manager, &mut holder, 200);
    let saved = manager.savepoint(&Selector::Id(first), "old").unwrap();
    assert_eq!((saved.object.id, saved.created_ms, saved.parent), (2, 100, Some(first)));
    assert_eq!(manager.latest().unwrap().object.id, second);

    let now = |manager: &mut CheckpointManager<MemoryBackend>, selector: Selector| {
        let mut holder = StateHolder::builder("clock").build().unwrap();
        manager.restore_selected(&mut holder, selector, Default::default()).unwrap();
        holder.get::<i64>("now").unwrap().unwrap()
    };
    assert_eq!(now(&mut manager, Selector::Latest), 200);
    assert_eq!(now(&mut manager, Selector::Label("old".into())), 100);
    for (time, state) in [(100, 100), (199, 100), (200, 200), (i64::MAX, 200)] {
        assert_eq!(now(&mut manager, Selector::Time(time)), state, "at {time}");
    }
    assert_eq!(verify(manager.backend_mut()).unwrap().newest_whole, Some(second));

    // What goes on builds on the latest, and the savepoint outlives what it was made of.
    for created_ms in [300, 400, 500] {
        checkpoint(&mut manager, &mut holder, created_ms);
    }
    let kept: Vec<i64> = manager.list().iter().map(|entry| entry.created_ms).collect();
    assert_eq!(kept, [100, 400, 500]);
    assert_eq!(now(&mut manager, Selector::Label("old".into())), 100);

    // Labelling the latest makes the savepoint the latest: it is the same state.
    let saved = manager.savepoint(&Selector::Latest, "new").unwrap();
    assert_eq!(manager.latest().unwrap().object.id, saved.object.id);
    assert_eq!(now(&mut manager, Selector::Latest), 500);
}

#[test]
fn a_label_too_long_is_refused_and_changes_nothing() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut holder = StateHolder::builder("clock").build().unwrap();
    let first = checkpoint(&mut manager, &mut holder, 100);
    let error = manager.savepoint(&Selector::Id(first), &"x".repeat(201)).unwrap_err();
    assert_eq!(error.to_string(), "length of a label is 201, over the limit of 200");
    assert_eq!(manager.list().len(), 1);
}
