//! How a procedure of the core and the caller that does its reads and writes talk.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};

/// One thing to do with a storage. The guarantees are those of
/// [`Backend`](crate::Backend)'s method of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Write an object, all of it or nothing, durably.
    Put {
        /// Name of the object.
        object: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Read a part of an object.
    Read {
        /// Name of the object.
        object: String,
        /// Which part.
        range: ByteRange,
    },
    /// List all objects.
    List,
    /// Delete an object; one that is not there is no failure.
    Delete {
        /// Name of the object.
        object: String,
    },
    /// Read the head record.
    ReadHead,
    /// Replace the head record if it still is what it was, durably.
    SwapHead {
        /// What it must be; `None`: there must be none.
        expected: Option<Vec<u8>>,
        /// What it becomes.
        new: Vec<u8>,
    },
}

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it.
    All,
    /// From an offset, so many bytes, fewer where the object ends.
    At {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// The last bytes, fewer if the object is shorter.
    Last {
        /// Number of bytes.
        len: u64,
    },
}

/// An object in a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To `Put` and `Delete`: done.
    Done,
    /// To `Read`: the bytes, or `None` if there is no such object.
    Bytes(Option<Vec<u8>>),
    /// To `List`.
    Objects(Vec<ObjectInfo>),
    /// To `ReadHead`: the record, or `None` if there is none.
    Head(Option<Vec<u8>>),
    /// To `SwapHead`: whether it was what was expected, and so was replaced.
    Swapped(bool),
    /// To any: it failed, and whether it took effect is not known.
    Failed(Error),
}

/// What a procedure wants next.
#[derive(Debug)]
pub enum Step<T> {
    /// Do this, then call [`Procedure::handle_response`].
    Request(Request),
    /// The procedure is done; do not poll again.
    Done(T),
}

/// A piece of work made of reads and writes that the caller does.
///
/// Call [`poll_request`](Self::poll_request); if it answers a request, do it, call
/// [`handle_response`](Self::handle_response) with the outcome, and poll again. An error ends it.
/// [`drive`](crate::drive) does so over a [`Backend`](crate::Backend).
///
/// ```
/// use eventflux_core::{Procedure, ReadHead, Request, Response, Step};
/// let mut read = ReadHead::new();
/// assert!(matches!(read.poll_request()?, Step::Request(Request::ReadHead)));
/// read.handle_response(Response::Head(None))?;
/// assert!(matches!(read.poll_request()?, Step::Done(None)));
/// # Ok::<(), eventflux_core::Error>(())
/// ```
pub trait Procedure {
    /// What it comes to.
    type Output;

    /// The next request, or the end.
    ///
    /// # Errors
    /// The procedure has failed; what that leaves behind is said at each procedure.
    fn poll_request(&mut self) -> Result<Step<Self::Output>>;

    /// Takes the answer to the request polled last.
    ///
    /// # Errors
    /// As [`Procedure::poll_request`].
    fn handle_response(&mut self, response: Response) -> Result<()>;
}

/// An answer that does not fit its request: a mistake of the caller's.
pub(crate) fn unexpected(operation: &'static str, object: &str) -> Error {
    Error::Storage { operation, object: object.into(), reason: "the answer does not fit the request".into() }
}
