//! Operators that are plugins: the same results as without, whatever happens to them.

mod app;
mod engine;
mod misbehaviour;
mod native;
