//! The manifest: all that is needed to plan a restore, in one record.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::section::SectionRef;
use super::{Malformed, append, read_all};
use crate::limits::{KEY_GROUPS_MAX, STATES_MAX};

/// What kind of state a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateKind {
    /// Plain keyed values.
    Values,
    /// Windows.
    Windows,
    /// Partial matches of a pattern.
    Patterns,
    /// Groups of a running aggregation.
    Aggregations,
}

impl StateKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StateKind::Values => "values",
            StateKind::Windows => "windows",
            StateKind::Patterns => "patterns",
            StateKind::Aggregations => "aggregations",
        }
    }
}

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

/// Identity of a stored object: checkpoint number, and generation of the writer that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// Number of the checkpoint, rising.
    pub id: u64,
    /// Generation of the writer.
    pub generation: u64,
}

impl ObjectId {
    /// Name of the object in a storage.
    #[must_use]
    pub fn name(self) -> String {
        alloc::format!("checkpoint-{:010}-g{}.efx", self.id, self.generation)
    }

    /// The identity a name stands for, if it is the name of a checkpoint object.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (id, generation) = name.strip_prefix("checkpoint-")?.strip_suffix(".efx")?.split_once("-g")?;
        let object = ObjectId { id: id.parse().ok()?, generation: generation.parse().ok()? };
        (object.name() == name).then_some(object)
    }
}

/// A base: all rows of a range of key groups as of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) state: u16,
    /// First key group.
    pub(crate) low: u16,
    /// First key group after the range.
    pub(crate) high: u16,
    /// Checkpoint it was taken with.
    pub(crate) checkpoint: u64,
    /// `None`: the groups were empty.
    pub(crate) section: Option<SectionRef>,
}

/// A delta: the rows of a range of key groups that changed since the checkpoint before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta {
    pub(crate) state: u16,
    pub(crate) low: u16,
    pub(crate) high: u16,
    pub(crate) checkpoint: u64,
    pub(crate) section: SectionRef,
}

/// Sizes of one checkpoint, in bytes and rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSizes {
    /// Rows written as delta.
    pub delta_rows: u64,
    /// Raw bytes of the deltas.
    pub delta_raw: u64,
    /// Rows written as base.
    pub base_rows: u64,
    /// Raw bytes of the bases.
    pub base_raw: u64,
    /// Stored bytes of all sections of this checkpoint.
    pub stored: u64,
    /// Bytes of state that changed since the checkpoint before: rows written and rows removed.
    pub dirty: u64,
    /// Raw bytes a restore of this checkpoint reads, from all objects.
    pub restore_raw: u64,
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
    /// Time of creation, milliseconds since 1970, by the writer's clock.
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
    /// Deltas on top, in the order of their checkpoints.
    pub(crate) deltas: Vec<Delta>,
    /// Bytes compaction may still write for what was dirty so far.
    pub(crate) credit: i64,
    /// Bytes all bases so far stayed below the bound on writing: what may be spent when state shrinks.
    pub(crate) reserve: i64,
}

impl Manifest {
    /// Raw bytes of the manifest.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, self);
        out
    }

    /// Reads and checks: after this every index and range of it is good.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let manifest: Manifest = read_all(bytes)?;
        let groups = manifest.key_groups;
        if groups == 0 || groups > KEY_GROUPS_MAX || manifest.states.len() > STATES_MAX {
            return Err(Malformed::new("number of key groups or states out of range"));
        }
        let sections = manifest.sections();
        let mut ranges = manifest
            .bases
            .iter()
            .map(|base| (base.state, base.low, base.high))
            .chain(manifest.deltas.iter().map(|delta| (delta.state, delta.low, delta.high)));
        if ranges.any(|(state, low, high)| usize::from(state) >= manifest.states.len() || low >= high || high > groups)
        {
            return Err(Malformed::new("a section names a state or key group that is not there"));
        }
        if sections.into_iter().any(|section| section.object as usize >= manifest.objects.len()) {
            return Err(Malformed::new("a section names an object that is not there"));
        }
        for state in 0..manifest.states.len() {
            let mut next = 0;
            for base in manifest.bases.iter().filter(|base| usize::from(base.state) == state) {
                if base.low != next {
                    return Err(Malformed::new("the bases do not cover each key group once"));
                }
                next = base.high;
            }
            if next != groups {
                return Err(Malformed::new("the bases do not cover each key group once"));
            }
        }
        Ok(manifest)
    }

    /// Every section a restore reads: bases, then deltas.
    pub(crate) fn sections(&self) -> Vec<&SectionRef> {
        let bases = self.bases.iter().filter_map(|base| base.section.as_ref());
        bases.chain(self.deltas.iter().map(|delta| &delta.section)).collect()
    }

    /// Objects a restore of this checkpoint reads, with the checkpoint's own.
    #[must_use]
    pub fn needed_objects(&self) -> Vec<ObjectId> {
        let mut objects: Vec<ObjectId> =
            self.sections().iter().map(|section| self.objects[section.object as usize]).collect();
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
