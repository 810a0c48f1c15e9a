//! The pictures of the README.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::Result;
use crate::chart::{Area, Bar, Bars, FAINT, GRID, HIGHLIGHT, INK, OTHERS, REFERENCE, picture, text};
use crate::compare::{FLOOR, MEASURE, Measurements, OURS, STATES, STORES};
use crate::markdown::{figures, seconds};
use crate::pause::Pause;

const WIDTH: u32 = 960;
const LABELS: i32 = 172;

/// Bytes by codec: flights, bids, patterns, aggregations.
pub fn size(all: &Measurements) -> Result<String> {
    let mut panels: Vec<Bars> = Vec::new();
    for (workload, case, name) in &STATES[..4] {
        let mut bars: Vec<Bar> = Vec::new();
        for (who, saved) in all.of(workload, case, "saved").filter(|(who, _)| *who != MEASURE) {
            let value = 100.0 - saved;
            bars.push(Bar { label: who.into(), value, text: format!("{value:.1} %"), color: color(who) });
        }
        bars.sort_by(|one, other| one.value.total_cmp(&other.value));
        let title = title(name);
        panels.push(Bars { title, subtitle: "bytes left, of rows of bincode 1; less is better".into(), bars });
    }
    grid(&panels)
}

/// Speed of restores: codecs, and stores.
pub fn restore(all: &Measurements) -> Result<String> {
    let mut panels: Vec<Bars> = Vec::new();
    for (workload, case, name) in &STATES[..2] {
        let mut bars: Vec<Bar> = Vec::new();
        for (who, rate) in all.of(workload, case, "res MB/s").filter(|(who, _)| !who.starts_with(FLOOR)) {
            bars.push(Bar {
                label: who.into(),
                value: rate,
                text: format!("{:.2} GB/s", rate / 1000.0),
                color: color(who),
            });
        }
        bars.sort_by(|one, other| other.value.total_cmp(&one.value));
        let subtitle = "restore to live state, bytes of bincode 1 rows; more is better";
        panels.push(Bars { title: title(name), subtitle: subtitle.into(), bars });
    }
    let mut loads: Vec<Bar> = Vec::new();
    for store in STORES {
        let value = all.get("load", "", store, "all in memory");
        loads.push(Bar { label: store.into(), value, text: seconds(value), color: color(store) });
    }
    loads.sort_by(|one, other| one.value.total_cmp(&other.value));
    let title = "1 M keys from disk".into();
    panels.push(Bars { title, subtitle: "until all of it can be used in memory; less is better".into(), bars: loads });
    let mut plain: Vec<Bar> = Vec::new();
    for (who, pace) in all.of("plain", "", "keys/s").filter(|(who, _)| !who.starts_with(FLOOR)) {
        let label =
            who.trim_end_matches(" → hashbrown").replace("hashbrown, from a list in memory", "no codec: from a list");
        plain.push(Bar { label, value: pace, text: format!("{} M/s", figures(pace)), color: color(who) });
    }
    plain.sort_by(|one, other| other.value.total_cmp(&one.value));
    let title = "1 M plain values from memory".into();
    panels.push(Bars {
        title,
        subtitle: "keys a second; others fill a hashbrown map; more is better".into(),
        bars: plain,
    });
    grid(&panels)
}

fn title(name: &str) -> String {
    match name {
        "flights" => "Windows of flights",
        "bids" => "Windows of Nexmark bids",
        "patterns" => "Partial matches of patterns",
        _ => "Aggregations of six functions",
    }
    .into()
}

fn color(who: &str) -> RGBColor {
    match who {
        OURS => HIGHLIGHT,
        who if who == MEASURE || who.starts_with("hashbrown") => REFERENCE,
        _ => OTHERS,
    }
}

/// Panels in two columns.
fn grid(panels: &[Bars]) -> Result<String> {
    let heights: Vec<u32> = panels
        .chunks(2)
        .map(|row| row.iter().map(|panel| Bars::height(panel.bars.len())).max().unwrap_or_default())
        .collect();
    picture(WIDTH, heights.iter().sum::<u32>() + 8, |area| {
        let mut top = 4;
        for (row, height) in panels.chunks(2).zip(&heights) {
            for (at, panel) in row.iter().enumerate() {
                let place = (at as i32 * WIDTH as i32 / 2, top as i32);
                panel.draw(&area.clone().shrink(place, (WIDTH / 2, *height)), LABELS)?;
            }
            top += height;
        }
        Ok(())
    })
}

/// A line of the plot of pauses.
struct Line {
    name: &'static str,
    color: RGBColor,
    value: fn(&Pause) -> f64,
}

const LINES: [Line; 4] = [
    Line { name: "longest turn of the loop", color: RGBColor(0xf5, 0x9e, 0x0b), value: |pause| pause.longest },
    Line { name: "p99.9 turn of the loop", color: HIGHLIGHT, value: |pause| pause.most },
    Line { name: "begin, later ones", color: RGBColor(0x1d, 0x4e, 0xd8), value: |pause| pause.begin_later },
    Line { name: "begin, the first", color: RGBColor(0x60, 0xa5, 0xfa), value: |pause| pause.begin_first },
];

/// The frame of the plot of pauses: left, top, right, bottom.
const FRAME: (i32, i32, i32, i32) = (78, 64, 756, 400);
/// Decades of the scale: 10 ns to 100 ms.
const DECADES: (i32, i32) = (-8, -1);

/// Pause over size of state; both scales are logarithmic.
pub fn pause(pauses: &[Pause]) -> Result<String> {
    picture(WIDTH, 460, |area| {
        let (left, _, right, bottom) = FRAME;
        crate::chart::bold(area, "Pause of a checkpoint, all keys dirty", 17, (16, 20), HPos::Left)?;
        let subtitle = "time that the program stands still, over the number of keys; both scales logarithmic";
        text(area, subtitle, 13, FAINT, (16, 42), HPos::Left)?;
        for decade in DECADES.0..=DECADES.1 {
            let y = y_of(10_f64.powi(decade));
            area.draw(&PathElement::new(vec![(left, y), (right, y)], GRID))?;
            text(area, &scale(decade), 13, FAINT, (left - 8, y), HPos::Right)?;
        }
        for (at, pause) in pauses.iter().enumerate() {
            text(area, &short(pause.keys), 13, FAINT, (x_of(at, pauses.len()), bottom + 18), HPos::Center)?;
        }
        text(area, "keys", 13, FAINT, (i32::midpoint(left, right), bottom + 40), HPos::Center)?;
        bound(area, 200e-6, "bound of p99.9: 200 µs")?;
        bound(area, 5e-6, "bound of begin: 5 µs")?;
        let mut label_y = i32::MIN;
        for line in &LINES {
            let point = |(at, pause)| (x_of(at, pauses.len()), y_of((line.value)(pause)));
            let points: Vec<(i32, i32)> = pauses.iter().enumerate().map(point).collect();
            area.draw(&PathElement::new(points.clone(), line.color.stroke_width(3)))?;
            for point in &points {
                area.draw(&Circle::new(*point, 5, line.color.filled()))?;
            }
            let (x, y) = points.last().copied().unwrap_or_default();
            // The lines come from top to bottom; labels keep apart.
            label_y = y.max(label_y.saturating_add(38));
            let last = pauses.last().map_or(String::new(), |last| {
                format!("{} with {} keys", seconds((line.value)(last)), short(last.keys))
            });
            text(area, line.name, 13, INK, (x + 24, label_y - 8), HPos::Left)?;
            text(area, &last, 12, FAINT, (x + 24, label_y + 8), HPos::Left)?;
        }
        Ok(())
    })
}

fn bound(area: &Area<'_>, value: f64, words: &str) -> Result<()> {
    let (left, _, right, _) = FRAME;
    let y = y_of(value);
    for x in (left..right).step_by(10) {
        area.draw(&PathElement::new(vec![(x, y), ((x + 5).min(right), y)], FAINT))?;
    }
    text(area, words, 12, FAINT, (left + 6, y - 9), HPos::Left)
}

/// `10 k`, `1 M`.
fn short(keys: u64) -> String {
    match keys {
        keys if keys >= 1_000_000 => format!("{} M", keys / 1_000_000),
        keys => format!("{} k", keys / 1_000),
    }
}

fn x_of(at: usize, count: usize) -> i32 {
    let (left, _, right, _) = FRAME;
    left + 40 + (right - left - 60) * at as i32 / (count as i32 - 1).max(1)
}

fn y_of(value: f64) -> i32 {
    let (_, top, _, bottom) = FRAME;
    let share = (value.log10() - f64::from(DECADES.0)) / f64::from(DECADES.1 - DECADES.0);
    bottom - (share.clamp(0.0, 1.0) * f64::from(bottom - top)) as i32
}

fn scale(decade: i32) -> String {
    match decade {
        -8 => "10 ns".into(),
        -7 => "100 ns".into(),
        -6 => "1 µs".into(),
        -5 => "10 µs".into(),
        -4 => "100 µs".into(),
        -3 => "1 ms".into(),
        -2 => "10 ms".into(),
        _ => "100 ms".into(),
    }
}
