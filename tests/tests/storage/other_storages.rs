//! Checkpoints and their storage: another storage, retention beside what is held, and a head that is there but not durable.

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
use eventflux_core::{
    Backend, ByteRange, Error, Export, ObjectInfo, Procedure, Request, Response, Restore, RestoreOptions, Result,
    Retention, Selector, Step, Verify, drive,
};

fn config(max_retained: u32) -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained }, ..ManagerConfig::default() }
}

fn filled(value: u64) -> StateHolder {
    let mut holder = StateHolder::builder("review").key_groups(4).build().unwrap();
    (0..200_u64).for_each(|key| holder.set(key.to_le_bytes(), &(key + value)).unwrap());
    holder
}

#[test]
fn a_checkpoint_in_another_storage_is_whole_or_refused() {
    for others in 0..3 {
        let mut holder = filled(1);
        let mut first = CheckpointManager::open(MemoryBackend::new(), config(10)).unwrap();
        first.checkpoint(&mut holder, None).unwrap();
        // Another storage, with checkpoints of another holder or none.
        let mut second = CheckpointManager::open(MemoryBackend::new(), config(10)).unwrap();
        let mut other = filled(1000);
        for _ in 0..others {
            second.checkpoint(&mut other, None).unwrap();
        }
        holder.set("more", &7_u64).unwrap();
        let outcome = second.checkpoint(&mut holder, None);
        if let Err(error) = &outcome {
            assert!(error.to_string().contains("another"), "{error}");
        }
        if outcome.is_ok() {
            let mut restored = filled(0);
            second.restore_latest(&mut restored).unwrap();
            assert_eq!(restored.get::<u64>("more").unwrap(), Some(7), "{others}");
            assert_eq!(restored.get::<u64>(0_u64.to_le_bytes()).unwrap(), Some(1), "{others}");
        }
        // Where it belongs it goes on.
        first.checkpoint(&mut holder, None).unwrap();
        let mut restored = filled(0);
        first.restore_latest(&mut restored).unwrap();
        assert_eq!(restored.get::<u64>("more").unwrap(), Some(7));
    }
}

/// A number that retention has given up may be that of anything in another storage.
#[test]
fn a_checkpoint_on_a_number_that_is_given_up_is_refused() {
    let mut holder = filled(1);
    let mut first = CheckpointManager::open(MemoryBackend::new(), config(10)).unwrap();
    first.checkpoint(&mut holder, None).unwrap();
    // A standby: the object of its first checkpoint is there for the second, whose place in the catalog it has lost.
    let mut standby = CheckpointManager::open(MemoryBackend::new(), config(1)).unwrap();
    let mut other = filled(1000);
    for number in 0..2_u64 {
        other.set("n", &number).unwrap();
        standby.checkpoint(&mut other, None).unwrap();
    }
    holder.set("more", &7_u64).unwrap();
    let error = standby.checkpoint(&mut holder, None).unwrap_err().to_string();
    assert!(error.contains("0 any more, on which this one builds"), "{error}");
    let mut restored = filled(0);
    standby.restore_latest(&mut restored).unwrap();
    assert_eq!(restored.get::<u64>("n").unwrap(), Some(1));
    // As advised.
    holder.forget_checkpoints().unwrap();
    standby.checkpoint(&mut holder, None).unwrap();
    standby.restore_latest(&mut restored).unwrap();
    assert_eq!(restored.get::<u64>("more").unwrap(), Some(7));
}

#[test]
fn what_is_held_takes_the_place_of_nothing() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config(3)).unwrap();
    let mut holder = filled(1);
    for number in 0..3_u64 {
        holder.set("n", &number).unwrap();
        manager.checkpoint(&mut holder, None).unwrap();
    }
    manager.restore(&mut holder, 0).unwrap();
    manager.prune(Retention { max_retained: 2 }).unwrap();
    let ids: Vec<u64> = manager.list().iter().map(|entry| entry.object.id).collect();
    assert_eq!(ids, [0, 1, 2], "the newest two, and the one held");
}

/// A storage whose head survives a crash only if the swap that wrote it said so.
#[derive(Default)]
struct Careless {
    inner: MemoryBackend,
    /// What a crash leaves of the head.
    durable: Option<Vec<u8>>,
    fail_swaps: u32,
}

impl Backend for Careless {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(object, bytes)
    }
    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.inner.read(object, range)
    }
    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        self.inner.list()
    }
    fn delete(&mut self, object: &str) -> Result<()> {
        self.inner.delete(object)
    }
    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.read_head()
    }
    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        let swapped = self.inner.swap_head(expected, new)?;
        if swapped && self.fail_swaps > 0 {
            // Renamed, but the directory could not be synced.
            self.fail_swaps -= 1;
            return Err(Error::Storage { operation: "write", object: "head".into(), reason: "fsync failed".into() });
        }
        if swapped {
            self.durable = Some(new.into());
        }
        Ok(swapped)
    }
}

#[test]
fn what_was_acknowledged_is_durable() {
    for fail_swaps in 1..4 {
        let mut manager = CheckpointManager::open(Careless::default(), config(1)).unwrap();
        let mut holder = filled(1);
        manager.checkpoint(&mut holder, None).unwrap();
        (0..200_u64).for_each(|key| holder.set(key.to_le_bytes(), &(key + 2)).unwrap());
        manager.backend_mut().fail_swaps = fail_swaps;
        let outcome = manager.checkpoint(&mut holder, None).map(|entry| entry.object.id);
        // The machine loses power: the head is what was durable.
        let crashed = manager.backend_mut();
        let head = crashed.durable.clone().unwrap();
        let mut after = crashed.inner.clone();
        let now = after.read_head().unwrap();
        assert!(after.swap_head(now.as_deref(), &head).unwrap());
        let mut manager = CheckpointManager::open(after, config(1)).unwrap();
        if let Ok(id) = outcome {
            assert_eq!(manager.latest().unwrap().object.id, id, "{fail_swaps}");
        }
        let mut restored = filled(0);
        manager.restore_latest(&mut restored).unwrap();
    }
}

#[test]
fn verifying_beside_a_writer_finds_nothing_wrong() {
    for steps in 0..40 {
        let mut manager = CheckpointManager::open(MemoryBackend::new(), config(2)).unwrap();
        let mut holder = filled(1);
        for number in 0..3_u64 {
            holder.set("n", &number).unwrap();
            manager.checkpoint(&mut holder, None).unwrap();
        }
        let mut verify = Verify::new();
        for step in 0.. {
            if step == steps {
                // All that was there is written anew, and what was there is given up.
                for number in 0..4_u64 {
                    (0..200_u64).for_each(|key| holder.set(key.to_le_bytes(), &(key + number)).unwrap());
                    manager.checkpoint(&mut holder, None).unwrap();
                }
            }
            match verify.poll_request().unwrap() {
                Step::Done(report) => {
                    assert!(report.findings.is_empty(), "{steps}: {:?}", report.findings);
                    break;
                }
                Step::Request(request) => {
                    let response = answer(request, manager.backend_mut());
                    verify.handle_response(response).unwrap();
                }
            }
        }
    }
}

/// Checkpoints without a head are there: who looks for one is not told that there are none yet.
#[test]
fn a_head_that_was_lost_is_missing() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config(2)).unwrap();
    manager.checkpoint(&mut filled(1), None).unwrap();
    let mut headless = MemoryBackend::new();
    headless.objects_mut().clone_from(manager.backend_mut().objects_mut());
    let missing = Error::ObjectMissing { object: "head".into() };
    let restore = |storage: &mut MemoryBackend| {
        let mut holder = filled(0);
        drive(Restore::new(&mut holder, Selector::Latest, RestoreOptions::default()), storage).map(drop).unwrap_err()
    };
    let export = |storage: &mut MemoryBackend| drive(Export::new(Selector::Latest), storage).unwrap_err();
    assert_eq!(restore(&mut headless), missing);
    assert_eq!(export(&mut headless), missing);
    for error in [restore(&mut MemoryBackend::new()), export(&mut MemoryBackend::new())] {
        assert!(matches!(error, Error::NoSuchCheckpoint { .. }), "{error}");
    }
}

/// What is damaged is not well because all that said so is gone.
#[test]
fn a_storage_that_vanishes_while_it_is_verified_is_not_whole() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config(2)).unwrap();
    manager.checkpoint(&mut filled(1), None).unwrap();
    let storage = manager.backend_mut();
    storage.objects_mut().clear();
    let mut verify = Verify::new();
    let mut heads = 0;
    let outcome = loop {
        match verify.poll_request() {
            Ok(Step::Request(Request::ReadHead)) => {
                let head = if heads == 0 { storage.read_head().unwrap() } else { None };
                heads += 1;
                verify.handle_response(Response::Head(head)).unwrap();
            }
            Ok(Step::Request(request)) => verify.handle_response(answer(request, storage)).unwrap(),
            Ok(Step::Done(report)) => break Ok(report),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(outcome, Err(Error::ObjectMissing { object: "head".into() }));
}

fn answer(request: Request, storage: &mut MemoryBackend) -> Response {
    match request {
        Request::Read { object, range } => Response::Bytes(storage.read(&object, range).unwrap()),
        Request::List => Response::Objects(storage.list().unwrap()),
        Request::ReadHead => Response::Head(storage.read_head().unwrap()),
        other => panic!("verifying writes: {other:?}"),
    }
}
