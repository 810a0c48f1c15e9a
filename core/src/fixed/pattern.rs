//! Partial matches of one key, and the events that wait for the watermark, of fixed capacity.

use heapless::Vec;

use super::error::FixedError;
use super::event::{FixedBufferedEvent, FixedEvent};
use super::map::sealed::Sealed;
use crate::format::manifest_parts::StateKind;
use crate::format::pattern::{self, PatternRows};
use crate::format::{FixedBytes, Malformed};
use crate::state::Captured;

/// A match under way: the events of its first steps, one a step, at most `STEPS`, of `FIELDS` fields.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedPartialMatch<const STEPS: usize, const FIELDS: usize> {
    id: u64,
    events: Vec<FixedEvent<FIELDS>, STEPS, u16>,
    /// How many of the events the last capture had.
    captured: usize,
}

/// The pattern state of one key, the twin of `PatternState`: at most `WAITING` events that wait for the watermark, and
/// `PARTIALS` partial matches of `STEPS` events of `FIELDS` fields.
///
/// ```
/// use eventflux_core::{FixedBufferedEvent, FixedError, FixedEvent, FixedPattern, Value};
/// # fn main() -> Result<(), FixedError> {
/// let mut state = FixedPattern::<8, 4, 2, 1>::new();
/// let event = |time| FixedEvent::new(time, &[Value::from(1)]);
/// state.wait(FixedBufferedEvent { sequence: 0, event: event(20)? })?;
/// // Once the watermark has reached an event, it takes part.
/// assert_eq!(state.take_due(10), None);
/// let first = state.take_due(20).expect("its time has come");
/// state.start(first)?;
/// state.advance(0, event(30)?)?;
/// assert_eq!((state.partials()[0].first_ms(), state.partials()[0].events().len()), (20, 2));
/// assert!(state.drop_at(0).is_some() && state.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FixedPattern<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize> {
    /// Waiting for the watermark, by time, then input order.
    pending: Vec<Pending<FIELDS>, WAITING, u16>,
    /// Oldest first.
    partials: Vec<FixedPartialMatch<STEPS, FIELDS>, PARTIALS, u16>,
    /// Sequences of pending events, and ids of partial matches, that the last capture had and that are gone. Each of
    /// them goes once: there is always room.
    taken: Vec<u64, WAITING, u16>,
    dropped: Vec<u64, PARTIALS, u16>,
    /// The last capture that had this state.
    captured: Captured,
}

#[derive(Debug, Clone, PartialEq)]
struct Pending<const FIELDS: usize> {
    event: FixedBufferedEvent<FIELDS>,
    captured: bool,
}

impl<const STEPS: usize, const FIELDS: usize> FixedPartialMatch<STEPS, FIELDS> {
    /// Number of the event that began it, which no other match of the key has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its events, one a step, in order.
    #[must_use]
    pub fn events(&self) -> &[FixedEvent<FIELDS>] {
        &self.events
    }

    /// Time of its first event, in milliseconds.
    #[must_use]
    pub fn first_ms(&self) -> i64 {
        self.events.first().map_or(i64::MIN, FixedEvent::timestamp)
    }

    fn push(&mut self, event: FixedEvent<FIELDS>) -> Result<(), FixedError> {
        self.events.push(event).map_err(|_| FixedError::Full { what: "events of a partial match", capacity: STEPS })
    }

    fn encoded(&self) -> u64 {
        pattern::PARTIAL_ENCODED + self.events.iter().map(FixedEvent::encoded).sum::<u64>()
    }
}

impl<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize> Default
    for FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize> Clone
    for FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>
{
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        let (pending, partials) = (self.pending.clone(), self.partials.clone());
        FixedPattern { pending, partials, taken: Vec::new(), dropped: Vec::new(), captured: Captured::NEVER }
    }
}

impl<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize> PartialEq
    for FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>
{
    fn eq(&self, other: &Self) -> bool {
        let content = |partial: &FixedPartialMatch<STEPS, FIELDS>| (partial.id, partial.events.clone());
        self.pending().eq(other.pending()) && self.partials.iter().map(content).eq(other.partials.iter().map(content))
    }
}

impl<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize>
    FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>
{
    /// Nothing under way.
    #[must_use]
    pub const fn new() -> Self {
        FixedPattern {
            pending: Vec::new(),
            partials: Vec::new(),
            taken: Vec::new(),
            dropped: Vec::new(),
            captured: Captured::NEVER,
        }
    }

    /// Events waiting for the watermark, by time, then input order.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = &FixedBufferedEvent<FIELDS>> {
        self.pending.iter().map(|pending| &pending.event)
    }

    /// Partial matches, oldest first.
    #[must_use]
    pub fn partials(&self) -> &[FixedPartialMatch<STEPS, FIELDS>] {
        &self.partials
    }

    /// Whether nothing waits and nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.partials.is_empty()
    }

    /// Lets an event wait for the watermark.
    ///
    /// # Errors
    /// [`FixedError::Full`]; nothing has changed then.
    pub fn wait(&mut self, event: FixedBufferedEvent<FIELDS>) -> Result<(), FixedError> {
        let order = |of: &FixedBufferedEvent<FIELDS>| (of.event.timestamp(), of.sequence);
        let at = self.pending.partition_point(|other| order(&other.event) <= order(&event));
        let full = |_| FixedError::Full { what: "events that wait", capacity: WAITING };
        self.pending.insert(at, Pending { event, captured: false }).map_err(full)
    }

    /// Takes the first waiting event if its time has come.
    pub fn take_due(&mut self, watermark_ms: i64) -> Option<FixedBufferedEvent<FIELDS>> {
        if self.pending.first()?.event.event.timestamp() > watermark_ms {
            return None;
        }
        let Pending { event, captured } = self.pending.remove(0);
        if captured {
            note(&mut self.taken, event.sequence);
        }
        Some(event)
    }

    /// Begins a partial match with the event of its first step, whose number identifies it from then on.
    ///
    /// # Errors
    /// [`FixedError::Full`]; [`FixedError::NumberInUse`] if one that is under way began with an event of this number.
    /// Nothing has changed then.
    pub fn start(&mut self, first: FixedBufferedEvent<FIELDS>) -> Result<(), FixedError> {
        if self.partials.iter().any(|partial| partial.id == first.sequence) {
            return Err(FixedError::NumberInUse { number: first.sequence });
        }
        let mut partial = FixedPartialMatch { id: first.sequence, events: Vec::new(), captured: 0 };
        partial.push(first.event)?;
        self.add(partial)
    }

    /// Adds the event of the next step to the partial match at a place.
    ///
    /// # Errors
    /// [`FixedError::Full`]; nothing has changed then.
    pub fn advance(&mut self, at: usize, event: FixedEvent<FIELDS>) -> Result<(), FixedError> {
        self.partials.get_mut(at).map_or(Ok(()), |partial| partial.push(event))
    }

    /// Drops the partial match at a place and gives it back.
    pub fn drop_at(&mut self, at: usize) -> Option<FixedPartialMatch<STEPS, FIELDS>> {
        if at >= self.partials.len() {
            return None;
        }
        let partial = self.partials.remove(at);
        if partial.captured > 0 {
            note(&mut self.dropped, partial.id);
        }
        Some(partial)
    }

    /// Drops all partial matches for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&FixedPartialMatch<STEPS, FIELDS>) -> bool) {
        let dropped = &mut self.dropped;
        self.partials.retain(|partial| {
            let kept = keep(partial);
            if !kept && partial.captured > 0 {
                note(dropped, partial.id);
            }
            kept
        });
    }

    fn add(&mut self, partial: FixedPartialMatch<STEPS, FIELDS>) -> Result<(), FixedError> {
        self.partials.push(partial).map_err(|_| FixedError::Full { what: "partial matches", capacity: PARTIALS })
    }
}

fn note<const CAPACITY: usize>(gone: &mut Vec<u64, CAPACITY, u16>, number: u64) {
    let noted = gone.push(number);
    debug_assert!(noted.is_ok(), "what was captured goes once");
}

impl<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize> PatternRows
    for FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>
{
    type Error = FixedError;
    type Event = FixedEvent<FIELDS>;

    fn gone(&self) -> (&[u64], &[u64]) {
        (&self.taken, &self.dropped)
    }

    fn waiting(&self, all: bool) -> impl Iterator<Item = (u64, &FixedEvent<FIELDS>)> {
        let written = self.pending.iter().filter(move |pending| all || !pending.captured);
        written.map(|pending| (pending.event.sequence, &pending.event.event))
    }

    fn partials(&self) -> impl Iterator<Item = (u64, usize, &[FixedEvent<FIELDS>])> {
        self.partials.iter().map(|partial| (partial.id, partial.captured, &partial.events[..]))
    }

    fn forget_waiting(&mut self, numbers: impl Iterator<Item = Result<u64, Malformed>>) -> Result<bool, Malformed> {
        for number in numbers {
            let number = number?;
            let at = self.pending.iter().position(|pending| pending.event.sequence == number);
            let Some(at) = at else { return Ok(false) };
            self.pending.remove(at);
        }
        Ok(true)
    }

    fn add_waiting(
        &mut self,
        mut events: impl Iterator<Item = Result<(u64, FixedEvent<FIELDS>), FixedError>>,
    ) -> Result<(), FixedError> {
        events.try_for_each(|event| {
            let (sequence, event) = event?;
            self.wait(FixedBufferedEvent { sequence, event })
        })
    }

    fn forget_partials(&mut self, ids: impl Iterator<Item = Result<u64, Malformed>>) -> Result<(), FixedError> {
        for id in ids {
            let id = id?;
            self.partials.retain(|partial| partial.id != id);
        }
        Ok(())
    }

    fn add_to_partial(
        &mut self,
        next: &mut usize,
        (id, from): (u64, u64),
        _: usize,
        mut events: impl Iterator<Item = Result<FixedEvent<FIELDS>, FixedError>>,
    ) -> Result<bool, FixedError> {
        let partial = if from == 0 {
            self.add(FixedPartialMatch { id, events: Vec::new(), captured: 0 })?;
            self.partials.last_mut()
        } else {
            let found = self.partials.iter_mut().enumerate().skip(*next).find(|(_, partial)| partial.id == id);
            found.map(|(at, partial)| {
                *next = at + 1;
                partial
            })
        };
        let Some(partial) = partial.filter(|partial| partial.events.len() as u64 == from) else { return Ok(false) };
        events.try_for_each(|event| partial.push(event?))?;
        Ok(true)
    }
}

impl<const WAITING: usize, const PARTIALS: usize, const STEPS: usize, const FIELDS: usize> Sealed
    for FixedPattern<WAITING, PARTIALS, STEPS, FIELDS>
{
    const KIND: StateKind = StateKind::Patterns;
    const CHANGES: bool = true;

    fn encoded(&self) -> u64 {
        let pending = self.pending().map(FixedBufferedEvent::encoded).sum::<u64>();
        pattern::PATTERN_ENCODED + pending + self.partials.iter().map(FixedPartialMatch::encoded).sum::<u64>()
    }

    fn captured(&self) -> Captured {
        self.captured
    }

    fn is_fresh(&self) -> bool {
        !self.captured.is_any()
    }

    fn write(&self, out: &mut FixedBytes<'_>, whole: bool) {
        pattern::write(out, self, whole);
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, FixedError> {
        let mut state = Self::new();
        state.apply_change(bytes)?;
        Ok(state)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), FixedError> {
        pattern::apply_row(bytes, self)
    }

    fn settle(&mut self, captured: Captured) {
        self.captured = captured;
        self.taken.clear();
        self.dropped.clear();
        self.pending.iter_mut().for_each(|pending| pending.captured = true);
        self.partials.iter_mut().for_each(|partial| partial.captured = partial.events.len());
    }
}
