//! The two readers against the crates that know the formats best.

use super::*;

/// Deterministic numbers, by a linear congruence.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.next() % texts.len()]
    }
}

#[test]
fn csv_splits_as_the_csv_crate_does() {
    let mut numbers = Numbers(1);
    let fields =
        ["", "a", "b\"c", "é", " x ", "\"\"", "\"p,q\"", "\"r\"\"s\"", "\"\"\"\"", "\"u\nv\"", "\"\n\"\"\r\n\""];
    for _ in 0..600 {
        let mut text = String::from("t,b,c\n");
        for _ in 0..4 {
            text.push('1');
            for _ in 0..2 {
                text.push(',');
                text.push_str(numbers.pick(&fields));
            }
            text.push_str(numbers.pick(&["\n", "\r\n", "\n\n", "\r\n\n\r\n"]));
        }
        let ours: Vec<Vec<Value>> =
            read("in.csv", text.as_bytes()).unwrap().events.into_iter().map(|event| event.values).collect();
        let theirs: Vec<Vec<Value>> = ::csv::Reader::from_reader(text.as_bytes())
            .records()
            .map(|record| record.unwrap().iter().map(read_like_csv).collect())
            .collect();
        assert_eq!(ours, theirs, "{text:?}");
    }
}

fn read_like_csv(text: &str) -> Value {
    match text {
        "" => Value::Null,
        "1" => Value::Int(1),
        other => Value::from(other),
    }
}

#[test]
fn ndjson_takes_what_serde_json_takes() {
    let mut numbers = Numbers(2);
    let values = [
        "1",
        "-0",
        "01",
        "1.",
        ".5",
        "1e5",
        "-",
        "true",
        "tru",
        "null",
        "nullx",
        "\"\"",
        "\"a\\nb\"",
        "\"\\x\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\t\"",
        "\"é\\\\\"",
        "\"open",
        "",
        "'a'",
        "NaN",
        "\"\u{7f}\u{2028}\"",
    ];
    for round in 0..1500 {
        let blank = ["", " ", "\t", "\u{a0}", "\r"];
        let mut pick = |texts: &[&'static str]| numbers.pick(texts);
        let (open, name) = (pick(&["{", "{", "{", "", "["]), pick(&["\"a\"", "\"a\"", "\"\\u0061\"", "a", "\"a"]));
        let (colon, value) = (pick(&[":", ":", ":", ""]), pick(&values));
        let close = pick(&["}", "}", "}", "", ",}", "}}", "} 1", ",\"a\"}", "]"]);
        let mut text = String::new();
        for token in [open, name, colon, value, close] {
            // Mostly well-formed: odd blanks only now and then.
            text.push_str(pick(if round % 4 == 0 { &blank } else { &["", " "] }));
            text.push_str(token);
        }
        let directory = tempfile::tempdir().unwrap();
        let options = SourceOptions {
            fields: Some(vec!["t".into(), "a".into()]),
            ..options(&directory, "in.ndjson", format!("{text}\n").as_bytes())
        };
        let error = Source::open(&options).unwrap().read_batch(1).unwrap_err();
        let ours = matches!(error, SourceError::TimestampMissing { .. });
        let theirs = serde_json::from_str::<std::collections::BTreeMap<String, serde_json::Value>>(&text);
        assert_eq!(ours, theirs.is_ok(), "{text:?}: {error}");
    }
}

#[test]
fn no_bytes_make_it_panic_or_run_on() {
    let mut numbers = Numbers(3);
    let directory = tempfile::tempdir().unwrap();
    let pieces =
        ["\"", ",", "\n", "\r", "{", "}", ":", "\\", "\\u", "1", "-", "e", ".", "\u{feff}", "\u{e9}", "\0", ""];
    for _ in 0..1500 {
        for (name, whole) in [("in.csv", CSV), ("in.ndjson", NDJSON)] {
            let mut bytes = whole.as_bytes().to_vec();
            for _ in 0..3 {
                let at = numbers.next() % bytes.len();
                let until = (at + numbers.next() % 3).min(bytes.len());
                let piece = numbers.pick(&pieces).as_bytes();
                // Now and then half a character.
                bytes.splice(at..until, piece.iter().skip(numbers.next() % 8 / 7).copied());
            }
            let Ok(mut source) = Source::open(&options(&directory, name, &bytes)) else {
                continue;
            };
            let mut last = source.position();
            while let Ok(Some(batch)) = source.read_batch(2) {
                for position in batch.positions {
                    assert!(position.offset > last.offset && position.line > last.line, "{bytes:?}");
                    last = position;
                }
            }
            assert!(last.offset <= bytes.len() as u64);
        }
    }
}
