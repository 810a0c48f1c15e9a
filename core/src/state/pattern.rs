//! Partial matches of one key, and the events that wait for the watermark.

use alloc::vec::Vec;

use super::captured::Captured;
use super::waiting::{Waiting, WaitingEvents};
use crate::bytes::heap_bytes_of;
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::columns::ColumnRow;
use crate::format::pattern::{self, PatternRows};
use crate::format::rows::Form;
use crate::tracked::sealed::Sealed;
use crate::value::{BufferedEvent, Event, Footprint};

/// A match under way: the events of its first steps, one a step.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialMatch {
    pub(crate) id: u64,
    pub(crate) events: Vec<Event>,
    /// How many of the events the last capture had.
    pub(crate) captured: usize,
}

/// The pattern state of one key.
///
/// Its change since the last checkpoint: events that came to wait or went, partial matches added,
/// advanced, dropped.
///
/// ```
/// use eventflux_core::{BufferedEvent, Event, PatternState};
/// let mut state = PatternState::new();
/// let event = |time| Event::new(time, vec![1.into()]);
/// state.wait(BufferedEvent { sequence: 0, event: event(20) });
/// // Once the watermark has reached an event, it takes part.
/// assert_eq!(state.take_due(10), None);
/// let first = state.take_due(20).expect("its time has come");
/// state.start(first)?;
/// state.advance(0, event(30));
/// assert_eq!((state.partials()[0].first_ms(), state.partials()[0].events().len()), (20, 2));
/// assert!(state.drop_at(0).is_some() && state.is_empty());
/// # Ok::<(), eventflux_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PatternState {
    /// Waiting for the watermark, by time, then input order.
    pending: WaitingEvents,
    /// Oldest first.
    partials: Vec<PartialMatch>,
    /// Sequences of pending events that the last capture had and that are gone.
    taken: Vec<u64>,
    /// Ids of partial matches that the last capture had and that are gone.
    dropped: Vec<u64>,
    captured: Captured,
    footprint: Footprint,
}

impl Default for PatternState {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for PatternState {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        PatternState {
            pending: self.pending.clone(),
            partials: self.partials.clone(),
            taken: Vec::new(),
            dropped: Vec::new(),
            captured: Captured::NEVER,
            footprint: self.footprint,
        }
    }
}

impl PartialEq for PatternState {
    fn eq(&self, other: &Self) -> bool {
        let content = |partial: &PartialMatch| (partial.id, partial.events.clone());
        self.pending().eq(other.pending()) && self.partials.iter().map(content).eq(other.partials.iter().map(content))
    }
}

/// What an event does to a partial match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Waits,
    /// It is one step further.
    Advances,
    /// It has all steps.
    Completes,
    /// It is over.
    Ends,
}

impl PartialMatch {
    /// Number of the event that began it, which no other match of the key has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its events, one a step, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Time of its first event, in milliseconds.
    #[must_use]
    pub fn first_ms(&self) -> i64 {
        self.events.first().map_or(i64::MIN, |event| event.timestamp)
    }

    /// Bytes by which one grows at most with one more event, mostly: its list may double.
    pub(crate) fn growth_of(event: &Event) -> usize {
        const LIST_EVENTS: usize = 4;
        (event.footprint().memory + heap_bytes_of::<Event>(LIST_EVENTS)) as usize
    }

    fn footprint(&self) -> Footprint {
        let mut total =
            Footprint { memory: heap_bytes_of::<Event>(self.events.capacity()), encoded: pattern::PARTIAL_ENCODED };
        for event in &self.events {
            total += event.footprint();
        }
        total
    }
}

impl PatternState {
    /// Nothing under way.
    #[must_use]
    pub fn new() -> Self {
        PatternState {
            pending: WaitingEvents::new(),
            partials: Vec::new(),
            taken: Vec::new(),
            dropped: Vec::new(),
            captured: Captured::NEVER,
            footprint: Footprint { memory: 0, encoded: pattern::PATTERN_ENCODED },
        }
    }

    /// Events waiting for the watermark, by time, then input order.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = &BufferedEvent> {
        self.pending.iter().map(|pending| &pending.event)
    }

    /// Partial matches, oldest first.
    #[must_use]
    pub fn partials(&self) -> &[PartialMatch] {
        &self.partials
    }

    /// Whether nothing waits and nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.partials.is_empty()
    }

    /// Bytes by which one more event makes the list of those that wait grow.
    pub(crate) fn growth_of_wait(&self, timestamp: i64) -> usize {
        self.pending.growth(timestamp)
    }

    /// Lets an event wait for the watermark: by its time, then its number, and behind those that have the same.
    pub fn wait(&mut self, event: BufferedEvent) {
        self.footprint += event.footprint();
        self.pending.insert(Waiting { event, captured: false });
    }

    /// Takes the first waiting event if its time has come.
    pub fn take_due(&mut self, watermark_ms: i64) -> Option<BufferedEvent> {
        if self.pending.front()?.event.event.timestamp > watermark_ms {
            return None;
        }
        let Waiting { event, captured } = self.pending.pop_front()?;
        self.footprint -= event.footprint();
        if captured {
            self.taken.push(event.sequence);
        }
        Some(event)
    }

    /// Begins a partial match with the event of its first step, whose number identifies it from then on.
    ///
    /// # Errors
    /// [`Error::CallOrder`] if one that is under way began with an event of this number: a checkpoint could not tell them
    /// apart. Nothing has changed then.
    pub fn start(&mut self, first: BufferedEvent) -> Result<()> {
        if self.partials.iter().any(|partial| partial.id == first.sequence) {
            return Err(Error::CallOrder(
                "a partial match under way began with an event of the same number; give each event a number of its own",
            ));
        }
        self.start_new(first);
        Ok(())
    }

    /// As [`PatternState::start`], of an event whose number no other has.
    pub(crate) fn start_new(&mut self, first: BufferedEvent) {
        let partial = PartialMatch { id: first.sequence, events: alloc::vec![first.event], captured: 0 };
        self.footprint += partial.footprint();
        self.partials.push(partial);
    }

    /// Adds the event of the next step to the partial match at a place.
    pub fn advance(&mut self, at: usize, event: Event) {
        if let Some(partial) = self.partials.get_mut(at) {
            self.footprint -= partial.footprint();
            partial.events.push(event);
            self.footprint += partial.footprint();
        }
    }

    /// Drops the partial match at a place and gives it back.
    pub fn drop_at(&mut self, at: usize) -> Option<PartialMatch> {
        if at >= self.partials.len() {
            return None;
        }
        let partial = self.partials.remove(at);
        self.footprint -= partial.footprint();
        if partial.captured > 0 {
            self.dropped.push(partial.id);
        }
        Some(partial)
    }

    /// Lets an event take part in all partial matches, as `decide` says of each, oldest first; the events of those that it
    /// completes.
    pub(crate) fn take_event(
        &mut self,
        event: &Event,
        mut decide: impl FnMut(&PartialMatch) -> Fate,
    ) -> Vec<Vec<Event>> {
        let (footprint, dropped) = (&mut self.footprint, &mut self.dropped);
        let mut completed = Vec::new();
        self.partials.retain_mut(|partial| {
            let fate = decide(partial);
            if fate == Fate::Waits {
                return true;
            }
            *footprint -= partial.footprint();
            if fate == Fate::Advances {
                partial.events.push(event.clone());
                *footprint += partial.footprint();
                return true;
            }
            if partial.captured > 0 {
                dropped.push(partial.id);
            }
            if fate == Fate::Completes {
                partial.events.push(event.clone());
                completed.push(core::mem::take(&mut partial.events));
            }
            false
        });
        completed
    }

    /// Drops so many partial matches, the oldest.
    pub(crate) fn drop_first(&mut self, count: usize) {
        for partial in self.partials.drain(..count.min(self.partials.len())) {
            self.footprint -= partial.footprint();
            if partial.captured > 0 {
                self.dropped.push(partial.id);
            }
        }
    }

    /// Drops all partial matches for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&PartialMatch) -> bool) {
        let (footprint, dropped) = (&mut self.footprint, &mut self.dropped);
        self.partials.retain(|partial| {
            let kept = keep(partial);
            if !kept {
                *footprint -= partial.footprint();
                if partial.captured > 0 {
                    dropped.push(partial.id);
                }
            }
            kept
        });
    }
}

impl PatternRows for PatternState {
    type Error = Malformed;
    type Event = Event;

    fn gone(&self) -> (&[u64], &[u64]) {
        (&self.taken, &self.dropped)
    }

    fn waiting(&self, all: bool) -> impl Iterator<Item = (u64, &Event)> {
        let written = self.pending.iter().filter(move |pending| all || !pending.captured);
        written.map(|pending| (pending.event.sequence, &pending.event.event))
    }

    fn partials(&self) -> impl Iterator<Item = (u64, usize, &[Event])> {
        self.partials.iter().map(|partial| (partial.id, partial.captured, &partial.events[..]))
    }

    fn forget_waiting(&mut self, numbers: impl Iterator<Item = Result<u64, Malformed>>) -> Result<bool, Malformed> {
        let mut taken = numbers.collect::<Result<Vec<u64>, Malformed>>()?;
        taken.sort_unstable();
        // A program may have given one number to several events: as many of them go as were taken.
        let mut gone = alloc::vec![0; taken.len()];
        let (before, footprint) = (self.pending.len(), &mut self.footprint);
        self.pending.retain(|Waiting { event, .. }| {
            let first = taken.partition_point(|number| *number < event.sequence);
            let is_taken = gone.get(first).is_some_and(|gone| taken.get(first + gone) == Some(&event.sequence));
            if is_taken {
                gone[first] += 1;
                *footprint -= event.footprint();
            }
            !is_taken
        });
        Ok(before - self.pending.len() == taken.len())
    }

    fn add_waiting(&mut self, events: impl Iterator<Item = Result<(u64, Event), Malformed>>) -> Result<(), Malformed> {
        let mut added = Vec::new();
        for event in events {
            let (sequence, event) = event?;
            let event = BufferedEvent { sequence, event };
            self.footprint += event.footprint();
            added.push(Waiting { event, captured: false });
        }
        self.pending.extend(added);
        Ok(())
    }

    fn forget_partials(&mut self, ids: impl Iterator<Item = Result<u64, Malformed>>) -> Result<(), Malformed> {
        let mut dropped = ids.collect::<Result<Vec<u64>, Malformed>>()?;
        dropped.sort_unstable();
        self.retain(|partial| dropped.binary_search(&partial.id).is_err());
        Ok(())
    }

    fn add_to_partial(
        &mut self,
        next: &mut usize,
        (id, from): (u64, u64),
        room: usize,
        events: impl Iterator<Item = Result<Event, Malformed>>,
    ) -> Result<bool, Malformed> {
        let mut added = Vec::with_capacity(room);
        for event in events {
            added.push(event?);
        }
        if from == 0 {
            let partial = PartialMatch { id, events: added, captured: 0 };
            self.footprint += partial.footprint();
            self.partials.push(partial);
            return Ok(true);
        }
        let found = self.partials.iter_mut().enumerate().skip(*next).find(|(_, partial)| partial.id == id);
        let Some((at, partial)) = found else { return Ok(false) };
        *next = at + 1;
        let follows = partial.events.len() as u64 == from;
        self.footprint -= partial.footprint();
        partial.events.append(&mut added);
        self.footprint += partial.footprint();
        Ok(follows)
    }
}

impl Sealed for PatternState {
    fn write_whole(&self, out: &mut Vec<u8>) {
        pattern::write(out, self, true);
    }

    fn write_change(&self, out: &mut Vec<u8>) -> Form {
        let whole = !self.captured.is_any();
        pattern::write(out, self, whole);
        if whole { Form::Whole } else { Form::Change }
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut state = PatternState::new();
        pattern::apply_row(bytes, &mut state)?;
        state.settle();
        Ok(state)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        pattern::apply_row(bytes, self)
    }

    fn read_columns(row: &mut ColumnRow<'_, '_>) -> Result<Self, Malformed> {
        let mut state = PatternState::new();
        pattern::apply(row.source, &mut state)?;
        state.settle();
        Ok(state)
    }

    fn apply_columns(&mut self, row: &mut ColumnRow<'_, '_>) -> Result<(), Malformed> {
        pattern::apply(row.source, self)
    }

    fn settle(&mut self) {
        self.captured = Captured::now();
        self.taken.clear();
        self.dropped.clear();
        self.pending.iter_mut().for_each(|pending| pending.captured = true);
        self.partials.iter_mut().for_each(|partial| partial.captured = partial.events.len());
    }

    fn captured(&self) -> Captured {
        self.captured
    }

    fn take_place(&mut self) {
        self.captured = Captured::NEVER;
    }

    fn footprint(&self) -> Footprint {
        let reserved = self.pending.memory()
            + heap_bytes_of::<PartialMatch>(self.partials.capacity())
            + heap_bytes_of::<u64>(self.taken.capacity())
            + heap_bytes_of::<u64>(self.dropped.capacity());
        Footprint { memory: self.footprint.memory + reserved, encoded: self.footprint.encoded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::append_varint;

    fn event(sequence: u64, timestamp: i64) -> BufferedEvent {
        BufferedEvent { sequence, event: Event::new(timestamp, Vec::new()) }
    }

    fn whole(state: &PatternState) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.write_whole(&mut bytes);
        bytes
    }

    /// Events with these numbers that wait, each for the time of its number.
    fn waiting(numbers: impl Iterator<Item = u64>) -> PatternState {
        let mut state = PatternState::new();
        numbers.for_each(|number| state.wait(event(number, number as i64)));
        state
    }

    /// As a change has them: nothing waits, so many numbers are gone.
    fn taking(numbers: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
        let mut change = Vec::new();
        append_varint(&mut change, numbers.len() as u64);
        numbers.for_each(|number| append_varint(&mut change, number));
        change.extend([0; 3]);
        change
    }

    /// To look for each of them, or to put each into its place, takes minutes.
    #[test]
    fn many_events_and_matches_are_changed_in_one_go() {
        const MANY: u64 = 60_000;
        let mut state = PatternState::read_whole(&whole(&waiting(MANY..2 * MANY))).unwrap();
        let encoded = Sealed::footprint(&state).encoded;
        state.apply_change(&whole(&waiting(0..MANY))).unwrap();
        assert!(state.pending().map(|event| event.sequence).eq(0..2 * MANY));
        state.apply_change(&taking((0..MANY as u32).rev().map(u64::from))).unwrap();
        assert!(state.pending().map(|event| event.sequence).eq(MANY..2 * MANY));
        assert_eq!(Sealed::footprint(&state).encoded, encoded);

        let mut state = PatternState::new();
        (0..MANY).for_each(|number| state.start(event(number, 0)).unwrap());
        let mut read = PatternState::read_whole(&whole(&state)).unwrap();
        state.settle();
        (0..MANY as usize).for_each(|at| state.advance(at, Event::new(1, Vec::new())));
        let mut change = Vec::new();
        assert_eq!(state.write_change(&mut change), Form::Change);
        read.apply_change(&change).unwrap();
        assert_eq!(read, state);
        assert_eq!(read.footprint.encoded, state.footprint.encoded);
    }

    #[test]
    fn a_number_begins_one_match() {
        let mut state = PatternState::new();
        [7, 3].into_iter().for_each(|number| state.start(event(number, 0)).unwrap());
        let footprint = state.footprint;
        for number in [7, 3] {
            assert!(matches!(state.start(event(number, 1)), Err(Error::CallOrder(_))));
        }
        assert_eq!((state.partials().len(), state.footprint), (2, footprint));
        state.drop_at(0);
        state.start(event(7, 1)).unwrap();
        assert_eq!(state.partials().iter().map(PartialMatch::id).collect::<Vec<_>>(), [3, 7]);
    }

    /// A change names those that went by their number: of several of one number the first must be the same here and there.
    #[test]
    fn events_of_one_time_and_number_keep_the_order_of_their_coming() {
        let named = |text: &str| BufferedEvent { sequence: 0, event: Event::new(5, alloc::vec![text.into()]) };
        let mut state = PatternState::new();
        let mut read: Option<PatternState> = None;
        let mut checkpoint = |state: &mut PatternState| {
            let mut row = Vec::new();
            match state.write_change(&mut row) {
                Form::Change => read.as_mut().unwrap().apply_change(&row).unwrap(),
                _ => read = Some(PatternState::read_whole(&row).unwrap()),
            }
            state.settle();
            let mut read = read.clone().unwrap();
            assert_eq!(whole(&read), whole(state));
            read.take_due(5)
        };
        state.wait(named("a"));
        checkpoint(&mut state);
        state.wait(named("b"));
        assert_eq!(checkpoint(&mut state), Some(named("a")));
        assert_eq!(state.take_due(5), Some(named("a")));
        assert_eq!(checkpoint(&mut state), Some(named("b")));
    }

    #[test]
    fn what_is_taken_or_advanced_has_to_be_there() {
        let not_there = Malformed::new("takes a waiting event that is not there");
        let mut state = waiting(1..4);
        assert_eq!(state.clone().apply_change(&taking([2, 2].into_iter())), Err(not_there.clone()));
        assert_eq!(state.clone().apply_change(&taking([5].into_iter())), Err(not_there));
        // A number that a program gave twice goes as often as it was taken, the first in time first.
        state.wait(event(2, 0));
        state.apply_change(&taking([2].into_iter())).unwrap();
        assert!(state.pending().map(|event| event.event.timestamp).eq([1, 2, 3]));
        // Matches advance in the order in which they lie.
        let mut state = PatternState::new();
        [7, 8].into_iter().for_each(|number| state.start(event(number, 0)).unwrap());
        let advancing = |first: u8, second: u8| [0, 0, 0, 2, first, 1, 1, 0, 0, second, 1, 1, 0, 0];
        assert!(state.clone().apply_change(&advancing(8, 7)).is_err());
        state.apply_change(&advancing(7, 8)).unwrap();
        assert!(state.partials().iter().all(|partial| partial.events().len() == 2));
    }
}
