//! Which variant of an enum a pass looks at.

use alloc::vec::Vec;

use super::{Content, Node, Tracer};

impl Tracer {
    /// Whether all of a slot is known.
    pub(super) fn is_complete(&self, slot: usize) -> bool {
        let mut seen = alloc::vec![false; self.nodes.len()];
        let mut open = alloc::vec![self.node_of(slot)];
        while let Some(node) = open.pop() {
            if core::mem::replace(&mut seen[node], true) {
                continue;
            }
            match &self.nodes[node] {
                Node::Unknown => return false,
                Node::Same(other) => open.push(*other),
                Node::Scalar(..) => {}
                Node::Enum(variants) if variants.iter().any(|variant| variant.done.is_none()) => return false,
                _ => open.extend(self.parts(node)),
            }
        }
        true
    }

    /// The nodes of the parts of a node.
    pub(super) fn parts(&self, node: usize) -> Vec<usize> {
        let slots: Vec<usize> = match &self.nodes[node] {
            Node::Unknown | Node::Scalar(..) => Vec::new(),
            Node::Same(other) => alloc::vec![*other],
            Node::Option(inner) | Node::List(inner) => alloc::vec![*inner],
            Node::Map(key, value) => alloc::vec![*key, *value],
            Node::Tuple(parts) => parts.clone(),
            Node::Struct(fields) => fields.iter().map(|(_, slot)| *slot).collect(),
            Node::Enum(variants) => {
                let slot = |content| if let Content::Slot(slot) = content { Some(slot) } else { None };
                variants.iter().filter_map(|variant| slot(variant.content)).collect()
            }
        };
        slots.into_iter().map(|slot| self.node_of(slot)).collect()
    }

    /// The variant to look at: one that is not done; else one that leads to something unknown; else the one
    /// that was done first. That one ends: while it was looked at, enums within it took variants that were
    /// done still earlier. `None`: every value of the enum contains another one.
    pub(super) fn choose_variant(&self, node: usize) -> Option<usize> {
        let Node::Enum(variants) = &self.nodes[node] else { return None };
        let idle = || variants.iter().enumerate().filter(|(_, variant)| !variant.active);
        let unknown = |content| matches!(content, Content::Slot(slot) if !self.is_complete(slot));
        idle()
            .find(|(_, variant)| variant.done.is_none())
            .or_else(|| idle().find(|(_, variant)| unknown(variant.content)))
            .or_else(|| {
                let done = variants.iter().enumerate().filter(|(_, variant)| variant.done.is_some());
                done.min_by_key(|(_, variant)| variant.done)
            })
            .map(|(at, _)| at)
    }
}
