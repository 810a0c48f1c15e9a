//! Sources that cannot be repeated: what one run has read, none reads again.

use std::fs;
use std::io::{Seek, Write};
use std::process::Stdio;

use crate::bad_input::{finish, start_run};
#[cfg(unix)]
use crate::common::cli::ask_to_stop;
use crate::common::cli::{App, DEFINITION, ROWS, Ran, eventflux, rows};

/// Rows come from a pipe: one run after the other takes them, stopped in the midst of them or as it waits for more, and none
/// is lost between two.
#[cfg(unix)]
#[test]
fn runs_that_are_stopped_leave_the_rest_of_their_input_to_the_next() {
    const STOPS: usize = 8;
    const EVENTS: usize = 160_000;
    let app = App::new();
    app.write("app.toml", EACH_EVENT);
    let (from, into) = std::io::pipe().unwrap();
    let (stopped, was_stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        // Rows are cut anywhere.
        let mut into = std::io::BufWriter::with_capacity(3001, into);
        for number in 0..EVENTS {
            writeln!(into, "{{\"t\":{number},\"text\":\"{:1$}\"}}", "", number % 50).unwrap();
            if number % (EVENTS / STOPS) == EVENTS / STOPS / 2 {
                // Now and then with blank lines, and a part of the next row.
                into.write_all(if number % 3 == 0 { b"\n\n" } else { b"" }).unwrap();
                into.flush().unwrap();
                was_stopped.recv().unwrap();
            }
        }
        into.flush().unwrap();
    });
    let start = || {
        let mut command = eventflux();
        command.args(["run", "-q", "app.toml"]).current_dir(app.path("")).stdin(from.try_clone().unwrap());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let length = || fs::metadata(app.path("out.ndjson")).map_or(0, |metadata| metadata.len());
    for stop in 0..STOPS {
        let before = length();
        let child = start();
        while length() <= before {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::thread::sleep(std::time::Duration::from_millis(stop as u64 * 3));
        ask_to_stop(&child);
        let ran = Ran::from(child.wait_with_output().unwrap()).exits(130);
        assert_eq!(ran.stderr, "", "{stop}");
        stopped.send(()).unwrap();
    }
    Ran::from(start().wait_with_output().unwrap()).exits(0);
    writer.join().unwrap();
    let output = fs::read_to_string(app.path("out.ndjson")).unwrap();
    let taken = output.lines().map(|line| line.split("\"at\":").nth(1).unwrap().trim_end_matches('}').to_owned());
    assert!(taken.eq((0..EVENTS).map(|number| number.to_string())), "{} of {EVENTS}", output.lines().count());
}

/// A result for each event, with its time.
#[cfg(unix)]
const EACH_EVENT: &str = "name = \"each\"\n[source]\nfile = \"-\"\ntimestamp = \"t\"\nfields = [\"t\", \"text\"]\n\
    [checkpoint]\nstorage = \"file:state\"\n[sink]\nfile = \"out.ndjson\"\n[[operator]]\nname = \"all\"\n\
    window = { length = 1 }\ncompute = { at = \"first t\" }\n";

/// Who stops a run stops what feeds it, too: then its end is none of the source, and a row that is cut is none.
#[cfg(unix)]
#[test]
fn an_input_that_ends_as_the_run_is_stopped_has_not_ended() {
    let csv = EACH_EVENT.replace("fields = [\"t\", \"text\"]\n", "");
    for (definition, rows, cut) in [
        (EACH_EVENT, "{\"t\":1,\"text\":\"a\"}\n", "{\"t\":2,\"te"),
        (EACH_EVENT, "{\"t\":1,\"text\":\"a\"}\n", ""),
        (&csv, "t,text\n1,a\n", "2,b"),
        (&csv, "t,text\n1,a\n", "2,\"b\nc\n"),
        (&csv, "t,text\n1,a\n", "2"),
    ] {
        let app = App::new();
        app.write("app.toml", definition);
        let mut command = eventflux();
        command.args(["run", "-q", "app.toml"]).current_dir(app.path("")).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(rows.as_bytes()).unwrap();
        while !fs::metadata(app.path("out.ndjson")).is_ok_and(|metadata| metadata.len() > 0) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        input.write_all(cut.as_bytes()).unwrap();
        ask_to_stop(&child);
        drop(input);
        let ran = Ran::from(child.wait_with_output().unwrap()).exits(130);
        assert_eq!(ran.stderr.contains("in the midst of a row"), !cut.is_empty(), "{cut}: {}", ran.stderr);
        assert_eq!(fs::read_to_string(app.path("out.ndjson")).unwrap().lines().count(), 1, "{cut}");
        app.command(&["verify", "state"]).exits(0);
    }
}

/// Nobody reads what the run says: no reason to lose what came in.
#[cfg(unix)]
#[test]
fn a_run_whose_messages_nobody_reads_takes_its_last_checkpoint() {
    let app = App::new();
    app.write("app.toml", EACH_EVENT);
    let mut command = eventflux();
    command.args(["run", "-q", "app.toml"]).current_dir(app.path("")).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"t\":1,\"text\":\"a\"}\n").unwrap();
    while !fs::metadata(app.path("out.ndjson")).is_ok_and(|metadata| metadata.len() > 0) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    input.write_all(b"{\"t\":2,\"te").unwrap();
    ask_to_stop(&child);
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(app.command(&["inspect", "state", "--json"]).exits(0).json()["engine"]["events"], 1);
}

/// Its storage is another run's, which the rows are for.
#[test]
fn a_run_that_is_refused_takes_nothing_of_standard_input() {
    let app = App::new();
    let child = start_run(&app);
    app.write("rows.csv", rows());
    let mut sent = fs::File::open(app.path("rows.csv")).unwrap();
    let mut command = eventflux();
    command.args(["run", "-q", "live.toml"]).current_dir(app.path("")).stdin(sent.try_clone().unwrap());
    Ran::from(command.output().unwrap()).exits(1).says(&["another process writes to this storage"]);
    assert_eq!(sent.stream_position().unwrap(), 0);
    finish(child).exits(0);
}

/// Rows before a wrong one do not come again.
#[test]
fn what_came_on_standard_input_before_a_wrong_row_is_kept() {
    for wrong in ["999,x\n", "soon,a,1\n"] {
        let app = App::new();
        app.redefine("in.csv", "-");
        let all = rows();
        let (header, events) = all.split_at(all.find('\n').unwrap() + 1);
        let half = events.match_indices('\n').nth(ROWS / 2).unwrap().0 + 1;
        fed(&app, &format!("{header}{}{wrong}", &events[..half])).exits(1);
        fed(&app, &format!("{header}{}", &events[half..])).exits(0);
        let whole = App::finished();
        let output = |app: &App| fs::read_to_string(app.path("out.ndjson")).unwrap();
        assert_eq!(output(&app), output(&whole), "{wrong}");
    }
}

/// A run that gets this on standard input.
fn fed(app: &App, input: &str) -> Ran {
    let mut command = eventflux();
    command.args(["run", "-q", "app.toml"]).current_dir(app.path(""));
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the command is there");
    // It may end before it has read all.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    Ran::from(child.wait_with_output().expect("it ends"))
}

/// A file may take over what came in first on standard input, if it begins with that.
#[test]
fn a_file_of_other_rows_does_not_go_on_from_standard_input() {
    let app = App::new();
    app.redefine("in.csv", "-");
    let all: String = (0..100).map(|at| format!("{},a,1\n", 1000 + at)).collect();
    fed(&app, &format!("at,city,value\n{}wrong\n", &all[..60 * 9])).exits(1);
    let before = fs::read(app.path("out.ndjson")).unwrap();
    // Its rows end at the same places.
    app.write("in.csv", format!("at,city,value\n{}", all.replace(",a,", ",b,")));
    app.write("app.toml", DEFINITION);
    app.run(&[]).exits(1).says(&["the source is another file", "it does not begin with what was read"]);
    assert_eq!(fs::read(app.path("out.ndjson")).unwrap(), before);
    app.write("in.csv", format!("at,city,value\n{all}"));
    app.run(&["-q"]).exits(0);
    assert_eq!(app.command(&["inspect", "state", "--json"]).exits(0).json()["engine"]["events"], 100);
}

/// How much was sent is a place in no file: rows of one would be taken twice, or never.
#[test]
fn a_file_in_the_place_of_standard_input_is_refused() {
    let app = App::new();
    app.redefine("in.csv", "-");
    let all: String = (0..100).map(|at| format!("{},a,1\n", 1000 + at)).collect();
    let (first, next) = all.split_at(60 * 9);
    fed(&app, &format!("at,city,value\n{first}wrong\n")).exits(1);
    fed(&app, &format!("at,city,value\n{}wrong\n", &next[..20 * 9])).exits(1);
    let before = fs::read(app.path("out.ndjson")).unwrap();
    app.write("in.csv", format!("at,city,value\n{all}"));
    app.write("app.toml", DEFINITION);
    app.run(&[]).exits(1).says(&[
        "the source was standard input since checkpoint",
        "a place in no file",
        "--from none",
    ]);
    assert_eq!(fs::read(app.path("out.ndjson")).unwrap(), before);
    app.redefine("in.csv", "-");
    fed(&app, &format!("at,city,value\n{}", &next[20 * 9..])).exits(0);
    let read = App::new();
    read.write("in.csv", format!("at,city,value\n{all}"));
    read.run(&["-q"]).exits(0);
    assert_eq!(app.output(), read.output());
    app.write("app.toml", DEFINITION);
    app.write("in.csv", format!("at,city,value\n{all}"));
    // Behind its end there is nothing to send.
    let ran = app.run(&[]).exits(1).says(&["the source was standard input", "Go back with --from"]);
    assert!(!ran.stderr.contains("send what follows"), "{}", ran.stderr);
}
