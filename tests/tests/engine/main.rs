//! The engine and its states, with the core alone: `tests/wasm32` runs these on 32 bits too.

#[path = "../common"]
mod common {
    pub mod checkpoints;
    pub mod generate;
    pub mod random;
    pub mod stream;
}

mod bounded;
mod bounds;
mod budget;
mod cut_and_capture;
mod map_pages;
mod operators_aggregation;
mod operators_functions;
mod operators_order;
mod operators_pattern;
mod operators_window;
mod restore_anywhere;
mod watermark;
