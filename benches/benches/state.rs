//! Micro-benchmarks of tracked state: update against plain hashbrown, the cut, and checkpoints on one thread and two.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use eventflux_benches::{Numbers, Payload, PlainMap, filled_holder, filled_plain};
use eventflux_core::{CheckpointRequest, Compression, Executor, ObjectId, Task};

/// One of a million keys gets a new value: tracked, and the same encoding in a plain map; then many of them.
fn update(criterion: &mut Criterion) {
    const KEYS: u64 = 1_000_000;
    let mut group = criterion.benchmark_group("update one of 1 M keys");
    let mut plain: PlainMap = filled_plain(KEYS);
    let mut numbers = Numbers::new(1);
    group.bench_function("plain hashbrown", |bencher| {
        bencher.iter(|| {
            let (key, value) = (numbers.below(KEYS), Payload::new(numbers.next()));
            plain.set(&key.to_be_bytes(), black_box(&value));
        });
    });
    let mut holder = filled_holder(KEYS);
    let mut numbers = Numbers::new(1);
    group.bench_function("tracked", |bencher| {
        bencher.iter(|| {
            let (key, value) = (numbers.below(KEYS), Payload::new(numbers.next()));
            holder.set(key.to_be_bytes(), black_box(&value)).expect("there is no budget");
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("update 10,000 of 1 M keys");
    let mut some = || -> Vec<_> {
        (0..10_000).map(|_| (numbers.below(KEYS).to_be_bytes(), Payload::new(numbers.next()))).collect()
    };
    group.bench_function("one by one", |bencher| {
        bencher.iter_batched(
            &mut some,
            |entries| {
                for (key, value) in entries {
                    holder.set(key, &value).expect("there is no budget");
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("together", |bencher| {
        let update = |entries| holder.set_many(entries).expect("there is no budget");
        bencher.iter_batched(&mut some, update, BatchSize::LargeInput);
    });
    group.finish();
}

/// The cut, with all keys dirty.
fn begin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("begin, all keys dirty");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for keys in [10_000_u64, 1_000_000, 10_000_000] {
        let mut holder = filled_holder(keys);
        group.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let started = Instant::now();
                    holder.begin(black_box(CheckpointRequest::default())).expect("none is under way");
                    total += started.elapsed();
                    holder.abort().expect("one is under way");
                }
                total
            });
        });
    }
    group.finish();
}

/// Tasks on threads of their own.
struct Threads(usize);

impl Executor for Threads {
    fn parallelism(&self) -> usize {
        self.0
    }

    fn run(&self, mut tasks: Vec<Task<'_>>) {
        thread::scope(|scope| {
            let own = tasks.pop();
            tasks.into_iter().for_each(|task| drop(scope.spawn(task)));
            own.into_iter().for_each(|task| task());
        });
    }
}

/// A checkpoint of 10,000 changed keys of a million, with the bases that it renews, from capture to object.
fn encode(criterion: &mut Criterion) {
    const KEYS: u64 = 1_000_000;
    let mut group = criterion.benchmark_group("encode 10,000 of 1 M keys");
    group.sample_size(20);
    let mut holder = filled_holder(KEYS);
    let (mut numbers, mut id) = (Numbers::new(1), 0);
    let mut checkpoint = |executor: Threads| {
        for _ in 0..10_000 {
            holder.set(numbers.below(KEYS).to_be_bytes(), &Payload::new(numbers.next())).expect("there is no budget");
        }
        holder.begin(CheckpointRequest::default()).expect("none is under way");
        let capture = holder.take_capture().expect("one is under way");
        let started = Instant::now();
        let encoded = capture.into_object_on(&executor, ObjectId { id, generation: 1 }, Compression::Lz4);
        let time = started.elapsed();
        holder.commit(&encoded.expect("it is not that large")).expect("it is the one under way");
        id += 1;
        time
    };
    checkpoint(Threads(1));
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| checkpoint(Threads(threads))).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, update, begin, encode);
criterion_main!(benches);
