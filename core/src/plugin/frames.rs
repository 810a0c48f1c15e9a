//! Checkpoints of a plugin: its state as frames, and back.
//!
//! The same cut, capture and dirty tracking as of any checkpoint, without what makes one an object of a storage: no
//! manifest, no bases of key groups, no compression. The host has those.
//!
//! Invariants:
//! - A frame is taken only where the one before it was: same checkpoint and next number, or the first of a checkpoint
//!   that builds on the one restored so far, or the first of a full one. Anything else is a gap.
//! - The state changes at the very end of a restore, at once, or not at all.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::state::{KEY_GROUPS, PluginState};
use crate::error::Error;
use crate::format::plugin_frame::{
    FRAME_HEADER_BYTES_MAX, FrameHeader, append_frame_header, append_frame_row, append_schema, read_frame_header,
    take_frame_row, take_schema,
};
use crate::format::rows::{CapturedRow, Row};
use crate::format::{Cursor, Malformed, key_group, key_hash};
use crate::state::PlainValue;
use crate::tracked::{Clock, TrackedMap};

/// Shortest frame that can be asked for, in bytes.
const FRAME_BYTES_MIN: usize = 64;
/// What a step captures at least, in bytes.
const STEP_BYTES_MIN: usize = 4096;

const _: () = assert!(FRAME_HEADER_BYTES_MAX < FRAME_BYTES_MIN);

/// What the frames of a plugin hold: another name is another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameSchema {
    /// Name, such as `top-k`.
    pub name: String,
    /// Version.
    pub version: u32,
}

/// Brings what frames of older schemas hold to the present one.
pub trait FrameMigration {
    /// Whether frames of this schema, which is not the present one, can be migrated.
    fn reads(&self, found: &FrameSchema) -> bool;

    /// The encoded value of a key under the present schema; `None` drops the key.
    ///
    /// # Errors
    /// A reason, which becomes [`FrameError::Schema`].
    fn migrate(&self, found: &FrameSchema, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String>;
}

/// What is wrong with frames, or with a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is not what was handed out.
    #[error("damaged frame: {0}")]
    Corrupt(String),
    /// A frame is missing or out of order.
    #[error("{0}")]
    ChainGap(String),
    /// The frames hold a state that this plugin does not read.
    #[error("{0}")]
    Schema(String),
    /// Anything else: a call out of order, no memory.
    #[error(transparent)]
    State(#[from] Error),
}

/// Hands out a state as frames, and takes it back.
///
/// A checkpoint is [`begin`](Self::begin), [`next_frame`](Self::next_frame) until there is none, [`end`](Self::end). A
/// restore is [`restore`](Self::restore) for each frame of the last full checkpoint and of every one kept since, then
/// [`restore_end`](Self::restore_end).
///
/// ```
/// use eventflux_core::plugin::{FrameError, FrameSchema, Frames, PluginState};
/// # fn main() -> Result<(), FrameError> {
/// let schema = FrameSchema { name: "counter".into(), version: 1 };
/// let (mut state, mut frames) = (PluginState::new(1 << 20), Frames::new(schema.clone()));
/// state.set(b"a", &7_u64)?;
/// frames.begin(&mut state, 1, true)?;
/// let mut kept = Vec::new();
/// while let Some(frame) = frames.next_frame(&mut state, 4096)? {
///     kept.push(frame);
/// }
/// frames.end(&mut state, 1, true)?;
///
/// let (mut restored, mut frames) = (PluginState::new(1 << 20), Frames::new(schema));
/// for frame in &kept {
///     frames.restore(frame, None)?;
/// }
/// frames.restore_end(&mut restored, None)?;
/// assert_eq!(restored.get::<u64>(b"a")?, Some(7));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Frames {
    schema: FrameSchema,
    /// The newest checkpoint that was kept, which the next one builds on.
    kept: Option<u64>,
    under_way: Option<UnderWay>,
    restoring: Option<Box<Restoring>>,
}

#[derive(Debug)]
struct UnderWay {
    epoch: u64,
    base: Option<u64>,
    /// Frames handed out.
    number: u64,
    /// The part of the stream that is captured, and how far it was handed out.
    stream: Vec<u8>,
    handed: usize,
    /// Whether all is captured, and whether the last frame was handed out.
    captured: bool,
    finished: bool,
}

/// A state being filled from frames.
#[derive(Debug)]
struct Restoring {
    /// The frame before.
    header: FrameHeader,
    schema: Option<FrameSchema>,
    values: TrackedMap<PlainValue>,
    /// What is there of a record that goes on in the next frame.
    rest: Vec<u8>,
}

impl Frames {
    /// Frames of this schema.
    #[must_use]
    pub fn new(schema: FrameSchema) -> Self {
        Frames { schema, kept: None, under_way: None, restoring: None }
    }

    /// Cuts a checkpoint: what changed since the last one that was kept, or everything if `full`, or if there is none to
    /// build on. Constant time, whatever the size of the state.
    ///
    /// # Errors
    /// [`Error::CheckpointUnderWay`]; [`Error::CallOrder`] in a restore; [`Error::OverLimit`] after four billion.
    pub fn begin(&mut self, state: &mut PluginState, epoch: u64, full: bool) -> Result<(), FrameError> {
        if self.restoring.is_some() {
            return Err(Error::CallOrder("a restore has begun; end it first").into());
        }
        if self.under_way.is_some() {
            return Err(Error::CheckpointUnderWay.into());
        }
        let cut = state.clock.epoch;
        if cut >= u32::MAX - 1 {
            let (found, limit) = (cut.into(), cut.into());
            return Err(Error::OverLimit { what: "checkpoints without a restart", found, limit }.into());
        }
        let base = self.kept.filter(|_| !full);
        state.clock = state.clock.begin();
        state.values.begin(state.clock, base.is_none().then_some(0..KEY_GROUPS).into_iter());
        let mut stream = Vec::new();
        if base.is_none() {
            append_schema(&mut stream, &self.schema.name, self.schema.version);
        }
        self.under_way = Some(UnderWay { epoch, base, number: 0, stream, handed: 0, captured: false, finished: false });
        Ok(())
    }

    /// The next frame, of at most `bytes_max`; `None` after the last. A value that is longer goes on in the next frame.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`]; [`Error::OverLimit`] for less than 64 bytes, or a state of many GiB.
    pub fn next_frame(&mut self, state: &mut PluginState, bytes_max: usize) -> Result<Option<Vec<u8>>, FrameError> {
        let under_way = self.under_way.as_mut().ok_or(Error::NoCheckpointUnderWay)?;
        if under_way.finished {
            return Ok(None);
        }
        if bytes_max < FRAME_BYTES_MIN {
            let (found, limit) = (FRAME_BYTES_MIN as u64, bytes_max as u64);
            return Err(Error::OverLimit { what: "size of the shortest frame", found, limit }.into());
        }
        let room = bytes_max - FRAME_HEADER_BYTES_MAX;
        under_way.capture(state, room)?;
        let left = &under_way.stream[under_way.handed..];
        let piece = &left[..left.len().min(room)];
        under_way.finished = piece.len() == left.len() && under_way.captured;
        let UnderWay { epoch, base, number, finished, .. } = *under_way;
        let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES_MAX + piece.len());
        append_frame_header(&mut frame, FrameHeader { epoch, base, number, is_last: finished });
        frame.extend_from_slice(piece);
        under_way.handed += piece.len();
        under_way.number += 1;
        Ok(Some(frame))
    }

    /// Ends a checkpoint: its frames are durable, or it never was, and all that it held has changed again.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`]; [`Error::CallOrder`] for another one than the one under way, or if it is to be
    /// durable and not all frames were handed out.
    pub fn end(&mut self, state: &mut PluginState, epoch: u64, durable: bool) -> Result<(), FrameError> {
        let under_way = self.under_way.as_ref().ok_or(Error::NoCheckpointUnderWay)?;
        if under_way.epoch != epoch {
            return Err(Error::CallOrder("the checkpoint under way is another one").into());
        }
        if durable && !under_way.finished {
            return Err(Error::CallOrder("not all frames were handed out: the checkpoint is not whole").into());
        }
        self.under_way = None;
        state.clock = if durable { state.clock.commit() } else { state.clock.abort() };
        state.values.end(state.clock);
        if durable {
            self.kept = Some(epoch);
        }
        Ok(())
    }

    /// Takes a frame back.
    ///
    /// # Errors
    /// [`FrameError`]; the restore must then begin anew.
    pub fn restore(&mut self, frame: &[u8], migration: Option<&dyn FrameMigration>) -> Result<(), FrameError> {
        if self.under_way.is_some() {
            return Err(Error::CheckpointUnderWay.into());
        }
        let before = self.restoring.take();
        let (header, piece) = read_frame_header(frame)?;
        follows(before.as_ref().map(|restoring| restoring.header), header)?;
        let mut restoring = match before {
            Some(restoring) if header.base.is_some() || header.number > 0 => restoring,
            _ => Box::new(Restoring::new(header)),
        };
        restoring.header = header;
        restoring.take_piece(piece, |found| self.check(found, migration))?;
        if header.is_last && (restoring.schema.is_none() || !restoring.rest.is_empty()) {
            return Err(Malformed::new("the last frame ends in the middle of a record").into());
        }
        self.restoring = Some(restoring);
        Ok(())
    }

    /// All frames were given: the state is theirs now. One of an older schema is migrated, and the next checkpoint is
    /// full, whatever is asked for.
    ///
    /// # Errors
    /// [`FrameError`]; the state has not changed then.
    pub fn restore_end(
        &mut self,
        state: &mut PluginState,
        migration: Option<&dyn FrameMigration>,
    ) -> Result<(), FrameError> {
        let gap = |what: &str| FrameError::ChainGap(what.into());
        let restoring = self.restoring.take().ok_or_else(|| gap("no frame was given"))?;
        let Restoring { header, schema: Some(schema), mut values, .. } = *restoring else {
            return Err(gap("the schema is missing"));
        };
        if !header.is_last {
            return Err(gap("the last frame of a checkpoint is missing"));
        }
        let is_present = schema == self.schema;
        if let Some(migration) = migration.filter(|_| !is_present) {
            values = migrated(&values, &schema, migration)?;
        }
        state.values = values;
        state.clock = Clock::new();
        // Frames of another schema are nothing to build on.
        self.kept = is_present.then_some(header.epoch);
        Ok(())
    }

    /// Whether the frames hold what can be read.
    fn check(&self, found: &FrameSchema, migration: Option<&dyn FrameMigration>) -> Result<(), FrameError> {
        if *found == self.schema || migration.is_some_and(|migration| migration.reads(found)) {
            return Ok(());
        }
        let FrameSchema { name, version } = &self.schema;
        Err(FrameError::Schema(format!(
            "the frames hold `{}` version {}; this plugin writes `{name}` version {version} and does not read it",
            found.name, found.version
        )))
    }
}

/// That a frame comes next.
fn follows(before: Option<FrameHeader>, next: FrameHeader) -> Result<(), FrameError> {
    let gap = |wanted: String| {
        let FrameHeader { epoch, number, .. } = next;
        Err(FrameError::ChainGap(format!("frame {number} of checkpoint {epoch} came; {wanted}")))
    };
    match before {
        Some(FrameHeader { epoch, base, number, is_last: false }) => {
            if (next.epoch, next.base, next.number) != (epoch, base, number.saturating_add(1)) {
                return gap(format!("the one after frame {number} of checkpoint {epoch} is missing"));
            }
        }
        Some(FrameHeader { epoch, .. }) => {
            if next.number != 0 {
                return gap("those before it are missing".into());
            }
            if let Some(base) = next.base.filter(|base| *base != epoch) {
                return gap(format!("it builds on checkpoint {base}, and the one before was {epoch}"));
            }
        }
        None => {
            if next.number != 0 || next.base.is_some() {
                return gap("a restore begins with a full checkpoint".into());
            }
        }
    }
    Ok(())
}

fn migrated(
    values: &TrackedMap<PlainValue>,
    found: &FrameSchema,
    migration: &dyn FrameMigration,
) -> Result<TrackedMap<PlainValue>, FrameError> {
    let mut migrated = TrackedMap::new(KEY_GROUPS, Clock::new());
    for (key, value) in values.iter() {
        let failed = |reason: String| {
            let FrameSchema { name, version } = found;
            FrameError::Schema(format!("a value of `{name}` version {version} cannot be migrated: {reason}"))
        };
        if let Some(value) = migration.migrate(found, key, value.as_bytes()).map_err(failed)? {
            migrated.set(key, PlainValue::new(&value))?;
        }
    }
    Ok(migrated)
}

impl UnderWay {
    /// Captures until so many bytes of the stream wait, or all is captured.
    fn capture(&mut self, state: &mut PluginState, bytes: usize) -> Result<(), Error> {
        if self.captured || self.stream.len() - self.handed >= bytes {
            return Ok(());
        }
        // What was handed out is not kept: in the end all of the state would be in memory once more.
        self.stream.copy_within(self.handed.., 0);
        self.stream.truncate(self.stream.len() - self.handed);
        self.handed = 0;
        while !self.captured && self.stream.len() < bytes {
            let mut budget = (bytes - self.stream.len()).max(STEP_BYTES_MIN);
            self.captured = state.values.step(&mut budget);
            let captured = state.values.take_captured()?;
            let blocks = captured.bases.iter().chain(&captured.deltas);
            blocks.flat_map(|block| block.rows.iter()).for_each(|row| append_frame_row(&mut self.stream, row));
        }
        Ok(())
    }
}

impl Restoring {
    fn new(header: FrameHeader) -> Self {
        let values = TrackedMap::new(KEY_GROUPS, Clock::new());
        Restoring { header, schema: None, values, rest: Vec::new() }
    }

    /// Takes the next piece of the stream.
    fn take_piece(
        &mut self,
        piece: &[u8],
        check: impl FnOnce(&FrameSchema) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let mut rest = core::mem::take(&mut self.rest);
        if rest.is_empty() {
            let taken = self.take_records(piece, check)?;
            self.rest = piece[taken..].to_vec();
        } else {
            rest.extend_from_slice(piece);
            let taken = self.take_records(&rest, check)?;
            rest.drain(..taken);
            self.rest = rest;
        }
        Ok(())
    }

    /// Takes whole records; how many bytes they were.
    fn take_records(
        &mut self,
        stream: &[u8],
        check: impl FnOnce(&FrameSchema) -> Result<(), FrameError>,
    ) -> Result<usize, FrameError> {
        let mut cursor = Cursor::new(stream);
        if self.schema.is_none() {
            let Some((name, version)) = take_schema(&mut cursor)? else { return Ok(0) };
            let schema = FrameSchema { name: name.into(), version };
            check(&schema)?;
            self.schema = Some(schema);
        }
        let mut left = cursor.rest().len();
        while let Some(row) = take_frame_row(&mut cursor)? {
            let CapturedRow { key, form, payload } = row;
            let group = key_group(key_hash(key), KEY_GROUPS);
            self.values.restore_row(Row { group, key, form, payload })?;
            left = cursor.rest().len();
        }
        Ok(stream.len() - left)
    }
}

impl From<Malformed> for FrameError {
    fn from(malformed: Malformed) -> Self {
        FrameError::Corrupt(malformed.to_string())
    }
}

#[cfg(test)]
mod tests;
