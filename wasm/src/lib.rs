//! EventFlux State for JavaScript: what `@eventflux/state` calls. Its documentation is that package's.
//!
//! One file a thing: `handle.rs` is what JavaScript holds; `state.rs` the keyed values or the engine behind it;
//! `operations.rs` all that waits for a storage; `task.rs` how that waits; `past.rs` an older state, to read; `convert.rs`
//! what becomes JavaScript or comes from it; `memory.rs` what there is of it.
//!
//! Invariants:
//! - no view of wasm memory leaves: bytes are copied out;
//! - nothing here calls JavaScript but to make plain objects, so that no call can come in while another is under way.

mod convert;
mod error;
mod handle;
mod memory;
mod operations;
mod past;
mod state;
mod task;

pub use handle::{Handle, newest_head};
pub use past::Past;
pub use task::Task;
