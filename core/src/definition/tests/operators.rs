//! Windows, and every error of an operator with its path.

use super::*;
use crate::limits::DURATION_MS_MAX;

#[test]
fn windows() {
    let window = |json: &str| {
        let members = format!(r#""name": "w", "window": {json}, "compute": {{ "n": "count" }}"#);
        read_operator(&members).map(|operator| match operator.kind {
            OperatorKind::Window { window, .. } => window,
            _ => unreachable!(),
        })
    };
    assert_eq!(window(r#"{ "session": "30m" }"#), Ok(WindowKind::Session { gap_ms: 1_800_000 }));
    assert_eq!(window(r#"{ "tumbling": 1 }"#), Ok(WindowKind::Tumbling { size_ms: 1 }));
    let hopping = |size_ms, every_ms| WindowKind::Hopping { size_ms, every_ms };
    assert_eq!(window(r#"{ "hopping": { "size": "1h", "every": "10m" } }"#), Ok(hopping(3_600_000, 600_000)));
    assert_eq!(window(r#"{ "hopping": { "size": 20000, "every": 2 } }"#), Ok(hopping(20_000, 2)));
    for (json, error) in [
        (r#"{ "tumblin": "1h" }"#, ".tumblin: unknown kind of window; did you mean `tumbling`?"),
        (r#"{ "global": "1h" }"#, ".global: unknown kind of window; known: tumbling, hopping, session, length"),
        (
            "{}",
            ": must be a table such as { tumbling = \"1h\" }, with exactly one of tumbling, hopping, session, length",
        ),
        (
            r#"{ "length": 1, "session": 1 }"#,
            ": must be a table such as { tumbling = \"1h\" }, with exactly one of tumbling, hopping, session, length",
        ),
        (r#""1h""#, ": must be a table such as { tumbling = \"1h\" }, found a text"),
        (
            r#"{ "tumbling": true }"#,
            ".tumbling: must be a duration: a text such as \"1h\", or a number of milliseconds, found a boolean",
        ),
        (
            r#"{ "tumbling": 1.5 }"#,
            ".tumbling: must be a duration: a text such as \"1h\", or a number of milliseconds, found a number with a decimal point",
        ),
        (
            r#"{ "tumbling": "1x" }"#,
            ".tumbling: `1x` is not a duration: the units are ms, s, m, h, d; examples: \"250ms\", \"30s\", \"15m\", \"1h30m\", \"7d\"",
        ),
        (r#"{ "tumbling": "0s" }"#, ".tumbling: must be longer than 0, found 0 ms"),
        (r#"{ "session": -5 }"#, ".session: must be longer than 0, found -5 ms"),
        (r#"{ "session": 8640000000000001 }"#, ".session: is 8640000000000001 ms; at most 8640000000000000"),
        (r#"{ "length": 0 }"#, ".length: must be at least 1, found 0"),
        (r#"{ "length": -1 }"#, ".length: must be at least 1, found -1"),
        (r#"{ "length": "many" }"#, ".length: must be a whole number, found a text"),
        (
            r#"{ "hopping": "1h" }"#,
            ".hopping: must be a table such as { size = \"1h\", every = \"10m\" }, found a text",
        ),
        (
            r#"{ "hopping": { "size": "1h" } }"#,
            ".hopping.every: is missing; give a duration: a text such as \"1h\", or a number of milliseconds",
        ),
        (r#"{ "hopping": { "size": 1, "evry": 1 } }"#, ".hopping.evry: unknown key; did you mean `every`?"),
        (r#"{ "hopping": { "size": 1, "every": 0 } }"#, ".hopping.every: must be longer than 0, found 0 ms"),
        (
            r#"{ "hopping": { "size": 20001, "every": 2 } }"#,
            ".hopping.every: puts an event into 10001 windows; `size` / `every` is at most 10000",
        ),
    ] {
        assert_eq!(window(json), Err(format!("operator[0].window{error}")), "{json}");
    }
    assert!(window(&format!(r#"{{ "tumbling": {DURATION_MS_MAX} }}"#)).is_ok());
}

#[test]
fn errors_of_operator_kinds_and_keys() {
    let kinds = "exactly one of `window`, `pattern`, `aggregate`, `plugin`";
    let compute = r#""window": { "length": 3 }, "compute": { "n": "count" }"#;
    let long = "x".repeat(101);
    assert_operator_errors(&[
        (r#""name": "w""#, &format!("operator[0]: has no kind; give {kinds}")),
        (r#""name": "w", "window": {}, "pattern": []"#, &format!("operator[0]: has more than one kind; give {kinds}")),
        (r#""name": "w", "windw": {}"#, "operator[0].windw: unknown key; did you mean `window`?"),
        (compute, "operator[0].name: is missing; give a text such as \"origin_hourly\""),
        (&format!(r#""name": "", {compute}"#), "operator[0].name: must not be empty"),
        (&format!(r#""name": "a\tb", {compute}"#), "operator[0].name: `a\\tb` has control characters; a name has none"),
        (&format!(r#""name": "{long}", {compute}"#), "operator[0].name: has 101 characters; a name has at most 100"),
        (
            &format!(r#""name": "w", {compute}, "within": 1"#),
            "operator[0].within: `within` belongs to patterns; this is a window",
        ),
        (
            &format!(r#""name": "w", {compute}, "skip": 1"#),
            "operator[0].skip: `skip` belongs to patterns; this is a window",
        ),
        (
            &format!(r#""name": "w", {compute}, "emit": 1"#),
            "operator[0].emit: `emit` belongs to aggregations; this is a window",
        ),
        (
            r#""name": "p", "pattern": [], "compute": {}"#,
            "operator[0].compute: `compute` belongs to windows; this is a pattern",
        ),
        (
            r#""name": "a", "aggregate": {}, "compute": {}"#,
            "operator[0].compute: `compute` belongs to windows; this is an aggregation, with its functions under `aggregate`",
        ),
        (
            &format!(r#""name": "w", {compute}, "key": "origin""#),
            "operator[0].key: must be a list of fields such as [\"origin\"], found a text",
        ),
        (&format!(r#""name": "w", {compute}, "key": [""]"#), "operator[0].key[0]: must not be empty"),
        (&format!(r#""name": "w", {compute}, "key": ["a", "b", "a"]"#), "operator[0].key[2]: `a` is given twice"),
        (
            r#""name": "a", "aggregate": { "n": "count" }, "emit": "ends""#,
            "operator[0].emit: unknown emit `ends`; did you mean `end`?",
        ),
    ]);
}

#[test]
fn plugins_and_their_limits() {
    let members = r#""name": "top", "plugin": "top_k.wasm", "key": ["origin"], "config": { "k": 3, "by": [1.5, null] },
        "limits": { "memory": "16MiB", "time": "50ms" }, "on_failure": "detach""#;
    let operator = read_operator(members).unwrap();
    let limits = PluginLimits { memory_bytes: 16 << 20, state_bytes: None, time_ms: 50 };
    let plugin = PluginDefinition {
        config: r#"{"by":[1.5,null],"k":3}"#.into(),
        limits,
        on_failure: OnFailure::Detach,
        ..PluginDefinition::file("top_k.wasm")
    };
    assert_eq!(operator, OperatorDefinition::plugin("top", plugin).key(["origin"]));
    let canonical = operator.to_canonical_json();
    assert_eq!(
        canonical,
        String::from(
            r#"{"name":"top","key":["origin"],"where":[],"plugin":"top_k.wasm","config":{"by":[1.5,null],"k":3},"#
        ) + r#""limits":{"memory":"16777216B","state":"8388608B","time":50},"on_failure":"detach"}"#
    );
    let again = read_operator(canonical.trim_start_matches('{').trim_end_matches('}')).unwrap();
    assert_eq!(again.to_canonical_json(), canonical);
    let plugin = r#""name": "p", "plugin": "p.wasm""#;
    assert_operator_errors(&[
        (r#""name": "p", "plugin": """#, "operator[0].plugin: must not be empty"),
        (
            &format!(r#"{plugin}, "compute": {{}}"#),
            "operator[0].compute: `compute` belongs to windows; this is a plugin, which has its own `config`",
        ),
        (&format!(r#"{plugin}, "config": [1]"#), "operator[0].config: must be a table such as { k = 3 }, found a list"),
        (
            &format!(r#"{plugin}, "limits": {{ "memory": "64MB" }}"#),
            "operator[0].limits.memory: `64MB` is not a size: the units are B, KiB, MiB, GiB; \
             examples: \"512KiB\", \"64MiB\", \"1GiB\"",
        ),
        (
            &format!(r#"{plugin}, "limits": {{ "memory": "1KiB" }}"#),
            "operator[0].limits.memory: is 1024 bytes; at least 65536, at most 4294967296",
        ),
        (
            &format!(r#"{plugin}, "limits": {{ "memory": "64KiB", "state": "4GiB" }}"#),
            "operator[0].limits.state: is 4294967296 bytes; the state lies in the plugin's memory, of which `memory` allows 65536 bytes",
        ),
        (
            &format!(r#"{plugin}, "limits": {{ "time": 0 }}"#),
            "operator[0].limits.time: must be longer than 0, found 0 ms",
        ),
        (
            &format!(r#"{plugin}, "limits": {{ "cpu": 1 }}"#),
            "operator[0].limits.cpu: unknown key; known: memory, state, time",
        ),
        (
            &format!(r#"{plugin}, "on_failure": "ignore""#),
            "operator[0].on_failure: unknown reaction `ignore`; known: stop, detach",
        ),
        (
            r#""name": "a", "aggregate": { "n": "count" }, "limits": {}"#,
            "operator[0].limits: `limits` belongs to plugins; this is an aggregation",
        ),
    ]);
}

#[test]
fn errors_of_compute() {
    let wanted = "a table such as { flights = \"count\", mean_delay = \"avg dep_delay\" }";
    let window = r#""name": "w", "window": { "length": 3 }"#;
    assert_operator_errors(&[(window, &format!("operator[0].compute: is missing; give {wanted}"))]);
    for (json, error) in [
        ("[]", &*format!(": must be {wanted}, found a list")),
        ("{}", ": must not be empty; give a function, such as flights = \"count\""),
        (r#"{ "m": "avrg x" }"#, ".m: unknown function `avrg`; did you mean `avg`?"),
        (r#"{ "m": "AVG x" }"#, ".m: unknown function `AVG`; did you mean `avg`?"),
        (
            r#"{ "m": "percentile x" }"#,
            ".m: unknown function `percentile`; known: count, sum, min, max, avg, stddev, first, last, distinct, median",
        ),
        (r#"{ "m": " " }"#, ".m: must not be empty; give a function and its field, such as \"avg dep_delay\""),
        (r#"{ "m": "avg" }"#, ".m: `avg` needs a field, such as \"avg dep_delay\"; only `count` may go without"),
        (r#"{ "m": 1 }"#, ".m: must be a text such as \"avg dep_delay\", found a number"),
        (r#"{ "": "count" }"#, ".\"\": must not be empty"),
        (
            r#"{ "window_end": "count" }"#,
            ".window_end: `window_end` is a member of every result; \
             choose another name than operator, key, window_start, window_end, matched",
        ),
    ] {
        assert_operator_errors(&[
            (&format!(r#"{window}, "compute": {json}"#), &format!("operator[0].compute{error}")),
            (&format!(r#""name": "a", "aggregate": {json}"#), &format!("operator[0].aggregate{error}")),
        ]);
    }
}

#[test]
fn errors_of_conditions() {
    for (json, error) in [
        ("{}", ": must be a list such as [{ field = \"dep_delay\", ge = 0 }], found a table"),
        (r#"[{ "ge": 0 }]"#, "[0].field: is missing; give the name of a field"),
        (r#"[{ "field": "" , "ge": 0 }]"#, "[0].field: must not be empty"),
        (r#"[{ "field": "x" }]"#, "[0]: has no comparison; give one or more of eq, ne, le, lt, ge, gt, in, null"),
        (r#"[{ "field": "x", "lte": 0 }]"#, "[0].lte: unknown key or comparison; did you mean `le`?"),
        (
            r#"[{ "field": "x", "greater": 0 }]"#,
            "[0].greater: unknown key or comparison; known: field, eq, ne, le, lt, ge, gt, in, null",
        ),
        (
            r#"[{ "field": "x", "eq": 0 }, { "field": "x", "null": 0 }]"#,
            "[1].null: must be true or false, found a number",
        ),
        (
            r#"[{ "field": "x", "eq": null }]"#,
            "[0].eq: must be a text, a number, a boolean, or { step = …, field = … }, found null; \
             to test for null write null = true",
        ),
        (
            r#"[{ "field": "x", "in": "JFK" }]"#,
            "[0].in: must be a list of values such as [\"JFK\", \"LGA\"], found a text",
        ),
        (r#"[{ "field": "x", "in": [] }]"#, "[0].in: must not be empty: no event could meet it"),
        (r#"[{ "field": "x", "in": [1, []] }]"#, "[0].in[1]: must be a text, a number or a boolean, found a list"),
        (
            r#"[{ "field": "x", "gt": { "step": "first", "field": "x" } }]"#,
            "[0].gt: names a step; only the conditions of a pattern's step can do that",
        ),
    ] {
        let members = format!(r#""name": "p", "pattern": [{{ "step": "first" }}], "where": {json}"#);
        assert_operator_errors(&[(&members, &format!("operator[0].where{error}"))]);
    }
    // Constants that only a builder can give.
    for (condition, error) in [
        (Condition::eq("y", f64::NAN), "eq: must be a finite number, found NaN"),
        (Condition::eq("y", f64::INFINITY), "eq: must be a finite number, found inf"),
        (Condition::eq("y", Value::Null), "eq: must not be null; to test for null write null = true"),
        (
            Condition::is_in("y", [Value::from(1), Value::Null]),
            "in[1]: must not be null; to test for null write null = true",
        ),
    ] {
        let operator = OperatorDefinition::aggregation("a").compute("n", "count").unwrap();
        let operator = operator.filter(Condition::ge("x", 0)).filter(condition);
        let definition = ApplicationDefinition::new("n", SourceDefinition::file("f").timestamp("t")).operator(operator);
        assert_eq!(definition.check().unwrap_err().to_string(), format!("operator[0].where[1].{error}"));
    }
}

#[test]
fn errors_of_patterns() {
    let step = |name: &str, operand: &str| {
        format!(
            r#"{{ "step": "{name}", "where": [{{ "field": "x", "gt": {{ "step": "{operand}", "field": "x" }} }}] }}"#
        )
    };
    let many = vec![r#"{ "step": "s" }"#; 65].join(",");
    for (json, error) in [
        ("[]", ": must not be empty; give a step, such as { step = \"first\", where = [ … ] }"),
        ("{}", ": must be a list of steps such as [{ step = \"first\", where = [ … ] }], found a table"),
        (r#"["first"]"#, "[0]: must be a table such as { step = \"first\", where = [ … ] }, found a text"),
        (r#"[{ "name": "a" }]"#, "[0].name: unknown key; known: step, next, where"),
        ("[{}]", "[0].step: is missing; give a text such as \"first\""),
        (r#"[{ "step": "a" }, { "step": "" }]"#, "[1].step: must not be empty"),
        (
            r#"[{ "step": "a" }, { "step": "a" }]"#,
            "[1].step: `a` is already the name of an earlier step; each needs its own",
        ),
        (r#"[{ "step": "a", "next": "yes" }]"#, "[0].next: must be true or false, found a text"),
        (r#"[{ "step": "a", "next": true }]"#, "[0].next: has no meaning in the first step: no event comes before it"),
        (&format!("[{many}]"), ": has 65 entries; at most 64"),
        (
            &format!("[{}]", step("first", "zero")),
            "[0].where[0].gt.step: unknown step `zero`; the first step has none before it",
        ),
        (
            &format!("[{}, {}]", step("a", "b"), step("b", "a")),
            "[0].where[0].gt.step: `b` is a later step; name an earlier one",
        ),
        (
            &format!("[{{ \"step\": \"a\" }}, {}]", step("b", "b")),
            "[1].where[0].gt.step: `b` is this step itself; name an earlier one",
        ),
        (
            &format!("[{{ \"step\": \"first\" }}, {}]", step("again", "frist")),
            "[1].where[0].gt.step: unknown step `frist`; did you mean `first`?",
        ),
        (
            r#"[{ "step": "a" }, { "step": "b", "where": [{ "field": "x", "lt": { "step": "a" } }] }]"#,
            "[1].where[0].lt.field: is missing; give the name of a field",
        ),
    ] {
        let members = format!(r#""name": "p", "pattern": {json}"#);
        assert_operator_errors(&[(&members, &format!("operator[0].pattern{error}"))]);
    }
    let pattern = r#""name": "p", "pattern": [{ "step": "a" }]"#;
    assert_operator_errors(&[
        (&format!(r#"{pattern}, "within": -1"#), "operator[0].within: must not be negative, found -1 ms"),
        (
            &format!(r#"{pattern}, "skip": "past-last""#),
            "operator[0].skip: unknown skip `past-last`; did you mean `past_last`?",
        ),
        (&format!(r#"{pattern}, "skip": "all""#), "operator[0].skip: unknown skip `all`; known: past_last, none"),
        (
            &format!(r#"{pattern}, "emit": "end""#),
            "operator[0].emit: `emit` belongs to aggregations; this is a pattern",
        ),
    ]);
    assert!(read_operator(&format!(r#"{pattern}, "within": 0"#)).is_ok());
}
