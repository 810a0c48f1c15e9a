//! Finds the schema of a type by deserialising it from made-up values, and noting what it asks for.
//!
//! One pass sees one variant of each enum, so there are as many passes as it takes until nothing is unknown. Types that
//! contain themselves end: an option within itself is `None`, a list or map within itself is empty, and an enum within
//! itself takes the variant that was done first. A value that a type refuses (0 for `NonZeroU8`, "" for a date) is
//! replaced by the next candidate for the part that was read last, and the pass is begun again.
//!
//! Invariants:
//! - Every part of a type has a slot: a place in `nodes`. What has parts itself is one node, however many slots it is
//!   in: they are `Node::Same` as it. It is known by what is asked for and by the type of the visitor that asks.
//! - A pass only ever adds to what is known; a type that asks once for this and once for that is an error.

mod access;
mod build;
mod choose;
mod deserializer;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{self, DeserializeOwned};

use self::deserializer::Place;
use super::{Scalar, Schema};
use crate::limits::{SCHEMA_DEPTH_MAX, SCHEMA_STEPS_MAX};

/// The schema of a type.
///
/// # Errors
/// Which part of it refuses to be described, and why.
pub(super) fn schema_of<T: DeserializeOwned>() -> Result<Schema, String> {
    let mut tracer = Tracer { nodes: alloc::vec![Node::Unknown], ..Tracer::default() };
    loop {
        let known = tracer.known();
        match tracer.pass::<T>() {
            Ok(()) if tracer.is_complete(ROOT) => return Ok(tracer.to_schema()),
            Ok(()) if tracer.known() > known => {}
            Ok(()) => return Err(format!("parts of it are never read; {}", more_names("fields"))),
            Err(reason) if tracer.impossible || !tracer.take_next_candidate() => {
                let path = tracer.path.join(".");
                return Err(if path.is_empty() { reason } else { format!("at `{path}`: {reason}") });
            }
            Err(_) => {}
        }
    }
}

/// The slot of the type itself.
const ROOT: usize = 0;

/// What is known of a part of the type.
#[derive(Debug, Clone)]
enum Node {
    Unknown,
    /// The same as another node.
    Same(usize),
    /// With the candidate that it is given.
    Scalar(Scalar, usize),
    Option(usize),
    List(usize),
    Map(usize, usize),
    Tuple(Vec<usize>),
    Struct(Vec<(&'static str, usize)>),
    Enum(Vec<Variant>),
}

#[derive(Debug, Clone)]
struct Variant {
    name: &'static str,
    content: Content,
    /// How many variants of the whole type were done before it; `None` as long as it is not.
    done: Option<usize>,
    /// Whether it is being read.
    active: bool,
}

/// What follows the number of a variant.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Unknown,
    Nothing,
    Slot(usize),
}

/// What a node with parts is known by: the call of serde, and the visitor that comes with it. The name of
/// a visitor's type holds that of the type it makes, with its parameters.
type Asked = (&'static str, &'static str);

#[derive(Debug, Default)]
struct Tracer {
    nodes: Vec<Node>,
    by_visitor: BTreeMap<Asked, usize>,
    /// Nodes that are being read: options, lists and maps.
    active: Vec<usize>,
    /// Names of the fields and variants that are being read; of those that failed, if one did.
    path: Vec<&'static str>,
    depth: usize,
    /// Parts read so far, in all passes.
    steps: usize,
    /// Variants that are done.
    done: usize,
    /// The scalar read last.
    last: Option<usize>,
    /// Whether no other candidate would help.
    impossible: bool,
}

impl Tracer {
    /// Deserialises a made-up value.
    fn pass<T: DeserializeOwned>(&mut self) -> Result<(), String> {
        self.active.clear();
        self.path.clear();
        self.depth = 0;
        self.last = None;
        for node in &mut self.nodes {
            if let Node::Enum(variants) = node {
                variants.iter_mut().for_each(|variant| variant.active = false);
            }
        }
        match T::deserialize(Place { tracer: self, slot: ROOT }) {
            Ok(_) => Ok(()),
            Err(Refused(reason)) => Err(reason),
        }
    }

    /// Gives the scalar that was read last another value in the next pass; whether there is one.
    fn take_next_candidate(&mut self) -> bool {
        let Some(slot) = self.last else { return false };
        let Node::Scalar(scalar, candidate) = &mut self.nodes[slot] else { return false };
        *candidate += 1;
        *candidate < deserializer::candidates(*scalar)
    }

    /// How much is known; it grows with all that becomes known.
    fn known(&self) -> usize {
        self.done + self.nodes.len() + self.nodes.iter().filter(|node| !matches!(node, Node::Unknown)).count()
    }

    /// An error that no other candidate would help.
    fn refuse<T>(&mut self, reason: impl Into<String>) -> Result<T, Refused> {
        self.impossible = true;
        Err(Refused(reason.into()))
    }

    /// A slot of which nothing is known yet.
    fn new_slot(&mut self) -> usize {
        self.nodes.push(Node::Unknown);
        self.nodes.len() - 1
    }

    /// The node behind a slot.
    fn node_of(&self, slot: usize) -> usize {
        // Slots point to nodes, never to other slots.
        if let Node::Same(node) = self.nodes[slot] { node } else { slot }
    }

    /// Counts a part, on the way in.
    fn enter(&mut self) -> Result<(), Refused> {
        self.steps += 1;
        self.depth += 1;
        if self.depth > SCHEMA_DEPTH_MAX {
            return self.refuse("it is nested too deeply");
        }
        if self.steps > SCHEMA_STEPS_MAX {
            return self.refuse("it has too many parts");
        }
        Ok(())
    }

    /// On the way out, if all went well.
    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The node of something with parts, made with `new` where it is met first. In a slot that is
    /// something else already, or with other parts than before, the type is refused.
    fn node(
        &mut self,
        slot: usize,
        asked: Asked,
        same: impl Fn(&Node) -> bool,
        new: impl FnOnce(&mut Self) -> Node,
    ) -> Result<usize, Refused> {
        let known = match self.by_visitor.get(&asked) {
            Some(node) => *node,
            None => {
                let node = new(self);
                self.nodes.push(node);
                self.by_visitor.insert(asked, self.nodes.len() - 1);
                self.nodes.len() - 1
            }
        };
        match &self.nodes[slot] {
            Node::Unknown => self.nodes[slot] = Node::Same(known),
            Node::Same(other) if *other == known => {}
            _ => return self.refuse(asks_differently(asked.0)),
        }
        if same(&self.nodes[known]) { Ok(known) } else { self.refuse(asks_differently(asked.0)) }
    }
}

fn asks_differently(what: &str) -> String {
    format!("it asks for {what} where it asked for something else before")
}

/// Serde gives names and their aliases in one list, with nothing to tell them apart.
fn more_names(parts: &str) -> String {
    format!(
        "it may have more names than {parts}, as `serde(alias)` gives it, and which of them is whose cannot be told"
    )
}

/// The error of serde: why a value was refused.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Refused(reason.to_string())
    }
}
