//! Plain values: a million keys of 8 bytes with values of 16, from bytes in memory to a map that can be used.

use std::hint::black_box;

use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend};
use eventflux_core::{RestoreOptions, Selector, StateHolder};

use super::{Context, timed};
use crate::codecs::{Codec, of_rows};
use crate::data::{Entry, Totals};
use crate::floor;
use crate::report::{FLOOR, OURS, Row, Samples, Unit, with_commas};
use crate::rivals::Map;

/// Runs the workload.
pub fn run(context: &mut Context) {
    let keys = if context.quick { 200_000 } else { 1_000_000 };
    let entries = Totals::new(keys).entries();
    let mut holder = StateHolder::builder("totals").build().expect("the defaults are good");
    for (key, payload) in &entries {
        holder.set_encoded(key, payload).expect("there is no budget");
    }
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).expect("it is new");
    let stored = manager.checkpoint(&mut holder, None).expect("memory has room").object_bytes as usize;
    let codecs: Vec<Box<dyn Codec<Vec<Entry>>>> = of_rows().into_iter().filter(|codec| !codec.is_slow()).collect();
    let encoded: Vec<Vec<u8>> = codecs.iter().map(|codec| codec.encode(&entries)).collect();
    let flat: Vec<u8> = entries.iter().flat_map(|(key, payload)| key.iter().chain(payload)).copied().collect();
    let mut ours = Vec::new();
    let mut theirs: Vec<Vec<f64>> = vec![Vec::new(); codecs.len()];
    let (mut filled, mut copied, mut target) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..context.rounds(9) {
        let mut live = StateHolder::builder("totals").build().expect("the defaults are good");
        let options = RestoreOptions::default();
        let (seconds, restored) =
            timed(|| eventflux::restore(manager.backend_mut(), &mut live, Selector::Latest, options));
        restored.expect("it was published");
        assert_eq!(live.values().len(), keys, "all were restored");
        ours.push(seconds);
        for ((codec, bytes), samples) in codecs.iter().zip(&encoded).zip(&mut theirs) {
            let (seconds, map) = timed(|| codec.decode(bytes).into_iter().collect::<Map>());
            assert_eq!(map.len(), keys, "all were restored");
            samples.push(seconds);
        }
        filled.push(timed(|| black_box(entries.iter().copied().collect::<Map>())).0);
        copied.push(floor::copy(&flat, &mut target));
    }
    let row = |who: &str, bytes: usize, samples| {
        let row = Row::new(who).cell("bytes", Unit::Bytes, bytes);
        row.pace("restore", "keys/s", keys, Samples::new(samples))
    };
    let mut rows = vec![row(OURS, stored, ours)];
    for ((codec, bytes), samples) in codecs.iter().zip(&encoded).zip(theirs) {
        rows.push(row(&format!("{} → hashbrown", codec.name()), bytes.len(), samples));
    }
    rows.push(row("hashbrown, from a list in memory", 24 * keys, filled));
    rows.push(row(&format!("{FLOOR}: memcpy of 24 bytes a key"), 24 * keys, copied));
    context.report.table(&format!("{} keys (8-byte keys, 16-byte values)", with_commas(keys as u64)), &rows);
}
