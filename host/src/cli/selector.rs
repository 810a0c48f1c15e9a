//! Checkpoints as a person names them: a number, a label, a time, `latest`.

use eventflux_core::{Error, Head, ObjectId, Selector};

use crate::StartFrom;
use crate::clock::{parse_time, to_rfc3339};

/// Reads a selector: `latest`, digits for a number, `@MILLISECONDS` or RFC 3339 for a time, else a
/// label.
pub(super) fn parse(text: &str) -> Result<Selector, String> {
    if text == "latest" {
        return Ok(Selector::Latest);
    }
    if text.is_empty() {
        return Err(String::from("it is empty; give a number, a label, a time or `latest`"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Selector::Id).map_err(|_| String::from("too large for the number of a checkpoint"));
    }
    if let Some(millis) = text.strip_prefix('@') {
        let time = millis.parse().map_err(|_| String::from("after @ goes a time in milliseconds since 1970"))?;
        return Ok(Selector::Time(time));
    }
    // `parse_time` also takes plain digits, which may carry a sign.
    if parse_time(&format!("{text}Z")).is_some() && parse_time(text).is_none() {
        return Err(format!("a time ends in Z or in an offset, such as `{text}Z`"));
    }
    let time = if text.parse::<i64>().is_ok() { None } else { parse_time(text) };
    Ok(time.map_or_else(|| Selector::Label(text.into()), Selector::Time))
}

/// As [`parse`], with `none` for the start of the source.
pub(super) fn parse_start(text: &str) -> Result<StartFrom, String> {
    match text {
        "none" => Ok(StartFrom::Start),
        _ => parse(text).map(StartFrom::Checkpoint),
    }
}

/// Whether `--from` would take a label for something else.
pub(super) fn is_ambiguous(label: &str) -> bool {
    label == "none" || label.starts_with('@') || !matches!(parse(label), Ok(Selector::Label(_)))
}

/// Finds a checkpoint.
pub(super) fn find(selector: &Selector, head: &Head) -> Result<ObjectId, Error> {
    selector.find(head).map_err(|error| match (error, selector) {
        (Error::NoSuchCheckpoint { .. }, Selector::Time(time)) => no_time(*time, head),
        (error, _) => error,
    })
}

/// No checkpoint is that old: with times as people read them.
pub(super) fn no_time(time: i64, head: &Head) -> Error {
    Error::NoSuchCheckpoint {
        selector: format!("at or before {}", to_rfc3339(time)),
        available: head.entries.iter().map(|entry| entry.created_ms).min().map_or_else(
            || String::from("the storage holds none"),
            |oldest| format!("the oldest is of {}", to_rfc3339(oldest)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read() {
        assert_eq!(parse("latest"), Ok(Selector::Latest));
        assert_eq!(parse("007"), Ok(Selector::Id(7)));
        assert_eq!(parse("@-5"), Ok(Selector::Time(-5)));
        assert_eq!(parse("2013-01-01T00:00:00.5+01:00"), Ok(Selector::Time(1_356_994_800_500)));
        assert_eq!(parse("-5"), Ok(Selector::Label("-5".into())));
        assert_eq!(parse("before the sale"), Ok(Selector::Label("before the sale".into())));
        assert!(parse("2013-01-01T00:00:00").unwrap_err().ends_with("such as `2013-01-01T00:00:00Z`"));
        assert!(parse("").is_err() && parse("@soon").is_err() && parse("99999999999999999999").is_err());
        assert_eq!(parse_start("none"), Ok(StartFrom::Start));
        assert!(
            ["", "latest", "none", "12", "@x", "2013-01-01T00:00:00Z", "2013-01-01T00:00:00"]
                .into_iter()
                .all(is_ambiguous)
        );
        assert!(!["v1", "2013-01-01"].into_iter().any(is_ambiguous));
    }
}
