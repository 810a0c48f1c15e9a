//! Values as JSON, by their schema.
//!
//! Invariants:
//! - Any bytes and any schema give JSON or an error: no panic, no nesting beyond [`SCHEMA_DEPTH_MAX`], and at most so
//!   many values as the bytes may hold, whatever lengths they claim.
//! - Numbers, texts and lengths are read by the postcard crate, so that what decodes here decodes in the program.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{Scalar, Schema, Type};
use crate::limits::{SCHEMA_DEPTH_MAX, SCHEMA_NAME_BYTES, SCHEMA_VALUES_EXTRA, SCHEMA_VALUES_PER_BYTE};

/// Room made for a list before its items are seen.
const ITEMS_AHEAD: u64 = 1024;

impl Schema {
    /// A value as JSON.
    ///
    /// # Errors
    /// Why the bytes are no such value.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Json, String> {
        let values_left = SCHEMA_VALUES_EXTRA + SCHEMA_VALUES_PER_BYTE * bytes.len() as u64;
        let mut reader = Reader { schema: self, rest: bytes, values_left };
        let json = reader.value(&self.root, 0)?;
        match reader.rest.len() {
            0 => Ok(json),
            left => Err(format!("{left} bytes are left over")),
        }
    }

    /// Whether a map with such keys is an object in JSON: decided by their type, so that it does not
    /// depend on what the map holds.
    fn is_name(&self, key: &Type) -> bool {
        let mut key = key;
        // As many steps as there are types; one that stands for itself is none.
        for _ in 0..=self.types.len() {
            match key {
                Type::Named(number) => key = &self.types[*number],
                Type::Scalar(scalar) => {
                    return !matches!(scalar, Scalar::Unit | Scalar::Bytes | Scalar::F32 | Scalar::F64);
                }
                Type::Enum(variants) => return variants.iter().all(|(_, content)| content.is_none()),
                _ => return false,
            }
        }
        false
    }
}

struct Reader<'a> {
    schema: &'a Schema,
    rest: &'a [u8],
    values_left: u64,
}

impl<'a> Reader<'a> {
    fn value(&mut self, held: &Type, depth: usize) -> Result<Json, String> {
        if depth > SCHEMA_DEPTH_MAX {
            return Err(format!("it is nested deeper than {SCHEMA_DEPTH_MAX}"));
        }
        self.spend(1)?;
        let depth = depth + 1;
        Ok(match held {
            Type::Scalar(scalar) => self.scalar(*scalar)?,
            Type::Named(number) => self.value(&self.schema.types[*number], depth)?,
            Type::Option(inner) => match self.take::<u8>()? {
                0 => Json::Null,
                1 => self.value(inner, depth)?,
                other => return Err(format!("an option is 0 or 1, not {other}")),
            },
            Type::List(inner) => {
                let length = self.length()?;
                self.values(inner, length, depth)?.into()
            }
            Type::Array(inner, length) => self.values(inner, *length, depth)?.into(),
            Type::Tuple(parts) => {
                let mut values = Vec::with_capacity(parts.len());
                for part in parts {
                    values.push(self.value(part, depth)?);
                }
                values.into()
            }
            Type::Map(parts) => self.map(parts, depth)?,
            Type::Struct(fields) => {
                let mut members = Map::new();
                for (name, field) in fields {
                    self.spend(name.len() / SCHEMA_NAME_BYTES)?;
                    members.insert(name.clone(), self.value(field, depth)?);
                }
                members.into()
            }
            Type::Enum(variants) => {
                let number = self.take::<u32>()?;
                let variant = variants.get(number as usize);
                let (name, content) = variant.ok_or_else(|| format!("there is no variant {number}"))?;
                self.spend(name.len() / SCHEMA_NAME_BYTES)?;
                match content {
                    None => Json::from(name.as_str()),
                    Some(content) => {
                        let mut members = Map::new();
                        members.insert(name.clone(), self.value(content, depth)?);
                        members.into()
                    }
                }
            }
        })
    }

    /// So many values come out; a long name, which is copied with each, counts as several.
    fn spend(&mut self, values: usize) -> Result<(), String> {
        let left = self.values_left.checked_sub(values as u64);
        self.values_left = left.ok_or("it holds more values than its bytes can")?;
        Ok(())
    }

    fn values(&mut self, inner: &Type, length: u64, depth: usize) -> Result<Vec<Json>, String> {
        let mut values = Vec::with_capacity(length.min(ITEMS_AHEAD).min(self.rest.len() as u64) as usize);
        for _ in 0..length {
            values.push(self.value(inner, depth)?);
        }
        Ok(values)
    }

    /// An object; a list of pairs, if keys are not names or one comes twice.
    fn map(&mut self, parts: &(Type, Type), depth: usize) -> Result<Json, String> {
        let length = self.length()?;
        let mut pairs = Vec::new();
        for _ in 0..length {
            pairs.push((self.value(&parts.0, depth)?, self.value(&parts.1, depth)?));
        }
        if self.schema.is_name(&parts.0) {
            let mut members = Map::new();
            for (key, value) in &pairs {
                members.insert(key_to_name(key), value.clone());
            }
            if members.len() == pairs.len() {
                return Ok(members.into());
            }
        }
        Ok(pairs.into_iter().map(|(key, value)| Json::Array([key, value].into())).collect())
    }

    fn scalar(&mut self, scalar: Scalar) -> Result<Json, String> {
        Ok(match scalar {
            Scalar::Unit => Json::Null,
            Scalar::Bool => self.take::<bool>()?.into(),
            Scalar::U8 => self.take::<u8>()?.into(),
            Scalar::U16 => self.take::<u16>()?.into(),
            Scalar::U32 => self.take::<u32>()?.into(),
            Scalar::U64 => self.take::<u64>()?.into(),
            Scalar::U128 => {
                let number = self.take::<u128>()?;
                u64::try_from(number).map_or_else(|_| number.to_string().into(), Json::from)
            }
            Scalar::I8 => self.take::<i8>()?.into(),
            Scalar::I16 => self.take::<i16>()?.into(),
            Scalar::I32 => self.take::<i32>()?.into(),
            Scalar::I64 => self.take::<i64>()?.into(),
            Scalar::I128 => {
                let number = self.take::<i128>()?;
                let unsigned = || u64::try_from(number).map_or_else(|_| number.to_string().into(), Json::from);
                i64::try_from(number).map_or_else(|_| unsigned(), Json::from)
            }
            Scalar::F32 => as_written(self.take::<f32>()?).into(),
            Scalar::F64 => self.take::<f64>()?.into(),
            Scalar::Char => self.take::<char>()?.to_string().into(),
            Scalar::Text => self.take::<&'a str>()?.into(),
            Scalar::Bytes => self.take::<&'a [u8]>()?.into(),
        })
    }

    /// A length, which is no more than the values that may still come.
    fn length(&mut self) -> Result<u64, String> {
        let length = self.take::<u64>()?;
        if length > self.values_left {
            return Err(format!("it claims {length} items in {} bytes", self.rest.len()));
        }
        Ok(length)
    }

    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, String> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|error| error.to_string())?;
        self.rest = rest;
        Ok(value)
    }
}

/// The decimal that people would write for a number, which in double precision is another number.
fn as_written(float: f32) -> f64 {
    if float == 0.0 || !float.is_finite() {
        return float.into();
    }
    // Parsed fast, it may be the number next to the one that is meant. That one has the shortest text.
    let near: f64 = serde_json::from_str(zmij::Buffer::new().format_finite(float)).unwrap_or(float.into());
    let next_to = |step: i64| f64::from_bits(near.to_bits().wrapping_add_signed(step));
    let length = |candidate: &f64| zmij::Buffer::new().format(*candidate).len();
    [near, next_to(-1), next_to(1)].into_iter().min_by_key(length).unwrap_or(near)
}

/// A key that is a name, as the name of a member.
fn key_to_name(key: &Json) -> String {
    key.as_str().map_or_else(|| key.to_string(), String::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Half way between two decimals of equal length: the even one, as in what serde_json writes.
    #[test]
    fn single_precision_between_two_decimals() {
        let between = [(0xc980_025a, -1_048_651.25, -1_048_651.2), (0x4980_025e, 1_048_651.75, 1_048_651.8)];
        for (bits, exactly, written) in between {
            let float = f32::from_bits(bits);
            assert_eq!(f64::from(float), exactly);
            assert_eq!(as_written(float), written);
        }
    }

    #[test]
    fn long_names_count() {
        // A list of ten thousand, each of a byte or two.
        let decode = |of_each: &str, bytes_each: usize, name_bytes| {
            let text = format!(r#"{{"postcard":{{"list":{}}}}}"#, of_each.replace("NAME", &"n".repeat(name_bytes)));
            let mut bytes = alloc::vec![0x90, 0x4e];
            bytes.resize(2 + 10_000 * bytes_each, 0);
            Schema::from_text(&text).unwrap().unwrap().decode(&bytes).map(drop)
        };
        let types =
            [(r#"{"struct":{"NAME":"u8"}}"#, 1), (r#"{"enum":{"NAME":"u8"}}"#, 2), (r#"{"enum":{"NAME":{}}}"#, 1)];
        for (of_each, bytes_each) in types {
            assert_eq!(decode(of_each, bytes_each, 800), Ok(()));
            let refused = Err("it holds more values than its bytes can".into());
            assert_eq!(decode(of_each, bytes_each, 10_000), refused, "{of_each}");
        }
    }

    proptest! {
        #[test]
        fn single_precision_as_people_write_it(bits in any::<u32>()) {
            let float = f32::from_bits(bits);
            let written: Json = match serde_json::to_string(&float).unwrap().parse::<f64>() {
                Ok(number) => number.into(),
                Err(_) => Json::Null,
            };
            prop_assert_eq!(Json::from(as_written(float)), written);
        }
    }
}
