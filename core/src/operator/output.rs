//! Results, and their JSON.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::ser::{SerializeMap, Serializer};
use serde::{Serialize, ser::SerializeSeq};

use super::json;
use crate::value::{Value, canonical};

/// How a line begins, and what comes behind the operator.
const OPERATOR: &[u8] = b"{\"operator\":";
const KEY: &[u8] = b",\"key\":{";

/// One result of an operator.
///
/// As JSON (`Serialize`): `operator`, `key`, for windows by time `window_start` and `window_end`
/// (milliseconds), the functions by name; for patterns `matched`, a list of objects with `step`,
/// `timestamp` and all fields of the event. A field that itself is called `step` or `timestamp` is
/// written with `_` behind its name there, as many as it takes to be no other field's.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    names: Arc<OutputNames>,
    key: Vec<Value>,
    window: Option<(i64, i64)>,
    results: Vec<Value>,
    matched: Vec<MatchedStep>,
}

/// The names in all results of an operator.
#[derive(Debug, PartialEq)]
pub(crate) struct OutputNames {
    operator: Name,
    key: Vec<Name>,
    results: Vec<Name>,
}

/// A name, and its JSON: it is written far more often than made.
#[derive(Debug, PartialEq)]
struct Name {
    text: String,
    json: Vec<u8>,
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
    /// A result with as many values as there are names.
    pub(super) fn new(
        names: &Arc<OutputNames>,
        key: Vec<Value>,
        window: Option<(i64, i64)>,
        results: Vec<Value>,
        matched: Vec<MatchedStep>,
    ) -> Self {
        Output { names: Arc::clone(names), key, window, results, matched }
    }

    /// Name of the operator.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.names.operator.text
    }

    /// Names and values of the key's fields.
    pub fn key(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        with_values(&self.names.key, &self.key)
    }

    /// `(start, end)` of a window in milliseconds since 1970, end exclusive; `None` for `length` windows, patterns and
    /// aggregations.
    #[must_use]
    pub fn window(&self) -> Option<(i64, i64)> {
        self.window
    }

    /// Names and values of the functions.
    pub fn results(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        with_values(&self.names.results, &self.results)
    }

    /// Events of a match, one per step; empty unless from a pattern.
    #[must_use]
    pub fn matched(&self) -> &[MatchedStep] {
        &self.matched
    }

    /// Whether bytes begin as a line does that [`Output::append_json_line`] writes of a result of this operator. Of such a
    /// line they may be a part, too.
    #[must_use]
    pub fn is_line_of(bytes: &[u8], operator: &str) -> bool {
        let beginning = [OPERATOR, &*Name::new(operator).json, KEY].concat();
        bytes.iter().zip(&beginning).all(|(byte, expected)| byte == expected)
    }

    /// Appends the result as one line of JSON, with its line feed: the same as its `Serialize`.
    pub fn append_json_line(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(OPERATOR);
        line.extend_from_slice(&self.names.operator.json);
        line.extend_from_slice(KEY);
        append_members(line, &self.names.key, &self.key);
        line.push(b'}');
        if let Some((start, end)) = self.window {
            line.extend_from_slice(b",\"window_start\":");
            json::append_int(line, start);
            line.extend_from_slice(b",\"window_end\":");
            json::append_int(line, end);
        }
        if !self.results.is_empty() {
            line.push(b',');
            append_members(line, &self.names.results, &self.results);
        }
        for (at, step) in self.matched.iter().enumerate() {
            line.extend_from_slice(if at == 0 { b",\"matched\":[" } else { b"," });
            step.append_json(line);
        }
        line.extend_from_slice(if self.matched.is_empty() { b"}\n" } else { b"]}\n" });
    }
}

impl OutputNames {
    pub(super) fn new<'k, 'n>(
        operator: &str,
        key: impl Iterator<Item = &'k str>,
        results: impl Iterator<Item = &'n str>,
    ) -> Self {
        OutputNames {
            operator: Name::new(operator),
            key: key.map(Name::new).collect(),
            results: results.map(Name::new).collect(),
        }
    }
}

impl OutputNames {
    /// The same, with other results.
    pub(super) fn with_results<'n>(&self, results: impl Iterator<Item = &'n str>) -> Self {
        OutputNames::new(&self.operator.text, self.key.iter().map(|name| name.text.as_str()), results)
    }

    /// Name of a field of the key.
    pub(super) fn key_field(&self, at: usize) -> &str {
        self.key.get(at).map_or("", |name| &name.text)
    }
}

impl Name {
    fn new(text: &str) -> Self {
        let mut json = Vec::new();
        json::append_str(&mut json, text);
        Name { text: text.into(), json }
    }
}

fn with_values<'o>(names: &'o [Name], values: &'o [Value]) -> impl ExactSizeIterator<Item = (&'o str, &'o Value)> {
    names.iter().map(|name| name.text.as_str()).zip(values)
}

fn append_members(line: &mut Vec<u8>, names: &[Name], values: &[Value]) {
    for (at, (name, value)) in names.iter().zip(values).enumerate() {
        if at > 0 {
            line.push(b',');
        }
        line.extend_from_slice(&name.json);
        line.push(b':');
        json::append_value(line, value);
    }
}

impl MatchedStep {
    fn append_json(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"step\":");
        json::append_str(line, &self.step);
        line.extend_from_slice(b",\"timestamp\":");
        json::append_int(line, self.timestamp);
        for (name, value) in self.members() {
            line.push(b',');
            json::append_str(line, &name);
            line.push(b':');
            json::append_value(line, value);
        }
        line.push(b'}');
    }

    fn member_name<'f>(&self, field: &'f str) -> Cow<'f, str> {
        if !matches!(field, "step" | "timestamp") {
            return Cow::Borrowed(field);
        }
        let mut name = String::from(field);
        while self.fields.iter().any(|field| **field == *name) {
            name.push('_');
        }
        Cow::Owned(name)
    }

    /// Names and values of the fields, none of them called `step` or `timestamp`, nor two of them the same.
    fn members(&self) -> impl Iterator<Item = (Cow<'_, str>, &Value)> {
        self.fields.iter().map(|field| self.member_name(field)).zip(&self.values)
    }
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operator", self.operator())?;
        map.serialize_entry("key", &Key(self))?;
        if let Some((start, end)) = self.window {
            map.serialize_entry("window_start", &start)?;
            map.serialize_entry("window_end", &end)?;
        }
        for (name, value) in self.results() {
            map.serialize_entry(name, &Json(value))?;
        }
        if !self.matched.is_empty() {
            map.serialize_entry("matched", &Matched(&self.matched))?;
        }
        map.end()
    }
}

struct Key<'a>(&'a Output);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.key().map(|(name, value)| (name, Json(value))))
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
        for (name, value) in self.members() {
            map.serialize_entry(&name, &Json(value))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn any_member() -> impl Strategy<Value = (Arc<str>, Value)> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::Float),
            any::<String>().prop_map(|text| Value::from(text.as_str())),
        ];
        let name = prop_oneof![Just(String::from("step")), Just(String::from("timestamp")), any::<String>()];
        (name.prop_map(Arc::from), value)
    }

    proptest! {
        #[test]
        fn lines_are_what_serde_writes(
            operator in any::<String>(),
            key in vec(any_member(), 0..3),
            window in any::<Option<(i64, i64)>>(),
            results in vec(any_member(), 0..4),
            matched in vec((any::<String>(), any::<i64>(), vec(any_member(), 0..4)), 0..3),
        ) {
            let step = |(step, timestamp, members): (String, i64, Vec<(Arc<str>, Value)>)| {
                let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
                MatchedStep { step: step.into(), timestamp, fields: names.into(), values }
            };
            let matched = matched.into_iter().map(step).collect();
            let (key_names, key): (Vec<Arc<str>>, Vec<Value>) = key.into_iter().unzip();
            let (names, results): (Vec<Arc<str>>, Vec<Value>) = results.into_iter().unzip();
            let names = OutputNames::new(&operator, key_names.iter().map(|name| &**name), names.iter().map(|name| &**name));
            let output = Output::new(&Arc::new(names), key, window, results, matched);
            let mut line = Vec::new();
            output.append_json_line(&mut line);
            prop_assert!(Output::is_line_of(&line, &operator) && !Output::is_line_of(&line, &(operator + "_")));
            let mut wanted = serde_json::to_vec(&output).unwrap();
            wanted.push(b'\n');
            prop_assert_eq!(String::from_utf8(line).unwrap(), String::from_utf8(wanted).unwrap());
        }
    }
}
