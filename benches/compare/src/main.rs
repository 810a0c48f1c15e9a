//! EventFlux State against what people use today: same data, same process, same durability.
//!
//! ```sh
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- [WORKLOAD…] [--quick] [--json FILE]
//! ```
//!
//! Without names all workloads run, which takes about ten minutes (`--quick`: one). `--json` writes all measurements
//! as JSON lines too: workload, case, who, metric, unit, median, min, max, rounds, and the ratios of the median to ours
//! and to the floor; the last line is the machine and its load. Files are written below `benches/compare/target`, which should not be in memory.
//!
//! The package is a workspace of its own, which no check of the project builds: RocksDB takes many minutes. It needs a
//! C++ compiler and libclang (Debian: `apt-get install g++ libclang-14-dev`, or any other version of it).
//!
//! Every table has the ratio to us (`× us`) and to the physical floor measured in the same run (`× floor`): a copy
//! within memory, or write + fsync + rename + fsync of the directory of the same number of bytes. Times are the middle
//! of several rounds in which all take their turn. We and the codecs allocate with mimalloc, as our command does; the C
//! and C++ libraries bring their own.

mod codecs;
mod data;
mod floor;
mod report;
mod rivals;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use eventflux_benches::memory;
use mimalloc::MiMalloc;

use crate::report::Report;
use crate::workloads::{ALL, Context};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str = "usage: eventflux-compare [WORKLOAD…] [--quick] [--json FILE]";

/// What the command line says.
#[derive(Default)]
struct Arguments {
    names: Vec<String>,
    json: Option<PathBuf>,
    quick: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<()> {
    memory::touch();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    fs::create_dir_all(&target)?;
    let directory = tempfile::tempdir_in(&target)?;
    let report = Report::new(arguments.json.as_deref())?;
    let (files, before) = (file_system(directory.path()), load());
    println!("{}; files on {files}; load {before}", machine());
    let mut context = Context { report, quick: arguments.quick, directory: directory.path().into() };
    for workload in &ALL {
        if arguments.names.is_empty() || arguments.names.iter().any(|name| name == workload.name) {
            context.report.workload(workload.name, workload.what);
            memory::touch();
            (workload.run)(&mut context);
        }
    }
    let after = load();
    println!("\nload {after} at the end");
    context.report.machine(&machine(), &files, [&before, &after]);
    Ok(())
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => arguments.quick = true,
                "--json" => arguments.json = Some(words.next().ok_or("--json needs the name of a file")?.into()),
                name if ALL.iter().any(|workload| workload.name == name) => arguments.names.push(word),
                _ => return Err(format!("unknown: `{word}`\n{USAGE}\n{}", workloads())),
            }
        }
        Ok(arguments)
    }
}

fn workloads() -> String {
    ALL.iter().map(|workload| format!("  {:<13} {}\n", workload.name, workload.what)).collect()
}

/// Processor, cores and system, as the machine itself tells.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.trim_start_matches(['\t', ' ', ':']);
    format!("{}: {model}, {cores} cores, {}", host.trim(), std::env::consts::OS)
}

/// How many wanted a core in the last minute, us among them: with more than there are cores, times are those of a crowd.
fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").into()
}

/// Kind and place of the file system that a directory is on.
fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut found = (0, String::from("an unknown file system"));
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else { continue };
        if directory.starts_with(point) && point.len() >= found.0 {
            found = (point.len(), format!("{kind} at {point}"));
        }
    }
    found.1
}
