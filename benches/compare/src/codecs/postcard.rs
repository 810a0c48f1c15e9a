//! Rows of postcard: numbers of variable length.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Codec;

/// Rows of postcard, and LZ4 over all of them.
pub struct PostcardRows;

impl<T: Serialize + DeserializeOwned> Codec<T> for PostcardRows {
    fn name(&self) -> String {
        "postcard rows + LZ4".into()
    }

    fn encode(&self, state: &T) -> Vec<u8> {
        lz4_flex::block::compress_prepend_size(&postcard::to_stdvec(state).expect("memory has room"))
    }

    fn decode(&self, bytes: &[u8]) -> T {
        let rows = lz4_flex::block::decompress_size_prepended(bytes).expect("it was encoded");
        postcard::from_bytes(&rows).expect("it was encoded")
    }
}
