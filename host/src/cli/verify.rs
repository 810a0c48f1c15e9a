//! `eventflux verify`.

use clap::Args;
use eventflux_core::{Backend, Error, Head, VerifyReport};
use serde_json::{Value as Json, json};

use super::Outcome;
use super::failure::Failure;
use super::storage::Storage;
use super::table::{Table, count, size, wrap};
use crate::manager;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    storage: Storage,
}

/// What is wrong with one part of one object, or that it could not be read.
pub(super) struct Damage {
    object: String,
    part: String,
    reason: String,
    /// Whether it could not be read: it may be whole.
    is_unread: bool,
    /// Checkpoints that need it, oldest first.
    checkpoints: Vec<u64>,
}

pub(super) fn verify(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let (mut backend, head) = arguments.storage.open_with_head()?;
    let report = manager::verify(&mut backend)?;
    let damages = damages(&report);
    let exit_code = exit_code(&damages);
    let text = if json {
        format!("{}\n", to_json(&report, &head, &damages))
    } else {
        let mut text = damages_to_text(&damages);
        text.push_str(&format!(
            "{}: {}\n",
            read_to_text(&report),
            if damages.is_empty() { String::from("all is well") } else { count(damages.len() as u64, "finding") }
        ));
        if !report.unneeded.is_empty() {
            let objects = count(report.unneeded.len() as u64, "object");
            text.push_str(&wrap(
                &format!(
                    "{objects} that no checkpoint needs, left by a crash or on the way of a run that lives: harmless, \
                     `eventflux prune` deletes what is left once no run has the storage."
                ),
                "",
            ));
        }
        if !damages.is_empty() {
            text.push_str(&advice(&report, &head, &damages));
        }
        text
    };
    Ok(Outcome { text, exit_code })
}

/// Reads and checks everything; what is wrong, put together by object and part.
pub(super) fn check(backend: &mut (impl Backend + ?Sized)) -> Result<(VerifyReport, Vec<Damage>), Failure> {
    let report = manager::verify(backend)?;
    let damages = damages(&report);
    Ok((report, damages))
}

/// 3 for damage; 1 if all that was found is that something could not be read.
pub(super) fn exit_code(damages: &[Damage]) -> u8 {
    match damages {
        [] => 0,
        _ if damages.iter().all(|damage| damage.is_unread) => 1,
        _ => 3,
    }
}

/// A missing object is found once for each of its sections: told once.
fn damages(report: &VerifyReport) -> Vec<Damage> {
    let mut damages: Vec<Damage> = Vec::new();
    for finding in &report.findings {
        let (object, part, reason) = match &finding.error {
            Error::Damaged { object, part, reason } => (object.clone(), part.clone(), reason.clone()),
            Error::ObjectMissing { object } => (object.clone(), "object".into(), "it is missing".into()),
            Error::Storage { object, reason, .. } => (object.clone(), "object".into(), reason.clone()),
            error => (String::new(), "object".into(), error.to_string()),
        };
        let is_unread = !finding.error.is_damage();
        let same = |damage: &&mut Damage| damage.object == object && damage.part == part && damage.reason == reason;
        match damages.iter_mut().find(same) {
            Some(damage) => {
                damage.checkpoints.extend(&finding.checkpoints);
                damage.checkpoints.sort_unstable();
                damage.checkpoints.dedup();
            }
            None => damages.push(Damage { object, part, reason, is_unread, checkpoints: finding.checkpoints.clone() }),
        }
    }
    damages
}

/// `7 checkpoints, 34 sections, 479 kB`.
pub(super) fn read_to_text(report: &VerifyReport) -> String {
    let (checkpoints, sections) = (count(report.checkpoints, "checkpoint"), count(report.sections, "section"));
    format!("{checkpoints}, {sections}, {}", size(report.bytes))
}

/// The findings, a paragraph each.
pub(super) fn damages_to_text(damages: &[Damage]) -> String {
    let mut text = String::new();
    for damage in damages {
        let mut facts = Table::facts();
        let (what, consequence) = match damage.is_unread {
            true => ("could not be read", "needed by"),
            false => ("damaged", "cannot be restored"),
        };
        facts.fact(what, format!("{}, {}", damage.object, damage.part).trim_start_matches(", "));
        facts.fact("reason", damage.reason.clone());
        let ids: Vec<String> = damage.checkpoints.iter().map(u64::to_string).collect();
        facts.fact(consequence, format!("checkpoint{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", ")));
        text.push_str(&facts.to_text(""));
        text.push('\n');
    }
    text
}

/// What to do about it.
fn advice(report: &VerifyReport, head: &Head, damages: &[Damage]) -> String {
    let unread = damages.iter().any(|damage| damage.is_unread);
    let mut advice = match report.newest_whole {
        Some(id) if head.latest == Some(id) => {
            format!("The newest checkpoint, {id}, is whole: `eventflux run APP.toml` goes on from it.\n")
        }
        Some(id) => format!("The newest whole checkpoint is {id}. To go back to it:\n  {}\n", back_to(id)),
        // The newest that is whole may be one that could not be read.
        None if unread => String::new(),
        None => String::from(
            "No checkpoint is whole. Bring the storage back from a copy, or start anew:\n  \
             eventflux run APP.toml --from none\n",
        ),
    };
    if unread {
        advice.push_str("What could not be read may be whole: see that the storage can be read, then verify again.\n");
    }
    advice
}

fn back_to(id: u64) -> String {
    format!("eventflux run APP.toml --from {id}")
}

fn to_json(report: &VerifyReport, head: &Head, damages: &[Damage]) -> Json {
    let command = match report.newest_whole {
        Some(id) if !damages.is_empty() => Some(back_to(id)),
        _ => None,
    };
    json!({
        "checkpoints": report.checkpoints, "sections": report.sections, "bytes": report.bytes,
        "findings": damages_to_json(damages), "unneeded": report.unneeded,
        "latest": head.latest, "newest_whole": report.newest_whole, "command": command,
    })
}

/// The findings as JSON.
pub(super) fn damages_to_json(damages: &[Damage]) -> Json {
    let to_json = |damage: &Damage| {
        json!({ "object": damage.object, "part": damage.part, "reason": damage.reason,
            "is_damage": !damage.is_unread, "checkpoints": damage.checkpoints })
    };
    damages.iter().map(to_json).collect()
}
