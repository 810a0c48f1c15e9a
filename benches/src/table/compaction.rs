//! The bounds of compaction, as the test of them prints its ratios.

use crate::markdown::Table;
use crate::{Printed, Result, repository};

/// Runs the test, and reads what it prints.
pub fn measure() -> Result<Printed> {
    let mut command = super::compare::cargo();
    command.current_dir(repository()).args(["test", "--quiet", "-p", "eventflux-tests", "--test", "compaction"]);
    let output = command.args(["--", "--nocapture", "--test-threads=1", "uniform", "skewed"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let printed = String::from_utf8(output.stdout)?;
    let [uniform, skewed] = [Ratios::read(&printed, "uniform")?, Ratios::read(&printed, "skewed")?];
    let mut table =
        Table::new("compaction", &["compaction over 10,000 checkpoints", "must reach", "uniform", "skewed", "reached"]);
    let mut row = |what: &str, bound: f64, cells: [String; 2], worst: f64| {
        let reached = if worst <= bound { "yes" } else { "**no**" };
        let [uniform, skewed] = cells;
        table.rows.push(vec![what.into(), format!("≤ {bound}"), uniform, skewed, reached.into()]);
    };
    let written =
        |ratios: &Ratios| format!("{:.2} ({:.2} as stored, with manifests)", ratios.written, ratios.all_bytes);
    let read = |ratios: &Ratios| format!("{:.2}", ratios.read);
    let worst = |ratio: fn(&Ratios) -> f64| ratio(&uniform).max(ratio(&skewed));
    let most = worst(|ratios| ratios.written.max(ratios.all_bytes));
    row("written, × the dirty bytes", 2.0, [&uniform, &skewed].map(written), most);
    row(
        "read by a restore, × the live state, at most",
        2.5,
        [&uniform, &skewed].map(read),
        worst(|ratios| ratios.read),
    );
    Ok(Printed { tables: vec![table], plots: Vec::new() })
}

struct Ratios {
    written: f64,
    all_bytes: f64,
    read: f64,
}

impl Ratios {
    /// Of the line of a workload.
    fn read(printed: &str, workload: &str) -> Result<Self> {
        let missing = || format!("the test of compaction printed no ratios of `{workload}`");
        let line =
            printed.lines().find(|line| line.contains(workload) && line.contains("× dirty")).ok_or_else(missing)?;
        let after = |words: &str| {
            let number = line.rsplit_once(words)?.1.split([' ', ')']).next()?;
            number.parse::<f64>().ok()
        };
        let number = |words| after(words).ok_or_else(missing);
        Ok(Ratios { written: number("written ")?, all_bytes: number("with manifests ")?, read: number("read ")? })
    }
}
