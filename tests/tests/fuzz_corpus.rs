//! Every input that fuzzing has kept, and what the project itself writes, on each fuzz target: `tests/fuzz/run` searches,
//! this replays. The counting allocator makes the targets assert how much memory an input may ask for.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use fuzz::TARGETS;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The corpus is a part of the repository, not a heap: bytes and files of one target.
const CORPUS_BYTES_MAX: u64 = 64 * 1024;
const CORPUS_FILES_MAX: usize = 120;

/// Memory is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Tries an input, and names it if it fails.
fn replay(target: &str, name: &str, input: &[u8]) {
    let outcome = std::panic::catch_unwind(|| fuzz::run(target, input));
    assert!(outcome.is_ok(), "target `{target}`, {name}: see above");
}

#[test]
fn the_corpus_is_harmless() {
    let _alone = alone();
    for target in TARGETS {
        let files = corpus(target.name);
        assert!(!files.is_empty(), "`{}` has no corpus", target.name);
        for file in &files {
            replay(target.name, &file.display().to_string(), &fs::read(file).unwrap());
        }
        println!("fuzz: {} inputs of `{}` replayed", files.len(), target.name);
    }
}

#[test]
fn the_corpus_is_small() {
    for target in TARGETS {
        let files = corpus(target.name);
        let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(files.len() <= CORPUS_FILES_MAX && bytes <= CORPUS_BYTES_MAX, "`{}`: {bytes} bytes", target.name);
    }
}

/// Also what `tests/fuzz/run` begins with: with EVENTFLUX_SEEDS=DIRECTORY they are written there.
#[test]
fn what_the_project_writes_is_harmless() {
    let _alone = alone();
    let directory = std::env::var_os("EVENTFLUX_SEEDS").map(PathBuf::from);
    for target in TARGETS {
        let seeds = fuzz::seeds::seeds(target.name);
        assert!(!seeds.is_empty(), "`{}` has no seeds", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            if let Some(directory) = &directory {
                let of_target = directory.join(target.name);
                fs::create_dir_all(&of_target).unwrap();
                fs::write(of_target.join(format!("seed-{number:02}")), seed).unwrap();
            }
            replay(target.name, &format!("seed {number}"), seed);
        }
    }
}

/// Each target stops where its first byte does not fit; nothing at all fits everywhere.
#[test]
fn short_inputs_are_harmless() {
    let _alone = alone();
    for target in TARGETS {
        for len in 0..40 {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                replay(target.name, &format!("{len} bytes of {byte}"), &vec![byte; len]);
            }
        }
    }
}
