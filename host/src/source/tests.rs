//! Whole inputs through [`Source`].

use std::io::Write;
use std::path::Path;

use eventflux_core::Value;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

mod errors;
mod oracles;

const CSV: &str =
    "t,name,n\r\n1,a,1.5\n\n2,\"x,\r\ny\n\nz\",NA\r\n\r\n2,\"say \"\"hi\"\"\",-3\n\"4\",é,\n\n\n5,\"\",007";
const NDJSON: &str = "\n{\"t\":1,\"name\":\"a\",\"n\":1.5}\r\n  \n{ \"n\" : true , \"t\" : \"1970-01-01T00:00:02Z\" }\n\n\
    {\"t\":3,\"name\":\"q\\\"\\u00e9\\n\",\"n\":-3}\n{\"t\":4,\"name\":\"NA\",\"n\":null}\n{\"name\":\"é\",\"t\":5,\"n\":1e2}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn options(directory: &TempDir, name: &str, bytes: &[u8]) -> SourceOptions {
    let file = directory.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    SourceOptions { file, timestamp: "t".into(), null: vec![String::new(), "NA".into()], ..SourceOptions::default() }
}

fn read_all(source: &mut Source, events_max: usize) -> Result<Batch, SourceError> {
    let mut all = Batch { events: Vec::new(), positions: Vec::new(), lines: Vec::new() };
    while let Some(batch) = source.read_batch(events_max)? {
        assert!(!batch.events.is_empty() && batch.events.len() <= events_max);
        assert_eq!(batch.events.len(), batch.positions.len());
        assert_eq!(batch.positions.last(), Some(&source.position()));
        all.events.extend(batch.events);
        all.positions.extend(batch.positions);
        all.lines.extend(batch.lines);
    }
    Ok(all)
}

fn read(name: &str, bytes: &[u8]) -> Result<Batch, SourceError> {
    let directory = tempfile::tempdir().unwrap();
    read_all(&mut Source::open(&options(&directory, name, bytes))?, 100)
}

/// The message of the error that reading gives, without the directory.
fn message(name: &str, bytes: &[u8]) -> String {
    message_with(name, bytes, |_| {})
}

fn message_with(name: &str, bytes: &[u8], change: impl Fn(&mut SourceOptions)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&directory, name, bytes);
    change(&mut options);
    let error = Source::open(&options).and_then(|mut source| read_all(&mut source, 100)).unwrap_err();
    without_directory(&error, directory.path())
}

fn without_directory(error: &SourceError, directory: &Path) -> String {
    error.to_string().replace(&format!("{}{}", directory.display(), std::path::MAIN_SEPARATOR), "")
}

fn kinds_and_values(batch: &Batch) -> Vec<(i64, Vec<(&'static str, Value)>)> {
    let with_kind = |value: &Value| (value.kind(), value.clone());
    batch.events.iter().map(|event| (event.timestamp, event.values.iter().map(with_kind).collect())).collect()
}

fn int(number: i64) -> (&'static str, Value) {
    ("integer", number.into())
}

fn float(number: f64) -> (&'static str, Value) {
    ("number", number.into())
}

fn string(text: &str) -> (&'static str, Value) {
    ("string", text.into())
}

fn null() -> (&'static str, Value) {
    ("null", Value::Null)
}

fn at(offset: u64, line: u64) -> SourcePosition {
    SourcePosition { offset, line }
}

/// A number of 20 digits fits none, and one with zeros behind it is another text than without.
#[test]
fn fields_that_stay_text() {
    let read = |name: &str, bytes: &str| {
        let directory = tempfile::tempdir().unwrap();
        let options = SourceOptions { text: vec!["n".into()], ..options(&directory, name, bytes.as_bytes()) };
        let batch = read_all(&mut Source::open(&options)?, 100)?;
        Ok::<_, SourceError>(batch.events.into_iter().map(|event| event.values[1].clone()).collect::<Vec<_>>())
    };
    let texts = ["12345678901234567890", "1.50", "7E2", "5E1000", "-0", "a"].map(Value::from);
    let csv = read("in.csv", "t,n,m\n1,12345678901234567890,1\n1,1.50,1\n1,7E2,1\n1,\"5E1000\",1\n1,-0,1\n1,a,1\n");
    assert_eq!(csv.unwrap(), texts);
    let row = |value: &str| format!("{{\"t\":1,\"n\":{value}}}\n");
    let ndjson: String = ["12345678901234567890", "1.50", "7E2", "5E1000", "-0", "\"a\""].map(row).concat();
    assert_eq!(read("in.ndjson", &ndjson).unwrap(), texts);
    assert_eq!(
        read("in.jsonl", &[row("null"), row("\"NA\""), row("true")].concat()).unwrap(),
        [Value::Null, Value::Null, true.into()]
    );
    assert_eq!(read("in.csv", "t,n\n1,NA\n1,\n").unwrap(), [Value::Null, Value::Null]);
    // The others are numbers as before.
    assert!(read("in.csv", "t,n,m\n1,1,12345678901234567890\n").is_err());
}

#[test]
fn csv_values_and_positions() {
    let batch = read("in.csv", CSV.as_bytes()).unwrap();
    assert_eq!(
        kinds_and_values(&batch),
        [
            (1, vec![int(1), string("a"), float(1.5)]),
            (2, vec![int(2), string("x,\r\ny\n\nz"), null()]),
            (2, vec![int(2), string("say \"hi\""), int(-3)]),
            (4, vec![int(4), string("é"), null()]),
            (5, vec![int(5), null(), string("007")]),
        ]
    );
    assert_eq!(batch.positions, [at(18, 2), at(36, 7), at(56, 9), at(64, 10), at(CSV.len() as u64, 13)]);
    assert_eq!(batch.lines, [2, 4, 9, 10, 13]);
}

#[test]
fn ndjson_values_and_positions() {
    let batch = read("in.ndjson", NDJSON.as_bytes()).unwrap();
    assert_eq!(
        kinds_and_values(&batch),
        [
            (1, vec![int(1), string("a"), float(1.5)]),
            (2000, vec![string("1970-01-01T00:00:02Z"), null(), ("boolean", true.into())]),
            (3, vec![int(3), string("q\"é\n"), int(-3)]),
            (4, vec![int(4), null(), null()]),
            (5, vec![int(5), string("é"), float(100.0)]),
        ]
    );
    let lines: Vec<u64> = batch.positions.iter().map(|position| position.line).collect();
    assert_eq!(lines, [2, 4, 6, 7, 8]);
    assert_eq!(batch.lines, lines);
    assert_eq!(batch.positions.last().unwrap().offset, NDJSON.len() as u64);
}

#[test]
fn after_a_seek_the_rest_is_that_of_an_uninterrupted_read() {
    let directory = tempfile::tempdir().unwrap();
    let marked = |text: &str| format!("\u{feff}{text}\n").into_bytes();
    let members = [gzip(&CSV.as_bytes()[..30]), gzip(b""), gzip(&CSV.as_bytes()[30..])].concat();
    for (name, bytes) in [
        ("a.csv", CSV.as_bytes().to_vec()),
        ("b.csv", marked(CSV)),
        ("c.csv.gz", gzip(CSV.as_bytes())),
        ("d.csv.gz", members.clone()),
        ("filled_up.csv.gz", [members, vec![0; 3], gzip(b""), vec![0; 200_000]].concat()),
        ("e.ndjson", NDJSON.as_bytes().to_vec()),
        ("f.ndjson", marked(NDJSON)),
        ("G.NDJSON.GZ", gzip(NDJSON.as_bytes())),
    ] {
        let options = options(&directory, name, &bytes);
        let mut source = Source::open(&options).unwrap();
        let start = source.position();
        let all = read_all(&mut source, 100).unwrap();
        assert_eq!(all.events.len(), 5, "{name}");
        for events_max in 1..=6 {
            let positions =
                [SourcePosition::default(), start].iter().chain(&all.positions).copied().collect::<Vec<_>>();
            for (index, position) in positions.iter().enumerate() {
                let mut fresh = Source::open(&options).unwrap();
                fresh.seek(*position).unwrap();
                // Also back and forth in a source that has read to its end.
                source.seek(*position).unwrap();
                for source in [&mut fresh, &mut source] {
                    assert_eq!(source.position(), if index == 0 { start } else { *position }, "{name}");
                    let rest = read_all(source, events_max).unwrap();
                    let read = index.saturating_sub(1);
                    assert_eq!(rest.events, all.events[read..], "{name} {position:?}");
                    assert_eq!(rest.positions, all.positions[read..], "{name} {position:?}");
                }
            }
        }
    }
}

#[test]
fn rows_across_the_ends_of_buffers() {
    let long = "x".repeat(READ_BYTES * 3 + 1);
    let mut text = String::from("t,name\n");
    for row in 0..60_000 {
        text.push_str(&format!("{row},\"line one of {row}\nline two\"\n"));
    }
    text.push_str(&format!("60000,\"{long}\n{long}\"\n60001,end\n"));
    for (name, bytes) in [("in.csv", text.clone().into_bytes()), ("in.csv.gz", gzip(text.as_bytes()))] {
        let directory = tempfile::tempdir().unwrap();
        let mut source = Source::open(&options(&directory, name, &bytes)).unwrap();
        let all = read_all(&mut source, 997).unwrap();
        assert_eq!(all.events.len(), 60_002);
        for (row, event) in all.events[..60_000].iter().enumerate() {
            assert_eq!(event.timestamp, row as i64);
            assert_eq!(event.values[1].as_str(), Some(format!("line one of {row}\nline two").as_str()));
            assert_eq!(all.positions[row].line, 1 + 2 * (row as u64 + 1));
        }
        assert_eq!(all.events[60_000].values[1].as_str().map(str::len), Some(2 * long.len() + 1));
        assert_eq!(all.positions.last(), Some(&at(text.len() as u64, 120_004)));
        assert_eq!(source.bytes_total(), Some(bytes.len() as u64));
        assert_eq!(source.bytes_read(), bytes.len() as u64);
        source.seek(all.positions[45_000]).unwrap();
        assert_eq!(source.read_batch(1).unwrap().unwrap().events[0], all.events[45_001]);
    }
}

#[test]
fn good_events_come_before_the_error_and_the_error_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Source::open(&options(&directory, "in.csv", b"t\n1\n2\nx\n4\n")).unwrap();
    assert_eq!(source.read_batch(10).unwrap().unwrap().events.len(), 2);
    assert_eq!(source.position(), at(6, 3));
    for _ in 0..3 {
        assert!(matches!(source.read_batch(10), Err(SourceError::TimestampInvalid { .. })));
    }
    source.seek(at(8, 4)).unwrap();
    assert_eq!(source.read_batch(10).unwrap().unwrap().events[0].timestamp, 4);
    assert_eq!(source.read_batch(10).unwrap(), None);
    assert_eq!(source.read_batch(10).unwrap(), None);
}

/// Lines are counted once, also where the last one got its end after it was read.
#[test]
fn a_line_end_that_comes_late_is_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Source::open(&options(&directory, "in.csv", b"t\n1\n2")).unwrap();
    assert_eq!(source.read_batch(10).unwrap().unwrap().events.len(), 2);
    assert_eq!(source.position(), at(5, 3));
    for (more, lines) in [("\n3\nx\n", 4), ("\r\n3\nx\n", 4), ("\n\n3\nx\n", 5)] {
        let bytes = format!("t\n1\n2{more}");
        let mut grown = Source::open(&options(&directory, "in.csv", bytes.as_bytes())).unwrap();
        grown.seek(at(5, 3)).unwrap();
        assert_eq!(grown.read_batch(10).unwrap().unwrap().events[0].timestamp, 3, "{more:?}");
        assert_eq!(grown.position().line, lines, "{more:?}");
        let wrong = grown.read_batch(10).unwrap_err().to_string();
        assert!(wrong.contains(&format!("line {}", lines + 1)), "{more:?}: {wrong}");
    }
}

#[test]
fn fields_of_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let fields = |options: &SourceOptions| Source::open(options).unwrap().fields().to_vec();
    assert_eq!(fields(&options(&directory, "a.csv", b"\n\r\n\"t\",\"a \"\"b\"\"\",\n")), ["t", "a \"b\"", ""]);
    assert_eq!(fields(&options(&directory, "a.ndjson", b"\xef\xbb\xbf\n {\"b\":1,\"t\":2}\n{\"c\":1}")), ["b", "t"]);
    let mut listed = options(&directory, "b.ndjson", b"");
    listed.fields = Some(vec!["t".into(), "z".into()]);
    assert_eq!(fields(&listed), ["t", "z"]);
    assert_eq!(Source::open(&listed).unwrap().read_batch(1).unwrap(), None);
    let header_only = options(&directory, "b.csv", b"t,a");
    let mut source = Source::open(&header_only).unwrap();
    assert_eq!((source.position(), source.read_batch(1).unwrap()), (at(3, 1), None));
}

#[test]
fn a_source_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Source>();
    is_send::<SourceError>();
}
