//! What runs on several threads: jobs handed to one, tasks divided among many.

mod handoff;
mod sync;
mod tasks;

pub(crate) use handoff::{Gone, HandOff};
pub(crate) use tasks::run_tasks;

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest is tried under shuttle's scheduler, in `tests/tests/threads_model.rs`, which does not survive panics.
    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let work = |job: u32| {
            assert_ne!(job, 1, "this panic is a part of the test");
            Some(job)
        };
        for _ in 0..50 {
            let worker = HandOff::start("worker", work).unwrap();
            worker.hand_over(0).unwrap();
            assert_eq!(worker.wait(), Ok(0));
            worker.hand_over(1).unwrap();
            assert_eq!(worker.wait(), Err(Gone));
            assert_eq!(worker.hand_over(2), Err(Gone));
            assert_eq!(worker.poll(), Some(Err(Gone)));
        }
    }
}
