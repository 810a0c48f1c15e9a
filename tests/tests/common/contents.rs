//! What a holder holds, as JSON that loses nothing: for golden files and for readers of the format.
//!
//! Floats are `{"float": text}`, so that NaN and the infinities survive; keys are hex, and so are
//! plain values, the long ones by their length and hash.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use eventflux_core::{
    Accumulator, AggregationState, BufferedEvent, Event, Manifest, PatternState, StateDescriptor, StateHolder,
    StateKind, Value, WindowState,
};
use serde_json::{Map, Value as Json, json};

/// Plain values up to so many bytes are written out.
const PLAIN_BYTES_MAX: usize = 40;

/// All states: by name, what each key holds.
pub fn contents(holder: &StateHolder) -> Json {
    let rows = |state: &str, kind| match kind {
        StateKind::Values => by_key(holder.values().iter().map(|(key, value)| (key, plain(value.as_bytes())))),
        StateKind::Windows => by_key(holder.windows(state).unwrap().iter().map(|(key, held)| (key, windows(held)))),
        StateKind::Patterns => by_key(holder.patterns(state).unwrap().iter().map(|(key, held)| (key, patterns(held)))),
        StateKind::Aggregations => {
            let groups = holder.aggregations(state).unwrap().iter();
            by_key(groups.map(|(key, held): (_, &AggregationState)| (key, accumulators(held.accumulators()))))
        }
    };
    holder
        .states()
        .iter()
        .map(|state| (state.name.clone(), rows(&state.name, state.kind)))
        .collect::<Map<_, _>>()
        .into()
}

fn by_key<'a>(rows: impl Iterator<Item = (&'a [u8], Json)>) -> Json {
    let sorted: BTreeMap<String, Json> = rows.map(|(key, json)| (hex(key), json)).collect();
    sorted.into_iter().collect::<Map<_, _>>().into()
}

/// A checkpoint: what its manifest says, and what it holds.
pub fn point(manifest: Json, states: Json) -> Json {
    json!({ "manifest": manifest, "states": states })
}

/// What a manifest says of its checkpoint; not where the sections are.
pub fn manifest_to_json(manifest: &Manifest) -> Json {
    let state = |state: &StateDescriptor| {
        json!({ "name": state.name, "kind": state.kind.as_str(), "version": state.version,
            "fingerprint": format!("{:016x}", state.fingerprint), "description": state.description })
    };
    let progress = &manifest.progress;
    let engine = progress.engine.as_ref().map(|engine| {
        json!({ "events": engine.events, "timestamp_max": engine.timestamp_max, "finished": engine.finished,
            "results": engine.results, "late": engine.late })
    });
    let sizes = &manifest.sizes;
    json!({
        "id": manifest.object.id, "generation": manifest.object.generation, "parent": manifest.parent,
        "created_ms": manifest.created_ms, "label": manifest.label, "holder": manifest.holder,
        "key_groups": manifest.key_groups, "states": manifest.states.iter().map(state).collect::<Vec<_>>(),
        "positions": progress.positions, "outputs": progress.outputs, "watermarks": progress.watermarks,
        "engine": engine, "sizes": [sizes.delta_rows, sizes.delta_raw, sizes.base_rows, sizes.base_raw, sizes.stored,
            sizes.dirty, sizes.restore_raw],
    })
}

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plain value.
pub fn plain(bytes: &[u8]) -> Json {
    if bytes.len() <= PLAIN_BYTES_MAX {
        return hex(bytes).into();
    }
    json!({ "bytes": bytes.len(), "xxh3": format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes)) })
}

/// A number in double precision; there is one NaN and one zero.
pub fn float(float: f64) -> Json {
    let float = if float == 0.0 { 0.0 } else { float };
    json!({ "float": format!("{float:?}") })
}

fn windows(state: &WindowState) -> Json {
    let window = |window: &eventflux_core::Window| {
        json!({ "start": window.start(), "end": window.end(),
            "events": window.buffer().map(|held| buffered(&held)).collect::<Vec<_>>(),
            "accumulators": accumulators(window.accumulators()) })
    };
    state.windows().iter().map(window).collect()
}

fn patterns(state: &PatternState) -> Json {
    let partial = |partial: &eventflux_core::PartialMatch| json!({ "id": partial.id(), "events": partial.events().iter().map(event).collect::<Vec<_>>() });
    json!({ "waiting": state.pending().map(buffered).collect::<Vec<_>>(),
        "partials": state.partials().iter().map(partial).collect::<Vec<_>>() })
}

fn accumulators(accumulators: &[Accumulator]) -> Json {
    accumulators.iter().map(accumulator).collect()
}

fn accumulator(accumulator: &Accumulator) -> Json {
    let timed = |held: &Option<(i64, Value)>| json!(held.as_ref().map(|(time, held)| (time, value(held))));
    match accumulator {
        Accumulator::Count(count) => json!({ "count": count }),
        Accumulator::Sum { ints, int_sum, floats, float_sum } => {
            json!({ "sum": [ints, int_sum, floats, float(*float_sum)] })
        }
        Accumulator::Min(held) => json!({ "min": held.as_ref().map(value) }),
        Accumulator::Max(held) => json!({ "max": held.as_ref().map(value) }),
        Accumulator::Avg { count, int_sum, float_sum } => {
            json!({ "avg": [count, int_sum.to_string(), float(*float_sum)] })
        }
        Accumulator::Stddev { count, mean, m2 } => json!({ "stddev": [count, float(*mean), float(*m2)] }),
        Accumulator::First(held) => json!({ "first": timed(held) }),
        Accumulator::Last(held) => json!({ "last": timed(held) }),
        Accumulator::Distinct(values) => {
            json!({ "distinct": values.values().iter().map(value).collect::<Vec<_>>() })
        }
        Accumulator::Median(values) => {
            json!({ "median": values.values().iter().copied().map(float).collect::<Vec<_>>() })
        }
    }
}

fn buffered(buffered: &BufferedEvent) -> Json {
    let mut json = event(&buffered.event);
    json["sequence"] = buffered.sequence.into();
    json
}

fn event(event: &Event) -> Json {
    json!({ "timestamp": event.timestamp, "values": event.values.iter().map(value).collect::<Vec<_>>() })
}

fn value(held: &Value) -> Json {
    match held {
        Value::Null => Json::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Int(int) => (*int).into(),
        Value::Float(number) => float(*number),
        Value::Str(text) => text.as_str().into(),
    }
}
