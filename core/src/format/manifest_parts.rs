//! Parts of manifests that need no allocator: kinds, identities, where sections are.

use serde::{Deserialize, Serialize};

use super::section_ref::SectionRef;

/// What kind of state a name stands for. The order of the variants is the format.
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
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn name(self) -> alloc::string::String {
        alloc::format!("checkpoint-{:010}-g{}.efx", self.id, self.generation)
    }

    /// The identity a name stands for, if it is the name of a checkpoint object.
    #[cfg(feature = "alloc")]
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
    /// Plan of its columns among those of the manifest; `None`: the section begins with it, or has rows.
    pub(crate) plan: Option<u32>,
    /// Page that names it; `None`: the manifest names it itself.
    #[serde(skip)]
    pub(crate) page: Option<u32>,
}

/// A delta: the rows of a range of key groups that changed since the checkpoint before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta {
    pub(crate) state: u16,
    pub(crate) low: u16,
    pub(crate) high: u16,
    pub(crate) checkpoint: u64,
    pub(crate) section: SectionRef,
    /// Page that names it; `None`: the manifest names it itself.
    #[serde(skip)]
    pub(crate) page: Option<u32>,
}

/// Sizes of what one checkpoint wrote. *Raw*: bytes as rows, before columns and LZ4; *stored*: bytes in the object.
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
    /// Bytes of state that changed since the checkpoint before: rows written and rows removed. What came and went in
    /// between has not changed.
    pub dirty: u64,
    /// Raw bytes a restore of this checkpoint reads, from all objects.
    pub restore_raw: u64,
}
