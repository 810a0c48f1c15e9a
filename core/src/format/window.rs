//! Windows in rows: a postcard record of closed starts, then a record a window.
//!
//! The whole and the change have one form: a whole row closes nothing, pops nothing and carries
//! every window with all its events and accumulators.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::accumulator::{AccumulatorRow, apply_rows, to_rows};
use super::{Malformed, append, read_all};
use crate::state::{Window, WindowState};
use crate::value::BufferedEvent;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WindowsRow<'a> {
    /// Starts of windows to drop.
    closed: Cow<'a, [i64]>,
    windows: Vec<WindowRow<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WindowRow<'a> {
    start: i64,
    end: i64,
    /// Events to drop in front.
    popped: u64,
    appended: Vec<Cow<'a, BufferedEvent>>,
    accumulators: Vec<AccumulatorRow>,
}

pub(crate) fn append_whole(out: &mut Vec<u8>, state: &WindowState) {
    let row = |window| window_row(window, true);
    append(out, &WindowsRow { closed: Cow::Borrowed(&[]), windows: state.windows().iter().map(row).collect() });
}

pub(crate) fn append_change(out: &mut Vec<u8>, state: &WindowState) {
    let changed = state.windows().iter().filter(|window| window.changed);
    let windows = changed.map(|window| window_row(window, !window.captured)).collect();
    append(out, &WindowsRow { closed: Cow::Borrowed(state.closed()), windows });
}

fn window_row(window: &Window, whole: bool) -> WindowRow<'_> {
    let (popped, appended) = if whole {
        (0, window.buffer.iter().map(Cow::Borrowed).collect())
    } else {
        (window.buffer.popped(), window.buffer.appended().map(Cow::Borrowed).collect())
    };
    WindowRow {
        start: window.start,
        end: window.end,
        popped,
        appended,
        accumulators: to_rows(&window.accumulators, whole),
    }
}

/// Applies a row to the state it was taken against; a whole row to an empty state.
pub(crate) fn apply(bytes: &[u8], state: &mut WindowState) -> Result<(), Malformed> {
    let row: WindowsRow<'_> = read_all(bytes)?;
    for start in row.closed.iter() {
        state.close(*start).ok_or_else(|| Malformed::new("closes a window that is not open"))?;
    }
    for row in row.windows {
        state.update(row.start, |window| {
            window.set_end(row.end);
            for _ in 0..row.popped {
                window.pop_front().ok_or_else(|| Malformed::new("pops more events than there are"))?;
            }
            row.appended.into_iter().for_each(|event| window.push_back(event.into_owned()));
            apply_rows(row.accumulators, window.accumulators_mut())
        })?;
    }
    Ok(())
}
