//! What an answer of a store means, and what to do about it.
//!
//! Only the code and the message of an answer are told, and of a connection the innermost cause:
//! the rest may hold addresses, signatures and tokens.

use std::error::Error as StdError;

use eventflux_core::Error as CoreError;
use object_store::Error as StoreError;
use object_store::client::HttpError;

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is no such object.
    Missing,
    /// The condition of a put does not hold, or something else is under way with the object. For
    /// what has no condition, that passes.
    Refused,
    /// It may work in a moment; whether it took effect is not known.
    Transient,
    /// The store cannot do this.
    Unsupported,
    /// It will fail again; it took no effect.
    Final,
}

/// Codes of answers that are no refusal, whatever their status.
const TRANSIENT_CODES: [&str; 5] =
    ["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "ThrottlingException"];

/// What to do, by code.
const ADVICE: [(&str, &str); 12] = [
    ("NoSuchBucket", "make the bucket, or correct its name in the address"),
    ("AccessDenied", "allow these credentials s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there"),
    ("AllAccessDisabled", "allow these credentials to use the bucket"),
    ("InvalidAccessKeyId", "the store does not know AWS_ACCESS_KEY_ID; correct it, or the endpoint"),
    ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID; correct it"),
    ("InvalidToken", "AWS_SESSION_TOKEN does not belong to the other credentials; renew all of them"),
    ("ExpiredToken", "AWS_SESSION_TOKEN has expired; renew the credentials and start again"),
    ("RequestTimeTooSkewed", "the clock of this machine is wrong; set it"),
    ("AuthorizationHeaderMalformed", "most likely the region is wrong; set region=… in the address or AWS_REGION"),
    ("PermanentRedirect", "the bucket is in another region; set region=… in the address or AWS_REGION"),
    ("QuotaExceeded", "free space and run again, the last checkpoint is whole"),
    ("XMinioStorageFull", "free space and run again, the last checkpoint is whole"),
];

/// Where credentials of the machine are asked for, if the environment has none; and again whenever they expire.
const METADATA_SERVICE: &str = "169.254.169.254";
const NO_CONDITIONAL_PUT: &str = "this store has no conditional put, fencing cannot work: two writers could both \
                                  publish; use a store that has it";
const NO_CREDENTIALS: &str = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or \
                              run where the cloud gives them to the machine";
const NO_CREDENTIALS_ANY_MORE: &str = "the cloud gives this machine no credentials any more (169.254.169.254); it was \
                                       tried several times; see whether the machine still has its role, then run again";
const NO_CONNECTION: &str = "no connection to the store";
const REDIRECTED: &str = "the store points elsewhere; correct region=… or endpoint=… in the address";

/// What follows from an error of the store. `has_worked`: whether this client has had an answer already.
pub(super) fn meaning(error: &StoreError, has_worked: bool) -> Meaning {
    let text = error.to_string();
    match error {
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => return Meaning::Unsupported,
        // A missing bucket is no missing object: nothing can be there before somebody makes it.
        _ if code(&text) == Some("NoSuchBucket") => return Meaning::Final,
        StoreError::NotFound { .. } => return Meaning::Missing,
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotModified { .. } => {
            return Meaning::Refused;
        }
        _ => {}
    }
    let is_transient_code = code(&text).is_some_and(|code| TRANSIENT_CODES.contains(&code));
    match status(&text) {
        // Outside a cloud nobody answers there, however often. Who once had credentials is in one.
        _ if text.contains(METADATA_SERVICE) && has_worked => Meaning::Transient,
        _ if text.contains(METADATA_SERVICE) => Meaning::Final,
        _ if is_transient_code || is_of_transport(error) => Meaning::Transient,
        // Of a list, for one, the crate tells the status alone.
        Some(409 | 412) => Meaning::Refused,
        Some(501) => Meaning::Unsupported,
        Some(408 | 429 | 500..=599) => Meaning::Transient,
        _ => Meaning::Final,
    }
}

/// An error of the core, which says what to do.
pub(super) fn storage_error_saying(operation: &'static str, object: &str, reason: impl Into<String>) -> CoreError {
    CoreError::Storage { operation, object: object.into(), reason: reason.into() }
}

/// Why a conditional put cannot be had.
pub(super) fn no_conditional_put(object: &str, how_it_shows: &str) -> CoreError {
    storage_error_saying("head", object, format!("{how_it_shows}: {NO_CONDITIONAL_PUT}"))
}

/// What went wrong and what to do, without anything secret.
pub(super) fn reason(error: &StoreError, has_worked: bool) -> String {
    let text = error.to_string();
    if text.contains(METADATA_SERVICE) {
        return if has_worked { NO_CREDENTIALS_ANY_MORE } else { NO_CREDENTIALS }.into();
    }
    if let Some(code) = code(&text) {
        let advice = ADVICE.iter().find(|(known, _)| *known == code).map(|(_, advice)| *advice);
        let message = between(&text, "<Message>", "</Message>").unwrap_or_default();
        let stop = if message.is_empty() { "" } else { ": " };
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        return format!("{code}{stop}{}{advice}", message.trim_end_matches('.'));
    }
    if is_of_transport(error) {
        return format!("{NO_CONNECTION}: {}; it was tried several times", innermost(error));
    }
    match (error, status(&text)) {
        (StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }, _) => text,
        (_, Some(403)) => format!("access denied; {}", ADVICE[1].1),
        (_, Some(401)) => String::from("the store does not accept these credentials; correct them"),
        (_, Some(300..=399)) => REDIRECTED.into(),
        (_, Some(status)) => format!("the store answered with status {status}"),
        (_, None) if text.contains("LOCATION") => REDIRECTED.into(),
        (_, None) => innermost(error),
    }
}

/// The code in the body of an S3 answer.
fn code(text: &str) -> Option<&str> {
    between(text, "<Code>", "</Code>")
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let from = text.find(before)? + before.len();
    let len = text[from..].find(after)?;
    Some(&text[from..from + len])
}

/// The status of an answer, which the crate tells as text only.
fn status(text: &str) -> Option<u16> {
    const BEFORE: &str = "status code: ";
    let from = text.find(BEFORE)? + BEFORE.len();
    text.get(from..from + 3)?.parse().ok()
}

/// Whether there was no answer, or half of one.
fn is_of_transport(error: &StoreError) -> bool {
    causes(error).any(|cause| cause.is::<HttpError>())
}

/// The innermost cause, without the body of an answer.
fn innermost(error: &StoreError) -> String {
    let text = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    text.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']).into()
}

/// What an error comes from, outermost first.
fn causes(error: &StoreError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as the crate makes it of an answer.
    fn answer(status: &str, body: &str) -> StoreError {
        let url = "http://127.0.0.1:9/bucket/head";
        let text = format!("Error performing PUT {url} in 1ms - Server returned non-2xx status code: {status}: {body}");
        StoreError::Generic { store: "S3", source: text.into() }
    }

    fn body(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>It is so.</Message><AWSAccessKeyId>AKIAhunter2\
             </AWSAccessKeyId><CanonicalRequest>x-amz-security-token:hunter2</CanonicalRequest></Error>"
        )
    }

    #[test]
    fn what_follows() {
        for (status, code, expected) in [
            ("503 Service Unavailable", "SlowDown", Meaning::Transient),
            ("500 Internal Server Error", "InternalError", Meaning::Transient),
            ("400 Bad Request", "RequestTimeout", Meaning::Transient),
            ("429 Too Many Requests", "TooMany", Meaning::Transient),
            ("501 Not Implemented", "NotImplemented", Meaning::Unsupported),
            ("409 Conflict", "OperationAborted", Meaning::Refused),
            ("400 Bad Request", "InvalidArgument", Meaning::Final),
            ("404 Not Found", "NoSuchBucket", Meaning::Final),
            ("403 Forbidden", "AccessDenied", Meaning::Final),
            ("416 Range Not Satisfiable", "InvalidRange", Meaning::Final),
        ] {
            assert_eq!(meaning(&answer(status, &body(code)), false), expected, "{status}");
        }
        let source = || "of it".into();
        let path = || String::from("head");
        assert_eq!(meaning(&StoreError::NotFound { path: path(), source: source() }, false), Meaning::Missing);
        assert_eq!(meaning(&StoreError::Precondition { path: path(), source: source() }, false), Meaning::Refused);
        assert_eq!(meaning(&StoreError::AlreadyExists { path: path(), source: source() }, false), Meaning::Refused);
        let missing_bucket = StoreError::NotFound { path: path(), source: body("NoSuchBucket").into() };
        assert_eq!(meaning(&missing_bucket, false), Meaning::Final);
    }

    #[test]
    fn credentials_that_are_late_are_waited_for_where_there_once_were_some() {
        let text = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - Server returned non-2xx status \
                    code: 503: ";
        let error = StoreError::Generic { store: "S3", source: text.into() };
        assert_eq!((meaning(&error, false), meaning(&error, true)), (Meaning::Final, Meaning::Transient));
        assert!(reason(&error, false).contains("set AWS_ACCESS_KEY_ID"), "{}", reason(&error, false));
        assert!(reason(&error, true).contains("still has its role"), "{}", reason(&error, true));
    }

    #[test]
    fn what_to_do_is_said_and_no_secret() {
        for (code, advice) in ADVICE {
            let said = reason(&answer("403 Forbidden", &body(code)), false);
            assert!(said.starts_with(&format!("{code}: It is so; ")) && said.ends_with(advice), "{said}");
            assert!(!said.contains("hunter2") && !said.contains("127.0.0.1"), "{said}");
        }
        let said = reason(&answer("403 Forbidden", ""), false);
        assert!(said.contains("access denied") && said.contains("s3:PutObject"), "{said}");
        assert_eq!(
            reason(&answer("502 Bad Gateway", "<html>hunter2</html>"), false),
            "the store answered with status 502"
        );
    }
}
