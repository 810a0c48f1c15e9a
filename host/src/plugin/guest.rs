//! One instance: calls with a deadline, and what became of them in words.

use eventflux_core::definition::PluginLimits;
use eventflux_core::plugin::{Guest, GuestDescription, GuestError, GuestSchema, GuestSetup};
use wasmtime::{Engine, Store, Trap};

use super::limiter::Limiter;
use super::world::exports::eventflux::plugin::{checkpointing, operator};
use super::world::{Plugin, PluginPre};

/// An instance of a plugin in its own store, which goes with it.
pub(super) struct WasmGuest {
    store: Store<Limiter>,
    plugin: Plugin,
    limits: PluginLimits,
    /// Ticks of the clock that a call may take.
    ticks: u64,
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
        Ok(WasmGuest { store, plugin, limits, ticks })
    }

    /// Begins a call: the deadline counts from here.
    fn begin(&mut self) {
        self.store.set_epoch_deadline(self.ticks);
        self.store.data_mut().refused = false;
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
        self.begin();
        let answer = self.plugin.eventflux_plugin_operator().call_process(&mut self.store, batch);
        self.end("process", answer)
    }

    fn on_watermark(&mut self, ms: i64) -> Result<Vec<u8>, GuestError> {
        self.begin();
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
        self.begin();
        let checkpointing = self.plugin.eventflux_plugin_checkpointing();
        let answer = checkpointing.call_checkpoint_begin(&mut self.store, epoch, full);
        self.end("checkpoint-begin", answer)
    }

    fn checkpoint_next(&mut self, max_bytes: u32) -> Result<Option<Vec<u8>>, GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_checkpoint_next(&mut self.store, max_bytes);
        self.end("checkpoint-next", answer)
    }

    fn checkpoint_end(&mut self, epoch: u64, durable: bool) -> Result<(), GuestError> {
        self.begin();
        let checkpointing = self.plugin.eventflux_plugin_checkpointing();
        let answer = checkpointing.call_checkpoint_end(&mut self.store, epoch, durable);
        self.end("checkpoint-end", answer)
    }

    fn restore(&mut self, frame: &[u8]) -> Result<(), GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_restore(&mut self.store, frame);
        self.end("restore", answer)
    }

    fn restore_end(&mut self) -> Result<(), GuestError> {
        self.begin();
        let answer = self.plugin.eventflux_plugin_checkpointing().call_restore_end(&mut self.store);
        self.end("restore-end", answer)
    }
}
