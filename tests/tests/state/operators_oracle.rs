//! Random definitions over random events: the engine gives, event by event, exactly the lines, the late counts and
//! the errors of a naive model that was written from the description of the operators.

use crate::common::model;
use crate::common::stream;
use std::path::Path;

use crate::common::generate::{Application, Events, FIELDS, any_application, any_events, any_sessions, cases};
use eventflux::config;
use eventflux::source::{Source, SourceOptions};
use eventflux_core::Event;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn the_engine_gives_what_the_model_gives(application in any_application(), events in any_events(60)) {
        assert_same(&application, &events)?;
    }

    #[test]
    fn sessions_whose_merge_is_an_error((application, events) in any_sessions()) {
        assert_same(&application, &events)?;
    }
}

fn assert_same(Application(application): &Application, Events(events): &Events) -> Result<(), TestCaseError> {
    let expected = model::expect(application, &FIELDS, events);
    let observed = stream::observe(application, &FIELDS, events);
    prop_assert_eq!(observed.refused, expected.refused);
    for (step, (observed, expected)) in observed.lines.iter().zip(&expected.lines).enumerate() {
        prop_assert_eq!(observed, expected, "lines of event {}", step);
    }
    prop_assert_eq!(observed.lines.len(), expected.lines.len());
    prop_assert_eq!(observed.late, expected.late);
    Ok(())
}

/// The example application over real flights: so many of each day of January, in their order.
#[test]
fn the_example_gives_what_the_model_gives() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples/flights");
    let definition = config::load(&directory.join("app.toml")).unwrap();
    let mut source = Source::open(&SourceOptions {
        file: directory.join(&definition.source.file),
        timestamp: definition.source.timestamp.clone(),
        null: definition.source.null.clone(),
        ..SourceOptions::default()
    })
    .unwrap();
    let fields = source.fields().to_vec();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let mut events: Vec<Event> = Vec::new();
    while let Some(batch) = source.read_batch(860).unwrap() {
        events.extend(batch.events.into_iter().take(14));
    }
    assert!(events.len() > 400);
    let expected = model::expect(&definition, &fields, &events);
    let observed = stream::observe(&definition, &fields, &events);
    assert!(observed.lines.iter().filter(|lines| !lines.is_empty()).count() > 25, "the watermark moves");
    assert_eq!(observed.lines, expected.lines);
    assert_eq!((observed.late, observed.refused), (expected.late, expected.refused));
}
