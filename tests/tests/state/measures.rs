//! What a checkpoint and a holder say about themselves, for those who watch them: entries that
//! changed, bytes by what they are for, memory by state.

use std::collections::BTreeSet;

use crate::common::random::Random;
use crate::common::states;
use eventflux_core::{
    CheckpointRequest, Compression, EncodedCheckpoint, MemoryBackend, OpenWriter, Publish, Retention, StateHolder,
    StepProgress, Writer, drive,
};

const KEYS: u64 = 400;
const CHECKPOINTS: usize = 300;

/// Keys by what is known of them.
#[derive(Default)]
struct Keys {
    /// Those that are there.
    live: BTreeSet<u64>,
    /// Those of the newest durable checkpoint, and of the one under way.
    durable: BTreeSet<u64>,
    under_way: BTreeSet<u64>,
    /// Those that changed since the last cut. What came and went unseen by any checkpoint has not changed.
    changed: BTreeSet<u64>,
    /// How often that was so.
    unseen: usize,
}

/// Writes and removes, and takes note of the keys that this changed.
fn change(holder: &mut StateHolder, numbers: &mut Random, changes: u64, keys: &mut Keys) {
    for _ in 0..changes {
        let key = numbers.below(KEYS);
        if numbers.below(3) > 0 {
            holder.set(key.to_be_bytes(), &(key, numbers.below(1 << 40))).unwrap();
            keys.live.insert(key);
            keys.changed.insert(key);
            continue;
        }
        let was_there = keys.live.remove(&key);
        assert_eq!(holder.remove(key.to_be_bytes()).unwrap(), was_there);
        if was_there && (keys.durable.contains(&key) || keys.under_way.contains(&key)) {
            keys.changed.insert(key);
        } else if was_there {
            keys.changed.remove(&key);
            keys.unseen += 1;
        }
    }
}

/// Captures with writes in between, which are of the next checkpoint.
fn capture(holder: &mut StateHolder, numbers: &mut Random, keys: &mut Keys, writer: &Writer) -> EncodedCheckpoint {
    holder.begin(CheckpointRequest::default()).unwrap();
    while holder.step(500).unwrap() == StepProgress::More {
        change(holder, numbers, 2, keys);
    }
    let capture = holder.take_capture().unwrap();
    assert_eq!(capture.holder(), holder.id());
    capture.into_object(writer.next_object(), Compression::Lz4).unwrap()
}

#[test]
fn dirty_entries_are_the_keys_that_changed() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut holder = StateHolder::builder("measured").key_groups(16).build().unwrap();
    let mut numbers = Random::new(11);
    let mut keys = Keys::default();
    let (mut rebased, mut failed) = (0, 0);
    for number in 0..CHECKPOINTS {
        let changes = numbers.below(80);
        change(&mut holder, &mut numbers, changes, &mut keys);
        let of_this = std::mem::take(&mut keys.changed);
        keys.under_way = keys.live.clone();
        let mut encoded = capture(&mut holder, &mut numbers, &mut keys, &writer);
        assert_eq!(encoded.dirty_entries(), of_this.len() as u64, "checkpoint {number}");
        let captured = std::mem::take(&mut keys.under_way);

        let sizes = encoded.manifest().sizes;
        let (deltas, bases) = (encoded.delta_stored_bytes(), encoded.base_stored_bytes());
        assert_eq!((deltas > 0, bases > 0), (sizes.delta_rows > 0, sizes.base_rows > 0), "checkpoint {number}");
        // What else is stored are pages, which only a long list of deltas needs.
        assert!(deltas + bases <= sizes.stored && sizes.stored < encoded.bytes().len() as u64);
        assert!(number > 20 || deltas + bases == sizes.stored, "checkpoint {number}");
        rebased += usize::from(number > 0 && sizes.base_rows > 0);

        if numbers.below(5) == 0 {
            // Not durable: all of it is still to be written.
            holder.abort().unwrap();
            keys.changed.extend(of_this);
            failed += 1;
            continue;
        }
        let publish = Publish::new(&mut writer, &mut encoded, Retention::default()).unwrap();
        drive(publish, &mut storage).unwrap();
        holder.commit(&encoded).unwrap();
        keys.durable = captured;
    }
    assert!(rebased > 10 && failed > 10, "{rebased} with bases, {failed} failed");
    assert!(keys.unseen > 100, "{} came and went", keys.unseen);
}

#[test]
fn states_take_together_what_the_holder_takes() {
    let mut holder = states::holder();
    let mut before = 0;
    for number in 0..200 {
        states::write(&mut holder, number);
        let names: Vec<String> = holder.states().iter().map(|state| state.name.clone()).collect();
        let sum: usize = names.iter().map(|name| holder.state_size_bytes(name).unwrap()).sum();
        assert_eq!(sum, holder.size_bytes());
        before = before.max(sum);
    }
    assert!(before > 0);
    assert_eq!(holder.state_size_bytes("no such state"), None);
}

/// The object of the next checkpoint; before it, so many cuts came to nothing while all keys were written anew, and one
/// after most keys were removed.
fn after_failures(failures: usize) -> Vec<u8> {
    let mut holder = StateHolder::builder("failing").key_groups(16).build().unwrap();
    let object = |id| eventflux_core::ObjectId { id, generation: 1 };
    let set_all =
        |holder: &mut StateHolder| (0..KEYS).for_each(|key| holder.set(key.to_be_bytes(), &[7_u64; 9]).unwrap());
    set_all(&mut holder);
    holder.begin(CheckpointRequest::default()).unwrap();
    let encoded = holder.take_capture().unwrap().into_object(object(0), Compression::Lz4).unwrap();
    holder.commit(&encoded).unwrap();
    for _ in 0..failures {
        holder.begin(CheckpointRequest::default()).unwrap();
        set_all(&mut holder);
        holder.abort().unwrap();
    }
    set_all(&mut holder);
    (0..KEYS - 10).for_each(|key| assert!(holder.remove(key.to_be_bytes()).unwrap()));
    if failures > 0 {
        holder.begin(CheckpointRequest::default()).unwrap();
        holder.abort().unwrap();
    }
    holder.begin(CheckpointRequest::default()).unwrap();
    holder.take_capture().unwrap().into_object(object(1), Compression::Lz4).unwrap().bytes().to_vec()
}

#[test]
fn cuts_that_came_to_nothing_leave_no_trace() {
    let object = after_failures(0);
    for failures in [1, 2, 100] {
        assert_eq!(after_failures(failures), object, "{failures} failures: the number of bytes that changed, mostly");
    }
}
