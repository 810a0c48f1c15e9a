//! What is moved, not cloned, into the place of something else that was captured is no change of it.

use std::fmt::Debug;
use std::mem::{replace, swap};

use eventflux_core::{
    FixedAccumulator, FixedAggregation, FixedBufferedEvent, FixedError, FixedEvent, FixedHolder, FixedMap,
    FixedOpenWindow, FixedPattern, FixedPlain, FixedRequest, FixedStateDescriptor, FixedValue, FixedWindow, ObjectId,
};

type Map<V> = FixedMap<V, 24, 1>;
type Pattern = FixedPattern<4, 3, 3, 2>;
type Windows = FixedWindow<3, 4, 2, 2, 16>;
type Open = FixedOpenWindow<4, 2, 2, 16>;
type Group = FixedAggregation<2, 200, 16>;

const KEYS: [&[u8]; 2] = [b"a", b"b"];

/// Two maps of values, and what their holder wrote, the newest first.
struct Job<V> {
    holder: FixedHolder<'static, 3, 40>,
    no_values: FixedMap<FixedPlain<0>, 0, 0>,
    maps: Box<[Map<V>; 2]>,
    objects: Vec<Vec<u8>>,
}

impl<V: FixedValue + PartialEq + Debug> Job<V> {
    fn new() -> Self {
        let descriptor = |name| FixedStateDescriptor { name, version: 1, description: "" };
        let holder = FixedHolder::new("moved", 4, ["", "s", "t"].map(descriptor));
        Job { holder, no_values: FixedMap::new(), maps: Box::new([Map::new(), Map::new()]), objects: Vec::new() }
    }

    /// In both maps both keys, all captured; and others, beside which a change of those is not worth writing all again.
    fn captured(make: impl Fn(i64) -> V) -> Self {
        let mut job = Self::new();
        for (map, first) in job.maps.iter_mut().zip([0, 500]) {
            for (key, number) in (b'a'..b'w').zip(0..) {
                map.set(&[key], make(first + 10 * number)).unwrap();
            }
        }
        job.checkpoint();
        job
    }

    fn change<R>(&mut self, map: usize, key: usize, change: impl FnOnce(&mut V) -> R) -> R {
        self.maps[map].update(KEYS[key], || unreachable!(), |value| Ok(change(value))).unwrap()
    }

    /// Puts something into the place of a key of the first map, and gives what was there.
    fn put(&mut self, key: usize, value: V) -> V {
        self.change(0, key, |held| replace(held, value))
    }

    /// What is restored is what is there.
    fn checkpoint(&mut self) {
        let mut buffer = vec![0; 32 * 1024];
        let [first, second] = &mut *self.maps;
        let states = &mut [&mut self.no_values as _, first as _, second as _];
        let object = ObjectId { id: self.objects.len() as u64, generation: 1 };
        let len = self.holder.encode(object, &FixedRequest::default(), states, &mut buffer).unwrap();
        self.holder.commit(states).unwrap();
        buffer.truncate(len);
        self.objects.insert(0, buffer);

        let mut restored = Self::new();
        let [first, second] = &mut *restored.maps;
        let states = &mut [&mut restored.no_values as _, first as _, second as _];
        let objects: Vec<&[u8]> = self.objects.iter().map(Vec::as_slice).collect();
        restored.holder.restore(states, &objects).unwrap();
        for (restored, live) in restored.maps.iter().zip(&*self.maps) {
            assert_eq!(KEYS.map(|key| restored.get(key)), KEYS.map(|key| live.get(key)));
        }
    }
}

/// All that can be done with values of a map: `make` makes different ones, `grow` makes one larger.
fn move_values<V: FixedValue + PartialEq + Debug>(make: impl Fn(i64) -> V, grow: impl Fn(&mut V, i64)) {
    // Each goes on with changes, which are of what was moved.
    let go_on = |mut job: Job<V>| {
        for number in 100..102 {
            job.checkpoint();
            (0..2).for_each(|map| (0..2).for_each(|key| job.change(map, key, |value| grow(value, number))));
        }
        job.checkpoint();
    };

    // Into another key's place, and exchanged, each also with changes before and after.
    for grown in [0, 1, 2, 3] {
        let mut job = Job::captured(&make);
        let mut moved = job.put(1, make(90));
        (0..grown).for_each(|number| grow(&mut moved, 70 + number));
        job.put(0, moved);
        job.change(0, 0, |value| (0..grown).for_each(|number| grow(value, 80 + number)));
        go_on(job);

        let mut job = Job::captured(&make);
        job.change(0, 0, |value| (0..grown).for_each(|number| grow(value, 70 + number)));
        let mut held = make(90);
        for key in [0, 1, 0] {
            held = job.put(key, held);
        }
        go_on(job);
    }

    // Out of its place, while another one there is captured, and back.
    let mut job = Job::captured(&make);
    let mut moved = job.put(0, make(90));
    job.checkpoint();
    grow(&mut moved, 70);
    job.put(0, moved);
    go_on(job);

    // Between maps whose keys, captures and changes are the same.
    let mut job = Job::captured(&make);
    let [first, second] = &mut *job.maps;
    let exchange = |one: &mut V| {
        second.update(
            KEYS[0],
            || unreachable!(),
            |other| {
                swap(one, other);
                Ok(())
            },
        )
    };
    first.update(KEYS[0], || unreachable!(), exchange).unwrap();
    go_on(job);

    // Also where the change fails in the end.
    let mut job = Job::captured(&make);
    let moved = job.put(1, make(90));
    let refuse = |value: &mut V| {
        *value = moved;
        Err::<(), _>(FixedError::Full { what: "nothing", capacity: 0 })
    };
    job.maps[0].update(KEYS[0], || unreachable!(), refuse).unwrap_err();
    go_on(job);

    // Out of what was, into what was restored from it and captured as often.
    let mut job = Job::captured(&make);
    job.change(0, 0, |value| grow(value, 60));
    job.checkpoint();
    let moved = job.put(0, make(90));
    let [first, second] = &mut *job.maps;
    let objects: Vec<&[u8]> = job.objects.iter().map(Vec::as_slice).collect();
    job.holder.restore(&mut [&mut job.no_values as _, first as _, second as _], &objects).unwrap();
    job.change(0, 0, |value| grow(value, 61));
    job.checkpoint();
    job.put(0, moved);
    go_on(job);
}

fn event(number: i64) -> FixedBufferedEvent<2> {
    FixedBufferedEvent { sequence: number as u64, event: FixedEvent::new(number, &[number.into()]).unwrap() }
}

fn grows(values: &[i64]) -> [FixedAccumulator<16>; 2] {
    let mut accumulators = [FixedAccumulator::distinct(), FixedAccumulator::distinct()];
    for (accumulator, place) in accumulators.iter_mut().zip(0..) {
        values.iter().for_each(|value| accumulator.add(0, &(value + 1000 * place).into()).unwrap());
    }
    accumulators
}

#[test]
fn patterns() {
    let make = |number| {
        let mut state = Pattern::new();
        state.wait(event(number)).unwrap();
        state.start(event(number + 1)).unwrap();
        state
    };
    // One that waits is taken and begins a match; the first one goes on.
    move_values(make, |state, number| {
        drop(state.take_due(i64::MAX));
        state.wait(event(number)).unwrap();
        drop(state.advance(0, event(number).event));
    });
}

fn make_windows(number: i64) -> Windows {
    let mut state = make_buffers(number);
    for start in [0, 100] {
        state.update(start, |window| window.set_accumulators(&grows(&[number + start]))).unwrap();
    }
    state
}

/// Without accumulators, which would tell of themselves that they were moved.
fn make_buffers(number: i64) -> Windows {
    let mut state = Windows::new();
    for start in [0, 100] {
        let open = |window: &mut Open| {
            window.push_back(event(number + start))?;
            window.push_back(event(number + start + 1))
        };
        state.update(start, open).unwrap();
    }
    state
}

fn grow_window(window: &mut Open, number: i64) -> Result<(), FixedError> {
    drop(window.pop_front());
    window.push_back(event(number))?;
    window.accumulators_mut().iter_mut().try_for_each(|of| of.add(0, &number.into()))
}

#[test]
fn windows_of_a_key() {
    move_values(make_windows, |state, number| state.update(100, |window| grow_window(window, number)).unwrap());
}

#[test]
fn groups() {
    let make = |number| Group::new(&grows(&[number])).unwrap();
    move_values(make, |group, number| {
        group.update(|accumulators| accumulators.iter_mut().try_for_each(|of| of.add(0, &number.into()))).unwrap();
    });
}

/// A window of the first map, whose place a copy takes.
fn take_window(job: &mut Job<Windows>, key: usize, start: i64) -> Open {
    let take = |window: &mut Open| {
        let copy = window.clone();
        Ok(replace(window, copy))
    };
    job.change(0, key, |state| state.update(start, take)).unwrap()
}

#[test]
fn one_window() {
    let places = [(0, 100), (1, 0), (1, 100), (0, 200), (1, 200), (0, 0)];
    let cases = [(false, false), (false, true), (true, false), (true, true)];
    for place in places {
        cases.iter().for_each(|case| {
            [make_windows as fn(i64) -> Windows, make_buffers].iter().for_each(|make| move_window(make, place, *case))
        });
    }
}

/// Moves the first window of the first key into the place of another one, or back into its own; with another capture in
/// between, and where none is open.
fn move_window(make: &fn(i64) -> Windows, (key, start): (usize, i64), (captured, closed): (bool, bool)) {
    let mut job = Job::captured(make);
    let mut moved = take_window(&mut job, 0, 0);
    if captured {
        job.change(0, 0, |state| state.update(0, |window| grow_window(window, 60))).unwrap();
        job.checkpoint();
    }
    grow_window(&mut moved, 70).unwrap();
    if closed {
        drop(job.change(0, key, |state| state.close(start)));
    }
    let put = |window: &mut Open| {
        *window = moved;
        Ok(())
    };
    job.change(0, key, |state| state.update(start, put)).unwrap();
    for number in 100..102 {
        job.checkpoint();
        job.change(0, key, |state| state.update(start, |window| grow_window(window, number))).unwrap();
    }
    job.checkpoint();
}

#[test]
fn accumulators_of_windows() {
    let mut job = Job::captured(make_windows);
    let turn = |window: &mut Open| {
        window.accumulators_mut().reverse();
        Ok(())
    };
    job.change(0, 0, |state| state.update(0, turn)).unwrap();
    job.checkpoint();

    // From the first place of one window into the second of the next, and the other way round.
    let mut held = FixedAccumulator::distinct();
    for (start, place) in [(0, 0), (100, 1), (0, 0)] {
        let exchange = |window: &mut Open| {
            swap(&mut window.accumulators_mut()[place], &mut held);
            Ok(())
        };
        job.change(0, 1, |state| state.update(start, exchange)).unwrap();
    }
    job.checkpoint();

    // Into the same place of another key.
    let take = |window: &mut Open| Ok(replace(&mut window.accumulators_mut()[1], FixedAccumulator::distinct()));
    let moved = job.change(0, 0, |state| state.update(100, take)).unwrap();
    let put = |window: &mut Open| {
        window.accumulators_mut()[1] = moved;
        Ok(())
    };
    job.change(0, 1, |state| state.update(100, put)).unwrap();
    job.checkpoint();
    job.change(0, 1, |state| state.update(100, |window| grow_window(window, 100))).unwrap();
    job.checkpoint();
}

#[test]
fn accumulators_of_groups() {
    let make = |number| Group::new(&grows(&[number, number + 1])).unwrap();
    let mut job = Job::captured(make);
    job.change(0, 0, |group| {
        group.update(|of| {
            of.swap(0, 1);
            Ok(())
        })
    })
    .unwrap();
    job.checkpoint();

    // Those that are given out say of themselves what was captured.
    let given = job.maps[0].get(KEYS[0]).unwrap().accumulators();
    job.change(0, 1, |group| {
        group.update(|of| {
            *of = given;
            Ok(())
        })
    })
    .unwrap();
    job.checkpoint();
    let given = job.maps[0].get(KEYS[0]).unwrap().accumulators();
    job.change(1, 0, |group| *group = Group::new(&given).unwrap());
    job.checkpoint();
    job.change(1, 0, |group| group.update(|of| of[0].add(0, &77.into()))).unwrap();
    job.checkpoint();
}

/// What tells captures apart lies where nothing was.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert_eq!(
        [size_of::<Pattern>(), size_of::<Windows>(), size_of::<Open>(), size_of::<Group>()],
        [1064, 3664, 1200, 202]
    );
    assert_eq!([size_of::<FixedAccumulator>(), size_of::<FixedAccumulator<16>>()], [48, 416]);
    // Two numbers for what rows lost while a checkpoint was under way.
    assert_eq!(size_of::<FixedMap<FixedAggregation<3, 28>, 64, 11>>(), 3104);
}
