//! Hostile bytes for every reader of the project: the bodies of the fuzz targets.
//!
//! Each target is a plain function, so that what fuzzing has found is tried again wherever the tests run, without any of
//! its tools: `tests/tests/fuzz_corpus.rs` includes this file and replays the corpus.
//!
//! A body panics if something is wrong: a panic of the code under test, a property that does not hold, or more memory
//! than the bytes of the input can account for.

pub mod memory;
#[path = "../../tests/common/object.rs"]
pub mod object;
pub mod sections;
pub mod seeds;
pub mod sources;
pub mod states;
pub mod storage;
pub mod texts;
pub mod work;

/// Something that reads what others wrote.
pub struct Target {
    /// As `cargo fuzz` calls it; its corpus is in a directory of this name.
    pub name: &'static str,
    /// What is tried on an input.
    pub body: fn(&[u8]),
    /// Longest input that is worth while, in bytes: for `tests/fuzz/run`, which reads it here.
    #[allow(dead_code, reason = "the script reads it")]
    pub length_max: usize,
}

/// All targets.
pub const TARGETS: [Target; 14] = [
    // Whole checkpoint objects, as they are and with all hashes made right.
    Target { name: "object", body: storage::object, length_max: 4096 },
    // The same, restored into an engine that goes on.
    Target { name: "engine", body: storage::engine, length_max: 8192 },
    // Manifests of all versions in front of sections that are whole.
    Target { name: "manifest", body: storage::manifest, length_max: 4096 },
    // Head records of a storage with three checkpoints.
    Target { name: "head", body: storage::head, length_max: 1024 },
    // Sections of rows, of each kind of state, as base and as delta.
    Target { name: "rows", body: sections::rows, length_max: 2048 },
    // Sections of columns, with plans in front of them and apart.
    Target { name: "columns", body: sections::columns, length_max: 2048 },
    // Sections of either form in LZ4.
    Target { name: "packed", body: sections::packed, length_max: 2048 },
    // A plain value shown by a schema.
    Target { name: "schema", body: sections::schema, length_max: 512 },
    // States made by a program of writes, checkpoints and restores.
    Target { name: "state", body: states::state, length_max: 256 },
    // Definitions of applications, TOML and JSON.
    Target { name: "definition", body: texts::definition, length_max: 2048 },
    // Rows of sources, gzipped ones too.
    Target { name: "csv", body: sources::csv, length_max: 2048 },
    Target { name: "ndjson", body: sources::ndjson, length_max: 2048 },
    Target { name: "timestamp", body: sources::timestamp, length_max: 64 },
    // Addresses of storages.
    Target { name: "address", body: texts::address, length_max: 256 },
];

/// Tries an input on a target.
///
/// # Panics
/// If there is no such target; if something is wrong.
pub fn run(target: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|known| known.name == target).expect("a target of this name");
    (target.body)(input);
}
