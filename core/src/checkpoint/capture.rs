//! From captured rows to the object of a checkpoint. Pure, and fit for another thread.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::compaction::{Lineage, settle_credit};
use crate::error::{Error, Result};
use crate::format::columns::{self, EncodedColumns};
use crate::format::head::CatalogEntry;
use crate::format::manifest::{
    Base, CheckpointSizes, Delta, Manifest, ObjectId, ObjectTable, Page, StateDescriptor, StateKind,
};
use crate::format::object;
use crate::format::row_block::RowBlock;
use crate::format::section::{Compression, SectionRef, append_columns, append_section};
use crate::limits::{
    BASE_SECTION_BYTES, DELTA_SECTION_BYTES, INLINE_DELTAS_MAX, PAGE_DELTAS, PLAN_ROWS_BYTES, SECTION_RAW_BYTES_MAX,
    SMALL_SECTION_BYTES,
};
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
    pub(crate) dirty_entries: u64,
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
    /// A checkpoint that came from elsewhere as the bytes of its object, such as from a device: to be published.
    ///
    /// The storage must have what it builds on, and it must be of [`Writer::next_object`](crate::Writer::next_object).
    /// Its sections are not read: `Verify` does that.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::VersionTooNew`]; [`Error::OverLimit`] if it has pages, which say more than can be
    /// known of one object.
    pub fn from_object(object: ObjectId, bytes: Vec<u8>) -> Result<Self> {
        let (header, tail) = bytes.split_at(bytes.len().min(object::HEADER_BYTES));
        let trailer = &tail[tail.len().saturating_sub(object::TRAILER_BYTES)..];
        let len = object::read_trailer(&object.name(), trailer)?.saturating_add(object::TRAILER_BYTES as u64);
        let from = (tail.len() as u64).saturating_sub(len) as usize;
        let manifest = Arc::new(object::read_manifest(object, header, &tail[from..])?);
        if !manifest.pages.is_empty() {
            let found = manifest.pages.len() as u64;
            return Err(Error::OverLimit { what: "number of pages of a checkpoint from elsewhere", found, limit: 0 });
        }
        Ok(EncodedCheckpoint {
            lineage: Lineage::new(Arc::clone(&manifest)),
            dirty_entries: manifest.sizes.delta_rows + manifest.sizes.base_rows,
            manifest,
            bytes,
            relabels: None,
            builds_on: None,
        })
    }

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

    /// Entries, over all states, that changed since the checkpoint before: written, or removed.
    #[must_use]
    pub fn dirty_entries(&self) -> u64 {
        self.dirty_entries
    }

    /// Bytes that its deltas take in its object.
    #[must_use]
    pub fn delta_stored_bytes(&self) -> u64 {
        self.stored_bytes(self.manifest.deltas.iter().map(|delta| &delta.section))
    }

    /// Bytes that its bases take in its object, with the plans of their columns. What is left of the
    /// object is header, manifest and trailer.
    #[must_use]
    pub fn base_stored_bytes(&self) -> u64 {
        let bases = self.manifest.bases.iter().filter_map(|base| base.section.as_ref());
        self.stored_bytes(bases.chain(&self.manifest.plans))
    }

    /// Stored bytes of those of the sections that are in the checkpoint's own object.
    fn stored_bytes<'a>(&self, sections: impl Iterator<Item = &'a SectionRef>) -> u64 {
        let own = sections.filter(|section| self.manifest.objects[section.object as usize] == self.manifest.object);
        own.map(|section| section.stored).sum()
    }
}

/// Sections under construction, with what they add to the sizes.
struct Assembly {
    object: Vec<u8>,
    compression: Compression,
    /// Whether sections are rows, even where columns are shorter.
    plain: bool,
    sizes: CheckpointSizes,
    bases: Vec<Base>,
    deltas: Vec<Delta>,
    plans: Vec<SectionRef>,
    checkpoint: u64,
}

impl Capture {
    /// Id of the holder that was captured.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Builds the object: sorts rows, packs sections, writes manifest and trailer.
    ///
    /// Deterministic: the same states, the same lineage and the same request give the same bytes.
    ///
    /// # Errors
    /// [`Error::OverLimit`] for a section beyond [`SECTION_RAW_BYTES_MAX`], or a manifest beyond
    /// [`MANIFEST_BYTES_MAX`](crate::limits::MANIFEST_BYTES_MAX).
    pub fn into_object(self, object: ObjectId, compression: Compression) -> Result<EncodedCheckpoint> {
        self.assemble(object, compression, false)
    }

    /// As [`Capture::into_object`], with sections that are rows as they are: what
    /// [`FixedHolder`](crate::FixedHolder) writes, and all that it reads. For one that it restores alone, begin
    /// with [`StateHolder::begin_whole`](crate::StateHolder::begin_whole).
    ///
    /// # Errors
    /// As [`Capture::into_object`].
    pub fn into_plain_object(self, object: ObjectId) -> Result<EncodedCheckpoint> {
        self.assemble(object, Compression::None, true)
    }

    fn assemble(self, object: ObjectId, compression: Compression, plain: bool) -> Result<EncodedCheckpoint> {
        let mut assembly = Assembly {
            object: Vec::from(object::header(object)),
            compression,
            plain,
            sizes: CheckpointSizes::default(),
            bases: Vec::new(),
            deltas: Vec::new(),
            plans: Vec::new(),
            checkpoint: object.id,
        };
        let (mut dirty_in_bases, mut dirty_entries) = (0, 0);
        let mut descriptors = Vec::with_capacity(self.states.len());
        for (state, captured) in self.states.into_iter().enumerate() {
            dirty_in_bases += captured.rows.dirty_in_bases;
            dirty_entries += captured.rows.dirty_entries;
            let ranges = self.rebase.iter().filter(|(of, _)| usize::from(*of) == state).map(|(_, range)| range.clone());
            let kind = captured.descriptor.kind;
            assembly.add_bases(state as u16, kind, ranges, captured.rows.bases)?;
            assembly.add_deltas(state as u16, kind, captured.rows.deltas)?;
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
            plans: core::mem::take(&mut assembly.plans),
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
            dirty_entries,
            relabels: None,
            builds_on,
        })
    }
}

/// Rows of one section to be: those of a range of key groups.
struct SectionRows {
    low: u16,
    high: u16,
    blocks: Vec<(u16, RowBlock)>,
    /// Their bytes as rows.
    raw: u64,
}

impl SectionRows {
    fn new(low: u16) -> Self {
        SectionRows { low, high: low, blocks: Vec::new(), raw: 0 }
    }

    fn push(&mut self, GroupRows { group, mut rows }: GroupRows) {
        rows.sort();
        self.raw += rows.raw_bytes(group);
        self.blocks.push((group, rows));
    }

    fn rows(&self) -> u64 {
        self.blocks.iter().map(|(_, rows)| rows.len() as u64).sum()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.raw as usize);
        self.blocks.iter().for_each(|(group, rows)| rows.append_to(*group, &mut out));
        out
    }
}

impl Assembly {
    /// Writes the rebased ranges, cut into sections of about [`BASE_SECTION_BYTES`].
    fn add_bases(
        &mut self,
        state: u16,
        kind: StateKind,
        ranges: impl Iterator<Item = Range<u16>>,
        groups: Vec<GroupRows>,
    ) -> Result<()> {
        let mut groups = groups.into_iter().peekable();
        let mut sections = Vec::new();
        let mut raw = 0;
        for range in ranges {
            let mut section = SectionRows::new(range.start);
            for group in range.clone() {
                if let Some(rows) = groups.next_if(|rows| rows.group == group) {
                    section.push(rows);
                }
                section.high = group + 1;
                // A range without rows is one base without a section, however wide.
                if section.high == range.end || section.raw >= BASE_SECTION_BYTES {
                    raw += section.raw;
                    sections.push(core::mem::replace(&mut section, SectionRows::new(group + 1)));
                }
            }
            if raw >= PLAN_ROWS_BYTES {
                self.add_base_sections(state, kind, core::mem::take(&mut sections))?;
                raw = 0;
            }
        }
        self.add_base_sections(state, kind, sections)
    }

    /// Writes bases that share a plan.
    fn add_base_sections(&mut self, state: u16, kind: StateKind, sections: Vec<SectionRows>) -> Result<()> {
        let with_rows: Vec<&SectionRows> = sections.iter().filter(|section| !section.blocks.is_empty()).collect();
        let mut packed = self.pack(kind, &with_rows)?.into_iter();
        for section in &sections {
            self.sizes.base_rows += section.rows();
            self.sizes.base_raw += section.raw;
            let (reference, plan) = match section.blocks.is_empty() {
                true => (None, None),
                false => packed.next().map_or((None, None), |(reference, plan)| (Some(reference), plan)),
            };
            let (low, high) = (section.low, section.high);
            self.bases.push(Base { state, low, high, checkpoint: self.checkpoint, section: reference, plan });
        }
        Ok(())
    }

    fn add_deltas(&mut self, state: u16, kind: StateKind, groups: Vec<GroupRows>) -> Result<()> {
        let mut groups = groups.into_iter().peekable();
        while let Some(first) = groups.next() {
            let mut section = SectionRows::new(first.group);
            section.push(first);
            while section.raw < DELTA_SECTION_BYTES
                && let Some(rows) = groups.next()
            {
                section.push(rows);
            }
            let high = section.blocks.last().map_or(section.low, |(group, _)| *group) + 1;
            self.sizes.delta_rows += section.rows();
            self.sizes.delta_raw += section.raw;
            for (reference, _) in self.pack(kind, &[&section])? {
                let (low, checkpoint) = (section.low, self.checkpoint);
                self.deltas.push(Delta { state, low, high, checkpoint, section: reference, page: None });
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

    /// Writes sections, as columns if that is shorter; with each the plan it shares with the others.
    fn pack(&mut self, kind: StateKind, sections: &[&SectionRows]) -> Result<Vec<(SectionRef, Option<u32>)>> {
        for section in sections {
            if section.raw > SECTION_RAW_BYTES_MAX {
                let (found, limit) = (section.raw, SECTION_RAW_BYTES_MAX);
                return Err(Error::OverLimit { what: "bytes of a section", found, limit });
            }
        }
        let blocks: Vec<&[(u16, RowBlock)]> = sections.iter().map(|section| section.blocks.as_slice()).collect();
        let columns = if blocks.is_empty() || self.plain { None } else { columns::encode(kind, &blocks) };
        let Some(columns) = columns else { return Ok(self.pack_rows(sections)) };
        if let [section] = sections {
            return Ok(alloc::vec![(self.pack_one(section, &columns), None)]);
        }
        let start = self.object.len();
        let plan_bytes = columns.plan.len() as u64;
        let plan = append_columns(&mut self.object, &columns.plan, plan_bytes, columns.plan_cells, self.compression);
        let Some(plan) = plan else { return Ok(self.pack_rows(sections)) };
        let number = self.plans.len() as u32;
        let mut packed = Vec::with_capacity(sections.len());
        let mut out = Vec::new();
        for (at, section) in sections.iter().enumerate() {
            out.clear();
            columns.append_section(at, &mut out);
            match append_columns(&mut self.object, &out, section.raw, 0, self.compression) {
                Some(reference) => packed.push((reference, Some(number))),
                None => packed.push((append_section(&mut self.object, &section.to_bytes(), self.compression), None)),
            }
        }
        if packed.iter().all(|(_, plan)| plan.is_none()) {
            // Nobody has the plan.
            self.object.truncate(start);
            return Ok(self.pack_rows(sections));
        }
        self.plans.push(plan);
        Ok(packed)
    }

    /// Writes one section with its plan in front.
    fn pack_one(&mut self, section: &SectionRows, columns: &EncodedColumns) -> SectionRef {
        let mut out = columns.plan.clone();
        columns.append_section(0, &mut out);
        let start = self.object.len();
        let packed = append_columns(&mut self.object, &out, section.raw, columns.plan_cells, self.compression);
        if let Some(packed) = packed.as_ref().filter(|_| section.raw > SMALL_SECTION_BYTES) {
            return packed.clone();
        }
        // So small that the plan may outweigh what it saves; or so regular that it is hard to believe.
        let mut rows = Vec::new();
        let by_rows = append_section(&mut rows, &section.to_bytes(), self.compression);
        match packed {
            Some(packed) if packed.stored <= by_rows.stored => packed,
            _ => {
                self.object.truncate(start);
                self.object.extend_from_slice(&rows);
                SectionRef { offset: start as u64, ..by_rows }
            }
        }
    }

    fn pack_rows(&mut self, sections: &[&SectionRows]) -> Vec<(SectionRef, Option<u32>)> {
        let rows =
            |section: &&SectionRows| (append_section(&mut self.object, &section.to_bytes(), self.compression), None);
        sections.iter().map(rows).collect()
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
    let mut plans: Vec<Option<u32>> = alloc::vec![None; parent.plans.len()];
    for base in &mut kept {
        if let Some(section) = &mut base.section {
            section.object = objects.take(section.object);
        }
        base.plan = base.plan.map(|plan| {
            *plans[plan as usize].get_or_insert_with(|| {
                let mut section = parent.plans[plan as usize].clone();
                section.object = objects.take(section.object);
                manifest.plans.push(section);
                manifest.plans.len() as u32 - 1
            })
        });
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
