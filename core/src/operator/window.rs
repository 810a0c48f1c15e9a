//! Windows: tumbling, hopping, session, length.
//!
//! A window by time gives its result once, when the watermark reaches its end, and is gone. An
//! event none of whose windows is still open is late. Sessions keep their events (only the values
//! the functions want), since two sessions may merge and sums follow the order of the input.
//!
//! Of two sessions that merge, the one of fewer events is added to the other, so that a long one costs nothing however
//! often a late event joins a short one to it. Its events need not be in input order then, and functions that follow
//! that order are right only when the session is given out: they take all events anew. That it has to be so is seen
//! from the order of the events alone, after a restart too.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::Context;
use super::functions::{Functions, Refusal};
use super::timers::{Purpose, Timer, Timers};
use crate::bytes::SmallBytes;
use crate::definition::{Compute, WindowKind};
use crate::error::Result;
use crate::format::event_row::row_bytes;
use crate::state::{Accumulator, StateHolder, Window, WindowState};
use crate::tracked::{MapKey, TrackedEvents};
use crate::value::{BufferedEvent, Event};

#[derive(Debug)]
pub(super) struct WindowPlan {
    window: WindowKind,
    functions: Functions,
}

impl WindowPlan {
    pub(super) fn new(window: WindowKind, compute: &[Compute], place: &dyn Fn(&str) -> usize) -> Self {
        WindowPlan { window, functions: Functions::new(compute, place) }
    }

    pub(super) fn check(
        &mut self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        (event, watermark): (&Event, i64),
    ) -> Result<(), Refusal> {
        match self.functions.check(event) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // What is dropped may hold whatever it wants.
            Err(_) if self.is_late(holder, state, key, (event, watermark)) => return Ok(()),
            Err(refusal) => return Err(refusal),
        }
        let Some(held) = holder.windows_at(state).and_then(|windows| windows.get(key)) else { return Ok(()) };
        match self.window {
            WindowKind::Session { gap_ms } => match &held.windows()[touched(held, event.timestamp, gap_ms)] {
                [] => Ok(()),
                [window] => self.functions.check_against(window.accumulators(), event),
                merged => self.check_together(merged, event),
            },
            WindowKind::Length { .. } => {
                held.window(0).map_or(Ok(()), |window| self.functions.check_against(window.accumulators(), event))
            }
            _ => self.starts(event.timestamp).try_for_each(|start| match held.window(start) {
                Some(window) => self.functions.check_against(window.accumulators(), event),
                None => Ok(()),
            }),
        }
    }

    /// Whether none of the windows of an event is still open.
    pub(super) fn is_late(
        &self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        (event, watermark): (&Event, i64),
    ) -> bool {
        let time = event.timestamp;
        match self.window {
            WindowKind::Tumbling { size_ms } | WindowKind::Hopping { size_ms, .. } => {
                self.starts(time).all(|start| start + size_ms <= watermark)
            }
            WindowKind::Session { gap_ms } => {
                let held = holder.windows_at(state).and_then(|windows| windows.get(key));
                time + gap_ms <= watermark && held.is_none_or(|held| touched(held, time, gap_ms).is_empty())
            }
            WindowKind::Length { .. } => false,
        }
    }

    /// As [`Operator::growth`](super::Operator::growth). Of windows that are there nothing has to be reckoned.
    pub(super) fn growth(
        &self,
        holder: &mut StateHolder,
        state: usize,
        key: &[u8],
        (event, watermark): (&Event, i64),
        reckoned: usize,
    ) -> usize {
        let empty = WindowState::new();
        let held = holder.windows_at(state).and_then(|windows| windows.get(key)).unwrap_or(&empty);
        let new = self.functions.growth_of_new(event);
        // Wherever it comes in the input.
        let row = || row_bytes(u64::MAX, event.timestamp, self.functions.project(event));
        let opened = match self.window {
            WindowKind::Session { gap_ms } => match &held.windows()[touched(held, event.timestamp, gap_ms)] {
                [] => new + held.growth_of_windows(1) + TrackedEvents::new().growth_of_push(row()),
                [window] if window.start() <= event.timestamp => {
                    return self.functions.growth(window.accumulators(), event) + window.buffer.growth_of_push(row());
                }
                // One takes the place of all: its list may have up to twice the room of theirs.
                merged => {
                    let events: usize = merged.iter().map(|window| window.buffer.rows().len()).sum();
                    new + 2 * (events + row())
                        + merged.iter().map(|window| window.footprint().memory as usize).sum::<usize>()
                }
            },
            WindowKind::Length { .. } => match held.window(0) {
                Some(window) => return self.functions.growth(window.accumulators(), event),
                None => new + held.growth_of_windows(1),
            },
            WindowKind::Tumbling { size_ms } | WindowKind::Hopping { size_ms, .. } => {
                let (mut opened, mut growth) = (0, 0);
                for start in self.starts(event.timestamp).filter(|start| start + size_ms > watermark) {
                    match held.window(start) {
                        Some(window) => growth += self.functions.growth(window.accumulators(), event),
                        None => opened += 1,
                    }
                }
                if opened == 0 {
                    return growth;
                }
                growth + opened * new + held.growth_of_windows(opened)
            }
        };
        reckoned + opened
    }

    pub(super) fn take(&self, context: &mut Context<'_>, key: &MapKey<'_>, event: &Event) -> Result<()> {
        match self.window {
            WindowKind::Tumbling { size_ms } | WindowKind::Hopping { size_ms, .. } => {
                self.take_aligned(context, key, event, size_ms)
            }
            WindowKind::Session { gap_ms } => self.take_session(context, key, event, gap_ms),
            WindowKind::Length { events } => self.take_length(context, key, event, events),
        }
    }

    /// Starts of the windows an event at `time` belongs to, in rising order.
    fn starts(&self, time: i64) -> impl Iterator<Item = i64> + use<> {
        let (size, every) = match self.window {
            WindowKind::Tumbling { size_ms } => (size_ms, size_ms),
            WindowKind::Hopping { size_ms, every_ms } => (size_ms, every_ms),
            WindowKind::Session { .. } | WindowKind::Length { .. } => (0, 1),
        };
        let newest = time.div_euclid(every);
        let oldest = (time - size).div_euclid(every) + 1;
        (oldest..=newest).map(move |number| number * every)
    }

    fn take_aligned(&self, context: &mut Context<'_>, key: &MapKey<'_>, event: &Event, size_ms: i64) -> Result<()> {
        let (number, watermark, state) = (context.number, context.watermark, context.state());
        let mut open = self.starts(event.timestamp).filter(|start| start + size_ms > watermark).peekable();
        if open.peek().is_none() {
            *context.late += 1;
            return Ok(());
        }
        let Some(windows) = context.holder.windows_at(state) else { return Ok(()) };
        let timers = &mut *context.timers;
        windows.update_hashed(key, WindowState::new, |held| {
            for start in open {
                held.update(start, |window| {
                    if window.accumulators().is_empty() {
                        window.set_end(start + size_ms);
                        *window.accumulators_mut() = self.functions.accumulators();
                        timers.set(timer(number, key.to_small(), start + size_ms, start));
                    }
                    self.functions.add(window.accumulators_mut(), event);
                });
            }
        })
    }

    fn take_session(&self, context: &mut Context<'_>, key: &MapKey<'_>, event: &Event, gap_ms: i64) -> Result<()> {
        let (number, watermark, state) = (context.number, context.watermark, context.state());
        let time = event.timestamp;
        let Some(windows) = context.holder.windows_at(state) else { return Ok(()) };
        if time + gap_ms <= watermark
            && windows.get_hashed(key).is_none_or(|held| touched(held, time, gap_ms).is_empty())
        {
            *context.late += 1;
            return Ok(());
        }
        let sequence = context.sequence;
        let timers = &mut *context.timers;
        windows.update_hashed(key, WindowState::new, |held| {
            let merged = &held.windows()[touched(held, time, gap_ms)];
            let first = merged.first().map(Window::start);
            let start = first.unwrap_or(time).min(time);
            let end = merged.iter().map(Window::end).fold(time + gap_ms, i64::max);
            // The first goes on where it is, and what a checkpoint has of it stays, unless it begins earlier now or
            // another one has more events.
            let goes_on = merged.split_first().is_some_and(|(first, others)| {
                first.start() == start && others.iter().all(|other| other.buffer.len() <= first.buffer.len())
            });
            let closing: Vec<i64> = merged.iter().skip(usize::from(goes_on)).map(Window::start).collect();
            let mut closed: Vec<Window> = closing.into_iter().filter_map(|start| held.close(start)).collect();
            closed.sort_by_key(|session| Reverse(session.buffer.len()));
            held.update(start, |window| {
                closed.into_iter().for_each(|session| self.unite(window, session));
                if window.accumulators().is_empty() {
                    *window.accumulators_mut() = self.functions.accumulators();
                }
                window.set_end(end);
                self.functions.add(window.accumulators_mut(), event);
                window.push_values(sequence, time, self.functions.project(event));
            });
            if first != Some(start) {
                timers.set(timer(number, key.to_small(), end, start));
            }
        })
    }

    /// Adds a session to one that has no fewer events, or is new.
    fn unite(&self, window: &mut Window, session: Window) {
        if window.buffer.len() == 0 {
            window.accumulators = session.accumulators;
            window.buffer = session.buffer.uncaptured();
            return;
        }
        // `check` has asked whether they take them.
        let Window { accumulators, buffer, .. } = window;
        buffer.append(&session.buffer, |event| self.functions.add_projected(accumulators, &event.event));
    }

    /// Whether the functions would take an event behind all that several sessions took, in input order.
    fn check_together(&self, sessions: &[Window], event: &Event) -> Result<(), Refusal> {
        let events = sessions.iter().map(|session| session.buffer.len()).sum();
        if self.functions.take_together(sessions.iter().map(Window::accumulators), events, event) {
            return Ok(());
        }
        let mut sessions: Vec<&Window> = sessions.iter().collect();
        sessions.sort_by_key(|session| Reverse(session.buffer.len()));
        match sessions.split_first() {
            Some((first, others)) if is_continued(first, others) => {
                self.check_behind(self.functions.refusing(first.accumulators()), others, event)
            }
            _ => self.check_behind(self.functions.accumulators(), &sessions, event),
        }
    }

    /// Whether accumulators would take the events of sessions, in input order, and then an event.
    fn check_behind(
        &self,
        mut accumulators: Vec<Accumulator>,
        sessions: &[&Window],
        event: &Event,
    ) -> Result<(), Refusal> {
        let mut events: Vec<BufferedEvent> = sessions.iter().flat_map(|session| session.buffer.iter()).collect();
        events.sort_by_key(|event| event.sequence);
        for BufferedEvent { event, .. } in &events {
            for (at, (accumulator, value)) in accumulators.iter().zip(&event.values).enumerate() {
                accumulator.check(value).map_err(|error| (self.functions.field_name(at), error))?;
            }
            self.functions.add_projected(&mut accumulators, event);
        }
        self.functions.check_against(&accumulators, event)
    }

    /// Adds the events of a session anew, if they are not in input order, to the functions that follow it.
    fn add_in_order(&self, session: &mut Window) {
        let Window { accumulators, buffer, .. } = session;
        if !accumulators.iter().any(Accumulator::follows_order) || buffer.is_in_order() {
            return;
        }
        let follow: Vec<bool> = accumulators.iter().map(Accumulator::follows_order).collect();
        for ((accumulator, empty), follows) in accumulators.iter_mut().zip(self.functions.accumulators()).zip(&follow) {
            if *follows {
                *accumulator = empty;
            }
        }
        buffer.for_each_in_order(|BufferedEvent { event, .. }, _| {
            for ((accumulator, value), follows) in accumulators.iter_mut().zip(&event.values).zip(&follow) {
                if *follows {
                    accumulator.add_checked(event.timestamp, value);
                }
            }
        });
    }

    fn take_length(&self, context: &mut Context<'_>, key: &MapKey<'_>, event: &Event, events: u64) -> Result<()> {
        let state = context.state();
        let Some(windows) = context.holder.windows_at(state) else { return Ok(()) };
        let full = windows.update_hashed(key, WindowState::new, |held| {
            let full = held.update(0, |window| {
                if window.accumulators().is_empty() {
                    // One more than the functions: the number of events so far.
                    let accumulators = window.accumulators_mut();
                    *accumulators = self.functions.accumulators();
                    accumulators.push(Accumulator::Count(0));
                }
                let accumulators = window.accumulators_mut();
                self.functions.add(accumulators, event);
                let Some(Accumulator::Count(count)) = accumulators.last_mut() else { return false };
                *count += 1;
                *count >= events
            });
            if full { held.close(0) } else { None }
        })?;
        if let Some(window) = full {
            windows.remove_hashed(key);
            self.emit(context, key.bytes(), &window, None);
        }
        Ok(())
    }

    pub(super) fn fire(&self, context: &mut Context<'_>, fired: &Timer) -> Result<()> {
        let state = context.state();
        let key = &MapKey::new(fired.key.as_slice());
        let Some(windows) = context.holder.windows_at(state) else { return Ok(()) };
        // A session that was merged into another is not there; one that grew ends later.
        let Some(end) = windows.get_hashed(key).and_then(|held| held.window(fired.tie)).map(Window::end) else {
            return Ok(());
        };
        if end > fired.time {
            context.timers.set(Timer { time: end, ..fired.clone() });
            return Ok(());
        }
        let closed = windows.modify_hashed(key, |held| (held.close(fired.tie), held.is_empty()));
        if let Some((Some(mut window), empty)) = closed {
            if empty {
                windows.remove_hashed(key);
            }
            self.add_in_order(&mut window);
            self.emit(context, key.bytes(), &window, Some((window.start(), window.end())));
        }
        Ok(())
    }

    /// The rest of `length` windows; all others have ended by time.
    pub(super) fn finish(&self, context: &mut Context<'_>) -> Result<()> {
        if !matches!(self.window, WindowKind::Length { .. }) {
            return Ok(());
        }
        let state = context.state();
        let Some(windows) = context.holder.windows_at(state) else { return Ok(()) };
        for key in windows.sorted_keys() {
            let Some(windows) = context.holder.windows_at(state) else { return Ok(()) };
            let closed = windows.modify(key.as_slice(), |held| held.close(0)).flatten();
            windows.remove(key.as_slice());
            if let Some(window) = closed {
                self.emit(context, key.as_slice(), &window, None);
            }
        }
        Ok(())
    }

    fn emit(&self, context: &mut Context<'_>, key: &[u8], window: &Window, interval: Option<(i64, i64)>) {
        let results = self.functions.results(window.accumulators());
        context.emit(key, interval, results, Vec::new());
    }

    /// Whether the window is still there whose end a timer waits for.
    pub(super) fn is_awaited(&self, state: usize, holder: &mut StateHolder, timer: &Timer) -> bool {
        let held = holder.windows_at(state).and_then(|windows| windows.get(timer.key.as_slice()));
        held.is_some_and(|held| held.window(timer.tie).is_some())
    }

    pub(super) fn resume(&mut self, number: u16, state: usize, holder: &mut StateHolder, timers: &mut Timers) {
        let Some(windows) = holder.windows_at(state) else { return };
        for (key, held) in windows.iter() {
            for window in held.windows() {
                self.functions.resume(window.accumulators());
                // Sessions add up anew when they merge, and may leave the range on the way, whatever their sums.
                window.buffer.for_each(|event| self.functions.resume_projected(&event.event));
                if !matches!(self.window, WindowKind::Length { .. }) {
                    timers.set(timer(number, SmallBytes::new(key), window.end(), window.start()));
                }
            }
        }
    }
}

/// Whether all events of the first session came before those of the others: what it holds stays as it is then.
fn is_continued(first: &Window, others: &[&Window]) -> bool {
    let Some((_, last)) = first.buffer.sequences() else { return false };
    others.iter().all(|other| other.buffer.sequences().is_none_or(|(first, _)| first > last))
}

/// Places of the open sessions that an event at `time` belongs to. Sessions do not overlap, so that
/// their ends are in the order of their starts.
fn touched(held: &WindowState, time: i64, gap_ms: i64) -> Range<usize> {
    let windows = held.windows();
    let first = windows.partition_point(|window| window.end() <= time);
    // Saturating: a checkpoint may claim any start.
    let after = windows.partition_point(|window| window.start().saturating_sub(time) < gap_ms);
    first..after.max(first)
}

fn timer(operator: u16, key: SmallBytes, end: i64, start: i64) -> Timer {
    Timer { time: end, operator, key, tie: start, purpose: Purpose::Window }
}
