//! A loop that updates a million keys a million times, and makes that durable every hundred thousand.
//!
//! Turns of the loop are 64 updates. Ours and RocksDB's Checkpoint make durable on a second thread while the loop goes
//! on; the others do it in the loop. When the next is due and the one before has not ended, the loop waits, as our
//! runtime does with `every_events`; in the rows that say so it goes on, and cuts as soon as that has ended, as our
//! runtime does with `interval`. The total is until the last is durable.

use std::hint::black_box;
use std::time::Instant;

use super::delta::fill;
use super::{Context, timed};
use crate::data::{Entry, Totals};
use crate::report::{Row, Samples, Unit, with_commas};
use crate::rivals::{Map, OURS, RIVALS, ROCKSDB_CHECKPOINT, Store};

/// Updates of one turn.
const TURN: usize = 64;

/// A store, and whether its loop waits for the checkpoint before.
struct Subject {
    name: String,
    store: Box<dyn Store>,
    waits: bool,
    measured: Measured,
}

#[derive(Default)]
struct Measured {
    cuts: Vec<f64>,
    total: Vec<f64>,
    longest: Vec<f64>,
    most: Vec<f64>,
    usual: Vec<f64>,
}

/// Runs the workload.
pub fn run(context: &mut Context) {
    let (keys, count) = if context.quick { (200_000, 200_000) } else { (1_000_000, 1_000_000) };
    let every = count / 10;
    let mut totals = Totals::new(keys);
    let entries = totals.entries();
    let mut wanted = vec![(OURS, true), (OURS, false)];
    wanted.extend(RIVALS.map(|rival| (rival, true)));
    wanted.push((ROCKSDB_CHECKPOINT, false));
    let mut subjects: Vec<Subject> = Vec::new();
    for (rival, waits) in wanted {
        let name = if waits { rival.name.into() } else { format!("{}, never waits", rival.name) };
        let mut store = (rival.open)(&context.fresh_directory(&format!("updates-{name}")));
        fill(&mut *store, &entries);
        subjects.push(Subject { name, store, waits, measured: Measured::default() });
    }
    let mut idle = (OURS.open)(&context.fresh_directory("updates-idle"));
    fill(&mut *idle, &entries);
    let mut map: Map = entries.iter().copied().collect();
    let (mut without, mut plain) = (Measured::default(), Measured::default());
    for _ in 0..context.rounds(5) {
        let updates = totals.bids(count);
        for Subject { store, waits, measured, .. } in &mut subjects {
            measured.add(|turns| update(&mut **store, &updates, every, *waits, turns));
        }
        without.add(|turns| update(&mut *idle, &updates, usize::MAX, true, turns));
        idle.persist();
        plain.add(|turns| {
            for updates in updates.chunks(TURN) {
                turns.push(timed(|| black_box(&mut map).extend(updates.iter().copied())).0);
            }
            0
        });
    }
    let mut rows: Vec<Row> = subjects.into_iter().map(|subject| subject.measured.into_row(&subject.name)).collect();
    rows.push(without.into_row("without checkpoints: EventFlux"));
    rows.push(plain.into_row("floor: hashbrown in memory only"));
    let case = format!(
        "{} updates over {} keys, durable every {}",
        with_commas(count as u64),
        with_commas(keys as u64),
        with_commas(every as u64)
    );
    context.report.table(&case, &rows);
}

/// The loop; how long each turn took goes to `turns`. How often all was made durable.
fn update(store: &mut dyn Store, updates: &[Entry], every: usize, waits: bool, turns: &mut Vec<f64>) -> usize {
    let (mut since, mut cuts) = (0, 0);
    for updates in updates.chunks(TURN) {
        let started = Instant::now();
        store.change(updates);
        since += updates.len();
        if since >= every && (waits || !store.is_busy()) {
            store.persist_beside();
            (since, cuts) = (0, cuts + 1);
        } else {
            store.turn();
        }
        turns.push(started.elapsed().as_secs_f64());
    }
    if every < usize::MAX {
        // The rest of the updates, unless the last turn made all durable.
        if since > 0 {
            store.persist_beside();
            cuts += 1;
        }
        store.finish();
    }
    cuts
}

impl Measured {
    fn add(&mut self, work: impl FnOnce(&mut Vec<f64>) -> usize) {
        let mut turns = Vec::with_capacity(1 << 16);
        let (seconds, cuts) = timed(|| work(&mut turns));
        self.total.push(seconds);
        self.cuts.push(cuts as f64);
        let turns = Samples::new(turns);
        self.longest.push(turns.max());
        self.most.push(turns.percentile(0.999));
        self.usual.push(turns.median());
    }

    fn into_row(self, who: &str) -> Row {
        Row::new(who)
            .cell("durable", Unit::Count, Samples::new(self.cuts))
            .cell("total", Unit::Seconds, Samples::new(self.total))
            .cell("longest turn", Unit::Seconds, Samples::new(self.longest))
            .cell("p99.9 turn", Unit::Seconds, Samples::new(self.most))
            .cell("usual turn", Unit::Seconds, Samples::new(self.usual))
    }
}
