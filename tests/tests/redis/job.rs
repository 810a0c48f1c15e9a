//! The command on Redis: the main job, killed and continued, comes to the same bytes; every command works there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::cli::{self, App, ROWS, Ran, eventflux, undisturbed};
use crate::common::redis_server::{DURABLE, Random, RedisServer, wait_for};
use eventflux::storage::Access;
use eventflux::{read_head, read_manifest, verify};
use serde_json::json;
use tempfile::TempDir;

const KILLS: u64 = 25;
const MISSES_MAX: usize = 300;

/// The main job in a directory of its own.
struct Job {
    directory: TempDir,
}

impl Job {
    /// With parts of its definition replaced, and so many rows of January.
    fn new(rows: usize, replace: &[(&str, &str)]) -> Self {
        let job = Job { directory: tempfile::tempdir().unwrap() };
        let flights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights");
        let mut definition = fs::read_to_string(flights.join("app.toml")).unwrap();
        for (from, to) in replace.iter().chain(&[("flights-2013-01.csv.gz", "flights.csv")]) {
            assert!(definition.contains(from), "{from}");
            definition = definition.replace(from, to);
        }
        fs::write(job.path("app.toml"), definition).unwrap();
        let january = fs::File::open(flights.join("flights-2013-01.csv.gz")).unwrap();
        let lines = BufReader::new(flate2::read::GzDecoder::new(january)).lines().take(rows + 1);
        fs::write(job.path("flights.csv"), lines.map(|line| line.unwrap() + "\n").collect::<String>()).unwrap();
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self) -> Child {
        let mut command = eventflux();
        command.args(["run", "app.toml"]).current_dir(self.directory.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn finish(&self) -> Ran {
        Ran::from(self.start().wait_with_output().unwrap()).exits(0)
    }

    fn output(&self) -> Vec<u8> {
        fs::read(self.path("out.ndjson")).unwrap_or_default()
    }

    fn written(&self) -> u64 {
        fs::metadata(self.path("out.ndjson")).map_or(0, |metadata| metadata.len())
    }
}

#[test]
fn the_main_job_comes_to_the_same_bytes() {
    let server = RedisServer::start(&DURABLE);
    let on_files = Job::new(usize::MAX - 1, &[]);
    on_files.finish();
    let on_redis = Job::new(usize::MAX - 1, &[("file:state", &server.url("prefix=flights"))]);
    on_redis.finish().says(&["27,004", &format!("eventflux checkpoints '{}'", server.url("prefix=flights"))]);
    assert!(!on_redis.path("state").exists());
    assert!(on_redis.output() == on_files.output(), "the output differs");
    on_redis.finish().says(&["the source is finished, nothing was done"]);
    assert_eq!(verify(&mut server.open("prefix=flights", Access::Read)).unwrap().findings, []);
}

#[test]
fn killed_anywhere_the_output_is_the_same() {
    let mut server = RedisServer::start(&DURABLE);
    // Results all the time rather than a day later.
    let early = [
        ("watermark_delay = \"24h\"", "watermark_delay = \"1h\""),
        ("aggregate = {", "emit = \"change\"\naggregate = {"),
    ];
    let rows = 8_000;
    let on_files = Job::new(rows, &early);
    on_files.finish();
    let reference = on_files.output();
    let url = server.url("prefix=flights&backoff=1ms&backoff_max=20ms&retries=1000");
    let on_redis: Vec<_> =
        early.into_iter().chain([("file:state", &*url), ("every_events = 5000", "every_events = 100")]).collect();
    let mut random = Random(4);
    let (mut kills, mut misses, mut restarts) = (0, 0, 0);
    let mut job = Job::new(rows, &on_redis);
    while kills < KILLS {
        let target = (reference.len() as u64 * (kills + 1) / (KILLS + 1)).max(job.written() + 1);
        let mut child = job.start();
        wait_for(|| job.written() >= target.min(reference.len() as u64) || child.try_wait().unwrap().is_some());
        thread::sleep(Duration::from_micros(random.below(10_000)));
        if kills % 4 == 1 {
            // The server too, and it comes back: the run waits.
            server.kill();
            server.start_again(&[]);
            restarts += 1;
            thread::sleep(Duration::from_micros(random.below(10_000)));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.signal() == Some(9) {
            kills += 1;
            check_killed(&server, &job, &reference);
            continue;
        }
        assert_eq!(status.code(), Some(0));
        assert!(job.output() == reference, "the output differs");
        misses += 1;
        assert!(misses < MISSES_MAX, "the process always ends first");
        job = Job::new(rows, &on_redis);
        server.command::<()>("FLUSHALL");
    }
    job.finish();
    assert!(job.output() == reference, "the output differs");
    job.finish().says(&["the source is finished, nothing was done"]);
    println!("redis: the job was killed {kills} times, the server {restarts} times; the same bytes");
}

/// What the killed process left is whole, and says where it was.
fn check_killed(server: &RedisServer, job: &Job, reference: &[u8]) {
    let mut storage = server.open("prefix=flights", Access::Read);
    assert_eq!(verify(&mut storage).unwrap().findings, []);
    let head = read_head(&mut storage).unwrap();
    let Some(entry) = head.latest.and_then(|latest| head.entry(latest)) else { return };
    let recorded = read_manifest(&mut storage, entry.object).unwrap().progress.outputs[0].1 as usize;
    assert_eq!(job.output()[..recorded], reference[..recorded]);
}

#[test]
fn a_server_that_goes_ends_the_run_and_it_goes_on_later() {
    let mut server = RedisServer::start(&DURABLE);
    let app = App::new();
    app.redefine("file:state", &server.url("prefix=a&backoff=1ms&retries=2"));
    app.break_row(55, "54000,b");
    app.run(&[]).exits(1).says(&["in.csv, line 56"]);
    app.write("in.csv", cli::rows());
    server.kill();
    app.run(&[]).exits(1).says(&["prefix=a", "see whether the server runs there"]);
    server.start_again(&[]);
    let summary = app.run(&["--json"]).exits(0).json();
    assert!(summary["restored_from"].is_u64(), "{summary}");
    assert_eq!(app.output(), undisturbed());
}

#[test]
fn every_command_works_on_redis() {
    let server = RedisServer::start(&["--requirepass", "secret"]);
    let storage = |prefix: &str| format!("redis://:secret@127.0.0.1:{}/0?prefix={prefix}", server.port());
    let (a, b) = (&*storage("a"), &*storage("b"));
    let app = App::new();
    app.redefine("storage = \"file:state\"", &format!("storage = \"{a}\"\nmax_retained = 100"));
    let ran = app.run(&[]).exits(0);
    assert!(ran.stderr.contains("prefix=a") && !ran.stderr.contains("secret"), "{}", ran.stderr);
    assert_eq!(app.output(), undisturbed());

    let list = app.command(&["checkpoints", a, "--json"]).exits(0).json();
    let ids: Vec<u64> = list.as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
    assert!(ids.len() > 5);
    assert_eq!(app.command(&["inspect", a, "--json"]).exits(0).json()["engine"]["events"], json!(ROWS));
    let (first, last) = (ids[0].to_string(), ids[ids.len() - 1].to_string());
    let difference = app.command(&["diff", a, &first, &last, "--json"]).exits(0).json();
    assert!(!difference["states"].as_array().unwrap().is_empty());
    app.command(&["verify", a]).exits(0);
    app.command(&["savepoint", a, "before the sale", "--of", &ids[3].to_string()]).exits(0);
    app.run(&["--from", "before the sale", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());
    app.run(&["--from", "none", "-q"]).exits(0);
    assert_eq!(app.output(), undisturbed());

    // To files, to Redis again, and each holds the same.
    let inspect = |storage: &str| {
        let mut contents = app.command(&["inspect", storage, "--json"]).exits(0).json();
        contents.as_object_mut().unwrap().remove("storage");
        contents["states"].take()
    };
    let ran = app.command(&["copy", a, "file:copy"]).exits(0);
    assert!(!ran.stdout.contains("secret") && ran.stdout.contains("all is well"), "{}", ran.stdout);
    let ran = app.command(&["copy", "file:copy", b, "--json"]).exits(0).json();
    assert!(!ran.to_string().contains("secret"));
    assert_eq!(inspect(a), inspect("file:copy"));
    assert_eq!(inspect(a), inspect(b));
    app.command(&["copy", "file:copy", b]).exits(1).says(&["already; copy to a new storage"]);
    app.command(&["prune", b, "--keep", "2"]).exits(0);
    app.command(&["verify", b]).exits(0);
    assert_eq!(inspect(a), inspect(b));

    // What is not there, what is wrong, and what is damaged.
    let none = storage("none");
    let ran = app.command(&["checkpoints", &none]).exits(1).says(&["there is no checkpoint storage here"]);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    let ran = app.command(&["checkpoints", &a.replace("prefix", "prefx")]).exits(2).says(&["there are prefix, chunk"]);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    let ran =
        app.command(&["verify", &a.replace("secret", "hidden")]).exits(1).says(&["user name or password are wrong"]);
    assert!(!ran.stderr.contains("hidden"), "{}", ran.stderr);
    let client = redis::Client::open(&*a.replace("?prefix=a", "")).unwrap();
    let mut connection = client.get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("{b}:object:*").query(&mut connection).unwrap();
    let newest = keys.iter().max().unwrap();
    redis::cmd("SETRANGE").arg(newest).arg(0).arg("damage").exec(&mut connection).unwrap();
    app.command(&["verify", b]).exits(3);
    // An entry that no object can have hides neither that, nor the others.
    redis::cmd("HSET").arg("{b}:objects").arg("checkpoint-0000000000-g1.efx").arg("9:1").exec(&mut connection).unwrap();
    let report = app.command(&["verify", b, "--json"]).exits(3).json();
    assert!(!report["findings"].as_array().unwrap().is_empty(), "{report}");
    redis::cmd("UNLINK").arg(newest).exec(&mut connection).unwrap();
    app.command(&["verify", b]).exits(3).says(&[]);
}

#[test]
fn a_second_run_is_refused_while_the_first_lives() {
    let server = RedisServer::start(&[]);
    let url = server.url("prefix=flights");
    // Keeps all: one that looks at what another deletes meanwhile takes it for missing.
    let job = Job::new(
        27_000,
        &[
            ("file:state", &*url),
            ("every_events = 5000", "every_events = 5"),
            ("max_retained = 10", "max_retained = 10000"),
        ],
    );
    let mut first = job.start();
    wait_for(|| server.try_command::<Option<u64>>("HGET {flights}:head swaps").is_ok_and(|swaps| swaps > Some(3)));
    Ran::from(job.start().wait_with_output().unwrap()).exits(1).says(&["another process writes", "--take-over"]);
    let ran = Ran::from(eventflux().args(["savepoint", &url, "now"]).output().unwrap());
    ran.exits(1).says(&["needs it alone"]);
    assert!(first.try_wait().unwrap().is_none(), "too short a run");
    first.kill().unwrap();
    first.wait().unwrap();
    // It is gone: nothing is left to wait for.
    Ran::from(eventflux().args(["savepoint", &url, "now"]).output().unwrap()).exits(0);
}

/// A source that is silent for longer than the storage keeps what is there: without an interval too, what keeps it are
/// checkpoints that nothing else asked for.
#[test]
fn a_job_whose_source_is_silent_does_not_expire() {
    let server = RedisServer::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    for (name, when) in [("counted", "every_events = 2"), ("timed", "interval = \"1h\"")] {
        let storage = server.url(&format!("prefix={name}&expire=6s"));
        let definition = format!(
            "name = \"silent\"\n[source]\nfile = \"-\"\ntimestamp = \"t\"\n[checkpoint]\nstorage = \"{storage}\"\n{when}\n\
             [sink]\nfile = \"{name}.ndjson\"\n[[operator]]\nname = \"all\"\naggregate = {{ n = \"count\" }}\n"
        );
        fs::write(directory.path().join("app.toml"), definition).unwrap();
        let mut command = eventflux();
        command.args(["run", "app.toml"]).current_dir(directory.path()).stdin(Stdio::piped());
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut events = run.stdin.take().unwrap();
        events.write_all(b"t,k\n1000,a\n2000,a\n3000,a\n").unwrap();
        thread::sleep(Duration::from_secs(8));
        events.write_all(b"4000,a\n").unwrap();
        drop(events);
        Ran::from(run.wait_with_output().unwrap()).exits(0);
        let output = fs::read_to_string(directory.path().join(format!("{name}.ndjson"))).unwrap();
        assert!(output.contains("\"n\":4"), "{output}");
    }
}
