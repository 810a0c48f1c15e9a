//! The metrics of a program with a recorder of its own.

use crate::common::scrape::Page;
use crate::common::storage::Shared;
use eventflux::storage::{Fault, FaultBackend, Operation};
use eventflux::{
    Backend, CheckpointManager, Engine, Event, ManagerConfig, Progress, Retention, Selector, StateHolder, definition,
    observe,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Runs a test with a recorder of its own, on this thread.
fn recorded(test: impl FnOnce(&dyn Fn() -> Page)) {
    let recorder = PrometheusBuilder::new().set_buckets(&observe::DURATION_BUCKETS).unwrap().build_recorder();
    let handle: PrometheusHandle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        observe::describe();
        test(&|| {
            observe::refresh();
            Page::parse(&handle.render())
        });
    });
}

fn manager(storage: &Shared, max_retained: u32) -> CheckpointManager<FaultBackend<Shared>> {
    let config = ManagerConfig { retention: Retention { max_retained }, ..ManagerConfig::default() };
    CheckpointManager::open(FaultBackend::new(storage.clone()), config).unwrap()
}

#[test]
fn what_fails_is_counted_and_what_is_durable() {
    recorded(|page| {
        let storage = Shared::default();
        let mut first = manager(&storage, 2);
        let mut holder = StateHolder::builder("counted").build().unwrap();
        let get = |name: &str, labels: &str| {
            let sample = format!("{name}{{application=\"counted\"{labels}}}");
            page().samples.get(&sample).copied().unwrap_or(0.0)
        };
        let count = |name: &str| get(name, "") as u64;
        let phase =
            |name: &str| get("eventflux_checkpoint_duration_seconds_count", &format!(",phase=\"{name}\"")) as u64;
        for number in 0..10_u64 {
            holder.set(number.to_be_bytes(), &number).unwrap();
        }
        first.checkpoint(&mut holder, None).unwrap();
        assert_eq!(count("eventflux_checkpoint_dirty_entries_total"), 10);
        assert_eq!(count("eventflux_state_entries"), 0, "plain values are the state without a name");
        assert_eq!(get("eventflux_state_entries", ",state=\"\""), 10.0);
        assert_eq!(get("eventflux_state_size_bytes", ",state=\"\"") as usize, holder.size_bytes());

        holder.set(3_u64.to_be_bytes(), &0_u64).unwrap();
        holder.remove(4_u64.to_be_bytes()).unwrap();
        first.backend_mut().arm_on(&[Operation::Put], 0, Fault::Fails);
        first.checkpoint(&mut holder, None).unwrap_err();
        assert_eq!(count("eventflux_checkpoints_total"), 1);
        assert_eq!(count("eventflux_checkpoint_failures_total"), 1);
        assert_eq!(count("eventflux_checkpoint_dirty_entries_total"), 10, "they are still to be written");
        // An answer that is lost is no failure.
        first.backend_mut().arm_on(&[Operation::SwapHead], 0, Fault::FailsAfter);
        first.checkpoint(&mut holder, None).unwrap();
        assert_eq!(count("eventflux_checkpoint_dirty_entries_total"), 12);
        assert_eq!(count("eventflux_checkpoint_failures_total"), 1);
        assert_eq!((phase("encode"), phase("put"), phase("publish"), phase("total")), (3, 3, 2, 2));

        let latest = first.latest().unwrap().created_ms as f64 / 1000.0;
        assert_eq!(get("eventflux_last_checkpoint_timestamp_seconds", ""), latest);
        first.savepoint(&Selector::Latest, "kept").unwrap();
        assert_eq!(count("eventflux_checkpoints_total"), 3);
        assert_eq!(get("eventflux_last_checkpoint_timestamp_seconds", ""), latest, "it holds what that one held");

        for number in 0..40_u64 {
            holder.set((number % 10).to_be_bytes(), &number).unwrap();
            first.checkpoint(&mut holder, None).unwrap();
        }
        assert!(phase("prune") > 0);
        let entries = storage.clone().read_head().unwrap();
        let mut second = manager(&storage, 2);
        holder.set("more", &1).unwrap();
        first.checkpoint(&mut holder, None).unwrap_err();
        assert_ne!(storage.clone().read_head().unwrap(), entries);
        assert_eq!(count("eventflux_fenced_total"), 1);
        assert_eq!(count("eventflux_checkpoint_failures_total"), 2);
        assert_eq!(count("eventflux_checkpoints_total"), 43);

        let mut restored = StateHolder::builder("counted").build().unwrap();
        second.restore_latest(&mut restored).unwrap();
        assert_eq!(count("eventflux_restore_duration_seconds_count"), 1);
        let stored: u64 = ["delta", "base", "manifest"]
            .map(|part| get("eventflux_checkpoint_stored_bytes_total", &format!(",part=\"{part}\"")) as u64)
            .iter()
            .sum();
        let kept: u64 = second.list().iter().map(|entry| entry.object_bytes).sum();
        assert!(kept < stored, "{kept} kept of {stored} written");
    });
}

#[test]
fn applications_are_told_apart() {
    recorded(|page| {
        for (name, checkpoints) in [("one", 2), ("other \"quoted\"", 5)] {
            let mut manager = manager(&Shared::default(), 3);
            let definition =
                definition::ApplicationDefinition::new(name, definition::SourceDefinition::file("-").timestamp("at"))
                    .operator(
                        definition::OperatorDefinition::aggregation("totals")
                            .key(["at"])
                            .compute("n", "count")
                            .unwrap(),
                    );
            let mut engine = Engine::new(&definition, &["at"]).unwrap();
            for number in 0..checkpoints {
                engine.handle_event(Event::new(number, vec![number.into()])).unwrap();
                manager.checkpoint_engine(&mut engine, None, Progress::default()).unwrap();
            }
        }
        let page = page();
        let of = |name: &str, application: &str| page.samples[&format!("{name}{{application=\"{application}\"}}")];
        assert_eq!(of("eventflux_checkpoints_total", "one"), 2.0);
        assert_eq!(of("eventflux_checkpoints_total", "other \\\"quoted\\\""), 5.0);
        let entries = "eventflux_state_entries{application=\"one\",state=\"totals\"}";
        assert_eq!(page.samples[entries], 2.0);
        assert!(of("eventflux_last_checkpoint_age_seconds", "one") < 600.0);
    });
}
