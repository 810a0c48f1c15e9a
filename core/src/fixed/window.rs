//! Open windows of one key, of fixed capacity.

use heapless::{Deque, Vec};

use super::accumulator::FixedAccumulator;
use super::error::FixedError;
use super::event::FixedBufferedEvent;
use super::map::sealed::Sealed;
use crate::format::accumulator::apply_each;
use crate::format::manifest_parts::StateKind;
use crate::format::payload::Source;
use crate::format::window::{self, WindowRow, WindowRows};
use crate::format::{ByteSink, FixedBytes, Malformed};
use crate::state::Captured;

/// One open window: at most `EVENTS` events of `FIELDS` fields, `FUNCTIONS` accumulators of `VALUES` values.
/// Times in milliseconds since 1970; the interval is half-open.
#[derive(Debug)]
pub struct FixedOpenWindow<const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize = 0> {
    start: i64,
    end: i64,
    accumulators: Vec<FixedAccumulator<VALUES>, FUNCTIONS, u16>,
    buffer: Deque<FixedBufferedEvent<FIELDS>, EVENTS>,
    /// How many events in front the last capture had, and how many of those it had have been popped since.
    buffer_captured: usize,
    popped: usize,
    /// The last capture that had the window.
    captured: Captured,
    /// Whether it changed since.
    changed: bool,
}

/// At most `WINDOWS` open windows of one key, in the order of their starts: the twin of `WindowState`.
///
/// ```
/// use eventflux_core::{FixedAccumulator, FixedBufferedEvent, FixedError, FixedEvent, FixedWindow, Function, Value};
/// # fn main() -> Result<(), FixedError> {
/// // Two windows, in each up to 8 events of one field, and one function.
/// let mut state = FixedWindow::<2, 8, 1, 1>::new();
/// let event = FixedBufferedEvent { sequence: 0, event: FixedEvent::new(5, &[Value::from(21)])? };
/// state.update(0, |window| {
///     window.set_end(3_600_000);
///     window.set_accumulators(&[FixedAccumulator::new(Function::Max)])?;
///     window.accumulators_mut()[0].add(5, &event.event.values()[0])?;
///     window.push_back(event)
/// })?;
/// let closed = state.close(0).expect("it is open");
/// assert_eq!((closed.buffer().count(), closed.accumulators()[0].result()), (1, Value::from(21)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FixedWindow<
    const WINDOWS: usize,
    const EVENTS: usize,
    const FIELDS: usize,
    const FUNCTIONS: usize,
    const VALUES: usize = 0,
> {
    windows: Vec<FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>, WINDOWS, u16>,
    /// Starts of windows that the last capture had and that are gone. Each of them goes once: there is always room.
    closed: Vec<i64, WINDOWS, u16>,
    /// The last capture that had this state.
    captured: Captured,
}

impl<const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize> Clone
    for FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        FixedOpenWindow {
            accumulators: self.accumulators.clone(),
            buffer: self.buffer.clone(),
            captured: Captured::NEVER,
            changed: true,
            ..*self
        }
    }
}

impl<const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize> PartialEq
    for FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.end) == (other.start, other.end)
            && self.accumulators == other.accumulators
            && self.buffer().eq(other.buffer())
    }
}

impl<const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize>
    FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    fn new(start: i64) -> Self {
        FixedOpenWindow {
            start,
            end: i64::MAX,
            accumulators: Vec::new(),
            buffer: Deque::new(),
            buffer_captured: 0,
            popped: 0,
            captured: Captured::NEVER,
            changed: true,
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

    /// The buffered events, in the order of their coming.
    pub fn buffer(&self) -> impl ExactSizeIterator<Item = &FixedBufferedEvent<FIELDS>> {
        self.buffer.iter()
    }

    /// Buffers an event.
    ///
    /// # Errors
    /// [`FixedError::Full`]; nothing has changed then.
    pub fn push_back(&mut self, event: FixedBufferedEvent<FIELDS>) -> Result<(), FixedError> {
        let full = |_| FixedError::Full { what: "events of a window", capacity: EVENTS };
        self.buffer.push_back(event).map_err(full)
    }

    /// Takes the event that came first.
    pub fn pop_front(&mut self) -> Option<FixedBufferedEvent<FIELDS>> {
        let event = self.buffer.pop_front()?;
        if self.buffer_captured > 0 {
            self.buffer_captured -= 1;
            self.popped += 1;
        }
        Some(event)
    }

    /// The accumulators.
    #[must_use]
    pub fn accumulators(&self) -> &[FixedAccumulator<VALUES>] {
        &self.accumulators
    }

    /// The accumulators, to change them.
    pub fn accumulators_mut(&mut self) -> &mut [FixedAccumulator<VALUES>] {
        &mut self.accumulators
    }

    /// Puts accumulators in the place of those that are there.
    ///
    /// # Errors
    /// [`FixedError::Full`] if there are more, or for `distinct` and `median` without room for values; nothing has changed
    /// then.
    pub fn set_accumulators(&mut self, accumulators: &[FixedAccumulator<VALUES>]) -> Result<(), FixedError> {
        accumulators.iter().try_for_each(FixedAccumulator::check_room)?;
        self.accumulators = Vec::from_slice(accumulators).map_err(|_| full_of_functions(FUNCTIONS))?;
        Ok(())
    }

    fn encoded(&self) -> u64 {
        let events = self.buffer.iter().map(FixedBufferedEvent::encoded).sum::<u64>();
        window::WINDOW_ENCODED + events + self.accumulators.iter().map(FixedAccumulator::encoded).sum::<u64>()
    }

    fn settle(&mut self, captured: Captured) {
        (self.captured, self.changed) = (captured, false);
        (self.buffer_captured, self.popped) = (self.buffer.len(), 0);
        for (place, accumulator) in self.accumulators.iter_mut().enumerate() {
            accumulator.settle(captured.of_part(place));
        }
    }
}

fn full_of_functions(capacity: usize) -> FixedError {
    FixedError::Full { what: "accumulators of a window", capacity }
}

impl<const WINDOWS: usize, const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize>
    Default for FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const WINDOWS: usize, const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize> Clone
    for FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    /// No capture has seen the copy.
    fn clone(&self) -> Self {
        FixedWindow { windows: self.windows.clone(), closed: Vec::new(), captured: Captured::NEVER }
    }
}

impl<const WINDOWS: usize, const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize>
    PartialEq for FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    fn eq(&self, other: &Self) -> bool {
        self.windows == other.windows
    }
}

impl<const WINDOWS: usize, const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize>
    FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    /// No windows yet.
    #[must_use]
    pub const fn new() -> Self {
        FixedWindow { windows: Vec::new(), closed: Vec::new(), captured: Captured::NEVER }
    }

    /// The open windows, in the order of their starts.
    #[must_use]
    pub fn windows(&self) -> &[FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>] {
        &self.windows
    }

    /// The window that starts at `start`.
    #[must_use]
    pub fn window(&self, start: i64) -> Option<&FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>> {
        self.find(start).ok().map(|at| &self.windows[at])
    }

    /// Changes the window that starts at `start`, opening it if need be.
    ///
    /// # Errors
    /// [`FixedError::Full`] if there is no room for the window or for the values of its accumulators, or what `change`
    /// answers; nothing has changed then, if `change` has left a window that was open as it was.
    pub fn update<R>(
        &mut self,
        start: i64,
        change: impl FnOnce(&mut FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>) -> Result<R, FixedError>,
    ) -> Result<R, FixedError> {
        let found = self.find(start);
        let at = found.unwrap_or_else(|at| at);
        if found.is_err() {
            let full = FixedError::Full { what: "open windows of a key", capacity: WINDOWS };
            self.windows.insert(at, FixedOpenWindow::new(start)).map_err(|_| full)?;
        }
        let window = &mut self.windows[at];
        window.changed = true;
        let (was_captured, functions) = (window.captured, window.accumulators.len());
        let result = change(window);
        // Also those that were put in one by one.
        let fits = window.accumulators.iter().try_for_each(FixedAccumulator::check_room);
        let result = result.and_then(|result| fits.map(|()| result));
        let replaced = window.captured != was_captured
            || window.start != start
            || FixedAccumulator::any_moved(&window.accumulators, was_captured);
        // The start is what the window is known by.
        window.start = start;
        window.changed = true;
        // Another window in its place, or other functions, are no change of what was captured.
        if replaced || functions > 0 && functions != window.accumulators.len() {
            window.captured = Captured::NEVER;
            if was_captured.is_any() {
                self.note_closed(start);
            }
        }
        if found.is_err() && result.is_err() {
            self.windows.remove(at);
        }
        result
    }

    /// Closes the window that starts at `start` and gives it back.
    pub fn close(&mut self, start: i64) -> Option<FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>> {
        let mut window = self.windows.remove(self.find(start).ok()?);
        if window.captured.is_any() {
            self.note_closed(start);
            // Wherever it is put now, no capture has seen it there.
            window.captured = Captured::NEVER;
            window.accumulators.iter_mut().for_each(FixedAccumulator::take_place);
        }
        Some(window)
    }

    /// Whether no window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn find(&self, start: i64) -> Result<usize, usize> {
        self.windows.binary_search_by_key(&start, |window| window.start)
    }

    fn note_closed(&mut self, start: i64) {
        let noted = self.closed.push(start);
        debug_assert!(noted.is_ok(), "a captured window goes once");
    }
}

impl<const WINDOWS: usize, const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize>
    WindowRows for FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    type Error = FixedError;
    type Window = FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>;

    fn windows(&self) -> &[Self::Window] {
        &self.windows
    }

    fn closed(&self) -> &[i64] {
        &self.closed
    }

    fn close(&mut self, mut starts: impl Iterator<Item = Result<i64, Malformed>>) -> Result<bool, Malformed> {
        starts.try_fold(true, |all, start| Ok(FixedWindow::close(self, start?).is_some() && all))
    }

    fn update(
        &mut self,
        _: usize,
        start: i64,
        change: impl FnOnce(&mut Self::Window) -> Result<(), FixedError>,
    ) -> Result<(), FixedError> {
        FixedWindow::update(self, start, change)
    }
}

impl<const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize> WindowRow
    for FixedOpenWindow<EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    type Error = FixedError;

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
        self.popped as u64
    }

    fn write_events(&self, sink: &mut impl ByteSink, all: bool) {
        let from = if all { 0 } else { self.buffer_captured };
        let events = self.buffer.iter().skip(from).map(|buffered| (buffered.sequence, &buffered.event));
        window::write_events(sink, events, self.start);
    }

    fn drop_front(&mut self) -> bool {
        self.pop_front().is_some()
    }

    fn read_events<S: Source>(&mut self, source: &mut S, events: u64) -> Result<(), FixedError> {
        for _ in 0..events {
            let (sequence, event, _) = window::read_event(source, self.start)?;
            self.push_back(FixedBufferedEvent { sequence, event })?;
        }
        Ok(())
    }

    fn write_accumulators(&self, sink: &mut impl ByteSink, whole: bool) {
        window::ACCUMULATORS.write(sink, &self.accumulators, whole);
    }

    fn read_accumulators<S: Source>(&mut self, source: &mut S) -> Result<(), FixedError> {
        let count = window::ACCUMULATORS.read_count(source)?;
        if self.accumulators.is_empty() {
            let places = usize::try_from(count).unwrap_or(usize::MAX);
            let made = self.accumulators.resize_with(places, || FixedAccumulator::EMPTY);
            made.map_err(|_| full_of_functions(FUNCTIONS))?;
        }
        apply_each(source, count, &mut self.accumulators)
    }
}

impl<const WINDOWS: usize, const EVENTS: usize, const FIELDS: usize, const FUNCTIONS: usize, const VALUES: usize> Sealed
    for FixedWindow<WINDOWS, EVENTS, FIELDS, FUNCTIONS, VALUES>
{
    const KIND: StateKind = StateKind::Windows;
    const CHANGES: bool = true;

    fn encoded(&self) -> u64 {
        window::WINDOWS_ENCODED + self.windows.iter().map(FixedOpenWindow::encoded).sum::<u64>()
    }

    fn captured(&self) -> Captured {
        self.captured
    }

    fn is_fresh(&self) -> bool {
        !self.captured.is_any()
    }

    fn write(&self, out: &mut FixedBytes<'_>, whole: bool) {
        window::write(out, self, whole);
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, FixedError> {
        let mut state = Self::new();
        state.apply_change(bytes)?;
        Ok(state)
    }

    fn apply_change(&mut self, bytes: &[u8]) -> Result<(), FixedError> {
        window::apply_row(bytes, self)
    }

    fn settle(&mut self, captured: Captured) {
        self.captured = captured;
        self.closed.clear();
        for (place, window) in self.windows.iter_mut().enumerate() {
            window.settle(captured.of_window(place));
        }
    }
}
