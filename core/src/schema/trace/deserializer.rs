//! What the type reads from: made-up values, in the calls that postcard's deserializer would answer.

use alloc::format;
use alloc::vec::Vec;
use core::any::type_name;

use serde::de::{Deserializer, Visitor};

use super::access::{Chosen, Items, Nothing};
use super::{Content, Node, Refused, Scalar, Tracer, Variant, asks_differently};
use crate::limits::SCHEMA_PARTS_MAX;

const BOOLS: [bool; 2] = [false, true];
/// 1 first: 0 is refused more often.
const NUMBERS: [i8; 4] = [1, 0, 2, 10];
const FLOATS: [f32; 3] = [1.0, 0.0, 0.5];
const CHARS: [char; 3] = ['a', '0', 'A'];
/// Text of kinds that are often read with care.
const TEXTS: [&str; 16] = [
    "a",
    "",
    "0",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00",
    "1970-01-01",
    "00:00:00",
    "PT1S",
    "UTC",
    "127.0.0.1",
    "127.0.0.1:80",
    "00000000-0000-0000-0000-000000000000",
    "http://localhost/",
    "a@localhost",
    "1.0.0",
    "EUR",
];
const ZEROS: [u8; 64] = [0; 64];
/// Lengths of keys, hashes and addresses.
const LENGTHS: [usize; 9] = [0, 16, 32, 4, 8, 12, 20, 24, 64];

/// How many values there are to try.
pub(super) fn candidates(scalar: Scalar) -> usize {
    match scalar {
        Scalar::Unit => 1,
        Scalar::Bool => BOOLS.len(),
        Scalar::F32 | Scalar::F64 => FLOATS.len(),
        Scalar::Char => CHARS.len(),
        Scalar::Text => TEXTS.len(),
        Scalar::Bytes => LENGTHS.len(),
        _ => NUMBERS.len(),
    }
}

/// A slot that is to be filled.
pub(super) struct Place<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) slot: usize,
}

impl Place<'_> {
    /// Notes a scalar; the value to give.
    fn scalar<T: Copy>(self, scalar: Scalar, values: &[T]) -> Result<T, Refused> {
        let Place { tracer, slot } = self;
        tracer.enter()?;
        tracer.leave();
        tracer.last = Some(slot);
        match tracer.nodes[slot] {
            Node::Unknown => tracer.nodes[slot] = Node::Scalar(scalar, 0),
            Node::Scalar(known, candidate) if known == scalar => return Ok(values[candidate % values.len()]),
            _ => return tracer.refuse(asks_differently(&format!("{scalar:?}"))),
        }
        Ok(values[0])
    }

    fn number(self, scalar: Scalar) -> Result<i8, Refused> {
        self.scalar(scalar, &NUMBERS)
    }

    /// Reads what has parts, if it is not being read already; the answer is then of no parts.
    fn within<V>(
        self,
        node: usize,
        visitor: V,
        parts: impl FnOnce(&mut Tracer, V) -> Result<V::Value, Refused>,
        none: impl FnOnce(V) -> Result<V::Value, Refused>,
    ) -> Result<V::Value, Refused>
    where
        V: Visitor<'static>,
    {
        if self.tracer.active.contains(&node) {
            return none(visitor);
        }
        self.tracer.active.push(node);
        let value = parts(self.tracer, visitor)?;
        self.tracer.active.pop();
        Ok(value)
    }

    /// Reads so many parts of a node.
    fn items<V: Visitor<'static>>(self, slots: Vec<(&'static str, usize)>, visitor: V) -> Result<V::Value, Refused> {
        self.tracer.enter()?;
        let value = visitor.visit_seq(Items { tracer: self.tracer, slots, next: 0 })?;
        self.tracer.leave();
        Ok(value)
    }

    /// What follows the number of a variant, in a slot that is its own.
    pub(super) fn tuple_in_slot<V: Visitor<'static>>(self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        let Place { tracer, slot } = self;
        if matches!(tracer.nodes[slot], Node::Unknown) {
            check_length(tracer, length)?;
            let node = new_tuple(tracer, length);
            tracer.nodes[slot] = node;
        }
        let slots = unnamed(&tracer.nodes[slot]);
        if slots.len() != length {
            return tracer.refuse(asks_differently("a tuple"));
        }
        Place { tracer, slot }.items(slots, visitor)
    }

    pub(super) fn struct_in_slot<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let Place { tracer, slot } = self;
        if matches!(tracer.nodes[slot], Node::Unknown) {
            let node = new_struct(tracer, fields);
            tracer.nodes[slot] = node;
        }
        let slots = match &tracer.nodes[slot] {
            node if has_fields(node, fields) => named(node),
            _ => return tracer.refuse(asks_differently("a struct")),
        };
        Place { tracer, slot }.items(slots, visitor)
    }
}

fn check_length(tracer: &mut Tracer, length: usize) -> Result<(), Refused> {
    if length > SCHEMA_PARTS_MAX { tracer.refuse(format!("it has {length} parts")) } else { Ok(()) }
}

fn new_tuple(tracer: &mut Tracer, length: usize) -> Node {
    Node::Tuple((0..length).map(|_| tracer.new_slot()).collect())
}

fn new_struct(tracer: &mut Tracer, fields: &'static [&'static str]) -> Node {
    Node::Struct(fields.iter().map(|name| (*name, tracer.new_slot())).collect())
}

fn has_fields(node: &Node, fields: &[&str]) -> bool {
    matches!(node, Node::Struct(known) if known.iter().map(|(name, _)| name).eq(fields))
}

fn named(node: &Node) -> Vec<(&'static str, usize)> {
    if let Node::Struct(fields) = node { fields.clone() } else { Vec::new() }
}

fn unnamed(node: &Node) -> Vec<(&'static str, usize)> {
    if let Node::Tuple(parts) = node { parts.iter().map(|slot| ("", *slot)).collect() } else { Vec::new() }
}

impl Deserializer<'static> for Place<'_> {
    type Error = Refused;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Refused> {
        self.tracer.refuse(
            "it asks what comes next, which plain values do not say (an untagged or internally tagged enum, a \
             flattened field, or a value of any type)",
        )
    }

    fn deserialize_identifier<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_bool<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(self.scalar(Scalar::Bool, &BOOLS)?)
    }

    fn deserialize_u8<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u8(self.number(Scalar::U8)? as u8)
    }

    fn deserialize_u16<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u16(self.number(Scalar::U16)? as u16)
    }

    fn deserialize_u32<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u32(self.number(Scalar::U32)? as u32)
    }

    fn deserialize_u64<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u64(self.number(Scalar::U64)? as u64)
    }

    fn deserialize_u128<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_u128(self.number(Scalar::U128)? as u128)
    }

    fn deserialize_i8<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i8(self.number(Scalar::I8)?)
    }

    fn deserialize_i16<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i16(self.number(Scalar::I16)?.into())
    }

    fn deserialize_i32<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i32(self.number(Scalar::I32)?.into())
    }

    fn deserialize_i64<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i64(self.number(Scalar::I64)?.into())
    }

    fn deserialize_i128<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i128(self.number(Scalar::I128)?.into())
    }

    fn deserialize_f32<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_f32(self.scalar(Scalar::F32, &FLOATS)?)
    }

    fn deserialize_f64<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_f64(self.scalar(Scalar::F64, &FLOATS)?.into())
    }

    fn deserialize_char<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_char(self.scalar(Scalar::Char, &CHARS)?)
    }

    fn deserialize_str<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_str(self.scalar(Scalar::Text, &TEXTS)?)
    }

    fn deserialize_string<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let length = self.scalar(Scalar::Bytes, &LENGTHS)?;
        visitor.visit_borrowed_bytes(&ZEROS[..length])
    }

    fn deserialize_byte_buf<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.scalar(Scalar::Unit, &[()])?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'static>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        let Place { tracer, slot } = self;
        tracer.enter()?;
        let value = visitor.visit_newtype_struct(Place { tracer: &mut *tracer, slot })?;
        tracer.leave();
        Ok(value)
    }

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let asked = ("an option", type_name::<V>());
        let is_option = |node: &Node| matches!(node, Node::Option(_));
        let node = self.tracer.node(self.slot, asked, is_option, |tracer| Node::Option(tracer.new_slot()))?;
        let Node::Option(slot) = self.tracer.nodes[node] else { unreachable!("it was looked at") };
        let some = |tracer: &mut Tracer, visitor: V| {
            tracer.enter()?;
            let value = visitor.visit_some(Place { tracer: &mut *tracer, slot })?;
            tracer.leave();
            Ok(value)
        };
        self.within(node, visitor, some, |visitor| visitor.visit_none())
    }

    fn deserialize_seq<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let asked = ("a list", type_name::<V>());
        let is_list = |node: &Node| matches!(node, Node::List(_));
        let node = self.tracer.node(self.slot, asked, is_list, |tracer| Node::List(tracer.new_slot()))?;
        let Node::List(slot) = self.tracer.nodes[node] else { unreachable!("it was looked at") };
        let one = |tracer: &mut Tracer, visitor| Place { tracer, slot }.items(alloc::vec![("", slot)], visitor);
        self.within(node, visitor, one, |visitor| visitor.visit_seq(Nothing))
    }

    fn deserialize_map<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Refused> {
        let asked = ("a map", type_name::<V>());
        let is_map = |node: &Node| matches!(node, Node::Map(..));
        let new = |tracer: &mut Tracer| Node::Map(tracer.new_slot(), tracer.new_slot());
        let node = self.tracer.node(self.slot, asked, is_map, new)?;
        let Node::Map(key, value) = self.tracer.nodes[node] else { unreachable!("it was looked at") };
        let one = |tracer: &mut Tracer, visitor: V| {
            tracer.enter()?;
            let slots = alloc::vec![("", key), ("", value)];
            let value = visitor.visit_map(Items { tracer: &mut *tracer, slots, next: 0 })?;
            tracer.leave();
            Ok(value)
        };
        self.within(node, visitor, one, |visitor| visitor.visit_map(Nothing))
    }

    fn deserialize_tuple<V: Visitor<'static>>(self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        let asked = ("a tuple", type_name::<V>());
        let is_tuple = |node: &Node| matches!(node, Node::Tuple(parts) if parts.len() == length);
        check_length(self.tracer, length)?;
        let node = self.tracer.node(self.slot, asked, is_tuple, |tracer| new_tuple(tracer, length))?;
        let slots = unnamed(&self.tracer.nodes[node]);
        self.items(slots, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'static>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let asked = ("a struct", type_name::<V>());
        let is_struct = |node: &Node| has_fields(node, fields);
        let node = self.tracer.node(self.slot, asked, is_struct, |tracer| new_struct(tracer, fields))?;
        let slots = named(&self.tracer.nodes[node]);
        self.items(slots, visitor)
    }

    fn deserialize_enum<V: Visitor<'static>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let asked = ("an enum", type_name::<V>());
        let is_enum = |node: &Node| matches!(node, Node::Enum(variants) if variants.iter().map(|variant| variant.name).eq(names.iter().copied()));
        let new = |_: &mut Tracer| {
            let variant = |name: &&'static str| Variant { name, content: Content::Unknown, done: None, active: false };
            Node::Enum(names.iter().map(variant).collect())
        };
        let node = self.tracer.node(self.slot, asked, is_enum, new)?;
        let Some(number) = self.tracer.choose_variant(node) else {
            return self.tracer.refuse("every value of it contains another one");
        };
        self.tracer.enter()?;
        let tracer = &mut *self.tracer;
        let was_active = tracer.variant(node, number).active;
        tracer.variant(node, number).active = true;
        tracer.path.push(names[number]);
        let value = visitor.visit_enum(Chosen { tracer: &mut *tracer, node, number })?;
        tracer.path.pop();
        let done = tracer.done;
        let variant = tracer.variant(node, number);
        variant.active = was_active;
        if variant.done.is_none() {
            variant.done = Some(done);
            tracer.done += 1;
        }
        tracer.leave();
        Ok(value)
    }
}
