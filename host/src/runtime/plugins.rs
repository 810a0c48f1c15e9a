//! The plugins of an application: found, started and attached to its engine.

use eventflux_core::Engine;

use super::Runtime;
use crate::error::Result;

/// Gives each operator that is a plugin its component.
#[cfg(feature = "plugins")]
pub(super) fn attach(runtime: &Runtime, engine: &mut Engine) -> Result<()> {
    use eventflux_core::definition::OperatorKind;

    use crate::error::Error;
    use crate::plugin;

    if !engine.has_plugins() {
        return Ok(());
    }
    let home = match &runtime.plugins {
        Some(home) => home.clone(),
        None => plugin::Runtime::new().map_err(|reason| Error::Plugin { file: "wasmtime".into(), reason })?,
    };
    for operator in &runtime.definition.operators {
        if let OperatorKind::Plugin(plugin) = &operator.kind {
            let component = plugin::load(&runtime.base.join(&plugin.file))?;
            engine.attach_plugin(&operator.name, component, Box::new(home.home(plugin.limits)))?;
        }
    }
    Ok(())
}

/// Refuses plugins.
#[cfg(not(feature = "plugins"))]
pub(super) fn attach(runtime: &Runtime, engine: &mut Engine) -> Result<()> {
    if !engine.has_plugins() {
        return Ok(());
    }
    let is_plugin = |at: &usize| runtime.definition.operators[*at].kind_name() == "plugin";
    let at = (0..runtime.definition.operators.len()).find(is_plugin).unwrap_or_default();
    Err(eventflux_core::Error::Definition {
        path: format!("operator[{at}].plugin"),
        reason: String::from("this build runs no plugins; build it with `--features plugins`"),
    }
    .into())
}

/// Says what happened to plugins since the last time.
pub(super) fn tell(engine: &mut Engine) {
    for notice in engine.take_plugin_notices() {
        tracing::warn!("{notice}");
    }
}
