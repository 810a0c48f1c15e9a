//! Puts functions that are alike next to each other: a compressor then writes in fewer bits what one repeats of the
//! other. Nothing else of a module changes.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

use crate::Failure;

/// Functions are alike by the pieces of so many bytes that they share.
const PIECE_BYTES: usize = 6;
/// A piece that more functions have says nothing of any of them.
const SHARERS_MAX: usize = 200;

/// The same module with its functions in another order.
pub(crate) fn by_likeness(wasm: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut imported = 0;
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += usize::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(&wasm[body.range()]),
            _ => {}
        }
    }
    let order = order(&bodies);
    let mut numbers = vec![0; order.len()];
    for (number, function) in (imported..).zip(&order) {
        numbers[*function] = number as u32;
    }
    let mut module = Module::new();
    Reordered { imported, order, numbers }.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

/// Each function is followed by the one most like it of those that are left.
fn order(bodies: &[&[u8]]) -> Vec<usize> {
    let pieces = |body: &&'_ [u8]| -> HashSet<Vec<u8>> {
        body.windows(PIECE_BYTES.min(body.len())).map(<[u8]>::to_vec).collect()
    };
    let pieces: Vec<HashSet<Vec<u8>>> = bodies.iter().map(pieces).collect();
    let mut sharers: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (function, pieces) in pieces.iter().enumerate() {
        for piece in pieces {
            sharers.entry(piece).or_default().push(function);
        }
    }
    sharers.retain(|_, functions| functions.len() <= SHARERS_MAX);

    let mut order: Vec<usize> = Vec::with_capacity(bodies.len());
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    while !left.is_empty() {
        let mut shared = vec![0; bodies.len()];
        if let Some(last) = order.last() {
            for other in pieces[*last].iter().filter_map(|piece| sharers.get(piece.as_slice())).flatten() {
                shared[*other] += 1;
            }
        }
        let have = |function: usize| pieces[function].len() + order.last().map_or(0, |last| pieces[*last].len());
        let more_alike = |one: &(usize, &usize), other: &(usize, &usize)| -> Ordering {
            let (one, other) = (*one.1, *other.1);
            // Of all pieces that the two have, the part that both have; the first of several that are equally alike.
            let alike = |function: usize, of: usize| shared[function] * (have(of) - shared[of]);
            alike(one, other).cmp(&alike(other, one)).then(other.cmp(&one))
        };
        let Some((place, _)) = left.iter().enumerate().max_by(more_alike) else { break };
        order.push(left.swap_remove(place));
    }
    order
}

struct Reordered {
    /// Functions that are imported: they come first, and stay.
    imported: usize,
    /// The module's own, from 0, in their new order.
    order: Vec<usize>,
    /// Their new numbers, in the old order.
    numbers: Vec<u32>,
}

impl Reencode for Reordered {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok((function as usize).checked_sub(self.imported).map_or(function, |own| self.numbers[own]))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
        for function in &self.order {
            functions.function(types[*function]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for function in self.order.clone() {
            self.parse_function_body(code, bodies[function].clone())?;
        }
        Ok(())
    }
}
