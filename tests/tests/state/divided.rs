//! Restores and checkpoints that are divided among threads give what one thread gives, and the same bytes.

use eventflux::{Compression, MemoryBackend, Selector, StateHolder};
use eventflux_core::{
    Accumulator, AggregationState, BufferedEvent, CheckpointRequest, Error, Event, Executor, Function, OpenWriter,
    Publish, Restore, RestoreOptions, Retention, StateDescriptor, StateKind, Task, Verify, WindowState, Writer,
    contents, drive,
};

/// Runs tasks on threads, or the last one first on this one; or not at all.
#[derive(Debug)]
enum Tasks {
    Threads(usize),
    Backwards(usize),
    Left(usize),
}

impl Executor for Tasks {
    fn parallelism(&self) -> usize {
        match self {
            Tasks::Threads(count) | Tasks::Backwards(count) | Tasks::Left(count) => *count,
        }
    }

    fn run(&self, tasks: Vec<Task<'_>>) {
        match self {
            Tasks::Threads(_) => std::thread::scope(|scope| tasks.into_iter().for_each(|task| drop(scope.spawn(task)))),
            Tasks::Backwards(_) => tasks.into_iter().rev().for_each(|task| task()),
            Tasks::Left(_) => {}
        }
    }
}

fn holder() -> StateHolder {
    let state = |name: &str, kind| StateDescriptor::new(name, kind, 1, "");
    let holder = StateHolder::builder("divided").key_groups(30);
    let holder = holder.state(state("windows", StateKind::Windows)).state(state("groups", StateKind::Aggregations));
    holder.build().unwrap()
}

/// Changes a part of the keys; removes a few.
fn change(holder: &mut StateHolder, step: u64) {
    for number in (0..40_000_u64).filter(|number| step == 0 || number % 7 == step % 7) {
        let key = number.to_be_bytes();
        if step > 0 && number % 91 == step {
            holder.remove(key).unwrap();
        } else {
            holder.set(key, &(number * step, f64::from(number as u32) / 4.0)).unwrap();
        }
        if number % 20 == 0 {
            let windows = holder.windows_mut("windows").unwrap();
            let event = Event::new((100 * step) as i64, vec![(number as i64).into(), "text".into(), 0.5.into()]);
            let push = |window: &mut eventflux_core::Window| {
                window.push_back(BufferedEvent { sequence: step, event });
            };
            windows.update(&key, WindowState::new, |state| state.update(step as i64 / 3, push)).unwrap();
            let create = || AggregationState::new(vec![Accumulator::new(Function::Distinct)]);
            let add = |group: &mut AggregationState| {
                group.update(|held| held[0].add(0, &(step as i64).into()).unwrap());
            };
            holder.aggregations_mut("groups").unwrap().update(&key, create, add).unwrap();
        }
    }
}

fn checkpoint(holder: &mut StateHolder, writer: &mut Writer, storage: &mut MemoryBackend) -> Vec<u8> {
    checkpoint_on(None, holder, writer, storage)
}

fn checkpoint_on(
    executor: Option<&Tasks>,
    holder: &mut StateHolder,
    writer: &mut Writer,
    storage: &mut MemoryBackend,
) -> Vec<u8> {
    holder.begin(CheckpointRequest::default()).unwrap();
    let capture = holder.take_capture().unwrap();
    let encoded = match executor {
        None => capture.into_object(writer.next_object(), Compression::Lz4),
        Some(executor) => capture.into_object_on(executor, writer.next_object(), Compression::Lz4),
    };
    let mut encoded = encoded.unwrap();
    drive(Publish::new(writer, &mut encoded, Retention { max_retained: 100 }).unwrap(), storage).unwrap();
    holder.commit(&encoded).unwrap();
    encoded.bytes().to_vec()
}

fn nine_checkpoints() -> (MemoryBackend, Writer, StateHolder) {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut state = holder();
    for step in 0..9 {
        change(&mut state, step);
        checkpoint(&mut state, &mut writer, &mut storage);
    }
    (storage, writer, state)
}

#[test]
fn states_and_the_next_bytes_are_those_of_one_thread() {
    let (storage, _, state) = nine_checkpoints();
    for id in [0, 4, 8] {
        let restore = |executor: Option<&Tasks>| {
            let mut storage = storage.clone();
            let mut restored = holder();
            let mut restore = Restore::new(&mut restored, Selector::Id(id), RestoreOptions::default());
            if let Some(executor) = executor {
                restore = restore.with_executor(executor);
            }
            drive(restore, &mut storage).unwrap();
            let (held, size, keys) = (contents(&restored).unwrap(), restored.size_bytes(), restored.values().len());
            let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
            change(&mut restored, 10);
            (held, size, keys, checkpoint(&mut restored, &mut writer, &mut storage))
        };
        let alone = restore(None);
        assert!(id != 8 || alone.0 == contents(&state).unwrap());
        for executor in [Tasks::Threads(2), Tasks::Threads(7), Tasks::Backwards(3), Tasks::Backwards(64)] {
            assert!(restore(Some(&executor)) == alone);
        }
    }
}

/// Bases and deltas of three states, with pages of the manifest from the eighth checkpoint on; and what is too small to be
/// divided.
#[test]
fn checkpoints_have_the_bytes_of_one_thread() {
    let objects = |executor: Option<&Tasks>| {
        let mut storage = MemoryBackend::new();
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut state = holder();
        let mut objects = Vec::new();
        for step in 0..12 {
            change(&mut state, step);
            objects.push(checkpoint_on(executor, &mut state, &mut writer, &mut storage));
        }
        objects.push(checkpoint_on(executor, &mut state, &mut writer, &mut storage));
        assert!(drive(Verify::new(), &mut storage).unwrap().findings.is_empty());
        objects
    };
    let alone = objects(None);
    for executor in [Tasks::Threads(1), Tasks::Threads(2), Tasks::Threads(7), Tasks::Backwards(3), Tasks::Backwards(64)]
    {
        assert!(objects(Some(&executor)) == alone, "{executor:?}");
    }
}

#[test]
fn tasks_that_were_not_run_are_no_checkpoint_and_no_restore() {
    let (mut storage, writer, mut state) = nine_checkpoints();
    let mut restored = holder();
    let restore = Restore::new(&mut restored, Selector::Latest, RestoreOptions::default());
    assert!(matches!(drive(restore.with_executor(&Tasks::Left(2)), &mut storage).unwrap_err(), Error::CallOrder(_)));
    assert!(restored.values().is_empty());

    change(&mut state, 9);
    state.begin(CheckpointRequest::default()).unwrap();
    let capture = state.take_capture().unwrap();
    let encoded = capture.into_object_on(&Tasks::Left(2), writer.next_object(), Compression::Lz4);
    assert!(matches!(encoded.unwrap_err(), Error::CallOrder(_)));
}

#[test]
fn damage_in_any_part_leaves_the_holder_as_it_was() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut state = holder();
    change(&mut state, 0);
    checkpoint(&mut state, &mut writer, &mut storage);
    let before = holder();
    let len = state_bytes(&mut storage).len();
    for place in [len / 10, len / 2, len * 9 / 10] {
        let mut damaged = storage.clone();
        let mut bytes = state_bytes(&mut damaged);
        bytes[place] ^= 1;
        replace(&mut damaged, bytes);
        let mut restored = holder();
        let restore = Restore::new(&mut restored, Selector::Latest, RestoreOptions::default());
        let error = drive(restore.with_executor(&Tasks::Threads(4)), &mut damaged).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(contents(&restored).unwrap() == contents(&before).unwrap());
    }
}

const OBJECT: &str = "checkpoint-0000000000-g1.efx";

fn state_bytes(storage: &mut MemoryBackend) -> Vec<u8> {
    use eventflux_core::{Backend, ByteRange};
    let all = ByteRange::At { offset: 0, len: u64::MAX };
    storage.read(OBJECT, all).unwrap().unwrap()
}

fn replace(storage: &mut MemoryBackend, bytes: Vec<u8>) {
    use eventflux_core::Backend;
    storage.delete(OBJECT).unwrap();
    storage.put(OBJECT, &bytes).unwrap();
}
