//! FORMAT.md, "Schemas of plain values".

use std::collections::BTreeMap;

use eventflux_core::StateHolder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::bytes::Bytes;

/// JSON whose objects keep their order, which counts here.
enum Node {
    Text(String),
    Number(u64),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads from text without blanks; what is left over is left in it.
    fn read(text: &mut &str) -> Node {
        match text.as_bytes()[0] {
            b'"' => Node::Text(text_of(text)),
            b'[' => Node::List(items(text, ']', Node::read)),
            b'{' => Node::Object(items(text, '}', |text| {
                let name = text_of(text);
                *text = text.strip_prefix(':').unwrap();
                (name, Node::read(text))
            })),
            _ => {
                let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
                let (digits, rest) = text.split_at(end);
                *text = rest;
                Node::Number(digits.parse().unwrap())
            }
        }
    }

    fn member(&self, name: &str) -> &Node {
        let Node::Object(members) = self else { panic!("no object") };
        &members.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn number(&self) -> u64 {
        if let Node::Number(number) = self { *number } else { panic!("no number") }
    }
}

/// A text without escapes.
fn text_of(text: &mut &str) -> String {
    let (name, rest) = text.strip_prefix('"').unwrap().split_once('"').unwrap();
    *text = rest;
    name.into()
}

fn items<T>(text: &mut &str, close: char, mut item: impl FnMut(&mut &str) -> T) -> Vec<T> {
    let mut items = Vec::new();
    loop {
        *text = &text[1..]; // the bracket, or a comma
        if items.is_empty() && text.starts_with(close) {
            break;
        }
        items.push(item(text));
        if text.starts_with(close) {
            break;
        }
    }
    *text = &text[1..];
    items
}

fn scalar(word: &str, bytes: &mut Bytes<'_>) -> Json {
    match word {
        "unit" => Json::Null,
        "bool" => bytes.bool().into(),
        "u8" => bytes.u8().into(),
        "i8" => (bytes.u8() as i8).into(),
        "u16" | "u32" | "u64" => bytes.uint().into(),
        "i16" | "i32" | "i64" => bytes.int().into(),
        "u128" => {
            let number = bytes.uint128();
            u64::try_from(number).map_or_else(|_| number.to_string().into(), Json::from)
        }
        "i128" => {
            let number = bytes.int128();
            i64::try_from(number).map_or_else(|_| number.to_string().into(), Json::from)
        }
        "f64" => bytes.f64().into(),
        "f32" => f32::from_le_bytes(bytes.take(4).try_into().unwrap()).to_string().parse::<f64>().unwrap().into(),
        "char" | "text" => bytes.text().into(),
        "bytes" => {
            let length = bytes.uint() as usize;
            bytes.take(length).into()
        }
        other => panic!("{other} is no word of the document"),
    }
}

/// A value as JSON.
fn value(schema: &Node, held: &Node, bytes: &mut Bytes<'_>) -> Json {
    let members = match held {
        Node::Text(word) => return scalar(word, bytes),
        Node::Object(members) => members,
        _ => panic!("no type"),
    };
    let (word, content) = &members[0];
    assert_eq!(members.len(), 1);
    match (word.as_str(), content) {
        ("option", inner) => bytes.option(|bytes| value(schema, inner, bytes)).into(),
        ("list", inner) => bytes.list(|bytes| value(schema, inner, bytes)).into(),
        ("map", parts) => {
            let (key, inner) = (parts.member("key"), parts.member("value"));
            let pairs = bytes.list(|bytes| (value(schema, key, bytes), value(schema, inner, bytes)));
            if !matches!(key, Node::Text(_)) {
                return pairs.into_iter().map(|(key, value)| json!([key, value])).collect();
            }
            let name = |key: Json| key.as_str().map_or_else(|| key.to_string(), String::from);
            pairs.into_iter().map(|(key, value)| (name(key), value)).collect::<Map<_, _>>().into()
        }
        ("tuple", Node::List(parts)) => parts.iter().map(|part| value(schema, part, bytes)).collect(),
        ("array", parts) => {
            let length = parts.member("length").number();
            (0..length).map(|_| value(schema, parts.member("of"), bytes)).collect()
        }
        ("struct", Node::Object(fields)) => {
            fields.iter().map(|(name, field)| (name.clone(), value(schema, field, bytes))).collect::<Map<_, _>>().into()
        }
        ("enum", Node::Object(variants)) => {
            let (name, content) = &variants[bytes.uint() as usize];
            match content {
                Node::Object(nothing) if nothing.is_empty() => name.as_str().into(),
                content => Map::from_iter([(name.clone(), value(schema, content, bytes))]).into(),
            }
        }
        ("type", Node::Number(number)) => value(schema, schema.member("types").member(&number.to_string()), bytes),
        (other, _) => panic!("{other} is no type of the document"),
    }
}

#[derive(Serialize, Deserialize)]
struct Sample {
    zone: Zone,
    after: Option<Box<Sample>>,
    numbers: (u8, i8, u16, i16, u32, i32, u64, i64),
    wide: (u128, i128),
    floats: (f32, f64),
    hash: [u8; 20],
    letters: BTreeMap<char, Vec<String>>,
    pairs: BTreeMap<(bool, ()), Zone>,
}

#[derive(Serialize, Deserialize)]
enum Zone {
    Utc,
    Named(String),
    Offset { hours: i8, minutes: u8 },
    Between(u8, u8),
}

fn sample(zone: Zone, after: Option<Sample>) -> Sample {
    Sample {
        zone,
        after: after.map(Box::new),
        numbers: (200, -100, 40_000, -20_000, u32::MAX, i32::MIN, u64::MAX, i64::MIN),
        wide: (7, -7),
        floats: (0.25, 0.1),
        hash: [9; 20],
        letters: BTreeMap::from([('ß', vec!["a".into(), String::new()]), ('z', Vec::new())]),
        pairs: BTreeMap::from([((true, ()), Zone::Between(1, 2))]),
    }
}

/// As `serde_json` writes it, but for the pairs, whose keys are no names.
fn shown(sample: &Sample) -> Json {
    json!({
        "zone": sample.zone, "after": sample.after.as_deref().map(shown), "numbers": sample.numbers,
        "wide": [7, -7], "floats": sample.floats, "hash": sample.hash, "letters": sample.letters,
        "pairs": [[[true, null], { "Between": [1, 2] }]],
    })
}

#[test]
fn a_reader_made_from_the_document_reads_plain_values() {
    let mut holder = StateHolder::builder("samples").values_of::<Sample>(1).build().unwrap();
    let samples = [
        sample(Zone::Utc, Some(sample(Zone::Named("CET".into()), None))),
        sample(Zone::Offset { hours: -3, minutes: 30 }, None),
    ];
    let description = &holder.states()[0].description;
    let mut rest = description.as_str();
    let schema = Node::read(&mut rest);
    assert_eq!(rest, "", "{description}");
    for sample in &samples {
        holder.set("key", sample).unwrap();
        let mut bytes = Bytes(holder.values().get(b"key").unwrap().as_bytes());
        let read = value(&schema, schema.member("postcard"), &mut bytes);
        bytes.end();
        assert_eq!(read, shown(sample));
        assert_eq!(read, eventflux_core::contents(&holder).unwrap()[0].rows[0].1);
    }
}
