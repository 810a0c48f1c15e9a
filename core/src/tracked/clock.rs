//! Where the checkpoints of a holder stand.

/// No epoch: nothing is under way.
pub(crate) const NO_CUT: u32 = 0;
/// Epoch of entries that came from a checkpoint.
const EPOCH_RESTORED: u32 = 1;
/// Epoch in which a new or restored map starts.
const EPOCH_FIRST: u32 = 2;

/// Where the checkpoints of a holder stand; each of its maps has the same copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Epoch that writes belong to.
    pub(crate) epoch: u32,
    /// Epoch of the cut being captured or published, or [`NO_CUT`].
    pub(crate) under_way: u32,
    /// Epoch of the newest durable cut.
    pub(crate) committed: u32,
    /// What a page may know of last and be settled: the first such cut, and how many more. Kept, since
    /// each write asks.
    settled: (u32, u32),
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { epoch: EPOCH_FIRST, under_way: NO_CUT, committed: EPOCH_RESTORED, settled: (0, 0) }.settle()
    }

    /// A cut: what is written from now on belongs to the next epoch.
    pub(crate) fn begin(self) -> Self {
        Clock { epoch: self.epoch + 1, under_way: self.epoch, ..self }.settle()
    }

    /// The cut under way is durable.
    pub(crate) fn commit(self) -> Self {
        Clock { under_way: NO_CUT, committed: self.under_way, ..self }.settle()
    }

    /// The cut under way came to nothing.
    pub(crate) fn abort(self) -> Self {
        Clock { under_way: NO_CUT, ..self }.settle()
    }

    fn settle(self) -> Self {
        let settled = if self.under_way == NO_CUT { (NO_CUT, self.committed) } else { (self.under_way, 0) };
        Clock { settled, ..self }
    }

    /// Whether a page that knows of no cut after this one is settled: it is the one under way, or
    /// none is, and it became durable.
    #[inline]
    pub(super) fn is_settled(self, frozen_at: u32) -> bool {
        frozen_at.wrapping_sub(self.settled.0) <= self.settled.1
    }
}
