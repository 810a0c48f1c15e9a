//! The command `eventflux`, with plugins.

use std::process::ExitCode;

fn main() -> ExitCode {
    eventflux::cli::main()
}
