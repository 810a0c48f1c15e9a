//! Says early what the build of RocksDB lacks: its own message comes minutes later, and long.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    if !is_there("libclang") {
        println!(
            "cargo::warning=libclang was not found, which the bindings of RocksDB are generated with: \
             `apt-get install libclang-14-dev` (Debian), or name its folder in LIBCLANG_PATH"
        );
    }
    if Command::new("c++").arg("--version").output().is_err() {
        println!("cargo::warning=no C++ compiler was found, which RocksDB is built with: `apt-get install g++`");
    }
}

/// Whether a shared library is in one of the usual folders. Only a guess: what follows is a warning.
fn is_there(library: &str) -> bool {
    let mut folders: Vec<PathBuf> =
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
            .map(PathBuf::from)
            .into();
    folders.extend(env::var_os("LIBCLANG_PATH").map(PathBuf::from));
    let llvm = entries(Path::new("/usr/lib")).into_iter().filter(|path| name(path).starts_with("llvm"));
    folders.extend(llvm.flat_map(|path| [path.join("lib"), path.join("lib64")]));
    let found = |folder: &PathBuf| {
        let starts = format!("{library}.");
        let versioned = format!("{library}-");
        entries(folder)
            .iter()
            .map(|file| name(file))
            .any(|file| file.starts_with(&starts) || file.starts_with(&versioned) && file.contains(".so"))
    };
    cfg!(not(target_os = "linux")) || folders.iter().any(found)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
