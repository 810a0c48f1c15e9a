//! The states: plain values, windows, patterns, aggregations; and the holder of all of them.

mod accumulator;
#[cfg(feature = "alloc")]
mod aggregation;
#[cfg(feature = "alloc")]
mod any;
#[cfg(feature = "alloc")]
mod builder;
mod captured;
#[cfg(feature = "alloc")]
mod cut;
#[cfg(feature = "alloc")]
pub(crate) mod describe;
#[cfg(feature = "alloc")]
mod growing;
#[cfg(feature = "alloc")]
mod holder;
#[cfg(feature = "alloc")]
mod json;
#[cfg(feature = "alloc")]
mod json_encode;
#[cfg(feature = "alloc")]
mod migrate;
#[cfg(feature = "alloc")]
mod pattern;
#[cfg(feature = "alloc")]
mod plain;
mod vanished;
#[cfg(feature = "alloc")]
mod waiting;
#[cfg(feature = "alloc")]
mod window;
#[cfg(feature = "alloc")]
mod window_list;

pub(crate) use accumulator::median_of;
pub use accumulator::{AccumulateError, Accumulator};
#[cfg(feature = "alloc")]
pub use aggregation::AggregationState;
#[cfg(feature = "alloc")]
pub(crate) use any::StateMap;
#[cfg(feature = "alloc")]
pub use builder::StateHolderBuilder;
pub(crate) use captured::Captured;
#[cfg(feature = "alloc")]
pub use cut::{CheckpointRequest, StepProgress};
#[cfg(feature = "alloc")]
pub use growing::{DistinctValues, MedianValues};
#[cfg(feature = "alloc")]
pub use holder::StateHolder;
#[cfg(feature = "alloc")]
pub use json::JsonValue;
#[cfg(feature = "alloc")]
pub use migrate::{Migrate, MigrateValues, RestoreOptions};
#[cfg(feature = "alloc")]
pub(crate) use pattern::Fate;
#[cfg(feature = "alloc")]
pub use pattern::{PartialMatch, PatternState};
#[cfg(feature = "alloc")]
pub use plain::PlainValue;
pub(crate) use vanished::Vanished;
#[cfg(feature = "alloc")]
pub use window::{Window, WindowState};
