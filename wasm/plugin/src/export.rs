//! The exports of the world: each hands its arguments to the one [`Instance`].

// What `wit_bindgen` writes: the functions that the host calls, with names of their own, and the memory that it hands
// over. Also the one hook by which the plugin's crate names its operator.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::operator::Operator;
use crate::{error, instance};

wit_bindgen::generate!({ world: "plugin", path: "wit" });

use exports::eventflux::plugin::checkpointing;
use exports::eventflux::plugin::operator::{self, BadEvent, Error, Setup};

unsafe extern "Rust" {
    /// Defined by the crate of the plugin, which names its operator by it.
    safe fn eventflux_operator() -> Box<dyn Operator>;
}

/// The one instance.
struct Single(RefCell<Option<instance::Instance>>);

// SAFETY: a plugin has no threads; the world imports nothing that could start one.
unsafe impl Sync for Single {}

static SINGLE: Single = Single(RefCell::new(None));

fn with<R>(call: impl FnOnce(&mut instance::Instance) -> R) -> R {
    let mut single = SINGLE.0.borrow_mut();
    call(single.get_or_insert_with(|| instance::Instance::new(eventflux_operator())))
}

struct Plugin;

export!(Plugin);

impl operator::Guest for Plugin {
    fn init(config: String, state_budget: u64) -> Result<Setup, Error> {
        let crate::Setup { inputs, outputs, watermarks } = with(|plugin| plugin.init(&config, state_budget))?;
        Ok(Setup { inputs, outputs, watermarks })
    }

    fn process(batch: Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(with(|plugin| plugin.process(&batch))?)
    }

    fn on_watermark(ms: i64) -> Result<Vec<u8>, Error> {
        Ok(with(|plugin| plugin.on_watermark(ms))?)
    }
}

impl checkpointing::Guest for Plugin {
    fn describe() -> checkpointing::Description {
        let instance::Description { name, version, schema } = with(|plugin| plugin.describe());
        checkpointing::Description { name, version, schema: schema.into() }
    }

    fn readable() -> Vec<checkpointing::Schema> {
        with(|plugin| plugin.readable()).into_iter().map(Into::into).collect()
    }

    fn checkpoint_begin(epoch: u64, full: bool) -> Result<(), Error> {
        Ok(with(|plugin| plugin.checkpoint_begin(epoch, full))?)
    }

    fn checkpoint_next(max_bytes: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(with(|plugin| plugin.checkpoint_next(max_bytes))?)
    }

    fn checkpoint_end(epoch: u64, durable: bool) -> Result<(), Error> {
        Ok(with(|plugin| plugin.checkpoint_end(epoch, durable))?)
    }

    fn restore(frame: Vec<u8>) -> Result<(), Error> {
        Ok(with(|plugin| plugin.restore(&frame))?)
    }

    fn restore_end() -> Result<(), Error> {
        Ok(with(|plugin| plugin.restore_end())?)
    }
}

impl From<crate::Schema> for checkpointing::Schema {
    fn from(schema: crate::Schema) -> Self {
        checkpointing::Schema { name: schema.name, version: schema.version }
    }
}

impl From<error::Error> for Error {
    fn from(error: error::Error) -> Self {
        match error {
            error::Error::BadConfig(reason) => Error::BadConfig(reason),
            error::Error::BadEvent { index, reason } => Error::BadEvent(BadEvent { index, reason }),
            error::Error::StateLimit(reason) => Error::StateLimit(reason),
            error::Error::UnsupportedSchema(reason) => Error::UnsupportedSchema(reason),
            error::Error::Corrupt(reason) => Error::Corrupt(reason),
            error::Error::ChainGap(reason) => Error::ChainGap(reason),
            error::Error::Internal(reason) => Error::Internal(reason),
        }
    }
}
