//! The schema as text. Specified in `FORMAT.md`, "Schemas of plain values".

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Scalar, Schema, Type};
use crate::definition::Document;

/// Words for what is not made of parts.
const SCALARS: [(&str, Scalar); 17] = [
    ("unit", Scalar::Unit),
    ("bool", Scalar::Bool),
    ("u8", Scalar::U8),
    ("u16", Scalar::U16),
    ("u32", Scalar::U32),
    ("u64", Scalar::U64),
    ("u128", Scalar::U128),
    ("i8", Scalar::I8),
    ("i16", Scalar::I16),
    ("i32", Scalar::I32),
    ("i64", Scalar::I64),
    ("i128", Scalar::I128),
    ("f32", Scalar::F32),
    ("f64", Scalar::F64),
    ("char", Scalar::Char),
    ("text", Scalar::Text),
    ("bytes", Scalar::Bytes),
];

impl Schema {
    pub(super) fn to_text(&self) -> String {
        let root = type_to_text(&self.root);
        if self.types.is_empty() {
            return format!("{{\"postcard\":{root}}}");
        }
        let types = members(self.types.iter().enumerate().map(|(at, named)| (at.to_string(), type_to_text(named))));
        format!("{{\"postcard\":{root},\"types\":{types}}}")
    }

    /// The schema in a description; `None` if it holds none, an error if it is one that is not understood.
    pub(crate) fn from_text(description: &str) -> Option<Result<Schema, String>> {
        // What is no schema, but the program's own words or an operator, costs nothing.
        if !description.trim_start().starts_with('{') {
            return None;
        }
        let Document::Table(members) = serde_json::from_str(description).ok()? else { return None };
        let root = members.iter().find(|(name, _)| name == "postcard").map(|(_, root)| root)?;
        Some(read_schema(&members, root))
    }
}

fn read_schema(members: &[(String, Document)], root: &Document) -> Result<Schema, String> {
    let mut types: &[(String, Document)] = &[];
    for (name, member) in members {
        match (name.as_str(), member) {
            ("postcard", _) => {}
            ("types", Document::Table(named)) => types = named,
            _ => return Err(format!("`{name}` is not known")),
        }
    }
    if types.iter().enumerate().any(|(at, (name, _))| *name != at.to_string()) {
        return Err("the types are not numbered from 0".into());
    }
    let read = |document| read_type(document, types.len());
    Ok(Schema { root: read(root)?, types: types.iter().map(|(_, named)| read(named)).collect::<Result<_, _>>()? })
}

/// Documents nest as deeply as `serde_json` allows, and so does this.
fn read_type(document: &Document, types: usize) -> Result<Type, String> {
    let read = |document| read_type(document, types);
    let unknown = || format!("the type {document:?} is not known");
    let members = match document {
        Document::Text(word) => {
            let scalar = SCALARS.iter().find(|(other, _)| other == word).ok_or_else(unknown)?;
            return Ok(Type::Scalar(scalar.1));
        }
        Document::Table(members) => members,
        _ => return Err(unknown()),
    };
    let [(word, content)] = members.as_slice() else { return Err(unknown()) };
    Ok(match (word.as_str(), content) {
        ("option", inner) => Type::Option(Box::new(read(inner)?)),
        ("list", inner) => Type::List(Box::new(read(inner)?)),
        ("map", Document::Table(parts)) => match parts.as_slice() {
            [(key, key_type), (value, value_type)] if key == "key" && value == "value" => {
                Type::Map(Box::new((read(key_type)?, read(value_type)?)))
            }
            _ => return Err(unknown()),
        },
        ("tuple", Document::List(parts)) => Type::Tuple(parts.iter().map(read).collect::<Result<_, _>>()?),
        ("array", Document::Table(parts)) => match parts.as_slice() {
            [(of, inner), (length, Document::Int(count))] if of == "of" && length == "length" => {
                Type::Array(Box::new(read(inner)?), u64::try_from(*count).map_err(|_| unknown())?)
            }
            _ => return Err(unknown()),
        },
        ("struct", Document::Table(fields)) => Type::Struct(
            fields.iter().map(|(name, field)| Ok((name.clone(), read(field)?))).collect::<Result<_, String>>()?,
        ),
        ("enum", Document::Table(variants)) => {
            let variant = |(name, content): &(String, Document)| match content {
                Document::Table(nothing) if nothing.is_empty() => Ok((name.clone(), None)),
                content => Ok((name.clone(), Some(read_type(content, types)?))),
            };
            Type::Enum(variants.iter().map(variant).collect::<Result<_, String>>()?)
        }
        ("type", Document::Int(number)) => {
            let number = usize::try_from(*number).ok().filter(|number| *number < types);
            Type::Named(number.ok_or_else(unknown)?)
        }
        _ => return Err(unknown()),
    })
}

fn type_to_text(held: &Type) -> String {
    match held {
        Type::Scalar(scalar) => {
            let word = SCALARS.iter().find(|(_, other)| other == scalar).map_or("", |(word, _)| word);
            quoted(word)
        }
        Type::Option(inner) => format!("{{\"option\":{}}}", type_to_text(inner)),
        Type::List(inner) => format!("{{\"list\":{}}}", type_to_text(inner)),
        Type::Map(parts) => {
            format!("{{\"map\":{{\"key\":{},\"value\":{}}}}}", type_to_text(&parts.0), type_to_text(&parts.1))
        }
        Type::Tuple(parts) => {
            let parts: Vec<String> = parts.iter().map(type_to_text).collect();
            format!("{{\"tuple\":[{}]}}", parts.join(","))
        }
        Type::Array(inner, length) => {
            format!("{{\"array\":{{\"of\":{},\"length\":{length}}}}}", type_to_text(inner))
        }
        Type::Struct(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), type_to_text(field)));
            format!("{{\"struct\":{}}}", members(fields))
        }
        Type::Enum(variants) => {
            let content = |content: &Option<Type>| content.as_ref().map_or_else(|| "{}".into(), type_to_text);
            let variants = variants.iter().map(|(name, held)| (name.clone(), content(held)));
            format!("{{\"enum\":{}}}", members(variants))
        }
        Type::Named(number) => format!("{{\"type\":{number}}}"),
    }
}

fn members(members: impl Iterator<Item = (String, String)>) -> String {
    let members: Vec<String> = members.map(|(name, json)| format!("{}:{json}", quoted(&name))).collect();
    format!("{{{}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
