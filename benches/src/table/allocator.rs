//! The allocator of the command `eventflux`, which counts while memory is measured.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mimalloc::MiMalloc;

/// Bytes that something takes and holds.
pub fn held_bytes(fill: &dyn Fn() -> Box<dyn std::any::Any>) -> f64 {
    ALLOCATED.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::Relaxed);
    let held = fill();
    COUNTS.store(false, Ordering::Relaxed);
    drop(held);
    ALLOCATED.load(Ordering::Relaxed) as f64
}

/// Bytes allocated and not freed while [`COUNTS`] was set.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
/// Only while memory is measured: counting makes threads wait for one another.
static COUNTS: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

/// The allocator of the command, which this measures.
static ALLOCATOR: MiMalloc = MiMalloc;

impl Counting {
    fn count(allocated: usize, freed: usize) {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATED.fetch_add(allocated.wrapping_sub(freed), Ordering::Relaxed);
        }
    }
}

#[expect(unsafe_code, reason = "an allocator that counts has to be one; it hands on to another")]
// SAFETY: every call goes to the other allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size(), 0);
        // SAFETY: as the caller promised.
        unsafe { ALLOCATOR.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Counting::count(0, layout.size());
        // SAFETY: as the caller promised.
        unsafe { ALLOCATOR.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Counting::count(new_size, layout.size());
        // SAFETY: as the caller promised.
        unsafe { ALLOCATOR.realloc(block, layout, new_size) }
    }
}
