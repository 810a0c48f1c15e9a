//! The wasmtime of a process: compiler, clock and compiled components.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use eventflux_core::definition::PluginLimits;
use eventflux_core::plugin::{self, CheckedGuest, Guest, GuestDescription, GuestHome, GuestSchema, shown_reason};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, OptLevel};

use super::cache::Cache;
use super::component::{self, Facts, digest, encode, hex};
use super::guest::WasmGuest;
use super::limiter::Limiter;
use super::world::PluginPre;

/// How often the clock of the deadlines ticks.
const TICK: Duration = Duration::from_millis(2);
/// Stack of an instance, in bytes.
const STACK_BYTES: usize = 512 * 1024;
/// How long to wait after the first failure; ten times as long after each that follows.
const BACK_OFF: Duration = Duration::from_millis(10);

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFacts {
    /// Name, version and schema.
    pub description: GuestDescription,
    /// Schemas that it restores.
    pub readable: Vec<GuestSchema>,
}

/// What plugins run in. One for all of a process is enough.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<Limiter>,
    cache: Option<Cache>,
    compiled: Mutex<HashMap<[u8; 32], Component>>,
    clock: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime with the user's cache of compiled components.
    ///
    /// # Errors
    /// What wasmtime says if it cannot run on this machine.
    pub fn new() -> Result<Self, String> {
        Self::with_cache(Cache::of_user())
    }

    /// A runtime that compiles anew each time.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn without_cache() -> Result<Self, String> {
        Self::with_cache(None)
    }

    /// A runtime that keeps compiled components in a directory, which must be the user's own.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn with_cache_in(directory: impl Into<std::path::PathBuf>) -> Result<Self, String> {
        Self::with_cache(Cache::at(directory.into()))
    }

    fn with_cache(cache: Option<Cache>) -> Result<Self, String> {
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(STACK_BYTES).cranelift_opt_level(OptLevel::Speed);
        // The same results on every machine.
        config.cranelift_nan_canonicalization(true).wasm_relaxed_simd(false);
        let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ticking, stopped) = (engine.clone(), Arc::clone(&stop));
        let clock = std::thread::Builder::new().name("eventflux-plugins".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                ticking.increment_epoch();
            }
        });
        let clock = clock.map_err(|error| format!("no thread for the clock of plugins: {error}"))?;
        let linker = Linker::new(&engine);
        let compiled = Mutex::default();
        Ok(Runtime(Arc::new(Inner { engine, linker, cache, compiled, clock: Some(clock), stop })))
    }

    /// A home for instances with these limits.
    #[must_use]
    pub fn home(&self, limits: PluginLimits) -> Home {
        Home { runtime: self.clone(), limits }
    }

    /// What a file says of itself, and whether the world fits. Nothing of it runs.
    #[must_use]
    pub fn inspect(&self, plugin: &plugin::Component) -> Facts {
        let mut facts = Facts {
            is_module: plugin.bytes.get(4) == Some(&1),
            bytes: plugin.bytes.len() as u64,
            digest: hex(&plugin.digest),
            ..Facts::default()
        };
        match self.compile(plugin) {
            Err(reason) => facts.misfits.push(shown_reason(&reason)),
            Ok(compiled) => {
                component::describe(&self.0.engine, &compiled, &mut facts);
                if facts.misfits.is_empty()
                    && let Err(reason) = self.instantiate_pre(&compiled)
                {
                    facts.misfits.push(shown_reason(&reason));
                }
            }
        }
        facts
    }

    /// The component that a plugin is, or that is made of it if it is a module.
    ///
    /// # Errors
    /// Why none can be made.
    pub fn to_component(&self, plugin: &plugin::Component) -> Result<Vec<u8>, String> {
        encode(&self.0.engine, &plugin.bytes)
    }

    /// What an instance with the usual limits says of itself.
    ///
    /// # Errors
    /// Why it says nothing.
    pub fn describe(&self, plugin: &plugin::Component) -> Result<GuestFacts, String> {
        let mut guest = CheckedGuest::new(
            self.home(PluginLimits::default()).start(plugin, 0).map_err(|reason| shown_reason(&reason))?,
        );
        let description = guest.describe().map_err(|error| error.to_string())?;
        let readable = guest.readable().map_err(|error| error.to_string())?;
        Ok(GuestFacts { description, readable })
    }

    fn compile(&self, plugin: &plugin::Component) -> Result<Component, String> {
        if digest(&plugin.bytes) != plugin.digest {
            return Err("the component is not the one whose digest was recorded".into());
        }
        let mut compiled = self.0.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = compiled.get(&plugin.digest) {
            return Ok(component.clone());
        }
        let engine = &self.0.engine;
        let cached = self.0.cache.as_ref().and_then(|cache| cache.get(engine, &plugin.digest));
        let component = match cached {
            Some(component) => component,
            None => {
                let bytes = encode(engine, &plugin.bytes)?;
                let component = Component::from_binary(engine, &bytes)
                    .map_err(|error| format!("it is no valid component: {error:#}"))?;
                if let Some(cache) = &self.0.cache {
                    cache.put(engine, &plugin.digest, &component);
                }
                component
            }
        };
        compiled.insert(plugin.digest, component.clone());
        Ok(component)
    }

    fn instantiate_pre(&self, component: &Component) -> Result<PluginPre<Limiter>, String> {
        let types = component.component_type();
        if let Some((import, _)) = types.imports(&self.0.engine).next() {
            return Err(format!("it imports `{import}`; a plugin imports nothing"));
        }
        let linked = self.0.linker.instantiate_pre(component).and_then(PluginPre::new);
        linked.map_err(|error| format!("the world does not fit: {error:#}"))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(clock) = self.clock.take() {
            let _ = clock.join();
        }
    }
}

/// Where instances of a plugin come from, with its limits.
#[derive(Debug)]
pub struct Home {
    runtime: Runtime,
    limits: PluginLimits,
}

impl GuestHome for Home {
    fn start(&mut self, component: &plugin::Component, failures: u32) -> Result<Box<dyn Guest>, String> {
        if failures > 0 {
            std::thread::sleep(BACK_OFF * 10_u32.saturating_pow(failures - 1));
        }
        let compiled = self.runtime.compile(component)?;
        let pre = self.runtime.instantiate_pre(&compiled)?;
        let time = Duration::from_millis(self.limits.time_ms.unsigned_abs());
        let ticks = (time.as_millis() / TICK.as_millis()) as u64 + 2;
        let guest = WasmGuest::start(&pre, &self.runtime.0.engine, self.limits, ticks)?;
        Ok(Box::new(guest))
    }
}
