//! Sessions by key: events closer than a gap belong together, in whatever order they come. A session is told when the
//! watermark has passed the gap behind its last event. Configuration: `{"gap_ms": 1800000}`.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use eventflux_plugin::{Config, Event, Failure, Keyed, Operator, Results, Setup, State, Timers, Value};
use serde::{Deserialize, Serialize};

/// A year is enough.
const MOST_MS: i64 = 366 * 24 * 60 * 60 * 1000;

/// The operator.
#[derive(Debug, Default)]
pub struct Sessioniser {
    gap_ms: i64,
    /// When sessions of a key end. One that was merged into another leaves its time behind, at which nothing is due.
    ends: Timers,
}

/// A session: from `first` to `end`, a gap behind its last event.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    first: i64,
    end: i64,
    events: i64,
}

/// The open sessions of a key, which do not touch each other, in the order of time.
const SESSIONS: Keyed<Vec<Session>> = Keyed::new(b's');
/// How far the source has come.
const WATERMARK: Keyed<i64> = Keyed::new(b'w');

impl Operator for Sessioniser {
    fn name(&self) -> &'static str {
        "sessioniser"
    }

    fn configure(&mut self, config: &mut Config) -> Result<Setup, String> {
        self.gap_ms = config.integer("gap_ms", 1..=MOST_MS)?.ok_or("`gap_ms` is missing")?;
        Ok(Setup::new([], ["start", "end", "events"]).with_watermarks())
    }

    fn on_restored(&mut self, state: &State) -> Result<(), Failure> {
        self.ends.clear();
        SESSIONS.for_each(state, |key, sessions| {
            sessions.iter().for_each(|session| self.ends.set(None, session.end, key));
            Ok(())
        })?;
        Ok(())
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, _: &mut Results<'_>) -> Result<(), Failure> {
        let first = event.timestamp;
        let mut session = Session { first, end: first.saturating_add(self.gap_ms), events: 1 };
        let mut sessions = SESSIONS.get(state, event.key)?.unwrap_or_default();
        sessions.retain(|other| {
            let apart = other.end <= session.first || session.end <= other.first;
            if !apart {
                session.first = session.first.min(other.first);
                session.end = session.end.max(other.end);
                session.events += other.events;
            }
            apart
        });
        // Late: what it belongs to was told, or would have been.
        if WATERMARK.get(state, b"")?.is_some_and(|watermark| session.end <= watermark) {
            return Ok(());
        }
        self.ends.set(None, session.end, event.key);
        let at = sessions.partition_point(|other| other.first < session.first);
        sessions.insert(at, session);
        SESSIONS.set(state, event.key, &sessions)?;
        Ok(())
    }

    fn on_watermark(&mut self, state: &mut State, ms: i64, out: &mut Results<'_>) -> Result<(), Failure> {
        WATERMARK.set(state, b"", &ms)?;
        while let Some((end, key)) = self.ends.take_due(ms) {
            let mut sessions = SESSIONS.get(state, &key)?.unwrap_or_default();
            let Some(at) = sessions.iter().position(|session| session.end == end) else { continue };
            let session = sessions.remove(at);
            let values = [session.first, end, session.events].map(Value::Int);
            out.give(end, &key, &values);
            if sessions.is_empty() {
                SESSIONS.remove(state, &key);
            } else {
                SESSIONS.set(state, &key, &sessions)?;
            }
        }
        Ok(())
    }
}

/// What the host runs.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the name by which the exports find the operator")]
pub fn eventflux_operator() -> alloc::boxed::Box<dyn Operator> {
    alloc::boxed::Box::new(Sessioniser::default())
}
