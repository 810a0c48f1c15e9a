//! Rows of bincode 1 under Zstandard.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Codec;

/// From this level on a run takes seconds.
const SLOW_LEVEL: i32 = 10;

/// Rows, and Zstandard over all of them.
pub struct ZstdRows {
    /// Level of compression.
    pub level: i32,
}

impl<T: Serialize + DeserializeOwned> Codec<T> for ZstdRows {
    fn name(&self) -> String {
        format!("rows + zstd-{}", self.level)
    }

    fn encode(&self, state: &T) -> Vec<u8> {
        let rows = bincode::serialize(state).expect("memory has room");
        zstd::bulk::compress(&rows, self.level).expect("memory has room")
    }

    fn decode(&self, bytes: &[u8]) -> T {
        let rows = zstd::decode_all(bytes).expect("it was encoded");
        bincode::deserialize(&rows).expect("it was encoded")
    }

    fn is_slow(&self) -> bool {
        self.level >= SLOW_LEVEL
    }
}
