//! One instance: calls with a deadline, and what became of them in words.

use std::time::{Duration, Instant};

use eventflux_core::definition::PluginLimits;
use eventflux_core::limits::{PLUGIN_FRAME_BYTES, PLUGIN_FRAME_BYTES_COUNTED, plugin_results_bytes_max};
use eventflux_core::plugin::{Guest, GuestDescription, GuestError, GuestSchema, GuestSetup};
use wasmtime::{Engine, Store, Trap};

use super::limiter::Limiter;
use super::world::exports::eventflux::plugin::{checkpointing, operator};
use super::world::{Plugin, PluginPre};

/// Calls about frames, of one checkpoint or restore, may together take the time of so many calls, and of one more for
/// each [`PLUGIN_FRAME_BYTES`] of them: each alone may be in time, and all of them take days.
const FRAMES_TIME: u32 = 10;
/// At least so long, for a short limit is less than what a busy machine takes for many calls.
const FRAMES_TIME_MIN: Duration = Duration::from_secs(10);

/// What a call that hands out no results may have copied: names, schemas, reasons, one frame.
const COPIED_BYTES_MAX: usize = 16 << 20;

/// An instance of a plugin in its own store, which goes with it.
pub(super) struct WasmGuest {
    store: Store<Limiter>,
    plugin: Plugin,
    limits: PluginLimits,
    /// Ticks of the clock that a call may take.
    ticks: u64,
    /// Time that is left for frames.
    frames_left: Duration,
}

impl WasmGuest {
    pub(super) fn start(
        pre: &PluginPre<Limiter>,
        engine: &Engine,
        limits: PluginLimits,
        ticks: u64,
    ) -> Result<Self, String> {
        let mut store = Store::new(engine, Limiter::new(limits.memory_bytes));
        store.limiter(|limiter| limiter);
        store.set_epoch_deadline(ticks);
        let plugin = pre.instantiate(&mut store).map_err(|error| {
            let reason = why(&error, &limits, store.data());
            format!("it does not start: {reason}")
        })?;
        let mut guest = WasmGuest { store, plugin, limits, ticks, frames_left: Duration::ZERO };
        guest.begin_frames();
        Ok(guest)
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.limits.time_ms.unsigned_abs())
    }

    /// Frames come from here on.
    fn begin_frames(&mut self) {
        self.frames_left = self.time().saturating_mul(FRAMES_TIME).max(FRAMES_TIME_MIN);
    }

    /// Whether there is time left for a frame.
    fn check_frames(&self, call: &str) -> Result<(), GuestError> {
        if self.frames_left > Duration::ZERO {
            return Ok(());
        }
        let (time_ms, bytes) = (self.limits.time_ms, PLUGIN_FRAME_BYTES);
        let reason = format!(
            "its frames take too long together, with a limit of {time_ms} ms for each {bytes} bytes; raise \
             `limits.time`"
        );
        Err(GuestError::Lost(format!("`{call}`: {reason}")))
    }

    /// A call about a frame of so many bytes took so long.
    fn spend(&mut self, taken: Duration, bytes: usize) {
        let bytes = (bytes as u64).clamp(PLUGIN_FRAME_BYTES_COUNTED, PLUGIN_FRAME_BYTES.into());
        let earned = self.time().saturating_mul(bytes as u32) / PLUGIN_FRAME_BYTES;
        self.frames_left = self.frames_left.saturating_add(earned).saturating_sub(taken);
    }

    /// Begins a call: the deadline counts from here.
    fn begin(&mut self) {
        self.store.set_epoch_deadline(self.ticks);
        self.store.set_hostcall_fuel(COPIED_BYTES_MAX);
        self.store.data_mut().refused = false;
    }

    /// Begins a call that hands out results: as many bytes as the engine takes of one call.
    fn begin_results(&mut self) {
        self.begin();
        let bytes = plugin_results_bytes_max(self.limits.state_budget_bytes());
        self.store.set_hostcall_fuel(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// What a call gave.
    fn end<T>(&self, call: &str, given: wasmtime::Result<Result<T, operator::Error>>) -> Result<T, GuestError> {
        match given {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(refusal(call, error)),
            Err(error) => Err(self.lost(call, &error)),
        }
    }

    fn lost(&self, call: &str, error: &wasmtime::Error) -> GuestError {
        GuestError::Lost(format!("`{call}`: {}", why(error, &self.limits, self.store.data())))
    }
}

/// Why a call or a start ended early.
fn why(error: &wasmtime::Error, limits: &PluginLimits, limiter: &Limiter) -> String {
    let memory = || {
        if limiter.refused {
            format!("; it had asked for more memory than its limit of {} bytes", limits.memory_bytes)
        } else {
            String::new()
        }
    };
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => format!("no answer within its limit of {} ms", limits.time_ms),
        Some(Trap::StackOverflow) => "it used up its stack".into(),
        Some(Trap::UnreachableCodeReached) => format!("it panicked (`unreachable`){}", memory()),
        Some(trap) => format!("it trapped: {trap}{}", memory()),
        None => format!("{}{}", error.root_cause(), memory()),
    }
}

fn refusal(call: &str, error: operator::Error) -> GuestError {
    let (what, reason) = match error {
        operator::Error::BadEvent(operator::BadEvent { index, reason }) => {
            return GuestError::BadEvent { index, reason };
        }
        operator::Error::BadConfig(reason) => ("config", reason),
        operator::Error::StateLimit(reason) => ("its state is over its limit", reason),
        operator::Error::UnsupportedSchema(reason) => ("schema", reason),
        operator::Error::Corrupt(reason) => ("a frame is corrupt", reason),
        operator::Error::ChainGap(reason) => ("frames are missing", reason),
        operator::Error::Internal(reason) => ("internal error", reason),
    };
    GuestError::Refused(format!("`{call}`: {what}: {reason}"))
}

impl Guest for WasmGuest {
    fn init(&mut self, config: &str, state_budget_bytes: u64) -> Result<GuestSetup, GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_operator().call_init(&mut self.store, config, state_budget_bytes);
        let operator::Setup { inputs, outputs, watermarks } = self.end("init", answer)?;
        Ok(GuestSetup { inputs, outputs, watermarks })
    }

    fn process(&mut self, batch: &[u8]) -> Result<Vec<u8>, GuestError> {
        self.begin_results();
        let answer = self.plugin.eventflux_plugin_operator().call_process(&mut self.store, batch);
        self.end("process", answer)
    }

    fn on_watermark(&mut self, ms: i64) -> Result<Vec<u8>, GuestError> {
        self.begin_results();
        let answer = self.plugin.eventflux_plugin_operator().call_on_watermark(&mut self.store, ms);
        self.end("on-watermark", answer)
    }

    fn describe(&mut self) -> Result<GuestDescription, GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_describe(&mut self.store);
        let checkpointing::Description { name, version, schema } =
            answer.map_err(|error| self.lost("describe", &error))?;
        Ok(GuestDescription { name, version, schema: GuestSchema { name: schema.name, version: schema.version } })
    }

    fn readable(&mut self) -> Result<Vec<GuestSchema>, GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_readable(&mut self.store);
        let schemas = answer.map_err(|error| self.lost("readable", &error))?;
        Ok(schemas.into_iter().map(|schema| GuestSchema { name: schema.name, version: schema.version }).collect())
    }

    fn checkpoint_begin(&mut self, epoch: u64, full: bool) -> Result<(), GuestError> {
        self.begin_frames();
        self.begin();
        let checkpointing = self.plugin.eventflux_plugin_checkpointing();
        let answer = checkpointing.call_checkpoint_begin(&mut self.store, epoch, full);
        self.end("checkpoint-begin", answer)
    }

    fn checkpoint_next(&mut self, max_bytes: u32) -> Result<Option<Vec<u8>>, GuestError> {
        self.check_frames("checkpoint-next")?;
        let began = Instant::now();
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_checkpoint_next(&mut self.store, max_bytes);
        let frame = self.end("checkpoint-next", answer)?;
        self.spend(began.elapsed(), frame.as_ref().map_or(0, Vec::len));
        Ok(frame)
    }

    fn checkpoint_end(&mut self, epoch: u64, durable: bool) -> Result<(), GuestError> {
        self.begin();
        let checkpointing = self.plugin.eventflux_plugin_checkpointing();
        let answer = checkpointing.call_checkpoint_end(&mut self.store, epoch, durable);
        self.end("checkpoint-end", answer)
    }

    fn restore(&mut self, frame: &[u8]) -> Result<(), GuestError> {
        self.check_frames("restore")?;
        let began = Instant::now();
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_restore(&mut self.store, frame);
        self.end("restore", answer)?;
        self.spend(began.elapsed(), frame.len());
        Ok(())
    }

    fn restore_end(&mut self) -> Result<(), GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_restore_end(&mut self.store);
        self.end("restore-end", answer)
    }
}
