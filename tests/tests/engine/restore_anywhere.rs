//! A checkpoint cut at any event, captured in slices between events or at once, restored into a new engine: it goes
//! on as if nothing had been, and its next checkpoints have the same bytes as those of the engine that went on.

use std::collections::BTreeSet;

use crate::common::checkpoints::{Action, Outcome, Session};
use crate::common::generate::{Application, Events, FIELDS, any_application, any_events, any_sessions, cases};
use crate::common::stream;
use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{Compression, Event};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is done before each event: nothing mostly, some cuts, some of which come to nothing.
fn any_programme(events: usize) -> impl Strategy<Value = Vec<Action>> {
    let budget = prop_oneof![2 => Just(usize::MAX), 3 => 0..600_usize];
    let abort_after = prop_oneof![4 => Just(None), 1 => (0..6_usize).prop_map(Some)];
    let cut = (budget, abort_after).prop_map(|(budget, abort_after)| Action::Cut { budget, abort_after });
    let between = prop_oneof![
        8 => Just(Vec::new()),
        4 => vec(cut.clone(), 1..2),
        1 => vec(cut, 2..3),
    ];
    vec(between, events..=events).prop_map(|between| {
        let with_event = |mut before: Vec<Action>| {
            before.push(Action::Event);
            before
        };
        between.into_iter().flat_map(with_event).collect()
    })
}

/// The outputs, and the bytes of all checkpoints, are the same.
fn assert_same(interrupted: &Outcome, straight: &Outcome) -> Result<(), TestCaseError> {
    prop_assert_eq!(&interrupted.lines, &straight.lines);
    prop_assert_eq!(&interrupted.late, &straight.late);
    prop_assert_eq!(interrupted.objects.len(), straight.objects.len());
    for (number, (interrupted, straight)) in interrupted.objects.iter().zip(&straight.objects).enumerate() {
        prop_assert_eq!(interrupted.0, straight.0, "cut of checkpoint {}", number);
        prop_assert!(interrupted.1 == straight.1, "bytes of checkpoint {}, cut after {} events", number, straight.0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn a_restored_engine_goes_on_as_if_nothing_had_been(
        (application, events, programme) in with_programme((any_application(), any_events(50))),
        restarts in any_restarts(),
        lz4 in any::<bool>(),
        max_retained in 1..4_u32,
    ) {
        let Application(mut application) = application;
        application.checkpoint.compression = if lz4 { Compression::Lz4 } else { Compression::None };
        assert_goes_on(&application, &events.0, &programme, &restarts, max_retained)?;
    }

    #[test]
    fn sessions_whose_merge_is_an_error(
        (application, events, programme) in with_programme(any_sessions()),
        restarts in any_restarts(),
    ) {
        assert_goes_on(&application.0, &events.0, &programme, &restarts, 1)?;
    }
}

fn with_programme(
    stream: impl Strategy<Value = (Application, Events)>,
) -> impl Strategy<Value = (Application, Events, Vec<Action>)> {
    stream.prop_flat_map(|(application, events)| {
        let programme = any_programme(events.0.len());
        (Just(application), Just(events), programme)
    })
}

/// After which checkpoints.
fn any_restarts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 1..6)
}

fn assert_goes_on(
    application: &ApplicationDefinition,
    events: &[Event],
    programme: &[Action],
    restarts: &[prop::sample::Index],
    max_retained: u32,
) -> Result<(), TestCaseError> {
    let session = || Session::new(application, &FIELDS, max_retained);
    let straight = session().run(programme, events, BTreeSet::new());
    let plain = stream::observe(application, &FIELDS, events);
    prop_assert_eq!(&straight.lines, &plain.lines, "checkpoints change nothing");
    let restarts = restarts.iter().map(|restart| restart.index(straight.objects.len())).collect();
    let interrupted = session().run(programme, events, restarts);
    prop_assert!(interrupted.restarts > 0 && straight.restarts == 0);
    assert_same(&interrupted, &straight)
}

/// Enough keys that pages of entries split, enough checkpoints that pages of deltas come about, windows and partial
/// matches that come and go: every fifth checkpoint is restored.
#[test]
fn many_keys_and_many_checkpoints() {
    let application = stream::application(
        30,
        r#"
        [[operator]]
        name = "groups"
        aggregate = { n = "count", values = "distinct n", middle = "median n" }
        key = ["k"]
        [[operator]]
        name = "windows"
        window = { tumbling = 20 }
        compute = { n = "count", spread = "stddev n" }
        key = ["k"]
        [[operator]]
        name = "sessions"
        window = { session = 15 }
        compute = { total = "sum n", from = "first s" }
        key = ["n"]
        [[operator]]
        name = "rising"
        pattern = [{ step = "low", where = [{ field = "n", lt = 20 }] },
                   { step = "high", where = [{ field = "n", gt = { step = "low", field = "n" } }] }]
        within = 200
        key = ["s"]
        "#,
    );
    let mut random = 1_u64;
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) % bound) as i64
    };
    let mut event = |at: i64| {
        let key = if below(3) == 0 { below(50) } else { below(40_000) };
        let text = format!("a text of some length, number {}", below(300));
        Event::new(at / 4 - below(20), vec![key.into(), below(40).into(), text.as_str().into()])
    };
    let events: Vec<Event> = (0..16_000).map(&mut event).collect();
    let cut =
        |at: usize| Action::Cut { budget: if at.is_multiple_of(2) { usize::MAX } else { 2000 }, abort_after: None };
    let action =
        |at: usize| if at.is_multiple_of(160) { vec![cut(at / 160), Action::Event] } else { vec![Action::Event] };
    let programme: Vec<Action> = (0..events.len()).flat_map(action).collect();
    let session = || Session::new(&application, &stream::FIELDS, 3);
    let straight = session().run(&programme, &events, BTreeSet::new());
    assert_eq!(straight.objects.len(), 101);
    let interrupted = session().run(&programme, &events, (0..101).step_by(5).collect());
    assert_eq!(interrupted.restarts, 21);
    assert_same(&interrupted, &straight).unwrap();
}

/// The sums of two sessions are small, but as one, in input order, they leave 64 bits on the way: an error before and
/// after a restore.
#[test]
fn sessions_that_overflow_together_are_an_error_after_a_restore_too() {
    let application = stream::application(
        1000,
        "[[operator]]\nname = \"o\"\nwindow = { session = 10 }\ncompute = { sum = \"sum n\" }",
    );
    let rows = serde_json::json!([[0, "k", i64::MAX], [15, "k", 5], [1, "k", -i64::MAX], [8, "k", 0], [30, "k", 1]]);
    let events = stream::events(&rows);
    let observed = stream::observe(&application, &stream::FIELDS, &events);
    assert_eq!(observed.refused, [false, false, false, true, false]);
    let mut programme = vec![Action::Event; events.len()];
    programme.insert(3, Action::Cut { budget: usize::MAX, abort_after: None });
    let interrupted = Session::new(&application, &stream::FIELDS, 1).run(&programme, &events, [0].into());
    assert_eq!((interrupted.restarts, interrupted.lines), (1, observed.lines));
}
