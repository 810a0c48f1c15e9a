//! Threads, channels and locks of this directory: the standard library's here, a randomised
//! scheduler's in the test of it.

pub(super) use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
pub(super) use std::sync::{Mutex, PoisonError};
pub(super) use std::thread::{Builder, JoinHandle, Scope, scope};

/// Starts a thread of a scope, if one can be had.
pub(super) fn try_spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> bool {
    Builder::new().spawn_scoped(scope, work).is_ok()
}
