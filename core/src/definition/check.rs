//! What every definition must obey, whether it was read or built.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::application::entries;
use super::document::{item_path, key_path};
use super::hint::{hint, shown};
use super::{
    ApplicationDefinition, CheckpointDefinition, Compute, Condition, Function, Operand, OperatorDefinition,
    OperatorKind, PatternStep, PluginDefinition, SourceDefinition, Test, WindowKind,
};
use crate::limits::{DURATION_MS_MAX, FIELDS_MAX, PATTERN_STEPS_MAX, STATES_MAX, WINDOWS_PER_EVENT_MAX};
use crate::{Error, Result, Value};

/// Most characters of a name.
const NAME_CHARS_MAX: usize = 100;
/// Members of a result that are not functions.
const RESERVED: [&str; 5] = ["operator", "key", "window_start", "window_end", "matched"];

impl ApplicationDefinition {
    /// Checks what types cannot: names, bounds, and what steps refer to. [`from_document`](Self::from_document) has
    /// done it; for a definition that was built or changed, whoever runs it does.
    ///
    /// ```
    /// use eventflux_core::definition::{ApplicationDefinition, SourceDefinition};
    /// let definition = ApplicationDefinition::new("flights", SourceDefinition::file("flights.csv").timestamp("time"));
    /// assert_eq!(definition.check().unwrap_err().to_string(), "operator: is missing; define at least one `[[operator]]`");
    /// ```
    ///
    /// # Errors
    /// [`Error::Definition`] with the path of the first thing wrong.
    pub fn check(&self) -> Result<()> {
        check_name("name", &self.name)?;
        check_source(&self.source)?;
        check_checkpoint(&self.checkpoint)?;
        check_not_empty("sink.file", &self.sink.file)?;
        if self.operators.is_empty() {
            return Err(Error::definition("operator", "is missing; define at least one `[[operator]]`"));
        }
        // The plain values are a state too.
        check_count("operator", self.operators.len(), STATES_MAX - 1)?;
        let mut names = BTreeSet::new();
        for (index, operator) in self.operators.iter().enumerate() {
            let path = item_path("operator", index);
            check_operator(&path, operator)?;
            let name = &operator.name;
            if !names.insert(name.as_str()) {
                let first = self.operators.iter().position(|other| other.name == *name).unwrap_or(index);
                let reason = format!("`{name}` is already the name of operator[{first}]; each needs its own");
                return Err(Error::definition(key_path(&path, "name"), reason));
            }
        }
        Ok(())
    }
}

fn check_source(source: &SourceDefinition) -> Result<()> {
    check_not_empty("source.file", &source.file)?;
    check_not_empty("source.timestamp", &source.timestamp)?;
    check_duration("source.watermark_delay", source.watermark_delay_ms, 0)?;
    check_fields("source.text", &source.text)?;
    if let Some(at) = source.text.iter().position(|field| *field == source.timestamp) {
        return Err(Error::definition(
            item_path("source.text", at),
            format!("`{}` holds the time, which is no text", shown(&source.timestamp)),
        ));
    }
    if let Some(fields) = &source.fields {
        if fields.is_empty() {
            return Err(Error::definition("source.fields", "must not be empty"));
        }
        check_fields("source.fields", fields)?;
    }
    Ok(())
}

fn check_checkpoint(checkpoint: &CheckpointDefinition) -> Result<()> {
    check_not_empty("checkpoint.storage", &checkpoint.storage)?;
    if let Some(interval_ms) = checkpoint.interval_ms {
        check_duration("checkpoint.interval", interval_ms, 1)?;
    }
    if checkpoint.every_events == Some(0) {
        return Err(Error::definition("checkpoint.every_events", "must be at least 1, found 0"));
    }
    if checkpoint.max_retained == 0 {
        return Err(Error::definition("checkpoint.max_retained", "must be at least 1, found 0"));
    }
    Ok(())
}

fn check_operator(path: &str, operator: &OperatorDefinition) -> Result<()> {
    check_name(&key_path(path, "name"), &operator.name)?;
    check_fields(&key_path(path, "key"), &operator.key)?;
    check_conditions(&key_path(path, "where"), &operator.filter, None)?;
    match &operator.kind {
        OperatorKind::Window { window, compute } => {
            check_window(&key_path(path, "window"), window)?;
            check_compute(&key_path(path, "compute"), compute)
        }
        OperatorKind::Pattern { steps, within_ms, skip: _ } => {
            check_steps(&key_path(path, "pattern"), steps)?;
            within_ms.map_or(Ok(()), |within_ms| check_duration(&key_path(path, "within"), within_ms, 0))
        }
        OperatorKind::Aggregation { compute, emit: _ } => check_compute(&key_path(path, "aggregate"), compute),
        OperatorKind::Plugin(plugin) => check_plugin(path, plugin),
    }
}

fn check_plugin(path: &str, plugin: &PluginDefinition) -> Result<()> {
    check_not_empty(&key_path(path, "plugin"), &plugin.file)?;
    if !matches!(serde_json::from_str(&plugin.config), Ok(serde_json::Value::Object(_))) {
        return Err(Error::definition(key_path(path, "config"), "must be a JSON object"));
    }
    let path = key_path(path, "limits");
    let limits = &plugin.limits;
    let memory = |key: &str, bytes| {
        super::plugin::check_memory(bytes).map_err(|reason| Error::definition(key_path(&path, key), reason))
    };
    memory("memory", limits.memory_bytes)?;
    if let Some(state_bytes) = limits.state_bytes {
        memory("state", state_bytes)?;
        if state_bytes > limits.memory_bytes {
            let reason = format!(
                "is {state_bytes} bytes; the state lies in the plugin's memory, of which `memory` allows {} bytes",
                limits.memory_bytes
            );
            return Err(Error::definition(key_path(&path, "state"), reason));
        }
    }
    check_duration(&key_path(&path, "time"), limits.time_ms, 1)
}

fn check_window(path: &str, window: &WindowKind) -> Result<()> {
    match *window {
        WindowKind::Tumbling { size_ms } => check_duration(&key_path(path, "tumbling"), size_ms, 1),
        WindowKind::Session { gap_ms } => check_duration(&key_path(path, "session"), gap_ms, 1),
        WindowKind::Length { events: 0 } => {
            Err(Error::definition(key_path(path, "length"), "must be at least 1, found 0"))
        }
        WindowKind::Length { .. } => Ok(()),
        WindowKind::Hopping { size_ms, every_ms } => {
            let path = key_path(path, "hopping");
            check_duration(&key_path(&path, "size"), size_ms, 1)?;
            check_duration(&key_path(&path, "every"), every_ms, 1)?;
            let windows = (size_ms - 1) / every_ms + 1;
            if windows > WINDOWS_PER_EVENT_MAX {
                let reason = format!(
                    "puts an event into {windows} windows; `size` / `every` is at most {WINDOWS_PER_EVENT_MAX}"
                );
                return Err(Error::definition(key_path(&path, "every"), reason));
            }
            Ok(())
        }
    }
}

fn check_compute(path: &str, compute: &[Compute]) -> Result<()> {
    if compute.is_empty() {
        return Err(Error::definition(path, "must not be empty; give a function, such as flights = \"count\""));
    }
    check_count(path, compute.len(), FIELDS_MAX)?;
    let mut names = BTreeSet::new();
    for Compute { name, function, field } in compute {
        let path = key_path(path, name);
        check_name(&path, name)?;
        if RESERVED.contains(&name.as_str()) {
            let reason =
                format!("`{name}` is a member of every result; choose another name than {}", RESERVED.join(", "));
            return Err(Error::definition(path, reason));
        }
        if !names.insert(name.as_str()) {
            return Err(Error::definition(path, "is given twice"));
        }
        match field {
            Some(field) => check_not_empty(&path, field)?,
            None if *function == Function::Count => {}
            None => {
                let function = function.keyword();
                let reason = format!(
                    "`{function}` needs a field, such as \"{function} dep_delay\"; only `count` may go without"
                );
                return Err(Error::definition(path, reason));
            }
        }
    }
    Ok(())
}

fn check_steps(path: &str, steps: &[PatternStep]) -> Result<()> {
    if steps.is_empty() {
        return Err(Error::definition(
            path,
            "must not be empty; give a step, such as { step = \"first\", where = [ … ] }",
        ));
    }
    check_count(path, steps.len(), PATTERN_STEPS_MAX)?;
    for (index, step) in steps.iter().enumerate() {
        let path = item_path(path, index);
        check_name(&key_path(&path, "step"), &step.name)?;
        if steps.iter().take(index).any(|earlier| earlier.name == step.name) {
            let reason = format!("`{}` is already the name of an earlier step; each needs its own", step.name);
            return Err(Error::definition(key_path(&path, "step"), reason));
        }
        if step.next && index == 0 {
            return Err(Error::definition(
                key_path(&path, "next"),
                "has no meaning in the first step: no event comes before it",
            ));
        }
        check_conditions(&key_path(&path, "where"), &step.conditions, Some((steps, index)))?;
    }
    Ok(())
}

/// `place` is the step that has the conditions, and all steps; `None` outside a pattern.
fn check_conditions(path: &str, conditions: &[Condition], place: Option<(&[PatternStep], usize)>) -> Result<()> {
    check_count(path, conditions.len(), FIELDS_MAX)?;
    for (index, condition) in entries(conditions) {
        let path = item_path(path, index);
        check_not_empty(&key_path(&path, "field"), &condition.field)?;
        let path = key_path(&path, condition.test.keyword());
        match &condition.test {
            Test::Compare { operand: Operand::Value(value), .. } => check_constant(&path, value)?,
            Test::Compare { operand: Operand::Step { step, field }, .. } => {
                let Some((steps, own)) = place else {
                    let reason = "names a step; only the conditions of a pattern's step can do that";
                    return Err(Error::definition(path, reason));
                };
                check_step_name(&key_path(&path, "step"), step, steps, own)?;
                check_not_empty(&key_path(&path, "field"), field)?;
            }
            Test::In(values) => {
                if values.is_empty() {
                    return Err(Error::definition(path, "must not be empty: no event could meet it"));
                }
                for (index, value) in values.iter().enumerate() {
                    check_constant(&item_path(&path, index), value)?;
                }
            }
            Test::Null(_) => {}
        }
    }
    Ok(())
}

fn check_step_name(path: &str, name: &str, steps: &[PatternStep], own: usize) -> Result<()> {
    let quoted = shown(name);
    let reason = match steps.iter().position(|step| step.name == name) {
        Some(found) if found < own => return Ok(()),
        Some(found) if found == own => format!("`{quoted}` is this step itself; name an earlier one"),
        Some(_) => format!("`{quoted}` is a later step; name an earlier one"),
        None if own == 0 => format!("unknown step `{quoted}`; the first step has none before it"),
        None => {
            let earlier = steps.iter().take(own).map(|step| step.name.as_str());
            format!("unknown step `{quoted}`{}", hint(name, earlier))
        }
    };
    Err(Error::definition(path, reason))
}

fn check_constant(path: &str, value: &Value) -> Result<()> {
    match value {
        Value::Float(float) if !float.is_finite() => {
            Err(Error::definition(path, format!("must be a finite number, found {float}")))
        }
        Value::Null => Err(Error::definition(path, "must not be null; to test for null write null = true")),
        _ => Ok(()),
    }
}

fn check_duration(path: &str, ms: i64, ms_min: i64) -> Result<()> {
    if ms < ms_min {
        let least = if ms_min == 0 { "must not be negative" } else { "must be longer than 0" };
        return Err(Error::definition(path, format!("{least}, found {ms} ms")));
    }
    if ms > DURATION_MS_MAX {
        return Err(Error::definition(path, format!("is {ms} ms; at most {DURATION_MS_MAX}")));
    }
    Ok(())
}

fn check_name(path: &str, name: &str) -> Result<()> {
    check_not_empty(path, name)?;
    let chars = name.chars().count();
    if chars > NAME_CHARS_MAX {
        return Err(Error::definition(path, format!("has {chars} characters; a name has at most {NAME_CHARS_MAX}")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::definition(path, format!("`{}` has control characters; a name has none", shown(name))));
    }
    Ok(())
}

fn check_fields(path: &str, fields: &[String]) -> Result<()> {
    check_count(path, fields.len(), FIELDS_MAX)?;
    let mut names = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let path = item_path(path, index);
        check_not_empty(&path, field)?;
        if !names.insert(field.as_str()) {
            return Err(Error::definition(path, format!("`{}` is given twice", shown(field))));
        }
    }
    Ok(())
}

fn check_not_empty(path: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::definition(path, "must not be empty"));
    }
    Ok(())
}

fn check_count(path: &str, found: usize, limit: usize) -> Result<()> {
    if found > limit {
        return Err(Error::definition(path, format!("has {found} entries; at most {limit}")));
    }
    Ok(())
}
