//! A plugin that misbehaves, for the tests of hosts. `{"behaviour": "loop", "after": 100}` counts events by key as
//! `counter.rs` does, and does what it says once so many events have come. It is written on the core alone, without the
//! library's care: what it answers is whatever bytes it likes.
#![cfg_attr(target_arch = "wasm32", no_std)]
// The exports, written by `wit_bindgen`, and the one static variable of a plugin without threads.
#![allow(unsafe_code, missing_docs, unused_qualifications)]
#![cfg(target_arch = "wasm32")]
#![allow(clippy::all)]

extern crate alloc;

#[path = "../src/runtime.rs"]
mod runtime;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::hint::black_box;

use eventflux_core::Value;
use eventflux_core::plugin::{BatchReader, FrameError, FrameSchema, Frames, Item, PluginState, ResultsWriter};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as DeserializeError, StrDeserializer};

wit_bindgen::generate!({ world: "plugin", path: "wit" });

use exports::eventflux::plugin::checkpointing::{self, Description, Schema};
use exports::eventflux::plugin::operator::{self, BadEvent, Error, Setup};

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behaviour {
    /// Nothing bad.
    None,
    /// Never returns.
    Loop,
    /// Traps.
    Trap,
    /// Takes memory until it is refused, then traps.
    Grow,
    /// Takes memory until it is refused, then goes on as if nothing were.
    GrowAndGoOn,
    /// Calls itself until the stack ends.
    Stack,
    /// Is busy for some thousand million steps, then answers rightly.
    Slow,
    /// Results that are none.
    Garbage,
    /// Results whose key claims to be longer than they are.
    LyingLengths,
    /// A result of an item that was not in the batch.
    WrongItem,
    /// Results out of the order of their items.
    FallingItems,
    /// A result with one value too many.
    ExtraValue,
    /// 64 MiB of results.
    Flood,
    /// Says that an event is bad.
    BadEvent,
    /// Says that an event is bad which was not in the batch.
    BadEventLie,
    /// Says that its state is full.
    StateLimit,
    /// Says that something went wrong.
    Internal,
    /// Counts in a variable that no checkpoint has: after a restore it gives other results.
    Forgetful,
    /// `init` refuses the configuration.
    InitError,
    /// `init` traps.
    InitTrap,
    /// `init` never returns.
    InitLoop,
    /// `checkpoint-begin` fails.
    BeginError,
    /// Hands out frames of random bytes.
    FrameGarbage,
    /// Hands out a frame longer than was asked for.
    FrameHuge,
    /// Hands out frames without end.
    FramesEndless,
    /// Traps in `checkpoint-next`.
    FrameTrap,
    /// Never returns from `checkpoint-next`.
    FrameLoop,
    /// `checkpoint-end` fails.
    EndError,
    /// Refuses its own frames.
    RestoreError,
    /// Traps in `restore`.
    RestoreTrap,
    /// Never returns from `restore`.
    RestoreLoop,
    /// Refuses at the end of a restore.
    RestoreEndError,
}

struct Plugin {
    behaviour: Behaviour,
    after: u64,
    state: PluginState,
    frames: Frames,
    /// Events since the start of this instance.
    seen: u64,
}

struct Single(RefCell<Option<Plugin>>);

// SAFETY: a plugin has no threads.
unsafe impl Sync for Single {}

static PLUGIN: Single = Single(RefCell::new(None));

fn with<R>(call: impl FnOnce(&mut Plugin) -> Result<R, Error>) -> Result<R, Error> {
    let mut plugin = PLUGIN.0.borrow_mut();
    call(plugin.as_mut().ok_or_else(|| Error::Internal("not configured".into()))?)
}

impl Plugin {
    /// What to do in a call that is no batch; the behaviour of its own, if it is time for it.
    fn due(&self) -> Behaviour {
        if self.seen >= self.after { self.behaviour } else { Behaviour::None }
    }

    fn count(&mut self, batch: &[u8], writer: &mut ResultsWriter) -> Result<u32, Error> {
        let failed = |error: &dyn ToString| Error::Internal(error.to_string());
        let mut reader = BatchReader::new(batch, 0);
        let mut index = 0;
        while let Some(item) = reader.next_item().map_err(|error| failed(&error))? {
            if let Item::Event { timestamp, key, .. } = item {
                self.seen += 1;
                let count = self.state.get::<i64>(key).map_err(|error| failed(&error))?.unwrap_or(0) + 1;
                self.state.set(key, &count).map_err(|error| failed(&error))?;
                let shown = if self.behaviour == Behaviour::Forgetful { self.seen as i64 } else { count };
                writer.result(index, timestamp, key, [&Value::Int(shown)]);
            }
            index += 1;
        }
        Ok(index)
    }

    /// What a batch gets instead of its results, if anything.
    fn misbehave(&mut self, items: u32, results: &[u8]) -> Option<Result<Vec<u8>, Error>> {
        let mut writer = ResultsWriter::default();
        let mut one = |item: u32, values: &[Value]| writer.result(item, 0, b"", values);
        match self.due() {
            Behaviour::Loop => endless(),
            Behaviour::Trap => core::arch::wasm32::unreachable(),
            Behaviour::Grow => {
                grow();
                core::arch::wasm32::unreachable()
            }
            Behaviour::GrowAndGoOn => grow(),
            Behaviour::Stack => _ = black_box(deep(1)),
            Behaviour::Slow => _ = (0..3_000_000_000_u64).fold(0, |sum, step| black_box(sum ^ step)),
            Behaviour::Garbage => return Some(Ok(random(self.seen, 1000))),
            Behaviour::LyingLengths => {
                let mut lying = results.to_vec();
                lying.extend_from_slice(&[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
                return Some(Ok(lying));
            }
            Behaviour::WrongItem => one(items, &[Value::Int(1)]),
            Behaviour::FallingItems => {
                one(items - 1, &[Value::Int(1)]);
                one(0, &[Value::Int(1)]);
                if items == 1 {
                    one(1, &[Value::Int(1)]);
                }
            }
            Behaviour::ExtraValue => one(0, &[Value::Int(1), Value::Int(1)]),
            Behaviour::Flood => (0..8_000_000).for_each(|_| one(0, &[Value::Int(1 << 20)])),
            Behaviour::BadEvent => return Some(bad_event(0)),
            Behaviour::BadEventLie => return Some(bad_event(items + 7)),
            Behaviour::StateLimit => return Some(Err(Error::StateLimit("so it says".into()))),
            Behaviour::Internal => return Some(Err(Error::Internal("so it says".into()))),
            _ => {}
        }
        let bytes = writer.into_bytes();
        if bytes.is_empty() { None } else { Some(Ok(bytes)) }
    }
}

fn bad_event(index: u32) -> Result<Vec<u8>, Error> {
    Err(Error::BadEvent(BadEvent { index, reason: "so it says".into() }))
}

fn endless() -> ! {
    loop {
        black_box(());
    }
}

fn grow() {
    while core::arch::wasm32::memory_grow(0, 16) != usize::MAX {}
}

#[inline(never)]
fn deep(depth: u64) -> u64 {
    let here = black_box([depth; 64]);
    if here[0] == 0 {
        return 0;
    }
    deep(depth + 1) ^ here[(depth % 64) as usize]
}

/// Bytes that look random, the same at each call.
fn random(seed: u64, count: usize) -> Vec<u8> {
    let mut number = seed | 1;
    let step = |_| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number as u8
    };
    (0..count).map(step).collect()
}

/// What stands behind a name in an object of strings and numbers.
fn text_of<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = config.split_once(name)?;
    let (value, _) = behind.split_once([',', '}'])?;
    Some(value.trim_start_matches([' ', ':']).trim_end())
}

fn refused() -> Error {
    Error::Corrupt("so it says".into())
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Corrupt(reason) => Error::Corrupt(reason),
            FrameError::ChainGap(reason) => Error::ChainGap(reason),
            FrameError::Schema(reason) => Error::UnsupportedSchema(reason),
            FrameError::State(error) => Error::Internal(error.to_string()),
        }
    }
}

struct World;

export!(World);

impl operator::Guest for World {
    fn init(config: String, state_budget: u64) -> Result<Setup, Error> {
        let behaviour = text_of(&config, "\"behaviour\"").and_then(|name| {
            let name: StrDeserializer<'_, DeserializeError> = name.trim_matches('"').into_deserializer();
            Behaviour::deserialize(name).ok()
        });
        let behaviour = behaviour.ok_or_else(|| Error::BadConfig("`behaviour` is none that it has".into()))?;
        let after = text_of(&config, "\"after\"").and_then(|number| number.parse().ok()).unwrap_or(0);
        match behaviour {
            Behaviour::InitError => return Err(Error::BadConfig("so it says".into())),
            Behaviour::InitTrap => core::arch::wasm32::unreachable(),
            Behaviour::InitLoop => endless(),
            _ => {}
        }
        let state = PluginState::new(state_budget as usize);
        let frames = Frames::new(FrameSchema { name: "evil".into(), version: 1 });
        *PLUGIN.0.borrow_mut() = Some(Plugin { behaviour, after, state, frames, seen: 0 });
        Ok(Setup { inputs: Vec::new(), outputs: ["count".into()].into(), watermarks: false })
    }

    fn process(batch: Vec<u8>) -> Result<Vec<u8>, Error> {
        with(|plugin| {
            let mut writer = ResultsWriter::default();
            let items = plugin.count(&batch, &mut writer)?;
            plugin.misbehave(items, writer.bytes()).unwrap_or_else(|| Ok(writer.into_bytes()))
        })
    }

    fn on_watermark(_: i64) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }
}

impl checkpointing::Guest for World {
    fn describe() -> Description {
        let schema = Schema { name: "evil".into(), version: 1 };
        Description { name: "evil".into(), version: "1.0.0".into(), schema }
    }

    fn readable() -> Vec<Schema> {
        [Schema { name: "evil".into(), version: 1 }].into()
    }

    fn checkpoint_begin(epoch: u64, full: bool) -> Result<(), Error> {
        with(|plugin| match plugin.due() {
            Behaviour::BeginError => Err(Error::Internal("so it says".into())),
            _ => Ok(plugin.frames.begin(&mut plugin.state, epoch, full)?),
        })
    }

    fn checkpoint_next(max_bytes: u32) -> Result<Option<Vec<u8>>, Error> {
        with(|plugin| {
            let frame = plugin.frames.next_frame(&mut plugin.state, max_bytes as usize)?;
            match plugin.due() {
                Behaviour::FrameGarbage => Ok(frame.map(|frame| random(plugin.seen, frame.len()))),
                Behaviour::FrameHuge => Ok(Some(random(1, max_bytes as usize + 1))),
                Behaviour::FramesEndless => Ok(Some(random(1, 64))),
                Behaviour::FrameTrap => core::arch::wasm32::unreachable(),
                Behaviour::FrameLoop => endless(),
                _ => Ok(frame),
            }
        })
    }

    fn checkpoint_end(epoch: u64, durable: bool) -> Result<(), Error> {
        with(|plugin| match plugin.due() {
            Behaviour::EndError => Err(Error::Internal("so it says".into())),
            _ => Ok(plugin.frames.end(&mut plugin.state, epoch, durable)?),
        })
    }

    fn restore(frame: Vec<u8>) -> Result<(), Error> {
        with(|plugin| match plugin.behaviour {
            Behaviour::RestoreError => Err(refused()),
            Behaviour::RestoreTrap => core::arch::wasm32::unreachable(),
            Behaviour::RestoreLoop => endless(),
            _ => Ok(plugin.frames.restore(&frame, None)?),
        })
    }

    fn restore_end() -> Result<(), Error> {
        with(|plugin| match plugin.behaviour {
            Behaviour::RestoreEndError => Err(refused()),
            _ => Ok(plugin.frames.restore_end(&mut plugin.state, None)?),
        })
    }
}
