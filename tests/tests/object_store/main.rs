//! The storage in a bucket, with a server that speaks S3.

#![cfg(unix)]

#[path = "../common"]
mod common {
    pub mod cli;
    pub mod conformance;
    pub mod s3_server;
    pub mod states;
}

mod contract;
mod faults;
mod job;
