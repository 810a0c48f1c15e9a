//! Sections that lie at the edges of what columns can say: a reader takes all that a writer makes.

use eventflux::{CheckpointManager, Compression, ManagerConfig, MemoryBackend, Retention, StateHolder, verify};
use eventflux_core::{Accumulator, AggregationState, Function, StateDescriptor, StateKind, contents};

/// Takes a checkpoint of the holder as it is, restores it, and compares.
#[track_caller]
fn assert_restores(manager: &mut CheckpointManager<MemoryBackend>, holder: &mut StateHolder, empty: StateHolder) {
    manager.checkpoint(holder, None).unwrap();
    let mut restored = empty;
    manager.restore_latest(&mut restored).unwrap();
    assert!(contents(&restored).unwrap() == contents(holder).unwrap());
    assert!(verify(manager.backend_mut()).unwrap().findings.is_empty());
}

fn manager(compression: Compression) -> CheckpointManager<MemoryBackend> {
    let config = ManagerConfig { compression, retention: Retention::default() };
    CheckpointManager::open(MemoryBackend::new(), config).unwrap()
}

#[test]
fn rows_that_are_little_more_than_their_keys() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut manager = manager(compression);
        let empty = || StateHolder::builder("removed").key_groups(100).build().unwrap();
        let mut holder = empty();
        (0..12_000_u16).for_each(|key| holder.set_encoded(&key.to_be_bytes(), b"").unwrap());
        assert_restores(&mut manager, &mut holder, empty());
        for key in 0..10_000_u16 {
            assert!(holder.remove(key.to_be_bytes()).unwrap());
        }
        assert_restores(&mut manager, &mut holder, empty());
    }
}

#[test]
fn accumulators_of_two_bytes() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut manager = manager(compression);
        let state = StateDescriptor::new("groups", StateKind::Aggregations, 1, "");
        let empty = || StateHolder::builder("counts").key_groups(3).state(state.clone()).build().unwrap();
        let mut holder = empty();
        let groups = holder.aggregations_mut("groups").unwrap();
        let create = || {
            AggregationState::new(
                [Function::Min, Function::Count].repeat(20).into_iter().map(Accumulator::new).collect(),
            )
        };
        for key in 0..3000_u16 {
            groups.update(&key.to_be_bytes(), create, |group| group.update(|held| held[1].add_event())).unwrap();
        }
        assert_restores(&mut manager, &mut holder, empty());
    }
}
