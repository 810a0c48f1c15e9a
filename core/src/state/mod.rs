//! The states: plain values, windows, patterns, aggregations; and the holder of all of them.

mod accumulator;
mod aggregation;
pub(crate) mod describe;
mod holder;
mod pattern;
mod plain;
mod window;

pub use accumulator::{AccumulateError, Accumulator, DistinctValues, MedianValues};
pub use aggregation::AggregationState;
pub(crate) use holder::StateMap;
pub use holder::{CheckpointRequest, Migrate, RestoreOptions, StateHolder, StateHolderBuilder, StepProgress};
pub(crate) use pattern::PatternChange;
pub use pattern::{PartialMatch, PatternState};
pub use plain::PlainValue;
pub use window::{Window, WindowState};
