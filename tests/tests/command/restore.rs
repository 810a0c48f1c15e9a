//! `run --from`: going back cuts the output to what the checkpoint accounts for, and what comes
//! then is what a run that nothing disturbed would have written.

use crate::common::cli::{self, App, DEFINITION, undisturbed};
use serde_json::Value as Json;

/// One that keeps all of its checkpoints.
fn app() -> App {
    let app = App::new();
    app.write("app.toml", DEFINITION.replace("every_events = 10", "every_events = 10\nmax_retained = 1000"));
    app
}

/// One whose run failed at row 55.
fn interrupted() -> App {
    let app = app();
    app.break_row(55, "54000,b");
    app.run(&[]).exits(1).says(&["in.csv, line 56"]);
    app.write("in.csv", cli::rows());
    app.command(&["savepoint", "state", "third", "--of", "3"]).exits(0);
    app
}

fn list(app: &App) -> Vec<Json> {
    app.command(&["checkpoints", "state", "--json"]).exits(0).json().as_array().unwrap().clone()
}

fn recorded_output(app: &App, checkpoint: &str) -> usize {
    let inspected = app.command(&["inspect", "state", checkpoint, "--json"]).exits(0).json();
    inspected["outputs"]["output.length"].as_u64().unwrap() as usize
}

#[test]
fn the_output_is_cut_and_the_branch_goes_on() {
    let app = interrupted();
    let before = list(&app);
    assert_eq!(app.output(), undisturbed()[..app.output().len()]);
    // Goes back to row 30, and fails at row 45.
    app.break_row(45, "44000,b");
    app.run(&["--from", "third"]).exits(1).says(&["in.csv, line 46"]);
    let after = list(&app);
    let branch: Vec<(u64, u64)> = after[before.len()..]
        .iter()
        .map(|entry| (entry["id"].as_u64().unwrap(), entry["parent"].as_u64().unwrap()))
        .collect();
    let third = before.iter().find(|entry| entry["label"] == "third").unwrap()["id"].as_u64().unwrap();
    assert_eq!(branch, [(7, third), (8, 7)], "the branch itself, and one at row 40");
    let output = app.output();
    assert_eq!(output, undisturbed()[..output.len()]);
    assert!(output.len() >= recorded_output(&app, "8") && recorded_output(&app, "third") < recorded_output(&app, "8"));

    // The branch that was given up is there still; but its results were cut off.
    app.write("in.csv", cli::rows());
    app.run(&["--from", "5"]).exits(1).says(&["ends after", "results were lost", "--from none"]);
    assert_eq!(app.output(), output);
    // Once they have been written again there is a way on from all.
    for from in ["8", "5", "2", "0", "third", "latest"] {
        let summary = app.run(&["--from", from, "--json"]).exits(0).json();
        assert_eq!(summary["finished"], true);
        assert_eq!(app.output(), undisturbed(), "--from {from}");
    }
    app.command(&["verify", "state"]).exits(0);
}

#[test]
fn the_newest_goes_on_where_the_branch_is() {
    let app = interrupted();
    app.break_row(45, "44000,b");
    app.run(&["--from", "third"]).exits(1);
    app.write("in.csv", cli::rows());
    let summary = app.run(&["--json"]).exits(0).json();
    assert_eq!((&summary["restored_from"], &summary["events_this_run"]), (&8.into(), &60.into()));
    assert_eq!(app.output(), undisturbed());
    // To start anew is a branch too.
    let summary = app.run(&["--from", "none", "--json"]).exits(0).json();
    assert_eq!((&summary["restored_from"], &summary["events_this_run"]), (&Json::Null, &100.into()));
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn a_label_on_an_older_checkpoint_does_not_make_the_run_go_back() {
    let app = interrupted();
    let listed = list(&app);
    let latest = listed.iter().find(|entry| entry["latest"] == true).unwrap();
    assert_eq!(latest["id"], 5);
    let summary = app.run(&["--json"]).exits(0).json();
    assert_eq!((&summary["restored_from"], &summary["events_this_run"]), (&5.into(), &50.into()));
    assert_eq!(app.output(), undisturbed());
    let done = app.command(&["savepoint", "state", "third again", "--of", "3"]).exits(0).stdout;
    let says = [", the state of checkpoint 3\n", "`eventflux run` still goes on from checkpoint 12"];
    assert!(says.iter().all(|text| done.contains(text)), "{done}");
    app.run(&[]).exits(0).says(&["the source is finished"]);
}

#[test]
fn by_time() {
    let app = app();
    app.run(&["-q"]).exits(0);
    let listed = list(&app);
    for entry in &listed {
        let time = entry["created_ms"].as_i64().unwrap();
        // The newest of its millisecond.
        let newest = listed.iter().rfind(|other| other["created_ms"] == entry["created_ms"]).unwrap();
        let inspected = app.command(&["inspect", "state", &format!("@{time}"), "--json"]).exits(0).json();
        assert_eq!(inspected["checkpoint"]["id"], newest["id"]);
        app.run(&["--from", &format!("@{time}"), "-q"]).exits(0);
        assert_eq!(app.output(), undisturbed());
    }
    let oldest = listed[0]["created_ms"].as_i64().unwrap();
    app.run(&["--from", &format!("@{}", oldest - 1)])
        .exits(1)
        .says(&["no checkpoint at or before", "the oldest is of"]);
    assert_eq!(app.output(), undisturbed(), "nothing was cut");
}

#[test]
fn a_lost_head_is_no_new_start() {
    let app = App::interrupted();
    let head = std::fs::read(app.path("state/head")).unwrap();
    let output = app.output();
    std::fs::remove_file(app.path("state/head")).unwrap();
    app.run(&["--from", "none"]).exits(3).says(&["head: object is missing"]);
    app.command(&["verify", "state"]).exits(3).says(&["head: object is missing"]);
    assert_eq!(app.output(), output);
    app.write("state/head", head);
    app.assert_goes_on();
}
