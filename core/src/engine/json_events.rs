//! Events out of JSON: what a program hands over that has no file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::timestamp::TimestampReader;
use crate::definition::{SourceDefinition, nearest};
use crate::error::{Error, Result};
use crate::value::{Event, Value};

/// Reads events out of JSON texts: arrays of flat objects.
///
/// A field that is absent is null, as is a text that equals one of the source's `null`. A number without fraction and
/// exponent is an integer. The time is an integer in milliseconds since 1970 or an RFC 3339 text (rounded down to the
/// millisecond), and its field keeps its own value too: all as in the files that the command reads, but for integers
/// beyond 64 bits and `-0`. They are floats here, since JavaScript writes floats so; there they are an error, and 0.
///
/// ```
/// use eventflux_core::definition::SourceDefinition;
/// use eventflux_core::{JsonEvents, Value};
/// let source = SourceDefinition::file("-").timestamp("at").fields(["at", "origin", "delay"]);
/// let mut reader = JsonEvents::new(&source)?;
/// let events = reader.read(r#"[{"at": 5, "origin": "JFK", "delay": 2.5}, {"origin": "", "at": "1970-01-01T00:00:01Z"}]"#)?;
/// assert_eq!(events[0].values, [Value::Int(5), Value::from("JFK"), Value::from(2.5)]);
/// assert_eq!((events[1].timestamp, &events[1].values[1]), (1000, &Value::Null));
///
/// let error = reader.read(r#"[{"at": 5}, {"at": 6, "orgin": "JFK"}]"#).unwrap_err();
/// assert_eq!(error.to_string(), "event 1 of the batch: unknown field `orgin`; did you mean `origin`?");
/// # Ok::<(), eventflux_core::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonEvents {
    fields: Vec<String>,
    /// Places of the fields, in the order of their names.
    by_name: Vec<usize>,
    timestamp: usize,
    null: Vec<String>,
    /// Of each field, whether its numbers stay text.
    text: Vec<bool>,
    times: TimestampReader,
}

impl JsonEvents {
    /// A reader of a source's events.
    ///
    /// # Errors
    /// [`Error::Definition`] if the source does not list its fields, or the timestamp is not among them.
    pub fn new(source: &SourceDefinition) -> Result<Self> {
        let Some(fields) = &source.fields else {
            return Err(Error::definition("source.fields", "must list the fields of the events, in their order"));
        };
        let Some(timestamp) = fields.iter().position(|field| *field == source.timestamp) else {
            let hint = hint(&source.timestamp, fields);
            return Err(Error::definition(
                "source.timestamp",
                format!("`{}` is not in source.fields{hint}", source.timestamp),
            ));
        };
        let fields = fields.clone();
        let text = fields.iter().map(|field| source.text.contains(field)).collect();
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by_key(|place| &fields[*place]);
        Ok(JsonEvents {
            fields,
            by_name,
            timestamp,
            null: source.null.clone(),
            text,
            times: TimestampReader::default(),
        })
    }

    /// The fields, in the order of each event's values.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The events of one array.
    ///
    /// # Errors
    /// [`Error::Event`], which names the event by its place in the array, from 0; then none of them is read.
    pub fn read(&mut self, text: &str) -> Result<Vec<Event>> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let events = Events(self).deserialize(&mut reader).and_then(|events| reader.end().map(|()| events));
        events.map_err(|error| {
            let text = error.to_string();
            // The place of a JSON error says more than nothing; of our own, the event's number is enough.
            let reason = if error.is_data() { without_place(&text).into() } else { text };
            Error::Event { operator: String::new(), field: String::new(), reason }
        })
    }
}

/// What an error of JSON says but where.
fn without_place(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(reason, _)| reason)
}

fn hint(name: &str, fields: &[String]) -> String {
    nearest(name, fields.iter().map(String::as_str)).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

struct Events<'a>(&'a mut JsonEvents);

impl<'de> DeserializeSeed<'de> for Events<'_> {
    type Value = Vec<Event>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<Vec<Event>, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_> {
    type Value = Vec<Event>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> core::result::Result<Vec<Event>, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = items.next_element_seed(OneEvent { reader: &mut *self.0, at: events.len() })? {
            events.push(event);
        }
        Ok(events)
    }
}

struct OneEvent<'a> {
    reader: &'a mut JsonEvents,
    /// Its place in the array.
    at: usize,
}

impl<'de> DeserializeSeed<'de> for OneEvent<'_> {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<Event, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneEvent<'_> {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for event {} of the batch", self.at)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> core::result::Result<Event, A::Error> {
        let OneEvent { reader, at } = self;
        let wrong = |reason: String| A::Error::custom(format!("event {at} of the batch: {reason}"));
        let fields = &reader.fields;
        let mut values: Vec<Option<Value>> = alloc::vec![None; fields.len()];
        let mut next = 0;
        while let Some(found) = members.next_key_seed(PlaceOf { fields, by_name: &reader.by_name, next })? {
            let place = match found {
                Ok(place) => place,
                Err(name) => {
                    members.next_value::<IgnoredAny>()?;
                    return Err(wrong(format!("unknown field `{name}`{}", hint(&name, fields))));
                }
            };
            let Scalar(value) =
                members.next_value_seed(ScalarOf { null: &reader.null, is_text: reader.text[place] }).map_err(
                    |error| wrong(format!("field `{}`: {}", fields[place], without_place(&error.to_string()))),
                )?;
            if values[place].replace(value).is_some() {
                return Err(wrong(format!("field `{}` is given twice", fields[place])));
            }
            next = place + 1;
        }
        let values: Vec<Value> = values.into_iter().map(Option::unwrap_or_default).collect();
        let timestamp = reader
            .times
            .read(&values[reader.timestamp])
            .map_err(|problem| wrong(format!("field `{}`: {problem}", reader.fields[reader.timestamp])))?;
        Ok(Event::new(timestamp, values))
    }
}

/// Finds the field that a member names.
struct PlaceOf<'a> {
    fields: &'a [String],
    by_name: &'a [usize],
    /// The one after the last: objects mostly keep the order of the fields.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for PlaceOf<'_> {
    /// Its place; or its name, if there is none like that.
    type Value = core::result::Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for PlaceOf<'_> {
    type Value = core::result::Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> core::result::Result<Self::Value, E> {
        let place = match self.fields.get(self.next) {
            Some(field) if field == name => Some(self.next),
            _ => {
                let found = self.by_name.binary_search_by(|place| self.fields[*place].as_str().cmp(name));
                found.ok().map(|found| self.by_name[found])
            }
        };
        Ok(place.ok_or_else(|| String::from(name)))
    }
}

struct Scalar(Value);

struct ScalarOf<'a> {
    null: &'a [String],
    /// Whether numbers stay as they stand there.
    is_text: bool,
}

impl<'de> DeserializeSeed<'de> for ScalarOf<'_> {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> core::result::Result<Scalar, D::Error> {
        if !self.is_text {
            return reader.deserialize_any(self);
        }
        let json = <&RawValue>::deserialize(reader)?.get();
        if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return self.visit_str(json);
        }
        serde_json::Deserializer::from_str(json).deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for ScalarOf<'_> {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false or null")
    }

    fn visit_unit<E: serde::de::Error>(self) -> core::result::Result<Scalar, E> {
        Ok(Scalar(Value::Null))
    }

    fn visit_bool<E: serde::de::Error>(self, bool: bool) -> core::result::Result<Scalar, E> {
        Ok(Scalar(Value::Bool(bool)))
    }

    fn visit_i64<E: serde::de::Error>(self, int: i64) -> core::result::Result<Scalar, E> {
        Ok(Scalar(Value::Int(int)))
    }

    fn visit_u64<E: serde::de::Error>(self, int: u64) -> core::result::Result<Scalar, E> {
        Ok(Scalar(i64::try_from(int).map_or_else(|_| Value::from(int as f64), Value::Int)))
    }

    fn visit_f64<E: serde::de::Error>(self, float: f64) -> core::result::Result<Scalar, E> {
        Ok(Scalar(Value::from(float)))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> core::result::Result<Scalar, E> {
        Ok(Scalar(if self.null.iter().any(|null| null == text) { Value::Null } else { Value::from(text) }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As the command reads them.
        #[test]
        fn numbers_are_the_nearest_floats(text in "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,25}(e-?[1-9][0-9]?)?") {
            let source = SourceDefinition::file("-").timestamp("t").fields(["t", "v"]);
            let events = JsonEvents::new(&source).unwrap().read(&format!(r#"[{{"t":1,"v":{text}}}]"#)).unwrap();
            let Value::Float(float) = events[0].values[1] else { panic!("{text} is a float") };
            prop_assert_eq!(float, text.parse::<f64>().unwrap());
        }
    }

    /// As JavaScript writes them.
    #[test]
    fn whole_numbers_beyond_64_bits_are_the_nearest_floats() {
        let source = SourceDefinition::file("-").timestamp("t").fields(["t", "v"]);
        for (text, expected) in [
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("9223372036854775808", Value::from(9_223_372_036_854_775_808.0)),
            ("10000000000000000000", Value::from(1e19)),
            ("-10000000000000000000", Value::from(-1e19)),
            ("100000000000000000000", Value::from(1e20)),
        ] {
            let events = JsonEvents::new(&source).unwrap().read(&format!(r#"[{{"v":{text},"t":1}}]"#)).unwrap();
            assert_eq!(events[0].values[1], expected, "{text}");
        }
    }

    /// As they stand there: not all digits of a number fit into one.
    #[test]
    fn numbers_that_are_no_quantities_stay_text() {
        let source = SourceDefinition::file("-").timestamp("t").fields(["t", "v"]).text(["v"]).null(["NA", "0"]);
        let mut reader = JsonEvents::new(&source).unwrap();
        for (json, expected) in [
            ("12345678901234567890", Value::from("12345678901234567890")),
            ("-1.50", Value::from("-1.50")),
            ("7e2", Value::from("7e2")),
            (r#""a\u0062""#, Value::from("ab")),
            ("true", Value::from(true)),
            ("null", Value::Null),
            (r#""NA""#, Value::Null),
            ("0", Value::Null),
        ] {
            assert_eq!(reader.read(&format!(r#"[{{"v": {json} ,"t":1}}]"#)).unwrap()[0].values[1], expected, "{json}");
        }
        let wrong = reader.read(r#"[{"t":1,"v":[1]}]"#).unwrap_err().to_string();
        assert_eq!(
            wrong,
            "event 0 of the batch: field `v`: invalid type: sequence, expected a text, a number, true, false or null"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_event_and_nothing_is_read() {
        let source = SourceDefinition::file("-").timestamp("t").fields(["t", "v"]).null(["NA"]);
        let mut reader = JsonEvents::new(&source).unwrap();
        assert_eq!(reader.read("[]").unwrap(), []);
        assert_eq!(reader.read(r#"[{"v":"NA","t":1}]"#).unwrap()[0].values, [Value::Int(1), Value::Null]);
        for (text, expected) in [
            (r#"[{"t":1},{"v":1}]"#, "event 1 of the batch: field `t`: the time is missing or null"),
            (
                r#"[{"t":"soon"}]"#,
                "event 0 of the batch: field `t`: no time; write milliseconds since 1970, or RFC 3339 such as 2013-01-01T10:00:00Z",
            ),
            (
                r#"[{"t":1,"v":[1]}]"#,
                "event 0 of the batch: field `v`: invalid type: sequence, expected a text, a number, true, false or null",
            ),
            (r#"[{"t":1,"v at line y":1}]"#, "event 0 of the batch: unknown field `v at line y`"),
            (r#"[{"t":1,"t":2}]"#, "event 0 of the batch: field `t` is given twice"),
            (r#"[{"t":1},7]"#, "invalid type: integer `7`, expected an object for event 1 of the batch"),
            (r#"{"t":1}"#, "invalid type: map, expected an array of events"),
            (r#"[{"t":1}"#, "EOF while parsing a list at line 1 column 8"),
        ] {
            assert_eq!(reader.read(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
