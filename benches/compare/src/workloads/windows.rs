//! Window buffers: bytes, encode and restore, against codecs.
//!
//! Ours is the first checkpoint of a holder with a window state: all of it in bases, LZ4, one core; and its restore to
//! a live holder, from memory. It keeps the number of every event in the input too, which the rows do not.

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend};
use eventflux_core::{
    BufferedEvent, Compression, RestoreOptions, Retention, Selector, StateDescriptor, StateHolder, StateKind,
    WindowState,
};
use hashbrown::HashMap;

use super::codecs::{Comparison, compare};
use super::{Context, begin, encode, timed};
use crate::codecs::of_windows;
use crate::data::{self, Events, WindowRows};
use crate::report::with_commas;

const STATE: &str = "windows";
const HOUR_MS: i64 = 3_600_000;
/// Keys of the bids: an auction's number modulo this.
const AUCTION_KEYS: i64 = 1000;
/// Bytes of the year of flights (336,776) as rows of bincode 1: what the project's claims are measured against.
const YEAR_BYTES_AN_EVENT: f64 = 82_457_475.0 / 336_776.0;

/// Runs the workload.
pub fn run(context: &mut Context) {
    let flights = data::four_months();
    say_measure(context, &flights);
    let (carrier, dest) = (flights.place("carrier"), flights.place("dest"));
    let text = |value: &eventflux_core::Value| value.as_str().unwrap_or_default().to_owned();
    one(context, "flights, four months, one window", &flights.one_window());
    let daily = flights.daily(|event| format!("{} {}", text(&event.values[carrier]), text(&event.values[dest])));
    one(context, "flights, four months, a window a day by carrier × destination", &daily);
    drop((flights, daily));
    let bids = data::bids();
    one(context, "bids, one window", &bids.one_window());
    let auction = bids.place("auction");
    let key = |event: &eventflux_core::Event| {
        let number = if let eventflux_core::Value::Int(number) = event.values[auction] { number } else { 0 };
        (number % AUCTION_KEYS).to_string()
    };
    one(context, "bids, a window an hour by auction mod 1,000", &bids.tumbling(HOUR_MS, key));
}

/// Says whether a flight takes what it should in bincode 1.
fn say_measure(context: &Context, flights: &Events) {
    let bytes = bincode::serialize(&flights.events).expect("memory has room").len() - 8;
    let an_event = bytes as f64 / flights.events.len() as f64;
    context.report.note(&format!(
        "a flight as `Event {{ timestamp, values }}` in bincode 1: {an_event:.1} bytes on average of {} (the year's: \
         {YEAR_BYTES_AN_EVENT:.1})",
        with_commas(flights.events.len() as u64)
    ));
}

fn one(context: &mut Context, what: &str, windows: &Vec<WindowRows>) {
    let events: usize = windows.iter().map(|window| window.events.len()).sum();
    let case = format!("{what}: {} events, {} windows", with_commas(events as u64), with_commas(windows.len() as u64));
    let mut holder = holder(windows);
    let mut backend = published(&mut self::holder(windows));
    let mut encode = || {
        let (seconds, encoded) = timed(|| encode(&mut holder, begin));
        holder.abort().expect("one is under way");
        (seconds, encoded.bytes().len())
    };
    let mut is_checked = false;
    let mut restore = || {
        let mut live = empty();
        let options = RestoreOptions::default();
        let (seconds, restored) = timed(|| eventflux::restore(&mut backend, &mut live, Selector::Latest, options));
        restored.expect("it was published");
        if !std::mem::replace(&mut is_checked, true) {
            check(&live, windows);
        }
        seconds
    };
    let comparison =
        Comparison { case, state: windows, codecs: of_windows(), encode: &mut encode, restore: &mut restore };
    let rounds = context.rounds(9);
    compare(comparison, rounds, &mut context.report, by_key);
}

/// An empty holder with a window state.
fn empty() -> StateHolder {
    let state = StateDescriptor::new(STATE, StateKind::Windows, 1, "");
    StateHolder::builder("windows").state(state).build().expect("one state")
}

/// A holder with these windows.
pub fn holder(windows: &[WindowRows]) -> StateHolder {
    let mut holder = empty();
    add(&mut holder, windows, 0);
    holder
}

/// Adds events to the windows of a holder; they are numbered from `sequence`, by time.
pub fn add(holder: &mut StateHolder, windows: &[WindowRows], sequence: u64) {
    let mut order: Vec<(i64, usize, usize)> = Vec::new();
    for (at, window) in windows.iter().enumerate() {
        order.extend(window.events.iter().enumerate().map(|(place, event)| (event.timestamp, at, place)));
    }
    order.sort_unstable();
    let map = holder.windows_mut(STATE).expect("it was declared");
    for ((_, at, place), sequence) in order.into_iter().zip(sequence..) {
        let window = &windows[at];
        let event = BufferedEvent { sequence, event: window.events[place].clone() };
        let change = |state: &mut WindowState| {
            state.update(window.start, |held| {
                held.set_end(window.end);
                held.push_back(event);
            });
        };
        map.update(&window.key, WindowState::new, change).expect("there is no budget");
    }
}

/// A storage in memory with a checkpoint of a holder.
fn published(holder: &mut StateHolder) -> MemoryBackend {
    let config = ManagerConfig { compression: Compression::Lz4, retention: Retention::default() };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).expect("it is new");
    manager.checkpoint(holder, None).expect("memory has room");
    manager.backend_mut().clone()
}

/// Whether a holder has these windows, event by event (by time; rows of one time may be in another order).
fn check(live: &StateHolder, windows: &[WindowRows]) {
    let map = live.windows(STATE).expect("it was declared");
    for window in windows {
        let held = map.get(&window.key).and_then(|state| state.window(window.start)).expect("it was saved");
        let mut events: Vec<&eventflux_core::Event> = window.events.iter().collect();
        events.sort_by_key(|event| event.timestamp);
        assert!(held.buffer().map(|buffered| buffered.event).eq(events.into_iter().cloned()), "it was saved so");
    }
}

fn by_key(windows: Vec<WindowRows>) -> HashMap<Vec<u8>, Vec<WindowRows>> {
    let mut map: HashMap<Vec<u8>, Vec<WindowRows>> = HashMap::new();
    for window in windows {
        map.entry(window.key.clone()).or_default().push(window);
    }
    map
}
