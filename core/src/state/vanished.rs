//! Bytes that rows lost, as far as the next checkpoint has to tell of it.

/// Encoded bytes by which rows shrank, or that were theirs and went with them, since the newest cut. What the checkpoint
/// that the next one builds on does not have is no change to it; which one that is, is known once the one under way has
/// ended. While none is, both are the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vanished {
    if_durable: u64,
    if_aborted: u64,
}

impl Vanished {
    pub(crate) const NONE: Self = Vanished { if_durable: 0, if_aborted: 0 };

    /// A row shrank or went, of a key that the durable checkpoint has `never` had, that was `sent` to the one under way, as
    /// `absent` perhaps. In each mask one bit of them is about it.
    pub(crate) fn add(&mut self, encoded: u64, bit: u32, [never, sent, absent]: [u32; 3]) {
        if !(never & !sent | absent) & bit != 0 {
            self.if_durable += encoded;
        }
        if !never & bit != 0 {
            self.if_aborted += encoded;
        }
    }

    /// The checkpoint under way has ended.
    pub(crate) fn end(&mut self, durable: bool) {
        let known = if durable { self.if_durable } else { self.if_aborted };
        *self = Vanished { if_durable: known, if_aborted: known };
    }

    /// What the next checkpoint has to tell. None is under way.
    pub(crate) fn known(self) -> u64 {
        self.if_durable
    }
}
