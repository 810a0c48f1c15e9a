//! What a crash leaves of a volume: every legal image up to a bound, else some of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::volume::{DataChange, DirectoryNode, Fate, FileNode, NameChange, Node, SECTOR, Volume};
use crate::common::random::Random;

/// Paths and files after a crash; `None` for a directory.
#[derive(Clone)]
pub struct Image(BTreeMap<String, Option<Arc<Vec<u8>>>>);

impl Image {
    /// The disk when the power is back.
    pub fn volume(&self) -> Volume {
        let mut volume = Volume::new();
        // In the order of paths, so that a directory comes before what is in it.
        for (path, file) in &self.0 {
            volume.put_durably(Path::new(path), file.clone());
        }
        volume
    }

    /// The same for equal images. What lock files say does not count.
    pub fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        for (path, file) in &self.0 {
            hash.update(path.as_bytes());
            let bytes = file.as_ref().filter(|_| !is_lock(path));
            let len = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
            hash.update(&len.to_le_bytes());
            hash.update(bytes.map_or(&[], |bytes| bytes.as_slice()));
        }
        hash.digest()
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn file(&self, path: &str) -> Option<&[u8]> {
        Some(self.0.get(path)?.as_ref()?.as_slice())
    }
}

/// Shows each image that a crash may leave: all of them if they are not more than `bound`, else so
/// many, the extremes first and the rest drawn. An image may come more than once then. Whether they
/// were all.
pub fn images(volume: &Volume, bound: u64, random: &mut Random, mut show: impl FnMut(Image)) -> bool {
    if count(volume, bound) <= bound {
        let mut every = Every::default();
        loop {
            show(after_crash(volume, &mut every));
            if !every.advance() {
                return true;
            }
        }
    }
    show(after_crash(volume, &mut All { last: false }));
    show(after_crash(volume, &mut All { last: true }));
    for _ in 2..bound.max(2) {
        // Some lose little, some most.
        let mut drawn = Drawn { lost_of_8: 1 + random.index(6), stale: random.index(4) == 0, random };
        show(after_crash(volume, &mut drawn));
    }
    false
}

/// What lock files say names a process, and makes no difference: it is left as it was.
fn is_lock(path: &str) -> bool {
    path.ends_with(".lock")
}

/// Number of images, or some number above `bound`.
fn count(volume: &Volume, bound: u64) -> u64 {
    let mut names = Every::default();
    let mut total = 0_u64;
    loop {
        let mut of_names = 1_u64;
        for (path, node) in &reachable(volume, &mut names) {
            if let (Node::File(file), false) = (&*volume.nodes[node], is_lock(path)) {
                of_names = data_options(file)
                    .into_iter()
                    .fold(of_names, |product, options| product.saturating_mul(options as u64));
            }
        }
        total = total.saturating_add(of_names);
        if total > bound || !names.advance() {
            return total;
        }
    }
}

/// Decides what a crash loses.
trait Chooser {
    /// One of so many options, of which the first loses most.
    fn choose(&mut self, options: usize) -> usize;

    /// Whether lost sectors show what was there before.
    fn is_stale(&self) -> bool {
        false
    }
}

/// One combination of options after the other.
#[derive(Default)]
struct Every {
    digits: Vec<(usize, usize)>,
    at: usize,
}

impl Every {
    /// The next combination, unless it was the last one.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((digit, options)) = self.digits.pop() {
            if digit + 1 < options {
                self.digits.push((digit + 1, options));
                return true;
            }
        }
        false
    }
}

impl Chooser for Every {
    fn choose(&mut self, options: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push((0, options));
        }
        self.at += 1;
        self.digits[self.at - 1].0
    }
}

struct All {
    last: bool,
}

impl Chooser for All {
    fn choose(&mut self, options: usize) -> usize {
        if self.last { options - 1 } else { 0 }
    }
}

struct Drawn<'r> {
    lost_of_8: usize,
    stale: bool,
    random: &'r mut Random,
}

impl Chooser for Drawn<'_> {
    fn choose(&mut self, options: usize) -> usize {
        match self.random.index(8) < self.lost_of_8 {
            true => self.random.index(options - 1),
            false => options - 1,
        }
    }

    fn is_stale(&self) -> bool {
        self.stale
    }
}

fn after_crash(volume: &Volume, chooser: &mut impl Chooser) -> Image {
    let paths = reachable(volume, chooser);
    let mut image = BTreeMap::new();
    for (path, number) in paths {
        let file = match &*volume.nodes[&number] {
            Node::File(file) if is_lock(&path) => Some(file.cached.clone()),
            Node::File(file) => Some(file_after_crash(volume, number, file, chooser)),
            Node::Directory(_) => None,
        };
        image.insert(path, file);
    }
    Image(image)
}

/// The names that are left, and the nodes they name.
fn reachable(volume: &Volume, chooser: &mut impl Chooser) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), 0)];
    while let Some((prefix, number)) = open.pop() {
        if let Node::Directory(directory) = &*volume.nodes[&number] {
            for (name, node) in names_after_crash(directory, chooser) {
                let path = format!("{prefix}{name}");
                open.push((format!("{path}/"), node));
                found.insert(path, node);
            }
        }
    }
    found
}

fn names_after_crash(directory: &DirectoryNode, chooser: &mut impl Chooser) -> BTreeMap<String, u64> {
    let mut names = (*directory.durable).clone();
    for (change, fate) in &directory.changes {
        // That a file has got a name that it has lost again since makes no difference.
        if *fate == Fate::Durable || chooser.choose(2) == 1 {
            NameChange::apply(change, &mut names);
        }
    }
    names
}

/// The versions of each sector; `None`: as it was.
type Sectors<'f> = BTreeMap<usize, Vec<Option<&'f Arc<Vec<u8>>>>>;

/// The versions that the length, and each sector, may have: the last one durable, and those after.
fn versions(file: &FileNode) -> (Vec<usize>, Sectors<'_>) {
    let mut lengths = vec![file.durable.len()];
    let mut sectors = Sectors::new();
    for (change, fate) in &file.changes {
        match change {
            DataChange::Length(len) => {
                if *fate == Fate::Durable {
                    lengths.clear();
                }
                lengths.push(*len);
            }
            DataChange::Sector { index, bytes } => {
                let versions = sectors.entry(*index).or_insert_with(|| vec![None]);
                if *fate == Fate::Durable {
                    versions.clear();
                }
                versions.push(Some(bytes));
            }
        }
    }
    lengths.dedup();
    (lengths, sectors)
}

fn data_options(file: &FileNode) -> Vec<usize> {
    let (lengths, sectors) = versions(file);
    std::iter::once(lengths.len()).chain(sectors.values().map(Vec::len)).filter(|options| *options > 1).collect()
}

fn file_after_crash(volume: &Volume, number: u64, file: &FileNode, chooser: &mut impl Chooser) -> Arc<Vec<u8>> {
    if file.changes.is_empty() {
        return file.durable.clone();
    }
    let mut choose = |options: usize| if options > 1 { chooser.choose(options) } else { 0 };
    let (lengths, sectors) = versions(file);
    let len = lengths[choose(lengths.len())];
    let chosen: Vec<_> = sectors.iter().map(|(index, versions)| (*index, versions[choose(versions.len())])).collect();
    let mut bytes = (*file.durable).clone();
    bytes.resize(len, 0);
    for (index, sector) in chosen {
        let at = index * SECTOR;
        let stale = || stale_sector(volume, number, at).filter(|_| chooser.is_stale() && at >= file.durable.len());
        if let (Some(sector), true) = (sector.map(|sector| sector.as_slice()).or_else(stale), at < len) {
            let end = len.min(at + sector.len());
            bytes[at..end].copy_from_slice(&sector[..end - at]);
        }
    }
    Arc::new(bytes)
}

/// What a file before this one had at the same place.
fn stale_sector(volume: &Volume, before: u64, at: usize) -> Option<&[u8]> {
    volume.nodes.range(..before).rev().find_map(|(_, node)| match &**node {
        Node::File(file) if file.durable.len() > at => Some(&file.durable[at..file.durable.len().min(at + SECTOR)]),
        _ => None,
    })
}
