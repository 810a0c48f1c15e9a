//! What programs without a store do: a hash map, all of it written each time.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Map, Store};
use crate::data::{Entry, Key, Payload};
use crate::floor::write_durably;

const FILE: &str = "snapshot";

/// A map, and where its snapshots go.
pub struct Snapshot {
    map: Map,
    directory: PathBuf,
}

impl Snapshot {
    /// Reads the snapshot if there is one.
    pub fn open(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("a directory of our own");
        let map = match fs::read(directory.join(FILE)) {
            Ok(bytes) => {
                let rows = lz4_flex::block::decompress_size_prepended(&bytes).expect("a good snapshot");
                bincode::deserialize::<Vec<Entry>>(&rows).expect("a good snapshot").into_iter().collect()
            }
            Err(_) => Map::new(),
        };
        Snapshot { map, directory: directory.into() }
    }
}

impl Store for Snapshot {
    fn change(&mut self, changes: &[Entry]) {
        self.map.extend(changes.iter().copied());
    }

    fn persist(&mut self) {
        // Bytes of a map and of a list of entries are the same in bincode.
        let rows = bincode::serialize(&MapRows(&self.map)).expect("memory has room");
        let bytes = lz4_flex::block::compress_prepend_size(&rows);
        write_durably(&self.directory, FILE, &bytes).expect("the disk has room");
    }

    fn get(&self, key: &Key) -> Option<Payload> {
        self.map.get(key).copied()
    }

    fn load(&self) -> Option<Map> {
        None
    }
}

struct MapRows<'a>(&'a Map);

impl serde::Serialize for MapRows<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}
