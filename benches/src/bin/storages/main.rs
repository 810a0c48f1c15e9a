//! Checkpoints on storages that are not files, over what their servers need for the same bytes.
//!
//! ```sh
//! cargo run --release -p eventflux-benches --bin storages
//! ```
//!
//! Starts the servers itself, on loopback, with empty directories: `redis-server` must be installed.

mod redis;

use std::process::ExitCode;

/// As the command `eventflux` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Anything that goes wrong is only said.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match redis::measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The middle of some samples, and the one that nine of ten are below.
fn middle(mut samples: Vec<f64>) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[samples.len() / 2], samples[samples.len() * 9 / 10])
}
