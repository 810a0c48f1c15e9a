//! Which key groups get a fresh base with the next checkpoint.
//!
//! There is no periodic full checkpoint. Each checkpoint earns credit for what was dirty
//! ([`COMPACTION_SHARE_PERCENT`](crate::limits::COMPACTION_SHARE_PERCENT) of it) and spends it on new bases for the
//! ranges of key groups whose base is oldest.
//! With share *r* all bases are renewed once for every *1/r* × live bytes of deltas, so that in the
//! long run writing is *1 + r* times the dirty bytes, and what a restore reads is
//! *1 + 1/r* times the live bytes. With *r* = 0.8: 1.8 and 2.25. Skew does not matter: age decides,
//! not which keys are hot.
//!
//! When state shrinks, old bases and deltas outweigh what lives. Then the reserve is spent: the rest up
//! to 2 × the dirty bytes, which every byte now live has paid for when it was written.
//!
//! When state grows, a base of many key groups comes to stand for more than a checkpoint should write at once: that of a
//! job's first checkpoint, which holds nothing, stands for all of them. So a base is cut while that is cheap, if it comes
//! bit by bit: the reserve is spent on one whose live rows, beside those of its largest key group, have come to several
//! sections.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::credit::{Account, Credit};
use crate::format::manifest::{Base, Manifest};
use crate::limits::OUTGROWN_BASE_BYTES;

/// The checkpoint that the state builds on, with what planning wants to know of it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lineage(Option<Arc<Newest>>);

#[derive(Debug)]
struct Newest {
    manifest: Arc<Manifest>,
    /// Indices of the bases, oldest first.
    by_age: Vec<u32>,
    /// Newest checkpoint with a delta, per state.
    newest_delta: Vec<u64>,
    /// Raw bytes that a restore reads, per state.
    read: Vec<u64>,
}

impl Lineage {
    pub(crate) fn new(manifest: Arc<Manifest>) -> Self {
        let mut by_age: Vec<u32> = (0..manifest.bases.len() as u32).collect();
        by_age.sort_by_key(|index| manifest.bases[*index as usize].checkpoint);
        let mut newest_delta = alloc::vec![0; manifest.states.len()];
        let mut read = alloc::vec![0; manifest.states.len()];
        for base in &manifest.bases {
            read[usize::from(base.state)] += base.section.as_ref().map_or(0, |section| section.raw);
        }
        for delta in &manifest.deltas {
            let state = usize::from(delta.state);
            newest_delta[state] = delta.checkpoint.max(newest_delta[state]);
            read[state] += delta.section.raw;
        }
        Lineage(Some(Arc::new(Newest { manifest, by_age, newest_delta, read })))
    }

    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.0.as_ref().map(|newest| &newest.manifest)
    }
}

/// Ranges of key groups, per state, that the next checkpoint writes whole.
///
/// `live` gives for each state the encoded bytes of the live rows of each key group. Ranges of one
/// state come in order and do not touch one another.
pub(crate) fn plan_rebase<'a>(
    lineage: &Lineage,
    key_groups: u16,
    live: impl Iterator<Item = &'a [u64]>,
) -> Vec<(u16, Range<u16>)> {
    let live: Vec<&[u64]> = live.collect();
    let Some(newest) = &lineage.0 else {
        return (0..live.len()).map(|state| (state as u16, 0..key_groups)).collect();
    };
    let manifest = &newest.manifest;
    let mut ranges: Vec<(u16, Range<u16>)> = Vec::new();
    // A state whose rows were migrated, or that is new, has no bases to build on.
    for state in 0..live.len() as u16 {
        if !manifest.bases.iter().any(|base| base.state == state) {
            ranges.push((state, 0..key_groups));
        }
    }
    let live_total: u64 = live.iter().copied().flatten().sum();
    let credit = credit_of(manifest);
    let mut budget = credit.to_spend(manifest.sizes.restore_raw, live_total);
    let groups_of = |base: &Base| &live[usize::from(base.state)][usize::from(base.low)..usize::from(base.high)];
    let live_of = |base: &Base| groups_of(base).iter().sum::<u64>();
    let by_age = || newest.by_age.iter().map(|index| &manifest.bases[*index as usize]);
    let foldable = || by_age().filter(|base| newest.newest_delta[usize::from(base.state)] > base.checkpoint);
    // A key group is never divided: only what is beside the largest can come into other sections.
    let divisible = |base: &Base| live_of(base) - groups_of(base).iter().max().copied().unwrap_or(0);
    // One at a time: many may come to it with the same checkpoint.
    let outgrown = foldable().find(|base| divisible(base) > OUTGROWN_BASE_BYTES);
    if let Some(base) = outgrown {
        // Rows that came since the checkpoint before are written in any case.
        let cost = live_of(base).min(newest.read[usize::from(base.state)]);
        let is_affordable = cost <= credit.to_cut();
        if is_affordable {
            ranges.push((base.state, base.low..base.high));
        }
        // If it does not suffice, it is saved up.
        budget = if is_affordable { budget.saturating_sub(cost) } else { 0 };
    }
    let is_cut = |base: &Base| outgrown.is_some_and(|cut| (cut.state, cut.low) == (base.state, base.low));
    for base in foldable().filter(|base| !is_cut(base)) {
        let cost = live_of(base);
        if cost > budget {
            break;
        }
        budget -= cost;
        ranges.push((base.state, base.low..base.high));
    }
    ranges.sort_unstable_by_key(|(state, range)| (*state, range.start));
    ranges.dedup_by(|next, before| {
        let touches = before.0 == next.0 && before.1.end == next.1.start;
        if touches {
            before.1.end = next.1.end;
        }
        touches
    });
    ranges
}

/// Credit and reserve after a checkpoint.
pub(crate) fn settle_credit(parent: Option<&Manifest>, manifest: &Manifest, base_cost: u64) -> (i64, i64) {
    let (bases, deltas) = (manifest.bases.len() as u64, manifest.deltas.len() as u64);
    let (dirty, restore_raw) = (manifest.sizes.dirty, manifest.sizes.restore_raw);
    let Credit { credit, reserve } =
        Credit::settle(parent.map(credit_of), Account { dirty, bases, deltas, base_cost, restore_raw });
    (credit, reserve)
}

fn credit_of(manifest: &Manifest) -> Credit {
    Credit { credit: manifest.credit, reserve: manifest.reserve }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FORMAT_VERSION;
    use crate::format::manifest::{ObjectId, tests::empty_manifest};
    use crate::limits::STORAGE_BYTES_MAX;

    #[test]
    fn what_adds_up_for_years_still_reads_back() {
        let object = ObjectId { id: 7, generation: 1 };
        let mut manifest = empty_manifest(object);
        manifest.objects = alloc::vec![object];
        for checkpoint in 0..1000 {
            let parent = manifest.clone();
            // All of it dirty and in bases, or only in deltas: what was earned is hardly spent.
            manifest.sizes.dirty = STORAGE_BYTES_MAX / 20;
            manifest.sizes.restore_raw = STORAGE_BYTES_MAX;
            let cost = if checkpoint % 3 == 0 { STORAGE_BYTES_MAX / 100 } else { 0 };
            (manifest.credit, manifest.reserve) = settle_credit(Some(&parent), &manifest, cost);
            assert_eq!(
                Manifest::from_bytes(FORMAT_VERSION, &manifest.to_bytes()).map(|read| read.credit),
                Ok(manifest.credit)
            );
        }
        assert!(manifest.credit > 0 && manifest.reserve > 0);
    }
}
