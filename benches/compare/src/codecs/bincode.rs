//! Rows of bincode 1: every number 8 bytes, every length 8 bytes, every variant 4.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Codec;

/// Rows of bincode 1, and LZ4 over all of them.
pub struct BincodeRows {
    /// Whether LZ4 follows.
    pub compressed: bool,
}

impl<T: Serialize + DeserializeOwned> Codec<T> for BincodeRows {
    fn name(&self) -> String {
        if self.compressed { "bincode 1 + LZ4" } else { "bincode 1 rows" }.into()
    }

    fn encode(&self, state: &T) -> Vec<u8> {
        let rows = bincode::serialize(state).expect("memory has room");
        if self.compressed { lz4_flex::block::compress_prepend_size(&rows) } else { rows }
    }

    fn decode(&self, bytes: &[u8]) -> T {
        if self.compressed {
            let rows = lz4_flex::block::decompress_size_prepended(bytes).expect("it was encoded");
            bincode::deserialize(&rows).expect("it was encoded")
        } else {
            bincode::deserialize(bytes).expect("it was encoded")
        }
    }
}
