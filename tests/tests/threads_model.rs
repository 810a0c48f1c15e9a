//! The hand-off to the checkpoint thread, and the threads of a restore, under a randomised scheduler (shuttle): the
//! very files of the host, with threads, channels and locks whose steps it orders. Thousands of schedules, drawn at
//! random and by priorities (PCT), the same ones each time.

#[path = "../../host/src/threads/handoff.rs"]
mod handoff;
#[path = "../../host/src/threads/tasks.rs"]
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
use eventflux_core::{
    Backend, ByteRange, CheckpointRequest, EncodedCheckpoint, Error, ObjectInfo, Published, Result, StepProgress,
};
use handoff::{Gone, HandOff};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use tasks::run_tasks;

/// What `host/src/threads/sync.rs` is for the host.
mod sync {
    use shuttle::rand::{Rng, thread_rng};

    pub use shuttle::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
    pub use shuttle::sync::{Mutex, PoisonError};
    pub use shuttle::thread::{Builder, JoinHandle, Scope, scope};

    /// Now and then no thread can be had.
    pub fn try_spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> bool {
        let can = thread_rng().gen_range(0..4) > 0;
        if can {
            scope.spawn(work);
        }
        can
    }
}

/// Changes of priority in one run, for the schedules of PCT.
const PCT_DEPTH: usize = 3;

const SEED: u64 = 0x5eed;

/// Threads of the model have room for what is not optimised: shuttle gives them 32 KiB.
fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1024 * 1024;
    config
}

/// Runs a scenario in many orders of steps. Those that wait for each other without end, or without
/// anyone to wait for, fail.
fn explore(name: &str, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let times = if std::env::var_os("EVENTFLUX_LONG").is_some() { 200_000 } else { 2_000 };
    let explored = Arc::new(AtomicUsize::new(0));
    let counted = |scenario: &(dyn Fn() + Send + Sync), explored: &AtomicUsize| {
        scenario();
        explored.fetch_add(1, Ordering::Relaxed);
    };
    for pct in [false, true] {
        let (scenario, explored) = (scenario.clone(), explored.clone());
        let run = move || counted(&scenario, &explored);
        if pct {
            Runner::new(PctScheduler::new_from_seed(SEED, PCT_DEPTH, times), config()).run(run);
        } else {
            Runner::new(RandomScheduler::new_from_seed(SEED, times), config()).run(run);
        }
    }
    let explored = explored.load(Ordering::Relaxed);
    assert_eq!(explored, 2 * times);
    println!("threads: {explored} orders of `{name}`");
}

#[test]
fn every_job_has_one_outcome_in_order() {
    explore("jobs", || {
        let worker = HandOff::start("worker", |job: u32| Some(10 * job)).unwrap();
        let mut outcomes = Vec::new();
        for job in 0..4 {
            worker.hand_over(job).unwrap();
            // Asked once; then the next job follows, or this one is waited for.
            if job % 2 == 0 {
                outcomes.extend(worker.poll());
            }
        }
        while outcomes.len() < 4 {
            outcomes.push(worker.wait());
        }
        assert_eq!(outcomes, [Ok(0), Ok(10), Ok(20), Ok(30)]);
        assert_eq!(worker.poll(), None);
    });
}

#[test]
fn a_drop_waits_for_the_job_in_hand() {
    explore("drop", || {
        let done = Arc::new(shuttle::sync::Mutex::new(Vec::new()));
        let durable = done.clone();
        let work = move |job: u32| {
            shuttle::thread::yield_now();
            durable.lock().unwrap().push(job);
            Some(())
        };
        let worker = HandOff::start("worker", work).unwrap();
        (0..3).for_each(|job| worker.hand_over(job).unwrap());
        drop(worker);
        assert_eq!(*done.lock().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn a_thread_that_dies_leaves_nobody_waiting() {
    explore("death", || {
        let worker = HandOff::start("worker", |job: u32| (job != 1).then_some(job)).unwrap();
        assert_eq!(worker.hand_over(0), Ok(()));
        assert_eq!(worker.wait(), Ok(0));
        assert_eq!(worker.hand_over(1), Ok(()));
        let polled = worker.poll();
        assert!([None, Some(Err(Gone))].contains(&polled));
        assert_eq!(worker.wait(), Err(Gone));
        assert_eq!(worker.poll(), Some(Err(Gone)));
        assert_eq!(worker.hand_over(2), Err(Gone));
        assert_eq!(worker.wait(), Err(Gone));
    });
}

/// A storage that fails now and then.
#[derive(Default)]
struct Failing {
    storage: MemoryBackend,
    /// Calls that may fail, and which of them do.
    calls: u64,
    failing: u64,
}

impl Failing {
    fn pass(&mut self) -> Result<()> {
        shuttle::thread::yield_now();
        self.calls += 1;
        if self.failing >> (self.calls % 8) & 1 == 0 {
            return Ok(());
        }
        Err(Error::Storage { operation: "put", object: "a test".into(), reason: "a test".into() })
    }
}

impl Backend for Failing {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        self.pass()?;
        self.storage.put(object, bytes)
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.storage.read(object, range)
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        self.storage.list()
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.storage.delete(object)
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.storage.read_head()
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        self.pass()?;
        self.storage.swap_head(expected, new)
    }
}

type Outcome = eventflux::Result<(EncodedCheckpoint, Published)>;

/// Tells the holder how its checkpoint went; whether it is durable.
fn ended(holder: &mut StateHolder, outcome: Outcome) -> bool {
    match outcome {
        Ok((encoded, _)) => holder.commit(&encoded).is_ok(),
        Err(_) => {
            holder.abort().unwrap();
            false
        }
    }
}

/// As the loop of a run does it: cut, capture between writes, hand over, go on writing, take the
/// outcome. What fails is an abort, after which nothing is lost.
#[test]
fn a_checkpoint_that_fails_is_an_abort() {
    explore("checkpoints", || {
        let mut manager = CheckpointManager::open(Failing::default(), ManagerConfig::default()).unwrap();
        manager.backend_mut().failing = thread_rng().gen_range(0..256);
        let manager = Arc::new(Mutex::new(manager));
        let publisher = manager.clone();
        let work = move |capture| {
            let mut manager = publisher.try_lock().expect("nobody else has it while a job is in hand");
            Some(manager.publish(capture))
        };
        let worker = HandOff::start("checkpoint", work).unwrap();
        let mut holder = StateHolder::builder("model").key_groups(2).build().unwrap();
        let (mut number, mut durable) = (0_u32, None);
        for _ in 0..4 {
            let mut write = |holder: &mut StateHolder| {
                number += 1;
                holder.set([number as u8 % 3], &number).unwrap();
            };
            write(&mut holder);
            let at_cut = eventflux_core::contents(&holder).unwrap();
            holder.begin(CheckpointRequest::default()).unwrap();
            while holder.step(1).unwrap() != StepProgress::Done {
                write(&mut holder);
            }
            worker.hand_over(holder.take_capture().unwrap()).unwrap();
            write(&mut holder);
            let outcome = match worker.poll() {
                Some(outcome) => outcome,
                None => {
                    write(&mut holder);
                    worker.wait()
                }
            };
            if ended(&mut holder, outcome.expect("it lives")) {
                durable = Some(at_cut);
            }
        }
        drop(worker);
        let mut manager = Arc::into_inner(manager).expect("the thread is gone").into_inner().unwrap();
        // Whatever failed: the newest is the last that was told to be durable, and the next one has all.
        manager.backend_mut().failing = 0;
        let mut restored = StateHolder::builder("model").build().unwrap();
        if let Some(durable) = durable {
            let entry = manager.latest().expect("one is durable").object.id;
            manager.restore(&mut restored, entry).unwrap();
            assert_eq!(eventflux_core::contents(&restored).unwrap(), durable);
        }
        let entry = manager.checkpoint(&mut holder, None).unwrap();
        manager.restore(&mut restored, entry.object.id).unwrap();
        assert_eq!(eventflux_core::contents(&restored).unwrap(), eventflux_core::contents(&holder).unwrap());
    });
}

#[test]
fn every_task_is_run_once() {
    explore("tasks", || {
        let counts: Vec<AtomicUsize> = (0..5).map(|_| AtomicUsize::new(0)).collect();
        let task = |count: &'_ AtomicUsize| {
            shuttle::thread::yield_now();
            count.fetch_add(1, Ordering::Relaxed);
        };
        let task = &task;
        run_tasks(
            counts.iter().map(|count| -> Box<dyn FnOnce() + Send + '_> { Box::new(move || task(count)) }).collect(),
        );
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        run_tasks(Vec::new());
    });
}

/// The model finds what is wrong: what holds in one order only, and who waits for ever. It prints how it failed.
#[test]
fn the_model_tells_right_from_wrong() {
    let fails = |scenario: fn()| {
        let runner = Runner::new(RandomScheduler::new_from_seed(SEED, 1000), config());
        assert!(catch_unwind(AssertUnwindSafe(|| runner.run(scenario))).is_err());
    };
    fails(|| {
        let worker = HandOff::start("worker", |job: u32| Some(job)).unwrap();
        worker.hand_over(1).unwrap();
        // Not so in every order.
        assert_eq!(worker.poll(), None);
    });
    fails(|| {
        let worker = HandOff::start("worker", |job: u32| Some(job)).unwrap();
        // Nothing was handed over.
        let _ = worker.wait();
    });
}
