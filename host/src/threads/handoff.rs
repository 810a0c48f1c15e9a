//! Jobs to a thread of its own, and their outcomes back.
//!
//! This file knows neither checkpoints nor which threads and channels it has: `super::sync` says. A test
//! includes it with those of a randomised scheduler, which tries thousands of orders of steps.
//!
//! Invariants:
//! - each job that was taken has one outcome, in the order of the jobs, or the thread is gone;
//! - once the thread is gone whoever asks is told, and does not wait;
//! - dropping this waits for the jobs that were handed over: they are done, their outcomes are lost.

use std::io;

use super::sync::{Builder, JoinHandle, Receiver, Sender, TryRecvError, channel};

/// The thread ended, which it does only by a panic: no more outcomes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// A thread that does jobs one after the other.
#[derive(Debug)]
pub struct HandOff<J, O> {
    jobs: Option<Sender<J>>,
    outcomes: Receiver<O>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static, O: Send + 'static> HandOff<J, O> {
    /// Starts the thread. It ends when this is dropped, or when `work` has no outcome.
    pub fn start(name: &str, mut work: impl FnMut(J) -> Option<O> + Send + 'static) -> io::Result<Self> {
        let (jobs, received) = channel::<J>();
        let (outcome, outcomes) = channel();
        let run = move || {
            for job in received {
                let Some(done) = work(job) else { return };
                if outcome.send(done).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name(name.into()).spawn(run)?;
        Ok(HandOff { jobs: Some(jobs), outcomes, thread: Some(thread) })
    }

    /// Gives the thread a job.
    pub fn hand_over(&self, job: J) -> Result<(), Gone> {
        self.jobs.as_ref().ok_or(Gone)?.send(job).map_err(|_| Gone)
    }

    /// The next outcome, if it is there.
    pub fn poll(&self) -> Option<Result<O, Gone>> {
        match self.outcomes.try_recv() {
            Ok(outcome) => Some(Ok(outcome)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(Gone)),
        }
    }

    /// Waits for the next outcome; there must be a job that has none yet.
    pub fn wait(&self) -> Result<O, Gone> {
        self.outcomes.recv().map_err(|_| Gone)
    }
}

impl<J, O> Drop for HandOff<J, O> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
