//! What crosses to JavaScript and back: JSON texts, which both sides read fast and in one step.
//!
//! Numbers of 64 bits that JavaScript's cannot hold are written as texts.

use eventflux_core::definition::{ApplicationDefinition, Document, nearest};
use eventflux_core::{CatalogEntry, CheckpointRequest, Compression, Malformed, Progress, Retention, VerifyReport};
use serde_json::{Map, Value as Json, json};
use wasm_bindgen::JsValue;

use crate::error::{Result, coded, from_core};

/// Most bytes of UTF-8 that V8 makes a text of; other engines take more.
pub(crate) const TEXT_MAX: usize = (1 << 29) - 32;
/// Checkpoints that stay if nothing else is said.
const RETAINED: u32 = 10;
/// The names of all options; at most of them only JavaScript looks. An engine has a definition besides.
const OPTIONS: [&str; 14] = [
    "name",
    "backend",
    "directory",
    "durability",
    "compression",
    "tabs",
    "from",
    "signal",
    "retain",
    "budgetBytes",
    "persist",
    "checkpointOnHide",
    "onChange",
    "wasm",
];
/// What may be asked of a checkpoint.
const REQUEST: [&str; 3] = ["label", "positions", "outputs"];

/// How a state is opened.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) compression: Compression,
    pub(crate) retention: Retention,
    pub(crate) budget_bytes: Option<usize>,
    pub(crate) definition: Option<ApplicationDefinition>,
}

pub(crate) fn options(text: &str) -> Result<Options> {
    let members = match serde_json::from_str(text) {
        Ok(Document::Table(members)) => members,
        Ok(_) => return Err(invalid("options must be an object")),
        Err(reason) => return Err(invalid(&format!("the options cannot be read: {reason}"))),
    };
    let mut options = Options {
        name: String::new(),
        compression: Compression::Lz4,
        retention: Retention { max_retained: RETAINED },
        budget_bytes: None,
        definition: None,
    };
    let mut given = Vec::new();
    for (key, value) in members {
        match (key.as_str(), value) {
            ("name", Document::Text(name)) => options.name = name,
            ("compression", Document::Text(name)) if name == "lz4" => options.compression = Compression::Lz4,
            ("compression", Document::Text(name)) if name == "none" => options.compression = Compression::None,
            ("compression", _) => return Err(invalid("`compression` must be \"lz4\" or \"none\"")),
            ("retain", Document::Table(members)) => options.retention = retention(members)?,
            ("retain", _) => return Err(invalid("`retain` must be an object, such as { max: 10 }")),
            ("budgetBytes", Document::Int(bytes)) if bytes >= 0 => options.budget_bytes = usize::try_from(bytes).ok(),
            ("budgetBytes", _) => return Err(invalid("`budgetBytes` must be a whole number")),
            ("definition", document) => options.definition = Some(definition(document)?),
            // The names of all options.
            ("given", Document::List(names)) => given = names,
            _ => {}
        }
    }
    for name in &given {
        if let Document::Text(name) = name
            && !OPTIONS.contains(&name.as_str())
            && (name != "definition" || options.definition.is_none())
        {
            return Err(unknown("option", name, &OPTIONS));
        }
    }
    if options.name.is_empty() {
        return Err(invalid("`name` must be a text that is not empty"));
    }
    Ok(options)
}

/// Which checkpoints stay.
fn retention(members: Vec<(String, Document)>) -> Result<Retention> {
    let mut max_retained = RETAINED;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("max", Document::Int(max)) if max > 0 => max_retained = u32::try_from(max).unwrap_or(u32::MAX),
            ("max", _) => return Err(invalid("`retain.max` must be a whole number, 1 or more")),
            _ => return Err(unknown("member of `retain`", &name, &["max"])),
        }
    }
    Ok(Retention { max_retained })
}

/// Refuses a name that there is not: what was meant by it would not happen.
fn unknown(what: &str, name: &str, known: &[&str]) -> JsValue {
    let meant = nearest(name, known.iter().copied()).map(|meant| format!("; did you mean `{meant}`?"));
    invalid(&format!("there is no {what} `{name}`{}", meant.unwrap_or_default()))
}

/// The definition of an application. Its source is what JavaScript pushes, so that it need not name a file.
fn definition(mut document: Document) -> Result<ApplicationDefinition> {
    if let Document::Table(members) = &mut document
        && let Some((_, Document::Table(source))) = members.iter_mut().find(|(key, _)| key == "source")
        && !source.iter().any(|(key, _)| key == "file")
    {
        source.push((String::from("file"), Document::Text(String::from("-"))));
    }
    let definition = ApplicationDefinition::from_document(&document).map_err(from_core)?;
    match definition.operators.iter().find(|operator| operator.kind_name() == "plugin") {
        None => Ok(definition),
        Some(plugin) => {
            let name = &plugin.name;
            Err(coded("UNSUPPORTED", &format!("operator `{name}` is a plugin; plugins run in the native host alone")))
        }
    }
}

/// What a checkpoint records; the time is JavaScript's.
pub(crate) fn request(text: &str, now_ms: f64) -> Result<CheckpointRequest> {
    let request = object(text)?;
    if let Some(name) = request.keys().find(|name| !REQUEST.contains(&name.as_str())) {
        return Err(unknown("member of a request", name, &REQUEST));
    }
    let label = match request.get("label") {
        None => None,
        Some(label) => Some(label.as_str().ok_or_else(|| invalid("`label` must be a text"))?.to_owned()),
    };
    let progress = Progress {
        positions: numbers(&request, "positions")?,
        outputs: numbers(&request, "outputs")?,
        ..Progress::default()
    };
    Ok(CheckpointRequest { created_ms: now_ms as i64, label, progress })
}

/// Names with whole numbers; those beyond 2^53 as their digits.
fn numbers(request: &Map<String, Json>, what: &str) -> Result<Vec<(String, u64)>> {
    let members = request.get(what).and_then(Json::as_object).into_iter().flatten();
    let number = |(name, number): (&String, &Json)| {
        let read = match number {
            Json::String(digits) => digits.parse().ok(),
            number => number.as_u64(),
        };
        let wrong = || invalid(&format!("`{what}.{name}` must be a whole number from 0 to 2^64 - 1"));
        read.map(|read| (name.clone(), read)).ok_or_else(wrong)
    };
    members.map(number).collect()
}

pub(crate) fn entry_to_json(entry: &CatalogEntry) -> Json {
    let sizes = &entry.sizes;
    json!({
        "id": entry.object.id,
        "parent": entry.parent,
        "time": entry.created_ms,
        "label": entry.label,
        "kind": entry.kind(),
        "bytes": entry.object_bytes,
        "rawBytes": sizes.delta_raw.saturating_add(sizes.base_raw),
        // The first carries all of it as bases.
        "dirty": if entry.parent.is_none() { sizes.base_rows } else { sizes.delta_rows },
    })
}

pub(crate) fn positions_to_json(progress: &Progress) -> Json {
    numbers_to_json(&progress.positions)
}

pub(crate) fn outputs_to_json(progress: &Progress) -> Json {
    numbers_to_json(&progress.outputs)
}

fn numbers_to_json(numbers: &[(String, u64)]) -> Json {
    let mut members = Map::new();
    for (name, number) in numbers {
        members.insert(name.clone(), number.to_string().into());
    }
    members.into()
}

pub(crate) fn report_to_json(report: &VerifyReport) -> Json {
    let finding = |finding: &eventflux_core::Finding| json!({ "checkpoints": finding.checkpoints, "message": finding.error.to_string() });
    json!({
        "checkpoints": report.checkpoints,
        "sections": report.sections,
        "bytes": report.bytes,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "newestWhole": report.newest_whole,
    })
}

/// What is wrong with the JSON of a value.
pub(crate) fn no_json(malformed: Malformed) -> JsValue {
    invalid(&format!("the value is no JSON: {malformed}"))
}

fn object(text: &str) -> Result<Map<String, Json>> {
    match serde_json::from_str(text) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(invalid("what is asked for must be an object")),
        // Such as a text with half of a surrogate pair.
        Err(reason) => Err(invalid(&format!("what is asked for cannot be read: {reason}"))),
    }
}

/// A text for JavaScript, which has room for so many bytes.
pub(crate) fn text(text: String) -> Result<String> {
    if text.len() > TEXT_MAX {
        return Err(coded("BUDGET", "the answer is longer than a text in JavaScript can be; ask for less of it"));
    }
    Ok(text)
}

pub(crate) fn invalid(message: &str) -> JsValue {
    coded("INVALID", message)
}
