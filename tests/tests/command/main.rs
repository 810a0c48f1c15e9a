//! The command `eventflux`, and the runtime beneath it.

#[path = "../common"]
mod common {
    pub mod cli;
    pub mod scrape;
}

mod archive;
mod bad_input;
mod commands;
mod first_user;
mod kill;
mod observation;
mod output;
mod restore;
mod review_run;
mod self_description;
mod standard_input;
