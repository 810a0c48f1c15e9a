//! Counts events by key: `{"field": "name"}` counts those whose field is not null.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::String;

use eventflux_plugin::{Config, Event, Failure, Operator, Results, Setup, State, Value};

/// The operator.
#[derive(Debug, Default)]
pub struct Counter;

impl Operator for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn configure(&mut self, config: &mut Config) -> Result<Setup, String> {
        let field = config.text("field")?;
        Ok(Setup::new(field.as_deref(), ["count"]))
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), Failure> {
        let mut count = state.get::<i64>(event.key)?.unwrap_or(0);
        if event.values.first() != Some(&Value::Null) {
            count += 1;
            state.set(event.key, &count)?;
        }
        out.give(event.timestamp, event.key, [&Value::Int(count)]);
        Ok(())
    }
}

/// What the host runs.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the name by which the exports find the operator")]
pub fn eventflux_operator() -> alloc::boxed::Box<dyn Operator> {
    alloc::boxed::Box::new(Counter)
}
