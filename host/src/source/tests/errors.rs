//! Each error, by its message.

use super::*;

#[test]
fn opening() {
    let missing = message_with("in.csv", b"", |options| options.file = options.file.with_file_name("no.csv"));
    assert!(missing.starts_with("no.csv: cannot open it: "), "{missing}");
    assert!(missing.ends_with("; check `file` under [source]"), "{missing}");
    assert_eq!(
        message("in.txt.gz", b""),
        "in.txt.gz: unknown format; the name must end in .csv, .ndjson or .jsonl, each also with .gz, or be `-` for standard input"
    );
    let empty = "it is empty; CSV starts with a header of field names, and NDJSON without any object needs `fields` in [source]";
    for name in ["in.csv", "in.ndjson"] {
        for bytes in ["", "\n\r\n", "\u{feff}"] {
            assert_eq!(message(name, bytes.as_bytes()), format!("{name}: {empty}"));
        }
    }
    assert_eq!(
        message_with("in.csv", b"a,time,b\n", |options| options.timestamp = "tiem".into()),
        "in.csv: it has no field `tiem` (did you mean `time`?); `timestamp` under [source] must name one of its fields: a, time, b"
    );
    assert_eq!(
        message("in.csv", b"\nt,a,a\n"),
        "in.csv, line 2, field `a`: the name is there twice; rename or remove one of them"
    );
    assert!(
        message("in.ndjson", b"{\"t\":1,\"t\":2}").starts_with("in.ndjson, line 1, field `t`: the name is there twice")
    );
    assert!(
        message("in.ndjson", b"{\"t\":1}\n{\"t\":1,\"t\":2}")
            .starts_with("in.ndjson, line 2, field `t`: the name is there twice")
    );
}

#[test]
fn a_list_of_fields_that_is_wrong() {
    let with_fields = |names: [&str; 3]| {
        message_with("in.ndjson", b"", |options| options.fields = Some(names.map(String::from).to_vec()))
    };
    assert_eq!(with_fields(["t", "a", "a"]), "in.ndjson: `fields` under [source] lists `a` twice; remove one of them");
    assert!(
        with_fields(["a", "b", "c"]).starts_with("in.ndjson: it has no field `t`; `timestamp` under [source] must")
    );
}

#[cfg(unix)]
#[test]
fn a_directory_cannot_be_read() {
    let text = message_with("in.csv", b"", |options| {
        options.file = options.file.with_file_name("dir.csv");
        std::fs::create_dir(&options.file).unwrap();
    });
    assert!(text.starts_with("dir.csv: cannot read it: ") && text.contains("; check the disk"), "{text}");
}

#[test]
fn gzip_that_is_cut_or_damaged() {
    let text: String = (0..5000).map(|row| format!("{row},{}\n", row * 7919 % 10_007)).collect();
    let whole = gzip(format!("t,a\n{text}").as_bytes());
    let truncated = "in.csv.gz: the gzip data ends too early: the file is cut off; copy it again (`gzip -t` tests it)";
    for length in (0..whole.len()).rev().take(12).chain([0, 1, 5, 10, 11, 40, whole.len() / 2]) {
        assert_eq!(message("in.csv.gz", &whole[..length]), truncated, "{length} of {}", whole.len());
    }
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last - 6] ^= 1;
    let corrupt = message("in.csv.gz", &damaged);
    assert!(
        corrupt.starts_with("in.csv.gz: not valid gzip data: ") && corrupt.contains("; copy it again"),
        "{corrupt}"
    );
    assert!(message("in.csv.gz", b"t,a\n1,2\n1,2\n1,2\n").contains("or drop .gz from the name"));
    for name in ["in.csv", "in.ndjson"] {
        let expected = format!("{name}: is compressed with gzip; let its name end in .gz, or decompress it");
        assert_eq!(message(name, &whole), expected);
    }
    for more in ["?", "and more after it", "\0\0\0and zeros before it"] {
        let message = message("in.csv.gz", &[&whole[..], more.as_bytes()].concat());
        assert!(message.contains("not valid gzip data: something else than gzip comes behind its end"), "{message}");
    }

    // What comes before the damage is read, and the failure does not turn into the end of the file.
    let directory = tempfile::tempdir().unwrap();
    let mut source = Source::open(&options(&directory, "in.csv.gz", &whole[..whole.len() - 1])).unwrap();
    assert_eq!(source.read_batch(10_000).unwrap().unwrap().events.len(), 5000);
    for _ in 0..3 {
        assert!(matches!(source.read_batch(1), Err(SourceError::GzipTruncated { .. })));
    }
    source.seek(SourcePosition::default()).unwrap();
    assert_eq!(source.read_batch(1).unwrap().unwrap().events[0].timestamp, 0);
}

#[test]
fn position_beyond_the_end() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in [("in.csv", b"t\n1\n".to_vec()), ("in.csv.gz", gzip(b"t\n1\n"))] {
        let mut source = Source::open(&options(&directory, name, &bytes)).unwrap();
        source.seek(at(4, 2)).unwrap();
        assert_eq!(source.read_batch(1).unwrap(), None);
        let error = source.seek(at(5, 3)).unwrap_err();
        assert_eq!(
            without_directory(&error, directory.path()),
            format!(
                "{name}: it has 4 bytes (uncompressed), fewer than the 5 read before: it was cut or replaced; \
                 put the old file back, or start without the earlier checkpoints"
            )
        );
    }
}

#[test]
fn csv_rows_that_are_wrong() {
    assert_eq!(
        message("in.csv", b"t,a\r\n1,2\r\n\r\n1,\"\n\"\r\n3\r\n"),
        "in.csv, line 6: expected 2 fields as in the header, found 1; add or remove commas, and put a field that holds a comma in double quotes"
    );
    assert!(
        message("in.csv", b"t,a\n1,2,3\n").starts_with("in.csv, line 2: expected 2 fields as in the header, found 3;")
    );
    // Lines of old that end in CR alone are none, and a field may have one in quotes.
    assert_eq!(
        message("in.csv", b"t,a\r1,2\r"),
        "in.csv, line 1: a carriage return within the header; lines end in LF or CRLF: convert the file, for example with `tr '\\r' '\\n'`"
    );
    let directory = tempfile::tempdir().unwrap();
    let listing = |fields: &[&str]| {
        let fields = Some(fields.iter().map(|field| String::from(*field)).collect());
        Source::open(&SourceOptions { fields, ..options(&directory, "in.csv", b"t,a\n1,2\n") })
    };
    assert_eq!(listing(&["t", "a"]).unwrap().fields(), ["t", "a"]);
    for other in [&["a", "t"][..], &["t"], &["t", "b"]] {
        let error = listing(other).unwrap_err().to_string();
        assert!(error.contains("in.csv: its header has other fields"), "{error}");
        assert!(error.ends_with(": t, a"), "{error}");
    }
    let source = Source::open(&options(&directory, "in.csv", b"t,\"a\rb\"\r\n1,2\r\n")).unwrap();
    assert_eq!(source.fields(), ["t", "a\rb"]);
    // A row of several lines, behind blank ones, by its first.
    assert!(
        message("in.csv", b"t,a\n1,2\n\n\n3,\"x\ny\nz\",4\n")
            .starts_with("in.csv, line 5: expected 2 fields as in the header, found 3;")
    );
    assert_eq!(
        message("in.csv", b"t,a\n1,2\n1,\"2\n1,2\n"),
        "in.csv, line 3, field number 2: its opening quote is never closed; add the closing quote, or double the quote if it is part of the text"
    );
    for row in ["1,\"2\"3\n", "1,\"2\" ,\n", "1,\"2\"\r\r\n"] {
        assert_eq!(
            message("in.csv", format!("t,a\n{row}").as_bytes()),
            "in.csv, line 2, field number 2: text follows its closing quote; end it with a comma, or double the quote if it is part of the text"
        );
    }
    assert_eq!(
        message("in.csv", b"t,a\n1,\"b\n\xe9\"\n"),
        "in.csv, line 2, field `a`: not valid UTF-8 at byte 6 of the row; convert the file, for example with `iconv -f latin1 -t utf-8`"
    );
    assert!(message("in.csv", b"t,\xe9\n").starts_with("in.csv, line 1: not valid UTF-8 at byte 3 of the row;"));
    assert_eq!(
        message("in.csv", b"t,a\n1,9223372036854775808\n"),
        "in.csv, line 2, field `a`: number too large: \"9223372036854775808\"; whole numbers go from -9223372036854775808 to \
         9223372036854775807, others to 1.798e308; correct it, or name the field under `text` of the source, so that its values stay text (with checkpoints already there, start anew then: --from none)"
    );
    let open = [b"t,a\n1,\"".as_slice(), &b"0123456789abcde\n".repeat(ROW_BYTES_MAX / 16 + READ_BYTES)].concat();
    assert_eq!(
        message("in.csv", &open),
        format!(
            "in.csv, line 2: the row is longer than {ROW_BYTES_MAX} bytes; split it, or close the quote that it leaves open"
        )
    );
}

/// The limit is the same wherever a row lies in the buffer, and whether a line end follows.
#[test]
fn rows_as_long_as_can_be_and_longer() {
    let row = |length: usize| [b"1,", "x".repeat(length - 3).as_bytes(), b"\n"].concat();
    let longest = row(ROW_BYTES_MAX);
    assert_eq!(read("in.csv", &[b"t,a\n", &*longest, &*longest].concat()).unwrap().events.len(), 2);
    let too_long = row(ROW_BYTES_MAX + 1);
    let unended = &too_long[..too_long.len() - 1];
    for (before, row, line) in [
        (&b"t,a\n"[..], &*too_long, 2),
        (&[b"t,a\n", &*longest].concat(), &too_long, 3),
        (b"t,a\n", &[unended, b"x"].concat(), 2),
    ] {
        let wanted = format!("line {line}: the row is longer than {ROW_BYTES_MAX} bytes; ");
        let bytes = [before, row].concat();
        assert!(message("in.csv", &bytes).contains(&wanted));
        assert!(message("in.csv.gz", &gzip(&bytes)).contains(&wanted));
    }
    // What is blank before a row is no part of it.
    assert_eq!(
        read("in.ndjson", &[&*b"\n".repeat(ROW_BYTES_MAX + 9), b"{\"t\":1}\n"].concat()).unwrap().events.len(),
        1
    );
}

#[test]
fn long_rows_make_small_batches() {
    let row = [b"1,", "x".repeat(1 << 20).as_bytes(), b"\n"].concat();
    let directory = tempfile::tempdir().unwrap();
    let bytes = [b"t,a\n", &*row.repeat(20)].concat();
    let mut source = Source::open(&options(&directory, "in.csv", &bytes)).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = source.read_batch(512).unwrap() {
        batches.push(batch.events.len());
    }
    assert_eq!(batches.iter().sum::<usize>(), 20);
    assert!(batches.iter().all(|events| *events <= 5), "{batches:?}");
}

#[test]
fn ndjson_rows_that_are_wrong() {
    let wrong = |row: &str| message("in.ndjson", format!("{{\"t\":1,\"delay\":2}}\n\n{row}\n").as_bytes());
    assert_eq!(
        wrong("{\"t\":1,\"dealy\":2}"),
        "in.ndjson, line 3, field `dealy`: unknown field (did you mean `delay`?); correct the name, or list it under `fields` in [source] (with checkpoints already there, start anew then: --from none)"
    );
    assert!(wrong("{\"t\":1,\"origin\":2}").contains("field `origin`: unknown field; correct the name"));
    // To compare names of a megabyte letter by letter takes hours.
    let long = |letter: &str| format!("{{\"t\":1,\"{}\":2}}\n", letter.repeat(1 << 20));
    assert_eq!(
        message("in.ndjson", (long("a") + &long("b")).as_bytes()),
        format!(
            "in.ndjson, line 2, field `{}…`: unknown field; correct the name, or list it under `fields` in [source] (with checkpoints already there, start anew then: --from none)",
            "b".repeat(60)
        )
    );
    assert_eq!(
        wrong("{\"t\":1,\"é\" 2}"),
        "in.ndjson, line 3, column 13: malformed JSON: expected `:`; each line must be one complete object such as {\"a\": 1}"
    );
    assert!(wrong("[1]").contains("column 1: malformed JSON: invalid type: sequence, expected an object;"));
    assert!(wrong("{\"t\":1").contains("column 6: malformed JSON: EOF while parsing an object;"));
    assert!(wrong("{\"t\":1} {}").contains("column 9: malformed JSON: trailing characters;"));
    assert!(wrong("{\"t\":\"\\ud800\"}").contains("column 13: malformed JSON: unexpected end of hex escape;"));
    assert_eq!(
        wrong("{\"t\":1,\"delay\":[2]}"),
        "in.ndjson, line 3, field `delay`: an array is not supported as a value; flatten it into fields of its own, or write it as a string"
    );
    assert!(wrong("{\"t\":1,\"delay\":{}}").contains("field `delay`: an object is not supported"));
    for number in ["9223372036854775808", "18446744073709551616", "-123456789012345678901234567890", "1e400"] {
        let text = wrong(&format!("{{\"t\":1,\"delay\":{number}}}"));
        assert!(
            text.starts_with(&format!("in.ndjson, line 3, field `delay`: number too large: \"{number}\";")),
            "{text}"
        );
    }
    assert!(
        message("in.ndjson", b"{\"t\":\"\xff\"}")
            .starts_with("in.ndjson, line 1: not valid UTF-8 at byte 7 of the row;")
    );
}

#[test]
fn timestamps_that_are_wrong() {
    assert_eq!(
        message("in.ndjson", b"{\"t\":1,\"a\":2}\n{\"a\":2}"),
        "in.ndjson, line 2, field `t`: the timestamp is missing; add it to the object, or name another field as `timestamp` in [source] (with checkpoints already there, start anew then: --from none)"
    );
    let null = "field `t`: the timestamp is null; fill it in, or name another field as `timestamp` in [source] (with checkpoints already there, start anew then: --from none)";
    assert_eq!(message("in.csv", b"t,a\nNA,1\n"), format!("in.csv, line 2, {null}"));
    assert_eq!(message("in.ndjson", b"{\"t\":null}"), format!("in.ndjson, line 1, {null}"));
    assert_eq!(
        message("in.csv", b"t\n2013-01-01 later\n"),
        "in.csv, line 2, field `t`: not a timestamp: \"2013-01-01 later\"; write RFC 3339 such as 2013-01-01T10:00:00Z, or an integer in milliseconds since 1970"
    );
    assert!(message("in.ndjson", b"{\"t\":true}").contains("field `t`: not a timestamp: true;"));
    assert_eq!(
        message("in.csv", b"t\n-8640000000000001\n"),
        "in.csv, line 2, field `t`: timestamp out of range: -8640000000000001 ms; it must be within \u{b1}8640000000000000 ms of 1970, so check that the unit is milliseconds"
    );
}

/// A position is behind a row: elsewhere it is that of another file, whose rows would be read from their midst.
#[test]
fn a_position_in_the_midst_of_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let bytes: &[u8] = b"t,a\n1,x\n22,\"y\nz\"\r\n3,w";
    for (name, bytes) in [("in.csv", bytes.to_vec()), ("in.csv.gz", gzip(bytes))] {
        let options = options(&directory, name, &bytes);
        let mut source = Source::open(&options).unwrap();
        let all = read_all(&mut source, 100).unwrap();
        for offset in 4..=24 {
            let error = match source.seek(at(offset, 2)) {
                Ok(()) => {
                    // A line end within quotes cannot be told from one of a row, and one behind may have come since.
                    let around = &b"t,a\n1,x\n22,\"y\nz\"\r\n3,w\n"[offset as usize - 1..][..2];
                    assert!(around[0] == b'\n' || b"\r\n".contains(&around[1]), "{offset}");
                    continue;
                }
                Err(error) => without_directory(&error, directory.path()),
            };
            let beyond =
                format!("{name}: it has 21 bytes (uncompressed), fewer than the {offset} read before: it was cut");
            let within =
                format!("{name}: no row begins behind the {offset} bytes (uncompressed) read before: it was cut");
            assert!(error.starts_with(if offset > 21 { &beyond } else { &within }), "{error}");
        }
        source.seek(all.positions[0]).unwrap();
        assert_eq!(read_all(&mut source, 100).unwrap().events, all.events[1..]);
    }
    // The last row had no end, and has one now.
    let with_more = options(&directory, "in.csv", &[bytes, b"\r\n4,v\n"].concat());
    let mut source = Source::open(&with_more).unwrap();
    source.seek(at(21, 4)).unwrap();
    assert_eq!(read_all(&mut source, 100).unwrap().events[0].timestamp, 4);
}

#[test]
fn a_file_that_is_cut_while_it_is_read() {
    let rows: String = (0..100_000).map(|number| format!("{number},x\n")).collect();
    let bytes = format!("t,a\n{rows}");
    for keep in [0, 100, bytes.len() as u64 - 5] {
        let directory = tempfile::tempdir().unwrap();
        let options = options(&directory, "in.csv", bytes.as_bytes());
        let mut source = Source::open(&options).unwrap();
        source.read_batch(100).unwrap();
        std::fs::File::options().write(true).open(&options.file).unwrap().set_len(keep).unwrap();
        let error = read_all(&mut source, 1000).unwrap_err();
        assert!(
            error.to_string().contains("it was cut or replaced while it was read; put the whole file back"),
            "{error}"
        );
        assert!(
            matches!(error, SourceError::CutWhileRead { length, before, .. } if length == keep && before >= READ_BYTES as u64)
        );
    }
    // One that grows is read as far as it then goes.
    let directory = tempfile::tempdir().unwrap();
    let options = options(&directory, "in.csv", bytes.as_bytes());
    let mut source = Source::open(&options).unwrap();
    std::fs::File::options().append(true).open(&options.file).unwrap().write_all(b"7,more\n").unwrap();
    assert_eq!(read_all(&mut source, 1000).unwrap().events.len(), 100_001);
}

/// As `cp` does, into the file that is being read: what was read is of both.
#[test]
fn a_file_that_is_written_over_while_it_is_read() {
    let rows = |value: &str| (100_000..200_000).map(|number| format!("{number},{value}\n")).collect::<String>();
    let directory = tempfile::tempdir().unwrap();
    let options = options(&directory, "in.csv", format!("t,a\n{}", rows("x")).as_bytes());
    let mut source = Source::open(&options).unwrap();
    source.read_batch(100).unwrap();
    let mut file = std::fs::File::options().write(true).open(&options.file).unwrap();
    file.write_all(format!("t,a\n{}", rows("y")).as_bytes()).unwrap();
    let error = read_all(&mut source, 1000).unwrap_err();
    assert!(matches!(error, SourceError::OverwrittenWhileRead { .. }), "{error}");
    assert!(error.to_string().contains("written over it while it was read; put the whole file back"), "{error}");
}
