//! From a file to a component: what it is, and whether the world fits.

use std::path::Path;
use std::sync::Arc;

use eventflux_core::plugin::Component;
use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, Module};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::error::{Error, Result};

/// The world, as a plugin in any language is written from.
pub(super) const WORLD: &str = include_str!("../../wit/eventflux.wit");
/// Largest file of a plugin, in bytes: it is part of every base of its state.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Reads a component, or a core module whose exports are those of the world.
///
/// # Errors
/// [`Error::File`]; [`Error::Plugin`] for what is neither, or too large.
pub fn load(path: &Path) -> Result<Component> {
    let failed = |reason| Error::File { action: "read", path: path.into(), reason };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    let refused = |reason: String| Error::Plugin { file: path.into(), reason };
    if length > FILE_BYTES_MAX {
        return Err(refused(format!("has {length} bytes; at most {FILE_BYTES_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    if !bytes.starts_with(MODULE) && !bytes.starts_with(COMPONENT) {
        let hint = if bytes.starts_with(b"(") { "; a text has to be assembled first" } else { "" };
        return Err(refused(format!("is no WebAssembly: neither a component nor a module{hint}")));
    }
    Ok(from_bytes(bytes))
}

/// A component with its digest.
pub(super) fn from_bytes(bytes: Vec<u8>) -> Component {
    let digest = digest(&bytes);
    Component { bytes: Arc::from(bytes), digest }
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A digest in hexadecimal digits.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The component of bytes that are one, or of a valid module. What the module itself says of its world is not looked
/// at: it has the exports of this one, or it is no plugin.
pub(super) fn encode(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    if !bytes.starts_with(MODULE) {
        return Ok(bytes.to_vec());
    }
    // What makes components of modules takes their lengths on trust.
    Module::validate(engine, bytes).map_err(|error| format!("it is no valid module: {error:#}"))?;
    let mut module = without_world(bytes).ok_or("it is no valid module: a section is cut off")?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("eventflux.wit", WORLD).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some("plugin")).map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| format!("{error:#}"))?;
    let encoded = ComponentEncoder::default().validate(true).module(&module).and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| format!("the module does not have the exports of the world: {error:#}"))
}

/// A module without the custom sections in which tools describe its world.
fn without_world(module: &[u8]) -> Option<Vec<u8>> {
    let (mut kept, mut rest) = (MODULE.to_vec(), module.get(MODULE.len()..)?);
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = leb128(after)?;
        let (section, after) = after.split_at_checked(length)?;
        let whole = rest.get(..rest.len() - after.len())?;
        let is_world = kind == 0 && leb128(section).is_some_and(|(_, name)| name.starts_with(b"component-type"));
        if !is_world {
            kept.extend_from_slice(whole);
        }
        rest = after;
    }
    Some(kept)
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}

/// What a file says of itself, before anything of it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is a core module, of which the host makes a component.
    pub is_module: bool,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// Interfaces and functions that it exports.
    pub exports: Vec<String>,
    /// What it imports; a plugin imports nothing.
    pub imports: Vec<String>,
    /// Bytes of memory that it has from the start.
    pub memory_bytes: u64,
    /// Elements of its tables from the start.
    pub table_elements: u64,
    /// Why the world does not fit; nothing if it does.
    pub misfits: Vec<String>,
}

/// What a compiled component says of itself.
pub(super) fn describe(engine: &Engine, component: &wasmtime::component::Component, facts: &mut Facts) {
    let types = component.component_type();
    for (name, _) in types.imports(engine) {
        facts.imports.push(name.into());
        facts.misfits.push(format!("it imports `{name}`; a plugin imports nothing"));
    }
    for (name, item) in types.exports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let functions = instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| format!("{name}#{function}"));
                facts.exports.extend(functions);
            }
            _ => facts.exports.push(name.into()),
        }
    }
    if let Some(needed) = component.resources_required() {
        facts.memory_bytes = u64::from(needed.num_memories > 0) * needed.max_initial_memory_size.unwrap_or(0) * 65_536;
        facts.table_elements = u64::from(needed.num_tables > 0) * needed.max_initial_table_size.unwrap_or(0);
    }
}
