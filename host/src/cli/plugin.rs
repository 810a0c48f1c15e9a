//! `eventflux plugin check`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Outcome;
use super::failure::Failure;
use super::table::{Table, size};
use crate::plugin::{self, Facts, GuestFacts};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists a plugin's exports and imports, and says whether it can be an operator. Exit code 1 if it cannot.
    Check {
        /// A WebAssembly component, or a core module with the exports of the world.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) fn plugin(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let Command::Check { file } = &arguments.command;
    let component = plugin::load(file)?;
    let runtime = plugin::Runtime::new().map_err(Failure::new)?;
    let mut facts = runtime.inspect(&component);
    let guest = if facts.misfits.is_empty() {
        runtime.describe(&component).map_err(|reason| facts.misfits.push(reason)).ok()
    } else {
        None
    };
    let text =
        if json { format!("{}\n", to_json(&facts, guest.as_ref())) } else { to_text(file, &facts, guest.as_ref()) };
    Ok(Outcome { text, exit_code: u8::from(!facts.misfits.is_empty()) })
}

fn to_text(file: &Path, facts: &Facts, guest: Option<&GuestFacts>) -> String {
    let mut table = Table::facts();
    table.fact("file", file.display().to_string());
    table.fact("is", if facts.is_module { "a core module, of which a component is made" } else { "a component" });
    table.fact("size", size(facts.bytes));
    table.fact("sha256", facts.digest.clone());
    if let Some(guest) = guest {
        let (description, readable) = (&guest.description, &guest.readable);
        table.fact("plugin", format!("{} {}", description.name, description.version));
        table.fact("state", format!("{} version {}", description.schema.name, description.schema.version));
        let readable: Vec<String> =
            readable.iter().map(|schema| format!("{} version {}", schema.name, schema.version)).collect();
        table.fact("restores", readable.join(", "));
    }
    if facts.misfits.is_empty() {
        table.fact("memory", format!("{} at its start", size(facts.memory_bytes)));
        table.fact("tables", format!("{} elements at its start", facts.table_elements));
    }
    table.fact("imports", if facts.imports.is_empty() { "nothing".into() } else { facts.imports.join(", ") });
    let mut text = table.to_text("");
    for (at, export) in facts.exports.iter().enumerate() {
        text.push_str(&format!("{} {export}\n", if at == 0 { "exports" } else { "       " }));
    }
    text.push('\n');
    match facts.misfits.as_slice() {
        [] => text.push_str("The world fits: it can be an operator (plugin = …).\n"),
        misfits => {
            text.push_str("It cannot be an operator:\n");
            misfits.iter().for_each(|misfit| text.push_str(&format!("  {misfit}\n")));
        }
    }
    text
}

fn to_json(facts: &Facts, guest: Option<&GuestFacts>) -> Json {
    let schema = |schema: &plugin::GuestSchema| json!({ "name": schema.name, "version": schema.version });
    json!({
        "fits": facts.misfits.is_empty(), "misfits": facts.misfits, "is_module": facts.is_module, "bytes": facts.bytes,
        "sha256": facts.digest, "imports": facts.imports, "exports": facts.exports,
        "memory_bytes": facts.memory_bytes, "table_elements": facts.table_elements,
        "name": guest.map(|guest| &guest.description.name), "version": guest.map(|guest| &guest.description.version),
        "schema": guest.map(|guest| schema(&guest.description.schema)),
        "readable": guest.map(|guest| guest.readable.iter().map(schema).collect::<Vec<_>>()),
    })
}
