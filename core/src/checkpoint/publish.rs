//! Publishing a checkpoint: the object durable first, then one atomic step makes it the head.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::capture::EncodedCheckpoint;
use super::open::{PublishesFor, ReadManifest, Writer};
use super::procedure::{Procedure, Request, Response, Step, unexpected};
use super::retention::{Retention, garbage, retain_also};
use super::swap::SwapHead;
use crate::error::{Error, Result};
use crate::format::head::{CatalogEntry, HEAD_NAME, Head};
use crate::format::manifest::{Manifest, ObjectId};
use crate::format::object::{append_manifest, header};
use crate::limits::{DELETED_UNSEEN_MAX, LABEL_BYTES_MAX, OBJECTS_PER_CHECKPOINT_MAX};

/// There is no checkpoint any more that another one builds on.
fn given_up(parent: u64) -> Error {
    Error::NoSuchCheckpoint {
        selector: format!("{parent} any more, on which this one builds"),
        available:
            "retention has given it up: let it keep more, or call `forget_checkpoints`, after which the next one \
                    builds on none"
                .into(),
    }
}

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its entry in the catalog.
    pub entry: CatalogEntry,
    /// Objects deleted: retention no longer needs them, or checkpoints that failed have put them in vain.
    pub deleted: Vec<String>,
    /// A deletion that failed; the object is garbage that [`Prune`](super::Prune) deletes later.
    pub not_deleted: Option<Error>,
}

/// Publishes one checkpoint and applies retention.
///
/// An error before the end means the checkpoint is not published, or, for a swap of the head whose
/// answer was lost and could neither be looked up nor confirmed, that this is not known: abort it all the same, and publish
/// the next one, which looks first. What was published after all stays, beside those that retention keeps.
/// [`Error::Fenced`]: another writer has taken over; the checkpoint is not published, unless the
/// answer to its swap was lost and the other writer opened before it could be looked up: then that one goes on from it.
#[derive(Debug)]
pub struct Publish<'w> {
    writer: &'w mut Writer,
    /// The checkpoint, without its bytes.
    checkpoint: EncodedCheckpoint,
    retention: Retention,
    object: String,
    bytes: Vec<u8>,
    entry: CatalogEntry,
    next: Head,
    next_bytes: Vec<u8>,
    /// What the writer holds once this is published.
    held: Vec<u64>,
    state: PublishState,
    deleted: Vec<String>,
    not_deleted: Option<Error>,
}

#[derive(Debug)]
enum PublishState {
    /// A swap before this one may have taken effect, or another writer has taken over: look.
    Settle,
    /// Whose the checkpoints are that are there.
    Holder(Box<ReadManifest>),
    Put,
    Swap(SwapHead),
    /// What went needed so many objects that those which are there are fewer.
    List,
    Delete(Vec<String>),
}

impl<'w> Publish<'w> {
    /// Begins to publish; takes the bytes out of the checkpoint.
    ///
    /// # Errors
    /// [`Error::Fenced`] if the checkpoint was encoded for another generation, [`Error::CallOrder`] if not for
    /// [`Writer::next_object`];
    /// [`Error::OverLimit`] if the storage holds more checkpoints than its head can name, or this one needs more objects
    /// than it can;
    /// [`Error::NoSuchCheckpoint`] if it builds on a checkpoint that retention has given up since, or on one of another
    /// storage;
    /// [`Error::OtherHolder`] if the checkpoints that are there are of a holder of another name: retention would take
    /// one state's checkpoints for older ones of the other, unless [`Writer::start_anew`] was called.
    /// Where the storage has to be asked for it, and after a swap of which it is not known whether it took effect, these
    /// come later.
    pub fn new(writer: &'w mut Writer, checkpoint: &mut EncodedCheckpoint, retention: Retention) -> Result<Self> {
        let object = checkpoint.manifest.object;
        let (held, current) = (object.generation, writer.head.generation);
        if held != current {
            return Err(Error::Fenced { held, current });
        }
        if object.id != writer.head.next_id {
            return Err(Error::CallOrder("the checkpoint was encoded for another number; encode it for `next_object`"));
        }
        // What one puts that was fenced off, no head would ever name.
        let is_known = writer.unsure.is_empty() && !writer.is_fenced;
        let bytes = core::mem::take(&mut checkpoint.bytes);
        let mut publish = Publish {
            object: object.name(),
            entry: CatalogEntry::new(&checkpoint.manifest, bytes.len() as u64),
            next: Head::default(),
            next_bytes: Vec::new(),
            held: Vec::new(),
            state: PublishState::Settle,
            deleted: Vec::new(),
            not_deleted: None,
            checkpoint: checkpoint.clone(),
            retention,
            bytes,
            writer,
        };
        if is_known && let Err(error) = publish.plan() {
            checkpoint.bytes = publish.bytes;
            return Err(error);
        }
        // Whatever comes of this attempt, no other one takes its name.
        publish.writer.head.next_id = object.id + 1;
        Ok(publish)
    }

    /// Makes the next head out of the one that the writer left; then what comes before the swap.
    fn plan(&mut self) -> Result<()> {
        let (head, checkpoint) = (&self.writer.head, &self.checkpoint);
        let object = checkpoint.manifest.object;
        if let Some(parent) = &checkpoint.builds_on {
            let parent_id = parent.object.id;
            match head.entry(parent_id) {
                Some(entry) if parent.is(entry) => {}
                // Its objects may be there for others, or be those of another storage's checkpoint of that number.
                None if parent_id < object.id => return Err(given_up(parent_id)),
                _ => {
                    return Err(Error::NoSuchCheckpoint {
                        selector: format!("{parent_id}, which this state builds on, in this storage"),
                        available: "it is in another one: go on there, or copy that storage".into(),
                    });
                }
            }
        }
        self.check_holder()?;
        // The newest know nearly all of them.
        let kept = |needed: &ObjectId| head.entries.iter().rev().any(|entry| entry.needs(*needed));
        let needed = checkpoint.manifest.needed_objects();
        Error::ensure_within("objects of a checkpoint", needed.len() as u64, OBJECTS_PER_CHECKPOINT_MAX)?;
        if needed.into_iter().any(|needed| needed != object && !kept(&needed)) {
            let parent = checkpoint.builds_on.as_ref().map(|parent| parent.object.id);
            return Err(given_up(parent.or(checkpoint.relabels).unwrap_or_default()));
        }
        let mut next = head.clone();
        next.entries.push(self.entry.clone());
        if checkpoint.relabels.is_none() || checkpoint.relabels == next.latest || next.latest.is_none() {
            next.latest = Some(object.id);
        }
        next.next_id = object.id + 1;
        // Of a label nobody goes on, but still from where they were.
        match checkpoint.relabels {
            Some(_) => self.held.clone_from(&self.writer.held),
            None => self.held.push(object.id),
        }
        retain_also(&mut next, self.retention, &self.held);
        self.next_bytes = next.to_readable_bytes()?;
        self.next = next;
        // What it builds on, or is a label of, is of the same holder.
        let is_related = checkpoint.builds_on.is_some() || checkpoint.relabels.is_some();
        let is_unknown = matches!(self.writer.publishes_for, PublishesFor::Theirs) && !is_related;
        self.state = match head.latest.filter(|_| is_unknown).and_then(|latest| head.entry(latest)) {
            Some(latest) => PublishState::Holder(Box::new(ReadManifest::new(latest.object))),
            None => PublishState::Put,
        };
        Ok(())
    }

    /// Retention takes older checkpoints for those of the same state.
    fn check_holder(&self) -> Result<()> {
        let declared = &self.checkpoint.manifest.holder;
        match &self.writer.publishes_for {
            PublishesFor::Holder(found) if self.checkpoint.relabels.is_none() && found != declared => {
                Err(Error::OtherHolder { found: found.clone(), declared: declared.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Goes on once it was read whose the newest checkpoint is. One that is damaged does not tell.
    fn found_holder(&mut self, found: Result<String>) -> Result<()> {
        match found {
            Ok(holder) => self.writer.publishes_for = PublishesFor::Holder(holder),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        self.check_holder()?;
        self.state = PublishState::Put;
        Ok(())
    }

    /// The head is ours: what is left is to delete what it no longer needs.
    fn published(&mut self) {
        let before = core::mem::replace(&mut self.writer.head, self.next.clone());
        self.writer.held = core::mem::take(&mut self.held);
        let mut unneeded: Vec<String> = Vec::new();
        let gone = || before.entries.iter().filter(|entry| self.next.entry(entry.object.id).is_none());
        let objects: u64 = gone().flat_map(|entry| &entry.needs).map(|(_, count, _)| count).sum();
        if objects > DELETED_UNSEEN_MAX {
            self.writer.put.clear();
            self.state = PublishState::List;
            return;
        }
        for entry in gone() {
            for (first, count, generation) in &entry.needs {
                for id in *first..first + count {
                    let object = ObjectId { id, generation: *generation };
                    if !self.next.entries.iter().any(|kept| kept.needs(object)) {
                        unneeded.push(object.name());
                    }
                }
            }
        }
        // What attempts before have put in vain, unless one of them came late.
        let in_vain = core::mem::take(&mut self.writer.put).into_iter();
        let in_vain = in_vain.filter(|object| !self.next.entries.iter().any(|kept| kept.needs(*object)));
        unneeded.extend(in_vain.map(|object| object.name()));
        unneeded.sort_unstable();
        unneeded.dedup();
        self.state = PublishState::Delete(unneeded);
    }
}

impl Procedure for Publish<'_> {
    type Output = Published;

    fn poll_request(&mut self) -> Result<Step<Published>> {
        Ok(match &mut self.state {
            PublishState::Holder(read) => {
                let found = match read.poll_request() {
                    Ok(Step::Request(request)) => return Ok(Step::Request(request)),
                    Ok(Step::Done(manifest)) => Ok(manifest.holder),
                    Err(error) => Err(error),
                };
                self.found_holder(found)?;
                return self.poll_request();
            }
            PublishState::Put => {
                self.writer.put.push(self.checkpoint.manifest.object);
                Step::Request(Request::Put { object: self.object.clone(), bytes: core::mem::take(&mut self.bytes) })
            }
            PublishState::Swap(swap) => {
                // Also where the answer is lost.
                if self.checkpoint.relabels.is_none() {
                    self.writer.publishes_for = PublishesFor::Holder(self.checkpoint.manifest.holder.clone());
                }
                Step::Request(swap.request(self.writer))
            }
            PublishState::Settle => Step::Request(Request::ReadHead),
            PublishState::List => Step::Request(Request::List),
            PublishState::Delete(names) => match names.last() {
                Some(name) => Step::Request(Request::Delete { object: name.clone() }),
                None => Step::Done(Published {
                    entry: self.entry.clone(),
                    deleted: core::mem::take(&mut self.deleted),
                    not_deleted: self.not_deleted.take(),
                }),
            },
        })
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match (&mut self.state, response) {
            (PublishState::Put, Response::Done) => {
                self.state = PublishState::Swap(SwapHead::new(core::mem::take(&mut self.next_bytes)));
            }
            (PublishState::Swap(swap), response) => {
                if swap.handle_response(self.writer, response)? {
                    self.published();
                }
            }
            (PublishState::Settle, Response::Head(Some(bytes))) => {
                self.writer.own(&bytes)?;
                self.writer.is_fenced = false;
                self.plan()?;
            }
            (PublishState::Holder(read), response) => {
                if let Err(error) = read.handle_response(response) {
                    self.found_holder(Err(error))?;
                }
            }
            (PublishState::Settle, Response::Head(None)) => {
                return Err(Error::ObjectMissing { object: HEAD_NAME.into() });
            }
            (PublishState::List, Response::Objects(objects)) => {
                let names = objects.iter().map(|object| object.name.as_str());
                self.state = PublishState::Delete(garbage(&self.writer.head, names));
            }
            (PublishState::Delete(names), Response::Done) => self.deleted.extend(names.pop()),
            // Published all the same: what cannot be deleted now is garbage for later.
            (PublishState::List | PublishState::Delete(_), Response::Failed(error)) => {
                self.state = PublishState::Delete(Vec::new());
                self.not_deleted = Some(error);
            }
            (_, Response::Failed(error)) => return Err(error),
            _ => return Err(unexpected("publish", &self.object)),
        }
        Ok(())
    }
}

/// Makes the next checkpoint out of one that exists: the same state under a new number, with
/// another label. Nothing of the state is written again.
///
/// Unless it is the newest checkpoint that gets the label, the newest stays what it was: a label
/// never makes an older state the one to go on from.
#[derive(Debug)]
pub struct Republish;

impl Republish {
    /// A checkpoint of `object`'s number that holds what `manifest` holds, as of the same time.
    ///
    /// # Errors
    /// [`Error::OverLimit`] for a label longer than [`LABEL_BYTES_MAX`], [`Error::Definition`] for an empty one.
    pub fn encode(manifest: &Manifest, object: ObjectId, label: impl Into<String>) -> Result<EncodedCheckpoint> {
        // Without one it would be taken for a newer state than those before it.
        let label = Some(label.into());
        check_label(label.as_deref())?;
        let mut next = manifest.clone();
        let relabelled = manifest.object.id;
        next.parent = Some(relabelled);
        next.object = object;
        next.label = label;
        next.sizes.delta_rows = 0;
        next.sizes.delta_raw = 0;
        next.sizes.base_rows = 0;
        next.sizes.base_raw = 0;
        next.sizes.stored = 0;
        next.sizes.dirty = 0;
        let mut bytes = Vec::from(header(object));
        append_manifest(&mut bytes, &next)?;
        let manifest = Arc::new(next);
        Ok(EncodedCheckpoint {
            lineage: super::Lineage::new(Arc::clone(&manifest)),
            manifest,
            bytes,
            dirty_entries: 0,
            cut: 0,
            relabels: Some(relabelled),
            builds_on: None,
        })
    }
}

/// Refuses a label that nobody could name, and one longer than [`LABEL_BYTES_MAX`].
pub(crate) fn check_label(label: Option<&str>) -> Result<()> {
    if label == Some("") {
        let reason = "it is empty; leave it out, so that retention counts the checkpoint, or give it a text".into();
        return Err(Error::Definition { path: "label".into(), reason });
    }
    check_label_len(label)
}

/// Refuses a label longer than [`LABEL_BYTES_MAX`].
pub(super) fn check_label_len(label: Option<&str>) -> Result<()> {
    Error::ensure_within("number of bytes of a label", label.map_or(0, str::len) as u64, LABEL_BYTES_MAX as u64)
}
