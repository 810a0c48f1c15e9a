//! `eventflux prune`.

use std::collections::BTreeMap;

use clap::Args;
use eventflux_core::{Backend, Finding, Head, Retention, Selector, drop_checkpoints, retain};
use serde_json::json;

use super::Outcome;
use super::failure::Failure;
use super::selector::parse;
use super::storage::{Storage, is_unneeded};
use super::table::{Table, count, size, wrap};
use super::text::shell_quoted;
use crate::error::Error;
use crate::manager::{CheckpointManager, read_head, verify};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    storage: Storage,
    /// How many of the newest checkpoints to keep, beside all labelled ones. Without it all are kept, and only what
    /// none of them needs is deleted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Delete this checkpoint too, by its number or label; may be given several times. A savepoint is kept until it is
    /// named here. The newest checkpoint cannot be deleted.
    #[arg(long, value_name = "CHECKPOINT", value_parser = parse_to_delete)]
    delete: Vec<Selector>,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

/// Whatever is nearest to a time is not what somebody wants to be rid of.
fn parse_to_delete(text: &str) -> Result<Selector, String> {
    match parse(text)? {
        Selector::Time(_) => Err("give the checkpoint's number or its label".into()),
        selector => Ok(selector),
    }
}

pub(super) fn prune(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    // How many the application keeps is not known here: whoever only tidies up loses no checkpoint.
    let retention = Retention { max_retained: arguments.keep.unwrap_or(u32::MAX) };
    if arguments.keep.is_some() || !arguments.delete.is_empty() {
        refuse_damaged(&arguments.storage)?;
    }
    let (before, after, deleted) =
        if arguments.dry_run { plan(arguments, retention)? } else { delete(arguments, retention)? };
    let gone: Vec<u64> = before.iter().copied().filter(|id| !after.contains(id)).collect();
    let freed: u64 = deleted.iter().map(|(_, bytes)| bytes).sum();
    if json {
        let objects: Vec<_> = deleted.iter().map(|(name, bytes)| json!({ "object": name, "bytes": bytes })).collect();
        return Ok(Outcome::json(&json!({
            "dry_run": arguments.dry_run, "deleted_checkpoints": gone, "deleted_objects": objects,
            "freed_bytes": freed, "kept_checkpoints": after,
        })));
    }
    let would = if arguments.dry_run { "would be " } else { "" };
    let ids: Vec<String> = gone.iter().map(u64::to_string).collect();
    let mut text = String::new();
    if !gone.is_empty() {
        text.push_str(&wrap(&format!("checkpoints {would}deleted: {}", ids.join(", ")), ""));
    }
    let mut table = Table::facts();
    for (name, bytes) in &deleted {
        table.row([name.clone(), size(*bytes)]);
    }
    text.push_str(&table.to_text("  "));
    let kept = count(after.len() as u64, "checkpoint");
    let objects = count(deleted.len() as u64, "object");
    text.push_str(&format!("{objects} {would}deleted, {} {would}freed; {kept} kept\n", size(freed)));
    Ok(Outcome::done(text))
}

/// Numbers of the checkpoints before and after, and the objects that go, with their sizes.
type Pruned = (Vec<u64>, Vec<u64>, Vec<(String, u64)>);

fn plan(arguments: &Arguments, retention: Retention) -> Result<Pruned, Failure> {
    let mut backend = arguments.storage.open()?;
    // Before the head: what a run beside this publishes meanwhile is needed.
    let objects = backend.list()?;
    let mut head = read_head(&mut backend)?;
    let before = ids(&head);
    drop_checkpoints(&mut head, &arguments.delete).map_err(Error::from)?;
    retain(&mut head, retention);
    let unneeded = objects.into_iter().filter(|object| is_unneeded(&head, &object.name));
    let mut deleted: Vec<_> = unneeded.map(|object| (object.name, object.len)).collect();
    deleted.sort_unstable();
    Ok((before, ids(&head), deleted))
}

fn delete(arguments: &Arguments, retention: Retention) -> Result<Pruned, Failure> {
    let mut manager = arguments.storage.open_to_write("pruning")?;
    let listed = |manager: &CheckpointManager<_>| manager.list().iter().map(|entry| entry.object.id).collect();
    let before = listed(&manager);
    let objects = manager.backend_mut().list()?;
    let sizes: BTreeMap<String, u64> = objects.into_iter().map(|object| (object.name, object.len)).collect();
    let mut names = manager.prune_and_delete(retention, &arguments.delete)?;
    names.sort_unstable();
    let deleted = names.into_iter().map(|name| {
        let bytes = sizes.get(&name).copied().unwrap_or(0);
        (name, bytes)
    });
    let deleted = deleted.collect();
    Ok((before, listed(&manager), deleted))
}

/// What retention keeps are the newest checkpoints: if those are damaged, it would delete the whole ones.
fn refuse_damaged(storage: &Storage) -> Result<(), Failure> {
    let (mut backend, head) = storage.open_with_head()?;
    let report = verify(&mut backend)?;
    let of_latest = |finding: &&Finding| head.latest.is_some_and(|latest| finding.checkpoints.contains(&latest));
    match report.findings.iter().find(of_latest) {
        Some(finding) => Err(Failure::from(Error::from(finding.error.clone())).with_advice(&format!(
            "The newest checkpoint {}, and pruning would delete older ones that may be whole. Nothing was \
             deleted. To see more: eventflux verify {}",
            if finding.error.is_damage() { "is damaged" } else { "could not be read" },
            shell_quoted(&storage.address()?.to_string())
        ))),
        None => Ok(()),
    }
}

fn ids(head: &Head) -> Vec<u64> {
    head.entries.iter().map(|entry| entry.object.id).collect()
}
