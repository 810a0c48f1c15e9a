//! Operators that are plugins: the same results as without, whatever happens to them.

mod app;
mod command;
mod engine;
mod guests;
mod hostile;
mod misbehaviour;
mod native;
mod restart;
mod upgrade;
