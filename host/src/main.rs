//! The command `eventflux`.

use std::process::ExitCode;

fn main() -> ExitCode {
    eventflux::cli::main()
}
