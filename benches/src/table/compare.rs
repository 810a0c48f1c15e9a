//! Us against others, as `benches/compare` measures it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::markdown::{Table, bytes, figures, percent, seconds};
use crate::{Printed, Result, goals, plots, repository};

/// Who we are in the measurements.
pub const OURS: &str = "EventFlux";
/// Who the machine is.
pub const FLOOR: &str = "floor";
/// What all bytes are measured against: no codec to win against.
pub const MEASURE: &str = "bincode 1 rows";
/// The stores by their names, ours first.
pub const STORES: [&str; 7] =
    [OURS, "RocksDB, synced log", "RocksDB, Checkpoint", "fjall", "redb", "SQLite", "full snapshot"];
/// The cases of codecs: workload, how the case begins, and its name in tables and plots.
pub const STATES: [(&str, &str, &str); 5] = [
    ("windows", "flights, four months, one window", "flights"),
    ("windows", "bids, one window", "bids"),
    ("patterns", "three departures", "patterns"),
    ("aggregations", "six functions", "aggregations"),
    ("aggregations", "count, sum", "without stddev"),
];

/// One line of the file of measurements.
#[derive(Debug, Deserialize)]
struct Measurement {
    workload: String,
    case: String,
    who: String,
    metric: String,
    median: f64,
}

/// What a whole run was measured on.
#[derive(Debug, Deserialize)]
struct Run {
    machine: String,
    files: String,
    load_before: String,
    load_after: String,
}

/// All that was measured.
#[derive(Debug)]
pub struct Measurements {
    list: Vec<Measurement>,
    run: Option<Run>,
}

/// Measures, or reads what was measured before.
pub fn measure(from: Option<&Path>) -> Result<Printed> {
    let package = repository().join("benches/compare");
    let file = package.join("target/measurements.json");
    if from.is_none() {
        fs::create_dir_all(package.join("target"))?;
        let mut command = cargo();
        command
            .args(["run", "--release", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .args(["--", "--json"])
            .arg(&file);
        // Its own tables are how far it is.
        if !command.stdout(Stdio::from(std::io::stderr())).status()?.success() {
            return Err("benches/compare failed: see above".into());
        }
    }
    let measurements = Measurements::read(&fs::read_to_string(from.unwrap_or(&file))?)?;
    let mut targets = Table::of_goals("targets", &goals::goals(&measurements));
    targets.notes.push(measurements.caption());
    let tables = vec![targets, codecs(&measurements), stores(&measurements)];
    let plots = vec![("size.svg", plots::size(&measurements)?), ("restore.svg", plots::restore(&measurements)?)];
    Ok(Printed { tables, plots })
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Measurements {
    fn read(text: &str) -> Result<Self> {
        let mut measurements = Measurements { list: Vec::new(), run: None };
        for line in text.lines() {
            if line.contains("\"metric\":") {
                measurements.list.push(serde_json::from_str(line)?);
            } else {
                measurements.run = Some(serde_json::from_str(line)?);
            }
        }
        Ok(measurements)
    }

    /// The middle of what was measured; `case` and `who` are how those begin. Not a number if it was not.
    pub fn get(&self, workload: &str, case: &str, who: &str, metric: &str) -> f64 {
        let mut found = self.of(workload, case, metric).filter(|(name, _)| name.starts_with(who));
        found.next().map_or(f64::NAN, |(_, median)| median)
    }

    /// All that was measured of a metric: who, and the middle.
    pub fn of(&self, workload: &str, case: &str, metric: &str) -> impl Iterator<Item = (&str, f64)> {
        let is_asked =
            move |one: &&Measurement| one.workload == workload && one.case.starts_with(case) && one.metric == metric;
        self.list.iter().filter(is_asked).map(|one| (one.who.as_str(), one.median))
    }

    /// The fastest of the others.
    pub fn fastest(&self, workload: &str, case: &str, keys: &str, metric: &str) -> (&str, f64) {
        let rivals = self.of(workload, case, metric).filter(|(who, _)| {
            STORES[1..].iter().any(|store| who.starts_with(store)) && (keys.is_empty() || who.ends_with(keys))
        });
        rivals.min_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or(("nobody", f64::NAN))
    }

    fn caption(&self) -> String {
        match &self.run {
            Some(run) => format!(
                "Measured on {}; files on {}; load {} before, {} after. Middle of several rounds in which all take turns.",
                run.machine, run.files, run.load_before, run.load_after
            ),
            None => "The run did not end, or did not say what it was measured on.".into(),
        }
    }
}

/// A column of a comparison: head, values by row, how they are written, and whether more is better.
struct Column<'a> {
    head: String,
    values: Vec<f64>,
    text: &'a dyn Fn(f64) -> String,
    more_is_better: bool,
}

fn codecs(measurements: &Measurements) -> Table {
    let (workload, case, _) = STATES[0];
    let whole: Vec<&str> = measurements.of(workload, case, "bytes").map(|(who, _)| who).collect();
    let mut columns = Vec::new();
    for (workload, case, name) in STATES {
        let values = whole.iter().map(|who| measurements.get(workload, case, who, "saved")).collect();
        columns.push(Column { head: format!("{name} saved"), values, text: &percent, more_is_better: true });
    }
    for (metric, word) in [("enc MB/s", "encode"), ("res MB/s", "restore")] {
        for (workload, case, name) in &STATES[..2] {
            let values = whole.iter().map(|who| measurements.get(workload, case, who, metric)).collect();
            let head = format!("{name} {word}, MB/s");
            columns.push(Column { head, values, text: &figures, more_is_better: true });
        }
    }
    comparison("codecs", "", &whole, &columns)
}

fn stores(measurements: &Measurements) -> Table {
    let mut names = STORES.to_vec();
    names.push(FLOOR);
    let column = |head: &str, workload, case: &str, keys: &str, metric, text| {
        let who = |name: &&str| if *name == FLOOR { (*name).to_owned() } else { format!("{name}{keys}") };
        let values = names.iter().map(|name| measurements.get(workload, case, &who(name), metric)).collect();
        Column { head: head.into(), values, text, more_is_better: false }
    };
    const KEYS: &str = ", 1,000,000 keys";
    let columns = [
        column("10,000 of 1 M keys changed and durable", "delta", "10,000", KEYS, "changes + durable", &seconds),
        column("the durable part", "delta", "10,000", KEYS, "durable part", &seconds),
        column("written for it", "delta", "10,000", KEYS, "written", &bytes),
        column("1 M updates, durable each 100 k", "updates", "", "", "total", &seconds),
        column("longest turn", "updates", "", "", "longest turn", &seconds),
        column("load 1 M keys", "load", "", "", "all in memory", &seconds),
        column("files", "load", "", "", "files", &bytes),
    ];
    comparison("stores", "", &names, &columns)
}

/// A table with the best of each column in bold, and where that is not us said below.
fn comparison(name: &'static str, first: &str, whole: &[&str], columns: &[Column<'_>]) -> Table {
    let heads: Vec<&str> = std::iter::once(first).chain(columns.iter().map(|column| column.head.as_str())).collect();
    let mut table = Table::new(name, &heads);
    let competes = |who: &str| who != MEASURE && !who.starts_with(FLOOR);
    let mut rows: Vec<Vec<String>> = whole.iter().map(|who| vec![(*who).to_owned()]).collect();
    if let Some(ours) = whole.iter().position(|who| *who == OURS) {
        rows[ours][0] = format!("**{OURS}**");
    }
    let mut losses = Vec::new();
    for column in columns {
        let better = |one: f64, other: f64| if column.more_is_better { one > other } else { one < other };
        let mut best: Option<usize> = None;
        for (at, value) in
            column.values.iter().enumerate().filter(|(at, value)| competes(whole[*at]) && !value.is_nan())
        {
            if best.is_none_or(|best| better(*value, column.values[best])) {
                best = Some(at);
            }
        }
        for (at, value) in column.values.iter().enumerate() {
            let text = (column.text)(*value);
            rows[at].push(if best == Some(at) { format!("**{text}**") } else { text });
        }
        if let Some(best) = best.filter(|best| whole[*best] != OURS) {
            losses.push(format!("{} ({})", column.head, whole[best]));
        }
    }
    table.rows = rows;
    table.notes.push(if losses.is_empty() {
        "Best of each column in bold: always us.".into()
    } else {
        format!("Best of each column in bold. Others are ahead in: {}.", losses.join("; "))
    });
    table
}
