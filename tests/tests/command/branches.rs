//! Going to a checkpoint of a finished run while a branch is the newest: the output is that checkpoint's, or it says so.
//! A run beside another one. Checkpoints as a program configures them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use eventflux::definition::{
    ApplicationDefinition, CheckpointDefinition, Compression, OperatorDefinition, SinkDefinition, SourceDefinition,
};
use eventflux::storage::{Access, FileBackend};
use eventflux::{CheckpointConfig, CheckpointManager, Error, EventFluxManager, ManagerConfig, Runtime, StartFrom};
use eventflux_core::{Retention, Selector, StateHolder};

fn definition() -> ApplicationDefinition {
    ApplicationDefinition::new("cities", SourceDefinition::file("in.csv").timestamp("at"))
        .sink(SinkDefinition::file("out.ndjson"))
        .operator(OperatorDefinition::aggregation("visits").key(["city"]).compute("n", "count").unwrap())
}

fn runtime(directory: &std::path::Path) -> Runtime {
    let config =
        CheckpointConfig { storage: Some("file:state".into()), every_events: Some(2), ..CheckpointConfig::default() };
    let manager = EventFluxManager::new().with_base_directory(directory);
    manager.create_runtime(definition()).unwrap().with_checkpoint_config(config)
}

/// What is given takes the place of what the definition says, interval or events that of both; all else stays.
#[test]
fn what_a_configuration_replaces() {
    let defined = || CheckpointDefinition {
        storage: "file:defined".into(),
        interval_ms: Some(7),
        every_events: Some(8),
        compression: Compression::None,
        max_retained: 9,
    };
    let given = CheckpointConfig::default;
    let (interval, shortest) = (Some(Duration::from_millis(2345)), Some(Duration::ZERO));
    for (config, expected) in [
        (given(), defined()),
        (
            CheckpointConfig { interval, ..given() },
            CheckpointDefinition { interval_ms: Some(2345), every_events: None, ..defined() },
        ),
        (
            CheckpointConfig { interval: shortest, ..given() },
            CheckpointDefinition { interval_ms: Some(1), every_events: None, ..defined() },
        ),
        (
            CheckpointConfig { every_events: Some(5), ..given() },
            CheckpointDefinition { interval_ms: None, every_events: Some(5), ..defined() },
        ),
        (
            CheckpointConfig { interval, every_events: Some(5), ..given() },
            CheckpointDefinition { interval_ms: Some(2345), every_events: Some(5), ..defined() },
        ),
        (
            CheckpointConfig { compression: Some(Compression::Lz4), ..given() },
            CheckpointDefinition { compression: Compression::Lz4, ..defined() },
        ),
        (CheckpointConfig { max_retained: Some(3), ..given() }, CheckpointDefinition { max_retained: 3, ..defined() }),
        (
            CheckpointConfig { storage: Some("file:given".into()), ..given() },
            CheckpointDefinition { storage: "file:given".into(), ..defined() },
        ),
    ] {
        let runtime = EventFluxManager::new().create_runtime(definition().checkpoint(defined())).unwrap();
        let configured = runtime.with_checkpoint_config(config.clone());
        assert_eq!(configured.definition().checkpoint, expected, "{config:?}");
    }
}

#[test]
fn back_to_the_end_from_a_branch() {
    let directory = tempfile::tempdir().unwrap();
    let rows: String = (0..9).map(|number| format!("{}000,city {}\n", number + 1, number % 3)).collect();
    std::fs::write(directory.path().join("in.csv"), format!("at,city\n{rows}")).unwrap();
    let output = || std::fs::read_to_string(directory.path().join("out.ndjson")).unwrap();
    let finished = runtime(directory.path()).start().unwrap();
    let whole = output();
    let end = finished.latest_checkpoint.unwrap();

    // A branch that is stopped at its beginning: the output is cut.
    let branch = runtime(directory.path()).restore_from_checkpoint(end - 2).unwrap();
    branch.stop_handle().stop();
    assert!(!branch.start().unwrap().finished);
    assert_eq!(output(), "");

    // Of the output of that end nothing is left, which is no success.
    let from = || StartFrom::Checkpoint(Selector::Id(end));
    let error = runtime(directory.path()).start_from(from()).start().unwrap_err();
    assert!(error.to_string().contains("put the file back"), "{error}");
    std::fs::write(directory.path().join("out.ndjson"), format!("{whole}more")).unwrap();
    let summary = runtime(directory.path()).start_from(from()).start().unwrap();
    assert_eq!((summary.finished, summary.events, summary.events_this_run), (true, 9, 0));
    assert_eq!(output(), whole);
    // Now that end is where a run goes on, and there is nothing to do.
    assert!(runtime(directory.path()).start().unwrap().already_finished);
    assert_eq!(output(), whole);
}

/// What the first one's retention deletes while the second looks where to begin is no damage.
#[test]
fn a_second_run_is_told_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.csv"), "at,city\n1000,Oslo\n").unwrap();
    let storage = FileBackend::open(directory.path().join("state"), Access::Write).unwrap();
    let config = ManagerConfig { retention: Retention { max_retained: 1 }, ..ManagerConfig::default() };
    let mut first = CheckpointManager::open(storage, config).unwrap();
    let mut holder = StateHolder::builder("cities").build().unwrap();
    first.checkpoint(&mut holder, None).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // All of it anew, so that the checkpoint before is needed no more.
                let mut holder = StateHolder::builder("cities").build().unwrap();
                first.checkpoint(&mut holder, None).unwrap();
            }
        });
        for _ in 0..300 {
            let outcome = runtime(directory.path()).start();
            if !matches!(outcome, Err(Error::Locked { .. })) {
                is_over.store(true, Ordering::Relaxed);
                panic!("{outcome:?}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// The end of a source that was cut while it was read is not the end of its events.
#[test]
fn a_source_that_is_cut_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let rows: String = (0..200_000).map(|number| format!("{number},city {}\n", number % 3)).collect();
    let (path, whole) = (directory.path().join("in.csv"), format!("at,city\n{rows}"));
    std::fs::write(&path, &whole).unwrap();
    let every = CheckpointConfig { every_events: Some(50_000), ..CheckpointConfig::default() };
    let cut = path.clone();
    let first = runtime(directory.path()).with_checkpoint_config(every.clone()).observe(move |_| {
        std::fs::File::options().write(true).open(&cut).unwrap().set_len(1000).unwrap();
    });
    let error = first.start().unwrap_err();
    assert!(error.to_string().contains("it was cut or replaced while it was read"), "{error}");
    std::fs::write(&path, &whole).unwrap();
    let summary = runtime(directory.path()).with_checkpoint_config(every).start().unwrap();
    assert_eq!((summary.finished, summary.events), (true, 200_000));
}
