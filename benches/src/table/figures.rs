//! The engine by itself: updates, pauses, throughput, memory.
//!
//! Ratios come from one run, both sides in turn, since machines are noisy.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eventflux::{CheckpointConfig, EventFluxManager};
use eventflux_benches::{Numbers, Payload, PlainMap, filled_holder, filled_plain, flights, with_commas};
use eventflux_core::StateHolder;

use crate::allocator::held_bytes;
use crate::markdown::{Goal, Table, figures, seconds};
use crate::pause::{self, Pause};
use crate::{Printed, Result, machine, plots};

const MILLION: u64 = 1_000_000;
/// The most that [`Goal`]s of the pause allow.
const BEGIN_MAX: f64 = 5e-6;
const STOP_MAX: f64 = 200e-6;
/// `begin` is flat if no number of keys takes so many times as long as another, beyond the steps of the clock.
const FLAT_MAX: f64 = 2.0;
const CLOCK_STEP: f64 = 200e-9;

/// Measures all of it.
pub fn measure() -> Result<Printed> {
    let before = machine::load();
    let mut goals = vec![update_ratio()];
    let pauses: Vec<Pause> = [10_000, 100_000, MILLION, 10 * MILLION].map(pause::measure).into();
    goals.extend([begin_times(&pauses), longest_stop(&pauses), flights_throughput(), memory_ratio()]);
    let mut table = Table::of_goals("figures", &goals);
    table.notes.push(machine::caption(&before));
    Ok(Printed { tables: vec![table], plots: vec![("pause.svg", plots::pause(&pauses)?)] })
}

/// One of a million keys: tracked over plain, in turns of 100,000 updates.
fn update_ratio() -> Goal {
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
    Goal {
        what: "updating one of 1 M keys, tracked, over plain `hashbrown`".into(),
        must_reach: "≤ 1.35×",
        measured: format!("{ratio:.2}× ({tracked:.0} ns over {plain:.0} ns; middle of 60 pairs)"),
        reached: vec![ratio <= 1.35],
    }
}

fn begin_times(pauses: &[Pause]) -> Goal {
    let list = |time: fn(&Pause) -> f64| pauses.iter().map(|pause| seconds(time(pause))).collect::<Vec<_>>().join(", ");
    let later: Vec<f64> = pauses.iter().map(|pause| pause.begin_later.max(CLOCK_STEP)).collect();
    let (least, most) =
        (later.iter().copied().fold(f64::INFINITY, f64::min), later.iter().copied().fold(0.0, f64::max));
    Goal {
        what: "`begin` at 10 k, 100 k, 1 M, 10 M keys, all dirty".into(),
        must_reach: "flat, ≤ 5 µs",
        measured: format!(
            "{} the first time; {} later, when it plans compaction",
            list(|pause| pause.begin_first),
            list(|pause| pause.begin_later)
        ),
        reached: vec![most <= BEGIN_MAX && most <= FLAT_MAX * least],
    }
}

fn longest_stop(pauses: &[Pause]) -> Goal {
    let stop = |pause: &Pause| [pause.most, pause.most_working, pause.longest].map(seconds).join(", ");
    Goal {
        what: "stop of the loop during a checkpoint, the same keys, all dirty".into(),
        must_reach: "≤ 200 µs at p99.9",
        measured: format!(
            "p99.9, of the turns that work for it, longest: {}",
            pauses.iter().map(stop).collect::<Vec<_>>().join("; ")
        ),
        reached: pauses.iter().map(|pause| pause.most <= STOP_MAX).collect(),
    }
}

fn flights_throughput() -> Goal {
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
    Goal {
        what: "the flights application, four months, checkpoint each second, one core for the engine".into(),
        must_reach: "≥ 500,000 events/s",
        measured: format!(
            "{} from CSV file to results in a file; {} the engine alone",
            with_commas(whole as u64),
            with_commas(engine_only as u64)
        ),
        reached: vec![whole >= 500_000.0],
    }
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

fn memory_ratio() -> Goal {
    let a_key = |bytes: f64| bytes / MILLION as f64;
    let plain = a_key(held_bytes(&|| Box::new(filled_plain(MILLION))));
    let tracked = a_key(held_bytes(&|| Box::new(filled_holder(MILLION))));
    Goal {
        what: "memory per key, 1 M keys (8-byte keys, 16-byte values), over plain `hashbrown`".into(),
        must_reach: "≤ 1.6×",
        measured: format!(
            "{:.2}× ({} bytes over {}, all keys dirty)",
            tracked / plain,
            figures(tracked),
            figures(plain)
        ),
        reached: vec![tracked <= 1.6 * plain],
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
