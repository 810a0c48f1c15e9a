//! Bounds on what one instance holds.

use wasmtime::ResourceLimiter;

/// Core instances of one plugin: a component that was made from one module has three or so.
const INSTANCES_MAX: usize = 16;
const TABLES_MAX: usize = 16;
const MEMORIES_MAX: usize = 8;
/// Elements of one table.
const TABLE_ELEMENTS_MAX: usize = 20_000;

/// Counts the memory of an instance, over all of its memories.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_max: u64,
    memory: u64,
    /// What was added last, and may turn out not to be there.
    added: u64,
    /// Whether memory was refused since the last call began.
    pub(super) refused: bool,
}

impl Limiter {
    pub(super) fn new(memory_max: u64) -> Self {
        Limiter { memory_max, memory: 0, added: 0, refused: false }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        // Only what is granted now can turn out to fail.
        self.added = 0;
        if most.is_some_and(|most| desired > most) {
            // It is the memory's own bound that refuses it.
            return Ok(false);
        }
        let added = desired.saturating_sub(current) as u64;
        let allowed = self.memory + added <= self.memory_max;
        if allowed {
            self.memory += added;
            self.added = added;
        }
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory -= std::mem::take(&mut self.added);
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap(), "another memory");
        assert!(!limiter.memory_growing(60, 61, None).unwrap() && limiter.refused);
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert!(!limiter.memory_growing(60, 90, Some(80)).unwrap());
        let mut limiter = Limiter::new(100);
        assert!(!limiter.memory_growing(0, 90, Some(80)).unwrap() && !limiter.refused, "not there, and not counted");
        assert!(limiter.memory_growing(0, 90, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("there is no more")).unwrap();
        assert!(limiter.memory_growing(0, 100, Some(100)).unwrap());
        assert!(limiter.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(!limiter.table_growing(0, TABLE_ELEMENTS_MAX + 1, None).unwrap());
    }
}
