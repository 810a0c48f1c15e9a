//! Which checkpoints stay, and which objects no kept checkpoint needs.

use alloc::string::String;
use alloc::vec::Vec;

use super::open::Writer;
use super::procedure::{Procedure, Request, Response, Step, unexpected};
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
    let unlabelled = head.entries.iter().filter(|entry| entry.label.is_none()).count();
    let mut excess = unlabelled.saturating_sub(retention.max_retained.max(1) as usize);
    let latest = head.latest;
    head.entries.retain(|entry| {
        let goes = excess > 0 && entry.label.is_none() && Some(entry.object.id) != latest;
        excess -= usize::from(goes);
        !goes
    });
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
/// next run deletes; no checkpoint of the head is touched.
#[derive(Debug)]
pub struct Prune<'w> {
    writer: &'w mut Writer,
    next: Head,
    state: PruneState,
    deleted: Vec<String>,
}

#[derive(Debug)]
enum PruneState {
    Mark,
    List,
    Delete(Vec<String>),
}

impl<'w> Prune<'w> {
    /// Begins to prune.
    #[must_use]
    pub fn new(writer: &'w mut Writer, retention: Retention) -> Self {
        let mut next = writer.head.clone();
        retain(&mut next, retention);
        let state = if next == writer.head { PruneState::List } else { PruneState::Mark };
        Prune { writer, next, state, deleted: Vec::new() }
    }
}

impl Procedure for Prune<'_> {
    type Output = Vec<String>;

    fn poll_request(&mut self) -> Result<Step<Vec<String>>> {
        Ok(match &self.state {
            PruneState::Mark => Step::Request(Request::SwapHead {
                expected: Some(self.writer.head_bytes.clone()),
                new: self.next.to_bytes(),
            }),
            PruneState::List => Step::Request(Request::List),
            PruneState::Delete(names) => match names.last() {
                Some(name) => Step::Request(Request::Delete { object: name.clone() }),
                None => Step::Done(core::mem::take(&mut self.deleted)),
            },
        })
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match (&mut self.state, response) {
            (_, Response::Failed(error)) => return Err(error),
            (PruneState::Mark, Response::Swapped(true)) => {
                self.writer.head_bytes = self.next.to_bytes();
                self.writer.head = self.next.clone();
                self.state = PruneState::List;
            }
            (PruneState::Mark, Response::Swapped(false)) => {
                let held = self.writer.head.generation;
                return Err(Error::Fenced { held, current: held + 1 });
            }
            (PruneState::List, Response::Objects(objects)) => {
                let names = objects.iter().map(|object| object.name.as_str());
                self.state = PruneState::Delete(garbage(&self.writer.head, names));
            }
            (PruneState::Delete(names), Response::Done) => self.deleted.extend(names.pop()),
            _ => return Err(unexpected("prune", HEAD_NAME)),
        }
        Ok(())
    }
}
