//! The states: plain values, windows, patterns, aggregations; and the holder of all of them.

mod accumulator;
mod aggregation;
mod any;
mod builder;
mod cut;
pub(crate) mod describe;
mod holder;
mod json;
mod migrate;
mod pattern;
mod plain;
mod window;

pub use accumulator::{AccumulateError, Accumulator, DistinctValues, MedianValues};
pub use aggregation::AggregationState;
pub(crate) use any::StateMap;
pub use builder::StateHolderBuilder;
pub use cut::{CheckpointRequest, StepProgress};
pub use holder::StateHolder;
pub use json::JsonValue;
pub use migrate::{Migrate, RestoreOptions};
pub(crate) use pattern::PatternChange;
pub use pattern::{PartialMatch, PatternState};
pub use plain::PlainValue;
pub use window::{Window, WindowState};
