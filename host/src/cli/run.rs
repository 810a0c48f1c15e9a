//! `eventflux run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::parse_time;
use crate::error::Result;
use crate::{EventFluxManager, RunSummary, Selector, StartFrom};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Definition of the application, a TOML file.
    definition: PathBuf,
    /// Where to begin: a checkpoint's number, label or time (RFC 3339), `latest`, or `none` to
    /// start anew and overwrite the output.
    #[arg(long)]
    from: Option<String>,
    /// Let operators that the checkpoint does not know start empty.
    #[arg(long)]
    allow_missing: bool,
    /// Drop the state of operators that are gone.
    #[arg(long)]
    allow_unknown: bool,
    /// Take the storage over from a writer that still lives.
    #[arg(long)]
    take_over: bool,
    /// Print the summary as JSON to standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let mut runtime = EventFluxManager::new()
        .load(&arguments.definition)?
        .allow_missing(arguments.allow_missing)
        .allow_unknown(arguments.allow_unknown);
    if let Some(from) = &arguments.from {
        runtime = runtime.start_from(start_from(from));
    }
    if arguments.take_over {
        runtime = runtime.take_over();
    }
    // Hidden where standard error is not a terminal.
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let shown = bar.clone();
    let summary = runtime
        .observe(move |progress| {
            shown.set_length(progress.bytes_total.unwrap_or(progress.bytes_read));
            shown.set_position(progress.bytes_read);
            shown.set_message(format!(
                "{} events, {} results, {} checkpoints",
                progress.events, progress.results, progress.checkpoints
            ));
        })
        .start();
    bar.finish_and_clear();
    let summary = summary?;
    if arguments.json {
        super::print_line(&to_json(&summary).to_string())
    } else {
        print(&summary)
    }
    Ok(0)
}

fn start_from(from: &str) -> StartFrom {
    match from {
        "none" => StartFrom::Start,
        "latest" => StartFrom::Checkpoint(Selector::Latest),
        _ => StartFrom::Checkpoint(match (from.parse(), parse_time(from)) {
            (Ok(id), _) => Selector::Id(id),
            (_, Some(time)) => Selector::Time(time),
            _ => Selector::Label(from.into()),
        }),
    }
}

fn print(summary: &RunSummary) {
    if summary.already_finished {
        eprintln!("{}: the source is finished, nothing was done; start anew with --from none", summary.name);
    }
    if let Some(id) = summary.restored_from.filter(|_| !summary.already_finished) {
        eprintln!("went on from   checkpoint {id}");
    }
    eprintln!("events         {} ({} in this run)", summary.events, summary.events_this_run);
    eprintln!("late           {}", summary.late);
    eprintln!("results        {}", summary.results);
    for (name, results, late) in &summary.operators {
        eprintln!("  {name:24} {results:>9} results {late:>7} late");
    }
    let (raw, stored) = (summary.checkpoint_raw_bytes, summary.checkpoint_stored_bytes);
    eprintln!("checkpoints    {} ({raw} bytes raw, {stored} stored)", summary.checkpoints);
    eprintln!("output         {} bytes", summary.output_bytes);
    if summary.elapsed > Duration::ZERO {
        eprintln!("time           {:.2} s", summary.elapsed.as_secs_f64());
    }
}

fn to_json(summary: &RunSummary) -> serde_json::Value {
    let operators: Vec<_> = summary
        .operators
        .iter()
        .map(|(name, results, late)| serde_json::json!({ "name": name, "results": results, "late": late }))
        .collect();
    serde_json::json!({
        "name": summary.name, "already_finished": summary.already_finished, "finished": summary.finished,
        "restored_from": summary.restored_from, "events": summary.events,
        "events_this_run": summary.events_this_run, "late": summary.late, "results": summary.results,
        "operators": operators, "checkpoints": summary.checkpoints,
        "checkpoint_raw_bytes": summary.checkpoint_raw_bytes,
        "checkpoint_stored_bytes": summary.checkpoint_stored_bytes, "output_bytes": summary.output_bytes,
        "latest_checkpoint": summary.latest_checkpoint, "seconds": summary.elapsed.as_secs_f64(),
    })
}
