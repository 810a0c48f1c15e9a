//! Results of a plugin, checked against the batch they answer.

use alloc::format;
use alloc::vec::Vec;

use super::batch::{PluginResult, ResultsReader};
use super::guest::GuestError;
use crate::bytes::heap_bytes_of;
use crate::format::{Malformed, key};
use crate::limits::{KEY_BYTES_MAX, PLUGIN_RESULT_BYTES};
use crate::operator::Output;
use crate::value::Value;

// A result is an answer first, and then what the engine gives out of it.
const _: () = assert!(size_of::<Answer>() + size_of::<Output>() <= PLUGIN_RESULT_BYTES as usize);

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

/// Reads results that may take so many bytes of memory, which can be fifty times as many as they come in; `watermarks`
/// has a place for each item of the batch, and a time for each that is a watermark.
pub(crate) fn read_answers(
    results: &[u8],
    watermarks: &[Option<i64>],
    key_fields: usize,
    outputs: usize,
    bytes_max: u64,
) -> Result<Vec<Answer>, GuestError> {
    let garbage = |malformed: Malformed| GuestError::Lost(format!("its results are garbage: {malformed}"));
    let mut reader = ResultsReader::new(results, watermarks.len() as u32, outputs);
    let (mut answers, mut bytes) = (Vec::new(), 0);
    while let Some(result) = reader.next_result().map_err(garbage)? {
        bytes += memory_of(&result);
        if bytes > bytes_max {
            let reason = format!(
                "its results take more than {bytes_max} bytes of memory, {} of them; it may give more at once with a larger \
                 `limits.state`",
                answers.len()
            );
            return Err(GuestError::Lost(reason));
        }
        answers.push(answer(result, watermarks, key_fields).map_err(garbage)?);
    }
    Ok(answers)
}

fn answer(result: PluginResult, watermarks: &[Option<i64>], key_fields: usize) -> Result<Answer, Malformed> {
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
    Ok(Answer { item: result.item, time, key: result.key, values: result.values })
}

/// Bytes that a result takes until it is given out.
fn memory_of(result: &PluginResult) -> u64 {
    let PluginResult { key, values, .. } = result;
    let texts: u64 = values.iter().map(|value| value.footprint().memory).sum();
    // The key is decoded as well.
    PLUGIN_RESULT_BYTES + 2 * heap_bytes_of::<u8>(key.capacity()) + heap_bytes_of::<Value>(values.capacity()) + texts
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::limits::PLUGIN_RESULTS_BYTES_MIN;
    use crate::plugin::ResultsWriter;

    /// Three bytes are a result: without a bound these would take gigabytes.
    #[test]
    fn results_take_no_memory_beyond_their_bound() {
        let zeros = vec![0; 60 << 20];
        for (outputs, count) in [(0, 1 << 20), (1, 900_000), (10_000, 1_100)] {
            let error = read_answers(&zeros, &[None], 0, outputs, PLUGIN_RESULTS_BYTES_MIN).unwrap_err().to_string();
            let read = error.strip_prefix("its results take more than 268435456 bytes of memory, ");
            let (read, advice) = read.and_then(|read| read.split_once(" of them; ")).unwrap();
            assert_eq!(advice, "it may give more at once with a larger `limits.state`");
            let read: usize = read.parse().unwrap();
            assert!(read <= count && read > count / 2, "{outputs}: {read}");
        }
        // A text of a result is as large as it claims, or there is none.
        let mut writer = ResultsWriter::default();
        (0..100).for_each(|_| writer.result(0, 0, b"", &["x".repeat(1 << 20).as_str().into()]));
        assert!(read_answers(writer.bytes(), &[None], 0, 1, 64 << 20).is_err());
        assert_eq!(read_answers(writer.bytes(), &[None], 0, 1, 128 << 20).unwrap().len(), 100);
    }

    /// Far more than any of our own: a batch of 256 events with two thousand results each.
    #[test]
    fn many_results_of_a_batch_are_taken() {
        let (events, each) = (256, 2_000);
        let mut writer = ResultsWriter::default();
        for event in 0..events {
            (0..each).for_each(|_| writer.result(event, 1_000, b"", &[7.into(), "a text of some length".into()]));
        }
        let watermarks = vec![None; events as usize];
        let answers = read_answers(writer.bytes(), &watermarks, 0, 2, PLUGIN_RESULTS_BYTES_MIN).unwrap();
        assert_eq!(answers.len(), events as usize * each);
    }
}
