//! What tells a file from others, so that no other one is gone on in: how it begins, and what lies before where it was left.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::lines::Lines;

/// Bytes at the beginning, and before a position, that are compared.
pub(super) const BYTES: usize = 4096;

/// How a source begins, uncompressed: of a file from the start, of standard input as it comes in, where who reads it adds
/// to it and who takes checkpoints asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Beginning(Arc<Mutex<Vec<u8>>>);

impl Beginning {
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what comes next; whether more is wanted.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        self.with(|beginning| {
            beginning.extend_from_slice(&bytes[..bytes.len().min(BYTES - beginning.len())]);
            beginning.len() < BYTES
        })
    }
}

/// See the module. Of what cannot be repeated it knows how it began, once that came in.
#[derive(Clone, Debug)]
pub(crate) struct Imprint {
    beginning: Beginning,
    /// Opened once more, beside who reads it: of a file that is not compressed.
    file: Option<Arc<File>>,
}

impl Imprint {
    /// That of a file of which nothing was consumed yet.
    pub(super) fn of(lines: &mut Lines, path: &Path) -> Self {
        let beginning = lines.beginning();
        let file = if lines.input().is_plain_file() { File::open(path).ok() } else { None };
        Imprint { beginning, file: file.map(Arc::new) }
    }

    /// A hash of the beginning, as far as it lies before an offset. Nothing where there are too few bytes.
    pub(crate) fn beginning_before(&self, offset: u64) -> Option<u64> {
        let bytes = usize::try_from(offset).unwrap_or(usize::MAX).min(BYTES);
        self.beginning.with(|beginning| beginning.get(..bytes).filter(|bytes| !bytes.is_empty()).map(xxh3_64))
    }

    /// A hash of the last bytes before an offset: where something was put in or taken out far before, they are others.
    /// Nothing of a compressed file, of which only reading all of it would tell, and where there are too few bytes.
    pub(crate) fn end_before(&self, offset: u64) -> Option<u64> {
        let mut file = self.file.as_deref()?;
        let mut bytes = vec![0; usize::try_from(offset).unwrap_or(usize::MAX).min(BYTES)];
        file.seek(SeekFrom::Start(offset - bytes.len() as u64)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(xxh3_64(&bytes)).filter(|_| !bytes.is_empty())
    }
}
