//! EventFlux State for native programs.

pub mod source;
