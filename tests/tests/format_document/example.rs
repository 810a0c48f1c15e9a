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

#[test]
fn the_worked_example_is_a_real_checkpoint() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/FORMAT.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, after) = document.split_once("## Worked example").unwrap();
    let dump = after.split("```").nth(1).unwrap();
    let mut bytes = Vec::new();
    for line in dump.lines().skip(1) {
        let (offset, rest) = line.split_once("  ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        assert_eq!(offset, bytes.len(), "{line}");
        let hex = rest.split("  ").next().unwrap().split_whitespace();
        bytes.extend(hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    let expected = example();
    assert!(bytes == expected, "the checkpoint is {}", crate::contents::hex(&expected));
}
