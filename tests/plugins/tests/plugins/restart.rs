//! Engines with plugins that go on from a checkpoint, or from several, and where a plugin was left behind.

use eventflux_core::definition::OnFailure;
use eventflux_core::plugin::Happening;
use eventflux_core::{Event, Restore, RestoreOptions, Selector, drive};

use crate::engine::{Session, definition, engine, feed, happenings, some_events};
use crate::native::NativeHome;

/// After a restart with a shorter delay the watermark is past what the plugin waits for, whatever event comes next.
#[test]
fn a_plugin_is_told_of_a_watermark_that_a_shorter_delay_moved() {
    let event = |at: i64, city: &str, number: i64| Event::new(at, vec![city.into(), number.into()]);
    let mut session = Session::new(definition(OnFailure::Stop), NativeHome::default());
    session.definition.source.watermark_delay_ms = 1000;
    let mut first = engine(&session.definition, &session.home, "tally");
    feed(&mut first, &[event(100, "a", 7), event(1050, "b", 0)], &mut Vec::new());
    session.checkpoint(&mut first).unwrap();
    session.definition.source.watermark_delay_ms = 0;
    for checkpoints in 0..2 {
        let mut second = session.restored("tally").unwrap();
        for _ in 0..checkpoints {
            // Before the first event nothing has changed.
            session.checkpoint(&mut second).unwrap();
            second = session.restored("tally").unwrap();
        }
        let mut out = Vec::new();
        feed(&mut second, &[event(500, "a", -1), event(500, "a", 1)], &mut out);
        let wanted = [
            r#"{"operator":"windows","key":{"city":"a"},"window_start":100,"window_end":110,"n":1}"#,
            r#"{"operator":"tally","key":{"city":"a"},"events":1,"sum":7,"quiet":true}"#,
        ];
        assert_eq!(out[..2], wanted, "{out:?}");
        // Once, though the first event is refused.
        assert!(out[2].contains("is negative"), "{out:?}");
        assert!(!out[3..].iter().any(|line| line.contains("quiet")), "{out:?}");
    }
}

/// First the definition's component cannot go on, then it can.
#[test]
fn an_engine_that_went_back_goes_on_with_its_own_component_from_another_checkpoint() {
    let mut session = Session::new(definition(OnFailure::Stop), NativeHome::default());
    let mut old = engine(&session.definition, &session.home, "tally");
    feed(&mut old, &some_events(5), &mut Vec::new());
    session.checkpoint(&mut old).unwrap();
    let mut new = session.restored("tally 2").unwrap();
    feed(&mut new, &some_events(1), &mut Vec::new());
    session.checkpoint(&mut new).unwrap();

    let mut engine = session.restored("tally").unwrap();
    let happened = happenings(&mut engine);
    assert!(matches!(happened[..], [Happening::WentBack { .. }, Happening::WentBack { .. }]), "{happened:?}");
    let restore = Restore::new(engine.holder_mut(), Selector::Id(0), RestoreOptions::default());
    let manifest = drive(restore, &mut session.storage).unwrap().manifest;
    engine.resume(&manifest).unwrap();
    assert_eq!(happenings(&mut engine), []);
    let mut out = Vec::new();
    feed(&mut engine, &[Event::new(5, vec!["a".into(), 7.into()])], &mut out);
    // 0 + 2 + 4, and 7, none of them tenfold.
    assert!(out.iter().any(|line| line.contains(r#""sum":13,"#)), "{out:?}");
}

/// It fails over the watermark behind an event that another operator refuses.
#[test]
fn a_plugin_is_detached_at_an_event_that_is_refused() {
    for size in [1, 3, 6, 10] {
        let home = NativeHome { fails_over_watermark: Some(500), ..NativeHome::default() };
        let mut session = Session::new(definition(OnFailure::Detach), home.clone());
        let mut first = engine(&session.definition, &home, "tally");
        let mut events = some_events(10);
        events[5] = Event::new(503, vec!["a".into(), "no number".into()]);
        let mut out = Vec::new();
        events.chunks(size).for_each(|part| feed(&mut first, part, &mut out));
        assert_eq!(first.progress().events, 9);
        let happened = happenings(&mut first);
        let at = |happening: &Happening| matches!(happening, Happening::Detached { event: 5, .. });
        assert_eq!(happened.iter().filter(|happening| at(happening)).count(), 2, "{happened:?}");
        session.checkpoint(&mut first).unwrap();
    }
}
