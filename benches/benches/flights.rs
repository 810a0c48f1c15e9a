//! The flights application on one thread: parsed events through the engine, and a checkpoint in the
//! middle of it, against the engine without any.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eventflux_benches::flights;

fn engine(criterion: &mut Criterion) {
    let input = flights::january();
    let mut group = criterion.benchmark_group("flights, January");
    group.throughput(Throughput::Elements(input.events.len() as u64));
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("engine, one thread", |bencher| {
        bencher.iter_batched(
            || (input.engine(), input.events.clone()),
            |(mut engine, events)| black_box(flights::run(&mut engine, events)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
