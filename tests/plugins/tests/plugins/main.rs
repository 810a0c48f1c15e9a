//! Operators that are plugins: the same results as without, whatever happens to them.

mod engine;
mod native;
