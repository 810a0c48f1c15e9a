//! What we promise against others, and whether it is so.

use crate::compare::{FLOOR, Measurements, OURS};
use crate::markdown::{Goal, figures, percent, seconds, times};

const WINDOWS: [&str; 2] = ["flights, four months, one window", "flights, four months, a window a day"];
const BIDS: [&str; 2] = ["bids, one window", "bids, a window an hour"];
const AGGREGATIONS: [&str; 2] = ["six functions", "count, sum"];
const DELTAS: [&str; 4] =
    ["plain values: 1,000 ", "plain values: 10,000 ", "plain values: 100,000 ", "a day of flights"];
const SIZES: [&str; 4] = ["10,000", "100,000", "1,000,000", "10,000,000"];
/// The store at this size is what others are compared at.
const MILLION: &str = ", 1,000,000 keys";

/// All goals, in the order of the table.
pub fn goals(all: &Measurements) -> Vec<Goal> {
    let mut goals = vec![
        saved(
            all,
            "window buffers, flights: one window; a window a day by key",
            "≥ 94 % saved",
            94.0,
            "windows",
            &WINDOWS,
        ),
        saved(all, "window buffers, bids: one window; a window an hour by key", "≥ 91 % saved", 91.0, "windows", &BIDS),
        saved(all, "partial matches", "≥ 92 % saved", 92.0, "patterns", &[""]),
        saved(all, "aggregations: six functions; without stddev", "≥ 93 % saved", 93.0, "aggregations", &AGGREGATIONS),
        pace(all, "encode, one core: flights, bids as above", "≥ 600 MB/s", 600.0, "enc MB/s"),
        pace(all, "restore to live state, two cores: the same", "≥ 2 GB/s", 2000.0, "res MB/s"),
    ];
    let keys = all.get("plain", "", OURS, "keys/s");
    goals.push(Goal {
        what: "restore of plain values from memory".into(),
        must_reach: "≥ 5 M keys/s",
        measured: format!("{} M keys/s", figures(keys)),
        reached: vec![keys >= 5.0],
    });
    goals.extend([durable_part(all), against_fastest(all), growth(all), delta_size(all)]);
    goals.extend(updates(all));
    let (ours, (rival, fastest)) =
        (all.get("load", "", OURS, "all in memory"), all.fastest("load", "", "", "all in memory"));
    goals.push(Goal {
        what: "1 M keys from disk to usable state".into(),
        must_reach: "≥ 2× faster than the fastest",
        measured: faster(ours, rival, fastest),
        reached: vec![fastest >= 2.0 * ours],
    });
    goals
}

fn saved(all: &Measurements, what: &str, must_reach: &'static str, least: f64, workload: &str, cases: &[&str]) -> Goal {
    let values: Vec<f64> = cases.iter().map(|case| all.get(workload, case, OURS, "saved")).collect();
    let texts: Vec<String> = values.iter().map(|value| percent(*value)).collect();
    Goal {
        what: what.into(),
        must_reach,
        measured: texts.join("; "),
        reached: values.iter().map(|value| *value >= least).collect(),
    }
}

fn pace(all: &Measurements, what: &str, must_reach: &'static str, least: f64, metric: &str) -> Goal {
    let values: Vec<f64> = WINDOWS.iter().chain(&BIDS).map(|case| all.get("windows", case, OURS, metric)).collect();
    let texts: Vec<String> = values.iter().map(|value| figures(*value)).collect();
    let bitcode = all.get("windows", WINDOWS[0], "bitcode", metric);
    Goal {
        what: what.into(),
        must_reach,
        measured: format!("{} MB/s (bitcode + LZ4: {} for the first)", texts.join(", "), figures(bitcode)),
        reached: values.iter().map(|value| *value >= least).collect(),
    }
}

fn durable_part(all: &Measurements) -> Goal {
    let ours = all.get("delta", "", &format!("{OURS}{MILLION}"), "durable part");
    let floor = all.get("delta", "", FLOOR, "durable part");
    Goal {
        what: "10,000 of 1 M keys changed: the durable part, over write + fsync + rename + fsync of as many bytes"
            .into(),
        must_reach: "≤ 2×",
        measured: format!("{} ({} over {})", times(ours / floor), seconds(ours), seconds(floor)),
        reached: vec![ours <= 2.0 * floor],
    }
}

fn against_fastest(all: &Measurements) -> Goal {
    const METRIC: &str = "changes + durable";
    let ours = all.get("delta", "", &format!("{OURS}{MILLION}"), METRIC);
    let (rival, fastest) = all.fastest("delta", "", MILLION, METRIC);
    Goal {
        what: "the same, changes and durable".into(),
        must_reach: "≥ 4× faster than the fastest",
        measured: faster(ours, rival.trim_end_matches(MILLION), fastest),
        reached: vec![fastest >= 4.0 * ours],
    }
}

fn growth(all: &Measurements) -> Goal {
    let time = |keys: &&str| all.get("delta", "", &format!("{OURS}, {keys} keys"), "durable part");
    let values: Vec<f64> = SIZES.iter().map(time).collect();
    let (least, most) =
        (values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(0.0, f64::max));
    let texts: Vec<String> = values.iter().map(|value| seconds(*value)).collect();
    Goal {
        what: "the durable part with 10 k, 100 k, 1 M, 10 M keys, 10,000 changed".into(),
        must_reach: "within 1.3×",
        measured: format!("{}: within {}", texts.join(", "), times(most / least)),
        reached: vec![most <= 1.3 * least && !values.iter().any(|value| value.is_nan())],
    }
}

fn delta_size(all: &Measurements) -> Goal {
    const METRIC: &str = "of the information";
    let values: Vec<f64> = DELTAS.iter().map(|case| all.get("delta-size", case, OURS, METRIC) / 100.0).collect();
    let sections: Vec<f64> =
        DELTAS.iter().map(|case| all.get("delta-size", case, "sections in it", METRIC) / 100.0).collect();
    let list = |values: &[f64]| values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(", ");
    Goal {
        what: "size of a delta over what is in it: 1,000, 10,000, 100,000 of 1 M keys; a day of flights".into(),
        must_reach: "≤ 1.05×",
        measured: format!("{}× (its sections alone: {})", list(&values), list(&sections)),
        reached: values.iter().map(|value| *value <= 1.05).collect(),
    }
}

fn updates(all: &Measurements) -> [Goal; 3] {
    let get = |who: &str, metric| all.get("updates", "", who, metric);
    let (ours, without) = (get(OURS, "total"), get("without checkpoints", "total"));
    let (rival, fastest) = all.fastest("updates", "", "", "total");
    let (stop, most) = (get(OURS, "longest turn"), get(OURS, "p99.9 turn"));
    let (calm, rival_stop) = all.fastest("updates", "", "", "longest turn");
    [
        Goal {
            what: "1 M updates over 1 M keys, durable every 100 k, over the same without checkpoints".into(),
            must_reach: "≤ 2×",
            measured: format!("{} ({} over {})", times(ours / without), seconds(ours), seconds(without)),
            reached: vec![ours <= 2.0 * without],
        },
        Goal {
            what: "the same against others".into(),
            must_reach: "≥ 10× faster than the fastest",
            measured: faster(ours, rival, fastest),
            reached: vec![fastest >= 10.0 * ours],
        },
        Goal {
            what: "longest stop in that run".into(),
            must_reach: "≤ 200 µs",
            measured: format!(
                "{} (p99.9 {}), {} if it never waits; {calm}: {}; hashbrown in memory: {}",
                seconds(stop),
                seconds(most),
                seconds(get("EventFlux, never waits", "longest turn")),
                seconds(rival_stop),
                seconds(get(FLOOR, "longest turn"))
            ),
            reached: vec![stop <= 200e-6],
        },
    ]
}

fn faster(ours: f64, rival: &str, fastest: f64) -> String {
    format!("{} ({}; {rival}: {})", times(fastest / ours), seconds(ours), seconds(fastest))
}
