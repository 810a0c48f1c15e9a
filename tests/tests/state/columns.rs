//! Sections that lie at the edges of what columns can say: a reader takes all that a writer makes.

use eventflux::{CheckpointManager, Compression, ManagerConfig, MemoryBackend, Retention, StateHolder, verify};
use eventflux_core::{Accumulator, AggregationState, Function, StateDescriptor, StateKind, contents};
use xxhash_rust::xxh3::xxh3_64;

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

#[test]
fn a_dictionary_that_is_much_longer_than_its_bytes() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut manager = manager(compression);
        let empty = || StateHolder::builder("codes").key_groups(2).build().unwrap();
        let mut holder = empty();
        // In the order in which they are written: of each group, by key.
        let mut keys: Vec<[u8; 8]> = (0..1_u64 << 18).map(u64::to_be_bytes).collect();
        keys.sort_by_key(|key| (xxh3_64(key) >> 32 & 1, *key));
        for (key, rank) in keys.iter().zip(0_u64..) {
            // Two ranges far apart, in turn: a number takes 40 bits, its code 16. All 65,536 codes are in 200 bytes.
            holder.set_encoded(key, &(rank / 8 + ((rank % 2) << 40)).to_le_bytes()).unwrap();
        }
        assert_restores(&mut manager, &mut holder, empty());
    }
}
