//! pcodec (the crate `pco`), the codec of the literature on numeric compression, column by column.
//!
//! Strings are places in a dictionary, which is under LZ4 like the list of the windows and the kinds of the values.

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress};
use serde::{Deserialize, Serialize};

use super::Codec;
use super::columns::{Column, Columns};
use crate::data::WindowRows;

/// pcodec by column, at its default level.
pub struct Pcodec;

#[derive(Serialize, Deserialize)]
struct Packed {
    heads: Vec<u8>,
    timestamps: Vec<u8>,
    columns: Vec<PackedColumn>,
}

#[derive(Serialize, Deserialize)]
struct PackedColumn {
    kinds: Vec<u8>,
    bools: Vec<u8>,
    ints: Vec<u8>,
    floats: Vec<u8>,
    words: Vec<u8>,
    dictionary: Vec<u8>,
}

impl Codec<Vec<WindowRows>> for Pcodec {
    fn name(&self) -> String {
        "pcodec columns".into()
    }

    fn encode(&self, state: &Vec<WindowRows>) -> Vec<u8> {
        let all = Columns::from_windows(state);
        let pack_column = |column: &Column| PackedColumn {
            kinds: lz4_flex::block::compress_prepend_size(&column.kinds),
            bools: lz4_flex::block::compress_prepend_size(&column.bools),
            ints: pack(&column.ints),
            floats: pack(&column.floats),
            words: pack(&column.words),
            dictionary: pack_rows(&column.dictionary),
        };
        let packed = Packed {
            heads: pack_rows(&all.heads),
            timestamps: pack(&all.timestamps),
            columns: all.columns.iter().map(pack_column).collect(),
        };
        postcard::to_stdvec(&packed).expect("memory has room")
    }

    fn decode(&self, bytes: &[u8]) -> Vec<WindowRows> {
        let packed: Packed = postcard::from_bytes(bytes).expect("it was encoded");
        let unpack_column = |column: PackedColumn| Column {
            kinds: unpack_bytes(&column.kinds),
            bools: unpack_bytes(&column.bools),
            ints: unpack(&column.ints),
            floats: unpack(&column.floats),
            words: unpack(&column.words),
            dictionary: unpack_rows(&column.dictionary),
        };
        let all = Columns {
            heads: unpack_rows(&packed.heads),
            timestamps: unpack(&packed.timestamps),
            columns: packed.columns.into_iter().map(unpack_column).collect(),
        };
        all.into_windows()
    }
}

/// Nothing at all for no numbers, so that what a column lacks costs a byte.
fn pack<T: Number>(numbers: &[T]) -> Vec<u8> {
    if numbers.is_empty() {
        return Vec::new();
    }
    simple_compress(numbers, &ChunkConfig::default()).expect("memory has room")
}

fn unpack<T: Number>(bytes: &[u8]) -> Vec<T> {
    if bytes.is_empty() { Vec::new() } else { simple_decompress(bytes).expect("it was encoded") }
}

fn pack_rows<T: Serialize>(rows: &[T]) -> Vec<u8> {
    lz4_flex::block::compress_prepend_size(&postcard::to_stdvec(rows).expect("memory has room"))
}

fn unpack_rows<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Vec<T> {
    postcard::from_bytes(&unpack_bytes(bytes)).expect("it was encoded")
}

fn unpack_bytes(bytes: &[u8]) -> Vec<u8> {
    lz4_flex::block::decompress_size_prepended(bytes).expect("it was encoded")
}
