//! The one text of an operator: what its fingerprint is made from, and what users are shown.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::application::entries;
use super::{
    Compute, Condition, Operand, OperatorDefinition, OperatorKind, PatternStep, PluginDefinition, SourceDefinition,
    Test, WindowKind,
};
use crate::format::hash64;

impl SourceDefinition {
    /// What must stay the same for a run to go on where another one stopped: a hash (XXH3) of the
    /// fields, of which one is the time and some may stay text, and of the texts that stand for null.
    #[must_use]
    pub fn fingerprint<S: AsRef<str>>(&self, fields: &[S]) -> u64 {
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        let nulls = as_set(&self.null);
        let mut canonical = serde_json::json!({ "fields": fields, "null": nulls, "timestamp": self.timestamp });
        // Checkpoints from before there was this have none.
        if !self.text.is_empty() {
            canonical["text"] = as_set(&self.text).into();
        }
        hash64(canonical.to_string().as_bytes())
    }
}

/// Of texts whose order says nothing.
fn as_set(texts: &[String]) -> Vec<&str> {
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

impl OperatorDefinition {
    /// The operator as JSON, always the same text for the same operator: defaults filled in, members in a fixed
    /// order, durations in milliseconds. It is again a definition; only a `within` that is not there stays out.
    ///
    /// ```
    /// use eventflux_core::definition::OperatorDefinition;
    /// let operator = OperatorDefinition::aggregation("carriers").key(["carrier"]).compute("flights", "count")?;
    /// assert_eq!(
    ///     operator.to_canonical_json(),
    ///     r#"{"name":"carriers","key":["carrier"],"where":[],"aggregate":{"flights":"count"},"emit":"end"}"#,
    /// );
    /// # Ok::<(), eventflux_core::Error>(())
    /// ```
    #[must_use]
    pub fn to_canonical_json(&self) -> String {
        let mut json = self.begin_json();
        match &self.kind {
            OperatorKind::Window { window, compute } => {
                json.window(window);
                json.compute("compute", compute);
            }
            OperatorKind::Pattern { steps, within_ms, skip } => {
                json.steps(steps);
                if let Some(within_ms) = within_ms {
                    json.raw("within", &within_ms.to_string());
                }
                json.text("skip", skip.keyword());
            }
            OperatorKind::Aggregation { compute, emit } => {
                json.compute("aggregate", compute);
                json.text("emit", emit.keyword());
            }
            OperatorKind::Plugin(plugin) => json.plugin(plugin),
        }
        json.close('}');
        json.text
    }

    /// What must stay the same for a plugin to go on with its state, as far as it does not say so itself.
    pub(crate) fn to_plugin_json(&self) -> String {
        let mut json = self.begin_json();
        json.raw("plugin", "true");
        json.close('}');
        json.text
    }

    /// Name, key and filter.
    fn begin_json(&self) -> Json {
        let mut json = Json::default();
        json.open('{');
        json.text("name", &self.name);
        json.key("key");
        json.open('[');
        for field in &self.key {
            json.item(&quoted(field));
        }
        json.close(']');
        json.conditions("where", &self.filter);
        json
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON text in the order of the calls; `serde_json` would sort the members.
#[derive(Default)]
struct Json {
    text: String,
    /// Whether the next member or item is the first of its table or list.
    first: bool,
}

impl Json {
    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.first = true;
    }

    fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.first = false;
    }

    fn item(&mut self, json: &str) {
        if !self.first {
            self.text.push(',');
        }
        self.first = false;
        self.text.push_str(json);
    }

    /// The key of a member whose value follows.
    fn key(&mut self, key: &str) {
        self.item(&quoted(key));
        self.text.push(':');
    }

    fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.text.push_str(json);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.raw(key, &quoted(text));
    }

    fn window(&mut self, window: &WindowKind) {
        self.key("window");
        self.open('{');
        match window {
            WindowKind::Tumbling { size_ms } => self.raw("tumbling", &size_ms.to_string()),
            WindowKind::Session { gap_ms } => self.raw("session", &gap_ms.to_string()),
            WindowKind::Length { events } => self.raw("length", &events.to_string()),
            WindowKind::Hopping { size_ms, every_ms } => {
                self.key("hopping");
                self.open('{');
                self.raw("size", &size_ms.to_string());
                self.raw("every", &every_ms.to_string());
                self.close('}');
            }
        }
        self.close('}');
    }

    fn compute(&mut self, key: &str, compute: &[Compute]) {
        self.key(key);
        self.open('{');
        for member in compute {
            self.text(&member.name, &member.expression());
        }
        self.close('}');
    }

    fn plugin(&mut self, plugin: &PluginDefinition) {
        self.text("plugin", &plugin.file);
        self.raw("config", &plugin.config);
        self.key("limits");
        self.open('{');
        self.text("memory", &format!("{}B", plugin.limits.memory_bytes));
        self.text("state", &format!("{}B", plugin.limits.state_budget_bytes()));
        self.raw("time", &plugin.limits.time_ms.to_string());
        self.close('}');
        self.text("on_failure", plugin.on_failure.keyword());
    }

    fn steps(&mut self, steps: &[PatternStep]) {
        self.key("pattern");
        self.open('[');
        for step in steps {
            self.item("");
            self.open('{');
            self.text("step", &step.name);
            self.raw("next", if step.next { "true" } else { "false" });
            self.conditions("where", &step.conditions);
            self.close('}');
        }
        self.close(']');
    }

    fn conditions(&mut self, key: &str, conditions: &[Condition]) {
        self.key(key);
        self.open('[');
        let mut before = None;
        for (index, condition) in entries(conditions) {
            if before.replace(index) != Some(index) {
                if index > 0 {
                    self.close('}');
                }
                self.item("");
                self.open('{');
                self.text("field", &condition.field);
            }
            self.test(&condition.test);
        }
        if before.is_some() {
            self.close('}');
        }
        self.close(']');
    }

    fn test(&mut self, test: &Test) {
        self.key(test.keyword());
        match test {
            Test::Compare { operand: Operand::Value(value), .. } => self.text.push_str(&value.to_json().to_string()),
            Test::Compare { operand: Operand::Step { step, field }, .. } => {
                self.open('{');
                self.text("step", step);
                self.text("field", field);
                self.close('}');
            }
            Test::In(values) => {
                self.open('[');
                for value in values {
                    self.item(&value.to_json().to_string());
                }
                self.close(']');
            }
            Test::Null(null) => self.text.push_str(if *null { "true" } else { "false" }),
        }
    }
}
