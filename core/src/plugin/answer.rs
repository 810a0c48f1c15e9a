//! Results of a plugin, checked against the batch they answer.

use alloc::vec::Vec;

use super::batch::ResultsReader;
use crate::format::{Malformed, key};
use crate::limits::KEY_BYTES_MAX;
use crate::value::Value;

/// A result that fits its batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Number of the item it belongs to.
    pub(crate) item: u32,
    /// Of a watermark's: its place among what that releases.
    pub(crate) time: Option<i64>,
    pub(crate) key: Vec<u8>,
    pub(crate) values: Vec<Value>,
}

/// Reads results; `watermarks` has a place for each item of the batch, and a time for each that is a watermark.
pub(crate) fn read_answers(
    results: &[u8],
    watermarks: &[Option<i64>],
    key_fields: usize,
    outputs: usize,
) -> Result<Vec<Answer>, Malformed> {
    let mut reader = ResultsReader::new(results, watermarks.len() as u32, outputs);
    let mut answers = Vec::new();
    while let Some(result) = reader.next_result()? {
        let watermark = watermarks.get(result.item as usize).copied().flatten();
        if watermark.is_some_and(|watermark| result.time_ms > watermark) {
            return Err(Malformed::new("a result whose time the watermark has not reached"));
        }
        let mut fields = 0;
        if result.key.len() <= KEY_BYTES_MAX {
            key::for_each_value(&result.key, |_| fields += 1)?;
        }
        if fields != key_fields || result.key.len() > KEY_BYTES_MAX {
            return Err(Malformed::new("a result whose key does not have the fields of the operator's"));
        }
        let time = watermark.map(|_| result.time_ms);
        answers.push(Answer { item: result.item, time, key: result.key, values: result.values });
    }
    Ok(answers)
}
