//! `eventflux inspect`.

use clap::Args;
use eventflux_core::{
    CatalogEntry, Head, Manifest, Names, ObjectId, RestoreOptions, Selector, StateContents, StateDescriptor,
    StateHolder, StateKind, contents, drive,
};
use serde_json::{Map, Value as Json, json};
use unicode_width::UnicodeWidthStr;

use super::Outcome;
use super::failure::Failure;
use super::names::key_to_text;
use super::selector::{find, parse};
use super::storage::{Storage, entry_to_json, raw_bytes};
use super::table::{Align, Table, count, cut, number, ratio, size, width};
use super::text::Teller;
use crate::beside::read_beside_writer;
use crate::clock::to_rfc3339;
use crate::error::Error;
use crate::manager::with_newest_whole;
use crate::storage::AnyBackend;

/// Rows shown of each state, unless told otherwise.
const ROWS_SHOWN: usize = 20;
/// Widest key shown whole.
const KEY_WIDTH: usize = 32;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    storage: Storage,
    /// The checkpoint: its number, label or time (RFC 3339, or @MILLISECONDS), or `latest`.
    #[arg(value_name = "CHECKPOINT", default_value = "latest", value_parser = parse)]
    checkpoint: Selector,
    /// Only the state of this name.
    #[arg(long, value_name = "NAME")]
    state: Option<String>,
    /// Rows to show of each state. Default: 20, with --json all.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A checkpoint with all it holds.
struct Inspected {
    head: Head,
    entry: CatalogEntry,
    manifest: Manifest,
    states: Vec<StateContents>,
}

pub(super) fn inspect(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let mut backend = arguments.storage.open()?;
    let found = read_beside_writer(&mut backend, |backend, head| {
        let object = find(&arguments.checkpoint, head)?;
        let (manifest, holder) = restore(backend, object)?;
        Ok((head.clone(), head.entry(object.id).cloned(), manifest, holder))
    });
    let (head, entry, manifest, holder) = found.map_err(|error| with_newest_whole(error, &mut backend))?;
    let entry = entry.ok_or_else(|| Failure::new("the checkpoint is gone"))?;
    let mut states = contents(&holder)?;
    if let Some(wanted) = &arguments.state {
        states.retain(|state| state.descriptor.shown_name() == wanted);
        if states.is_empty() {
            return Err(no_state(wanted, &manifest.states));
        }
    }
    let inspected = Inspected { head, entry, manifest, states };
    Ok(if json {
        Outcome::json(&inspected.to_json(arguments.limit))
    } else {
        // Plain values that an application with operators does not have would only confuse.
        let hide_plain = arguments.state.is_none() && inspected.manifest.states.len() > 1;
        Outcome::done(inspected.to_text(arguments.limit.unwrap_or(ROWS_SHOWN), hide_plain))
    })
}

/// Restores a checkpoint without the program that wrote it.
pub(super) fn restore(backend: &mut AnyBackend, object: ObjectId) -> Result<(Manifest, StateHolder), Error> {
    let manifest = drive(eventflux_core::ReadManifest::new(object), backend)?;
    let mut holder = StateHolder::for_manifest(&manifest)?;
    drive(eventflux_core::Restore::object(&mut holder, object, RestoreOptions::default()), backend)?;
    Ok((manifest, holder))
}

fn no_state(wanted: &str, states: &[StateDescriptor]) -> Failure {
    let names: Vec<&str> = states.iter().map(StateDescriptor::shown_name).collect();
    Failure::new(format!("the checkpoint has no state `{wanted}`; its states are: {}", names.join(", ")))
}

impl Inspected {
    fn to_json(&self, limit: Option<usize>) -> Json {
        let manifest = &self.manifest;
        let progress = &manifest.progress;
        let states: Vec<Json> = self.states.iter().map(|state| state_to_json(state, limit)).collect();
        json!({
            "checkpoint": entry_to_json(&self.entry, &self.head),
            "application": manifest.holder, "key_groups": manifest.key_groups,
            "positions": progress.positions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "outputs": progress.outputs.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "watermarks": progress.watermarks.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "engine": progress.engine.as_ref().map(|engine| json!({
                "events": engine.events, "finished": engine.finished, "timestamp_max": engine.timestamp_max,
                "operators": self.operators().map(|(name, results, late)| {
                    json!({ "name": name, "results": results, "late": late })
                }).collect::<Vec<_>>(),
            })),
            "sections": manifest.section_count(),
            "objects": manifest.needed_objects().iter().map(|object| object.name()).collect::<Vec<_>>(),
            "states": states,
        })
    }

    /// Name, results and late events of each operator.
    fn operators(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let counts = self.manifest.progress.engine.iter().flat_map(|engine| engine.results.iter().zip(&engine.late));
        let names = self.manifest.states.iter().skip(1).map(|state| state.name.as_str());
        names.zip(counts).map(|(name, (results, late))| (name, *results, *late))
    }

    fn to_text(&self, limit: usize, hide_plain: bool) -> String {
        let mut text = self.facts();
        let hidden = |state: &&StateContents| hide_plain && state.descriptor.name.is_empty() && state.rows.is_empty();
        let states: Vec<&StateContents> = self.states.iter().filter(|state| !hidden(state)).collect();
        text.push('\n');
        text.push_str(&self.states_to_text(&states));
        for state in states.into_iter().filter(|state| !state.rows.is_empty()) {
            text.push('\n');
            text.push_str(&state_to_text(state, limit));
        }
        text
    }

    /// A line a state, with the results and late events of its operator.
    fn states_to_text(&self, states: &[&StateContents]) -> String {
        let mut columns = vec![("state", Align::Left), ("kind", Align::Left), ("keys", Align::Right)];
        if self.manifest.progress.engine.is_some() {
            columns.extend([("results", Align::Right), ("late", Align::Right)]);
        }
        let mut table = Table::new(&columns);
        for StateContents { descriptor, rows } in states {
            let mut cells = vec![descriptor.shown_name().into(), descriptor.kind.as_str().into()];
            cells.push(number(rows.len() as u64));
            let operator = self.operators().find(|(name, ..)| *name == descriptor.name);
            cells.extend(operator.iter().flat_map(|(_, results, late)| [number(*results), number(*late)]));
            table.row(cells);
        }
        table.to_text("")
    }

    fn facts(&self) -> String {
        let (manifest, entry) = (&self.manifest, &self.entry);
        let progress = &manifest.progress;
        let mut facts = Table::facts();
        let id = manifest.object.id;
        let latest = if self.head.latest == Some(id) { " (latest)" } else { "" };
        facts.fact("checkpoint", format!("{id}{latest}"));
        facts.fact("label", manifest.label.as_deref().unwrap_or("none"));
        facts.fact("created", to_rfc3339(manifest.created_ms));
        let parent = manifest.parent.map(|parent| format!(", built on checkpoint {parent}"));
        facts.fact("kind", format!("{}{}", entry.kind(), parent.unwrap_or_default()));
        facts.fact("application", manifest.holder.clone());
        if let Some(engine) = &progress.engine {
            let end = if engine.finished { " (the source has ended)" } else { "" };
            facts.fact("events", format!("{}{end}", number(engine.events)));
        }
        for (name, watermark) in &progress.watermarks {
            facts.fact("watermark", format!("{name}  {}", watermark_to_text(*watermark)));
        }
        for (name, position) in &progress.positions {
            facts.fact("position", format!("{name}  {}", number(*position)));
        }
        for (name, position) in &progress.outputs {
            facts.fact("output", format!("{name}  {}", number(*position)));
        }
        let (sizes, raw) = (&entry.sizes, raw_bytes(entry));
        let (stored, ratio) = (entry.object_bytes, ratio(raw, entry.object_bytes));
        facts.fact("written", format!("{} stored, {} raw, ratio {ratio}", size(stored), size(raw)));
        let (delta, base) = (sizes.delta_rows, sizes.base_rows);
        facts.fact(
            "",
            format!(
                "{} that changed ({}), {} in new bases ({})",
                count(delta, "row"),
                size(sizes.delta_raw),
                count(base, "row"),
                size(sizes.base_raw)
            ),
        );
        let objects = manifest.needed_objects();
        let sections = count(manifest.section_count() as u64, "section");
        facts.fact(
            "to restore",
            format!("{sections} in {}, {} raw", count(objects.len() as u64, "object"), size(sizes.restore_raw)),
        );
        for object in objects {
            facts.fact("", object.name());
        }
        facts.to_text("")
    }
}

fn watermark_to_text(watermark: i64) -> String {
    match watermark {
        i64::MAX => String::from("+∞: the source has ended"),
        _ => to_rfc3339(watermark),
    }
}

fn state_to_json(state: &StateContents, limit: Option<usize>) -> Json {
    let names = Names::of(&state.descriptor);
    let rows = state.rows.iter().take(limit.unwrap_or(usize::MAX));
    let rows: Vec<Json> = rows
        .map(|(key, value)| json!({ "key": names.key_to_json(key), "value": names.value_to_json(value.clone()) }))
        .collect();
    let descriptor = &state.descriptor;
    // The schema of plain values as it is written: in an object its members would lose their order, which counts.
    let description = match descriptor.kind {
        StateKind::Values => None,
        _ => serde_json::from_str::<Map<String, Json>>(&descriptor.description).ok(),
    };
    let description = description.map_or_else(|| Json::from(descriptor.description.as_str()), Json::from);
    json!({
        "name": descriptor.shown_name(), "kind": descriptor.kind.as_str(), "version": descriptor.version,
        "description": description, "keys": state.rows.len(), "rows": rows,
    })
}

fn state_to_text(state: &StateContents, limit: usize) -> String {
    let (names, teller) = (Names::of(&state.descriptor), Teller::of(state.descriptor.kind));
    let mut text = format!("{}\n", state.descriptor.shown_name());
    let keys = state.rows.iter().take(limit).map(|(key, _)| cut(&key_to_text(key), KEY_WIDTH));
    let mut table = Table::facts();
    let widest = keys.clone().map(|key| key.width()).max().unwrap_or(0);
    for (key, (_, value)) in keys.zip(&state.rows) {
        let value = teller.value_to_text(&names.value_to_json(value.clone()));
        table.row([key, cut(&value, width() - widest - 4)]);
    }
    text.push_str(&table.to_text("  "));
    let rest = state.rows.len().saturating_sub(limit);
    if rest > 0 {
        text.push_str(&format!("  … and {} more; --limit N shows more, --json all\n", number(rest as u64)));
    }
    text
}
