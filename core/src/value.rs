//! Values of events, and the events.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use crate::bytes::SmallBytes;
#[cfg(feature = "alloc")]
use crate::bytes::{INLINE_BYTES, heap_chunk_bytes};

/// One field of an event.
///
/// The total order (`Ord`) is the order of keys and results: null < false < true < numbers <
/// strings by bytes. Numbers compare by value, whatever their kind, and exactly; NaN comes after
/// all of them. For the conditions of operators, where kinds must match, see [`Value::compare`].
///
/// ```
/// use eventflux_core::Value;
/// assert!(Value::Null < Value::from(false) && Value::from(3) < Value::from(3.5));
/// assert_eq!(Value::from(2), Value::from(2.0));
/// assert_eq!((Value::from(2).as_i64(), Value::from(None::<&str>).is_null()), (Some(2), true));
/// ```
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number in double precision. Encoded with one NaN and one zero.
    Float(f64),
    /// Text.
    Str(Text),
}

const _: () = assert!(size_of::<Value>() == 24);

/// Immutable UTF-8 text; up to 22 bytes need no allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(SmallBytes);

#[cfg(feature = "alloc")]
/// One event: its time in milliseconds since 1970 (UTC), and a value for each field of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Event time, milliseconds since 1970-01-01T00:00Z.
    pub timestamp: i64,
    /// One value a field, in the order of the stream's fields.
    pub values: Vec<Value>,
}

#[cfg(feature = "alloc")]
/// An event that a state keeps, with its place in the input.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferedEvent {
    /// Number of the event in the input, from 0: breaks ties of time.
    pub sequence: u64,
    /// The event.
    pub event: Event,
}

impl Value {
    /// Compares two values of the same kind; `None` if their kinds differ, one is null or NaN.
    ///
    /// Both sorts of number are one kind.
    #[must_use]
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Float(b)) => (!b.is_nan()).then(|| compare_int_float(*a, *b)),
            (Value::Float(a), Value::Int(b)) => (!a.is_nan()).then(|| compare_int_float(*b, *a).reverse()),
            (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Whether this is [`Value::Null`].
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The truth, if it is true or false.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(bool) = self { Some(*bool) } else { None }
    }

    /// The whole number, if it is an [`Int`](Value::Int): no float is, whatever its value.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Int(int) = self { Some(*int) } else { None }
    }

    /// The number, if it is one; of a whole number beyond 2^53 the nearest float.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(int) => Some(*int as f64),
            Value::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// What kind of value this is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "number",
            Value::Str(_) => "string",
        }
    }

    #[cfg(feature = "alloc")]
    /// As JSON; NaN and the infinities, which JSON lacks, become null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(bool) => (*bool).into(),
            Value::Int(int) => (*int).into(),
            Value::Float(float) => {
                serde_json::Number::from_f64(canonical(*float)).map_or(serde_json::Value::Null, Into::into)
            }
            Value::Str(text) => text.as_str().into(),
        }
    }

    /// Memory beside the value itself, and bytes once encoded.
    pub(crate) fn footprint(&self) -> Footprint {
        let (heap, encoded) = match self {
            Value::Null => (0, 1),
            Value::Bool(_) => (0, 2),
            Value::Int(int) => (0, 1 + varint_len(((int << 1) ^ (int >> 63)) as u64)),
            Value::Float(_) => (0, 9),
            Value::Str(text) => (text.0.heap_bytes(), 2 + text.0.as_slice().len()),
        };
        Footprint { memory: heap as u64, encoded: encoded as u64 }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) | Value::Float(_) => 2,
            Value::Str(_) => 3,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| {
            self.compare(other).unwrap_or_else(|| {
                let is_nan = |value: &Value| matches!(value, Value::Float(float) if float.is_nan());
                is_nan(self).cmp(&is_nan(other))
            })
        })
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Value::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Value::Int(int)
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Value::Float(canonical(float))
    }
}

#[cfg(feature = "alloc")]
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(Text::new(text))
    }
}

#[cfg(feature = "alloc")]
impl From<alloc::string::String> for Value {
    fn from(text: alloc::string::String) -> Self {
        Value::from(text.as_str())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Value::Str(text)
    }
}

/// `None` is null.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Text {
    #[cfg(feature = "alloc")]
    /// Text of its own from a string.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Text(SmallBytes::new(text.as_bytes()))
    }

    /// Text of at most 22 bytes of UTF-8, which needs no allocation; `None` if it is longer.
    #[must_use]
    pub fn inline(text: &str) -> Option<Self> {
        SmallBytes::inline(text.as_bytes()).map(Text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always UTF-8, since `new` is the only way in; the empty string stands for the impossible.
        core::str::from_utf8(self.0.as_slice()).unwrap_or_default()
    }

    /// Its bytes with zeros behind them and their number, if it is short.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn as_inline(&self) -> Option<(&[u8; INLINE_BYTES], usize)> {
        self.0.as_inline()
    }

    /// Its UTF-8 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

#[cfg(feature = "alloc")]
impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::new(text)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(feature = "alloc")]
impl Event {
    /// An event at a time, with a value for each field.
    #[must_use]
    pub fn new(timestamp: i64, values: Vec<Value>) -> Self {
        Event { timestamp, values }
    }

    /// Bytes of its texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.values.iter().map(|value| if let Value::Str(text) = value { text.as_str().len() } else { 0 }).sum()
    }

    pub(crate) fn footprint(&self) -> Footprint {
        let mut of_values = Footprint::default();
        for value in &self.values {
            of_values += value.footprint();
        }
        self.footprint_with(of_values)
    }

    /// As [`Event::footprint`], when that of the values is known.
    #[inline]
    fn footprint_with(&self, mut total: Footprint) -> Footprint {
        let memory = heap_chunk_bytes(self.values.len() * size_of::<Value>()) as u64;
        total += Footprint { memory, encoded: EVENT_ENCODED };
        total
    }
}

#[cfg(feature = "alloc")]
impl BufferedEvent {
    pub(crate) fn footprint(&self) -> Footprint {
        let event = self.event.footprint();
        Footprint { memory: event.memory, encoded: event.encoded + varint_len(self.sequence) as u64 }
    }
}

/// About what an event takes encoded beside its values.
pub(crate) const EVENT_ENCODED: u64 = 8;

/// What something takes: memory while it lives, bytes once encoded in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of memory, beside the value's own size.
    pub memory: u64,
    /// Bytes in a section, before compression; an estimate within a few percent.
    pub encoded: u64,
}

impl core::ops::AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        self.memory += other.memory;
        self.encoded += other.encoded;
    }
}

impl core::ops::SubAssign for Footprint {
    fn sub_assign(&mut self, other: Self) {
        self.memory = self.memory.saturating_sub(other.memory);
        self.encoded = self.encoded.saturating_sub(other.encoded);
    }
}

/// Bytes of an unsigned number as a postcard varint.
pub(crate) fn varint_len(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Bits of the one NaN; `f64::NAN` does not promise any.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// The one NaN and the one zero.
pub(crate) fn canonical(float: f64) -> f64 {
    if float.is_nan() {
        f64::from_bits(NAN_BITS)
    } else if float == 0.0 {
        0.0
    } else {
        float
    }
}

/// Exact comparison; `float` is not NaN.
fn compare_int_float(int: i64, float: f64) -> Ordering {
    // 2^63 is exact in f64; within ±2^63 the truncation is exact in i64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float >= LIMIT {
        Ordering::Less
    } else if float < -LIMIT {
        Ordering::Greater
    } else {
        let whole = float as i64;
        int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&(float - whole as f64)).unwrap_or(Ordering::Equal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_null_false_true_numbers_strings() {
        let sorted = [
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::Float(f64::NEG_INFINITY),
            Value::Int(i64::MIN),
            Value::Float(-0.5),
            Value::Int(0),
            Value::Float(0.5),
            Value::Int(1),
            Value::Int((1 << 53) + 1),
            Value::Int(i64::MAX),
            Value::Float(9.3e18),
            Value::Float(f64::NAN),
            Value::from(""),
            Value::from("a"),
            Value::from("é"),
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        assert_eq!(Value::Int(1 << 53), Value::Float(9_007_199_254_740_992.0));
        assert_ne!(Value::Int((1 << 53) + 1), Value::Float(9_007_199_254_740_992.0));
        assert_eq!(Value::Float(-0.0), Value::Int(0));
    }

    #[test]
    fn kinds_do_not_compare() {
        assert_eq!(Value::Null.compare(&Value::Null), None);
        assert_eq!(Value::from("1").compare(&Value::Int(1)), None);
        assert_eq!(Value::Float(f64::NAN).compare(&Value::Int(1)), None);
        assert_eq!(Value::Int(1).compare(&Value::Float(1.5)), Some(Ordering::Less));
    }

    #[test]
    fn encoded_estimate_is_exact_for_scalars() {
        for value in [
            Value::Null,
            true.into(),
            0.into(),
            (-1).into(),
            63.into(),
            64.into(),
            i64::MIN.into(),
            1.5.into(),
            "abc".into(),
        ] {
            let bytes = postcard::to_allocvec(&value).unwrap();
            assert_eq!(value.footprint().encoded, bytes.len() as u64, "{value:?}");
        }
    }
}
