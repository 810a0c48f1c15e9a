//! Storages for tests: one that several writers share, and one that fails on command.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};

use eventflux_core::{Backend, ByteRange, Error, MemoryBackend, ObjectInfo, Result};

/// A storage in memory that lives on when one of its users is gone.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<MemoryBackend>>);

impl Shared {
    /// The storage as it is now.
    pub fn snapshot(&self) -> MemoryBackend {
        self.0.lock().unwrap().clone()
    }

    /// Puts a storage in its place.
    pub fn replace(&self, storage: MemoryBackend) {
        *self.0.lock().unwrap() = storage;
    }

    /// Names of the objects, in order.
    pub fn objects(&self) -> Vec<String> {
        self.0.lock().unwrap().objects_mut().keys().cloned().collect()
    }
}

impl Backend for Shared {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        let storage = &mut self.0.lock().unwrap();
        let before = storage.read(object, ByteRange::All)?;
        assert!(before.is_none_or(|before| before == bytes), "{object}: names are written once");
        storage.put(object, bytes)
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.0.lock().unwrap().read(object, range)
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        self.0.lock().unwrap().list()
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.0.lock().unwrap().delete(object)
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.0.lock().unwrap().read_head()
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        self.0.lock().unwrap().swap_head(expected, new)
    }
}

/// What goes wrong at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not happen, nor does any after it: the process died before.
    DiesBefore,
    /// It happens, and nothing after it: the process died before the answer came.
    DiesAfter,
    /// It does not happen; those after it do.
    Fails,
    /// It happens, but the answer says that it failed; those after it do.
    FailsAfter,
}

/// A storage in which the operation of a number goes wrong, once armed.
#[derive(Debug)]
pub struct Faulty<B> {
    inner: B,
    armed: Option<(u64, Fault)>,
    /// Operations so far.
    pub operations: u64,
}

impl<B: Backend> Faulty<B> {
    pub fn new(inner: B) -> Self {
        Faulty { inner, armed: None, operations: 0 }
    }

    /// The operation after `after` more goes wrong.
    pub fn arm(&mut self, after: u64, fault: Fault) {
        self.armed = Some((self.operations + after, fault));
    }

    pub fn disarm(&mut self) {
        self.armed = None;
    }

    fn run<T>(&mut self, operation: impl FnOnce(&mut B) -> Result<T>) -> Result<T> {
        let at = self.operations;
        self.operations += 1;
        let failed = || Error::Storage { operation: "test", object: String::new(), reason: "as told".into() };
        match self.armed {
            Some((faulty, Fault::DiesBefore)) if at >= faulty => Err(failed()),
            Some((faulty, Fault::DiesAfter)) if at > faulty => Err(failed()),
            Some((faulty, Fault::Fails)) if at == faulty => Err(failed()),
            Some((faulty, Fault::DiesAfter | Fault::FailsAfter)) if at == faulty => {
                operation(&mut self.inner)?;
                Err(failed())
            }
            _ => operation(&mut self.inner),
        }
    }
}

impl<B: Backend> Backend for Faulty<B> {
    fn put(&mut self, object: &str, bytes: &[u8]) -> Result<()> {
        self.run(|inner| inner.put(object, bytes))
    }

    fn read(&mut self, object: &str, range: ByteRange) -> Result<Option<Vec<u8>>> {
        self.run(|inner| inner.read(object, range))
    }

    fn list(&mut self) -> Result<Vec<ObjectInfo>> {
        self.run(Backend::list)
    }

    fn delete(&mut self, object: &str) -> Result<()> {
        self.run(|inner| inner.delete(object))
    }

    fn read_head(&mut self) -> Result<Option<Vec<u8>>> {
        self.run(Backend::read_head)
    }

    fn swap_head(&mut self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        self.run(|inner| inner.swap_head(expected, new))
    }
}
