//! The record of a manifest: as this version writes it, and as each version that there was is read.

use alloc::vec::Vec;

use serde::Deserialize;

use super::manifest::Manifest;
use super::manifest_names::Names;
use super::manifest_parts::{Base, Delta};
use super::section::SectionRef;
use super::{Cursor, Malformed, append};

/// A base as version 1 has it: without a plan.
#[derive(Debug, Deserialize)]
struct BaseV1 {
    state: u16,
    low: u16,
    high: u16,
    checkpoint: u64,
    section: Option<SectionRef>,
}

impl From<BaseV1> for Base {
    fn from(BaseV1 { state, low, high, checkpoint, section }: BaseV1) -> Self {
        Base { state, low, high, checkpoint, section, plan: None, page: None }
    }
}

impl Manifest {
    /// Bytes of the manifest: of bases and deltas, those that no page names.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut names = Names::new(self);
        let bases: Vec<Base> =
            self.bases.iter().filter(|base| base.page.is_none()).map(|base| names.base(base)).collect();
        let deltas: Vec<Delta> =
            self.deltas.iter().filter(|delta| delta.page.is_none()).map(|delta| names.delta(delta)).collect();
        let base_pages: Vec<SectionRef> = self.base_pages.iter().map(|page| names.section(page)).collect();
        let pages: Vec<SectionRef> = self.pages.iter().map(|page| names.section(page)).collect();
        let mut out = Vec::new();
        append(&mut out, &(self.object, self.parent, self.created_ms, &self.label, &self.holder, self.key_groups));
        append(&mut out, &(&self.states, &self.progress, &self.sizes, &names.objects.taken));
        append(&mut out, &(bases, &names.plans.taken, base_pages));
        append(&mut out, &(pages, deltas, self.credit, self.reserve));
        out
    }

    /// Reads and checks the record of a version: after this every index and range of it is good. What its pages name is
    /// not in it yet: see [`Paging`](super::manifest_pages::Paging).
    pub(crate) fn from_bytes(version: u16, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let (object, parent, created_ms, label, holder, key_groups) = cursor.record()?;
        let (states, progress, sizes, objects) = cursor.record()?;
        let bases = match version {
            1 => cursor.record::<Vec<BaseV1>>()?.into_iter().map(Base::from).collect(),
            _ => cursor.record()?,
        };
        let plans = if version >= 2 { cursor.record()? } else { Vec::new() };
        let base_pages = if version >= 3 { cursor.record()? } else { Vec::new() };
        let (pages, deltas, credit, reserve) = cursor.record()?;
        cursor.finish()?;
        let manifest = Manifest {
            object,
            parent,
            created_ms,
            label,
            holder,
            key_groups,
            states,
            progress,
            sizes,
            objects,
            bases,
            plans,
            base_pages,
            pages,
            deltas,
            credit,
            reserve,
        };
        manifest.check()?;
        if version == 1 && manifest.sections().iter().any(|section| section.codec.is_columns()) {
            return Err(Malformed::new("version 1 has no columns"));
        }
        Ok(manifest)
    }
}
