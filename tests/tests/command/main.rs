//! The command `eventflux`, and the runtime beneath it.

#[path = "../common"]
mod common {
    pub mod cli;
    pub mod scrape;
}

mod archive;
mod bad_input;
mod branches;
mod commands;
mod kill;
mod observation;
mod other_files;
mod output;
mod restore;
mod self_description;
mod signals;
mod standard_input;
