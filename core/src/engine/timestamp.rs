//! The time of an event from its timestamp field.

use core::fmt;

use super::rfc3339;
use crate::limits::TIMESTAMP_MS_MAX;
use crate::value::{Text, Value};

/// Reads times, and remembers the last: rows close to each other often share it.
///
/// ```
/// use eventflux_core::{TimestampReader, NoTimestamp, Value};
/// let mut times = TimestampReader::default();
/// assert_eq!(times.read(&Value::from("1970-01-01T00:00:01.5Z")), Ok(1500));
/// assert_eq!(times.read(&Value::Null), Err(NoTimestamp::Null));
/// ```
#[derive(Debug, Default)]
pub struct TimestampReader {
    last: Option<(Text, i64)>,
}

/// Why a value is no time.
#[derive(Debug, PartialEq, Eq)]
pub enum NoTimestamp {
    /// It is null.
    Null,
    /// Neither an integer nor an RFC 3339 text.
    Invalid,
    /// In milliseconds; see [`limits::TIMESTAMP_MS_MAX`](crate::limits::TIMESTAMP_MS_MAX).
    OutOfRange(i64),
}

impl fmt::Display for NoTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTimestamp::Null => f.write_str("the time is missing or null"),
            NoTimestamp::Invalid => {
                f.write_str("no time; write milliseconds since 1970, or RFC 3339 such as 2013-01-01T10:00:00Z")
            }
            NoTimestamp::OutOfRange(ms) => {
                write!(f, "the time {ms} ms is out of range, ±{TIMESTAMP_MS_MAX} ms")
            }
        }
    }
}

impl core::error::Error for NoTimestamp {}

impl TimestampReader {
    /// Milliseconds since 1970 (UTC), rounded down.
    ///
    /// # Errors
    /// Why it is no time.
    pub fn read(&mut self, value: &Value) -> Result<i64, NoTimestamp> {
        match value {
            Value::Int(ms) => in_range(*ms),
            Value::Str(text) => match &self.last {
                Some((last, ms)) if last == text => Ok(*ms),
                _ => {
                    let ms = rfc3339::read(text.as_str()).ok_or(NoTimestamp::Invalid).and_then(in_range)?;
                    self.last = Some((text.clone(), ms));
                    Ok(ms)
                }
            },
            Value::Null => Err(NoTimestamp::Null),
            Value::Bool(_) | Value::Float(_) => Err(NoTimestamp::Invalid),
        }
    }
}

fn in_range(ms: i64) -> Result<i64, NoTimestamp> {
    if (-TIMESTAMP_MS_MAX..=TIMESTAMP_MS_MAX).contains(&ms) { Ok(ms) } else { Err(NoTimestamp::OutOfRange(ms)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_integers() {
        let mut times = TimestampReader::default();
        for (value, expected) in [
            (Value::from("2013-01-01T10:00:00Z"), Ok(1_357_034_400_000)),
            (Value::from("2013-01-01T10:00:00Z"), Ok(1_357_034_400_000)),
            (Value::from("2013-01-01T12:00:00.5+02:00"), Ok(1_357_034_400_500)),
            (Value::from("1969-12-31T23:59:59.9995Z"), Ok(-1)),
            (Value::from(-5), Ok(-5)),
            (Value::from(TIMESTAMP_MS_MAX), Ok(TIMESTAMP_MS_MAX)),
            (Value::from(TIMESTAMP_MS_MAX + 1), Err(NoTimestamp::OutOfRange(TIMESTAMP_MS_MAX + 1))),
            (Value::from(-TIMESTAMP_MS_MAX - 1), Err(NoTimestamp::OutOfRange(-TIMESTAMP_MS_MAX - 1))),
            (Value::from(""), Err(NoTimestamp::Invalid)),
            (Value::from("2013-01-01T10:00:00"), Err(NoTimestamp::Invalid)),
            (Value::from("2013-02-30T10:00:00Z"), Err(NoTimestamp::Invalid)),
            (Value::from(1.5), Err(NoTimestamp::Invalid)),
            (Value::Null, Err(NoTimestamp::Null)),
        ] {
            assert_eq!(times.read(&value), expected, "{value:?}");
        }
    }
}
