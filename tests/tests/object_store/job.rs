//! The command on a bucket: the main job, killed and continued, comes to the same bytes; what lists,
//! verifies and copies works there too.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::cli::{Ran, eventflux};
use crate::common::s3_server::{Proxy, server};
use tempfile::TempDir;

/// A run that shows nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(180);
/// Rows of January.
const ROWS: usize = 6_000;

struct Job {
    directory: TempDir,
    proxy: Proxy,
    storage: String,
}

impl Job {
    fn new(prefix: &str) -> Self {
        let (proxy, bucket) = (Proxy::start(server()), server().bucket());
        let storage = format!("s3://{bucket}/{prefix}?region=us-east-1&timeout=120s");
        let job = Job { directory: TempDir::new().unwrap(), proxy, storage };
        let flights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights");
        let mut definition = fs::read_to_string(flights.join("app.toml")).unwrap();
        for (from, to) in [
            ("every_events = 5000", "every_events = 300"),
            ("watermark_delay = \"24h\"", "watermark_delay = \"1h\""),
            ("aggregate = {", "emit = \"change\"\naggregate = {"),
            ("flights-2013-01.csv.gz", "flights.csv"),
            ("file:state", &job.storage),
        ] {
            assert!(definition.contains(from), "{from}");
            definition = definition.replace(from, to);
        }
        fs::write(job.path("app.toml"), definition).unwrap();
        let january = fs::File::open(flights.join("flights-2013-01.csv.gz")).unwrap();
        let lines = BufReader::new(flate2::read::GzDecoder::new(january)).lines().take(ROWS + 1);
        let slice: String = lines.map(|line| line.unwrap() + "\n").collect();
        fs::write(job.path("flights.csv"), slice).unwrap();
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command, which finds endpoint and credentials in its environment.
    fn eventflux(&self, arguments: &[&str]) -> Command {
        let mut command = eventflux();
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", "hunter2");
        command.env("AWS_ENDPOINT_URL", self.proxy.endpoint()).env("AWS_ALLOW_HTTP", "true");
        command
    }

    fn command(&self, arguments: &[&str]) -> Ran {
        self.eventflux(arguments).output().unwrap().into()
    }

    fn start(&self) -> Child {
        let mut command = self.eventflux(&["run", "app.toml"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn output(&self) -> Vec<u8> {
        fs::read(self.path("out.ndjson")).unwrap_or_default()
    }
}

#[test]
fn killed_and_continued_it_writes_the_same_bytes() {
    let whole = Job::new("whole");
    whole.command(&["run", "app.toml"]).exits(0);
    let reference = whole.output();
    assert!(reference.len() > ROWS * 50, "each event should show in the output");

    let kills_wanted = if std::env::var_os("EVENTFLUX_LONG").is_some() { 100 } else { 10 };
    let (mut kills, mut lives, mut job) = (0, 0, Job::new("killed"));
    while kills < kills_wanted {
        lives += 1;
        assert!(lives < kills_wanted * 20, "the process always ends first");
        // Over the whole run, and from nothing again when it has ended.
        let target = reference.len() as u64 * (kills as u64 % 10 * 10 + 3) / 100;
        let mut child = job.start();
        let until = Instant::now() + PATIENCE;
        while (job.output().len() as u64) < target && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the run makes no progress");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(lives as u64 * 37 % 50));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.signal() == Some(9) {
            kills += 1;
        } else {
            assert_eq!(status.code(), Some(0));
            assert!(job.output() == reference, "the output differs");
        }
        if kills % 10 == 9 || status.code() == Some(0) {
            finish(&job, &reference);
            job = Job::new("killed");
        }
    }
    finish(&job, &reference);
    println!("object store: {kills} kills of the main job, the output the same");
}

fn finish(job: &Job, reference: &[u8]) {
    job.command(&["run", "app.toml"]).exits(0);
    assert!(job.output() == reference, "the output differs");
    job.command(&["verify", &job.storage]).exits(0);
    job.command(&["run", "app.toml"]).exits(0).says(&["the source is finished, nothing was done"]);
    assert!(job.output() == reference);
}

#[test]
fn commands_work_on_a_bucket() {
    let job = Job::new("commands");
    let storage = job.storage.as_str();
    job.command(&["checkpoints", storage]).exits(1).says(&["there is no checkpoint storage here"]);
    job.command(&["savepoint", storage, "early"]).exits(1).says(&["there is no checkpoint storage here"]);
    job.command(&["run", "app.toml"]).exits(0);
    let list = |storage: &str| job.command(&["checkpoints", storage, "--json"]).exits(0).json();
    let before = list(storage);
    assert_eq!(before.as_array().unwrap().len(), 10);
    job.command(&["verify", storage]).exits(0);
    job.command(&["inspect", storage]).exits(0);
    job.command(&["savepoint", storage, "monday"]).exits(0);

    // Into a directory and back into another prefix; the states are the same.
    job.command(&["copy", storage, "file:backup"]).exits(0);
    let other = storage.replace("/commands?", "/other?");
    job.command(&["copy", "file:backup", &other]).exits(0);
    job.command(&["copy", "file:backup", &other]).exits(1).says(&["checkpoints already"]);
    for copy in ["file:backup", &other] {
        job.command(&["verify", copy]).exits(0);
        assert_eq!(list(copy), list(storage), "{copy}");
        let inspect = |storage: &str| job.command(&["inspect", storage, "monday", "--json"]).exits(0).stdout;
        assert_eq!(inspect(copy), inspect(storage), "{copy}");
    }
    job.command(&["prune", &other, "--keep", "1"]).exits(0);
    let (bucket, _) = other.strip_prefix("s3://").unwrap().split_once('/').unwrap();
    let needed = job.command(&["verify", &other, "--json"]).exits(0).json();
    assert_eq!(needed["unneeded"].as_array().map_or(0, Vec::len), 0, "{needed}");
    assert!(server().keys(bucket, "other/").len() < server().keys(bucket, "commands/").len());
    assert_eq!(server().uploads(bucket), [""; 0]);
}

#[test]
fn addresses_that_are_wrong_say_what_to_do() {
    let job = Job::new("wrong");
    let secret = |ran: &Ran| assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("AKIA"), "{}", ran.stderr);
    for (address, code, part) in [
        ("s3://bucket/p?regoin=x", 2, "there is no option `regoin`; the options are region, endpoint"),
        ("s3://AKIA:hunter2@bucket/p", 2, "AWS_ACCESS_KEY_ID"),
        ("s3://bucket/p?secret_access_key=hunter2", 2, "AWS_ACCESS_KEY_ID"),
        ("s3://", 2, "a bucket must follow"),
        ("s3://nobody-made-it/p", 1, "make the bucket"),
        ("s3://b/p?endpoint=http://127.0.0.1:1&retries=0", 1, "no connection"),
        ("s3://b/p?endpoint=http://127.0.0.1:1&allow_http=false", 2, "allow_http=true"),
    ] {
        let ran = job.command(&["checkpoints", address]).exits(code).says(&[part]);
        secret(&ran);
    }
    // Half of the credentials.
    let mut command = job.eventflux(&["checkpoints", &job.storage]);
    let ran = Ran::from(command.env_remove("AWS_ACCESS_KEY_ID").output().unwrap()).exits(2);
    secret(&ran);
}
