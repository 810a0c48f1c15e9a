//! What is compared, one workload a file.

mod codecs;
mod delta;
mod delta_size;
mod load;
mod operators;
mod plain;
mod updates;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use eventflux_core::{Capture, CheckpointRequest, Compression, EncodedCheckpoint, ObjectId, StateHolder};

use crate::report::Report;

/// What a workload gets.
pub struct Context {
    /// Where measurements go.
    pub report: Report,
    /// Fewer rounds, smaller states.
    pub quick: bool,
    /// A directory on a real disk, for this run.
    pub directory: PathBuf,
}

/// A workload by its name.
pub struct Workload {
    /// Name, as on the command line.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// Runs it.
    pub run: fn(&mut Context),
}

/// All of them, in the order in which they run.
pub const ALL: [Workload; 8] = [
    Workload { name: "windows", what: "bytes, encode and restore of window buffers", run: windows::run },
    Workload { name: "patterns", what: "partial matches open at the end of March", run: operators::patterns },
    Workload { name: "aggregations", what: "running groups of four months", run: operators::aggregations },
    Workload { name: "plain", what: "restore of plain values from memory", run: plain::run },
    Workload { name: "delta", what: "10,000 keys changed, durable", run: delta::run },
    Workload { name: "updates", what: "1 M updates over 1 M keys, durable every 100,000", run: updates::run },
    Workload { name: "load", what: "1 M keys from disk to state that can be used", run: load::run },
    Workload { name: "delta-size", what: "bytes of a delta against what is in it", run: delta_size::run },
];

impl Context {
    /// Number of rounds.
    fn rounds(&self, whole: usize) -> usize {
        if self.quick { whole.div_ceil(5) } else { whole }
    }

    /// A new directory, empty.
    fn fresh_directory(&self, name: &str) -> PathBuf {
        let directory = self.directory.join(name.replace([' ', ','], "-"));
        remove(&directory);
        fs::create_dir_all(&directory).expect("a directory of our own");
        directory
    }
}

/// Removes a directory if it is there.
fn remove(directory: &Path) {
    if directory.exists() {
        fs::remove_dir_all(directory).expect("a directory of our own");
    }
}

/// Seconds that something takes, and what it gives.
fn timed<R>(work: impl FnOnce() -> R) -> (f64, R) {
    let started = Instant::now();
    let result = work();
    (started.elapsed().as_secs_f64(), result)
}

/// The first checkpoint of a holder as bytes, on this thread: all that happens between the cut and the write.
fn encode(holder: &mut StateHolder, begin: impl FnOnce(&mut StateHolder)) -> EncodedCheckpoint {
    begin(holder);
    to_object(holder.take_capture().expect("one is under way"))
}

fn to_object(capture: Capture) -> EncodedCheckpoint {
    capture.into_object(ObjectId { id: 0, generation: 1 }, Compression::Lz4).expect("within all limits")
}

/// Begins a checkpoint of a holder that no engine drives.
fn begin(holder: &mut StateHolder) {
    holder.begin(CheckpointRequest::default()).expect("none is under way");
}
