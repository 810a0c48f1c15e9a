//! Compiled components on disk, so that a start does not compile.
//!
//! Compiled code is run as it is: whoever can write to the cache can do what the process can. So it is a directory that
//! belongs to the user and that nobody else can write to, or there is none. A file is named by the digest of the
//! component, and by all that the compiler's output depends on, the version of wasmtime among it; it begins with the
//! SHA-256 of what follows, so that a torn or rotten one is compiled anew.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::component::{digest, hex};

/// Names another directory than the user's; empty for none.
const VARIABLE: &str = "EVENTFLUX_PLUGIN_CACHE";

/// A directory of compiled components.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The user's cache, if there can be one.
    pub(super) fn of_user() -> Option<Self> {
        let directory = match std::env::var_os(VARIABLE) {
            Some(directory) if directory.is_empty() => return None,
            Some(directory) => PathBuf::from(directory),
            None => {
                let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
                let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
                base.or_else(home)?.join("eventflux").join("plugins")
            }
        };
        Self::at(directory)
    }

    /// A cache in a directory, which is made if it is not there.
    pub(super) fn at(directory: PathBuf) -> Option<Self> {
        match prepare(&directory) {
            Ok(()) => Some(Cache { directory }),
            Err(reason) => {
                tracing::warn!(directory = %directory.display(), %reason, "compiled plugins are not kept");
                None
            }
        }
    }

    /// The compiled form of a component, from the cache if it is there.
    pub(super) fn get(&self, engine: &Engine, key: &[u8; 32]) -> Option<Component> {
        let bytes = std::fs::read(self.file(engine, key)).ok()?;
        let (hash, compiled) = bytes.split_at_checked(32)?;
        if digest(compiled) != *hash {
            return None;
        }
        deserialize(engine, compiled)
    }

    /// Keeps a compiled component; if that fails it is compiled again next time.
    pub(super) fn put(&self, engine: &Engine, key: &[u8; 32], component: &Component) {
        let kept = component.serialize().map_err(|error| error.to_string()).and_then(|compiled| {
            let mut bytes = digest(&compiled).to_vec();
            bytes.extend_from_slice(&compiled);
            let file = self.file(engine, key);
            let temporary = file.with_extension(format!("{}.tmp", unique()));
            std::fs::write(&temporary, bytes)
                .and_then(|()| std::fs::rename(&temporary, &file))
                .map_err(|error| error.to_string())
        });
        if let Err(reason) = kept {
            tracing::debug!(directory = %self.directory.display(), %reason, "a compiled plugin was not kept");
        }
    }

    fn file(&self, engine: &Engine, key: &[u8; 32]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // Of a module the component is made here.
        (super::component::WORLD, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
        self.directory.join(format!("{}-{:016x}.cwasm", hex(key), hasher.finish()))
    }
}

/// A part of a name that no other process has, also of those in another container, which may have the same number.
fn unique() -> String {
    // Its keys are random.
    format!("{}.{:016x}", std::process::id(), RandomState::new().build_hasher().finish())
}

/// Loads compiled code.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, compiled: &[u8]) -> Option<Component> {
    // SAFETY: these bytes were written by `Cache::put`, which got them from `Component::serialize`: they are whole, as
    // their digest says, and come from a directory to which nobody but the user can write. Wasmtime checks that they
    // are of its own version and settings.
    unsafe { Component::deserialize(engine, compiled) }.ok()
}

#[cfg(unix)]
fn prepare(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let failed = |error: std::io::Error| error.to_string();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let found = std::fs::metadata(directory).map_err(failed)?;
    if found.mode() & 0o022 != 0 {
        return Err(String::from("others can write to the directory; chmod go-w makes it the user's own"));
    }
    // Whose process this is, the owner of a new file tells.
    let probe = directory.join(format!("probe.{}", unique()));
    std::fs::write(&probe, []).map_err(failed)?;
    let owner = std::fs::metadata(&probe).map(|probe| probe.uid());
    std::fs::remove_file(&probe).map_err(failed)?;
    match owner {
        Ok(owner) if owner == found.uid() => Ok(()),
        _ => Err(String::from("the directory belongs to another user")),
    }
}

#[cfg(not(unix))]
fn prepare(_: &Path) -> Result<(), String> {
    Err(String::from("whether a directory is the user's own is only known on Unix"))
}
