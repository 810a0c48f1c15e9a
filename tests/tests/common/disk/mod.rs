//! A disk in memory that loses power: a [`FileSystem`] for the file backend, which knows of all
//! that was written what is durable, and what a crash may leave of the rest.
//!
//! What a crash may leave, an *image*:
//! - Of a file: any set of its unsynced sectors of 512 bytes, each in any of the versions written
//!   since the last fsync; independently of them its length, from that of the last fsync to any of
//!   those since, sector by sector. So a file may have its length and not its bytes (they read as
//!   zeros, or, drawn at random, as what another file once had there: ext4 with `data=writeback`,
//!   FAT), or its bytes and not its length (lost, since nothing shows them).
//! - Of a directory: any set of the changes of its names since it was last synced, applied in their
//!   order. A rename within it happens whole or not at all. Later changes may be there without
//!   earlier ones: more than ext4 or xfs do, whose journals keep the order; btrfs may, by its log
//!   of single files. An fsync of a file says nothing of its name, where ext4 and xfs commit both.
//! - A sector is written whole or not at all, and what was synced stays as it is; that a disk
//!   may break both is for the damage tests, and for `simulated_disk/lies.rs`.
//!
//! What a failed fsync leaves: the changes it was called for can be read until the crash, are
//! called clean, and may or may not be in an image, whatever later calls say: Linux since 4.13 for
//! data, and for directories where they are not journalled (ext2, ext4 without journal, FAT).
//! Journalling file systems go read-only then: see the faults that are for good.
//!
//! A process that dies loses nothing: its successor gets the same disk, with all that is unsynced.
//! Locks go with it. Not modelled: renames across directories, links, more than one mount.
//!
//! Invariants:
//! - what is read is what was written last, whatever was synced or failed to be;
//! - the same calls and the same seed give the same images.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod faults;
pub mod image;
pub mod volume;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use eventflux::storage::{FileSystem, Unsynced};
use eventflux_core::ByteRange;

use super::random::Random;
use faults::{Armed, Operation, Verdict};
use image::images;
use volume::Volume;

/// What is done at one operation, before it happens, by someone else.
type Intruder = Box<dyn FnOnce() + Send>;

/// The disk as processes see it; clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

struct State {
    volume: Volume,
    locked: BTreeSet<u64>,
    /// Calls so far.
    operations: u64,
    armed: Option<Armed>,
    intruder: Option<(u64, Intruder)>,
    recording: bool,
    recorded: Vec<Recorded>,
}

/// The disk after one operation.
#[derive(Clone)]
pub struct Recorded {
    pub operation: String,
    pub volume: Volume,
}

/// An open file.
pub struct DiskFile {
    disk: Disk,
    node: u64,
    offset: usize,
    holds_lock: Cell<bool>,
}

impl Disk {
    pub fn new(volume: Volume) -> Self {
        Disk(Arc::new(Mutex::new(State {
            volume,
            locked: BTreeSet::new(),
            operations: 0,
            armed: None,
            intruder: None,
            recording: false,
            recorded: Vec::new(),
        })))
    }

    /// From now on the disk is remembered as it is after each operation that changes it.
    pub fn record(&self) {
        self.state().recording = true;
    }

    /// And from now on it is not.
    pub fn stop_recording(&self) {
        self.state().recording = false;
    }

    /// What was remembered since it was last asked.
    pub fn take_recorded(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.state().recorded)
    }

    /// Calls so far, those that only read among them.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets calls fail.
    pub fn arm(&self, armed: Armed) {
        self.state().armed = Some(armed);
    }

    /// Whether a call has failed by the fault that is armed.
    pub fn struck(&self) -> bool {
        self.state().armed.is_some_and(|armed| armed.struck)
    }

    /// No call fails any more.
    pub fn heal(&self) {
        self.state().armed = None;
    }

    /// The disk is repaired and mounted anew: what was not durable may be lost. No file is open.
    pub fn mount_anew(&self, random: &mut Random) {
        self.heal();
        let mut state = self.state();
        let mut left = None;
        images(&state.volume, 3, random, |image| left = Some(image));
        state.volume = left.unwrap().volume();
        assert!(state.locked.is_empty());
    }

    /// Has someone else act before the operation of a number.
    pub fn intrude(&self, at: u64, intruder: impl FnOnce() + Send + 'static) {
        self.state().intruder = Some((at, Box::new(intruder)));
    }

    /// All that is written becomes durable.
    pub fn sync_all(&self) {
        self.state().volume.sync_all();
    }

    /// The disk as it is.
    pub fn volume(&self) -> Volume {
        self.state().volume.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Runs one call, unless it is one that fails.
    fn run<T>(
        &self,
        operation: Operation,
        describe: impl FnOnce() -> String,
        act: impl FnOnce(&mut State, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let at = state.operations;
        state.operations += 1;
        if let Some((_, intruder)) = state.intruder.take_if(|(when, _)| *when == at) {
            drop(state);
            intruder();
            state = self.state();
        }
        let verdict = state.armed.as_mut().map_or(Verdict::Works, |armed| armed.judge(at, operation));
        let result = match verdict {
            // A sync that fails is not without consequence: it says so to the volume itself.
            Verdict::Fails(kind) if operation != Operation::Sync => Err(kind.into()),
            verdict => act(&mut state, verdict),
        };
        if state.recording && operation.changes() {
            let recorded = Recorded { operation: format!("{at}: {}", describe()), volume: state.volume.clone() };
            state.recorded.push(recorded);
        }
        match verdict {
            Verdict::FailsAfter(kind) if result.is_ok() => Err(kind.into()),
            _ => result,
        }
    }

    fn file(&self, node: u64) -> DiskFile {
        DiskFile { disk: self.clone(), node, offset: 0, holds_lock: Cell::new(false) }
    }
}

impl FileSystem for Disk {
    type File = DiskFile;

    fn is_directory(&self, path: &Path) -> bool {
        self.state().volume.is_directory(path)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let describe = || format!("make directory {}", path.display());
        self.run(Operation::Create, describe, |state, _| state.volume.make_directory(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let describe = || format!("remove directory {}", path.display());
        self.run(Operation::Remove, describe, |state, _| state.volume.remove_directory(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let describe = || format!("sync directory {}", path.display());
        self.run(Operation::Sync, describe, |state, verdict| {
            let node = state.volume.find(path)?;
            sync(state, node, verdict)
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        self.run(Operation::Read, String::new, |state, _| state.volume.list(path))
    }

    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        let describe = || format!("create {}", path.display());
        let node = self.run(Operation::Create, describe, |state, _| {
            let node = state.volume.open(path)?;
            state.volume.set_len(node, 0);
            Ok(node)
        })?;
        Ok(self.file(node))
    }

    fn sync(&self, file: &DiskFile) -> io::Result<()> {
        self.run(Operation::Sync, || "sync file".into(), |state, verdict| sync(state, file.node, verdict))
    }

    /// One after the other, each time in another order: none of them may need another one.
    fn sync_each(&self, unsynced: &[Unsynced<'_, DiskFile>]) -> io::Result<()> {
        let first = self.operations() as usize % unsynced.len();
        let (later, sooner) = unsynced.split_at(first);
        let outcomes: Vec<_> = sooner.iter().chain(later).map(|one| one.sync(self)).collect();
        outcomes.into_iter().collect()
    }

    fn set_len(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        self.run(
            Operation::Write,
            || "set length".into(),
            |state, _| {
                state.volume.set_len(file.node, len as usize);
                Ok(())
            },
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let describe = || format!("rename {} to {}", from.display(), to.display());
        self.run(Operation::Rename, describe, |state, _| state.volume.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let describe = || format!("remove {}", path.display());
        self.run(Operation::Remove, describe, |state, _| state.volume.remove(path))
    }

    fn read(&self, path: &Path, range: ByteRange) -> io::Result<Vec<u8>> {
        self.run(Operation::Read, String::new, |state, _| {
            let bytes = state.volume.bytes(path)?;
            let (offset, len) = range.within(bytes.len() as u64);
            Ok(bytes[offset as usize..][..len as usize].to_vec())
        })
    }

    fn open_lock(&self, path: &Path) -> io::Result<DiskFile> {
        let describe = || format!("open {}", path.display());
        let node = self.run(Operation::Create, describe, |state, _| state.volume.open(path))?;
        Ok(self.file(node))
    }

    fn try_lock(&self, file: &DiskFile) -> Result<(), TryLockError> {
        let locked = self.run(Operation::Read, String::new, |state, _| Ok(state.locked.insert(file.node)));
        match locked {
            Ok(true) => {
                file.holds_lock.set(true);
                Ok(())
            }
            Ok(false) => Err(TryLockError::WouldBlock),
            Err(error) => Err(TryLockError::Error(error)),
        }
    }

    /// Nobody waits: who holds the lock is, in these tests, always the caller's caller.
    fn lock_within(&self, file: &DiskFile, _: Duration) -> io::Result<()> {
        self.try_lock(file).map_err(|error| match error {
            TryLockError::WouldBlock => ErrorKind::TimedOut.into(),
            TryLockError::Error(error) => error,
        })
    }

    fn is_at(&self, file: &DiskFile, path: &Path) -> io::Result<bool> {
        self.run(Operation::Read, String::new, |state, _| {
            Ok(state.volume.find(path).is_ok_and(|node| node == file.node))
        })
    }
}

/// Syncs a file or directory, or fails to.
fn sync(state: &mut State, node: u64, verdict: Verdict) -> io::Result<()> {
    if let Verdict::Fails(kind) = verdict {
        // One that is interrupted, or not allowed, has not tried.
        if !matches!(kind, ErrorKind::Interrupted | ErrorKind::PermissionDenied) {
            state.volume.fail_to_sync(node);
        }
        return Err(kind.into());
    }
    state.volume.sync(node);
    Ok(())
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (node, offset) = (self.node, self.offset);
        let describe = || format!("write {} bytes", bytes.len());
        let written = self.disk.run(Operation::Write, describe, |state, verdict| {
            let len = if verdict == Verdict::Short { bytes.len().div_ceil(2) } else { bytes.len() };
            state.volume.write(node, offset, &bytes[..len]);
            Ok(len)
        })?;
        self.offset += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        if self.holds_lock.get() {
            self.disk.state().locked.remove(&self.node);
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl std::fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskFile {}", self.node)
    }
}
