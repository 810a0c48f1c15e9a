//! Which checkpoints stay, and which objects no kept checkpoint needs.

use alloc::string::String;
use alloc::vec::Vec;

use super::open::Writer;
use super::procedure::{Procedure, Request, Response, Step, unexpected};
use super::restore::Selector;
use super::swap::SwapHead;
use crate::error::{Error, Result};
use crate::format::head::{HEAD_NAME, Head};
use crate::format::manifest::ObjectId;

/// How many checkpoints stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many, at least one, beside all labelled ones.
    pub max_retained: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { max_retained: 10 }
    }
}

/// Drops from a head the entries that retention does not keep; the newest, and the latest
/// published, always stay, as does everything labelled.
pub fn retain(head: &mut Head, retention: Retention) {
    retain_also(head, retention, &[]);
}

/// As [`retain`], and keeps the checkpoints that a writer holds.
pub(crate) fn retain_also(head: &mut Head, retention: Retention, held: &[u64]) {
    let unlabelled = head.entries.iter().filter(|entry| entry.label.is_none()).count();
    let mut excess = unlabelled.saturating_sub(retention.max_retained.max(1) as usize);
    let latest = head.latest;
    head.entries.retain(|entry| {
        let id = entry.object.id;
        // What stays for another reason takes the place of none of the newest.
        let old = excess > 0 && entry.label.is_none();
        excess -= usize::from(old);
        !old || Some(id) == latest || held.contains(&id)
    });
}

/// Drops checkpoints from a head whatever retention says, labelled ones too.
///
/// # Errors
/// [`Error::NoSuchCheckpoint`]; [`Error::CallOrder`] for the latest, which is gone on from. Then none is dropped.
pub fn drop_checkpoints(head: &mut Head, checkpoints: &[Selector]) -> Result<()> {
    // Each is looked for among all: the same one may be named twice.
    let dropped = checkpoints.iter().map(|selector| selector.find(head)).collect::<Result<Vec<ObjectId>>>()?;
    if dropped.iter().any(|object| head.latest == Some(object.id)) {
        return Err(Error::CallOrder("the newest checkpoint is the one to go on from, and cannot be deleted"));
    }
    head.entries.retain(|entry| !dropped.contains(&entry.object));
    Ok(())
}

/// Objects among `names` that no checkpoint of the head needs and that no newer writer can have
/// written: safe to delete for the writer that holds the head's generation.
pub(crate) fn garbage<'a>(head: &Head, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names
        .filter_map(|name| Some((name, ObjectId::from_name(name)?)))
        .filter(|(_, object)| {
            object.generation <= head.generation && !head.entries.iter().any(|entry| entry.needs(*object))
        })
        .map(|(name, _)| name.into())
        .collect()
}

/// Applies retention to a storage: marks first (the head no longer names what goes), then deletes
/// every object nothing needs, also those that crashes left behind.
///
/// Done: names of the deleted objects. If it fails on the way, what is left is garbage that the
/// next run deletes; no checkpoint of the head is touched. [`Error::Fenced`]: another writer has
/// taken over; nothing was deleted. Where the answer to a swap before was lost, it looks first whether that took effect.
#[derive(Debug)]
pub struct Prune<'w> {
    writer: &'w mut Writer,
    next: Head,
    state: PruneState,
    deleted: Vec<String>,
}

#[derive(Debug)]
enum PruneState {
    /// Nothing to mark: look whether the head is still ours, and of that what it was.
    Check,
    /// It is not known whether a swap before took effect: look, and mark only if not.
    Settle,
    Mark(SwapHead),
    List,
    Delete(Vec<String>),
}

impl<'w> Prune<'w> {
    /// Begins to prune.
    #[must_use]
    pub fn new(writer: &'w mut Writer, retention: Retention) -> Self {
        let mut next = writer.head.clone();
        retain_also(&mut next, retention, &writer.held);
        Self::to(writer, next)
    }

    /// As [`Prune::new`], and deletes these checkpoints too: of savepoints the only way.
    ///
    /// # Errors
    /// [`Error::NoSuchCheckpoint`]; [`Error::CallOrder`] for the latest, and for one that a state goes on from.
    pub fn and_delete(writer: &'w mut Writer, retention: Retention, checkpoints: &[Selector]) -> Result<Self> {
        let mut next = writer.head.clone();
        drop_checkpoints(&mut next, checkpoints)?;
        if writer.held.iter().any(|held| next.entry(*held).is_none() && writer.head.entry(*held).is_some()) {
            return Err(Error::CallOrder("a state goes on from that checkpoint; take its next one first"));
        }
        retain_also(&mut next, retention, &writer.held);
        Ok(Self::to(writer, next))
    }

    /// Makes a head out of the writer's.
    fn to(writer: &'w mut Writer, mut next: Head) -> Self {
        let state = if !writer.unsure.is_empty() {
            // In any case another head than the one there is: a swap that comes late must not name what is deleted now.
            next.next_id += 1;
            // Nor is any number of a head given twice: of two slots of a storage the newer one is known by it.
            writer.head.next_id = next.next_id;
            PruneState::Settle
        } else if next == writer.head {
            PruneState::Check
        } else {
            PruneState::Mark(SwapHead::new(next.to_bytes()))
        };
        Prune { writer, next, state, deleted: Vec::new() }
    }

    /// A swap before has taken effect, if it was ours: goes on from the head that it wrote, without what was to be deleted.
    fn settled(&mut self, found: &[u8]) -> Result<()> {
        let ids = self.writer.head.entries.iter().map(|entry| entry.object.id);
        let gone: Vec<u64> = ids.filter(|id| self.next.entry(*id).is_none()).collect();
        if !self.writer.settle(found)? {
            return Err(self.writer.head_changed(found));
        }
        self.next.clone_from(&self.writer.head);
        self.next.entries.retain(|entry| !gone.contains(&entry.object.id));
        self.next.next_id += 1;
        self.writer.head.next_id = self.next.next_id;
        self.mark();
        Ok(())
    }

    fn mark(&mut self) {
        self.state = PruneState::Mark(SwapHead::new(self.next.to_bytes()));
    }

    /// The head in the storage is `next`: now nothing else can be needed.
    fn marked(&mut self) {
        self.writer.head = self.next.clone();
        self.state = PruneState::List;
    }
}

impl Procedure for Prune<'_> {
    type Output = Vec<String>;

    fn poll_request(&mut self) -> Result<Step<Vec<String>>> {
        Ok(match &self.state {
            PruneState::Check | PruneState::Settle => Step::Request(Request::ReadHead),
            PruneState::Mark(swap) => Step::Request(swap.request(self.writer)),
            PruneState::List => Step::Request(Request::List),
            PruneState::Delete(names) => match names.last() {
                Some(name) => Step::Request(Request::Delete { object: name.clone() }),
                None => Step::Done(core::mem::take(&mut self.deleted)),
            },
        })
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match (&mut self.state, response) {
            (PruneState::Mark(swap), response) => {
                if swap.handle_response(self.writer, response)? {
                    self.marked();
                }
            }
            (PruneState::Check, Response::Head(Some(bytes))) if bytes == self.writer.head_bytes => self.marked(),
            (PruneState::Check, Response::Head(Some(bytes))) => return Err(self.writer.head_changed(&bytes)),
            (PruneState::Settle, Response::Head(Some(bytes))) if bytes == self.writer.head_bytes => self.mark(),
            (PruneState::Settle, Response::Head(Some(bytes))) => self.settled(&bytes)?,
            (_, Response::Head(None)) => return Err(Error::ObjectMissing { object: HEAD_NAME.into() }),
            (PruneState::List, Response::Objects(objects)) => {
                let names = objects.iter().map(|object| object.name.as_str());
                self.state = PruneState::Delete(garbage(&self.writer.head, names));
            }
            (PruneState::Delete(names), Response::Done) => self.deleted.extend(names.pop()),
            (_, Response::Failed(error)) => return Err(error),
            _ => return Err(unexpected("prune", HEAD_NAME)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, MemoryBackend, drive};
    use crate::checkpoint::OpenWriter;
    use crate::format::head::CatalogEntry;
    use crate::format::manifest::tests::empty_manifest;

    /// Where heads are written to two slots in turn, the older one must not be taken for the newer.
    #[test]
    fn the_head_that_retention_leaves_is_the_newer() {
        let mut storage = MemoryBackend::new();
        let entry = |id| CatalogEntry::new(&empty_manifest(ObjectId { id, generation: 1 }), 1);
        let head = Head { generation: 1, next_id: 3, latest: Some(2), entries: (0..3).map(entry).collect() };
        assert!(storage.swap_head(None, &head.to_bytes()).unwrap());
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut order = writer.head().written_order();
        assert!(order > head.written_order());
        for max_retained in [2, 1] {
            drive(Prune::new(&mut writer, Retention { max_retained }), &mut storage).unwrap();
            let written = Head::from_bytes(&storage.read_head().unwrap().unwrap()).unwrap();
            assert_eq!(written.entries.len(), max_retained as usize);
            assert!(core::mem::replace(&mut order, written.written_order()) < written.written_order());
            // Numbers are those of checkpoints alone.
            assert_eq!(writer.next_object(), ObjectId { id: 3, generation: 2 });
        }
    }
}
