//! Spans of `tracing`: each checkpoint with its parts in their order, on whichever thread they are;
//! opening, restoring, pruning. In a process of its own: the threads of a run tell the subscriber of the whole process,
//! which would hear of the runs of other tests too.

mod common {
    pub mod cli;
    pub mod recorded;
}

use crate::common::cli::{App, ROWS};
use crate::common::recorded::{Recorded, Span};
use eventflux::storage::{Access, Fault, FaultBackend, FileBackend};
use eventflux::{
    CheckpointManager, Engine, Event, EventFluxManager, ManagerConfig, MemoryBackend, Progress, Retention, Selector,
    StartFrom, StateHolder, read_head,
};
use tracing::Level;

/// The parts below a span, in the order in which they were opened.
fn parts<'a>(spans: &'a [Span], of: &Span) -> Vec<&'a Span> {
    // Numbers of spans are given out again once they have closed.
    let within = |span: &&Span| span.parent == Some(of.id) && span.opened > of.opened && span.closed < of.closed;
    spans.iter().filter(within).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name && span.parent.is_none()).collect()
}

fn number(span: &Span, field: &str) -> u64 {
    span.fields.get(field).unwrap_or_else(|| panic!("no {field}: {span:?}")).parse().unwrap()
}

/// Its own threads tell the subscriber of the whole process, which is why no other test here uses that.
#[test]
fn a_run_tells_of_each_checkpoint_over_its_threads() {
    let recorded = Recorded::default();
    tracing::subscriber::set_global_default(recorded.subscriber()).unwrap();
    let app = App::new();
    let every = 5;
    app.redefine("every_events = 10", &format!("every_events = {every}\nmax_retained = 6"));
    let runtime = EventFluxManager::new().load(app.path("app.toml")).unwrap();
    let summary = runtime.start().unwrap();
    let spans = recorded.spans();
    let checkpoints = named(&spans, "checkpoint");
    assert_eq!(checkpoints.len() as u64, summary.checkpoints);
    assert_eq!(checkpoints.len(), 2 + ROWS / every);
    for (id, checkpoint) in checkpoints.iter().enumerate() {
        assert_eq!((checkpoint.level, checkpoint.fields["application"].as_str()), (Level::INFO, "small"));
        assert_eq!(number(checkpoint, "id"), id as u64);
        let parts = parts(&spans, checkpoint);
        let names: Vec<_> = parts.iter().map(|part| part.name).collect();
        let mut expected = vec!["cut", "capture", "sync", "encode", "put", "publish"];
        // What is too many is deleted, unless the newest still need all of it.
        if names.contains(&"prune") {
            assert!(id >= 6, "{names:?}");
            expected.push("prune");
        }
        assert_eq!(names, expected, "checkpoint {id}");
        assert!(parts.windows(2).all(|pair| pair[0].closed < pair[1].opened), "one after the other: {parts:?}");
        assert!(parts.iter().all(|part| part.level == Level::DEBUG && part.entered > 0), "{parts:?}");
        assert_eq!(number(parts[4], "bytes"), number(checkpoint, "stored_bytes"));
        assert!(parts[4].fields["object"].starts_with(&format!("checkpoint-{id:010}-g1")), "{:?}", parts[4]);
    }
    assert!(spans.iter().any(|span| span.name == "prune"));
    let of_all = |field| checkpoints.iter().map(|checkpoint| number(checkpoint, field)).sum::<u64>();
    assert_eq!(of_all("stored_bytes"), summary.checkpoint_stored_bytes);
    assert_eq!(of_all("raw_bytes"), summary.checkpoint_raw_bytes);
    let head = read_head(&mut FileBackend::open(app.path("state"), Access::Read).unwrap()).unwrap();
    for entry in &head.entries {
        let checkpoint = checkpoints[entry.object.id as usize];
        assert_eq!(checkpoint.fields["kind"], entry.kind());
        assert_eq!(number(checkpoint, "dirty_bytes"), entry.sizes.dirty);
    }
    assert_eq!(number(named(&spans, "open")[0], "generation"), 1);

    // Back to an older point.
    let older = head.entries[0].object.id;
    let runtime = EventFluxManager::new().load(app.path("app.toml")).unwrap();
    runtime.start_from(StartFrom::Checkpoint(Selector::Id(older))).start().unwrap();
    let spans = recorded.spans();
    let restores = named(&spans, "restore");
    assert_eq!(restores.len(), 1);
    assert_eq!((number(restores[0], "id"), restores[0].fields["application"].as_str()), (older, "small"));
    assert_eq!(number(restores[0], "raw_bytes"), head.entries[0].sizes.restore_raw);
    assert_eq!(number(named(&spans, "open")[1], "generation"), 2);
}

#[test]
fn a_manager_tells_of_what_it_does() {
    let recorded = Recorded::default();
    let _set = tracing::subscriber::set_default(recorded.subscriber());
    let config = ManagerConfig { retention: Retention { max_retained: 100 }, ..ManagerConfig::default() };
    let mut manager = CheckpointManager::open(FaultBackend::new(MemoryBackend::new()), config).unwrap();
    let mut holder = StateHolder::builder("orders").build().unwrap();
    for number in 0..4_u32 {
        holder.set("key", &number).unwrap();
        manager.checkpoint(&mut holder, (number == 2).then_some("kept")).unwrap();
    }
    let objects = eventflux::Backend::list(manager.backend_mut()).unwrap().len();
    let deleted = manager.prune(Retention { max_retained: 1 }).unwrap().len();
    manager.restore_latest(&mut holder).unwrap();
    // One whose object cannot be put has no number, and ends with that part.
    holder.set("key", &9_u32).unwrap();
    manager.backend_mut().arm(0, Fault::Fails);
    manager.checkpoint(&mut holder, None).unwrap_err();
    let spans = recorded.spans();
    let top: Vec<_> = spans.iter().filter(|span| span.parent.is_none()).map(|span| span.name).collect();
    assert_eq!(top, ["open", "checkpoint", "checkpoint", "checkpoint", "checkpoint", "prune", "restore", "checkpoint"]);
    let checkpoints = named(&spans, "checkpoint");
    let names = |of: &Span| parts(&spans, of).iter().map(|part| part.name).collect::<Vec<_>>();
    for checkpoint in &checkpoints[..4] {
        assert_eq!(names(checkpoint), ["cut", "capture", "encode", "put", "publish"]);
    }
    assert_eq!(names(checkpoints[4]), ["cut", "capture", "encode", "put"]);
    assert!(!checkpoints[4].fields.contains_key("id"));
    assert_eq!(checkpoints[2].fields["label"], "kept");
    assert!(!checkpoints[1].fields.contains_key("label"));
    let prune = named(&spans, "prune")[0];
    assert_eq!((number(prune, "max_retained"), number(prune, "deleted")), (1, deleted as u64));
    assert!(deleted > 0 && deleted < objects);
    let restore = named(&spans, "restore")[0];
    assert_eq!((number(restore, "id"), restore.level), (3, Level::INFO));
    assert!(number(restore, "objects") > 0);
}

#[test]
fn an_engine_of_ones_own_is_told_of_too() {
    let recorded = Recorded::default();
    let _set = tracing::subscriber::set_default(recorded.subscriber());
    let definition = eventflux::definition::ApplicationDefinition::from_json(
        r#"{"name":"mine","source":{"file":"-","timestamp":"at"},"operator":[{"name":"n","aggregate":{"n":"count"}}]}"#,
    );
    let mut engine = Engine::new(&definition.unwrap(), &["at"]).unwrap();
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    engine.handle_event(Event::new(1, vec![1.into()])).unwrap();
    manager.checkpoint_engine(&mut engine, None, Progress::default()).unwrap();
    let spans = recorded.spans();
    let checkpoint = named(&spans, "checkpoint")[0];
    assert_eq!((checkpoint.fields["application"].as_str(), parts(&spans, checkpoint).len()), ("mine", 5));
}
