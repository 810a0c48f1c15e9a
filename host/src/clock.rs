//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970 (UTC); 0 for a clock set before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn to_rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).map_or_else(|_| format!("{time_ms} ms"), |time| format!("{time:.3}"))
}

/// Milliseconds since 1970 from RFC 3339 or from a number of milliseconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()))
}
