//! Times as RFC 3339 writes them.
//!
//! Seconds may be followed by any number of digits. A blank may stand for the `T`, a comma for the point, an offset may
//! do without its colon, and a leap second is the second before it.

/// Milliseconds since 1970 (UTC), rounded down; `None` if it is no such time.
pub(super) fn read(text: &str) -> Option<i64> {
    let mut text = Reader(text.as_bytes());
    let year = text.number(4, 0, 9999)?;
    text.one_of(b"-")?;
    let month = text.number(2, 1, 12)?;
    text.one_of(b"-")?;
    let day = text.number(2, 1, days_in(year, month))?;
    text.one_of(b"Tt ")?;
    let hour = text.number(2, 0, 23)?;
    text.one_of(b":")?;
    let minute = text.number(2, 0, 59)?;
    text.one_of(b":")?;
    let second = text.number(2, 0, 60)?.min(59);
    let millisecond = text.millisecond()?;
    let minute = hour * 60 + minute - text.offset_minutes()?;
    let second = (days_before(year, month) + day - 1) * 86_400 + minute * 60 + second;
    text.0.is_empty().then_some(second * 1000 + millisecond)
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// A number of so many digits, within bounds.
    fn number(&mut self, digits: usize, least: i64, most: i64) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let append = |number: i64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'));
        number.iter().try_fold(0, append).filter(|number| (least..=most).contains(number))
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        bytes.contains(first).then_some(*first)
    }

    /// The fraction of a second, if there is one.
    fn millisecond(&mut self) -> Option<i64> {
        let (b'.' | b',', rest) = self.0.split_first()? else { return Some(0) };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = rest.split_at(digits);
        self.0 = rest;
        let digit = |place: usize| fraction.get(place).map_or(0, |byte| i64::from(byte - b'0'));
        (digits > 0).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    fn offset_minutes(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hour = self.number(2, 0, 23)?;
        self.0 = self.0.strip_prefix(b":").unwrap_or(self.0);
        Some(sign * (hour * 60 + self.number(2, 0, 59)?))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a month.
fn days_before(year: i64, month: i64) -> i64 {
    let years_before = year - 1;
    let leap_days = years_before.div_euclid(4) - years_before.div_euclid(100) + years_before.div_euclid(400);
    // From the year 1 to 1970 there were so many leap days.
    let before_year = (year - 1970) * 365 + leap_days - 477;
    before_year + (1..month).map(|month| days_in(year, month)).sum::<i64>()
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    /// The same by a library that knows all about time.
    fn expected(text: &str) -> Option<i64> {
        let time: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
    }

    proptest! {
        #[test]
        fn as_a_library_reads_it(
            (year, month, day) in (0..9999, 0..14, 0..33),
            (hour, minute, second) in (0..25, 0..61, 0..62),
            separator in "[Tt ]",
            fraction in "([.,][0-9]{1,9})?",
            offset in "[Zz]|[+-](0[0-9]|1[0-9]|2[0-3]):?[0-5][0-9]",
        ) {
            let date = format!("{year:04}-{month:02}-{day:02}");
            let text = format!("{date}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{offset}");
            prop_assert_eq!(read(&text), expected(&text), "{}", text);
        }

        #[test]
        fn no_other_text_is_taken(text in "[0-9TZ:. +-]{0,30}|2013-01-01T10:00:00[0-9TZ:. +-]{0,9}") {
            if let Some(time) = read(&text) {
                prop_assert_eq!(Some(time), expected(&text));
            }
        }
    }

    #[test]
    fn every_month_is_as_long_as_it_is() {
        for year in [0, 4, 100, 400, 1969, 1970, 1972, 2000, 2023, 2024, 2100, 9998] {
            for month in 1..=12 {
                for day in [1, 28, 29, 30, 31] {
                    let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
                    assert_eq!(read(&text), expected(&text), "{text}");
                }
            }
        }
    }
}
