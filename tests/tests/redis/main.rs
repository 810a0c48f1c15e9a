//! The storage on Redis, with real servers.

#![cfg(unix)]

#[path = "../common"]
mod common {
    pub mod cli;
    pub mod conformance;
    pub mod lossy;
    pub mod redis_server;
    pub mod states;
}

mod backend;
mod cluster;
mod faults;
mod job;
