//! Storages around storages: each is a storage like any other, and does what it says beside.

use std::time::{Duration, Instant};

use crate::common::conformance::conforms;
use crate::common::recorded::Recorded;
use crate::common::storage::Shared;
use eventflux::storage::{
    Access, AnyBackend, Fault, FaultBackend, FileBackend, Latency, LatencyBackend, Operation, TracingBackend,
};
use eventflux::{Backend, CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
use eventflux_core::{ByteRange, Error, Result};

const SHORT: Latency = Latency { per_operation: Duration::from_micros(20), per_mebibyte: Duration::from_micros(500) };

#[test]
fn fault_conforms() {
    let shared = Shared::default();
    conforms(|| FaultBackend::new(shared.clone()));
}

#[test]
fn latency_conforms() {
    let shared = Shared::default();
    conforms(|| LatencyBackend::new(shared.clone(), SHORT));
}

#[test]
fn tracing_conforms() {
    let recorded = Recorded::default();
    let shared = Shared::default();
    tracing::subscriber::with_default(recorded.subscriber(), || conforms(|| TracingBackend::new(shared.clone())));
    assert!(recorded.events().len() > 100);
}

#[test]
fn all_around_each_other_conform_on_files() {
    let directory = tempfile::tempdir().unwrap();
    conforms(|| -> AnyBackend {
        let files = FileBackend::open(directory.path(), Access::TakeOver).unwrap();
        let slow = LatencyBackend::new(files, Latency::default());
        Box::new(TracingBackend::new(FaultBackend::new(TracingBackend::new(slow))))
    });
}

/// Does one operation of each kind; what it changes can be told afterwards.
fn operate(storage: &mut impl Backend, operation: Operation, number: u8) -> Result<()> {
    match operation {
        Operation::Put => storage.put(&format!("new-{number}"), &[number]),
        Operation::Read => storage.read("old", ByteRange::All).map(|bytes| assert_eq!(bytes.unwrap(), b"old")),
        Operation::List => storage.list().map(|objects| assert!(!objects.is_empty())),
        Operation::Delete => storage.delete(&format!("gone-{number}")),
        Operation::ReadHead => storage.read_head().map(drop),
        Operation::SwapHead => {
            let head = storage.read_head()?;
            storage.swap_head(head.as_deref(), &[number]).map(|swapped| assert!(swapped))
        }
    }
}

/// A storage, and how many changes of a kind have taken effect in it.
fn prepared() -> MemoryBackend {
    let mut storage = MemoryBackend::new();
    storage.put("old", b"old").unwrap();
    (0..10).for_each(|number| storage.put(&format!("gone-{number}"), b"").unwrap());
    storage
}

fn effect(storage: &mut MemoryBackend, operation: Operation, number: u8) -> bool {
    match operation {
        Operation::Put => storage.objects_mut().contains_key(&format!("new-{number}")),
        Operation::Delete => !storage.objects_mut().contains_key(&format!("gone-{number}")),
        Operation::SwapHead => storage.read_head().unwrap() == Some(vec![number]),
        Operation::Read | Operation::List | Operation::ReadHead => true,
    }
}

#[test]
fn each_fault_strikes_each_operation() {
    let faults = [Fault::Fails, Fault::FailsAfter, Fault::DiesBefore, Fault::DiesAfter];
    for (operation, fault) in Operation::ALL.into_iter().flat_map(|operation| faults.map(|fault| (operation, fault))) {
        let mut storage = FaultBackend::new(prepared());
        storage.arm_on(&[operation], 2, fault);
        let changes = matches!(operation, Operation::Put | Operation::Delete | Operation::SwapHead);
        for number in 0..5_u8 {
            let struck = number == 2;
            let dead = number > 2 && matches!(fault, Fault::DiesBefore | Fault::DiesAfter);
            let outcome = operate(&mut storage, operation, number);
            assert_eq!(outcome.is_err(), struck || dead, "{operation:?} {number}, {fault:?}: {outcome:?}");
            if let Err(Error::Storage { operation: named, .. }) = &outcome {
                assert_eq!(*named, operation.as_str());
            }
            let happens = !dead && (!struck || matches!(fault, Fault::FailsAfter | Fault::DiesAfter));
            if changes {
                let found = effect(storage.inner_mut(), operation, number);
                assert_eq!(found, happens, "{operation:?} {number}, {fault:?}");
            }
            // The others work as ever; swapping the head reads it first.
            let needs_it = |other| (other, operation) == (Operation::SwapHead, Operation::ReadHead);
            for other in Operation::ALL.into_iter().filter(|other| *other != operation && !needs_it(*other)) {
                operate(&mut storage, other, number + 5).unwrap();
            }
        }
        storage.disarm();
        operate(&mut storage, operation, 9).unwrap();
    }
}

#[test]
fn a_fault_of_any_operation_counts_them_all() {
    let mut storage = FaultBackend::new(prepared());
    storage.arm(3, Fault::DiesAfter);
    storage.put("a", b"").unwrap();
    storage.list().unwrap();
    storage.read_head().unwrap();
    storage.put("b", b"").unwrap_err();
    storage.put("c", b"").unwrap_err();
    storage.list().unwrap_err();
    assert_eq!(storage.operations(), 6);
    let mut inner = storage.into_inner();
    assert!(inner.objects_mut().contains_key("b") && !inner.objects_mut().contains_key("c"));
}

#[test]
fn an_inner_error_stays_what_it_is() {
    let mut inner = FaultBackend::new(MemoryBackend::new());
    inner.arm_on(&[Operation::Put], 0, Fault::DiesBefore);
    let mut storage = FaultBackend::new(TracingBackend::new(LatencyBackend::new(inner, Latency::default())));
    storage.arm(0, Fault::FailsAfter);
    let Err(Error::Storage { operation, object, .. }) = storage.put("name", b"") else { panic!("no error") };
    assert_eq!((operation, object.as_str()), ("put", "name"));
}

#[test]
fn latency_is_per_operation_and_per_byte() {
    let ms = Duration::from_millis;
    let latency = Latency { per_operation: ms(3), per_mebibyte: ms(40) };
    assert_eq!((latency.of(0), latency.of(1 << 20), latency.of(3 << 18)), (ms(3), ms(43), ms(33)));
    assert_eq!(Latency::default().of(u64::MAX), Duration::ZERO);
    let slowest = Latency { per_operation: Duration::MAX, per_mebibyte: Duration::MAX };
    assert_eq!(slowest.of(u64::MAX), Duration::MAX, "no overflow");

    let mut storage = LatencyBackend::new(MemoryBackend::new(), Latency::default());
    let half = vec![7; 1 << 19];
    storage.put("half", &half).unwrap();
    storage.set_latency(latency);
    let mut takes = |least: Duration, work: &mut dyn FnMut(&mut LatencyBackend<MemoryBackend>)| {
        let started = Instant::now();
        work(&mut storage);
        assert!(started.elapsed() >= least, "{:?}, and not {least:?}", started.elapsed());
    };
    takes(ms(23), &mut |storage| storage.put("other", &half).unwrap());
    takes(ms(23), &mut |storage| assert_eq!(storage.read("half", ByteRange::All).unwrap().unwrap(), half));
    takes(ms(13), &mut |storage| drop(storage.read("half", ByteRange::Last { len: 1 << 18 }).unwrap()));
    takes(ms(3), &mut |storage| assert_eq!(storage.read("none", ByteRange::All).unwrap(), None));
    takes(ms(3), &mut |storage| assert_eq!(storage.list().unwrap().len(), 2));
    takes(ms(3), &mut |storage| storage.delete("other").unwrap());
    takes(ms(3), &mut |storage| assert_eq!(storage.read_head().unwrap(), None));
    takes(ms(23), &mut |storage| assert!(storage.swap_head(None, &half).unwrap()));
}

#[test]
fn tracing_tells_of_each_operation() {
    let recorded = Recorded::default();
    let _set = tracing::subscriber::set_default(recorded.subscriber());
    let mut storage = TracingBackend::new(FaultBackend::new(MemoryBackend::new()));
    storage.put("one", b"12345").unwrap();
    storage.read("one", ByteRange::Last { len: 2 }).unwrap();
    storage.read("two", ByteRange::All).unwrap();
    storage.list().unwrap();
    storage.read_head().unwrap();
    storage.swap_head(None, b"head").unwrap();
    storage.swap_head(None, b"other").unwrap();
    storage.read_head().unwrap();
    storage.delete("one").unwrap();
    storage.inner_mut().arm(0, Fault::Fails);
    storage.put("three", b"123").unwrap_err();
    let told: Vec<_> = recorded.events();
    let got =
        |name: &str| told.iter().map(|event| event.fields.get(name).map_or("", String::as_str)).collect::<Vec<_>>();
    assert_eq!(
        got("operation"),
        ["put", "read", "read", "list", "read head", "swap head", "swap head", "read head", "delete", "put"]
    );
    assert_eq!(got("object"), ["one", "one", "two", "", "head", "head", "head", "head", "one", "three"]);
    assert_eq!(got("bytes"), ["5", "2", "0", "3", "0", "4", "5", "4", "0", ""]);
    let outcomes = ["done", "done", "missing", "done", "missing", "done", "refused", "done", "done", "failed"];
    assert_eq!(got("outcome"), outcomes);
    assert!(told.iter().all(|event| event.target == "eventflux::storage"));
    assert!(got("microseconds").iter().all(|number| number.parse::<u64>().is_ok()));
    assert!(told[9].fields["error"].contains("a fault, as told"), "{:?}", told[9]);
    let levels = told.iter().map(|event| event.level == tracing::Level::WARN);
    assert_eq!(levels.collect::<Vec<_>>(), (0..10).map(|at| at == 9).collect::<Vec<_>>());
}

/// A program on a storage that is slow, tells what it does and fails now and then loses nothing.
#[test]
fn checkpoints_on_a_bad_storage() {
    let shared = Shared::default();
    let storage = FaultBackend::new(LatencyBackend::new(TracingBackend::new(shared.clone()), SHORT));
    let mut manager = CheckpointManager::open(storage, ManagerConfig::default()).unwrap();
    let mut holder = StateHolder::builder("bad").build().unwrap();
    let mut failed = 0;
    for number in 0..60_u64 {
        holder.set((number % 7).to_be_bytes(), &number).unwrap();
        let fault = if number % 2 == 0 { Fault::Fails } else { Fault::FailsAfter };
        manager.backend_mut().arm(number % 5, fault);
        failed += usize::from(manager.checkpoint(&mut holder, None).is_err());
    }
    assert!((10..50).contains(&failed), "{failed}");
    manager.backend_mut().disarm();
    manager.checkpoint(&mut holder, None).unwrap();
    let mut restored = StateHolder::builder("bad").build().unwrap();
    let mut manager = CheckpointManager::open(shared, ManagerConfig::default()).unwrap();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(restored.get::<u64>(3_u64.to_be_bytes()).unwrap(), Some(59));
}
