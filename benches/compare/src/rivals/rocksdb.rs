//! RocksDB, made durable either way that programs use.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, DBCompressionType, IteratorMode, Options, WriteBatch};

use super::{Map, Store};
use crate::data::{Entry, Key, Payload};

/// What makes changes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The write-ahead log, synced.
    Log,
    /// No log; a checkpoint of the whole database, as stream processors take them.
    Checkpoint,
}

/// A database, and its newest checkpoint.
pub struct RocksDb {
    database: Arc<DB>,
    durability: Durability,
    checkpoints: PathBuf,
    taken: u64,
    beside: Option<JoinHandle<()>>,
}

impl RocksDb {
    /// Opens or makes a database.
    pub fn open(directory: &Path, durability: Durability) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        let checkpoints = directory.join("checkpoints");
        fs::create_dir_all(&checkpoints).expect("a directory of our own");
        let database = Arc::new(DB::open(&options, directory.join("database")).expect("a good database"));
        RocksDb { database, durability, checkpoints, taken: 0, beside: None }
    }

    /// What a checkpoint takes: the new one, then the one before goes.
    fn checkpoint(&mut self) -> impl FnOnce() + Send + use<> {
        let name = |number: u64| self.checkpoints.join(number.to_string());
        let (new, old, database) = (name(self.taken + 1), name(self.taken), Arc::clone(&self.database));
        self.taken += 1;
        move || {
            let checkpoint = Checkpoint::new(&database).expect("memory has room");
            checkpoint.create_checkpoint(new).expect("the disk has room");
            // There is none before the first.
            let _ = fs::remove_dir_all(old);
        }
    }
}

impl Store for RocksDb {
    fn change(&mut self, changes: &[Entry]) {
        let mut batch = WriteBatch::default();
        for (key, payload) in changes {
            batch.put(key, payload);
        }
        let written = match self.durability {
            Durability::Log => self.database.write(batch),
            Durability::Checkpoint => self.database.write_without_wal(batch),
        };
        written.expect("the disk has room");
    }

    fn persist(&mut self) {
        match self.durability {
            Durability::Log => self.database.flush_wal(true).expect("the disk has room"),
            Durability::Checkpoint => self.checkpoint()(),
        }
    }

    fn persist_beside(&mut self) {
        if self.durability == Durability::Log {
            return self.persist();
        }
        self.finish();
        self.beside = Some(thread::spawn(self.checkpoint()));
    }

    fn is_busy(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| !beside.is_finished())
    }

    fn finish(&mut self) {
        if let Some(beside) = self.beside.take() {
            beside.join().expect("the disk has room");
        }
    }

    fn get(&self, key: &Key) -> Option<Payload> {
        let value = self.database.get_pinned(key).expect("a good database")?;
        value.as_ref().try_into().ok()
    }

    fn load(&self) -> Option<Map> {
        let mut map = Map::new();
        for entry in self.database.iterator(IteratorMode::Start) {
            let (key, value) = entry.expect("a good database");
            map.insert((*key).try_into().expect("8 bytes"), (*value).try_into().expect("16 bytes"));
        }
        Some(map)
    }
}
