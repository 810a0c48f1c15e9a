//! How much memory something takes: no more than the bytes it reads can account for.

use peak_alloc::PeakAlloc;

/// What every reader may take, however short its input: buffers, tables of an empty state.
const PEAK_BYTES_FIXED: usize = 4 << 20;

/// Runs something and asserts that it takes no more than a fixed amount and so many bytes for each byte of the input.
/// The allocator that counts is the binary's to declare; without it nothing is asserted.
#[track_caller]
pub fn bounded<T>(input_bytes: usize, per_byte: usize, run: impl FnOnce() -> T) -> T {
    PeakAlloc.reset_peak_usage();
    let before = PeakAlloc.current_usage();
    let outcome = run();
    let peak = PeakAlloc.peak_usage().saturating_sub(before);
    let limit = PEAK_BYTES_FIXED + input_bytes * per_byte;
    assert!(peak <= limit, "{peak} bytes of memory for an input of {input_bytes}, more than {limit}");
    outcome
}
