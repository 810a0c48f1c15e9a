//! Lets through so many events of a key per second of event time, and bursts: a token bucket. Each event gets a result
//! that says whether it passes. Configuration: `{"per_second": 10, "burst": 20}`.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::String;

use eventflux_plugin::{Config, Event, Failure, Operator, Results, Setup, State, Value};
use serde::{Deserialize, Serialize};

/// What an event takes of its bucket.
const EVENT: i64 = 1000;

/// The operator.
#[derive(Debug, Default)]
pub struct RateLimiter {
    /// Thousandths of an event that a millisecond fills in: as many as events per second.
    per_ms: i64,
    capacity: i64,
}

/// How full the bucket of a key was, in thousandths of an event, and when.
#[derive(Serialize, Deserialize)]
struct Bucket {
    level: i64,
    at_ms: i64,
}

impl Operator for RateLimiter {
    fn name(&self) -> &'static str {
        "rate-limiter"
    }

    fn configure(&mut self, config: &mut Config) -> Result<Setup, String> {
        self.per_ms = config.integer("per_second", 0..=1_000_000)?.ok_or("`per_second` is missing")?;
        self.capacity = config.integer("burst", 1..=1_000_000)?.ok_or("`burst` is missing")? * EVENT;
        Ok(Setup::new([], ["passes"]))
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), Failure> {
        let now = event.timestamp;
        let mut bucket = state.get(event.key)?.unwrap_or(Bucket { level: self.capacity, at_ms: now });
        // An event out of order fills in nothing.
        let filled = now.saturating_sub(bucket.at_ms).max(0).saturating_mul(self.per_ms);
        bucket.level = bucket.level.saturating_add(filled).min(self.capacity);
        bucket.at_ms = bucket.at_ms.max(now);
        let passes = bucket.level >= EVENT;
        if passes {
            bucket.level -= EVENT;
        }
        state.set(event.key, &bucket)?;
        out.give(now, event.key, [&Value::Bool(passes)]);
        Ok(())
    }
}

/// What the host runs.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the name by which the exports find the operator")]
pub fn eventflux_operator() -> alloc::boxed::Box<dyn Operator> {
    alloc::boxed::Box::new(RateLimiter::default())
}
