//! The definition before it has a meaning: what TOML and JSON have in common.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The only key of the map as which the `toml` crate presents a date or time.
const TOML_DATETIME_KEY: &str = "$__toml_private_datetime";

/// Any TOML or JSON text, through serde. Tables keep their order; a key given twice is an error, and so is a whole
/// number beyond 64 bits with a sign. Dates and times of TOML become text.
///
/// ```
/// use eventflux_core::definition::Document;
/// let document: Document = serde_json::from_str(r#"{ "length": 100 }"#)?;
/// assert_eq!(document, Document::Table(vec![("length".into(), Document::Int(100))]));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// JSON's null; TOML has none.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a decimal point or exponent.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Document>),
    /// Keys and what they stand for, in the order written.
    Table(Vec<(String, Document)>),
}

impl Document {
    /// What this is, for an error message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Document::Null => "null",
            Document::Bool(_) => "a boolean",
            Document::Int(_) => "a number",
            Document::Float(_) => "a number with a decimal point",
            Document::Text(_) => "a text",
            Document::List(_) => "a list",
            Document::Table(_) => "a table",
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, a list, a text, a number or a boolean")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        Document::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, bool: bool) -> Result<Document, E> {
        Ok(Document::Bool(bool))
    }

    fn visit_i64<E: de::Error>(self, int: i64) -> Result<Document, E> {
        Ok(Document::Int(int))
    }

    fn visit_u64<E: de::Error>(self, int: u64) -> Result<Document, E> {
        i64::try_from(int).map(Document::Int).map_err(|_| too_large(int))
    }

    fn visit_i128<E: de::Error>(self, int: i128) -> Result<Document, E> {
        i64::try_from(int).map(Document::Int).map_err(|_| too_large(int))
    }

    fn visit_u128<E: de::Error>(self, int: u128) -> Result<Document, E> {
        i64::try_from(int).map(Document::Int).map_err(|_| too_large(int))
    }

    fn visit_f64<E: de::Error>(self, float: f64) -> Result<Document, E> {
        Ok(Document::Float(float))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Document, E> {
        Ok(Document::Text(text.into()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Document, E> {
        Ok(Document::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Document::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut entries: Vec<(String, Document)> = Vec::new();
        let mut keys = BTreeSet::new();
        while let Some(key) = access.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(de::Error::custom(format!("the key `{}` is given twice", super::hint::shown(&key))));
            }
            entries.push((key, access.next_value()?));
        }
        match entries.as_mut_slice() {
            [(key, datetime @ Document::Text(_))] if key == TOML_DATETIME_KEY => {
                Ok(core::mem::replace(datetime, Document::Null))
            }
            _ => Ok(Document::Table(entries)),
        }
    }
}

fn too_large<E: de::Error>(int: impl fmt::Display) -> E {
    E::custom(format!("the number {int} is too large; whole numbers go from {} to {}", i64::MIN, i64::MAX))
}

/// Path of a key: `window.tumbling`. A key that TOML would want in quotes has them.
pub(super) fn key_path(path: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let dot = if path.is_empty() { "" } else { "." };
    if !key.is_empty() && key.bytes().all(bare) {
        format!("{path}{dot}{key}")
    } else {
        format!("{path}{dot}{}", serde_json::Value::from(key))
    }
}

/// Path of an item of a list: `operator[1]`.
pub(super) fn item_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
