//! Work for several threads, for callers that have them: the core has none.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A piece of work that needs nothing of the others.
pub type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs independent tasks, for callers that have threads. Tasks may themselves ask for more to be run.
///
/// ```
/// use eventflux_core::{Executor, Task};
///
/// struct Threads(usize);
///
/// impl Executor for Threads {
///     fn parallelism(&self) -> usize {
///         self.0
///     }
///     fn run(&self, tasks: Vec<Task<'_>>) {
///         std::thread::scope(|scope| {
///             for task in tasks {
///                 scope.spawn(task);
///             }
///         });
///     }
/// }
/// ```
pub trait Executor: Sync {
    /// How many tasks can go on at once.
    fn parallelism(&self) -> usize;

    /// Runs all tasks, in any order or at once; returns when all are done.
    fn run(&self, tasks: Vec<Task<'_>>);
}
