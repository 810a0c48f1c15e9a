#![doc = include_str!("../README.md")]

mod beside;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod config;
mod error;
mod manager;
pub mod observe;
#[cfg(feature = "plugins")]
pub mod plugin;
mod runtime;
pub mod source;
pub mod storage;
mod threads;

pub use crate::manager::{CheckpointManager, ManagerConfig, read_head, read_manifest, restore, verify};
pub use crate::runtime::{
    CheckpointConfig, EventFluxManager, OperatorSummary, RunProgress, RunSummary, Runtime, StartFrom, StopHandle,
};

pub use crate::error::{Error, Result};

/// The core whole: what a [`Backend`] of your own needs is in it, with its own `Error` and `Result`.
pub use eventflux_core;
pub use eventflux_core::{
    Accumulator, AggregationState, Backend, CatalogEntry, CheckpointRequest, Compression, Engine, Event, Head,
    Manifest, MemoryBackend, Output, PatternState, Progress, RestoreOptions, Retention, Selector, StateDescriptor,
    StateHolder, StateKind, StepProgress, Value, WindowState, definition,
};
