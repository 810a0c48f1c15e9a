//! Plugins among other operators: any batches, any checkpoints, any restarts and any failures give the results of
//! events taken one by one.

use eventflux_core::definition::{
    ApplicationDefinition, Condition, Emit, OnFailure, OperatorDefinition, PluginDefinition, SourceDefinition,
    WindowKind,
};
use std::sync::atomic::Ordering;

use eventflux_core::plugin::{Happening, PluginNotice};
use eventflux_core::{
    CheckpointRequest, Compression, Engine, Error, Event, MemoryBackend, OpenWriter, Publish, Restore, RestoreOptions,
    Retention, Selector, Value, Writer, drive, limits,
};
use proptest::prelude::*;

use crate::native::{NativeHome, component};

const FIELDS: [&str; 2] = ["city", "number"];

/// A plugin between operators of all sorts, and one more that sees every event.
pub fn definition(on_failure: OnFailure) -> ApplicationDefinition {
    let plugin = PluginDefinition { on_failure, ..PluginDefinition::file("tally.wasm") };
    ApplicationDefinition::new("mixed", SourceDefinition::file("-").timestamp("at").watermark_delay_ms(3))
        .operator(
            OperatorDefinition::window("windows", WindowKind::Tumbling { size_ms: 10 })
                .key(["city"])
                .compute("n", "count")
                .unwrap(),
        )
        .operator(
            OperatorDefinition::plugin("tally", plugin.clone()).key(["city"]).filter(Condition::ne("city", "none")),
        )
        .operator(
            OperatorDefinition::aggregation("sums")
                .key(["city"])
                .compute("sum", "sum number")
                .unwrap()
                .emit(Emit::Change)
                .unwrap(),
        )
        .operator(OperatorDefinition::plugin("all", plugin))
        .operator(OperatorDefinition::aggregation("ends").compute("n", "count").unwrap())
}

pub fn engine(definition: &ApplicationDefinition, home: &NativeHome, wanted: &str) -> Engine {
    let mut engine = Engine::new(definition, &FIELDS).unwrap();
    for operator in definition.operators.iter().filter(|operator| operator.kind_name() == "plugin") {
        engine.attach_plugin(&operator.name, component(wanted), Box::new(home.clone())).unwrap();
    }
    engine
}

fn lines(engine: &mut Engine) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(output) = engine.poll_output() {
        lines.push(serde_json::to_string(&output).unwrap());
    }
    lines
}

/// An event, or an error that it makes: the numbers of a refused event stay the same whatever the batches.
pub fn feed(engine: &mut Engine, events: &[Event], out: &mut Vec<String>) {
    let mut rest = events;
    while !rest.is_empty() {
        let before = engine.progress().events;
        let outcome = engine.handle_events(rest);
        let taken = (engine.progress().events - before) as usize;
        out.extend(lines(engine));
        match outcome {
            Ok(()) => return,
            Err(error @ Error::Event { .. }) => {
                out.push(error.to_string());
                rest = &rest[taken + 1..];
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Engine and storage.
pub struct Session {
    pub storage: MemoryBackend,
    writer: Writer,
    pub definition: ApplicationDefinition,
    pub home: NativeHome,
}

impl Session {
    pub fn new(definition: ApplicationDefinition, home: NativeHome) -> Self {
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        Session { storage, writer, definition, home }
    }

    pub fn checkpoint(&mut self, engine: &mut Engine) -> eventflux_core::Result<()> {
        engine.begin_checkpoint(CheckpointRequest::default())?;
        let capture = engine.holder_mut().take_capture()?;
        let mut encoded = capture.into_object(self.writer.next_object(), Compression::Lz4)?;
        let publish = Publish::new(&mut self.writer, &mut encoded, Retention { max_retained: 3 })?;
        drive(publish, &mut self.storage)?;
        engine.holder_mut().commit(&encoded)
    }

    pub fn restored(&mut self, wanted: &str) -> eventflux_core::Result<Engine> {
        let mut engine = engine(&self.definition, &self.home, wanted);
        self.restore(&mut engine)?;
        Ok(engine)
    }

    fn restore(&mut self, engine: &mut Engine) -> eventflux_core::Result<()> {
        let options = RestoreOptions::default();
        let restore = Restore::new(engine.holder_mut(), Selector::Latest, options);
        let restored = drive(restore, &mut self.storage)?;
        engine.resume(&restored.manifest)
    }
}

/// One thing to do.
#[derive(Debug, Clone)]
enum Action {
    Events(usize),
    Checkpoint,
    /// From the newest checkpoint: what came since is done again.
    Restart,
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let city = prop_oneof![Just(Value::Null), "[ab]".prop_map(|city| Value::from(city.as_str())), Just("none".into())];
    let number = prop_oneof![
        8 => (0_i64..50).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => (-2_i64..0).prop_map(Value::from),
        1 => Just(Value::from(i64::MAX)),
    ];
    let event = (0_i64..6, city, number);
    prop::collection::vec(event, 0..120).prop_map(|events| {
        let mut time = 0;
        let events = events.into_iter().map(|(step, city, number)| {
            time += step;
            Event::new(time - step / 3 * 4, vec![city, number])
        });
        events.collect()
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![4 => (1_usize..40).prop_map(Action::Events), 2 => Just(Action::Checkpoint), 1 => Just(Action::Restart)]
}

fn one_by_one(events: &[Event]) -> Vec<String> {
    let mut engine = engine(&definition(OnFailure::Stop), &NativeHome::default(), "tally");
    let mut out = Vec::new();
    for event in events {
        feed(&mut engine, std::slice::from_ref(event), &mut out);
    }
    engine.finish().unwrap();
    out.extend(lines(&mut engine));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(4000), ..ProptestConfig::default() })]
    #[test]
    fn batches_checkpoints_restarts_and_failures_change_nothing(
        events in any_events(),
        actions in prop::collection::vec(any_action(), 0..12),
        // One less than what stops a plugin.
        fails_at in prop::collection::vec(1_u64..80, 0..=3),
    ) {
        let home = NativeHome { fails_at, ..NativeHome::default() };
        let mut session = Session::new(definition(OnFailure::Stop), home.clone());
        let mut engine = engine(&session.definition, &home, "tally");
        let (mut out, mut at) = (Vec::new(), 0);
        // As of the newest checkpoint.
        let mut safe = (Vec::new(), 0);
        session.checkpoint(&mut engine).unwrap();
        for action in actions {
            match action {
                Action::Events(count) => {
                    let end = (at + count).min(events.len());
                    feed(&mut engine, &events[at..end], &mut out);
                    at = end;
                }
                Action::Checkpoint => {
                    session.checkpoint(&mut engine).unwrap();
                    safe = (out.clone(), at);
                }
                Action::Restart => {
                    engine = session.restored("tally").unwrap();
                    (out, at) = safe.clone();
                }
            }
        }
        feed(&mut engine, &events[at..], &mut out);
        engine.finish().unwrap();
        out.extend(lines(&mut engine));
        prop_assert_eq!(out, one_by_one(&events));
    }
}

pub fn some_events(count: i64) -> Vec<Event> {
    (0..count).map(|at| Event::new(at, vec![["a", "b"][at as usize % 2].into(), at.into()])).collect()
}

pub fn happenings(engine: &mut Engine) -> Vec<Happening> {
    engine.take_plugin_notices().into_iter().map(|notice| notice.happening).collect()
}

#[test]
fn a_new_component_goes_on_with_the_state_of_the_old_one() {
    let mut session = Session::new(definition(OnFailure::Stop), NativeHome::default());
    let mut old = engine(&session.definition, &session.home, "tally");
    feed(&mut old, &some_events(5), &mut Vec::new());
    session.checkpoint(&mut old).unwrap();

    let mut new = session.restored("tally 2").unwrap();
    let happened = happenings(&mut new);
    assert!(matches!(happened[..], [Happening::Upgraded { .. }, Happening::Upgraded { .. }]), "{happened:?}");
    let mut out = Vec::new();
    feed(&mut new, &[Event::new(5, vec!["a".into(), 7.into()])], &mut out);
    // 0 + 2 + 4 of version 1, and 7, tenfold.
    assert!(out.iter().any(|line| line.contains(r#""sum":130,"#)), "{out:?}");
    session.checkpoint(&mut new).unwrap();

    // The old one does not read what the new one wrote: the new one of the checkpoint goes on.
    let mut back = session.restored("tally").unwrap();
    let happened = happenings(&mut back);
    assert!(
        matches!(&happened[..], [Happening::WentBack { reason }, ..] if reason.contains("it does not read the state's schema, `tally` version 2")),
        "{happened:?}"
    );
    let mut out = Vec::new();
    feed(&mut back, &[Event::new(6, vec!["a".into(), 0.into()]), Event::new(6, vec!["a".into(), 1.into()])], &mut out);
    assert!(out.iter().any(|line| line.contains(r#""sum":140,"#)), "{out:?}");
}

#[test]
fn what_fails_for_good_stops_and_says_why() {
    let home = NativeHome { fails: true, ..NativeHome::default() };
    let mut engine = engine(&definition(OnFailure::Stop), &home, "tally");
    let error = engine.handle_events(some_events(5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "operator `tally`: its plugin: call 4 fails; stopped after 4 failures since its last checkpoint"
    );
    assert_eq!(engine.progress().events, 0);
    // Other plugins may be ahead: only a checkpoint leads on.
    assert!(matches!(engine.handle_event(some_events(1).remove(0)), Err(Error::CallOrder(_))));
    assert!(matches!(engine.begin_checkpoint(CheckpointRequest::default()), Err(Error::CallOrder(_))));
}

#[test]
fn a_detached_plugin_stays_so_and_the_others_go_on() {
    let home = NativeHome { fails: true, ..NativeHome::default() };
    let mut session = Session::new(definition(OnFailure::Detach), home.clone());
    let mut first = engine(&session.definition, &home, "tally");
    let (events, mut out) = (some_events(50), Vec::new());
    feed(&mut first, &events[..20], &mut out);
    session.checkpoint(&mut first).unwrap();
    assert_eq!(first.detached_plugins().collect::<Vec<_>>(), ["tally", "all"]);

    let mut again = session.restored("tally").unwrap();
    feed(&mut again, &events[20..], &mut out);
    again.finish().unwrap();
    out.extend(lines(&mut again));
    assert_eq!(again.detached_plugins().collect::<Vec<_>>(), ["tally", "all"]);
    let of_others = |line: &String| !line.contains(r#""operator":"tally""#) && !line.contains(r#""operator":"all""#);
    let wanted: Vec<String> = one_by_one(&events).into_iter().filter(of_others).collect();
    assert_eq!(out, wanted);
}

/// It goes behind the last event that it takes, whatever the batches, and wherever checkpoints were.
#[test]
fn a_plugin_is_detached_at_the_event_that_it_fails_over() {
    let home = NativeHome { fails_over: Some(613), ..NativeHome::default() };
    // The second plugin refuses some events: what the first gave before is given all the same.
    let number = |n: i64| if n % 50 == 45 { -1 } else { n };
    let events: Vec<Event> = (0..300).map(|n| Event::new(3 * n + 400, vec!["a".into(), number(n).into()])).collect();
    assert_eq!(events.iter().position(|event| event.timestamp == 613), Some(71));
    let run = |sizes: &[usize]| {
        let mut session = Session::new(definition(OnFailure::Detach), home.clone());
        let mut engine = engine(&session.definition, &home, "tally");
        let (mut out, mut rest) = (Vec::new(), &events[..]);
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*size));
            feed(&mut engine, now, &mut out);
            if later.is_empty() {
                break;
            }
            session.checkpoint(&mut engine).unwrap();
            rest = later;
        }
        assert_eq!(engine.detached_plugins().collect::<Vec<_>>(), ["tally", "all"]);
        engine.finish().unwrap();
        out.extend(lines(&mut engine));
        let notices = engine.take_plugin_notices();
        let at = |notice: &PluginNotice| match notice.happening {
            Happening::Detached { event, .. } => Some(event),
            _ => None,
        };
        (out, notices.iter().filter_map(at).collect::<Vec<_>>())
    };
    let (wanted, at) = run(&[1]);
    assert_eq!(at, [70, 70], "one before it is refused");
    let given = wanted.iter().filter(|line| line.contains(r#""operator":"tally""#)).count();
    assert!((30..=71).contains(&given), "{given} results of the plugin");
    for sizes in [&[300][..], &[70], &[71], &[72], &[5, 256, 11]] {
        assert_eq!(run(sizes), (wanted.clone(), at.clone()), "{sizes:?}");
    }
}

/// It takes each event alone: there is none that it could be detached at, so that is how it gets them in the end.
#[test]
fn a_plugin_that_fails_over_batches_gets_its_events_alone() {
    let run = |fails_over_many: bool| {
        let home = NativeHome { fails_over_many, ..NativeHome::default() };
        let mut session = Session::new(definition(OnFailure::Detach), home.clone());
        let mut engine = engine(&session.definition, &home, "tally");
        let mut out = Vec::new();
        let events: Vec<Event> = (0..2000).map(|n| Event::new(3 * n, vec!["a".into(), n.into()])).collect();
        for part in events.chunks(500) {
            feed(&mut engine, part, &mut out);
            session.checkpoint(&mut engine).unwrap();
        }
        engine.finish().unwrap();
        out.extend(lines(&mut engine));
        assert_eq!(engine.detached_plugins().count(), 0);
        (out, home.starts.load(Ordering::Relaxed))
    };
    let ((wanted, _), (out, starts)) = (run(false), run(true));
    assert_eq!(out, wanted);
    // 17 batches of the one, of which each takes four failures, a search among at most 512 items, and a set back of the other.
    assert!(starts < 2 * 17 * (4 + 10 + 3), "{starts} instances");
}

/// The first fails over the watermark behind an event that it has a result for; the second refuses events behind that.
#[test]
fn the_last_results_of_a_detached_plugin_are_given_whatever_another_one_refuses() {
    let definition = definition(OnFailure::Detach);
    let number = |n: i64| if n % 50 == 45 { -1 } else { n };
    let events: Vec<Event> = (0..300).map(|n| Event::new(3 * n + 400, vec!["a".into(), number(n).into()])).collect();
    let run = |sizes: &[usize]| {
        let mut engine = Engine::new(&definition, &FIELDS).unwrap();
        // That of event 72, which is the 71st that is taken, from 0.
        let fails = NativeHome { fails_over_watermark: Some(613), ..NativeHome::default() };
        engine.attach_plugin("tally", component("tally"), Box::new(fails)).unwrap();
        engine.attach_plugin("all", component("tally"), Box::new(NativeHome::default())).unwrap();
        let (mut out, mut rest) = (Vec::new(), &events[..]);
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*size));
            feed(&mut engine, now, &mut out);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let is_first_untaken =
            |notice: &PluginNotice| matches!(notice.happening, Happening::Detached { event: 72, .. });
        assert_eq!(engine.take_plugin_notices().iter().filter(|notice| is_first_untaken(notice)).count(), 1);
        out
    };
    let wanted = run(&[1]);
    let last = wanted.iter().rfind(|line| line.contains(r#""operator":"tally""#)).unwrap();
    assert!(last.contains(r#""events":72"#), "{last}");
    for sizes in [&[300][..], &[72], &[73], &[5, 256, 11]] {
        assert_eq!(run(sizes), wanted, "{sizes:?}");
    }
}

/// No event is the reason, and none is looked for.
#[test]
fn a_plugin_that_fails_over_its_frames_is_detached_at_once() {
    let mut definition = definition(OnFailure::Detach);
    // Its numbers are texts here.
    definition.operators.retain(|operator| operator.name != "sums");
    let mut engine = Engine::new(&definition, &FIELDS).unwrap();
    let fails = NativeHome { fails_frames: true, ..NativeHome::default() };
    engine.attach_plugin("tally", component("tally"), Box::new(fails.clone())).unwrap();
    engine.attach_plugin("all", component("tally"), Box::new(NativeHome::default())).unwrap();
    let long = "x".repeat(1000);
    let event = |n: i64| Event::new(n, vec!["a".into(), Value::from(format!("{n}{long}").as_str())]);
    let events: Vec<Event> = (0..10_000).map(event).collect();
    let mut out = Vec::new();
    events.chunks(1000).for_each(|events| feed(&mut engine, events, &mut out));
    assert_eq!(engine.detached_plugins().collect::<Vec<_>>(), ["tally"]);
    let starts = fails.starts.load(Ordering::Relaxed);
    assert!(starts <= u64::from(limits::PLUGIN_FAILURES_MAX) + 1, "{starts} instances");
    let of = |name: &str| out.iter().filter(|line| line.contains(&format!(r#""operator":"{name}""#))).count();
    // After 8 MiB.
    assert!((4000..4300).contains(&of("tally")) && of("all") == 5000, "{} and {}", of("tally"), of("all"));
}

/// The first plugin has taken a batch of which the second refuses an event, and no instance of the first gets back to
/// before it.
#[test]
fn a_plugin_that_cannot_be_set_back_is_stopped_or_detached() {
    let start = |on_failure| {
        let definition = definition(on_failure);
        let mut engine = Engine::new(&definition, &FIELDS).unwrap();
        // The first two calls are of the two batches.
        let fails = NativeHome { fails_at: (3..100).collect(), ..NativeHome::default() };
        engine.attach_plugin("tally", component("tally"), Box::new(fails)).unwrap();
        engine.attach_plugin("all", component("tally"), Box::new(NativeHome::default())).unwrap();
        engine
    };
    let events = some_events(12);
    // The first plugin does not see it.
    let refused = Event::new(6, vec!["none".into(), (-1).into()]);
    let second: Vec<Event> = events[6..9].iter().cloned().chain([refused]).collect();

    let mut stopped = start(OnFailure::Stop);
    stopped.handle_events(&events[..6]).unwrap();
    let error = stopped.handle_events(&second).unwrap_err();
    assert!(matches!(&error, Error::Plugin { operator, .. } if operator == "tally"), "{error}");
    assert_eq!(stopped.progress().events, 6);
    assert!(matches!(stopped.handle_events(&events[6..]), Err(Error::CallOrder(_))));

    let mut engine = start(OnFailure::Detach);
    let mut out = Vec::new();
    feed(&mut engine, &events[..6], &mut out);
    feed(&mut engine, &second, &mut out);
    assert_eq!(engine.detached_plugins().collect::<Vec<_>>(), ["tally"]);
    feed(&mut engine, &events[9..], &mut out);
    engine.finish().unwrap();
    out.extend(lines(&mut engine));
    let mut wanted = one_by_one(&[&events[..6], &second, &events[9..]].concat());
    let of_tally = |line: &String| line.contains(r#""operator":"tally""#);
    // What it gave before it failed stays.
    let given = out.iter().filter(|line| of_tally(line)).count();
    assert!(given > 0);
    let mut of_tally_seen = 0;
    wanted.retain(|line| {
        of_tally_seen += usize::from(of_tally(line));
        !of_tally(line) || of_tally_seen <= given
    });
    assert_eq!(out, wanted);
}

/// At the end of the source operators give their results in the order of the definition, however many of them are plugins.
#[test]
fn what_is_left_at_the_end_comes_in_the_order_of_the_operators() {
    let source = SourceDefinition::file("-").timestamp("at");
    let plugin = |name: &str| OperatorDefinition::plugin(name, PluginDefinition::file("whole.wasm"));
    let counts = |name: &str| OperatorDefinition::aggregation(name).compute("events", "count").unwrap();
    let rest =
        OperatorDefinition::window("rest", WindowKind::Length { events: 100 }).compute("events", "count").unwrap();
    let definition = ApplicationDefinition::new("ends", source)
        .operator(counts("a"))
        .operator(plugin("p1"))
        .operator(rest)
        .operator(plugin("p2"))
        .operator(counts("z"))
        .operator(plugin("p3"));
    let mut engine = engine(&definition, &NativeHome::default(), "whole");
    engine.handle_events(some_events(5)).unwrap();
    engine.finish().unwrap();
    let results: Vec<serde_json::Value> =
        lines(&mut engine).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let operators: Vec<&str> = results.iter().filter_map(|result| result["operator"].as_str()).collect();
    assert_eq!(operators, ["a", "p1", "rest", "p2", "z", "p3"]);
    assert!(results.iter().all(|result| result["events"] == 5), "{results:?}");
}

/// Together they may be more than an instance has room for.
#[test]
fn events_of_long_texts_come_in_short_batches() {
    const TEXT_BYTES: usize = 10_000;
    let home = NativeHome::default();
    let mut engine = engine(&definition(OnFailure::Stop), &home, "tally");
    let city = |at: i64| Value::from(["a", "b"][at as usize % 2].repeat(TEXT_BYTES).as_str());
    let events: Vec<Event> = (0..300).map(|at| Event::new(at, vec![city(at), at.into()])).collect();
    let mut out = Vec::new();
    feed(&mut engine, &events, &mut out);
    engine.finish().unwrap();
    out.extend(lines(&mut engine));
    let longest = home.longest.load(std::sync::atomic::Ordering::Relaxed) as usize;
    assert!((TEXT_BYTES..limits::PLUGIN_BATCH_TEXT_BYTES + 2 * TEXT_BYTES).contains(&longest), "{longest}");
    assert_eq!(out, one_by_one(&events));
}

#[test]
fn without_its_component_no_event_is_taken() {
    let mut engine = Engine::new(&definition(OnFailure::Stop), &FIELDS).unwrap();
    let error = engine.handle_event(some_events(1).remove(0)).unwrap_err();
    assert!(error.to_string().contains("attach_plugin"), "{error}");
    let error = engine.attach_plugin("sums", component("tally"), Box::new(NativeHome::default())).unwrap_err();
    assert_eq!(error.to_string(), "operator: `sums` is no plugin");
    let error = engine.attach_plugin("tally", component("nothing"), Box::new(NativeHome::default())).unwrap_err();
    assert_eq!(error.to_string(), "operator `tally`: its plugin: there is no nothing");
}
