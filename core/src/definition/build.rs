//! Builder functions: a definition written in Rust.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::document::key_path;
use super::{
    ApplicationDefinition, CheckpointDefinition, Comparison, Compression, Compute, Condition, Emit, Operand,
    OperatorDefinition, OperatorKind, PatternStep, PluginDefinition, SinkDefinition, Skip, SourceDefinition, Test,
    WindowKind,
};
use crate::{Error, Result, Value};

impl ApplicationDefinition {
    /// An application with checkpoints and sink by default, and no operator yet.
    #[must_use]
    pub fn new(name: impl Into<String>, source: SourceDefinition) -> Self {
        let (checkpoint, sink) = (CheckpointDefinition::default(), SinkDefinition::default());
        ApplicationDefinition { name: name.into(), source, checkpoint, sink, operators: Vec::new() }
    }

    /// Sets when and where checkpoints go.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: CheckpointDefinition) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// Sets where results go.
    #[must_use]
    pub fn sink(mut self, sink: SinkDefinition) -> Self {
        self.sink = sink;
        self
    }

    /// Appends an operator.
    #[must_use]
    pub fn operator(mut self, operator: OperatorDefinition) -> Self {
        self.operators.push(operator);
        self
    }
}

impl SourceDefinition {
    /// Events from a file; name the field of their time with [`timestamp`](Self::timestamp).
    #[must_use]
    pub fn file(file: impl Into<String>) -> Self {
        SourceDefinition {
            file: file.into(),
            timestamp: String::new(),
            null: vec![String::new()],
            text: Vec::new(),
            watermark_delay_ms: 0,
            fields: None,
        }
    }

    /// The field that holds the time of an event.
    #[must_use]
    pub fn timestamp(mut self, field: impl Into<String>) -> Self {
        self.timestamp = field.into();
        self
    }

    /// Texts that stand for null.
    #[must_use]
    pub fn null<T: Into<String>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        self.null = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Fields whose values stay text though they look like numbers.
    #[must_use]
    pub fn text<T: Into<String>>(mut self, fields: impl IntoIterator<Item = T>) -> Self {
        self.text = fields.into_iter().map(Into::into).collect();
        self
    }

    /// How far the watermark stays behind the largest timestamp, in milliseconds.
    #[must_use]
    pub fn watermark_delay_ms(mut self, delay_ms: i64) -> Self {
        self.watermark_delay_ms = delay_ms;
        self
    }

    /// Names of the fields, where the source cannot tell them itself.
    #[must_use]
    pub fn fields<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.fields = Some(names.into_iter().map(Into::into).collect());
        self
    }
}

impl Default for CheckpointDefinition {
    fn default() -> Self {
        CheckpointDefinition {
            storage: "file:state".into(),
            interval_ms: Some(10_000),
            every_events: None,
            compression: Compression::Lz4,
            max_retained: 10,
        }
    }
}

impl SinkDefinition {
    /// Results to a file.
    #[must_use]
    pub fn file(file: impl Into<String>) -> Self {
        SinkDefinition { file: file.into() }
    }
}

impl Default for SinkDefinition {
    fn default() -> Self {
        SinkDefinition::file("-")
    }
}

impl OperatorDefinition {
    /// A window without functions yet.
    #[must_use]
    pub fn window(name: impl Into<String>, window: WindowKind) -> Self {
        Self::of_kind(name, OperatorKind::Window { window, compute: Vec::new() })
    }

    /// A pattern of these steps.
    #[must_use]
    pub fn pattern(name: impl Into<String>, steps: impl IntoIterator<Item = PatternStep>) -> Self {
        let steps = steps.into_iter().collect();
        Self::of_kind(name, OperatorKind::Pattern { steps, within_ms: None, skip: Skip::PastLast })
    }

    /// An aggregation without functions yet.
    #[must_use]
    pub fn aggregation(name: impl Into<String>) -> Self {
        Self::of_kind(name, OperatorKind::Aggregation { compute: Vec::new(), emit: Emit::End })
    }

    /// What a plugin does.
    #[must_use]
    pub fn plugin(name: impl Into<String>, plugin: PluginDefinition) -> Self {
        Self::of_kind(name, OperatorKind::Plugin(plugin))
    }

    fn of_kind(name: impl Into<String>, kind: OperatorKind) -> Self {
        OperatorDefinition { name: name.into(), key: Vec::new(), filter: Vec::new(), kind }
    }

    /// The fields whose values make the key.
    #[must_use]
    pub fn key<T: Into<String>>(mut self, fields: impl IntoIterator<Item = T>) -> Self {
        self.key = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Appends a condition that events must meet to reach the operator.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.filter.push(condition);
        self
    }

    /// Appends a function, such as `"count"` or `"avg dep_delay"`.
    ///
    /// # Errors
    /// [`Error::Definition`] if there is no such function, or this is a pattern.
    pub fn compute(mut self, name: &str, expression: &str) -> Result<Self> {
        match &mut self.kind {
            OperatorKind::Window { compute, .. } | OperatorKind::Aggregation { compute, .. } => {
                compute.push(Compute::new(name, expression)?);
                Ok(self)
            }
            OperatorKind::Pattern { .. } | OperatorKind::Plugin(_) => {
                Err(self.misplaced("compute", "windows and aggregations"))
            }
        }
    }

    /// Longest time from the first event of a match to the last, in milliseconds.
    ///
    /// # Errors
    /// [`Error::Definition`] if this is not a pattern.
    pub fn within_ms(mut self, ms: i64) -> Result<Self> {
        let OperatorKind::Pattern { within_ms, .. } = &mut self.kind else {
            return Err(self.misplaced("within", "patterns"));
        };
        *within_ms = Some(ms);
        Ok(self)
    }

    /// What a match does to the partial matches of its key.
    ///
    /// # Errors
    /// [`Error::Definition`] if this is not a pattern.
    pub fn skip(mut self, after_match: Skip) -> Result<Self> {
        let OperatorKind::Pattern { skip, .. } = &mut self.kind else {
            return Err(self.misplaced("skip", "patterns"));
        };
        *skip = after_match;
        Ok(self)
    }

    /// When results go out.
    ///
    /// # Errors
    /// [`Error::Definition`] if this is not an aggregation.
    pub fn emit(mut self, when: Emit) -> Result<Self> {
        let OperatorKind::Aggregation { emit, .. } = &mut self.kind else {
            return Err(self.misplaced("emit", "aggregations"));
        };
        *emit = when;
        Ok(self)
    }

    fn misplaced(&self, key: &str, owners: &str) -> Error {
        let (name, kind) = (super::hint::shown(&self.name), self.kind_name());
        Error::definition(key, format!("`{key}` belongs to {owners}; operator `{name}` is of kind {kind}"))
    }
}

impl Compute {
    /// A member of results from an expression such as `"count"` or `"avg dep_delay"`.
    ///
    /// ```
    /// use eventflux_core::definition::{Compute, Function};
    /// let compute = Compute::new("mean", "avg dep_delay")?;
    /// assert_eq!((compute.function, compute.field.as_deref()), (Function::Avg, Some("dep_delay")));
    /// let error = Compute::new("mean", "avrg dep_delay").unwrap_err();
    /// assert_eq!(error.to_string(), "compute.mean: unknown function `avrg`; did you mean `avg`?");
    /// # Ok::<(), eventflux_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Definition`] if there is no such function.
    pub fn new(name: &str, expression: &str) -> Result<Self> {
        Compute::parse(&key_path("compute", name), name, expression)
    }
}

impl PatternStep {
    /// A step that fits every event until it has conditions; events that do not fit are skipped.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        PatternStep { name: name.into(), next: false, conditions: Vec::new() }
    }

    /// A strict step: the very next event of the key must fit.
    #[must_use]
    pub fn next(name: impl Into<String>) -> Self {
        PatternStep { next: true, ..PatternStep::new(name) }
    }

    /// Appends a condition.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }
}

/// Conditions on a field. Numbers, texts and booleans become a [`Value`] by themselves.
///
/// ```
/// use eventflux_core::definition::{Comparison, Condition, Operand};
/// let long = Condition::ge("distance", 1000);
/// let new_york = Condition::is_in("origin", ["JFK", "LGA", "EWR"]);
/// let later_than_before = Condition::compare("dep_delay", Comparison::Gt, Operand::step("first", "dep_delay"));
/// ```
impl Condition {
    /// The field is equal to the value.
    #[must_use]
    pub fn eq(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::compare(field, Comparison::Eq, Operand::Value(value.into()))
    }

    /// The field is of the value's kind, and not equal.
    #[must_use]
    pub fn ne(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::compare(field, Comparison::Ne, Operand::Value(value.into()))
    }

    /// The field is less than the value.
    #[must_use]
    pub fn lt(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::compare(field, Comparison::Lt, Operand::Value(value.into()))
    }

    /// The field is at most the value.
    #[must_use]
    pub fn le(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::compare(field, Comparison::Le, Operand::Value(value.into()))
    }

    /// The field is greater than the value.
    #[must_use]
    pub fn gt(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::compare(field, Comparison::Gt, Operand::Value(value.into()))
    }

    /// The field is at least the value.
    #[must_use]
    pub fn ge(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::compare(field, Comparison::Ge, Operand::Value(value.into()))
    }

    /// The field is one of the values.
    #[must_use]
    pub fn is_in<T: Into<Value>>(field: impl Into<String>, values: impl IntoIterator<Item = T>) -> Self {
        Condition { field: field.into(), test: Test::In(values.into_iter().map(Into::into).collect()) }
    }

    /// The field is null (`true`), or is not (`false`).
    #[must_use]
    pub fn null(field: impl Into<String>, null: bool) -> Self {
        Condition { field: field.into(), test: Test::Null(null) }
    }

    /// Any comparison with any operand.
    #[must_use]
    pub fn compare(field: impl Into<String>, comparison: Comparison, operand: Operand) -> Self {
        Condition { field: field.into(), test: Test::Compare { comparison, operand } }
    }
}

impl Operand {
    /// A field of the event that an earlier step of the pattern took.
    #[must_use]
    pub fn step(step: impl Into<String>, field: impl Into<String>) -> Self {
        Operand::Step { step: step.into(), field: field.into() }
    }
}
