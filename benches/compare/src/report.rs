//! What was measured: printed as aligned tables, and written as JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub use eventflux_benches::with_commas;
use serde_json::json;

/// Who we are in the tables.
pub const OURS: &str = "EventFlux";
/// Who the machine is.
pub const FLOOR: &str = "floor";

/// What the numbers of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; with ratios.
    Seconds,
    /// Bytes; with ratios.
    Bytes,
    /// Hundredths.
    Percent,
    /// 10⁶ bytes a second.
    MegabytesPerSecond,
    /// 10⁶ a second.
    MillionsPerSecond,
    /// A number of things.
    Count,
}

/// Measurements of one thing, in the order they came.
#[derive(Debug, Clone)]
pub struct Samples(Vec<f64>);

/// One column of a row.
#[derive(Debug, Clone)]
pub struct Cell {
    metric: &'static str,
    unit: Unit,
    samples: Samples,
}

/// What one of the compared did.
#[derive(Debug, Clone)]
pub struct Row {
    who: String,
    cells: Vec<Cell>,
}

/// Prints tables, and writes what is in them as JSON lines if asked to.
#[derive(Debug)]
pub struct Report {
    json: Option<BufWriter<File>>,
    workload: &'static str,
}

impl Samples {
    /// Of so many measurements.
    pub fn new(samples: Vec<f64>) -> Self {
        Samples(samples)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => sorted[len / 2],
            len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
        }
    }

    /// The one that a share of them, 0 to 1, does not exceed.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn map(&self, change: impl Fn(f64) -> f64) -> Samples {
        Samples(self.0.iter().map(|sample| change(*sample)).collect())
    }
}

impl From<f64> for Samples {
    fn from(sample: f64) -> Self {
        Samples(vec![sample])
    }
}

impl From<usize> for Samples {
    fn from(sample: usize) -> Self {
        Samples(vec![sample as f64])
    }
}

impl Row {
    /// A row without cells.
    pub fn new(who: impl Into<String>) -> Self {
        Row { who: who.into(), cells: Vec::new() }
    }

    /// Adds a cell.
    pub fn cell(mut self, metric: &'static str, unit: Unit, samples: impl Into<Samples>) -> Self {
        self.cells.push(Cell { metric, unit, samples: samples.into() });
        self
    }

    /// Adds times, and how fast `bytes` went by in them.
    pub fn throughput(self, metric: &'static str, rate: &'static str, bytes: usize, seconds: Samples) -> Self {
        let rates = seconds.map(|seconds| bytes as f64 / seconds / 1e6);
        self.cell(metric, Unit::Seconds, seconds).cell(rate, Unit::MegabytesPerSecond, rates)
    }

    /// Adds times, and how many things a second that is.
    pub fn pace(self, metric: &'static str, rate: &'static str, count: usize, seconds: Samples) -> Self {
        let rates = seconds.map(|seconds| count as f64 / seconds / 1e6);
        self.cell(metric, Unit::Seconds, seconds).cell(rate, Unit::MillionsPerSecond, rates)
    }

    fn find(&self, metric: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.metric == metric)
    }
}

impl Report {
    /// A report; `json` is the file that gets the measurements as JSON lines.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(json: Option<&Path>) -> std::io::Result<Self> {
        let json = json.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Report { json, workload: "" })
    }

    /// Begins a workload.
    pub fn workload(&mut self, name: &'static str, what: &str) {
        self.workload = name;
        println!("\n## {name}: {what}");
    }

    /// Says something that is no measurement.
    pub fn note(&self, text: &str) {
        println!("   {text}");
    }

    /// Prints a table and writes its measurements.
    ///
    /// Ratios are to the row of [`OURS`] and to that of [`FLOOR`], of medians.
    pub fn table(&mut self, case: &str, rows: &[Row]) {
        let ours = rows.iter().find(|row| row.who.starts_with(OURS));
        let floor = rows.iter().find(|row| row.who.starts_with(FLOOR));
        let columns = columns(rows, floor);
        let mut lines: Vec<Vec<String>> =
            vec![std::iter::once(String::new()).chain(columns.iter().map(Column::head)).collect()];
        for row in rows {
            let cells = columns.iter().map(|column| column.text(row, ours, floor));
            lines.push(std::iter::once(row.who.clone()).chain(cells).collect());
        }
        println!("\n### {case}\n");
        print_aligned(&lines);
        for row in rows {
            self.write_json(case, row, ours, floor);
        }
    }

    /// Writes what was measured on: the machine, the file system, and the load before and after.
    pub fn machine(&mut self, machine: &str, files: &str, [before, after]: [&str; 2]) {
        let Some(json) = &mut self.json else { return };
        let line = json!({ "machine": machine, "files": files, "load_before": before, "load_after": after });
        writeln!(json, "{line}").expect("the file of measurements can be written");
        json.flush().expect("the file of measurements can be written");
    }

    fn write_json(&mut self, case: &str, row: &Row, ours: Option<&Row>, floor: Option<&Row>) {
        let Some(json) = &mut self.json else { return };
        for cell in &row.cells {
            let ratio = |other: Option<&Row>| other.and_then(|other| ratio(cell, other));
            let line = json!({
                "workload": self.workload, "case": case, "who": row.who, "metric": cell.metric, "unit": cell.unit.name(),
                "median": cell.samples.median(), "min": cell.samples.min(), "max": cell.samples.max(),
                "rounds": cell.samples.0.len(), "to_ours": ratio(ours), "to_floor": ratio(floor),
            });
            writeln!(json, "{line}").expect("the file of measurements can be written");
        }
        json.flush().expect("the file of measurements can be written");
    }
}

#[derive(Debug, Clone, Copy)]
enum Column {
    Value(&'static str),
    Spread(&'static str),
    ToOurs(&'static str),
    ToFloor(&'static str),
}

impl Column {
    fn head(&self) -> String {
        match self {
            Column::Value(metric) => (*metric).into(),
            Column::Spread(_) => "min–max".into(),
            Column::ToOurs(_) => "× us".into(),
            Column::ToFloor(_) => "× floor".into(),
        }
    }

    fn text(&self, row: &Row, ours: Option<&Row>, floor: Option<&Row>) -> String {
        let to = |metric, other: Option<&Row>| {
            let ratio = row.find(metric).zip(other).and_then(|(cell, other)| ratio(cell, other));
            ratio.map(|ratio| if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") })
        };
        let text = match *self {
            Column::Value(metric) => row.find(metric).map(|cell| cell.unit.text(cell.samples.median())),
            Column::Spread(metric) => row
                .find(metric)
                .filter(|cell| cell.samples.0.len() > 1)
                .map(|cell| format!("{}–{}", cell.unit.text(cell.samples.min()), cell.unit.text(cell.samples.max()))),
            Column::ToOurs(metric) => to(metric, ours),
            Column::ToFloor(metric) => to(metric, floor),
        };
        text.unwrap_or_else(|| "·".into())
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "bytes",
            Unit::Percent => "%",
            Unit::MegabytesPerSecond => "MB/s",
            Unit::MillionsPerSecond => "M/s",
            Unit::Count => "",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Unit::Seconds if value >= 1.0 => format!("{value:.2} s"),
            Unit::Seconds if value >= 0.1 => format!("{:.0} ms", value * 1e3),
            Unit::Seconds if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
            Unit::Seconds => format!("{:.1} µs", value * 1e6),
            Unit::MegabytesPerSecond if value < 10.0 => format!("{value:.1}"),
            Unit::Bytes | Unit::Count | Unit::MegabytesPerSecond => with_commas(value.round() as u64),
            Unit::Percent => format!("{value:.1} %"),
            Unit::MillionsPerSecond => format!("{value:.2} M"),
        }
    }
}

/// The columns that the cells of the rows need, in the order in which the metrics first come.
fn columns(rows: &[Row], floor: Option<&Row>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for cell in rows.iter().flat_map(|row| &row.cells) {
        let metric = cell.metric;
        if seen.contains(&metric) {
            continue;
        }
        seen.push(metric);
        columns.push(Column::Value(metric));
        let is_repeated = |row: &Row| row.find(metric).is_some_and(|cell| cell.samples.0.len() > 1);
        if cell.unit == Unit::Seconds && rows.iter().any(is_repeated) {
            columns.push(Column::Spread(metric));
        }
        if matches!(cell.unit, Unit::Seconds | Unit::Bytes) {
            columns.push(Column::ToOurs(metric));
            if floor.is_some_and(|floor| floor.find(metric).is_some()) {
                columns.push(Column::ToFloor(metric));
            }
        }
    }
    columns
}

fn ratio(cell: &Cell, other: &Row) -> Option<f64> {
    let other = other.find(cell.metric).filter(|other| other.unit == cell.unit)?.samples.median();
    (other > 0.0).then(|| cell.samples.median() / other)
}

fn print_aligned(lines: &[Vec<String>]) {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        let mut text = format!("  {:<1$}", line[0], widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        println!("{}", text.trim_end());
        if number == 0 {
            println!("  {}", "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
        }
    }
}
