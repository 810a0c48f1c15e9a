//! The output belongs to one run: another one, or whatever else changes it, is noticed, and no file is taken for it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::bad_input::start_run;
use crate::common::cli::{App, DEFINITION, Ran, flip, rows, undisturbed};
use eventflux::storage::{Access, FileBackend};
use eventflux::{CheckpointManager, Engine, EventFluxManager, ManagerConfig, Progress, Selector};

/// The output is refused, and nothing has changed.
#[track_caller]
fn refused(app: &App, output: &str, says: &str) {
    let before = fs::read(app.path(output)).unwrap();
    app.redefine("out.ndjson", output);
    app.run(&[]).exits(1).says(&[&format!("{output}: "), says, "--from none"]);
    assert_eq!(fs::read(app.path(output)).unwrap(), before);
    app.write("app.toml", DEFINITION);
}

#[test]
fn a_file_that_is_not_the_output() {
    let app = App::interrupted();
    app.write("precious.ndjson", "all that somebody knows\n".repeat(400));
    refused(&app, "precious.ndjson", "is another file than the one that the checkpoint accounts for");
    // What another branch wrote is as long and differs somewhere.
    let whole = app.output();
    flip(&app.path("out.ndjson"), 5);
    refused(&app, "out.ndjson", "or of another branch");
    app.write("out.ndjson", whole);
    app.assert_goes_on();
    flip(&app.path("out.ndjson"), undisturbed().len() - 5);
    refused(&app, "out.ndjson", "put the right file there");
}

/// Any file begins with the nothing that the first checkpoint accounts for.
#[test]
fn a_file_that_is_not_the_empty_output() {
    let app = App::new();
    app.break_row(1, "0,b");
    app.run(&[]).exits(1);
    app.write("in.csv", rows());
    app.write("precious.ndjson", "all that somebody knows\n");
    refused(&app, "precious.ndjson", "holds what this run did not write");
    // Of its own name, too: another application may have that one.
    let others = undisturbed().replace("by_ten_seconds", "by_minute").replace("totals", "sums");
    for foreign in ["all that somebody knows\n", "{}", &others] {
        app.write("out.ndjson", foreign);
        refused(&app, "out.ndjson", "holds what this run did not write");
    }
    // What a run writes behind its checkpoint before it is killed, which may be a part of a line.
    for length in [5, 30, undisturbed().len()] {
        app.write("out.ndjson", &undisturbed()[..length]);
        app.break_row(1, "0,b");
        app.run(&[]).exits(1).says(&["in.csv, line 2"]);
        assert_eq!(app.output(), "");
    }
    app.write("in.csv", rows());
    app.assert_goes_on();
}

/// The storage of an application, and an engine that does what it defines.
fn without_command(app: &App) -> (CheckpointManager<FileBackend>, Engine) {
    let runtime = EventFluxManager::new().load(app.path("app.toml")).unwrap();
    let storage = FileBackend::open(app.path("state"), Access::Write).unwrap();
    let manager = CheckpointManager::open(storage, ManagerConfig::default()).unwrap();
    (manager, Engine::new(runtime.definition(), &["at", "city", "value"]).unwrap())
}

/// Checkpoints of older versions and of the npm package have nothing but the length.
#[test]
fn a_checkpoint_that_has_the_length_alone() {
    let app = App::interrupted();
    let (mut manager, mut engine) = without_command(&app);
    let restored = manager.restore_engine(&mut engine, Selector::Latest).unwrap();
    let mut progress = restored.manifest.progress.clone();
    let names: Vec<&str> = progress.outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["output.length", "output.tail"]);
    progress.outputs.truncate(1);
    manager.checkpoint_engine(&mut engine, None, progress).unwrap();
    drop(manager);
    // A file that is not the output is as long as that soon.
    app.write("precious.ndjson", "all that somebody knows\n".repeat(400));
    refused(&app, "precious.ndjson", "does not begin with a result of the run's operators");
    app.assert_goes_on();
}

/// What an engine without the command, in a browser or on a device, has taken: no events, with these positions.
fn checkpoint_of_another_program(app: &App, positions: &[(&str, u64)]) {
    let (mut manager, mut engine) = without_command(app);
    let positions = positions.iter().map(|(name, at)| (String::from(*name), *at)).collect();
    let progress = Progress { positions, outputs: vec![("out".into(), 3)], ..Progress::default() };
    manager.checkpoint_engine(&mut engine, None, progress).unwrap();
}

/// It accounts for no output, so that what is in the file is somebody else's.
#[test]
fn a_checkpoint_that_knows_nothing_of_the_output() {
    let app = App::new();
    checkpoint_of_another_program(&app, &[]);
    app.write("precious.ndjson", "all that somebody knows\n");
    refused(&app, "precious.ndjson", "holds results that no checkpoint accounts for");
    // From the first result on a checkpoint accounts for the output.
    app.break_row(15, "0,b");
    app.run(&[]).exits(1);
    app.assert_goes_on();
}

/// What it has taken in would be read once more.
#[test]
fn a_checkpoint_that_was_at_a_place_of_another_source() {
    let app = App::new();
    checkpoint_of_another_program(&app, &[("input", 1000)]);
    app.run(&[]).exits(1).says(&["another program took the checkpoint", "no `source.offset`", "--from none"]);
    assert!(!app.path("out.ndjson").exists());
    app.run(&["--from", "none", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
}

/// After the end nothing comes, wherever it was read from.
#[test]
fn a_finished_checkpoint_of_another_program() {
    let app = App::new();
    let (mut manager, mut engine) = without_command(&app);
    engine.finish().unwrap();
    let progress = Progress { positions: vec![("input".into(), 1000)], ..Progress::default() };
    manager.checkpoint_engine(&mut engine, None, progress).unwrap();
    drop(manager);
    app.run(&[]).exits(0).says(&["the source is finished"]);
    assert!(!app.path("out.ndjson").exists());
}

/// No file is what was printed, however long it is.
#[test]
fn a_file_after_standard_output() {
    let app = App::new();
    app.break_row(55, "54000,b");
    app.redefine("out.ndjson", "-");
    let printed = app.run(&[]).exits(1).stdout;
    app.write("in.csv", rows());
    app.write("precious.ndjson", "all that somebody knows\n".repeat(400));
    refused(&app, "precious.ndjson", "holds results that no checkpoint accounts for");
    // Printed on from there, it is all that there is.
    app.redefine("out.ndjson", "-");
    let printed = printed + &app.run(&["-q"]).exits(0).stdout;
    assert!(undisturbed().lines().all(|line| printed.contains(line)));
}

/// A device has neither a length nor anything to be made durable.
#[cfg(target_os = "linux")]
#[test]
fn results_that_nobody_wants() {
    let app = App::new();
    app.redefine("out.ndjson", "/dev/null");
    app.run(&["-q"]).exits(0);
    app.run(&[]).exits(0).says(&["the source is finished"]);
}

/// Results go to whoever reads the pipe; if nobody does any more, they are not lost without a word.
#[cfg(unix)]
#[test]
fn an_output_that_is_a_pipe() {
    let app = App::new();
    app.redefine("out.ndjson", "out.fifo");
    let fifo = app.path("out.fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).unwrap()
    });
    app.run(&["-q"]).exits(0);
    assert_eq!(reader.join().unwrap(), undisturbed());
    // It goes away at once.
    let reader = std::thread::spawn(move || drop(fs::File::open(fifo).unwrap()));
    app.write("in.csv", rows() + &rows().split_once('\n').unwrap().1.repeat(500));
    app.run(&["-q", "--from", "none"]).exits(1).says(&["out.fifo", "Broken pipe"]);
    reader.join().unwrap();
}

/// Something happens to the output of a run that lives: it ends with an error, and with the output put back goes on.
#[track_caller]
fn meanwhile(happens: impl Fn(&Path), says: &[&str]) {
    let app = App::new();
    let mut child = start_run(&app);
    let output = app.path("out.ndjson");
    let before = fs::read(&output).unwrap();
    assert!(!before.is_empty());
    happens(&output);
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(&rows().as_bytes()[300..]);
    Ran::from(child.wait_with_output().unwrap()).exits(1).says(&["out.ndjson: "]).says(says);
    fs::write(&output, before).unwrap();
    app.assert_goes_on();
}

#[cfg(unix)]
#[test]
fn an_output_that_changes_while_it_is_written() {
    let gone = ["was renamed, removed or replaced while the run wrote it", "put that back"];
    let other = |path: &Path| path.with_extension("other");
    meanwhile(|path| fs::write(path, "").unwrap(), &["was cut while the run wrote it", "it has 0 bytes instead of"]);
    meanwhile(|path| fs::remove_file(path).unwrap(), &gone);
    meanwhile(|path| fs::rename(path, other(path)).unwrap(), &gone);
    let replace = |path: &Path| fs::copy(path, other(path)).and_then(|_| fs::rename(other(path), path)).unwrap();
    meanwhile(replace, &gone);
    let append = |path: &Path| fs::File::options().append(true).open(path).unwrap().write_all(b"more\n").unwrap();
    meanwhile(append, &["was written by something else", "let nothing else write there"]);
}

/// Two applications of different storages, so that nothing but the output could tell them of each other.
#[cfg(unix)]
#[test]
fn two_runs_with_one_output() {
    let app = App::new();
    let mut child = start_run(&app);
    let before = fs::read(app.path("out.ndjson")).unwrap();
    app.redefine("file:state", "file:other");
    for arguments in [&["-q"][..], &["-q", "--from", "none"]] {
        app.run(arguments).exits(1).says(&["out.ndjson: another run writes it", "stop that run", "--take-over"]);
    }
    // The run that lives may have written more meanwhile; nothing was cut.
    let after = fs::read(app.path("out.ndjson")).unwrap();
    assert!(after.starts_with(&before) && undisturbed().as_bytes().starts_with(&after));
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
    assert!(!app.path(".out.ndjson.eventflux-take-over").exists());
    app.run(&[]).exits(0).says(&["the source is finished"]);
}

/// The run that was to be taken over is not fenced off by one that could not go on.
#[cfg(unix)]
#[test]
fn a_run_whose_output_cannot_be_copied_is_not_taken_over() {
    let app = App::new();
    let mut child = start_run(&app);
    fs::create_dir(app.path(".out.ndjson.eventflux-take-over")).unwrap();
    app.run(&["--take-over", "-q"]).exits(1).says(&[".out.ndjson.eventflux-take-over"]);
    child.stdin.take().unwrap().write_all(&rows().as_bytes()[300..]).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn what_a_take_over_left_that_was_killed_is_removed() {
    let app = App::interrupted();
    app.write(".out.ndjson.eventflux-take-over", "a part of the output");
    app.assert_goes_on();
    assert!(!app.path(".out.ndjson.eventflux-take-over").exists());
}

/// What makes a start be refused, and what it then says.
type Refusal<'app> = (Box<dyn Fn() + 'app>, &'static str);

fn refusals(app: &App) -> Vec<Refusal<'_>> {
    let (output, definition) = (app.output(), DEFINITION);
    vec![
        (Box::new(|| app.redefine("\"10s\"", "\"20s\"")), "operator `by_ten_seconds` has changed"),
        (Box::new(|| app.redefine("null = [\"NA\"]", "null = [\"b\"]")), "the source has changed"),
        (Box::new(|| app.write("in.csv", &rows()[..200])), "in.csv: it has 200 bytes"),
        (Box::new(|| app.write("in.csv", rows().replace(",a,", ",another city,"))), "no row begins behind the"),
        (Box::new(move || app.write("out.ndjson", &output[..20])), "out.ndjson: ends after 20 bytes"),
        (
            Box::new(move || {
                app.write("precious.ndjson", "all that somebody knows\n".repeat(400));
                app.write("app.toml", definition.replace("out.ndjson", "precious.ndjson"));
            }),
            "precious.ndjson: is another file",
        ),
    ]
}

/// A start that is refused has not taken the generation from under a run that may live.
#[test]
fn a_start_that_is_refused_fences_nobody_off() {
    let app = App::interrupted();
    let (head, output) = (fs::read(app.path("state/head")).unwrap(), app.output());
    for (wrong, says) in refusals(&app) {
        wrong();
        for arguments in [&["-q"][..], &["-q", "--take-over"]] {
            app.run(arguments).exits(1).says(&[says]);
            assert_eq!(fs::read(app.path("state/head")).unwrap(), head, "{says}");
        }
        app.write("app.toml", DEFINITION);
        app.write("in.csv", rows());
        app.write("out.ndjson", &output);
    }
    app.assert_goes_on();

    let app = App::new();
    let mut child = start_run(&app);
    app.redefine("\"10s\"", "\"20s\"");
    app.run(&["--take-over"]).exits(1).says(&["operator `by_ten_seconds` has changed"]);
    app.write("app.toml", DEFINITION);
    app.run(&[]).exits(1).says(&["another process writes to this storage"]);
    child.stdin.take().unwrap().write_all(&rows().as_bytes()[300..]).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(app.output(), undisturbed());
}

/// Results on standard output of the events before the one that is wrong.
#[test]
fn what_is_printed_when_a_later_row_is_wrong() {
    let app = App::new();
    app.redefine("out.ndjson", "-");
    app.break_row(55, "54000,b");
    let ran = app.run(&[]).exits(1).says(&["in.csv, line 56"]);
    assert!(undisturbed().starts_with(&ran.stdout));
    // The last window before was closed after the last checkpoint.
    let of_last = ran.stdout.lines().filter(|line| line.contains("\"window_end\":50000")).count();
    assert_eq!(of_last, 3, "{}", ran.stdout);
}
