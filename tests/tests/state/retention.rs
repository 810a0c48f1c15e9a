//! Retention against a model of plain maps: whatever is written, labelled, restored and pruned in
//! whatever order, every retained point restores to what it was, and nothing else is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::storage::Shared;
use eventflux::{CheckpointManager, ManagerConfig, Retention, Selector, StateHolder, read_manifest, verify};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Action {
    Set(u8, u16),
    Long(u8, u8),
    Remove(u8),
    Checkpoint,
    Labelled,
    /// Labels an older checkpoint, by its place in the list.
    Savepoint(u8),
    /// Goes back to one, by its place.
    Restore(u8),
    Prune(u8),
    /// The process ends; the next one goes on from the newest checkpoint.
    Restart,
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..40_u8, any::<u16>()).prop_map(|(key, value)| Action::Set(key, value)),
        1 => (0..40_u8, any::<u8>()).prop_map(|(key, len)| Action::Long(key, len)),
        3 => (0..40_u8).prop_map(Action::Remove),
        8 => Just(Action::Checkpoint),
        1 => Just(Action::Labelled),
        1 => any::<u8>().prop_map(Action::Savepoint),
        2 => any::<u8>().prop_map(Action::Restore),
        1 => (1..4_u8).prop_map(Action::Prune),
        1 => Just(Action::Restart),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A checkpoint as the model knows it.
#[derive(Debug, Clone)]
struct Point {
    id: u64,
    label: Option<String>,
    map: Map,
}

/// The rules of retention, written down a second time.
#[derive(Debug, Default)]
struct Model {
    now: Map,
    points: Vec<Point>,
    latest: Option<u64>,
    /// The point that the state builds on.
    base: Option<u64>,
    /// Those that were restored since the last checkpoint: a state may build on each of them.
    held: BTreeSet<u64>,
}

impl Model {
    fn keep(&mut self, max_retained: usize) {
        let unlabelled = self.points.iter().filter(|point| point.label.is_none()).count();
        let mut excess = unlabelled.saturating_sub(max_retained);
        let (latest, held) = (self.latest, &self.held);
        self.points.retain(|point| {
            let old = excess > 0 && point.label.is_none();
            excess -= usize::from(old);
            !old || Some(point.id) == latest || held.contains(&point.id)
        });
    }

    fn place(&self, number: u8) -> Option<usize> {
        usize::from(number).checked_rem(self.points.len())
    }
}

struct Run {
    storage: Shared,
    config: ManagerConfig,
    manager: CheckpointManager<Shared>,
    holder: StateHolder,
    model: Model,
}

fn holder() -> StateHolder {
    StateHolder::builder("retention").key_groups(5).build().unwrap()
}

fn map_of(holder: &StateHolder) -> Map {
    holder.values().iter().map(|(key, value)| (key.to_vec(), value.as_bytes().to_vec())).collect()
}

impl Run {
    fn new(max_retained: u32) -> Self {
        let storage = Shared::default();
        let config = ManagerConfig { retention: Retention { max_retained }, ..ManagerConfig::default() };
        let manager = CheckpointManager::open(storage.clone(), config).unwrap();
        Run { storage, config, manager, holder: holder(), model: Model::default() }
    }

    fn take(&mut self, action: &Action) {
        let max_retained = self.config.retention.max_retained as usize;
        match *action {
            Action::Set(key, value) => {
                self.holder.set([key], &value).unwrap();
                self.model.now.insert(vec![key], self.holder.values().get(&[key]).unwrap().as_bytes().to_vec());
            }
            Action::Long(key, len) => {
                let bytes = vec![key; usize::from(len)];
                self.holder.set_encoded(&[key], &bytes).unwrap();
                self.model.now.insert(vec![key], bytes);
            }
            Action::Remove(key) => {
                let was_there = self.model.now.remove(&vec![key]).is_some();
                assert_eq!(self.holder.remove([key]).unwrap(), was_there);
            }
            Action::Checkpoint | Action::Labelled => {
                let label = matches!(action, Action::Labelled).then(|| format!("label {}", self.model.points.len()));
                let entry = self.manager.checkpoint(&mut self.holder, label.as_deref()).unwrap();
                assert_eq!(entry.parent, self.model.base);
                let id = entry.object.id;
                self.model.points.push(Point { id, label, map: self.model.now.clone() });
                (self.model.latest, self.model.base) = (Some(id), Some(id));
                self.model.held.clear();
                self.model.keep(max_retained);
            }
            Action::Savepoint(number) => {
                let Some(place) = self.model.place(number) else { return };
                let of = self.model.points[place].clone();
                let entry = self.manager.savepoint(&Selector::Id(of.id), "saved").unwrap();
                let label = Some(String::from("saved"));
                self.model.points.push(Point { id: entry.object.id, label, map: of.map });
                if self.model.latest == Some(of.id) {
                    self.model.latest = Some(entry.object.id);
                }
                self.model.keep(max_retained);
            }
            Action::Restore(number) => {
                let Some(place) = self.model.place(number) else { return };
                let point = self.model.points[place].clone();
                self.manager.restore(&mut self.holder, point.id).unwrap();
                (self.model.now, self.model.base) = (point.map, Some(point.id));
                self.model.held.insert(point.id);
            }
            Action::Prune(keep) => {
                self.manager.prune(Retention { max_retained: keep.into() }).unwrap();
                self.model.keep(keep.into());
                self.check_garbage();
            }
            Action::Restart => self.restart(),
        }
    }

    fn restart(&mut self) {
        self.manager = CheckpointManager::open(self.storage.clone(), self.config).unwrap();
        self.holder = holder();
        self.model.base = self.model.latest;
        self.model.held = self.model.latest.into_iter().collect();
        self.model.now = Map::new();
        if let Some(latest) = self.model.latest {
            self.manager.restore_latest(&mut self.holder).unwrap();
            self.model.now = self.model.points.iter().find(|point| point.id == latest).unwrap().map.clone();
        }
    }

    fn check(&mut self) {
        assert_eq!(map_of(&self.holder), self.model.now);
        let listed: Vec<_> = self.manager.list().iter().map(|entry| (entry.object.id, entry.label.clone())).collect();
        let expected: Vec<_> = self.model.points.iter().map(|point| (point.id, point.label.clone())).collect();
        assert_eq!(listed, expected);
        assert_eq!(self.manager.latest().map(|entry| entry.object.id), self.model.latest);
        for point in &self.model.points {
            let mut fresh = holder();
            eventflux::restore(&mut self.storage, &mut fresh, Selector::Id(point.id), Default::default()).unwrap();
            assert_eq!(map_of(&fresh), point.map, "checkpoint {}", point.id);
        }
    }

    /// Right after pruning, the storage has just the objects that some retained point needs.
    fn check_garbage(&mut self) {
        let entries = self.manager.list().to_vec();
        let mut needed = BTreeSet::new();
        for entry in entries {
            let manifest = read_manifest(&mut self.storage, entry.object).unwrap();
            needed.extend(manifest.needed_objects().into_iter().map(|object| object.name()));
        }
        assert_eq!(self.storage.objects(), needed.into_iter().collect::<Vec<_>>());
        assert_eq!(verify(&mut self.storage).unwrap().findings, []);
    }
}

/// Number of cases, unless the environment asks for another.
fn cases(number: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(number)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_retained_point_restores_and_nothing_else_stays(
        actions in prop::collection::vec(any_action(), 1..160),
        max_retained in 1..5_u32,
    ) {
        let mut run = Run::new(max_retained);
        for action in &actions {
            run.take(action);
            if !matches!(action, Action::Set(..) | Action::Long(..) | Action::Remove(..)) {
                run.check();
            }
        }
        run.manager.prune(Retention { max_retained }).unwrap();
        run.model.keep(max_retained as usize);
        run.check();
        run.check_garbage();
    }
}
