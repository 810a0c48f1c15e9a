#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

#[cfg(not(feature = "alloc"))]
compile_error!("this release needs the feature `alloc`; states without an allocator come with a later one");

mod backend;
mod bytes;
mod checkpoint;
pub mod definition;
mod engine;
mod error;
mod format;
pub mod limits;
mod operator;
mod schema;
mod state;
mod tracked;
mod value;

pub use crate::value::{BufferedEvent, Event, Footprint, Text, Value};

pub use crate::definition::Function;
pub use crate::state::{
    AccumulateError, Accumulator, AggregationState, CheckpointRequest, DistinctValues, JsonValue, MedianValues,
    Migrate, PartialMatch, PatternState, PlainValue, RestoreOptions, StateHolder, StateHolderBuilder, StepProgress,
    Window, WindowState,
};
pub use crate::tracked::{TrackedDeque, TrackedMap, TrackedValue};

pub use crate::engine::{Clock, Engine, JsonEvents, MatchedStep, NoTime, Output};

pub use crate::backend::{Backend, MemoryBackend, drive};
pub use crate::checkpoint::{
    ByteRange, Capture, EncodedCheckpoint, Executor, Export, Finding, KeyDifference, ObjectInfo, OpenWriter, Procedure,
    Prune, Publish, Published, ReadHead, ReadManifest, Republish, Request, Response, Restore, RestoredCheckpoint,
    Retention, Selector, StateContents, Step, Task, Verify, VerifyReport, Writer, contents, difference, open_archive,
    retain, write_archive,
};
pub use crate::format::head::{CatalogEntry, Head};
pub use crate::format::manifest::{
    CheckpointSizes, EngineProgress, Manifest, ObjectId, Progress, StateDescriptor, StateKind,
};
pub use crate::format::section::Compression;
pub use crate::format::{FORMAT_VERSION, Malformed};

pub use crate::error::{Error, Result};
