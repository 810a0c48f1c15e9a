//! Tasks divided among threads.
//!
//! Invariants: each task is run once, and all are done when [`run_tasks`] returns.

use super::sync::{Mutex, PoisonError, scope, try_spawn};

/// A piece of work that needs nothing of the others.
type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs tasks, each on a thread of its own as far as threads can be had; one of them is the caller's.
pub fn run_tasks(tasks: Vec<Task<'_>>) {
    let others = tasks.len().saturating_sub(1);
    let tasks = Mutex::new(tasks);
    let work = || {
        while let Some(task) = take_task(&tasks) {
            task();
        }
    };
    scope(|scope| {
        for _ in 0..others {
            // A thread that cannot be had leaves its work to the others.
            try_spawn(scope, work);
        }
        work();
    });
}

fn take_task<'a>(tasks: &Mutex<Vec<Task<'a>>>) -> Option<Task<'a>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner).pop()
}
