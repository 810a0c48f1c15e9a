//! A tracked map of fixed capacity.
//!
//! Invariants:
//! - The marks mean what they mean in `tracked/page.rs`: `DIRTY` written since the newest cut, `CUT_DIRTY` dirty at
//!   the cut under way, `SENT` in it, `WHOLE` no change can be told, `NEVER` no durable checkpoint has the
//!   key, `ABSENT` captured as not there.
//! - An entry without a value is a key that was removed, but not yet durably; it goes when that is.
//!
//! Capture is one step here, in which nothing is written: no entry is ever frozen.

use heapless::Vec;

use sealed::{AnyState, Sealed, Written};

use super::error::FixedError;
use crate::format::manifest_parts::StateKind;
use crate::format::rows::{Form, Row, append_group, append_row_head};
use crate::format::{FixedBytes, Malformed, key_group, key_hash};
use crate::state::{Captured, Vanished};

const DIRTY: u8 = 1;
const CUT_DIRTY: u8 = 1 << 1;
const SENT: u8 = 1 << 2;
const WHOLE: u8 = 1 << 3;
const NEVER: u8 = 1 << 4;
const ABSENT: u8 = 1 << 5;

/// A map from byte strings to values that knows what changed since the last checkpoint: at most `KEYS` keys of
/// `KEY_BYTES` bytes, those counted whose removal is not durable yet.
///
/// `KEYS` is at most 65,534 and `KEY_BYTES` at most 65,535, which the compiler sees to. A lookup compares with each key:
/// it is made for up to a few hundred.
#[derive(Debug, Clone)]
pub struct FixedMap<V, const KEYS: usize, const KEY_BYTES: usize> {
    entries: Vec<Entry<V, KEY_BYTES>, KEYS, u16>,
    /// Encoded bytes of what lives, and those that rows lost since the newest cut.
    live: u64,
    vanished: Vanished,
    /// How many captures there were, which tells their values apart.
    captures: u32,
}

#[derive(Debug, Clone)]
struct Entry<V, const KEY_BYTES: usize> {
    value: Option<V>,
    /// The upper half of the key's hash, which decides the key group.
    hash: u32,
    /// Not a vector, which would be followed by a gap.
    key: [u8; KEY_BYTES],
    key_len: u16,
    marks: u8,
}

/// A value of a [`FixedMap`]. Sealed: the bytes are part of the format.
pub trait FixedValue: Sealed {}
impl<V: Sealed> FixedValue for V {}

/// A map, whatever its values and capacities, as [`FixedHolder`](super::FixedHolder) sees it. Sealed.
pub trait FixedState: AnyState {}
impl<S: AnyState + ?Sized> FixedState for S {}

pub(crate) mod sealed {
    use super::{Captured, FixedBytes, FixedError, Row, StateKind};

    pub trait Sealed: Sized {
        const KIND: StateKind;
        /// Whether it can say what changed, and not only all it is.
        const CHANGES: bool;

        /// Bytes in a row, by the estimate of its growable twin.
        fn encoded(&self) -> u64;

        /// The last capture that had it, if that matters to what it says of changes.
        fn captured(&self) -> Captured {
            Captured::NEVER
        }

        /// Whether no capture has seen it, so that all of it is new.
        fn is_fresh(&self) -> bool {
            false
        }

        /// Appends all of it, or what changed since the last checkpoint.
        fn write(&self, out: &mut FixedBytes<'_>, whole: bool);

        fn read_whole(bytes: &[u8]) -> Result<Self, FixedError>;

        fn apply_change(&mut self, bytes: &[u8]) -> Result<(), FixedError>;

        /// Forgets the changes: they have been captured.
        fn settle(&mut self, _: Captured) {}
    }

    /// Rows of a state that were written.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Written {
        pub rows: u64,
        /// Key groups of the rows.
        pub low: u16,
        pub high: u16,
        /// Bytes of the keys and payloads of rows that had changed.
        pub dirty: u64,
    }

    pub trait AnyState {
        fn kind(&self) -> StateKind;
        fn live_bytes(&self) -> u64;
        fn shrunk(&self) -> u64;
        fn has_changes(&self) -> bool;
        /// Puts the entries in the order of rows.
        fn sort(&mut self, key_groups: u16);
        /// Appends the rows of a section, of sorted entries: all, or those that changed.
        fn write_rows(&self, key_groups: u16, all: bool, out: &mut FixedBytes<'_>) -> Written;
        /// Marks what [`AnyState::write_rows`] wrote as part of the checkpoint under way.
        fn cut(&mut self, all: bool);
        /// The checkpoint under way is over, durable or not.
        fn end(&mut self, durable: bool);
        fn clear(&mut self);
        fn restore_row(&mut self, row: &Row<'_>) -> Result<(), FixedError>;
        /// All that is there came out of a checkpoint.
        fn settle(&mut self);
    }
}

impl<V, const KEY_BYTES: usize> Entry<V, KEY_BYTES> {
    fn key(&self) -> &[u8] {
        self.key.get(..usize::from(self.key_len)).unwrap_or(&self.key)
    }

    fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Whether checkpoints know of it, as [`Vanished`] asks.
    fn known(&self) -> [u32; 3] {
        [NEVER, SENT, ABSENT].map(|mark| u32::from(self.has(mark)))
    }

    fn set_mark(&mut self, mark: u8, on: bool) {
        self.marks = if on { self.marks | mark } else { self.marks & !mark };
    }
}

impl<V: Sealed, const KEY_BYTES: usize> Entry<V, KEY_BYTES> {
    /// Form of its row; `None` if it has none.
    fn form(&self, all: bool) -> Option<Form> {
        match &self.value {
            Some(value) if all || !V::CHANGES || self.has(NEVER | WHOLE) || value.is_fresh() => Some(Form::Whole),
            Some(_) => Some(Form::Change),
            // Never durable, or a base without it: there is nothing to say.
            None if all || self.has(NEVER) => None,
            None => Some(Form::Removed),
        }
    }
}

/// Encoded bytes of a row beside its payload.
fn row_overhead(key: &[u8]) -> u64 {
    key.len() as u64 + 3
}

impl<V: FixedValue, const KEYS: usize, const KEY_BYTES: usize> Default for FixedMap<V, KEYS, KEY_BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: FixedValue, const KEYS: usize, const KEY_BYTES: usize> FixedMap<V, KEYS, KEY_BYTES> {
    /// No keys yet.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(KEYS < u16::MAX as usize, "a map has at most 65,534 keys");
            assert!(
                KEY_BYTES <= u16::MAX as usize,
                "a key has at most 65,535 bytes, which its length in 16 bits counts"
            );
        }
        FixedMap { entries: Vec::new(), live: 0, vanished: Vanished::NONE, captures: 0 }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.entries[self.find(key)?].value.as_ref()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`FixedError::Full`] if there is no room for the key; nothing has changed then.
    pub fn set(&mut self, key: &[u8], value: V) -> Result<(), FixedError> {
        match self.find(key) {
            None => self.insert(key, value, NEVER | DIRTY),
            Some(at) => {
                // Another value in its place is no change of what was captured.
                self.replace(at, value);
                self.entries[at].marks |= DIRTY | WHOLE;
                Ok(())
            }
        }
    }

    /// Changes the value of a key, which `create` makes if there is none. `change` may also move another value into its
    /// place, wherever that comes from.
    ///
    /// # Errors
    /// [`FixedError::Full`] if there is no room for the key, or what `create` or `change` answer; nothing has changed
    /// then, if `change` has left the value as it was.
    pub fn update<R>(
        &mut self,
        key: &[u8],
        create: impl FnOnce() -> Result<V, FixedError>,
        change: impl FnOnce(&mut V) -> Result<R, FixedError>,
    ) -> Result<R, FixedError> {
        let held = self.find(key).filter(|at| self.entries[*at].value.is_some());
        let Some(at) = held else {
            let mut value = create()?;
            let result = change(&mut value)?;
            self.set(key, value)?;
            return Ok(result);
        };
        let entry = &mut self.entries[at];
        let Some(value) = entry.value.as_mut() else { unreachable!("an entry with a value was looked for") };
        let (before, captured) = (value.encoded(), value.captured());
        let result = change(value);
        let after = value.encoded();
        // Another value in its place is no change of what was captured.
        entry.marks |= if value.captured() == captured { DIRTY } else { DIRTY | WHOLE };
        self.account_change(at, before, after);
        result
    }

    /// Removes a key; whether it was there. Its room is free once a checkpoint without it is durable.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(at) = self.find(key) else { return false };
        let entry = &mut self.entries[at];
        let Some(value) = entry.value.take() else { return false };
        let before = value.encoded() + row_overhead(key);
        entry.marks |= DIRTY;
        let [never, sent, absent] = entry.known();
        // No checkpoint, durable or under way, knows of it.
        if never & ((1 - sent) | absent) != 0 {
            self.entries.swap_remove(at);
        }
        self.account(before, 0);
        self.vanished.add(before, 1, [never, sent, absent]);
        true
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.entries.iter().filter_map(|entry| Some((entry.key(), entry.value.as_ref()?)))
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let hash = upper_hash(key);
        self.entries.iter().position(|entry| entry.hash == hash && entry.key() == key)
    }

    fn insert(&mut self, key: &[u8], value: V, marks: u8) -> Result<(), FixedError> {
        let full = |what, capacity| FixedError::Full { what, capacity };
        let after = value.encoded() + row_overhead(key);
        let mut key_bytes = [0; KEY_BYTES];
        let place = key_bytes.get_mut(..key.len()).ok_or(full("bytes of a key", KEY_BYTES))?;
        place.copy_from_slice(key);
        let key_len = key.len() as u16;
        let entry = Entry { value: Some(value), hash: upper_hash(key), key: key_bytes, key_len, marks };
        self.entries.push(entry).map_err(|_| full("keys", KEYS))?;
        self.account(0, after);
        Ok(())
    }

    /// Puts a value where one was, or was removed.
    fn replace(&mut self, at: usize, value: V) {
        let entry = &mut self.entries[at];
        let overhead = row_overhead(entry.key());
        let before = entry.value.as_ref().map_or(0, |value| value.encoded() + overhead);
        let after = value.encoded() + overhead;
        entry.value = Some(value);
        self.account_change(at, before, after);
    }

    /// Begins a capture unlike all others.
    fn next_capture(&mut self) -> Captured {
        self.captures = self.captures.wrapping_add(1);
        Captured::of_map(core::ptr::from_ref(self).addr(), self.captures)
    }

    /// Accounts for a change of a value that stays.
    fn account_change(&mut self, at: usize, before: u64, after: u64) {
        self.account(before, after);
        let known = self.entries[at].known();
        self.vanished.add(before.saturating_sub(after), 1, known);
    }

    fn account(&mut self, before: u64, after: u64) {
        self.live = (self.live + after).saturating_sub(before);
    }
}

/// Sorts what is few, or nearly sorted, as entries are from the checkpoint before. That of the standard library
/// would be a fourth of a program for a microcontroller.
pub(super) fn insertion_sort<T>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && is_less(&items[at], &items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn upper_hash(key: &[u8]) -> u32 {
    (key_hash(key) >> 32) as u32
}

fn group_of(hash: u32, key_groups: u16) -> u16 {
    key_group(u64::from(hash) << 32, key_groups)
}

impl<V: Sealed, const KEYS: usize, const KEY_BYTES: usize> AnyState for FixedMap<V, KEYS, KEY_BYTES> {
    fn kind(&self) -> StateKind {
        V::KIND
    }

    fn live_bytes(&self) -> u64 {
        self.live
    }

    fn shrunk(&self) -> u64 {
        self.vanished.known()
    }

    fn has_changes(&self) -> bool {
        self.entries.iter().any(|entry| entry.has(DIRTY) && entry.form(false).is_some())
    }

    fn sort(&mut self, key_groups: u16) {
        let place = |entry: &Entry<V, KEY_BYTES>| group_of(entry.hash, key_groups);
        insertion_sort(&mut self.entries, |a, b| (place(a), a.key()) < (place(b), b.key()));
    }

    fn write_rows(&self, key_groups: u16, all: bool, out: &mut FixedBytes<'_>) -> Written {
        let rows = self.entries.iter().filter(|entry| all || entry.has(DIRTY));
        let rows = rows.filter_map(|entry| Some((group_of(entry.hash, key_groups), entry, entry.form(all)?)));
        let mut written = Written::default();
        let mut group_before = None;
        for (group, entry, form) in rows.clone() {
            if group_before != Some(group) {
                append_group(out, group, rows.clone().filter(|(of, ..)| *of == group).count() as u64);
                written.low = if group_before.is_none() { group } else { written.low };
                written.high = group + 1;
                group_before = Some(group);
            }
            let payload = |out: &mut FixedBytes<'_>| {
                if let Some(value) = &entry.value {
                    value.write(out, form == Form::Whole);
                }
            };
            let mut counted = FixedBytes::new(&mut []);
            payload(&mut counted);
            append_row_head(out, entry.key(), form, counted.len());
            payload(out);
            written.rows += 1;
            if entry.has(DIRTY) {
                // What a delta says, or would have said: the rest of the row is not dirty.
                let changed = match &entry.value {
                    Some(value) if all && entry.form(false) == Some(Form::Change) => {
                        let mut changed = FixedBytes::new(&mut []);
                        value.write(&mut changed, false);
                        changed.len()
                    }
                    _ => counted.len(),
                };
                written.dirty += (entry.key().len() + changed) as u64;
            }
        }
        written
    }

    fn cut(&mut self, all: bool) {
        self.vanished = Vanished::NONE;
        let captured = self.next_capture();
        for entry in &mut self.entries {
            let dirty = entry.has(DIRTY);
            entry.set_mark(CUT_DIRTY, dirty);
            entry.set_mark(DIRTY, false);
            if all || dirty {
                entry.set_mark(SENT, true);
                entry.set_mark(WHOLE, false);
                entry.set_mark(ABSENT, entry.value.is_none());
                if let Some(value) = &mut entry.value {
                    value.settle(captured.of_key(entry.hash));
                }
            }
        }
    }

    fn end(&mut self, durable: bool) {
        self.vanished.end(durable);
        for entry in &mut self.entries {
            let (sent, absent, cut_dirty) = (entry.has(SENT), entry.has(ABSENT), entry.has(CUT_DIRTY));
            if durable {
                entry.set_mark(NEVER, entry.has(NEVER) && !sent || absent);
            } else if cut_dirty {
                entry.set_mark(DIRTY, true);
                entry.set_mark(WHOLE, entry.has(WHOLE) || sent);
            }
            entry.set_mark(SENT | ABSENT | CUT_DIRTY, false);
        }
        // What was never durable and is gone again leaves nothing to say.
        self.entries.retain(|entry| entry.value.is_some() || !entry.has(NEVER));
    }

    fn clear(&mut self) {
        // Field by field: a new one would lie on the stack first. How many captures there were stays: values from before are
        // not those that are captured next.
        self.entries.clear();
        (self.live, self.vanished) = (0, Vanished::NONE);
    }

    fn restore_row(&mut self, row: &Row<'_>) -> Result<(), FixedError> {
        match (row.form, self.find(row.key)) {
            (Form::Whole, at) => self.restore_whole(row, at)?,
            (Form::Change, Some(at)) => {
                let value = self.entries[at].value.as_mut().ok_or_else(no_such_key)?;
                let before = value.encoded();
                value.apply_change(row.payload)?;
                let after = value.encoded();
                self.account(before, after);
            }
            (Form::Change, None) => return Err(no_such_key()),
            (Form::Removed, None) => {}
            (Form::Removed, Some(at)) => {
                let entry = self.entries.swap_remove(at);
                let before = entry.value.map_or(0, |value| value.encoded() + row_overhead(row.key));
                self.account(before, 0);
            }
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.vanished = Vanished::NONE;
        let captured = self.next_capture();
        for entry in &mut self.entries {
            entry.marks = 0;
            if let Some(value) = &mut entry.value {
                value.settle(captured.of_key(entry.hash));
            }
        }
    }
}

impl<V: Sealed, const KEYS: usize, const KEY_BYTES: usize> FixedMap<V, KEYS, KEY_BYTES> {
    fn restore_whole(&mut self, row: &Row<'_>, at: Option<usize>) -> Result<(), FixedError> {
        let value = V::read_whole(row.payload)?;
        match at {
            Some(at) => self.replace(at, value),
            None => self.insert(row.key, value, 0)?,
        }
        Ok(())
    }
}

fn no_such_key() -> FixedError {
    Malformed::new("a change of a key that is not there").into()
}

/// More than the length of a key can count does not compile.
///
/// ```compile_fail,E0080
/// use eventflux_core::{FixedMap, FixedPlain};
/// FixedMap::<FixedPlain<1>, 1, 65_536>::new();
/// ```
///
/// As many as it can count do.
///
/// ```
/// use eventflux_core::{FixedMap, FixedPlain};
/// let mut map = FixedMap::<FixedPlain<1>, 1, 65_535>::new();
/// map.set_value([7; 65_535], &1_u8)?;
/// assert_eq!((map.get_value([7; 65_535])?, map.get_value::<u8>([])?), (Some(1_u8), None));
/// # Ok::<(), eventflux_core::FixedError>(())
/// ```
#[cfg(doctest)]
struct KeyBytesThatTheLengthCounts;
