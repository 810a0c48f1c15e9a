//! Plugins: operators compiled to wasm, run in wasmtime. What they are given and how they are kept going is the core's;
//! here is what it takes to run one that is not to be trusted.
//!
//! A plugin imports nothing, so that it has no files, clock, network or randomness. Its limits are memory over all
//! memories together, tables and instances, stack, and time for each call. Whatever it does, it costs only its own
//! instance.

mod cache;
mod component;
mod guest;
mod limiter;
mod runtime;
mod world;

pub use self::component::{Facts, load};
pub use self::runtime::{GuestFacts, Home, Runtime};
pub use eventflux_core::plugin::{Component, GuestDescription, GuestSchema};
