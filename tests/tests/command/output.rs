//! The output belongs to one run: another one, or whatever else changes it, is noticed, and no file is taken for it.

use std::fs;
use std::io::Write;

use crate::bad_input::start_run;
use crate::common::cli::{App, DEFINITION, Ran, rows, undisturbed};

/// Two applications of different storages, so that nothing but the output could tell them of each other.
#[test]
fn two_runs_with_one_output() {
    let app = App::new();
    let mut child = start_run(&app);
    let before = fs::read(app.path("out.ndjson")).unwrap();
    app.redefine("file:state", "file:other");
    for arguments in [&["-q"][..], &["-q", "--from", "none"]] {
        app.run(arguments).exits(1).says(&["out.ndjson: another run writes it", "stop that run", "--take-over"]);
    }
    assert_eq!(fs::read(app.path("out.ndjson")).unwrap(), before);
    assert!(!app.path("other/head").exists(), "the storage was opened for writing");
    app.write("app.toml", DEFINITION);
    child.stdin.take().unwrap().write_all(&rows().as_bytes()[300..]).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(app.output(), undisturbed());
}

/// The one that was taken over writes on until its next checkpoint is refused: not between our results.
#[cfg(unix)]
#[test]
fn a_run_that_was_taken_over_writes_to_a_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let app = App::new();
    let mut child = start_run(&app);
    fs::set_permissions(app.path("out.ndjson"), fs::Permissions::from_mode(0o640)).unwrap();
    app.run(&["--take-over", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
    // The window that is open gets another result, which it hands out as soon as nothing more comes.
    let others: String = rows()[300..].split_inclusive('\n').take(5).collect();
    let mut input = child.stdin.take().unwrap();
    input.write_all(others.replace(",c,", ",another city,").as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(1).says(&["fenced"]);
    assert_eq!(app.output(), undisturbed());
    assert_eq!(fs::metadata(app.path("out.ndjson")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!app.path("out.ndjson.take-over").exists());
    app.run(&[]).exits(0).says(&["the source is finished"]);
}
