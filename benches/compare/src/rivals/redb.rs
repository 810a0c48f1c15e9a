//! redb: a tree, copied on write.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::{Map, Store};
use crate::data::{Entry, Key, Payload};

const TABLE: TableDefinition<'_, &Key, &Payload> = TableDefinition::new("totals");

/// A database, and the transaction that has the changes.
pub struct Redb {
    database: Database,
    changes: Option<WriteTransaction>,
}

impl Redb {
    /// Opens or makes a database.
    pub fn open(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("a directory of our own");
        let database = Database::create(directory.join("database.redb")).expect("a good database");
        Redb { database, changes: None }
    }
}

impl Store for Redb {
    fn change(&mut self, changes: &[Entry]) {
        let transaction = self.changes.get_or_insert_with(|| self.database.begin_write().expect("the only writer"));
        let mut table = transaction.open_table(TABLE).expect("a good database");
        for (key, payload) in changes {
            table.insert(key, payload).expect("the disk has room");
        }
    }

    fn persist(&mut self) {
        if let Some(transaction) = self.changes.take() {
            transaction.commit().expect("the disk has room");
        }
    }

    fn get(&self, key: &Key) -> Option<Payload> {
        let transaction = self.database.begin_read().expect("a good database");
        let table = transaction.open_table(TABLE).expect("a good database");
        table.get(key).expect("a good database").map(|value| *value.value())
    }

    fn load(&self) -> Option<Map> {
        let transaction = self.database.begin_read().expect("a good database");
        let table = transaction.open_table(TABLE).expect("a good database");
        let mut map = Map::new();
        for entry in table.iter().expect("a good database") {
            let (key, value) = entry.expect("a good database");
            map.insert(*key.value(), *value.value());
        }
        Some(map)
    }
}
