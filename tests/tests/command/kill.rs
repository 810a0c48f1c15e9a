//! `kill -9` wherever: started again, the command comes to the output it would have had, byte for
//! byte.
//!
//! Moments are found by what the process has done (how much of the output is written), not by time
//! alone, so that they spread over the whole run on any machine under any load.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::cli::{Ran, eventflux};
use eventflux::storage::{Access, FileBackend};
use eventflux::{Manifest, read_head, read_manifest, verify};
use tempfile::TempDir;

/// Kills of each scenario: right after the start, over the run, and during the final checkpoint.
const KILLS_AT_START: usize = 4;
const KILLS_ON_THE_WAY: usize = 20;
const KILLS_AT_THE_END: usize = 5;
/// Kills of a run that goes back to an older checkpoint, of each scenario.
const KILLS_GOING_BACK: usize = 4;
/// How often a moment may be missed, since the process had ended by then.
const MISSES_MAX: usize = 300;
/// How long after the last of the output a process is killed at most.
const DELAY_AT_THE_END_MAX: Duration = Duration::from_millis(3);
/// A run that shows nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Checkpoint intervals, and how many rows of January they are tried on (each is some fsyncs).
const SCENARIOS: [(&str, usize); 7] = [
    ("every_events = 1", 200),
    ("every_events = 10", 1_500),
    ("every_events = 100", 10_000),
    ("every_events = 1000", 27_004),
    ("every_events = 20000", 27_004),
    ("interval = \"25ms\"", 27_004),
    ("interval = \"2ms\"\nevery_events = 300", 8_000),
];

/// Where the kills hit.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Phases {
    /// No checkpoint was published yet.
    before_the_first_checkpoint: usize,
    /// By quarters of the output written.
    quarters: [usize; 4],
    /// All output was written, the final checkpoint not published.
    final_checkpoint: usize,
    /// The final checkpoint was published, the process alive.
    after_it: usize,
    /// A run with `--from` that goes back.
    going_back: usize,
}

struct Scenario {
    interval: &'static str,
    rows: usize,
    /// Directory of the run that is being killed.
    directory: TempDir,
    reference: Vec<u8>,
    /// From the start of the process to its first checkpoint.
    began: Duration,
    random: u64,
    phases: Phases,
    finishes: usize,
}

#[test]
fn killed_anywhere_the_output_is_the_same() {
    let times = if std::env::var_os("EVENTFLUX_LONG").is_some() { 5 } else { 1 };
    let mut total = Phases::default();
    let mut finishes = 0;
    // Built before anything is measured.
    let _ = eventflux();
    thread::scope(|scope| {
        let run = |seed| move || Scenario::new(seed).run(times);
        let threads: Vec<_> = (0..SCENARIOS.len()).map(|seed| scope.spawn(run(seed))).collect();
        for scenario in threads.into_iter().map(|thread| thread.join().unwrap()) {
            total.add(&scenario.phases);
            finishes += scenario.finishes;
        }
    });
    let per_scenario = KILLS_AT_START + KILLS_ON_THE_WAY + KILLS_AT_THE_END + KILLS_GOING_BACK;
    assert_eq!(total.kills(), SCENARIOS.len() * per_scenario * times, "{total:?}");
    assert!(total.kills() >= 200);
    assert!(total.quarters.iter().all(|kills| *kills >= 10 * times), "not over the whole run: {total:?}");
    assert!(total.final_checkpoint >= SCENARIOS.len() * KILLS_AT_THE_END * times, "{total:?}");
    println!(
        "kill: {} of a living process, {} before the first checkpoint, {:?} by quarters of the run, {} in the final \
         checkpoint, {} after it, {} of runs that go back; {finishes} finished runs equal byte for byte",
        total.kills(),
        total.before_the_first_checkpoint,
        total.quarters,
        total.final_checkpoint,
        total.after_it,
        total.going_back,
    );
}

impl Scenario {
    /// Prepares a scenario and runs it once without disturbance.
    fn new(number: usize) -> Self {
        let (interval, rows) = SCENARIOS[number];
        let mut scenario = Scenario {
            interval,
            rows,
            directory: TempDir::new().unwrap(),
            reference: Vec::new(),
            began: Duration::ZERO,
            random: number as u64,
            phases: Phases::default(),
            finishes: 0,
        };
        scenario.renew();
        let started = Instant::now();
        let child = scenario.start();
        wait_for(|| latest(scenario.directory.path()).is_some());
        scenario.began = started.elapsed();
        Ran::from(child.wait_with_output().unwrap()).exits(0);
        scenario.reference = fs::read(scenario.path("out.ndjson")).unwrap();
        assert!(scenario.reference.len() > rows * 50, "each event should show in the output");
        scenario.check_finished();
        scenario
    }

    fn run(mut self, times: usize) -> Self {
        for _ in 0..times {
            self.kill_at_start();
            self.kill_on_the_way();
            self.kill_at_the_end();
            self.kill_going_back();
        }
        self
    }

    /// Within about the time to the first checkpoint, again and again.
    fn kill_at_start(&mut self) {
        let mut hits = 0;
        for _ in 0..MISSES_MAX {
            if hits == KILLS_AT_START {
                return;
            }
            if hits % 2 == 0 {
                self.renew();
            }
            let child = self.start();
            thread::sleep(self.began.mul_f64(self.fraction() * 1.2));
            hits += usize::from(self.kill(child));
        }
        panic!("{}: the process always ends first", self.interval);
    }

    /// At moments in rising order of what is written, each after a start that goes on from the
    /// newest checkpoint.
    fn kill_on_the_way(&mut self) {
        self.renew();
        let (mut hits, mut misses) = (0, 0);
        while hits < KILLS_ON_THE_WAY {
            let stratum = (hits as f64 + self.fraction()) / KILLS_ON_THE_WAY as f64;
            // What the last process wrote beyond its checkpoint is still there.
            let written = self.written();
            let target = ((self.reference.len() as f64 * stratum) as u64).max(written + 1);
            let child = self.start();
            self.wait_until_written(target);
            thread::sleep(Duration::from_micros((self.fraction() * 8_000.0) as u64));
            if self.kill(child) {
                hits += 1;
            } else {
                misses += 1;
                assert!(misses < MISSES_MAX, "{}: the process always ends first", self.interval);
                self.renew();
            }
        }
        self.finish();
    }

    /// All output written, the checkpoint that says so not yet published.
    fn kill_at_the_end(&mut self) {
        self.renew();
        let before = self.phases.final_checkpoint;
        // Close to the end, from where it starts again after each attempt that came too late.
        let child = self.start();
        self.wait_until_written(self.reference.len() as u64 * 8 / 10);
        stop(child);
        let close = files(self.directory.path());
        let mut delay_max = DELAY_AT_THE_END_MAX;
        for _ in 0..MISSES_MAX {
            // Shorter than whole: else the wait would end at once.
            let file = fs::File::options().write(true).open(self.path("out.ndjson")).unwrap();
            file.set_len(recorded_output(self.directory.path())).unwrap();
            let child = self.start();
            self.wait_until_written(self.reference.len() as u64);
            thread::sleep(delay_max.mul_f64(self.fraction()));
            let phases = self.phases.clone();
            self.kill(child);
            if self.phases.final_checkpoint == phases.final_checkpoint {
                // Too late to count: sooner the next time.
                delay_max = delay_max.mul_f64(0.9);
                self.phases = phases;
                write_files(self.directory.path(), &close);
                continue;
            }
            delay_max = DELAY_AT_THE_END_MAX.min(2 * delay_max);
            if self.phases.final_checkpoint == before + KILLS_AT_THE_END {
                self.finish();
                return;
            }
        }
        panic!("{}: no moment within the final checkpoint", self.interval);
    }

    /// The run is finished, and one goes back to an older checkpoint: killed before it has a branch
    /// of its own nothing has changed, killed after that the branch goes on.
    fn kill_going_back(&mut self) {
        for _ in 0..MISSES_MAX {
            let head = read_head(&mut reader(self.directory.path()).unwrap()).unwrap();
            let older = head.entries[self.random as usize % head.entries.len()].object.id;
            // Or to the very start.
            let from = if self.random.is_multiple_of(3) { String::from("none") } else { older.to_string() };
            let child = self.start_from(&["--from", &from]);
            thread::sleep(self.began.mul_f64(self.fraction() * 1.5));
            let phases = self.phases.clone();
            let hit = self.kill(child);
            self.phases = phases;
            self.phases.going_back += usize::from(hit);
            self.finish();
            if self.phases.going_back.is_multiple_of(KILLS_GOING_BACK) && hit {
                return;
            }
        }
        panic!("{}: the process always ends first", self.interval);
    }

    /// Kills; whether the process was alive. If it was not, it must have finished well.
    fn kill(&mut self, mut child: Child) -> bool {
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.signal() == Some(9) {
            self.check_killed();
            return true;
        }
        assert_eq!(status.code(), Some(0), "{}", self.interval);
        self.check_finished();
        false
    }

    /// What the killed process left is whole, and says where it was.
    fn check_killed(&mut self) {
        let output = fs::read(self.path("out.ndjson")).unwrap_or_default();
        let Some(manifest) = latest(self.directory.path()) else {
            self.phases.before_the_first_checkpoint += 1;
            return;
        };
        let report = verify(&mut reader(self.directory.path()).unwrap()).unwrap();
        assert_eq!(report.findings, [], "{}", self.interval);
        let recorded = recorded_output(self.directory.path()) as usize;
        assert_eq!(output[..recorded], self.reference[..recorded], "{}", self.interval);
        if is_finished(&manifest) {
            self.phases.after_it += 1;
        } else if output.len() >= self.reference.len() {
            self.phases.final_checkpoint += 1;
        } else {
            self.phases.quarters[output.len() * 4 / self.reference.len()] += 1;
        }
    }

    /// Lets it come to its end.
    fn finish(&mut self) {
        Ran::from(self.start().wait_with_output().unwrap()).exits(0);
        self.check_finished();
    }

    fn check_finished(&mut self) {
        let output = fs::read(self.path("out.ndjson")).unwrap();
        assert!(output == self.reference, "{}: the output differs", self.interval);
        let whole = files(self.directory.path());
        self.command(&["verify", "state"]).exits(0);
        self.command(&["run", "app.toml"]).exits(0).says(&["the source is finished, nothing was done"]);
        assert!(files(self.directory.path()) == whole, "{}: a run with nothing to do changed files", self.interval);
        self.finishes += 1;
    }

    /// Begins anew in an empty directory.
    fn renew(&mut self) {
        self.directory = TempDir::new().unwrap();
        let flights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights");
        let definition = fs::read_to_string(flights.join("app.toml")).unwrap();
        let replace = |text: String, from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        };
        let definition = replace(definition, "every_events = 5000", self.interval);
        // Results all the time rather than a day later.
        let definition = replace(definition, "watermark_delay = \"24h\"", "watermark_delay = \"1h\"");
        let definition = replace(definition, "aggregate = {", "emit = \"change\"\naggregate = {");
        let definition = replace(definition, "flights-2013-01.csv.gz", "flights.csv");
        fs::write(self.path("app.toml"), definition).unwrap();
        let january = fs::File::open(flights.join("flights-2013-01.csv.gz")).unwrap();
        let lines = BufReader::new(flate2::read::GzDecoder::new(january)).lines().take(self.rows + 1);
        let slice: String = lines.map(|line| line.unwrap() + "\n").collect();
        fs::write(self.path("flights.csv"), slice).unwrap();
    }

    fn start(&self) -> Child {
        self.start_from(&[])
    }

    fn start_from(&self, from: &[&str]) -> Child {
        let mut command = eventflux();
        command.args(["run", "app.toml"]).args(from).current_dir(self.directory.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Ran {
        eventflux().args(arguments).current_dir(self.directory.path()).output().unwrap().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn written(&self) -> u64 {
        fs::metadata(self.path("out.ndjson")).map_or(0, |metadata| metadata.len())
    }

    /// Waits for that much output, or for the final checkpoint where less is to come.
    fn wait_until_written(&self, bytes: u64) {
        let whole = self.reference.len() as u64;
        wait_for(|| self.written() >= bytes.min(whole));
    }

    /// A random number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as f64 / f64::from(u32::MAX >> 1)
    }
}

impl Phases {
    fn kills(&self) -> usize {
        let on_the_way = self.before_the_first_checkpoint + self.quarters.iter().sum::<usize>();
        on_the_way + self.final_checkpoint + self.after_it + self.going_back
    }

    fn add(&mut self, other: &Phases) {
        self.before_the_first_checkpoint += other.before_the_first_checkpoint;
        self.quarters.iter_mut().zip(other.quarters).for_each(|(sum, kills)| *sum += kills);
        self.final_checkpoint += other.final_checkpoint;
        self.after_it += other.after_it;
        self.going_back += other.going_back;
    }
}

#[track_caller]
fn wait_for(mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "the run makes no progress");
        // On a fast disk the last checkpoint follows the last of the output within a fraction of a millisecond.
        thread::sleep(Duration::from_micros(50));
    }
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn reader(directory: &Path) -> Option<FileBackend> {
    FileBackend::open(directory.join("state"), Access::Read).ok()
}

/// The newest checkpoint; `None` if there is none, or none that can be read at this moment.
fn latest(directory: &Path) -> Option<Manifest> {
    let mut backend = reader(directory)?;
    let head = read_head(&mut backend).unwrap();
    let object = head.entry(head.latest?)?.object;
    read_manifest(&mut backend, object).ok()
}

fn is_finished(manifest: &Manifest) -> bool {
    manifest.progress.engine.as_ref().is_some_and(|engine| engine.finished)
}

fn recorded_output(directory: &Path) -> u64 {
    latest(directory).map_or(0, |manifest| manifest.progress.outputs[0].1)
}

/// Every file below a directory.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.append(&mut files(&entry));
        } else {
            found.insert(entry.clone(), fs::read(entry).unwrap());
        }
    }
    found
}

/// Puts the files of a directory back.
fn write_files(directory: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(directory.join("state")).unwrap();
    fs::create_dir_all(directory.join("state/objects")).unwrap();
    files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}
