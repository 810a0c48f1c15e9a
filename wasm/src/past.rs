//! An older state, to read.

use eventflux_core::{JsonValue, Names, StateHolder, contents};
use js_sys::Uint8Array;
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::convert::{invalid, text};
use crate::error::{Result, from_core};

/// The state of a checkpoint.
#[wasm_bindgen]
pub struct Past {
    pub(crate) holder: StateHolder,
    pub(crate) info: String,
}

#[wasm_bindgen]
impl Past {
    /// A value: its JSON, bytes, or nothing.
    pub fn get(&self, key: &str) -> Result<JsValue> {
        value_of(&self.holder, key)
    }

    /// Keys that begin like this, in order, as a JSON array.
    pub fn keys(&self, prefix: &str) -> Result<String> {
        keys_of(&self.holder, prefix)
    }

    /// Number of keys.
    pub fn size(&self) -> usize {
        self.holder.values().len()
    }

    /// Its entry and what it recorded, as JSON.
    pub fn info(&self) -> String {
        self.info.clone()
    }

    /// All states as JSON, as `eventflux inspect` shows them.
    pub fn inspect(&self) -> Result<String> {
        let states = contents(&self.holder).map_err(from_core)?;
        let states = states.into_iter().map(|state| {
            let names = Names::of(&state.descriptor);
            let row = |(key, value)| json!({ "key": names.key_to_json(&key), "value": names.value_to_json(value) });
            let rows: Vec<_> = state.rows.into_iter().map(row).collect();
            json!({ "name": state.descriptor.shown_name(), "kind": state.descriptor.kind.as_str(), "rows": rows })
        });
        text(serde_json::Value::Array(states.collect()).to_string())
    }
}

pub(crate) fn value_of(holder: &StateHolder, key: &str) -> Result<JsValue> {
    Ok(match holder.get::<JsonValue>(key).map_err(from_core)? {
        None => JsValue::UNDEFINED,
        Some(JsonValue::Bytes(bytes)) => Uint8Array::from(bytes.as_slice()).into(),
        Some(value) => text(value.to_json().map_err(|malformed| invalid(&malformed.to_string()))?)?.into(),
    })
}

pub(crate) fn keys_of(holder: &StateHolder, prefix: &str) -> Result<String> {
    let all = holder.values().iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned());
    let mut keys: Vec<String> = all.filter(|key| key.starts_with(prefix)).collect();
    keys.sort_unstable();
    text(json!(keys).to_string())
}
