//! Random definitions and random events, for tests by property.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt;

use eventflux_core::definition::{
    ApplicationDefinition, Comparison, Compute, Condition, Emit, Function, Operand, OperatorDefinition, OperatorKind,
    PatternStep, Skip, SourceDefinition, Test, WindowKind,
};
use eventflux_core::{Event, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Two keys, whole numbers, numbers of both sorts with now and then a wrong one, mixed values.
pub const FIELDS: [&str; 5] = ["k", "m", "a", "b", "s"];

/// A definition that shows itself briefly.
#[derive(Clone)]
pub struct Application(pub ApplicationDefinition);

/// Events that show themselves one a line.
#[derive(Clone)]
pub struct Events(pub Vec<Event>);

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "watermark delay {} ms", self.0.source.watermark_delay_ms)?;
        self.0.operators.iter().try_for_each(|operator| writeln!(f, "  {}", operator.to_canonical_json()))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "time {FIELDS:?}")?;
        self.0.iter().try_for_each(|event| {
            let values: Vec<String> = event.values.iter().map(|value| format!("{value:?}")).collect();
            writeln!(f, "  {} {}", event.timestamp, values.join(" "))
        })
    }
}

/// How many cases to run: so many, and many more in a long campaign (`EVENTFLUX_LONG=1`, or `PROPTEST_CASES`).
pub fn cases(normal: u32) -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(0_u32);
    // `tests/wasm32` looks for what is different there; the others are found here.
    let normal = if cfg!(target_family = "wasm") { normal / 10 } else { normal };
    let long = if number("EVENTFLUX_LONG") > 0 { 20 * normal } else { normal };
    let cases = long.max(number("PROPTEST_CASES"));
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

/// An application of one to four operators of any kind.
pub fn any_application() -> impl Strategy<Value = Application> {
    let delay = prop_oneof![2 => Just(0_i64), 3 => 1..30_i64];
    (delay, vec(any_operator(), 1..5)).prop_map(|(delay, operators)| {
        let source = SourceDefinition::file("-").timestamp("at").watermark_delay_ms(delay);
        let named = operators.into_iter().enumerate();
        let named = named.map(|(number, operator)| OperatorDefinition { name: format!("o{number}"), ..operator });
        Application(named.fold(ApplicationDefinition::new("random", source), ApplicationDefinition::operator))
    })
}

/// Up to so many events, mostly forward in time, with ties and late ones.
pub fn any_events(most: usize) -> impl Strategy<Value = Events> {
    let start = select(vec![0_i64, -1000, -40, 1_357_000_000_000]);
    let event =
        (prop_oneof![6 => 0..6_i64, 2 => 0..40_i64, 1 => Just(200_i64)], -25..=0_i64, any::<bool>(), any_values());
    (start, vec(event, 0..most)).prop_map(|(start, events)| {
        let mut now = start;
        let events = events.into_iter().map(|(forward, back, goes_back, values)| {
            now += forward;
            Event::new(if goes_back { now + back } else { now }, values)
        });
        Events(events.collect())
    })
}

/// Sessions over sums near the limits and over kinds that do not mix, where a merge may be what is an error.
pub fn any_sessions() -> impl Strategy<Value = (Application, Events)> {
    let number = select(vec![
        Value::from(i64::MAX),
        Value::from(-i64::MAX),
        Value::from(i64::MIN),
        Value::from(1),
        Value::from(-1),
        Value::from(0.5),
        Value::Null,
    ]);
    let mixed = prop_oneof![4 => Just(Value::from("a")), 4 => Just(Value::Null), 1 => Just(Value::from(1))];
    let event = (0..80_i64, number, mixed)
        .prop_map(|(at, number, mixed)| Event::new(at, vec![Value::Null, Value::Null, Value::Null, number, mixed]));
    (0..100_i64, 2..20_i64, vec(event, 0..14)).prop_map(|(delay, gap_ms, events)| {
        let source = SourceDefinition::file("-").timestamp("at").watermark_delay_ms(delay);
        let operator = OperatorDefinition::window("o", WindowKind::Session { gap_ms });
        let operator = [("sum", "sum b"), ("min", "min s"), ("avg", "avg b")]
            .into_iter()
            .fold(operator, |operator, (name, function)| operator.compute(name, function).unwrap());
        (Application(ApplicationDefinition::new("sessions", source).operator(operator)), Events(events))
    })
}

fn any_values() -> impl Strategy<Value = Vec<Value>> {
    let whole = prop_oneof![2 => Just(Value::Null), 8 => (-3..4_i64).prop_map(Value::from)];
    (any_key(), (0..3_i64).prop_map(Value::from), whole, any_number(), any_mixed())
        .prop_map(|(k, m, a, b, s)| vec![k, m, a, b, s])
}

fn any_key() -> impl Strategy<Value = Value> {
    // Few of most, so that keys meet; the rest shows the order of keys.
    prop_oneof![
        12 => select(vec![Value::from("a"), Value::from("b"), Value::Null]),
        4 => select(vec![
            Value::from(false), Value::from(true), Value::from(1), Value::from(1.0), Value::from(1.5),
            Value::from(-2), Value::from(-0.0), Value::from(""), Value::from("a\0"), Value::from("a\0b"),
            Value::from("ab"), Value::from("é\"\n"),
        ]),
    ]
}

fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Null),
        12 => (-8..9_i64).prop_map(|quarters| Value::from(quarters as f64 / 4.0)),
        12 => (-3..4_i64).prop_map(Value::from),
        3 => select(vec![Value::from(0.1), Value::from(0.2), Value::from(1e9), Value::from(-1e-9)]),
        1 => select(vec![Value::from(i64::MAX), Value::from(i64::MIN), Value::from(i64::MAX - 2), Value::from(-i64::MAX)]),
        1 => select(vec![Value::from("x"), Value::from(true)]),
    ]
}

fn any_mixed() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => select(vec![Value::from("a"), Value::from("b"), Value::from("")]),
        1 => Just(Value::Null),
        1 => select(vec![Value::from(true), Value::from(1), Value::from(1.0), Value::from("long enough for the heap, surely")]),
    ]
}

fn any_operator() -> impl Strategy<Value = OperatorDefinition> {
    let filter = prop_oneof![3 => Just(Vec::new()), 1 => vec(any_condition(0), 1..3)];
    let kind = prop_oneof![
        4 => (any_window(), any_compute()).prop_map(|(window, compute)| OperatorKind::Window { window, compute }),
        4 => any_pattern(),
        2 => (any_compute(), select(vec![Emit::End, Emit::Change]))
            .prop_map(|(compute, emit)| OperatorKind::Aggregation { compute, emit }),
    ];
    let key = prop_oneof![
        1 => Just(Vec::new()),
        4 => subsequence(vec!["k", "m"], 1..3).prop_shuffle(),
        1 => Just(vec!["s"]),
    ];
    (key, filter, kind).prop_map(|(key, filter, kind)| {
        let key = key.into_iter().map(String::from).collect();
        OperatorDefinition { name: String::new(), key, filter, kind }
    })
}

fn any_window() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        (1..40_i64).prop_map(|size_ms| WindowKind::Tumbling { size_ms }),
        (1..40_i64, 1..40_i64).prop_map(|(size_ms, every_ms)| WindowKind::Hopping { size_ms, every_ms }),
        (1..30_i64).prop_map(|gap_ms| WindowKind::Session { gap_ms }),
        (1..7_u64).prop_map(|events| WindowKind::Length { events }),
    ]
}

fn any_compute() -> impl Strategy<Value = Vec<Compute>> {
    let numbers = vec![Function::Sum, Function::Avg, Function::Stddev, Function::Median];
    let ordered = vec![Function::Min, Function::Max];
    let all = vec![Function::Count, Function::First, Function::Last, Function::Distinct];
    let function = prop_oneof![
        1 => Just((Function::Count, None)),
        4 => (select(numbers), select(vec!["a", "a", "b"])).prop_map(|(function, field)| (function, Some(field))),
        2 => (select(ordered), select(vec!["a", "m", "b", "s"])).prop_map(|(function, field)| (function, Some(field))),
        4 => (select(all), select(FIELDS.to_vec())).prop_map(|(function, field)| (function, Some(field))),
    ];
    vec(function, 1..6).prop_map(|functions| {
        let compute = functions.into_iter().enumerate().map(|(at, (function, field))| Compute {
            name: format!("f{at}"),
            function,
            field: field.map(String::from),
        });
        compute.collect()
    })
}

fn any_pattern() -> impl Strategy<Value = OperatorKind> {
    let within = prop_oneof![1 => Just(None), 3 => (0..40_i64).prop_map(Some)];
    let steps = vec(prop::bool::weighted(0.3), 1..5).prop_flat_map(|steps| {
        let steps = steps.into_iter().enumerate().map(|(at, next)| {
            let conditions = prop_oneof![3 => vec(any_condition(at), 1..2), 1 => vec(any_condition(at), 0..3)];
            conditions.prop_map(move |conditions| PatternStep {
                name: format!("s{at}"),
                next: next && at > 0,
                conditions,
            })
        });
        steps.collect::<Vec<_>>()
    });
    (steps, within, select(vec![Skip::PastLast, Skip::None]))
        .prop_map(|(steps, within_ms, skip)| OperatorKind::Pattern { steps, within_ms, skip })
}

/// A condition that may name one of the `earlier` steps.
fn any_condition(earlier: usize) -> impl Strategy<Value = Condition> {
    let comparisons =
        vec![Comparison::Eq, Comparison::Ne, Comparison::Lt, Comparison::Le, Comparison::Gt, Comparison::Ge];
    let constant = select(vec![
        Value::from(0),
        Value::from(1),
        Value::from(-1.5),
        Value::from(0.25),
        Value::from("a"),
        Value::from(true),
    ]);
    let step = (0..earlier.max(1), select(FIELDS.to_vec()));
    let operand = (prop::bool::weighted(if earlier > 0 { 0.6 } else { 0.0 }), constant.clone(), step).prop_map(
        |(names_step, constant, (step, field))| match names_step {
            true => Operand::step(format!("s{step}"), field),
            false => Operand::Value(constant),
        },
    );
    let test = prop_oneof![
        8 => (select(comparisons), operand).prop_map(|(comparison, operand)| Test::Compare { comparison, operand }),
        1 => vec(constant, 1..4).prop_map(Test::In),
        1 => any::<bool>().prop_map(Test::Null),
    ];
    (select(vec!["a", "a", "a", "m", "b", "s", "k"]), test)
        .prop_map(|(field, test)| Condition { field: field.into(), test })
}
