//! For how long a checkpoint stops a program, over the size of its state.

use std::thread;
use std::time::Instant;

use eventflux::storage::{Access, FileBackend};
use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend};
use eventflux_benches::{Numbers, Payload, filled_holder, memory};
use eventflux_core::{CheckpointRequest, StateHolder, StepProgress};

/// Captured between two turns of the loop, as the runtime does.
const STEP_BYTES: usize = 8 * 1024;
/// Keys captured for each size of state, so that small states have as many turns as large ones.
const KEYS_CAPTURED: u64 = 3_000_000;
const ROUNDS_MAX: u64 = 30;

/// Pauses at one size of state, all keys dirty; seconds.
#[derive(Debug)]
pub struct Pause {
    /// Size of the state.
    pub keys: u64,
    /// The cut of a first checkpoint.
    pub begin_first: f64,
    /// The cut of a later one, which also plans which key groups to renew.
    pub begin_later: f64,
    /// Turn of a loop while a checkpoint is under way, p99.9.
    pub most: f64,
    /// The same of those turns alone that work for it.
    pub most_working: f64,
    /// The longest turn.
    pub longest: f64,
}

/// Measures a state of so many keys.
pub fn measure(keys: u64) -> Pause {
    let (begin_first, begin_later) = begin_times(keys);
    memory::touch();
    let [most, most_working, longest] = stops(keys);
    Pause { keys, begin_first, begin_later, most, most_working, longest }
}

fn begin_times(keys: u64) -> (f64, f64) {
    let mut holder = filled_holder(keys);
    let first = begin_time(&mut holder);
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
    manager.checkpoint(&mut holder, None).expect("memory has room");
    drop(manager);
    for key in 0..keys {
        holder.set(key.to_be_bytes(), &Payload::new(key + 1)).expect("there is no budget");
    }
    (first, begin_time(&mut holder))
}

fn begin_time(holder: &mut StateHolder) -> f64 {
    let mut samples: Vec<f64> = (0..1000)
        .map(|_| {
            let started = Instant::now();
            holder.begin(CheckpointRequest::default()).expect("none is under way");
            let time = started.elapsed().as_secs_f64();
            holder.abort().expect("one is under way");
            time
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// A loop of updates while checkpoints with all keys dirty are captured, and published by another thread to files: how
/// long a turn of the loop takes: p99.9, p99.9 of those that cut, capture or commit, and at most.
fn stops(keys: u64) -> [f64; 3] {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backend = FileBackend::open(folder.path().join("state"), Access::Write).expect("it is ours");
    let mut manager = CheckpointManager::open(backend, ManagerConfig::default()).expect("it is new");
    let mut holder = filled_holder(keys);
    let mut numbers = Numbers::new(5);
    let (mut turns, mut others) = (Vec::<f32>::new(), Vec::<f32>::new());
    for _ in 0..(KEYS_CAPTURED / keys).clamp(1, ROUNDS_MAX) {
        for key in 0..keys {
            holder.set(key.to_be_bytes(), &Payload::new(numbers.next())).expect("there is no budget");
        }
        let mut turn = |holder: &mut StateHolder, work: &mut dyn FnMut(&mut StateHolder) -> bool| {
            let started = Instant::now();
            let key = numbers.below(keys);
            holder.set(key.to_be_bytes(), &Payload::new(key)).expect("there is no budget");
            (work(holder), started.elapsed().as_secs_f32())
        };
        turns.push(turn(&mut holder, &mut |holder| holder.begin(CheckpointRequest::default()).is_ok()).1);
        let mut done = false;
        while !done {
            let step = |holder: &mut StateHolder| holder.step(STEP_BYTES).is_ok_and(|step| step == StepProgress::Done);
            let (was_last, time) = turn(&mut holder, &mut { step });
            turns.push(time);
            done = was_last;
        }
        let mut capture = None;
        let take = |holder: &mut StateHolder| {
            capture = holder.take_capture().ok();
            true
        };
        turns.push(turn(&mut holder, &mut { take }).1);
        let capture = capture.expect("all was captured");
        let (encoded, back) = thread::scope(|scope| {
            let worker = scope.spawn(|| (manager.publish(capture), manager));
            while !worker.is_finished() {
                others.push(turn(&mut holder, &mut |_| true).1);
            }
            worker.join().expect("the worker does not panic")
        });
        manager = back;
        let (encoded, _) = encoded.expect("the disk has room");
        turns.push(turn(&mut holder, &mut |holder| holder.commit(&encoded).is_ok()).1);
    }
    let working = percentile(&mut turns, 0.999);
    turns.extend(others);
    [percentile(&mut turns, 0.999), working, percentile(&mut turns, 1.0)]
}

/// The time below which this share of turns is.
fn percentile(turns: &mut [f32], share: f64) -> f64 {
    turns.sort_by(f32::total_cmp);
    f64::from(turns[((turns.len() - 1) as f64 * share) as usize])
}
