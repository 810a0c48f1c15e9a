//! States of fixed capacity against their growable twins: the same is done to both, and what they write is the same, byte
//! for byte; what one wrote the other restores.

#[path = "../common"]
mod common {
    pub mod object;
    pub mod random;
}

mod copies;
mod moved;
mod pair;
mod patterns;
mod refused;
mod windows;

use std::mem::swap;

use eventflux_core::{
    Accumulator, AggregationState, CheckpointRequest, EncodedCheckpoint, EngineProgress, FixedAccumulator,
    FixedAggregation, FixedEngine, FixedError, FixedHolder, FixedMap, FixedPlain, FixedRequest, FixedStateDescriptor,
    Function, MemoryBackend, ObjectId, OpenWriter, Progress, Publish, Restore, RestoreOptions, Retention, Selector,
    StateDescriptor, StateHolder, StateKind, Value, Verify, Writer, drive, encode_key, limits::EVENTS_MAX,
};
use proptest::prelude::*;

const ID: &str = "meter";
const KEY_GROUPS: u16 = 8;
const DELTAS: usize = 40;
const DESCRIPTION: &str = r#"{"what":"readings"}"#;
const FUNCTIONS: [Function; 9] = [
    Function::Count,
    Function::Sum,
    Function::Distinct,
    Function::Avg,
    Function::Stddev,
    Function::Min,
    Function::Median,
    Function::First,
    Function::Last,
];
/// Enough for all that is added.
const VALUES: usize = 130;

type Values = FixedMap<FixedPlain<24>, 24, 12>;
type Group = FixedAggregation<9, 4000, VALUES>;
type Groups = FixedMap<Group, 24, 12>;
type Holder = FixedHolder<'static, 2, DELTAS>;

/// What is done to both.
#[derive(Debug, Clone)]
enum Operation {
    SetValue(u8, u64),
    RemoveValue(u8),
    Add(u8, i64, Value),
    ReplaceGroup(u8, Value),
    RemoveGroup(u8),
    /// Groups are moved into each other's places, or accumulators of one.
    ExchangeGroups(u8, u8),
    TurnGroup(u8),
    Checkpoint {
        durable: bool,
        written_meanwhile: Option<(u8, Value)>,
    },
    Restart,
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (-3_i64..100).prop_map(Value::from),
        (i64::MIN..i64::MAX).prop_map(|int| Value::from(int >> 20)),
        any::<f64>().prop_map(Value::from),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0_u8..12, any::<u64>()).prop_map(|(key, value)| Operation::SetValue(key, value)),
        1 => (0_u8..12).prop_map(Operation::RemoveValue),
        6 => (0_u8..12, -5_i64..5, any_value()).prop_map(|(key, time, value)| Operation::Add(key, time, value)),
        1 => (0_u8..12, any_value()).prop_map(|(key, value)| Operation::ReplaceGroup(key, value)),
        1 => (0_u8..12).prop_map(Operation::RemoveGroup),
        1 => (0_u8..12, 0_u8..12).prop_map(|(key, other)| Operation::ExchangeGroups(key, other)),
        1 => (0_u8..12).prop_map(Operation::TurnGroup),
        3 => (prop::bool::weighted(0.8), prop::option::of((0_u8..12, any_value())))
            .prop_map(|(durable, written_meanwhile)| Operation::Checkpoint { durable, written_meanwhile }),
        1 => Just(Operation::Restart),
    ]
}

fn fixed_holder() -> Holder {
    let plain = FixedStateDescriptor { name: "", version: 1, description: "u64" };
    FixedHolder::new(
        ID,
        KEY_GROUPS,
        [plain, FixedStateDescriptor { name: "groups", version: 3, description: DESCRIPTION }],
    )
}

fn growable_holder() -> StateHolder {
    StateHolder::builder(ID)
        .key_groups(KEY_GROUPS)
        .values_schema(1, "u64")
        .state(StateDescriptor::new("groups", StateKind::Aggregations, 3, DESCRIPTION))
        .build()
        .unwrap()
}

fn group_key(key: u8) -> Vec<u8> {
    encode_key(&[Value::from(i64::from(key))], &mut [0; 11]).unwrap().to_vec()
}

fn empty_group() -> [Accumulator; 9] {
    FUNCTIONS.map(Accumulator::new)
}

/// Adds a value to each accumulator that takes it.
fn add(accumulators: &mut [Accumulator], time: i64, value: &Value) {
    accumulators.iter_mut().for_each(|accumulator| drop(accumulator.add(time, value)));
}

fn empty_fixed() -> [FixedAccumulator<VALUES>; 9] {
    FUNCTIONS.map(FixedAccumulator::new)
}

fn add_fixed(accumulators: &mut [FixedAccumulator<VALUES>; 9], time: i64, value: &Value) {
    for accumulator in accumulators {
        let added = accumulator.add(time, value);
        assert!(matches!(added, Ok(()) | Err(FixedError::Refused(_))), "{added:?}");
    }
}

/// Both twins, and a storage with the checkpoints of the fixed one.
struct Twins {
    fixed: Holder,
    values: Values,
    groups: Groups,
    growable: StateHolder,
    storage: MemoryBackend,
    writer: Writer,
    newest: Option<ObjectId>,
}

impl Twins {
    fn new() -> Self {
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        Twins {
            fixed: fixed_holder(),
            values: Values::new(),
            groups: Groups::new(),
            growable: growable_holder(),
            storage,
            writer,
            newest: None,
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::SetValue(key, value) => {
                self.values.set_value([*key], value).unwrap();
                self.growable.set([*key], value).unwrap();
            }
            Operation::RemoveValue(key) => {
                assert_eq!(self.values.remove(&[*key]), self.growable.remove([*key]).unwrap());
            }
            Operation::Add(key, time, value) => self.add(*key, *time, value),
            Operation::ReplaceGroup(key, value) => {
                let (mut accumulators, mut fixed) = (empty_group(), empty_fixed());
                add(&mut accumulators, 0, value);
                add_fixed(&mut fixed, 0, value);
                self.groups.set(&group_key(*key), Group::new(&fixed).unwrap()).unwrap();
                let map = self.growable.aggregations_mut("groups").unwrap();
                map.set(&group_key(*key), AggregationState::new(accumulators.to_vec())).unwrap();
            }
            Operation::RemoveGroup(key) => {
                let map = self.growable.aggregations_mut("groups").unwrap();
                assert_eq!(self.groups.remove(&group_key(*key)), map.remove(&group_key(*key)));
            }
            Operation::ExchangeGroups(key, other) => {
                let (mut fixed, mut growable) =
                    (Group::new(&empty_fixed()).unwrap(), AggregationState::new(empty_group().to_vec()));
                for key in [key, other, key] {
                    self.update(*key, |group| swap(group, &mut fixed), |group| swap(group, &mut growable));
                }
            }
            Operation::TurnGroup(key) => {
                let turn = |group: &mut Group| {
                    group
                        .update(|of| {
                            of.reverse();
                            Ok(())
                        })
                        .unwrap()
                };
                self.update(*key, turn, |group| group.update(|of| of.reverse()));
            }
            Operation::Checkpoint { durable, written_meanwhile } => {
                self.checkpoint(*durable, written_meanwhile.as_ref())
            }
            Operation::Restart => self.restart(),
        }
        assert_eq!(self.values.len(), self.growable.values().len());
        assert_eq!(self.groups.len(), self.growable.key_count("groups").unwrap());
    }

    fn add(&mut self, key: u8, time: i64, value: &Value) {
        let change = |group: &mut Group| {
            group
                .update(|of| {
                    add_fixed(of, time, value);
                    Ok(())
                })
                .unwrap()
        };
        self.update(key, change, |group| group.update(|of| add(of, time, value)));
    }

    fn update(&mut self, key: u8, fixed: impl FnOnce(&mut Group), growable: impl FnOnce(&mut AggregationState)) {
        let key = &group_key(key);
        self.groups
            .update(
                key,
                || Group::new(&empty_fixed()),
                |group| {
                    fixed(group);
                    Ok(())
                },
            )
            .unwrap();
        let map = self.growable.aggregations_mut("groups").unwrap();
        map.update(key, || AggregationState::new(empty_group().to_vec()), growable).unwrap();
    }

    fn checkpoint(&mut self, durable: bool, written_meanwhile: Option<&(u8, Value)>) {
        let object = self.writer.next_object();
        let number = object.id;
        let progress = Progress {
            positions: vec![("source".into(), number * 10)],
            outputs: vec![("sink".into(), 0)],
            watermarks: vec![("source".into(), -1)],
            engine: (number % 2 == 1).then(|| EngineProgress {
                events: number,
                timestamp_max: Some(5),
                finished: false,
                results: vec![0],
                late: vec![number],
            }),
        };
        let label = number.is_multiple_of(3).then_some("third");
        let request = CheckpointRequest { created_ms: 1000, label: label.map(String::from), progress };
        self.growable.begin(request).unwrap();
        let capture = self.growable.take_capture().unwrap();
        let encoded = capture.into_row_object(object).unwrap();

        let engine =
            FixedEngine { events: number, timestamp_max: Some(5), finished: false, results: &[0], late: &[number] };
        let request = FixedRequest {
            created_ms: 1000,
            label,
            positions: &[("source", number * 10)],
            outputs: &[("sink", 0)],
            watermarks: &[("source", -1)],
            engine: (number % 2 == 1).then_some(engine),
        };
        let mut buffer = vec![0; 16 * 1024];
        let states = &mut [&mut self.values as _, &mut self.groups as _];
        let len = self.fixed.encode(object, &request, states, &mut buffer).unwrap();
        buffer.truncate(len);
        assert_eq!(buffer, encoded.bytes(), "checkpoint {number}");

        if let Some((key, value)) = written_meanwhile {
            self.add(*key, 0, value);
        }
        let states = &mut [&mut self.values as _, &mut self.groups as _];
        if durable {
            // What is published is what the fixed one wrote.
            let mut arrived = EncodedCheckpoint::from_object(object, buffer.clone()).unwrap();
            let retention = Retention { max_retained: 3 };
            drive(Publish::new(&mut self.writer, &mut arrived, retention).unwrap(), &mut self.storage).unwrap();
            self.fixed.commit(states).unwrap();
            self.growable.commit(&encoded).unwrap();
            self.newest = Some(object);
        } else {
            self.fixed.abort(states).unwrap();
            self.growable.abort().unwrap();
        }
    }

    /// New ones go on from what was published, all of which the fixed one wrote.
    fn restart(&mut self) {
        let Some(newest) = self.newest else { return };
        self.growable = growable_holder();
        let restore = Restore::new(&mut self.growable, Selector::Latest, RestoreOptions::default());
        assert_eq!(drive(restore, &mut self.storage).unwrap().manifest.object, newest);

        let (mut objects, mut others) = (Vec::new(), Vec::new());
        for (name, bytes) in self.storage.objects_mut() {
            if *name == newest.name() { &mut objects } else { &mut others }.push(bytes.as_slice());
        }
        objects.append(&mut others);
        (self.fixed, self.values, self.groups) = (fixed_holder(), Values::new(), Groups::new());
        let states = &mut [&mut self.values as _, &mut self.groups as _];
        let restored = self.fixed.restore(states, &objects).unwrap();
        let number = newest.id;
        assert_eq!((restored.object, restored.position("source")), (newest, Some(number * 10)));
        assert_eq!((restored.output("sink"), restored.output("source")), (Some(0), None));
        assert_eq!((restored.watermark("source"), restored.watermark("sink")), (Some(-1), None));
        // Enough to go on with the next event, and to know what is late.
        let engine = restored.engine();
        assert_eq!(engine.is_some(), number % 2 == 1);
        if let Some(engine) = engine {
            assert_eq!((engine.events, engine.timestamp_max, engine.finished), (number, Some(5), false));
            assert!(engine.results().eq([0]) && engine.late().eq([number]));
        }
        self.compare();
    }

    fn compare(&self) {
        for (key, value) in self.values.iter() {
            assert_eq!(Some(value.as_bytes()), self.growable.values().get(key).map(|value| value.as_bytes()));
        }
        for (key, group) in self.groups.iter() {
            let twin = self.growable.aggregations("groups").unwrap().get(key).unwrap();
            let results = group.accumulators().map(|of| of.result());
            let twins: Vec<Value> = twin.accumulators().iter().map(Accumulator::result).collect();
            assert_eq!(format!("{results:?}"), format!("{twins:?}"));
        }
        assert_eq!(self.values.len(), self.growable.values().len());
        assert_eq!(self.groups.len(), self.growable.key_count("groups").unwrap());
    }

    /// What a growable one wrote whole goes into a fixed one, which goes on with changes.
    fn hand_over(&mut self) {
        let object = self.writer.next_object();
        self.growable.begin_full(CheckpointRequest::default()).unwrap();
        let mut encoded = self.growable.take_capture().unwrap().into_row_object(object).unwrap();
        let bytes = encoded.bytes().to_vec();
        drive(Publish::new(&mut self.writer, &mut encoded, Retention::default()).unwrap(), &mut self.storage).unwrap();
        self.growable.commit(&encoded).unwrap();
        (self.fixed, self.values, self.groups) = (fixed_holder(), Values::new(), Groups::new());
        let states = &mut [&mut self.values as _, &mut self.groups as _];
        self.fixed.restore(states, &[&bytes]).unwrap();
        self.newest = Some(object);
        self.compare();
        self.apply(&Operation::Add(1, 0, Value::from(1)));
        self.apply(&Operation::Checkpoint { durable: true, written_meanwhile: None });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_same_bytes_whatever_is_done(operations in prop::collection::vec(any_operation(), 1..120)) {
        let mut twins = Twins::new();
        operations.iter().for_each(|operation| twins.apply(operation));
        twins.apply(&Operation::Checkpoint { durable: true, written_meanwhile: None });
        twins.restart();
        twins.hand_over();
        let report = drive(Verify::new(), &mut twins.storage).unwrap();
        prop_assert!(report.findings.is_empty() && report.unneeded.is_empty(), "{report:?}");
    }
}

/// States and a checkpoint of them, for what follows.
fn small() -> (Holder, Values, Groups, Vec<u8>) {
    let (mut holder, mut values, mut groups) = (fixed_holder(), Values::new(), Groups::new());
    values.set_value("a", &1_u64).unwrap();
    groups.set(&group_key(1), Group::new(&empty_fixed()).unwrap()).unwrap();
    let mut buffer = vec![0; 1024];
    let object = ObjectId { id: 0, generation: 1 };
    let states = &mut [&mut values as _, &mut groups as _];
    let len = holder.encode(object, &FixedRequest::default(), states, &mut buffer).unwrap();
    holder.commit(states).unwrap();
    buffer.truncate(len);
    (holder, values, groups, buffer)
}

#[test]
fn full_is_an_error_and_changes_nothing() {
    let mut values = FixedMap::<FixedPlain<2>, 2, 3>::new();
    values.set_value("a", &1_u8).unwrap();
    values.set_value("b", &2_u8).unwrap();
    let full = |what, capacity| Err(FixedError::Full { what, capacity });
    assert_eq!(values.set_value("c", &3_u8), full("keys", 2));
    assert_eq!(values.set_value("a", &3_000_000), full("bytes of a plain value", 2));
    assert_eq!((values.get_value("a").unwrap(), values.get_value::<u8>("c").unwrap()), (Some(1_u8), None));
    // What no checkpoint knows of leaves its room at once.
    assert!(values.remove(b"b") && !values.remove(b"b"));
    assert_eq!(values.set_value("long", &1_u8), full("bytes of a key", 3));
    values.set_value("c", &3_u8).unwrap();

    let mut group = FixedAggregation::<1, 7>::new(&[FixedAccumulator::new(Function::Last)]).unwrap();
    let add = |value: &'static str| move |of: &mut [FixedAccumulator; 1]| of[0].add(0, &Value::from(value));
    assert_eq!(group.update(add("1")), Ok(()));
    assert_eq!(group.update(add("longer")), full("bytes of accumulators", 7));
    assert_eq!(group.update(add("a text of more than 22 bytes")), full("bytes of a text", 22));
    assert_eq!(group.accumulators()[0].result(), Value::from("1"));
}

#[test]
fn a_buffer_too_small_says_what_it_takes() {
    let (mut holder, mut values, mut groups, whole) = small();
    values.set_value("b", &2_u64).unwrap();
    let object = ObjectId { id: 1, generation: 1 };
    let states = &mut [&mut values as _, &mut groups as _];
    let mut encode = |buffer: &mut [u8]| holder.encode(object, &FixedRequest::default(), states, buffer);
    let Err(FixedError::BufferFull { needed, available: 9 }) = encode(&mut [0; 9]) else { panic!("it fits") };
    assert!(needed < whole.len() + 60);
    assert_eq!(encode(&mut vec![0; needed - 1]), Err(FixedError::BufferFull { needed, available: needed - 1 }));
    assert_eq!(encode(&mut vec![0; needed]), Ok(needed));
    assert_eq!(encode(&mut vec![0; needed]), Err(FixedError::CheckpointUnderWay));
}

#[test]
fn damage_and_strangers_are_told_and_change_nothing() {
    let (mut holder, mut values, mut groups, bytes) = small();
    let states = &mut [&mut values as _, &mut groups as _];
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = holder.restore(states, &[&damaged]).unwrap_err();
        assert!(matches!(error, FixedError::Damaged(_)), "byte {at}: {error}");
        assert!(holder.restore(states, &[&bytes[..at]]).is_err(), "cut at {at}");
    }
    let other = [FixedStateDescriptor { name: "", version: 1, description: "u64" }; 2];
    assert_eq!(
        FixedHolder::<2, 4>::new("other", KEY_GROUPS, other).restore(states, &[&bytes]).unwrap_err(),
        FixedError::OtherHolder
    );
    let changed = FixedHolder::<2, 4>::new(ID, KEY_GROUPS, other).restore(states, &[&bytes]).unwrap_err();
    assert_eq!(changed, FixedError::StateChanged { state: 1 });
    assert_eq!(holder.restore(&mut [states[0]], &[&bytes]).unwrap_err(), FixedError::OtherStates);
    assert_eq!(values.get_value("a").unwrap(), Some(1_u64));
    // What has no room leaves the states empty.
    let mut narrow = FixedMap::<FixedPlain<24>, 0, 12>::new();
    assert!(holder.restore(&mut [&mut narrow, &mut groups], &[&bytes]).is_err());
    assert!(groups.is_empty() && holder.last_checkpoint().is_none());
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let (mut holder, mut values, mut groups, _) = small();
    let states = &mut [&mut values as _, &mut groups as _];
    let object = ObjectId { id: 1, generation: 1 };
    let mut buffer = [0; 1024];
    let engine = |results| FixedEngine { events: 1, timestamp_max: None, finished: false, results, late: &[] };
    for (results, limit) in [(&[1, u64::MAX], Some(EVENTS_MAX)), (&[1, EVENTS_MAX], None)] {
        let request = FixedRequest { engine: Some(engine(results)), ..FixedRequest::default() };
        let encoded = holder.encode(object, &request, states, &mut buffer);
        let over = |limit| FixedError::OverLimit { what: "a count of events or results", limit };
        assert_eq!(encoded.err(), limit.map(over));
    }
    let named = |name| FixedStateDescriptor { name, version: 1, description: "" };
    let mut more = Groups::new();
    for (name, error) in [("groups", Some(FixedError::OtherStates)), ("more", None)] {
        let mut holder = FixedHolder::<3, 4>::new(ID, KEY_GROUPS, [named(""), named("groups"), named(name)]);
        let states = &mut [&mut values as _, &mut groups as _, &mut more as _];
        let encoded = holder.encode(object, &FixedRequest::default(), states, &mut buffer);
        assert_eq!(encoded.err(), error);
    }
}

#[test]
fn what_needs_an_allocator_is_refused_in_words() {
    let (mut holder, mut values, mut groups, _) = small();
    let mut growable = growable_holder();
    (0..200_u64).for_each(|key| growable.set(key.to_be_bytes(), &key).unwrap());
    growable.begin(CheckpointRequest::default()).unwrap();
    let object = ObjectId { id: 0, generation: 1 };
    let encoded = growable.take_capture().unwrap().into_object(object, Default::default()).unwrap();
    let states = &mut [&mut values as _, &mut groups as _];
    assert_eq!(holder.restore(states, &[encoded.bytes()]).unwrap_err(), FixedError::NotRows);
    assert_eq!(values.len(), 1);
}

#[test]
fn more_changes_than_it_remembers_are_written_whole() {
    let (_, mut values, mut groups, _) = small();
    let plain = FixedStateDescriptor { name: "", version: 1, description: "u64" };
    let groups_of = FixedStateDescriptor { name: "groups", version: 3, description: DESCRIPTION };
    let mut holder = FixedHolder::<2, 3>::new(ID, KEY_GROUPS, [plain, groups_of]);
    (0..20_u8).for_each(|key| values.set_value([key], &u64::MAX).unwrap());
    let mut objects: Vec<Vec<u8>> = Vec::new();
    for id in 0..20 {
        values.set_value("a", &id).unwrap();
        let mut buffer = vec![0; 4096];
        let states = &mut [&mut values as _, &mut groups as _];
        let len = holder.encode(ObjectId { id, generation: 1 }, &FixedRequest::default(), states, &mut buffer).unwrap();
        holder.commit(states).unwrap();
        buffer.truncate(len);
        objects.insert(0, buffer);
        objects.truncate(4);
        let (mut restored, mut of_groups) = (Values::new(), Groups::new());
        let given: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
        holder.restore(&mut [&mut restored, &mut of_groups], &given).unwrap();
        assert_eq!((restored.get_value("a").unwrap(), restored.len(), of_groups.len()), (Some(id), 21, 1));
    }
}
