//! What waits for the storage: opening, checkpoints, restores.
//!
//! Invariants:
//! - one operation that writes at a time: [`Inner::start`] refuses a second one;
//! - the writer is lent to the operation under way and comes back whatever becomes of it, also if JavaScript drops the
//!   task, as does what a checkpoint has cut.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use eventflux_core::{
    CheckpointRequest, EncodedCheckpoint, Error, Export, FindHead, Head, KeyDifference, Manifest, Names, ObjectId,
    OpenWriter, Progress, Prune, Publish, ReadManifest, Restore, RestoreOptions, RestoredCheckpoint, Retention,
    Selector, StateHolder, StepProgress, Verify, Writer, difference, drive, open_archive,
};
use js_sys::Uint8Array;
use serde_json::{Value as Json, json};
use wasm_bindgen::prelude::*;

use crate::convert::{self, Options, entry_to_json, outputs_to_json, positions_to_json, report_to_json, text};
use crate::error::{Failure, Result, coded, from_core};
use crate::memory;
use crate::past::Past;
use crate::state::State;
use crate::task::Mailbox;

/// Bytes that one slice of a checkpoint captures, and goes through as it encodes them: about a millisecond. JavaScript
/// decides after how many of them the event loop runs.
const CAPTURE_STEP_BYTES: usize = 64 * 1024;
const ENCODE_STEP_BYTES: usize = 256 * 1024;
/// Memory that a capture takes, about, for each byte of the state: lists that grow have twice the room.
const CAPTURE_MEMORY_A_BYTE: u64 = 2;
/// Memory that encoding takes, about, for each byte of rows: what does not compress, twice while its list grows, and the
/// columns of what is at hand.
const ENCODING_MEMORY_A_BYTE: u64 = 3;

/// How often what a head names is read while a writer beside us deletes it each time.
const READ_ATTEMPTS: u32 = 10;

/// What the handle and the tasks of one state share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) state: RefCell<State>,
    /// `None` before it is opened, for readers, and while it is lent.
    writer: RefCell<Option<Writer>>,
    /// The head as it was seen last.
    pub(crate) head: RefCell<Head>,
    is_busy: Cell<bool>,
    /// Whether the state is being replaced: what is written meanwhile would be lost.
    is_restoring: Cell<bool>,
}

/// A flag that is set for as long as this lives.
struct Flag(Rc<Inner>, fn(&Inner) -> &Cell<bool>);

impl Drop for Flag {
    fn drop(&mut self) {
        (self.1)(&self.0).set(false);
    }
}

/// The writer, lent.
struct Lent {
    inner: Rc<Inner>,
    writer: Option<Writer>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            *self.inner.head.borrow_mut() = writer.head().clone();
        }
        *self.inner.writer.borrow_mut() = self.writer.take();
    }
}

/// A checkpoint that a state has begun: aborted unless it was committed.
struct Begun<'a>(&'a RefCell<State>);

impl Begun<'_> {
    fn commit(self, encoded: &EncodedCheckpoint) -> Result<()> {
        self.0.borrow_mut().holder_mut().commit(encoded).map_err(from_core)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing to abort, and that is well.
        let _ = self.0.borrow_mut().holder_mut().abort();
    }
}

impl Inner {
    pub(crate) fn new(options: Options) -> Result<Inner> {
        Ok(Inner {
            state: RefCell::new(State::new(&options)?),
            options,
            writer: RefCell::new(None),
            head: RefCell::new(Head::default()),
            is_busy: Cell::new(false),
            is_restoring: Cell::new(false),
        })
    }

    pub(crate) fn ensure_writable(&self) -> Result<()> {
        if self.is_restoring.get() {
            return Err(coded("BUSY", "a restore is under way, which replaces the state; write once it has ended"));
        }
        Ok(())
    }

    fn start(self: &Rc<Self>) -> Result<Flag> {
        if self.is_busy.replace(true) {
            return Err(coded("BUSY", "a checkpoint or restore is under way; wait for it first"));
        }
        Ok(Flag(Rc::clone(self), |inner| &inner.is_busy))
    }

    fn lend(self: &Rc<Self>) -> Result<Lent> {
        match self.writer.borrow_mut().take() {
            Some(writer) => Ok(Lent { inner: Rc::clone(self), writer: Some(writer) }),
            None => Err(coded("LOCKED", "this was opened to read only; open it anew for writing")),
        }
    }
}

/// Which checkpoint to open with.
pub(crate) fn selector(from: &str) -> Result<Option<Selector>> {
    match from {
        "" | "latest" => Ok(Some(Selector::Latest)),
        "none" => Ok(None),
        id => id
            .parse()
            .map(|id| Some(Selector::Id(id)))
            .map_err(|_| convert::invalid("`from` must be \"latest\", \"none\" or the number of a checkpoint")),
    }
}

/// Restores a checkpoint, if there is one, then takes a new generation: what is refused ends no other writer. `held`: the
/// generation of the one that broke down, or 0; it goes on only if no other one has opened since.
pub(crate) async fn open(inner: Rc<Inner>, mailbox: Mailbox, from: String, held: f64) -> Result<JsValue> {
    let _busy = inner.start()?;
    let selector = selector(&from)?;
    let held = (held > 0.0).then_some(held as u64);
    if let Some(held) = held {
        // First: what it would restore may be gone by now.
        let current = read_head(&mailbox).await?.generation;
        if current != held {
            let message = format!(
                "{}; or an attempt to recover has taken it whose answer was lost: close this one and open it again",
                Error::Fenced { held, current }
            );
            return Err(coded("FENCED", &message));
        }
    }
    let (mut head, mut restored) = restore_fresh(&inner, &mailbox, selector.as_ref()).await?;
    let takes_over = held.is_none() && mailbox.take_over().await?;
    let after = held.unwrap_or(head.generation);
    let mut writer = mailbox.drive(if takes_over { OpenWriter::new() } else { OpenWriter::after(after) }).await?;
    *inner.head.borrow_mut() = writer.head().clone();
    // What the one before has put and not published, if it was killed just then: no head names it, and none will.
    let ObjectId { id, generation } = writer.next_object();
    if generation > 1 {
        let _ = mailbox.delete(ObjectId { id, generation: generation - 1 }).await;
    }
    // The one before may have published meanwhile.
    let object = restored.as_ref().map(|checkpoint| checkpoint.manifest.object);
    if find(selector.as_ref(), writer.head()).map_err(from_core)? != object {
        (head, restored) = restore_fresh(&inner, &mailbox, selector.as_ref()).await?;
    }
    if let Some(checkpoint) = &restored {
        writer.hold(checkpoint.manifest.object.id);
    } else if selector.is_none() {
        writer.start_anew();
    }
    let mut answer = info(&head, restored.as_ref());
    answer["generation"] = writer.head().generation.into();
    *inner.writer.borrow_mut() = Some(writer);
    Ok(answer.to_string().into())
}

/// Reads a checkpoint, without a generation of its own.
pub(crate) async fn refresh(inner: Rc<Inner>, mailbox: Mailbox, from: String) -> Result<JsValue> {
    let _busy = inner.start()?;
    let selector = selector(&from)?;
    let (head, restored) = restore_fresh(&inner, &mailbox, selector.as_ref()).await?;
    let answer = info(&head, restored.as_ref());
    *inner.head.borrow_mut() = head;
    Ok(answer.to_string().into())
}

/// Restores beside what is there, so that it can be read meanwhile and stays if this fails; then takes its place.
/// An empty one, if the latest is asked for and there is none. With the head that it was found in.
async fn restore_fresh(
    inner: &Rc<Inner>,
    mailbox: &Mailbox,
    selector: Option<&Selector>,
) -> Result<(Head, Option<RestoredCheckpoint>)> {
    inner.is_restoring.set(true);
    let _restoring = Flag(Rc::clone(inner), |inner| &inner.is_restoring);
    let mut fresh = State::new(&inner.options)?;
    let restore = async |head: &Head| {
        let Some(object) = find(selector, head)? else { return Ok(None) };
        if inner.writer.borrow().is_some() {
            // What was written since the last checkpoint is not to be lost for it.
            manifest_with_room(mailbox, object).await?;
        }
        let restore = Restore::object(fresh.holder_mut(), object, RestoreOptions::default());
        let restored = mailbox.drive(restore).await;
        restored.map(Some).map_err(|failure| failure.of_opening(inner.options.definition.is_some()))
    };
    let (head, restored) = read_named(mailbox, restore).await?;
    if let Some(checkpoint) = &restored {
        fresh.resume(&checkpoint.manifest)?;
    }
    *inner.state.borrow_mut() = fresh;
    Ok((head, restored))
}

/// The checkpoint to begin with; nothing, if the latest is asked for and there is none yet.
fn find(selector: Option<&Selector>, head: &Head) -> Result<Option<ObjectId>, Error> {
    let is_there = |selector: &&Selector| head.latest.is_some() || **selector != Selector::Latest;
    selector.filter(is_there).map(|selector| selector.find(head)).transpose()
}

/// Reads what the head names; also gives that head. A writer beside us may have deleted it meanwhile: the head is another
/// one then, and says what there is instead. If it is the same, what is missing is damage.
async fn read_named<T>(mailbox: &Mailbox, mut read: impl AsyncFnMut(&Head) -> Result<T, Failure>) -> Result<(Head, T)> {
    let mut head = read_head(mailbox).await?;
    let mut attempts = 1;
    loop {
        let missing = match read(&head).await {
            Err(Failure::Core(error @ Error::ObjectMissing { .. })) => error,
            read => return Ok((head, read?)),
        };
        let now = read_head(mailbox).await?;
        if now == head {
            return Err(from_core(missing));
        }
        if attempts == READ_ATTEMPTS {
            let reason = "each time checkpoints were read, their writer had deleted some of them meanwhile";
            return Err(coded("STORAGE", &format!("{reason}; let it retain more of them, or try again")));
        }
        head = now;
        attempts += 1;
    }
}

async fn read_head(mailbox: &Mailbox) -> Result<Head> {
    Ok(mailbox.drive(FindHead::new()).await?)
}

/// Takes a checkpoint; its entry as JSON, once it is durable.
pub(crate) async fn checkpoint(inner: Rc<Inner>, mailbox: Mailbox, request: String, now_ms: f64) -> Result<JsValue> {
    let _busy = inner.start()?;
    let request = convert::request(&request, now_ms)?;
    Ok(publish(&inner, &mailbox, &inner.state, request).await?.to_string().into())
}

/// Refuses a checkpoint that will not have the memory it takes.
fn ensure_room(bytes: u64) -> Result<()> {
    memory::ensure_room(bytes, "taking a checkpoint, which is given up")
}

/// Takes a checkpoint of a state; its entry.
async fn publish(
    inner: &Rc<Inner>,
    mailbox: &Mailbox,
    state: &RefCell<State>,
    request: CheckpointRequest,
) -> Result<Json> {
    let mut lent = inner.lend()?;
    let Some(writer) = &mut lent.writer else { return Err(coded("LOCKED", "there is no writer")) };
    if state.borrow_mut().holder_mut().last_checkpoint().is_none() {
        // All of it.
        let bytes = state.borrow_mut().holder_mut().size_bytes() as u64;
        ensure_room(bytes.saturating_mul(CAPTURE_MEMORY_A_BYTE))?;
    }
    state.borrow_mut().begin(request)?;
    let begun = Begun(state);
    loop {
        let progress = state.borrow_mut().holder_mut().step(CAPTURE_STEP_BYTES).map_err(from_core)?;
        if progress == StepProgress::Done {
            break;
        }
        mailbox.pause().await?;
    }
    let capture = state.borrow_mut().holder_mut().take_capture().map_err(from_core)?;
    ensure_room(capture.rows_bytes().saturating_mul(ENCODING_MEMORY_A_BYTE))?;
    let mut encoding = capture.encoding(writer.next_object(), inner.options.compression);
    let mut encoded = loop {
        if let Some(encoded) = encoding.step(ENCODE_STEP_BYTES).map_err(from_core)? {
            break encoded;
        }
        mailbox.pause().await?;
    };
    let publish = Publish::new(writer, &mut encoded, inner.options.retention).map_err(from_core)?;
    let published = mailbox.drive(publish).await?;
    begun.commit(&encoded)?;
    let mut entry = entry_to_json(&published.entry);
    entry["dirty"] = encoded.dirty_entries().into();
    Ok(entry)
}

/// Goes back to a checkpoint; what it recorded, as JSON.
pub(crate) async fn restore(inner: Rc<Inner>, mailbox: Mailbox, id: f64) -> Result<JsValue> {
    let _busy = inner.start()?;
    let (head, restored) = restore_fresh(&inner, &mailbox, Some(&Selector::Id(id as u64))).await?;
    if let (Some(writer), Some(checkpoint)) = (inner.writer.borrow_mut().as_mut(), &restored) {
        writer.hold(checkpoint.manifest.object.id);
    }
    Ok(info(&head, restored.as_ref()).to_string().into())
}

/// What was restored, if anything was, by the head that it was found in: the one that was seen last may be older.
fn info(head: &Head, restored: Option<&RestoredCheckpoint>) -> Json {
    let Some(RestoredCheckpoint { manifest }) = restored else {
        return checkpoint_to_json(Json::Null, &Progress::default());
    };
    let entry = head.entry(manifest.object.id).map_or(Json::Null, entry_to_json);
    checkpoint_to_json(entry, &manifest.progress)
}

/// A checkpoint with what it recorded.
fn checkpoint_to_json(entry: Json, progress: &Progress) -> Json {
    json!({ "checkpoint": entry, "positions": positions_to_json(progress), "outputs": outputs_to_json(progress) })
}

/// An older state, to read.
pub(crate) async fn at(mailbox: Mailbox, id: f64) -> Result<JsValue> {
    let read = async |head: &Head| read_past(&mailbox, head, id).await;
    let (head, (holder, checkpoint)) = read_named(&mailbox, read).await?;
    Ok(Past { holder, info: info(&head, Some(&checkpoint)).to_string() }.into())
}

async fn read_past(mailbox: &Mailbox, head: &Head, id: f64) -> Result<(StateHolder, RestoredCheckpoint), Failure> {
    let object = Selector::Id(id as u64).find(head)?;
    let manifest = manifest_with_room(mailbox, object).await?;
    let mut holder = StateHolder::for_manifest(&manifest)?;
    let checkpoint = mailbox.drive(Restore::object(&mut holder, object, RestoreOptions::default())).await?;
    Ok((holder, checkpoint))
}

/// Reads and checks everything; the report as JSON.
pub(crate) async fn verify(mailbox: Mailbox) -> Result<JsValue> {
    Ok(report_to_json(&mailbox.drive(Verify::new()).await?).to_string().into())
}

/// The manifest of a checkpoint, if there is room beside the state for what is read: so much it takes at least.
async fn manifest_with_room(mailbox: &Mailbox, object: ObjectId) -> Result<Manifest, Failure> {
    let manifest = mailbox.drive(ReadManifest::new(object)).await?;
    let bytes = manifest.sizes.restore_raw;
    memory::ensure_room(bytes, "restoring a checkpoint; the state is as it was").map_err(Failure::Thrown)?;
    Ok(manifest)
}

/// Deletes a checkpoint, and what no other one needs.
pub(crate) async fn delete(inner: Rc<Inner>, mailbox: Mailbox, id: f64) -> Result<JsValue> {
    let _busy = inner.start()?;
    let mut lent = inner.lend()?;
    let Some(writer) = &mut lent.writer else { return Err(coded("LOCKED", "there is no writer")) };
    if writer.head().latest == Some(id as u64) {
        return Err(convert::invalid("the newest checkpoint is the one to go on from, and cannot be deleted"));
    }
    let all = Retention { max_retained: u32::MAX };
    let prune = Prune::and_delete(writer, all, &[Selector::Id(id as u64)]).map_err(from_core)?;
    let pruned = mailbox.drive(prune).await;
    // Once the head does not name it, it is deleted: what is left of its bytes goes with the next one.
    if writer.head().entry(id as u64).is_some() {
        pruned?;
    }
    Ok(JsValue::UNDEFINED)
}

/// Keys on which two checkpoints differ, as JSON.
pub(crate) async fn diff(mailbox: Mailbox, before: f64, after: f64) -> Result<JsValue> {
    let read = async |head: &Head| {
        let (before, _) = read_past(&mailbox, head, before).await?;
        let (after, _) = read_past(&mailbox, head, after).await?;
        Ok((before, after))
    };
    let (_, (before, after)) = read_named(&mailbox, read).await?;
    let differences = difference(&before, &after).map_err(from_core)?;
    // A state is named as the first has it, if it has it.
    let states = before.states().iter().chain(after.states());
    let states: Vec<_> = states.map(|state| (state, Names::of(state))).collect();
    let to_json = |KeyDifference { state, key, before, after }: KeyDifference| {
        let (state, names) = states.iter().find(|(descriptor, _)| descriptor.name == state)?;
        let value = |value: Option<Json>| value.map(|value| names.value_to_json(value));
        let (key, before, after) = (names.key_to_json(&key), value(before), value(after));
        Some(json!({ "state": state.shown_name(), "key": key, "before": before, "after": after }))
    };
    // Each is of a state of one of the two.
    Ok(text(Json::Array(differences.into_iter().filter_map(to_json).collect()).to_string())?.into())
}

/// A checkpoint with all it needs, as one file; without an id, the latest.
pub(crate) async fn export(mailbox: Mailbox, id: Option<f64>) -> Result<JsValue> {
    let selector = id.map_or(Selector::Latest, |id| Selector::Id(id as u64));
    let read = async |_: &Head| mailbox.drive(Export::new(selector.clone())).await;
    let (_, bytes) = read_named(&mailbox, read).await?;
    Ok(Uint8Array::from(bytes.as_slice()).into())
}

/// Takes over the state of an exported checkpoint, as a new checkpoint of its own; its entry and what it recorded, as
/// JSON.
pub(crate) async fn import(inner: Rc<Inner>, mailbox: Mailbox, bytes: Uint8Array, now_ms: f64) -> Result<JsValue> {
    let _busy = inner.start()?;
    let bytes = memory::copy_of(&bytes, 1, "importing a checkpoint")?;
    inner.is_restoring.set(true);
    let _restoring = Flag(Rc::clone(&inner), |inner| &inner.is_restoring);
    let mut archive = open_archive(&bytes).map_err(from_core)?;
    let mut fresh = State::new(&inner.options)?;
    let restore = Restore::new(fresh.holder_mut(), Selector::Latest, RestoreOptions::default());
    let checkpoint = drive(restore, &mut archive).map_err(from_core)?;
    fresh.resume(&checkpoint.manifest)?;
    fresh.holder_mut().forget_checkpoints().map_err(from_core)?;
    let Progress { positions, outputs, .. } = checkpoint.manifest.progress.clone();
    let progress = Progress { positions, outputs, ..Progress::default() };
    // Others may have written an empty one.
    let label = checkpoint.manifest.label.clone().filter(|label| !label.is_empty());
    let fresh = RefCell::new(fresh);
    let request = CheckpointRequest { created_ms: now_ms as i64, label, progress };
    let entry = publish(&inner, &mailbox, &fresh, request).await?;
    *inner.state.borrow_mut() = fresh.into_inner();
    Ok(checkpoint_to_json(entry, &checkpoint.manifest.progress).to_string().into())
}
