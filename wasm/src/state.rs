//! A holder of plain values with the storage of its checkpoints.

use std::cell::{Cell, RefCell};

use eventflux_core::{
    Capture, CatalogEntry, EncodedCheckpoint, JsonValue, OpenWriter, Publish, Published, ReadManifest, Restore,
    RestoreOptions, Selector, StateHolder, StepProgress, Verify, Writer, difference,
};
use js_sys::Uint8Array;
use serde_json::{Value as Json, json};
use wasm_bindgen::prelude::*;

use crate::convert::{self, Options, entry_to_json, positions_to_json, report_to_json};
use crate::error::{Result, coded, from_core};
use crate::storage::{JsStorage, drive};

/// Bytes that one slice of a checkpoint captures: some milliseconds at most.
const STEP_BYTES: usize = 64 * 1024;

#[wasm_bindgen]
extern "C" {
    /// What lets other work of the event loop go on.
    #[wasm_bindgen(typescript_type = "() => Promise<void>")]
    pub type Pause;

    #[wasm_bindgen(method, catch, js_name = call)]
    fn pause(this: &Pause, that: &JsValue) -> Result<js_sys::Promise>;
}

/// Keyed state that JavaScript has opened.
#[wasm_bindgen]
pub struct State {
    holder: RefCell<StateHolder>,
    writer: RefCell<Writer>,
    storage: JsStorage,
    options: Options,
    /// Whether something is under way that waits for the storage: one at a time.
    is_busy: Cell<bool>,
    /// Whether that is a restore: what is written meanwhile would be lost.
    is_restoring: Cell<bool>,
}

/// A flag that is set for as long as this lives.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// An older state, to read.
#[wasm_bindgen]
pub struct PastState {
    holder: StateHolder,
    info: String,
}

fn declare(name: &str, budget_bytes: Option<usize>) -> Result<StateHolder> {
    let mut builder = StateHolder::builder(name).values_of::<JsonValue>(JsonValue::VERSION);
    if let Some(budget) = budget_bytes {
        builder = builder.budget_bytes(budget);
    }
    builder.build().map_err(from_core)
}

#[wasm_bindgen]
impl State {
    /// Opens a storage for writing and restores its latest checkpoint, if there is one.
    pub async fn open(storage: JsStorage, options: String) -> Result<State> {
        let options = convert::options(&options)?;
        let mut holder = declare(&options.name, options.budget_bytes)?;
        let mut writer = drive(OpenWriter::new(), &storage).await?;
        if writer.head().latest.is_some() {
            let restore = Restore::new(&mut holder, Selector::Latest, RestoreOptions::default());
            let restored = drive(restore, &storage).await?;
            writer.hold(restored.manifest.object.id);
        }
        let (holder, writer) = (RefCell::new(holder), RefCell::new(writer));
        Ok(State { holder, writer, storage, options, is_busy: Cell::new(false), is_restoring: Cell::new(false) })
    }

    /// Writes a value: its JSON.
    pub fn set(&self, key: &str, json: &str) -> Result<()> {
        let value = convert::value(json)?;
        self.ensure_writable()?;
        self.holder.borrow_mut().set(key, &value).map_err(from_core)
    }

    /// Writes bytes.
    #[wasm_bindgen(js_name = setBytes)]
    pub fn set_bytes(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.ensure_writable()?;
        self.holder.borrow_mut().set(key, &JsonValue::Bytes(bytes)).map_err(from_core)
    }

    /// A value: its JSON, bytes, or nothing.
    pub fn get(&self, key: &str) -> Result<JsValue> {
        get(&self.holder.borrow(), key)
    }

    /// Removes a key; whether it was there.
    pub fn remove(&self, key: &str) -> Result<bool> {
        self.ensure_writable()?;
        self.holder.borrow_mut().remove(key).map_err(from_core)
    }

    /// Keys that begin like this, in order.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        keys(&self.holder.borrow(), prefix)
    }

    /// Number of keys.
    pub fn size(&self) -> usize {
        self.holder.borrow().values().len()
    }

    /// Memory that the state takes.
    #[wasm_bindgen(js_name = sizeBytes)]
    pub fn size_bytes(&self) -> usize {
        self.holder.borrow().size_bytes()
    }

    /// Takes a checkpoint; its entry as JSON, once it is durable.
    pub async fn checkpoint(&self, request: String, now_ms: f64, pause: Pause) -> Result<String> {
        let _busy = self.start()?;
        self.holder.borrow_mut().begin(convert::request(&request, now_ms)?).map_err(from_core)?;
        match self.capture_and_publish(&pause).await {
            Ok((encoded, published)) => {
                self.holder.borrow_mut().commit(&encoded).map_err(from_core)?;
                Ok(entry_to_json(&published.entry).to_string())
            }
            Err(error) => {
                self.holder.borrow_mut().abort().map_err(from_core)?;
                Err(error)
            }
        }
    }

    async fn capture_and_publish(&self, pause: &Pause) -> Result<(EncodedCheckpoint, Published)> {
        loop {
            let progress = self.holder.borrow_mut().step(STEP_BYTES).map_err(from_core)?;
            if progress == StepProgress::Done {
                break;
            }
            wasm_bindgen_futures::JsFuture::from(pause.pause(&JsValue::UNDEFINED)?).await?;
        }
        let capture: Capture = self.holder.borrow_mut().take_capture().map_err(from_core)?;
        // What is under way has the writer alone; it is put back whatever comes of it.
        let mut writer = self.writer.borrow().clone();
        let encoded = capture.into_object(writer.next_object(), self.options.compression).map_err(from_core);
        let outcome = match encoded {
            Ok(mut encoded) => match Publish::new(&mut writer, &mut encoded, self.options.retention) {
                Ok(publish) => drive(publish, &self.storage).await.map(|published| (encoded, published)),
                Err(error) => Err(from_core(error)),
            },
            Err(error) => Err(error),
        };
        *self.writer.borrow_mut() = writer;
        outcome
    }

    /// The checkpoints, oldest first, as JSON.
    pub fn checkpoints(&self) -> String {
        let writer = self.writer.borrow();
        Json::Array(writer.head().entries.iter().map(entry_to_json).collect()).to_string()
    }

    /// Goes back to a checkpoint; what it recorded, as JSON.
    pub async fn restore(&self, id: f64) -> Result<String> {
        let _busy = self.start()?;
        self.is_restoring.set(true);
        let _restoring = Busy(&self.is_restoring);
        // Beside what is there, so that this can be read and stays if the restore fails.
        let mut restored = declare(&self.options.name, self.options.budget_bytes)?;
        let restore = Restore::new(&mut restored, Selector::Id(id as u64), RestoreOptions::default());
        let checkpoint = drive(restore, &self.storage).await?;
        self.writer.borrow_mut().hold(checkpoint.manifest.object.id);
        *self.holder.borrow_mut() = restored;
        Ok(info(&checkpoint.manifest.progress, &self.entry(checkpoint.manifest.object.id)?))
    }

    /// An older state, to read.
    pub async fn at(&self, id: f64) -> Result<PastState> {
        let mut holder = declare(&self.options.name, None)?;
        let restore = Restore::new(&mut holder, Selector::Id(id as u64), RestoreOptions::default());
        let checkpoint = drive(restore, &self.storage).await?;
        let info = info(&checkpoint.manifest.progress, &self.entry(checkpoint.manifest.object.id)?);
        Ok(PastState { holder, info })
    }

    /// What the newest checkpoint recorded, as JSON: the positions to go on from.
    pub async fn positions(&self) -> Result<String> {
        let latest = {
            let writer = self.writer.borrow();
            writer.head().latest.and_then(|id| writer.head().entry(id)).map(|entry| entry.object)
        };
        let Some(object) = latest else { return Ok(String::from("{}")) };
        let manifest = drive(ReadManifest::new(object), &self.storage).await?;
        Ok(positions_to_json(&manifest.progress).to_string())
    }

    /// Reads and checks everything; the report as JSON.
    pub async fn verify(&self) -> Result<String> {
        Ok(report_to_json(&drive(Verify::new(), &self.storage).await?).to_string())
    }

    /// Keys on which two checkpoints differ, as JSON.
    pub async fn diff(&self, before: f64, after: f64) -> Result<String> {
        let (before, after) = (self.at(before).await?, self.at(after).await?);
        let differences = difference(&before.holder, &after.holder).map_err(from_core)?;
        let key = |difference: eventflux_core::KeyDifference| json!({ "key": difference.key, "before": difference.before, "after": difference.after });
        Ok(Json::Array(differences.into_iter().map(key).collect()).to_string())
    }

    fn entry(&self, id: u64) -> Result<CatalogEntry> {
        let writer = self.writer.borrow();
        let entry = writer.head().entry(id).cloned();
        entry.ok_or_else(|| coded("NOT_FOUND", &format!("no checkpoint with number {id}")))
    }

    fn ensure_writable(&self) -> Result<()> {
        if self.is_restoring.get() {
            return Err(coded("BUSY", "a restore is under way, which replaces the state; write once it has ended"));
        }
        Ok(())
    }

    fn start(&self) -> Result<Busy<'_>> {
        if self.is_busy.replace(true) {
            return Err(coded("BUSY", "a checkpoint or restore is under way; wait for it first"));
        }
        Ok(Busy(&self.is_busy))
    }
}

#[wasm_bindgen]
impl PastState {
    /// As of [`State`].
    pub fn get(&self, key: &str) -> Result<JsValue> {
        get(&self.holder, key)
    }

    /// As of [`State`].
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        keys(&self.holder, prefix)
    }

    /// As of [`State`].
    pub fn size(&self) -> usize {
        self.holder.values().len()
    }

    /// Its entry and what it recorded, as JSON.
    pub fn info(&self) -> String {
        self.info.clone()
    }
}

fn info(progress: &eventflux_core::Progress, entry: &CatalogEntry) -> String {
    json!({ "checkpoint": entry_to_json(entry), "positions": positions_to_json(progress) }).to_string()
}

fn get(holder: &StateHolder, key: &str) -> Result<JsValue> {
    Ok(match holder.get::<JsonValue>(key).map_err(from_core)? {
        None => JsValue::UNDEFINED,
        Some(JsonValue::Bytes(bytes)) => Uint8Array::from(bytes.as_slice()).into(),
        Some(value) => value.to_json().map_err(|malformed| convert::invalid(&malformed.to_string()))?.into(),
    })
}

fn keys(holder: &StateHolder, prefix: &str) -> Vec<String> {
    let all = holder.values().iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned());
    let mut keys: Vec<String> = all.filter(|key| key.starts_with(prefix)).collect();
    keys.sort_unstable();
    keys
}
