//! What host and plugins agree on: batches of events, their results, and what an instance answers.
//!
//! The bytes, and the order of calls, are those of `wasm/wit/eventflux.wit`. Plugins written in Rust and the engine
//! use the same code for them, from here.

mod batch;
mod frames;
mod state;

pub use self::batch::{BatchReader, BatchWriter, Item, PluginResult, ResultsReader, ResultsWriter};
pub use self::frames::{FrameError, FrameMigration, FrameSchema, Frames};
pub use self::state::{PluginState, decode_value, encode_value};
