//! The manifest: all that is needed to plan a restore, in one record.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub(crate) use super::manifest_parts::{Base, Delta, Page};
pub use super::manifest_parts::{CheckpointSizes, ObjectId, StateKind};
use super::section::SectionRef;
use super::{Malformed, append, read_all};
use crate::limits::{KEY_GROUPS_MAX, STATES_MAX, STORAGE_BYTES_MAX};

/// A state as its program declares it, and as a checkpoint records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDescriptor {
    /// Name, unique in the holder.
    pub name: String,
    /// Kind.
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
}

/// A delta as a page names it: with the object's identity, since pages outlive manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PagedDelta {
    object: ObjectId,
    delta: Delta,
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

/// All that a restore of one checkpoint needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Sizes.
    pub sizes: CheckpointSizes,
    /// Objects the sections are in.
    pub(crate) objects: Vec<ObjectId>,
    /// Bases; for each state they cover all key groups, once.
    pub(crate) bases: Vec<Base>,
    /// Plans that several bases share, each a section that holds nothing else.
    pub(crate) plans: Vec<SectionRef>,
    /// Pages, oldest first.
    pub(crate) pages: Vec<Page>,
    /// Deltas on top, in the order of their checkpoints. In memory all of them, those of the pages
    /// first; in bytes only those no page names.
    pub(crate) deltas: Vec<Delta>,
    /// Bytes compaction may still write for what was dirty so far.
    pub(crate) credit: i64,
    /// Bytes all bases so far stayed below the bound on writing: what may be spent when state shrinks.
    pub(crate) reserve: i64,
}

impl Manifest {
    /// Bytes of the manifest.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut named = self.clone();
        named.deltas.retain(|delta| delta.page.is_none());
        let sections = named.bases.iter_mut().filter_map(|base| base.section.as_mut());
        let sections = sections.chain(named.deltas.iter_mut().map(|delta| &mut delta.section));
        let sections = sections.chain(named.plans.iter_mut());
        let sections = sections.chain(named.pages.iter_mut().map(|page| &mut page.section));
        let mut objects = ObjectTable::new(&self.objects);
        sections.for_each(|section| section.object = objects.take(section.object));
        named.objects = objects.taken;
        let mut out = Vec::new();
        append(&mut out, &named);
        out
    }

    /// Raw bytes of a page that names these deltas.
    pub(crate) fn page_bytes(&self, deltas: &[Delta]) -> Vec<u8> {
        let name = |delta: &Delta| {
            let mut delta = delta.clone();
            let object = self.objects[delta.section.object as usize];
            delta.section.object = 0;
            PagedDelta { object, delta }
        };
        let mut out = Vec::new();
        append(&mut out, &deltas.iter().map(name).collect::<Vec<_>>());
        out
    }

    /// Takes in the raw bytes of the pages, in order: after this [`Manifest::deltas`] has all.
    pub(crate) fn take_pages(&mut self, pages: &[Vec<u8>]) -> Result<(), Malformed> {
        let mut deltas = Vec::new();
        let numbered = self.objects.iter().zip(0..).map(|(object, place)| (*object, place));
        let mut places: BTreeMap<ObjectId, u32> = numbered.collect();
        for (number, raw) in pages.iter().enumerate() {
            for PagedDelta { object, mut delta } in read_all::<Vec<PagedDelta>>(raw)? {
                if usize::from(delta.state) >= self.states.len()
                    || delta.low >= delta.high
                    || delta.high > self.key_groups
                {
                    return Err(Malformed::new("a page names a state or key group that is not there"));
                }
                delta.section.check_bounds()?;
                if !self.is_needed(&delta) {
                    continue;
                }
                let objects = &mut self.objects;
                delta.section.object = *places.entry(object).or_insert_with(|| {
                    objects.push(object);
                    objects.len() as u32 - 1
                });
                delta.page = Some(number as u32);
                deltas.push(delta);
            }
        }
        deltas.append(&mut self.deltas);
        self.deltas = deltas;
        self.check_order()
    }

    /// Deltas are applied one after the other: each must be as old as the next, or older.
    fn check_order(&self) -> Result<(), Malformed> {
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
        let from = self.bases.partition_point(|base| (base.state, base.high) <= (delta.state, delta.low));
        self.bases[from..]
            .iter()
            .take_while(|base| base.state == delta.state && base.low < delta.high)
            .any(|base| base.checkpoint < delta.checkpoint)
    }

    /// Reads and checks: after this every index and range of it is good.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        read_all::<Manifest>(bytes)?.checked()
    }

    /// As [`Manifest::from_bytes`], of version 1 of the format.
    pub(crate) fn from_bytes_v1(bytes: &[u8]) -> Result<Self, Malformed> {
        let manifest = read_all::<super::manifest_v1::ManifestV1>(bytes)?.into_manifest().checked()?;
        if manifest.sections().iter().any(|section| section.codec.is_columns()) {
            return Err(Malformed::new("version 1 has no columns"));
        }
        Ok(manifest)
    }

    fn checked(self) -> Result<Self, Malformed> {
        let manifest = self;
        let groups = manifest.key_groups;
        if groups == 0 || groups > KEY_GROUPS_MAX || manifest.states.len() > STATES_MAX {
            return Err(Malformed::new("number of key groups or states out of range"));
        }
        if !manifest.states.first().is_some_and(|first| first.name.is_empty() && first.kind == StateKind::Values) {
            return Err(Malformed::new("the first state is not the plain values"));
        }
        let bases = manifest.bases.iter().map(|base| (base.state, base.low, base.high));
        let deltas = manifest.deltas.iter().map(|delta| (delta.state, delta.low, delta.high));
        let is_wrong = |(state, low, high)| usize::from(state) >= manifest.states.len() || low >= high || high > groups;
        if bases.chain(deltas).any(is_wrong) {
            return Err(Malformed::new("a section names a state or key group that is not there"));
        }
        let has_columns = |base: &Base| base.section.as_ref().is_some_and(|section| section.codec.is_columns());
        let plan_is_there =
            |base: &Base| base.plan.is_none_or(|plan| (plan as usize) < manifest.plans.len() && has_columns(base));
        if !manifest.bases.iter().all(plan_is_there) {
            return Err(Malformed::new("a base names a plan that is not there"));
        }
        if manifest.pages.iter().any(|page| page.section.codec.is_columns()) {
            return Err(Malformed::new("a page has no columns"));
        }
        for section in manifest.sections().into_iter().chain(manifest.side_sections()) {
            if section.object as usize >= manifest.objects.len() {
                return Err(Malformed::new("a section names an object that is not there"));
            }
            section.check_bounds()?;
        }
        manifest.check_numbers()?;
        let names: BTreeSet<&str> = manifest.states.iter().map(|state| state.name.as_str()).collect();
        if names.len() != manifest.states.len() {
            return Err(Malformed::new("two states have one name"));
        }
        // By state, then key group: each base begins where the one before ends.
        let mut next = (0, 0);
        for base in &manifest.bases {
            if (base.state, base.low) != next {
                return Err(Malformed::new("the bases do not cover each key group once, in order"));
            }
            next = if base.high == groups { (base.state + 1, 0) } else { (base.state, base.high) };
        }
        if (usize::from(next.0), next.1) != (manifest.states.len(), 0) {
            return Err(Malformed::new("the bases do not cover each key group once, in order"));
        }
        manifest.check_order()?;
        Ok(manifest)
    }

    /// Whether sizes are small enough that arithmetic on them is safe.
    fn check_numbers(&self) -> Result<(), Malformed> {
        let sizes = &self.sizes;
        let all = [
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
        if all.iter().any(|size| *size > STORAGE_BYTES_MAX) {
            return Err(Malformed::new("a size is out of range"));
        }
        Ok(())
    }

    /// Every section a restore reads: bases, then deltas.
    pub(crate) fn sections(&self) -> Vec<&SectionRef> {
        let bases = self.bases.iter().filter_map(|base| base.section.as_ref());
        bases.chain(self.deltas.iter().map(|delta| &delta.section)).collect()
    }

    /// Sections without rows: plans, then pages.
    pub(crate) fn side_sections(&self) -> impl Iterator<Item = &SectionRef> {
        self.plans.iter().chain(self.pages.iter().map(|page| &page.section))
    }

    /// Objects a restore of this checkpoint reads, with the checkpoint's own.
    #[must_use]
    pub fn needed_objects(&self) -> Vec<ObjectId> {
        // A plan or a page may outlive every other section of its object.
        let sections = self.sections().into_iter().chain(self.side_sections());
        let mut objects: Vec<ObjectId> = sections.map(|section| self.objects[section.object as usize]).collect();
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

    /// Whether the checkpoint carries all of its state itself.
    #[must_use]
    pub fn is_self_contained(&self) -> bool {
        self.needed_objects() == [self.object]
    }
}

/// Objects of a new manifest, out of those of another, in the order of their first mention.
pub(crate) struct ObjectTable<'a> {
    of: &'a [ObjectId],
    moved: Vec<Option<u32>>,
    pub(crate) taken: Vec<ObjectId>,
}

impl<'a> ObjectTable<'a> {
    pub(crate) fn new(of: &'a [ObjectId]) -> Self {
        ObjectTable { of, moved: alloc::vec![None; of.len()], taken: Vec::new() }
    }

    /// Place in the new table of the object at a place of the old one.
    pub(crate) fn take(&mut self, object: u32) -> u32 {
        let taken = &mut self.taken;
        *self.moved[object as usize].get_or_insert_with(|| {
            taken.push(self.of[object as usize]);
            taken.len() as u32 - 1
        })
    }
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
            bases: alloc::vec![Base { state: 0, low: 0, high: 4, checkpoint: object.id, section: None, plan: None }],
            plans: Vec::new(),
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
        let changes: [(Change, &str); 15] = [
            (|manifest| manifest.key_groups = 0, "out of range"),
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
                    let section = SectionRef { codec: Codec::Columns, ..delta(0, 1, 6).section };
                    manifest.pages.push(Page { section });
                },
                "no columns",
            ),
            (|manifest| manifest.deltas.push(delta(0, 5, 6)), "not there"),
            (|manifest| manifest.deltas.push(delta(2, 2, 6)), "not there"),
            (|manifest| manifest.deltas.extend([delta(0, 1, 6), delta(0, 1, 5)]), "out of order"),
        ];
        for (change, reason) in changes {
            let object = ObjectId { id: 7, generation: 1 };
            let mut manifest = Manifest { objects: alloc::vec![object], ..empty_manifest(object) };
            change(&mut manifest);
            let error = Manifest::from_bytes(&manifest.to_bytes()).unwrap_err();
            assert!(error.0.contains(reason), "{error} instead of {reason}");
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
