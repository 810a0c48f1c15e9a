//! What a state keeps in order only, with the names its definition gives it.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value as Json};

use crate::definition::Document;
use crate::format::manifest::StateDescriptor;

/// How the count of a window of so many events is shown, beside the results that have names.
const EVENTS: &str = "(events)";

/// Names of the parts of a state, read out of the description that the checkpoint carries: for what
/// [`contents`](crate::contents) and [`difference`](crate::difference) give, which is in order only.
///
/// ```
/// # use eventflux_core::{Names, StateDescriptor, StateKind};
/// # use serde_json::json;
/// let operator = r#"{ "key": ["origin"], "compute": { "flights": "count", "distance": "sum distance" } }"#;
/// let names = Names::of(&StateDescriptor::new("hourly", StateKind::Windows, 1, operator));
/// assert_eq!(names.key_to_json(&json!(["EWR"])), json!({ "origin": "EWR" }));
/// let value = json!([{ "window_start": 0, "results": [2, 3150.0] }]);
/// assert_eq!(names.value_to_json(value)[0]["results"], json!({ "flights": 2, "distance": 3150.0 }));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Names {
    key: Vec<String>,
    results: Vec<String>,
    fields: Vec<String>,
}

impl Names {
    /// What the description tells; nothing if it is not that of an operator.
    pub fn of(descriptor: &StateDescriptor) -> Self {
        let Ok(description) = serde_json::from_str::<Document>(&descriptor.description) else {
            return Names::default();
        };
        let operator = member(&description, "operator").unwrap_or(&description);
        let results = member(operator, "compute").or_else(|| member(operator, "aggregate"));
        let results = match results {
            Some(Document::Table(members)) => members.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        Names { key: texts(member(operator, "key")), results, fields: texts(member(&description, "fields")) }
    }

    /// A key: `{"origin": "EWR"}`.
    pub fn key_to_json(&self, key: &Json) -> Json {
        named(key, &self.key)
    }

    /// A value, with results and fields by their names.
    pub fn value_to_json(&self, mut value: Json) -> Json {
        self.name(&mut value);
        named(&value, &self.results)
    }

    /// Results by name. A window of so many events also counts them: that has no name of its own.
    fn results(&self, list: &Json) -> Json {
        match list {
            Json::Array(values) if !self.results.is_empty() && values.len() == self.results.len() + 1 => {
                let mut results = named(&Json::from(&values[..self.results.len()]), &self.results);
                if let (Json::Object(results), Some(events)) = (&mut results, values.last()) {
                    results.entry(EVENTS).or_insert_with(|| events.clone());
                }
                results
            }
            _ => named(list, &self.results),
        }
    }

    fn name(&self, value: &mut Json) {
        match value {
            Json::Array(items) => items.iter_mut().for_each(|item| self.name(item)),
            Json::Object(members) => {
                for (name, member) in members {
                    match name.as_str() {
                        "results" => *member = self.results(member),
                        // A pattern keeps whole events; a window, for each function its field.
                        "values" if self.fields.is_empty() => *member = named(member, &self.results),
                        "values" => *member = named(member, &self.fields),
                        _ => self.name(member),
                    }
                }
            }
            _ => {}
        }
    }
}

/// A list as an object, if there are as many names, and values that are not objects.
fn named(list: &Json, names: &[String]) -> Json {
    match list {
        Json::Array(values)
            if !names.is_empty() && values.len() == names.len() && !values.iter().any(Json::is_object) =>
        {
            names.iter().cloned().zip(values.iter().cloned()).collect::<Map<_, _>>().into()
        }
        _ => list.clone(),
    }
}

fn member<'a>(document: &'a Document, name: &str) -> Option<&'a Document> {
    let Document::Table(members) = document else { return None };
    members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

fn texts(list: Option<&Document>) -> Vec<String> {
    let Some(Document::List(items)) = list else { return Vec::new() };
    let text = |item: &Document| if let Document::Text(text) = item { Some(text.clone()) } else { None };
    items.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::StateKind;

    #[test]
    fn names_come_from_the_description() {
        let descriptor = |description| StateDescriptor::new("s", StateKind::Windows, 1, description);
        let names = Names::of(&descriptor(r#"{"key":["a","b"],"compute":{"z":"count","y":"sum x"}}"#));
        assert_eq!(names.key_to_json(&json!([1, null])), json!({ "a": 1, "b": null }));
        let windows = json!([{ "window_start": 0, "results": [3, 4.5] }]);
        assert_eq!(names.value_to_json(windows), json!([{ "window_start": 0, "results": { "z": 3, "y": 4.5 } }]));
        let length = json!([{ "results": [3, 4.5, 7], "events": [{ "timestamp": 1, "values": [null, 2] }] }]);
        assert_eq!(
            names.value_to_json(length),
            json!([{ "results": { "z": 3, "y": 4.5, "(events)": 7 },
                "events": [{ "timestamp": 1, "values": { "z": null, "y": 2 } }] }])
        );
        let names = Names::of(&descriptor(r#"{"operator":{"key":[]},"fields":["at","x"]}"#));
        let waiting = json!({ "waiting": [{ "timestamp": 5, "values": [5, "v"] }] });
        assert_eq!(
            names.value_to_json(waiting),
            json!({ "waiting": [{ "timestamp": 5, "values": { "at": 5, "x": "v" } }] })
        );
        assert_eq!(Names::of(&descriptor("")).key_to_json(&json!("k")), json!("k"));
    }
}
