//! Values like those of JSON as plain values: what JavaScript writes, and any program reads.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, SeqAccess, VariantAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::format::Malformed;

/// Nested deeper than this is refused: no value overflows a stack.
pub(super) const DEPTH_MAX: usize = 100;

/// A value like those of JSON, or bytes, of no type that is known beforehand.
///
/// The plain values of a holder that JavaScript has opened are of this type; declare them as such to
/// read them elsewhere:
///
/// ```
/// use eventflux_core::{JsonValue, StateHolder};
/// # fn main() -> eventflux_core::Result<()> {
/// let mut orders = StateHolder::builder("orders").values_of::<JsonValue>(JsonValue::VERSION).build()?;
/// let value = JsonValue::from_json(r#"{"n": 3, "sum": 12.5, "tags": ["new", null]}"#).expect("it is JSON");
/// orders.set("total/eu", &value)?;
/// let value = orders.get::<JsonValue>("total/eu")?.expect("it was set");
/// assert_eq!(value.to_json().as_deref(), Ok(r#"{"n":3,"sum":12.5,"tags":["new",null]}"#));
/// # Ok(())
/// # }
/// ```
///
/// Integers from -2^63 to 2^63 - 1 are [`JsonValue::Int`], other numbers, and `-0`, [`JsonValue::Float`]. Members of
/// objects stay in their order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum JsonValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<JsonValue>),
    /// An object: its members in their order.
    Object(Vec<(String, JsonValue)>),
    /// Bytes, which JSON has not.
    Bytes(Vec<u8>),
}

impl JsonValue {
    /// Version of the schema, for [`values_of`](crate::StateHolderBuilder::values_of).
    pub const VERSION: u32 = 1;

    /// What [`values_of`](crate::StateHolderBuilder::values_of) finds out, for
    /// [`values_schema`](crate::StateHolderBuilder::values_schema): a program that has no other type of values need not
    /// carry along what finds it out.
    pub const SCHEMA: &str = concat!(
        r#"{"postcard":{"type":0},"types":{"0":{"enum":{"Null":{},"Bool":"bool","Int":"i64","Float":"f64","Text":"text","#,
        r#""List":{"list":{"type":0}},"Object":{"list":{"tuple":["text",{"type":0}]}},"Bytes":{"list":"u8"}}}}}"#
    );

    /// Reads a JSON text.
    ///
    /// # Errors
    /// What is wrong with it, and where; values nested deeper than 100.
    pub fn from_json(text: &str) -> Result<Self, Malformed> {
        let mut bytes = Vec::new();
        JsonValue::encode_json(text, &mut bytes)?;
        Ok(postcard::from_bytes(&bytes)?)
    }

    /// Writes it as a JSON text. Bytes become an array of numbers; NaN and infinite numbers `null`.
    ///
    /// # Errors
    /// Values nested deeper than 100, which were not read from JSON.
    pub fn to_json(&self) -> Result<String, Malformed> {
        serde_json::to_string(&ToJson { value: self, depth: DEPTH_MAX })
            .map_err(|error| Malformed::new(error.to_string()))
    }
}

/// By hand, since bytes that nest without end must not overflow the stack.
impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Nested { depth: DEPTH_MAX }.deserialize(reader)
    }
}

/// A value that may nest so deep.
#[derive(Clone, Copy)]
struct Nested {
    depth: usize,
}

#[derive(Deserialize)]
#[serde(variant_identifier)]
enum Variant {
    Null,
    Bool,
    Int,
    Float,
    Text,
    List,
    Object,
    Bytes,
}

const VARIANTS: &[&str] = &["Null", "Bool", "Int", "Float", "Text", "List", "Object", "Bytes"];

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = JsonValue;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<JsonValue, D::Error> {
        reader.deserialize_enum("JsonValue", VARIANTS, self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = JsonValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variants: A) -> Result<JsonValue, A::Error> {
        let (variant, content) = variants.variant::<Variant>()?;
        let below = || self.depth.checked_sub(1).ok_or_else(|| A::Error::custom("nested too deep"));
        match variant {
            Variant::Null => content.unit_variant().map(|()| JsonValue::Null),
            Variant::Bool => content.newtype_variant().map(JsonValue::Bool),
            Variant::Int => content.newtype_variant().map(JsonValue::Int),
            Variant::Float => content.newtype_variant().map(JsonValue::Float),
            Variant::Text => content.newtype_variant().map(JsonValue::Text),
            Variant::List => content.newtype_variant_seed(List(Nested { depth: below()? })).map(JsonValue::List),
            Variant::Object => {
                content.newtype_variant_seed(List(Member(Nested { depth: below()? }))).map(JsonValue::Object)
            }
            Variant::Bytes => content.newtype_variant().map(JsonValue::Bytes),
        }
    }
}

/// Items of one sort.
struct List<S>(S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.0)? {
            list.push(item);
        }
        Ok(list)
    }
}

/// A member of an object: its name and its value.
#[derive(Clone, Copy)]
struct Member(Nested);

impl<'de> DeserializeSeed<'de> for Member {
    type Value = (String, JsonValue);

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_tuple(2, self)
    }
}

impl<'de> Visitor<'de> for Member {
    type Value = (String, JsonValue);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let name = parts.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let value = parts.next_element_seed(self.0)?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        Ok((name, value))
    }
}

struct ToJson<'a> {
    value: &'a JsonValue,
    depth: usize,
}

impl<'a> ToJson<'a> {
    fn below<E: serde::ser::Error>(&self, value: &'a JsonValue) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(ToJson { value, depth })
    }
}

impl Serialize for ToJson<'_> {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            JsonValue::Null => writer.serialize_unit(),
            JsonValue::Bool(bool) => writer.serialize_bool(*bool),
            JsonValue::Int(int) => writer.serialize_i64(*int),
            JsonValue::Float(float) if float.is_finite() => writer.serialize_f64(*float),
            JsonValue::Float(_) => writer.serialize_unit(),
            JsonValue::Text(text) => writer.serialize_str(text),
            JsonValue::Bytes(bytes) => writer.collect_seq(bytes),
            JsonValue::List(list) => {
                // The sequence has no way to fail before its first item.
                let items: Result<Vec<_>, S::Error> = list.iter().map(|item| self.below(item)).collect();
                writer.collect_seq(items?)
            }
            JsonValue::Object(object) => {
                let mut members = writer.serialize_map(Some(object.len()))?;
                for (name, value) in object {
                    members.serialize_entry(name, &self.below::<S::Error>(value)?)?;
                }
                members.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use alloc::vec;

    #[test]
    fn the_schema_is_what_is_found_out() {
        assert_eq!(Schema::describe::<JsonValue>().as_deref(), Ok(JsonValue::SCHEMA));
    }

    #[test]
    fn values_come_back_in_their_order() {
        let text = r#"{"b":[1,-2.5,true,null,"x"],"a":{},"c":9223372036854775807}"#;
        assert_eq!(JsonValue::from_json(text).unwrap().to_json().unwrap(), text);
        assert_eq!(JsonValue::from_json("18446744073709551615").unwrap(), JsonValue::Float(18446744073709551615.0));
        let odd = JsonValue::List(vec![JsonValue::Float(f64::NAN), JsonValue::Bytes(vec![0, 255])]);
        assert_eq!(odd.to_json().unwrap(), "[null,[0,255]]");
    }

    #[test]
    fn values_of_every_kind_come_back_from_bytes() {
        let text = r#"[null,true,-3,0.5,"x",[],[1],{},{"a":{"b":[null]}}]"#;
        let JsonValue::List(mut list) = JsonValue::from_json(text).unwrap() else { panic!("it is a list") };
        list.push(JsonValue::Bytes(vec![1, 2]));
        let value = JsonValue::List(list);
        let bytes = postcard::to_allocvec(&value).unwrap();
        assert_eq!(postcard::from_bytes::<JsonValue>(&bytes).unwrap(), value);
    }

    #[test]
    fn they_describe_themselves() {
        let mut holder = crate::StateHolder::builder("h").values_of::<JsonValue>(JsonValue::VERSION).build().unwrap();
        holder.set("k", &JsonValue::from_json(r#"{"b":[1,null],"a":"x"}"#).unwrap()).unwrap();
        holder.set("l", &JsonValue::Bytes(vec![255, 0])).unwrap();
        let rows: Vec<String> = crate::contents(&holder).unwrap()[0]
            .rows
            .iter()
            .map(|(key, value)| alloc::format!("{key}: {value}"))
            .collect();
        assert!(rows.contains(&r#""k": {"a":"x","b":[1,null]}"#.into()), "{rows:?}");
        assert!(rows.contains(&r#""l": {"hex":"ff00"}"#.into()), "{rows:?}");
    }

    #[test]
    fn what_json_would_not_tell_apart_is_shown_by_the_schema() {
        let shown = |bytes: &[u8]| {
            let builder = crate::StateHolder::builder("h").values_of::<JsonValue>(JsonValue::VERSION);
            let mut holder = builder.build().unwrap();
            holder.set_encoded(b"k", bytes).unwrap();
            crate::contents(&holder).unwrap()[0].rows[0].1.to_string()
        };
        assert_eq!(shown(&[0]), "null");
        let note = "does not fit the schema: 1 bytes are left over";
        assert_eq!(shown(&[0, 7]), alloc::format!(r#"{{"hex":"0007","note":"{note}"}}"#));
        // An object has a name once, a list of pairs as often as it was written.
        let object = |names: [&str; 2]| {
            let members = names.into_iter().zip(1..).map(|(name, number)| (name.into(), JsonValue::Int(number)));
            postcard::to_allocvec(&JsonValue::List(vec![JsonValue::Object(members.collect())])).unwrap()
        };
        assert_eq!(shown(&object(["a", "b"])), r#"[{"a":1,"b":2}]"#);
        assert_eq!(shown(&object(["a", "a"])), r#"{"List":[{"Object":[["a",{"Int":1}],["a",{"Int":2}]]}]}"#);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "{", "1 2", "nul", &"[".repeat(100_000)] {
            assert!(JsonValue::from_json(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(JsonValue::from_json(&deep(DEPTH_MAX)).is_ok());
        assert!(JsonValue::from_json(&deep(DEPTH_MAX + 2)).is_err());
        let nested = (0..200).fold(JsonValue::Null, |inner, _| JsonValue::List(vec![inner]));
        assert!(nested.to_json().is_err());
        let bytes = postcard::to_allocvec(&nested).unwrap();
        assert!(postcard::from_bytes::<JsonValue>(&bytes).is_err());
        assert!(postcard::from_bytes::<JsonValue>(&[5, 1].repeat(1 << 20)).is_err());
    }
}
