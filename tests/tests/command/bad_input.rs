//! What people get wrong, and what machines do to them: each message says where, what and what to
//! do, and the last checkpoint stays good.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::cli::{App, DEFINITION, Ran, eventflux, gzip, rows, undisturbed};

/// Runs a definition that is wrong on top of a run that was interrupted; then all is put right.
#[track_caller]
fn wrong_definition(from: &str, to: &str, code: i32, says: &[&str]) {
    let app = App::interrupted();
    app.redefine(from, to);
    app.run(&[]).exits(code).says(says);
    app.assert_goes_on();
}

/// A row 80 that is wrong; the run has checkpoints by then.
#[track_caller]
fn wrong_row(row: &str, says: &[&str]) {
    let app = App::interrupted();
    app.break_row(80, row);
    let ran = app.run(&[]).exits(1).says(&["error: in.csv, line 81"]).says(says);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert_eq!(app.checkpoints().len(), 8, "at the start, and every ten rows up to 70");
    app.assert_goes_on();
}

#[test]
fn missing_files() {
    let app = App::interrupted();
    app.command(&["run", "nope.toml"]).exits(2).says(&["cannot read nope.toml: No such file"]);
    app.command(&["run", "."]).exits(2).says(&["cannot read ."]);
    fs::remove_file(app.path("in.csv")).unwrap();
    app.run(&[]).exits(1).says(&["in.csv: cannot open it: No such file", "check `file` under [source]"]);
    app.write("in.csv", rows());
    app.assert_goes_on();
}

/// What a run has read of it is gone, so that none could go on from a checkpoint.
#[cfg(unix)]
#[test]
fn a_source_that_is_a_pipe() {
    let app = App::new();
    fs::remove_file(app.path("in.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(app.path("in.csv")).status().unwrap().success());
    app.run(&[]).exits(2).says(&["app.toml, line 4: source.file: `in.csv` is no regular file", "write \"-\""]);
    assert!(!app.path("state").exists());
}

/// A live stream may send blank lines to keep a connection; they are no reason to hold back what came before.
#[test]
fn blank_lines_of_a_live_stream() {
    let app = App::new();
    app.redefine("in.csv", "-");
    let mut command = eventflux();
    command.args(["run", "app.toml"]).current_dir(app.path("")).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The eleventh row closes windows.
    let first: String = rows().split_inclusive('\n').take(12).collect();
    child.stdin.as_mut().unwrap().write_all((first + "\n\n").as_bytes()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while fs::read(app.path("out.ndjson")).is_ok_and(|output| output.is_empty()) || !app.path("out.ndjson").exists() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "the result is held back");
        std::thread::sleep(Duration::from_millis(10));
    }
    let rest: String = rows().split_inclusive('\n').skip(12).collect();
    child.stdin.take().unwrap().write_all(rest.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn gzip_that_cannot_be_read() {
    let app = App::new();
    app.redefine("in.csv", "in.csv.gz");
    let whole = gzip(rows().as_bytes());
    app.write("in.csv.gz", &whole[..whole.len() - 100]);
    app.run(&[]).exits(1).says(&["in.csv.gz: the gzip data ends too early", "copy it again"]);
    app.write("in.csv.gz", "not compressed at all");
    app.run(&[]).exits(1).says(&["in.csv.gz: not valid gzip data", "drop .gz from the name"]);
    let mut garbage = whole.clone();
    garbage[20..200].fill(0xff);
    app.write("in.csv.gz", garbage);
    app.run(&[]).exits(1).says(&["error: in.csv.gz"]);
    app.command(&["verify", "state"]).exits(0);
    app.write("in.csv.gz", whole);
    app.run(&["-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn rows_that_do_not_fit() {
    wrong_row("79000,b", &["expected 3 fields as in the header, found 2", "add or remove commas"]);
    wrong_row("yesterday,b,1", &["field `at`: not a timestamp: \"yesterday\"", "RFC 3339"]);
    wrong_row("NA,b,1", &["field `at`: the timestamp is null", "fill it in"]);
    wrong_row(
        "79000,b,99999999999999999999",
        &["field `value`: number too large: \"99999999999999999999\"", "correct it"],
    );
    wrong_row("79000,b,1e999", &["field `value`: number too large"]);
    wrong_row("79000,b,lots", &["operator `by_ten_seconds`, field `value`: needs numbers, found a string", "`where`"]);
    wrong_row("79000,\"b,1", &["quote is never closed"]);
}

/// By the line that it begins in, whoever refuses it.
#[test]
fn a_row_of_several_lines() {
    let app = App::new();
    for (row, says) in [("3000,\"a\nb\nc\",lots", "field `value`: needs numbers"), ("3000,\"a\nb\nc\"", "found 2")] {
        app.break_row(4, row);
        app.run(&["--from", "none"]).exits(1).says(&["error: in.csv, line 5: ", says]);
    }
}

#[test]
fn a_sum_that_overflows() {
    let app = App::interrupted();
    app.break_row(80, "79000,b,9223372036854775807");
    let says = [
        "error: in.csv, line 81: operator `totals`, field `value`",
        "the sum of whole numbers leaves the range of 64 bits",
    ];
    app.run(&[]).exits(1).says(&says);
    app.assert_goes_on();
}

#[test]
fn definitions_that_name_what_is_not_there() {
    let unknown = |from, to, line: &str, says: &str| {
        wrong_definition(from, to, 2, &[&format!("error: app.toml, line {line}: "), says]);
    };
    let field = "operator[0].compute.mean: the source has no field `vlaue`; did you mean `value`?";
    unknown("avg value", "avg vlaue", "19", field);
    unknown(
        "key = [\"city\"]\ncompute",
        "key = [\"town\"]\ncompute",
        "18",
        "operator[0].key[0]: the source has no field",
    );
    unknown(
        "timestamp = \"at\"",
        "timestamp = \"at\"\ntext = [\"citty\"]",
        "6",
        "source.text[0]: the source has no field `citty`",
    );
    unknown("timestamp = \"at\"", "timestamp = \"at\"\ntext = [\"at\"]", "6", "source.text[0]: `at` holds the time");
    unknown("window = {", "windw = {", "17", "operator[0].windw: unknown key; did you mean `window`?");
    unknown("tumbling", "tumblng", "17", "unknown kind of window; did you mean `tumbling`?");
    unknown("avg value", "avrg value", "19", "unknown function `avrg`; did you mean `avg`?");
    unknown("every_events", "every_event", "10", "checkpoint.every_event: unknown key; did you mean `every_events`?");
}

#[test]
fn definitions_that_are_wrong() {
    let wrong = |from, to, line: &str, says: &str| {
        wrong_definition(from, to, 2, &[&format!("error: app.toml, line {line}: "), says]);
    };
    wrong("\"totals\"", "\"by_ten_seconds\"", "22", "`by_ten_seconds` is already the name of operator[0]");
    wrong(
        "window = { tumbling = \"10s\" }",
        "sort = { by = \"value\" }",
        "17",
        "operator[0].sort: unknown key; known: ",
    );
    wrong(
        "window = { tumbling = \"10s\" }\n",
        "",
        "15",
        "has no kind; give exactly one of `window`, `pattern`, `aggregate`, `plugin`",
    );
    wrong("\"10s\"", "\"10 parsecs\"", "17", "`10 parsecs` is not a duration");
    wrong("every_events = 10", "every_events = \"ten\"", "10", "must be a whole number, found a text");
    wrong("[sink]", "[sink", "12", "expected `]`");
    wrong_definition(
        "timestamp = \"at\"",
        "timestamp = \"time\"",
        2,
        &["in.csv: it has no field `time`", "at, city, value"],
    );
    wrong_definition("in.csv", "in.xlsx", 2, &["in.xlsx: unknown format; the name must end in .csv, .ndjson"]);
    wrong_definition(
        "file:state",
        "floppy:state",
        2,
        &["storage `floppy:state`: unknown kind of storage; use file:PATH"],
    );
    wrong_definition("avg value", "avg city", 1, &["operator `by_ten_seconds` has changed since checkpoint 5"]);
}

#[test]
fn a_function_that_cannot_take_the_field() {
    let app = App::new();
    app.redefine("avg value", "avg city");
    app.run(&[])
        .exits(1)
        .says(&["error: in.csv, line 2: operator `by_ten_seconds`, field `city`: needs numbers, found a string"]);
    app.command(&["verify", "state"]).exits(0);
}

#[test]
fn operators_that_changed() {
    wrong_definition(
        "\"10s\"",
        "\"20s\"",
        1,
        &[
            "operator `by_ten_seconds` has changed since checkpoint 5",
            "10000",
            "20000",
            "Undo the change",
            "--from none",
        ],
    );
    let all_new = [
        ("window = { tumbling = \"10s\" }", "aggregate = { n = \"count\" }"),
        ("compute = { n = \"count\", mean = \"avg value\" }\n", ""),
    ];
    let app = App::interrupted();
    app.write("app.toml", all_new.iter().fold(DEFINITION.to_owned(), |text, (from, to)| text.replace(from, to)));
    app.run(&[])
        .exits(1)
        .says(&["`by_ten_seconds` has changed", "it holds windows, the program declares aggregations"]);
    app.assert_goes_on();
}

/// A finished run has nothing to do, but what is asked of it now is another thing.
#[test]
fn operators_that_changed_after_the_end() {
    let app = App::new();
    app.run(&["-q"]).exits(0);
    app.redefine("\"10s\"", "\"20s\"");
    app.run(&[]).exits(1).says(&["operator `by_ten_seconds` has changed since checkpoint", "--from none"]);
    app.write("app.toml", DEFINITION);
    fs::remove_file(app.path("in.csv")).unwrap();
    app.run(&[]).exits(0).says(&["the source is finished"]);
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn operators_that_are_new_or_gone() {
    let without_totals = DEFINITION.split("\n[[operator]]\nname = \"totals\"").next().unwrap();
    let app = App::interrupted();
    app.write("app.toml", without_totals);
    app.run(&[]).exits(1).says(&["operator `totals` is gone since checkpoint 5", "Put it back", "--allow-unknown"]);
    app.run(&["--allow-missing"]).exits(1);
    let summary = app.run(&["--allow-unknown", "--json"]).exits(0).json();
    assert_eq!((&summary["restored_from"], summary["operators"].as_array().unwrap().len()), (&5.into(), 1));
    assert_eq!(summary["operators"][0]["results"], 30);

    let app = App::new();
    app.write("app.toml", without_totals);
    app.break_row(55, "54000,b");
    app.run(&[]).exits(1);
    app.write("in.csv", rows());
    app.write("app.toml", DEFINITION);
    app.run(&[]).exits(1).says(&["operator `totals` is new since checkpoint 5", "--allow-missing", "--from none"]);
    app.run(&["--allow-unknown"]).exits(1);
    app.command(&["verify", "state"]).exits(0);
    app.run(&["--allow-missing", "-q"]).exits(0);
    let last = app.output().lines().last().unwrap().to_owned();
    assert!(last.starts_with("{\"operator\":\"totals\",\"key\":{\"city\":\"c\"},\"n\":17,"), "{last}");
}

#[test]
fn a_source_that_was_cut() {
    let app = App::interrupted();
    app.write("in.csv", &rows()[..200]);
    app.run(&[]).exits(1).says(&["in.csv: it has 200 bytes", "it was cut or replaced", "put the old file back"]);
    app.assert_goes_on();
}

/// Its fields are the same, its rows are not: where the old one was read to is no place between two of them.
#[test]
fn a_source_that_was_replaced() {
    let app = App::interrupted();
    let output = app.output();
    app.write("in.csv", rows().replace(",a,", ",another city,"));
    app.run(&[]).exits(1).says(&[
        "in.csv: no row begins behind the",
        "it was cut or replaced",
        "put the old file back",
    ]);
    assert_eq!(app.output(), output);
    app.assert_goes_on();
}

#[test]
fn storages_that_cannot_be_written() {
    let app = App::interrupted();
    app.redefine("file:state", "file:in.csv/state");
    app.run(&[]).exits(1).says(&["cannot", "in.csv/state", "Not a directory"]);
    app.assert_goes_on();
}

/// A storage of somebody else's; root may write anywhere, so that this is run as nobody.
#[cfg(unix)]
#[test]
fn a_storage_without_the_right_to_write() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let app = App::new();
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&app.path(""), 0o755);
    fs::create_dir(app.path("locked")).unwrap();
    mode(&app.path("locked"), 0o555);
    app.redefine("file:state", "file:locked/state");
    let mut command = eventflux();
    if fs::metadata(app.path("")).unwrap().uid() == 0 {
        // The command may lie where only root looks.
        let copy = app.path("eventflux");
        // By another process: a child that a test beside this one has just forked would still hold the file open for
        // writing, and what is so cannot be run.
        assert!(Command::new("cp").arg(command.get_program()).arg(&copy).status().unwrap().success());
        command = Command::new(copy);
        command.uid(65534).gid(65534);
    }
    let ran = command.args(["run", "app.toml"]).current_dir(app.path("")).stdin(Stdio::null()).output().unwrap();
    Ran::from(ran).exits(1).says(&["locked/state", "Permission denied"]);
    mode(&app.path("locked"), 0o755);
    app.run(&["-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn outputs_that_do_not_fit_the_checkpoint() {
    let app = App::new();
    app.write("out.ndjson", "precious\n");
    app.run(&[]).exits(1).says(&[
        "out.ndjson: holds results that no checkpoint accounts for",
        "move the file away",
        "--from none",
    ]);
    assert_eq!(app.output(), "precious\n");
    app.run(&["--from", "none", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());

    let app = App::interrupted();
    let whole = app.output();
    app.write("out.ndjson", &whole[..20]);
    app.run(&[])
        .exits(1)
        .says(&["out.ndjson: ends after 20 bytes, but the checkpoint accounts for", "put the file back"]);
    assert_eq!(app.output(), &whole[..20]);
    app.write("out.ndjson", whole + "results behind the checkpoint are cut off");
    app.assert_goes_on();

    let app = App::interrupted();
    app.redefine("out.ndjson", "nowhere/out.ndjson");
    app.run(&[]).exits(1).says(&["nowhere/out.ndjson: is not there, but the checkpoint"]);
    app.assert_goes_on();
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_a_device() {
    let app = App::new();
    app.redefine("out.ndjson", "/dev/full");
    app.run(&[]).exits(1).says(&["/dev/full"]);
}

/// An application with large state, or with `emit = "change"` a large output.
fn large(emit: &str) -> App {
    let app = App::new();
    // Names that neither columns nor LZ4 make much shorter.
    let name = |at: usize| (at as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let row = |at: usize| format!("{},city {:032x},1\n", at * 1000, name(at) ^ name(at) >> 61);
    app.write("in.csv", String::from("at,city,value\n") + &(0..3000).map(row).collect::<String>());
    let definition = DEFINITION.replace("every_events = 10", "every_events = 1000\ncompression = \"none\"");
    let operators = definition.find("[[operator]]").unwrap();
    let totals =
        format!("[[operator]]\nname = \"n\"\naggregate = {{ n = \"count\" }}\nkey = [\"city\"]\nemit = \"{emit}\"\n");
    app.write("app.toml", format!("{}{totals}", &definition[..operators]));
    app
}

/// The run failed for want of room: the checkpoints are whole, and with room it goes on to the
/// output it would have had.
fn assert_recovers(app: &App, emit: &str, output: &str) {
    app.command(&["verify", "state"]).exits(0);
    assert!(!app.checkpoints().is_empty());
    app.run(&["-q"]).exits(0);
    let other = large(emit);
    other.run(&["-q"]).exits(0);
    assert_eq!(fs::read_to_string(app.path(output)).unwrap(), other.output());
}

#[cfg(unix)]
#[test]
fn files_that_may_not_grow() {
    let kinds = [("end", "state/objects/checkpoint-"), ("change", "out.ndjson")];
    // Where the signal is not ignored already, the command does not end with it.
    let signals = if cfg!(target_os = "linux") { &["trap '' XFSZ;", ""][..] } else { &["trap '' XFSZ;"] };
    for ((emit, grows), trap) in kinds.into_iter().flat_map(|kind| signals.iter().map(move |trap| (kind, trap))) {
        let app = large(emit);
        let script = format!("ulimit -f 20; {trap} exec \"$0\" run app.toml");
        let program = eventflux().get_program().to_owned();
        let mut shell = Command::new("sh");
        let ran: Ran = shell.arg("-c").arg(script).arg(program).current_dir(app.path("")).output().unwrap().into();
        ran.exits(1).says(&[grows, "File too large"]);
        assert_recovers(&app, emit, "out.ndjson");
    }
}

/// A small file system, which goes with this. `None` where this user may not mount.
#[cfg(target_os = "linux")]
struct Tmpfs(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Tmpfs {
    fn mount(path: std::path::PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Tmpfs(path))
    }

    fn grow(&self) {
        let status = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn disks_that_are_full() {
    for (emit, directory) in [("end", "state"), ("change", "results")] {
        let app = large(emit);
        let Some(disk) = Tmpfs::mount(app.path(directory), "size=64k") else {
            eprintln!("skipped: this user may not mount a file system");
            return;
        };
        let output = if directory == "results" { "results/out.ndjson" } else { "out.ndjson" };
        let definition = fs::read_to_string(app.path("app.toml")).unwrap();
        app.write("app.toml", definition.replace("out.ndjson", output));
        app.run(&[]).exits(1).says(&[directory, "No space left on device", "free space and run again"]);
        disk.grow();
        assert_recovers(&app, emit, output);
        drop(disk);
    }
}

/// A run that reads what it is sent: rows as far as byte 300, of which checkpoints are taken.
pub(crate) fn start_run(app: &App) -> Child {
    app.redefine("in.csv", "-");
    fs::rename(app.path("app.toml"), app.path("live.toml")).unwrap();
    app.write("app.toml", DEFINITION);
    let mut command = eventflux();
    command.args(["run", "live.toml"]).current_dir(app.path(""));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&rows().as_bytes()[..300]).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !app.path("state/head").exists() || app.checkpoints().len() < 3 {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "the run takes no checkpoints");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

pub(crate) fn finish(mut child: Child) -> Ran {
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(&rows().as_bytes()[300..]);
    child.wait_with_output().unwrap().into()
}

#[test]
fn two_at_once() {
    let app = App::new();
    let child = start_run(&app);
    let process = format!("process {}", child.id());
    app.run(&[]).exits(1).says(&["state: another process writes to this storage", &process, "--take-over"]);
    for command in [&["savepoint", "state", "v1"][..], &["prune", "state"], &["copy", "state", "state"]] {
        app.command(command).exits(1);
    }
    app.command(&["savepoint", "state", "v1"]).says(&[&process, "a savepoint needs it alone", "stop that run first"]);
    for command in [&["checkpoints", "state"][..], &["inspect", "state"], &["verify", "state"], &["copy", "state", "c"]]
    {
        app.command(command).exits(0);
    }
    finish(child).exits(0);
    assert_eq!(app.output(), undisturbed());
    app.command(&["verify", "state"]).exits(0);
}

#[test]
fn one_takes_over() {
    let app = App::new();
    let child = start_run(&app);
    app.run(&["--take-over", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
    finish(child).exits(1).says(&["fenced", "another writer has taken over"]);
    assert_eq!(app.output(), undisturbed());
    app.command(&["verify", "state"]).exits(0);
}
