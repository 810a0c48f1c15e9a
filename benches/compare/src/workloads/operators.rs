//! State of operators: what the engine holds after real flights, against codecs of rows of the same content.

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, config};
use eventflux_core::{Accumulator, BufferedEvent, CheckpointRequest, Engine, Event, Progress, Selector, Value};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::codecs::{Comparison, compare};
use super::{Context, encode, timed};
use crate::codecs::of_rows;
use crate::data::{self, Events};
use crate::report::with_commas;

const DAY_MS: i64 = 24 * 3_600_000;
/// 2013-04-01T00:00Z.
const END_OF_MARCH_MS: i64 = 1_364_774_400_000;
const NAME: &str = "compared";

/// Aircraft that leave for the same place later each time, within four weeks: every departure may be the first.
const PATTERN: &str = r#"
key = ["tailnum", "dest"]
within = "28d"
pattern = [
  { step = "first", where = [{ field = "dep_delay", null = false }] },
  { step = "later", where = [{ field = "dep_delay", gt = { step = "first", field = "dep_delay" } }] },
  { step = "latest", where = [{ field = "dep_delay", gt = { step = "later", field = "dep_delay" } }] },
]
"#;

/// How flights fare by carrier, destination and hour; origin and weekday make it more than 10,000 groups.
const AGGREGATION: &str = r#"
key = ["carrier", "dest", "hour", "origin", "weekday"]
aggregate = { flights = "count", miles = "sum distance", mean_air = "avg air_time", spread = "stddev dep_delay",
  best = "min dep_delay", worst = "max dep_delay" }
"#;

/// The same without the standard deviation, whose doubles are most of the bytes.
const AGGREGATION_PLAIN: &str = r#"
key = ["carrier", "dest", "hour", "origin", "weekday"]
aggregate = { flights = "count", miles = "sum distance", mean_air = "avg air_time",
  best = "min dep_delay", worst = "max dep_delay" }
"#;

/// Partial matches of a key, as rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct PatternRows {
    key: Vec<u8>,
    waiting: Vec<BufferedEvent>,
    partials: Vec<(u64, Vec<Event>)>,
}

/// Accumulators of a group, as rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct GroupRows {
    key: Vec<u8>,
    accumulators: Vec<AccumulatorRow>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum AccumulatorRow {
    Count(u64),
    Sum { ints: u64, int_sum: i64, floats: u64, float_sum: f64 },
    Extreme(Option<Value>),
    Avg { count: u64, int_sum: i64, float_sum: f64 },
    Stddev { count: u64, mean: f64, m2: f64 },
}

/// Partial matches.
pub fn patterns(context: &mut Context) {
    let flights = data::four_months();
    let [engine, twin] = [(); 2].map(|()| run(PATTERN, &flights, END_OF_MARCH_MS));
    let map = engine.holder().patterns(NAME).expect("it is the operator's");
    let mut rows: Vec<PatternRows> = Vec::new();
    for (key, state) in map.iter() {
        let partials = state.partials().iter().map(|partial| (partial.id(), partial.events().to_vec())).collect();
        rows.push(PatternRows { key: key.into(), waiting: state.pending().cloned().collect(), partials });
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let partials: usize = rows.iter().map(|row| row.partials.len()).sum();
    let case = format!(
        "three departures of an aircraft to one place, each later, within 28 days: {} keys, {} partial matches",
        with_commas(rows.len() as u64),
        with_commas(partials as u64)
    );
    let fresh = || self::engine(PATTERN, &flights);
    measure(context, case, [engine, twin], &rows, fresh, |rows| {
        rows.into_iter().map(|row| (row.key.clone(), row)).collect::<HashMap<_, _>>()
    });
}

/// Groups of two aggregations.
pub fn aggregations(context: &mut Context) {
    let flights = with_weekday(data::four_months());
    groups(context, &flights, AGGREGATION, "six functions, stddev among them");
    groups(context, &flights, AGGREGATION_PLAIN, "count, sum, avg, min, max");
}

/// Groups of an aggregation.
fn groups(context: &mut Context, flights: &Events, aggregation: &str, functions: &str) {
    let [engine, twin] = [(); 2].map(|()| run(aggregation, flights, i64::MAX));
    let map = engine.holder().aggregations(NAME).expect("it is the operator's");
    let to_row = |(key, state): (&[u8], &eventflux_core::AggregationState)| GroupRows {
        key: key.into(),
        accumulators: state.accumulators().iter().map(AccumulatorRow::from).collect(),
    };
    let mut rows: Vec<GroupRows> = map.iter().map(to_row).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let case = format!(
        "{functions}, by carrier × destination × hour, and origin × weekday for more groups: {} groups",
        with_commas(rows.len() as u64)
    );
    let fresh = || self::engine(aggregation, flights);
    measure(context, case, [engine, twin], &rows, fresh, |rows| {
        rows.into_iter().map(|row| (row.key.clone(), row)).collect::<HashMap<_, _>>()
    });
}

/// Measures two engines in the same state: one is encoded again and again, what the other published is restored.
fn measure<T: Clone + PartialEq + Serialize + for<'de> Deserialize<'de>, U>(
    context: &mut Context,
    case: String,
    [mut engine, mut twin]: [Engine; 2],
    rows: &Vec<T>,
    fresh: impl Fn() -> Engine,
    ready: impl Fn(Vec<T>) -> U,
) {
    let mut manager = published(&mut twin);
    let mut encode = || {
        let (seconds, encoded) = timed(|| {
            engine.begin_checkpoint(CheckpointRequest::default()).expect("all results were taken");
            encode(engine.holder_mut(), |_| ())
        });
        engine.holder_mut().abort().expect("one is under way");
        (seconds, encoded.bytes().len())
    };
    let mut restore = || {
        let mut live = fresh();
        let (seconds, restored) = timed(|| manager.restore_engine(&mut live, Selector::Latest));
        restored.expect("it was published");
        seconds
    };
    let comparison = Comparison { case, state: rows, codecs: of_rows(), encode: &mut encode, restore: &mut restore };
    let rounds = context.rounds(15);
    compare(comparison, rounds, &mut context.report, ready);
}

/// A storage in memory with a checkpoint of an engine.
fn published(engine: &mut Engine) -> CheckpointManager<MemoryBackend> {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
    manager.checkpoint_engine(engine, None, Progress::default()).expect("memory has room");
    manager
}

fn engine(operator: &str, flights: &Events) -> Engine {
    let text = format!(
        "name = \"compare\"\n[source]\nfile = \"-\"\ntimestamp = \"time\"\nwatermark_delay = \"24h\"\n[sink]\nfile = \"-\"\n[[operator]]\nname = \"{NAME}\"\n{operator}"
    );
    let definition = config::parse(&text, NAME).expect("a good definition");
    Engine::new(&definition, &flights.fields).expect("a good definition")
}

/// An engine after all flights before a time, with its results taken.
fn run(operator: &str, flights: &Events, until_ms: i64) -> Engine {
    let mut engine = engine(operator, flights);
    for event in flights.before(until_ms) {
        engine.handle_event(event).expect("the flights are good");
        while engine.poll_output().is_some() {}
    }
    engine
}

/// The flights with one more field: 0 for Monday to 6.
fn with_weekday(mut flights: Events) -> Events {
    flights.fields.push("weekday".into());
    for event in &mut flights.events {
        // 1970-01-01 was a Thursday.
        event.values.push(Value::Int((event.timestamp.div_euclid(DAY_MS) + 3) % 7));
    }
    flights
}

impl From<&Accumulator> for AccumulatorRow {
    fn from(accumulator: &Accumulator) -> Self {
        match accumulator {
            Accumulator::Count(count) => AccumulatorRow::Count(*count),
            Accumulator::Sum { ints, int_sum, floats, float_sum } => {
                AccumulatorRow::Sum { ints: *ints, int_sum: *int_sum, floats: *floats, float_sum: *float_sum }
            }
            Accumulator::Min(value) | Accumulator::Max(value) => AccumulatorRow::Extreme(value.clone()),
            // 8 bytes are enough for these sums; ours has 16.
            Accumulator::Avg { count, int_sum, float_sum } => {
                AccumulatorRow::Avg { count: *count, int_sum: *int_sum as i64, float_sum: *float_sum }
            }
            Accumulator::Stddev { count, mean, m2 } => AccumulatorRow::Stddev { count: *count, mean: *mean, m2: *m2 },
            other => unreachable!("no function of the definition: {other:?}"),
        }
    }
}
