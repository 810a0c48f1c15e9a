//! From JSON to the bytes of a [`JsonValue`](super::JsonValue), without the value in between: half the work of `set`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::json::{DEPTH_MAX, JsonValue};
use crate::error::Result;
use crate::format::{Malformed, append_varint};

impl JsonValue {
    /// Appends what [`StateHolder::set`](crate::StateHolder::set) would write for [`JsonValue::from_json`] of a text.
    ///
    /// ```
    /// use eventflux_core::{JsonValue, StateHolder};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut holder = StateHolder::builder("orders").values_of::<JsonValue>(JsonValue::VERSION).build()?;
    /// let mut bytes = Vec::new();
    /// JsonValue::encode_json(r#"{"n": 3, "sum": 12.5}"#, &mut bytes)?;
    /// holder.set_encoded(b"eu", &bytes)?;
    /// let value = holder.get::<JsonValue>("eu")?.expect("it was just set");
    /// assert_eq!(value.to_json()?, r#"{"n":3,"sum":12.5}"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`JsonValue::from_json`]; then a part of it may have been appended.
    pub fn encode_json(text: &str, out: &mut Vec<u8>) -> core::result::Result<(), Malformed> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let encoded = Encode { out, depth: DEPTH_MAX }.deserialize(&mut reader);
        encoded.and_then(|()| reader.end()).map_err(|error| Malformed::new(error.to_string()))
    }

    /// Appends what [`StateHolder::set`](crate::StateHolder::set) would write for [`JsonValue::Bytes`].
    pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
        out.push(BYTES);
        append_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    /// As [`JsonValue::encode_json`] for many: an array of pairs, each a key and a value. `write` takes each as it comes,
    /// up to one that is wrong.
    ///
    /// # Errors
    /// What `write` fails with; what is wrong with the text.
    pub fn encode_json_entries(
        text: &str,
        mut write: impl FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<core::result::Result<(), Malformed>> {
        let mut failed = None;
        let mut reader = serde_json::Deserializer::from_str(text);
        let entries =
            Entries(|key: &str, value: &[u8]| write(key, value).map_err(|error| failed = Some(error)).is_ok());
        let read = reader.deserialize_seq(entries).and_then(|()| reader.end());
        match failed {
            Some(error) => Err(error),
            None => Ok(read.map_err(|error| Malformed::new(error.to_string()))),
        }
    }
}

// What a value begins with: the numbers of the variants of `JsonValue`. By hand, since this is the hot path of `set`.
const NULL: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const TEXT: u8 = 4;
/// The number of its items, and these, follow.
const LIST: u8 = 5;
/// The number of its members, and these, follow.
const OBJECT: u8 = 6;
const BYTES: u8 = 7;

fn append_text(out: &mut Vec<u8>, text: &str) {
    append_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

struct Encode<'o> {
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl Encode<'_> {
    fn below<E: serde::de::Error>(&mut self) -> core::result::Result<Encode<'_>, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Encode { out: self.out, depth })
    }

    /// Begins a list or an object; where its number of items is.
    fn begin(&mut self, variant: u8) -> usize {
        // Mostly it takes one byte.
        self.out.extend_from_slice(&[variant, 0]);
        self.out.len() - 1
    }

    /// Writes the number of items in front of them, which is known only now.
    fn write_count(&mut self, at: usize, count: u64) {
        if count < 1 << 7 {
            self.out[at] = count as u8;
            return;
        }
        let mut bytes = Vec::new();
        append_varint(&mut bytes, count);
        self.out.splice(at..=at, bytes);
    }
}

impl<'de> DeserializeSeed<'de> for Encode<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Encode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> core::result::Result<(), E> {
        self.out.push(NULL);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> core::result::Result<(), E> {
        self.out.extend_from_slice(&[BOOL, u8::from(value)]);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> core::result::Result<(), E> {
        self.out.push(INT);
        append_varint(self.out, ((value << 1) ^ (value >> 63)) as u64);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> core::result::Result<(), E> {
        match i64::try_from(value) {
            Ok(int) => self.visit_i64(int),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E>(self, value: f64) -> core::result::Result<(), E> {
        self.out.push(FLOAT);
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> core::result::Result<(), E> {
        self.out.push(TEXT);
        append_text(self.out, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> core::result::Result<(), A::Error> {
        let (at, mut count) = (self.begin(LIST), 0);
        while items.next_element_seed(self.below()?)?.is_some() {
            count += 1;
        }
        self.write_count(at, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> core::result::Result<(), A::Error> {
        let (at, mut count) = (self.begin(OBJECT), 0);
        // Also of one without members, as when it is read.
        self.below::<A::Error>()?;
        while members.next_key_seed(NameTo(self.out))?.is_some() {
            members.next_value_seed(self.below()?)?;
            count += 1;
        }
        self.write_count(at, count);
        Ok(())
    }
}

/// Where the name of a member goes.
struct NameTo<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for NameTo<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<(), D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for NameTo<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> core::result::Result<(), E> {
        append_text(self.0, name);
        Ok(())
    }
}

/// Where the key of a pair goes.
struct KeyTo<'o>(&'o mut String);

impl<'de> DeserializeSeed<'de> for KeyTo<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<(), D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyTo<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> core::result::Result<(), E> {
        self.0.clear();
        self.0.push_str(key);
        Ok(())
    }
}

/// Pairs of a key and a value, handed out until one is refused.
struct Entries<F>(F);

impl<'de, F: FnMut(&str, &[u8]) -> bool> Visitor<'de> for Entries<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pairs, each a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut pairs: A) -> core::result::Result<(), A::Error> {
        let (mut key, mut bytes) = (String::new(), Vec::new());
        while pairs.next_element_seed(Pair { key: &mut key, value: &mut bytes })?.is_some() {
            if !(self.0)(&key, &bytes) {
                return Err(A::Error::custom("refused"));
            }
            bytes.clear();
        }
        Ok(())
    }
}

/// A key, and its value's bytes.
struct Pair<'o> {
    key: &'o mut String,
    value: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> core::result::Result<(), A::Error> {
        let missing = |parts: usize| A::Error::invalid_length(parts, &"a key and a value");
        parts.next_element_seed(KeyTo(self.key))?.ok_or_else(|| missing(0))?;
        parts.next_element_seed(Encode { out: self.value, depth: DEPTH_MAX })?.ok_or_else(|| missing(1))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;

    /// Random JSON, small and large.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,200}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 400, 150, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..150).prop_map(Into::into),
                proptest::collection::btree_map(".{0,9}", inner, 0..20)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_value(value in json()) {
            let text = value.to_string();
            let expected = postcard::to_allocvec(&JsonValue::from_json(&text).unwrap()).unwrap();
            let mut encoded = Vec::new();
            JsonValue::encode_json(&text, &mut encoded).unwrap();
            prop_assert_eq!(&encoded, &expected);

            let mut seen = Vec::new();
            let pairs = alloc::format!("[[\"a\\n\",{text}],[\"b\",null]]");
            JsonValue::encode_json_entries(&pairs, |key, bytes| {
                seen.push((String::from(key), bytes.to_vec()));
                Ok(())
            }).unwrap().unwrap();
            prop_assert_eq!(seen, [("a\n".into(), expected), ("b".into(), alloc::vec![0])]);
        }
    }

    proptest! {
        #[test]
        fn numbers_keep_all_their_bits(float in prop_oneof![any::<u64>().prop_map(f64::from_bits), 0.0..1.0, 0.0..1e6]) {
            prop_assume!(float.is_finite());
            let text = serde_json::to_string(&float).unwrap();
            let mut encoded = Vec::new();
            JsonValue::encode_json(&text, &mut encoded).unwrap();
            prop_assert_eq!((encoded[0], &encoded[1..]), (FLOAT, &float.to_le_bytes()[..]), "{}", text);
            let JsonValue::Float(read) = JsonValue::from_json(&text).unwrap() else { panic!("{text} is a float") };
            prop_assert_eq!(read.to_bits(), float.to_bits());
            prop_assert_eq!(JsonValue::Float(read).to_json().unwrap(), text);
        }
    }

    #[test]
    fn bytes_are_those_of_the_value() {
        for length in [0, 3, 300] {
            let value = alloc::vec![0xff; length];
            let mut encoded = Vec::new();
            JsonValue::encode_bytes(&value, &mut encoded);
            assert_eq!(encoded, postcard::to_allocvec(&JsonValue::Bytes(value)).unwrap());
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "{", "1 2", "nul", &"[".repeat(100_000)] {
            assert!(JsonValue::encode_json(text, &mut Vec::new()).is_err(), "{}", &text[..text.len().min(20)]);
        }
        for depth in [DEPTH_MAX, DEPTH_MAX + 2] {
            for inner in ["", "{}", "{\"a\":1}"] {
                let text = "[".repeat(depth) + inner + &"]".repeat(depth);
                let encoded = JsonValue::encode_json(&text, &mut Vec::new()).is_ok();
                assert_eq!(encoded, JsonValue::from_json(&text).is_ok(), "{depth} {inner}");
            }
        }
        let mut written = 0;
        let mut entries = |text: &str| {
            JsonValue::encode_json_entries(text, |_, _| {
                written += 1;
                if written == 3 { Err(Error::CheckpointUnderWay) } else { Ok(()) }
            })
        };
        for text in ["{}", "[1]", "[[1,2]]", "[[\"a\"]]", "[[\"a\",1,2]]", "[[\"a\",1]"] {
            assert!(entries(text).unwrap().is_err(), "{text}");
        }
        assert_eq!(entries(r#"[["a",1],["b",2],["c",3]]"#), Err(Error::CheckpointUnderWay));
    }
}
