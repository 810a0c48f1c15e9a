//! Whole definitions and random documents here; errors in the files below.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;

mod application;
mod operators;

const FLIGHTS: &str = r#"{
  "name": "flights",
  "source": { "file": "f.csv.gz", "timestamp": "time_hour", "null": ["", "NA"], "watermark_delay": "24h" },
  "checkpoint": { "storage": "file:state", "interval": "10s", "compression": "lz4", "max_retained": 10 },
  "sink": { "file": "out.ndjson" },
  "operator": [
    { "name": "origin_hourly", "window": { "tumbling": "1h" }, "key": ["origin"],
      "where": [{ "field": "dep_delay", "lt": 5, "ge": 0 }, { "field": "dest", "in": ["JFK", 1, true] }],
      "compute": { "flights": "count", "mean_delay": "avg dep_delay", "worst day": " max  dep delay " } },
    { "name": "late_twice", "key": ["tailnum"], "within": "6h", "skip": "none",
      "pattern": [
        { "step": "first", "where": [{ "field": "dep_delay", "gt": 60 }, { "field": "dep_delay", "ne": 0.5 }] },
        { "step": "again", "next": true,
          "where": [{ "field": "a" }, { "field": "dep_delay", "gt": { "step": "first", "field": "delay" } }] }] },
    { "name": "carriers", "aggregate": { "flights": "count" }, "key": ["carrier", "origin"] }
  ] }"#;

fn flights() -> String {
    FLIGHTS.replace(r#"{ "field": "a" }"#, r#"{ "field": "a", "null": false }"#)
}

/// A definition with one operator, whose members these are.
fn with_operator(members: &str) -> String {
    format!(r#"{{ "name": "n", "source": {{ "file": "f", "timestamp": "t" }}, "operator": [{{ {members} }}] }}"#)
}

fn read_operator(members: &str) -> Result<OperatorDefinition, String> {
    let definition = ApplicationDefinition::from_json(&with_operator(members)).map_err(|error| error.to_string())?;
    Ok(definition.operators[0].clone())
}

/// Every case is members of an operator, and the error they make.
fn assert_operator_errors(cases: &[(&str, &str)]) {
    for (members, error) in cases {
        assert_eq!(read_operator(members).as_ref().map_err(String::as_str), Err(*error), "{members}");
    }
}

/// Every case is a definition, and the error it makes.
fn assert_errors(cases: &[(&str, &str)]) {
    for (json, error) in cases {
        let found = ApplicationDefinition::from_json(json).map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), Err(*error), "{json}");
    }
}

#[test]
fn reads_everything() {
    let definition = ApplicationDefinition::from_json(&flights()).unwrap();
    let built = ApplicationDefinition::new(
        "flights",
        SourceDefinition::file("f.csv.gz").timestamp("time_hour").null(["", "NA"]).watermark_delay_ms(86_400_000),
    )
    .sink(SinkDefinition::file("out.ndjson"))
    .operator(
        OperatorDefinition::window("origin_hourly", WindowKind::Tumbling { size_ms: 3_600_000 })
            .key(["origin"])
            .filter(Condition::lt("dep_delay", 5))
            .filter(Condition::ge("dep_delay", 0))
            .filter(Condition::is_in("dest", [Value::from("JFK"), Value::from(1), Value::from(true)]))
            .compute("flights", "count")
            .and_then(|operator| operator.compute("mean_delay", "avg dep_delay"))
            .and_then(|operator| operator.compute("worst day", "max dep delay"))
            .unwrap(),
    )
    .operator(
        OperatorDefinition::pattern(
            "late_twice",
            [
                PatternStep::new("first")
                    .filter(Condition::gt("dep_delay", 60))
                    .filter(Condition::ne("dep_delay", 0.5)),
                PatternStep::next("again").filter(Condition::null("a", false)).filter(Condition::compare(
                    "dep_delay",
                    Comparison::Gt,
                    Operand::step("first", "delay"),
                )),
            ],
        )
        .key(["tailnum"])
        .within_ms(21_600_000)
        .and_then(|operator| operator.skip(Skip::None))
        .unwrap(),
    )
    .operator(
        OperatorDefinition::aggregation("carriers").key(["carrier", "origin"]).compute("flights", "count").unwrap(),
    );
    assert_eq!(built.check(), Ok(()));
    assert_eq!(definition, built);
    assert_eq!(
        definition.operators.iter().map(OperatorDefinition::kind_name).collect::<Vec<_>>(),
        ["window", "pattern", "aggregation"]
    );
}

#[test]
fn numbers_keep_all_their_digits() {
    let members = r#""name": "w", "window": { "length": 3 }, "compute": { "n": "count" },
        "where": [{ "field": "x", "gt": 1234.5678901234567 }]"#;
    assert_eq!(read_operator(members).unwrap().filter, [Condition::gt("x", 1234.5678901234567)]);
}

#[test]
fn defaults() {
    let json = with_operator(r#""name": "w", "window": { "length": 3 }, "compute": { "n": "count" }"#);
    let definition = ApplicationDefinition::from_json(&json).unwrap();
    assert_eq!(definition.source, SourceDefinition::file("f").timestamp("t"));
    assert_eq!(definition.source.null, [""]);
    assert_eq!(definition.sink.file, "-");
    let checkpoint = definition.checkpoint;
    assert_eq!((checkpoint.interval_ms, checkpoint.every_events, checkpoint.max_retained), (Some(10_000), None, 10));
    assert_eq!((checkpoint.storage.as_str(), checkpoint.compression), ("file:state", Compression::Lz4));
    assert_eq!((definition.operators[0].key.len(), definition.operators[0].filter.len()), (0, 0));

    let checkpoint = |members: &str| {
        let json = json.replacen('{', &format!(r#"{{ "checkpoint": {{ {members} }},"#), 1);
        let checkpoint = ApplicationDefinition::from_json(&json).unwrap().checkpoint;
        (checkpoint.interval_ms, checkpoint.every_events)
    };
    assert_eq!(checkpoint(r#""every_events": 5000"#), (None, Some(5000)));
    assert_eq!(checkpoint(r#""every_events": 5, "interval": 250"#), (Some(250), Some(5)));
    assert_eq!(checkpoint(r#""max_retained": 1"#), (Some(10_000), None));
}

#[test]
fn builders_refuse_what_belongs_to_another_kind() {
    let window = || OperatorDefinition::window("w", WindowKind::Length { events: 1 });
    let message = |result: crate::Result<OperatorDefinition>| result.unwrap_err().to_string();
    assert_eq!(message(window().within_ms(1)), "within: `within` belongs to patterns; operator `w` is of kind window");
    assert_eq!(message(window().skip(Skip::None)), "skip: `skip` belongs to patterns; operator `w` is of kind window");
    assert_eq!(
        message(window().emit(Emit::End)),
        "emit: `emit` belongs to aggregations; operator `w` is of kind window"
    );
    let pattern = OperatorDefinition::pattern("p", []);
    let error = "compute: `compute` belongs to windows and aggregations; operator `p` is of kind pattern";
    assert_eq!(message(pattern.compute("n", "count")), error);
    let twice = window().compute("n", "count").and_then(|window| window.compute("n", "sum x")).unwrap();
    let twice = ApplicationDefinition::new("n", SourceDefinition::file("f").timestamp("t")).operator(twice);
    assert_eq!(twice.check().unwrap_err().to_string(), "operator[0].compute.n: is given twice");
}

#[test]
fn canonical_json_and_fields() {
    let definition = ApplicationDefinition::from_json(&flights()).unwrap();
    let texts: Vec<String> = definition.operators.iter().map(OperatorDefinition::to_canonical_json).collect();
    assert_eq!(
        texts,
        [
            concat!(
                r#"{"name":"origin_hourly","key":["origin"],"where":[{"field":"dep_delay","lt":5,"ge":0},"#,
                r#"{"field":"dest","in":["JFK",1,true]}],"window":{"tumbling":3600000},"#,
                r#""compute":{"flights":"count","mean_delay":"avg dep_delay","worst day":"max dep delay"}}"#,
            ),
            concat!(
                r#"{"name":"late_twice","key":["tailnum"],"where":[],"pattern":[{"step":"first","next":false,"#,
                r#""where":[{"field":"dep_delay","gt":60},{"field":"dep_delay","ne":0.5}]},"#,
                r#"{"step":"again","next":true,"where":[{"field":"a","null":false},"#,
                r#"{"field":"dep_delay","gt":{"step":"first","field":"delay"}}]}],"within":21600000,"skip":"none"}"#,
            ),
            concat!(
                r#"{"name":"carriers","key":["carrier","origin"],"where":[],"#,
                r#""aggregate":{"flights":"count"},"emit":"end"}"#,
            ),
        ]
    );
    let fields: Vec<(String, &str)> = definition.operators.iter().flat_map(OperatorDefinition::fields).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(path, field)| (path.as_str(), *field)).collect();
    assert_eq!(
        fields,
        [
            ("key[0]", "origin"),
            ("where[0].field", "dep_delay"),
            ("where[1].field", "dest"),
            ("compute.mean_delay", "dep_delay"),
            ("compute.\"worst day\"", "dep delay"),
            ("key[0]", "tailnum"),
            ("pattern[0].where[0].field", "dep_delay"),
            ("pattern[0].where[1].field", "dep_delay"),
            ("pattern[1].where[0].field", "a"),
            ("pattern[1].where[1].field", "dep_delay"),
            ("pattern[1].where[1].gt.field", "delay"),
            ("key[0]", "carrier"),
            ("key[1]", "origin"),
        ]
    );
    assert_eq!(reread(&definition), definition);
}

/// The definition with its operators read again from their canonical JSON.
fn reread(definition: &ApplicationDefinition) -> ApplicationDefinition {
    let read = |operator: &OperatorDefinition| {
        let json = operator.to_canonical_json();
        read_operator(&json[1..json.len() - 1]).unwrap()
    };
    ApplicationDefinition { operators: definition.operators.iter().map(read).collect(), ..definition.clone() }
}

/// Random numbers without a dependency (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn word(&mut self) -> String {
        self.pick(&[
            "name",
            "source",
            "operator",
            "window",
            "pattern",
            "aggregate",
            "compute",
            "where",
            "field",
            "step",
            "first",
            "count",
            "avg x",
            "1h",
            "0s",
            "1h30m",
            "",
            "é\n",
            "eq",
            "gt",
            "in",
            "null",
            "hopping",
            "size",
            "every",
            "none",
            "x",
            "99999999999d",
        ])
        .into()
    }

    fn document(&mut self, depth: usize) -> Document {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Document::Null,
            1 => Document::Bool(self.below(2) == 0),
            2 => Document::Int(self.pick(&[0, 1, -1, i64::MIN, i64::MAX, 3_600_000])),
            3 => Document::Float(self.pick(&[0.0, -0.0, 1.5, f64::NAN, f64::INFINITY, f64::MAX])),
            4 | 5 => Document::Text(self.word()),
            6 => Document::List((0..self.below(4)).map(|_| self.document(depth - 1)).collect()),
            _ => Document::Table((0..self.below(4)).map(|_| (self.word(), self.document(depth - 1))).collect()),
        }
    }

    /// Replaces, removes, renames or repeats something somewhere inside.
    fn damage(&mut self, document: &mut Document) {
        match document {
            Document::List(items) if !items.is_empty() && self.below(8) > 0 => {
                let index = self.below(items.len());
                match self.below(12) {
                    0 => drop(items.remove(index)),
                    1 => items.push(items[index].clone()),
                    _ => self.damage(&mut items[index]),
                }
            }
            Document::Table(entries) if !entries.is_empty() && self.below(8) > 0 => {
                let index = self.below(entries.len());
                match self.below(12) {
                    0 => drop(entries.remove(index)),
                    1 => entries[index].0 = self.word(),
                    2 => entries.push((self.word(), self.document(2))),
                    _ => self.damage(&mut entries[index].1),
                }
            }
            _ => *document = self.document(3),
        }
    }
}

#[test]
fn random_documents_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let whole: Document = serde_json::from_str(&flights()).unwrap();
    let mut accepted = 0;
    for round in 0..10_000 {
        let mut document = if round % 4 == 0 { random.document(5) } else { whole.clone() };
        for _ in 0..=random.below(3) {
            random.damage(&mut document);
        }
        match ApplicationDefinition::from_document(&document) {
            Ok(definition) => {
                accepted += 1;
                assert_eq!(reread(&definition).operators, definition.operators);
                assert!(
                    definition
                        .operators
                        .iter()
                        .all(|operator| !operator.fields().is_empty() || operator.key.is_empty())
                );
            }
            Err(error) => assert!(!error.to_string().starts_with(':'), "{error}"),
        }
    }
    assert!(accepted > 500, "only {accepted} of the damaged definitions are still valid");
}

/// Checkpoints from before there were fields that stay text are gone on from.
#[test]
fn fields_that_stay_text_are_in_the_fingerprint() {
    let source = || SourceDefinition::file("f").timestamp("t");
    let fields = ["t", "a", "b"];
    let of = |text: &[&str]| source().text(text.iter().copied()).fingerprint(&fields);
    assert_eq!(of(&[]), crate::format::hash64(br#"{"fields":["t","a","b"],"null":[""],"timestamp":"t"}"#));
    assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
    assert_eq!(of(&["a", "b", "a"]), of(&["a", "b"]));
    assert!(of(&["a"]) != of(&[]) && of(&["a"]) != of(&["b"]) && of(&["a"]) != of(&["a", "b"]));
    let of = |null: &[&str]| source().null(null.iter().copied()).fingerprint(&fields);
    assert_eq!(of(&["NA", ""]), of(&["", "NA", ""]));
    assert_ne!(of(&["NA", ""]), of(&["NA"]));
}
