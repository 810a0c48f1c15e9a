//! `eventflux diff`.

use clap::Args;
use eventflux_core::{KeyDifference, Manifest, Names, Selector, StateDescriptor, difference};
use serde_json::{Value as Json, json};

use super::Outcome;
use super::failure::Failure;
use super::inspect::restore;
use super::names::key_to_text;
use super::selector::{find, parse};
use super::storage::Storage;
use super::table::{Align, Table, cut, number, width};
use super::text::Teller;
use crate::beside::read_beside_writer;
use crate::manager::with_newest_whole;

/// Differences shown of each state, unless told otherwise.
const SHOWN: usize = 20;

/// Changes shown of each key, such as its windows.
const LINES_SHOWN: usize = 6;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    storage: Storage,
    /// A checkpoint: its number, label or time (RFC 3339, or @MILLISECONDS), or `latest`.
    #[arg(value_name = "BEFORE", value_parser = parse)]
    before: Selector,
    /// The checkpoint to compare it with.
    #[arg(value_name = "AFTER", value_parser = parse)]
    after: Selector,
    /// Differences to show of each state. Default: 20, with --json all.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// The differences of one state.
struct StateDifference {
    name: String,
    names: Names,
    teller: Teller,
    keys: Vec<KeyDifference>,
    /// In both checkpoints, in the first or in the second only.
    presence: &'static str,
}

pub(super) fn diff(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let mut backend = arguments.storage.open()?;
    let found = read_beside_writer(&mut backend, |backend, head| {
        let (before, after) = (find(&arguments.before, head)?, find(&arguments.after, head)?);
        Ok([restore(backend, before)?, restore(backend, after)?])
    });
    let [(first, first_holder), (second, second_holder)] =
        found.map_err(|error| with_newest_whole(error, &mut backend))?;
    let (before, after) = (first.object.id, second.object.id);
    let states = by_state(&first, &second, difference(&first_holder, &second_holder)?);
    if json {
        let states: Vec<Json> = states.iter().map(|state| state.to_json(arguments.limit)).collect();
        return Ok(Outcome::json(&json!({ "before": before, "after": after, "states": states })));
    }
    let mut table = Table::new(&[
        ("state", Align::Left),
        ("added", Align::Right),
        ("removed", Align::Right),
        ("changed", Align::Right),
        ("", Align::Left),
    ]);
    for state in &states {
        let (added, removed, changed) = state.counts();
        let presence = match state.presence {
            "before" => format!("only in checkpoint {before}"),
            "after" => format!("only in checkpoint {after}"),
            _ => String::new(),
        };
        table.row([state.name.clone(), number(added), number(removed), number(changed), presence]);
    }
    let mut text = format!("keys from checkpoint {before} to {after}\n\n{}", table.to_text(""));
    for state in states.iter().filter(|state| !state.keys.is_empty()) {
        text.push('\n');
        text.push_str(&state.to_text(arguments.limit.unwrap_or(SHOWN)));
    }
    Ok(Outcome::done(text))
}

/// All states of both, in the order of the first, with their differences.
fn by_state(first: &Manifest, second: &Manifest, differences: Vec<KeyDifference>) -> Vec<StateDifference> {
    let has = |manifest: &Manifest, name: &str| manifest.states.iter().any(|state| state.name == name);
    let new = second.states.iter().filter(|state| !has(first, &state.name));
    let all: Vec<&StateDescriptor> = first.states.iter().chain(new).collect();
    let mut states: Vec<StateDifference> = Vec::new();
    for descriptor in &all {
        let keys: Vec<_> = differences.iter().filter(|key| key.state == descriptor.name).cloned().collect();
        // As in `inspect`: an application with operators has no plain values.
        if keys.is_empty() && descriptor.name.is_empty() && all.len() > 1 {
            continue;
        }
        states.push(StateDifference {
            name: descriptor.shown_name().into(),
            names: Names::of(descriptor),
            teller: Teller::of(descriptor.kind),
            keys,
            presence: match (has(first, &descriptor.name), has(second, &descriptor.name)) {
                (true, false) => "before",
                (false, true) => "after",
                _ => "both",
            },
        });
    }
    states
}

impl StateDifference {
    fn counts(&self) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for key in &self.keys {
            match (&key.before, &key.after) {
                (None, _) => counts.0 += 1,
                (_, None) => counts.1 += 1,
                _ => counts.2 += 1,
            }
        }
        counts
    }

    fn value(&self, value: &Option<Json>) -> Option<Json> {
        value.clone().map(|value| self.names.value_to_json(value))
    }

    fn to_json(&self, limit: Option<usize>) -> Json {
        let (added, removed, changed) = self.counts();
        let keys: Vec<Json> = self
            .keys
            .iter()
            .take(limit.unwrap_or(usize::MAX))
            .map(|key| {
                json!({ "key": self.names.key_to_json(&key.key), "before": self.value(&key.before),
                    "after": self.value(&key.after) })
            })
            .collect();
        json!({ "name": self.name, "in": self.presence, "added": added, "removed": removed, "changed": changed,
            "keys": keys })
    }

    fn to_text(&self, limit: usize) -> String {
        let mut text = format!("{}\n", self.name);
        for key in self.keys.iter().take(limit) {
            let name = cut(&key_to_text(&key.key), width() - 4);
            let (sign, lines) = match (self.value(&key.before), self.value(&key.after)) {
                (Some(before), Some(after)) => ('~', self.teller.changes(&before, &after)),
                (Some(gone), None) => ('-', vec![(' ', self.teller.value_to_text(&gone))]),
                (None, new) => ('+', vec![(' ', self.teller.value_to_text(&new.unwrap_or_default()))]),
            };
            // What results come from may change without them.
            let unseen = if sign == '~' && lines.is_empty() { "  (in what its results come from)" } else { "" };
            text.push_str(&format!("  {sign} {name}{unseen}\n"));
            for (sign, line) in lines.iter().take(LINES_SHOWN) {
                text.push_str(&format!("    {sign} {}\n", cut(line, width() - 6)));
            }
            let rest = lines.len().saturating_sub(LINES_SHOWN);
            if rest > 0 {
                text.push_str(&format!("      … and {} more changes of this key\n", number(rest as u64)));
            }
        }
        let rest = self.keys.len().saturating_sub(limit);
        if rest > 0 {
            text.push_str(&format!("  … and {} more; --limit N shows more, --json all\n", number(rest as u64)));
        }
        text
    }
}
