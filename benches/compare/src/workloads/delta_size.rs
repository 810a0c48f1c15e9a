//! Bytes of a delta, against the information in it: the same keys and values, compressed by our codecs alone, as the
//! first checkpoint of a holder with nothing else.
//!
//! Of the checkpoints after the first, those count that wrote no bases.

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend};
use eventflux_core::{CatalogEntry, StateHolder};

use super::windows;
use super::{Context, begin, encode};
use crate::codecs::of_rows;
use crate::data::{self, Entry, Totals, WindowRows};
use crate::report::{OURS, Row, Unit, with_commas};

const KEYS: usize = 1_000_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// Checkpoints that are tried until one has no bases.
const TRIES: usize = 20;

/// Sizes of a delta: its object, and the sections in it.
struct Delta {
    object: usize,
    sections: usize,
    rows: u64,
}

/// Runs the workload.
pub fn run(context: &mut Context) {
    plain(context);
    flights(context);
}

fn plain(context: &mut Context) {
    let mut totals = Totals::new(if context.quick { KEYS / 5 } else { KEYS });
    for changed in [1_000, 10_000, 100_000] {
        let mut holder = StateHolder::builder("totals").build().expect("the defaults are good");
        set_all(&mut holder, &totals.entries());
        let mut manager = first(&mut holder);
        let mut changes = Vec::new();
        let delta = find_delta(|| {
            changes = totals.bid_on(changed);
            set_all(&mut holder, &changes);
            manager.checkpoint(&mut holder, None).expect("memory has room")
        });
        changes.sort_unstable();
        let mut alone = StateHolder::builder("totals").build().expect("the defaults are good");
        set_all(&mut alone, &changes);
        let case = format!(
            "plain values: {} of {} keys changed",
            with_commas(changed as u64),
            with_commas(totals.len() as u64)
        );
        print(context, &case, delta.as_ref(), &mut alone, &changes);
    }
}

fn flights(context: &mut Context) {
    let flights = data::four_months();
    let (carrier, dest) = (flights.place("carrier"), flights.place("dest"));
    let text = |value: &eventflux_core::Value| value.as_str().unwrap_or_default().to_owned();
    let all = flights.daily(|event| format!("{} {}", text(&event.values[carrier]), text(&event.values[dest])));
    let last_day = flights.events.iter().map(|event| event.timestamp).max().unwrap_or_default() - 30 * DAY_MS;
    let (mut days, old): (Vec<WindowRows>, Vec<WindowRows>) =
        all.into_iter().partition(|window| window.start >= last_day);
    days.sort_by_key(|window| window.start);
    let mut days = days.chunk_by(|a, b| a.start == b.start);
    let mut holder = windows::holder(&old);
    let mut manager = first(&mut holder);
    let mut sequence: u64 = old.iter().map(|window| window.events.len() as u64).sum();
    let mut added: &[WindowRows] = &[];
    let delta = find_delta(|| {
        added = days.next().unwrap_or_default();
        windows::add(&mut holder, added, sequence);
        sequence += added.iter().map(|window| window.events.len() as u64).sum::<u64>();
        manager.checkpoint(&mut holder, None).expect("memory has room")
    });
    let mut alone = windows::holder(added);
    let events: usize = added.iter().map(|window| window.events.len()).sum();
    let case = format!(
        "a day of flights more, by carrier × destination: {} new events in {} windows",
        with_commas(events as u64),
        with_commas(added.len() as u64)
    );
    print(context, &case, delta.as_ref(), &mut alone, &added.to_vec());
}

fn set_all(holder: &mut StateHolder, entries: &[Entry]) {
    for (key, payload) in entries {
        holder.set_encoded(key, payload).expect("there is no budget");
    }
}

fn first(holder: &mut StateHolder) -> CheckpointManager<MemoryBackend> {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
    manager.checkpoint(holder, None).expect("memory has room");
    manager
}

fn find_delta(mut next: impl FnMut() -> CatalogEntry) -> Option<Delta> {
    let entry = (0..TRIES).map(|_| next()).find(|entry| entry.sizes.base_rows == 0 && entry.sizes.delta_rows > 0)?;
    Some(Delta {
        object: entry.object_bytes as usize,
        sections: entry.sizes.stored as usize,
        rows: entry.sizes.delta_rows,
    })
}

fn print<T: serde::Serialize + serde::de::DeserializeOwned>(
    context: &mut Context,
    case: &str,
    delta: Option<&Delta>,
    alone: &mut StateHolder,
    content: &T,
) {
    let encoded = encode(alone, begin);
    let information = encoded.manifest().sizes.stored as usize;
    let mut rows = Vec::new();
    let row = |who: &str, bytes: usize| {
        let to_information = 100.0 * bytes as f64 / information as f64;
        Row::new(who).cell("bytes", Unit::Bytes, bytes).cell("of the information", Unit::Percent, to_information)
    };
    match delta {
        Some(delta) => {
            rows.push(row(&format!("{OURS}: the delta's object"), delta.object));
            rows.push(row(&format!("sections in it, {} rows", with_commas(delta.rows)), delta.sections));
        }
        None => context.report.note(&format!("{case}: none of {TRIES} checkpoints was without bases")),
    }
    rows.push(row("the information: the same alone, our codecs", information));
    for codec in of_rows::<T>() {
        rows.push(row(&codec.name(), codec.encode(content).len()));
    }
    context.report.table(case, &rows);
}
