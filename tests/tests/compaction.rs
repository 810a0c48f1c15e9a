//! Both bounds of compaction over 10,000 checkpoints: what is written stays ≤ 2 × the dirty bytes,
//! what a restore reads stays ≤ 2.5 × the live state. Prints the ratios.

#[path = "common/random.rs"]
mod random;

use std::io::{Write, stdout};

use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{
    Backend, CheckpointRequest, Compression, Engine, Event, MemoryBackend, OpenWriter, Publish, ReadManifest, Restore,
    RestoreOptions, Retention, Selector, StateHolder, StepProgress, Writer, drive,
};
use random::Random;

const CHECKPOINTS: u64 = 10_000;
const WRITTEN_MAX: f64 = 2.0;
const READ_MAX: f64 = 2.5;
/// What a checkpoint may write at once beyond twice the dirty bytes, however large the state is, if as much comes each
/// time; and what may be written in all beyond that, whatever comes.
const AT_ONCE_BYTES_MAX: u64 = 5 * (8 * 128 * 1024) / 4;

/// Small numbers far more often than large ones: about a tenth of the keys get most writes.
fn skewed_below(numbers: &mut Random, bound: u64) -> u64 {
    let unit = numbers.next() as f64 / u64::MAX as f64;
    ((unit.powi(6)) * bound as f64) as u64 % bound
}

struct Ratios {
    /// Raw bytes of sections over raw bytes of dirty rows.
    sections: f64,
    /// All bytes of all objects, manifests and heads of files included, over the same.
    all_bytes: f64,
    read_worst: f64,
    read_mean: f64,
    /// Largest object over the mean one.
    spike: f64,
}

/// Runs checkpoints over `keys` keys; `change` makes the writes of one interval.
fn run(keys: u64, mut change: impl FnMut(&mut StateHolder, &mut Random)) -> Ratios {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut holder = StateHolder::builder("compaction").build().unwrap();
    let mut numbers = Random::new(7);
    for key in 0..keys {
        holder.set(key.to_be_bytes(), &value(numbers.next())).unwrap();
    }
    checkpoint(&mut holder, &mut writer, &mut storage);
    let (mut dirty, mut sections, mut all, mut largest) = (0, 0, 0, 0);
    let (mut read_worst, mut read_sum) = (0.0_f64, 0.0);
    let mut live = live_raw(&holder);
    for number in 0..CHECKPOINTS {
        change(&mut holder, &mut numbers);
        let entry = checkpoint(&mut holder, &mut writer, &mut storage);
        dirty += entry.sizes.dirty;
        sections += entry.sizes.delta_raw + entry.sizes.base_raw;
        all += entry.object_bytes;
        largest = entry.object_bytes.max(largest);
        if number % 500 == 0 {
            live = live_raw(&holder);
        }
        let read = entry.sizes.restore_raw as f64 / live as f64;
        read_worst = read_worst.max(read);
        read_sum += read;
    }
    // What was promised restores: the same keys and values.
    let mut restored = StateHolder::builder("compaction").build().unwrap();
    drive(Restore::new(&mut restored, Selector::Latest, RestoreOptions::default()), &mut storage).unwrap();
    assert_eq!(restored.values().len(), holder.values().len());
    assert!(holder.values().iter().all(|(key, value)| restored.values().get(key) == Some(value)));
    Ratios {
        sections: sections as f64 / dirty as f64,
        all_bytes: all as f64 / dirty as f64,
        read_worst,
        read_mean: read_sum / CHECKPOINTS as f64,
        spike: largest as f64 / (all as f64 / CHECKPOINTS as f64),
    }
}

fn value(number: u64) -> (u64, u64) {
    (number | 1 << 63, number.rotate_left(32) | 1 << 63)
}

fn checkpoint(
    holder: &mut StateHolder,
    writer: &mut Writer,
    storage: &mut MemoryBackend,
) -> eventflux_core::CatalogEntry {
    holder.begin(CheckpointRequest::default()).unwrap();
    complete(holder, writer, storage)
}

/// Takes the checkpoint that has begun.
fn complete(
    holder: &mut StateHolder,
    writer: &mut Writer,
    storage: &mut MemoryBackend,
) -> eventflux_core::CatalogEntry {
    while holder.step(1 << 20).unwrap() == StepProgress::More {}
    let capture = holder.take_capture().unwrap();
    // Stored as they are, so that object bytes and raw bytes are one measure.
    let mut encoded = capture.into_object(writer.next_object(), Compression::None).unwrap();
    let publish = Publish::new(writer, &mut encoded, Retention { max_retained: 2 }).unwrap();
    let published = drive(publish, storage).unwrap();
    holder.commit(&encoded).unwrap();
    published.entry
}

/// Raw bytes of the live state: those of a first checkpoint of the same content.
fn live_raw(holder: &StateHolder) -> u64 {
    let mut copy = StateHolder::builder("live").build().unwrap();
    for (key, value) in holder.values().iter() {
        copy.set_encoded(key, value.as_bytes()).unwrap();
    }
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    checkpoint(&mut copy, &mut writer, &mut storage).sizes.base_raw
}

fn report(workload: &str, ratios: &Ratios) {
    // What is printed by a macro is shown of tests that fail only.
    let line = format!(
        "{workload:24} written {:.3} × dirty (with manifests {:.3}), read {:.3} × live at most, {:.3} on average, largest checkpoint {:.2} × the mean\n",
        ratios.sections, ratios.all_bytes, ratios.read_worst, ratios.read_mean, ratios.spike
    );
    stdout().write_all(line.as_bytes()).unwrap();
    assert!(ratios.sections <= WRITTEN_MAX, "{workload}: written {}", ratios.sections);
    assert!(ratios.read_worst <= READ_MAX, "{workload}: read {}", ratios.read_worst);
}

#[test]
fn uniform() {
    let ratios = run(100_000, |holder, numbers| {
        for _ in 0..1000 {
            holder.set(numbers.below(100_000).to_be_bytes(), &value(numbers.next())).unwrap();
        }
    });
    report("uniform, 1 % written", &ratios);
    assert!(ratios.all_bytes <= WRITTEN_MAX, "with manifests {}", ratios.all_bytes);
}

#[test]
fn skewed() {
    let ratios = run(100_000, |holder, numbers| {
        for _ in 0..2000 {
            holder.set(skewed_below(numbers, 100_000).to_be_bytes(), &value(numbers.next())).unwrap();
        }
    });
    report("skewed, 2 % written", &ratios);
    assert!(ratios.all_bytes <= WRITTEN_MAX, "with manifests {}", ratios.all_bytes);
}

#[test]
fn growing_and_shrinking() {
    let mut oldest = 0_u64;
    let mut newest = 20_000_u64;
    let mut number = 0_u64;
    let ratios = run(20_000, |holder, numbers| {
        number += 1;
        // Three phases in turn: steady, growing, shrinking to a fifth.
        let (added, removed) = match number / 100 % 3 {
            0 => (150, 150),
            1 => (300, 100),
            _ => (50, 250),
        };
        for _ in 0..added {
            holder.set(newest.to_be_bytes(), &value(numbers.next())).unwrap();
            newest += 1;
        }
        for _ in 0..removed.min(newest - oldest - 1000) {
            holder.remove(oldest.to_be_bytes()).unwrap();
            oldest += 1;
        }
    });
    println!("(live bytes are measured every 500 checkpoints in this one, so its read ratio is rough)");
    assert!(ratios.sections <= WRITTEN_MAX, "written {}", ratios.sections);
}

/// A job begins with a checkpoint of nothing, and grows: at no time is all of it written at once.
#[test]
fn growing_from_nothing() {
    for (added, checkpoints) in [(500, 1200), (5000, 300), (50_000, 40)] {
        let mut storage = MemoryBackend::new();
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut holder = StateHolder::builder("growing").build().unwrap();
        let mut numbers = Random::new(11);
        checkpoint(&mut holder, &mut writer, &mut storage);
        let (mut keys, mut dirty, mut written) = (0_u64, 0, 0);
        for number in 0..checkpoints {
            // Half of the time it grows; then as many of those that are there change.
            for _ in 0..added {
                let key = if number < checkpoints / 2 { keys } else { numbers.below(keys) };
                keys = keys.max(key + 1);
                holder.set(key.to_be_bytes(), &value(numbers.next())).unwrap();
            }
            let sizes = checkpoint(&mut holder, &mut writer, &mut storage).sizes;
            let now = sizes.delta_raw + sizes.base_raw;
            assert!(now <= 2 * sizes.dirty + AT_ONCE_BYTES_MAX, "{added} a time, checkpoint {number}: {now} bytes");
            dirty += sizes.dirty;
            written += now;
            assert!(written <= 2 * dirty + AT_ONCE_BYTES_MAX, "{added} a time, checkpoint {number}: {written} bytes");
        }
        let (read, live) = (writer.head().entries.last().unwrap().sizes.restore_raw, live_raw(&holder));
        assert!(read as f64 <= READ_MAX * live as f64, "{added} a time: {read} bytes for {live}");
    }
}

/// A key group is never divided, so that a heavy one shares its base with those before it, however often that is renewed:
/// the others get their turns all the same.
#[test]
fn one_heavy_key() {
    let mut numbers = Random::new(5);
    let mut random_bytes = move |len: u64| (0..len).map(|_| numbers.next() as u8).collect::<Vec<u8>>();
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut holder = StateHolder::builder("heavy").build().unwrap();
    holder.set_encoded(b"heavy", &random_bytes(2 << 20)).unwrap();
    (0..2000_u64).for_each(|key| holder.set_encoded(&key.to_be_bytes(), &random_bytes(100)).unwrap());
    checkpoint(&mut holder, &mut writer, &mut storage);
    let live = live_raw(&holder);
    for number in 0..1000 {
        for key in (0..200).map(|at| (number * 200 + at) % 2000) {
            holder.set_encoded(&u64::to_be_bytes(key), &random_bytes(100)).unwrap();
        }
        let read = checkpoint(&mut holder, &mut writer, &mut storage).sizes.restore_raw;
        assert!(read as f64 <= READ_MAX * live as f64, "checkpoint {number}: {read} bytes for {live}");
    }
}

/// Whatever comes in whatever order: writing keeps to its bound all the time, reading does once what is there has changed
/// for a while.
#[test]
fn any_turns() {
    let mut turns = 0;
    for seed in 0..6 {
        let mut numbers = Random::new(seed);
        let mut storage = MemoryBackend::new();
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut holder = StateHolder::builder("turns").build().unwrap();
        let (mut first, mut next, mut dirty, mut written) = (0_u64, 1_u64, 0, 0);
        let mut step = |holder: &mut StateHolder, writer: &mut Writer| {
            let sizes = checkpoint(holder, writer, &mut storage).sizes;
            dirty += sizes.dirty;
            written += sizes.delta_raw + sizes.base_raw;
            assert!(written <= 2 * dirty + AT_ONCE_BYTES_MAX, "seed {seed}: {written} bytes for {dirty}");
            sizes.restore_raw
        };
        step(&mut holder, &mut writer);
        for _ in 0..6 {
            let (kind, count) = (numbers.below(5), 20 + numbers.below(3000));
            for _ in 0..numbers.below(120) {
                turns += 1;
                for _ in 0..count {
                    match kind {
                        // Grow; change; change few; shrink.
                        0 => {
                            holder.set(next.to_be_bytes(), &value(numbers.next())).unwrap();
                            next += 1;
                        }
                        1 => {
                            let key = first + numbers.below(next - first);
                            holder.set(key.to_be_bytes(), &value(numbers.next())).unwrap();
                        }
                        2 => {
                            let key = first + skewed_below(&mut numbers, next - first);
                            holder.set(key.to_be_bytes(), &value(numbers.next())).unwrap();
                        }
                        3 if first + 100 < next => {
                            holder.remove(first.to_be_bytes()).unwrap();
                            first += 1;
                        }
                        _ => break,
                    }
                }
                // One key with a large value, in a group with others.
                if kind == 4 {
                    let bytes: Vec<u8> = (0..numbers.below(3 << 20)).map(|at| (at * 31) as u8).collect();
                    holder.set_encoded(b"heavy", &bytes).unwrap();
                }
                step(&mut holder, &mut writer);
            }
        }
        // As often as all is renewed once, and once more.
        let live = live_raw(&holder);
        let keys = next - first;
        let mut read = 0;
        for turn in 0..60 {
            (0..keys / 20 + 1).for_each(|at| {
                let key = first + (turn * (keys / 20 + 1) + at) % keys;
                holder.set(key.to_be_bytes(), &value(numbers.next())).unwrap();
            });
            read = step(&mut holder, &mut writer);
        }
        assert!(read as f64 <= READ_MAX * live as f64, "seed {seed}: {read} bytes for {live}");
    }
    assert!(turns > 500, "{turns}");
}

/// What changes in part is dirty in part: a base of all of it has to be paid for.
#[test]
fn large_values_that_change_a_little() {
    let definition = r#"{"name":"medians","source":{"file":"-","timestamp":"at"},"sink":{"file":"-"},"operator":[
        {"name":"medians","key":["id"],"aggregate":{"median":"median value"},"emit":"end"},
        {"name":"days","key":["id"],"window":{"session":"1d"},"compute":{"median":"median value"}}]}"#;
    let definition = ApplicationDefinition::from_json(definition).unwrap();
    let mut engine = Engine::new(&definition, &["at", "id", "value"]).unwrap();
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut numbers = Random::new(13);
    let (mut dirty, mut written, mut restore_raw) = (0, 0, 0);
    for number in 0..600 {
        for at in number * 250..(number + 1) * 250 {
            let values = vec![at.into(), (numbers.below(200) as i64).into(), (numbers.next() as i64 >> 20).into()];
            engine.handle_event(Event::new(at, values)).unwrap();
        }
        engine.begin_checkpoint(CheckpointRequest::default()).unwrap();
        let sizes = complete(engine.holder_mut(), &mut writer, &mut storage).sizes;
        // Twice an event with its value, and the key of each group.
        assert!(number == 0 || sizes.dirty < 20_000, "checkpoint {number}: {} bytes", sizes.dirty);
        dirty += sizes.dirty;
        written += sizes.delta_raw + sizes.base_raw;
        restore_raw = sizes.restore_raw;
    }
    assert!(written as f64 <= WRITTEN_MAX * dirty as f64 + AT_ONCE_BYTES_MAX as f64, "{written} for {dirty}");
    engine.holder_mut().forget_checkpoints().unwrap();
    engine.begin_checkpoint(CheckpointRequest::default()).unwrap();
    let whole = engine.holder_mut().take_capture().unwrap();
    let live = whole.into_object(writer.next_object(), Compression::None).unwrap().manifest().sizes.base_raw;
    assert!(restore_raw as f64 <= READ_MAX * live as f64, "{restore_raw} for {live}");
}

/// Keys that no checkpoint has seen are no change: bases are not rewritten for them.
#[test]
fn what_came_and_went_between_two_checkpoints() {
    let mut holder = StateHolder::builder("passing").build().unwrap();
    let (mut storage, mut numbers) = (MemoryBackend::new(), Random::new(17));
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    for key in 0..20_000_u64 {
        holder.set(key.to_be_bytes(), &value(numbers.next())).unwrap();
    }
    checkpoint(&mut holder, &mut writer, &mut storage);
    for turn in 0..30_u64 {
        holder.set(turn.to_be_bytes(), &value(numbers.next())).unwrap();
        for passing in 0..5000_u64 {
            let key = (1 << 40 | turn << 20 | passing).to_be_bytes();
            holder.set(key, &value(numbers.next())).unwrap();
            assert!(holder.remove(key).unwrap());
        }
        let sizes = checkpoint(&mut holder, &mut writer, &mut storage).sizes;
        assert!(sizes.dirty < 100, "{} bytes", sizes.dirty);
        assert!(sizes.base_raw < 8192, "turn {turn}: {} bytes", sizes.base_raw);
    }
}

/// Nor are windows and matches that opened and closed in between.
#[test]
fn windows_and_matches_that_came_and_went() {
    let definition = r#"{"name":"passing","source":{"file":"-","timestamp":"at"},"sink":{"file":"-"},"operator":[
        {"name":"seconds","key":["id"],"window":{"tumbling":"1s"},"compute":{"n":"count","sum":"sum value"}},
        {"name":"pairs","key":["id"],"window":{"length":2},"compute":{"n":"count"}},
        {"name":"rises","key":["id"],"within":"1s","pattern":[
            {"step":"low","where":[{"field":"value","eq":1}]},{"step":"high","where":[{"field":"value","eq":2}]}]}]}"#;
    let definition = ApplicationDefinition::from_json(definition).unwrap();
    let mut engine = Engine::new(&definition, &["at", "id", "value"]).unwrap();
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    for turn in 0..20_i64 {
        for passing in 0..3000_i64 {
            for value in [1, 2] {
                let at = turn * 10_000 + passing / 1000 * 1000;
                let values = vec![at.into(), (turn << 20 | passing).into(), value.into()];
                engine.handle_event(Event::new(at, values)).unwrap();
            }
        }
        let at = turn * 10_000 + 9000;
        engine.handle_event(Event::new(at, vec![at.into(), (-1).into(), 0.into()])).unwrap();
        let others = usize::from(turn > 0) + turn as usize % 2;
        assert_eq!(std::iter::from_fn(|| engine.poll_output()).count(), 9000 + others);
        engine.begin_checkpoint(CheckpointRequest::default()).unwrap();
        let sizes = complete(engine.holder_mut(), &mut writer, &mut storage).sizes;
        assert!(sizes.dirty < 200, "turn {turn}: {} bytes", sizes.dirty);
    }
}

/// One event in five is a little late, and so unites the session of all before with one of a few: what a checkpoint writes
/// is still what came.
#[test]
fn sessions_that_late_events_unite() {
    let definition = r#"{"name":"sessions","source":{"file":"-","timestamp":"at","watermark_delay":"60s"},"sink":{"file":"-"},
        "operator":[{"name":"sessions","key":["id"],"window":{"session":"15s"},
        "compute":{"n":"count","sum":"sum value","last":"last value"}}]}"#;
    let definition = ApplicationDefinition::from_json(definition).unwrap();
    let fields = ["at", "id", "value"];
    let mut engine = Engine::new(&definition, &fields).unwrap();
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut numbers = Random::new(29);
    let mut events: Vec<(i64, Vec<eventflux_core::Value>)> = (0..100_000_i64)
        .map(|number| {
            let (at, id) = (number / 10 * 10_000, number % 10);
            let late = if number / 10 % 5 == 3 { numbers.below(20_000) as i64 } else { 0 };
            (at + late, vec![at.into(), id.into(), (numbers.next() as i64 >> 10).into()])
        })
        .collect();
    events.sort_by_key(|(arrives, _)| *arrives);
    for (number, part) in events.chunks(1000).enumerate() {
        for (_, values) in part {
            let eventflux_core::Value::Int(at) = values[0] else { unreachable!() };
            engine.handle_event(Event::new(at, values.clone())).unwrap();
        }
        engine.begin_checkpoint(CheckpointRequest::default()).unwrap();
        let sizes = complete(engine.holder_mut(), &mut writer, &mut storage).sizes;
        assert!(sizes.dirty < 60_000, "checkpoint {number}: {} bytes", sizes.dirty);
    }
    // Interrupted, it goes on with the same sessions.
    let mut restored = Engine::new(&definition, &fields).unwrap();
    let restore = Restore::new(restored.holder_mut(), Selector::Latest, RestoreOptions::default());
    let manifest = drive(restore, &mut storage).unwrap().manifest;
    restored.resume(&manifest).unwrap();
    let rest = |engine: &mut Engine| {
        for number in 0..100 {
            // In one order, and in the other.
            let at = 100_000_000 + (number ^ 1) * 10_000;
            engine.handle_event(Event::new(at, vec![at.into(), 3.into(), number.into()])).unwrap();
        }
        engine.finish().unwrap();
        std::iter::from_fn(|| engine.poll_output()).map(|output| serde_json::to_string(&output).unwrap()).collect()
    };
    let (wanted, lines): (Vec<String>, Vec<String>) = (rest(&mut engine), rest(&mut restored));
    assert_eq!(lines, wanted);
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().any(|line| line.contains(r#""n":10100,"#)), "{lines:?}");
}

/// One feed has an event each 20 s, on time; the other one each 5 s, a minute late, and joins to the session what the
/// first one opened ahead of it.
#[test]
fn a_session_that_catches_up_with_what_is_ahead_of_it() {
    let functions = r#"{"n":"count","sum":"sum value","mean":"avg value","spread":"stddev value","least":"min value",
        "whole":"sum whole","first":"first whole","last":"last whole","middle":"median value","kinds":"distinct kind"}"#;
    let definition = format!(
        r#"{{"name":"feeds","source":{{"file":"-","timestamp":"at","watermark_delay":"2m"}},"sink":{{"file":"-"}},
        "operator":[{{"name":"feeds","window":{{"session":"15s"}},"compute":{functions}}},
        {{"name":"all","aggregate":{functions}}}]}}"#
    );
    let definition = ApplicationDefinition::from_json(&definition).unwrap();
    let fields = ["at", "value", "whole", "kind"];
    let mut engine = Engine::new(&definition, &fields).unwrap();
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut numbers = Random::new(31);
    let on_time = (0..10_000_i64).map(|number| (number * 20_000, number * 20_000));
    let late = (0..40_000_i64).map(|number| (number * 5000 + 60_000, number * 5000));
    let mut arrivals: Vec<(i64, i64)> = on_time.chain(late).collect();
    arrivals.sort_unstable();
    let mut event = |at: i64| {
        // Added up in another order, the sum is another one.
        let value = numbers.next() as f64 / 3.0;
        let whole = numbers.next() as i64 >> 18;
        Event::new(at, vec![at.into(), value.into(), whole.into(), (whole % 100).into()])
    };
    let events: Vec<Event> = arrivals.into_iter().map(|(_, at)| event(at)).collect();
    let (before, rest) = events.split_at(45_000);
    for (number, part) in before.chunks(1000).enumerate() {
        part.iter().for_each(|event| engine.handle_event(event.clone()).unwrap());
        engine.begin_checkpoint(CheckpointRequest::default()).unwrap();
        let sizes = complete(engine.holder_mut(), &mut writer, &mut storage).sizes;
        assert!(sizes.dirty < 150_000, "checkpoint {number}: {} bytes", sizes.dirty);
    }
    // Interrupted, it goes on with the same sessions.
    let mut restored = Engine::new(&definition, &fields).unwrap();
    let restore = Restore::new(restored.holder_mut(), Selector::Latest, RestoreOptions::default());
    let manifest = drive(restore, &mut storage).unwrap().manifest;
    restored.resume(&manifest).unwrap();
    for engine in [&mut engine, &mut restored] {
        rest.iter().for_each(|event| engine.handle_event(event.clone()).unwrap());
        engine.finish().unwrap();
        let lines: Vec<String> =
            std::iter::from_fn(|| engine.poll_output()).map(|output| serde_json::to_string(&output).unwrap()).collect();
        // One session, of all events, in the order in which they came.
        let [session, all] = &lines[..] else { unreachable!("{lines:?}") };
        let results = |line: &str| line.split_once(r#""n":50000,"#).map(|(_, results)| results.to_owned());
        assert!(results(session).is_some());
        assert_eq!(results(session), results(all));
    }
}

/// The manifest named everything: whatever retention deleted, nothing that is needed is gone.
#[test]
fn every_needed_object_is_there() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut holder = StateHolder::builder("needs").build().unwrap();
    let mut numbers = Random::new(3);
    for _ in 0..300 {
        for _ in 0..50 {
            holder.set(numbers.below(500).to_be_bytes(), &value(numbers.next())).unwrap();
        }
        checkpoint(&mut holder, &mut writer, &mut storage);
        let names: Vec<String> = storage.list().unwrap().into_iter().map(|object| object.name).collect();
        for entry in &writer.head().entries.clone() {
            let manifest = drive(ReadManifest::new(entry.object), &mut storage).unwrap();
            for needed in manifest.needed_objects() {
                assert!(names.contains(&needed.name()), "{} needs {}", entry.object.id, needed.name());
            }
        }
    }
    assert!(storage.list().unwrap().len() < 60, "deltas nobody needs are deleted");
}
