//! What compaction earns and spends, in bytes: the numbers of `checkpoint/compaction.rs`, which says why.

use crate::limits::{
    COMPACTION_SHARE_PERCENT, DELTAS_COUNTED_MAX, DELTAS_COUNTED_SHARE, OUTGROWN_BASE_BYTES, RESTORE_READ_PERCENT_HIGH,
    SECTION_NAMING_BYTES, STORAGE_BYTES_MAX,
};

/// What the checkpoints so far have left to spend on bases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    /// Bytes compaction may still write for what was dirty so far.
    pub(crate) credit: i64,
    /// Bytes all bases so far stayed below the bound on writing: what may be spent when state shrinks.
    pub(crate) reserve: i64,
}

/// One checkpoint, as far as it earns and spends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// Bytes of state that changed since the parent.
    pub(crate) dirty: u64,
    /// Bases of a restore of it.
    pub(crate) bases: u64,
    /// Deltas of a restore of it.
    pub(crate) deltas: u64,
    /// Bytes that its bases cost beyond what was dirty in them.
    pub(crate) base_cost: u64,
    /// Raw bytes that a restore of it reads.
    pub(crate) restore_raw: u64,
}

impl Credit {
    /// Bytes that the next checkpoint may spend, if a restore now reads `restore_raw` bytes of which `live` are live.
    pub(crate) fn to_spend(self, restore_raw: u64, live: u64) -> u64 {
        let reads_too_much = restore_raw * 100 > live * RESTORE_READ_PERCENT_HIGH;
        let reserve = if reads_too_much { self.reserve.max(0) as u64 } else { 0 };
        self.credit.max(0) as u64 + reserve
    }

    /// Bytes that the next checkpoint may spend on bases that stand for too much: all there is, and a little beyond.
    pub(crate) fn to_cut(self) -> u64 {
        (self.credit + self.reserve + OUTGROWN_BASE_BYTES as i64).max(0) as u64
    }

    /// After a checkpoint: what was dirty earns, what bases cost beyond it is paid.
    pub(crate) fn settle(parent: Option<Credit>, account: Account) -> Credit {
        let Some(parent) = parent else {
            // The first checkpoint is nothing but dirty: all of it goes to the reserve.
            return Credit { credit: 0, reserve: account.dirty as i64 };
        };
        // Where deltas are smaller than what it takes to name them, fewer of them are worth more.
        let many = account.deltas.saturating_sub(DELTAS_COUNTED_MAX);
        let counted = account.bases + account.deltas - many + many / DELTAS_COUNTED_SHARE;
        let earned = account.dirty.max(counted * SECTION_NAMING_BYTES);
        let share = earned * COMPACTION_SHARE_PERCENT / 100;
        let credit = parent.credit + share as i64 - account.base_cost as i64;
        let reserve = parent.reserve + (earned - share) as i64;
        // Spent beyond the credit: that was the reserve.
        let (credit, reserve) = if credit < 0 { (0, reserve + credit) } else { (credit, reserve) };
        // More than what there is to renew is never spent, and would add up for as long as the job lives.
        let reserve = reserve.min(account.restore_raw.saturating_mul(2) as i64);
        let most = STORAGE_BYTES_MAX as i64;
        Credit { credit: credit.clamp(0, most), reserve: reserve.clamp(-most, most) }
    }
}
