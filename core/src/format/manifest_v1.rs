//! The manifest as version 1 of the format has it: read, never written.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use super::manifest::{Base, CheckpointSizes, Delta, Manifest, ObjectId, Page, Progress, StateDescriptor};
use super::section::SectionRef;

/// A base as version 1 has it: without a plan.
#[derive(Debug, Deserialize)]
struct BaseV1 {
    state: u16,
    low: u16,
    high: u16,
    checkpoint: u64,
    section: Option<SectionRef>,
}

/// A manifest as version 1 has it: without plans.
#[derive(Debug, Deserialize)]
pub(super) struct ManifestV1 {
    object: ObjectId,
    parent: Option<u64>,
    created_ms: i64,
    label: Option<String>,
    holder: String,
    key_groups: u16,
    states: Vec<StateDescriptor>,
    progress: Progress,
    sizes: CheckpointSizes,
    objects: Vec<ObjectId>,
    bases: Vec<BaseV1>,
    pages: Vec<Page>,
    deltas: Vec<Delta>,
    credit: i64,
    reserve: i64,
}

impl ManifestV1 {
    pub(super) fn into_manifest(self) -> Manifest {
        let base = |BaseV1 { state, low, high, checkpoint, section }| Base {
            state,
            low,
            high,
            checkpoint,
            section,
            plan: None,
        };
        Manifest {
            object: self.object,
            parent: self.parent,
            created_ms: self.created_ms,
            label: self.label,
            holder: self.holder,
            key_groups: self.key_groups,
            states: self.states,
            progress: self.progress,
            sizes: self.sizes,
            objects: self.objects,
            bases: self.bases.into_iter().map(base).collect(),
            plans: Vec::new(),
            pages: self.pages,
            deltas: self.deltas,
            credit: self.credit,
            reserve: self.reserve,
        }
    }
}
