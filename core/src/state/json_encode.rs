//! From JSON to the bytes of a [`JsonValue`](super::JsonValue), without the value in between: half the work of `set`.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::json::{DEPTH_MAX, JsonValue};
use crate::error::Result;
use crate::format::{Malformed, append};

impl JsonValue {
    /// Appends what [`StateHolder::set`](crate::StateHolder::set) would write for [`JsonValue::from_json`] of a text.
    ///
    /// ```
    /// use eventflux_core::{JsonValue, StateHolder};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut holder = StateHolder::builder("orders").values_of::<JsonValue>(JsonValue::VERSION).build()?;
    /// let mut bytes = Vec::new();
    /// JsonValue::encode_json(r#"{"n": 3, "sum": 12.5}"#, &mut bytes).map_err(|wrong| wrong.to_string())?;
    /// holder.set_encoded(b"eu", &bytes)?;
    /// let value = holder.get::<JsonValue>("eu")?.expect("it was just set");
    /// assert_eq!(value.to_json().map_err(|wrong| wrong.to_string())?, r#"{"n":3,"sum":12.5}"#);
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

/// [`JsonValue`] with a text that is somebody else's: the same bytes.
#[derive(Serialize)]
#[allow(dead_code, reason = "the place of a variant is its number in the bytes")]
enum Borrowed<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// Without its items: they follow.
    List,
    /// Without its members: they follow.
    Object,
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

    fn scalar<E>(self, value: &Borrowed<'_>) -> core::result::Result<(), E> {
        append(self.out, value);
        Ok(())
    }

    /// Puts the number of items in front of them, which is known only now.
    fn insert_count(&mut self, at: usize, count: usize) {
        let mut bytes = Vec::new();
        append(&mut bytes, &(count as u64));
        self.out.splice(at..at, bytes);
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
        self.scalar(&Borrowed::Null)
    }

    fn visit_bool<E>(self, value: bool) -> core::result::Result<(), E> {
        self.scalar(&Borrowed::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> core::result::Result<(), E> {
        self.scalar(&Borrowed::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> core::result::Result<(), E> {
        self.scalar(&i64::try_from(value).map_or(Borrowed::Float(value as f64), Borrowed::Int))
    }

    fn visit_f64<E>(self, value: f64) -> core::result::Result<(), E> {
        self.scalar(&Borrowed::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> core::result::Result<(), E> {
        self.scalar(&Borrowed::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> core::result::Result<(), A::Error> {
        append(self.out, &Borrowed::List);
        let (at, mut count) = (self.out.len(), 0);
        while items.next_element_seed(self.below()?)?.is_some() {
            count += 1;
        }
        self.insert_count(at, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> core::result::Result<(), A::Error> {
        append(self.out, &Borrowed::Object);
        let (at, mut count) = (self.out.len(), 0);
        while let Some(Name(name)) = members.next_key()? {
            append(self.out, name.as_ref());
            members.next_value_seed(self.below()?)?;
            count += 1;
        }
        self.insert_count(at, count);
        Ok(())
    }
}

/// A text, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Pairs of a key and a value, handed out until one is refused.
struct Entries<F>(F);

impl<'de, F: FnMut(&str, &[u8]) -> bool> Visitor<'de> for Entries<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pairs, each a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut pairs: A) -> core::result::Result<(), A::Error> {
        let mut bytes = Vec::new();
        while let Some(key) = pairs.next_element_seed(Pair(&mut bytes))? {
            if !(self.0)(&key, &bytes) {
                return Err(A::Error::custom("refused"));
            }
            bytes.clear();
        }
        Ok(())
    }
}

/// A key, and its value's bytes.
struct Pair<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> core::result::Result<Self::Value, A::Error> {
        let Name(key) = parts.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &"a key and a value"))?;
        let value = parts.next_element_seed(Encode { out: self.0, depth: DEPTH_MAX })?;
        value.ok_or_else(|| A::Error::invalid_length(1, &"a key and a value"))?;
        Ok(key)
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

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "{", "1 2", "nul", &"[".repeat(100_000)] {
            assert!(JsonValue::encode_json(text, &mut Vec::new()).is_err(), "{}", &text[..text.len().min(20)]);
        }
        for depth in [DEPTH_MAX, DEPTH_MAX + 2] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            let encoded = JsonValue::encode_json(&text, &mut Vec::new()).is_ok();
            assert_eq!(encoded, JsonValue::from_json(&text).is_ok(), "{depth}");
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
