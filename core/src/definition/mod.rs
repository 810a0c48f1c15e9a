//! What an application is: its source, its checkpoints, its sink and its operators.
//!
//! The same definition comes as TOML (command), JSON (JavaScript) or from the builder functions of this module (Rust).
//! TOML and JSON become a [`Document`], and one walk makes an [`ApplicationDefinition`] of it; the builders make one
//! directly. All of them obey [`ApplicationDefinition::check`].
//!
//! Errors are [`Error::Definition`](crate::Error::Definition), whose path leads through the document, such as
//! `operator[1].window.tumbling`; a key that is not plain letters, digits, `_` or `-` is in quotes, as in TOML. The path
//! of something missing ends in the key that should be there.
//!
//! # What operators mean
//!
//! **Time** is event time, in milliseconds since 1970, UTC. The watermark is the largest timestamp seen less
//! `watermark_delay`; it never falls, and is +∞ once the source has ended. All intervals are half-open, `[start, end)`.
//!
//! **Events** go one by one: each is taken by the operators, in the order of the definition, then the watermark
//! advances. Any batching gives the same results.
//!
//! **Windows** by time are emitted once, when the watermark reaches their end; those of `length` when they are full,
//! and the rest at the end of the source. An event that belongs to no window still open is late: it is dropped and
//! counted ([`Engine::progress`](crate::Engine::progress)). A session is closed by its end after merging.
//!
//! **Patterns** see the events of a key in order of time, ties in input order, once the watermark has reached them. An
//! event whose time is below the watermark when it comes is late, as above. In a match, the time of the last event less
//! that of the first is at most `within`. An event first advances the partial matches of its key, oldest first; then,
//! if it fits the first step, it starts one of its own, unless it has just completed a match with [`Skip::PastLast`].
//!
//! **Functions** skip nulls, except `count` without a field, which counts events. Over no values `count` and `distinct`
//! are 0, all others null. Integers sum exactly in 64 bits, and an overflow is an error; other numbers sum as 64-bit
//! floats, in the order of events. `stddev` is that of the population; of an even number of values `median` is the mean
//! of the two in the middle; `first` and `last` go by time, then input order.
//!
//! **Conditions** (`eq ne lt le gt ge in null`): all must hold. Values of different kinds do not compare, so that no
//! condition holds, `ne` neither; of null only `null = true` holds. Integers and floats are one kind. Null is a key
//! like any other.
//!
//! **Order of results.** What needs no watermark (`length` windows, `emit = "change"`) goes out with its event. What
//! one step of the watermark releases is sorted by the window's end (of a pattern the time of its last event; +∞ at the
//! end of the source for groups and the rest of `length` windows), then operator, key (null < false < true < numbers <
//! text by bytes), and window start (of patterns input order).
//!
//! **Durations** are whole numbers with units, longer ones first: `250ms`, `30s`, `15m`, `1h30m`, `7d`.
//!
//! # Example
//!
//! ```
//! use eventflux_core::definition::{
//!     ApplicationDefinition, Comparison, Condition, Operand, OperatorDefinition, PatternStep, SourceDefinition, WindowKind,
//! };
//!
//! let source = SourceDefinition::file("flights.csv").timestamp("time_hour").watermark_delay_ms(86_400_000);
//! let built = ApplicationDefinition::new("flights", source)
//!     .operator(
//!         OperatorDefinition::window("hourly", WindowKind::Tumbling { size_ms: 3_600_000 })
//!             .key(["origin"])
//!             .filter(Condition::ge("dep_delay", 0))
//!             .compute("flights", "count")?
//!             .compute("worst", "max dep_delay")?,
//!     )
//!     .operator(
//!         OperatorDefinition::pattern(
//!             "later_and_later",
//!             [
//!                 PatternStep::new("first").filter(Condition::gt("dep_delay", 60)),
//!                 PatternStep::new("again")
//!                     .filter(Condition::compare("dep_delay", Comparison::Gt, Operand::step("first", "dep_delay"))),
//!             ],
//!         )
//!         .key(["tailnum"])
//!         .within_ms(21_600_000)?,
//!     );
//! built.check()?;
//!
//! let read = ApplicationDefinition::from_json(
//!     r#"{ "name": "flights",
//!          "source": { "file": "flights.csv", "timestamp": "time_hour", "watermark_delay": "24h" },
//!          "operator": [
//!            { "name": "hourly", "window": { "tumbling": "1h" }, "key": ["origin"],
//!              "where": [{ "field": "dep_delay", "ge": 0 }],
//!              "compute": { "flights": "count", "worst": "max dep_delay" } },
//!            { "name": "later_and_later", "key": ["tailnum"], "within": "6h",
//!              "pattern": [
//!                { "step": "first", "where": [{ "field": "dep_delay", "gt": 60 }] },
//!                { "step": "again",
//!                  "where": [{ "field": "dep_delay", "gt": { "step": "first", "field": "dep_delay" } }] }] }] }"#,
//! )?;
//! assert_eq!(read, built);
//! # Ok::<(), eventflux_core::Error>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use crate::Value;

mod application;
mod build;
mod canonical;
mod check;
mod document;
mod duration;
pub(crate) mod hint;
mod plugin;
mod read;
#[cfg(test)]
mod tests;

pub use crate::format::section::Compression;
pub use crate::function::Function;
pub use document::Document;
pub use hint::nearest;
pub use plugin::{OnFailure, PluginDefinition, PluginLimits};

/// A whole application: events of one source go through the operators, results to one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationDefinition {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Where events come from.
    pub source: SourceDefinition,
    /// When and where checkpoints go.
    pub checkpoint: CheckpointDefinition,
    /// Where results go.
    pub sink: SinkDefinition,
    /// The operators, at least one, names unique. Their order breaks ties of the output.
    pub operators: Vec<OperatorDefinition>,
}

/// Where events come from (`[source]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDefinition {
    /// The file, relative to the definition; `-` is standard input.
    pub file: String,
    /// The field that holds the time of an event.
    pub timestamp: String,
    /// Texts that stand for null; the empty text unless given.
    pub null: Vec<String>,
    /// Fields whose values stay text though they look like numbers, such as identifiers and codes; none unless given. Of
    /// numbers in JSON it is the text that stands there.
    pub text: Vec<String>,
    /// How far the watermark stays behind the largest timestamp, in milliseconds; 0 unless given.
    pub watermark_delay_ms: i64,
    /// Names of the fields, where the source cannot tell them itself.
    pub fields: Option<Vec<String>>,
}

/// When and where checkpoints go (`[checkpoint]`, may be left out).
///
/// ```
/// use eventflux_core::definition::CheckpointDefinition;
/// let checkpoint = CheckpointDefinition { every_events: Some(5000), interval_ms: None, ..Default::default() };
/// assert_eq!(checkpoint.storage, "file:state");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDefinition {
    /// Address of the storage; `file:state` unless given.
    pub storage: String,
    /// Time from one checkpoint to the next, in milliseconds, while events come; 10 s if `every_events` is not given
    /// either. With neither (possible only from Rust) a checkpoint is taken when the caller asks for one.
    pub interval_ms: Option<i64>,
    /// Events from one checkpoint to the next. With an interval too, whichever comes first.
    pub every_events: Option<u64>,
    /// How sections are compressed; LZ4 unless given.
    pub compression: Compression,
    /// How many checkpoints to keep, beside those with a label; 10 unless given, at least 1.
    pub max_retained: u32,
}

/// Where results go (`[sink]`, may be left out).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkDefinition {
    /// The file, relative to the definition; `-` is standard output, and the default.
    pub file: String,
}

/// One operator (`[[operator]]`).
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorDefinition {
    /// Its name: 1 to 100 characters, none of them control characters.
    pub name: String,
    /// Fields whose values make the key; without any, all events have one key.
    pub key: Vec<String>,
    /// Conditions an event must meet, all of them, to reach the operator (`where`).
    pub filter: Vec<Condition>,
    /// What it does.
    pub kind: OperatorKind,
}

/// What an operator does with the events of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorKind {
    /// Functions over stretches of events.
    Window {
        /// How events are divided into windows.
        window: WindowKind,
        /// Functions of each window, at least one.
        compute: Vec<Compute>,
    },
    /// A sequence of events.
    Pattern {
        /// The steps in order, at least one, names unique.
        steps: Vec<PatternStep>,
        /// Longest time from the first event to the last, in milliseconds.
        within_ms: Option<i64>,
        /// What a match does to the partial matches of its key.
        skip: Skip,
    },
    /// Functions over all events.
    Aggregation {
        /// Functions of each group, at least one.
        compute: Vec<Compute>,
        /// When results go out.
        emit: Emit,
    },
    /// What a plugin does.
    Plugin(PluginDefinition),
}

/// How events are divided into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// `[k·size, (k+1)·size)` for every whole k: aligned to 1970-01-01T00:00Z.
    Tumbling {
        /// Length of a window, in milliseconds.
        size_ms: i64,
    },
    /// `[k·every, k·every + size)` for every whole k: windows that may overlap.
    Hopping {
        /// Length of a window, in milliseconds.
        size_ms: i64,
        /// Time from one start to the next, in milliseconds. If longer than the windows, events
        /// between two of them belong to none and are counted as late.
        every_ms: i64,
    },
    /// `[first, last + gap)`: events less than the gap apart share a window.
    Session {
        /// The gap, in milliseconds.
        gap_ms: i64,
    },
    /// Every so many events of a key in input order; the rest is emitted at the end of the source.
    Length {
        /// Events of a window.
        events: u64,
    },
}

/// One member of a result: a function, and of which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compute {
    /// Name of the member.
    pub name: String,
    /// The function.
    pub function: Function,
    /// Its field; only [`Function::Count`] may go without, and then counts events.
    pub field: Option<String>,
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternStep {
    /// Its name, as results show it and later steps refer to it.
    pub name: String,
    /// Whether the very next event of the key must fit; otherwise events that do not fit are skipped. Never in the first step.
    pub next: bool,
    /// Conditions an event must meet, all of them.
    pub conditions: Vec<Condition>,
}

/// One condition on one field. An entry `{ field = "x", ge = 0, lt = 5 }` makes two.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The field.
    pub field: String,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// This comparison with an operand holds. With nulls, and between values of different kinds, none does.
    Compare {
        /// Which comparison.
        comparison: Comparison,
        /// With what.
        operand: Operand,
    },
    /// It is one of these, none of which is null.
    In(Vec<Value>),
    /// It is null (true), or is not (false).
    Null(bool),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A constant; not null, not NaN, not infinite.
    Value(Value),
    /// A field of the event that an earlier step of the pattern took.
    Step {
        /// Name of the step.
        step: String,
        /// Name of the field.
        field: String,
    },
}

/// What a match does to the partial matches of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// All that had started by then are dropped, and the last event starts none. The default.
    PastLast,
    /// Nothing.
    None,
}

/// When an aggregation gives results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// One per group at the end of the source. The default.
    End,
    /// One per event.
    Change,
}
