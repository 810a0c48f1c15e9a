//! The command `eventflux`, and a small application to run with it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;
use tempfile::TempDir;

/// Rows of the source of [`App`].
pub const ROWS: usize = 100;

/// The definition of [`App`].
pub const DEFINITION: &str = r#"name = "small"

[source]
file = "in.csv"
timestamp = "at"
null = ["NA"]

[checkpoint]
storage = "file:state"
every_events = 10

[sink]
file = "out.ndjson"

[[operator]]
name = "by_ten_seconds"
window = { tumbling = "10s" }
key = ["city"]
compute = { n = "count", mean = "avg value" }

[[operator]]
name = "totals"
aggregate = { n = "count", total = "sum value" }
key = ["city"]
"#;

/// The command: the one that the variable `EVENTFLUX_BIN` names, or built once.
pub fn eventflux() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(|| std::env::var_os("EVENTFLUX_BIN").map_or_else(build, PathBuf::from)))
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // With all features: what needs one of them is tried here too. Of the whole workspace and with a test (a short one),
    // so that dependencies have the features that they have for the tests, and are there already.
    cargo.args([
        "build",
        "--quiet",
        "--workspace",
        "--exclude",
        "eventflux-bindgen",
        "--exclude",
        "eventflux-plugin-tests",
        "--features",
        "eventflux/full",
        "--bin",
        "eventflux",
    ]);
    cargo.args(["--test", "budget"]);
    // What cargo says to the programs it runs, it does not say to itself: build scripts that look at it would run again,
    // and all that depends on them be built again, here and at the next call from outside.
    let of_this_test = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this_test)) {
        cargo.env_remove(name);
    }
    cargo.arg("--message-format=json");
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the command does not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let executable = |line: &str| {
        let message = serde_json::from_str::<Json>(line).ok()?;
        let is_command = message["target"]["kind"][0] == "bin";
        message["executable"].as_str().filter(|_| is_command).map(PathBuf::from)
    };
    messages.lines().find_map(executable).expect("cargo names the executable")
}

/// What a command said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts that the error says all of these, and nothing of a panic.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A small application in a directory of its own.
#[derive(Debug)]
pub struct App {
    directory: TempDir,
}

impl App {
    pub fn new() -> Self {
        let app = App { directory: tempfile::tempdir().unwrap() };
        app.write("app.toml", DEFINITION);
        app.write("in.csv", rows());
        app
    }

    /// One whose run has ended.
    pub fn finished() -> Self {
        let app = App::new();
        app.run(&["-q"]).exits(0);
        app
    }

    /// One whose run failed at row 55, with checkpoints up to row 50.
    pub fn interrupted() -> Self {
        let app = App::new();
        app.break_row(55, "54000,b");
        app.run(&[]).exits(1).says(&["in.csv, line 56"]);
        app.write("in.csv", rows());
        app
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Replaces a part of the definition.
    #[track_caller]
    pub fn redefine(&self, from: &str, to: &str) {
        assert!(DEFINITION.contains(from));
        self.write("app.toml", DEFINITION.replace(from, to));
    }

    /// Replaces a row of the source, counted from 1.
    pub fn break_row(&self, number: usize, row: &str) {
        let mut lines: Vec<String> = rows().lines().map(String::from).collect();
        lines[number] = row.into();
        self.write("in.csv", lines.join("\n"));
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.path("out.ndjson")).unwrap()
    }

    /// `eventflux run app.toml …`.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["run", "app.toml"];
        all.extend(arguments);
        self.command(&all)
    }

    /// `eventflux …` in the directory.
    pub fn command(&self, arguments: &[&str]) -> Ran {
        eventflux().args(arguments).current_dir(self.directory.path()).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Numbers of the checkpoints.
    pub fn checkpoints(&self) -> Vec<u64> {
        let list = self.command(&["checkpoints", "state", "--json"]).exits(0).json();
        list.as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect()
    }

    /// Asserts that the checkpoints are whole, and that with all put right the run goes on from the
    /// newest to the very output of a run that nothing disturbed.
    #[track_caller]
    pub fn assert_goes_on(&self) {
        let report = self.command(&["verify", "state", "--json"]).exits(0).json();
        assert_eq!(report["newest_whole"], report["latest"]);
        self.write("app.toml", DEFINITION);
        if fs::read(self.path("in.csv")).is_ok_and(|found| found != rows().as_bytes()) {
            self.write("in.csv", rows());
        }
        let summary = self.run(&["--json"]).exits(0).json();
        assert_eq!(summary["restored_from"], report["latest"]);
        assert_eq!(self.output(), undisturbed());
    }
}

/// The output of a run that nothing disturbed.
pub fn undisturbed() -> &'static str {
    static OUTPUT: OnceLock<String> = OnceLock::new();
    OUTPUT.get_or_init(|| App::finished().output())
}

/// The source: one event a second, of three cities.
pub fn rows() -> String {
    let row = |at: usize| format!("{},{},{}\n", at * 1000, ["a", "b", "c"][at % 3], at * at % 17);
    String::from("at,city,value\n") + &(0..ROWS).map(row).collect::<String>()
}

/// Bytes as gzip, stored without compression: enough to be read.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let len = u16::try_from(bytes.len()).unwrap();
    out.push(1);
    out.extend(len.to_le_bytes());
    out.extend((!len).to_le_bytes());
    out.write_all(bytes).unwrap();
    out.extend(crc32(bytes).to_le_bytes());
    out.extend(u32::from(len).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Changes a byte of a file.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// Asks a run to stop, as Ctrl-C does; where that is ignored, in a job in the background of a script, as `kill` does.
#[cfg(unix)]
pub fn ask_to_stop(child: &Child) {
    signal(child, if is_ignored(2) { "-TERM" } else { "-INT" });
}

/// Whether a process has a handler for a signal.
#[cfg(target_os = "linux")]
pub fn catches(child: &Child, number: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

/// Whether this process ignores a signal, and so do those that it starts.
#[cfg(unix)]
pub fn is_ignored(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

/// Sends a signal.
#[cfg(unix)]
pub fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}
