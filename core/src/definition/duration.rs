//! Durations as text: `90s`, `1h30m`.

use alloc::format;
use alloc::string::String;

use super::hint::shown;
use crate::limits::DURATION_MS_MAX;

/// Units, longest first, with their milliseconds.
const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Milliseconds of a text such as `1h30m`: whole numbers, each with a unit, longer units first.
/// The error says what is wrong.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let bad = |what: &str| {
        let text = shown(text);
        format!("`{text}` is not a duration: {what}; examples: \"250ms\", \"30s\", \"15m\", \"1h30m\", \"7d\"")
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad("it is empty"));
    }
    let mut total_ms = 0_i64;
    let mut shorter_than_ms = i64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(bad("a whole number is missing"));
        }
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let Some((_, unit_ms)) = UNITS.iter().find(|(known, _)| *known == unit) else {
            return Err(bad(match unit {
                "" if after.starts_with(['.', ',']) => "numbers must be whole",
                "" => "a unit is missing (ms, s, m, h, d)",
                _ => "the units are ms, s, m, h, d",
            }));
        };
        if *unit_ms >= shorter_than_ms {
            return Err(bad("longer units come first, each once"));
        }
        shorter_than_ms = *unit_ms;
        let part_ms = number.parse::<i64>().ok().and_then(|number| number.checked_mul(*unit_ms));
        total_ms = part_ms
            .and_then(|part_ms| total_ms.checked_add(part_ms))
            .filter(|total_ms| *total_ms <= DURATION_MS_MAX)
            .ok_or_else(|| bad(&format!("it is longer than {} days", DURATION_MS_MAX / 86_400_000)))?;
        rest = after.trim_start();
    }
    Ok(total_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            (" 1d 2h ", 93_600_000),
            ("0s", 0),
            ("1d2h3m4s5ms", 93_784_005),
            ("8640000000000000ms", DURATION_MS_MAX),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn bad_durations_show_examples() {
        for (text, what) in [
            ("", "it is empty"),
            ("10", "a unit is missing (ms, s, m, h, d)"),
            ("h", "a whole number is missing"),
            ("-1h", "a whole number is missing"),
            ("1.5h", "numbers must be whole"),
            ("1 h", "a unit is missing (ms, s, m, h, d)"),
            ("2 weeks", "a unit is missing (ms, s, m, h, d)"),
            ("2weeks", "the units are ms, s, m, h, d"),
            ("1H", "the units are ms, s, m, h, d"),
            ("30m1h", "longer units come first, each once"),
            ("1h1h", "longer units come first, each once"),
            ("100000001d", "it is longer than 100000000 days"),
            ("99999999999999999999s", "it is longer than 100000000 days"),
            ("1é", "a unit is missing (ms, s, m, h, d)"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(
                error,
                format!("`{text}` is not a duration: {what}; examples: \"250ms\", \"30s\", \"15m\", \"1h30m\", \"7d\"")
            );
        }
    }
}
