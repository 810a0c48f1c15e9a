//! Storages around storages: what they do is what the inner one does, with something added. They
//! can be put around each other.

mod fault;
mod latency;
mod tracing;

pub use self::tracing::TracingBackend;
pub(super) use self::tracing::told;
pub use fault::{Fault, FaultBackend};
pub use latency::{Latency, LatencyBackend};

/// An operation of a storage: a method of [`Backend`](eventflux_core::Backend).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `put`.
    Put,
    /// `read`.
    Read,
    /// `list`.
    List,
    /// `delete`.
    Delete,
    /// `read_head`.
    ReadHead,
    /// `swap_head`.
    SwapHead,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 6] =
        [Operation::Put, Operation::Read, Operation::List, Operation::Delete, Operation::ReadHead, Operation::SwapHead];

    /// The word for it, as errors have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Read => "read",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::ReadHead => "read head",
            Operation::SwapHead => "swap head",
        }
    }
}

/// How errors and events call the head, which is no object.
const HEAD: &str = "head";
