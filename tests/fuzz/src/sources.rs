//! Rows of CSV and NDJSON files, and the times in them.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use eventflux::Event;
use eventflux::source::{Source, SourceOptions, SourcePosition};
use tempfile::TempDir;

use super::memory::bounded;

/// A field of a row takes a name and a value, for a comma or two.
const PLAIN_PER_BYTE: usize = 1024;
/// Behind each byte of gzip there can be a thousand commas.
const GZIP_PER_BYTE: usize = 256 << 10;
/// Positions that reading goes on from, on each input.
const SEEKS_MAX: usize = 16;

/// A file of CSV. The first byte says how it is read.
pub fn csv(input: &[u8]) {
    file(input, "csv");
}

/// A file of NDJSON.
pub fn ndjson(input: &[u8]) {
    file(input, "ndjson");
}

fn file(input: &[u8], format: &str) {
    let Some((first, bytes)) = input.split_first() else { return };
    let gzip = first % 8 == 7;
    let options = SourceOptions {
        file: write_file(if gzip { format!("in.{format}.gz") } else { format!("in.{format}") }, bytes),
        timestamp: String::from("at"),
        null: if first & 8 == 0 { vec![String::new(), String::from("NA")] } else { vec![] },
        fields: (first & 16 != 0).then(|| ["at", "city", "value"].map(String::from).to_vec()),
        text: if first & 32 == 0 { vec![] } else { vec![String::from("value")] },
    };
    let per_byte = if gzip { GZIP_PER_BYTE } else { PLAIN_PER_BYTE };
    let all = bounded(input.len(), per_byte, || read(&options, None, usize::MAX));
    let (events, error) = all;
    // However it is divided, it is the same.
    assert_eq!(read(&options, None, 1), (events.clone(), error.clone()));
    for (place, (_, position)) in events.iter().enumerate().take(SEEKS_MAX) {
        let rest = (events[place + 1..].to_vec(), error.clone());
        assert_eq!(read(&options, Some(*position), 3), rest, "after row {place}");
    }
}

type Rows = (Vec<(Event, SourcePosition)>, Option<String>);

/// Events with the positions after them, up to the end or an error.
fn read(options: &SourceOptions, from: Option<SourcePosition>, events_max: usize) -> Rows {
    let mut rows = Vec::new();
    let mut source = match Source::open(options) {
        Ok(source) => source,
        Err(error) => return (rows, Some(error.to_string())),
    };
    if let Some(from) = from
        && let Err(error) = source.seek(from)
    {
        return (rows, Some(error.to_string()));
    }
    loop {
        match source.read_batch(events_max) {
            Ok(Some(batch)) => {
                rows.extend(batch.events.iter().cloned().zip(batch.positions.iter().copied()));
                assert!(batch.events.iter().all(|event| event.values.len() == source.fields().len()));
                source.recycle(batch);
            }
            Ok(None) => return (rows, None),
            Err(error) => return (rows, Some(error.to_string())),
        }
    }
}

/// The text of a time: as RFC 3339 has it, or an error.
pub fn timestamp(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let row = serde_json::json!({ "at": text });
    let file = write_file(String::from("times.ndjson"), format!("{row}\n").as_bytes());
    let options = SourceOptions { file, timestamp: String::from("at"), ..SourceOptions::default() };
    let (events, error) = bounded(input.len(), PLAIN_PER_BYTE, || read(&options, None, 1));
    let found = events.first().map(|(event, _)| event.timestamp);
    assert!(found.is_some() != error.is_some());
    if let Some(expected) = simple_time(text) {
        assert_eq!(found, Some(expected), "{text}: {error:?}");
    }
}

/// `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)` of a day that exists, in milliseconds; `None` for all else.
fn simple_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        Some(digits.iter().fold(0, |number, digit| 10 * number + i64::from(digit - b'0')))
    };
    let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if punctuation.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_days = *usize::try_from(month - 1).ok().and_then(|month| days.get(month))?;
    if year == 0 || !(1..=month_days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = if bytes.get(19) == Some(&b'.') {
        bytes[20..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    } else {
        0
    };
    if bytes.get(19) == Some(&b'.') && !(1..=9).contains(&fraction) {
        return None;
    }
    let after = if fraction == 0 { 19 } else { 20 + fraction };
    let millis = (0..3)
        .fold(0, |millis, place| 10 * millis + if place < fraction { i64::from(bytes[20 + place] - b'0') } else { 0 });
    let offset = match bytes.get(after)? {
        b'Z' if bytes.len() == after + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == after + 6 && bytes[after + 3] == b':' => {
            let (hours, minutes) = (number(after + 1, after + 3)?, number(after + 4, after + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let years = year - 1;
    let days_before = years * 365 + years / 4 - years / 100 + years / 400 - 719_162;
    let days_before = days_before + days[..month as usize - 1].iter().sum::<i64>() + day - 1;
    Some((((days_before * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + millis)
}

/// A file of this thread's own.
fn write_file(name: String, bytes: &[u8]) -> PathBuf {
    thread_local! {
        static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    DIRECTORY.with_borrow_mut(|directory| {
        let directory = directory.get_or_insert_with(|| tempfile::tempdir().expect("a temporary directory"));
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("a temporary file is written");
        path
    })
}
