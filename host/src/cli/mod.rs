//! The command line: `run`, and the commands that look into a storage or change it.
//!
//! Each command makes an `Outcome`, a text and an exit code, or fails with a `Failure`; only
//! this file prints them. `run` is the exception: its results may go to standard output themselves.

mod archive_file;
mod checkpoints;
mod copy;
mod diff;
mod failure;
mod inspect;
mod metrics;
mod names;
#[cfg(feature = "plugins")]
mod plugin;
mod prune;
mod run;
mod savepoint;
mod selector;
mod signals;
mod storage;
mod table;
mod text;
mod verify;

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::{Value as Json, json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use self::failure::Failure;

/// Variable that says what is logged to standard error, such as `debug` or `eventflux=trace`.
const LOG_VARIABLE: &str = "EVENTFLUX_LOG";

/// State for stream processing: runs applications and looks into their checkpoints.
///
/// Exit codes: 0 done, 1 failed, 2 usage or bad definition, 3 damaged data, 130 stopped by Ctrl-C,
/// SIGTERM or SIGHUP after a last checkpoint. Signals ignored at the start (SIGHUP under nohup) stay ignored.
/// EVENTFLUX_LOG=debug says more on standard error.
#[derive(Debug, Parser)]
#[command(name = "eventflux", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Answer as JSON, errors (on standard error) too.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs an application until its source ends; continues from its newest checkpoint.
    ///
    /// However often and wherever it is killed, started again it continues, and the finished output
    /// is that of one uninterrupted run. This does not hold for standard input and output (`-`),
    /// which cannot be read or written again.
    Run(run::Arguments),
    /// Lists the checkpoints of a storage.
    Checkpoints(checkpoints::Arguments),
    /// Shows what a checkpoint holds.
    Inspect(inspect::Arguments),
    /// Shows which keys differ between two checkpoints.
    Diff(diff::Arguments),
    /// Reads and checks everything the checkpoints of a storage need.
    Verify(verify::Arguments),
    /// Labels a checkpoint, so that it is kept.
    ///
    /// No run may be using the storage. Files and Redis refuse if one is; an object store has no lock, and a live run
    /// there fails at its next checkpoint.
    Savepoint(savepoint::Arguments),
    /// Deletes objects that no checkpoint needs and, with `--keep` or `--delete`, checkpoints.
    ///
    /// No run may be using the storage, as for `savepoint`.
    Prune(prune::Arguments),
    /// Copies checkpoints to another, empty storage, which then restores the same state.
    Copy(copy::Arguments),
    /// Looks into plugins: operators compiled to wasm.
    #[cfg(feature = "plugins")]
    Plugin(plugin::Arguments),
}

/// What a command says on standard output, and its exit code.
#[derive(Debug, Default)]
struct Outcome {
    text: String,
    exit_code: u8,
}

impl Outcome {
    /// Done, with a text that ends its last line.
    fn done(text: String) -> Self {
        Outcome { text, exit_code: 0 }
    }

    /// Done, with one JSON value.
    fn json(json: &Json) -> Self {
        Outcome::done(format!("{json}\n"))
    }
}

/// Runs the command. Exit codes: 0 done, 1 failed, 2 usage or bad definition, 3 damaged data.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    start_logging();
    let json = cli.json;
    let outcome = match &cli.command {
        Command::Run(arguments) => run::run(arguments, json),
        Command::Checkpoints(arguments) => checkpoints::checkpoints(arguments, json),
        Command::Inspect(arguments) => inspect::inspect(arguments, json),
        Command::Diff(arguments) => diff::diff(arguments, json),
        Command::Verify(arguments) => verify::verify(arguments, json),
        Command::Savepoint(arguments) => savepoint::savepoint(arguments, json),
        Command::Prune(arguments) => prune::prune(arguments, json),
        Command::Copy(arguments) => copy::copy(arguments, json),
        #[cfg(feature = "plugins")]
        Command::Plugin(arguments) => plugin::plugin(arguments, json),
    };
    match outcome.and_then(|outcome| print(&outcome.text).map(|()| outcome.exit_code)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => fail(&failure, json),
    }
}

/// Prints to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints to standard error, where nobody may listen.
fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn fail(failure: &Failure, json: bool) -> ExitCode {
    print_error(&if json {
        format!("{}\n", json!({ "error": failure.message, "exit_code": failure.exit_code }))
    } else {
        format!("error: {}\n", failure.message)
    });
    ExitCode::from(failure.exit_code)
}

/// Help and version, or what is wrong with the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == OsStr::new("--json")) {
        let text = error.render().to_string();
        // Without the usage line and the pointer to the help, which are for people.
        let message = text.split("\n\n").next().unwrap_or_default();
        return fail(&Failure::usage(message.strip_prefix("error: ").unwrap_or(message)), true);
    }
    let _ = error.print();
    ExitCode::from(error.exit_code() as u8)
}

fn start_logging() {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Of a span all is known when it closes, how long it took too.
    let logs = logs.with_span_events(FmtSpan::CLOSE);
    // That nobody reads it is no failure, of which standard error would be told.
    let logs = logs.log_internal_errors(false);
    // A subscriber that is set already, by a program that calls this, stays.
    let _ = logs.with_ansi(io::stderr().is_terminal()).try_init();
}
