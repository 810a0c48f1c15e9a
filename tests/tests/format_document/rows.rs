//! FORMAT.md, "Rows", "Values", "Accumulators", "Windows", "Patterns", "Aggregations".
//!
//! What comes out is the JSON of `common/contents.rs`, which knows nothing of bytes.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::Bytes;

/// A state under restoration: what each key holds.
pub type Rows = BTreeMap<Vec<u8>, Json>;

/// Applies a section to a state. `skip` says which key groups have a newer base.
pub fn apply(raw: &[u8], kind: u64, key_groups: u64, rows: &mut Rows, skip: impl Fn(u64) -> bool) {
    let mut bytes = Bytes(raw);
    while !bytes.0.is_empty() {
        let group = bytes.uint();
        let mut last = None;
        for _ in 0..bytes.uint() {
            let key_len = bytes.uint() as usize;
            let key = bytes.take(key_len);
            assert_eq!((xxh3_64(key) >> 32) % key_groups, group);
            assert!(last < Some(key), "keys rise");
            last = Some(key);
            let form = bytes.u8();
            let payload = if form == 0 {
                &[]
            } else {
                let len = bytes.uint() as usize;
                bytes.take(len)
            };
            if skip(group) {
                continue;
            }
            match form {
                0 => drop(rows.remove(key)),
                1 => drop(rows.insert(key.to_vec(), whole(kind, payload))),
                2 => change(kind, payload, rows.get_mut(key).expect("a change of a key that is there")),
                _ => panic!("form {form}"),
            }
        }
    }
}

/// Counts the rows of each form.
pub fn forms(raw: &[u8], forms: &mut [usize; 3]) {
    let mut bytes = Bytes(raw);
    while !bytes.0.is_empty() {
        bytes.uint();
        for _ in 0..bytes.uint() {
            let key_len = bytes.uint() as usize;
            bytes.take(key_len);
            let form = bytes.u8();
            forms[usize::from(form)] += 1;
            if form != 0 {
                let len = bytes.uint() as usize;
                bytes.take(len);
            }
        }
    }
}

fn whole(kind: u64, payload: &[u8]) -> Json {
    let mut held = match kind {
        0 => return crate::contents::plain(payload),
        1 => json!([]),
        2 => json!({ "waiting": [], "partials": [] }),
        3 => json!([]),
        _ => panic!("kind {kind}"),
    };
    change(kind, payload, &mut held);
    held
}

fn change(kind: u64, payload: &[u8], held: &mut Json) {
    let mut bytes = Bytes(payload);
    match kind {
        1 => windows(&mut bytes, held.as_array_mut().unwrap()),
        2 => patterns(&mut bytes, held),
        3 => accumulators(&mut bytes, held.as_array_mut().unwrap()),
        _ => panic!("kind {kind} does not change in part"),
    }
    bytes.end();
}

fn windows(bytes: &mut Bytes<'_>, held: &mut Vec<Json>) {
    let closed = bytes.list(Bytes::int);
    held.retain(|window| !closed.contains(&window["start"].as_i64().unwrap()));
    let mut before = None;
    for _ in 0..bytes.uint() {
        let start = bytes.int();
        assert!(before.is_none_or(|before| before < start), "starts rise");
        before = Some(start);
        let at = held.iter().position(|window| window["start"] == start).unwrap_or_else(|| {
            held.push(json!({ "start": start, "events": [], "accumulators": [] }));
            held.len() - 1
        });
        held[at]["end"] = bytes.int().into();
        let popped = bytes.uint() as usize;
        let appended = bytes.list(buffered);
        let events = held[at]["events"].as_array_mut().unwrap();
        events.drain(..popped);
        events.extend(appended);
        accumulators(bytes, held[at]["accumulators"].as_array_mut().unwrap());
    }
    held.sort_by_key(|window| window["start"].as_i64());
}

fn patterns(bytes: &mut Bytes<'_>, held: &mut Json) {
    let taken = bytes.list(Bytes::uint);
    let came = bytes.list(buffered);
    let waiting = held["waiting"].as_array_mut().unwrap();
    waiting.retain(|event| !taken.contains(&event["sequence"].as_u64().unwrap()));
    waiting.extend(came);
    waiting.sort_by_key(|event| (event["timestamp"].as_i64(), event["sequence"].as_u64()));
    let dropped = bytes.list(Bytes::uint);
    let partials = held["partials"].as_array_mut().unwrap();
    partials.retain(|partial| !dropped.contains(&partial["id"].as_u64().unwrap()));
    let mut next = 0;
    for _ in 0..bytes.uint() {
        let (id, from) = (bytes.uint(), bytes.uint() as usize);
        let events = bytes.list(event);
        if from == 0 {
            partials.push(json!({ "id": id, "events": events }));
        } else {
            // In the order in which they lie.
            next += 1 + partials[next..].iter().position(|partial| partial["id"] == id).unwrap();
            let held = partials[next - 1]["events"].as_array_mut().unwrap();
            assert_eq!(held.len(), from);
            held.extend(events);
        }
    }
}

fn accumulators(bytes: &mut Bytes<'_>, held: &mut Vec<Json>) {
    let count = bytes.uint() as usize;
    if held.is_empty() {
        held.resize(count, Json::Null);
    }
    assert_eq!(held.len(), count, "their number stays the same once there are some");
    for held in held {
        match bytes.uint() {
            0 => *held = json!({ "count": bytes.uint() }),
            1 => {
                let (ints, int_sum, floats, float_sum) = (bytes.uint(), bytes.int(), bytes.uint(), float(bytes));
                *held = json!({ "sum": [ints, int_sum, floats, float_sum] });
            }
            2 => *held = json!({ "min": bytes.option(value) }),
            3 => *held = json!({ "max": bytes.option(value) }),
            4 => *held = json!({ "avg": [bytes.uint(), bytes.int128().to_string(), float(bytes)] }),
            5 => *held = json!({ "stddev": [bytes.uint(), float(bytes), float(bytes)] }),
            6 => *held = json!({ "first": bytes.option(|bytes| (bytes.int(), value(bytes))) }),
            7 => *held = json!({ "last": bytes.option(|bytes| (bytes.int(), value(bytes))) }),
            8 => grow(held, "distinct", bytes.uint(), bytes.list(value)),
            9 => grow(held, "median", bytes.uint(), bytes.list(float)),
            other => panic!("accumulator {other}"),
        }
    }
}

fn grow(held: &mut Json, name: &str, from: u64, values: Vec<Json>) {
    if from == 0 {
        *held = json!({ name: [] });
    }
    let list = held[name].as_array_mut().unwrap();
    assert_eq!(list.len() as u64, from);
    list.extend(values);
}

fn buffered(bytes: &mut Bytes<'_>) -> Json {
    let sequence = bytes.uint();
    let mut event = event(bytes);
    event["sequence"] = sequence.into();
    event
}

fn event(bytes: &mut Bytes<'_>) -> Json {
    json!({ "timestamp": bytes.int(), "values": bytes.list(value) })
}

fn value(bytes: &mut Bytes<'_>) -> Json {
    match bytes.uint() {
        0 => Json::Null,
        1 => bytes.bool().into(),
        2 => bytes.int().into(),
        3 => float(bytes),
        4 => bytes.text().into(),
        other => panic!("value {other}"),
    }
}

fn float(bytes: &mut Bytes<'_>) -> Json {
    let float = bytes.f64();
    assert!(float.to_bits() == 0x7ff8_0000_0000_0000 || !float.is_nan(), "one NaN");
    assert!(float.to_bits() != 1 << 63, "one zero");
    crate::contents::float(float)
}

/// FORMAT.md, "Keys of operators".
pub fn key(key: &[u8]) -> Json {
    let mut bytes = Bytes(key);
    let mut values = Vec::new();
    while !bytes.0.is_empty() {
        values.push(match bytes.u8() {
            0 => Json::Null,
            1 => false.into(),
            2 => true.into(),
            3 => number(bytes.take(10)),
            4 => text(&mut bytes),
            other => panic!("tag {other}"),
        });
    }
    values.into()
}

fn number(bytes: &[u8]) -> Json {
    let (sortable, rest) = bytes.split_at(8);
    let sortable = u64::from_be_bytes(sortable.try_into().unwrap());
    let float = f64::from_bits(if sortable >> 63 == 1 { sortable ^ 1 << 63 } else { !sortable });
    let whole = float >= -(2_f64.powi(63)) && float < 2_f64.powi(63) && float.fract() == 0.0;
    if whole {
        (float as i64 + i64::from(u16::from_be_bytes([rest[0], rest[1]]))).into()
    } else {
        crate::contents::float(float)
    }
}

fn text(bytes: &mut Bytes<'_>) -> Json {
    let mut text = Vec::new();
    loop {
        match bytes.u8() {
            // 00 00 ends it, 00 FF is a zero.
            0 if bytes.u8() == 0 => return String::from_utf8(text).unwrap().into(),
            byte => text.push(byte),
        }
    }
}
