//! The manifest: all that is needed to plan a restore, in one record.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use serde::{Deserialize, Serialize};

use super::Malformed;
pub(crate) use super::manifest_parts::{Base, Delta};
pub use super::manifest_parts::{CheckpointSizes, ObjectId, StateKind};
use super::section::SectionRef;
use crate::limits::{EVENTS_MAX, KEY_GROUPS_MAX, STATES_MAX, STORAGE_BYTES_MAX};

/// A state as its program declares it, and as a checkpoint records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDescriptor {
    /// Name, unique in the holder.
    pub name: String,
    /// What kind of values the state holds.
    pub kind: StateKind,
    /// Version of the schema, chosen by the program.
    pub version: u32,
    /// Hash of the description: changes whenever the meaning of the state changes.
    pub fingerprint: u64,
    /// What the state is, for people and tools: JSON, such as the definition of its operator.
    pub description: String,
}

impl StateDescriptor {
    /// A descriptor whose fingerprint is the hash (XXH3, 64 bits) of the description.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: StateKind, version: u32, description: impl Into<String>) -> Self {
        let description = description.into();
        let fingerprint = super::hash64(description.as_bytes());
        StateDescriptor { name: name.into(), kind, version, fingerprint, description }
    }

    /// The name as it is shown: the plain values, which have none, are "values".
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() { StateKind::Values.as_str() } else { &self.name }
    }
}

/// What the engine needs beside the states to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineProgress {
    /// Events taken so far.
    pub events: u64,
    /// Largest timestamp seen, in milliseconds.
    pub timestamp_max: Option<i64>,
    /// Whether the source has ended.
    pub finished: bool,
    /// Results given out, per operator.
    pub results: Vec<u64>,
    /// Late events, per operator.
    pub late: Vec<u64>,
}

/// What a caller records with a checkpoint, for itself to read after a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Positions in sources, by name.
    pub positions: Vec<(String, u64)>,
    /// Lengths of outputs, by name.
    pub outputs: Vec<(String, u64)>,
    /// Watermarks by source, in milliseconds since 1970.
    pub watermarks: Vec<(String, i64)>,
    /// Present if an engine wrote the checkpoint.
    pub engine: Option<EngineProgress>,
}

/// All that a restore of one checkpoint needs to know. As bytes: `manifest_record.rs`; its pages: `manifest_pages.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The checkpoint.
    pub object: ObjectId,
    /// Checkpoint it builds on.
    pub parent: Option<u64>,
    /// Time of its cut, milliseconds since 1970, by the writer's clock; of a savepoint, that of the
    /// state it labels.
    pub created_ms: i64,
    /// Label, if it is a savepoint.
    pub label: Option<String>,
    /// Id of the holder.
    pub holder: String,
    /// Number of key groups.
    pub key_groups: u16,
    /// States, in the order the sections refer to.
    pub states: Vec<StateDescriptor>,
    /// Positions, outputs, watermarks.
    pub progress: Progress,
    /// What this checkpoint wrote, in bytes and rows.
    pub sizes: CheckpointSizes,
    /// Objects the sections are in.
    pub(crate) objects: Vec<ObjectId>,
    /// Bases, sorted; for each state they cover all key groups, once. In memory all of them, in bytes only those no page
    /// names.
    pub(crate) bases: Vec<Base>,
    /// Plans that several bases share, each a section that holds nothing else.
    pub(crate) plans: Vec<SectionRef>,
    /// Pages of bases, oldest first.
    pub(crate) base_pages: Vec<SectionRef>,
    /// Pages of deltas, oldest first.
    pub(crate) pages: Vec<SectionRef>,
    /// Deltas on top, in the order of their checkpoints. In memory all of them, those of the pages
    /// first; in bytes only those no page names.
    pub(crate) deltas: Vec<Delta>,
    /// Bytes compaction may still write for what was dirty so far.
    pub(crate) credit: i64,
    /// Bytes all bases so far stayed below the bound on writing: what may be spent when state shrinks.
    pub(crate) reserve: i64,
}

impl Manifest {
    /// Deltas are applied one after the other: each must be as old as the next, or older.
    pub(super) fn check_order(&self) -> Result<(), Malformed> {
        let newest = self.deltas.last().map_or(0, |delta| delta.checkpoint);
        let bases_are_newer = self.bases.iter().any(|base| base.checkpoint > self.object.id);
        if bases_are_newer || newest > self.object.id {
            return Err(Malformed::new("a section is newer than its checkpoint"));
        }
        if !self.deltas.is_sorted_by_key(|delta| delta.checkpoint) {
            return Err(Malformed::new("deltas out of order"));
        }
        Ok(())
    }

    /// Whether some key group of a delta has a base older than the delta.
    pub(crate) fn is_needed(&self, delta: &Delta) -> bool {
        self.bases_in(delta.state, delta.low..delta.high).any(|base| base.checkpoint < delta.checkpoint)
    }

    /// Bases that have some of these key groups.
    pub(super) fn bases_in(&self, state: u16, groups: Range<u16>) -> impl Iterator<Item = &Base> {
        let from = self.bases.partition_point(|base| (base.state, base.high) <= (state, groups.start));
        self.bases[from..].iter().take_while(move |base| base.state == state && base.low < groups.end)
    }

    /// That every index and range is good.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        if self.key_groups == 0 || self.key_groups > KEY_GROUPS_MAX || self.states.len() > STATES_MAX {
            return Err(Malformed::new("number of key groups or states out of range"));
        }
        if !self.states.first().is_some_and(|first| first.name.is_empty() && first.kind == StateKind::Values) {
            return Err(Malformed::new("the first state is not the plain values"));
        }
        check_bases(&self.bases, &self.plans, self.states.len(), self.key_groups)?;
        let mut deltas = self.deltas.iter();
        deltas.try_for_each(|delta| {
            check_groups(delta.state, delta.low..delta.high, self.states.len(), self.key_groups)
        })?;
        if self.base_pages.iter().chain(&self.pages).any(|page| page.codec.is_columns()) {
            return Err(Malformed::new("a page has no columns"));
        }
        check_sections(self.all_sections(), self.objects.len())?;
        self.check_apart()?;
        if self.over_limit().is_some() {
            return Err(Malformed::new("a size or count is out of range"));
        }
        let names: BTreeSet<&str> = self.states.iter().map(|state| state.name.as_str()).collect();
        if names.len() != self.states.len() {
            return Err(Malformed::new("two states have one name"));
        }
        if self.base_pages.is_empty() {
            self.check_cover()?;
        }
        if !self.bases.is_sorted_by(|base, next| (base.state, base.high) <= (next.state, next.low)) {
            return Err(Malformed::new("bases out of order"));
        }
        self.check_order()
    }

    /// By state, then key group: each base begins where the one before ends.
    pub(super) fn check_cover(&self) -> Result<(), Malformed> {
        let mut next = (0, 0);
        for base in &self.bases {
            if (base.state, base.low) != next {
                return Err(Malformed::new("the bases do not cover each key group once, in order"));
            }
            next = if base.high == self.key_groups { (base.state + 1, 0) } else { (base.state, base.high) };
        }
        if (usize::from(next.0), next.1) != (self.states.len(), 0) {
            return Err(Malformed::new("the bases do not cover each key group once, in order"));
        }
        Ok(())
    }

    /// That no section, plan or page lies over another: one that is named again and again would be read each time.
    pub(super) fn check_apart(&self) -> Result<(), Malformed> {
        let place = |section: &SectionRef| (self.objects[section.object as usize], section.offset, section.stored);
        let mut places: Vec<(ObjectId, u64, u64)> = self.all_sections().map(place).collect();
        places.sort_unstable();
        if places.is_sorted_by(|(object, offset, stored), next| *object != next.0 || offset + stored <= next.1) {
            return Ok(());
        }
        Err(Malformed::new("sections, plans or pages lie over one another"))
    }

    /// What is too large for arithmetic on it to be safe, if anything is, and its limit. Asked of what is read and of what
    /// is to be written: counts are the caller's.
    pub(super) fn over_limit(&self) -> Option<(&'static str, u64, u64)> {
        let sizes = &self.sizes;
        let sizes = [
            sizes.delta_rows,
            sizes.delta_raw,
            sizes.base_rows,
            sizes.base_raw,
            sizes.stored,
            sizes.dirty,
            sizes.restore_raw,
            self.credit.unsigned_abs(),
            self.reserve.unsigned_abs(),
        ];
        let engine = self.progress.engine.iter();
        let counts = engine.flat_map(|engine| engine.results.iter().chain(&engine.late).chain([&engine.events]));
        let size = sizes.iter().max().map(|size| ("a size of a checkpoint", *size, STORAGE_BYTES_MAX));
        let count = counts.max().map(|count| ("a count of events or results", *count, EVENTS_MAX));
        size.into_iter().chain(count).find(|(_, found, limit)| found > limit)
    }

    /// Every section a restore reads: bases, then deltas.
    pub(crate) fn sections(&self) -> Vec<&SectionRef> {
        let bases = self.bases.iter().filter_map(|base| base.section.as_ref());
        bases.chain(self.deltas.iter().map(|delta| &delta.section)).collect()
    }

    /// All that is named: also what has no rows, plans and pages.
    fn all_sections(&self) -> impl Iterator<Item = &SectionRef> {
        self.sections().into_iter().chain(&self.plans).chain(&self.base_pages).chain(&self.pages)
    }

    /// Objects a restore of this checkpoint reads, with the checkpoint's own.
    #[must_use]
    pub fn needed_objects(&self) -> Vec<ObjectId> {
        // A plan or a page may outlive every other section of its object.
        let of = |section: &SectionRef| self.objects[section.object as usize];
        let mut objects: Vec<ObjectId> = self.all_sections().map(of).collect();
        objects.push(self.object);
        objects.sort_unstable();
        objects.dedup();
        objects
    }

    /// Number of sections a restore reads.
    #[must_use]
    pub fn section_count(&self) -> usize {
        self.sections().len()
    }
}

/// That bases are of states, key groups and plans that are there.
pub(super) fn check_bases(bases: &[Base], plans: &[SectionRef], states: usize, groups: u16) -> Result<(), Malformed> {
    for base in bases {
        check_groups(base.state, base.low..base.high, states, groups)?;
        let has_columns = base.section.as_ref().is_some_and(|section| section.codec.is_columns());
        if base.plan.is_some_and(|plan| plan as usize >= plans.len() || !has_columns) {
            return Err(Malformed::new("a base names a plan that is not there"));
        }
    }
    Ok(())
}

/// That a section is of a state and of key groups that are there.
pub(super) fn check_groups(state: u16, range: Range<u16>, states: usize, groups: u16) -> Result<(), Malformed> {
    if usize::from(state) >= states || range.is_empty() || range.end > groups {
        return Err(Malformed::new("a section names a state or key group that is not there"));
    }
    Ok(())
}

/// That sections are in objects that are there, at places that can be.
pub(super) fn check_sections<'a>(
    mut sections: impl Iterator<Item = &'a SectionRef>,
    objects: usize,
) -> Result<(), Malformed> {
    sections.try_for_each(|section| {
        if section.object as usize >= objects {
            return Err(Malformed::new("a section names an object that is not there"));
        }
        section.check_bounds()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::section::{Codec, Compression, append_section};
    use super::*;
    use crate::pace::{Pace, at_once};

    /// A manifest of one state without rows.
    pub(crate) fn empty_manifest(object: ObjectId) -> Manifest {
        Manifest {
            object,
            parent: None,
            created_ms: 0,
            label: None,
            holder: String::new(),
            key_groups: 4,
            states: alloc::vec![StateDescriptor::new("", StateKind::Values, 1, "")],
            progress: Progress::default(),
            sizes: CheckpointSizes::default(),
            objects: Vec::new(),
            bases: alloc::vec![Base {
                state: 0,
                low: 0,
                high: 4,
                checkpoint: object.id,
                section: None,
                plan: None,
                page: None
            }],
            plans: Vec::new(),
            base_pages: Vec::new(),
            pages: Vec::new(),
            deltas: Vec::new(),
            credit: 0,
            reserve: 0,
        }
    }

    fn delta(low: u16, high: u16, checkpoint: u64) -> Delta {
        let section = at_once(append_section(&mut Vec::new(), b"raw", Compression::None, &Pace::default()));
        Delta { state: 0, low, high, checkpoint, section, page: None }
    }

    #[test]
    fn indices_ranges_and_orders_are_checked() {
        type Change = fn(&mut Manifest);
        let changes: [(Change, &str); 20] = [
            (|manifest| manifest.key_groups = 0, "out of range"),
            (
                |manifest| {
                    let late = alloc::vec![0, u64::MAX];
                    manifest.progress.engine = Some(EngineProgress { late, ..EngineProgress::default() });
                },
                "count is out of range",
            ),
            (|manifest| manifest.states.clear(), "plain values"),
            (|manifest| manifest.states[0].name.push('a'), "plain values"),
            (|manifest| manifest.states[0].kind = StateKind::Windows, "plain values"),
            (|manifest| manifest.key_groups = 5, "cover each key group"),
            (|manifest| manifest.bases.clear(), "cover each key group"),
            (|manifest| manifest.bases.push(manifest.bases[0].clone()), "cover each key group"),
            (|manifest| manifest.bases[0].state = 1, "not there"),
            (|manifest| manifest.bases[0].checkpoint = 8, "newer"),
            (|manifest| manifest.bases[0].plan = Some(0), "plan"),
            (
                |manifest| (manifest.bases[0].plan, manifest.plans) = (Some(0), alloc::vec![delta(0, 1, 6).section]),
                "plan",
            ),
            (
                |manifest| {
                    manifest.objects.push(manifest.object);
                    manifest.pages = alloc::vec![delta(0, 1, 6).section; 2];
                },
                "over one another",
            ),
            (|manifest| manifest.deltas = alloc::vec![delta(0, 1, 6); 2], "over one another"),
            (
                |manifest| {
                    manifest.deltas.push(delta(0, 1, 6));
                    manifest.pages.push(SectionRef { offset: 2, ..delta(0, 1, 6).section });
                },
                "over one another",
            ),
            (
                |manifest| {
                    let section = SectionRef { codec: Codec::Columns, ..delta(0, 1, 6).section };
                    manifest.pages.push(section);
                },
                "no columns",
            ),
            (
                |manifest| {
                    // With pages what they name is not there yet, but what is there has its order.
                    manifest.base_pages.push(delta(0, 1, 6).section);
                    let base = |low, high| Base { low, high, ..manifest.bases[0].clone() };
                    manifest.bases = alloc::vec![base(2, 4), base(1, 2)];
                },
                "out of order",
            ),
            (|manifest| manifest.deltas.push(delta(0, 5, 6)), "not there"),
            (|manifest| manifest.deltas.push(delta(2, 2, 6)), "not there"),
            (
                |manifest| {
                    let (first, mut second) = (delta(0, 1, 6), delta(0, 1, 5));
                    second.section.offset = first.section.stored;
                    manifest.deltas.extend([first, second]);
                },
                "out of order",
            ),
        ];
        for (change, reason) in changes {
            let object = ObjectId { id: 7, generation: 1 };
            let mut manifest = Manifest { objects: alloc::vec![object], ..empty_manifest(object) };
            change(&mut manifest);
            let error = manifest.check().unwrap_err();
            assert!(error.reason().contains(reason), "{error} instead of {reason}");
        }
    }

    #[test]
    fn names_of_objects_read_back() {
        for object in [(0, 0), (7, 2), (99_999_999_999, u64::MAX)].map(|(id, generation)| ObjectId { id, generation }) {
            assert_eq!(ObjectId::from_name(&object.name()), Some(object));
        }
        assert_eq!(ObjectId { id: 7, generation: 2 }.name(), "checkpoint-0000000007-g2.efx");
        for bad in ["checkpoint-7-g2.efx", "checkpoint-0000000007-g02.efx", "checkpoint-0000000007-g2", "head"] {
            assert_eq!(ObjectId::from_name(bad), None, "{bad}");
        }
    }
}
