//! Operators that are plugins: where the component is, its configuration, and what it may use.

use alloc::format;
use alloc::string::{String, ToString};

use super::Document;
use super::hint::shown;
use crate::limits::{PLUGIN_MEMORY_BYTES_MAX, PLUGIN_MEMORY_BYTES_MIN};

/// Units of sizes, longest text first, with their bytes.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// An operator that a component does (`plugin = "top_k.wasm"`).
///
/// ```
/// use eventflux_core::definition::{OperatorDefinition, PluginDefinition, PluginLimits};
/// let limits = PluginLimits { memory_bytes: 16 << 20, ..PluginLimits::default() };
/// let plugin = PluginDefinition { config: r#"{"k":3}"#.into(), limits, ..PluginDefinition::file("top_k.wasm") };
/// let operator = OperatorDefinition::plugin("top", plugin).key(["origin"]);
/// assert_eq!(operator.kind_name(), "plugin");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginDefinition {
    /// The component, or the module, relative to the definition.
    pub file: String,
    /// What it is given at its start: a JSON object.
    pub config: String,
    /// What it may use.
    pub limits: PluginLimits,
    /// What becomes of the application when the plugin fails for good.
    pub on_failure: OnFailure,
}

/// What an instance of a plugin may use (`limits`, may be left out). What it gives has bounds that follow from these:
/// see [`limits`](crate::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of memory, all of it together; 64 MiB unless given.
    pub memory_bytes: u64,
    /// Bytes of memory that its state may take, as it is told at its start; half of the memory unless given.
    pub state_bytes: Option<u64>,
    /// How long one call may take, in milliseconds; 1 s unless given.
    pub time_ms: i64,
}

/// What becomes of the application when a plugin has failed as often as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It stops as after a crash: the last checkpoint stays good, nothing is lost. The default.
    Stop,
    /// The other operators go on. The plugin gets no event any more, also not after a restart from a checkpoint that
    /// was taken since.
    Detach,
}

impl PluginDefinition {
    /// A component without configuration, with the usual limits.
    #[must_use]
    pub fn file(file: impl Into<String>) -> Self {
        PluginDefinition {
            file: file.into(),
            config: "{}".into(),
            limits: PluginLimits::default(),
            on_failure: OnFailure::Stop,
        }
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        PluginLimits { memory_bytes: 64 << 20, state_bytes: None, time_ms: 1_000 }
    }
}

impl PluginLimits {
    /// Bytes that the state may take.
    #[must_use]
    pub fn state_budget_bytes(&self) -> u64 {
        self.state_bytes.unwrap_or(self.memory_bytes / 2)
    }
}

impl OnFailure {
    /// As a definition writes it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            OnFailure::Stop => "stop",
            OnFailure::Detach => "detach",
        }
    }
}

/// Bytes of a text such as `64MiB`. The error says what is wrong.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong =
        |what: &str| format!("`{}` is not a size: {what}; examples: \"512KiB\", \"64MiB\", \"1GiB\"", shown(text));
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(wrong("a whole number is missing"));
    }
    let unit = unit.trim_start();
    let Some((_, unit_bytes)) = UNITS.iter().find(|(known, _)| *known == unit) else {
        return Err(wrong("the units are B, KiB, MiB, GiB"));
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_bytes));
    bytes.filter(|bytes| *bytes <= PLUGIN_MEMORY_BYTES_MAX).ok_or_else(|| wrong("it is larger than 4GiB"))
}

/// Why a size cannot be the limit of a memory.
pub(super) fn check_memory(bytes: u64) -> Result<(), String> {
    if (PLUGIN_MEMORY_BYTES_MIN..=PLUGIN_MEMORY_BYTES_MAX).contains(&bytes) {
        return Ok(());
    }
    Err(format!("is {bytes} bytes; at least {PLUGIN_MEMORY_BYTES_MIN}, at most {PLUGIN_MEMORY_BYTES_MAX}"))
}

/// A document as JSON, in one text for one document; nothing for one with a number that JSON does not have.
pub(super) fn document_to_json(document: &Document) -> Option<serde_json::Value> {
    Some(match document {
        Document::Null => serde_json::Value::Null,
        Document::Bool(bool) => (*bool).into(),
        Document::Int(int) => (*int).into(),
        Document::Float(float) => serde_json::Number::from_f64(*float)?.into(),
        Document::Text(text) => text.as_str().into(),
        Document::List(items) => items.iter().map(document_to_json).collect::<Option<_>>()?,
        Document::Table(entries) => {
            let members = entries.iter().map(|(key, document)| Some((key.to_string(), document_to_json(document)?)));
            members.collect::<Option<_>>()?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units() {
        for (text, bytes) in [("64MiB", 64 << 20), ("512 KiB", 512 << 10), ("1GiB", 1 << 30), (" 70000B ", 70_000)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (text, what) in [
            ("", "a whole number is missing"),
            ("64", "the units are B, KiB, MiB, GiB"),
            ("64MB", "the units are B, KiB, MiB, GiB"),
            ("1.5GiB", "the units are B, KiB, MiB, GiB"),
            ("5GiB", "it is larger than 4GiB"),
            ("99999999999999999999B", "it is larger than 4GiB"),
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is not a size: {what}; ")), "{error}");
        }
    }
}
