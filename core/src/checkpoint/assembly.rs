//! Sections of an object that is being built: rows sorted, cut into sections, packed.
//!
//! Invariants: a [`Part`] needs nothing of the others; put together in their order they are the same bytes, whether all were
//! added to one assembly or each to one of its own.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::format::columns::{self, EncodedColumns};
use crate::format::manifest::{Base, CheckpointSizes, Delta, StateKind};
use crate::format::row_block::RowBlock;
use crate::format::section::{Compression, SectionRef, append_columns, append_section};
use crate::limits::{
    BASE_SECTION_BYTES, DELTA_SECTION_BYTES, PLAN_ROWS_BYTES, SECTION_RAW_BYTES_MAX, SMALL_SECTION_BYTES,
};
use crate::pace::Pace;
use crate::tracked::GroupRows;

/// Rows whose sections can be made without the others: bases or deltas of one state.
pub(super) struct Part {
    state: u16,
    kind: StateKind,
    /// Key groups that get new bases; `None`: the rows are deltas.
    rebased: Option<Vec<Range<u16>>>,
    groups: Vec<GroupRows>,
}

impl Part {
    /// New bases of ranges of key groups, some of which may have no rows.
    pub(super) fn bases(state: u16, kind: StateKind, ranges: Vec<Range<u16>>, groups: Vec<GroupRows>) -> Self {
        Part { state, kind, rebased: Some(ranges), groups }
    }

    /// What changed in the other groups.
    pub(super) fn deltas(state: u16, kind: StateKind, groups: Vec<GroupRows>) -> Self {
        Part { state, kind, rebased: None, groups }
    }

    /// About how much work it is: bytes of its keys and payloads.
    pub(super) fn bytes(&self) -> u64 {
        self.groups.iter().map(|group| group.rows.section_bytes()).sum()
    }
}

/// Sections under construction, with what they add to the sizes.
pub(super) struct Assembly {
    pub(super) object: Vec<u8>,
    compression: Compression,
    /// Whether sections are rows, even where columns are shorter.
    plain: bool,
    pub(super) sizes: CheckpointSizes,
    pub(super) bases: Vec<Base>,
    pub(super) deltas: Vec<Delta>,
    pub(super) plans: Vec<SectionRef>,
    checkpoint: u64,
    pace: Pace,
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
    /// One without sections, that goes on behind these bytes.
    pub(super) fn new(object: Vec<u8>, checkpoint: u64, compression: Compression, plain: bool, pace: Pace) -> Self {
        let sizes = CheckpointSizes::default();
        let (bases, deltas, plans) = (Vec::new(), Vec::new(), Vec::new());
        Assembly { object, compression, plain, sizes, bases, deltas, plans, checkpoint, pace }
    }

    /// Makes the sections of a part.
    pub(super) async fn add(&mut self, part: Part) -> Result<()> {
        match part.rebased {
            Some(ranges) => self.add_bases(part.state, part.kind, ranges, part.groups).await,
            None => self.add_deltas(part.state, part.kind, part.groups).await,
        }
    }

    /// Puts the sections behind its own that another one made of the parts after its own.
    pub(super) fn append(&mut self, mut next: Assembly) {
        let (start, plans) = (self.object.len() as u64, self.plans.len() as u32);
        let of_bases = next.bases.iter_mut().filter_map(|base| base.section.as_mut());
        let of_deltas = next.deltas.iter_mut().map(|delta| &mut delta.section);
        of_bases.chain(of_deltas).chain(&mut next.plans).for_each(|section| section.offset += start);
        next.bases.iter_mut().filter_map(|base| base.plan.as_mut()).for_each(|plan| *plan += plans);
        self.sizes.base_rows += next.sizes.base_rows;
        self.sizes.base_raw += next.sizes.base_raw;
        self.sizes.delta_rows += next.sizes.delta_rows;
        self.sizes.delta_raw += next.sizes.delta_raw;
        self.object.append(&mut next.object);
        self.bases.append(&mut next.bases);
        self.deltas.append(&mut next.deltas);
        self.plans.append(&mut next.plans);
    }

    /// Appends a page of the manifest as a section.
    pub(super) async fn append_page(&mut self, raw: &[u8]) -> SectionRef {
        append_section(&mut self.object, raw, self.compression, &self.pace).await
    }

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
                if raw >= PLAN_ROWS_BYTES {
                    self.add_base_sections(state, kind, core::mem::take(&mut sections)).await?;
                    raw = 0;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::ObjectId;
    use crate::state::{CheckpointRequest, StateHolder};

    /// What is held as columns at once has a bound, also where all rows are of one range of key groups, as those of a first
    /// checkpoint are.
    #[test]
    fn rows_beyond_what_a_plan_is_for_have_several() {
        const VALUE_BYTES: usize = 50_000;
        let mut holder = StateHolder::builder("large").key_groups(128).build().unwrap();
        for key in 0..2 * PLAN_ROWS_BYTES / VALUE_BYTES as u64 {
            holder.set_encoded(&key.to_be_bytes(), &key.to_le_bytes().repeat(VALUE_BYTES / 8)).unwrap();
        }
        holder.begin(CheckpointRequest::default()).unwrap();
        let capture = holder.take_capture().unwrap();
        let encoded = capture.into_object(ObjectId { id: 0, generation: 1 }, Compression::Lz4).unwrap();
        let manifest = encoded.manifest();
        let bytes_of_plan = |plan| {
            let bases = manifest.bases.iter().filter(|base| base.plan == Some(plan));
            bases.filter_map(|base| base.section.as_ref()).map(|section| section.raw).sum::<u64>()
        };
        let bytes: Vec<u64> = (0..manifest.plans.len() as u32).map(bytes_of_plan).collect();
        assert_eq!(bytes.iter().sum::<u64>(), manifest.sizes.base_raw);
        // The last group of a plan may pass the bound.
        let largest = PLAN_ROWS_BYTES + manifest.sizes.base_raw / 50;
        assert!(bytes.len() >= 2 && bytes.iter().all(|bytes| *bytes < largest), "{bytes:?}");
    }
}
