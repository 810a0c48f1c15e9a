//! What goes wrong between us and an object store: refusals, overload, answers lost and halved,
//! requests that arrive twice or late, a process that dies between any two requests. What is
//! published is what was acknowledged, or the one checkpoint on its way; of two writers one is
//! fenced, whatever becomes of the answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::common::s3_server::{FAULTS, Fault, MetadataService, Proxy, Seen, server};
use crate::common::states::{Contents, contents, holder, write};
use eventflux::storage::ObjectStoreBackend;
use eventflux::{Backend, CheckpointManager, Error, ManagerConfig, Result, Retention, StateHolder, verify};
use eventflux_core::{ByteRange, Error as CoreError, Head, OpenWriter, drive};

const PREFIX: &str = "flights";

fn is_long() -> bool {
    std::env::var_os("EVENTFLUX_LONG").is_some()
}

fn config() -> ManagerConfig {
    ManagerConfig { retention: Retention { max_retained: 2 }, ..ManagerConfig::default() }
}

/// What somebody knows who watches a program from outside.
#[derive(Debug, Default)]
struct Watcher {
    acknowledged: BTreeMap<u64, Contents>,
    latest: Option<u64>,
    /// The checkpoint on its way.
    pending: Option<Contents>,
    writes: u64,
}

struct Program {
    manager: CheckpointManager<ObjectStoreBackend>,
    holder: StateHolder,
}

impl Program {
    fn open(storage: ObjectStoreBackend) -> Result<Self> {
        Ok(Program { manager: CheckpointManager::open(storage, config())?, holder: holder() })
    }

    /// Writes something and takes a checkpoint.
    fn checkpoint(&mut self, watcher: &mut Watcher) -> Result<()> {
        write(&mut self.holder, watcher.writes);
        watcher.writes += 1;
        watcher.pending = Some(contents(&self.holder));
        let id = self.manager.checkpoint(&mut self.holder, None)?.object.id;
        watcher.acknowledged.extend(watcher.pending.take().map(|held| (id, held)));
        watcher.latest = Some(id);
        Ok(())
    }

    /// All that a program does with a storage.
    fn live(storage: ObjectStoreBackend, watcher: &mut Watcher) -> Result<()> {
        let mut program = Program::open(storage)?;
        for _ in 0..4 {
            program.checkpoint(watcher)?;
        }
        let oldest = program.manager.list()[0].object.id;
        program.manager.restore(&mut program.holder, oldest)?;
        assert_eq!(contents(&program.holder), watcher.acknowledged[&oldest]);
        program.checkpoint(watcher)?;
        program.manager.prune(Retention { max_retained: 1 })?;
        Ok(())
    }
}

/// Opens the storage afterwards and checks all that must hold.
fn check(storage: ObjectStoreBackend, watcher: &Watcher) {
    let mut manager = CheckpointManager::open(storage, config()).unwrap();
    let entries = manager.list().to_vec();
    let published: Vec<u64> = entries.iter().map(|entry| entry.object.id).collect();
    let new: Vec<u64> = published.iter().copied().filter(|id| !watcher.acknowledged.contains_key(id)).collect();
    assert!(new.len() <= 1 && (new.is_empty() || watcher.pending.is_some()), "{new:?}");
    let latest = manager.latest().map(|entry| entry.object.id);
    assert!(latest == watcher.latest || latest == new.first().copied(), "{latest:?}, {watcher:?}");
    for id in published {
        let mut fresh = holder();
        manager.restore(&mut fresh, id).unwrap();
        let expected = watcher.acknowledged.get(&id).or(watcher.pending.as_ref());
        assert_eq!(Some(&contents(&fresh)), expected, "checkpoint {id}");
    }
    let mut holder = holder();
    if manager.latest().is_some() {
        manager.restore_latest(&mut holder).unwrap();
    }
    write(&mut holder, 1000);
    manager.checkpoint(&mut holder, None).unwrap();
    manager.prune(Retention { max_retained: 1 }).unwrap();
    let report = verify(manager.backend_mut()).unwrap();
    assert_eq!((report.findings, report.unneeded, report.checkpoints), (vec![], vec![], 1));
}

/// How many requests a life takes.
fn requests_of_a_life() -> usize {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut watcher = Watcher::default();
    proxy.plan(|_| None);
    Program::live(proxy.storage(&bucket, PREFIX, 0), &mut watcher).unwrap();
    let (requests, _) = proxy.calm();
    check(proxy.storage(&bucket, PREFIX, 0), &watcher);
    requests
}

/// Runs cases on some threads: the server is slow to answer, not busy.
fn in_parallel<T: Sync + Clone>(cases: &[T], run: impl Fn(T) + Sync) {
    const THREADS: usize = 4;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let run = &run;
            scope.spawn(move || cases.iter().skip(thread).step_by(THREADS).cloned().for_each(run));
        }
    });
}

#[test]
fn any_one_request_goes_wrong_and_nobody_notices() {
    let requests = requests_of_a_life();
    assert!(requests > 20, "{requests}");
    // Each request in two ways in turn, or in all of them; the client beneath tries again, or does not.
    let ways = if is_long() { FAULTS.len() } else { 2 };
    let case = |at: usize, way: usize| (at, FAULTS[(at + 5 * way) % FAULTS.len()], (at / FAULTS.len() + way) % 2 * 3);
    let cases: Vec<_> = (0..requests).flat_map(|at| (0..ways).map(move |way| case(at, way))).collect();
    in_parallel(&cases, |(at, fault, client_retries)| {
        let (proxy, bucket) = (Proxy::start(server()), server().bucket());
        let mut watcher = Watcher::default();
        proxy.plan(move |seen| (seen.number == at).then_some(fault));
        let lived = Program::live(proxy.storage(&bucket, PREFIX, client_retries), &mut watcher);
        assert_eq!(proxy.calm().1, 1, "request {at}: {fault:?}");
        lived.unwrap_or_else(|error| panic!("request {at}: {fault:?}, {client_retries} retries beneath: {error}"));
        check(proxy.storage(&bucket, PREFIX, 0), &watcher);
    });
    println!("object store: {} lives of {requests} requests, of which one went wrong", cases.len());
}

#[test]
fn it_dies_between_any_two_requests() {
    let requests = requests_of_a_life();
    let step = if is_long() { 1 } else { 2 };
    let cases: Vec<_> = (0..requests).step_by(step).flat_map(|at| [(at, false), (at + step - 1, true)]).collect();
    in_parallel(&cases, |(at, is_done)| {
        let (proxy, bucket) = (Proxy::start(server()), server().bucket());
        let mut watcher = Watcher::default();
        proxy.plan(move |seen| match seen.number {
            number if number == at && is_done => Some(Fault::LosesAnswer),
            number if number >= at => Some(Fault::Closes),
            _ => None,
        });
        let storage = proxy.storage(&bucket, PREFIX, 0).with_retries(0, Duration::from_secs(60));
        let died = Program::live(storage, &mut watcher).is_err();
        assert!(died || at + 1 >= requests, "request {at}");
        check(Proxy::start(server()).storage(&bucket, PREFIX, 0), &watcher);
    });
    println!("object store: {} deaths between {requests} requests", cases.len());
}

#[test]
fn many_requests_go_wrong() {
    let campaigns: Vec<u64> = (0..if is_long() { 100 } else { 6 }).collect();
    let (all_requests, all_faults) = (AtomicUsize::new(0), AtomicUsize::new(0));
    in_parallel(&campaigns, |seed| {
        let (proxy, bucket) = (Proxy::start(server()), server().bucket());
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // One request of four.
        proxy.plan(move |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let chosen = (random >> 33) as usize;
            chosen.is_multiple_of(4).then(|| FAULTS[chosen / 4 % FAULTS.len()])
        });
        let storage = || proxy.storage(&bucket, PREFIX, 0).with_retries(20, Duration::from_secs(100));
        let mut watcher = Watcher::default();
        let mut program = Program::open(storage()).unwrap();
        for _ in 0..10 {
            program.checkpoint(&mut watcher).unwrap();
        }
        drop(program);
        let (requests, faults) = proxy.calm();
        all_requests.fetch_add(requests, Ordering::Relaxed);
        all_faults.fetch_add(faults, Ordering::Relaxed);
        check(proxy.storage(&bucket, PREFIX, 0), &watcher);
    });
    // A single campaign may be lucky.
    let (requests, faults) = (all_requests.into_inner(), all_faults.into_inner());
    assert!(faults * 8 > requests, "{faults} of {requests}");
}

/// Whether a request is a put of the head.
fn puts_head(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.target.ends_with("/head")
}

#[track_caller]
fn assert_fenced<T: std::fmt::Debug>(outcome: Result<T>, generations: (u64, u64)) {
    match outcome {
        Err(Error::Core(CoreError::Fenced { held, current })) => assert_eq!((held, current), generations),
        other => panic!("not fenced: {other:?}"),
    }
}

#[test]
fn a_lost_answer_to_a_swap_is_found_out() {
    for client_retries in [0, 3] {
        for fault in FAULTS {
            let (proxy, bucket) = (Proxy::start(server()), server().bucket());
            let mut storage = proxy.storage(&bucket, PREFIX, client_retries);
            for (expected, new) in [(None, "one"), (Some("one"), "two"), (Some("two"), "three")] {
                let mut is_first = true;
                proxy.plan(move |seen| (puts_head(seen) && std::mem::take(&mut is_first)).then_some(fault));
                let swapped = storage.swap_head(expected.map(str::as_bytes), new.as_bytes()).unwrap();
                assert!(swapped, "{fault:?}, {client_retries}");
                assert_eq!(proxy.calm().1, 1);
                assert_eq!(storage.read_head().unwrap().unwrap(), new.as_bytes());
            }
            assert!(!storage.swap_head(Some(b"two"), b"four").unwrap());
            assert!(!storage.swap_head(None, b"four").unwrap());
        }
    }
}

/// Both write the very same bytes: the head of the next generation. Only one of them may have it,
/// also if the answer to the other one, a refusal, is lost.
#[test]
fn of_two_that_open_at_once_one_is_refused_though_the_bytes_are_the_same() {
    for fault in [None, Some(Fault::LosesAnswer), Some(Fault::DoesAndSays(503, "SlowDown")), Some(Fault::Doubles)] {
        for is_new in [true, false] {
            let (slow, fast, bucket) = (Proxy::start(server()), Proxy::start(server()), server().bucket());
            if !is_new {
                CheckpointManager::open(fast.storage(&bucket, PREFIX, 0), config()).unwrap();
            }
            // The slow one has read the head; before it swaps, the fast one has opened.
            let (mut quick, mut is_first) = (Some(fast.storage(&bucket, PREFIX, 0)), true);
            slow.plan(move |seen| {
                if !puts_head(seen) || !std::mem::take(&mut is_first) {
                    return None;
                }
                drive(OpenWriter::new(), quick.as_mut().unwrap()).unwrap();
                fault
            });
            let mut storage = slow.storage(&bucket, PREFIX, 0);
            let outcome = drive(OpenWriter::new(), &mut storage);
            assert!(matches!(outcome, Err(CoreError::Fenced { .. })), "{fault:?}, {is_new}: {outcome:?}");
            slow.calm();
            let head = Head::from_bytes(&storage.read_head().unwrap().unwrap()).unwrap();
            assert_eq!(head.generation, if is_new { 1 } else { 2 });
        }
    }
}

/// It had the generation for a moment; by the time it asks whether it has, somebody else has the
/// next one. It is refused, as any other that was taken over, and its generation is nobody's.
#[test]
fn one_that_is_taken_over_before_it_knows_that_it_has_opened_is_refused() {
    for fault in [Fault::LosesAnswer, Fault::DoesAndSays(503, "SlowDown")] {
        let (slow, fast, bucket) = (Proxy::start(server()), Proxy::start(server()), server().bucket());
        let (mut quick, mut has_put) = (Some(fast.storage(&bucket, PREFIX, 0)), false);
        let (opened, has_opened) = channel();
        slow.plan(move |seen| {
            if puts_head(seen) && !has_put {
                has_put = true;
                return Some(fault);
            }
            if has_put && let Some(mut quick) = quick.take() {
                opened.send(drive(OpenWriter::new(), &mut quick).unwrap().head().generation).unwrap();
            }
            None
        });
        let outcome = drive(OpenWriter::new(), &mut slow.storage(&bucket, PREFIX, 0));
        assert!(matches!(outcome, Err(CoreError::Fenced { .. })), "{fault:?}: {outcome:?}");
        assert_eq!(has_opened.try_recv(), Ok(2), "{fault:?}: the first one's head was there");
    }
}

#[test]
fn of_many_that_open_at_once_each_has_a_generation_of_its_own() {
    // One for all of the threads.
    let server = server();
    let bucket = server.bucket();
    let rounds = if is_long() { 200 } else { 20 };
    for round in 0..rounds {
        let prefix = format!("round-{round}");
        let open = |writer: usize| {
            let proxy = Proxy::start(server);
            let fault = FAULTS[(round + writer) % FAULTS.len()];
            let mut is_first = true;
            proxy.plan(move |seen| (puts_head(seen) && std::mem::take(&mut is_first)).then_some(fault));
            drive(OpenWriter::new(), &mut proxy.storage(&bucket, &prefix, writer % 2 * 3))
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || open(writer))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let mut generations: Vec<u64> = outcomes.iter().flatten().map(|writer| writer.head().generation).collect();
        generations.sort_unstable();
        // A generation is nobody's if its writer was taken over before it knew that it had opened.
        assert!(generations.is_sorted_by(|one, next| one < next), "round {round}: {generations:?}");
        let mut storage = Proxy::start(server).storage(&bucket, &prefix, 0);
        let head = Head::from_bytes(&storage.read_head().unwrap().unwrap()).unwrap();
        assert_eq!(generations.last(), Some(&head.generation), "round {round}: who wrote the head knows it");
        let refused = |error: &CoreError| matches!(error, CoreError::Fenced { .. });
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().err().is_none_or(refused)), "{outcomes:?}");
    }
}

#[test]
fn a_zombie_that_wakes_after_the_take_over_changes_nothing() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut watcher = Watcher::default();
    let mut zombie = Program::open(proxy.storage(&bucket, PREFIX, 0)).unwrap();
    zombie.checkpoint(&mut watcher).unwrap();
    let mut second = Program::open(Proxy::start(server()).storage(&bucket, PREFIX, 0)).unwrap();
    second.manager.restore_latest(&mut second.holder).unwrap();
    second.checkpoint(&mut watcher).unwrap();
    let before = server().keys(&bucket, "");
    assert_fenced(zombie.manager.checkpoint(&mut zombie.holder, None), (1, 2));
    assert_fenced(zombie.manager.prune(Retention { max_retained: 1 }), (1, 2));
    let after = server().keys(&bucket, "");
    assert!(before.iter().all(|key| after.contains(key)));
    assert!(after.iter().all(|key| before.contains(key) || key.ends_with("-g1.efx")), "its own orphan, no more");
    second.checkpoint(&mut watcher).unwrap();
    drop(second);
    check(proxy.storage(&bucket, PREFIX, 0), &watcher);
}

/// The swap is on its way while another writer takes over, and arrives afterwards.
#[test]
fn a_swap_that_arrives_late_is_refused() {
    let (slow, bucket) = (Proxy::start(server()), server().bucket());
    let mut watcher = Watcher::default();
    let mut zombie = Program::open(slow.storage(&bucket, PREFIX, 0)).unwrap();
    zombie.checkpoint(&mut watcher).unwrap();
    let ((on_its_way, is_on_its_way), (go_on, may_go_on)) = (channel(), channel::<()>());
    let mut is_first = true;
    slow.plan(move |seen| {
        if puts_head(seen) && std::mem::take(&mut is_first) {
            on_its_way.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
        None
    });
    let publish = thread::spawn(move || {
        write(&mut zombie.holder, 77);
        zombie.manager.checkpoint(&mut zombie.holder, None)
    });
    is_on_its_way.recv().unwrap();
    let mut second = Program::open(Proxy::start(server()).storage(&bucket, PREFIX, 0)).unwrap();
    second.manager.restore_latest(&mut second.holder).unwrap();
    second.checkpoint(&mut watcher).unwrap();
    go_on.send(()).unwrap();
    assert_fenced(publish.join().unwrap(), (1, 2));
    second.checkpoint(&mut watcher).unwrap();
    drop(second);
    check(Proxy::start(server()).storage(&bucket, PREFIX, 0), &watcher);
}

#[test]
fn what_lasts_is_an_error_and_the_last_checkpoint_stays_good() {
    let (proxy, bucket) = (Proxy::start(server()), server().bucket());
    let mut watcher = Watcher::default();
    let mut program =
        Program::open(proxy.storage(&bucket, PREFIX, 0).with_retries(1, Duration::from_secs(60))).unwrap();
    program.checkpoint(&mut watcher).unwrap();
    for (fault, part) in [
        (Fault::Says(503, "SlowDown"), "SlowDown"),
        (Fault::Says(403, "AccessDenied"), "AccessDenied"),
        (Fault::Closes, "no connection"),
        (Fault::Says(412, "PreconditionFailed"), "PreconditionFailed"),
        (Fault::Says(400, "QuotaExceeded"), "free space"),
    ] {
        proxy.plan(move |seen| (seen.method == "PUT").then_some(fault));
        let error = program.checkpoint(&mut watcher).unwrap_err().to_string();
        assert!(error.contains(part), "{fault:?}: {error}");
        proxy.calm();
        // As soon as the store is back, so are we.
        program.checkpoint(&mut watcher).unwrap();
    }
    assert_eq!(program.manager.backend_mut().read("nothing", ByteRange::All).unwrap(), None);
    drop(program);
    check(proxy.storage(&bucket, PREFIX, 0), &watcher);
}

/// Credentials expire every few hours. Where there once were some, new ones are waited for.
#[test]
fn credentials_of_the_machine_may_be_late() {
    let (proxy, bucket, machine) = (Proxy::start(server()), server().bucket(), MetadataService::start());
    // Outside a cloud nobody answers, and that is told at once.
    machine.fail(1000);
    let error = proxy.storage_on(&machine, &bucket).read_head().unwrap_err().to_string();
    assert!(error.contains("set AWS_ACCESS_KEY_ID"), "{error}");
    assert_eq!(machine.fails_left(), 999);

    machine.fail(0);
    let mut storage = proxy.storage_on(&machine, &bucket);
    assert_eq!(storage.read_head().unwrap(), None);
    for lost in 1..4 {
        let (object, head) = (format!("object-{lost}"), format!("head-{lost}"));
        let before = storage.read_head().unwrap();
        let mut during = |operation: &mut dyn FnMut(&mut ObjectStoreBackend)| {
            machine.fail(lost);
            operation(&mut storage);
            assert_eq!(machine.fails_left(), 0);
        };
        during(&mut |storage| storage.put(&object, b"bytes").unwrap());
        during(&mut |storage| assert_eq!(storage.read(&object, ByteRange::All).unwrap().unwrap(), b"bytes"));
        during(&mut |storage| assert_eq!(storage.list().unwrap().len(), 1));
        during(&mut |storage| assert!(storage.swap_head(before.as_deref(), head.as_bytes()).unwrap()));
        during(&mut |storage| assert_eq!(storage.read_head().unwrap().unwrap(), head.as_bytes()));
        during(&mut |storage| storage.delete(&object).unwrap());
    }
    machine.fail(1000);
    storage = storage.with_retries(2, Duration::from_secs(60));
    let error = storage.read_head().unwrap_err().to_string();
    assert!(error.contains("still has its role"), "{error}");
    assert_eq!(machine.fails_left(), 997, "it was asked three times");
}
