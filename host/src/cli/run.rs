//! `eventflux run`.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use eventflux_core::Selector;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::failure::{Failure, is_of_head};
use super::metrics::{parse_address, serve};
use super::selector::{no_time, parse_start};
use super::signals::{keep_ignored, set_handler};
use super::table::{Align, Table, count, duration, number, ratio, size};
use super::text::shell_quoted;
use super::{Outcome, print_error};
use crate::error::Error;
use crate::manager::read_head;
use crate::storage::{Access, StorageAddress};
use crate::{EventFluxManager, OperatorSummary, RunProgress, RunSummary, Runtime, StartFrom, StopHandle};

/// Exit code of a run that was asked to stop, whatever the signal.
const INTERRUPTED: u8 = 130;
/// A bar where the size of the source is known.
const BAR: &str = "{bar:8} {wide_msg}";
/// And where it is not.
const SPINNER: &str = "{spinner} {wide_msg}";
/// How long a run must have lasted before its speed means anything.
const RATE_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Definition of the application, a TOML file.
    #[arg(value_name = "APP.toml")]
    definition: PathBuf,
    /// Where to start: a checkpoint by its number, label or time (RFC 3339, or @MILLISECONDS),
    /// `latest`, or `none` to start anew and overwrite the output. Default: the newest
    /// checkpoint, or the start of the source if there is none.
    #[arg(long, value_name = "CHECKPOINT", value_parser = parse_start)]
    from: Option<StartFrom>,
    /// Let operators that are not in the checkpoint start empty.
    #[arg(long)]
    allow_missing: bool,
    /// Drop the state of operators that are no longer in the definition.
    #[arg(long)]
    allow_unknown: bool,
    /// Take over storage and output from a run that may still be alive. Its next checkpoint is refused; the output
    /// continues in a copy that replaces the old file.
    #[arg(long)]
    take_over: bool,
    /// Serve metrics for Prometheus while it runs, at http://ADDRESS/metrics. A bare port listens on
    /// 127.0.0.1, which only this machine reaches; 0 takes any free port.
    #[arg(long, value_name = "[IP:]PORT", value_parser = parse_address)]
    metrics: Option<SocketAddr>,
    /// Print neither progress nor summary.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments, json: bool) -> Result<Outcome, Failure> {
    // Before there is another thread.
    keep_ignored();
    let mut runtime = EventFluxManager::new()
        .load(&arguments.definition)
        .map_err(|error| Failure::usage(error.to_string()))?
        .allow_missing(arguments.allow_missing)
        .allow_unknown(arguments.allow_unknown);
    let from = arguments.from.clone().unwrap_or_default();
    runtime = runtime.start_from(from.clone());
    if arguments.take_over {
        runtime = runtime.take_over();
    }
    let storage = storage_of(&runtime, &arguments.definition);
    let sink = sink_of(&runtime, &arguments.definition);
    let mut progress = Progress::new(&runtime, arguments.quiet);
    let bar = progress.bar.clone();
    stop_on_signal(runtime.stop_handle());
    let outcome = {
        // Served until the run has ended.
        let _metrics = arguments.metrics.map(|address| serve(address, arguments.quiet, json)).transpose()?;
        runtime.observe(move |now| progress.show(now)).start()
    };
    bar.finish_and_clear();
    let summary = outcome.map_err(|error| explain(error, &from, storage.as_ref()))?;
    let exit_code = match (summary.finished, summary.detached.is_empty()) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => INTERRUPTED,
    };
    let text = match (arguments.quiet, json) {
        (true, _) => return Ok(Outcome { exit_code, ..Outcome::default() }),
        (false, true) => format!("{}\n", to_json(&summary)),
        (false, false) => to_text(&summary, &arguments.definition, storage.as_ref(), sink.as_deref()),
    };
    if json && sink.is_some() {
        return Ok(Outcome { text, exit_code });
    }
    print_error(&text);
    Ok(Outcome { exit_code, ..Outcome::default() })
}

/// The first Ctrl-C, or request to terminate, ends the run with a last checkpoint; the second at once, as does one that
/// comes before the source is open, such as while the first line of standard input is waited for. One that was ignored
/// when the run began does nothing.
fn stop_on_signal(stop: StopHandle) {
    let handler = move || {
        if stop.is_stopped() || !stop.has_begun() {
            std::process::exit(INTERRUPTED.into());
        }
        stop.stop();
    };
    if let Err(error) = set_handler(handler) {
        tracing::warn!(%error, "Ctrl-C will end the run without a last checkpoint; started again it goes on all the same");
    }
}

/// The storage of the application, unless it is gone with the process.
fn storage_of(runtime: &Runtime, definition: &Path) -> Option<StorageAddress> {
    let base = definition.parent().unwrap_or(Path::new(""));
    let address = StorageAddress::parse(&runtime.definition().checkpoint.storage, base).ok();
    address.filter(|address| *address != StorageAddress::Memory)
}

/// The output file; `None` for standard output.
fn sink_of(runtime: &Runtime, definition: &Path) -> Option<PathBuf> {
    let file = &runtime.definition().sink.file;
    (file != "-").then(|| definition.parent().unwrap_or(Path::new("")).join(file))
}

/// Says what can be done, where that takes knowing how the run was started.
fn explain(error: Error, from: &StartFrom, storage: Option<&StorageAddress>) -> Failure {
    if let (
        Error::Core(eventflux_core::Error::NoSuchCheckpoint { .. }),
        StartFrom::Checkpoint(Selector::Time(time)),
        Some(storage),
    ) = (&error, from, storage)
        && let Some(head) = storage.open(Access::Read).ok().and_then(|mut backend| read_head(&mut backend).ok())
    {
        return no_time(*time, &head).into();
    }
    let back_to = match &error {
        Error::CheckpointDamaged { newest_whole: Some(id), .. } => {
            format!("To go back to it: eventflux run APP.toml --from {id}\n")
        }
        _ => String::new(),
    };
    let is_of_head = is_of_head(&error);
    let failure = Failure::from(error);
    match storage {
        // Of a head there is no more to see.
        Some(storage) if failure.is_damage() && !is_of_head => {
            failure.with_advice(&format!("{back_to}To see all that is damaged: eventflux verify {}", quoted(storage)))
        }
        _ => failure,
    }
}

/// The bar, or nothing where nobody would see it.
struct Progress {
    bar: ProgressBar,
    /// Time and events of the first report: a restart begins with the events of the runs before.
    first: Option<(Instant, u64)>,
}

impl Progress {
    fn new(runtime: &Runtime, quiet: bool) -> Self {
        let results_on_terminal = runtime.definition().sink.file == "-" && io::stdout().is_terminal();
        let shown = io::stderr().is_terminal() && !quiet && !results_on_terminal;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(SPINNER));
        Progress { bar, first: None }
    }

    fn show(&mut self, now: &RunProgress) {
        if self.bar.is_hidden() {
            return;
        }
        let mut message = String::new();
        match now.bytes_total {
            Some(total) => {
                if self.bar.length() != Some(total) {
                    self.bar.set_style(style(BAR));
                    self.bar.set_length(total);
                }
                self.bar.set_position(now.bytes_read);
                message = format!("{}/{}  ", size(now.bytes_read), size(total));
            }
            None => self.bar.tick(),
        }
        let (since, before) = *self.first.get_or_insert_with(|| (Instant::now(), now.events));
        message.push_str(&count(now.events, "event"));
        if since.elapsed() >= RATE_AFTER {
            let per_second = (now.events - before) as f64 / since.elapsed().as_secs_f64();
            message.push_str(&format!(", {}/s", number(per_second as u64)));
        }
        let (results, checkpoints) = (count(now.results, "result"), count(now.checkpoints, "checkpoint"));
        message.push_str(&format!("  {results}  {checkpoints}"));
        self.bar.set_message(message);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn to_text(summary: &RunSummary, definition: &Path, storage: Option<&StorageAddress>, sink: Option<&Path>) -> String {
    let mut text = String::new();
    let mut facts = Table::facts();
    if summary.already_finished {
        let definition = shell_quoted(&definition.display().to_string());
        text.push_str(&format!(
            "{}: the source is finished, nothing was done.\nTo start anew and overwrite the output:\n  \
             eventflux run {definition} --from none\n\n",
            summary.name
        ));
    } else {
        facts.fact("application", summary.name.clone());
        let from = summary.restored_from.map(|id| format!("checkpoint {id}"));
        facts.fact("began at", from.unwrap_or_else(|| String::from("the start of the source")));
    }
    if !summary.finished {
        facts.fact("stopped", String::from("before the end of the source; started again, it goes on"));
    }
    if !summary.detached.is_empty() {
        let names = summary.detached.join(", ");
        facts.fact(
            "went on without",
            format!("{names}: the plugin failed; to repeat what it missed: --from a checkpoint before"),
        );
    }
    let this_run = summary.events_this_run;
    let part = if this_run == summary.events { String::new() } else { format!(" ({} in this run)", number(this_run)) };
    facts.fact("events", format!("{}{part}", number(summary.events)));
    facts.fact("late", number(summary.late));
    facts.fact("results", number(summary.results));
    if !summary.already_finished {
        let (raw, stored) = (summary.checkpoint_raw_bytes, summary.checkpoint_stored_bytes);
        facts.fact(
            "checkpoints",
            format!(
                "{} ({} raw, {} stored, ratio {})",
                summary.checkpoints,
                size(raw),
                size(stored),
                ratio(raw, stored)
            ),
        );
    }
    let sink = sink.map_or_else(|| String::from("to standard output"), |path| format!("in {}", path.display()));
    facts.fact("output", format!("{} {sink}", size(summary.output_bytes)));
    if !summary.already_finished {
        let per_second = this_run as f64 / summary.elapsed.as_secs_f64().max(1e-6);
        facts.fact("time", format!("{}, {} events/s", duration(summary.elapsed), number(per_second as u64)));
    }
    text.push_str(&facts.to_text(""));
    let mut operators = Table::new(&[("operator", Align::Left), ("results", Align::Right), ("late", Align::Right)]);
    for OperatorSummary { name, results, late } in &summary.operators {
        operators.row([name.clone(), number(*results), number(*late)]);
    }
    text.push('\n');
    text.push_str(&operators.to_text(""));
    if let Some(storage) = storage {
        text.push_str(&format!("\nTo see the checkpoints: eventflux checkpoints {}\n", quoted(storage)));
    }
    text
}

fn quoted(storage: &StorageAddress) -> String {
    shell_quoted(&storage.to_string())
}

fn to_json(summary: &RunSummary) -> serde_json::Value {
    let operator = |OperatorSummary { name, results, late }: &OperatorSummary| json!({ "name": name, "results": results, "late": late });
    json!({
        "name": summary.name, "already_finished": summary.already_finished, "finished": summary.finished,
        "restored_from": summary.restored_from, "events": summary.events,
        "events_this_run": summary.events_this_run, "late": summary.late, "results": summary.results,
        "operators": summary.operators.iter().map(operator).collect::<Vec<_>>(),
        "detached": summary.detached, "checkpoints": summary.checkpoints, "checkpoint_raw_bytes": summary.checkpoint_raw_bytes,
        "checkpoint_stored_bytes": summary.checkpoint_stored_bytes, "output_bytes": summary.output_bytes,
        "latest_checkpoint": summary.latest_checkpoint, "seconds": summary.elapsed.as_secs_f64(),
    })
}
