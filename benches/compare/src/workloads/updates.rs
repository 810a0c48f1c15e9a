//! A loop that updates a million keys a million times, and makes that durable every hundred thousand.
//!
//! Turns of the loop are 64 updates. Ours and RocksDB's Checkpoint make durable on a second thread while the loop goes
//! on, and wait if the one before has not ended; the others do it in the loop. The total is until the last is durable.

use std::hint::black_box;
use std::time::Instant;

use super::delta::fill;
use super::{Context, timed};
use crate::data::{Entry, Totals};
use crate::report::{Row, Samples, Unit, with_commas};
use crate::rivals::{Map, OURS, RIVALS, Store};

/// Updates of one turn.
const TURN: usize = 64;

#[derive(Default)]
struct Measured {
    total: Vec<f64>,
    longest: Vec<f64>,
    usual: Vec<f64>,
}

/// Runs the workload.
pub fn run(context: &mut Context) {
    let (keys, count) = if context.quick { (200_000, 200_000) } else { (1_000_000, 1_000_000) };
    let every = count / 10;
    let mut totals = Totals::new(keys);
    let entries = totals.entries();
    let subjects: Vec<_> = std::iter::once(OURS).chain(RIVALS).collect();
    let mut stores: Vec<Box<dyn Store>> = Vec::new();
    for rival in &subjects {
        let mut store = (rival.open)(&context.fresh_directory(&format!("updates-{}", rival.name)));
        fill(&mut *store, &entries);
        stores.push(store);
    }
    let mut idle = (OURS.open)(&context.fresh_directory("updates-idle"));
    fill(&mut *idle, &entries);
    let mut map: Map = entries.iter().copied().collect();
    let mut measured: Vec<Measured> = subjects.iter().map(|_| Measured::default()).collect();
    let (mut without, mut plain) = (Measured::default(), Measured::default());
    for _ in 0..context.rounds(5) {
        let updates = totals.bids(count);
        for (store, measured) in stores.iter_mut().zip(&mut measured) {
            measured.add(|turns| update(&mut **store, &updates, every, turns));
        }
        without.add(|turns| update(&mut *idle, &updates, usize::MAX, turns));
        idle.persist();
        plain.add(|turns| {
            for updates in updates.chunks(TURN) {
                turns.push(timed(|| black_box(&mut map).extend(updates.iter().copied())).0);
            }
        });
    }
    let mut rows: Vec<Row> =
        subjects.iter().zip(measured).map(|(rival, measured)| measured.into_row(rival.name)).collect();
    rows.push(without.into_row("without checkpoints: EventFlux"));
    rows.push(plain.into_row("floor: hashbrown in memory only"));
    let case =
        format!("{} updates over {} keys, 10 times durable", with_commas(count as u64), with_commas(keys as u64));
    context.report.table(&case, &rows);
}

/// The loop; how long each turn took goes to `turns`.
fn update(store: &mut dyn Store, updates: &[Entry], every: usize, turns: &mut Vec<f64>) {
    let mut until_durable = every;
    for updates in updates.chunks(TURN) {
        let started = Instant::now();
        store.change(updates);
        until_durable = until_durable.saturating_sub(updates.len());
        if until_durable == 0 {
            store.persist_beside();
            until_durable = every;
        } else {
            store.turn();
        }
        turns.push(started.elapsed().as_secs_f64());
    }
    store.finish();
}

impl Measured {
    fn add(&mut self, work: impl FnOnce(&mut Vec<f64>)) {
        let mut turns = Vec::with_capacity(1 << 16);
        self.total.push(timed(|| work(&mut turns)).0);
        let turns = Samples::new(turns);
        self.longest.push(turns.max());
        self.usual.push(turns.median());
    }

    fn into_row(self, who: &str) -> Row {
        Row::new(who)
            .cell("total", Unit::Seconds, Samples::new(self.total))
            .cell("longest turn", Unit::Seconds, Samples::new(self.longest))
            .cell("usual turn", Unit::Seconds, Samples::new(self.usual))
    }
}
