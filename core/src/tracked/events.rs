//! A queue of events, encoded, that remembers how many it lost in front and gained at the back.

use alloc::vec::Vec;
use core::fmt;

use crate::bytes::heap_chunk_bytes;
use crate::format::Cursor;
use crate::format::event_row;
use crate::format::payload::EventRows;
use crate::value::{BufferedEvent, Event, Footprint, Value};

/// Events as rows have them, one after the other: a quarter of the memory that values take, and a
/// capture copies them as they are. What asks for an event gets it decoded.
///
/// Its change since the last capture is "n popped in front, these appended".
///
/// Invariants: `bytes[start..]` are the rows of `len` events, which all decode, since they were
/// encoded here or copied from what did; the rows of the captured ones end at `captured_end`.
#[derive(Clone)]
pub(crate) struct TrackedEvents {
    bytes: Vec<u8>,
    /// Where the first event begins: before it are those that were popped.
    start: usize,
    len: usize,
    /// How many events in front were there at the last capture.
    captured: usize,
    captured_end: usize,
    /// How many captured events have been popped since.
    popped: u64,
    /// What the events are reckoned at in rows, together; see [`Footprint::encoded`].
    reckoned: u64,
    /// Number of the last event, unless it was appended as a row.
    last: Option<u64>,
}

impl TrackedEvents {
    pub(crate) const fn new() -> Self {
        TrackedEvents {
            bytes: Vec::new(),
            start: 0,
            len: 0,
            captured: 0,
            captured_end: 0,
            popped: 0,
            reckoned: 0,
            last: None,
        }
    }

    /// Appends the events of other queues; `rows` are all of theirs.
    pub(crate) fn append_queues<'e>(
        &mut self,
        queues: impl Iterator<Item = &'e TrackedEvents>,
        rows: impl Iterator<Item = &'e [u8]>,
    ) {
        let (mut bytes, is_new) = (0, self.bytes.is_empty());
        for queue in queues {
            bytes += queue.rows().len();
            self.len += queue.len;
            self.reckoned += queue.reckoned;
        }
        match is_new {
            true => self.bytes.reserve_exact(bytes),
            false => self.bytes.reserve(bytes),
        }
        rows.for_each(|row| self.bytes.extend_from_slice(row));
        self.last = None;
    }

    /// The same events, of which no capture has seen any.
    pub(crate) fn uncaptured(self) -> Self {
        TrackedEvents { captured: 0, captured_end: self.start, popped: 0, ..self }
    }

    /// Appends an event of these values.
    pub(crate) fn push_back<'v>(
        &mut self,
        sequence: u64,
        timestamp: i64,
        values: impl ExactSizeIterator<Item = &'v Value>,
    ) {
        self.reckoned += event_row::append_row(&mut self.bytes, sequence, timestamp, values);
        self.len += 1;
        self.last = Some(sequence);
    }

    /// Appends events that were encoded as [`event_row::append_row`] does; room for what comes is made with them.
    pub(crate) fn append_rows(&mut self, EventRows { rows, count, reckoned, more }: &EventRows<'_>) {
        if self.bytes.capacity() - self.bytes.len() < rows.len() {
            // Not twice the room if it is known that less is enough; what comes may still be less than announced.
            let most = 3 * (self.bytes.len() + rows.len());
            self.bytes.reserve_exact(rows.len() + most.min(*more));
        }
        self.bytes.extend_from_slice(rows);
        self.len += count;
        self.reckoned += reckoned;
        self.last = None;
    }

    /// Numbers of the first and the last event.
    pub(crate) fn sequences(&self) -> Option<(u64, u64)> {
        let first = self.iter().next()?.sequence;
        let mut last = self.last.unwrap_or(first);
        if self.last.is_none() {
            self.for_each(|event| last = event.sequence);
        }
        Some((first, last))
    }

    /// Takes the first event.
    pub(crate) fn pop_front(&mut self) -> Option<BufferedEvent> {
        let mut cursor = Cursor::new(self.rows());
        let event = event_row::read_row(&mut cursor).ok()?;
        let left = cursor.rest().len();
        self.start = self.bytes.len() - left;
        self.len -= 1;
        self.reckoned = self.reckoned.saturating_sub(event.footprint().encoded);
        if self.captured > 0 {
            self.captured -= 1;
            self.popped += 1;
        }
        self.captured_end = self.captured_end.max(self.start);
        // Each byte is moved once at most for each that was popped.
        if self.start > left {
            self.bytes.drain(..self.start);
            self.captured_end -= self.start;
            self.start = 0;
        }
        Some(event)
    }

    /// The events from first to last.
    pub(crate) fn iter(&self) -> Events<'_> {
        Events { rows: self.rows(), left: self.len }
    }

    /// Calls with each event, from first to last; as [`TrackedEvents::iter`], without an allocation for each.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&BufferedEvent)) {
        let mut cursor = Cursor::new(self.rows());
        let mut event = BufferedEvent { sequence: 0, event: Event::new(0, Vec::new()) };
        for _ in 0..self.len {
            if event_row::read_row_into(&mut cursor, &mut event).is_err() {
                debug_assert!(false, "only what decodes is taken in");
                return;
            }
            each(&event);
        }
    }

    /// All of them as rows have them.
    pub(crate) fn rows(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Captured events popped since the last capture.
    pub(crate) fn popped(&self) -> u64 {
        self.popped
    }

    /// Events appended since the last capture: how many, and as rows have them.
    pub(crate) fn appended(&self) -> (usize, &[u8]) {
        (self.len - self.captured, self.bytes.get(self.captured_end..).unwrap_or_default())
    }

    pub(crate) fn settle(&mut self) {
        self.captured = self.len;
        self.captured_end = self.bytes.len();
        self.popped = 0;
    }

    pub(crate) fn footprint(&self) -> Footprint {
        Footprint { memory: heap_chunk_bytes(self.bytes.capacity()) as u64, encoded: self.reckoned }
    }

    /// Most bytes of memory by which one more event of so many bytes makes this grow.
    pub(crate) fn growth_of_push(&self, row_bytes: usize) -> usize {
        let (wanted, capacity) = (self.bytes.len() + row_bytes, self.bytes.capacity());
        // A long row is appended in parts, and the list may double on the way.
        if wanted <= capacity { 0 } else { 2 * wanted - capacity }
    }
}

/// Decodes events one by one.
#[derive(Debug, Clone)]
pub(crate) struct Events<'a> {
    rows: &'a [u8],
    left: usize,
}

impl<'a> Events<'a> {
    /// The next event, with its row.
    pub(crate) fn next_with_row(&mut self) -> Option<(BufferedEvent, &'a [u8])> {
        let mut cursor = Cursor::new(self.rows);
        let event = event_row::read_row(&mut cursor);
        debug_assert_eq!(event.is_ok(), self.left > 0, "only what decodes is taken in");
        let (row, rest) = self.rows.split_at(self.rows.len() - cursor.rest().len());
        let event = event.ok()?;
        self.rows = rest;
        self.left -= 1;
        Some((event, row))
    }
}

impl Iterator for Events<'_> {
    type Item = BufferedEvent;

    fn next(&mut self) -> Option<BufferedEvent> {
        self.next_with_row().map(|(event, _)| event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Events<'_> {}

impl PartialEq for TrackedEvents {
    fn eq(&self, other: &Self) -> bool {
        let tracking = |events: &TrackedEvents| (events.len, events.captured, events.popped);
        tracking(self) == tracking(other) && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for TrackedEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (any::<i64>(), 0_u32..64).prop_map(|(int, shift)| Value::from(int >> shift)),
            any::<f64>().prop_map(Value::from),
            (0_usize..300).prop_map(|len| Value::from("é".repeat(len / 4).as_str())),
        ]
    }

    fn any_event() -> impl Strategy<Value = BufferedEvent> {
        // Many values, or a long text, are more than is put together at once.
        let values = prop_oneof![prop::collection::vec(any_value(), 0..6), prop::collection::vec(any_value(), 0..40)];
        (any::<u64>(), 0_u32..64, any::<i64>(), values).prop_map(|(sequence, shift, timestamp, values)| BufferedEvent {
            sequence: sequence >> shift,
            event: Event::new(timestamp >> shift, values),
        })
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Push(BufferedEvent),
        Append(Vec<BufferedEvent>),
        Pop,
        Settle,
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            4 => any_event().prop_map(Operation::Push),
            1 => prop::collection::vec(any_event(), 0..4).prop_map(Operation::Append),
            4 => Just(Operation::Pop),
            1 => Just(Operation::Settle),
        ]
    }

    fn push(queue: &mut TrackedEvents, event: &BufferedEvent) {
        queue.push_back(event.sequence, event.event.timestamp, event.event.values.iter());
    }

    fn queue_of<'e>(events: impl IntoIterator<Item = &'e BufferedEvent>) -> TrackedEvents {
        let mut queue = TrackedEvents::new();
        events.into_iter().for_each(|event| push(&mut queue, event));
        queue
    }

    fn rows_of<'e>(events: impl IntoIterator<Item = &'e BufferedEvent>) -> Vec<u8> {
        events.into_iter().flat_map(|event| postcard::to_allocvec(event).unwrap()).collect()
    }

    proptest! {
        /// It does what a list of events does, and the change since any capture leads from then to now.
        #[test]
        fn is_a_queue_of_events(operations in prop::collection::vec(any_operation(), 0..40)) {
            let (mut queue, mut model) = (TrackedEvents::new(), VecDeque::new());
            let mut captured: Vec<BufferedEvent> = Vec::new();
            for operation in operations {
                match operation {
                    Operation::Push(event) => {
                        let row = event_row::row_bytes(event.sequence, event.event.timestamp, event.event.values.iter());
                        let most = queue.bytes.capacity() + queue.growth_of_push(row);
                        push(&mut queue, &event);
                        prop_assert!(queue.bytes.capacity() <= most.max(8));
                        model.push_back(event);
                    }
                    Operation::Append(events) => {
                        let other = queue_of(&events);
                        let (rows, count, reckoned) = (other.rows(), other.len(), other.footprint().encoded);
                        queue.append_rows(&EventRows { rows, count, reckoned, more: 0 });
                        model.extend(events);
                    }
                    Operation::Pop => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                    Operation::Settle => {
                        queue.settle();
                        captured = model.iter().cloned().collect();
                    }
                }
                prop_assert!(queue.iter().eq(model.iter().cloned()));
                let mut seen = Vec::new();
                queue.for_each(|event| seen.push(event.clone()));
                prop_assert!(seen.iter().eq(model.iter()));
                prop_assert_eq!((queue.len(), queue.iter().len()), (model.len(), model.len()));
                prop_assert_eq!(queue.rows(), rows_of(&model));
                let encoded: u64 = model.iter().map(|event| event.footprint().encoded).sum();
                prop_assert_eq!(queue.footprint().encoded, encoded);
                let (count, rows) = queue.appended();
                let kept = &captured[queue.popped() as usize..];
                prop_assert_eq!(kept.len() + count, model.len());
                prop_assert_eq!(rows, rows_of(model.iter().skip(kept.len())));
                prop_assert!(kept.iter().eq(model.iter().take(kept.len())));
            }
        }

        #[test]
        fn several_become_one(events in prop::collection::vec(any_event(), 0..8), at in 0_usize..8) {
            let (first, second) = events.split_at(at.min(events.len()));
            let (first, second) = (queue_of(first), queue_of(second));
            let mut both = first.iter().chain(second.iter()).collect::<Vec<_>>();
            both.sort_by_key(|event| event.sequence);
            let rows: Vec<Vec<u8>> = both.iter().map(|event| rows_of([event])).collect();
            let mut merged = TrackedEvents::new();
            merged.append_queues([&first, &second].into_iter(), rows.iter().map(Vec::as_slice));
            let sequences = both.first().map(|first| (first.sequence, both[both.len() - 1].sequence));
            prop_assert_eq!(merged.sequences(), sequences);
            prop_assert_eq!(queue_of(&both).sequences(), sequences);
            prop_assert_eq!(&merged, &queue_of(&both));
            // Behind what was captured before: only that is new.
            let mut longer = queue_of(&both);
            longer.settle();
            longer.append_queues([&first, &second].into_iter(), rows.iter().map(Vec::as_slice));
            let appended: Vec<u8> = rows.concat();
            prop_assert_eq!(longer.appended(), (both.len(), &appended[..]));
            prop_assert_eq!(longer.footprint().encoded, 2 * merged.footprint().encoded);
            prop_assert_eq!(longer.iter().count(), 2 * both.len());
        }
    }

    #[test]
    fn what_was_popped_gives_its_memory_back() {
        let mut queue = TrackedEvents::new();
        for number in 0..10_000 {
            push(&mut queue, &BufferedEvent { sequence: number, event: Event::new(0, alloc::vec![Value::from(7)]) });
            if number >= 10 {
                queue.pop_front();
            }
        }
        assert!(queue.bytes.capacity() < 400, "{}", queue.bytes.capacity());
    }
}
