//! Each command of `eventflux`: as text, as JSON, and its exit codes.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use crate::common::cli::{App, ROWS, Ran, eventflux, flip, undisturbed};
use serde_json::json;

/// The object of a checkpoint.
fn object(app: &App, id: u64) -> PathBuf {
    let find = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&format!("checkpoint-{id:010}-"));
    let mut entries = fs::read_dir(app.path("state/objects")).unwrap().map(Result::unwrap);
    entries
        .find_map(|entry| {
            let path = entry.path();
            find(entry).then_some(path)
        })
        .expect("the object is there")
}

#[test]
fn run_says_what_it_did() {
    let app = App::new();
    let ran = app.run(&[]).exits(0).says(&["small", "the start of the source", "events", "totals", "3"]);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.ends_with("\nTo see the checkpoints: eventflux checkpoints file:state\n"), "{}", ran.stderr);
    assert!(ran.stderr.lines().all(|line| line.chars().count() <= 80), "{}", ran.stderr);
    app.run(&[]).exits(0).says(&["the source is finished, nothing was done", "eventflux run app.toml --from none"]);
    assert_eq!(app.output(), undisturbed());

    app.run(&["--from", "none", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
}

/// A size of some thousand bytes, as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..9950 => format!("{:.1} kB", bytes as f64 / 1000.0),
        _ => format!("{:.0} kB", bytes as f64 / 1000.0),
    }
}

#[test]
fn run_sums_up() {
    let app = App::new();
    app.redefine("every_events", "max_retained = 100\nevery_events");
    app.break_row(50, "0,a,3");
    let ran = app.run(&[]).exits(0);
    let list = app.command(&["checkpoints", "state", "--json"]).exits(0).json();
    let list = list.as_array().unwrap();
    let sum = |what: &str| list.iter().map(|entry| entry[what].as_u64().unwrap()).sum::<u64>();
    let (raw, stored) = (sum("raw_bytes"), sum("stored_bytes"));
    let (results, ratio) = (app.output().lines().count(), raw as f64 / stored as f64);
    for (fact, value) in [
        ("late", String::from("1")),
        ("results", results.to_string()),
        ("checkpoints", format!("{} ({} raw, {} stored, ratio {ratio:.1}x)", list.len(), size(raw), size(stored))),
        ("output", format!("{} in out.ndjson", size(app.output().len() as u64))),
    ] {
        let found = ran.stderr.lines().find_map(|line| line.strip_prefix(fact));
        assert_eq!(found.map(str::trim_start), Some(&*value), "{fact} in:\n{}", ran.stderr);
    }
    assert!(raw > 0 && list.len() == 12, "at the start, every ten rows and at the end");
}

#[test]
fn run_as_json_says_only_json() {
    let app = App::new();
    let ran = app.run(&["--json"]).exits(0);
    assert_eq!(ran.stderr, "");
    let summary = ran.json();
    assert_eq!((&summary["events"], &summary["finished"]), (&json!(ROWS), &json!(true)));
    assert_eq!(summary["operators"][1]["name"], "totals");
    assert_eq!(summary["output_bytes"], undisturbed().len());
    assert_eq!(app.run(&["--json"]).exits(0).json()["already_finished"], true);

    // Results on standard output: then the summary is on standard error.
    let app = App::new();
    app.redefine("out.ndjson", "-");
    let ran = app.run(&["--json"]).exits(0);
    assert_eq!(ran.stdout, undisturbed());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.stderr).unwrap()["events"], ROWS);
}

#[test]
fn run_begins_where_it_is_told() {
    let app = App::new();
    app.redefine("every_events", "max_retained = 100\nevery_events");
    app.run(&["-q"]).exits(0);
    let list = app.command(&["checkpoints", "state", "--json"]).exits(0).json();
    let fourth = &list[3];
    let id = fourth["id"].as_u64().unwrap();
    app.command(&["savepoint", "state", "before the sale", "--of", &id.to_string()]).exits(0);
    let (by_id, by_label) = (id.to_string(), String::from("before the sale"));
    let by_millis = format!("@{}", fourth["created_ms"]);
    let by_time = fourth["created"].as_str().unwrap().to_owned();
    for from in [by_id, by_label, by_millis, by_time, "latest".into(), "none".into()] {
        app.run(&["--from", &from, "-q"]).exits(0);
        assert_eq!(app.output(), undisturbed(), "--from {from}");
    }
    app.run(&["--from", "4711"]).exits(1).says(&["no checkpoint with number 4711; there are: "]);
    app.run(&["--from", "never"]).exits(1).says(&["no checkpoint labelled `never`; labels are: before the sale"]);
    app.run(&["--from", "@5"])
        .exits(1)
        .says(&["no checkpoint at or before 1970-01-01T00:00:00.005Z; the oldest is of"]);
    app.run(&["--from", "@soon"]).exits(2).says(&["--from", "milliseconds"]);
    App::new().run(&["--from", "latest"]).exits(1).says(&["no checkpoint yet; the storage holds none"]);
}

#[test]
fn checkpoints_lists_them() {
    let app = App::new();
    app.redefine("every_events", "max_retained = 100\nevery_events");
    app.run(&["-q"]).exits(0);
    app.command(&["savepoint", "state", "done"]).exits(0);
    let ran = app.command(&["checkpoints", "file:state"]).exits(0);
    let last = ran.stdout.lines().last().unwrap();
    assert!(last.starts_with('*') && last.ends_with("  done"), "{last}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches('*').count(), 1);

    let list = app.command(&["--json", "checkpoints", "state"]).exits(0).json();
    let list = list.as_array().unwrap();
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>().join(" ");
    let row = |entry: &serde_json::Value| {
        let text = |what: &str| entry[what].as_str().unwrap_or_default();
        let count = |what: &str| entry[what].as_u64().unwrap();
        let ratio = entry["ratio"].as_f64().filter(|ratio| *ratio > 0.0);
        let ratio = ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.1}x"));
        let (stored, rows) = (size(count("stored_bytes")), count("delta_rows") + count("base_rows"));
        let latest = if entry["latest"] == true { "*" } else { "" };
        let (time, kind, label) = (text("created"), text("kind"), text("label"));
        words(&format!("{latest} {} {time} {kind} {stored} {ratio} {rows} {label}", entry["id"]))
    };
    let titles = String::from("id time (UTC) kind stored ratio rows label");
    let expected: Vec<String> = [titles].into_iter().chain(list.iter().map(row)).collect();
    assert_eq!(ran.stdout.lines().map(words).collect::<Vec<_>>(), expected);
    assert!(["full", "incremental"].iter().all(|kind| list.iter().any(|entry| entry["kind"] == *kind)));
    let last = list.last().unwrap();
    assert_eq!((&last["label"], &last["latest"]), (&json!("done"), &json!(true)));
    let bytes = fs::metadata(object(&app, last["id"].as_u64().unwrap())).unwrap().len();
    assert_eq!(last["stored_bytes"], bytes);
    app.command(&["checkpoints", "nowhere"]).exits(1).says(&["error: cannot open nowhere: there is no"]);
}

#[test]
fn inspect_shows_all() {
    let app = App::interrupted();
    let ran = app.command(&["inspect", "state"]).exits(0);
    for part in ["(latest)", "events", "50", "source.line", "totals          aggregations     3", "  a  n: 17, total: "]
    {
        assert!(ran.stdout.contains(part), "no {part:?} in:\n{}", ran.stdout);
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    let ran = app.command(&["inspect", "state", "latest", "--state", "totals", "--limit", "1"]).exits(0);
    assert!(ran.stdout.contains("… and 2 more") && !ran.stdout.contains("by_ten_seconds"), "{}", ran.stdout);

    let all = app.command(&["inspect", "state", "--json"]).exits(0).json();
    assert_eq!((&all["engine"]["events"], &all["positions"]["source.line"]), (&json!(50), &json!(51)));
    let totals = all["states"].as_array().unwrap().iter().find(|state| state["name"] == "totals").unwrap();
    assert_eq!(totals["rows"][0]["key"], json!({ "city": "a" }));
    let total: usize = (0..50).step_by(3).map(|at| at * at % 17).sum();
    assert_eq!(totals["rows"][0]["value"], json!({ "n": 17, "total": total }));
    assert!(all["states"].as_array().unwrap().iter().any(|state| state["name"] == "values"));
    let first = app.command(&["inspect", "state", "0", "--json"]).exits(0).json();
    assert_eq!(first["engine"]["events"], 0);
    app.command(&["inspect", "state", "--state", "total"])
        .exits(1)
        .says(&["no state `total`", "by_ten_seconds, totals"]);
}

#[test]
fn diff_counts_and_shows() {
    let app = App::interrupted();
    let ids = app.checkpoints();
    let (first, last) = (ids[0].to_string(), ids[ids.len() - 1].to_string());
    let ran = app.command(&["diff", "state", &first, &last]).exits(0);
    let totals = ran.stdout.lines().find(|line| line.starts_with("totals")).unwrap();
    assert_eq!(totals.split_whitespace().collect::<Vec<_>>(), ["totals", "3", "0", "0"]);
    assert!(ran.stdout.contains("\n  + a\n      n: 17, total: "), "{}", ran.stdout);

    let before = ids[ids.len() - 2].to_string();
    let ran = app.command(&["diff", "state", &before, &last]).exits(0);
    assert!(ran.stdout.contains("\n  ~ a\n      n: 14 → 17, total: "), "{}", ran.stdout);
    let difference = app.command(&["diff", "state", &before, "latest", "--limit", "1", "--json"]).exits(0).json();
    let totals = difference["states"].as_array().unwrap().iter().find(|state| state["name"] == "totals").unwrap();
    assert_eq!((&totals["changed"], totals["keys"].as_array().unwrap().len()), (&json!(3), 1));
    assert_eq!(totals["keys"][0]["after"]["n"], 17);
    let same = app.command(&["diff", "state", &last, &last, "--json"]).exits(0).json();
    assert!(same["states"].as_array().unwrap().iter().all(|state| state["keys"] == json!([])));
    app.command(&["diff", "state", &last]).exits(2);
}

/// What a copy leaves that skipped a directory: the head names what is not there.
#[test]
fn a_storage_without_its_objects_is_damaged() {
    let app = App::finished();
    let count = app.checkpoints().len();
    std::fs::remove_dir_all(app.path("state/objects")).unwrap();
    let ran = app.command(&["verify", "state"]).exits(3);
    assert!(ran.stdout.contains("it is missing"), "{}", ran.stdout);
    assert_eq!(app.command(&["checkpoints", "state", "--json"]).exits(0).json().as_array().map(Vec::len), Some(count));
    app.command(&["inspect", "state"]).exits(3).says(&["object is missing"]);
    app.command(&["run", "app.toml"]).exits(3).says(&["object is missing"]);
}

#[test]
fn diff_says_what_results_do_not_show() {
    let app = App::new();
    app.write("in.csv", "ts,x\n1,5\n2,5\n");
    app.write(
        "app.toml",
        "name = \"last\"\n[source]\nfile = \"in.csv\"\ntimestamp = \"ts\"\n[sink]\nfile = \"out.ndjson\"\n[checkpoint]\n\
         storage = \"file:state\"\nevery_events = 1\n[[operator]]\nname = \"g\"\naggregate = { l = \"last x\" }\n",
    );
    app.command(&["run", "app.toml"]).exits(0);
    let ran = app.command(&["diff", "state", "1", "2"]).exits(0);
    assert!(ran.stdout.contains("(in what its results come from)\n"), "{}", ran.stdout);
}

#[test]
fn verify_names_what_is_damaged() {
    let app = App::finished();
    assert!(app.command(&["verify", "state"]).exits(0).stdout.ends_with(": all is well\n"));
    let inspected = app.command(&["inspect", "state", "3", "--json"]).exits(0).json();
    let needed = inspected["objects"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    // The first section begins behind the header of 24 bytes.
    flip(&app.path("state/objects").join(&needed), 30);
    let ran = app.command(&["verify", "state"]).exits(3);
    for part in [needed.as_str(), "section of state `by_ten_seconds`", "do not match their hash", "cannot be restored"]
    {
        assert!(ran.stdout.contains(part), "no {part:?} in:\n{}", ran.stdout);
    }
    let report = app.command(&["verify", "state", "--json"]).exits(3).json();
    assert_eq!(report["findings"][0]["object"], *needed);
    let broken: Vec<u64> = serde_json::from_value(report["findings"][0]["checkpoints"].clone()).unwrap();
    assert!(broken.contains(&3));
    // The newest needs other sections: it is named, and nothing else is done.
    let newest = report["newest_whole"].as_u64().unwrap();
    assert!(newest > 3, "{report}");
    let (output, list) = (app.output(), app.command(&["checkpoints", "state"]).exits(0).stdout);
    let (names, back_to) = (format!("newest whole checkpoint is {newest}"), format!("run APP.toml --from {newest}"));
    app.run(&["--from", "3"]).exits(3).says(&[&needed, "damaged", &names, &back_to, "eventflux verify file:state"]);
    assert_eq!((app.output(), app.command(&["checkpoints", "state"]).exits(0).stdout), (output, list));
    app.command(&["inspect", "state", "3"]).exits(3).says(&[&needed, "section of state"]);

    // The newest damaged: going back is said, never done.
    let latest = report["latest"].as_u64().unwrap();
    fs::remove_file(object(&app, latest)).unwrap();
    let whole = app.command(&["verify", "state", "--json"]).exits(3).json();
    let id = whole["newest_whole"].as_u64().unwrap();
    assert!(id < latest);
    assert_eq!(whole["command"], format!("eventflux run APP.toml --from {id}"));
    let ran = app.command(&["verify", "state"]).exits(3);
    assert!(ran.stdout.contains(&format!("  eventflux run APP.toml --from {id}\n")), "{}", ran.stdout);
    app.run(&["--json"]).exits(3).says(&["\"exit_code\":3", "missing", &format!("newest whole checkpoint is {id}.")]);
    let checkpoints = app.checkpoints();
    assert_eq!(checkpoints.last(), Some(&latest), "nothing was given up");
    app.run(&["--from", &id.to_string(), "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());

    fs::write(app.path("state/head"), "EFXHnonsense").unwrap();
    let says = [
        "error: head: damaged record",
        "Only the head says which objects are checkpoints",
        "another [checkpoint] storage",
    ];
    app.command(&["verify", "state"]).exits(3).says(&says);
    app.run(&["--from", "none"]).exits(3).says(&says);
}

#[test]
fn verify_does_not_take_what_cannot_be_read_for_damage() {
    let app = App::finished();
    let latest = *app.checkpoints().last().unwrap();
    let place = object(&app, latest);
    let name = place.file_name().unwrap().to_str().unwrap().to_owned();
    // A disk that fails, for all that the command can see.
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    let ran = app.command(&["verify", "state"]).exits(1);
    for part in [&*name, "could not be read", "needed by", &format!("checkpoint {latest}"), "verify again"] {
        assert!(ran.stdout.contains(part), "no {part:?} in:\n{}", ran.stdout);
    }
    for part in ["damaged", "cannot be restored", "No checkpoint is whole", "--from"] {
        assert!(!ran.stdout.contains(part), "{part:?} in:\n{}", ran.stdout);
    }
    let report = app.command(&["verify", "state", "--json"]).exits(1).json();
    assert_eq!((&report["newest_whole"], &report["command"]), (&json!(null), &json!(null)), "{report}");
    assert_eq!(report["findings"][0]["is_damage"], false);
    let (list, says) = (app.checkpoints(), ["could not be read", "Nothing was deleted"]);
    app.command(&["prune", "state", "--keep", "1"]).exits(1).says(&says);
    assert_eq!(app.checkpoints(), list);

    // Beside damage: that counts, and says nothing of the newest.
    flip(&object(&app, list[0]), 30);
    let ran = app.command(&["verify", "state"]).exits(3);
    assert!(["damaged", "could not be read", "verify again"].iter().all(|part| ran.stdout.contains(part)));
    assert!(!ran.stdout.contains("--from"), "{}", ran.stdout);
}

#[test]
fn savepoint_labels() {
    let app = App::interrupted();
    let latest = *app.checkpoints().last().unwrap();
    let ran = app.command(&["savepoint", "state", "v1"]).exits(0);
    assert_eq!(ran.stdout, format!("savepoint `v1`: checkpoint {}, the state of checkpoint {latest}\n", latest + 1));
    let older = app.command(&["savepoint", "state", "v0", "--of", "1", "--json"]).exits(0).json();
    assert_eq!((&older["label"], &older["of"]), (&json!("v0"), &json!(1)));
    let events =
        |label: &str| app.command(&["inspect", "state", label, "--json"]).exits(0).json()["engine"]["events"].clone();
    assert_eq!((events("v1"), events("v0")), (json!(50), json!(10)));
    // Labelling an older one goes not back to it.
    assert_eq!((older["latest"].clone(), events("latest")), (json!(false), json!(50)));
    let ran = app.command(&["savepoint", "state", "the start", "--of", "0"]).exits(0);
    let still = format!("`eventflux run` still goes on from checkpoint {}; with --from 'the start'", latest + 1);
    assert!(ran.stdout.contains(&still), "{}", ran.stdout);

    app.command(&["savepoint", "state", "v1"]).exits(1).says(&["the label `v1` is in use, by checkpoint"]);
    let long = "x".repeat(201);
    for label in ["", " ", "12", "latest", "none", "@home", "2013-01-01T00:00:00Z", "a\nb", &long] {
        app.command(&["savepoint", "state", label]).exits(2).says(&["<LABEL>"]);
    }
    app.command(&["savepoint", "nowhere", "v2"]).exits(1).says(&["there is no checkpoint storage here"]);
    assert!(!app.path("nowhere").exists());

    app.command(&["prune", "state", "--keep", "1"]).exits(0);
    app.run(&["--from", "v1", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());

    // They stay until they are named.
    let delete = ["prune", "state", "--keep", "100", "--delete", "v0", "--delete", "the start", "--delete", "v0"];
    app.command(&["prune", "state", "--delete", "nobody"]).exits(1).says(&["labelled `nobody`"]);
    app.command(&["prune", "state", "--delete", "latest"])
        .exits(1)
        .says(&["the newest checkpoint", "cannot be deleted"]);
    let before = app.checkpoints();
    let planned = app.command(&[&delete[..], &["--dry-run", "--json"]].concat()).exits(0).json();
    assert_eq!(app.checkpoints(), before);
    let mut done = app.command(&[&delete[..], &["--json"]].concat()).exits(0).json();
    done["dry_run"] = json!(true);
    assert_eq!(done, planned);
    assert_eq!(done["deleted_checkpoints"].as_array().unwrap().len(), 2);
    app.command(&["inspect", "state", "v0"]).exits(1).says(&["labelled `v0`"]);
    app.command(&["verify", "state"]).exits(0);
}

/// What `verify` advises: how many checkpoints the application keeps is not known to the command.
#[test]
fn prune_by_itself_only_tidies_up() {
    let app = App::finished();
    let before = app.checkpoints();
    assert!(before.len() > 2);
    fs::write(app.path("state/objects/checkpoint-0000000099-g1.efx"), "left by a crash").unwrap();
    let advice = "`eventflux prune` deletes what is left";
    assert!(app.command(&["verify", "state"]).exits(0).stdout.replace('\n', " ").contains(advice));
    let ran = app.command(&["prune", "state"]).exits(0);
    assert!(ran.stdout.ends_with(&format!("1 object deleted, 15 B freed; {} checkpoints kept\n", before.len())));
    assert_eq!(app.checkpoints(), before);
    assert!(!app.path("state/objects/checkpoint-0000000099-g1.efx").exists());
}

#[test]
fn prune_deletes_what_it_said() {
    let app = App::finished();
    let objects = || fs::read_dir(app.path("state/objects")).unwrap().count();
    let before = objects();
    fs::write(app.path("state/objects/checkpoint-0000000099-g1.efx"), "left by a crash").unwrap();
    let planned = app.command(&["prune", "state", "--keep", "2", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(objects(), before + 1);
    let mut done = app.command(&["prune", "state", "--keep", "2", "--json"]).exits(0).json();
    assert_eq!(done["dry_run"], false);
    done["dry_run"] = json!(true);
    assert_eq!(done, planned);
    assert_eq!(objects(), before + 1 - done["deleted_objects"].as_array().unwrap().len());
    assert_eq!(done["kept_checkpoints"], json!(app.checkpoints()));
    assert_eq!(app.checkpoints().len(), 2);
    app.command(&["verify", "state"]).exits(0);
    let again = app.command(&["prune", "state", "--keep", "2"]).exits(0);
    assert_eq!(again.stdout, "0 objects deleted, 0 B freed; 2 checkpoints kept\n");
    app.command(&["prune", "state", "--keep", "0"]).exits(2).says(&["--keep"]);
}

#[test]
fn a_copy_restores_the_same() {
    let app = App::interrupted();
    app.command(&["savepoint", "state", "half"]).exits(0);
    let ran = app.command(&["copy", "state", "file:backup"]).exits(0);
    assert!(ran.stdout.contains("all is well"), "{}", ran.stdout);
    let inspect = |storage: &str| app.command(&["inspect", storage, "--json"]).exits(0).json();
    assert_eq!(inspect("state"), inspect("backup"));
    app.command(&["copy", "state", "backup"]).exits(1).says(&["checkpoints already; copy to a new storage"]);
    let one = app.command(&["copy", "state", "one", "--checkpoint", "half", "--json"]).exits(0).json();
    assert_eq!(one["checkpoints"].as_array().unwrap().len(), 1);
    assert_eq!(inspect("one")["states"], inspect("state")["states"]);
    for storage in ["backup", "one"] {
        app.redefine("file:state", &format!("file:{storage}"));
        app.run(&["-q"]).exits(0);
        assert_eq!(app.output(), undisturbed());
    }
    app.command(&["copy", "nowhere", "two"]).exits(1).says(&["there is no checkpoint storage here"]);
    assert!(!app.path("two").exists());

    // A savepoint of an older state has a higher number than what is copied with it, but is not what to go on from.
    let newest = *app.checkpoints().last().unwrap();
    app.command(&["savepoint", "state", "older", "--of", "1"]).exits(0);
    let (label, number) = ("older", newest.to_string());
    app.command(&["copy", "state", "two", "--checkpoint", label, "--checkpoint", &number]).exits(0);
    let report = app.command(&["verify", "two", "--json"]).exits(0).json();
    assert_eq!((&report["latest"], &report["newest_whole"]), (&newest.into(), &newest.into()));

    let damaged = object(&app, 2);
    flip(&damaged, 30);
    let ran = app.command(&["copy", "state", "three"]).exits(3);
    assert!(ran.stdout.contains("damaged, as is the original"), "{}", ran.stdout);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let app = App::finished();
    app.command(&["frobnicate"]).exits(2).says(&["error: unrecognized subcommand 'frobnicate'"]);
    app.command(&["verify"]).exits(2).says(&["<STORAGE>"]);
    app.command(&["verify", "redis://localhost/zero"]).exits(2).says(&["redis"]);
    app.command(&["verify", "memory:"]).exits(2).says(&["gone with its process"]);
    app.command(&["verify", "file:"]).exits(2).says(&["a path must follow"]);
    let ran = app.command(&["inspect", "state", "--lmit", "3", "--json"]).exits(2);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["exit_code"], 2);
    assert!(error["error"].as_str().unwrap().starts_with("unexpected argument '--lmit' found"), "{error}");
    let ran = app.command(&["checkpoints", "nowhere", "--json"]).exits(1);
    assert!(ran.stderr.starts_with("{\"error\":\"cannot open nowhere"), "{}", ran.stderr);
    app.command(&["--help"]).exits(0);
    app.command(&["--version"]).exits(0);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let app = App::finished();
    let arguments = ["inspect", "state", "3", "--json"];
    let mut child = eventflux()
        .args(arguments)
        .current_dir(app.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let app = App::finished();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = eventflux().args(["checkpoints", "state"]).current_dir(app.path("")).stdout(full).output().unwrap();
    Ran::from(output).exits(1).says(&["cannot write to standard output: No space left"]);
}

#[test]
fn the_log_is_asked_for() {
    let app = App::new();
    let run =
        || eventflux().args(["run", "app.toml", "-q"]).current_dir(app.path("")).env("EVENTFLUX_LOG", "debug").output();
    Ran::from(run().unwrap()).exits(0).says(&[
        "checkpoint{application=\"small\" id=0 kind=\"full\"",
        "stored_bytes=",
        ":publish",
        "operation=\"swap head\"",
    ]);
}
