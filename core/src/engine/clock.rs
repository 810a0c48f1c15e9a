//! The time of an event from its timestamp field.

use super::rfc3339;
use crate::limits::TIMESTAMP_MS_MAX;
use crate::value::{Text, Value};

/// Reads times, and remembers the last: rows close to each other often share it.
///
/// ```
/// use eventflux_core::{Clock, NoTime, Value};
/// let mut clock = Clock::default();
/// assert_eq!(clock.read(&Value::from("1970-01-01T00:00:01.5Z")), Ok(1500));
/// assert_eq!(clock.read(&Value::Null), Err(NoTime::Null));
/// ```
#[derive(Debug, Default)]
pub struct Clock {
    last: Option<(Text, i64)>,
}

/// Why a value is no time.
#[derive(Debug, PartialEq, Eq)]
pub enum NoTime {
    /// It is null.
    Null,
    /// Neither an integer nor an RFC 3339 text.
    Invalid,
    /// In milliseconds; see [`limits::TIMESTAMP_MS_MAX`](crate::limits::TIMESTAMP_MS_MAX).
    OutOfRange(i64),
}

impl Clock {
    /// Milliseconds since 1970 (UTC), rounded down.
    ///
    /// # Errors
    /// Why it is no time.
    pub fn read(&mut self, value: &Value) -> Result<i64, NoTime> {
        match value {
            Value::Int(ms) => in_range(*ms),
            Value::Str(text) => match &self.last {
                Some((last, ms)) if last == text => Ok(*ms),
                _ => {
                    let ms = rfc3339::read(text.as_str()).ok_or(NoTime::Invalid).and_then(in_range)?;
                    self.last = Some((text.clone(), ms));
                    Ok(ms)
                }
            },
            Value::Null => Err(NoTime::Null),
            Value::Bool(_) | Value::Float(_) => Err(NoTime::Invalid),
        }
    }
}

fn in_range(ms: i64) -> Result<i64, NoTime> {
    if (-TIMESTAMP_MS_MAX..=TIMESTAMP_MS_MAX).contains(&ms) { Ok(ms) } else { Err(NoTime::OutOfRange(ms)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_integers() {
        let mut clock = Clock::default();
        for (value, expected) in [
            (Value::from("2013-01-01T10:00:00Z"), Ok(1_357_034_400_000)),
            (Value::from("2013-01-01T10:00:00Z"), Ok(1_357_034_400_000)),
            (Value::from("2013-01-01T12:00:00.5+02:00"), Ok(1_357_034_400_500)),
            (Value::from("1969-12-31T23:59:59.9995Z"), Ok(-1)),
            (Value::from(-5), Ok(-5)),
            (Value::from(TIMESTAMP_MS_MAX), Ok(TIMESTAMP_MS_MAX)),
            (Value::from(TIMESTAMP_MS_MAX + 1), Err(NoTime::OutOfRange(TIMESTAMP_MS_MAX + 1))),
            (Value::from(-TIMESTAMP_MS_MAX - 1), Err(NoTime::OutOfRange(-TIMESTAMP_MS_MAX - 1))),
            (Value::from(""), Err(NoTime::Invalid)),
            (Value::from("2013-01-01T10:00:00"), Err(NoTime::Invalid)),
            (Value::from("2013-02-30T10:00:00Z"), Err(NoTime::Invalid)),
            (Value::from(1.5), Err(NoTime::Invalid)),
            (Value::Null, Err(NoTime::Null)),
        ] {
            assert_eq!(clock.read(&value), expected, "{value:?}");
        }
    }
}
