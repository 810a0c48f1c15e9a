//! Packed bytes between host and plugin: batches in, results out.

use alloc::vec::Vec;

use super::packed::{Packed, zigzag};
use crate::format::{Cursor, Malformed};
use crate::value::{Text, Value};

const EVENT: u8 = 0;
const WATERMARK: u8 = 1;

/// Writes a batch.
///
/// ```
/// use eventflux_core::Value;
/// use eventflux_core::plugin::{BatchReader, BatchWriter, Item};
/// # fn main() -> Result<(), eventflux_core::Malformed> {
/// let mut writer = BatchWriter::default();
/// writer.event(1_000, b"key", [&Value::from(7)]);
/// writer.watermark(1_000);
///
/// let mut reader = BatchReader::new(writer.bytes(), 1);
/// assert_eq!(reader.next_item()?, Some(Item::Event { timestamp: 1_000, key: b"key", values: &[7.into()] }));
/// assert_eq!(reader.next_item()?, Some(Item::Watermark { ms: 1_000 }));
/// assert_eq!(reader.next_item()?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct BatchWriter {
    packed: Packed,
    items: u32,
}

/// Reads a batch; nothing is taken on trust.
#[derive(Debug)]
pub struct BatchReader<'a> {
    cursor: Cursor<'a>,
    inputs: usize,
    values: Vec<Value>,
}

/// One item of a batch.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// An event.
    Event {
        /// Event time, milliseconds since 1970.
        timestamp: i64,
        /// The encoded key.
        key: &'a [u8],
        /// A value for each input, in their order.
        values: &'a [Value],
    },
    /// The watermark has come this far.
    Watermark {
        /// Milliseconds since 1970.
        ms: i64,
    },
}

/// Writes results.
///
/// ```
/// use eventflux_core::plugin::{PluginResult, ResultsReader, ResultsWriter};
/// # fn main() -> Result<(), eventflux_core::Malformed> {
/// let mut writer = ResultsWriter::default();
/// writer.result(0, 1_000, b"\0", &[7.into()]);
/// let mut reader = ResultsReader::new(writer.bytes(), 1, 1);
/// let wanted = PluginResult { item: 0, time_ms: 1_000, key: b"\0".to_vec(), values: vec![7.into()] };
/// assert_eq!(reader.next_result()?, Some(wanted));
/// assert_eq!(reader.next_result()?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct ResultsWriter {
    packed: Packed,
}

/// Reads results, which are hostile: an item that was not in the batch, a fall back to an earlier one, or anything left
/// over is an error.
#[derive(Debug)]
pub struct ResultsReader<'a> {
    cursor: Cursor<'a>,
    items: u32,
    outputs: usize,
    item: u32,
}

/// One result of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginResult {
    /// Number of the item it belongs to.
    pub item: u32,
    /// Its place among what the same watermark releases, milliseconds since 1970.
    pub time_ms: i64,
    /// The encoded key.
    pub key: Vec<u8>,
    /// A value for each output, in their order.
    pub values: Vec<Value>,
}

impl BatchWriter {
    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.packed.truncate(0);
        self.items = 0;
    }

    /// Appends an event: its time in milliseconds since 1970, its encoded key, a value for each input.
    pub fn event<'v>(&mut self, timestamp: i64, key: &[u8], values: impl IntoIterator<Item = &'v Value>) {
        self.packed.record([EVENT.into(), zigzag(timestamp)], key);
        values.into_iter().for_each(|value| self.packed.value(value));
        self.items += 1;
    }

    /// Appends a watermark, in milliseconds since 1970.
    pub fn watermark(&mut self, ms: i64) {
        self.packed.numbers([WATERMARK.into(), zigzag(ms)]);
        self.items += 1;
    }

    /// Keeps the first items, whose events have so many values.
    pub fn truncate(&mut self, items: u32, inputs: usize) {
        let len = self.first(items, inputs).len();
        self.packed.truncate(len);
        self.items = self.items.min(items);
    }

    /// The bytes of a batch of the first items, whose events have so many values.
    #[must_use]
    pub fn first(&self, items: u32, inputs: usize) -> &[u8] {
        let mut reader = BatchReader::new(self.bytes(), inputs);
        let mut kept = 0;
        while kept < items && matches!(reader.next_item(), Ok(Some(_))) {
            kept += 1;
        }
        &self.bytes()[..self.bytes().len() - reader.cursor.rest().len()]
    }

    /// Number of items written.
    #[must_use]
    pub fn items(&self) -> u32 {
        self.items
    }

    /// The batch.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.packed.as_slice()
    }
}

impl<'a> BatchReader<'a> {
    /// Reads a batch whose events have so many values.
    #[must_use]
    pub fn new(batch: &'a [u8], inputs: usize) -> Self {
        BatchReader { cursor: Cursor::new(batch), inputs, values: Vec::new() }
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no batch.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Malformed> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        match self.cursor.byte()? {
            EVENT => {
                let timestamp = signed(&mut self.cursor)?;
                let length = self.cursor.varint()?;
                let key = self.cursor.take(length)?;
                self.values.clear();
                for _ in 0..self.inputs {
                    self.values.push(value(&mut self.cursor)?);
                }
                Ok(Some(Item::Event { timestamp, key, values: &self.values }))
            }
            WATERMARK => Ok(Some(Item::Watermark { ms: signed(&mut self.cursor)? })),
            _ => Err(Malformed::new("an item of a batch of an unknown kind")),
        }
    }
}

impl ResultsWriter {
    /// A writer with room for about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        ResultsWriter { packed: Packed::with_capacity(bytes) }
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.packed.truncate(0);
    }

    /// Appends a result; see [`PluginResult`].
    pub fn result<'v>(&mut self, item: u32, time_ms: i64, key: &[u8], values: impl IntoIterator<Item = &'v Value>) {
        self.packed.record([item.into(), zigzag(time_ms)], key);
        values.into_iter().for_each(|value| self.packed.value(value));
    }

    /// The results.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.packed.as_slice()
    }

    /// The results, as a vector of their own.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.packed.into_vec()
    }
}

impl<'a> ResultsReader<'a> {
    /// Reads results to a batch of so many items, each result with so many values.
    #[must_use]
    pub fn new(results: &'a [u8], items: u32, outputs: usize) -> Self {
        ResultsReader { cursor: Cursor::new(results), items, outputs, item: 0 }
    }

    /// The next result; `None` at the end.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no results to this batch.
    pub fn next_result(&mut self) -> Result<Option<PluginResult>, Malformed> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        let item = self.cursor.varint()?;
        let item = u32::try_from(item).ok().filter(|item| *item < self.items);
        let item = item.ok_or_else(|| Malformed::new("a result of an item that was not in the batch"))?;
        if item < self.item {
            return Err(Malformed::new("results out of the order of their items"));
        }
        self.item = item;
        let time_ms = signed(&mut self.cursor)?;
        let length = self.cursor.varint()?;
        let key = self.cursor.take(length)?.to_vec();
        let values = (0..self.outputs).map(|_| value(&mut self.cursor)).collect::<Result<_, _>>()?;
        Ok(Some(PluginResult { item, time_ms, key, values }))
    }
}

/// Takes a value: what its `Deserialize` does, which would bring the errors of postcard into every plugin.
#[inline]
fn value(cursor: &mut Cursor<'_>) -> Result<Value, Malformed> {
    Ok(match cursor.byte()? {
        0 => Value::Null,
        1 => match cursor.byte()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(Malformed::new("a value neither false nor true")),
        },
        2 => Value::Int(signed(cursor)?),
        3 => {
            let bytes = cursor.take(8)?.first_chunk().copied().unwrap_or_default();
            Value::Float(f64::from_le_bytes(bytes))
        }
        4 => {
            let length = cursor.varint()?;
            let text = core::str::from_utf8(cursor.take(length)?);
            Value::Str(Text::new(text.map_err(|_| Malformed::new("a text that is not UTF-8"))?))
        }
        _ => return Err(Malformed::new("a value of an unknown kind")),
    })
}

#[inline(always)]
fn signed(cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
    let number = cursor.varint()?;
    Ok((number >> 1) as i64 ^ -((number & 1) as i64))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use proptest::prelude::*;

    /// Guests in other languages are written from the description of these bytes.
    #[test]
    fn the_bytes_are_frozen() {
        let mut batch = BatchWriter::default();
        batch.event(-1, b"k", [&Value::Null, &Value::from(true), &Value::from(300), &Value::from(1.0)]);
        batch.watermark(i64::MAX);
        let mut wanted = alloc::vec![0, 1, 1, b'k', 0, 1, 1, 2, 0xd8, 4, 3, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1, 0xfe];
        wanted.extend_from_slice(&[0xff; 8]);
        wanted.push(1);
        assert_eq!(batch.bytes(), wanted);
        assert_eq!(batch.items(), 2);
        let mut results = ResultsWriter::default();
        results.result(200, 5, b"", [&Value::from("é")]);
        assert_eq!(results.bytes(), [0xc8, 1, 10, 0, 4, 2, 0xc3, 0xa9]);
    }

    #[test]
    fn results_must_fit_their_batch() {
        let read = |bytes: &[u8]| ResultsReader::new(bytes, 2, 1).next_result();
        assert!(read(&[1, 0, 0, 0]).unwrap().is_some());
        assert!(read(&[2, 0, 0, 0]).is_err(), "item 2 of two");
        assert!(read(&[1, 0, 9, 0]).is_err(), "a key longer than the bytes");
        assert!(read(&[1, 0, 0, 7]).is_err(), "an unknown kind of value");
        assert!(read(&[1, 0, 0]).is_err(), "no value");
        let mut falling = ResultsReader::new(&[1, 0, 0, 0, 0, 0, 0, 0], 2, 1);
        assert!(falling.next_result().is_ok());
        assert!(falling.next_result().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_at_most(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut batch = BatchReader::new(&bytes, 2);
            while let Ok(Some(_)) = batch.next_item() {}
            let mut results = ResultsReader::new(&bytes, 3, 1);
            while let Ok(Some(_)) = results.next_result() {}
        }

        #[test]
        fn keys_of_any_length_come_back(keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40)) {
            let mut writer = BatchWriter::default();
            keys.iter().enumerate().for_each(|(at, key)| writer.event(at as i64 - 20, key, [&Value::Int(at as i64)]));
            let mut reader = BatchReader::new(writer.bytes(), 1);
            for (at, wanted) in keys.iter().enumerate() {
                let values = &[Value::Int(at as i64)][..];
                prop_assert_eq!(reader.next_item().unwrap(), Some(Item::Event { timestamp: at as i64 - 20, key: wanted, values }));
            }
            prop_assert_eq!(reader.next_item().unwrap(), None);
        }

        #[test]
        fn values_are_written_as_postcard_writes_them(int in any::<i64>(), float in any::<f64>(), text in ".{0,90}") {
            let floats = [Value::Float(float), Value::Float(-0.0), Value::Float(-f64::NAN)];
            let others = [Value::Null, true.into(), false.into(), int.into(), text.as_str().into()];
            let values = [&floats[..], &others].concat();
            let mut packed = Packed::default();
            values.iter().for_each(|value| packed.value(value));
            let wanted: Vec<u8> = values.iter().flat_map(|value| postcard::to_allocvec(value).unwrap()).collect();
            prop_assert_eq!(packed.as_slice(), wanted);
        }

        #[test]
        fn values_are_read_as_postcard_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..20), kind in 0..6_u8) {
            let bytes = [&[kind], bytes.as_slice()].concat();
            let mut cursor = Cursor::new(&bytes);
            match (value(&mut cursor), postcard::take_from_bytes::<Value>(&bytes)) {
                (Ok(ours), Ok((theirs, rest))) => {
                    prop_assert_eq!(ours.to_string(), theirs.to_string());
                    prop_assert_eq!(cursor.rest(), rest);
                }
                (ours, theirs) => prop_assert!(ours.is_err() && theirs.is_err()),
            }
        }
    }
}
