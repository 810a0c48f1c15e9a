//! States of fixed capacity, without an allocator: the twins of the growable ones, for microcontrollers.
//!
//! | growable | fixed |
//! |---|---|
//! | `StateHolder` | [`FixedHolder`] |
//! | `TrackedMap` | [`FixedMap`] |
//! | `PlainValue` | [`FixedPlain`] |
//! | `AggregationState` | [`FixedAggregation`] |
//!
//! They are twins and not one type over two storages, since that would put a type parameter for each
//! capacity on the growable ones. What is shared is what must not differ: the accumulators, all bytes
//! (`format`), and the arithmetic of compaction (`credit`). One test holds them equal:
//! `tests/tests/fixed_bytes.rs` does the same to both, and compares the objects byte for byte.

mod aggregation;
mod error;
mod holder;
mod key;
mod lineage;
mod map;
mod plain;
mod restore;

pub use aggregation::FixedAggregation;
pub use error::FixedError;
pub use holder::{FixedEngine, FixedHolder, FixedRequest, FixedStateDescriptor};
pub use key::encode_key;
pub use map::{FixedMap, FixedState, FixedValue};
pub use plain::FixedPlain;
pub use restore::FixedRestored;
