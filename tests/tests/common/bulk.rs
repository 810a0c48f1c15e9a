//! A storage whose sections are columns: of every kind of state, with plans that several bases
//! share, with every coding, transform and shape. Made from the same inputs each time, byte for byte.

use eventflux_core::{
    Accumulator, AggregationState, Backend, BufferedEvent, Compression, Event, Function, PatternState, StateDescriptor,
    StateHolder, StateKind, Value, WindowState,
};

use super::storages::{Points, Recorder};

const VALUES: u64 = 4200;
const WINDOW_KEYS: u64 = 42;
const PATTERN_KEYS: u64 = 170;
const GROUPS: u64 = 1700;
const PRICE_KEYS: u64 = 1200;
/// Of these, the ones that change in every step.
const PRICES_CHANGED: u64 = 80;
const FUNCTIONS: [Function; 10] = [
    Function::Count,
    Function::Sum,
    Function::Min,
    Function::Max,
    Function::Avg,
    Function::Stddev,
    Function::First,
    Function::Last,
    Function::Distinct,
    Function::Median,
];

/// Three checkpoints with LZ4, then a second writer that goes back to the second and does not compress.
pub fn of_bulk(backend: &mut dyn Backend) -> Points {
    of_bulk_divided(backend, 1)
}

/// As [`of_bulk`], with so many times less in it.
pub fn of_bulk_divided(backend: &mut dyn Backend, divisor: u64) -> Points {
    let mut recorder = Recorder::open(backend, Compression::Lz4, Points::new());
    let mut holder = holder();
    for step in 0..3 {
        change(&mut holder, step, divisor);
        recorder.checkpoint(&mut holder, None);
    }
    let mut recorder = recorder.next_writer(Compression::None);
    let mut holder = self::holder();
    recorder.restore(&mut holder, 1);
    for step in 8..10 {
        change(&mut holder, step, divisor);
        recorder.checkpoint(&mut holder, None);
    }
    recorder.points
}

fn holder() -> StateHolder {
    let state = |name: &str, kind| StateDescriptor::new(name, kind, 1, "");
    StateHolder::builder("bulk")
        .key_groups(3)
        .values_schema(1, "words")
        .state(state("windows", StateKind::Windows))
        .state(state("patterns", StateKind::Patterns))
        .state(state("groups", StateKind::Aggregations))
        .state(state("texts", StateKind::Aggregations))
        .state(state("prices", StateKind::Aggregations))
        .build()
        .unwrap()
}

/// All of it in step 0, later a part.
fn change(holder: &mut StateHolder, step: u64, divisor: u64) {
    let is_changed = |number: u64| step == 0 || number % 5 == step % 5;
    (0..VALUES / divisor).filter(|number| is_changed(*number)).for_each(|number| change_value(holder, step, number));
    (0..WINDOW_KEYS / divisor)
        .filter(|number| is_changed(*number))
        .for_each(|number| change_windows(holder, step, number));
    (0..PATTERN_KEYS / divisor)
        .filter(|number| is_changed(*number))
        .for_each(|number| change_patterns(holder, step, number));
    for number in (0..GROUPS / divisor).filter(|number| is_changed(*number)) {
        let create = || AggregationState::new(FUNCTIONS.map(Accumulator::new).to_vec());
        let change = |group: &mut AggregationState| group.update(|held| add(held, step, number));
        // A number and a text.
        let key = [&number_key(number / 7)[..], &text_key(&format!("sensor/{:02}", number % 7))].concat();
        holder.aggregations_mut("groups").unwrap().update(&key, create, change).unwrap();
        if number % 4 != 0 {
            continue;
        }
        // No values of operators, and of no one length.
        let key = format!("{number} of many");
        let create = || AggregationState::new(vec![Accumulator::new(Function::Count)]);
        let change = |group: &mut AggregationState| group.update(|held| held[0].add_event());
        holder.aggregations_mut("texts").unwrap().update(key.as_bytes(), create, change).unwrap();
    }
    let is_changed = |number: &u64| step == 0 || *number < PRICES_CHANGED;
    (0..PRICE_KEYS / divisor).filter(is_changed).for_each(|number| change_prices(holder, step, number));
}

/// Means and squared distances are integers over counts, but for what was rounded; prices have all orders of magnitude;
/// the sums rise with their counts, which are those of the means.
fn change_prices(holder: &mut StateHolder, step: u64, number: u64) {
    let functions = [Function::Stddev, Function::Last, Function::Sum];
    let create = || AggregationState::new(functions.map(Accumulator::new).to_vec());
    let add = |held: &mut Vec<Accumulator>| {
        // Of some there are none yet: their counts are 0.
        for at in 0..if number % 40 == 7 { 0 } else { 2 + number % 11 } {
            let cents = mix(100 * number + 20 * step + at) % 5000;
            held[0].add(0, &Value::Int(cents as i64)).unwrap();
            held[2].add(0, &Value::Int(1000 + cents as i64 % 200)).unwrap();
        }
        let price = (1 + mix(number + step) % 9) * 10_u64.pow((mix(number) % 11) as u32) + number;
        held[1].add(step as i64, &Value::Int(price as i64)).unwrap();
    };
    let change = |group: &mut AggregationState| group.update(add);
    holder.aggregations_mut("prices").unwrap().update(&number_key(number), create, change).unwrap();
}

/// FORMAT.md, "Keys of operators".
fn number_key(number: u64) -> [u8; 11] {
    let bits = (number as f64).to_bits() | 1 << 63;
    let mut key = [3; 11];
    key[1..9].copy_from_slice(&bits.to_be_bytes());
    key[9..].fill(0);
    key
}

fn text_key(text: &str) -> Vec<u8> {
    [&[4], text.as_bytes(), &[0, 0]].concat()
}

/// Numbers without an order, the same each time.
fn mix(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

fn change_value(holder: &mut StateHolder, step: u64, number: u64) {
    let key = (3 * number).to_be_bytes();
    if step > 0 && number % 10 == 9 {
        holder.remove(key).unwrap();
        return;
    }
    let kind = mix(number) % 61;
    let outlier = if number % 97 == 3 { 1 << 50 } else { 0 };
    let words = [
        number / 600 + step,
        mix(number + step) % 30 + outlier,
        kind * 1_000_003,
        // It follows from the kind, with exceptions.
        mix(kind) % 20 + u64::from(number.is_multiple_of(50)),
        1_700_000_000_000 + 60_000 * number,
    ];
    holder.set_encoded(&key, words.map(u64::to_le_bytes).as_flattened()).unwrap();
}

fn event(step: u64, number: u64) -> Event {
    let place = mix(number) % 40;
    let mixed = match mix(number + 7) % 6 {
        0 => Value::Null,
        1 => Value::Bool(number.is_multiple_of(2)),
        2 => Value::Float(1.0 / (number as f64 + 3.0)),
        3 => Value::from(format!("note {} of no length", mix(number) % 1_000_000).as_str()),
        _ => Value::Int(mix(number) as i64 % 100_000),
    };
    let values = vec![
        Value::from(format!("place {place}").as_str()),
        Value::Int(mix(place) as i64 % 30),
        Value::Float((mix(number) % 5000) as f64 / 100.0),
        Value::Float((number as f64 + 2.0).sqrt()),
        if number.is_multiple_of(9) { Value::Null } else { Value::Bool(place.is_multiple_of(3)) },
        mixed,
    ];
    Event::new((step * 1000 + number * number) as i64, values)
}

fn change_windows(holder: &mut StateHolder, step: u64, number: u64) {
    let change = |held: &mut WindowState| {
        for at in 0..2_u64 {
            let start = 3_600_000 * (at + step / 4) as i64;
            held.update(start, |window| {
                window.set_end(start + 3_600_000);
                for event_at in 0..if step == 0 { 60 } else { 3 } {
                    let sequence = (step << 20) + number * 1000 + event_at;
                    let mut event = event(step, sequence % 997);
                    event.timestamp = start + (event_at * event_at * 50) as i64;
                    window.push_back(BufferedEvent { sequence, event });
                }
                if step > 0 {
                    window.pop_front();
                }
                if window.accumulators().is_empty() {
                    *window.accumulators_mut() = FUNCTIONS.map(Accumulator::new).to_vec();
                }
                add(window.accumulators_mut(), step, number);
            });
        }
        if step == 8 && number.is_multiple_of(2) {
            held.close(held.windows()[0].start()).unwrap();
        }
    };
    holder
        .windows_mut("windows")
        .unwrap()
        .update(&text_key(&format!("line {number}")), WindowState::new, change)
        .unwrap();
}

fn change_patterns(holder: &mut StateHolder, step: u64, number: u64) {
    let change = |held: &mut PatternState| {
        for at in 0..if step == 0 { 30 } else { 2 } {
            let sequence = (step << 20) + number * 1000 + at;
            held.wait(BufferedEvent { sequence, event: event(step, at * 31) });
        }
        for _ in 0..if step == 0 { 9 } else { 1 } {
            if let Some(due) = held.take_due(i64::MAX) {
                held.start(due).unwrap();
            }
        }
        held.advance(0, event(step, number));
        held.advance(1, event(step, number + 1));
        if step % 2 == 1 {
            held.drop_at(0);
        }
    };
    holder.patterns_mut("patterns").unwrap().update(&number.to_be_bytes(), PatternState::new, change).unwrap();
}

fn add(held: &mut [Accumulator], step: u64, number: u64) {
    held[0].add_event();
    for accumulator in &mut held[1..] {
        for value in 0..1 + number % 3 {
            let value = match number {
                0..WINDOW_KEYS => Value::Float(((number + value + step) as f64).sqrt()),
                _ if number % 4 == 3 => Value::Float(value as f64 / 8.0),
                _ => Value::Int((number % 13 * value) as i64),
            };
            // What a function refuses leaves it as it is.
            let _ = accumulator.add(1000 * (step + number / 8) as i64, &value);
        }
    }
}
