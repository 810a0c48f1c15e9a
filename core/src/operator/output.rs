//! Results, and their JSON.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::ser::{SerializeMap, Serializer};
use serde::{Serialize, ser::SerializeSeq};

use crate::value::{Value, canonical};

/// One result of an operator.
///
/// As JSON (`Serialize`): `operator`, `key`, for windows by time `window_start` and `window_end`
/// (milliseconds), the functions by name; for patterns `matched`, a list of objects with `step`,
/// `timestamp` and all fields of the event. A field that itself is called `step` or `timestamp` is
/// written with `_` behind its name there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// Name of the operator.
    pub operator: Arc<str>,
    /// Names and values of the key.
    pub key: Vec<(Arc<str>, Value)>,
    /// First millisecond, and first after, of a window by time.
    pub window: Option<(i64, i64)>,
    /// Names and values of the functions.
    pub results: Vec<(Arc<str>, Value)>,
    /// Events of a match, one a step; empty unless from a pattern.
    pub matched: Vec<MatchedStep>,
}

/// One event of a match.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedStep {
    /// Name of the step.
    pub step: Arc<str>,
    /// Time of the event, milliseconds since 1970.
    pub timestamp: i64,
    /// Names of the fields.
    pub fields: Arc<[Arc<str>]>,
    /// Their values.
    pub values: Vec<Value>,
}

impl Output {
    /// Appends the result as one line of JSON, with its line feed.
    pub fn append_json_line(&self, line: &mut Vec<u8>) {
        // Maps with text keys and numbers that are finite or null: this cannot fail.
        if let Ok(json) = serde_json::to_vec(self) {
            line.extend_from_slice(&json);
            line.push(b'\n');
        }
    }
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operator", &*self.operator)?;
        map.serialize_entry("key", &Members(&self.key))?;
        if let Some((start, end)) = self.window {
            map.serialize_entry("window_start", &start)?;
            map.serialize_entry("window_end", &end)?;
        }
        for (name, value) in &self.results {
            map.serialize_entry(&**name, &Json(value))?;
        }
        if !self.matched.is_empty() {
            map.serialize_entry("matched", &Matched(&self.matched))?;
        }
        map.end()
    }
}

struct Members<'a>(&'a [(Arc<str>, Value)]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, Json(value))))
    }
}

struct Matched<'a>(&'a [MatchedStep]);

impl Serialize for Matched<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for step in self.0 {
            list.serialize_element(step)?;
        }
        list.end()
    }
}

impl Serialize for MatchedStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("step", &*self.step)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        for (name, value) in self.fields.iter().zip(&self.values) {
            match &**name {
                "step" => map.serialize_entry("step_", &Json(value))?,
                "timestamp" => map.serialize_entry("timestamp_", &Json(value))?,
                name => map.serialize_entry(name, &Json(value))?,
            }
        }
        map.end()
    }
}

/// A value as JSON writes it.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(bool) => serializer.serialize_bool(*bool),
            Value::Int(int) => serializer.serialize_i64(*int),
            Value::Float(float) if float.is_finite() => serializer.serialize_f64(canonical(*float)),
            Value::Float(_) => serializer.serialize_unit(),
            Value::Str(text) => serializer.serialize_str(text.as_str()),
        }
    }
}
