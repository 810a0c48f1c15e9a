//! Plugins: operators that a component does, whose instances the host runs.
//!
//! The bytes, and the order of calls, are those of `wasm/wit/eventflux.wit`. Plugins written in Rust and the engine
//! use the same code for them, from here. A host answers with a [`GuestHome`], which
//! [`Engine::attach_plugin`](crate::Engine::attach_plugin) takes.

mod answer;
mod batch;
mod checked;
mod collect;
mod frames;
mod guest;
mod notice;
mod packed;
mod state;
pub(crate) mod stored;
mod supervisor;

pub(crate) use self::answer::Answer;
pub use self::batch::{BatchReader, BatchWriter, Item, PluginResult, ResultsReader, ResultsWriter};
pub use self::checked::{CheckedGuest, shown_reason};
pub use self::frames::{FrameError, FrameMigration, FrameSchema, Frames};
pub use self::guest::{Component, Guest, GuestDescription, GuestError, GuestHome, GuestSchema, GuestSetup};
pub use self::notice::{Happening, PluginNotice};
pub use self::state::{PluginState, decode_value, encode_value};
pub(crate) use self::supervisor::{Given, Supervisor, Trouble};
