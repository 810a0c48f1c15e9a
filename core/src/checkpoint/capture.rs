//! What was captured of a holder, and the object that it becomes. Pure, and fit for another thread.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::compaction::Lineage;
use super::encoding::{Encoding, assemble_on};
use super::publish::check_label_len;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::format::head::CatalogEntry;
use crate::format::manifest::{CheckpointSizes, Manifest, ObjectId, StateDescriptor};
use crate::format::object;
use crate::format::section::{Compression, SectionRef};
use crate::state::CheckpointRequest;
use crate::tracked::CapturedRows;

/// The state of a holder as of one cut: rows that changed, and whole key groups.
#[derive(Debug)]
pub struct Capture {
    pub(crate) holder: String,
    /// Number of the cut.
    pub(crate) cut: u64,
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
    /// Number of the cut that was captured; none has 0.
    pub(crate) cut: u64,
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
    pub(super) fn new(manifest: &Manifest) -> Self {
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
    /// [`Error::Damaged`], [`Error::VersionTooNew`]; [`Error::OverLimit`] for a label longer than
    /// [`LABEL_BYTES_MAX`](crate::limits::LABEL_BYTES_MAX); [`Error::CallOrder`] if it has pages, which say more than can be
    /// known of one object.
    pub fn from_object(object: ObjectId, bytes: Vec<u8>) -> Result<Self> {
        let (header, tail) = bytes.split_at(bytes.len().min(object::HEADER_BYTES));
        let trailer = &tail[tail.len().saturating_sub(object::TRAILER_BYTES)..];
        let len = object::read_trailer(&object.name(), trailer)?.saturating_add(object::TRAILER_BYTES as u64);
        let from = (tail.len() as u64).saturating_sub(len) as usize;
        let manifest = Arc::new(object::read_manifest(object, header, &tail[from..])?);
        check_label_len(manifest.label.as_deref())?;
        if !manifest.base_pages.is_empty() || !manifest.pages.is_empty() {
            return Err(Error::CallOrder(
                "a checkpoint with pages cannot be taken over as one object; make it with `Capture::into_row_object`",
            ));
        }
        Ok(EncodedCheckpoint {
            lineage: Lineage::new(Arc::clone(&manifest)),
            dirty_entries: manifest.sizes.delta_rows + manifest.sizes.base_rows,
            manifest,
            bytes,
            cut: 0,
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

    /// Entries, over all states, that changed since the checkpoint before: set, or removed. What came and went in between,
    /// while no checkpoint was under way, has not changed. Of a checkpoint [from
    /// elsewhere](EncodedCheckpoint::from_object), where that is not known, all rows in it; of a label, none.
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

impl Capture {
    /// Id of the holder that was captured.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Bytes of the rows that were captured, within a few percent.
    #[must_use]
    pub fn rows_bytes(&self) -> u64 {
        let groups = self.states.iter().flat_map(|state| state.rows.deltas.iter().chain(&state.rows.bases));
        groups.map(|group| group.rows.section_bytes()).sum()
    }

    /// Builds the object: sorts rows, packs sections, writes manifest and trailer.
    ///
    /// Deterministic: the same states, the same lineage and the same request give the same bytes.
    ///
    /// # Errors
    /// [`Error::OverLimit`] for a section beyond [`SECTION_RAW_BYTES_MAX`](crate::limits::SECTION_RAW_BYTES_MAX), or a manifest beyond
    /// [`MANIFEST_BYTES_MAX`](crate::limits::MANIFEST_BYTES_MAX); [`Error::CallOrder`] if the number is not above that of
    /// the checkpoint that this one builds on.
    pub fn into_object(self, object: ObjectId, compression: Compression) -> Result<EncodedCheckpoint> {
        at_once(self.encoding(object, compression))
    }

    /// As [`Capture::into_object`], with an executor that makes sections at the same time, if there is enough for more than
    /// one thread: bases and deltas, and those of each state. The bytes are the same.
    ///
    /// # Errors
    /// As [`Capture::into_object`].
    pub fn into_object_on(
        self,
        executor: &dyn Executor,
        object: ObjectId,
        compression: Compression,
    ) -> Result<EncodedCheckpoint> {
        assemble_on(executor, self, object, compression)
    }

    /// As [`Capture::into_object`], in steps. The bytes are the same.
    #[must_use]
    pub fn encoding(self, object: ObjectId, compression: Compression) -> Encoding {
        Encoding::new(self, object, compression, false)
    }

    /// As [`Capture::into_object`], with sections that are rows as they are: what
    /// [`FixedHolder`](crate::FixedHolder) writes, and all that it reads. For one that it restores alone, begin
    /// with [`StateHolder::begin_full`](crate::StateHolder::begin_full).
    ///
    /// # Errors
    /// As [`Capture::into_object`].
    pub fn into_row_object(self, object: ObjectId) -> Result<EncodedCheckpoint> {
        at_once(Encoding::new(self, object, Compression::None, true))
    }
}

/// All steps of an encoding.
fn at_once(mut encoding: Encoding) -> Result<EncodedCheckpoint> {
    loop {
        if let Some(encoded) = encoding.step(usize::MAX)? {
            return Ok(encoded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::tests::empty_manifest;
    use crate::limits::LABEL_BYTES_MAX;

    #[test]
    fn a_label_from_elsewhere_is_no_longer_than_others() {
        let object = ObjectId { id: 0, generation: 1 };
        for (len, fits) in [(LABEL_BYTES_MAX, true), (LABEL_BYTES_MAX + 1, false)] {
            let manifest = Manifest { label: Some("x".repeat(len)), ..empty_manifest(object) };
            let mut bytes = Vec::from(object::header(object));
            object::append_manifest(&mut bytes, &manifest).unwrap();
            let read = EncodedCheckpoint::from_object(object, bytes);
            assert_eq!(read.as_ref().err().is_none_or(|error| !matches!(error, Error::OverLimit { .. })), fits);
        }
    }
}
