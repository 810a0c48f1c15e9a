//! Which storages this process has open for writing.
//!
//! A process that was just forked holds copies of all open files, locks among them, until it becomes another program. So
//! a storage that this process has closed may still be locked for a moment, which is worth waiting for; one that it has
//! open is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static OPENED: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// A storage that is open for writing, for as long as this lives.
#[derive(Debug)]
pub(super) struct Opened(PathBuf);

impl Opened {
    pub(super) fn new(directory: &Path) -> Self {
        let path = known_as(directory);
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        *opened.entry(path.clone()).or_default() += 1;
        Opened(path)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = opened.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                opened.remove(&self.0);
            }
        }
    }
}

/// Whether this process has a storage open for writing.
pub(super) fn is_open_here(directory: &Path) -> bool {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&known_as(directory))
}

fn known_as(directory: &Path) -> PathBuf {
    directory.canonicalize().unwrap_or_else(|_| directory.into())
}
