//! The memory of an instance: what there is of it, asked before it is needed. What breaks down for lack of it cannot be given
//! back, and the state would be lost.

use std::cell::Cell;

use eventflux_core::Error;
use js_sys::Uint8Array;

use crate::error::{Result, from_core};

/// So much is there, or nothing is written any more.
const SPARE_BYTES: usize = 16 * 1024 * 1024;
/// The part of its memory by which an instance grows at once.
const GROWTH_SHARE: usize = 8;
const PAGE_BYTES: usize = 64 * 1024;

/// Refuses what will not have so many bytes.
pub(crate) fn ensure_room(bytes: u64, doing: &'static str) -> Result<()> {
    let room = usize::try_from(bytes).unwrap_or(usize::MAX);
    if room > SPARE_BYTES && Vec::<u8>::new().try_reserve_exact(room).is_err() {
        return Err(from_core(Error::OutOfMemory { doing, bytes: room }));
    }
    Ok(())
}

/// A copy of bytes of JavaScript, if there is room for as many of them.
pub(crate) fn copy_of(bytes: &Uint8Array, copies: u64, doing: &'static str) -> Result<Vec<u8>> {
    ensure_room(u64::from(bytes.length()).saturating_mul(copies), doing)?;
    Ok(bytes.to_vec())
}

/// Lets the memory of an instance that grows do so by an eighth at a time, not by pages: V8 stops to look for what it can
/// collect whenever it grows, once it is large. An error once there is so little left that a write may not have it.
pub(crate) fn grow_ahead() -> Result<()> {
    thread_local! {
        static SEEN: Cell<usize> = const { Cell::new(0) };
    }
    let now = pages();
    if SEEN.get() < now {
        let is_there = |bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok();
        if is_there(now * PAGE_BYTES / GROWTH_SHARE) {
            SEEN.set(pages());
        } else if !is_there(SPARE_BYTES) {
            return Err(from_core(Error::OutOfMemory { doing: "writing; remove something", bytes: SPARE_BYTES }));
        }
    }
    Ok(())
}

#[cfg(target_family = "wasm")]
fn pages() -> usize {
    core::arch::wasm32::memory_size(0)
}

/// Elsewhere the system does what is best.
#[cfg(not(target_family = "wasm"))]
fn pages() -> usize {
    0
}
