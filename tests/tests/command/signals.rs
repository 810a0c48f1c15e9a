//! Runs that wait for standard input, and what signals make of them.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::common::cli::ask_to_stop;
use crate::common::cli::{App, DEFINITION, ROWS, Ran, eventflux, rows};
#[cfg(target_os = "linux")]
use crate::common::cli::{catches, is_ignored, signal};

/// Starts a run of standard input, which has taken all of it and waits for more.
fn waiting_for_input(app: &App, mut command: Command) -> (Child, ChildStdin) {
    app.redefine("in.csv", "-");
    let sink = DEFINITION.lines().skip_while(|line| *line != "[sink]").nth(1).unwrap();
    app.write("app.toml", fs::read_to_string(app.path("app.toml")).unwrap().replace(sink, "file = \"-\""));
    command.current_dir(app.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(rows().as_bytes()).unwrap();
    // A result comes out although the input stays open: all of it was taken.
    let mut line = String::new();
    let mut results = BufReader::new(child.stdout.take().unwrap());
    results.read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"operator\""), "{line}");
    // The rest of the results is for nobody, and must not stop it.
    std::thread::spawn(move || results.lines().count());
    (child, input)
}

/// Ctrl-C ends a run that waits for input, with a checkpoint of what it has; started again it goes on.
#[test]
fn a_run_that_is_asked_to_stop() {
    let app = App::new();
    let mut command = eventflux();
    command.args(["run", "app.toml"]);
    let (child, input) = waiting_for_input(&app, command);
    ask_to_stop(&child);
    let ran = Ran::from(child.wait_with_output().unwrap()).exits(130);
    ran.says(&["before the end of the source; started again, it goes on"]);
    drop(input);
    assert!(!app.checkpoints().is_empty());
    app.command(&["verify", "state"]).exits(0);
}

/// A run that takes what is written to it, with these settings of its checkpoints.
fn fed_by_hand(app: &App, checkpoint: &str) -> std::process::Child {
    let definition = DEFINITION.replace("in.csv", "-").replace("out.ndjson", "-");
    app.write("app.toml", definition.replace("every_events = 10", checkpoint));
    let mut command = eventflux();
    command.args(["run", "-q", "app.toml"]).current_dir(app.path("")).stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Checkpoints of nothing would take the places of those that retention keeps.
#[test]
fn a_run_that_waits_takes_no_checkpoints() {
    let app = App::new();
    let mut child = fed_by_hand(&app, "interval = \"20ms\"\nmax_retained = 1000");
    let mut input = child.stdin.take().unwrap();
    input.write_all(rows().as_bytes()).unwrap();
    until_it_has(&app, ROWS);
    let before = app.checkpoints();
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(app.checkpoints(), before);
    // It goes on with what comes then.
    input.write_all(b"999000,b,1\n").unwrap();
    until_it_has(&app, ROWS + 1);
    ask_to_stop(&child);
    Ran::from(child.wait_with_output().unwrap()).exits(130);
    drop(input);
}

/// Waits for a checkpoint of so many events; far less than it would take to capture all of it bit by bit, as between events.
fn until_it_has(app: &App, events: usize) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(40) {
        let ran = app.command(&["inspect", "state", "--json", "--limit", "1"]);
        if ran.code == 0 && ran.json()["engine"]["events"] == events {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("no checkpoint of {events} events");
}

/// What came in a burst does not wait for more events to become durable.
#[test]
fn a_burst_is_durable_soon_though_nothing_comes_behind_it() {
    const BURST: usize = 300_000;
    let app = App::new();
    let mut child = fed_by_hand(&app, "interval = \"2s\"");
    let mut input = child.stdin.take().unwrap();
    let burst: String = (0..BURST).map(|number| format!("{number},city-{number},1\n")).collect();
    input.write_all(("at,city,value\n".to_owned() + &burst).as_bytes()).unwrap();
    until_it_has(&app, BURST);
    ask_to_stop(&child);
    Ran::from(child.wait_with_output().unwrap()).exits(130);
    drop(input);
}

/// Whoever sends nothing, not even a header, keeps nobody from ending the run: it has begun nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_asked_to_stop_before_its_first_line() {
    for beginning in ["", "at,city", "\n\n"] {
        let app = App::new();
        app.redefine("in.csv", "-");
        let mut command = eventflux();
        command.args(["run", "app.toml"]).current_dir(app.path("")).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(beginning.as_bytes()).unwrap();
        let listens = (0..2000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            catches(&child, 15)
        });
        assert!(listens, "{beginning:?}");
        ask_to_stop(&child);
        let ended = (0..200).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            child.try_wait().unwrap()
        });
        assert_eq!(ended.and_then(|status| status.code()), Some(130), "{beginning:?}");
        assert!(!app.path("out.ndjson").exists());
        drop(input);
    }
}

/// `nohup eventflux run … &` goes on when the session ends; without `nohup` it ends as with Ctrl-C.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let stopped = if is_ignored(1) { 0 } else { 130 };
    for (trap, exit_code) in [("trap '' HUP; ", 0), ("", stopped)] {
        let app = App::new();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{trap}exec \"$0\" run app.toml")).arg(eventflux().get_program());
        let (child, input) = waiting_for_input(&app, command);
        signal(&child, "-HUP");
        if exit_code == 130 {
            Ran::from(child.wait_with_output().unwrap()).exits(130);
            drop(input);
        } else {
            // Long enough to stop, if it did.
            std::thread::sleep(std::time::Duration::from_millis(500));
            drop(input);
            Ran::from(child.wait_with_output().unwrap()).exits(0);
        }
        app.command(&["verify", "state"]).exits(0);
    }
}
