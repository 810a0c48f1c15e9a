//! Memory of the machine, before anything is measured.
//!
//! The host of a virtual machine may take back what is free for some seconds, and hands each page out again when it is
//! touched. That took 4 ms for 2 MiB where the README's figures come from, and 90 µs if the host had not taken it: whoever
//! came first would pay for it, and the host would be measured instead.

use std::env::{args_os, current_exe, var_os};
use std::fs;
use std::process::{Command, exit};

/// What tells the process that touches memory from the one that measures.
const VARIABLE: &str = "EVENTFLUX_TOUCH_MEMORY";
const CHUNK_BYTES: u64 = 64 << 20;
/// More than any workload needs.
const BYTES_MAX: u64 = 5 << 30;

/// Touches memory that is free, at most half of it, in a process of its own, which gives it back to the machine. To be
/// called before each workload; does nothing where it is not known how much memory is free.
///
/// That process is this very program, with the same arguments: it ends at the first call.
pub fn touch() {
    let Some(bytes) = free_bytes().map(|bytes| BYTES_MAX.min(bytes / 2)) else { return };
    if var_os(VARIABLE).is_some() {
        let chunks: Vec<Vec<u8>> = (0..bytes / CHUNK_BYTES).map(|_| vec![1; CHUNK_BYTES as usize]).collect();
        exit(i32::from(chunks.iter().any(|chunk| chunk.last() != Some(&1))));
    }
    let again = |program| Command::new(program).args(args_os().skip(1)).env(VARIABLE, "1").status();
    let touched = current_exe().and_then(again);
    if !touched.as_ref().is_ok_and(|status| status.success()) {
        eprintln!("it could not be touched ({touched:?}): the first to use it is measured as slower than it is");
    }
}

/// Memory that is free or would be given back.
fn free_bytes() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"))?;
    kilobytes.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}
