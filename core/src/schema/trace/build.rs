//! The schema, out of what is known.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Content, Node, ROOT, Scalar, Schema, Tracer};
use crate::schema::Type;

/// A tuple of more parts than that, which are all of one type, is an array.
const TUPLE_OF_ONE_TYPE_MAX: usize = 4;

impl Tracer {
    /// The schema, when all of it is known.
    pub(super) fn to_schema(&self) -> Schema {
        let mut named = alloc::vec![false; self.nodes.len()];
        let mut met = alloc::vec![Met::Never; self.nodes.len()];
        self.find_named(self.node_of(ROOT), &mut met, &mut named);
        let mut build = Build { tracer: self, named, numbers: alloc::vec![None; self.nodes.len()], types: Vec::new() };
        let root = build.slot(ROOT);
        Schema { root, types: build.types }
    }

    /// Marks what needs a number: what contains itself, and structs and enums that occur twice.
    fn find_named(&self, node: usize, met: &mut [Met], named: &mut [bool]) {
        match met[node] {
            Met::Within => named[node] = true,
            Met::Before => named[node] |= matches!(self.nodes[node], Node::Struct(_) | Node::Enum(_)),
            Met::Never => {
                met[node] = Met::Within;
                for part in self.parts(node) {
                    self.find_named(part, met, named);
                }
                met[node] = Met::Before;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Met {
    Never,
    Within,
    Before,
}

struct Build<'a> {
    tracer: &'a Tracer,
    named: Vec<bool>,
    numbers: Vec<Option<usize>>,
    types: Vec<Type>,
}

impl Build<'_> {
    fn slot(&mut self, slot: usize) -> Type {
        let node = self.tracer.node_of(slot);
        if !self.named[node] {
            return self.node(node);
        }
        let number = match self.numbers[node] {
            Some(number) => number,
            None => {
                let number = self.types.len();
                self.numbers[node] = Some(number);
                self.types.push(Type::Scalar(Scalar::Unit));
                self.types[number] = self.node(node);
                number
            }
        };
        Type::Named(number)
    }

    fn node(&mut self, node: usize) -> Type {
        let tracer = self.tracer;
        match &tracer.nodes[node] {
            Node::Unknown | Node::Same(_) => unreachable!("the schema is built when all is known, from nodes"),
            Node::Scalar(scalar, _) => Type::Scalar(*scalar),
            Node::Option(inner) => Type::Option(Box::new(self.slot(*inner))),
            Node::List(inner) => Type::List(Box::new(self.slot(*inner))),
            Node::Map(key, value) => Type::Map(Box::new((self.slot(*key), self.slot(*value)))),
            Node::Tuple(parts) => {
                let mut parts: Vec<Type> = parts.iter().map(|part| self.slot(*part)).collect();
                if parts.len() > TUPLE_OF_ONE_TYPE_MAX && parts.windows(2).all(|two| two[0] == two[1]) {
                    let length = parts.len() as u64;
                    return Type::Array(Box::new(parts.swap_remove(0)), length);
                }
                Type::Tuple(parts)
            }
            Node::Struct(fields) => {
                Type::Struct(fields.iter().map(|(name, slot)| ((*name).into(), self.slot(*slot))).collect())
            }
            Node::Enum(variants) => {
                let variants = variants.iter().map(|variant| {
                    let content = if let Content::Slot(slot) = variant.content { Some(self.slot(slot)) } else { None };
                    (variant.name.into(), content)
                });
                Type::Enum(variants.collect())
            }
        }
    }
}
