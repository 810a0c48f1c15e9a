//! The worked example of `core/FORMAT.md` is a real checkpoint.

use std::fs;

use eventflux_core::{CheckpointRequest, Compression, ObjectId, Progress, StateHolder};

/// The checkpoint of the example.
fn example() -> Vec<u8> {
    let mut orders = StateHolder::builder("orders").key_groups(4).values_schema(1, "u32").build().unwrap();
    orders.set("eu", &300_u32).unwrap();
    orders.set("us", &7_u32).unwrap();
    let progress = Progress { positions: vec![("file".into(), 42)], ..Progress::default() };
    let request = CheckpointRequest { created_ms: 1_700_000_000_000, label: Some("v1".into()), progress };
    orders.begin(request).unwrap();
    let object = ObjectId { id: 0, generation: 1 };
    orders.take_capture().unwrap().into_object(object, Compression::Lz4).unwrap().bytes().to_vec()
}

/// The one section of the example of columns, which has a plan in front.
fn columns() -> Vec<u8> {
    let mut readings = StateHolder::builder("readings").key_groups(1).build().unwrap();
    for number in 0..200_u32 {
        let value = 2000 + 25 * (number / 8);
        readings.set_encoded(&number.to_be_bytes(), &value.to_le_bytes()).unwrap();
    }
    readings.begin(CheckpointRequest::default()).unwrap();
    let object = ObjectId { id: 0, generation: 1 };
    let object = readings.take_capture().unwrap().into_object(object, Compression::None).unwrap();
    let sizes = object.manifest().sizes;
    object.bytes()[24..24 + sizes.stored as usize].to_vec()
}

/// Compares a dump of the document with what the program wrote.
#[track_caller]
fn assert_dump(heading: &str, expected: &[u8]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/FORMAT.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, examples) = document.split_once("## Worked example").unwrap();
    let (_, after) = examples.split_once(heading).unwrap();
    let dump = after.split("```").nth(1).unwrap();
    let mut bytes = Vec::new();
    for line in dump.lines().skip(1) {
        let (offset, rest) = line.split_once("  ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        assert_eq!(offset, bytes.len(), "{line}");
        let hex = rest.split("  ").next().unwrap().split_whitespace();
        bytes.extend(hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    assert!(bytes == expected, "it is {}", crate::contents::hex(expected));
}

#[test]
fn the_worked_examples_are_what_the_program_writes() {
    assert_dump("\n", &example());
    assert_dump("### Columns", &columns());
}
