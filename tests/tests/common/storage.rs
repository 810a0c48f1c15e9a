//! A storage for tests that several writers share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};

use eventflux_core::{Backend, ByteRange, MemoryBackend, ObjectInfo, Result};

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
