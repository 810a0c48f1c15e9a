//! Whatever writes, removes, cuts, steps, commits and aborts come in whatever order: what restores
//! at each published checkpoint equals a plain map as of its cut.

use std::collections::BTreeMap;

use eventflux_core::{
    Accumulator, AggregationState, BufferedEvent, CheckpointRequest, Compression, Event, Function, MemoryBackend,
    ObjectId, OpenWriter, PatternState, Publish, Restore, RestoreOptions, Retention, Selector, StateDescriptor,
    StateHolder, StateKind, StepProgress, WindowState, Writer, drive,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Action {
    Set(u8, u16),
    Long(u8, u8),
    Remove(u8),
    Push(u8, i64),
    Pop(u8, i64),
    CloseWindow(u8, i64),
    Wait(u8, u8),
    Take(u8),
    StartMatch(u8),
    AdvanceMatch(u8),
    DropMatch(u8),
    Distinct(u8, u8),
    Begin,
    Step(u16),
    Commit,
    Abort,
    /// Goes back to the newest checkpoint, as after a crash.
    Crash,
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..12_u8, any::<u16>()).prop_map(|(key, value)| Action::Set(key, value)),
        1 => (0..12_u8, any::<u8>()).prop_map(|(key, len)| Action::Long(key, len)),
        3 => (0..12_u8).prop_map(Action::Remove),
        4 => (0..4_u8, 0..3_i64).prop_map(|(key, start)| Action::Push(key, start)),
        2 => (0..4_u8, 0..3_i64).prop_map(|(key, start)| Action::Pop(key, start)),
        1 => (0..4_u8, 0..3_i64).prop_map(|(key, start)| Action::CloseWindow(key, start)),
        2 => (0..4_u8, any::<u8>()).prop_map(|(key, time)| Action::Wait(key, time)),
        1 => (0..4_u8).prop_map(Action::Take),
        2 => (0..4_u8).prop_map(Action::StartMatch),
        2 => (0..4_u8).prop_map(Action::AdvanceMatch),
        1 => (0..4_u8).prop_map(Action::DropMatch),
        3 => (0..4_u8, any::<u8>()).prop_map(|(key, value)| Action::Distinct(key, value)),
        4 => Just(Action::Begin),
        6 => (0..400_u16).prop_map(Action::Step),
        3 => Just(Action::Commit),
        1 => Just(Action::Abort),
        1 => Just(Action::Crash),
    ]
}

/// The state as plain maps.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    windows: BTreeMap<Vec<u8>, WindowState>,
    patterns: BTreeMap<Vec<u8>, PatternState>,
    groups: BTreeMap<Vec<u8>, AggregationState>,
}

fn holder(key_groups: u16) -> StateHolder {
    let state = |name: &str, kind| StateDescriptor::new(name, kind, 1, name);
    StateHolder::builder("model")
        .key_groups(key_groups)
        .state(state("w", StateKind::Windows))
        .state(state("p", StateKind::Patterns))
        .state(state("a", StateKind::Aggregations))
        .build()
        .unwrap()
}

fn model_of(holder: &StateHolder) -> Model {
    let owned = |key: &[u8]| key.to_vec();
    Model {
        values: holder.values().iter().map(|(key, value)| (owned(key), value.as_bytes().to_vec())).collect(),
        windows: holder.windows("w").unwrap().iter().map(|(key, value)| (owned(key), value.clone())).collect(),
        patterns: holder.patterns("p").unwrap().iter().map(|(key, value)| (owned(key), value.clone())).collect(),
        groups: holder.aggregations("a").unwrap().iter().map(|(key, value)| (owned(key), value.clone())).collect(),
    }
}

fn event(sequence: u64) -> BufferedEvent {
    BufferedEvent { sequence, event: Event::new(sequence as i64 % 7, vec![(sequence as i64).into(), "text".into()]) }
}

fn write(holder: &mut StateHolder, model: &mut Model, action: &Action, sequence: u64) {
    let key_of = |key: u8| vec![key; 1 + usize::from(key) * 3];
    match *action {
        Action::Set(key, value) => {
            holder.set(key_of(key), &value).unwrap();
            model.values.insert(key_of(key), holder.values().get(&key_of(key)).unwrap().as_bytes().to_vec());
        }
        Action::Long(key, len) => {
            let bytes = vec![key; usize::from(len)];
            holder.set_encoded(&key_of(key), &bytes).unwrap();
            model.values.insert(key_of(key), bytes);
        }
        Action::Remove(key) => {
            assert_eq!(holder.remove(key_of(key)).unwrap(), model.values.remove(&key_of(key)).is_some());
        }
        Action::Push(key, start) => {
            let push = |state: &mut WindowState| {
                state.update(start, |window| {
                    window.set_end(start + 10);
                    window.push_back(event(sequence));
                    if window.accumulators().is_empty() {
                        *window.accumulators_mut() =
                            vec![Accumulator::new(Function::Count), Accumulator::new(Function::Median)];
                    }
                    window.accumulators_mut()[0].add_event();
                    window.accumulators_mut()[1].add(0, &(sequence as i64).into()).unwrap();
                });
            };
            holder.windows_mut("w").unwrap().update(&key_of(key), WindowState::new, push).unwrap();
            push(model.windows.entry(key_of(key)).or_default());
        }
        Action::Pop(key, start) => {
            let pop = |state: &mut WindowState| {
                if state.window(start).is_some() {
                    state.update(start, |window| window.pop_front());
                }
            };
            holder.windows_mut("w").unwrap().modify(&key_of(key), pop);
            model.windows.entry(key_of(key)).and_modify(pop);
        }
        Action::CloseWindow(key, start) => {
            let empty = holder.windows_mut("w").unwrap().modify(&key_of(key), |state| {
                state.close(start);
                state.is_empty()
            });
            if let Some(state) = model.windows.get_mut(&key_of(key)) {
                state.close(start);
            }
            if empty == Some(true) {
                assert!(holder.windows_mut("w").unwrap().remove(&key_of(key)));
                model.windows.remove(&key_of(key));
            }
        }
        Action::Wait(key, time) => {
            let mut waiting = event(sequence);
            waiting.event.timestamp = i64::from(time);
            let wait = |state: &mut PatternState| state.wait(waiting.clone());
            holder.patterns_mut("p").unwrap().update(&key_of(key), PatternState::new, wait).unwrap();
            wait(model.patterns.entry(key_of(key)).or_default());
        }
        Action::Take(key) => {
            let take = |state: &mut PatternState| drop(state.take_due(100));
            holder.patterns_mut("p").unwrap().modify(&key_of(key), take);
            model.patterns.entry(key_of(key)).and_modify(take);
        }
        Action::StartMatch(key) => {
            let start = |state: &mut PatternState| state.start(event(sequence)).unwrap();
            holder.patterns_mut("p").unwrap().update(&key_of(key), PatternState::new, start).unwrap();
            start(model.patterns.entry(key_of(key)).or_default());
        }
        Action::AdvanceMatch(key) => {
            let advance = |state: &mut PatternState| state.advance(0, event(sequence).event);
            holder.patterns_mut("p").unwrap().modify(&key_of(key), advance);
            model.patterns.entry(key_of(key)).and_modify(advance);
        }
        Action::DropMatch(key) => {
            let drop_first = |state: &mut PatternState| drop(state.drop_at(0));
            holder.patterns_mut("p").unwrap().modify(&key_of(key), drop_first);
            model.patterns.entry(key_of(key)).and_modify(drop_first);
        }
        Action::Distinct(key, value) => {
            let add = |group: &mut AggregationState| {
                group.update(|accumulators| accumulators[0].add(0, &i64::from(value).into()).unwrap());
            };
            let create = || AggregationState::new(vec![Accumulator::new(Function::Distinct)]);
            holder.aggregations_mut("a").unwrap().update(&key_of(key), create, add).unwrap();
            add(model.groups.entry(key_of(key)).or_insert_with(create));
        }
        _ => {}
    }
}

struct Run {
    storage: MemoryBackend,
    writer: Writer,
    holder: StateHolder,
    model: Model,
    /// The model as of the cut under way, and whether all of it is captured.
    cut: Option<Model>,
    published: BTreeMap<u64, Model>,
}

impl Run {
    fn commit(&mut self, compression: Compression) {
        let Some(cut) = self.cut.take() else { return };
        let object = self.writer.next_object();
        let mut encoded = self.holder.take_capture().unwrap().into_object(object, compression).unwrap();
        drive(Publish::new(&mut self.writer, &mut encoded, Retention { max_retained: 4 }).unwrap(), &mut self.storage)
            .unwrap();
        self.holder.commit(&encoded).unwrap();
        self.published.insert(object.id, cut);
    }

    fn check_all(&mut self, key_groups: u16) {
        for entry in self.writer.head().entries.clone() {
            let mut fresh = holder(key_groups);
            let restore = Restore::new(&mut fresh, Selector::Id(entry.object.id), RestoreOptions::default());
            drive(restore, &mut self.storage).unwrap();
            assert_eq!(model_of(&fresh), self.published[&entry.object.id], "checkpoint {}", entry.object.id);
        }
    }
}

/// Number of cases, unless the environment asks for another.
fn cases(number: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(number)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_restores_is_the_model_at_each_cut(
        actions in prop::collection::vec(any_action(), 1..220),
        key_groups in prop_oneof![Just(1_u16), Just(3), Just(16)],
        lz4 in any::<bool>(),
    ) {
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut run = Run { storage, writer, holder: holder(key_groups), model: Model::default(), cut: None, published: BTreeMap::new() };
        for (sequence, action) in actions.iter().enumerate() {
            match action {
                Action::Begin => {
                    let begun = run.holder.begin(CheckpointRequest::default());
                    prop_assert_eq!(begun.is_ok(), run.cut.is_none());
                    run.cut.get_or_insert_with(|| run.model.clone());
                }
                Action::Step(budget) => {
                    let stepped = run.holder.step(usize::from(*budget));
                    prop_assert_eq!(stepped.is_ok(), run.cut.is_some());
                }
                Action::Commit => run.commit(compression),
                Action::Abort => {
                    prop_assert_eq!(run.holder.abort().is_ok(), run.cut.take().is_some());
                }
                Action::Crash => {
                    run.cut = None;
                    run.holder = holder(key_groups);
                    run.model = Model::default();
                    if let Some(latest) = run.writer.head().latest {
                        drive(Restore::new(&mut run.holder, Selector::Latest, RestoreOptions::default()), &mut run.storage).unwrap();
                        run.model = run.published[&latest].clone();
                    }
                }
                write_action => write(&mut run.holder, &mut run.model, write_action, sequence as u64),
            }
            prop_assert_eq!(&model_of(&run.holder), &run.model);
        }
        if run.cut.is_none() {
            run.holder.begin(CheckpointRequest::default()).unwrap();
            run.cut = Some(run.model.clone());
        }
        while run.holder.step(100).unwrap() == StepProgress::More {}
        run.commit(compression);
        run.check_all(key_groups);
    }
}

/// A checkpoint without a storage; how many steps of so many bytes it took.
fn checkpoint(holder: &mut StateHolder, id: u64, budget: usize) -> usize {
    holder.begin(CheckpointRequest::default()).unwrap();
    let mut steps = 1;
    while holder.step(budget).unwrap() == StepProgress::More {
        steps += 1;
    }
    let capture = holder.take_capture().unwrap();
    holder.commit(&capture.into_object(ObjectId { id, generation: 1 }, Compression::None).unwrap()).unwrap();
    steps
}

#[test]
fn removed_keys_are_given_back_within_the_budget() {
    const KEYS: u32 = 20_000;
    let mut holder = StateHolder::builder("removed").key_groups(1).build().unwrap();
    (0..KEYS).for_each(|key| holder.set(key.to_le_bytes(), &key).unwrap());
    checkpoint(&mut holder, 0, usize::MAX);
    (0..KEYS).for_each(|key| assert!(holder.remove(key.to_le_bytes()).unwrap()));
    checkpoint(&mut holder, 1, usize::MAX);
    // Some come back before their places were given back.
    for key in (0..KEYS).step_by(5) {
        holder.set(key.to_le_bytes(), &(key + 1)).unwrap();
    }
    let steps = checkpoint(&mut holder, 2, 1024);
    assert!(steps > 40, "{steps} steps for all pages");
    for key in 0..KEYS {
        let expected = (key % 5 == 0).then_some(key + 1);
        assert_eq!(holder.get::<u32>(key.to_le_bytes()).unwrap(), expected);
    }
    assert_eq!(holder.values().len(), KEYS as usize / 5);
}

/// Without coming back: nothing but what is given back.
#[test]
fn a_step_that_only_gives_back_ends_too() {
    let mut holder = StateHolder::builder("removed").key_groups(1).build().unwrap();
    (0..20_000_u32).for_each(|key| holder.set(key.to_le_bytes(), &key).unwrap());
    checkpoint(&mut holder, 0, usize::MAX);
    (0..20_000_u32).for_each(|key| assert!(holder.remove(key.to_le_bytes()).unwrap()));
    checkpoint(&mut holder, 1, usize::MAX);
    let steps = checkpoint(&mut holder, 2, 1024);
    assert!(steps > 40, "{steps} steps for all pages");
}
