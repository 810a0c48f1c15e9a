//! EventFlux State for JavaScript: what `@eventflux/state` calls. Its documentation is that package's.
//!
//! One file a thing: [`handle`] is what JavaScript holds; [`state`] the keyed values or the engine behind it;
//! [`operations`] all that waits for a storage; [`task`] how that waits; [`past`] an older state, to read; [`convert`]
//! what becomes JavaScript or comes from it.
//!
//! Invariants:
//! - no view of wasm memory leaves: bytes are copied out;
//! - nothing here calls JavaScript but to make plain objects, so that no call can come in while another is under way.

mod convert;
mod error;
mod handle;
mod operations;
mod past;
mod state;
mod task;

pub use handle::{Handle, newest_head};
pub use past::Past;
pub use task::Task;
