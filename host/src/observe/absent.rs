//! What stands in for the metrics where they are not built in: the same names, and nothing behind
//! them.

use eventflux_core::{EncodedCheckpoint, Engine, Error, Published, StateHolder};

use super::Phase;

#[derive(Debug)]
pub(crate) struct Stopwatch;

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch
    }

    pub(crate) fn stop(self, _: &str, _: Phase) {}

    pub(crate) fn stop_restore(self, _: &str) {}
}

#[derive(Debug)]
pub(crate) struct Spent;

impl Spent {
    pub(crate) fn none() -> Self {
        Spent
    }

    pub(crate) fn add(&mut self, _: Stopwatch) {}

    pub(crate) fn record(self, _: &str, _: Phase) {}
}

#[derive(Debug)]
pub(crate) struct RunMetrics;

impl RunMetrics {
    pub(crate) fn new(_: &str, _: &Engine) -> Self {
        RunMetrics
    }

    pub(crate) fn refresh(&mut self, _: &Engine) {}
}

pub(crate) fn checkpoint_published(_: &EncodedCheckpoint, _: &Published) {}

pub(crate) fn checkpoint_failed(_: &str, _: &Error) {}

pub(crate) fn sync_failed(_: &str) {}

pub(crate) fn builds_on(_: &str, _: i64) {}

pub(crate) fn state_sizes(_: &StateHolder) {}
