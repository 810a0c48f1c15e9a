//! The configuration of an operator: a JSON object, of which each member is asked for by name and type.
//!
//! Not serde's: its reader of JSON would be a fifth of a small plugin.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// How deeply lists and objects nest at most.
const DEPTH_MAX: usize = 32;

/// A configuration. What is asked for is taken out; what is left in the end is an error, which names it.
///
/// ```
/// use eventflux_plugin::Config;
///
/// let mut config = Config::parse(r#"{"field": "dest", "k": 3}"#)?;
/// assert_eq!(config.text("field")?.as_deref(), Some("dest"));
/// assert_eq!(config.integer("k", 1..=10)?, Some(3));
/// assert_eq!(config.boolean("exact")?, None);
/// config.finish()?;
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Default)]
pub struct Config {
    /// Members that have not been asked for.
    members: Vec<(String, Json)>,
    /// Names that were asked for.
    known: Vec<&'static str>,
}

/// A value of a configuration. Numbers are as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in the characters of its source.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object, its members as they came.
    Object(Vec<(String, Json)>),
}

impl Config {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn parse(json: &str) -> Result<Self, String> {
        let mut reader = Reader { json, at: 0 };
        let value = reader.value(0)?;
        reader.skip_spaces();
        match value {
            Json::Object(members) if reader.at == json.len() => Ok(Config { members, known: Vec::new() }),
            Json::Object(_) => Err(reader.wrong("the end")),
            _ => Err("the configuration must be an object".into()),
        }
    }

    /// A member, whatever it is.
    pub fn any(&mut self, name: &'static str) -> Option<Json> {
        self.known.push(name);
        let at = self.members.iter().position(|(other, _)| other == name)?;
        Some(self.members.remove(at).1)
    }

    /// A string; `None` if it is not there.
    ///
    /// # Errors
    /// That it is something else.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` must be a string")),
        }
    }

    /// A whole number in a range; `None` if it is not there.
    ///
    /// # Errors
    /// That it is something else.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Result<Option<i64>, String> {
        let Some(value) = self.any(name) else { return Ok(None) };
        let number = if let Json::Number(number) = value { number.parse().ok() } else { None };
        let number = number.filter(|number| range.contains(number));
        let wanted = || format!("`{name}` must be a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(wanted)
    }

    /// `true` or `false`; `None` if it is not there.
    ///
    /// # Errors
    /// That it is something else.
    pub fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(Json::Bool(bool)) => Ok(Some(bool)),
            Some(_) => Err(format!("`{name}` must be true or false")),
        }
    }

    /// That all members were asked for. The library calls it behind [`Operator::configure`](crate::Operator::configure).
    ///
    /// # Errors
    /// The first that was not.
    pub fn finish(&self) -> Result<(), String> {
        match self.members.first() {
            None => Ok(()),
            Some((name, _)) if self.known.is_empty() => Err(format!("`{name}` is unknown; there are no members")),
            Some((name, _)) => Err(format!("`{name}` is unknown; there are: {}", self.known.join(", "))),
        }
    }
}

struct Reader<'a> {
    json: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, wanted: &str) -> String {
        format!("byte {} of the configuration: expected {wanted}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes these bytes, behind any space; whether they were there.
    fn take(&mut self, wanted: &str) -> bool {
        self.skip_spaces();
        let found = self.json.as_bytes()[self.at..].starts_with(wanted.as_bytes());
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("less depth"));
        }
        self.skip_spaces();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.at += 1;
                }
                Ok(Json::Number(self.json[start..self.at].into()))
            }
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ => Err(self.wrong("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut members: Vec<(String, Json)> = Vec::new();
        self.take("{");
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_spaces();
            let name = self.text()?;
            if !self.take(":") {
                return Err(self.wrong("`:`"));
            }
            if members.iter().any(|(other, _)| *other == name) {
                return Err(format!("`{name}` is there twice"));
            }
            let value = self.value(depth + 1)?;
            members.push((name, value));
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        let mut values = Vec::new();
        self.take("[");
        if self.take("]") {
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.take("]") {
                return Ok(Json::List(values));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `]`"));
            }
        }
    }

    fn text(&mut self) -> Result<String, String> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a string"));
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.json[self.at..];
            let end = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ');
            let end = end.ok_or_else(|| self.wrong("the end of a string"))?;
            text.push_str(&rest[..end]);
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escaped()?),
                _ => return Err(self.wrong("no control character in a string")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        self.at += 1;
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let second = if (0xd800..0xdc00).contains(&first) && self.json[self.at..].starts_with("\\u") {
                    self.at += 2;
                    Some(self.unit()?)
                } else {
                    None
                };
                let mut decoded = char::decode_utf16(core::iter::once(first).chain(second));
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(char)), None) => char,
                    _ => return Err(self.wrong("a whole character")),
                }
            }
            _ => {
                self.at -= 1;
                return Err(self.wrong("an escape that JSON has"));
            }
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, String> {
        let digits = self.json.get(self.at..self.at + 4).filter(|digits| !digits.starts_with('+'));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.wrong("four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    /// A value as serde reads it.
    fn of_serde(value: &serde_json::Value) -> Json {
        match value {
            serde_json::Value::Null => Json::Null,
            serde_json::Value::Bool(bool) => Json::Bool(*bool),
            serde_json::Value::Number(number) => Json::Number(number.to_string()),
            serde_json::Value::String(text) => Json::Text(text.clone()),
            serde_json::Value::Array(values) => Json::List(values.iter().map(of_serde).collect()),
            serde_json::Value::Object(members) => {
                Json::Object(members.iter().map(|(name, value)| (name.clone(), of_serde(value))).collect())
            }
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let mut reader = Reader { json: &text, at: 0 };
            prop_assert_eq!(reader.value(0).unwrap(), of_serde(&value));
            prop_assert_eq!(reader.at, text.len());
        }

        #[test]
        fn any_text_is_an_error_at_most(text in r#"[{}\[\]":,\\u0-9a-fné \-]{0,30}"#) {
            let ours = Config::parse(&text);
            let serde: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&text);
            prop_assert!(ours.is_ok() || serde.is_err(), "{:?}: {:?}", text, ours);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let read = |json: &str| -> Result<(), String> {
            let mut config = Config::parse(json)?;
            config.text("field")?;
            config.integer("k", 1..=9)?;
            config.boolean("exact")?;
            config.finish()
        };
        assert_eq!(read(r#" { "field" : "a\u00e9\ud83d\ude00\n" , "k":3,"exact":false } "#), Ok(()));
        for (json, wanted) in [
            ("[]", "the configuration must be an object"),
            ("{} x", "byte 3 of the configuration: expected the end"),
            ("{", "byte 1 of the configuration: expected a string"),
            (r#"{"k":1,"k":2}"#, "`k` is there twice"),
            (r#"{"field":3}"#, "`field` must be a string"),
            (r#"{"k":10}"#, "`k` must be a whole number from 1 to 9"),
            (r#"{"k":1.5}"#, "`k` must be a whole number from 1 to 9"),
            (r#"{"exact":null}"#, "`exact` must be true or false"),
            (r#"{"size":1}"#, "`size` is unknown; there are: field, k, exact"),
            (r#"{"field":"\ud800"}"#, "byte 16 of the configuration: expected a whole character"),
        ] {
            assert_eq!(read(json).unwrap_err(), wanted);
        }
        assert!(Config::parse(&"[".repeat(1000)).is_err());
    }
}
