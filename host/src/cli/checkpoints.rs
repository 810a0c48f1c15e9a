//! `eventflux checkpoints`.

use clap::Args;
use serde_json::Value as Json;

use super::Outcome;
use super::failure::Failure;
use super::storage::{Storage, entry_to_json, raw_bytes};
use super::table::{Align, Table, number, ratio, size};
use crate::clock::to_rfc3339;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    storage: Storage,
}

pub(super) fn checkpoints(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let (_, head) = arguments.storage.open_with_head()?;
    if json {
        let list: Json = head.entries.iter().map(|entry| entry_to_json(entry, &head)).collect();
        return Ok(Outcome::json(&list));
    }
    if head.entries.is_empty() {
        return Ok(Outcome::done(String::from("no checkpoints yet\n")));
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("id", Align::Right),
        ("time (UTC)", Align::Left),
        ("kind", Align::Left),
        ("stored", Align::Right),
        ("ratio", Align::Right),
        ("rows", Align::Right),
        ("label", Align::Left),
    ]);
    for entry in &head.entries {
        let raw = raw_bytes(entry);
        table.row([
            String::from(if head.latest == Some(entry.object.id) { "*" } else { "" }),
            entry.object.id.to_string(),
            to_rfc3339(entry.created_ms),
            entry.kind().into(),
            size(entry.object_bytes),
            ratio(raw, entry.object_bytes),
            number(entry.sizes.delta_rows.saturating_add(entry.sizes.base_rows)),
            entry.label.clone().unwrap_or_default(),
        ]);
    }
    Ok(Outcome::done(table.to_text("")))
}
