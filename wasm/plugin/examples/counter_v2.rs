//! The counter of `counter.rs` in its second version: with `{"silence_ms": 60000}` it begins anew after such a time
//! without events. It reads the state of the first version, and without that member gives the same results.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use eventflux_plugin::{
    Config, Event, Failure, Operator, Results, Schema, Setup, State, Value, decode_value, encode_value,
};
use serde::{Deserialize, Serialize};

/// The operator.
#[derive(Debug, Default)]
pub struct Counter {
    silence_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Count {
    count: i64,
    /// When the last event was; what the first version counted has none.
    last_ms: Option<i64>,
}

impl Operator for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn version(&self) -> &'static str {
        "2.0.0"
    }

    fn schema(&self) -> Schema {
        Schema { name: "counter".into(), version: 2 }
    }

    fn readable(&self) -> Vec<Schema> {
        [Schema { name: "counter".into(), version: 1 }].into()
    }

    fn migrate(&self, _from: &Schema, _key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let count = decode_value(value).map_err(|error| error.to_string())?;
        encode_value(&Count { count, last_ms: None }).map(Some).map_err(|error| error.to_string())
    }

    fn configure(&mut self, config: &mut Config) -> Result<Setup, String> {
        let field = config.text("field")?;
        self.silence_ms = config.integer("silence_ms", 1..=i64::MAX)?;
        Ok(Setup::new(field.as_deref(), ["count"]))
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), Failure> {
        let mut held = state.get(event.key)?.unwrap_or(Count { count: 0, last_ms: None });
        if event.values.first() != Some(&Value::Null) {
            let silence = held.last_ms.map_or(0, |last| event.timestamp.saturating_sub(last));
            if self.silence_ms.is_some_and(|most| silence >= most) {
                held.count = 0;
            }
            held.count += 1;
            held.last_ms = held.last_ms.max(Some(event.timestamp));
            state.set(event.key, &held)?;
        }
        out.give(event.timestamp, event.key, [&Value::Int(held.count)]);
        Ok(())
    }
}

/// What the host runs.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the name by which the exports find the operator")]
pub fn eventflux_operator() -> alloc::boxed::Box<dyn Operator> {
    alloc::boxed::Box::new(Counter::default())
}
