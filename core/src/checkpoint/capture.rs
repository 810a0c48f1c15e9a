//! From captured rows to the object of a checkpoint. Pure, and fit for another thread.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::compaction::{Lineage, settle_credit};
use crate::error::{Error, Result};
use crate::format::head::CatalogEntry;
use crate::format::manifest::{Base, CheckpointSizes, Delta, Manifest, ObjectId, ObjectTable, Page, StateDescriptor};
use crate::format::object;
use crate::format::section::{Compression, SectionRef, append_section};
use crate::limits::{BASE_SECTION_BYTES, DELTA_SECTION_BYTES, INLINE_DELTAS_MAX, PAGE_DELTAS, SECTION_RAW_BYTES_MAX};
use crate::state::CheckpointRequest;
use crate::tracked::{CapturedRows, GroupRows};

/// The state of a holder as of one cut: rows that changed, and whole key groups.
#[derive(Debug)]
pub struct Capture {
    pub(crate) holder: String,
    pub(crate) key_groups: u16,
    pub(crate) request: CheckpointRequest,
    pub(crate) rebase: Vec<(u16, Range<u16>)>,
    pub(crate) shrunk: u64,
    pub(crate) lineage: Lineage,
    pub(crate) states: Vec<CapturedState>,
}

#[derive(Debug)]
pub(crate) struct CapturedState {
    pub(crate) rows: CapturedRows,
    pub(crate) descriptor: StateDescriptor,
}

/// A checkpoint as bytes, ready to be published.
#[derive(Debug, Clone)]
pub struct EncodedCheckpoint {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) lineage: Lineage,
    pub(crate) bytes: Vec<u8>,
    /// Checkpoint whose state this one gives another label; `None`: a state of its own.
    pub(crate) relabels: Option<u64>,
    /// Checkpoint whose sections it names: numbers begin anew in each storage, so that a number is not enough.
    pub(crate) builds_on: Option<BuildsOn>,
}

/// What tells a checkpoint from those of other storages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildsOn {
    pub(crate) object: ObjectId,
    created_ms: i64,
    sizes: CheckpointSizes,
}

impl BuildsOn {
    fn new(manifest: &Manifest) -> Self {
        BuildsOn { object: manifest.object, created_ms: manifest.created_ms, sizes: manifest.sizes }
    }

    /// Whether this entry of a catalog is that checkpoint.
    pub(crate) fn is(&self, entry: &CatalogEntry) -> bool {
        (self.object, self.created_ms, self.sizes) == (entry.object, entry.created_ms, entry.sizes)
    }
}

impl EncodedCheckpoint {
    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of the object.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sections under construction, with what they add to the sizes.
struct Assembly {
    object: Vec<u8>,
    compression: Compression,
    sizes: CheckpointSizes,
    bases: Vec<Base>,
    deltas: Vec<Delta>,
    checkpoint: u64,
}

impl Capture {
    /// Builds the object: sorts rows, packs sections, writes manifest and trailer.
    ///
    /// Deterministic: the same states, the same lineage and the same request give the same bytes.
    ///
    /// # Errors
    /// [`Error::OverLimit`] for a section beyond [`SECTION_RAW_BYTES_MAX`], or a manifest beyond
    /// [`MANIFEST_BYTES_MAX`](crate::limits::MANIFEST_BYTES_MAX).
    pub fn into_object(self, object: ObjectId, compression: Compression) -> Result<EncodedCheckpoint> {
        let mut assembly = Assembly {
            object: Vec::from(object::header(object)),
            compression,
            sizes: CheckpointSizes::default(),
            bases: Vec::new(),
            deltas: Vec::new(),
            checkpoint: object.id,
        };
        let mut dirty_in_bases = 0;
        let mut descriptors = Vec::with_capacity(self.states.len());
        for (state, captured) in self.states.into_iter().enumerate() {
            dirty_in_bases += captured.rows.dirty_in_bases;
            let ranges = self.rebase.iter().filter(|(of, _)| usize::from(*of) == state).map(|(_, range)| range.clone());
            assembly.add_bases(state as u16, ranges, captured.rows.bases)?;
            assembly.add_deltas(state as u16, captured.rows.deltas)?;
            descriptors.push(captured.descriptor);
        }
        let parent = self.lineage.manifest().map(AsRef::as_ref);
        let builds_on = parent.map(BuildsOn::new);
        let mut sizes = assembly.sizes;
        sizes.stored = (assembly.object.len() - object::HEADER_BYTES) as u64;
        sizes.dirty = if parent.is_none() { sizes.base_raw } else { sizes.delta_raw + dirty_in_bases + self.shrunk };
        let mut manifest = Manifest {
            object,
            parent: parent.map(|parent| parent.object.id),
            created_ms: self.request.created_ms,
            label: self.request.label,
            holder: self.holder,
            key_groups: self.key_groups,
            states: descriptors,
            progress: self.request.progress,
            sizes,
            objects: Vec::new(),
            bases: Vec::new(),
            pages: Vec::new(),
            deltas: Vec::new(),
            credit: 0,
            reserve: 0,
        };
        merge_sections(
            &mut manifest,
            parent,
            core::mem::take(&mut assembly.bases),
            core::mem::take(&mut assembly.deltas),
        );
        assembly.add_page(&mut manifest);
        manifest.sizes.restore_raw = manifest.sections().iter().map(|section| section.raw).sum();
        let base_cost = sizes.base_raw.saturating_sub(dirty_in_bases);
        (manifest.credit, manifest.reserve) = settle_credit(parent, &manifest, base_cost);
        object::append_manifest(&mut assembly.object, &manifest)?;
        let manifest = Arc::new(manifest);
        Ok(EncodedCheckpoint {
            lineage: Lineage::new(Arc::clone(&manifest)),
            manifest,
            bytes: assembly.object,
            relabels: None,
            builds_on,
        })
    }
}

impl Assembly {
    /// Writes the rebased ranges, cut into sections of about [`BASE_SECTION_BYTES`].
    fn add_bases(
        &mut self,
        state: u16,
        ranges: impl Iterator<Item = Range<u16>>,
        groups: Vec<GroupRows>,
    ) -> Result<()> {
        let mut groups = groups.into_iter().peekable();
        for range in ranges {
            let mut low = range.start;
            let mut raw = Vec::new();
            for group in range.clone() {
                if let Some(rows) = groups.next_if(|rows| rows.group == group) {
                    self.sizes.base_rows += rows.rows.len() as u64;
                    rows.rows.append_to(group, &mut raw);
                }
                let last = group + 1 == range.end;
                // A range without rows is one base without a section, however wide.
                if last || raw.len() as u64 >= BASE_SECTION_BYTES {
                    self.sizes.base_raw += raw.len() as u64;
                    let section = if raw.is_empty() { None } else { Some(self.pack(&raw)?) };
                    self.bases.push(Base { state, low, high: group + 1, checkpoint: self.checkpoint, section });
                    raw.clear();
                    low = group + 1;
                }
            }
        }
        Ok(())
    }

    fn add_deltas(&mut self, state: u16, groups: Vec<GroupRows>) -> Result<()> {
        let mut raw = Vec::new();
        let mut low = None;
        let mut groups = groups.into_iter().peekable();
        while let Some(rows) = groups.next() {
            self.sizes.delta_rows += rows.rows.len() as u64;
            let first = *low.get_or_insert(rows.group);
            let high = rows.group + 1;
            rows.rows.append_to(rows.group, &mut raw);
            if groups.peek().is_none() || raw.len() as u64 >= DELTA_SECTION_BYTES {
                self.sizes.delta_raw += raw.len() as u64;
                let section = self.pack(&raw)?;
                self.deltas.push(Delta { state, low: first, high, checkpoint: self.checkpoint, section, page: None });
                raw.clear();
                low = None;
            }
        }
        Ok(())
    }

    /// Moves the oldest deltas that the manifest names itself into a page, if there are many.
    fn add_page(&mut self, manifest: &mut Manifest) {
        let paged = manifest.deltas.partition_point(|delta| delta.page.is_some());
        if manifest.deltas.len() - paged < INLINE_DELTAS_MAX {
            return;
        }
        let moved = paged..paged + PAGE_DELTAS;
        let raw = manifest.page_bytes(&manifest.deltas[moved.clone()]);
        // The first object of a manifest is its own.
        let section = append_section(&mut self.object, &raw, self.compression);
        let number = manifest.pages.len() as u32;
        manifest.deltas[moved].iter_mut().for_each(|delta| delta.page = Some(number));
        manifest.pages.push(Page { section });
    }

    fn pack(&mut self, raw: &[u8]) -> Result<SectionRef> {
        if raw.len() as u64 > SECTION_RAW_BYTES_MAX {
            return Err(Error::OverLimit {
                what: "bytes of a section",
                found: raw.len() as u64,
                limit: SECTION_RAW_BYTES_MAX,
            });
        }
        Ok(append_section(&mut self.object, raw, self.compression))
    }
}

/// Puts the new sections together with those of the parent that are still needed.
fn merge_sections(manifest: &mut Manifest, parent: Option<&Manifest>, mut bases: Vec<Base>, deltas: Vec<Delta>) {
    manifest.objects.push(manifest.object);
    let Some(parent) = parent else {
        manifest.bases = bases;
        manifest.deltas = deltas;
        return;
    };
    // Place 0 of the new table is this checkpoint's own object, which the parent cannot name.
    let mut objects = ObjectTable::new(&parent.objects);
    objects.taken.push(manifest.object);
    let renewed =
        |old: &Base| bases.iter().any(|new| new.state == old.state && new.low < old.high && old.low < new.high);
    let mut kept: Vec<Base> = parent.bases.iter().filter(|old| !renewed(old)).cloned().collect();
    for section in kept.iter_mut().filter_map(|base| base.section.as_mut()) {
        section.object = objects.take(section.object);
    }
    bases.append(&mut kept);
    bases.sort_unstable_by_key(|base| (base.state, base.low));
    manifest.bases = bases;
    let mut pages: Vec<Option<u32>> = alloc::vec![None; parent.pages.len()];
    for delta in &parent.deltas {
        if !manifest.is_needed(delta) {
            continue;
        }
        let mut delta = delta.clone();
        delta.section.object = objects.take(delta.section.object);
        delta.page = delta.page.map(|page| {
            *pages[page as usize].get_or_insert_with(|| {
                let mut section = parent.pages[page as usize].section.clone();
                section.object = objects.take(section.object);
                manifest.pages.push(Page { section });
                manifest.pages.len() as u32 - 1
            })
        });
        manifest.deltas.push(delta);
    }
    manifest.deltas.extend(deltas);
    manifest.objects = objects.taken;
}
