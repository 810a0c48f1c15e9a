//! The most frequent values of a field, by key and tumbling window, when the watermark has passed its end. Equally
//! frequent ones come in the order of their values. Configuration: `{"field": "dest", "k": 3, "window_ms": 3600000}`.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use eventflux_plugin::{Config, Event, Failure, Keyed, Operator, Results, Setup, State, Timers, Value};

/// A year is enough.
const MOST_MS: i64 = 366 * 24 * 60 * 60 * 1000;

/// The operator.
#[derive(Debug, Default)]
pub struct TopK {
    k: usize,
    window_ms: i64,
    /// When the windows end, by their keys in [`COUNTS`].
    ends: Timers,
}

/// How often each value came, sorted by value. The key is the end of the window (8 bytes) and the key of the events.
const COUNTS: Keyed<Vec<(Value, i64)>> = Keyed::new(b'c');
/// How far the source has come: an event of a window that has ended is late, also after a restore.
const WATERMARK: Keyed<i64> = Keyed::new(b'w');

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn configure(&mut self, config: &mut Config) -> Result<Setup, String> {
        let field = config.text("field")?.ok_or("`field` is missing: whose values to count")?;
        self.k = config.integer("k", 1..=1000)?.ok_or("`k` is missing: how many values to give")? as usize;
        self.window_ms = config.integer("window_ms", 1..=MOST_MS)?.ok_or("`window_ms` is missing")?;
        Ok(Setup::new([field.as_str()], ["window_start", "rank", "value", "count"]).with_watermarks())
    }

    fn on_restored(&mut self, state: &State) -> Result<(), Failure> {
        self.ends.clear();
        COUNTS.for_each(state, |key, _| {
            self.ends.set(None, end_of(key), key);
            Ok(())
        })?;
        Ok(())
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, _: &mut Results<'_>) -> Result<(), Failure> {
        let end = event.timestamp.div_euclid(self.window_ms).saturating_add(1).saturating_mul(self.window_ms);
        if WATERMARK.get(state, b"")?.is_some_and(|watermark| end <= watermark) {
            return Ok(());
        }
        let key = [&end.to_be_bytes(), event.key].concat();
        let mut counts = match COUNTS.get(state, &key)? {
            Some(counts) => counts,
            None => {
                self.ends.set(None, end, &key);
                Vec::new()
            }
        };
        let value = &event.values[0];
        match counts.binary_search_by(|(other, _)| other.cmp(value)) {
            Ok(at) => counts[at].1 += 1,
            Err(at) => counts.insert(at, (value.clone(), 1)),
        }
        COUNTS.set(state, &key, &counts)?;
        Ok(())
    }

    fn on_watermark(&mut self, state: &mut State, ms: i64, out: &mut Results<'_>) -> Result<(), Failure> {
        WATERMARK.set(state, b"", &ms)?;
        while let Some((end, key)) = self.ends.take_due(ms) {
            let mut counts = COUNTS.get(state, &key)?.unwrap_or_default();
            counts.sort_by_key(|(_, count)| Reverse(*count));
            let start = Value::Int(end.saturating_sub(self.window_ms));
            for (rank, (value, count)) in (1..).zip(counts.into_iter().take(self.k)) {
                out.give(end, &key[8..], [&start, &Value::Int(rank), &value, &Value::Int(count)]);
            }
            COUNTS.remove(state, &key);
        }
        Ok(())
    }
}

fn end_of(key: &[u8]) -> i64 {
    key.first_chunk().map_or(0, |end| i64::from_be_bytes(*end))
}

/// What the host runs.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the name by which the exports find the operator")]
pub fn eventflux_operator() -> alloc::boxed::Box<dyn Operator> {
    alloc::boxed::Box::new(TopK::default())
}
