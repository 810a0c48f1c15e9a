//! Stores of keyed values, behind one trait: keys of 8 bytes, values of 16, one writer, changes durable in groups.

mod fjall;
mod ours;
mod redb;
mod rocksdb;
mod snapshot;
mod sqlite;

use std::path::Path;

use hashbrown::HashMap;

use crate::data::{Entry, Key, Payload};

pub use self::ours::Ours;

/// A map in memory, which a program can use.
pub type Map = HashMap<Key, Payload>;

/// A store of keyed values in a directory of its own.
pub trait Store {
    /// Changes values. They can be read at once, and need not be durable.
    fn change(&mut self, changes: &[Entry]);

    /// Makes all changes so far durable, and waits for that.
    fn persist(&mut self);

    /// Begins to make all changes so far durable; as much of it as can be is done beside further changes.
    ///
    /// Waits if the one before has not ended. A store that cannot do it beside does it here.
    fn persist_beside(&mut self) {
        self.persist();
    }

    /// Called between changes, to do a little of what [`Store::persist_beside`] began.
    fn turn(&mut self) {}

    /// Whether what [`Store::persist_beside`] began has not ended, so that another would wait.
    fn is_busy(&self) -> bool {
        false
    }

    /// Waits until what [`Store::persist_beside`] began is durable.
    fn finish(&mut self) {}

    /// Reads a value.
    fn get(&self, key: &Key) -> Option<Payload>;

    /// All keys and values in memory; `None` if the store is that itself.
    fn load(&self) -> Option<Map>;
}

/// How a store is called, and how it is opened in a directory, which may hold what it wrote before.
#[derive(Clone, Copy)]
pub struct Rival {
    /// Name in the tables.
    pub name: &'static str,
    /// Opens it.
    pub open: fn(&Path) -> Box<dyn Store>,
}

/// Us.
pub const OURS: Rival = Rival { name: crate::report::OURS, open: |path| Box::new(Ours::open(path)) };
/// RocksDB, its log synced.
pub const ROCKSDB: Rival = Rival {
    name: "RocksDB, synced log",
    open: |path| Box::new(rocksdb::RocksDb::open(path, rocksdb::Durability::Log)),
};
/// RocksDB without its log; a checkpoint instead.
pub const ROCKSDB_CHECKPOINT: Rival = Rival {
    name: "RocksDB, Checkpoint",
    open: |path| Box::new(rocksdb::RocksDb::open(path, rocksdb::Durability::Checkpoint)),
};
/// redb.
pub const REDB: Rival = Rival { name: "redb", open: |path| Box::new(redb::Redb::open(path)) };
/// fjall.
pub const FJALL: Rival = Rival { name: "fjall", open: |path| Box::new(fjall::Fjall::open(path)) };
/// SQLite.
pub const SQLITE: Rival = Rival { name: "SQLite", open: |path| Box::new(sqlite::Sqlite::open(path)) };
/// A hash map and full snapshots.
pub const SNAPSHOT: Rival = Rival { name: "full snapshot", open: |path| Box::new(snapshot::Snapshot::open(path)) };

/// All but us.
pub const RIVALS: [Rival; 6] = [ROCKSDB, ROCKSDB_CHECKPOINT, FJALL, REDB, SQLITE, SNAPSHOT];

/// What the names of the stores stand for, in words.
pub const SETTINGS: &[&str] = &[
    "RocksDB, synced log: WriteBatch into the log, then flush_wal(sync); LZ4, else its defaults",
    "RocksDB, Checkpoint: WriteBatch without log, then Checkpoint (flush and hard links), the one before deleted",
    "fjall: batches, then persist(SyncAll); redb: one transaction, Durability::Immediate",
    "SQLite: INTEGER PRIMARY KEY, WAL, synchronous=FULL, one transaction",
    "full snapshot: hashbrown map, bincode 1 and LZ4, write + fsync + rename + fsync of the directory",
    "EventFlux: CheckpointManager on files, LZ4, 10 checkpoints retained (the defaults)",
];
