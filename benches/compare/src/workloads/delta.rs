//! Ten thousand keys change, and that is durable: how long, over the size of the state, and against stores.
//!
//! All take their turns in every round, a few after each other: with one each, every store would find the caches full
//! of all others. Bytes are what the process wrote meanwhile (`wchar` of `/proc/self/io`): work
//! that a store leaves to its own threads counts for whoever has its turn then.

use std::fs;

use super::{Context, timed};
use crate::data::{Entry, Totals};
use crate::floor;
use crate::report::{FLOOR, Row, Samples, Unit, with_commas};
use crate::rivals::{OURS, REDB, RIVALS, Rival, SETTINGS, SQLITE, Store};

/// Keys that change in a round.
const CHANGED: usize = 10_000;
/// Keys of the stores compared.
const KEYS: usize = 1_000_000;
const MANY_KEYS: usize = 5_000_000;
/// Turns after each other.
const TURNS: usize = 5;
/// Keys put in at once when a store is filled.
const FILL: usize = 100_000;

struct Subject {
    name: String,
    keys: usize,
    store: Box<dyn Store>,
    bytes: Vec<f64>,
    whole: Vec<f64>,
    durable: Vec<f64>,
}

/// Runs the workload.
pub fn run(context: &mut Context) {
    SETTINGS.iter().for_each(|setting| context.report.note(setting));
    let mut wanted: Vec<(Rival, usize)> = vec![(OURS, KEYS), (OURS, 10_000), (OURS, 100_000)];
    if !context.quick {
        wanted.push((OURS, 10 * KEYS));
    }
    wanted.extend(RIVALS.map(|rival| (rival, KEYS)));
    if !context.quick {
        wanted.extend([(REDB, MANY_KEYS), (SQLITE, MANY_KEYS)]);
    }
    let mut totals: Vec<Totals> = Vec::new();
    let mut subjects = Vec::new();
    for (rival, keys) in wanted {
        if !totals.iter().any(|totals| totals.len() == keys) {
            totals.push(Totals::new(keys));
        }
        let held = totals.iter().find(|totals| totals.len() == keys).expect("it was made");
        subjects.push(Subject::new(context, rival, held));
    }
    let directory = context.fresh_directory("floor");
    let mut floors = Vec::new();
    for _ in 0..context.rounds(10) {
        // For each number of keys, what changes in each turn.
        let changes: Vec<Vec<Vec<Entry>>> =
            totals.iter_mut().map(|totals| (0..TURNS).map(|_| totals.bid_on(CHANGED)).collect()).collect();
        for subject in &mut subjects {
            let place = totals.iter().position(|totals| totals.len() == subject.keys).expect("it was made");
            changes[place].iter().for_each(|changes| subject.take_turn(changes));
        }
        let ours = &subjects[0].bytes;
        for (changes, bytes) in changes[0].iter().zip(&ours[ours.len() - TURNS..]) {
            let bytes = some_bytes(changes, *bytes as usize);
            floors.push((floor::durable_write(&directory, "floor", &bytes), bytes.len()));
        }
    }
    let mut rows: Vec<Row> = subjects.into_iter().map(Subject::into_row).collect();
    let seconds = Samples::new(floors.iter().map(|(seconds, _)| *seconds).collect());
    let bytes = Samples::new(floors.iter().map(|(_, bytes)| *bytes as f64).collect());
    let floor = Row::new(format!("{FLOOR}: as many bytes as ours of 1,000,000"))
        .cell("written", Unit::Bytes, bytes)
        .cell("changes + durable", Unit::Seconds, seconds.clone())
        .cell("durable part", Unit::Seconds, seconds);
    rows.push(floor);
    context.report.table("10,000 keys changed (8-byte keys, 16-byte values), p50", &rows);
}

impl Subject {
    fn new(context: &Context, rival: Rival, totals: &Totals) -> Self {
        let keys = totals.len();
        let name = format!("{}, {} keys", rival.name, with_commas(keys as u64));
        let mut store = (rival.open)(&context.fresh_directory(&name));
        fill(&mut *store, &totals.entries());
        Subject { name, keys, store, bytes: Vec::new(), whole: Vec::new(), durable: Vec::new() }
    }

    fn take_turn(&mut self, changes: &[Entry]) {
        let before = written();
        let (changing, ()) = timed(|| self.store.change(changes));
        let (durable, ()) = timed(|| self.store.persist());
        self.bytes.push((written() - before) as f64);
        self.whole.push(changing + durable);
        self.durable.push(durable);
    }

    fn into_row(self) -> Row {
        Row::new(self.name)
            .cell("written", Unit::Bytes, Samples::new(self.bytes))
            .cell("changes + durable", Unit::Seconds, Samples::new(self.whole))
            .cell("durable part", Unit::Seconds, Samples::new(self.durable))
    }
}

/// Fills a store, durably.
pub fn fill(store: &mut dyn Store, entries: &[Entry]) {
    entries.chunks(FILL).for_each(|entries| store.change(entries));
    store.persist();
}

/// Bytes this process has written so far; 0 where the system does not say.
fn written() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    counters.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or_default()
}

/// So many bytes, made of entries.
fn some_bytes(entries: &[Entry], count: usize) -> Vec<u8> {
    entries.iter().flat_map(|(key, payload)| key.iter().chain(payload)).copied().cycle().take(count).collect()
}
