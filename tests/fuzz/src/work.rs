//! What restored states must be fit for: to be shown, changed, written and restored again.

use eventflux::{Backend, CheckpointManager, CheckpointRequest, ManagerConfig, MemoryBackend, Selector, StateHolder};
use eventflux_core::{
    BufferedEvent, Event, Manifest, ObjectId, ReadHead, ReadManifest, Restore, RestoreOptions, StateKind, Value,
    Verify, VerifyReport, contents, drive,
};

use super::memory::bounded;

/// A state restored from so many bytes may take this for each: columns stand for up to 1024 bytes of rows, and a
/// byte of a row for an entry of a table.
pub const STATE_PER_BYTE: usize = 128 << 10;

/// What only a restore can find out, which puts changes and the values they were taken against together. Nobody but an
/// adversary writes it, who makes hashes right.
const NOT_VERIFIED: [&str; 12] = [
    "a change of a key that is not there",
    "a plain value does not change in part",
    "closes a window that is not open",
    "pops more events than there are",
    "takes a waiting event that is not there",
    "advances a partial match that is not there",
    "values of an accumulator do not follow those before",
    "more values than can be counted",
    "a sum is out of range",
    "number of accumulators differs",
    "an option is neither there nor not",
    "not UTF-8",
];

/// Reads all of a storage: every checkpoint is refused or restores, and what restores is worked with. The numbers of
/// those that do.
pub fn read_all(storage: &mut MemoryBackend, input_bytes: usize) -> Vec<u64> {
    let report = bounded(input_bytes, STATE_PER_BYTE, || drive(Verify::new(), storage));
    let Ok(Some(head)) = drive(ReadHead::new(), storage) else {
        assert!(report.is_err(), "verify reads a head that nobody else can");
        return Vec::new();
    };
    let report = report.expect("the head is whole");
    let mut restored = Vec::new();
    for entry in &head.entries {
        if restore_one(storage, entry.object, &report, input_bytes) {
            restored.push(entry.object.id);
        }
    }
    if let Some(whole) = report.newest_whole {
        assert!(head.entry(whole).is_some());
    }
    restored
}

/// Whether a checkpoint restores.
fn restore_one(storage: &mut MemoryBackend, object: ObjectId, report: &VerifyReport, input_bytes: usize) -> bool {
    let found = report.findings.iter().any(|finding| finding.checkpoints.contains(&object.id));
    let manifest = bounded(input_bytes, STATE_PER_BYTE, || drive(ReadManifest::new(object), storage));
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(found, "verify is content with checkpoint {}, whose manifest cannot be read: {error}", object.id);
            return false;
        }
    };
    let _ = serde_json::to_string(&manifest).expect("a manifest is shown as JSON");
    let Ok(mut holder) = StateHolder::for_manifest(&manifest) else { return false };
    let restored = bounded(input_bytes, STATE_PER_BYTE, || {
        let restore = Restore::new(&mut holder, Selector::Id(object.id), RestoreOptions::default());
        drive(restore, storage)
    });
    if let Err(error) = restored {
        assert!(error.is_damage(), "{error}");
        let known = found || NOT_VERIFIED.iter().any(|reason| error.to_string().contains(reason));
        assert!(known, "verify is content with checkpoint {}, which does not restore: {error}", object.id);
        return false;
    }
    work_with(&mut holder, storage);
    true
}

/// A holder with what a checkpoint has, if that is whole.
pub fn restore(storage: &mut MemoryBackend, manifest: &Manifest) -> Option<StateHolder> {
    let mut holder = StateHolder::for_manifest(manifest).ok()?;
    let restore = Restore::new(&mut holder, Selector::Id(manifest.object.id), RestoreOptions::default());
    drive(restore, storage).is_ok().then_some(holder)
}

/// Shows it, writes it, changes it, writes it again; what is written restores the same.
fn work_with(holder: &mut StateHolder, storage: &MemoryBackend) {
    drop(contents(holder).expect("what was restored is shown"));
    // A head may hold numbers that leave no room for another writer.
    let Ok(mut manager) = CheckpointManager::open(storage.clone(), ManagerConfig::default()) else { return };
    for round in 0..3 {
        if round > 0 {
            write_somehow(holder, round);
        }
        let Ok(entry) = manager.checkpoint_with(holder, CheckpointRequest::default()) else { return };
        let written = contents(holder).expect("what was written is shown");
        let storage = manager.backend_mut();
        let manifest = drive(ReadManifest::new(entry.object), storage).expect("our own manifest");
        let again = restore(storage, &manifest).expect("what was written is restored");
        assert_eq!(contents(&again).expect("it is shown"), written, "round {round}");
        let report = drive(Verify::new(), storage).expect("our own head");
        let found = report.findings.iter().find(|finding| finding.checkpoints.contains(&entry.object.id));
        assert!(found.is_none(), "{found:?}");
    }
}

/// Writes that fit whatever the states are.
fn write_somehow(holder: &mut StateHolder, number: u64) {
    let states: Vec<(String, StateKind)> =
        holder.states().iter().map(|state| (state.name.clone(), state.kind)).collect();
    let _ = holder.set([number as u8, 7], &number);
    for (name, kind) in states {
        match kind {
            StateKind::Values => {}
            StateKind::Windows => change_windows(holder, &name, number),
            StateKind::Patterns => change_patterns(holder, &name, number),
            StateKind::Aggregations => {
                let Some(map) = holder.aggregations_mut(&name) else { continue };
                let first = map.iter().map(|(key, _)| key.to_vec()).min();
                first.iter().for_each(|key| assert!(map.remove(key)));
            }
        }
    }
}

fn change_windows(holder: &mut StateHolder, name: &str, number: u64) {
    let Some(map) = holder.windows_mut(name) else { return };
    let keys: Vec<Vec<u8>> = map.iter().map(|(key, _)| key.to_vec()).take(8).collect();
    for key in keys {
        map.modify(&key, |state| {
            let starts: Vec<i64> = state.windows().iter().map(|window| window.start()).collect();
            for (place, start) in starts.into_iter().enumerate() {
                state.update(start, |window| {
                    window.pop_front();
                    window.push_back(event(number));
                });
                if place % 2 == 1 {
                    state.close(start);
                }
            }
        });
    }
}

fn change_patterns(holder: &mut StateHolder, name: &str, number: u64) {
    let Some(map) = holder.patterns_mut(name) else { return };
    let keys: Vec<Vec<u8>> = map.iter().map(|(key, _)| key.to_vec()).take(8).collect();
    for key in keys {
        map.modify(&key, |state| {
            drop(state.take_due(i64::MAX));
            if !state.partials().is_empty() {
                state.advance(0, event(number).event);
            }
            state.retain(|partial| partial.id() % 3 != 1);
            state.wait(event(number));
        });
    }
}

fn event(number: u64) -> BufferedEvent {
    let values: Vec<Value> = vec![(number as i64).into(), "some text".into()];
    BufferedEvent { sequence: 1000 + number, event: Event::new(number as i64, values) }
}

/// Publishes a head of one's own.
pub fn set_head(storage: &mut MemoryBackend, bytes: &[u8]) {
    let before = storage.read_head().expect("memory can be read");
    assert!(storage.swap_head(before.as_deref(), bytes).expect("memory can be written"));
}
