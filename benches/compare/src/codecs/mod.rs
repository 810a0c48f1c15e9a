//! Codecs that people turn state into bytes with.
//!
//! Those of rows take any state that serde knows; those of columns take windows of events. Each gets the state as a
//! program holds it, and gives it back so: what it needs to rearrange is part of its time.
//!
//! LZ4 is `lz4_flex` in safe Rust for all of them, as it is for us.

mod bincode;
mod bitcode;
mod columns;
mod parquet;
mod pcodec;
mod postcard;
mod zstd;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::WindowRows;

pub use self::bincode::BincodeRows;

/// Turns state into bytes and back.
pub trait Codec<T> {
    /// What it is called in the tables.
    fn name(&self) -> String;
    /// The state as bytes.
    fn encode(&self, state: &T) -> Vec<u8>;
    /// The state again.
    fn decode(&self, bytes: &[u8]) -> T;
    /// Whether it is so slow that it is measured once.
    fn is_slow(&self) -> bool {
        false
    }
}

/// Codecs of rows, for any state. The first is the measure of all others.
pub fn of_rows<T: Serialize + DeserializeOwned>() -> Vec<Box<dyn Codec<T>>> {
    vec![
        Box::new(BincodeRows { compressed: false }),
        Box::new(BincodeRows { compressed: true }),
        Box::new(postcard::PostcardRows),
        Box::new(zstd::ZstdRows { level: 3 }),
        Box::new(zstd::ZstdRows { level: 19 }),
    ]
}

/// Codecs of windows of events: those of rows, then those of columns.
pub fn of_windows() -> Vec<Box<dyn Codec<Vec<WindowRows>>>> {
    let mut codecs = of_rows();
    codecs.push(Box::new(bitcode::Bitcode));
    codecs.push(Box::new(pcodec::Pcodec));
    codecs.push(Box::new(parquet::Parquet));
    codecs
}
