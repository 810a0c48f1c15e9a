//! The command: `run`, `checkpoints`, `verify`.

mod run;
mod storage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// State for stream processing: runs applications and looks into their checkpoints.
#[derive(Debug, Parser)]
#[command(name = "eventflux", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs an application until its source ends; goes on from its newest checkpoint.
    Run(run::Arguments),
    /// Lists the checkpoints of a storage.
    Checkpoints(storage::Arguments),
    /// Reads and checks everything the checkpoints of a storage need.
    Verify(storage::Arguments),
}

/// Runs the command. Exit codes: 0 done, 1 failed, 2 usage or bad definition, 3 damaged data.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Checkpoints(arguments) => storage::checkpoints(&arguments),
        Command::Verify(arguments) => storage::verify_all(&arguments),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints a line to standard output; a reader that has gone away is no failure.
fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
