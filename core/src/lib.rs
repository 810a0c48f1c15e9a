#![doc = include_str!("../README.md")]
#![no_std]
// Of the shared format, what only the growable states use.
#![cfg_attr(not(feature = "alloc"), allow(dead_code))]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
mod backend;
mod bytes;
#[cfg(feature = "alloc")]
mod checkpoint;
mod credit;
#[cfg(feature = "alloc")]
pub mod definition;
#[cfg(feature = "alloc")]
mod engine;
#[cfg(feature = "alloc")]
mod error;
#[cfg(feature = "alloc")]
mod executor;
mod fixed;
mod format;
mod function;
pub mod limits;
#[cfg(feature = "alloc")]
mod operator;
#[cfg(feature = "alloc")]
mod pace;
#[cfg(feature = "alloc")]
pub mod plugin;
#[cfg(feature = "alloc")]
mod schema;
mod state;
#[cfg(feature = "alloc")]
mod tracked;
mod value;

pub use crate::function::Function;
pub use crate::state::{AccumulateError, Accumulator};
pub use crate::value::{Footprint, Text, Value};

pub use crate::fixed::{
    FixedAccumulator, FixedAggregation, FixedBufferedEvent, FixedEngine, FixedError, FixedEvent, FixedHolder, FixedMap,
    FixedOpenWindow, FixedPartialMatch, FixedPattern, FixedPlain, FixedRequest, FixedRestored, FixedRestoredEngine,
    FixedState, FixedStateDescriptor, FixedValue, FixedWindow, encode_key,
};

#[cfg(feature = "alloc")]
mod growable {
    pub use crate::value::{BufferedEvent, Event};

    pub use crate::state::{
        AggregationState, CheckpointRequest, DistinctValues, JsonValue, MedianValues, Migrate, MigrateValues,
        PartialMatch, PatternState, PlainValue, RestoreOptions, StateHolder, StateHolderBuilder, StepProgress, Window,
        WindowState,
    };
    pub use crate::tracked::{TrackedMap, TrackedValue};

    pub use crate::engine::{Engine, JsonEvents, MatchedStep, NoTimestamp, Output, TimestampReader};

    pub use crate::backend::{Backend, MemoryBackend, drive};
    pub use crate::checkpoint::{
        ByteRange, Capture, EncodedCheckpoint, Encoding, Export, FindHead, Finding, KeyDifference, Names, ObjectInfo,
        OpenWriter, Procedure, Prune, Publish, Published, ReadHead, ReadManifest, Republish, Request, Response,
        Restore, RestoredCheckpoint, Retention, Selector, StateContents, Step, Verify, VerifyReport, Writer, contents,
        difference, drop_checkpoints, is_archive, open_archive, retain, write_archive,
    };
    pub use crate::executor::{Executor, Task};
    pub use crate::format::head::{CatalogEntry, Head};
    pub use crate::format::manifest::{EngineProgress, Manifest, Progress, StateDescriptor};
    pub use crate::format::section::Compression;

    pub use crate::error::{Error, Result};
}
#[cfg(feature = "alloc")]
pub use growable::*;

pub use crate::format::manifest_parts::{CheckpointSizes, ObjectId, StateKind};
pub use crate::format::{FORMAT_VERSION, Malformed};
