//! JSON of values, appended to a line. The same text as `serde_json` writes, by the same crates for
//! numbers; without the standard library `serde_json` only writes to strings of its own.

use alloc::vec::Vec;

use crate::value::{Value, canonical};

/// Appends a value; NaN and the infinities, which JSON lacks, become null.
pub(super) fn append_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(int) => append_int(out, *int),
        Value::Float(float) if float.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(canonical(*float)).as_bytes());
        }
        Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Str(text) => append_str(out, text.as_str()),
    }
}

pub(super) fn append_int(out: &mut Vec<u8>, int: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
}

/// Appends a string with its quotes.
pub(super) fn append_str(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A string always has a JSON.
        out.extend_from_slice(serde_json::to_string(text).unwrap_or_default().as_bytes());
    }
}
