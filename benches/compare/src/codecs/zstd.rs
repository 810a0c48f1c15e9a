//! Rows of postcard under Zstandard: with rows of bincode 1 it saves less (flights 89.7 % for 92, level 3).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Codec;

/// From this level on a run takes seconds.
const SLOW_LEVEL: i32 = 10;

/// Rows of postcard, and Zstandard over all of them.
pub struct ZstdRows {
    /// Level of compression.
    pub level: i32,
}

impl<T: Serialize + DeserializeOwned> Codec<T> for ZstdRows {
    fn name(&self) -> String {
        format!("postcard rows + zstd-{}", self.level)
    }

    fn encode(&self, state: &T) -> Vec<u8> {
        let rows = postcard::to_stdvec(state).expect("memory has room");
        zstd::bulk::compress(&rows, self.level).expect("memory has room")
    }

    fn decode(&self, bytes: &[u8]) -> T {
        let rows = zstd::decode_all(bytes).expect("it was encoded");
        postcard::from_bytes(&rows).expect("it was encoded")
    }

    fn is_slow(&self) -> bool {
        self.level >= SLOW_LEVEL
    }
}
