//! A checkpoint as one file, to download, send, and open elsewhere: its objects byte for byte, under a head of its own.

use alloc::string::String;
use alloc::vec::Vec;

use super::open::{FindHead, ReadManifest};
use super::procedure::{ByteRange, Procedure, Request, Response, Step, unexpected};
use super::restore::Selector;
use super::verify::Verify;
use crate::backend::{Backend, MemoryBackend, drive};
use crate::error::{Error, Result};
use crate::format::archive;
use crate::format::head::{HEAD_NAME, Head};
use crate::format::manifest::ObjectId;

/// Reads a checkpoint with all objects it needs, and checks all that is in them: a copy of what is damaged is of use to
/// nobody, and would be found out when it is needed. Comes to the bytes of an archive.
///
/// [`open_archive`] makes a storage of it. The archive's generation is above the storage's, so that no writer of the
/// storage can publish into a copy made of it.
///
/// ```
/// use eventflux_core::{Export, MemoryBackend, OpenWriter, Publish, Selector, StateHolder, drive, open_archive};
/// # use eventflux_core::{CheckpointRequest, Compression, ReadHead, Retention};
/// # fn main() -> eventflux_core::Result<()> {
/// let mut storage = MemoryBackend::new();
/// let mut writer = drive(OpenWriter::new(), &mut storage)?;
/// let mut holder = StateHolder::builder("orders").build()?;
/// holder.set("eu", &3_u32)?;
/// holder.begin(CheckpointRequest::default())?;
/// let mut encoded = holder.take_capture()?.into_object(writer.next_object(), Compression::Lz4)?;
/// drive(Publish::new(&mut writer, &mut encoded, Retention::default())?, &mut storage)?;
///
/// let bytes: Vec<u8> = drive(Export::new(Selector::Latest), &mut storage)?;
/// let head = drive(ReadHead::new(), &mut open_archive(&bytes)?)?;
/// assert_eq!(head.map(|head| head.entries.len()), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Export {
    selector: Selector,
    state: ExportState,
}

#[derive(Debug)]
enum ExportState {
    Head(FindHead),
    Manifest(Head, ReadManifest),
    Objects { head: Head, wanted: Vec<ObjectId>, objects: Vec<(String, Vec<u8>)> },
}

impl Export {
    /// Begins to read.
    #[must_use]
    pub fn new(selector: Selector) -> Self {
        Export { selector, state: ExportState::Head(FindHead::new()) }
    }

    /// The head found, with nothing in it but the checkpoint chosen.
    fn chosen(&self, mut head: Head) -> Result<(Head, ObjectId)> {
        let object = self.selector.find(&head)?;
        head.entries.retain(|entry| entry.object == object);
        head.latest = Some(object.id);
        head.generation += 1;
        Ok((head, object))
    }
}

impl Procedure for Export {
    type Output = Vec<u8>;

    fn poll_request(&mut self) -> Result<Step<Vec<u8>>> {
        loop {
            match &mut self.state {
                ExportState::Head(read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(found) => {
                        let (head, object) = self.chosen(found)?;
                        self.state = ExportState::Manifest(head, ReadManifest::new(object));
                    }
                },
                ExportState::Manifest(head, read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(manifest) => {
                        let (head, wanted) = (core::mem::take(head), manifest.needed_objects());
                        self.state = ExportState::Objects { head, wanted, objects: Vec::new() };
                    }
                },
                ExportState::Objects { head, wanted, objects } => {
                    if let Some(object) = wanted.last() {
                        return Ok(Step::Request(Request::Read { object: object.name(), range: ByteRange::All }));
                    }
                    return Ok(Step::Done(archive::write(head, &checked(head, core::mem::take(objects))?)?));
                }
            }
        }
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match (&mut self.state, response) {
            (ExportState::Head(read), response) => read.handle_response(response),
            (ExportState::Manifest(_, read), response) => read.handle_response(response),
            (ExportState::Objects { wanted, objects, .. }, Response::Bytes(found)) => {
                let name = wanted.pop().map(|object| object.name()).unwrap_or_default();
                let bytes = found.ok_or_else(|| Error::ObjectMissing { object: name.clone() })?;
                objects.push((name, bytes));
                Ok(())
            }
            (_, Response::Failed(error)) => Err(error),
            _ => Err(unexpected("export", "checkpoint")),
        }
    }
}

/// The objects of a checkpoint in the order of their names, if all is well with them.
fn checked(head: &Head, objects: Vec<(String, Vec<u8>)>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut copy = MemoryBackend::new();
    *copy.objects_mut() = objects.into_iter().collect();
    copy.swap_head(None, &head.to_bytes())?;
    match drive(Verify::new(), &mut copy)?.findings.into_iter().next() {
        Some(found) => Err(found.error),
        None => Ok(core::mem::take(copy.objects_mut()).into_iter().collect()),
    }
}

/// The storage that an archive is.
///
/// # Errors
/// [`Error::Damaged`] if it is no archive, or not all of one; [`Error::VersionTooNew`].
pub fn open_archive(bytes: &[u8]) -> Result<MemoryBackend> {
    archive::read(bytes)
}

/// Whether bytes begin as an archive does, damaged or not.
#[must_use]
pub fn is_archive(bytes: &[u8]) -> bool {
    archive::is_one(bytes)
}

/// An archive of all that a storage in memory has.
///
/// # Errors
/// [`Error::ObjectMissing`] if it has no head; damage of that.
pub fn write_archive(storage: &mut MemoryBackend) -> Result<Vec<u8>> {
    let head = storage.read_head()?.ok_or_else(|| Error::ObjectMissing { object: HEAD_NAME.into() })?;
    let head = Head::from_bytes(&head)?;
    let objects: Vec<_> = storage.objects_mut().iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
    archive::write(&head, &objects)
}
