//! Watching a program: spans of `tracing`, and metrics through the facade `metrics`.
//!
//! Spans, from any subscriber, at level `info`: `open` of a storage, `checkpoint`, `restore` and
//! `prune`. Below `checkpoint`, at level `debug`, its parts in their order: `cut`, `capture` (entered
//! for each slice between events), `sync` of the output, `encode`, `put` of the object, `publish` of
//! the head, and `prune` where retention deletes something.
//!
//! Metrics, with the cargo feature `metrics`, go to the recorder that the program installs;
//! `describe` tells it what they mean, `refresh` brings those up to date that change by themselves.
//! `eventflux run --metrics` does all of it. Without the feature nothing is recorded, and nothing of
//! it is in the program.

#[cfg(not(feature = "metrics"))]
pub(crate) mod absent;
mod checkpoint;
#[cfg(feature = "metrics")]
pub(crate) mod facade;
mod phases;
#[cfg(feature = "metrics")]
pub(crate) mod serve;

#[cfg(not(feature = "metrics"))]
pub(crate) use absent as recorder;
pub(crate) use checkpoint::{CheckpointWatch, encode, sync};
#[cfg(feature = "metrics")]
pub(crate) use facade as recorder;
#[cfg(feature = "metrics")]
pub use facade::{DURATION_BUCKETS, describe, refresh};
pub(crate) use phases::PhaseBackend;

/// Target of the spans, whichever module makes them: what log filters name.
pub(crate) const TARGET: &str = "eventflux::observe";

/// A part of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Cut,
    Capture,
    Sync,
    Encode,
    Put,
    Publish,
    Prune,
    /// From the cut until it is published.
    Total,
}

#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "spans have names of their own"))]
impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Cut => "cut",
            Phase::Capture => "capture",
            Phase::Sync => "sync",
            Phase::Encode => "encode",
            Phase::Put => "put",
            Phase::Publish => "publish",
            Phase::Prune => "prune",
            Phase::Total => "total",
        }
    }
}
