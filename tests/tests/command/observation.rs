//! `eventflux run --metrics`: every metric is there and says what the summary and the storage say,
//! whatever clients do to the server.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::cli::{Ran, ask_to_stop, eventflux};
use crate::common::scrape::{Page, request, scrape};
use serde_json::Value as Json;
use tempfile::TempDir;

/// A run that shows nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const ROWS: usize = 5_000;
const EVERY_EVENTS: usize = 1_000;
/// Parts of a checkpoint that happen once in each.
const PHASES: [&str; 7] = ["cut", "capture", "sync", "encode", "put", "publish", "total"];
const OPERATORS: [&str; 6] =
    ["origin_hourly", "destinations_6h", "rotations", "cancelled_by_hundred", "later_and_later", "carriers"];

/// The flights application over rows that come in when we want, so that it can be looked at in between.
struct Flights {
    directory: TempDir,
}

/// It, running.
struct Running {
    child: Child,
    /// Dropped, the source ends.
    rows: Option<ChildStdin>,
    errors: BufReader<ChildStderr>,
    address: String,
}

/// Rows of January, the first of them their header.
fn january() -> &'static [String] {
    static ROWS_READ: OnceLock<Vec<String>> = OnceLock::new();
    ROWS_READ.get_or_init(|| {
        let file = fs::File::open(examples().join("flights-2013-01.csv.gz")).unwrap();
        let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
        lines.take(ROWS + 1).map(|line| line.unwrap() + "\n").collect()
    })
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights")
}

impl Flights {
    fn new() -> Self {
        let flights = Flights { directory: TempDir::new().unwrap() };
        let mut definition = fs::read_to_string(examples().join("app.toml")).unwrap();
        for (from, to) in [
            ("file = \"flights-2013-01.csv.gz\"", "file = \"-\""),
            // Results from the start, and some events that are late.
            ("watermark_delay = \"24h\"", "watermark_delay = \"0s\""),
            ("every_events = 5000", &format!("every_events = {EVERY_EVENTS}")),
            ("max_retained = 10", "max_retained = 1000"),
        ] {
            assert!(definition.contains(from), "{from}");
            definition = definition.replace(from, to);
        }
        fs::write(flights.path("app.toml"), definition).unwrap();
        flights
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = eventflux();
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    fn ran(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).stdin(Stdio::null()).output().unwrap().into()
    }

    fn start(&self) -> Running {
        let mut command = self.command(&["run", "app.toml", "--json", "--metrics", "0"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let told: Json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(told["loopback"], true);
        let url = told["metrics"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{url}");
        Running { rows: child.stdin.take(), child, errors, address: address.into() }
    }

    fn checkpoints(&self) -> Vec<Json> {
        let list = self.ran(&["checkpoints", "state", "--json"]).exits(0).json();
        list.as_array().unwrap().clone()
    }
}

impl Running {
    fn feed(&mut self, rows: &[String]) {
        let stdin = self.rows.as_mut().unwrap();
        stdin.write_all(rows.concat().as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The first page of which this holds.
    fn page_when(&self, holds: impl Fn(&Page) -> bool) -> Page {
        let until = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < until {
            if let Some(page) = scrape(&self.address) {
                if holds(&page) {
                    return page;
                }
                last = Some(page);
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the run does not come so far: {last:#?}");
    }

    /// The page once so many events are taken, and the checkpoints they make are durable.
    fn page_at(&self, events: usize, checkpoints: usize) -> Page {
        self.page_when(|page| {
            let is_over = |phase: &str| phase_count(page, phase) == checkpoints as f64;
            page.sum("eventflux_events_total") == events as f64
                && page.sum("eventflux_checkpoints_total") == checkpoints as f64
                && is_over("total")
        })
    }

    /// Lets the source end, and gives the summary.
    fn finish(mut self) -> Json {
        drop(self.rows.take());
        let output = self.child.wait_with_output().unwrap();
        let mut stderr = String::new();
        self.errors.read_to_string(&mut stderr).unwrap();
        let ran = Ran { stderr, ..Ran::from(output) }.exits(0);
        assert_eq!(ran.stderr, "");
        assert!(TcpStream::connect(&self.address).is_err(), "it still listens");
        ran.json()
    }
}

fn phase_count(page: &Page, phase: &str) -> f64 {
    let sample = format!("eventflux_checkpoint_duration_seconds_count{{application=\"flights\",phase=\"{phase}\"}}");
    page.samples.get(&sample).copied().unwrap_or(0.0)
}

fn sum(checkpoints: &[Json], field: &str) -> f64 {
    checkpoints.iter().map(|checkpoint| checkpoint[field].as_f64().unwrap()).sum()
}

#[test]
fn every_metric_says_what_summary_and_storage_say() {
    let flights = Flights::new();
    let mut running = flights.start();
    running.feed(&january()[..=ROWS]);
    // The first checkpoint comes before the first event.
    let count = 1 + ROWS / EVERY_EVENTS;
    let page = running.page_at(ROWS, count);

    let checkpoints = flights.checkpoints();
    assert_eq!(checkpoints.len(), count);
    for phase in PHASES {
        assert_eq!(phase_count(&page, phase), count as f64, "{phase}");
        let seconds = page.get("eventflux_checkpoint_duration_seconds_sum", &format!(",phase=\"{phase}\""));
        let total = page.get("eventflux_checkpoint_duration_seconds_sum", ",phase=\"total\"");
        assert!(seconds > 0.0 && seconds <= total, "{phase}: {seconds} of {total} s");
    }
    assert_eq!(phase_count(&page, "prune"), 0.0, "nothing was given up");
    assert_eq!(page.sum("eventflux_checkpoint_stored_bytes_total"), sum(&checkpoints, "stored_bytes"));
    assert_eq!(page.sum("eventflux_checkpoint_raw_bytes_total"), sum(&checkpoints, "raw_bytes"));
    assert_eq!(page.sum("eventflux_checkpoint_dirty_bytes_total"), sum(&checkpoints, "dirty_bytes"));
    for part in ["delta", "base"] {
        let of_part = |name| page.get(name, &format!(",part=\"{part}\""));
        let (raw, stored) =
            (of_part("eventflux_checkpoint_raw_bytes_total"), of_part("eventflux_checkpoint_stored_bytes_total"));
        assert!(0.0 < stored && stored <= raw, "{part}: {stored} of {raw}");
    }
    let dirty = page.sum("eventflux_checkpoint_dirty_entries_total");
    let (deltas, bases) = (sum(&checkpoints, "delta_rows"), sum(&checkpoints, "base_rows"));
    assert!(deltas < dirty, "{deltas} as deltas, and some in bases, of {dirty}");
    assert!(bases > 0.0 && dirty > ROWS as f64 / 10.0, "{dirty}");

    let latest = checkpoints.last().unwrap();
    let created = page.get("eventflux_last_checkpoint_timestamp_seconds", "");
    assert_eq!(created, latest["created_ms"].as_f64().unwrap() / 1000.0);
    let age = page.get("eventflux_last_checkpoint_age_seconds", "");
    let later = running.page_when(|page| page.get("eventflux_last_checkpoint_age_seconds", "") > age);
    assert!(later.get("eventflux_last_checkpoint_age_seconds", "") < 3_600.0);

    // Nothing came since the checkpoint: its states are those in memory.
    let contents = flights.ran(&["inspect", "state", "--json"]).exits(0).json();
    for operator in OPERATORS {
        let label = format!(",state=\"{operator}\"");
        let states = contents["states"].as_array().unwrap();
        let state = states.iter().find(|state| state["name"] == operator).unwrap();
        assert_eq!(page.get("eventflux_state_entries", &label), state["keys"].as_f64().unwrap(), "{operator}");
        assert!(page.get("eventflux_state_size_bytes", &label) > 0.0);
    }
    assert_eq!(page.kinds["eventflux_state_size_bytes"], "gauge");
    for (name, none) in [
        ("eventflux_checkpoint_failures_total", ""),
        ("eventflux_fenced_total", ""),
        ("eventflux_restore_duration_seconds_count", ""),
    ] {
        assert_eq!(page.get(name, none), 0.0, "{name}");
    }
    println!(
        "observation: {} metrics, {} samples, {dirty} dirty entries in {count} checkpoints",
        page.kinds.len(),
        page.samples.len()
    );

    let of_operators = |name: &str| OPERATORS.map(|operator| page.get(name, &format!(",operator=\"{operator}\"")));
    let late = of_operators("eventflux_late_events_total");
    let engine = &contents["checkpoint"];
    assert_eq!(engine["latest"], true);
    for (at, operator) in contents["engine"]["operators"].as_array().unwrap().iter().enumerate() {
        assert_eq!(late[at], operator["late"].as_f64().unwrap(), "{operator}");
        assert_eq!(of_operators("eventflux_results_total")[at], operator["results"].as_f64().unwrap(), "{operator}");
    }
    assert!(late.iter().sum::<f64>() > 0.0 && page.sum("eventflux_results_total") > 0.0);

    let summary = running.finish();
    assert_eq!(summary["events"], ROWS);
    assert_eq!(summary["late"].as_f64().unwrap(), late.iter().sum::<f64>());
    // And the last one, at the end of the source.
    assert_eq!(summary["checkpoints"], count + 1);
    let checkpoints = flights.checkpoints();
    assert_eq!(summary["checkpoint_stored_bytes"].as_f64().unwrap(), sum(&checkpoints, "stored_bytes"));
}

#[test]
fn counters_begin_anew_and_the_restore_is_measured() {
    let flights = Flights::new();
    let half = ROWS / 2;
    let mut running = flights.start();
    running.feed(&january()[..=half]);
    running.page_when(|page| page.sum("eventflux_events_total") == half as f64);
    ask_to_stop(&running.child);
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
    let before = flights.checkpoints();

    let mut running = flights.start();
    running.feed(&january()[..1]);
    let page = running.page_when(|page| page.sum("eventflux_restore_duration_seconds_count") == 1.0);
    assert!(page.sum("eventflux_restore_duration_seconds_sum") > 0.0);
    // Its newest checkpoint is the one it goes on from.
    let created = before.last().unwrap()["created_ms"].as_f64().unwrap();
    assert_eq!(page.get("eventflux_last_checkpoint_timestamp_seconds", ""), created / 1000.0);
    assert_eq!(page.sum("eventflux_checkpoints_total") + page.sum("eventflux_events_total"), 0.0);
    let entries = page.sum("eventflux_state_entries");
    assert!(entries > 100.0, "restored: {entries}");
    running.feed(&january()[half + 1..=ROWS]);
    running.page_when(|page| page.sum("eventflux_events_total") == (ROWS - half) as f64);
    let summary = running.finish();
    assert_eq!((&summary["events"], &summary["events_this_run"]), (&Json::from(ROWS), &Json::from(ROWS - half)));
}

/// What clients do that mean no good, or know no better.
fn molest(address: &str, is_over: &AtomicBool) -> usize {
    let connect = || TcpStream::connect(address).ok();
    let mut kept: Vec<TcpStream> = Vec::new();
    // Half-open: connected, and silent.
    kept.extend((0..40).filter_map(|_| connect()));
    let mut slow = connect();
    let mut round = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        // A byte now and then.
        if let Some(stream) = &mut slow
            && stream.write_all(b"G").is_err()
        {
            slow = connect();
        }
        let mut garbage: Vec<u8> = (0..3_000).map(|at| (at * round * 31 % 251) as u8).collect();
        garbage.push(b'\n');
        let huge = format!("GET /metrics HTTP/1.1\r\nCookie: {}", "x".repeat(1 << 20));
        let many = b"GET /metrics HTTP/1.1\r\n\r\n".repeat(200);
        let answers = [request(address, &garbage), request(address, huge.as_bytes()), request(address, &many)];
        // Each is answered, or hung up on when there are too many.
        for (answer, status) in answers.iter().zip([400, 431, 200]) {
            assert!(answer.as_ref().is_none_or(|answer| answer.status == status), "not {status}: {answer:?}");
        }
        // Gone in the midst; and one that asks and never reads.
        drop(connect().map(|mut stream| stream.write_all(b"GET /met")));
        if let Some(mut stream) = connect() {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
            kept.push(stream);
        }
        if round.is_multiple_of(20) {
            kept.truncate(30);
        }
        thread::sleep(Duration::from_millis(10));
    }
    round
}

#[test]
fn hostile_clients_do_no_harm() {
    let undisturbed = Flights::new();
    let mut running = undisturbed.start();
    running.feed(&january()[..=ROWS]);
    running.finish();

    let flights = Flights::new();
    let mut running = flights.start();
    let address = running.address.clone();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let molesters: Vec<_> = (0..2).map(|_| scope.spawn(|| molest(&address, &is_over))).collect();
        running.feed(&january()[..1]);
        let mut before: Option<Page> = None;
        for (number, rows) in january()[1..=ROWS].chunks(500).enumerate() {
            running.feed(rows);
            let page = running.page_when(|page| page.sum("eventflux_events_total") == (number as f64 + 1.0) * 500.0);
            if let Some(before) = &before {
                page.assert_follows(before);
            }
            before = Some(page);
        }
        // They are still there when it ends.
        let summary = running.finish();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(summary["events"], ROWS);
        let rounds: usize = molesters.into_iter().map(|molester| molester.join().unwrap()).sum();
        assert!(rounds > 0);
        println!("hostile clients: {rounds} rounds of requests");
    });
    let output = |flights: &Flights| fs::read(flights.path("out.ndjson")).unwrap();
    assert!(output(&flights) == output(&undisturbed), "the output differs");
}

#[test]
fn other_requests_are_told_what_to_do() {
    let flights = Flights::new();
    let running = flights.start();
    let get = |text: &str| request(&running.address, text.as_bytes()).unwrap();
    assert_eq!(get("GET /metrics?of=all HTTP/1.0\r\n\r\n").status, 200);
    let answer = get("GET / HTTP/1.1\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (404, "the metrics are at /metrics\n"));
    let answer = get("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("Allow: GET"), "{}", answer.head);
    assert_eq!(get("hello\r\n\r\n").status, 400);
    let mut running = running;
    running.feed(&january()[..2]);
    running.finish();
}

#[test]
fn addresses() {
    let flights = Flights::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for address in [port.clone(), format!(":{port}"), format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        let said = format!("error: --metrics: cannot listen at 127.0.0.1:{port}: ");
        let ran = flights.ran(&["run", "app.toml", "--metrics", &address]).exits(1);
        ran.says(&[&said, "Another program listens there", "name another port, or 0"]);
    }
    assert!(!flights.path("out.ndjson").exists() && !flights.path("state").exists(), "it began all the same");
    let error = flights.ran(&["run", "app.toml", "--metrics", &port, "--json"]).exits(1);
    assert_eq!(serde_json::from_str::<Json>(&error.stderr).unwrap()["exit_code"], 1);
    for wrong in ["", "70000", "example.org:9100", "127.0.0.1"] {
        flights.ran(&["run", "app.toml", "--metrics", wrong]).exits(2).says(&["--metrics"]);
    }
    // Not on loopback: it was told to, and says what that means, also if it is to be quiet.
    flights.ran(&["run", "app.toml", "--metrics", "0.0.0.0:0", "-q"]).says(&["other machines can read them"]);
}
