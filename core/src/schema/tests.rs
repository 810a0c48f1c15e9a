use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::NonZeroU32;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value as Json, json};

use super::Schema;

fn describe<T: DeserializeOwned>() -> String {
    Schema::describe::<T>().unwrap()
}

fn read(description: &str) -> Schema {
    Schema::from_text(description).unwrap().unwrap()
}

/// A value, encoded and shown.
fn show<T: Serialize + DeserializeOwned>(value: &T) -> Json {
    read(&describe::<T>()).decode(&postcard::to_allocvec(value).unwrap()).unwrap()
}

/// What `serde_json` writes of it.
fn written<T: Serialize>(value: &T) -> Json {
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_text_is_what_the_document_says() {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)]
    struct Order {
        order_id: u64,
        #[serde(skip)]
        cache: u8,
        #[serde(rename = "who")]
        customer: String,
        place: (f64, f64),
        hash: [u8; 32],
        lines: BTreeMap<char, Vec<Option<i16>>>,
        status: Status,
    }
    #[derive(Serialize, Deserialize)]
    #[allow(dead_code)]
    enum Status {
        Open,
        Paid(u32),
        Sent { at: i64, by: () },
        Back(u8, bool),
    }
    assert_eq!(
        describe::<Order>(),
        concat!(
            r#"{"postcard":{"struct":{"orderId":"u64","who":"text","place":{"tuple":["f64","f64"]},"#,
            r#""hash":{"array":{"of":"u8","length":32}},"#,
            r#""lines":{"map":{"key":"char","value":{"list":{"option":"i16"}}}},"#,
            r#""status":{"enum":{"Open":{},"Paid":"u32","Sent":{"struct":{"at":"i64","by":"unit"}},"#,
            r#""Back":{"tuple":["u8","bool"]}}}}}}"#,
        )
    );
    assert_eq!(describe::<u32>(), r#"{"postcard":"u32"}"#);
    assert_eq!(describe::<(usize, isize)>(), r#"{"postcard":{"tuple":["u64","i64"]}}"#);
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Expression {
    Sum(Box<Expression>, Box<Expression>),
    Call { name: String, arguments: Vec<Expression> },
    Literal(Literal),
    Nothing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Literal {
    Whole(i64),
    Text(String),
    Quoted(Box<Expression>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Chain {
    value: u8,
    next: Option<Box<Chain>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Tree(Vec<Tree>);

#[test]
fn types_that_contain_themselves_have_numbers() {
    assert_eq!(
        describe::<Chain>(),
        r#"{"postcard":{"type":0},"types":{"0":{"struct":{"value":"u8","next":{"option":{"type":0}}}}}}"#
    );
    assert_eq!(describe::<Tree>(), r#"{"postcard":{"type":0},"types":{"0":{"list":{"type":0}}}}"#);
    assert_eq!(
        describe::<Expression>(),
        concat!(
            r#"{"postcard":{"type":0},"types":{"0":{"enum":{"Sum":{"tuple":[{"type":0},{"type":0}]},"#,
            r#""Call":{"struct":{"name":"text","arguments":{"list":{"type":0}}}},"#,
            r#""Literal":{"enum":{"Whole":"i64","Text":"text","Quoted":{"type":0}}},"Nothing":{}}}}}"#
        )
    );
    let chain = Chain { value: 1, next: Some(Box::new(Chain { value: 2, next: None })) };
    assert_eq!(show(&chain), json!({ "value": 1, "next": { "value": 2, "next": null } }));
    let tree = Tree(alloc::vec![Tree(alloc::vec![]), Tree(alloc::vec![Tree(alloc::vec![])])]);
    assert_eq!(show(&tree), json!([[], [[]]]));

    // Two of one type: described once. What is short is written out.
    assert_eq!(
        describe::<(Chain, Option<Chain>, u8)>(),
        concat!(
            r#"{"postcard":{"tuple":[{"type":0},{"option":{"type":0}},"u8"]},"#,
            r#""types":{"0":{"struct":{"value":"u8","next":{"option":{"type":0}}}}}}"#
        )
    );
    assert_eq!(describe::<(Option<u8>, Option<u8>)>(), r#"{"postcard":{"tuple":[{"option":"u8"},{"option":"u8"}]}}"#);
}

#[test]
fn a_value_nested_too_deeply_is_an_error() {
    let mut chain = Chain { value: 0, next: None };
    for value in 1..200 {
        chain = Chain { value, next: Some(Box::new(chain)) };
    }
    let error = read(&describe::<Chain>()).decode(&postcard::to_allocvec(&chain).unwrap()).unwrap_err();
    assert!(error.contains("nested deeper"), "{error}");
}

#[test]
fn values_that_types_refuse_are_replaced() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Checked {
        number: NonZeroU32,
        date: Date,
        range: Range,
        key: Key,
        /// The same type again, behind a variant.
        later: Option<Date>,
    }
    /// Text with a form of its own, as of a crate for dates.
    #[derive(Debug, Clone, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    struct Date(String);
    impl TryFrom<String> for Date {
        type Error = &'static str;
        fn try_from(text: String) -> Result<Self, &'static str> {
            if text.split('-').count() == 3 && text.len() == 10 { Ok(Date(text)) } else { Err("not a date") }
        }
    }
    impl From<Date> for String {
        fn from(date: Date) -> String {
            date.0
        }
    }
    /// Two numbers that depend on each other.
    #[derive(Debug, Clone, Serialize, Deserialize)]
    #[serde(try_from = "(u8, u8)")]
    struct Range(u8, u8);
    impl TryFrom<(u8, u8)> for Range {
        type Error = &'static str;
        fn try_from((from, to): (u8, u8)) -> Result<Self, &'static str> {
            if from < to { Ok(Range(from, to)) } else { Err("the wrong way round") }
        }
    }
    /// So many bytes.
    #[derive(Debug, Serialize)]
    struct Key(#[serde(serialize_with = "bytes")] [u8; 16]);
    fn bytes<S: serde::Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }
    impl<'de> Deserialize<'de> for Key {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Bytes;
            impl serde::de::Visitor<'_> for Bytes {
                type Value = Key;
                fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str("16 bytes")
                }
                fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Key, E> {
                    bytes.try_into().map(Key).map_err(|_| E::invalid_length(bytes.len(), &self))
                }
            }
            deserializer.deserialize_bytes(Bytes)
        }
    }
    let checked = Checked {
        number: NonZeroU32::MIN,
        date: Date("2026-11-24".into()),
        range: Range(1, 9),
        key: Key([7; 16]),
        later: None,
    };
    let expected = concat!(
        r#"{"postcard":{"struct":{"number":"u32","date":"text","range":{"tuple":["u8","u8"]},"#,
        r#""key":"bytes","later":{"option":"text"}}}}"#
    );
    assert_eq!(describe::<Checked>(), expected);
    assert_eq!(show(&checked), written(&checked));
}

#[test]
fn what_cannot_be_described_says_why() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        kind: Vec<Kind>,
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum Kind {
        One,
        Two { inner: Inner },
    }
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Inner {
        Number(u8),
        Text(String),
    }
    let error = Schema::describe::<Outer>().unwrap_err();
    assert!(error.starts_with("at `kind.Two.inner`: it asks what comes next"), "{error}");

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Renamed {
        #[serde(alias = "amount")]
        total: u8,
        currency: String,
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum RenamedKind {
        #[serde(alias = "Euro")]
        Eur,
        Usd,
    }
    assert!(Schema::describe::<Renamed>().unwrap_err().contains("more names than fields"));
    assert!(Schema::describe::<RenamedKind>().unwrap_err().contains("more names than variants"));

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Endless {
        next: Box<Endless>,
    }
    assert!(Schema::describe::<Endless>().unwrap_err().contains("nested too deeply"));
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum Never {
        Again(Box<Never>),
    }
    assert!(Schema::describe::<Never>().unwrap_err().contains("every value of it contains another"));

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Fussy;
    impl TryFrom<String> for Fussy {
        type Error = &'static str;
        fn try_from(_: String) -> Result<Self, &'static str> {
            Err("never good enough")
        }
    }
    assert_eq!(Schema::describe::<(u8, Fussy)>().unwrap_err(), "never good enough");
}

#[test]
fn numbers_and_keys_beyond_json() {
    assert_eq!(show(&u128::MAX), json!("340282366920938463463374607431768211455"));
    assert_eq!(show(&(u64::MAX as u128, i128::MIN, -1_i128)), json!([u64::MAX, i128::MIN.to_string(), -1]));
    assert_eq!(show(&(f64::NAN, f32::INFINITY, -0.5_f32, 0.1_f32)), json!([null, null, -0.5, 0.1]));
    let pairs = BTreeMap::from([((1_u8, "a".to_string()), true)]);
    assert_eq!(show(&pairs), json!([[[1, "a"], true]]));
    let empty: BTreeMap<(u8, u8), u8> = BTreeMap::new();
    assert_eq!(show(&empty), json!([]));

    // A key that comes twice: nothing of it is lost.
    let schema = read(r#"{"postcard":{"map":{"key":"u8","value":"u8"}}}"#);
    assert_eq!(schema.decode(&[2, 5, 1, 5, 2]).unwrap(), json!([[5, 1], [5, 2]]));
    assert_eq!(schema.decode(&[2, 5, 1, 6, 2]).unwrap(), json!({ "5": 1, "6": 2 }));
}

#[test]
fn hostile_lengths_make_nothing() {
    let claims = |length: u64| postcard::to_allocvec(&length).unwrap();
    for description in [
        r#"{"postcard":{"list":"unit"}}"#,
        r#"{"postcard":{"list":"u8"}}"#,
        r#"{"postcard":{"list":{"tuple":[]}}}"#,
        r#"{"postcard":{"map":{"key":"unit","value":"unit"}}}"#,
        r#"{"postcard":"text"}"#,
        r#"{"postcard":"bytes"}"#,
    ] {
        assert!(read(description).decode(&claims(u64::MAX)).is_err(), "{description}");
        assert!(read(description).decode(&claims(1 << 40)).is_err(), "{description}");
    }
    // The schema may be as hostile as the bytes.
    for description in [
        r#"{"postcard":{"array":{"of":"unit","length":9223372036854775807}}}"#,
        r#"{"postcard":{"type":0},"types":{"0":{"type":0}}}"#,
        r#"{"postcard":{"type":0},"types":{"0":{"tuple":[{"type":0},{"type":0}]}}}"#,
        r#"{"postcard":{"type":0},"types":{"0":{"tuple":[{"type":1},{"type":1}]},"1":{"tuple":[{"type":2},{"type":2}]},"2":{"array":{"of":"unit","length":1000000}}}}"#,
        r#"{"postcard":{"map":{"key":{"type":0},"value":"u8"}},"types":{"0":{"type":0}}}"#,
    ] {
        assert!(read(description).decode(&[1, 1]).is_err(), "{description}");
    }
}

#[test]
fn a_description_that_is_no_schema_is_none_and_an_unknown_one_says_so() {
    for other in ["", "u32", "{", "[]", "{}", r#"{"window":{"tumbling":"1h"}}"#, r#""u32""#] {
        assert_eq!(Schema::from_text(other), None, "{other}");
    }
    let deep = ["{\"postcard\":", &"{\"option\":".repeat(500), "\"u8\"", &"}".repeat(501)].concat();
    assert_eq!(Schema::from_text(&deep), None);
    for unknown in [
        r#"{"postcard":"u7"}"#,
        r#"{"postcard":null}"#,
        r#"{"postcard":{"option":"u8","list":"u8"}}"#,
        r#"{"postcard":{"set":"u8"}}"#,
        r#"{"postcard":{"type":0}}"#,
        r#"{"postcard":{"type":-1},"types":{"0":"u8"}}"#,
        r#"{"postcard":"u8","types":{"1":"u8"}}"#,
        r#"{"postcard":"u8","order":"big"}"#,
        r#"{"postcard":{"array":{"of":"u8","length":-1}}}"#,
        r#"{"postcard":{"map":{"value":"u8","key":"u8"}}}"#,
    ] {
        assert!(matches!(Schema::from_text(unknown), Some(Err(_))), "{unknown}");
    }
}

/// As many kinds of types as there are.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Everything {
    numbers: (u8, u16, u32, u64, usize, i8, i16, i32, i64),
    wide: (u128, i128),
    floats: (f32, f64),
    text: (char, String),
    bool: bool,
    unit: (),
    nothing: Nothing,
    newtype: Newtype,
    pair: Pair,
    option: Option<Option<u8>>,
    list: Vec<Newtype>,
    set: BTreeSet<i32>,
    array: [u16; 6],
    by_number: BTreeMap<i64, Newtype>,
    by_text: BTreeMap<String, Vec<u8>>,
    by_name: BTreeMap<Name, bool>,
    by_letter: BTreeMap<char, ()>,
    result: Result<u8, String>,
    variants: Vec<Variants>,
    expression: Expression,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Nothing;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Newtype(f64);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pair(String, Option<i8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Name {
    North,
    #[serde(rename = "the south")]
    South,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Variants {
    Unit,
    Empty(),
    Bare {},
    Newtype(Pair),
    Nothing(()),
    Tuple(u8, Name),
    Struct { inner: Option<Box<Variants>> },
}

fn expressions() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        Just(Expression::Nothing),
        any::<i64>().prop_map(|whole| Expression::Literal(Literal::Whole(whole))),
        any::<String>().prop_map(|text| Expression::Literal(Literal::Text(text))),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expression::Sum(Box::new(a), Box::new(b))),
            (any::<String>(), proptest::collection::vec(inner.clone(), 0..3))
                .prop_map(|(name, arguments)| Expression::Call { name, arguments }),
            inner.prop_map(|inner| Expression::Literal(Literal::Quoted(Box::new(inner)))),
        ]
    })
}

fn variants() -> impl Strategy<Value = Variants> {
    let leaf = prop_oneof![
        Just(Variants::Unit),
        Just(Variants::Empty()),
        Just(Variants::Bare {}),
        Just(Variants::Nothing(())),
        (any::<String>(), any::<Option<i8>>()).prop_map(|(a, b)| Variants::Newtype(Pair(a, b))),
        any::<u8>().prop_map(|number| Variants::Tuple(number, Name::South)),
    ];
    proptest::option::of(leaf.clone()).prop_flat_map(move |inner| match inner {
        Some(inner) => Just(Variants::Struct { inner: Some(Box::new(inner)) }).boxed(),
        None => leaf.clone().boxed(),
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    use proptest::collection::{btree_map, btree_set, vec};
    let names = || prop_oneof![Just(Name::North), Just(Name::South)];
    let finite = || any::<f64>().prop_filter("JSON has no other", |float| float.is_finite());
    let first = (
        (
            any::<u8>(),
            any::<u16>(),
            any::<u32>(),
            any::<u64>(),
            any::<u32>(),
            any::<i8>(),
            any::<i16>(),
            any::<i32>(),
            any::<i64>(),
        ),
        // Those that JSON writes as numbers; `numbers_and_keys_beyond_json` has the others.
        (any::<u64>(), any::<i64>()),
        // `serde_json` makes values of doubles: the same for these, and not the decimal 0.1 for a float of 0.1.
        (any::<i16>().prop_map(|quarters| f32::from(quarters) / 4.0), finite()),
        any::<(char, String)>(),
        any::<bool>(),
        any::<(String, Option<i8>)>(),
        any::<u8>().prop_map(Some),
        vec(finite().prop_map(Newtype), 0..4),
        btree_set(any::<i32>(), 0..4),
        any::<[u16; 6]>(),
    );
    let second = (
        btree_map(any::<i64>(), finite().prop_map(Newtype), 0..4),
        btree_map(any::<String>(), vec(any::<u8>(), 0..9), 0..4),
        btree_map(names(), any::<bool>(), 0..3),
        btree_map(any::<char>(), Just(()), 0..3),
        any::<Result<u8, String>>(),
        vec(variants(), 0..4),
        expressions(),
    );
    (first, second).prop_map(|(first, second)| {
        let (numbers, wide, floats, text, bool, pair, option, list, set, array) = first;
        let (a, b, c, d, e, f, g, h, i) = numbers;
        let (by_number, by_text, by_name, by_letter, result, variants, expression) = second;
        Everything {
            numbers: (a, b, c, d, e as usize, f, g, h, i),
            wide: (wide.0.into(), wide.1.into()),
            floats,
            text,
            bool,
            unit: (),
            nothing: Nothing,
            newtype: Newtype(floats.1),
            pair: Pair(pair.0, pair.1),
            option: Some(option),
            list,
            set,
            array,
            by_number,
            by_text,
            by_name,
            by_letter,
            result,
            variants,
            expression,
        }
    })
}

proptest! {
    #[test]
    fn values_are_shown_as_serde_json_writes_them(value in everything()) {
        let (shown, written) = (show(&value), written(&value));
        prop_assert_eq!(shown, written);
    }

    #[test]
    fn any_bytes_are_shown_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&describe::<Everything>()).decode(&bytes);
        let _ = read(&describe::<Expression>()).decode(&bytes);
        let _ = read(&describe::<Vec<Variants>>()).decode(&bytes);
        let _ = read(&describe::<Tree>()).decode(&bytes);
    }

    /// What decodes by the schema decodes in the program, and the other way round.
    #[test]
    fn damaged_values_are_refused_where_the_program_refuses_them(
        value in everything(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = postcard::to_allocvec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let program = postcard::take_from_bytes::<Everything>(&bytes).is_ok_and(|(_, rest)| rest.is_empty());
        let schema = read(&describe::<Everything>()).decode(&bytes);
        // A `usize` of a larger machine is a number to tools, and an error to the program.
        let only_here = cfg!(target_pointer_width = "32") && schema.is_ok();
        prop_assert!(program == schema.is_ok() || only_here, "{:?}", schema);
    }
}
