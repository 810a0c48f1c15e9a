//! Numbers of the tables that rows are taken apart into; part of the format.

/// Key groups of a section: number, rows.
pub(crate) const GROUPS: u16 = 0;
/// Rows: form.
pub(crate) const ROWS: u16 = 1;
/// Their keys: as bytes, as words, or as values.
pub(crate) const KEYS: u16 = 2;
/// What a payload begins with: counts; of plain values, all there is.
pub(crate) const PAYLOAD: u16 = 3;
/// Closed windows.
pub(crate) const CLOSED: u16 = 4;
/// Windows.
pub(crate) const WINDOWS: u16 = 5;
/// Events that windows buffer, or that wait.
pub(crate) const EVENTS: u16 = 6;
/// Waiting events that were taken.
pub(crate) const TAKEN: u16 = 7;
/// Partial matches that are gone.
pub(crate) const DROPPED: u16 = 8;
/// Partial matches.
pub(crate) const PARTIALS: u16 = 9;
/// Their events.
pub(crate) const MATCHED: u16 = 10;
/// The first accumulator of each list; after it the values it holds, then the second, and so on.
pub(crate) const ACCUMULATORS: u16 = 16;
/// Above every table.
pub(crate) const END: u16 = ACCUMULATORS + 2 * 4096;
