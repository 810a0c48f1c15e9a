//! Tables, numbers and sizes as people read them.

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width that text is made for, where nobody says how wide it may be.
const WIDTH: usize = 80;
/// Narrower or wider than this, text is not made.
const WIDTHS: RangeInclusive<usize> = 60..=200;
/// Prose is not wider.
const PROSE_WIDTH: usize = 100;

/// Width of the terminal that standard output is, if it is one.
pub(super) fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    terminal.map_or(WIDTH, |(width, _)| usize::from(width.0).clamp(*WIDTHS.start(), *WIDTHS.end()))
}

/// Which way the cells of a column go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Columns as wide as their widest cell, two spaces apart.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a line of titles.
    pub(super) fn new(columns: &[(&str, Align)]) -> Self {
        let titles = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        Table { columns: columns.iter().map(|(_, align)| *align).collect(), rows: vec![titles] }
    }

    /// Two columns without titles: what, and its value.
    pub(super) fn facts() -> Self {
        Table { columns: vec![Align::Left, Align::Left], rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.row([name.to_owned(), value.into()]);
    }

    /// The lines, each ended, and begun with `indent`.
    pub(super) fn to_text(&self, indent: &str) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from(indent);
            for ((cell, align), width) in row.iter().zip(&self.columns).zip(&widths) {
                let space = " ".repeat(width - cell.width());
                match align {
                    Align::Left => line.push_str(&format!("{cell}{space}  ")),
                    Align::Right => line.push_str(&format!("{space}{cell}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// `1,234,567`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 key`, `2,000 keys`.
pub(super) fn count(of: u64, singular: &str) -> String {
    format!("{} {singular}{}", number(of), if of == 1 { "" } else { "s" })
}

/// `1.2 MB`: decimal units, two figures or a whole number.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        // What would round up to 1000 goes to the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// How many times larger the raw bytes are than the stored: `2.2x`.
pub(super) fn ratio(raw: u64, stored: u64) -> String {
    if raw == 0 || stored == 0 { String::from("-") } else { format!("{:.1}x", raw as f64 / stored as f64) }
}

/// `0.33 s`, `2 min 05 s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// The start of a text, so long that it takes at most `width` columns; `…` for what is left out.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut columns = 1;
    let fits = |char: &char| {
        columns += char.width().unwrap_or(0);
        columns <= width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Words in lines no wider than the terminal, each line begun with `indent`.
pub(super) fn wrap(text: &str, indent: &str) -> String {
    let width = width().min(PROSE_WIDTH);
    let mut lines = String::new();
    let mut line = String::from(indent);
    for word in text.split(' ') {
        if line.len() > indent.len() && line.width() + 1 + word.width() > width {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = String::from(indent);
        }
        if line.len() > indent.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1000, 9_949, 9_950, 999_499].map(size),
            ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB"]
        );
        assert_eq!([999_500, 1_234_567, u64::MAX].map(size), ["1.0 MB", "1.2 MB", "18 EB"]);
        assert_eq!((ratio(10, 4), ratio(0, 4)), ("2.5x".into(), "-".into()));
        assert_eq!((count(1, "key"), count(2000, "key")), ("1 key".into(), "2,000 keys".into()));
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn texts_fit() {
        assert_eq!((cut("größer", 6), cut("größer", 4)), ("größer".into(), "grö…".into()));
        assert_eq!((cut("東京都", 6), cut("東京都", 5)), ("東京都".into(), "東京…".into()));
        let mut table = Table::new(&[("id", Align::Right), ("label", Align::Left)]);
        table.row(["7".into(), "é".into()]);
        table.row(["100".into(), String::new()]);
        assert_eq!(table.to_text(" "), "  id  label\n   7  é\n 100\n");
        let mut table = Table::facts();
        table.fact("東京", "1");
        table.fact("Oslo", "2");
        assert_eq!(table.to_text(""), "東京  1\nOslo  2\n");
        assert!(wrap(&"word ".repeat(100), "  ").lines().all(|line| line.len() <= WIDTH && line.starts_with("  word")));
    }
}
