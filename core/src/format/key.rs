//! Keys of operators: a tuple of values as bytes that sort like the tuple.
//!
//! Each value is a tag and its bytes: `00` null, `01` false, `02` true, `03` a number, `04` a string.
//! A number is the largest double not above it, as 8 bytes big-endian with the sign turned so that
//! bytes sort like numbers, and a `u16` big-endian of what is left of a whole number. A string is
//! its UTF-8 with `00` written as `00 FF`, closed by `00 00`. Numbers equal in value are one key.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use super::ByteSink;
#[cfg(feature = "alloc")]
use super::{Malformed, hash64};
#[cfg(feature = "alloc")]
use crate::value::Text;
use crate::value::{Value, canonical};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
/// A number with its tag.
const NUMBER_BYTES: usize = 11;
/// 2^63, the first double above every `i64`.
const INT_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Appends one value of a key.
pub(crate) fn append_value(out: &mut impl ByteSink, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(int) => out.extend_from_slice(&int_bytes(*int)),
        Value::Float(float) => out.extend_from_slice(&number_bytes(canonical(*float), 0)),
        Value::Str(text) => {
            out.push(STRING);
            for part in text.as_bytes().split_inclusive(|byte| *byte == 0) {
                out.extend_from_slice(part);
                if part.ends_with(&[0]) {
                    out.push(0xff);
                }
            }
            out.extend_from_slice(&[0, 0]);
        }
    }
}

#[cfg(feature = "alloc")]
/// The values of a key.
pub(crate) fn read_values(key: &[u8]) -> Result<Vec<Value>, Malformed> {
    let mut values = Vec::new();
    for_each_value(key, |value| values.push(value))?;
    Ok(values)
}

#[cfg(feature = "alloc")]
/// Hands over the values of a key, in order.
pub(crate) fn for_each_value(mut key: &[u8], mut each: impl FnMut(Value)) -> Result<(), Malformed> {
    while let Some((&tag, rest)) = key.split_first() {
        key = rest;
        each(match tag {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            NUMBER => {
                let (bytes, rest) =
                    key.split_first_chunk::<10>().ok_or_else(|| Malformed::new("key: number too short"))?;
                key = rest;
                read_number(bytes)
            }
            STRING => {
                let (text, rest) = read_string(key)?;
                key = rest;
                text
            }
            _ => return Err(Malformed::new("key: unknown kind of value")),
        });
    }
    Ok(())
}

#[cfg(feature = "alloc")]
/// A hash under which values that are equal are equal; not part of the format.
pub(crate) fn hash_value(value: &Value) -> u64 {
    match value {
        Value::Null => hash64(&[NULL]),
        Value::Bool(bool) => hash64(&[if *bool { TRUE } else { FALSE }]),
        Value::Int(int) => hash64(&int_bytes(*int)),
        Value::Float(float) => hash64(&number_bytes(canonical(*float), 0)),
        Value::Str(text) => hash64(text.as_bytes()),
    }
}

fn int_bytes(int: i64) -> [u8; NUMBER_BYTES] {
    let nearest = int as f64;
    let below = if nearest >= INT_LIMIT || nearest as i64 > int { nearest.next_down() } else { nearest };
    number_bytes(below, int.wrapping_sub(below as i64) as u16)
}

fn number_bytes(float: f64, rest: u16) -> [u8; NUMBER_BYTES] {
    let bits = float.to_bits();
    let sortable = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    let [a, b, c, d, e, f, g, h] = sortable.to_be_bytes();
    let [i, j] = rest.to_be_bytes();
    [NUMBER, a, b, c, d, e, f, g, h, i, j]
}

#[cfg(feature = "alloc")]
fn read_number(bytes: &[u8; 10]) -> Value {
    let [a, b, c, d, e, f, g, h, i, j] = *bytes;
    let sortable = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let bits = if sortable >> 63 == 1 { sortable & !(1 << 63) } else { !sortable };
    let float = f64::from_bits(bits);
    let whole = float as i64;
    if (-INT_LIMIT..INT_LIMIT).contains(&float) && whole as f64 == float {
        Value::Int(whole.wrapping_add(i64::from(u16::from_be_bytes([i, j]))))
    } else {
        Value::Float(float)
    }
}

#[cfg(feature = "alloc")]
fn read_string(key: &[u8]) -> Result<(Value, &[u8]), Malformed> {
    let unclosed = || Malformed::new("key: string without its end");
    let mut end = key.iter().position(|byte| *byte == 0).ok_or_else(unclosed)?;
    if key.get(end + 1) == Some(&0) {
        return Ok((to_text(&key[..end])?, &key[end + 2..]));
    }
    let mut bytes = Vec::from(&key[..end]);
    loop {
        match key.get(end + 1) {
            Some(0) => return Ok((to_text(&bytes)?, &key[end + 2..])),
            Some(0xff) => bytes.push(0),
            _ => return Err(unclosed()),
        }
        let rest = &key[end + 2..];
        let more = rest.iter().position(|byte| *byte == 0).ok_or_else(unclosed)?;
        bytes.extend_from_slice(&rest[..more]);
        end += 2 + more;
    }
}

#[cfg(feature = "alloc")]
fn to_text(bytes: &[u8]) -> Result<Value, Malformed> {
    let text = core::str::from_utf8(bytes).map_err(|_| Malformed::new("key: string is not UTF-8"))?;
    Ok(Value::Str(Text::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn bytes(values: &[Value]) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|value| append_value(&mut out, value));
        out
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            (i64::MAX - 2000..=i64::MAX).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-3_i64..3).prop_map(|int| Value::from(int as f64 / 2.0)),
            any::<String>().prop_map(|text| Value::from(text.as_str())),
            "[\0a]{0,3}".prop_map(|text| Value::from(text.as_str())),
        ]
    }

    proptest! {
        #[test]
        fn bytes_sort_like_values(a in prop::collection::vec(any_value(), 0..3), b in prop::collection::vec(any_value(), 0..3)) {
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
        }

        #[test]
        fn keys_read_back(values in prop::collection::vec(any_value(), 0..4)) {
            prop_assert_eq!(read_values(&bytes(&values)).unwrap(), values);
        }

        #[test]
        fn any_bytes_are_an_error_at_most(key in prop::collection::vec(0_u8..6, 0..20)) {
            let _ = read_values(&key);
        }
    }
}
