//! What crosses to JavaScript and back: JSON texts, which both sides read fast and in one step.
//!
//! Numbers of 64 bits that JavaScript's cannot hold are written as texts.

use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{CatalogEntry, CheckpointRequest, Compression, JsonValue, Progress, Retention, VerifyReport};
use serde_json::{Map, Value as Json, json};
use wasm_bindgen::JsValue;

use crate::error::{Result, coded, from_core};

/// Checkpoints that stay if nothing else is said.
const RETAINED: u64 = 10;

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
    let options = object(text)?;
    let definition = options.get("definition").map(definition).transpose()?;
    let name = options.get("name").and_then(Json::as_str).filter(|name| !name.is_empty());
    let max_retained = match options.get("maxRetained") {
        None => RETAINED,
        Some(number) => {
            number.as_u64().filter(|max| *max > 0).ok_or_else(|| invalid("`retain.max` must be 1 or more"))?
        }
    };
    Ok(Options {
        name: name.ok_or_else(|| invalid("`name` must be a text that is not empty"))?.into(),
        definition,
        compression: match options.get("compression").map(|value| value.as_str()) {
            None | Some(Some("lz4")) => Compression::Lz4,
            Some(Some("none")) => Compression::None,
            Some(_) => return Err(invalid("`compression` must be \"lz4\" or \"none\"")),
        },
        retention: Retention { max_retained: u32::try_from(max_retained).unwrap_or(u32::MAX) },
        budget_bytes: match options.get("budgetBytes") {
            None => None,
            Some(bytes) => {
                Some(bytes.as_u64().ok_or_else(|| invalid("`budgetBytes` must be a whole number"))? as usize)
            }
        },
    })
}

/// The definition of an application. Its source is what JavaScript pushes, so that it need not name a file.
fn definition(json: &Json) -> Result<ApplicationDefinition> {
    let mut json = json.clone();
    if let Some(source) = json.get_mut("source").and_then(Json::as_object_mut) {
        source.entry("file").or_insert_with(|| "-".into());
    }
    ApplicationDefinition::from_json(&json.to_string()).map_err(from_core)
}

/// What a checkpoint records; the time is JavaScript's.
pub(crate) fn request(text: &str, now_ms: f64) -> Result<CheckpointRequest> {
    let request = object(text)?;
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
        "rawBytes": sizes.delta_raw + sizes.base_raw,
        "dirty": sizes.delta_rows,
    })
}

pub(crate) fn positions_to_json(progress: &Progress) -> Json {
    numbers_to_json(&progress.positions)
}

pub(crate) fn outputs_to_json(progress: &Progress) -> Json {
    numbers_to_json(&progress.outputs)
}

fn numbers_to_json(numbers: &[(String, u64)]) -> Json {
    Json::Object(numbers.iter().map(|(name, number)| (name.clone(), Json::from(number.to_string()))).collect())
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

/// A value as JavaScript gives it: its JSON.
pub(crate) fn value(text: &str) -> Result<JsonValue> {
    JsonValue::from_json(text).map_err(|malformed| invalid(&format!("the value is no JSON: {malformed}")))
}

fn object(text: &str) -> Result<Map<String, Json>> {
    match serde_json::from_str(text) {
        Ok(Json::Object(members)) => Ok(members),
        _ => Err(invalid("options must be an object")),
    }
}

pub(crate) fn invalid(message: &str) -> JsValue {
    coded("INVALID", message)
}
