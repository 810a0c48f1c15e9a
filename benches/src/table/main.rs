//! Reprints every table of the README from scratch, and draws its plots.
//!
//! ```sh
//! cargo run --release -p eventflux-benches --bin table -- [PART…] [--write] [--from FILE]
//! ```
//!
//! Parts: `figures` (one minute), `compaction` (one, and building tests), `compare` (ten, and the first time it builds
//! RocksDB, which takes long and needs libclang; see `benches/compare`). Without names all of them run. `--write` puts
//! the tables into README.md, each between `<!-- table: NAME -->` and `<!-- end -->`, and the plots into
//! `benches/plots`. `--from` takes the measurements of `compare` from a file: a run leaves them in
//! `benches/compare/target/measurements.json`. A part that fails leaves its tables as they were; the exit code is 1.

mod allocator;
mod chart;
mod compaction;
mod compare;
mod figures;
mod goals;
mod machine;
mod markdown;
mod pause;
mod plots;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::markdown::{Table, replace};

/// Anything that goes wrong is only said.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "usage: table [figures|compaction|compare …] [--write] [--from FILE]";
const PARTS: [&str; 3] = ["figures", "compaction", "compare"];

/// What the command line says.
#[derive(Default)]
struct Arguments {
    parts: Vec<String>,
    write: bool,
    from: Option<PathBuf>,
}

/// What one part gives: tables of the README, and plots by the names of their files.
#[derive(Default)]
pub struct Printed {
    tables: Vec<Table>,
    plots: Vec<(&'static str, String)>,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    eventflux_benches::memory::touch();
    let mut failed = false;
    for part in PARTS {
        if !arguments.parts.is_empty() && !arguments.parts.iter().any(|name| name == part) {
            continue;
        }
        if let Err(error) = run(part, &arguments) {
            eprintln!("{part}: {error}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(part: &str, arguments: &Arguments) -> Result<()> {
    eprintln!("{part} …");
    let printed = match part {
        "figures" => figures::measure()?,
        "compaction" => compaction::measure()?,
        _ => compare::measure(arguments.from.as_deref())?,
    };
    for table in &printed.tables {
        println!("{}", table.marked());
    }
    if arguments.write {
        let readme = repository().join("README.md");
        let mut text = fs::read_to_string(&readme)?;
        for table in &printed.tables {
            text = replace(&text, table)?;
        }
        fs::write(&readme, text)?;
        let folder = repository().join("benches/plots");
        fs::create_dir_all(&folder)?;
        for (name, svg) in &printed.plots {
            fs::write(folder.join(name), svg)?;
        }
    }
    Ok(())
}

/// The folder of the workspace.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--write" => arguments.write = true,
                "--from" => arguments.from = Some(words.next()?.into()),
                name if PARTS.contains(&name) => arguments.parts.push(word),
                _ => return None,
            }
        }
        Some(arguments)
    }
}
