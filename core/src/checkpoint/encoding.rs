//! From captured rows to the object of a checkpoint, step by step: sorts rows, packs sections, writes the manifest.
//!
//! Invariants:
//! - however it is divided into steps, the bytes are the same;
//! - a piece of work that cannot be divided (a row, a key group that is sorted, a column that is planned) is done in one
//!   step, whatever is left of its budget.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::capture::{BuildsOn, Capture, CapturedState, EncodedCheckpoint};
use super::compaction::{Lineage, settle_credit};
use crate::error::{Error, Result};
use crate::format::columns::{self, EncodedColumns};
use crate::format::manifest::{Base, CheckpointSizes, Delta, Manifest, ObjectId, StateKind};
use crate::format::manifest_names::Names;
use crate::format::object;
use crate::format::row_block::RowBlock;
use crate::format::section::{Compression, SectionRef, append_columns, append_section};
use crate::limits::{
    BASE_SECTION_BYTES, DELTA_SECTION_BYTES, PAGE_SECTIONS_MIN, PLAN_ROWS_BYTES, SECTION_RAW_BYTES_MAX,
    SMALL_SECTION_BYTES,
};
use crate::pace::{Pace, Stepped};
use crate::tracked::GroupRows;

/// A checkpoint that is being encoded, in steps: for callers that have one thread, and other things to do on it. Those
/// that have a thread for it call [`Capture::into_object`], which is the same in one step.
///
/// It needs nothing of the holder: events go on between its steps, and between them it may go to another thread.
///
/// ```
/// use eventflux_core::{CheckpointRequest, Compression, ObjectId, StateHolder};
///
/// let mut holder = StateHolder::builder("shop").build()?;
/// holder.set("orders", &3)?;
/// holder.begin(CheckpointRequest::default())?;
/// let mut encoding = holder.take_capture()?.encoding(ObjectId { id: 0, generation: 1 }, Compression::Lz4);
/// let object = loop {
///     if let Some(object) = encoding.step(64 * 1024)? {
///         break object;
///     }
///     // Here something else can be done.
/// };
/// holder.commit(&object)?;
/// # Ok::<(), eventflux_core::Error>(())
/// ```
pub struct Encoding {
    work: Option<Stepped<Result<EncodedCheckpoint>>>,
}

impl Encoding {
    pub(super) fn new(capture: Capture, object: ObjectId, compression: Compression, plain: bool) -> Self {
        let work = Stepped::new(|pace| assemble(capture, object, compression, plain, pace));
        Encoding { work: Some(work) }
    }

    /// Goes on until about `budget` bytes were gone through; the checkpoint once it is done, `None` before.
    ///
    /// Rows are gone through about five times. What is not divided takes longer: a row, or a column while it is looked
    /// at how to write it.
    ///
    /// # Errors
    /// As [`Capture::into_object`]; [`Error::CallOrder`] once it has ended.
    pub fn step(&mut self, budget: usize) -> Result<Option<EncodedCheckpoint>> {
        let work = self.work.as_mut().ok_or(Error::CallOrder("the encoding has ended; it has no steps any more"))?;
        match work.step(budget) {
            None => Ok(None),
            Some(outcome) => {
                self.work = None;
                outcome.map(Some)
            }
        }
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Encoding").field("ended", &self.work.is_none()).finish_non_exhaustive()
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
    pace: Pace,
}

async fn assemble(
    capture: Capture,
    object: ObjectId,
    compression: Compression,
    plain: bool,
    pace: Pace,
) -> Result<EncodedCheckpoint> {
    let mut assembly = Assembly {
        object: Vec::from(object::header(object)),
        compression,
        plain,
        sizes: CheckpointSizes::default(),
        bases: Vec::new(),
        deltas: Vec::new(),
        plans: Vec::new(),
        checkpoint: object.id,
        pace,
    };
    let (mut dirty_in_bases, mut dirty_entries) = (0, 0);
    let mut descriptors = Vec::with_capacity(capture.states.len());
    for (state, CapturedState { rows, descriptor }) in capture.states.into_iter().enumerate() {
        dirty_in_bases += rows.dirty_in_bases;
        dirty_entries += rows.dirty_entries;
        let rebased = capture.rebase.iter().filter(|(of, _)| usize::from(*of) == state);
        let ranges = rebased.map(|(_, range)| range.clone()).collect();
        assembly.add_bases(state as u16, descriptor.kind, ranges, rows.bases).await?;
        assembly.add_deltas(state as u16, descriptor.kind, rows.deltas).await?;
        descriptors.push(descriptor);
    }
    let parent = capture.lineage.manifest().map(AsRef::as_ref);
    let builds_on = parent.map(BuildsOn::new);
    let mut sizes = assembly.sizes;
    sizes.stored = (assembly.object.len() - object::HEADER_BYTES) as u64;
    sizes.dirty = if parent.is_none() { sizes.base_raw } else { sizes.delta_raw + dirty_in_bases + capture.shrunk };
    let mut manifest = Manifest {
        object,
        parent: parent.map(|parent| parent.object.id),
        created_ms: capture.request.created_ms,
        label: capture.request.label,
        holder: capture.holder,
        key_groups: capture.key_groups,
        states: descriptors,
        progress: capture.request.progress,
        sizes,
        objects: Vec::new(),
        bases: Vec::new(),
        plans: core::mem::take(&mut assembly.plans),
        base_pages: Vec::new(),
        pages: Vec::new(),
        deltas: Vec::new(),
        credit: 0,
        reserve: 0,
    };
    merge_sections(&mut manifest, parent, core::mem::take(&mut assembly.bases), core::mem::take(&mut assembly.deltas));
    if !plain {
        assembly.add_pages(&mut manifest).await;
    }
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

    async fn push(&mut self, GroupRows { group, mut rows }: GroupRows, pace: &Pace) {
        rows.sort();
        let raw = rows.raw_bytes(group);
        self.raw += raw;
        self.blocks.push((group, rows));
        pace.spend(raw).await;
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
    async fn add_bases(
        &mut self,
        state: u16,
        kind: StateKind,
        ranges: Vec<Range<u16>>,
        groups: Vec<GroupRows>,
    ) -> Result<()> {
        let mut groups = groups.into_iter().peekable();
        let mut sections = Vec::new();
        let mut raw = 0;
        for range in ranges {
            let mut section = SectionRows::new(range.start);
            for group in range.clone() {
                if let Some(rows) = groups.next_if(|rows| rows.group == group) {
                    section.push(rows, &self.pace).await;
                }
                section.high = group + 1;
                // A range without rows is one base without a section, however wide.
                if section.high == range.end || section.raw >= BASE_SECTION_BYTES {
                    raw += section.raw;
                    sections.push(core::mem::replace(&mut section, SectionRows::new(group + 1)));
                }
            }
            if raw >= PLAN_ROWS_BYTES {
                self.add_base_sections(state, kind, core::mem::take(&mut sections)).await?;
                raw = 0;
            }
        }
        self.add_base_sections(state, kind, sections).await
    }

    /// Writes bases that share a plan.
    async fn add_base_sections(&mut self, state: u16, kind: StateKind, sections: Vec<SectionRows>) -> Result<()> {
        let with_rows: Vec<&SectionRows> = sections.iter().filter(|section| !section.blocks.is_empty()).collect();
        let mut packed = self.pack(kind, &with_rows).await?.into_iter();
        for section in &sections {
            self.sizes.base_rows += section.rows();
            self.sizes.base_raw += section.raw;
            let (reference, plan) = match section.blocks.is_empty() {
                true => (None, None),
                false => packed.next().map_or((None, None), |(reference, plan)| (Some(reference), plan)),
            };
            let (low, high) = (section.low, section.high);
            self.bases.push(Base {
                state,
                low,
                high,
                checkpoint: self.checkpoint,
                section: reference,
                plan,
                page: None,
            });
        }
        Ok(())
    }

    async fn add_deltas(&mut self, state: u16, kind: StateKind, groups: Vec<GroupRows>) -> Result<()> {
        let mut groups = groups.into_iter().peekable();
        while let Some(first) = groups.next() {
            let mut section = SectionRows::new(first.group);
            section.push(first, &self.pace).await;
            while section.raw < DELTA_SECTION_BYTES
                && let Some(rows) = groups.next()
            {
                section.push(rows, &self.pace).await;
            }
            let high = section.blocks.last().map_or(section.low, |(group, _)| *group) + 1;
            self.sizes.delta_rows += section.rows();
            self.sizes.delta_raw += section.raw;
            for (reference, _) in self.pack(kind, &[&section]).await? {
                let (low, checkpoint) = (section.low, self.checkpoint);
                self.deltas.push(Delta { state, low, high, checkpoint, section: reference, page: None });
            }
        }
        Ok(())
    }

    /// Moves bases and deltas that the manifest names itself into pages, if there are many.
    async fn add_pages(&mut self, manifest: &mut Manifest) {
        let bases = manifest.bases.iter_mut().map(|base| &mut base.page);
        if let Some(page) = move_to_page(bases.collect(), manifest.base_pages.len()) {
            let raw = manifest.base_page_bytes(page as u32);
            manifest.base_pages.truncate(page);
            manifest.base_pages.push(self.append_page(&raw).await);
        }
        let deltas = manifest.deltas.iter_mut().map(|delta| &mut delta.page);
        if let Some(page) = move_to_page(deltas.collect(), manifest.pages.len()) {
            let raw = manifest.page_bytes(page as u32);
            manifest.pages.truncate(page);
            manifest.pages.push(self.append_page(&raw).await);
        }
    }

    /// A page in this checkpoint's own object, which is the first of its manifest.
    async fn append_page(&mut self, raw: &[u8]) -> SectionRef {
        append_section(&mut self.object, raw, self.compression, &self.pace).await
    }

    /// Writes sections, as columns if that is shorter; with each the plan it shares with the others.
    async fn pack(&mut self, kind: StateKind, sections: &[&SectionRows]) -> Result<Vec<(SectionRef, Option<u32>)>> {
        for section in sections {
            if section.raw > SECTION_RAW_BYTES_MAX {
                let (found, limit) = (section.raw, SECTION_RAW_BYTES_MAX);
                return Err(Error::OverLimit { what: "bytes of a section", found, limit });
            }
        }
        let blocks: Vec<&[(u16, RowBlock)]> = sections.iter().map(|section| section.blocks.as_slice()).collect();
        let columns = match blocks.is_empty() || self.plain {
            true => None,
            false => columns::encode(kind, &blocks, &self.pace).await,
        };
        let Some(columns) = columns else { return Ok(self.pack_rows(sections).await) };
        if let [section] = sections {
            return Ok(alloc::vec![(self.pack_one(section, &columns).await, None)]);
        }
        let start = self.object.len();
        let plan_bytes = columns.plan.len() as u64;
        let plan = self.append_columns(&columns.plan, plan_bytes, columns.plan_cells).await;
        let Some(plan) = plan else { return Ok(self.pack_rows(sections).await) };
        let number = self.plans.len() as u32;
        let mut packed = Vec::with_capacity(sections.len());
        let mut out = Vec::new();
        for (at, section) in sections.iter().enumerate() {
            out.clear();
            columns.append_section(at, &mut out, &self.pace).await;
            match self.append_columns(&out, section.raw, 0).await {
                Some(reference) => packed.push((reference, Some(number))),
                None => packed.push((self.append_rows(section).await, None)),
            }
        }
        if packed.iter().all(|(_, plan)| plan.is_none()) {
            // Nobody has the plan.
            self.object.truncate(start);
            return Ok(self.pack_rows(sections).await);
        }
        self.plans.push(plan);
        Ok(packed)
    }

    /// Writes one section with its plan in front.
    async fn pack_one(&mut self, section: &SectionRows, columns: &EncodedColumns) -> SectionRef {
        let mut out = columns.plan.clone();
        columns.append_section(0, &mut out, &self.pace).await;
        let start = self.object.len();
        let packed = self.append_columns(&out, section.raw, columns.plan_cells).await;
        if let Some(packed) = packed.as_ref().filter(|_| section.raw > SMALL_SECTION_BYTES) {
            return packed.clone();
        }
        // So small that the plan may outweigh what it saves; or so regular that it is hard to believe.
        let mut rows = Vec::new();
        let by_rows = append_section(&mut rows, &section.to_bytes(), self.compression, &self.pace).await;
        match packed {
            Some(packed) if packed.stored <= by_rows.stored => packed,
            _ => {
                self.object.truncate(start);
                self.object.extend_from_slice(&rows);
                SectionRef { offset: start as u64, ..by_rows }
            }
        }
    }

    async fn pack_rows(&mut self, sections: &[&SectionRows]) -> Vec<(SectionRef, Option<u32>)> {
        let mut packed = Vec::with_capacity(sections.len());
        for section in sections {
            packed.push((self.append_rows(section).await, None));
        }
        packed
    }

    async fn append_rows(&mut self, section: &SectionRows) -> SectionRef {
        append_section(&mut self.object, &section.to_bytes(), self.compression, &self.pace).await
    }

    async fn append_columns(&mut self, columns: &[u8], raw: u64, plan_cells: u64) -> Option<SectionRef> {
        append_columns(&mut self.object, columns, raw, plan_cells, self.compression, &self.pace).await
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
    let mut names = Names::new(parent);
    // Place 0 is this checkpoint's own object, which the parent cannot name; its plans come first.
    names.objects.taken.append(&mut manifest.objects);
    names.plans.taken.append(&mut manifest.plans);
    let renewed =
        |old: &Base| bases.iter().any(|new| new.state == old.state && new.low < old.high && old.low < new.high);
    let kept: Vec<&Base> = parent.bases.iter().filter(|old| !renewed(old)).collect();
    names.keep_base_pages(&kept);
    let mut kept = kept.into_iter().map(|old| names.paged_base(old)).collect();
    bases.append(&mut kept);
    bases.sort_unstable_by_key(|base| (base.state, base.low));
    manifest.bases = bases;
    let needed = parent.deltas.iter().filter(|delta| manifest.is_needed(delta));
    let kept: Vec<Delta> = needed.map(|delta| names.paged_delta(delta)).collect();
    manifest.deltas = kept;
    manifest.deltas.extend(deltas);
    manifest.objects = names.objects.taken;
    manifest.plans = names.plans.taken;
    manifest.base_pages = names.base_pages.taken;
    manifest.pages = names.pages.taken;
}

/// Moves what the manifest names itself into a new page, and with it all of the newest pages, as long as one names no
/// more than what is newer together: so there are few pages, and nothing is moved often. `named_by` is for each section
/// the page that names it. Number of the new page, which takes the place of it and all behind; `None` if the manifest
/// names little itself.
fn move_to_page(named_by: Vec<&mut Option<u32>>, pages: usize) -> Option<usize> {
    // The last count is of those that no page names.
    let mut counts = alloc::vec![0; pages + 1];
    named_by.iter().for_each(|page| counts[page.map_or(pages, |page| page as usize)] += 1);
    let mut moved: usize = counts[pages];
    if moved < PAGE_SECTIONS_MIN {
        return None;
    }
    let mut first = pages;
    while first > 0 && counts[first - 1] <= moved {
        first -= 1;
        moved += counts[first];
    }
    let moved = named_by.into_iter().filter(|page| page.is_none_or(|page| page as usize >= first));
    moved.for_each(|page| *page = Some(first as u32));
    Some(first)
}
