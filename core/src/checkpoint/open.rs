//! Opening a storage: for writing, which takes a new generation, and for reading.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::procedure::{ByteRange, ObjectInfo, Procedure, Request, Response, Step, unexpected};
use crate::error::{Error, Result};
use crate::format::head::{HEAD_NAME, Head};
use crate::format::manifest::{Manifest, ObjectId};
use crate::format::manifest_pages::Paging;
use crate::format::object::{HEADER_BYTES, TRAILER_BYTES, read_manifest, read_trailer};
use crate::format::section::read_section;
use crate::limits::OPEN_ATTEMPTS_MAX;

/// The right to publish: a generation of the storage, and the head as this writer left it.
///
/// A storage is for one holder. A program with several has a storage for each, such as a folder or a prefix.
///
/// There is one of each generation, never a copy: two would give the same number to two checkpoints.
#[derive(Debug)]
pub struct Writer {
    pub(crate) head: Head,
    pub(crate) head_bytes: Vec<u8>,
    /// Checkpoints that stay beside those that retention keeps.
    pub(crate) held: Vec<u64>,
    pub(crate) publishes_for: PublishesFor,
    /// The heads in place of this one that swaps wrote of which it is not known whether they took effect: one of them at
    /// most may still do. Each is here before its swap is asked for: nobody has to answer.
    pub(crate) unsure: Vec<Vec<u8>>,
    /// Objects that were put, and not published as far as is known: the next checkpoint deletes those that no head names.
    pub(crate) put: Vec<ObjectId>,
    /// Whether another writer had taken over when the head was read last.
    pub(crate) is_fenced: bool,
}

/// For which holder a writer publishes.
#[derive(Debug)]
pub(crate) enum PublishesFor {
    /// That of the checkpoints that are there; it was not asked yet which that is.
    Theirs,
    /// Whichever comes next.
    Anyone,
    /// That of this name: it was asked for, or has published, or may have.
    Holder(String),
}

impl Writer {
    /// The head as this writer knows it.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Identity that the next checkpoint of this writer takes.
    #[must_use]
    pub fn next_object(&self) -> ObjectId {
        ObjectId { id: self.head.next_id, generation: self.head.generation }
    }

    /// Keeps a checkpoint beside those that retention keeps, until the next one is published: the
    /// one that a state was restored from, and that its next delta builds on.
    pub fn hold(&mut self, checkpoint: u64) {
        if !self.held.contains(&checkpoint) {
            self.held.push(checkpoint);
        }
    }

    /// Lets a holder of another name publish beside the checkpoints that are there, which stay until retention has counted
    /// them out. Without this it is refused: most likely the storage is another program's.
    pub fn start_anew(&mut self) {
        self.publishes_for = PublishesFor::Anyone;
    }

    /// This head is about to be swapped in.
    pub(crate) fn expect_swap(&mut self, next: &[u8]) {
        if !self.unsure.iter().any(|unsure| unsure == next) {
            self.unsure.push(next.into());
        }
    }

    /// It was not.
    pub(crate) fn forget_swap(&mut self, next: &[u8]) {
        self.unsure.retain(|unsure| unsure != next);
    }

    /// Goes on from the head in the storage if it is one that an unsure swap wrote; whether it is.
    ///
    /// Only this writer can have written it, since it has its generation, and nobody has deleted anything since. The caller
    /// was told of a failure, so that its holder still builds on a checkpoint before, which is held: what retention took out
    /// of the head with that swap stays known until the next one is written, and only then its objects go.
    pub(crate) fn settle(&mut self, found: &[u8]) -> Result<bool> {
        if !self.unsure.iter().any(|unsure| unsure == found) {
            return Ok(false);
        }
        self.head.latest.into_iter().for_each(|latest| self.hold(latest));
        let mut written = Head::from_bytes(found)?;
        let before = self.head.entries.iter().filter(|entry| written.entry(entry.object.id).is_none());
        let before: Vec<_> = before.cloned().collect();
        written.entries.extend(before);
        written.entries.sort_unstable_by_key(|entry| entry.object.id);
        // Each attempt since has had a number, too.
        self.head = Head { next_id: self.head.next_id, ..written };
        self.head_bytes = found.into();
        self.unsure.clear();
        Ok(true)
    }

    /// Goes on from the head in the storage, which has to be the one that this writer left, or one that an unsure swap wrote.
    ///
    /// # Errors
    /// If it is neither: [`Writer::head_changed`].
    pub(crate) fn own(&mut self, found: &[u8]) -> Result<()> {
        if found == self.head_bytes || self.settle(found)? { Ok(()) } else { Err(self.head_changed(found)) }
    }

    /// Why the head in the storage is not what this writer left, nor what a swap of its own wrote whose answer was lost:
    /// another one has taken over, or something else wrote it.
    pub(crate) fn head_changed(&mut self, found: &[u8]) -> Error {
        let held = self.head.generation;
        match Head::from_bytes(found) {
            Ok(head) if head.generation != held => {
                self.is_fenced = true;
                Error::Fenced { held, current: head.generation }
            }
            Ok(_) => Error::damaged(HEAD_NAME, "record", "it changed under the writer that holds it; open it anew"),
            Err(error) => error,
        }
    }
}

/// Takes a new generation. From then on every writer before gets [`Error::Fenced`].
///
/// Fails with [`Error::Fenced`] if another writer opens at the same moment, with [`Error::Storage`] if one publishes each
/// time, with [`Error::ObjectMissing`] if there are checkpoints but no head; then nothing changed.
#[derive(Debug)]
pub struct OpenWriter {
    /// The generation that the storage must have; `None`: whatever it has when it is read first.
    after: Option<u64>,
    /// Swaps that were refused.
    refused: u32,
    state: OpenState,
}

#[derive(Debug)]
enum OpenState {
    ReadHead,
    /// There is no head: is the storage new, or was the head lost?
    List,
    /// There are checkpoints: unless another writer has begun since, the head was lost.
    ReadAgain,
    Swap {
        expected: Option<Vec<u8>>,
        head: Head,
        head_bytes: Vec<u8>,
    },
    /// Until it is handed out.
    Done(Option<Writer>),
}

impl OpenWriter {
    /// Begins to open.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a procedure is begun, not defaulted")]
    pub fn new() -> Self {
        OpenWriter { after: None, refused: 0, state: OpenState::ReadHead }
    }

    /// Begins to open, unless another writer has opened since the storage was seen with this generation:
    /// [`Error::Fenced`] then.
    #[must_use]
    pub fn after(generation: u64) -> Self {
        OpenWriter { after: Some(generation), ..OpenWriter::new() }
    }
}

impl Procedure for OpenWriter {
    type Output = Writer;

    fn poll_request(&mut self) -> Result<Step<Writer>> {
        Ok(match &mut self.state {
            OpenState::ReadHead | OpenState::ReadAgain => Step::Request(Request::ReadHead),
            OpenState::List => Step::Request(Request::List),
            OpenState::Swap { expected, head_bytes, .. } => {
                Step::Request(Request::SwapHead { expected: expected.clone(), new: head_bytes.clone() })
            }
            OpenState::Done(writer) => {
                Step::Done(writer.take().ok_or(Error::CallOrder("the storage is open, and its writer was handed out"))?)
            }
        })
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match (&mut self.state, response) {
            (_, Response::Failed(error)) => return Err(error),
            (OpenState::ReadHead, Response::Head(None)) => {
                let held = *self.after.get_or_insert(0);
                if held > 0 {
                    return Err(Error::ObjectMissing { object: HEAD_NAME.into() });
                }
                self.state = OpenState::List;
            }
            (OpenState::ReadAgain, Response::Head(None)) => {
                return Err(Error::ObjectMissing { object: HEAD_NAME.into() });
            }
            (OpenState::ReadHead | OpenState::ReadAgain, Response::Head(Some(bytes))) => {
                let mut head = Head::from_bytes(&bytes)?;
                let after = *self.after.get_or_insert(head.generation);
                if after != head.generation {
                    // The swap that was refused, if there was one, was for the next.
                    let held = after + u64::from(self.refused > 0);
                    return Err(Error::Fenced { held, current: head.generation });
                }
                head.generation += 1;
                let head_bytes = head.to_readable_bytes()?;
                self.state = OpenState::Swap { expected: Some(bytes), head, head_bytes };
            }
            (OpenState::List, Response::Objects(objects)) => {
                if ensure_new(&objects).is_err() {
                    self.state = OpenState::ReadAgain;
                    return Ok(());
                }
                let head = Head { generation: 1, ..Head::default() };
                let head_bytes = head.to_bytes();
                self.state = OpenState::Swap { expected: None, head, head_bytes };
            }
            (OpenState::Swap { head, head_bytes, .. }, Response::Swapped(true)) => {
                let (head, head_bytes) = (core::mem::take(head), core::mem::take(head_bytes));
                self.state = OpenState::Done(Some(Writer {
                    head,
                    head_bytes,
                    held: Vec::new(),
                    publishes_for: PublishesFor::Theirs,
                    unsure: Vec::new(),
                    put: Vec::new(),
                    is_fenced: false,
                }));
            }
            (OpenState::Swap { .. }, Response::Swapped(false)) => {
                self.refused += 1;
                if self.refused == OPEN_ATTEMPTS_MAX {
                    let reason = "another writer changed the head each time; try again".into();
                    return Err(Error::Storage { operation: "write", object: HEAD_NAME.into(), reason });
                }
                // The writer before may have published just then.
                self.state = OpenState::ReadHead;
            }
            _ => return Err(unexpected("open", HEAD_NAME)),
        }
        Ok(())
    }
}

/// A storage without a head must have no checkpoints: else they would be written over.
pub(super) fn ensure_new(objects: &[ObjectInfo]) -> Result<()> {
    if objects.iter().any(|object| ObjectId::from_name(&object.name).is_some()) {
        return Err(Error::ObjectMissing { object: HEAD_NAME.into() });
    }
    Ok(())
}

/// Reads the head: which checkpoints there are. `None` for a storage never written to.
#[derive(Debug, Default)]
pub struct ReadHead {
    head: Option<Option<Head>>,
}

impl ReadHead {
    /// Begins to read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Procedure for ReadHead {
    type Output = Option<Head>;

    fn poll_request(&mut self) -> Result<Step<Option<Head>>> {
        Ok(self.head.take().map_or(Step::Request(Request::ReadHead), Step::Done))
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match response {
            Response::Head(bytes) => self.head = Some(bytes.as_deref().map(Head::from_bytes).transpose()?),
            Response::Failed(error) => return Err(error),
            _ => return Err(unexpected("head", HEAD_NAME)),
        }
        Ok(())
    }
}

/// Finds the head: which checkpoints there are. An empty one for a storage never written to;
/// [`Error::ObjectMissing`] if there are checkpoints, so that the head was lost.
#[derive(Debug, Default)]
pub struct FindHead {
    state: FindState,
}

#[derive(Debug, Default)]
enum FindState {
    #[default]
    Read,
    /// There is none: is the storage new?
    List,
    /// There are checkpoints: unless a writer has begun since, the head was lost.
    ReadAgain,
    Found(Head),
}

impl FindHead {
    /// Begins to look.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Procedure for FindHead {
    type Output = Head;

    fn poll_request(&mut self) -> Result<Step<Head>> {
        Ok(match &mut self.state {
            FindState::Read | FindState::ReadAgain => Step::Request(Request::ReadHead),
            FindState::List => Step::Request(Request::List),
            FindState::Found(head) => Step::Done(core::mem::take(head)),
        })
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        self.state = match (&self.state, response) {
            (_, Response::Failed(error)) => return Err(error),
            (FindState::Read | FindState::ReadAgain, Response::Head(Some(bytes))) => {
                FindState::Found(Head::from_bytes(&bytes)?)
            }
            (FindState::Read, Response::Head(None)) => FindState::List,
            (FindState::ReadAgain, Response::Head(None)) => {
                return Err(Error::ObjectMissing { object: HEAD_NAME.into() });
            }
            (FindState::List, Response::Objects(objects)) => match ensure_new(&objects) {
                Ok(()) => FindState::Found(Head::default()),
                Err(_) => FindState::ReadAgain,
            },
            _ => return Err(unexpected("head", HEAD_NAME)),
        };
        Ok(())
    }
}

/// Reads the manifest of a checkpoint object.
#[derive(Debug)]
pub struct ReadManifest {
    object: ObjectId,
    name: String,
    state: ManifestState,
}

#[derive(Debug)]
enum ManifestState {
    Trailer,
    Header { manifest_len: u64 },
    Body { manifest_len: u64, header: Vec<u8> },
    Pages(Option<Box<Paging>>),
}

impl ReadManifest {
    /// Begins to read.
    #[must_use]
    pub fn new(object: ObjectId) -> Self {
        ReadManifest { object, name: object.name(), state: ManifestState::Trailer }
    }
}

impl Procedure for ReadManifest {
    type Output = Manifest;

    fn poll_request(&mut self) -> Result<Step<Manifest>> {
        let range = match &mut self.state {
            ManifestState::Trailer => ByteRange::Last { len: TRAILER_BYTES as u64 },
            ManifestState::Header { .. } => ByteRange::At { offset: 0, len: HEADER_BYTES as u64 },
            ManifestState::Body { manifest_len, .. } => ByteRange::Last { len: *manifest_len + TRAILER_BYTES as u64 },
            ManifestState::Pages(pages) => {
                if let Some((object, page)) = pages.as_ref().and_then(|pages| pages.next()) {
                    let range = ByteRange::At { offset: page.offset, len: page.stored };
                    return Ok(Step::Request(Request::Read { object: object.name(), range }));
                }
                let Some(pages) = pages.take() else { return Err(unexpected("read", &self.name)) };
                let manifest = pages.finish().map_err(|malformed| malformed.at(&self.name, "page"))?;
                return Ok(Step::Done(manifest));
            }
        };
        Ok(Step::Request(Request::Read { object: self.name.clone(), range }))
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        let object = self.object_awaited();
        let bytes = match response {
            Response::Bytes(Some(bytes)) => bytes,
            Response::Bytes(None) => return Err(Error::ObjectMissing { object }),
            Response::Failed(error) => return Err(error),
            _ => return Err(unexpected("read", &object)),
        };
        match &mut self.state {
            ManifestState::Trailer => {
                self.state = ManifestState::Header { manifest_len: read_trailer(&self.name, &bytes)? }
            }
            ManifestState::Header { manifest_len } => {
                self.state = ManifestState::Body { manifest_len: *manifest_len, header: bytes };
            }
            ManifestState::Body { header, .. } => {
                let manifest = read_manifest(self.object, header, &bytes)?;
                self.state = ManifestState::Pages(Some(Box::new(Paging::new(manifest))));
            }
            ManifestState::Pages(pages) => {
                let Some(pages) = pages else { return Err(unexpected("read", &object)) };
                let Some((_, page)) = pages.next() else { return Err(unexpected("read", &object)) };
                let taken = read_section(page, &bytes).and_then(|raw| pages.take(&raw));
                taken.map_err(|malformed| malformed.at(&object, "page"))?;
            }
        }
        Ok(())
    }
}

impl ReadManifest {
    /// Name of the object that the last request read.
    fn object_awaited(&self) -> String {
        if let ManifestState::Pages(Some(pages)) = &self.state
            && let Some((object, _)) = pages.next()
        {
            return object.name();
        }
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, MemoryBackend, drive};
    use crate::format::head::CatalogEntry;
    use crate::format::manifest::tests::empty_manifest;
    use crate::limits::HEAD_BYTES_MAX;

    /// The next generation takes a byte more.
    #[test]
    fn a_head_that_would_be_too_long_to_read_is_not_written() {
        let object = ObjectId { id: 0, generation: 1 };
        let mut entry = CatalogEntry::new(&empty_manifest(object), 1);
        entry.label = Some("x".repeat(HEAD_BYTES_MAX as usize - 100));
        let mut head = Head { generation: 127, next_id: 1, latest: Some(0), entries: alloc::vec![entry] };
        let missing = HEAD_BYTES_MAX as usize - head.to_bytes().len();
        head.entries[0].label.as_mut().unwrap().extend(core::iter::repeat_n('x', missing));
        let mut storage = MemoryBackend::new();
        assert!(storage.swap_head(None, &head.to_bytes()).unwrap());
        assert_eq!(drive(ReadHead::new(), &mut storage).unwrap().unwrap().generation, 127);
        let over = Error::OverLimit { what: "bytes of the head", found: HEAD_BYTES_MAX + 1, limit: HEAD_BYTES_MAX };
        assert_eq!(drive(OpenWriter::new(), &mut storage).unwrap_err(), over);
    }
}
