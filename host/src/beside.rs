//! Reading beside a writer that goes on: what the head named may be gone by the time it is read, since retention
//! deletes. That is no damage, as long as the head names something else by then.

use eventflux_core::{Backend, Error as CoreError, Head};

use crate::error::{Error, Result};
use crate::manager::read_head;

/// How often what is read is looked for anew.
const ATTEMPTS: u32 = 10;

/// Reads something that the head names, with a newer head if an object that this one named is gone.
///
/// # Errors
/// Those of `read`, which leaves it to the caller to say what of the storage is whole; after ten heads in a row whose objects were deleted meanwhile, what to do about it.
pub(crate) fn read_beside_writer<B: Backend + ?Sized, T>(
    backend: &mut B,
    mut read: impl FnMut(&mut B, &Head) -> Result<T>,
) -> Result<T> {
    let mut head = read_head(backend)?;
    for _ in 0..ATTEMPTS {
        let found = read(backend, &head);
        if !found.as_ref().is_err_and(is_gone) {
            return found;
        }
        let now = read_head(backend)?;
        if now == head {
            return found;
        }
        head = now;
    }
    Err(CoreError::Storage {
        operation: "read",
        object: String::from("checkpoints"),
        reason: String::from(
            "each time they were read, the writer had deleted some of them meanwhile; let it retain more of them, or try \
             again",
        ),
    }
    .into())
}

fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Core(CoreError::ObjectMissing { .. }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manager::{CheckpointManager, ManagerConfig, restore};
    use crate::storage::{Access, FileBackend};
    use eventflux_core::{ByteRange, ObjectInfo, Restore, RestoreOptions, Retention, Selector, StateHolder, drive};
    use tempfile::TempDir;

    /// A storage of one checkpoint, read beside its writer: before each of so many reads that one replaces the checkpoint.
    pub(crate) struct Live {
        reader: FileBackend,
        manager: CheckpointManager<FileBackend>,
        holder: StateHolder,
        round: u32,
        rounds: u32,
        _directory: TempDir,
    }

    impl Live {
        pub(crate) fn new(rounds: u32) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let open = |access| FileBackend::open(directory.path(), access).unwrap();
            let config = ManagerConfig { retention: Retention { max_retained: 1 }, ..ManagerConfig::default() };
            let manager = CheckpointManager::open(open(Access::Write), config).unwrap();
            let holder = StateHolder::builder("live").build().unwrap();
            let reader = open(Access::Read);
            let mut live = Live { reader, manager, holder, round: 0, rounds, _directory: directory };
            live.replace();
            live
        }

        /// A checkpoint that needs nothing of the one before, which goes.
        fn replace(&mut self) {
            self.holder.set("round", &self.round).unwrap();
            self.holder.forget_checkpoints().unwrap();
            self.manager.checkpoint(&mut self.holder, None).unwrap();
        }

        pub(crate) fn newest_head(&mut self) -> Head {
            read_head(&mut self.reader).unwrap()
        }
    }

    impl Backend for Live {
        fn put(&mut self, object: &str, bytes: &[u8]) -> eventflux_core::Result<()> {
            self.reader.put(object, bytes)
        }

        fn read(&mut self, object: &str, range: ByteRange) -> eventflux_core::Result<Option<Vec<u8>>> {
            if self.round < self.rounds {
                self.round += 1;
                self.replace();
            }
            self.reader.read(object, range)
        }

        fn list(&mut self) -> eventflux_core::Result<Vec<ObjectInfo>> {
            self.reader.list()
        }

        fn delete(&mut self, object: &str) -> eventflux_core::Result<()> {
            self.reader.delete(object)
        }

        fn read_head(&mut self) -> eventflux_core::Result<Option<Vec<u8>>> {
            self.reader.read_head()
        }

        fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> eventflux_core::Result<bool> {
            self.reader.swap_head(expected, new)
        }
    }

    fn restored(live: &mut Live, selector: Selector) -> Result<Option<u32>> {
        let mut holder = StateHolder::builder("live").build()?;
        restore(live, &mut holder, selector, RestoreOptions::default())?;
        Ok(holder.get("round")?)
    }

    #[test]
    fn the_newest_is_restored_however_often_it_is_replaced_meanwhile() {
        for rounds in [0, 1, 2, ATTEMPTS - 1] {
            assert_eq!(restored(&mut Live::new(rounds), Selector::Latest).unwrap(), Some(rounds));
        }
    }

    #[test]
    fn what_is_replaced_each_time_says_what_to_do() {
        let error = restored(&mut Live::new(u32::MAX), Selector::Latest).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("let it retain more"), "{error}");
    }

    #[test]
    fn one_that_was_asked_for_by_its_number_is_gone_not_damaged() {
        let error = restored(&mut Live::new(1), Selector::Id(0)).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().as_str()), (1, "no checkpoint with number 0; there are: 1"));
    }

    #[test]
    fn without_a_writer_what_is_gone_is_damage() {
        let mut live = Live::new(0);
        let object = live.newest_head().entries[0].object;
        live.manager.backend_mut().delete(&object.name()).unwrap();
        let error = restored(&mut live, Selector::Latest).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let mut holder = StateHolder::builder("live").build().unwrap();
        let of_core = drive(Restore::object(&mut holder, object, RestoreOptions::default()), &mut live).unwrap_err();
        assert_eq!(of_core, CoreError::ObjectMissing { object: object.name() });
    }
}
