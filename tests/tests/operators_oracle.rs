//! Random definitions over random events: the engine gives, event by event, exactly the lines, the late counts and
//! the errors of a naive model that was written from the description of the operators.

#[path = "common/generate.rs"]
mod generate;
#[path = "common/model/mod.rs"]
mod model;
#[path = "common/stream.rs"]
mod stream;

use generate::{Application, Events, FIELDS, any_application, any_events, cases};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn the_engine_gives_what_the_model_gives(
        Application(application) in any_application(),
        Events(events) in any_events(60),
    ) {
        let expected = model::expect(&application, &FIELDS, &events);
        let observed = stream::observe(&application, &FIELDS, &events);
        prop_assert_eq!(observed.refused, expected.refused);
        for (step, (observed, expected)) in observed.lines.iter().zip(&expected.lines).enumerate() {
            prop_assert_eq!(observed, expected, "lines of event {}", step);
        }
        prop_assert_eq!(observed.lines.len(), expected.lines.len());
        prop_assert_eq!(observed.late, expected.late);
    }
}
