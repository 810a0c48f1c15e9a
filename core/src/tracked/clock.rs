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
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { epoch: EPOCH_FIRST, under_way: NO_CUT, committed: EPOCH_RESTORED }
    }
}
