//! A storage that fails as it is told.

use eventflux_core::{Backend, ByteRange, Error, ObjectInfo, Result};

use super::{HEAD, Operation};

/// How an operation goes wrong. Whatever it does, the storage inside stays what a storage may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not happen; those after it do: an answer of "busy", a full disk that is cleared.
    Fails,
    /// It happens, but the answer says that it failed; those after it work: an answer that was lost.
    FailsAfter,
    /// It does not happen, nor does any after it: the process died before, the network is gone.
    DiesBefore,
    /// It happens, but the answer says that it failed, and nothing after it happens: the process died
    /// before the answer came.
    DiesAfter,
}

/// A storage in which chosen operations go wrong, once it is armed: to try what a program does then.
///
/// ```
/// use eventflux::storage::{Fault, FaultBackend, Operation};
/// use eventflux::{CheckpointManager, ManagerConfig, MemoryBackend, StateHolder};
/// # fn main() -> eventflux::Result<()> {
/// let storage = FaultBackend::new(MemoryBackend::new());
/// let mut manager = CheckpointManager::open(storage, ManagerConfig::default())?;
/// let mut orders = StateHolder::builder("orders").build()?;
/// orders.set("eu", &3_u32)?;
///
/// // The next object cannot be put: there is no checkpoint, and nothing is lost.
/// manager.backend_mut().arm_on(&[Operation::Put], 0, Fault::Fails);
/// assert!(manager.checkpoint(&mut orders, None).is_err());
/// assert!(manager.latest().is_none());
/// manager.checkpoint(&mut orders, None)?;
///
/// // The head is swapped, but the answer is lost: the checkpoint is recognised as published.
/// manager.backend_mut().arm_on(&[Operation::SwapHead], 0, Fault::FailsAfter);
/// manager.checkpoint(&mut orders, None)?;
/// assert_eq!(manager.list().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultBackend<B> {
    inner: B,
    armed: Option<Armed>,
    operations: u64,
}

#[derive(Debug)]
struct Armed {
    on: Vec<Operation>,
    /// Operations of these kinds that still go well.
    before: u64,
    fault: Fault,
    /// It has struck; whether it goes on depends on the fault.
    has_struck: bool,
}

/// What becomes of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Happens,
    HappensUnheard,
    DoesNotHappen,
}

impl<B> FaultBackend<B> {
    /// A storage in which nothing goes wrong yet.
    pub fn new(inner: B) -> Self {
        FaultBackend { inner, armed: None, operations: 0 }
    }

    /// After `after` more operations the next one, of whatever kind, goes wrong.
    pub fn arm(&mut self, after: u64, fault: Fault) {
        self.arm_on(&Operation::ALL, after, fault);
    }

    /// After `after` more operations of these kinds the next one of them goes wrong. All other
    /// operations work, also after a fault that stays.
    pub fn arm_on(&mut self, operations: &[Operation], after: u64, fault: Fault) {
        self.armed = Some(Armed { on: operations.to_vec(), before: after, fault, has_struck: false });
    }

    /// From now on nothing goes wrong.
    pub fn disarm(&mut self) {
        self.armed = None;
    }

    /// Operations so far, those that failed among them.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The storage inside, which does as it is asked.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The storage inside.
    pub fn into_inner(self) -> B {
        self.inner
    }

    fn run<T>(&mut self, operation: Operation, object: &str, work: impl FnOnce(&mut B) -> Result<T>) -> Result<T> {
        self.operations += 1;
        let fate = self.armed.as_mut().map_or(Fate::Happens, |armed| armed.fate(operation));
        if fate != Fate::DoesNotHappen {
            let answer = work(&mut self.inner);
            if fate == Fate::Happens || answer.is_err() {
                return answer;
            }
        }
        let reason = String::from("a fault, as told");
        Err(Error::Storage { operation: operation.as_str(), object: object.into(), reason })
    }
}

impl Armed {
    fn fate(&mut self, operation: Operation) -> Fate {
        if !self.on.contains(&operation) {
            return Fate::Happens;
        }
        if self.has_struck {
            let is_dead = matches!(self.fault, Fault::DiesBefore | Fault::DiesAfter);
            return if is_dead { Fate::DoesNotHappen } else { Fate::Happens };
        }
        if self.before > 0 {
            self.before -= 1;
            return Fate::Happens;
        }
        self.has_struck = true;
        match self.fault {
            Fault::Fails | Fault::DiesBefore => Fate::DoesNotHappen,
            Fault::FailsAfter | Fault::DiesAfter => Fate::HappensUnheard,
        }
    }
}

impl<B: Backend> Backend for FaultBackend<B> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        self.run(Operation::Put, object, |inner| inner.put(object, bytes))
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.run(Operation::Read, object, |inner| inner.read(object, range))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        self.run(Operation::List, "", Backend::list)
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.run(Operation::Delete, object, |inner| inner.delete(object))
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.run(Operation::ReadHead, HEAD, Backend::read_head)
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        self.run(Operation::SwapHead, HEAD, |inner| inner.swap_head(expected, new))
    }
}
