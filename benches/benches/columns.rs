//! The columns of checkpoints, through the public API: state to the bytes of a first checkpoint (begin, step,
//! `into_object`; one core), and restore from memory to live state. Throughput is in bytes of bincode 1 rows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, Selector, config};
use eventflux_benches::{filled_holder, flights, rows};
use eventflux_core::{
    BufferedEvent, CheckpointRequest, Compression, Engine, Event, ObjectId, Progress, RestoreOptions, StateDescriptor,
    StateHolder, StateKind, StepProgress, WindowState,
};

const DAY_MS: i64 = 24 * 3_600_000;
const PLAIN_KEYS: u64 = 1_000_000;
/// A key of 8 bytes and a value of 16.
const PLAIN_BYTES: u64 = 24;
const AGGREGATION: &str = r#"
name = "columns"
[source]
file = "-"
timestamp = "time_hour"
[sink]
file = "-"
[[operator]]
name = "groups"
key = ["carrier", "dest", "hour", "origin"]
aggregate = { flights = "count", miles = "sum distance", mean_air = "avg air_time", spread = "stddev dep_delay",
  best = "min dep_delay", worst = "max dep_delay" }
"#;

fn windows(criterion: &mut Criterion) {
    let input = flights::january();
    let place = |field: &str| input.fields.iter().position(|other| other == field).expect("the flights have it");
    let (carrier, dest) = (place("carrier"), place("dest"));
    let mut windows: BTreeMap<(String, i64), Vec<Event>> = BTreeMap::new();
    for event in &input.events {
        let text = |place: usize| event.values[place].as_str().unwrap_or_default();
        let start = event.timestamp.div_euclid(DAY_MS) * DAY_MS;
        windows.entry((format!("{} {}", text(carrier), text(dest)), start)).or_default().push(event.clone());
    }
    let empty = || {
        let state = StateDescriptor::new("windows", StateKind::Windows, 1, "");
        StateHolder::builder("columns").state(state).build().expect("one state")
    };
    let mut holder = empty();
    let mut sequence = 0;
    for ((key, start), events) in &windows {
        let change = |state: &mut WindowState| {
            state.update(*start, |held| {
                held.set_end(start + DAY_MS);
                for event in events {
                    held.push_back(BufferedEvent { sequence, event: event.clone() });
                    sequence += 1;
                }
            });
        };
        let map = holder.windows_mut("windows").expect("it was declared");
        map.update(key.as_bytes(), WindowState::new, change).expect("there is no budget");
    }
    let bytes: usize = windows.iter().map(|((key, _), events)| rows::window_bytes(key.as_bytes(), events)).sum();
    let mut group = group(criterion, "columns: windows of flights, a day by carrier and destination", bytes as u64);
    encode_and_restore(&mut group, &mut holder, empty);
    group.finish();
}

fn aggregations(criterion: &mut Criterion) {
    let input = flights::january();
    let definition = config::parse(AGGREGATION, "columns").expect("a good definition");
    let mut engine = Engine::new(&definition, &input.fields).expect("a good definition");
    for event in input.events.clone() {
        engine.handle_event(event).expect("the flights are good");
        while engine.poll_output().is_some() {}
    }
    let groups = engine.holder().aggregations("groups").expect("it is the operator's");
    let bytes: usize = groups.iter().map(|(key, state)| rows::group_bytes(key, state.accumulators())).sum();
    let mut group = group(criterion, "columns: aggregations, six functions", bytes as u64);
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
    group.bench_function("encode", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let started = Instant::now();
                engine.begin_checkpoint(CheckpointRequest::default()).expect("all results were taken");
                to_object(engine.holder_mut());
                total += started.elapsed();
                engine.holder_mut().abort().expect("one is under way");
            }
            total
        });
    });
    manager.checkpoint_engine(&mut engine, None, Progress::default()).expect("memory has room");
    group.bench_function("restore", |bencher| {
        bencher.iter_batched(
            || Engine::new(&definition, &input.fields).expect("a good definition"),
            |mut live| {
                manager.restore_engine(&mut live, Selector::Latest).expect("it was published");
                live
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn plain(criterion: &mut Criterion) {
    let mut holder = filled_holder(PLAIN_KEYS);
    let mut group = group(criterion, "columns: 1 M plain values", PLAIN_KEYS * PLAIN_BYTES);
    let empty = || StateHolder::builder("bench").build().expect("the defaults are good");
    encode_and_restore(&mut group, &mut holder, empty);
    group.finish();
}

fn group<'a>(criterion: &'a mut Criterion, name: &str, bytes: u64) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::BytesDecimal(bytes));
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group
}

fn encode_and_restore(
    group: &mut BenchmarkGroup<'_, WallTime>,
    holder: &mut StateHolder,
    empty: impl Fn() -> StateHolder,
) {
    group.bench_function("encode", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let started = Instant::now();
                holder.begin(CheckpointRequest::default()).expect("none is under way");
                to_object(holder);
                total += started.elapsed();
                holder.abort().expect("one is under way");
            }
            total
        });
    });
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
    manager.checkpoint(holder, None).expect("memory has room");
    group.bench_function("restore", |bencher| {
        bencher.iter_batched(
            &empty,
            |mut live| {
                let options = RestoreOptions::default();
                eventflux::restore(manager.backend_mut(), &mut live, Selector::Latest, options)
                    .expect("it was published");
                live
            },
            BatchSize::PerIteration,
        );
    });
}

/// What follows the cut: all rows captured, and the bytes of the checkpoint.
fn to_object(holder: &mut StateHolder) {
    while holder.step(usize::MAX).expect("one is under way") == StepProgress::More {}
    let capture = holder.take_capture().expect("all was captured");
    capture.into_object(ObjectId { id: 0, generation: 1 }, Compression::Lz4).expect("within all limits");
}

criterion_group!(benches, windows, aggregations, plain);
criterion_main!(benches);
