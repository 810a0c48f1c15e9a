//! What the tables were measured on, as the machine itself tells.

use std::fs;

/// Processor, cores, memory and system.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let memory = kilobytes.and_then(|text| text.parse::<f64>().ok()).map(|kilobytes| kilobytes / 1_048_576.0);
    let memory = memory.map_or(String::new(), |memory| format!("{memory:.0} GiB, "));
    format!("{model}, {cores} cores, {memory}{}", std::env::consts::OS)
}

/// How many wanted a core in the last minute.
pub fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").into()
}

/// The machine, and how busy it was: more than there are cores makes times those of a crowd.
pub fn caption(before: &str) -> String {
    format!("Measured on {}; load {before} before, {} after.", machine(), load())
}
