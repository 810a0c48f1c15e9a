//! From text to a definition, and the words of the definition.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::document::{item_path, key_path};
use super::hint::{hint, shown};
use super::{
    ApplicationDefinition, Comparison, Compression, Compute, Condition, Document, Emit, Function, Operand,
    OperatorDefinition, OperatorKind, Skip, Test, read,
};
use crate::{Error, Result};

/// All functions, in the order messages list them.
const FUNCTIONS: [Function; 10] = [
    Function::Count,
    Function::Sum,
    Function::Min,
    Function::Max,
    Function::Avg,
    Function::Stddev,
    Function::First,
    Function::Last,
    Function::Distinct,
    Function::Median,
];

/// Keys of a condition that test something, in the order in which one entry is read. `le` comes before `lt`, so that
/// it is the one proposed for `lte`.
pub(super) const TESTS: [&str; 8] = ["eq", "ne", "le", "lt", "ge", "gt", "in", "null"];

impl ApplicationDefinition {
    /// Reads a definition out of a document, and checks it.
    ///
    /// # Errors
    /// [`Error::Definition`] with the path of the first thing wrong.
    pub fn from_document(document: &Document) -> Result<Self> {
        let definition = read::application(document)?;
        definition.check()?;
        Ok(definition)
    }

    /// Reads a definition out of JSON, and checks it.
    ///
    /// ```
    /// use eventflux_core::definition::ApplicationDefinition;
    /// let error = ApplicationDefinition::from_json(r#"{ "nmae": "flights" }"#).unwrap_err();
    /// assert_eq!(error.to_string(), "nmae: unknown key; did you mean `name`?");
    /// ```
    ///
    /// # Errors
    /// [`Error::Definition`] with the path of the first thing wrong; for text that is not JSON, its line and column.
    pub fn from_json(json: &str) -> Result<Self> {
        let document: Document = serde_json::from_str(json).map_err(|error| {
            let (line, column, reason) = (error.line(), error.column(), error.to_string());
            let reason = reason.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&reason);
            Error::definition(format!("line {line}, column {column}"), reason)
        })?;
        Self::from_document(&document)
    }
}

impl OperatorDefinition {
    /// `window`, `pattern`, `aggregation` or `plugin`.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            OperatorKind::Window { .. } => "window",
            OperatorKind::Pattern { .. } => "pattern",
            OperatorKind::Aggregation { .. } => "aggregation",
            OperatorKind::Plugin(_) => "plugin",
        }
    }

    /// The fields of the source that this operator needs, each with where it stands, such as `key[0]`.
    ///
    /// ```
    /// use eventflux_core::definition::{Condition, OperatorDefinition, WindowKind};
    /// let operator = OperatorDefinition::window("w", WindowKind::Length { events: 100 })
    ///     .key(["origin"])
    ///     .filter(Condition::ge("delay", 0))
    ///     .compute("worst", "max delay")?;
    /// let fields: Vec<(String, &str)> = operator.fields();
    /// assert_eq!(fields[0], ("key[0]".into(), "origin"));
    /// assert_eq!(fields[1], ("where[0].field".into(), "delay"));
    /// assert_eq!(fields[2], ("compute.worst".into(), "delay"));
    /// # Ok::<(), eventflux_core::Error>(())
    /// ```
    #[must_use]
    pub fn fields(&self) -> Vec<(String, &str)> {
        let mut fields: Vec<(String, &str)> = Vec::new();
        for (index, field) in self.key.iter().enumerate() {
            fields.push((item_path("key", index), field));
        }
        condition_fields("where", &self.filter, &mut fields);
        match &self.kind {
            OperatorKind::Pattern { steps, .. } => {
                for (index, step) in steps.iter().enumerate() {
                    let path = key_path(&item_path("pattern", index), "where");
                    condition_fields(&path, &step.conditions, &mut fields);
                }
            }
            OperatorKind::Window { compute, .. } => compute_fields("compute", compute, &mut fields),
            OperatorKind::Aggregation { compute, .. } => compute_fields("aggregate", compute, &mut fields),
            // It says itself which it wants, once it runs.
            OperatorKind::Plugin(_) => {}
        }
        fields
    }
}

fn condition_fields<'a>(path: &str, conditions: &'a [Condition], fields: &mut Vec<(String, &'a str)>) {
    let mut before = None;
    for (index, condition) in entries(conditions) {
        let path = item_path(path, index);
        if before.replace(index) != Some(index) {
            fields.push((key_path(&path, "field"), &condition.field));
        }
        if let Test::Compare { operand: Operand::Step { field, .. }, .. } = &condition.test {
            fields.push((key_path(&key_path(&path, condition.test.keyword()), "field"), field));
        }
    }
}

fn compute_fields<'a>(path: &str, compute: &'a [Compute], fields: &mut Vec<(String, &'a str)>) {
    for member in compute {
        if let Some(field) = &member.field {
            fields.push((key_path(path, &member.name), field));
        }
    }
}

/// The conditions, each with the number of the `where` entry that it came from.
///
/// Conditions that one entry could have made count as one entry: of one field, in the order of [`TESTS`].
pub(super) fn entries(conditions: &[Condition]) -> impl Iterator<Item = (usize, &Condition)> {
    let mut index = 0;
    let mut before: Option<&Condition> = None;
    conditions.iter().map(move |condition| {
        if before.is_some_and(|before| before.field != condition.field || before.test.rank() >= condition.test.rank()) {
            index += 1;
        }
        before = Some(condition);
        (index, condition)
    })
}

impl Test {
    /// Its key in a definition: `eq`, `in`, `null`.
    #[must_use]
    pub fn keyword(&self) -> &'static str {
        match self {
            Test::Compare { comparison, .. } => comparison.keyword(),
            Test::In(_) => "in",
            Test::Null(_) => "null",
        }
    }

    fn rank(&self) -> Option<usize> {
        TESTS.iter().position(|keyword| *keyword == self.keyword())
    }
}

impl Comparison {
    /// Its key in a definition, such as `ge`.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Comparison::Eq => "eq",
            Comparison::Ne => "ne",
            Comparison::Lt => "lt",
            Comparison::Le => "le",
            Comparison::Gt => "gt",
            Comparison::Ge => "ge",
        }
    }

    pub(super) fn from_keyword(keyword: &str) -> Option<Self> {
        use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
        [Eq, Ne, Lt, Le, Gt, Ge].into_iter().find(|comparison| comparison.keyword() == keyword)
    }
}

impl Function {
    /// Its name in a definition, such as `avg`.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Min => "min",
            Function::Max => "max",
            Function::Avg => "avg",
            Function::Stddev => "stddev",
            Function::First => "first",
            Function::Last => "last",
            Function::Distinct => "distinct",
            Function::Median => "median",
        }
    }
}

impl Compression {
    /// Its name in a definition.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
        }
    }
}

impl Skip {
    /// Its name in a definition.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Skip::PastLast => "past_last",
            Skip::None => "none",
        }
    }
}

impl Emit {
    /// Its name in a definition.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Emit::End => "end",
            Emit::Change => "change",
        }
    }
}

impl Compute {
    /// The function and its field as a definition has them: `avg dep_delay`, `count`.
    #[must_use]
    pub fn expression(&self) -> String {
        match &self.field {
            None => self.function.keyword().into(),
            Some(field) => format!("{} {field}", self.function.keyword()),
        }
    }

    /// Function and field from an expression; `path` is where it stands, for the error.
    pub(super) fn parse(path: &str, name: &str, expression: &str) -> Result<Self> {
        let expression = expression.trim();
        let (word, field) = expression.split_once(char::is_whitespace).unwrap_or((expression, ""));
        let Some(function) = FUNCTIONS.into_iter().find(|function| function.keyword() == word) else {
            let reason = if word.is_empty() {
                "must not be empty; give a function and its field, such as \"avg dep_delay\"".into()
            } else {
                let hint = hint(word, FUNCTIONS.iter().map(|function| function.keyword()));
                format!("unknown function `{}`{hint}", shown(word))
            };
            return Err(Error::definition(path, reason));
        };
        let field = Some(field.trim()).filter(|field| !field.is_empty()).map(String::from);
        Ok(Compute { name: name.into(), function, field })
    }
}
