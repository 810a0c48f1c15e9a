//! Damage of what is stored, with an allocator that counts.

#[path = "../common"]
mod common {
    pub mod bulk;
    pub mod contents;
    pub mod object;
    pub mod states;
    pub mod storages;
}

mod columns;
mod engine;
mod objects;
mod references;

/// What something gives, and the bytes of memory it took at most, beside what there was before. Counted is this thread,
/// so that tests may run side by side; the procedures of the core start no other.
fn measured<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let mut outcome = None;
    let counted = allocation_counter::measure(|| outcome = Some(run()));
    (outcome.expect("it has run"), counted.bytes_max as usize)
}
