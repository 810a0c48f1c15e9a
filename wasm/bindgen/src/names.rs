//! Shorter names of what module and bindings have of each other: wasm-bindgen puts a hash behind each, which no compressor
//! makes smaller. Nothing else of a module changes.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{ExportSection, ImportSection, Module};
use wasmparser::{Export, ImportSectionReader, Parser, Payload};

use crate::Failure;

/// Hexadecimal digits of a hash, which an underscore comes before.
const HASH_DIGITS: usize = 16;

/// Module and bindings without the hashes.
pub(crate) fn without_hashes(wasm: &[u8], bindings: &str) -> Result<(Vec<u8>, String), Failure> {
    let mut names = BTreeSet::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    names.insert(import?.name);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    names.insert(export?.name);
                }
            }
            _ => {}
        }
    }
    let mut shorter = BTreeMap::new();
    let mut taken: BTreeSet<String> = names.iter().map(|name| String::from(*name)).collect();
    for name in names {
        let Some(short) = without_hash(name) else { continue };
        // Of several that differ in their hashes alone, all but the first have a number.
        let mut numbered = (1..).map(|number| if number == 1 { short.to_owned() } else { format!("{short}{number}") });
        if let Some(free) = numbered.find(|short| taken.insert(short.clone())) {
            shorter.insert(name.to_owned(), free);
        }
    }
    let mut bindings = bindings.to_owned();
    for (name, short) in &shorter {
        if !bindings.contains(name) {
            return Err(format!("the module has `{name}`, and the bindings do not").into());
        }
        bindings = bindings.replace(name, short);
    }
    let mut module = Module::new();
    Renamed { shorter }.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok((module.finish(), bindings))
}

/// A name that ends in a hash, without it.
fn without_hash(name: &str) -> Option<&str> {
    let (short, hash) = name.rsplit_once('_')?;
    (hash.len() == HASH_DIGITS && hash.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(short)
}

struct Renamed {
    shorter: BTreeMap<String, String>,
}

impl Renamed {
    fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.shorter.get(name).map_or(name, String::as_str)
    }
}

impl Reencode for Renamed {
    type Error = Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        for import in section.into_imports() {
            let import = import?;
            let kind = self.entity_type(import.ty)?;
            imports.import(import.module, self.of(import.name), kind);
        }
        Ok(())
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) -> Result<(), Error<Infallible>> {
        let name = self.of(export.name).to_owned();
        utils::parse_export(self, exports, Export { name: &name, ..export })
    }
}
