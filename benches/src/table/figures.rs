//! Prints the figures of the README: `cargo run --release -p eventflux-benches --bin figures`.
//!
//! Ratios come from one run, both sides in turn, since machines are noisy.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use eventflux::storage::{Access, FileBackend};
use eventflux::{CheckpointConfig, CheckpointManager, EventFluxManager, ManagerConfig, MemoryBackend};
use eventflux_benches::{Numbers, Payload, PlainMap, filled_holder, filled_plain, flights};
use eventflux_core::{CheckpointRequest, StateHolder, StepProgress};
use mimalloc::MiMalloc;

const MILLION: u64 = 1_000_000;

fn main() {
    println!("{}\n", machine());
    println!("| what | must reach | measured |\n|---|---|---|");
    update_ratio();
    begin_times();
    longest_stop();
    flights_throughput();
    memory_ratio();
}

fn row(what: &str, bound: &str, measured: &str) {
    println!("| {what} | {bound} | {measured} |");
}

/// One of a million keys: tracked over plain, in turns of 100,000 updates.
fn update_ratio() {
    const TURN: u64 = 100_000;
    let (mut plain, mut holder): (PlainMap, StateHolder) = (filled_plain(MILLION), filled_holder(MILLION));
    let (mut numbers_plain, mut numbers_tracked) = (Numbers::new(1), Numbers::new(1));
    let mut turns: Vec<(f64, f64)> = Vec::new();
    for _ in 0..60 {
        let started = Instant::now();
        for _ in 0..TURN {
            let (key, value) = (numbers_plain.below(MILLION), Payload::new(numbers_plain.next()));
            plain.set(&key.to_be_bytes(), black_box(&value));
        }
        let plain_time = started.elapsed();
        let started = Instant::now();
        for _ in 0..TURN {
            let (key, value) = (numbers_tracked.below(MILLION), Payload::new(numbers_tracked.next()));
            holder.set(key.to_be_bytes(), black_box(&value)).expect("there is no budget");
        }
        let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / TURN as f64;
        turns.push((nanoseconds(plain_time), nanoseconds(started.elapsed())));
    }
    let plain = median(turns.iter().map(|turn| turn.0));
    let tracked = median(turns.iter().map(|turn| turn.1));
    let ratio = median(turns.iter().map(|turn| turn.1 / turn.0));
    let measured = format!("{ratio:.2}× (median of 60 pairs; {tracked:.0} ns over {plain:.0} ns)");
    row("updating one of 1 M keys, tracked, over plain `hashbrown`", "≤ 1.35×", &measured);
}

/// The cut of a first checkpoint, and of a later one, which also plans which key groups to renew.
fn begin_times() {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for keys in [10_000, MILLION, 10 * MILLION] {
        let mut holder = filled_holder(keys);
        first.push(format!("{:.0}", begin_time(&mut holder)));
        let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
        manager.checkpoint(&mut holder, None).expect("memory has room");
        for key in 0..keys {
            holder.set(key.to_be_bytes(), &Payload::new(key + 1)).expect("there is no budget");
        }
        later.push(format!("{:.0}", begin_time(&mut holder)));
    }
    let measured = format!("the first {} ns, later ones {} ns", first.join(", "), later.join(", "));
    row("`begin` at 10 k, 1 M, 10 M keys, all dirty", "flat, ≤ 5 µs", &measured);
}

fn begin_time(holder: &mut StateHolder) -> f64 {
    let samples = (0..1000).map(|_| {
        let started = Instant::now();
        holder.begin(CheckpointRequest::default()).expect("none is under way");
        let time = started.elapsed().as_secs_f64() * 1e9;
        holder.abort().expect("one is under way");
        time
    });
    median(samples.collect::<Vec<_>>().into_iter())
}

/// A loop of updates while a checkpoint of a million dirty keys is captured, and published by
/// another thread to files: how long a turn of the loop takes.
fn longest_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backend = FileBackend::open(folder.path().join("state"), Access::Write).expect("it is ours");
    let mut manager = CheckpointManager::open(backend, ManagerConfig::default()).expect("it is new");
    let mut holder = filled_holder(MILLION);
    let mut numbers = Numbers::new(5);
    let mut turns: Vec<f64> = Vec::new();
    for _ in 0..3 {
        for key in 0..MILLION {
            holder.set(key.to_be_bytes(), &Payload::new(numbers.next())).expect("there is no budget");
        }
        let mut write = |holder: &mut StateHolder| {
            let key = numbers.below(MILLION);
            holder.set(key.to_be_bytes(), &Payload::new(key)).expect("there is no budget");
        };
        let mut turn = |holder: &mut StateHolder, work: &mut dyn FnMut(&mut StateHolder) -> bool| {
            let started = Instant::now();
            write(holder);
            let done = work(holder);
            turns.push(started.elapsed().as_secs_f64() * 1e6);
            done
        };
        turn(&mut holder, &mut |holder| holder.begin(CheckpointRequest::default()).is_ok());
        while !turn(&mut holder, &mut |holder| holder.step(8 * 1024).is_ok_and(|step| step == StepProgress::Done)) {}
        let mut capture = None;
        turn(&mut holder, &mut |holder| {
            capture = holder.take_capture().ok();
            true
        });
        let capture = capture.expect("all was captured");
        let (encoded, back) = thread::scope(|scope| {
            let worker = scope.spawn(|| (manager.publish(capture), manager));
            while !worker.is_finished() {
                turn(&mut holder, &mut |_| true);
            }
            worker.join().expect("the worker does not panic")
        });
        manager = back;
        let (encoded, _) = encoded.expect("the disk has room");
        turn(&mut holder, &mut |holder| holder.commit(&encoded).is_ok());
    }
    turns.sort_by(f64::total_cmp);
    let at = |share: f64| turns[((turns.len() - 1) as f64 * share) as usize];
    let measured = format!(
        "p99.9 {:.0} µs, p99.99 {:.0} µs, longest {:.0} µs ({} turns)",
        at(0.999),
        at(0.9999),
        at(1.0),
        turns.len()
    );
    row("longest stop of the loop during a checkpoint, 1 M keys all dirty", "≤ 200 µs at p99.9", &measured);
}

fn flights_throughput() {
    let files = flights::four_months();
    // All of it as one plain file, so that the source is one.
    let work = tempfile::tempdir().expect("a temporary folder");
    let input = flights::load(&files);
    let rates = (0..5).map(|_| {
        let (mut engine, events) = (input.engine(), input.events.clone());
        let count = events.len() as f64;
        let started = Instant::now();
        black_box(flights::run(&mut engine, events));
        count / started.elapsed().as_secs_f64()
    });
    let engine_only = median(rates.collect::<Vec<_>>().into_iter());
    let joined = work.path().join("flights.csv");
    join(&files, &joined);
    let rates = (0..5).map(|run| {
        let mut definition = input.definition.clone();
        definition.source.file = joined.display().to_string();
        definition.sink.file = work.path().join(format!("out-{run}.ndjson")).display().to_string();
        let checkpoints = CheckpointConfig {
            storage: Some(format!("file:{}", work.path().join(format!("state-{run}")).display())),
            interval: Some(Duration::from_secs(1)),
            ..CheckpointConfig::default()
        };
        let runtime = EventFluxManager::new().create_runtime(definition).expect("a good definition");
        let summary = runtime.with_checkpoint_config(checkpoints).start().expect("it runs");
        summary.events as f64 / summary.elapsed.as_secs_f64()
    });
    let whole = median(rates.collect::<Vec<_>>().into_iter());
    let measured = format!(
        "{:.0} events/s, whole run from CSV file to results in a file; {:.0} events/s the engine alone ({} events)",
        whole,
        engine_only,
        input.events.len()
    );
    row(
        "the flights application, four months, checkpoint each second, one core for the engine",
        "≥ 500,000 events/s",
        &measured,
    );
}

fn join(files: &[PathBuf], joined: &std::path::Path) {
    use std::io::{BufRead, BufReader, Write};
    let mut out = std::io::BufWriter::new(std::fs::File::create(joined).expect("a new file"));
    for (number, file) in files.iter().enumerate() {
        let decoder = flate2::read::MultiGzDecoder::new(std::fs::File::open(file).expect("it was found"));
        for line in BufReader::new(decoder).lines().skip(usize::from(number > 0)) {
            writeln!(out, "{}", line.expect("good text")).expect("the disk has room");
        }
    }
    out.flush().expect("the disk has room");
}

fn memory_ratio() {
    let bytes = |fill: &dyn Fn() -> Box<dyn std::any::Any>| {
        ALLOCATED.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        let held = fill();
        COUNTS.store(false, Ordering::Relaxed);
        drop(held);
        ALLOCATED.load(Ordering::Relaxed) as f64 / MILLION as f64
    };
    let plain = bytes(&|| Box::new(filled_plain(MILLION)));
    let tracked = bytes(&|| Box::new(filled_holder(MILLION)));
    let measured = format!("{:.2}× ({tracked:.1} bytes over {plain:.1}, all keys dirty)", tracked / plain);
    row("memory per key of a 1 M key holder (8-byte keys, 16-byte values)", "≤ 1.6×", &measured);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Processor, cores and system, as the machine itself tells.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", model.trim_start_matches(['\t', ' ', ':']), std::env::consts::OS)
}

/// Bytes allocated and not freed while [`COUNTS`] was set.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
/// Only while memory is measured: counting makes threads wait for one another.
static COUNTS: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

/// The allocator of the command, which this measures.
static ALLOCATOR: MiMalloc = MiMalloc;

impl Counting {
    fn count(allocated: usize, freed: usize) {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATED.fetch_add(allocated.wrapping_sub(freed), Ordering::Relaxed);
        }
    }
}

#[expect(unsafe_code, reason = "an allocator that counts has to be one; it hands on to another")]
// SAFETY: every call goes to the other allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size(), 0);
        // SAFETY: as the caller promised.
        unsafe { ALLOCATOR.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Counting::count(0, layout.size());
        // SAFETY: as the caller promised.
        unsafe { ALLOCATOR.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Counting::count(new_size, layout.size());
        // SAFETY: as the caller promised.
        unsafe { ALLOCATOR.realloc(block, layout, new_size) }
    }
}
