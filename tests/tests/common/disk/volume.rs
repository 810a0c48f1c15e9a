//! What is on the disk: files and directories as processes see them, and what is durable of them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::sync::Arc;

/// Bytes that are written all or not at all.
pub const SECTOR: usize = 512;
const ROOT: u64 = 0;

/// Cheap to clone: what does not change is shared.
#[derive(Clone)]
pub struct Volume {
    pub(super) nodes: BTreeMap<u64, Arc<Node>>,
    next: u64,
}

#[derive(Clone)]
pub(super) enum Node {
    File(FileNode),
    Directory(DirectoryNode),
}

#[derive(Clone, Default)]
pub(super) struct FileNode {
    pub(super) cached: Arc<Vec<u8>>,
    /// As of before all `changes`.
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) changes: Vec<(DataChange, Fate)>,
}

#[derive(Clone)]
pub(super) enum DataChange {
    Sector { index: usize, bytes: Arc<Vec<u8>> },
    Length(usize),
}

type Names = BTreeMap<String, u64>;

#[derive(Clone, Default)]
pub(super) struct DirectoryNode {
    pub(super) cached: Arc<Names>,
    /// As of before all `changes`.
    pub(super) durable: Arc<Names>,
    pub(super) changes: Vec<(NameChange, Fate)>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Link { name: String, node: u64 },
    Rename { from: String, to: String, node: u64 },
    Unlink { name: String },
}

/// What a crash does to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may be lost.
    Dirty,
    /// It may be lost, and no later sync changes that: one has failed.
    Forsaken,
    /// It stays, after another one that may be lost.
    Durable,
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Link { name, node } => drop(names.insert(name.clone(), *node)),
            NameChange::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            NameChange::Unlink { name } => drop(names.remove(name)),
        }
    }
}

impl DataChange {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            DataChange::Length(len) => bytes.resize(*len, 0),
            DataChange::Sector { index, bytes: sector } => {
                let at = index * SECTOR;
                bytes.resize(bytes.len().max(at + sector.len()), 0);
                bytes[at..at + sector.len()].copy_from_slice(sector);
            }
        }
    }
}

impl Volume {
    /// A root directory, and nothing in it.
    pub fn new() -> Self {
        let mut volume = Volume { nodes: BTreeMap::new(), next: ROOT };
        volume.add(Node::Directory(DirectoryNode::default()));
        volume
    }

    /// Puts in what was there before the power came: durable.
    pub fn put_durably(&mut self, path: &Path, file: Option<Arc<Vec<u8>>>) {
        let (parent, name) = self.parent(path).unwrap();
        let node = match file {
            Some(bytes) => Node::File(FileNode { cached: bytes.clone(), durable: bytes, changes: Vec::new() }),
            None => Node::Directory(DirectoryNode::default()),
        };
        let node = self.add(node);
        let directory = self.directory_mut(parent);
        Arc::make_mut(&mut directory.cached).insert(name, node);
        directory.durable = directory.cached.clone();
    }

    pub fn find(&self, path: &Path) -> io::Result<u64> {
        let names = path.components().filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let mut node = ROOT;
        for name in names {
            node = *self.directory(node)?.cached.get(name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub fn is_directory(&self, path: &Path) -> bool {
        self.find(path).is_ok_and(|node| self.directory(node).is_ok())
    }

    pub fn bytes(&self, path: &Path) -> io::Result<&[u8]> {
        match &*self.nodes[&self.find(path)?] {
            Node::File(file) => Ok(&file.cached),
            Node::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let directory = self.directory(self.find(path)?)?;
        let len = |node| match &*self.nodes[node] {
            Node::File(file) => file.cached.len() as u64,
            Node::Directory(_) => 0,
        };
        Ok(directory.cached.iter().map(|(name, node)| (name.clone(), len(node))).collect())
    }

    /// The file of a name, which is made if there is none.
    pub fn open(&mut self, path: &Path) -> io::Result<u64> {
        match self.find(path) {
            Ok(node) if self.directory(node).is_ok() => Err(ErrorKind::IsADirectory.into()),
            Ok(node) => Ok(node),
            Err(_) => self.link(path, Node::File(FileNode::default())),
        }
    }

    pub fn make_directory(&mut self, path: &Path) -> io::Result<()> {
        if self.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.link(path, Node::Directory(DirectoryNode::default())).map(|_| ())
    }

    pub fn remove_directory(&mut self, path: &Path) -> io::Result<()> {
        if !self.directory(self.find(path)?)?.cached.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.unlink(path)
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.directory(self.find(path)?).is_ok() {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.unlink(path)
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let ((directory, from), (other, to)) = (self.parent(from)?, self.parent(to)?);
        assert_eq!(directory, other, "across directories");
        self.change_names(directory, NameChange::Rename { from, to, node });
        Ok(())
    }

    pub fn write(&mut self, node: u64, offset: usize, bytes: &[u8]) {
        let file = self.file_mut(node);
        let end = offset + bytes.len();
        let cached = Arc::make_mut(&mut file.cached);
        cached.resize(cached.len().max(end), 0);
        cached[offset..end].copy_from_slice(bytes);
        let cached = file.cached.clone();
        for index in offset / SECTOR..end.div_ceil(SECTOR) {
            let sector = &cached[index * SECTOR..cached.len().min((index + 1) * SECTOR)];
            let change = DataChange::Sector { index, bytes: Arc::new(sector.to_vec()) };
            file.changes.push((change, Fate::Dirty));
            file.changes.push((DataChange::Length(index * SECTOR + sector.len()), Fate::Dirty));
        }
    }

    pub fn set_len(&mut self, node: u64, len: usize) {
        let file = self.file_mut(node);
        if file.cached.len() != len {
            Arc::make_mut(&mut file.cached).resize(len, 0);
            file.changes.push((DataChange::Length(len), Fate::Dirty));
        }
    }

    /// What a node holds is durable.
    pub fn sync(&mut self, node: u64) {
        match self.node_mut(node) {
            Node::File(file) => {
                let durable = Arc::make_mut(&mut file.durable);
                settle(&mut file.changes, |change| change.apply(durable));
            }
            Node::Directory(directory) => {
                let durable = Arc::make_mut(&mut directory.durable);
                settle(&mut directory.changes, |change| change.apply(durable));
            }
        }
    }

    pub fn sync_all(&mut self) {
        self.nodes.keys().copied().collect::<Vec<_>>().into_iter().for_each(|node| self.sync(node));
    }

    /// What a node holds may be lost, and no later sync knows of it.
    pub fn fail_to_sync(&mut self, node: u64) {
        match self.node_mut(node) {
            Node::File(file) => forsake(&mut file.changes),
            Node::Directory(directory) => forsake(&mut directory.changes),
        }
    }

    /// Damages what is durable of a file: a disk that lies.
    pub fn damage(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let node = self.find(path).unwrap();
        let file = self.file_mut(node);
        change(Arc::make_mut(&mut file.cached));
        file.durable = file.cached.clone();
    }

    fn link(&mut self, path: &Path, node: Node) -> io::Result<u64> {
        let (directory, name) = self.parent(path)?;
        let node = self.add(node);
        self.change_names(directory, NameChange::Link { name, node });
        Ok(node)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        self.change_names(directory, NameChange::Unlink { name });
        Ok(())
    }

    fn change_names(&mut self, directory: u64, change: NameChange) {
        let directory = self.directory_mut(directory);
        change.apply(Arc::make_mut(&mut directory.cached));
        directory.changes.push((change, Fate::Dirty));
    }

    fn parent(&self, path: &Path) -> io::Result<(u64, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("")))?;
        self.directory(parent)?;
        Ok((parent, name.into()))
    }

    fn add(&mut self, node: Node) -> u64 {
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Arc::new(node));
        number
    }

    fn node_mut(&mut self, node: u64) -> &mut Node {
        Arc::make_mut(self.nodes.get_mut(&node).unwrap())
    }

    fn file_mut(&mut self, node: u64) -> &mut FileNode {
        let Node::File(file) = self.node_mut(node) else { panic!("{node} is a directory") };
        file
    }

    fn directory_mut(&mut self, node: u64) -> &mut DirectoryNode {
        let Node::Directory(directory) = self.node_mut(node) else { panic!("{node} is a file") };
        directory
    }

    fn directory(&self, node: u64) -> io::Result<&DirectoryNode> {
        match &*self.nodes[&node] {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }
}

/// Makes changes durable, and forgets those before which none may be lost.
fn settle<C>(changes: &mut Vec<(C, Fate)>, mut apply: impl FnMut(&C)) {
    for (_, fate) in changes.iter_mut().filter(|(_, fate)| *fate == Fate::Dirty) {
        *fate = Fate::Durable;
    }
    let settled = changes.iter().take_while(|(_, fate)| *fate == Fate::Durable).count();
    changes.drain(..settled).for_each(|(change, _)| apply(&change));
}

fn forsake<C>(changes: &mut [(C, Fate)]) {
    for (_, fate) in changes.iter_mut().filter(|(_, fate)| *fate == Fate::Dirty) {
        *fate = Fate::Forsaken;
    }
}
