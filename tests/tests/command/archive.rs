//! Storages as one file: `eventflux copy STORAGE FILE.efx`, and every command that reads.

use std::fs;

use serde_json::json;

use crate::common::cli::{App, flip};

#[test]
fn a_copy_as_one_file_is_a_storage_to_read_and_to_copy_back() {
    let app = App::interrupted();
    let copied = app.command(&["copy", "file:state", "all.efx"]).exits(0).stdout;
    assert!(
        copied.starts_with("copied ") && copied.contains(" to file:all.efx") && copied.contains("all is well"),
        "{copied}"
    );
    let listed = |storage: &str| {
        let checkpoints = app.command(&["checkpoints", storage, "--json"]).exits(0).json();
        let entry = |entry: &serde_json::Value| json!([entry["id"], entry["object"], entry["stored_bytes"]]);
        checkpoints.as_array().unwrap().iter().map(entry).collect::<Vec<_>>()
    };
    assert_eq!(listed("all.efx"), listed("file:state"));
    app.command(&["verify", "all.efx"]).exits(0);
    let contents = |storage: &str| app.command(&["inspect", storage, "--json"]).exits(0).json()["states"].clone();
    assert_eq!(contents("all.efx"), contents("file:state"));

    // Back in a directory, a run goes on from it.
    fs::rename(app.path("state"), app.path("before")).unwrap();
    app.command(&["copy", "all.efx", "file:state"]).exits(0);
    app.assert_goes_on();
}

#[test]
fn one_checkpoint_alone_can_be_carried_away() {
    let app = App::interrupted();
    let oldest = app.checkpoints()[0].to_string();
    app.command(&["copy", "--checkpoint", &oldest, "file:state", "one.efx"]).exits(0);
    let checkpoints = app.command(&["checkpoints", "one.efx", "--json"]).exits(0).json();
    assert_eq!(checkpoints.as_array().unwrap().len(), 1);
    // The same file once more: what is there stays.
    let bytes = fs::read(app.path("one.efx")).unwrap();
    app.command(&["copy", "file:state", "one.efx"]).exits(1).says(&["one.efx is there already; copy to a new file"]);
    assert_eq!(fs::read(app.path("one.efx")).unwrap(), bytes);
}

#[test]
fn a_file_that_is_no_archive_or_a_damaged_one_is_refused() {
    let app = App::interrupted();
    app.command(&["copy", "file:state", "all.efx"]).exits(0);
    app.command(&["savepoint", "all.efx", "label"])
        .exits(1)
        .says(&["can only be read", "eventflux copy all.efx DIRECTORY"]);
    flip(&app.path("all.efx"), 100);
    app.command(&["checkpoints", "all.efx"]).exits(3).says(&["all.efx: damaged file: it does not match its hash"]);
    for other in ["in.csv", "app.toml", "state/head"] {
        app.command(&["verify", other]).exits(1).says(&[other, "it is no storage: that is a directory, or an archive"]);
    }
    app.write("empty.efx", "");
    app.command(&["inspect", "empty.efx"]).exits(3).says(&["it is too short"]);
}
