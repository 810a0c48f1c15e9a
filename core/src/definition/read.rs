//! The walk from a document to the definition. It settles shapes and types; what values must obey is in `check.rs`.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::application::TESTS;
use super::document::{item_path, key_path};
use super::hint::{hint, shown};
use super::plugin::{document_to_json, parse_size};
use super::{
    ApplicationDefinition, CheckpointDefinition, Comparison, Compression, Compute, Condition, Document, Emit,
    OnFailure, Operand, OperatorDefinition, OperatorKind, PatternStep, PluginDefinition, SinkDefinition, Skip,
    SourceDefinition, Test, WindowKind, duration,
};
use crate::{Error, Result, Value};

const KINDS: &str = "exactly one of `window`, `pattern`, `aggregate`, `plugin`";
const OPERATOR_KEYS: [&str; 14] = [
    "name",
    "window",
    "pattern",
    "aggregate",
    "plugin",
    "key",
    "where",
    "compute",
    "within",
    "skip",
    "emit",
    "config",
    "limits",
    "on_failure",
];
/// What only plugins have.
const PLUGIN_KEYS: [&str; 3] = ["config", "limits", "on_failure"];
const WINDOWS: [&str; 4] = ["tumbling", "hopping", "session", "length"];
const COMPUTE_WANTED: &str = "a table such as { flights = \"count\", mean_delay = \"avg dep_delay\" }";
const DURATION_WANTED: &str = "a duration: a text such as \"1h\", or a number of milliseconds";

/// One place of the document.
struct Node<'a> {
    path: String,
    document: &'a Document,
}

/// A table all of whose keys are known.
struct Table<'a> {
    path: String,
    entries: &'a [(String, Document)],
}

pub(super) fn application(document: &Document) -> Result<ApplicationDefinition> {
    let root = Node { path: String::new(), document };
    let table = root.table(
        "a table with the keys `name`, `source` and `operator`",
        "key",
        &["name", "source", "checkpoint", "sink", "operator"],
    )?;
    let operators = match table.get("operator") {
        None => Vec::new(),
        Some(node) => node.list("a list of operators")?.iter().map(operator).collect::<Result<_>>()?,
    };
    Ok(ApplicationDefinition {
        name: table.required_text("name", "a text such as \"flights\"")?,
        source: source(&table.required("source", "a table with the keys `file` and `timestamp`")?)?,
        checkpoint: table.get("checkpoint").map_or(Ok(CheckpointDefinition::default()), |node| checkpoint(&node))?,
        sink: table.get("sink").map_or(Ok(SinkDefinition::default()), |node| sink(&node))?,
        operators,
    })
}

fn source(node: &Node) -> Result<SourceDefinition> {
    let known = ["file", "timestamp", "null", "text", "watermark_delay", "fields"];
    let table = node.table("a table with the keys `file` and `timestamp`", "key", &known)?;
    let file = table.required_text("file", "a text such as \"flights.csv\", or \"-\" for standard input")?;
    let timestamp = table.required_text("timestamp", "the name of the field that holds the time")?;
    let mut source = SourceDefinition::file(file).timestamp(timestamp);
    if let Some(node) = table.get("null") {
        source.null = node.texts("a list of texts such as [\"\", \"NA\"]")?;
    }
    if let Some(node) = table.get("text") {
        source.text = node.texts("a list of names such as [\"order_number\"]")?;
    }
    if let Some(node) = table.get("watermark_delay") {
        source.watermark_delay_ms = node.duration_ms()?;
    }
    if let Some(node) = table.get("fields") {
        source.fields = Some(node.texts("a list of names such as [\"origin\", \"dep_delay\"]")?);
    }
    Ok(source)
}

fn checkpoint(node: &Node) -> Result<CheckpointDefinition> {
    let known = ["storage", "interval", "every_events", "compression", "max_retained"];
    let table = node.table("a table such as { interval = \"10s\" }", "key", &known)?;
    let mut checkpoint = CheckpointDefinition::default();
    if let Some(node) = table.get("storage") {
        checkpoint.storage = node.text("a text such as \"file:state\"")?.to_owned();
    }
    if let Some(node) = table.get("every_events") {
        checkpoint.every_events = Some(node.whole_number()?);
        checkpoint.interval_ms = None;
    }
    if let Some(node) = table.get("interval") {
        checkpoint.interval_ms = Some(node.duration_ms()?);
    }
    if let Some(node) = table.get("compression") {
        let choices = [Compression::Lz4, Compression::None].map(|choice| (choice.keyword(), choice));
        checkpoint.compression = node.choice("compression", &choices)?;
    }
    if let Some(node) = table.get("max_retained") {
        checkpoint.max_retained =
            u32::try_from(node.whole_number()?).map_err(|_| node.error(format!("must be at most {}", u32::MAX)))?;
    }
    Ok(checkpoint)
}

fn sink(node: &Node) -> Result<SinkDefinition> {
    let wanted = "a text such as \"out.ndjson\", or \"-\" for standard output";
    let table = node.table("a table such as { file = \"out.ndjson\" }", "key", &["file"])?;
    Ok(table
        .get("file")
        .map(|node| node.text(wanted))
        .transpose()?
        .map_or_else(SinkDefinition::default, SinkDefinition::file))
}

fn operator(node: &Node) -> Result<OperatorDefinition> {
    let table =
        node.table("a table with a `name` and a `window`, `pattern`, `aggregate` or `plugin`", "key", &OPERATOR_KEYS)?;
    let name = table.required_text("name", "a text such as \"origin_hourly\"")?;
    let kind = match (table.get("window"), table.get("pattern"), table.get("aggregate"), table.get("plugin")) {
        (Some(kind), None, None, None) => window_operator(&table, &kind)?,
        (None, Some(kind), None, None) => pattern_operator(&table, &kind)?,
        (None, None, Some(kind), None) => aggregation_operator(&table, &kind)?,
        (None, None, None, Some(kind)) => plugin_operator(&table, &kind)?,
        (None, None, None, None) => return Err(node.error(format!("has no kind; give {KINDS}"))),
        _ => return Err(node.error(format!("has more than one kind; give {KINDS}"))),
    };
    let key = table.get("key").map_or(Ok(Vec::new()), |node| node.texts("a list of fields such as [\"origin\"]"))?;
    let filter = table.get("where").map_or(Ok(Vec::new()), |node| conditions(&node))?;
    Ok(OperatorDefinition { name, key, filter, kind })
}

fn window_operator(table: &Table, kind: &Node) -> Result<OperatorKind> {
    table.refuse(&["within", "skip", "emit"], "this is a window")?;
    table.refuse(&PLUGIN_KEYS, "this is a window")?;
    let window = window(kind)?;
    let compute = compute(&table.required("compute", COMPUTE_WANTED)?)?;
    Ok(OperatorKind::Window { window, compute })
}

fn pattern_operator(table: &Table, kind: &Node) -> Result<OperatorKind> {
    table.refuse(&["compute", "emit"], "this is a pattern")?;
    table.refuse(&PLUGIN_KEYS, "this is a pattern")?;
    let steps = kind.list("a list of steps such as [{ step = \"first\", where = [ … ] }]")?;
    let steps = steps.iter().map(pattern_step).collect::<Result<_>>()?;
    let within_ms = table.get("within").map(|node| node.duration_ms()).transpose()?;
    let skips = [Skip::PastLast, Skip::None].map(|skip| (skip.keyword(), skip));
    let skip = table.get("skip").map_or(Ok(Skip::PastLast), |node| node.choice("skip", &skips))?;
    Ok(OperatorKind::Pattern { steps, within_ms, skip })
}

fn aggregation_operator(table: &Table, kind: &Node) -> Result<OperatorKind> {
    table.refuse(&["compute", "within", "skip"], "this is an aggregation, with its functions under `aggregate`")?;
    table.refuse(&PLUGIN_KEYS, "this is an aggregation")?;
    let compute = compute(kind)?;
    let emits = [Emit::End, Emit::Change].map(|emit| (emit.keyword(), emit));
    let emit = table.get("emit").map_or(Ok(Emit::End), |node| node.choice("emit", &emits))?;
    Ok(OperatorKind::Aggregation { compute, emit })
}

fn plugin_operator(table: &Table, kind: &Node) -> Result<OperatorKind> {
    table.refuse(&["compute", "within", "skip", "emit"], "this is a plugin, which has its own `config`")?;
    let mut plugin = PluginDefinition::file(kind.text("the path of a component, such as \"top_k.wasm\"")?);
    if let Some(node) = table.get("config") {
        node.entries("a table such as { k = 3 }")?;
        let config = document_to_json(node.document);
        let config =
            config.ok_or_else(|| node.error("has a number that is not finite, which a plugin cannot be told"))?;
        plugin.config = config.to_string();
    }
    if let Some(node) = table.get("limits") {
        let table =
            node.table("a table such as { memory = \"64MiB\", time = \"50ms\" }", "key", &["memory", "state", "time"])?;
        if let Some(node) = table.get("memory") {
            plugin.limits.memory_bytes = node.size_bytes()?;
        }
        plugin.limits.state_bytes = table.get("state").map(|node| node.size_bytes()).transpose()?;
        if let Some(node) = table.get("time") {
            plugin.limits.time_ms = node.duration_ms()?;
        }
    }
    let choices = [OnFailure::Stop, OnFailure::Detach].map(|choice| (choice.keyword(), choice));
    if let Some(node) = table.get("on_failure") {
        plugin.on_failure = node.choice("reaction", &choices)?;
    }
    Ok(OperatorKind::Plugin(plugin))
}

fn window(node: &Node) -> Result<WindowKind> {
    let wanted = "a table such as { tumbling = \"1h\" }";
    let table = node.table(wanted, "kind of window", &WINDOWS)?;
    let [(kind, document)] = table.entries else {
        return Err(node.error(format!("must be {wanted}, with exactly one of {}", WINDOWS.join(", "))));
    };
    let node = Node { path: key_path(&node.path, kind), document };
    Ok(match kind.as_str() {
        "tumbling" => WindowKind::Tumbling { size_ms: node.duration_ms()? },
        "session" => WindowKind::Session { gap_ms: node.duration_ms()? },
        "length" => WindowKind::Length { events: node.whole_number()? },
        _ => {
            let table = node.table("a table such as { size = \"1h\", every = \"10m\" }", "key", &["size", "every"])?;
            let size_ms = table.required("size", DURATION_WANTED)?.duration_ms()?;
            WindowKind::Hopping { size_ms, every_ms: table.required("every", DURATION_WANTED)?.duration_ms()? }
        }
    })
}

fn compute(node: &Node) -> Result<Vec<Compute>> {
    let members = node.entries(COMPUTE_WANTED)?.iter().map(|(name, document)| {
        let node = Node { path: key_path(&node.path, name), document };
        let expression = node.text("a text such as \"avg dep_delay\"")?;
        Compute::parse(&node.path, name, expression)
    });
    members.collect()
}

fn pattern_step(node: &Node) -> Result<PatternStep> {
    let table = node.table("a table such as { step = \"first\", where = [ … ] }", "key", &["step", "next", "where"])?;
    Ok(PatternStep {
        name: table.required_text("step", "a text such as \"first\"")?,
        next: table.get("next").map_or(Ok(false), |node| node.boolean())?,
        conditions: table.get("where").map_or(Ok(Vec::new()), |node| conditions(&node))?,
    })
}

fn conditions(node: &Node) -> Result<Vec<Condition>> {
    let mut all = Vec::new();
    for node in node.list("a list such as [{ field = \"dep_delay\", ge = 0 }]")? {
        let mut known = alloc::vec!["field"];
        known.extend(TESTS);
        let table = node.table("a table such as { field = \"dep_delay\", ge = 0 }", "key or comparison", &known)?;
        let field = table.required_text("field", "the name of a field")?;
        if table.entries.len() < 2 {
            return Err(node.error(format!("has no comparison; give one or more of {}", TESTS.join(", "))));
        }
        for keyword in TESTS {
            if let Some(node) = table.get(keyword) {
                all.push(Condition { field: field.clone(), test: test(keyword, &node)? });
            }
        }
    }
    Ok(all)
}

fn test(keyword: &str, node: &Node) -> Result<Test> {
    let Some(comparison) = Comparison::from_keyword(keyword) else {
        return match keyword {
            "null" => Ok(Test::Null(node.boolean()?)),
            _ => {
                let values = node.list("a list of values such as [\"JFK\", \"LGA\"]")?;
                let values = values.iter().map(|node| node.value("a text, a number or a boolean"));
                Ok(Test::In(values.collect::<Result<_>>()?))
            }
        };
    };
    let operand = if matches!(node.document, Document::Table(_)) {
        let wanted = "a table such as { step = \"first\", field = \"dep_delay\" }";
        let table = node.table(wanted, "key", &["step", "field"])?;
        let step = table.required_text("step", "the name of an earlier step")?;
        Operand::Step { step, field: table.required_text("field", "the name of a field")? }
    } else {
        Operand::Value(node.value("a text, a number, a boolean, or { step = …, field = … }")?)
    };
    Ok(Test::Compare { comparison, operand })
}

impl<'a> Node<'a> {
    fn error(&self, reason: impl Into<String>) -> Error {
        // The whole document has no path.
        Error::definition(if self.path.is_empty() { "definition" } else { &self.path }, reason)
    }

    fn wrong(&self, wanted: &str) -> Error {
        self.error(format!("must be {wanted}, found {}", self.document.kind()))
    }

    fn entries(&self, wanted: &str) -> Result<&'a [(String, Document)]> {
        let Document::Table(entries) = self.document else {
            return Err(self.wrong(wanted));
        };
        let mut keys = BTreeSet::new();
        match entries.iter().find(|(key, _)| !keys.insert(key.as_str())) {
            Some((key, _)) => Err(Error::definition(key_path(&self.path, key), "is given twice")),
            None => Ok(entries),
        }
    }

    /// A table without unknown keys; `noun` is what a key is.
    fn table(&self, wanted: &str, noun: &str, known: &[&str]) -> Result<Table<'a>> {
        let entries = self.entries(wanted)?;
        match entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => {
                let reason = format!("unknown {noun}{}", hint(key, known.iter().copied()));
                Err(Error::definition(key_path(&self.path, key), reason))
            }
            None => Ok(Table { path: self.path.clone(), entries }),
        }
    }

    fn list(&self, wanted: &str) -> Result<Vec<Node<'a>>> {
        let Document::List(items) = self.document else {
            return Err(self.wrong(wanted));
        };
        let node = |(index, document)| Node { path: item_path(&self.path, index), document };
        Ok(items.iter().enumerate().map(node).collect())
    }

    fn text(&self, wanted: &str) -> Result<&'a str> {
        let Document::Text(text) = self.document else {
            return Err(self.wrong(wanted));
        };
        Ok(text)
    }

    fn texts(&self, wanted: &str) -> Result<Vec<String>> {
        self.list(wanted)?.iter().map(|node| node.text("a text").map(String::from)).collect()
    }

    fn boolean(&self) -> Result<bool> {
        let Document::Bool(bool) = self.document else {
            return Err(self.wrong("true or false"));
        };
        Ok(*bool)
    }

    fn whole_number(&self) -> Result<u64> {
        let Document::Int(int) = self.document else {
            return Err(self.wrong("a whole number"));
        };
        u64::try_from(*int).map_err(|_| self.error(format!("must be at least 1, found {int}")))
    }

    fn duration_ms(&self) -> Result<i64> {
        match self.document {
            Document::Int(ms) => Ok(*ms),
            Document::Text(text) => duration::parse(text).map_err(|reason| self.error(reason)),
            _ => Err(self.wrong(DURATION_WANTED)),
        }
    }

    fn size_bytes(&self) -> Result<u64> {
        let text = self.text("a size such as \"64MiB\"")?;
        parse_size(text).map_err(|reason| self.error(reason))
    }

    fn choice<T: Copy>(&self, noun: &str, choices: &[(&str, T)]) -> Result<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let wanted: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
        let text = self.text(&wanted.join(" or "))?;
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Ok(*choice),
            None => Err(self.error(format!("unknown {noun} `{}`{}", shown(text), hint(text, names())))),
        }
    }

    fn value(&self, wanted: &str) -> Result<Value> {
        match self.document {
            Document::Bool(bool) => Ok(Value::from(*bool)),
            Document::Int(int) => Ok(Value::from(*int)),
            Document::Float(float) => Ok(Value::from(*float)),
            Document::Text(text) => Ok(Value::from(text.as_str())),
            Document::Null => {
                Err(self.error(format!("must be {wanted}, found null; to test for null write null = true")))
            }
            Document::List(_) | Document::Table(_) => Err(self.wrong(wanted)),
        }
    }
}

impl<'a> Table<'a> {
    fn get(&self, key: &str) -> Option<Node<'a>> {
        let (_, document) = self.entries.iter().find(|(name, _)| name == key)?;
        Some(Node { path: key_path(&self.path, key), document })
    }

    fn required(&self, key: &str, wanted: &str) -> Result<Node<'a>> {
        self.get(key).ok_or_else(|| Error::definition(key_path(&self.path, key), format!("is missing; give {wanted}")))
    }

    fn required_text(&self, key: &str, wanted: &str) -> Result<String> {
        self.required(key, wanted)?.text(wanted).map(String::from)
    }

    /// An error if the operator has one of these keys, which belong to other kinds.
    fn refuse(&self, keys: &[&str], this: &str) -> Result<()> {
        for key in keys {
            if let Some(node) = self.get(key) {
                let owner = match *key {
                    "within" | "skip" => "patterns",
                    "emit" => "aggregations",
                    "config" | "limits" | "on_failure" => "plugins",
                    _ => "windows",
                };
                return Err(node.error(format!("`{key}` belongs to {owner}; {this}")));
            }
        }
        Ok(())
    }
}
