//! EventFlux State for JavaScript: what `@eventflux/state` calls. Its documentation is that package's.
//!
//! One file a thing: [`state`] mirrors `StateHolder`; [`convert`] has all that becomes JavaScript or
//! comes from it; [`storage`] lets the core's procedures wait for a storage written in JavaScript. No
//! view of wasm memory leaves: bytes are copied out.

mod convert;
mod error;
mod state;
mod storage;

pub use state::{PastState, State};
