#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod config;
mod error;
#[cfg(target_arch = "wasm32")]
mod export;
mod instance;
mod keyed;
mod operator;
#[cfg(all(target_arch = "wasm32", feature = "runtime"))]
mod runtime;
mod timers;

pub use crate::config::{Config, Json};
pub use crate::error::{Error, Failure};
pub use crate::instance::{Description, Instance};
pub use crate::keyed::Keyed;
pub use crate::operator::{Event, Operator, Results, Schema, Setup};
pub use crate::timers::Timers;
pub use eventflux_core::Value;
pub use eventflux_core::plugin::{PluginState as State, decode_value, encode_value};
