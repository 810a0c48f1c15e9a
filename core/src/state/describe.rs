//! States as JSON, for tools that look into a checkpoint without the program that wrote it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Value as Json, json};

use super::{AggregationState, JsonValue, PatternState, Window, WindowState};
use crate::format::manifest::{StateDescriptor, StateKind};
use crate::format::{Malformed, key, read_all};
use crate::plugin::stored;
use crate::schema::Schema;
use crate::tracked::sealed::Sealed;
use crate::value::Event;

/// A key as text: as it is if printable UTF-8, else as hex.
pub(crate) fn printable(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("`{text}`"),
        _ => format!("0x{}", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn key_to_json(kind: StateKind, bytes: &[u8]) -> Json {
    let plain = || match core::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Json::from(text),
        _ => json!({ "hex": hex(bytes) }),
    };
    match kind {
        StateKind::Values => plain(),
        _ => key::read_values(bytes)
            .map_or_else(|_| plain(), |values| values.iter().map(crate::Value::to_json).collect()),
    }
}

/// Shows the rows of a state.
pub(crate) struct Describer {
    kind: StateKind,
    /// Of plain values, if the checkpoint carries it; or why it is not understood.
    schema: Option<Result<Schema, String>>,
    /// Whether they are [`JsonValue`]s: shown as the values they stand for.
    is_json: bool,
    /// Whether they are what is kept of a plugin.
    is_plugin: bool,
}

impl Describer {
    pub(crate) fn new(descriptor: &StateDescriptor) -> Self {
        let kind = descriptor.kind;
        let schema = if kind == StateKind::Values { Schema::from_text(&descriptor.description) } else { None };
        let is_json = descriptor.description == JsonValue::SCHEMA;
        let is_plugin = kind == StateKind::Values && stored::is_description(&descriptor.description);
        Describer { kind, schema, is_json, is_plugin }
    }

    /// A key as JSON: the values of an operator's key, text, or `{"hex": …}`.
    pub(crate) fn key(&self, bytes: &[u8]) -> Json {
        let plugin = if self.is_plugin { stored::key_to_text(bytes) } else { None };
        plugin.map_or_else(|| key_to_json(self.kind, bytes), Json::from)
    }

    /// The whole value of a key as JSON. Plain values by their schema, else `{"hex": …}`; with a note if there is one but does not fit.
    pub(crate) fn value(&self, key: &[u8], whole: &[u8]) -> Result<Json, Malformed> {
        Ok(match self.kind {
            StateKind::Values => match &self.schema {
                Some(Ok(_))
                    if self.is_json
                        && let Some(json) = json_value(whole) =>
                {
                    json
                }
                None if self.is_plugin => stored::value_to_json(key, whole),
                None => json!({ "hex": hex(whole) }),
                Some(Err(reason)) => {
                    json!({ "hex": hex(whole), "note": format!("this release does not understand the schema: {reason}") })
                }
                Some(Ok(schema)) => schema.decode(whole).unwrap_or_else(
                    |reason| json!({ "hex": hex(whole), "note": format!("does not fit the schema: {reason}") }),
                ),
            },
            StateKind::Windows => WindowState::read_whole(whole)?.windows().iter().map(window_to_json).collect(),
            StateKind::Patterns => pattern_to_json(&PatternState::read_whole(whole)?),
            StateKind::Aggregations => accumulators_to_json(AggregationState::read_whole(whole)?.accumulators()),
        })
    }
}

/// A [`JsonValue`] as JSON; bytes as `{"hex": …}`. `None` if they are none, or JSON does not hold all of it.
fn json_value(whole: &[u8]) -> Option<Json> {
    match read_all(whole).ok()? {
        JsonValue::Bytes(bytes) => Some(json!({ "hex": hex(&bytes) })),
        value if repeats_a_name(&value) => None,
        value => serde_json::from_str(&value.to_json().ok()?).ok(),
    }
}

/// Whether an object in it has a name twice, of which one member would be lost.
fn repeats_a_name(value: &JsonValue) -> bool {
    match value {
        JsonValue::List(list) => list.iter().any(repeats_a_name),
        JsonValue::Object(members) => {
            let mut names = BTreeSet::new();
            members.iter().any(|(name, value)| !names.insert(name) || repeats_a_name(value))
        }
        _ => false,
    }
}

fn window_to_json(window: &Window) -> Json {
    let events: Vec<Json> = window.buffer().map(|buffered| event_to_json(&buffered.event)).collect();
    let mut json = json!({ "results": accumulators_to_json(window.accumulators()) });
    // A window of so many events has no time.
    if window.end() != i64::MAX {
        json["window_start"] = window.start().into();
        json["window_end"] = window.end().into();
    }
    if !events.is_empty() {
        json["events"] = events.into();
    }
    json
}

fn pattern_to_json(state: &PatternState) -> Json {
    let partials: Vec<Json> = state
        .partials()
        .iter()
        .map(|partial| json!({ "id": partial.id(), "events": partial.events().iter().map(event_to_json).collect::<Vec<_>>() }))
        .collect();
    json!({ "partial_matches": partials, "waiting": state.pending().map(|buffered| event_to_json(&buffered.event)).collect::<Vec<_>>() })
}

fn accumulators_to_json(accumulators: &[super::Accumulator]) -> Json {
    accumulators.iter().map(|accumulator| accumulator.result().to_json()).collect()
}

fn event_to_json(event: &Event) -> Json {
    json!({ "timestamp": event.timestamp, "values": event.values.iter().map(crate::Value::to_json).collect::<Vec<_>>() })
}

impl core::fmt::Display for crate::Value {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.to_json().to_string())
    }
}
