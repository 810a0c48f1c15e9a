//! What the machine itself needs: nobody can be faster.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

/// Seconds that a copy of so many bytes within memory takes, pages of the target in place.
pub fn copy(bytes: &[u8], target: &mut Vec<u8>) -> f64 {
    target.resize(bytes.len(), 1);
    let started = Instant::now();
    target.copy_from_slice(black_box(bytes));
    black_box(&target);
    started.elapsed().as_secs_f64()
}

/// Writes a file so that it is there, whole, after a power cut: write, fsync, rename, fsync of the directory.
///
/// # Errors
/// Those of the file system.
pub fn write_durably(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Seconds that [`write_durably`] takes.
pub fn durable_write(directory: &Path, name: &str, bytes: &[u8]) -> f64 {
    let started = Instant::now();
    write_durably(directory, name, bytes).expect("the disk has room");
    started.elapsed().as_secs_f64()
}

/// Seconds that reading all files below a directory takes, from the page cache, and their bytes.
pub fn read_all(directory: &Path) -> (f64, usize) {
    let started = Instant::now();
    let mut bytes = 0;
    for file in files(directory) {
        bytes += black_box(fs::read(file).expect("it is there")).len();
    }
    (started.elapsed().as_secs_f64(), bytes)
}

/// Bytes of all files below a directory.
pub fn stored(directory: &Path) -> usize {
    files(directory).iter().map(|file| fs::metadata(file).map_or(0, |file| file.len() as usize)).sum()
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}
