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

/// What is wrong with one part of one object.
pub(super) struct Damage {
    object: String,
    part: String,
    reason: String,
    /// Checkpoints that cannot be restored because of it, oldest first.
    checkpoints: Vec<u64>,
}

pub(super) fn verify(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    let (mut backend, head) = arguments.storage.open_with_head()?;
    let report = manager::verify(&mut backend)?;
    let damages = damages(&report);
    let exit_code = if damages.is_empty() { 0 } else { 3 };
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
                &format!("{objects} that no checkpoint needs, left by a crash: harmless, `eventflux prune` deletes what is left."),
                "",
            ));
        }
        if !damages.is_empty() {
            text.push_str(&advice(&report, &head));
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

/// A missing object is found once for each of its sections: told once.
fn damages(report: &VerifyReport) -> Vec<Damage> {
    let mut damages: Vec<Damage> = Vec::new();
    for finding in &report.findings {
        let (object, part, reason) = match &finding.error {
            Error::Damaged { object, part, reason } => (object.clone(), part.clone(), reason.clone()),
            Error::ObjectMissing { object } => (object.clone(), "object".into(), "it is missing".into()),
            error => (String::new(), "object".into(), error.to_string()),
        };
        let same = |damage: &&mut Damage| damage.object == object && damage.part == part && damage.reason == reason;
        match damages.iter_mut().find(same) {
            Some(damage) => {
                damage.checkpoints.extend(&finding.checkpoints);
                damage.checkpoints.sort_unstable();
                damage.checkpoints.dedup();
            }
            None => damages.push(Damage { object, part, reason, checkpoints: finding.checkpoints.clone() }),
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
        facts.fact("damaged", format!("{}, {}", damage.object, damage.part).trim_start_matches(", "));
        facts.fact("reason", damage.reason.clone());
        let ids: Vec<String> = damage.checkpoints.iter().map(u64::to_string).collect();
        facts.fact(
            "cannot be restored",
            format!("checkpoint{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", ")),
        );
        text.push_str(&facts.to_text(""));
        text.push('\n');
    }
    text
}

/// What to do about damage.
fn advice(report: &VerifyReport, head: &Head) -> String {
    match report.newest_whole {
        Some(id) if head.latest == Some(id) => {
            format!("The newest checkpoint, {id}, is whole: `eventflux run APP.toml` goes on from it.\n")
        }
        Some(id) => format!("The newest whole checkpoint is {id}. To go back to it:\n  {}\n", back_to(id)),
        None => String::from(
            "No checkpoint is whole. Bring the storage back from a copy, or start anew:\n  \
             eventflux run APP.toml --from none\n",
        ),
    }
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
            "checkpoints": damage.checkpoints })
    };
    damages.iter().map(to_json).collect()
}
