//! Restoring into fixed states: all is checked before anything changes.

use super::error::FixedError;
use super::holder::FixedHolder;
use super::lineage::{Held, Lineage};
use super::map::FixedState;
pub use crate::format::manifest_fixed::FixedRestoredEngine;
use crate::format::manifest_fixed::{Beginning, ManifestView, ProgressView};
use crate::format::manifest_parts::{Base, Delta, ObjectId};
use crate::format::object_ends::{is_object, read_frame};
use crate::format::rows::{Form, Row, read_rows};
use crate::format::section_ref::{Codec, SectionRef};
use crate::format::{Cursor, FORMAT_VERSION, Malformed, hash64, key_group, key_hash};
use crate::limits::STORAGE_BYTES_MAX;

/// What was restored.
#[derive(Debug, Clone, Copy)]
pub struct FixedRestored<'a> {
    /// The checkpoint.
    pub object: ObjectId,
    /// Time of its cut, milliseconds since 1970.
    pub created_ms: i64,
    /// Its label, if it is a savepoint.
    pub label: Option<&'a str>,
    /// Of a [`ProgressView`].
    progress: &'a [u8],
}

// Not inlined: what they read would lie on the stack of whoever restores, during the restore too.
impl<'a> FixedRestored<'a> {
    /// Position in a source, as it was recorded.
    #[must_use]
    #[inline(never)]
    pub fn position(&self, name: &str) -> Option<u64> {
        named(self.progress()?.positions.iter(), name)
    }

    /// Length of an output, as it was recorded.
    #[must_use]
    #[inline(never)]
    pub fn output(&self, name: &str) -> Option<u64> {
        named(self.progress()?.outputs.iter(), name)
    }

    /// Watermark of a source, as it was recorded, in milliseconds since 1970.
    #[must_use]
    #[inline(never)]
    pub fn watermark(&self, name: &str) -> Option<i64> {
        named(self.progress()?.watermarks.iter(), name)
    }

    /// What an engine recorded, or a program in its place: who goes on from it counts on from `events` and takes for late
    /// what `timestamp_max` makes late.
    #[must_use]
    #[inline(never)]
    pub fn engine(&self) -> Option<FixedRestoredEngine<'a>> {
        self.progress()?.engine
    }

    fn progress(&self) -> Option<ProgressView<'a>> {
        ProgressView::read(&mut Cursor::new(self.progress)).ok()
    }
}

fn named<'a, T>(mut records: impl Iterator<Item = (&'a str, T)>, name: &str) -> Option<T> {
    records.find(|(of, _)| *of == name).map(|(_, value)| value)
}

/// A section with what its manifest says of it.
struct Part<'a> {
    state: u16,
    low: u16,
    high: u16,
    /// Checkpoint of a delta; `None` is a base.
    delta: Option<u64>,
    rows: &'a [u8],
}

/// A checkpoint with the objects that it may need.
struct Reading<'o, 'a> {
    manifest: ManifestView<'a>,
    objects: &'o [&'a [u8]],
}

impl<'a> Reading<'_, 'a> {
    /// The bytes of a section, which match its hashes.
    fn rows(&self, section: &SectionRef) -> Result<&'a [u8], FixedError> {
        let object = self.object_of(section)?;
        section.check_bounds()?;
        if section.codec != Codec::Rows {
            return Err(FixedError::NotRows);
        }
        // Of the others only sections are read, each of which has its hashes.
        let bytes =
            self.objects.iter().find(|bytes| is_object(bytes, object)).ok_or(FixedError::ObjectMissing(object))?;
        let range = usize::try_from(section.offset).ok().zip(usize::try_from(section.stored).ok());
        let rows = range.and_then(|(start, len)| bytes.get(start..start.checked_add(len)?));
        let rows = rows.ok_or_else(|| Malformed::new("a section is not inside of its object"))?;
        section.check_stored(rows)?;
        if section.raw != section.stored || hash64(rows).to_le_bytes() != section.hash {
            return Err(Malformed::new("the content does not match its hash").into());
        }
        Ok(rows)
    }

    fn object_of(&self, section: &SectionRef) -> Result<ObjectId, FixedError> {
        let object = self.manifest.objects.iter().nth(section.object as usize);
        object.ok_or_else(|| Malformed::new("a section names an object that is not there").into())
    }

    /// Hands over every section, bases first.
    fn for_each_part(&self, mut each: impl FnMut(Part<'a>) -> Result<(), FixedError>) -> Result<(), FixedError> {
        let bases = self.manifest.bases.len();
        for at in 0..bases + self.manifest.deltas.len() {
            let part = if at < bases { self.base(at)? } else { self.delta(at - bases)? };
            if let Some(part) = part {
                each(part)?;
            }
        }
        Ok(())
    }

    /// The section of a base, if it has rows. Not inlined: a record would lie on the stack while its rows are read.
    #[inline(never)]
    fn base(&self, at: u64) -> Result<Option<Part<'a>>, FixedError> {
        let base = self.manifest.bases.iter().nth(at as usize);
        let Some(Base { state, low, high, section: Some(section), .. }) = base else { return Ok(None) };
        Ok(Some(Part { state, low, high, delta: None, rows: self.rows(&section)? }))
    }

    #[inline(never)]
    fn delta(&self, at: u64) -> Result<Option<Part<'a>>, FixedError> {
        let delta = self.manifest.deltas.iter().nth(at as usize);
        let Some(Delta { state, low, high, checkpoint, section, .. }) = delta else { return Ok(None) };
        Ok(Some(Part { state, low, high, delta: Some(checkpoint), rows: self.rows(&section)? }))
    }

    /// Hands over the rows of a section that count.
    fn for_each_row(
        &self,
        part: &Part<'a>,
        mut each: impl FnMut(&Row<'a>) -> Result<(), FixedError>,
    ) -> Result<(), FixedError> {
        let key_groups = self.manifest.beginning.key_groups;
        let mut failed = Ok(());
        let read = read_rows(part.rows, |row| {
            if !(part.low..part.high).contains(&row.group) {
                return Err(Malformed::new("a row of a key group the section does not cover"));
            }
            if key_group(key_hash(row.key), key_groups) != row.group {
                return Err(Malformed::new("a key is filed under another key group than its own"));
            }
            if part.delta.is_none() && row.form != Form::Whole {
                return Err(Malformed::new("a base with a row that is not whole"));
            }
            let counts = part.delta.is_none_or(|delta| self.base_of(part.state, row.group) < delta);
            if counts && failed.is_ok() {
                failed = each(&row);
            }
            Ok(())
        });
        read?;
        failed
    }

    /// Checkpoint of the base of a key group; the checks saw to it that there is one.
    fn base_of(&self, state: u16, group: u16) -> u64 {
        let mut bases = self.manifest.bases.iter();
        let base = bases.find(|base| base.state == state && (base.low..base.high).contains(&group));
        base.map_or(0, |base| base.checkpoint)
    }

    /// What a manifest says of states, key groups and order.
    fn check(&self) -> Result<(), FixedError> {
        let manifest = &self.manifest;
        let (states, groups) = (manifest.states.len(), manifest.beginning.key_groups);
        let id = manifest.beginning.object.id;
        if groups == 0 || groups > crate::limits::KEY_GROUPS_MAX {
            return Err(Malformed::new("number of key groups out of range").into());
        }
        let mut next = (0, 0);
        for base in manifest.bases.iter() {
            let is_in_order = (base.state, base.low) == next && base.low < base.high && base.high <= groups;
            // Before the next state is counted: there may be one too many.
            if !is_in_order || u64::from(base.state) >= states || base.checkpoint > id {
                return Err(Malformed::new("the bases do not cover each key group once, in order").into());
            }
            next = if base.high == groups { (base.state + 1, 0) } else { (base.state, base.high) };
        }
        if [manifest.credit.credit, manifest.credit.reserve].iter().any(|size| size.unsigned_abs() > STORAGE_BYTES_MAX)
        {
            return Err(Malformed::new("a size is out of range").into());
        }
        let mut newest = 0;
        let mut deltas = manifest.deltas.iter();
        let deltas_are_right = deltas.all(|delta| {
            let in_order = delta.checkpoint >= newest && delta.checkpoint <= id;
            newest = delta.checkpoint;
            in_order && u64::from(delta.state) < states && delta.low < delta.high && delta.high <= groups
        });
        if (u64::from(next.0), next.1) != (states, 0) || !deltas_are_right {
            return Err(Malformed::new("bases or deltas of other states or key groups, or out of order").into());
        }
        Ok(())
    }
}

impl<const STATES: usize, const DELTAS: usize> FixedHolder<'_, STATES, DELTAS> {
    /// Restores a checkpoint: the first of `objects`, with the others that it may need, in any order. One that this
    /// holder wrote, or its growable twin with `Capture::into_row_object`.
    ///
    /// The key groups of the holder become those of the checkpoint.
    ///
    /// # Errors
    /// Any of [`FixedError`]. Versions, hashes, lengths and the order of rows are checked before the first state changes.
    /// Then only two leave the states empty: [`FixedError::Full`], for a checkpoint that they have no room for, and
    /// [`FixedError::Damaged`], for rows with right hashes that are not of such states, as another program writes them.
    pub fn restore<'o>(
        &mut self,
        states: &mut [&mut dyn FixedState],
        objects: &[&'o [u8]],
    ) -> Result<FixedRestored<'o>, FixedError> {
        let checked = self.check_objects(states, objects);
        // Not taken out, which would be a copy on the stack.
        let reading = match &checked {
            Ok(reading) => reading,
            Err(error) => return Err(error.clone()),
        };
        self.fill(states, reading)?;
        let Beginning { object, created_ms, label, .. } = reading.manifest.beginning;
        Ok(FixedRestored { object, created_ms, label, progress: reading.manifest.progress })
    }

    /// What is to be restored: all of it is checked. Not inlined, as are the other parts of a restore: what one has on
    /// the stack would lie there for all.
    #[inline(never)]
    fn check_objects<'o, 'a>(
        &self,
        states: &[&mut dyn FixedState],
        objects: &'o [&'a [u8]],
    ) -> Result<Reading<'o, 'a>, FixedError> {
        self.check_states(states)?;
        let newest = objects.first().ok_or_else(|| Malformed::new("no object"))?;
        let (found, version, bytes) = read_frame(newest)?;
        if !(2..=FORMAT_VERSION).contains(&version) {
            return Err(FixedError::OtherVersion { found: version });
        }
        let reading = Reading { manifest: ManifestView::read(version, bytes)?, objects };
        let manifest = &reading.manifest;
        let beginning = manifest.beginning;
        if beginning.object != found {
            return Err(Malformed::new("it is another checkpoint than its header says").into());
        }
        if beginning.holder != self.id {
            return Err(FixedError::OtherHolder);
        }
        for (place, (state, of)) in states.iter().zip(&self.descriptors).enumerate() {
            if manifest.states.iter().nth(place) != Some(of.record(state.kind())) {
                return Err(FixedError::StateChanged { state: place });
            }
        }
        if manifest.states.len() != STATES as u64 {
            return Err(FixedError::StateChanged { state: STATES });
        }
        if manifest.pages > 0 {
            return Err(FixedError::NotRows);
        }
        reading.check()?;
        reading.for_each_part(|part| reading.for_each_row(&part, |_| Ok(())))?;
        Ok(reading)
    }

    /// Restores what was checked.
    #[inline(never)]
    fn fill(&mut self, states: &mut [&mut dyn FixedState], reading: &Reading<'_, '_>) -> Result<(), FixedError> {
        states.iter_mut().for_each(|state| state.clear());
        self.lineage = None;
        self.under_way = None;
        self.shrunk = 0;
        let filled = reading.for_each_part(|part| {
            let state = &mut states[usize::from(part.state)];
            reading.for_each_row(&part, |row| state.restore_row(row))
        });
        if let Err(error) = filled {
            states.iter_mut().for_each(|state| state.clear());
            return Err(error);
        }
        states.iter_mut().for_each(|state| state.settle());
        self.key_groups = reading.manifest.beginning.key_groups;
        fill_lineage(reading, &mut self.lineage).inspect_err(|_| self.lineage = None)
    }
}

/// The lineage of a checkpoint. Without bases, so that the next checkpoint writes all, if it has more sections than can
/// be remembered.
#[inline(never)]
fn fill_lineage<const STATES: usize, const DELTAS: usize>(
    reading: &Reading<'_, '_>,
    lineage: &mut Option<Lineage<STATES, DELTAS>>,
) -> Result<(), FixedError> {
    let manifest = &reading.manifest;
    let lineage = lineage.insert(Lineage::new(manifest.beginning.object.id));
    lineage.credit = manifest.credit;
    let held = |section: Option<&SectionRef>, checkpoint, state, low, high| {
        let Some(section) = section else {
            let object = ObjectId { id: checkpoint, generation: 0 };
            return Ok(Held { object, hash: 0, offset: 0, len: 0, state, low, high });
        };
        let object = reading.object_of(section)?;
        let (offset, len) = (section.offset as u32, section.stored as u32);
        Ok::<Held, FixedError>(Held { object, hash: u64::from_le_bytes(section.hash), offset, len, state, low, high })
    };
    let mut fits = true;
    for Base { state, low, high, checkpoint, section, .. } in manifest.bases.iter() {
        fits &= lineage.bases.push(held(section.as_ref(), checkpoint, state, low, high)?).is_ok();
    }
    for Delta { state, low, high, checkpoint, section, .. } in manifest.deltas.iter() {
        fits &= lineage.deltas.push(held(Some(&section), checkpoint, state, low, high)?).is_ok();
    }
    if !fits {
        lineage.bases.clear();
        lineage.deltas.clear();
    }
    Ok(())
}
