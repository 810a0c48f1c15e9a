//! The manifest without an allocator: written from what a fixed holder has, read where it lies.
//!
//! The fields and their order are those of `manifest_record.rs`; the parts are the same types. What
//! holds the two equal is the test of equal bytes, `tests/tests/fixed_bytes`.

use core::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::manifest_parts::{Base, CheckpointSizes, Delta, ObjectId, StateKind};
use super::section_ref::SectionRef;
use super::{ByteSink, Cursor, Malformed, append, append_varint};
use crate::credit::Credit;

/// A state of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateRecord<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: StateKind,
    pub(crate) version: u32,
    pub(crate) fingerprint: u64,
    pub(crate) description: &'a str,
}

/// What an engine needs beside the states to go on from a checkpoint: without it none does.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FixedEngine<'a> {
    /// Events taken so far.
    pub events: u64,
    /// Largest timestamp seen, in milliseconds.
    pub timestamp_max: Option<i64>,
    /// Whether the source has ended.
    pub finished: bool,
    /// Results given out, per operator.
    pub results: &'a [u64],
    /// Late events, per operator.
    pub late: &'a [u64],
}

/// What a manifest begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beginning<'a> {
    pub(crate) object: ObjectId,
    pub(crate) parent: Option<u64>,
    pub(crate) created_ms: i64,
    #[serde(borrow)]
    pub(crate) label: Option<&'a str>,
    pub(crate) holder: &'a str,
    pub(crate) key_groups: u16,
}

/// What follows the states.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ProgressRecord<'a> {
    pub(crate) positions: &'a [(&'a str, u64)],
    pub(crate) outputs: &'a [(&'a str, u64)],
    pub(crate) watermarks: &'a [(&'a str, i64)],
    pub(crate) engine: Option<FixedEngine<'a>>,
}

/// Appends a list whose items come one by one.
fn append_list<T: Serialize>(out: &mut impl ByteSink, items: impl Iterator<Item = T> + Clone) {
    append_varint(out, items.clone().count() as u64);
    items.for_each(|item| append(out, &item));
}

/// Where the sections of a manifest are.
pub(crate) struct Sections<O, B, D> {
    pub(crate) objects: O,
    pub(crate) bases: B,
    pub(crate) deltas: D,
}

/// Appends a manifest without plans and pages.
pub(crate) fn append_manifest<'a>(
    out: &mut impl ByteSink,
    beginning: &Beginning<'_>,
    states: impl Iterator<Item = StateRecord<'a>> + Clone,
    progress: &ProgressRecord<'_>,
    sizes: &CheckpointSizes,
    sections: Sections<
        impl Iterator<Item = ObjectId> + Clone,
        impl Iterator<Item = Base> + Clone,
        impl Iterator<Item = Delta> + Clone,
    >,
    credit: Credit,
) {
    append(out, beginning);
    append_list(out, states);
    append(out, progress);
    append(out, sizes);
    append_list(out, sections.objects);
    append_list(out, sections.bases);
    let none: &[u64] = &[];
    // Plans, pages of bases, pages of deltas.
    append(out, &(none, none, none));
    append_list(out, sections.deltas);
    append(out, &(credit.credit, credit.reserve));
}

/// A list as it lies in a manifest; every item has been read once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a, T> {
    bytes: &'a [u8],
    count: u64,
    items: PhantomData<T>,
}

impl<'a, T: Deserialize<'a>> Records<'a, T> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let count = cursor.varint()?;
        let bytes = cursor.rest();
        for _ in 0..count {
            cursor.record::<T>()?;
        }
        Ok(Records { bytes, count, items: PhantomData })
    }

    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map_while(move |_| cursor.record().ok())
    }
}

/// What an engine went on with, read where it lies: the counterpart of [`FixedEngine`].
#[derive(Debug, Clone, Copy)]
pub struct FixedRestoredEngine<'a> {
    /// Events taken until then: the next one has this sequence.
    pub events: u64,
    /// Largest timestamp seen, in milliseconds: with it begins what is late.
    pub timestamp_max: Option<i64>,
    /// Whether the source has ended.
    pub finished: bool,
    results: Records<'a, u64>,
    late: Records<'a, u64>,
}

impl<'a> FixedRestoredEngine<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Malformed> {
        let Some((events, timestamp_max, finished)) = cursor.record()? else { return Ok(None) };
        let (results, late) = (Records::read(cursor)?, Records::read(cursor)?);
        Ok(Some(FixedRestoredEngine { events, timestamp_max, finished, results, late }))
    }

    /// Results given out, per operator.
    pub fn results(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.results.iter()
    }

    /// Late events, per operator.
    pub fn late(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.late.iter()
    }
}

/// What follows the states, read where it lies.
#[derive(Debug)]
pub(crate) struct ProgressView<'a> {
    pub(crate) positions: Records<'a, (&'a str, u64)>,
    pub(crate) outputs: Records<'a, (&'a str, u64)>,
    pub(crate) watermarks: Records<'a, (&'a str, i64)>,
    pub(crate) engine: Option<FixedRestoredEngine<'a>>,
}

impl<'a> ProgressView<'a> {
    /// Not inlined: it would lie on the stack of a restore.
    #[inline(never)]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        Ok(ProgressView {
            positions: Records::read(cursor)?,
            outputs: Records::read(cursor)?,
            watermarks: Records::read(cursor)?,
            engine: FixedRestoredEngine::read(cursor)?,
        })
    }
}

/// A manifest read where it lies.
#[derive(Debug, Clone)]
pub(crate) struct ManifestView<'a> {
    pub(crate) beginning: Beginning<'a>,
    pub(crate) states: Records<'a, StateRecord<'a>>,
    /// Of a [`ProgressView`], which has been read once: it would take much of the stack of a restore.
    pub(crate) progress: &'a [u8],
    pub(crate) objects: Records<'a, ObjectId>,
    pub(crate) bases: Records<'a, Base>,
    /// Number of pages, whose bases and deltas are not here.
    pub(crate) pages: u64,
    pub(crate) deltas: Records<'a, Delta>,
    pub(crate) credit: Credit,
}

impl<'a> ManifestView<'a> {
    /// Reads a manifest of version 2 or 3: all of it can be read, and it ends where it should.
    pub(crate) fn read(version: u16, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let beginning = cursor.record::<Beginning<'a>>()?;
        let states = Records::read(&mut cursor)?;
        let progress = cursor.rest();
        ProgressView::read(&mut cursor)?;
        cursor.record::<CheckpointSizes>()?;
        let objects = Records::read(&mut cursor)?;
        let bases = Records::read(&mut cursor)?;
        Records::<SectionRef>::read(&mut cursor)?;
        // Of bases, from version 3 on; of deltas.
        let mut pages = 0;
        for _ in 2..=version {
            pages += Records::<SectionRef>::read(&mut cursor)?.len();
        }
        let deltas = Records::read(&mut cursor)?;
        let (credit, reserve) = cursor.record()?;
        cursor.finish()?;
        Ok(ManifestView {
            beginning,
            states,
            progress,
            objects,
            bases,
            pages,
            deltas,
            credit: Credit { credit, reserve },
        })
    }
}
