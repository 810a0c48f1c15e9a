//! Errors of what is not an operator, each with its path.

use super::*;

#[test]
fn errors_of_the_application() {
    assert_errors(&[
        ("[]", "definition: must be a table with the keys `name`, `source` and `operator`, found a list"),
        ("{}", "name: is missing; give a text such as \"flights\""),
        (r#"{ "name": 7 }"#, "name: must be a text such as \"flights\", found a number"),
        (r#"{ "operators": [] }"#, "operators: unknown key; did you mean `operator`?"),
        (r#"{ "zzz.z": [] }"#, "\"zzz.z\": unknown key; known: name, source, checkpoint, sink, operator"),
        (r#"{ "name": "n" }"#, "source: is missing; give a table with the keys `file` and `timestamp`"),
        (r#"{ "name": "n", "operator": {} }"#, "operator: must be a list of operators, found a table"),
        (
            "{\n \"name\": 9223372036854775808 }",
            "line 2, column 28: the number 9223372036854775808 is too large; \
             whole numbers go from -9223372036854775808 to 9223372036854775807",
        ),
        ("{\n \"name\": \"a\", \"name\": \"b\" }", "line 2, column 20: the key `name` is given twice"),
        ("{ name", "line 1, column 3: key must be a string"),
    ]);
    let json =
        |members: &str| format!(r#"{{ "name": "n", "source": {{ "file": "f", "timestamp": "t" }}, {members} }}"#);
    assert_errors(&[
        (&json(r#""operator": []"#), "operator: is missing; define at least one `[[operator]]`"),
        (&json(r#""sink": {}"#), "operator: is missing; define at least one `[[operator]]`"),
        (&json(r#""sink": { "file": "" }"#), "sink.file: must not be empty"),
        (&json(r#""sink": { "path": "x" }"#), "sink.path: unknown key; known: file"),
        (&json(r#""sink": "-""#), "sink: must be a table such as { file = \"out.ndjson\" }, found a text"),
    ]);
    let two = flights().replace("late_twice", "origin_hourly");
    let two = ApplicationDefinition::from_json(&two).unwrap_err().to_string();
    assert_eq!(two, "operator[1].name: `origin_hourly` is already the name of operator[0]; each needs its own");
}

#[test]
fn errors_of_source_and_checkpoint() {
    for (members, error) in [
        ("", "source.file: is missing; give a text such as \"flights.csv\", or \"-\" for standard input"),
        (r#""file": "f""#, "source.timestamp: is missing; give the name of the field that holds the time"),
        (r#""file": "f", "timestamp": """#, "source.timestamp: must not be empty"),
        (
            r#""file": "f", "timestamp": "t", "time": 1"#,
            "source.time: unknown key; known: file, timestamp, null, text, watermark_delay, fields",
        ),
        (
            r#""file": "f", "timestamp": "t", "null": "NA""#,
            "source.null: must be a list of texts such as [\"\", \"NA\"], found a text",
        ),
        (r#""file": "f", "timestamp": "t", "null": ["", 0]"#, "source.null[1]: must be a text, found a number"),
        (
            r#""file": "f", "timestamp": "t", "watermark_delay": -1"#,
            "source.watermark_delay: must not be negative, found -1 ms",
        ),
        (r#""file": "f", "timestamp": "t", "fields": []"#, "source.fields: must not be empty"),
        (r#""file": "f", "timestamp": "t", "fields": ["a", "a"]"#, "source.fields[1]: `a` is given twice"),
        (r#""file": "f", "timestamp": "t", "fields": [""]"#, "source.fields[0]: must not be empty"),
    ] {
        assert_errors(&[(&format!(r#"{{ "name": "n", "source": {{ {members} }} }}"#), error)]);
    }
    for (members, error) in [
        (r#""intervall": 1"#, "intervall: unknown key; did you mean `interval`?"),
        (r#""storage": """#, "storage: must not be empty"),
        (r#""interval": 0"#, "interval: must be longer than 0, found 0 ms"),
        (
            r#""interval": null"#,
            "interval: must be a duration: a text such as \"1h\", or a number of milliseconds, found null",
        ),
        (r#""every_events": 0"#, "every_events: must be at least 1, found 0"),
        (r#""every_events": 1.5"#, "every_events: must be a whole number, found a number with a decimal point"),
        (r#""max_retained": 0"#, "max_retained: must be at least 1, found 0"),
        (r#""max_retained": 4294967296"#, "max_retained: must be at most 4294967295"),
        (r#""compression": "lz""#, "compression: unknown compression `lz`; did you mean `lz4`?"),
        (r#""compression": "zstd""#, "compression: unknown compression `zstd`; known: lz4, none"),
        (r#""x": 0"#, "x: unknown key; known: storage, interval, every_events, compression, max_retained"),
    ] {
        let source = r#""source": { "file": "f", "timestamp": "t" }"#;
        let json = format!(r#"{{ "name": "n", {source}, "checkpoint": {{ {members} }} }}"#);
        assert_errors(&[(&json, &format!("checkpoint.{error}"))]);
    }
}
