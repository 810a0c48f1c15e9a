//! fjall: a log-structured tree in Rust.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Map, Store};
use crate::data::{Entry, Key, Payload};

/// A database with one keyspace.
pub struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

impl Fjall {
    /// Opens or makes a database.
    pub fn open(directory: &Path) -> Self {
        let database = Database::builder(directory).open().expect("a good database");
        let keyspace = database.keyspace("totals", KeyspaceCreateOptions::default).expect("a good database");
        Fjall { database, keyspace }
    }
}

impl Store for Fjall {
    fn change(&mut self, changes: &[Entry]) {
        let mut batch = self.database.batch();
        for (key, payload) in changes {
            batch.insert(&self.keyspace, *key, *payload);
        }
        batch.commit().expect("the disk has room");
    }

    fn persist(&mut self) {
        self.database.persist(PersistMode::SyncAll).expect("the disk has room");
    }

    fn get(&self, key: &Key) -> Option<Payload> {
        let value = self.keyspace.get(key).expect("a good database")?;
        value.as_ref().try_into().ok()
    }

    fn load(&self) -> Option<Map> {
        let mut map = Map::new();
        for entry in self.keyspace.iter() {
            let (key, value) = entry.into_inner().expect("a good database");
            map.insert(key.as_ref().try_into().expect("8 bytes"), value.as_ref().try_into().expect("16 bytes"));
        }
        Some(map)
    }
}
