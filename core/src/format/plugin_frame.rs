//! Frames of plugins: see `Frames of plugins` in `core/FORMAT.md`.
//!
//! A frame is a header and a piece of the stream of its checkpoint. The stream is one sequence of records, which the
//! frames cut anywhere: a record of any length fits, and a reader keeps what is left of one until the next frame.

use alloc::vec::Vec;

use super::rows::{CapturedRow, Form};
use super::{Cursor, Malformed, append, append_varint};

const MAGIC: &[u8; 4] = b"EFXF";
const VERSION: u8 = 1;
const FULL: u8 = 1;
const LAST: u8 = 2;

/// Longest number.
const VARINT_BYTES_MAX: usize = 10;
/// Most bytes a header takes.
pub(crate) const FRAME_HEADER_BYTES_MAX: usize = MAGIC.len() + 2 + 3 * VARINT_BYTES_MAX;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Checkpoint it is of.
    pub(crate) epoch: u64,
    /// Checkpoint that one builds on; `None`: it is full.
    pub(crate) base: Option<u64>,
    /// Its number in the checkpoint, from 0.
    pub(crate) number: u64,
    /// Whether it is the last of the checkpoint.
    pub(crate) is_last: bool,
}

/// Begins a frame.
pub(crate) fn append_frame_header(out: &mut Vec<u8>, header: FrameHeader) {
    let full = if header.base.is_none() { FULL } else { 0 };
    let last = if header.is_last { LAST } else { 0 };
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, full | last]);
    append_varint(out, header.epoch);
    if let Some(base) = header.base {
        append_varint(out, base);
    }
    append_varint(out, header.number);
}

/// The header of a frame, and the piece of the stream behind it.
pub(crate) fn read_frame_header(frame: &[u8]) -> Result<(FrameHeader, &[u8]), Malformed> {
    let mut cursor = Cursor::new(frame);
    if cursor.take(MAGIC.len() as u64)? != MAGIC {
        return Err(Malformed::new("it does not begin like a frame"));
    }
    let version = cursor.byte()?;
    if version != VERSION {
        return Err(Malformed::new(alloc::format!("frames of version {version}; this plugin reads version {VERSION}")));
    }
    let flags = cursor.byte()?;
    if flags & !(FULL | LAST) != 0 {
        return Err(Malformed::new("unknown flags of a frame"));
    }
    let epoch = cursor.varint()?;
    let base = if flags & FULL == 0 { Some(cursor.varint()?) } else { None };
    let number = cursor.varint()?;
    Ok((FrameHeader { epoch, base, number, is_last: flags & LAST != 0 }, cursor.rest()))
}

/// What the stream of a full checkpoint begins with: name and version of the plugin's schema.
pub(crate) fn append_schema(out: &mut Vec<u8>, name: &str, version: u32) {
    append(out, name);
    append_varint(out, version.into());
}

/// Takes name and version of a schema; `None`: they have not come to their end.
pub(crate) fn take_schema<'a>(cursor: &mut Cursor<'a>) -> Result<Option<(&'a str, u32)>, Malformed> {
    let Some(name) = take_bytes(cursor)? else { return Ok(None) };
    let Some(version) = take_varint(cursor)? else { return Ok(None) };
    let name = core::str::from_utf8(name).map_err(|_| Malformed::new("the name of a schema is not UTF-8"))?;
    let version = u32::try_from(version).map_err(|_| Malformed::new("the version of a schema is out of range"))?;
    Ok(Some((name, version)))
}

/// Appends what became of a key: a form, the key, and unless it was removed the value.
#[inline]
pub(crate) fn append_frame_row(out: &mut Vec<u8>, row: CapturedRow<'_>) {
    out.push(row.form as u8);
    append_varint(out, row.key.len() as u64);
    out.extend_from_slice(row.key);
    if row.form != Form::Removed {
        append_varint(out, row.payload.len() as u64);
        out.extend_from_slice(row.payload);
    }
}

/// Takes a row; `None`: it has not come to its end, and the cursor stands anywhere in it.
#[inline]
pub(crate) fn take_frame_row<'a>(cursor: &mut Cursor<'a>) -> Result<Option<CapturedRow<'a>>, Malformed> {
    let Ok(form) = cursor.byte() else { return Ok(None) };
    let form = Form::from_number(form.into())?;
    let Some(key) = take_bytes(cursor)? else { return Ok(None) };
    if form == Form::Removed {
        return Ok(Some(CapturedRow { key, form, payload: &[] }));
    }
    Ok(take_bytes(cursor)?.map(|payload| CapturedRow { key, form, payload }))
}

#[inline]
fn take_bytes<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let Some(len) = take_varint(cursor)? else { return Ok(None) };
    Ok(cursor.take(len).ok())
}

/// A number; `None` if the bytes end within it.
#[inline]
fn take_varint(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Malformed> {
    let left = cursor.rest().len();
    match cursor.varint() {
        Ok(number) => Ok(Some(number)),
        Err(_) if left < VARINT_BYTES_MAX => Ok(None),
        Err(too_long) => Err(too_long),
    }
}
