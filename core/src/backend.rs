//! Where checkpoints are kept: the storage contract, and a storage in memory.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::checkpoint::{ByteRange, ObjectInfo, Procedure, Request, Response, Step};
use crate::error::Result;

/// A storage of checkpoint objects and one head record.
///
/// Methods block. Callers that cannot block drive the [`Procedure`]s themselves. What a backend
/// may rely on: an object is put once under its name, and nobody needs an object that no head
/// names. One that wraps another is the place for faults, delays and counts:
///
/// ```
/// use eventflux_core::{Backend, ByteRange, MemoryBackend, ObjectInfo, OpenWriter, Result, drive};
///
/// /// Counts the bytes put.
/// struct Counting<B> {
///     inner: B,
///     bytes: usize,
/// }
///
/// impl<B: Backend> Backend for Counting<B> {
///     fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
///         self.bytes += bytes.len();
///         self.inner.put(object, bytes)
///     }
///     fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
///         self.inner.read(object, range)
///     }
///     fn list(&mut self) -> Result<Vec<ObjectInfo>> {
///         self.inner.list()
///     }
///     fn delete(&mut self, object: &str) -> Result<()> {
///         self.inner.delete(object)
///     }
///     fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
///         self.inner.read_head()
///     }
///     fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
///         self.inner.swap_head(expected, new)
///     }
/// }
///
/// let mut storage = Counting { inner: MemoryBackend::new(), bytes: 0 };
/// drive(OpenWriter::new(), &mut storage)?;
/// assert_eq!(storage.bytes, 0); // The head is no object.
/// # Ok::<(), eventflux_core::Error>(())
/// ```
pub trait Backend {
    /// Writes an object. When it returns, the object is whole, under its name, and durable, at the latest once
    /// [`Backend::swap_head`] replaces the head after it: a storage that can make both durable at once may wait for that.
    /// Until it returns readers see all of it or nothing, and after a failure too; only a power failure may leave a
    /// part of it. Names are written once.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage).
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()>;

    /// Reads a part of an object; `None` if there is no such object. Ranges beyond the end are cut
    /// short.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage).
    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>>;

    /// Every object, with its length, in no particular order. An object that was put durably
    /// before the call is in it; one that is being written is not in it with a part of its length.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage).
    fn list(&mut self) -> Result<Vec<ObjectInfo>>;

    /// Deletes an object. It is no failure if there is none. Need not be durable on return.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage).
    fn delete(&mut self, object: &str) -> Result<()>;

    /// The head record; `None` if none was ever written.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage).
    fn read_head(&mut self) -> Result<Option<Vec<u8>>>;

    /// Replaces the head record if it equals `expected` (`None`: if there is none), in one atomic
    /// step among all writers of the storage. `true` means replaced, durably, and after every
    /// object put before. `false` means it was something else, and is unchanged. An error means
    /// that it is either.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage).
    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool>;
}

impl<B: Backend + ?Sized> Backend for alloc::boxed::Box<B> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        (**self).put(object, bytes)
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        (**self).read(object, range)
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        (**self).list()
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        (**self).delete(object)
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        (**self).read_head()
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        (**self).swap_head(expected, new)
    }
}

/// Runs a procedure to its end on a storage that may block.
///
/// # Errors
/// Those of the procedure.
///
/// ```
/// use eventflux_core::{MemoryBackend, OpenWriter, drive};
/// let mut storage = MemoryBackend::new();
/// let writer = drive(OpenWriter::new(), &mut storage)?;
/// assert_eq!(writer.head().generation, 1);
/// # Ok::<(), eventflux_core::Error>(())
/// ```
pub fn drive<P: Procedure>(mut procedure: P, backend: &mut (impl Backend + ?Sized)) -> Result<P::Output> {
    loop {
        match procedure.poll_request()? {
            Step::Done(output) => return Ok(output),
            Step::Request(request) => procedure.handle_response(answer(request, backend))?,
        }
    }
}

fn answer(request: Request, backend: &mut (impl Backend + ?Sized)) -> Response {
    let response = match request {
        Request::Put { object, bytes } => backend.put(&object, &bytes).map(|()| Response::Done),
        Request::Read { object, range } => backend.read(&object, range).map(Response::Bytes),
        Request::List => backend.list().map(Response::Objects),
        Request::Delete { object } => backend.delete(&object).map(|()| Response::Done),
        Request::ReadHead => backend.read_head().map(Response::Head),
        Request::SwapHead { expected, new } => backend.swap_head(expected.as_deref(), &new).map(Response::Swapped),
    };
    response.unwrap_or_else(Response::Failed)
}

/// A storage in memory: for tests, and for programs that carry the bytes elsewhere themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryBackend {
    objects: BTreeMap<String, Vec<u8>>,
    head: Option<Vec<u8>>,
}

impl MemoryBackend {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The objects by name, to look at or to damage in tests.
    pub fn objects_mut(&mut self) -> &mut BTreeMap<String, Vec<u8>> {
        &mut self.objects
    }
}

impl Backend for MemoryBackend {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        self.objects.insert(object.into(), bytes.into());
        Ok(())
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        Ok(self.objects.get(object).map(|bytes| range.of(bytes).to_vec()))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        Ok(self
            .objects
            .iter()
            .map(|(name, bytes)| ObjectInfo { name: name.clone(), len: bytes.len() as u64 })
            .collect())
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.objects.remove(object);
        Ok(())
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.head.clone())
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        let same = self.head.as_deref() == expected;
        if same {
            self.head = Some(new.into());
        }
        Ok(same)
    }
}

impl ByteRange {
    /// First byte and number of bytes, within an object of `len` bytes.
    #[must_use]
    pub fn within(self, len: u64) -> (u64, u64) {
        match self {
            ByteRange::All => (0, len),
            ByteRange::At { offset, len: wanted } => {
                let offset = offset.min(len);
                (offset, wanted.min(len - offset))
            }
            ByteRange::Last { len: wanted } => (len - wanted.min(len), wanted.min(len)),
        }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        let (offset, len) = self.within(bytes.len() as u64);
        &bytes[offset as usize..(offset + len) as usize]
    }
}
