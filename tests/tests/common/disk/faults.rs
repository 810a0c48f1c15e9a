//! Which calls of the disk fail, and how.

use std::io::ErrorKind;

/// Kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    /// Changes nothing: reading, listing, locking.
    Read,
}

impl Operation {
    pub fn changes(self) -> bool {
        self != Operation::Read
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// EIO; nothing happens, but a sync forgets what it was called for.
    Io,
    /// EIO, though it happens.
    IoAfter,
    /// ENOSPC, where the call takes room.
    NoSpace,
    /// EINTR.
    Interrupted,
    /// A write that takes half.
    ShortWrite,
    /// EACCES. None of [`FAULTS`]: it comes before anything is done.
    Denied,
}

pub const FAULTS: [Fault; 5] = [Fault::Io, Fault::IoAfter, Fault::NoSpace, Fault::Interrupted, Fault::ShortWrite];

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Once,
    /// And all calls of the same kind after it.
    Kind,
    /// And all calls after it.
    All,
}

pub const EXTENTS: [Extent; 3] = [Extent::Once, Extent::Kind, Extent::All];

/// A fault, from a call on.
#[derive(Debug, Clone, Copy)]
pub struct Armed {
    at: u64,
    fault: Fault,
    extent: Extent,
    kind: Option<Operation>,
    /// Whether any call has failed by it.
    pub struck: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Works,
    Fails(ErrorKind),
    FailsAfter(ErrorKind),
    Short,
}

impl Armed {
    pub fn new(at: u64, fault: Fault, extent: Extent) -> Self {
        Armed { at, fault, extent, kind: None, struck: false }
    }

    /// What becomes of the call of a number.
    pub fn judge(&mut self, at: u64, operation: Operation) -> Verdict {
        if at == self.at {
            self.kind = Some(operation);
        }
        let is_meant = match self.extent {
            Extent::Once => at == self.at,
            Extent::Kind => at >= self.at && self.kind == Some(operation),
            Extent::All => at >= self.at,
        };
        let takes_room = !matches!(operation, Operation::Read | Operation::Remove);
        let verdict = match self.fault {
            _ if !is_meant => Verdict::Works,
            Fault::Io => Verdict::Fails(ErrorKind::Other),
            Fault::Denied => Verdict::Fails(ErrorKind::PermissionDenied),
            // A sync that fails and yet did all is one that failed; a lock has no such state.
            Fault::IoAfter if !matches!(operation, Operation::Sync | Operation::Read) => {
                Verdict::FailsAfter(ErrorKind::Other)
            }
            Fault::NoSpace if takes_room => Verdict::Fails(ErrorKind::StorageFull),
            // No kernel interrupts a write again and again; everything else gives up by itself.
            Fault::Interrupted if operation != Operation::Write || at == self.at => {
                Verdict::Fails(ErrorKind::Interrupted)
            }
            Fault::ShortWrite if operation == Operation::Write => Verdict::Short,
            _ => Verdict::Works,
        };
        self.struck |= verdict != Verdict::Works;
        verdict
    }
}
