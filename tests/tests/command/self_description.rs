//! Checkpoints that describe their plain values: tools show them without the program, and a type that changed is an
//! error that says what did.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::common::cli::{Ran, eventflux};
use eventflux::storage::{Access, FileBackend};
use eventflux::{CheckpointManager, Error, ManagerConfig, MemoryBackend, RestoreOptions, Selector, StateHolder};
use eventflux_core::{Error as CoreError, Migrate, StateDescriptor, StateHolderBuilder};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    customer: String,
    timestamp: i64,
    lines: Vec<Line>,
    paid: Option<Payment>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    article: u32,
    price: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Payment {
    Cash,
    Card { number: u64 },
}

fn ada() -> Order {
    Order {
        customer: "Ada".into(),
        timestamp: 1_700_000_000,
        lines: vec![Line { article: 7, price: 9.5 }],
        paid: Some(Payment::Cash),
    }
}

fn orders() -> StateHolderBuilder {
    StateHolder::builder("orders").values_of::<Order>(1)
}

/// A storage with two checkpoints of orders.
fn write(directory: &Path) {
    let backend = FileBackend::open(directory, Access::Write).unwrap();
    let mut manager = CheckpointManager::open(backend, ManagerConfig::default()).unwrap();
    let mut state = orders().build().unwrap();
    state.set("4711", &ada()).unwrap();
    state.set([0xff, 0x01], &Order { lines: Vec::new(), paid: None, ..ada() }).unwrap();
    // Nothing stops a program from this; nothing is hidden by it.
    state.set("other", &"not an order").unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    state.set("4711", &Order { paid: Some(Payment::Card { number: 42 }), ..ada() }).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
}

#[test]
fn the_command_shows_values_without_the_program() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let run = |arguments: &[&str]| {
        Ran::from(eventflux().args(arguments).current_dir(directory.path()).output().unwrap()).exits(0)
    };

    let state = run(&["inspect", ".", "0", "--json"]).json()["states"][0].take();
    let described: Json = serde_json::from_str(state["description"].as_str().unwrap()).unwrap();
    assert_eq!(
        described["postcard"]["struct"]["paid"],
        json!({ "option": { "enum": { "Cash": {}, "Card": { "struct": { "number": "u64" } } } } })
    );
    let rows = state["rows"].as_array().unwrap();
    let row = |key: &Json| &rows.iter().find(|row| row["key"] == *key).unwrap()["value"];
    assert_eq!(rows.len(), 3);
    assert_eq!(*row(&json!("4711")), serde_json::to_value(ada()).unwrap());
    assert_eq!(row(&json!({ "hex": "ff01" }))["paid"], Json::Null);
    assert_eq!(row(&json!("other"))["hex"], "0c6e6f7420616e206f72646572");
    let note = row(&json!("other"))["note"].as_str().unwrap();
    assert!(note.starts_with("does not fit the schema: "), "{note}");

    let text = run(&["inspect", ".", "0"]).stdout;
    // The time is not shown as one: which unit it is in, only the program knows.
    let line = "4711            timestamp: 1700000000, customer: \"Ada\", lines: [{article: 7, ";
    assert!(text.contains(line), "{text}");

    let changed = run(&["diff", ".", "0", "1"]).stdout;
    assert!(changed.contains("paid: \"Cash\" → {Card: {number: 42}}"), "{changed}");
    let changed = run(&["diff", ".", "0", "1", "--json"]).json();
    let key = &changed["states"][0]["keys"][0];
    assert_eq!((&key["before"]["paid"], &key["after"]["paid"]["Card"]["number"]), (&json!("Cash"), &json!(42)));
}

/// What the program says of a checkpoint of `orders` when it declares another type.
fn changed<T: for<'de> Deserialize<'de>>() -> String {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut state = orders().build().unwrap();
    state.set("4711", &ada()).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    let mut declared = StateHolder::builder("orders").values_of::<T>(1).build().unwrap();
    match manager.restore(&mut declared, 0) {
        Ok(_) => String::new(),
        Err(Error::Core(CoreError::StateChanged { reason, .. })) => reason,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_changed_type_is_an_error_that_says_what_changed() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Renamed {
        customer: String,
        timestamp: i64,
        lines: Vec<(u32, f64)>,
        paid: Option<Payment>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Wider {
        customer: String,
        timestamp: i64,
        lines: Vec<WiderLine>,
        paid: Option<MorePayment>,
        note: String,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct WiderLine {
        article: u64,
        price: f64,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum MorePayment {
        Cash,
        Card { number: u64 },
        Invoice,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Reordered {
        timestamp: i64,
        customer: String,
        lines: Vec<Line>,
        paid: Option<Payment>,
    }
    assert_eq!(changed::<Order>(), "");
    assert!(changed::<Renamed>().contains("lines"), "{}", changed::<Renamed>());
    let wider = changed::<Wider>();
    for part in [
        "`postcard.struct.lines.list.struct.article` was \"u32\" and is now \"u64\"",
        "`postcard.struct.note` is new: \"text\"",
        "`postcard.struct.paid.option.enum.Invoice` is new",
    ] {
        assert!(wider.contains(part), "{wider}");
    }
    assert!(changed::<Reordered>().contains("is now"), "{}", changed::<Reordered>());
}

/// From the order before it had a price in a line.
struct Priced;

impl Migrate for Priced {
    fn accepts(&self, found: &StateDescriptor) -> bool {
        found.description == r#"{"postcard":{"map":{"key":"u32","value":"bool"}}}"#
    }

    fn migrate(&self, _: &StateDescriptor, _: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let old: BTreeMap<u32, bool> = postcard::from_bytes(value).map_err(|error| error.to_string())?;
        let lines = old.into_keys().map(|article| Line { article, price: 0.0 }).collect();
        Ok(Some(postcard::to_allocvec(&Order { lines, ..ada() }).unwrap()))
    }
}

#[test]
fn a_changed_type_migrates_and_differs_by_both_schemas() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut old = StateHolder::builder("orders").values_of::<BTreeMap<u32, bool>>(1).build().unwrap();
    old.set("4711", &BTreeMap::from([(7_u32, true)])).unwrap();
    manager.checkpoint(&mut old, None).unwrap();
    let mut new = orders().build().unwrap();
    let options = RestoreOptions { migrate: Some(&Priced), ..RestoreOptions::default() };
    manager.restore_selected(&mut new, Selector::Latest, options).unwrap();
    assert_eq!(new.get::<Order>("4711").unwrap().unwrap().lines[0].article, 7);
    let differences = eventflux_core::difference(&old, &new).unwrap();
    assert_eq!(differences[0].before, Some(json!({ "7": true })));
    assert_eq!(differences[0].after.as_ref().unwrap()["lines"], json!([{ "article": 7, "price": 0.0 }]));
}

#[test]
fn a_type_that_cannot_be_described_is_an_error_of_the_declaration() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Loose {
        any: Json,
    }
    let error = StateHolder::builder("orders").values_of::<Loose>(1).build().unwrap_err();
    let CoreError::Definition { path, reason } = &error else { panic!("{error}") };
    assert_eq!(path, "values");
    assert!(reason.contains("Loose` cannot be described: at `any`: it asks what comes next"), "{reason}");
    // In words of its own it can.
    StateHolder::builder("orders").values_of::<Loose>(1).values_schema(1, "any JSON").build().unwrap();
}

proptest! {
    /// Whatever is stored under whatever description, tools show it or its bytes.
    #[test]
    fn any_values_under_any_schema_are_shown(
        value in proptest::collection::vec(any::<u8>(), 0..60),
        words in proptest::collection::vec(0..20_usize, 1..12),
    ) {
        const WORDS: [&str; 20] = ["\"u8\"", "\"text\"", "\"unit\"", "\"u128\"", "{\"list\":", "{\"option\":", "{\"struct\":{\"a\":",
            "{\"enum\":{\"a\":{},\"b\":", "{\"map\":{\"key\":\"u8\",\"value\":", "{\"array\":{\"of\":", "{\"type\":0}", "{\"tuple\":[",
            "}", "}}", ",\"length\":9}}", "]}", "{}", "null", "\"f32\"", "\"bytes\""];
        let mut description = String::from("{\"postcard\":");
        words.iter().for_each(|word| write!(description, "{}", WORDS[*word]).unwrap());
        description.push('}');
        let mut state = StateHolder::builder("any").values_schema(1, &description).build().unwrap();
        state.set_encoded(b"key", &value).unwrap();
        let shown = eventflux_core::contents(&state).unwrap();
        prop_assert_eq!(shown[0].rows.len(), 1);
    }
}
