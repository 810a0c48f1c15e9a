//! A million keys on disk, five times ten thousand of them changed since: how long until a program can use them.
//!
//! "First value" is open and one read; "all in memory" is a map that a program can use without the store, which ours
//! and the full snapshot are as soon as they are open. Files are in the page cache, for all.

use std::fs;
use std::path::PathBuf;

use super::delta::fill;
use super::{Context, timed};
use crate::data::Totals;
use crate::floor;
use crate::report::{FLOOR, Row, Samples, Unit, with_commas};
use crate::rivals::{Map, OURS, RIVALS, Rival};

const CHANGED: usize = 10_000;
const CHANGES: usize = 5;

struct Subject {
    rival: Rival,
    directory: PathBuf,
    stored: usize,
    first: Vec<f64>,
    all: Vec<f64>,
}

/// Runs the workload.
pub fn run(context: &mut Context) {
    let keys = if context.quick { 200_000 } else { 1_000_000 };
    let mut totals = Totals::new(keys);
    let entries = totals.entries();
    let changes: Vec<_> = (0..CHANGES).map(|_| totals.bid_on(CHANGED)).collect();
    let mut subjects = Vec::new();
    for rival in std::iter::once(OURS).chain(RIVALS) {
        let directory = context.fresh_directory(&format!("load-{}", rival.name));
        let mut store = (rival.open)(&directory);
        fill(&mut *store, &entries);
        for changes in &changes {
            store.change(changes);
            store.persist();
        }
        drop(store);
        let stored = floor::stored(&directory);
        subjects.push(Subject { rival, directory, stored, first: Vec::new(), all: Vec::new() });
    }
    let expected = totals.entries();
    let (mut read, mut filled, mut flat) = (Vec::new(), Vec::new(), 0);
    let plain = context.fresh_directory("load-floor");
    let bytes: Vec<u8> = expected.iter().flat_map(|(key, payload)| key.iter().chain(payload)).copied().collect();
    fs::write(plain.join("rows"), bytes).expect("the disk has room");
    for _ in 0..context.rounds(9) {
        for subject in &mut subjects {
            subject.take_turn(&expected);
        }
        let (seconds, bytes) = floor::read_all(&plain);
        flat = bytes;
        read.push(seconds);
        filled.push(timed(|| read_and_fill(&plain.join("rows"))).0);
    }
    let mut rows: Vec<Row> = subjects.into_iter().map(Subject::into_row).collect();
    let reference = |who: String, samples: Vec<f64>| {
        let samples = Samples::new(samples);
        let row = Row::new(who).cell("files", Unit::Bytes, flat).cell("first value", Unit::Seconds, samples.clone());
        row.cell("all in memory", Unit::Seconds, samples)
    };
    rows.push(reference(format!("{FLOOR}: reading 24 bytes a key"), read));
    rows.push(reference("the same, and filling a hashbrown map".into(), filled));
    context.report.table(&format!("{} keys", with_commas(keys as u64)), &rows);
}

fn read_and_fill(file: &PathBuf) -> Map {
    let bytes = fs::read(file).expect("it was written");
    let to_entry = |row: &[u8]| (row[..8].try_into().expect("8 bytes"), row[8..].try_into().expect("16 bytes"));
    bytes.chunks_exact(24).map(to_entry).collect()
}

impl Subject {
    fn take_turn(&mut self, expected: &[crate::data::Entry]) {
        let (key, payload) = expected[expected.len() / 3];
        let (opened, store) = timed(|| {
            let store = (self.rival.open)(&self.directory);
            assert_eq!(store.get(&key), Some(payload), "the newest value is there");
            store
        });
        let (loaded, map) = timed(|| store.load());
        if let Some(map) = &map {
            assert!(expected.iter().all(|(key, payload)| map.get(key) == Some(payload)), "all is there");
        }
        self.first.push(opened);
        self.all.push(opened + loaded);
    }

    fn into_row(self) -> Row {
        Row::new(self.rival.name)
            .cell("files", Unit::Bytes, self.stored)
            .cell("first value", Unit::Seconds, Samples::new(self.first))
            .cell("all in memory", Unit::Seconds, Samples::new(self.all))
    }
}
