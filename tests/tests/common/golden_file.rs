//! What golden storages hold, in a file beside them: a line a checkpoint.
//!
//! Of large storages it has the hash of what each state holds instead.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json, json};
use xxhash_rust::xxh3::xxh3_64;

use super::contents::point;
use super::storages::Points;

/// Name of the file.
pub const FILE: &str = "contents.json";
/// States of more text than this have its hash only.
const STATE_BYTES_MAX: usize = 16 * 1024;

/// A line a checkpoint; of the states, the keys that hold another thing than in the line before.
pub fn to_text(points: &Points) -> String {
    let mut before = json!({});
    let mut lines = Vec::new();
    for (id, point) in points {
        let point = brief(point);
        let states = &point["states"];
        lines.push(format!(
            "\"{id}\": {}",
            json!({ "manifest": point["manifest"], "changes": changes(&before, states) })
        ));
        before = states.clone();
    }
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// What each checkpoint of a storage holds, [briefly](brief).
pub fn expected(path: &Path) -> Points {
    let text = fs::read_to_string(path.join(FILE)).unwrap();
    let lines: BTreeMap<u64, Json> = serde_json::from_str(&text).unwrap();
    let mut states = json!({});
    let whole = lines.into_iter().map(|(id, mut line)| {
        for (state, rows) in line["changes"].as_object().unwrap() {
            let held = states.as_object_mut().unwrap().entry(state).or_insert_with(|| json!({}));
            let held = held.as_object_mut().unwrap();
            held.extend(rows.as_object().unwrap().clone());
            held.retain(|_, held| !held.is_null());
        }
        (id, brief(&point(line["manifest"].take(), states.clone())))
    });
    whole.collect()
}

/// A checkpoint with the number of keys and a hash instead of each large state.
pub fn brief(whole: &Json) -> Json {
    let of_state = |(name, rows): (&String, &Json)| {
        let mut text = String::new();
        append_sorted(&mut text, rows);
        let is_large = text.len() > STATE_BYTES_MAX;
        let brief =
            || json!({ "keys": rows.as_object().unwrap().len(), "xxh3": format!("{:016x}", xxh3_64(text.as_bytes())) });
        (name.clone(), if is_large { brief() } else { rows.clone() })
    };
    let states: Map<_, _> = whole["states"].as_object().unwrap().iter().map(of_state).collect();
    point(whole["manifest"].clone(), states.into())
}

/// Appends JSON with the members of objects in the order of their names.
fn append_sorted(text: &mut String, json: &Json) {
    match json {
        Json::Object(members) => {
            text.push_str(&format!("{} members\n", members.len()));
            for (name, member) in members.iter().collect::<BTreeMap<_, _>>() {
                text.push_str(name);
                append_sorted(text, member);
            }
        }
        Json::Array(items) => {
            text.push_str(&format!("{} items\n", items.len()));
            items.iter().for_each(|item| append_sorted(text, item));
        }
        leaf => {
            text.push_str(&leaf.to_string());
            text.push('\n');
        }
    }
}

/// By state, the keys that hold another thing; null for those that are gone.
fn changes(before: &Json, after: &Json) -> Json {
    let empty = Map::new();
    let rows = |states: &Json, state: &str| states[state].as_object().unwrap_or(&empty).clone();
    let of_state = |state: &String| {
        let (before, after) = (rows(before, state), rows(after, state));
        let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Json::Null));
        let new = after.iter().filter(|(key, held)| before.get(*key) != Some(held));
        (state.clone(), new.map(|(key, held)| (key.clone(), held.clone())).chain(gone).collect::<Map<_, _>>().into())
    };
    after.as_object().unwrap().keys().map(of_state).collect::<Map<_, _>>().into()
}
