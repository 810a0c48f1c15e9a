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

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::credit::{Account, Credit};
use crate::format::manifest::Manifest;

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
}

impl Lineage {
    pub(crate) fn new(manifest: Arc<Manifest>) -> Self {
        let mut by_age: Vec<u32> = (0..manifest.bases.len() as u32).collect();
        by_age.sort_by_key(|index| manifest.bases[*index as usize].checkpoint);
        let mut newest_delta = alloc::vec![0; manifest.states.len()];
        for delta in &manifest.deltas {
            let newest = &mut newest_delta[usize::from(delta.state)];
            *newest = delta.checkpoint.max(*newest);
        }
        Lineage(Some(Arc::new(Newest { manifest, by_age, newest_delta })))
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
    let mut credit = credit_of(manifest).to_spend(manifest.sizes.restore_raw, live_total);
    for index in &newest.by_age {
        let base = &manifest.bases[*index as usize];
        if newest.newest_delta[usize::from(base.state)] <= base.checkpoint {
            continue;
        }
        let groups = &live[usize::from(base.state)][usize::from(base.low)..usize::from(base.high)];
        let cost = groups.iter().sum::<u64>();
        if cost > credit {
            break;
        }
        credit -= cost;
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
