//! Bytes of rows that were removed, as far as the next checkpoint has to tell of it.

/// Encoded bytes of rows that vanished since the newest cut, by which checkpoint has them: what no checkpoint has is no
/// change to the one that the next builds on. Which one that is, is known once the one under way has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vanished {
    known: u64,
    /// In the checkpoint under way, and in none that is durable.
    if_durable: u64,
    /// In the durable one, and no longer in the one under way.
    if_aborted: u64,
}

impl Vanished {
    pub(crate) const NONE: Self = Vanished { known: 0, if_durable: 0, if_aborted: 0 };

    /// A row went: of a key that the durable checkpoint has `never` had, that was `sent` to the one under way, as `absent`
    /// perhaps.
    pub(crate) fn add(&mut self, encoded: u64, never: bool, sent: bool, absent: bool) {
        let is_in_next = !(never && !sent || absent);
        match (is_in_next, !never) {
            (true, true) => self.known += encoded,
            (true, false) => self.if_durable += encoded,
            (false, true) => self.if_aborted += encoded,
            (false, false) => {}
        }
    }

    /// The checkpoint under way has ended.
    pub(crate) fn end(&mut self, durable: bool) {
        let known = self.known + if durable { self.if_durable } else { self.if_aborted };
        *self = Vanished { known, ..Self::NONE };
    }

    /// What the next checkpoint has to tell; starts anew. None is under way.
    pub(crate) fn take(&mut self) -> u64 {
        core::mem::replace(self, Self::NONE).known
    }

    /// As [`Vanished::take`], and keeps it.
    pub(crate) fn known(&self) -> u64 {
        self.known
    }
}
