//! A savepoint of an older checkpoint is kept, and found by its label and its time; nothing goes back to it unasked.

use eventflux::{
    CheckpointManager, CheckpointRequest, ManagerConfig, MemoryBackend, Retention, Selector, StateHolder, verify,
};

fn begun(retention: Retention) -> (CheckpointManager<MemoryBackend>, StateHolder) {
    let config = ManagerConfig { retention, ..ManagerConfig::default() };
    let manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    (manager, StateHolder::builder("clock").build().unwrap())
}

fn checkpoint(manager: &mut CheckpointManager<MemoryBackend>, holder: &mut StateHolder, created_ms: i64) -> u64 {
    holder.set("now", &created_ms).unwrap();
    let request = CheckpointRequest { created_ms, ..CheckpointRequest::default() };
    manager.checkpoint_with(holder, request).unwrap().object.id
}

#[test]
fn a_savepoint_is_deleted_when_it_is_named() {
    let all = Retention { max_retained: 100 };
    let (mut manager, mut holder) = begun(all);
    for created_ms in [100, 200, 300] {
        checkpoint(&mut manager, &mut holder, created_ms);
    }
    manager.savepoint(&Selector::Id(0), "old").unwrap();
    manager.savepoint(&Selector::Id(1), "other").unwrap();
    let ids = |manager: &CheckpointManager<MemoryBackend>| -> Vec<u64> {
        manager.list().iter().map(|entry| entry.object.id).collect()
    };
    // Nothing goes if one of them may not.
    for wrong in [Selector::Latest, Selector::Id(2), Selector::Label("nobody".into()), Selector::Id(99)] {
        manager.prune_and_delete(Retention { max_retained: 1 }, &[Selector::Label("old".into()), wrong]).unwrap_err();
        assert_eq!(ids(&manager), [0, 1, 2, 3, 4]);
    }
    manager.prune_and_delete(all, &[Selector::Label("old".into()), Selector::Id(1)]).unwrap();
    assert_eq!(ids(&manager), [0, 2, 4]);
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded), (vec![], vec![]));
    // What a state builds on stays until its next checkpoint.
    manager.restore(&mut holder, 0).unwrap();
    manager.prune_and_delete(all, &[Selector::Id(0)]).unwrap_err();
    assert_eq!(checkpoint(&mut manager, &mut holder, 400), 5);
    manager
        .prune_and_delete(Retention { max_retained: 1 }, &[Selector::Id(0), Selector::Label("other".into())])
        .unwrap();
    assert_eq!(ids(&manager), [5]);
    assert_eq!(verify(manager.backend_mut()).unwrap().findings, []);
}

#[test]
fn labelling_an_older_checkpoint_leaves_the_latest() {
    let (mut manager, mut holder) = begun(Retention { max_retained: 2 });
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

/// A savepoint of the latest is the latest then; the holder still builds on what it was made of.
#[test]
fn what_a_holder_has_taken_last_stays() {
    let all = Retention { max_retained: 100 };
    let (mut manager, mut holder) = begun(all);
    assert_eq!(checkpoint(&mut manager, &mut holder, 100), 0);
    manager.savepoint(&Selector::Latest, "v1").unwrap();
    let error = manager.prune_and_delete(all, &[Selector::Id(0)]).unwrap_err();
    assert_eq!(error.to_string(), "a state goes on from that checkpoint; take its next one first");
    manager.prune(Retention { max_retained: 1 }).unwrap();
    assert_eq!(checkpoint(&mut manager, &mut holder, 200), 2);
    manager.prune_and_delete(all, &[Selector::Id(0)]).unwrap();
    assert_eq!(manager.list().iter().map(|entry| entry.object.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(verify(manager.backend_mut()).unwrap().findings, []);
}

/// Retention would keep it for ever, and nobody could name it.
#[test]
fn an_empty_label_is_refused_and_changes_nothing() {
    let (mut manager, mut holder) = begun(Retention::default());
    holder.set("now", &1).unwrap();
    let error = manager.checkpoint(&mut holder, Some("")).unwrap_err();
    assert!(error.to_string().starts_with("label: it is empty; leave it out"), "{error}");
    assert!(!holder.is_checkpoint_under_way() && manager.list().is_empty());
    let first = checkpoint(&mut manager, &mut holder, 100);
    manager.savepoint(&Selector::Id(first), "").unwrap_err();
    assert_eq!(manager.list().len(), 1);
}

#[test]
fn a_label_too_long_is_refused_and_changes_nothing() {
    let (mut manager, mut holder) = begun(Retention::default());
    let first = checkpoint(&mut manager, &mut holder, 100);
    let error = manager.savepoint(&Selector::Id(first), &"x".repeat(201)).unwrap_err();
    assert_eq!(error.to_string(), "number of bytes of a label is 201, over the limit of 200");
    assert_eq!(manager.list().len(), 1);
}
