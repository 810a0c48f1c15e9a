//! Reads a storage that is one file: what a browser downloads, and what `eventflux copy` writes.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use eventflux_core::{Error as CoreError, MemoryBackend, is_archive, open_archive};

use super::Access;
use crate::error::{Error, Result};

/// Ending of such files.
pub(crate) const EXTENSION: &str = "efx";

/// Reads an archive into memory.
///
/// # Errors
/// [`Error::File`] if it is to be written to, or cannot be read; damage.
pub(crate) fn open(path: &Path, access: Access) -> Result<MemoryBackend> {
    if access != Access::Read {
        let reason = "it is a file, which can only be read as an archive; copy it to a directory first: eventflux copy";
        let reason = io::Error::new(ErrorKind::NotADirectory, format!("{reason} {} DIRECTORY", path.display()));
        return Err(Error::File { action: "write to", path: path.into(), reason });
    }
    let bytes = fs::read(path).map_err(|reason| Error::File { action: "read", path: path.into(), reason })?;
    let is_named_so = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION));
    open_archive(&bytes).map_err(|error| match error {
        CoreError::Damaged { .. } if !is_named_so && !is_archive(&bytes) => {
            let reason = "it is no storage: that is a directory, or an archive of checkpoints, whose name ends in .efx";
            Error::File { action: "read", path: path.into(), reason: io::Error::new(ErrorKind::InvalidData, reason) }
        }
        error => in_file(error, path).into(),
    })
}

/// Damage of an archive, with the file it is in.
fn in_file(error: CoreError, path: &Path) -> CoreError {
    let object = path.display().to_string();
    match error {
        CoreError::Damaged { part, reason, .. } => CoreError::Damaged { object, part, reason },
        CoreError::VersionTooNew { found, newest, .. } => CoreError::VersionTooNew { object, found, newest },
        other => other,
    }
}
