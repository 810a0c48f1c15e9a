//! SQLite, with a write-ahead log that is synced at every commit.
//!
//! The key is an integer and the primary key: faster than bytes.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{Map, Store};
use crate::data::{Entry, Key, Payload};

const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS totals (key INTEGER PRIMARY KEY, value BLOB NOT NULL);";
const CHANGE: &str = "INSERT INTO totals VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// A connection, which may have a transaction open.
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens or makes a database.
    pub fn open(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("a directory of our own");
        let connection = Connection::open(directory.join("database.sqlite")).expect("a good database");
        connection.execute_batch(SETTINGS).expect("a good database");
        Sqlite { connection }
    }
}

impl Store for Sqlite {
    fn change(&mut self, changes: &[Entry]) {
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE").expect("the only writer");
        }
        let mut statement = self.connection.prepare_cached(CHANGE).expect("a good statement");
        for (key, payload) in changes {
            statement.execute((i64::from_be_bytes(*key), payload)).expect("the disk has room");
        }
    }

    fn persist(&mut self) {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT").expect("the disk has room");
        }
    }

    fn get(&self, key: &Key) -> Option<Payload> {
        let mut statement =
            self.connection.prepare_cached("SELECT value FROM totals WHERE key = ?1").expect("a good statement");
        let value = statement.query_row([i64::from_be_bytes(*key)], |row| row.get(0));
        value.optional().expect("a good database")
    }

    fn load(&self) -> Option<Map> {
        let mut statement = self.connection.prepare_cached("SELECT key, value FROM totals").expect("a good statement");
        let mut rows = statement.query(()).expect("a good database");
        let mut map = Map::new();
        while let Some(row) = rows.next().expect("a good database") {
            let key: i64 = row.get_unwrap(0);
            map.insert(key.to_be_bytes(), row.get_unwrap(1));
        }
        Some(map)
    }
}
