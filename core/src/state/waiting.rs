//! The events of a key that wait for the watermark, by time, then by number: a list in which one that comes late finds its
//! place without all behind it being moved.
//!
//! Nearly all keys have few. A source of which one part is hours behind may have a million, and each of its events goes far
//! from the end; so what is longer than a run is several runs, each sorted, one behind the other.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::bytes::heap_bytes_of;
use crate::value::BufferedEvent;

/// Events of a run at most. Half of them move for one that comes between them, on average a quarter.
const RUN_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Waiting {
    pub(super) event: BufferedEvent,
    /// Whether the last capture had it.
    pub(super) captured: bool,
}

impl Waiting {
    fn order(&self) -> (i64, u64) {
        (self.event.event.timestamp, self.event.sequence)
    }
}

/// Invariants: no run is empty but the first, and this one only if there is no other; none is longer than [`RUN_MAX`].
#[derive(Debug)]
pub(super) struct WaitingEvents {
    /// By itself, so that few events take no list of runs.
    first: VecDeque<Waiting>,
    others: VecDeque<VecDeque<Waiting>>,
    len: usize,
    /// Events that the runs have room for.
    room: usize,
}

impl WaitingEvents {
    pub(super) const fn new() -> Self {
        WaitingEvents { first: VecDeque::new(), others: VecDeque::new(), len: 0, room: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Waiting> {
        Counted { items: self.first.iter().chain(self.others.iter().flatten()), left: self.len }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.first.iter_mut().chain(self.others.iter_mut().flatten())
    }

    pub(super) fn front(&self) -> Option<&Waiting> {
        self.first.front()
    }

    /// Bytes that the runs take, beside what the events point to.
    pub(super) fn memory(&self) -> u64 {
        heap_bytes_of::<Waiting>(self.room) + heap_bytes_of::<VecDeque<Waiting>>(self.others.capacity())
    }

    /// Bytes by which the runs grow at most with one more event, whatever its number.
    pub(super) fn growth(&self, timestamp: i64) -> usize {
        let (number, at) = self.place_of((timestamp, u64::MAX));
        // One before it may take the place of those that have its time.
        let run = self.run(number);
        let is_clear =
            number == 0 || at > 0 && run.front().is_some_and(|front| front.event.event.timestamp < timestamp);
        if run.len() < RUN_MAX && is_clear {
            return if run.len() < run.capacity() { 0 } else { run.capacity().max(4) * size_of::<Waiting>() };
        }
        let runs = if self.others.len() < self.others.capacity() { 0 } else { self.others.capacity().max(4) };
        RUN_MAX * size_of::<Waiting>() + runs * size_of::<VecDeque<Waiting>>()
    }

    /// Where an event goes: which run, and where in it.
    fn place_of(&self, order: (i64, u64)) -> (usize, usize) {
        let is_no_later = |run: &VecDeque<Waiting>| run.front().is_some_and(|front| front.order() <= order);
        // The run that begins last of those that begin no later.
        let number = self.others.partition_point(is_no_later);
        let at = self.run(number).partition_point(|other| other.order() <= order);
        // Between two runs: into the second, which may have room.
        if at == RUN_MAX && number < self.others.len() { (number + 1, 0) } else { (number, at) }
    }

    /// Adds an event behind all that are no later; of those of one time and number it is the last.
    pub(super) fn insert(&mut self, waiting: Waiting) {
        let (mut number, mut at) = self.place_of(waiting.order());
        if self.run(number).len() == RUN_MAX {
            // Mostly events come in order: then runs stay full.
            let half = if at == RUN_MAX { RUN_MAX } else { RUN_MAX / 2 };
            let behind = self.run_mut(number).split_off(half);
            self.room += behind.capacity();
            self.others.insert(number, behind);
            if at >= half {
                (number, at) = (number + 1, at - half);
            }
        }
        let run = self.run_mut(number);
        let before = run.capacity();
        run.insert(at, waiting);
        let grown = run.capacity() - before;
        self.room += grown;
        self.len += 1;
    }

    pub(super) fn pop_front(&mut self) -> Option<Waiting> {
        let popped = self.first.pop_front()?;
        self.len -= 1;
        self.close_up();
        Some(popped)
    }

    /// Removes all for which `keep` is false.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Waiting) -> bool) {
        self.first.retain(&mut keep);
        for run in &mut self.others {
            run.retain(&mut keep);
        }
        let mut freed = 0;
        self.others.retain(|run| {
            let stays = !run.is_empty();
            freed += if stays { 0 } else { run.capacity() };
            stays
        });
        self.room -= freed;
        self.close_up();
        self.len = self.first.len() + self.others.iter().map(VecDeque::len).sum::<usize>();
    }

    /// Adds many at once, in whatever order: as if each had been inserted.
    pub(super) fn extend(&mut self, mut more: Vec<Waiting>) {
        // Stable, as an insertion is.
        if !more.is_sorted_by_key(Waiting::order) {
            more.sort_by_key(Waiting::order);
        }
        let last = self.others.back().unwrap_or(&self.first).back();
        if let (Some(last), Some(first)) = (last, more.first())
            && last.order() > first.order()
        {
            let held = core::mem::replace(self, Self::new());
            let mut all: Vec<Waiting> = held.first.into_iter().chain(held.others.into_iter().flatten()).collect();
            all.append(&mut more);
            all.sort_by_key(Waiting::order);
            more = all;
        }
        more.into_iter().for_each(|waiting| self.insert(waiting));
    }

    /// A run: the first one, and the others behind it.
    fn run(&self, number: usize) -> &VecDeque<Waiting> {
        number.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    fn run_mut(&mut self, number: usize) -> &mut VecDeque<Waiting> {
        match number.checked_sub(1) {
            Some(other) if other < self.others.len() => &mut self.others[other],
            _ => &mut self.first,
        }
    }

    /// Another run takes the place of the first, if that is empty.
    fn close_up(&mut self) {
        if self.first.is_empty()
            && let Some(next) = self.others.pop_front()
        {
            self.room -= self.first.capacity();
            self.first = next;
        }
    }
}

impl Clone for WaitingEvents {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.extend(self.iter().cloned().collect());
        copy
    }
}

/// An iterator whose length is known from elsewhere.
struct Counted<I> {
    items: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.items.next()?;
        self.left -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Event;

    fn waiting(time: i64, sequence: u64) -> Waiting {
        Waiting { event: BufferedEvent { sequence, event: Event::new(time, Vec::new()) }, captured: false }
    }

    #[derive(Debug, Clone)]
    enum Action {
        /// So many, each this much later than the one before, from a time on.
        Insert(i64, i64, usize),
        Extend(i64, i64, usize),
        Pop(usize),
        /// Those whose number is no multiple.
        Retain(u64),
    }

    fn action() -> impl Strategy<Value = Action> {
        let many = || (0_i64..3000, -3_i64..4, 1_usize..1500);
        prop_oneof![
            4 => many().prop_map(|(from, by, count)| Action::Insert(from, by, count)),
            1 => many().prop_map(|(from, by, count)| Action::Extend(from, by, count)),
            2 => (1_usize..2000).prop_map(Action::Pop),
            1 => (1_u64..5).prop_map(Action::Retain),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn it_is_a_sorted_list(actions in proptest::collection::vec(action(), 0..12)) {
            let (mut list, mut model, mut sequence) = (WaitingEvents::new(), Vec::<Waiting>::new(), 0);
            for action in actions {
                match action {
                    Action::Insert(from, by, count) => {
                        for number in 0..count as i64 {
                            // Every third has the number of the one before.
                            sequence += u64::from(number % 3 != 0);
                            let new = waiting(from + by * number, sequence);
                            let (growth, before) = (list.growth(from + by * number) as u64, list.memory());
                            model.insert(model.partition_point(|other| other.order() <= new.order()), new.clone());
                            list.insert(new);
                            // Room of an allocation is rounded up.
                            prop_assert!(list.memory() <= before + growth + 64, "{before} and {growth}: {}", list.memory());
                        }
                    }
                    Action::Extend(from, by, count) => {
                        let new: Vec<_> =
                            (0..count as u64).map(|number| waiting(from + by * number as i64, sequence + number)).collect();
                        sequence += count as u64;
                        model.extend(new.iter().cloned());
                        model.sort_by_key(Waiting::order);
                        list.extend(new);
                    }
                    Action::Pop(count) => {
                        for _ in 0..count.min(model.len()) {
                            prop_assert_eq!(list.pop_front(), Some(model.remove(0)));
                        }
                    }
                    Action::Retain(multiple) => {
                        list.retain(|waiting| waiting.event.sequence % multiple != 0);
                        model.retain(|waiting| waiting.event.sequence % multiple != 0);
                    }
                }
                prop_assert_eq!(list.front(), model.first());
                prop_assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
                let room: usize = list.others.iter().chain([&list.first]).map(VecDeque::capacity).sum();
                prop_assert_eq!(list.room, room);
                prop_assert!(list.others.iter().all(|run| (1..=RUN_MAX).contains(&run.len())));
                prop_assert!(list.first.len() <= RUN_MAX && (list.others.is_empty() || !list.first.is_empty()));
            }
            prop_assert!(list.iter().eq(&model));
            prop_assert!(list.iter_mut().map(|waiting| &*waiting).eq(&model));
            prop_assert!(list.clone().iter().eq(&model));
        }
    }

    /// Each by itself moves all behind it, if they lie in one piece: minutes.
    #[test]
    fn half_of_a_million_events_that_are_hours_late_find_their_places() {
        const MANY: i64 = 500_000;
        let mut list = WaitingEvents::new();
        for number in 0..MANY {
            list.insert(waiting(number + MANY, 0));
            list.insert(waiting(MANY - number, 0));
        }
        assert_eq!(list.len(), 2 * MANY as usize);
        assert!(list.iter().is_sorted_by_key(Waiting::order));
        // No more runs than events that they have room for.
        assert!(list.others.len() < 4 * list.len() / RUN_MAX, "{} runs", list.others.len());
    }
}
