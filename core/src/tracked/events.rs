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
    /// Of the events that are there; `None` if there are none, or if it would take decoding them.
    numbers: Option<Numbers>,
}

/// The numbers of events.
#[derive(Clone, Copy)]
struct Numbers {
    largest: u64,
    /// Whether none is smaller than one before it.
    rising: bool,
}

impl Numbers {
    /// These, or none, and then another one.
    fn then(before: Option<Self>, sequence: u64) -> Option<Self> {
        let first = Numbers { largest: sequence, rising: true };
        Some(before.map_or(first, |Numbers { largest, rising }| Numbers {
            largest: largest.max(sequence),
            rising: rising && sequence >= largest,
        }))
    }
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
            numbers: None,
        }
    }

    /// Appends the events of another queue in the order of their numbers, and calls with each.
    pub(crate) fn append(&mut self, queue: &TrackedEvents, mut each: impl FnMut(&BufferedEvent)) {
        let mut numbers = self.numbers();
        self.bytes.reserve(queue.rows().len());
        queue.for_each_in_order(|event, row| {
            self.bytes.extend_from_slice(row);
            numbers = Numbers::then(numbers, event.sequence);
            each(event);
        });
        self.len += queue.len;
        self.reckoned += queue.reckoned;
        self.numbers = numbers;
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
        if self.len == 0 || self.numbers.is_some() {
            self.numbers = Numbers::then(self.numbers, sequence);
        }
        self.len += 1;
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
        self.numbers = None;
    }

    /// The smallest and the largest number of an event.
    pub(crate) fn sequences(&self) -> Option<(u64, u64)> {
        let Numbers { largest, rising } = self.numbers()?;
        let mut smallest = self.iter().next()?.sequence;
        if !rising {
            self.for_each(|event| smallest = smallest.min(event.sequence));
        }
        Some((smallest, largest))
    }

    /// Whether no event has a smaller number than one before it.
    pub(crate) fn is_in_order(&self) -> bool {
        self.numbers().is_none_or(|numbers| numbers.rising)
    }

    fn numbers(&self) -> Option<Numbers> {
        self.numbers.or_else(|| {
            let mut numbers = None;
            self.for_each(|event| numbers = Numbers::then(numbers, event.sequence));
            numbers
        })
    }

    /// Takes the first event.
    pub(crate) fn pop_front(&mut self) -> Option<BufferedEvent> {
        let mut cursor = Cursor::new(self.rows());
        let event = event_row::read_row(&mut cursor).ok()?;
        let left = cursor.rest().len();
        self.start = self.bytes.len() - left;
        self.len -= 1;
        // Of those in another order it may have been the largest.
        self.numbers = self.numbers.filter(|numbers| numbers.rising && self.len > 0);
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
        self.for_each_row(|event, _| each(event));
    }

    /// Likewise, in the order of their numbers, with the row of each.
    pub(crate) fn for_each_in_order(&self, mut each: impl FnMut(&BufferedEvent, &[u8])) {
        if self.numbers.is_some_and(|numbers| numbers.rising) {
            return self.for_each_row(each);
        }
        let (mut places, mut place) = (Vec::with_capacity(self.len), 0);
        self.for_each_row(|event, row| {
            places.push((event.sequence, place));
            place += row.len();
        });
        places.sort_unstable();
        let mut event = BufferedEvent { sequence: 0, event: Event::new(0, Vec::new()) };
        for (_, place) in places {
            let Some(row) = read_first(self.rows().get(place..).unwrap_or_default(), &mut event) else { return };
            each(&event, row);
        }
    }

    fn for_each_row(&self, mut each: impl FnMut(&BufferedEvent, &[u8])) {
        let mut rows = self.rows();
        let mut event = BufferedEvent { sequence: 0, event: Event::new(0, Vec::new()) };
        for _ in 0..self.len {
            let Some(row) = read_first(rows, &mut event) else { return };
            each(&event, row);
            rows = rows.get(row.len()..).unwrap_or_default();
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

/// The first one of rows, decoded into an event that is there.
fn read_first<'r>(rows: &'r [u8], event: &mut BufferedEvent) -> Option<&'r [u8]> {
    let mut cursor = Cursor::new(rows);
    let read = event_row::read_row_into(&mut cursor, event);
    debug_assert!(read.is_ok(), "only what decodes is taken in");
    read.ok()?;
    rows.get(..rows.len() - cursor.rest().len())
}

/// Decodes events one by one.
#[derive(Debug, Clone)]
pub(crate) struct Events<'a> {
    rows: &'a [u8],
    left: usize,
}

impl Iterator for Events<'_> {
    type Item = BufferedEvent;

    fn next(&mut self) -> Option<BufferedEvent> {
        let mut cursor = Cursor::new(self.rows);
        let event = event_row::read_row(&mut cursor);
        debug_assert_eq!(event.is_ok(), self.left > 0, "only what decodes is taken in");
        let event = event.ok()?;
        self.rows = cursor.rest();
        self.left -= 1;
        Some(event)
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
                let numbers: Vec<u64> = model.iter().map(|event| event.sequence).collect();
                prop_assert_eq!(queue.is_in_order(), numbers.is_sorted());
                let ends = numbers.iter().min().copied().zip(numbers.iter().max().copied());
                prop_assert_eq!(queue.sequences(), ends);
                let (count, rows) = queue.appended();
                let kept = &captured[queue.popped() as usize..];
                prop_assert_eq!(kept.len() + count, model.len());
                prop_assert_eq!(rows, rows_of(model.iter().skip(kept.len())));
                prop_assert!(kept.iter().eq(model.iter().take(kept.len())));
            }
        }

        #[test]
        fn one_is_appended_to_another(
            events in prop::collection::vec(any_event(), 0..8),
            at in 0_usize..8,
            decoded in any::<bool>(),
        ) {
            let (first, second) = events.split_at(at.min(events.len()));
            let (mut queue, other) = (queue_of(first), queue_of(second));
            if decoded {
                queue.numbers = None;
            }
            queue.settle();
            let mut appended = second.to_vec();
            appended.sort_by_key(|event| event.sequence);
            let mut seen = Vec::new();
            queue.append(&other, |event| seen.push(event.clone()));
            prop_assert_eq!(&seen, &appended);
            prop_assert_eq!(queue.appended(), (appended.len(), &rows_of(&appended)[..]));
            let both: Vec<&BufferedEvent> = first.iter().chain(&appended).collect();
            prop_assert_eq!(queue.rows(), rows_of(both.iter().copied()));
            prop_assert_eq!(queue.footprint().encoded, queue_of(both.iter().copied()).footprint().encoded);
            let mut numbers: Vec<u64> = both.iter().map(|event| event.sequence).collect();
            prop_assert_eq!(queue.is_in_order(), numbers.is_sorted());
            numbers.sort_unstable();
            let ends = numbers.first().map(|first| (*first, numbers[numbers.len() - 1]));
            prop_assert_eq!(queue.sequences(), ends);
            let mut in_order = Vec::new();
            queue.for_each_in_order(|event, row| {
                assert_eq!(row, rows_of([event]));
                in_order.push(event.sequence);
            });
            prop_assert_eq!(in_order, numbers);
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
