//! Sources, outputs and storages that are not what they were, or are something else too: each would lose or mix up
//! something without a word.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::common::cli::{App, DEFINITION, Ran, eventflux, rows};

#[test]
fn a_source_that_is_another_now() {
    let app = App::interrupted();
    let renamed = rows().replacen("city", "town", 1);
    app.write("in.csv", renamed);
    app.write("app.toml", DEFINITION.replace("city", "town"));
    app.run(&[]).exits(1).says(&["has changed since checkpoint"]);
    app.write("app.toml", DEFINITION);
    app.write("in.csv", rows().replacen("value", "value,more", 1));
    app.run(&[])
        .exits(1)
        .says(&["the source has changed since checkpoint", "its fields, or `timestamp`, `null` or `text`"]);
    app.write("in.csv", rows());
    let null = DEFINITION.lines().find(|line| line.starts_with("null = ")).unwrap();
    app.redefine(null, "null = [\"\", \"b\"]");
    app.run(&[]).exits(1).says(&["the source has changed", "--from none"]);
    app.assert_goes_on();
}

#[test]
fn an_application_of_another_name() {
    let app = App::interrupted();
    let name = DEFINITION.lines().find(|line| line.starts_with("name = ")).unwrap();
    app.redefine(name, "name = \"another\"");
    app.run(&[]).exits(1).says(&[
        "`name` has changed since checkpoint",
        "is now `another`",
        "another [checkpoint] storage",
    ]);
    app.assert_goes_on();
}

#[test]
fn an_output_that_is_something_else_too() {
    let sink = DEFINITION.lines().skip_while(|line| *line != "[sink]").nth(1).unwrap();
    for (file, is) in
        [("in.csv", "the source too"), ("app.toml", "the definition"), ("state/head", "inside the storage")]
    {
        let app = App::interrupted();
        let before = fs::read(app.path(file)).unwrap();
        app.redefine(sink, &format!("file = \"{file}\""));
        let before = if file == "app.toml" { fs::read(app.path(file)).unwrap() } else { before };
        app.run(&["--from", "none"]).exits(1).says(&[is, "name another `file` under [sink]"]);
        if file != "state/head" {
            assert_eq!(fs::read(app.path(file)).unwrap(), before, "{file}");
        }
    }
}

/// Another name of the same file, that is no link which shows where it leads.
#[cfg(unix)]
#[test]
fn an_output_that_is_something_else_by_another_name() {
    for (file, is) in [("in.csv", "the source too"), ("app.toml", "the definition")] {
        let app = App::interrupted();
        app.redefine("out.ndjson", "linked.ndjson");
        fs::hard_link(app.path(file), app.path("linked.ndjson")).unwrap();
        let before = fs::read(app.path(file)).unwrap();
        for from in ["none", "latest"] {
            app.run(&["--from", from]).exits(1).says(&[is, "name another `file` under [sink]"]);
        }
        assert_eq!(fs::read(app.path(file)).unwrap(), before, "{file}");
    }
}

/// A file in the place of the one that was read, with rows as long; or another name in the definition.
#[test]
fn a_source_that_is_another_file_now() {
    let rows_read = rows();
    let (header, others) = rows_read.split_once('\n').unwrap();
    let others = format!("{header}\n{}", others.replace('b', "c"));
    assert_eq!(others.len(), rows().len());
    let says = ["the source is another file since checkpoint", "does not begin with what was read", "--from none"];
    let app = App::interrupted();
    app.write("other.csv", &others);
    app.redefine("in.csv", "other.csv");
    app.run(&[]).exits(1).says(&says);
    app.write("app.toml", DEFINITION);
    app.write("in.csv", &others);
    app.run(&["--from", "2"]).exits(1).says(&says);
    // What only goes on is the same file.
    app.write("in.csv", rows());
    app.assert_goes_on();
    app.write("in.csv", others);
    app.run(&[]).exits(1).says(&says);
}

/// A file that begins as the one that was read does, but has lost a row before the place where that was left; as long rows
/// have others begin there.
#[test]
fn a_source_that_has_lost_a_row_since() {
    let app = App::new();
    let row = |number: usize| format!("{},{},1\n", 1_000_000 + number * 1000, ["a", "b"][number % 2]);
    let rows: Vec<String> = (0..1000).map(row).collect();
    let file = |rows: &[String]| String::from("at,city,value\n") + &rows.concat();
    app.write("in.csv", file(&[&rows[..905], &["wrong\n".into()]].concat()));
    app.run(&["-q"]).exits(1).says(&["in.csv, line 907"]);
    let without = [&rows[..500], &rows[501..]].concat();
    app.write("in.csv", file(&without));
    let says = ["the source is another file since checkpoint", "what lies before the place to go on from is not what"];
    app.run(&["-q"]).exits(1).says(&says);
    app.write("in.csv", file(&rows));
    app.run(&["-q"]).exits(0);
    app.write("in.csv", file(&without) + &row(1000));
    app.run(&["-q"]).exits(1).says(&says);
}

/// It is refused when there is neither the output nor the storage, not only once it has been written.
#[test]
fn an_output_that_would_be_inside_the_storage() {
    for sink in ["state/out.ndjson", "state/objects/out.ndjson", "./here/../state/out.ndjson"] {
        let app = App::new();
        fs::create_dir(app.path("here")).unwrap();
        app.redefine("out.ndjson", sink);
        app.run(&[]).exits(1).says(&["inside the storage of the checkpoints", "name another `file` under [sink]"]);
        assert!(!app.path("state").exists(), "{sink}");
        app.write("app.toml", DEFINITION);
        app.run(&["-q"]).exits(0);
        app.redefine("out.ndjson", sink);
        app.run(&["--from", "none"]).exits(1).says(&["inside the storage of the checkpoints"]);
        assert!(!app.path(sink).exists());
    }
}

#[test]
fn an_output_lost_after_the_end() {
    let app = App::finished();
    fs::remove_file(app.path("out.ndjson")).unwrap();
    app.run(&[]).exits(1).says(&["out.ndjson: is not there, but the checkpoint accounts for", "put the file back"]);
    assert!(!app.path("out.ndjson").exists());
    // Neither does a start that goes back make one.
    app.run(&["--from", "5"]).exits(1).says(&["out.ndjson: is not there"]);
    assert!(!app.path("out.ndjson").exists());
}

#[test]
fn rows_that_come_after_the_end() {
    let app = App::finished();
    let (whole, output) = (rows(), app.output());
    app.write("in.csv", format!("{whole}99000,a,1\n"));
    for quiet in [&[][..], &["-q"]] {
        app.run(quiet).exits(1).says(&[
            "the source has grown since checkpoint",
            "10 bytes behind its end",
            "--from none",
        ]);
    }
    // Nor is the end gone back to, which would cut off what came since; it changes nothing that it was tried.
    app.command(&["savepoint", "state", "end"]).exits(0);
    app.run(&["-q", "--from", "10"]).exits(0);
    let (longer, head) = (app.output(), fs::read(app.path("state/head")).unwrap());
    assert_ne!(longer, output);
    app.run(&["--from", "end"]).exits(1).says(&["the source has grown since checkpoint", "10 bytes behind its end"]);
    assert_eq!((app.output(), fs::read(app.path("state/head")).unwrap()), (longer, head));
    app.run(&[]).exits(0).says(&["the source is finished"]);
    app.write("in.csv", &whole);
    app.write("out.ndjson", &output);
    app.run(&["-q", "--from", "end"]).exits(0);
    assert_eq!(app.output(), output);
    app.write("in.csv", &whole[..whole.len() - 10]);
    app.run(&[]).exits(1).says(&["in.csv: it has", "it was cut or replaced"]);
    app.write("in.csv", "");
    app.run(&[]).exits(1).says(&["in.csv: it is empty"]);
    assert_eq!(app.output(), output);
    // Blank lines are no rows.
    for rows in [format!("{whole}\n \r\n\n"), whole] {
        app.write("in.csv", rows);
        app.run(&[]).exits(0).says(&["the source is finished"]);
    }
    let app = App::new();
    app.write("in.csv", rows() + "\n\n");
    for _ in 0..2 {
        app.run(&["-q"]).exits(0);
    }
    assert_eq!(app.output(), output);
}

#[test]
fn an_output_that_grew_after_the_run_has_ended() {
    let app = App::finished();
    let more = app.output() + "what somebody else wrote\n";
    app.write("out.ndjson", &more);
    app.run(&[]).exits(1).says(&["out.ndjson: has 25 bytes behind the", "of the finished run", "move them away"]);
    assert_eq!(app.output(), more);
}

#[test]
fn new_input_for_a_run_that_has_ended() {
    let app = App::new();
    app.redefine("in.csv", "-");
    let run = |input: &str| {
        let mut command = eventflux();
        command.args(["run", "-q", "app.toml"]).current_dir(app.path(""));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It may end without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::from(child.wait_with_output().unwrap())
    };
    run(&rows()).exits(0);
    run(&rows()).exits(1).says(&["the source is finished: standard input was not read", "--from none"]);
}

#[test]
fn pruning_a_storage_whose_newest_checkpoint_is_damaged() {
    let app = App::finished();
    let objects = || fs::read_dir(app.path("state/objects")).unwrap().map(|entry| entry.unwrap().path());
    let newest = objects().max().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let before = objects().count();
    for dry in [&[][..], &["--dry-run"]] {
        let prune = [&["prune", "state", "--keep", "1"], dry].concat();
        app.command(&prune).exits(3).says(&["Nothing was deleted", "eventflux verify"]);
    }
    assert_eq!(objects().count(), before);
}

#[test]
fn a_storage_that_lost_its_head() {
    let app = App::finished();
    fs::remove_file(app.path("state/head")).unwrap();
    for command in ["checkpoints", "inspect", "verify", "prune"] {
        app.command(&[command, "state"]).exits(3).says(&["head: object is missing"]);
    }
    app.run(&[]).exits(3).says(&["head: object is missing"]);
}
