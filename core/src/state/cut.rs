//! Checkpoints of a holder: one cut through all of its states.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::any::StateMap;
use super::holder::StateHolder;
use crate::checkpoint::{Capture, CapturedState, EncodedCheckpoint, Lineage, check_label, plan_rebase};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, Progress};
use crate::tracked::Clock;

/// What is recorded with a checkpoint. The engine has no clock: by default it is of 1970, so give the time if a checkpoint
/// is to be found by it.
#[derive(Debug, Clone, Default)]
pub struct CheckpointRequest {
    /// Now, milliseconds since 1970.
    pub created_ms: i64,
    /// A label makes it a savepoint, which retention keeps.
    pub label: Option<String>,
    /// Positions, outputs, watermarks as of the cut.
    pub progress: Progress,
}

/// Whether a step has captured all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepProgress {
    /// Call again.
    More,
    /// All is captured: take it.
    Done,
}

#[derive(Debug)]
pub(super) struct UnderWay {
    /// Number of the cut.
    cut: u64,
    request: CheckpointRequest,
    /// What the checkpoint builds on.
    lineage: Lineage,
    rebase: Vec<(u16, core::ops::Range<u16>)>,
    /// State the next step goes on with.
    state: usize,
    taken: bool,
}

impl StateHolder {
    /// The cut: what is in the state now is in the checkpoint, what comes later is not. It takes time that does not
    /// depend on the number of keys.
    ///
    /// # Errors
    /// [`Error::CheckpointUnderWay`] if the one before has not ended; [`Error::OverLimit`] for a
    /// label too long; [`Error::CallOrder`] for the state of an engine, whose checkpoints
    /// [`Engine::begin_checkpoint`](crate::Engine::begin_checkpoint) begins. Nothing has changed then.
    pub fn begin(&mut self, request: CheckpointRequest) -> Result<()> {
        self.begin_on(self.lineage.clone(), request)
    }

    /// As [`StateHolder::begin`], of a checkpoint that carries all state itself and needs no other object: for a place
    /// that has no storage to look others up in.
    ///
    /// # Errors
    /// As [`StateHolder::begin`].
    pub fn begin_full(&mut self, request: CheckpointRequest) -> Result<()> {
        self.begin_on(Lineage::default(), request)
    }

    fn begin_on(&mut self, lineage: Lineage, request: CheckpointRequest) -> Result<()> {
        if self.under_way.is_some() {
            return Err(Error::CheckpointUnderWay);
        }
        if self.driven && request.progress.engine.is_none() {
            return Err(Error::CallOrder(
                "this state is an engine's; begin its checkpoints with `Engine::begin_checkpoint`, which records how far \
                 the engine is",
            ));
        }
        check_label(request.label.as_deref())?;
        let cut = self.clock.epoch;
        if cut >= u32::MAX - 1 {
            return Err(Error::OverLimit {
                what: "checkpoints without a restart",
                found: u64::from(cut),
                limit: u64::from(cut),
            });
        }
        let maps = &self.maps;
        let rebase = plan_rebase(&lineage, self.key_groups, maps.iter().map(|map| map.any().live_bytes()));
        self.clock = self.clock.begin();
        for (state, map) in self.maps.iter_mut().enumerate() {
            let mut ranges = rebase.iter().filter(|(of, _)| usize::from(*of) == state).map(|(_, range)| range.clone());
            self.shrunk += map.any_mut().take_shrunk();
            map.any_mut().begin(self.clock, &mut ranges);
        }
        self.cuts += 1;
        self.under_way = Some(UnderWay { cut: self.cuts, request, lineage, rebase, state: 0, taken: false });
        Ok(())
    }

    /// Captures state as of the cut, about `budget` bytes of it, an entry at least.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`].
    pub fn step(&mut self, budget: usize) -> Result<StepProgress> {
        let mut budget = budget.max(1);
        let under_way = self.under_way.as_mut().ok_or(Error::NoCheckpointUnderWay)?;
        while let Some(map) = self.maps.get_mut(under_way.state) {
            if !map.any_mut().step(&mut budget) {
                return Ok(StepProgress::More);
            }
            under_way.state += 1;
        }
        Ok(StepProgress::Done)
    }

    /// The captured checkpoint, owned: the rest of the work may go to another thread.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`], also if it was taken before. Captures what is left first.
    pub fn take_capture(&mut self) -> Result<Capture> {
        while self.step(usize::MAX)? == StepProgress::More {}
        let under_way =
            self.under_way.as_mut().filter(|under_way| !under_way.taken).ok_or(Error::NoCheckpointUnderWay)?;
        let mut states = Vec::with_capacity(self.maps.len());
        for (map, descriptor) in self.maps.iter_mut().zip(&self.descriptors) {
            states.push(CapturedState { rows: map.any_mut().take_captured()?, descriptor: descriptor.clone() });
        }
        under_way.taken = true;
        Ok(Capture {
            holder: self.id.clone(),
            cut: under_way.cut,
            key_groups: self.key_groups,
            request: core::mem::take(&mut under_way.request),
            rebase: core::mem::take(&mut under_way.rebase),
            shrunk: self.shrunk,
            lineage: core::mem::take(&mut under_way.lineage),
            states,
        })
    }

    /// Ends the checkpoint: it is durable and published.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`]; [`Error::CallOrder`] before [`StateHolder::take_capture`], for a checkpoint of
    /// another state, or for one of another cut, such as that of before a restore, whose answer came late.
    pub fn commit(&mut self, checkpoint: &EncodedCheckpoint) -> Result<()> {
        let under_way = self.under_way.as_ref().ok_or(Error::NoCheckpointUnderWay)?;
        if !under_way.taken {
            return Err(Error::CallOrder("the checkpoint under way was not captured; it cannot be durable yet"));
        }
        let of = &checkpoint.manifest;
        if (&of.holder, of.key_groups, &of.states) != (&self.id, self.key_groups, &self.descriptors) {
            return Err(Error::CallOrder(
                "the checkpoint is of another state; commit the one that was captured of this",
            ));
        }
        if checkpoint.cut != under_way.cut {
            return Err(Error::CallOrder(
                "the checkpoint is of another cut than the one under way; commit the one that was captured of it, and leave \
                 the answers of earlier ones alone",
            ));
        }
        self.under_way = None;
        self.shrunk = 0;
        self.clock = self.clock.commit();
        self.maps.iter_mut().for_each(|map| map.any_mut().end(self.clock));
        self.lineage = checkpoint.lineage.clone();
        Ok(())
    }

    /// Ends the checkpoint: it did not become durable. All it held is dirty again.
    ///
    /// # Errors
    /// [`Error::NoCheckpointUnderWay`].
    pub fn abort(&mut self) -> Result<()> {
        self.under_way.take().ok_or(Error::NoCheckpointUnderWay)?;
        self.clock = self.clock.abort();
        self.maps.iter_mut().for_each(|map| map.any_mut().end(self.clock));
        Ok(())
    }

    /// Forgets which checkpoint this state builds on: the next one carries all of it, and so may go to any storage.
    ///
    /// # Errors
    /// [`Error::CheckpointUnderWay`].
    pub fn forget_checkpoints(&mut self) -> Result<()> {
        if self.is_checkpoint_under_way() {
            return Err(Error::CheckpointUnderWay);
        }
        self.lineage = Lineage::default();
        Ok(())
    }

    /// Whether a checkpoint has begun and not ended.
    #[must_use]
    pub fn is_checkpoint_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Takes restored states: all of them, at once.
    pub(crate) fn install(&mut self, maps: Vec<StateMap>, manifest: Arc<Manifest>) {
        self.key_groups = manifest.key_groups;
        self.maps = maps;
        self.clock = Clock::new();
        self.under_way = None;
        self.shrunk = 0;
        self.unresumed = self.driven;
        self.lineage = Lineage::new(manifest);
    }
}
