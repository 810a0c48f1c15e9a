//! Writes a storage as one file, to carry away.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use eventflux_core::{MemoryBackend, write_archive};

use crate::error::{Error, Result};
use crate::storage::sync_directory;

/// Writes a storage as an archive, durably; a file that is there stays.
///
/// # Errors
/// [`Error::File`].
pub(super) fn write(path: &Path, storage: &mut MemoryBackend) -> Result<()> {
    let bytes = write_archive(storage)?;
    // A part of an archive is of no use to anybody: it gets its name once it is whole.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let save = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        give_name(Path::new(&temporary), path)?;
        sync_directory(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    };
    let saved = save();
    drop(fs::remove_file(&temporary));
    saved.map_err(|reason| Error::File { action: "write", path: path.into(), reason })
}

/// Gives a file its name, unless something has it.
fn give_name(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists && path.symlink_metadata().is_err() => {
            // A file system without such links.
            fs::rename(temporary, path)
        }
        linked => linked,
    }
}
