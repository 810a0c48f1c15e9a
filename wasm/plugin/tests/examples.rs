//! The example operators, native: what they answer, and that a restore in the middle changes nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use eventflux_core::plugin::{BatchWriter, ResultsReader};
use eventflux_plugin::{Error, Instance, Operator, Schema, Setup, Value};

#[path = "../examples/counter.rs"]
mod counter;
#[path = "../examples/counter_v2.rs"]
mod counter_v2;
#[path = "../examples/rate_limiter.rs"]
mod rate_limiter;
#[path = "../examples/sessioniser.rs"]
mod sessioniser;
#[path = "../examples/top_k.rs"]
mod top_k;

const BUDGET: u64 = 64 << 20;

/// One item: an event of a key with values, or a watermark.
#[derive(Clone)]
enum Item {
    Event(i64, &'static str, Vec<Value>),
    Watermark(i64),
}

/// A result as item, time, key, values.
type Line = (u32, i64, String, Vec<Value>);

fn event(timestamp: i64, key: &'static str) -> Item {
    Item::Event(timestamp, key, Vec::new())
}

fn batch_of(items: &[Item]) -> BatchWriter {
    let mut batch = BatchWriter::default();
    for item in items {
        match item {
            Item::Event(timestamp, key, values) => batch.event(*timestamp, key.as_bytes(), values),
            Item::Watermark(ms) => batch.watermark(*ms),
        }
    }
    batch
}

fn lines(results: &[u8], items: u32, outputs: usize) -> Vec<Line> {
    let mut reader = ResultsReader::new(results, items, outputs);
    let next = || reader.next_result().unwrap();
    let line = |result: eventflux_core::plugin::PluginResult| {
        (result.item, result.time_ms, String::from_utf8(result.key).unwrap(), result.values)
    };
    std::iter::from_fn(next).map(line).collect()
}

struct Run {
    instance: Instance,
    setup: Setup,
}

impl Run {
    fn new(operator: impl Operator + 'static, config: &str) -> Self {
        let mut instance = Instance::new(Box::new(operator));
        let setup = instance.init(config, BUDGET).unwrap();
        Run { instance, setup }
    }

    fn give(&mut self, items: &[Item]) -> Vec<Line> {
        let batch = batch_of(items);
        let results = self.instance.process(batch.bytes()).unwrap();
        lines(&results, batch.items(), self.setup.outputs.len())
    }

    fn checkpoint(&mut self, epoch: u64, full: bool) -> Vec<Vec<u8>> {
        self.instance.checkpoint_begin(epoch, full).unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = self.instance.checkpoint_next(4096).unwrap() {
            frames.push(frame);
        }
        self.instance.checkpoint_end(epoch, true).unwrap();
        frames
    }

    fn restore(&mut self, frames: &[Vec<u8>]) {
        frames.iter().for_each(|frame| self.instance.restore(frame).unwrap());
        self.instance.restore_end().unwrap();
    }
}

/// What comes of the items one by one, with a checkpoint behind each and an instance restored from all of them behind
/// every `restart_each`.
fn with_restarts<O: Operator + Default + 'static>(config: &str, items: &[Item], restart_each: usize) -> Vec<Line> {
    let mut run = Run::new(O::default(), config);
    let (mut frames, mut all) = (Vec::new(), Vec::new());
    for (number, item) in items.iter().enumerate() {
        let of_item = run.give(std::slice::from_ref(item));
        all.extend(of_item.into_iter().map(|(_, time, key, values)| (number as u32, time, key, values)));
        frames.extend(run.checkpoint(number as u64, number == 0));
        if (number + 1) % restart_each == 0 {
            run = Run::new(O::default(), config);
            run.restore(&frames);
        }
    }
    all
}

fn survives_restarts<O: Operator + Default + 'static>(config: &str, items: &[Item]) {
    let whole = Run::new(O::default(), config).give(items);
    assert!(!whole.is_empty());
    for restart_each in [1, 3, 7] {
        assert_eq!(with_restarts::<O>(config, items, restart_each), whole, "a restart each {restart_each}");
    }
}

/// Events of a few keys in a disturbed order, with watermarks between them and one at the end.
fn items(values: impl Fn(i64) -> Vec<Value>) -> Vec<Item> {
    let mut items = Vec::new();
    let mut watermark = i64::MIN;
    for number in 0..200_i64 {
        let timestamp = number * 40 + (number * number) % 170;
        items.push(Item::Event(timestamp, ["a", "b", "c"][(number * 7 % 3) as usize], values(number)));
        if timestamp - 60 > watermark {
            watermark = timestamp - 60;
            items.push(Item::Watermark(watermark));
        }
    }
    items.push(Item::Watermark(i64::MAX));
    items
}

#[test]
fn counter_counts_what_is_not_null() {
    let mut run = Run::new(counter::Counter, r#"{"field": "delay"}"#);
    assert_eq!((run.setup.inputs.as_slice(), run.setup.watermarks), (&["delay".to_owned()][..], false));
    let of = |value: Value| Item::Event(1, "a", vec![value]);
    let counts: Vec<Value> =
        run.give(&[of(1.into()), of(Value::Null), of("x".into())]).into_iter().map(|line| line.3[0].clone()).collect();
    assert_eq!(counts, [Value::Int(1), Value::Int(1), Value::Int(2)]);
    survives_restarts::<counter::Counter>("{}", &items(|_| Vec::new()));
}

#[test]
fn rate_limiter_fills_in_event_time() {
    let mut run = Run::new(rate_limiter::RateLimiter::default(), r#"{"per_second": 2, "burst": 2}"#);
    let passes = |lines: Vec<Line>| -> Vec<bool> { lines.iter().map(|line| line.3[0] == Value::Bool(true)).collect() };
    let items: Vec<Item> = [0, 0, 0, 499, 500, 600, 400, 10_000, 10_000, 10_000].map(|time| event(time, "a")).into();
    assert_eq!(passes(run.give(&items)), [true, true, false, false, true, false, false, true, true, false]);
    assert_eq!(passes(run.give(&[event(0, "b")])), [true], "each key has its own");
    survives_restarts::<rate_limiter::RateLimiter>(r#"{"per_second": 5, "burst": 3}"#, &self::items(|_| Vec::new()));
}

#[test]
fn top_k_tells_windows_once_they_have_ended() {
    let config = r#"{"field": "dest", "k": 2, "window_ms": 100}"#;
    let mut run = Run::new(top_k::TopK::default(), config);
    let of = |time: i64, value: &str| Item::Event(time, "a", vec![value.into()]);
    let items =
        [of(10, "x"), of(20, "z"), of(30, "y"), of(99, "z"), of(100, "x"), Item::Watermark(100), of(50, "late")];
    let line = |start: i64, rank: i64, value: &str, count: i64| {
        (5, start + 100, "a".to_owned(), vec![start.into(), rank.into(), value.into(), count.into()])
    };
    assert_eq!(run.give(&items), [line(0, 1, "z", 2), line(0, 2, "x", 1)]);
    let results = run.instance.on_watermark(i64::MAX).unwrap();
    assert_eq!(lines(&results, 1, 4), [(0, 200, "a".to_owned(), vec![100.into(), 1.into(), "x".into(), 1.into()])]);
    assert_eq!(run.instance.state().unwrap().len(), 1, "the watermark alone is left");
    survives_restarts::<top_k::TopK>(config, &self::items(|number| vec![(number * number % 5).into()]));
}

#[test]
fn sessions_merge_in_any_order() {
    let mut run = Run::new(sessioniser::Sessioniser::default(), r#"{"gap_ms": 10}"#);
    let items = [event(0, "a"), event(18, "a"), event(9, "a"), event(40, "a"), Item::Watermark(28), event(31, "a")];
    let session = |item: u32, start: i64, end: i64, events: i64| {
        (item, end, "a".to_owned(), vec![start.into(), end.into(), events.into()])
    };
    assert_eq!(run.give(&items), [session(4, 0, 28, 3)]);
    assert_eq!(run.give(&[event(15, "a"), Item::Watermark(i64::MAX)]), [session(1, 31, 50, 2)], "15 is late");
    survives_restarts::<sessioniser::Sessioniser>(r#"{"gap_ms": 90}"#, &self::items(|_| Vec::new()));
}

#[test]
fn the_second_version_goes_on_from_the_first() {
    let items = items(|_| Vec::new());
    let (before, after) = items.split_at(150);
    let mut first = Run::new(counter::Counter, "{}");
    first.give(before);
    let mut frames = first.checkpoint(1, true);
    let mut second = Run::new(counter_v2::Counter::default(), "{}");
    assert_eq!(second.instance.describe().schema, Schema { name: "counter".into(), version: 2 });
    second.restore(&frames);
    assert_eq!(second.give(after), first.give(after));
    // Whatever the host asks for, the first checkpoint of a migrated state is full.
    frames.extend(second.checkpoint(2, false));
    let mut third = Run::new(counter_v2::Counter::default(), r#"{"silence_ms": 1000000}"#);
    third.restore(&frames);
    assert_eq!(third.give(after), second.give(after));
    let mut back = Run::new(counter::Counter, "{}");
    let refused = frames.iter().map(|frame| back.instance.restore(frame)).find_map(Result::err);
    assert!(matches!(refused, Some(Error::UnsupportedSchema(_))));
}

#[test]
fn a_wrong_configuration_is_said() {
    let refused = |operator: Box<dyn Operator>, config: &str| match Instance::new(operator).init(config, BUDGET) {
        Err(Error::BadConfig(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Box::new(counter::Counter), r#"{"name":1}"#), "`name` is unknown; there are: field");
    assert_eq!(refused(Box::<sessioniser::Sessioniser>::default(), "{}"), "`gap_ms` is missing");
    let reason = refused(Box::<top_k::TopK>::default(), r#"{"field":"a","k":0,"window_ms":5}"#);
    assert_eq!(reason, "`k` must be a whole number from 1 to 1000");
}
