//! Tables as the README has them, each between its markers.

use eventflux_benches::with_commas;

use crate::Result;

const END: &str = "<!-- end -->";

/// A table by the name of its marker.
#[derive(Debug)]
pub struct Table {
    /// Name in the marker.
    pub name: &'static str,
    /// Heads of the columns.
    pub head: Vec<String>,
    /// Cells, as many as there are heads.
    pub rows: Vec<Vec<String>>,
    /// Sentences below it.
    pub notes: Vec<String>,
}

/// One row of a table of goals: what, what must be, what is.
#[derive(Debug)]
pub struct Goal {
    /// What was measured.
    pub what: String,
    /// The bound, in words.
    pub must_reach: &'static str,
    /// What came out.
    pub measured: String,
    /// For each measurement, whether it is within the bound.
    pub reached: Vec<bool>,
}

impl Table {
    /// A table without rows.
    pub fn new(name: &'static str, head: &[&str]) -> Self {
        Table { name, head: head.iter().map(ToString::to_string).collect(), rows: Vec::new(), notes: Vec::new() }
    }

    /// A table of goals.
    pub fn of_goals(name: &'static str, goals: &[Goal]) -> Self {
        let mut table = Table::new(name, &["what", "must reach", "measured", "reached"]);
        for goal in goals {
            let reached = match goal.reached.iter().filter(|reached| **reached).count() {
                count if count == goal.reached.len() => "yes".into(),
                0 => "**no**".into(),
                count => format!("**{count} of {}**", goal.reached.len()),
            };
            table.rows.push(vec![goal.what.clone(), goal.must_reach.into(), goal.measured.clone(), reached]);
        }
        table
    }

    /// The text between the markers, and the markers.
    pub fn marked(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("{}\n{}|{}\n", begin(self.name), line(&self.head), "---|".repeat(self.head.len()));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        for note in &self.notes {
            text.push('\n');
            text.push_str(&wrapped(note));
        }
        text + END
    }
}

fn begin(name: &str) -> String {
    format!("<!-- table: {name} -->")
}

/// A text with a table put in the place of what is between its markers.
///
/// # Errors
/// If the text has not both markers.
pub fn replace(text: &str, table: &Table) -> Result<String> {
    let marker = begin(table.name);
    let missing = || format!("the README has no `{marker}` … `{END}`");
    let (before, rest) = text.split_once(&marker).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{}{after}", table.marked()))
}

/// Lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let (mut lines, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 120 {
            lines.push('\n');
            width = 0;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += length;
    }
    lines + "\n"
}

/// What stands for what was not measured.
const NOTHING: &str = "·";

/// Three figures at most, and none after the point that say nothing.
pub fn figures(value: f64) -> String {
    match value {
        value if value.is_nan() => NOTHING.into(),
        value if value >= 99.5 => with_commas(value.round() as u64),
        value if value >= 9.95 => format!("{value:.0}"),
        value if value >= 0.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Seconds in the unit that suits them.
pub fn seconds(value: f64) -> String {
    match value {
        value if value.is_nan() => NOTHING.into(),
        value if value >= 0.9995 => format!("{} s", figures(value)),
        value if value >= 0.9995e-3 => format!("{} ms", figures(value * 1e3)),
        value if value >= 0.9995e-6 => format!("{} µs", figures(value * 1e6)),
        value => format!("{:.0} ns", value * 1e9),
    }
}

/// Hundredths.
pub fn percent(value: f64) -> String {
    if value.is_nan() { NOTHING.into() } else { format!("{value:.1} %") }
}

/// A ratio.
pub fn times(value: f64) -> String {
    if value < 9.995 { format!("{value:.2}×") } else { format!("{}×", figures(value)) }
}

/// Bytes in the unit that suits them.
pub fn bytes(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} MB", figures(value / 1e6)),
        value => format!("{} kB", figures(value / 1e3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_what_is_between_its_markers() {
        let mut table = Table::new("sizes", &["what", "bytes"]);
        table.rows.push(vec!["one".into(), "1".into()]);
        let marked = "<!-- table: sizes -->\n| what | bytes |\n|---|---|\n| one | 1 |\n<!-- end -->";
        let replaced = replace("before <!-- table: sizes --> old <!-- end --> after", &table);
        assert_eq!(replaced.expect("both markers are there"), format!("before {marked} after"));
        assert_eq!(replace(marked, &table).expect("both markers are there"), marked);
        assert!(replace("<!-- table: sizes --> and no more", &table).is_err());
    }
}
