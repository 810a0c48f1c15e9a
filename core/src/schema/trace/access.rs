//! The parts of lists, tuples, structs, maps and enums, as the type asks for them.

use alloc::vec::Vec;

use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::deserializer::Place;
use super::{Content, Node, Refused, Tracer, Variant, asks_differently, more_names};

/// Parts, one after the other.
pub(super) struct Items<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) slots: Vec<(&'static str, usize)>,
    pub(super) next: usize,
}

impl Items<'_> {
    fn read<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        let Some((name, slot)) = self.slots.get(self.next).copied() else { return Ok(None) };
        self.next += 1;
        if name.is_empty() {
            return seed.deserialize(Place { tracer: &mut *self.tracer, slot }).map(Some);
        }
        self.tracer.path.push(name);
        let value = seed.deserialize(Place { tracer: &mut *self.tracer, slot })?;
        self.tracer.path.pop();
        Ok(Some(value))
    }
}

impl SeqAccess<'static> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        self.read(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.slots.len() - self.next)
    }
}

impl MapAccess<'static> for Items<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        self.read(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        match self.read(seed)? {
            Some(value) => Ok(value),
            None => self.tracer.refuse("it reads values of a map without their keys"),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some((self.slots.len() - self.next) / 2)
    }
}

/// A list or map of nothing.
pub(super) struct Nothing;

impl SeqAccess<'static> for Nothing {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'static>>(&mut self, _: S) -> Result<Option<S::Value>, Refused> {
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(0)
    }
}

impl MapAccess<'static> for Nothing {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'static>>(&mut self, _: S) -> Result<Option<S::Value>, Refused> {
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'static>>(&mut self, _: S) -> Result<S::Value, Refused> {
        Err(Refused("it reads values of a map without their keys".into()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(0)
    }
}

/// A variant that was chosen.
pub(super) struct Chosen<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) node: usize,
    pub(super) number: usize,
}

impl<'a> EnumAccess<'static> for Chosen<'a> {
    type Error = Refused;
    type Variant = Chosen<'a>;

    fn variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<(S::Value, Chosen<'a>), Refused> {
        let number: U32Deserializer<Refused> = (self.number as u32).into_deserializer();
        match seed.deserialize(number) {
            Ok(variant) => Ok((variant, self)),
            // What has fewer variants than names does not take the last ones.
            Err(_) => self.tracer.refuse(more_names("variants")),
        }
    }
}

impl<'a> Chosen<'a> {
    /// The slot of what follows; made when it is asked for first.
    fn slot(self) -> Result<Place<'a>, Refused> {
        let Chosen { tracer, node, number } = self;
        let slot = match tracer.variant(node, number).content {
            Content::Slot(slot) => slot,
            Content::Unknown => {
                let slot = tracer.new_slot();
                tracer.variant(node, number).content = Content::Slot(slot);
                slot
            }
            Content::Nothing => return tracer.refuse(asks_differently("more than the name of a variant")),
        };
        Ok(Place { tracer, slot })
    }
}

impl VariantAccess<'static> for Chosen<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        let content = &mut self.tracer.variant(self.node, self.number).content;
        if matches!(content, Content::Slot(_)) {
            return self.tracer.refuse(asks_differently("the name of a variant alone"));
        }
        *content = Content::Nothing;
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<S::Value, Refused> {
        let place = self.slot()?;
        seed.deserialize(place)
    }

    fn tuple_variant<V: Visitor<'static>>(self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        self.slot()?.tuple_in_slot(length, visitor)
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.slot()?.struct_in_slot(fields, visitor)
    }
}

impl Tracer {
    pub(super) fn variant(&mut self, node: usize, number: usize) -> &mut Variant {
        let Node::Enum(variants) = &mut self.nodes[node] else { unreachable!("a node that was looked at is an enum") };
        &mut variants[number]
    }
}
