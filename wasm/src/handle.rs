//! What JavaScript holds of a state.

use std::rc::Rc;

use eventflux_core::{Head, JsonValue};
use js_sys::Uint8Array;
use serde_json::{Map, Value as Json, json};
use wasm_bindgen::prelude::*;

use crate::convert::{self, entry_to_json, invalid};
use crate::error::{Result, from_core};
use crate::memory;
use crate::operations::{self, Inner};
use crate::past::{keys_of, value_of};
use crate::task::Task;

/// How often what is written is there at once: as it came, encoded, and where it stays.
const BYTES_COPIES: u64 = 3;

/// Keyed values or an engine, with the checkpoints of a storage.
#[wasm_bindgen]
pub struct Handle {
    inner: Rc<Inner>,
}

#[wasm_bindgen]
impl Handle {
    /// A state that is not opened yet; `options` is JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str) -> Result<Handle> {
        Ok(Handle { inner: Rc::new(Inner::new(convert::options(options)?)?) })
    }

    /// Writes a value: its JSON, as UTF-8.
    pub fn set(&self, key: &str, json: &Uint8Array) -> Result<()> {
        self.ensure_writable()?;
        let json = memory::copy_of(json, BYTES_COPIES, "writing a value")?;
        let json = std::str::from_utf8(&json).map_err(|_| invalid("the value is not UTF-8"))?;
        let mut bytes = Vec::new();
        JsonValue::encode_json(json, &mut bytes).map_err(convert::no_json)?;
        self.inner.state.borrow_mut().plain_mut()?.set_encoded(key.as_bytes(), &bytes).map_err(from_core)
    }

    /// Writes bytes.
    #[wasm_bindgen(js_name = setBytes)]
    pub fn set_bytes(&self, key: &str, bytes: &Uint8Array) -> Result<()> {
        self.ensure_writable()?;
        let bytes = memory::copy_of(bytes, BYTES_COPIES, "writing a value")?;
        let mut encoded = Vec::with_capacity(bytes.len() + 8);
        JsonValue::encode_bytes(&bytes, &mut encoded);
        self.inner.state.borrow_mut().plain_mut()?.set_encoded(key.as_bytes(), &encoded).map_err(from_core)
    }

    /// Writes many values: `[[key, value], …]` as UTF-8, which crosses faster than a text. Those before one that is wrong
    /// are written.
    #[wasm_bindgen(js_name = setMany)]
    pub fn set_many(&self, json: &Uint8Array) -> Result<()> {
        self.ensure_writable()?;
        let json = memory::copy_of(json, BYTES_COPIES, "writing values")?;
        let json = std::str::from_utf8(&json).map_err(|_| invalid("the values are not UTF-8"))?;
        let mut state = self.inner.state.borrow_mut();
        let holder = state.plain_mut()?;
        let written = JsonValue::encode_json_entries(json, |key, bytes| holder.set_encoded(key.as_bytes(), bytes));
        written.map_err(from_core)?.map_err(convert::no_json)
    }

    /// A value: its JSON, bytes, or nothing.
    pub fn get(&self, key: &str) -> Result<JsValue> {
        value_of(self.inner.state.borrow().plain()?, key)
    }

    /// Removes a key; whether it was there.
    pub fn remove(&self, key: &str) -> Result<bool> {
        self.inner.ensure_writable()?;
        self.inner.state.borrow_mut().plain_mut()?.remove(key).map_err(from_core)
    }

    /// Keys that begin like this, in order, as a JSON array.
    pub fn keys(&self, prefix: &str) -> Result<String> {
        keys_of(self.inner.state.borrow().plain()?, prefix)
    }

    /// Number of keys.
    pub fn size(&self) -> Result<usize> {
        Ok(self.inner.state.borrow().plain()?.values().len())
    }

    /// Memory that the state takes.
    #[wasm_bindgen(js_name = sizeBytes)]
    pub fn size_bytes(&self) -> usize {
        self.inner.state.borrow().holder().size_bytes()
    }

    /// Takes events: a JSON array of objects, as UTF-8, which crosses faster than a text.
    pub fn push(&self, json: &Uint8Array) -> Result<()> {
        self.ensure_writable()?;
        let json = memory::copy_of(json, BYTES_COPIES, "taking events")?;
        let json = std::str::from_utf8(&json).map_err(|_| invalid("the events are not UTF-8"))?;
        self.inner.state.borrow_mut().running_mut()?.push(json)
    }

    /// Result lines since the last call, or as many of them as a text of JavaScript has room for.
    pub fn results(&self) -> Result<String> {
        let lines = self.inner.state.borrow_mut().running_mut()?.take_lines();
        String::from_utf8(lines).map_err(|_| invalid("results are not UTF-8"))
    }

    /// The source has ended.
    pub fn finish(&self) -> Result<()> {
        self.inner.ensure_writable()?;
        self.inner.state.borrow_mut().running_mut()?.finish()
    }

    /// How far the engine is, as JSON.
    pub fn progress(&self) -> Result<String> {
        let state = self.inner.state.borrow();
        let running = state.running()?;
        let progress = running.engine.progress();
        let counts = |counts: &[u64]| -> Json {
            let mut members = Map::new();
            for (name, count) in running.engine.operator_names().zip(counts) {
                members.insert(name.into(), (*count).into());
            }
            members.into()
        };
        let watermark = running.engine.watermark_ms().filter(|_| !progress.finished);
        Ok(json!({
            "events": progress.events,
            "results": counts(&progress.results),
            "late": counts(&progress.late),
            "watermark": watermark,
            "finished": progress.finished,
            "sourceFingerprint": running.source_fingerprint().to_string(),
        })
        .to_string())
    }

    /// The checkpoints, oldest first, as JSON.
    pub fn entries(&self) -> String {
        Json::Array(self.inner.head.borrow().entries.iter().map(entry_to_json).collect()).to_string()
    }

    /// Opens for writing, which takes a new generation, and restores a checkpoint: `latest`, `none`, or a number. `held`:
    /// the generation of the handle that broke down before this one, or 0.
    pub fn open(&self, from: String, held: f64) -> Task {
        let inner = Rc::clone(&self.inner);
        Task::new(|mailbox| operations::open(inner, mailbox, from, held))
    }

    /// Opens to read, and reads again what a writer has published since: as of [`Handle::open`], without a generation.
    pub fn refresh(&self, from: String) -> Task {
        let inner = Rc::clone(&self.inner);
        Task::new(|mailbox| operations::refresh(inner, mailbox, from))
    }

    /// Takes a checkpoint.
    pub fn checkpoint(&self, request: String, now_ms: f64) -> Task {
        let inner = Rc::clone(&self.inner);
        Task::new(|mailbox| operations::checkpoint(inner, mailbox, request, now_ms))
    }

    /// Goes back to a checkpoint.
    pub fn restore(&self, id: f64) -> Task {
        let inner = Rc::clone(&self.inner);
        Task::new(move |mailbox| operations::restore(inner, mailbox, id))
    }

    /// Comes to a [`Past`](crate::Past).
    pub fn at(&self, id: f64) -> Task {
        Task::new(move |mailbox| operations::at(mailbox, id))
    }

    /// Reads and checks everything.
    pub fn verify(&self) -> Task {
        Task::new(operations::verify)
    }

    /// Deletes a checkpoint, a savepoint too.
    #[wasm_bindgen(js_name = deleteCheckpoint)]
    pub fn delete_checkpoint(&self, id: f64) -> Task {
        let inner = Rc::clone(&self.inner);
        Task::new(move |mailbox| operations::delete(inner, mailbox, id))
    }

    /// Keys on which two checkpoints differ.
    pub fn diff(&self, before: f64, after: f64) -> Task {
        Task::new(move |mailbox| operations::diff(mailbox, before, after))
    }

    /// A checkpoint with all it needs, as one file; without an id, the latest.
    #[wasm_bindgen(js_name = exportCheckpoint)]
    pub fn export_checkpoint(&self, id: Option<f64>) -> Task {
        Task::new(move |mailbox| operations::export(mailbox, id))
    }

    /// Takes over an exported checkpoint.
    #[wasm_bindgen(js_name = importCheckpoint)]
    pub fn import_checkpoint(&self, bytes: Uint8Array, now_ms: f64) -> Task {
        let inner = Rc::clone(&self.inner);
        Task::new(move |mailbox| operations::import(inner, mailbox, bytes, now_ms))
    }
}

impl Handle {
    fn ensure_writable(&self) -> Result<()> {
        memory::grow_ahead()?;
        self.inner.ensure_writable()
    }
}

/// Which of several head records is the newest that is whole; -1 if none is.
#[wasm_bindgen(js_name = newestHead)]
pub fn newest_head(slots: Vec<Uint8Array>) -> i32 {
    let heads = slots.iter().map(|slot| Head::from_bytes(&slot.to_vec()).ok());
    let newest = heads.enumerate().filter_map(|(at, head)| Some((head?.written_order(), at))).max();
    newest.map_or(-1, |(_, at)| at as i32)
}
