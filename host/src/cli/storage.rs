//! `eventflux checkpoints` and `eventflux verify`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::print_line;
use crate::clock::to_rfc3339;
use crate::error::Result;
use crate::manager::{read_head, verify};
use crate::storage::{Access, StorageAddress};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The storage: file:PATH or a path.
    storage: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn checkpoints(arguments: &Arguments) -> Result<u8> {
    let mut backend = StorageAddress::parse(&arguments.storage, Path::new(""))?.open(Access::Read)?;
    let head = read_head(&mut backend)?;
    if arguments.json {
        let list: Vec<_> = head
            .entries
            .iter()
            .map(|entry| {
                json!({ "id": entry.object.id, "parent": entry.parent, "created_ms": entry.created_ms,
                    "kind": entry.kind(), "label": entry.label, "bytes": entry.object_bytes,
                    "raw_bytes": entry.sizes.delta_raw + entry.sizes.base_raw,
                    "latest": head.latest == Some(entry.object.id) })
            })
            .collect();
        print_line(&json!(list).to_string());
        return Ok(0);
    }
    print_line(&format!("{:>6}  {:24}  {:11}  {:>9}  {:>9}  label", "id", "time", "kind", "raw", "stored"));
    for entry in &head.entries {
        print_line(&format!(
            "{:>6}  {:24}  {:11}  {:>9}  {:>9}  {}",
            entry.object.id,
            to_rfc3339(entry.created_ms),
            entry.kind(),
            entry.sizes.delta_raw + entry.sizes.base_raw,
            entry.object_bytes,
            entry.label.as_deref().unwrap_or("")
        ));
    }
    Ok(0)
}

pub(super) fn verify_all(arguments: &Arguments) -> Result<u8> {
    let mut backend = StorageAddress::parse(&arguments.storage, Path::new(""))?.open(Access::Read)?;
    let report = verify(&mut backend)?;
    if arguments.json {
        let findings: Vec<_> = report
            .findings
            .iter()
            .map(|finding| json!({ "checkpoints": finding.checkpoints, "error": finding.error.to_string() }))
            .collect();
        print_line(
            &json!({ "checkpoints": report.checkpoints, "sections": report.sections, "bytes": report.bytes,
                "findings": findings, "newest_whole": report.newest_whole })
            .to_string(),
        );
    } else {
        for finding in &report.findings {
            print_line(&format!("{} (checkpoints {:?} cannot be restored)", finding.error, finding.checkpoints));
        }
        print_line(&format!(
            "{} checkpoints, {} sections, {} bytes: {} damaged",
            report.checkpoints,
            report.sections,
            report.bytes,
            report.findings.len()
        ));
    }
    Ok(if report.findings.is_empty() { 0 } else { 3 })
}
