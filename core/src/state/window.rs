//! Open windows of one key: accumulators, and buffered events where a function or a merge needs them.

use alloc::vec::Vec;

use super::accumulator::Accumulator;
use super::captured::Captured;
use super::window_list::WindowList;
use crate::bytes::heap_bytes_of;
use crate::format::accumulator;
use crate::format::columns::ColumnRow;
use crate::format::payload::Source;
use crate::format::rows::Form;
use crate::format::tables;
use crate::format::window::{self, WindowRow, WindowRows};
use crate::format::{ByteSink, Malformed};
use crate::tracked::TrackedEvents;
use crate::tracked::sealed::Sealed;
use crate::value::{BufferedEvent, Footprint, Value};

/// One open window. Times in milliseconds since 1970; the interval is half-open.
#[derive(Debug)]
pub struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) accumulators: Vec<Accumulator>,
    pub(crate) buffer: TrackedEvents,
    captured: Captured,
    /// Whether it changed since.
    pub(crate) changed: bool,
    /// As of the last [`WindowState::update`].
    footprint: Footprint,
}

/// The open windows of one key, in the order of their starts.
///
/// Its change since the last checkpoint: windows closed; of the others, events popped in front and
/// appended, and new accumulators.
///
/// ```
/// use eventflux_core::{BufferedEvent, Event, WindowState};
/// let mut state = WindowState::new();
/// state.update(0, |window| {
///     window.set_end(3_600_000);
///     window.push_back(BufferedEvent { sequence: 0, event: Event::new(5, vec![1.into()]) });
/// });
/// assert_eq!(state.windows()[0].buffer().count(), 1);
/// ```
#[derive(Debug)]
pub struct WindowState {
    windows: WindowList,
    /// Starts of windows that the last capture had and that are gone.
    closed: Vec<i64>,
    captured: Captured,
    footprint: Footprint,
}

impl Default for WindowState {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for WindowState {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        WindowState {
            windows: self.windows.clone(),
            closed: Vec::new(),
            captured: Captured::NEVER,
            footprint: self.footprint,
        }
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        let marks = |window: &Window| (window.start, window.end, window.captured.is_any(), window.changed);
        marks(self) == marks(other) && self.accumulators == other.accumulators && self.buffer == other.buffer
    }
}

impl Clone for Window {
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        Window {
            accumulators: self.accumulators.clone(),
            buffer: self.buffer.clone(),
            captured: Captured::NEVER,
            changed: true,
            ..*self
        }
    }
}

impl PartialEq for WindowState {
    fn eq(&self, other: &Self) -> bool {
        let content = |window: &Window| {
            (window.start, window.end, window.accumulators.clone(), window.buffer.iter().collect::<Vec<_>>())
        };
        self.windows.iter().map(content).eq(other.windows.iter().map(content))
    }
}

impl Window {
    pub(crate) fn new(start: i64) -> Self {
        Window {
            start,
            end: i64::MAX,
            accumulators: Vec::new(),
            buffer: TrackedEvents::new(),
            captured: Captured::NEVER,
            changed: true,
            footprint: Footprint::default(),
        }
    }

    /// First millisecond of the window.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// First millisecond after the window.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Sets the first millisecond after the window.
    pub fn set_end(&mut self, end: i64) {
        self.end = end;
    }

    /// The buffered events, in the order of their coming; of a session that two became, those of the one and then those of
    /// the other. Each is made from its bytes when it is asked for.
    pub fn buffer(&self) -> impl ExactSizeIterator<Item = BufferedEvent> {
        self.buffer.iter()
    }

    /// Buffers an event.
    pub fn push_back(&mut self, event: BufferedEvent) {
        self.push_values(event.sequence, event.event.timestamp, event.event.values.iter());
    }

    /// Buffers an event of these values.
    pub(crate) fn push_values<'v>(
        &mut self,
        sequence: u64,
        timestamp: i64,
        values: impl ExactSizeIterator<Item = &'v Value>,
    ) {
        self.buffer.push_back(sequence, timestamp, values);
    }

    /// Takes the event that came first.
    pub fn pop_front(&mut self) -> Option<BufferedEvent> {
        self.buffer.pop_front()
    }

    /// The accumulators.
    #[must_use]
    pub fn accumulators(&self) -> &[Accumulator] {
        &self.accumulators
    }

    /// The accumulators, to change them or to put them in.
    pub fn accumulators_mut(&mut self) -> &mut Vec<Accumulator> {
        &mut self.accumulators
    }

    pub(crate) fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn measure(&self) -> Footprint {
        let reserved = heap_bytes_of::<Accumulator>(self.accumulators.capacity());
        let mut total = Footprint { memory: reserved, encoded: window::WINDOW_ENCODED };
        total += self.buffer.footprint();
        for accumulator in &self.accumulators {
            total += accumulator.footprint();
        }
        total
    }
}

impl WindowState {
    /// No windows yet.
    #[must_use]
    pub fn new() -> Self {
        let footprint = Footprint { memory: 0, encoded: window::WINDOWS_ENCODED };
        WindowState { windows: WindowList::new(), closed: Vec::new(), captured: Captured::NEVER, footprint }
    }

    /// The open windows, in the order of their starts.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The window that starts at `start`.
    #[must_use]
    pub fn window(&self, start: i64) -> Option<&Window> {
        self.find(start).ok().map(|at| &self.windows[at])
    }

    /// Changes the window that starts at `start`, opening it if need be.
    pub fn update<R>(&mut self, start: i64, change: impl FnOnce(&mut Window) -> R) -> R {
        let at = match self.find(start) {
            Ok(at) => at,
            Err(at) => self.open(at, start),
        };
        self.update_at(at, start, change)
    }

    fn open(&mut self, at: usize, start: i64) -> usize {
        self.windows.insert(at, Window::new(start));
        at
    }

    fn update_at<R>(&mut self, at: usize, start: i64, change: impl FnOnce(&mut Window) -> R) -> R {
        let window = &mut self.windows[at];
        window.changed = true;
        let (was_captured, functions) = (window.captured, window.accumulators.len());
        let footprint = window.footprint;
        let result = change(window);
        let replaced = window.captured != was_captured
            || window.start != start
            || Accumulator::any_moved(&window.accumulators, was_captured);
        // The start is what the window is known by.
        window.start = start;
        window.changed = true;
        window.footprint = footprint;
        // Another window in its place, or other functions, are no change of what was captured.
        if replaced || functions > 0 && functions != window.accumulators.len() {
            if was_captured.is_any() {
                self.closed.push(start);
            }
            window.captured = Captured::NEVER;
        }
        let after = window.measure();
        let before = core::mem::replace(&mut window.footprint, after);
        self.footprint += after;
        self.footprint -= before;
        result
    }

    /// Closes the window that starts at `start` and gives it back.
    pub fn close(&mut self, start: i64) -> Option<Window> {
        let mut window = self.windows.remove(self.find(start).ok()?);
        self.footprint -= window.footprint;
        if window.captured.is_any() {
            self.closed.push(start);
            // Wherever it is put now, no capture has seen it there.
            window.captured = Captured::NEVER;
            window.accumulators.iter_mut().for_each(Accumulator::take_place);
        }
        Some(window)
    }

    /// Bytes by which `more` windows make the list of windows grow.
    pub(crate) fn growth_of_windows(&self, more: usize) -> usize {
        self.windows.growth(more) * size_of::<Window>()
    }

    /// Whether no window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn find(&self, start: i64) -> Result<usize, usize> {
        // Events mostly go to the newest windows.
        self.windows.binary_search_by_key(&start, |window| window.start)
    }
}

impl WindowRows for WindowState {
    type Error = Malformed;
    type Window = Window;

    fn windows(&self) -> &[Window] {
        &self.windows
    }

    fn closed(&self) -> &[i64] {
        &self.closed
    }

    fn close(&mut self, starts: impl Iterator<Item = Result<i64, Malformed>>) -> Result<bool, Malformed> {
        let mut starts = starts.collect::<Result<Vec<i64>, Malformed>>()?;
        starts.sort_unstable();
        let (before, footprint) = (self.windows.len(), &mut self.footprint);
        self.windows.retain(|window| {
            let closes = starts.binary_search(&window.start).is_ok();
            if closes {
                *footprint -= window.footprint;
            }
            !closes
        });
        Ok(before - self.windows.len() == starts.len())
    }

    fn update(
        &mut self,
        there: usize,
        start: i64,
        change: impl FnOnce(&mut Window) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let found = self.windows[..there].binary_search_by_key(&start, |window| window.start);
        let at = found.unwrap_or_else(|_| self.open(self.windows.len(), start));
        self.update_at(at, start, change)
    }

    fn sort(&mut self) {
        self.windows.sort_unstable_by_key(|window| window.start);
    }
}

impl WindowRow for Window {
    type Error = Malformed;

    fn bounds(&self) -> (i64, i64) {
        (self.start, self.end)
    }

    fn set_end(&mut self, end: i64) {
        self.end = end;
    }

    fn marks(&self) -> (bool, bool) {
        (self.captured.is_any(), self.changed)
    }

    fn popped(&self) -> u64 {
        self.buffer.popped()
    }

    fn write_events(&self, sink: &mut impl ByteSink, all: bool) {
        let (events, rows) = if all { (self.buffer.len(), self.buffer.rows()) } else { self.buffer.appended() };
        window::write_rows(sink, events, rows);
    }

    fn drop_front(&mut self) -> bool {
        self.pop_front().is_some()
    }

    fn read_events<S: Source>(&mut self, source: &mut S, events: u64) -> Result<(), Malformed> {
        source.read_events(tables::EVENTS, self.start, events, &mut |rows| self.buffer.append_rows(&rows))
    }

    fn write_accumulators(&self, sink: &mut impl ByteSink, whole: bool) {
        window::ACCUMULATORS.write(sink, &self.accumulators, whole);
    }

    fn read_accumulators<S: Source>(&mut self, source: &mut S) -> Result<(), Malformed> {
        accumulator::apply(&window::ACCUMULATORS, source, &mut self.accumulators)
    }
}

impl Sealed for WindowState {
    fn write_whole(&self, out: &mut Vec<u8>) {
        window::write(out, self, true);
    }

    fn write_change(&self, out: &mut Vec<u8>) -> Form {
        let whole = !self.captured.is_any();
        window::write(out, self, whole);
        if whole { Form::Whole } else { Form::Change }
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut state = WindowState::new();
        window::apply_row(bytes, &mut state)?;
        state.settle();
        Ok(state)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        window::apply_row(bytes, self)
    }

    fn read_columns(row: &mut ColumnRow<'_, '_>) -> Result<Self, Malformed> {
        let mut state = WindowState::new();
        window::apply(row.source, &mut state)?;
        state.settle();
        Ok(state)
    }

    fn apply_columns(&mut self, row: &mut ColumnRow<'_, '_>) -> Result<(), Malformed> {
        window::apply(row.source, self)
    }

    fn settle(&mut self) {
        self.captured = Captured::now();
        self.closed.clear();
        for window in self.windows.iter_mut().filter(|window| window.changed || !window.captured.is_any()) {
            window.captured = Captured::now();
            window.changed = false;
            window.buffer.settle();
            Accumulator::settle(&mut window.accumulators, window.captured);
        }
    }

    fn captured(&self) -> Captured {
        self.captured
    }

    fn take_place(&mut self) {
        self.captured = Captured::NEVER;
    }

    fn footprint(&self) -> Footprint {
        let reserved = heap_bytes_of::<Window>(self.windows.capacity()) + heap_bytes_of::<i64>(self.closed.capacity());
        Footprint { memory: self.footprint.memory + reserved, encoded: self.footprint.encoded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::append_varint;
    use crate::value::Event;

    fn whole(state: &WindowState) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.write_whole(&mut bytes);
        bytes
    }

    /// Windows without events that start at each of these.
    fn starting(starts: impl Iterator<Item = i64>) -> WindowState {
        let mut state = WindowState::new();
        starts.for_each(|start| state.update(start, |window| window.set_end(start + 1)));
        state
    }

    #[test]
    fn a_long_event_does_not_make_room_for_many_of_its_length() {
        let mut state = WindowState::new();
        state.update(0, |window| {
            for sequence in 0..50_000 {
                let text = if sequence == 0 { "x".repeat(1 << 20) } else { "y".into() };
                let event = Event::new(5, alloc::vec![text.as_str().into()]);
                window.push_back(BufferedEvent { sequence, event });
            }
        });
        let bytes = whole(&state);
        let read = WindowState::read_whole(&bytes).unwrap();
        assert_eq!(read, state);
        let memory = Sealed::footprint(&read).memory;
        assert!(memory < 4 * bytes.len() as u64, "{memory} bytes for {}", bytes.len());
    }

    /// Each of them by itself moves all windows behind it: minutes.
    #[test]
    fn many_windows_come_and_go_in_front_of_many() {
        const MANY: i64 = 100_000;
        let mut state = WindowState::read_whole(&whole(&starting(MANY..2 * MANY))).unwrap();
        let encoded = Sealed::footprint(&state).encoded;
        state.apply_change(&whole(&starting((0..MANY).chain([MANY + 7])))).unwrap();
        assert!(state.windows().iter().map(Window::start).eq(0..2 * MANY));
        state.settle();
        let mut closing = Vec::new();
        append_varint(&mut closing, MANY as u64);
        (0..MANY).for_each(|start| append_varint(&mut closing, 2 * start as u64));
        closing.push(0);
        state.apply_change(&closing).unwrap();
        assert!(state.windows().iter().map(Window::start).eq(MANY..2 * MANY));
        assert_eq!(Sealed::footprint(&state).encoded, encoded);
    }

    #[test]
    fn windows_that_no_writer_leaves_are_damage() {
        // Nothing closed; two windows of two bytes for start and end, without events and accumulators.
        let windows = |first: u8, second: u8| [0, 2, first, 20, 0, 0, 0, second, 20, 0, 0, 0];
        assert_eq!(WindowState::read_whole(&windows(2, 4)).unwrap().windows().len(), 2);
        for (first, second) in [(4, 2), (2, 2)] {
            assert_eq!(
                WindowState::read_whole(&windows(first, second)).unwrap_err(),
                Malformed::new("windows out of order")
            );
        }
        // Once for each time that it is closed it has to be there.
        let mut state = WindowState::read_whole(&windows(2, 4)).unwrap();
        let not_open = Malformed::new("closes a window that is not open");
        assert_eq!(state.clone().apply_change(&[2, 2, 2, 0]), Err(not_open.clone()));
        assert_eq!(state.clone().apply_change(&[1, 6, 0]), Err(not_open));
        state.apply_change(&[1, 2, 0]).unwrap();
        assert_eq!(state.windows().len(), 1);
    }
}
