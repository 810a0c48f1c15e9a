//! Engines with plugins that go on from a checkpoint, or from several, and where a plugin was left behind.

use eventflux_core::definition::OnFailure;
use eventflux_core::plugin::Happening;
use eventflux_core::{Event, Restore, RestoreOptions, Selector, drive};

use crate::engine::{Session, definition, engine, feed, happenings, some_events};
use crate::native::NativeHome;

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
