//! States of fixed capacity, without an allocator: the twins of the growable ones, for microcontrollers.
//!
//! | growable | fixed |
//! |---|---|
//! | `StateHolder` | [`FixedHolder`] |
//! | `TrackedMap` | [`FixedMap`] |
//! | `PlainValue` | [`FixedPlain`] |
//! | `AggregationState` | [`FixedAggregation`] |
//! | `WindowState`, `Window` | [`FixedWindow`], [`FixedOpenWindow`] |
//! | `PatternState`, `PartialMatch` | [`FixedPattern`], [`FixedPartialMatch`] |
//! | `Event`, `BufferedEvent` | [`FixedEvent`], [`FixedBufferedEvent`] |
//! | `Accumulator` | [`FixedAccumulator`] |
//!
//! They are twins and not one type over two storages, since that would put a type parameter for each
//! capacity on the growable ones. What is shared is what must not differ: the functions, all bytes (`format`, which
//! sees either twin through a small trait), and the arithmetic of compaction (`credit`). One test holds them equal:
//! `tests/tests/fixed_bytes` does the same to both, and compares the objects byte for byte.

mod accumulator;
mod aggregation;
mod error;
mod event;
mod holder;
mod key;
mod lineage;
mod map;
mod pattern;
mod plain;
mod restore;
mod window;

pub use accumulator::FixedAccumulator;
pub use aggregation::FixedAggregation;
pub use error::FixedError;
pub use event::{FixedBufferedEvent, FixedEvent};
pub use holder::{FixedEngine, FixedHolder, FixedRequest, FixedStateDescriptor};
pub use key::encode_key;
pub use map::{FixedMap, FixedState, FixedValue};
pub use pattern::{FixedPartialMatch, FixedPattern};
pub use plain::FixedPlain;
pub use restore::{FixedRestored, FixedRestoredEngine};
pub use window::{FixedOpenWindow, FixedWindow};
