//! The very same operator and library as the plugin, behind Extism's interface.

use std::sync::Mutex;

use eventflux_plugin::Instance;
use extism_pdk::{FnResult, WithReturnCode, plugin_fn};

#[path = "../../../../wasm/plugin/examples/counter.rs"]
mod counter;

static INSTANCE: Mutex<Option<Instance>> = Mutex::new(None);

fn failed(reason: impl std::fmt::Debug) -> WithReturnCode<extism_pdk::Error> {
    WithReturnCode::new(extism_pdk::Error::msg(format!("{reason:?}")), 1)
}

#[plugin_fn]
pub fn init(config: String) -> FnResult<()> {
    let mut instance = Instance::new(Box::new(counter::Counter));
    instance.init(&config, 64 << 20).map_err(failed)?;
    *INSTANCE.lock().unwrap() = Some(instance);
    Ok(())
}

#[plugin_fn]
pub fn process(batch: Vec<u8>) -> FnResult<Vec<u8>> {
    let mut instance = INSTANCE.lock().unwrap();
    Ok(instance.as_mut().expect("initialised").process(&batch).map_err(failed)?)
}
