//! `eventflux savepoint`.

use clap::Args;
use eventflux_core::limits::LABEL_BYTES_MAX;
use eventflux_core::{Head, Selector};
use serde_json::json;

use super::Outcome;
use super::failure::Failure;
use super::selector::{find, is_ambiguous, parse};
use super::storage::{Storage, entry_to_json};
use super::table::wrap;
use super::text::shell_quoted;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    storage: Storage,
    /// The label: any text that is not a number, a time, `latest` or `none`, and does not begin with @.
    #[arg(value_name = "LABEL", value_parser = label)]
    label: String,
    /// The checkpoint to label: its number, label or time (RFC 3339, or @MILLISECONDS).
    #[arg(long, value_name = "CHECKPOINT", default_value = "latest", value_parser = parse)]
    of: Selector,
}

pub(super) fn savepoint(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let label = &arguments.label;
    // Before the storage is opened for writing, which costs it a generation.
    let (_, head) = arguments.storage.open_with_head()?;
    refuse_used(label, &head)?;
    let of = find(&arguments.of, &head)?.id;
    let mut manager = arguments.storage.open_to_write("a savepoint")?;
    refuse_used(label, &Head { entries: manager.list().to_vec(), ..Head::default() })?;
    let saved = manager.savepoint(&Selector::Id(of), label)?;
    let latest = manager.latest().map(|entry| entry.object.id);
    if json {
        let head = Head { latest, ..Head::default() };
        let mut answer = entry_to_json(&saved, &head);
        answer["of"] = json!(of);
        return Ok(Outcome::json(&answer));
    }
    let mut text = format!("savepoint `{label}`: checkpoint {}, the state of checkpoint {of}\n", saved.object.id);
    if latest != Some(saved.object.id) {
        let goes_on = latest.unwrap_or_default();
        text.push_str(&wrap(
            &format!(
                "`eventflux run` still goes on from checkpoint {goes_on}; with --from {} it goes back.",
                shell_quoted(label)
            ),
            "",
        ));
    }
    Ok(Outcome::done(text))
}

fn refuse_used(label: &str, head: &Head) -> Result<(), Failure> {
    match head.entries.iter().find(|entry| entry.label.as_deref() == Some(label)) {
        Some(entry) => {
            let id = entry.object.id;
            Err(Failure::new(format!("the label `{label}` is in use, by checkpoint {id}; choose another")))
        }
        None => Ok(()),
    }
}

/// A label that `--from` finds again.
fn label(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(String::from("it is empty"));
    }
    if text.len() > LABEL_BYTES_MAX {
        return Err(format!("it has {} bytes; a label has at most {LABEL_BYTES_MAX}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(String::from("it has control characters; a label has none"));
    }
    if is_ambiguous(text) {
        return Err(String::from(
            "`--from` would take it for something else than a label: a number, a time, `latest` or `none`",
        ));
    }
    Ok(text.into())
}
