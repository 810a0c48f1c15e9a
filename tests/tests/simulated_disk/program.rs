//! A program that keeps state on the disk, and somebody who watches it from outside and knows what
//! must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eventflux::storage::{Access, FileBackend};
use eventflux::{
    CatalogEntry, CheckpointManager, CheckpointRequest, ManagerConfig, Result, Retention, Selector, StateHolder, verify,
};

use crate::common::disk::volume::Volume;
use crate::common::disk::{Disk, Recorded};
use crate::common::random::Random;

/// Where the storage is; neither directory is there at first.
pub const STORAGE: &str = "deep/state";
const KEYS: usize = 14;
const RETENTION: Retention = Retention { max_retained: 3 };

/// What the state must be.
pub type Model = BTreeMap<u8, String>;
pub type Manager = CheckpointManager<FileBackend<Disk>>;

/// What a program does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Changes some values, then takes a checkpoint.
    Checkpoint,
    /// As before, with a label.
    Labelled,
    /// Labels the oldest checkpoint.
    Savepoint,
    /// Goes back to the oldest checkpoint.
    GoBack,
    /// Applies a sharper retention.
    Prune,
    /// Ends and begins again.
    Reopen,
}

/// What somebody knows who watches from outside.
#[derive(Debug, Clone, Default)]
pub struct Watcher {
    pub acknowledged: BTreeMap<u64, Arc<Model>>,
    pub labelled: BTreeSet<u64>,
    pub latest: Option<u64>,
    /// States of checkpoints begun of which nobody knows whether they are published.
    pub unsure: Vec<Arc<Model>>,
    /// What may be listed, where it is known.
    pub lists: Vec<Vec<u64>>,
}

/// The disk at a moment at which the power may fail, and what must be there then.
#[derive(Clone)]
pub struct Moment {
    pub operation: String,
    pub volume: Volume,
    pub watcher: Arc<Watcher>,
}

/// A life of the program.
pub struct Program {
    disk: Disk,
    pub manager: Manager,
    pub holder: StateHolder,
    pub model: Model,
    /// Length of a value: small ones give few images, all of which are gone through.
    words: usize,
    random: Random,
}

pub fn open(disk: &Disk, access: Access) -> Result<Manager> {
    open_holding_back(usize::MAX, disk, access)
}

/// Opens the storage; objects up to so many bytes wait for the head.
fn open_holding_back(bytes_max: usize, disk: &Disk, access: Access) -> Result<Manager> {
    let config = ManagerConfig { retention: RETENTION, ..ManagerConfig::default() };
    let storage = FileBackend::open_on(disk.clone(), STORAGE, access)?.holding_back(bytes_max);
    CheckpointManager::open(storage, config)
}

pub fn new_holder() -> StateHolder {
    StateHolder::builder("simulated").key_groups(4).build().unwrap()
}

/// Whether a holder holds just what the model says.
pub fn holds(holder: &StateHolder, model: &Model) -> bool {
    holder.values().len() == model.len()
        && model.iter().all(|(key, value)| holder.get::<String>([*key]).unwrap().as_ref() == Some(value))
}

impl Program {
    /// Opens the storage and checks all that must hold of it; what the watcher did not know it knows
    /// then. `thorough`: every checkpoint listed, not the newest alone.
    pub fn begin(disk: &Disk, watcher: &mut Watcher, thorough: bool, seed: u64) -> Result<Self, String> {
        Self::begin_with(disk, Access::Write, watcher, thorough, seed)
    }

    /// As [`Program::begin`], also while another one has the storage open.
    pub fn begin_with(
        disk: &Disk,
        access: Access,
        watcher: &mut Watcher,
        thorough: bool,
        seed: u64,
    ) -> Result<Self, String> {
        // No objects in some lives, in others all.
        let held_back = if seed.is_multiple_of(3) { 0 } else { usize::MAX };
        let manager = open_holding_back(held_back, disk, access).map_err(|error| format!("opening failed: {error}"))?;
        let mut program = Program {
            disk: disk.clone(),
            manager,
            holder: new_holder(),
            model: Model::new(),
            words: if seed.is_multiple_of(2) { 20 } else { 60 },
            random: Random::new(seed),
        };
        program.check_list(watcher)?;
        let ids: Vec<u64> = program.manager.list().iter().map(|entry| entry.object.id).collect();
        if thorough {
            for id in &ids {
                program.restored(*id, watcher)?;
            }
            program.verify(false)?;
        }
        if let Some(latest) = program.manager.latest().map(|entry| entry.object.id) {
            program.model = (*program.restored(latest, watcher)?).clone();
            program.manager.restore(&mut program.holder, latest).map_err(|error| error.to_string())?;
            watcher.acknowledged.insert(latest, Arc::new(program.model.clone()));
            watcher.latest = Some(latest);
        }
        for id in ids.iter().filter(|id| !watcher.acknowledged.contains_key(id)).copied().collect::<Vec<_>>() {
            // A savepoint of an older checkpoint that was on its way.
            let model = program.restored(id, watcher)?;
            watcher.acknowledged.insert(id, model);
        }
        watcher.unsure.clear();
        watcher.lists = vec![ids];
        Ok(program)
    }

    /// Whether the list is what the watcher expects.
    fn check_list(&self, watcher: &Watcher) -> Result<(), String> {
        let ids = self.ids();
        let unknown: Vec<u64> = ids.iter().copied().filter(|id| !watcher.acknowledged.contains_key(id)).collect();
        let latest = self.manager.latest().map(|entry| entry.object.id);
        let complain = |what: &str| {
            Err(format!("{what}: {ids:?}, newest {latest:?}; expected {:?}, {:?}", watcher.latest, watcher.lists))
        };
        if unknown.len() > watcher.unsure.len().min(1) {
            return complain("checkpoints that nobody took");
        }
        if latest != watcher.latest && (latest.is_none() || unknown.first() != latest.as_ref()) {
            return complain("the newest is not the last one acknowledged");
        }
        if !watcher.labelled.iter().all(|id| ids.contains(id)) {
            return complain("a labelled checkpoint is gone");
        }
        if !watcher.lists.is_empty() && !watcher.lists.contains(&ids) {
            return complain("it is neither the list before nor that after");
        }
        Ok(())
    }

    /// The state of a checkpoint, restored and found to be what the model says.
    fn restored(&mut self, id: u64, watcher: &Watcher) -> Result<Arc<Model>, String> {
        let mut holder = new_holder();
        eventflux::restore(self.manager.backend_mut(), &mut holder, Selector::Id(id), Default::default())
            .map_err(|error| format!("checkpoint {id} cannot be restored: {error}"))?;
        let candidates = watcher.acknowledged.get(&id).map_or(watcher.unsure.as_slice(), std::slice::from_ref);
        let found = candidates.iter().find(|model| holds(&holder, model));
        found.cloned().ok_or_else(|| format!("checkpoint {id} is not the state at its cut"))
    }

    /// Whether all is whole, and, if so asked, nothing there that is not needed.
    fn verify(&mut self, is_pruned: bool) -> Result<(), String> {
        let report = verify(self.manager.backend_mut()).map_err(|error| error.to_string())?;
        if !report.findings.is_empty() || is_pruned && !report.unneeded.is_empty() {
            return Err(format!("verify finds {:?}, not needed {:?}", report.findings, report.unneeded));
        }
        Ok(())
    }

    pub fn ids(&self) -> Vec<u64> {
        self.manager.list().iter().map(|entry| entry.object.id).collect()
    }

    /// Does one thing. If that fails the watcher is unsure of what was begun.
    pub fn act(&mut self, action: Action, watcher: &mut Watcher) -> Result<(), String> {
        let oldest = self.manager.list().first().map(|entry| entry.object.id);
        let text = |error: eventflux::Error| format!("{action:?}: {error}");
        match (action, oldest) {
            (Action::Checkpoint | Action::Labelled, _) => {
                self.change();
                let label = (action == Action::Labelled).then(|| self.text("label", 5));
                let request =
                    CheckpointRequest { created_ms: self.disk.operations() as i64, label, ..Default::default() };
                watcher.unsure.push(Arc::new(self.model.clone()));
                let entry = self.manager.checkpoint_with(&mut self.holder, request).map_err(text)?;
                self.acknowledged(&entry, watcher);
            }
            (Action::Savepoint, Some(oldest)) => {
                watcher.unsure.push(watcher.acknowledged[&oldest].clone());
                let label = self.text("savepoint", 5);
                let entry = self.manager.savepoint(&Selector::Id(oldest), &label).map_err(text)?;
                self.acknowledged(&entry, watcher);
            }
            (Action::GoBack, Some(oldest)) => {
                self.manager.restore(&mut self.holder, oldest).map_err(text)?;
                self.model = (*watcher.acknowledged[&oldest]).clone();
                assert!(holds(&self.holder, &self.model), "checkpoint {oldest} is not the state at its cut");
            }
            (Action::Prune, _) => {
                self.manager.prune(Retention { max_retained: 2 }).map_err(text)?;
            }
            (Action::Reopen, _) => unreachable!("the life ends: see `live`"),
            (Action::Savepoint | Action::GoBack, None) => {}
        }
        watcher.lists = vec![self.ids()];
        Ok(())
    }

    fn acknowledged(&self, entry: &CatalogEntry, watcher: &mut Watcher) {
        watcher.acknowledged.insert(entry.object.id, watcher.unsure.pop().unwrap());
        // The storage was as this writer left it: nothing begun before is in it.
        watcher.unsure.clear();
        if entry.label.is_some() {
            watcher.labelled.insert(entry.object.id);
        }
        watcher.latest = self.manager.latest().map(|entry| entry.object.id);
    }

    /// Sets some values and removes some.
    fn change(&mut self) {
        for _ in 0..4 {
            let key = self.random.index(KEYS) as u8;
            if self.random.index(5) == 0 {
                self.holder.remove([key]).unwrap();
                self.model.remove(&key);
            } else {
                let value = self.text("value", self.words);
                self.holder.set([key], &value).unwrap();
                self.model.insert(key, value);
            }
        }
    }

    /// Text that does not compress, of at least so many words.
    fn text(&mut self, prefix: &str, words: usize) -> String {
        let words = words + self.random.index(words);
        (0..words).fold(String::from(prefix), |text, _| format!("{text} {:016x}", self.random.next()))
    }

    /// Checks that the next checkpoint works: it is taken, and restores. `thorough`: then prunes.
    pub fn go_on(&mut self, watcher: &mut Watcher, thorough: bool) -> Result<(), String> {
        self.act(Action::Checkpoint, watcher)?;
        let latest = watcher.latest.unwrap();
        if self.manager.latest().map(|entry| entry.object.id) != Some(latest) {
            return Err(String::from("the checkpoint just taken is not the newest"));
        }
        self.restored(latest, watcher)?;
        if thorough {
            self.act(Action::Prune, watcher)?;
            self.verify(true)?;
            self.restored(latest, watcher)?;
        }
        Ok(())
    }
}

/// Runs a program on a disk that records, from the beginning or from what is there. Every moment of
/// it, if it went well.
pub fn live(
    disk: &Disk,
    mut watcher: Watcher,
    actions: &[Action],
    seed: u64,
) -> Result<(Vec<Moment>, Watcher), String> {
    disk.record();
    let mut moments = Vec::new();
    let mut before = watcher.clone();
    let mut program = Program::begin(disk, &mut watcher, false, seed)?;
    add_moments(&mut moments, disk, &before, &watcher);
    for (number, action) in actions.iter().enumerate() {
        before = watcher.clone();
        if *action == Action::Reopen {
            drop(program);
            program = Program::begin(disk, &mut watcher, true, seed + number as u64)?;
        } else {
            program.act(*action, &mut watcher)?;
        }
        add_moments(&mut moments, disk, &before, &watcher);
    }
    Ok((moments, watcher))
}

/// The moments of one action: on its way either list is right, at its end only the new one.
pub fn add_moments(moments: &mut Vec<Moment>, disk: &Disk, before: &Watcher, after: &Watcher) {
    let mut on_its_way = before.clone();
    let begun = after.acknowledged.iter().filter(|(id, _)| !before.acknowledged.contains_key(id));
    on_its_way.unsure.extend(begun.map(|(_, model)| model.clone()));
    on_its_way.lists.extend(after.lists.iter().cloned());
    if before.lists.is_empty() && before.latest.is_some() {
        on_its_way.lists.clear();
    }
    let on_its_way = Arc::new(on_its_way);
    let moment = |Recorded { operation, volume }| Moment { operation, volume, watcher: on_its_way.clone() };
    moments.extend(disk.take_recorded().into_iter().map(moment));
    let operation = format!("the answer to {}", moments.last().map_or("nothing", |moment| &moment.operation));
    moments.push(Moment { operation, volume: disk.volume(), watcher: Arc::new(after.clone()) });
}
