//! The events of one window are divided among threads, if they are many.

use std::sync::atomic::{AtomicUsize, Ordering};

use eventflux::{Compression, MemoryBackend, Selector, StateHolder};
use eventflux_core::{
    BufferedEvent, CheckpointRequest, Event, Executor, OpenWriter, Publish, Restore, RestoreOptions, Retention,
    StateDescriptor, StateKind, Task, Value, Window, WindowState, Writer, contents, drive,
};

/// Runs tasks backwards on this thread, or each on its own; those that tasks ask for, too, or not at all.
#[derive(Debug)]
struct Nested {
    parallelism: usize,
    on_threads: bool,
    leaves_inner: bool,
    depth: AtomicUsize,
    inner_runs: AtomicUsize,
}

impl Nested {
    fn new(parallelism: usize, on_threads: bool, leaves_inner: bool) -> Self {
        Nested { parallelism, on_threads, leaves_inner, depth: AtomicUsize::new(0), inner_runs: AtomicUsize::new(0) }
    }
}

impl Executor for Nested {
    fn parallelism(&self) -> usize {
        self.parallelism
    }

    fn run(&self, tasks: Vec<Task<'_>>) {
        let is_inner = self.depth.fetch_add(1, Ordering::SeqCst) > 0;
        if is_inner {
            self.inner_runs.fetch_add(1, Ordering::SeqCst);
        }
        if is_inner && self.leaves_inner {
            // All but the first are dropped: of the events these are a part in the midst.
            tasks.into_iter().take(1).for_each(|task| task());
        } else if self.on_threads {
            std::thread::scope(|scope| tasks.into_iter().for_each(|task| drop(scope.spawn(task))));
        } else {
            tasks.into_iter().rev().for_each(|task| task());
        }
        self.depth.fetch_sub(1, Ordering::SeqCst);
    }
}

fn holder() -> StateHolder {
    let state = StateDescriptor::new("windows", StateKind::Windows, 1, "");
    StateHolder::builder("divided events").key_groups(4).state(state).build().unwrap()
}

/// Values of every kind of column: many and few integers, texts of few, one text, doubles, and integers with nulls between.
fn values(number: u64) -> Vec<Value> {
    let sparse = if number.is_multiple_of(3) { Value::Null } else { Value::from((number * number % 1_000_003) as i64) };
    let text = ["Apple", "Google", "Baidu"][(number * number % 3) as usize];
    let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    vec![Value::Int(drawn as i64), text.into(), "same".into(), (drawn as f64 / 7.0).into(), sparse]
}

fn push(window: &mut Window, events: u64, long_every: Option<u64>) {
    for number in 0..events {
        let mut values = values(number);
        if long_every.is_some_and(|every| number % every == 0) {
            values.push("a text that is too long for a piece".repeat(number as usize % 5).as_str().into());
        }
        let event = Event::new(window.start() + (number * number % 977) as i64, values);
        window.push_back(BufferedEvent { sequence: 5 * number + number % 4, event });
    }
}

/// Windows with many events, whose values fit or do not, and others before, between and behind them.
fn change(holder: &mut StateHolder) {
    let windows = holder.windows_mut("windows").unwrap();
    for (key, sizes) in [("a", [3, 70_000, 40_000, 7, 33_000]), ("b", [65_536, 1, 2, 3, 4]), ("c", [1, 2, 3, 4, 5])] {
        for (place, events) in (0..).zip(sizes) {
            let long_every = (place == 2).then_some(1000);
            let fill = |state: &mut WindowState| state.update(place * 1000, |window| push(window, events, long_every));
            windows.update(key.as_bytes(), WindowState::new, fill).unwrap();
        }
    }
}

fn checkpoint(holder: &mut StateHolder, writer: &mut Writer, storage: &mut MemoryBackend) -> Vec<u8> {
    holder.begin(CheckpointRequest::default()).unwrap();
    let capture = holder.take_capture().unwrap();
    let mut encoded = capture.into_object(writer.next_object(), Compression::Lz4).unwrap();
    drive(Publish::new(writer, &mut encoded, Retention { max_retained: 100 }).unwrap(), storage).unwrap();
    holder.commit(&encoded).unwrap();
    encoded.bytes().to_vec()
}

#[test]
fn the_state_and_the_next_bytes_are_those_of_one_thread() {
    let mut storage = MemoryBackend::new();
    let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let mut state = holder();
    change(&mut state);
    checkpoint(&mut state, &mut writer, &mut storage);

    let restore = |executor: Option<&Nested>| {
        let mut storage = storage.clone();
        let mut restored = holder();
        let mut restore = Restore::new(&mut restored, Selector::Latest, RestoreOptions::default());
        if let Some(executor) = executor {
            restore = restore.with_executor(executor);
        }
        drive(restore, &mut storage).unwrap();
        let held = contents(&restored).unwrap();
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let windows = restored.windows_mut("windows").unwrap();
        windows.modify(b"a", |state| state.update(1000, |window| push(window, 10, None))).unwrap();
        (held, checkpoint(&mut restored, &mut writer, &mut storage))
    };
    let alone = restore(None);
    assert!(alone.0 == contents(&state).unwrap());
    for parallelism in [2, 3, 64] {
        for (on_threads, leaves_inner) in [(true, false), (false, false), (false, true)] {
            let executor = Nested::new(parallelism, on_threads, leaves_inner);
            assert!(restore(Some(&executor)) == alone, "{executor:?}");
            // That each of these three is divided can be told where one task runs at a time.
            assert!(on_threads || executor.inner_runs.into_inner() == 3);
        }
    }
}
