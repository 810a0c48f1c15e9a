//! Plugins without a wasm runtime: the calls of the world, made to an instance in this process, which may be made to
//! fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventflux_core::plugin::{
    BatchReader, Component, Guest, GuestDescription, GuestError, GuestHome, GuestSchema, GuestSetup, Item,
};
use eventflux_plugin::{
    Config, Error, Event, Failure, Instance, Operator, Results, Schema, Setup, State, Timers, Value,
};

/// A component that stands for an operator of this process.
pub fn component(name: &str) -> Component {
    let mut digest = [0; 32];
    digest[..name.len()].copy_from_slice(name.as_bytes());
    Component { bytes: name.as_bytes().into(), digest }
}

/// Where instances in this process come from. The calls of these numbers, or all, lose the instance.
#[derive(Debug, Clone, Default)]
pub struct NativeHome {
    pub calls: Arc<AtomicU64>,
    pub fails_at: Vec<u64>,
    pub fails: bool,
    /// Fails over each batch with an event of this time.
    pub fails_over: Option<i64>,
    /// Fails over each batch with this watermark.
    pub fails_over_watermark: Option<i64>,
    /// Fails over each batch of more than one event.
    pub fails_over_many: bool,
    /// Fails over each checkpoint.
    pub fails_frames: bool,
    pub starts: Arc<AtomicU64>,
    /// Bytes of the longest batch so far.
    pub longest: Arc<AtomicU64>,
}

impl GuestHome for NativeHome {
    fn start(&mut self, component: &Component, _failures: u32) -> Result<Box<dyn Guest>, String> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let operator: Box<dyn Operator> = match &*component.bytes {
            b"tally" => Box::new(Tally::default()),
            b"tally 2" => Box::new(Tally { version: 2, ..Tally::default() }),
            b"whole" => Box::new(Whole),
            other => return Err(format!("there is no {}", String::from_utf8_lossy(other))),
        };
        Ok(Box::new(NativeGuest { instance: Instance::new(operator), inputs: 0, home: self.clone() }))
    }
}

struct NativeGuest {
    instance: Instance,
    inputs: usize,
    home: NativeHome,
}

impl NativeGuest {
    /// Before a call that may fail.
    fn call(&self) -> Result<(), GuestError> {
        let number = self.home.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.home.fails || self.home.fails_at.contains(&number) {
            return Err(GuestError::Lost(format!("call {number} fails")));
        }
        Ok(())
    }
}

fn refused(error: Error) -> GuestError {
    match error {
        Error::BadEvent { index, reason } => GuestError::BadEvent { index, reason },
        error => GuestError::Refused(format!("{error:?}")),
    }
}

fn schema(schema: Schema) -> GuestSchema {
    GuestSchema { name: schema.name, version: schema.version }
}

impl Guest for NativeGuest {
    fn init(&mut self, config: &str, state_budget_bytes: u64) -> Result<GuestSetup, GuestError> {
        let Setup { inputs, outputs, watermarks } = self.instance.init(config, state_budget_bytes).map_err(refused)?;
        self.inputs = inputs.len();
        Ok(GuestSetup { inputs, outputs, watermarks })
    }

    fn process(&mut self, batch: &[u8]) -> Result<Vec<u8>, GuestError> {
        self.call()?;
        let mut items = BatchReader::new(batch, self.inputs);
        let mut events = 0;
        while let Ok(Some(item)) = items.next_item() {
            let fails = match item {
                Item::Event { timestamp, .. } => {
                    events += 1;
                    Some(timestamp) == self.home.fails_over || self.home.fails_over_many && events > 1
                }
                Item::Watermark { ms } => Some(ms) == self.home.fails_over_watermark,
            };
            if fails {
                return Err(GuestError::Lost("it fails over an item".into()));
            }
        }
        self.home.longest.fetch_max(batch.len() as u64, Ordering::Relaxed);
        self.instance.process(batch).map_err(refused)
    }

    fn on_watermark(&mut self, ms: i64) -> Result<Vec<u8>, GuestError> {
        self.call()?;
        self.instance.on_watermark(ms).map_err(refused)
    }

    fn describe(&mut self) -> Result<GuestDescription, GuestError> {
        let description = self.instance.describe();
        Ok(GuestDescription {
            name: description.name,
            version: description.version,
            schema: schema(description.schema),
        })
    }

    fn readable(&mut self) -> Result<Vec<GuestSchema>, GuestError> {
        Ok(self.instance.readable().into_iter().map(schema).collect())
    }

    fn checkpoint_begin(&mut self, epoch: u64, full: bool) -> Result<(), GuestError> {
        self.call()?;
        if self.home.fails_frames {
            return Err(GuestError::Lost("it fails over its frames".into()));
        }
        self.instance.checkpoint_begin(epoch, full).map_err(refused)
    }

    fn checkpoint_next(&mut self, max_bytes: u32) -> Result<Option<Vec<u8>>, GuestError> {
        self.call()?;
        self.instance.checkpoint_next(max_bytes).map_err(refused)
    }

    fn checkpoint_end(&mut self, epoch: u64, durable: bool) -> Result<(), GuestError> {
        self.call()?;
        self.instance.checkpoint_end(epoch, durable).map_err(refused)
    }

    fn restore(&mut self, frame: &[u8]) -> Result<(), GuestError> {
        self.call()?;
        self.instance.restore(frame).map_err(refused)
    }

    fn restore_end(&mut self) -> Result<(), GuestError> {
        self.call()?;
        self.instance.restore_end().map_err(refused)
    }
}

/// Counts and sums by key; gives a result for every second event, and one when a key was quiet for ten milliseconds of
/// event time. Refuses negative numbers.
#[derive(Debug, Default)]
pub struct Tally {
    timers: Timers,
    /// 0 and 1 are one; 2 reads what 1 wrote, and keeps sums tenfold.
    version: u32,
}

/// What it keeps of a key: events, sum, time of the last.
type Kept = (u64, i64, i64);

const QUIET_MS: i64 = 10;

impl Operator for Tally {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn schema(&self) -> Schema {
        Schema { name: "tally".into(), version: self.version.max(1) }
    }

    fn readable(&self) -> Vec<Schema> {
        if self.version == 2 { vec![Schema { name: "tally".into(), version: 1 }] } else { Vec::new() }
    }

    fn configure(&mut self, _config: &mut Config) -> Result<Setup, String> {
        Ok(Setup::new(["number"], ["events", "sum", "quiet"]).with_watermarks())
    }

    fn on_restored(&mut self, state: &State) -> Result<(), Failure> {
        self.timers.clear();
        state.for_each::<Kept>(&[], |key, (_, _, last)| {
            self.timers.set(None, last + QUIET_MS, key);
            Ok(())
        })?;
        Ok(())
    }

    fn check(&self, event: &Event<'_>) -> Result<(), String> {
        match event.values {
            [Value::Int(number)] if *number < 0 => Err(format!("{number} is negative")),
            _ => Ok(()),
        }
    }

    fn on_event(&mut self, state: &mut State, event: &Event<'_>, out: &mut Results<'_>) -> Result<(), Failure> {
        let kept = state.get::<Kept>(event.key)?;
        let (events, sum, last) = kept.unwrap_or((0, 0, i64::MIN));
        let number = if let [Value::Int(number)] = event.values { *number } else { 0 };
        let factor = if self.version == 2 { 10 } else { 1 };
        let now: Kept = (events + 1, sum.wrapping_add(number.wrapping_mul(factor)), last.max(event.timestamp));
        state.set(event.key, &now)?;
        self.timers.set(kept.map(|_| last + QUIET_MS), now.2 + QUIET_MS, event.key);
        if now.0.is_multiple_of(2) {
            out.give(event.timestamp, event.key, &[(now.0 as i64).into(), now.1.into(), false.into()]);
        }
        Ok(())
    }

    fn on_watermark(&mut self, state: &mut State, ms: i64, out: &mut Results<'_>) -> Result<(), Failure> {
        while let Some((due, key)) = self.timers.take_due(ms) {
            if let Some((events, sum, _)) = state.get::<Kept>(&key)? {
                out.give(due, &key, &[(events as i64).into(), sum.into(), true.into()]);
                state.remove(&key);
            }
        }
        Ok(())
    }

    fn migrate(&self, _from: &Schema, _key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (events, sum, last): Kept = postcard::from_bytes(value).map_err(|error| error.to_string())?;
        Ok(Some(postcard::to_allocvec(&(events, sum * 10, last)).map_err(|error| error.to_string())?))
    }
}

/// Counts all events; gives a result at the end of the source.
#[derive(Debug)]
struct Whole;

impl Operator for Whole {
    fn name(&self) -> &'static str {
        "whole"
    }

    fn schema(&self) -> Schema {
        Schema { name: "whole".into(), version: 1 }
    }

    fn configure(&mut self, _config: &mut Config) -> Result<Setup, String> {
        Ok(Setup::new([], ["events"]).with_watermarks())
    }

    fn on_event(&mut self, state: &mut State, _event: &Event<'_>, _out: &mut Results<'_>) -> Result<(), Failure> {
        let events: i64 = state.get(&[])?.unwrap_or(0);
        state.set(&[], &(events + 1))?;
        Ok(())
    }

    fn on_watermark(&mut self, state: &mut State, ms: i64, out: &mut Results<'_>) -> Result<(), Failure> {
        if ms == i64::MAX {
            out.give(ms, &[], &[state.get::<i64>(&[])?.unwrap_or(0).into()]);
        }
        Ok(())
    }
}
