//! A state that changed since its checkpoint: an error that names it, unless it is migrated; a
//! state that is missing or unknown: an error, unless that is allowed. Never silently fresh.

use eventflux::{CheckpointManager, Error, ManagerConfig, MemoryBackend, Selector, StateHolder};
use eventflux_core::{
    Accumulator, AggregationState, Error as CoreError, Function, Migrate, RestoreOptions, StateDescriptor,
    StateHolderBuilder, StateKind,
};

const KEY: &[u8] = b"key";

fn groups(name: &str, version: u32, description: &str) -> StateDescriptor {
    StateDescriptor::new(name, StateKind::Aggregations, version, description)
}

fn builder() -> StateHolderBuilder {
    StateHolder::builder("schema").values_schema(3, "u32")
}

/// A storage with a checkpoint of plain values and the states `kept` and `other`.
fn storage() -> CheckpointManager<MemoryBackend> {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut state = builder().state(groups("kept", 1, "count")).state(groups("other", 1, "count")).build().unwrap();
    for number in 0..10_u32 {
        state.set(number.to_le_bytes(), &number).unwrap();
    }
    for name in ["kept", "other"] {
        let create = || AggregationState::new(vec![Accumulator::new(Function::Count)]);
        let add = |group: &mut AggregationState| group.update(|accumulators| accumulators[0].add_event());
        state.aggregations_mut(name).unwrap().update(KEY, create, add).unwrap();
    }
    manager.checkpoint(&mut state, None).unwrap();
    manager
}

/// Restores into what the program declares now, on top of a value that an error must leave.
fn restore(
    manager: &mut CheckpointManager<MemoryBackend>,
    declared: StateHolderBuilder,
    options: RestoreOptions<'_>,
) -> Result<StateHolder, CoreError> {
    let mut state = declared.build().unwrap();
    state.set("own", &1_u8).unwrap();
    match manager.restore_selected(&mut state, Selector::Latest, options) {
        Ok(_) => Ok(state),
        Err(Error::Core(error)) => {
            assert_eq!((state.get::<u8>("own").unwrap(), state.values().len()), (Some(1), 1), "all or nothing");
            assert_eq!(state.last_checkpoint(), None);
            Err(error)
        }
        Err(error) => panic!("{error}"),
    }
}

fn count_of(state: &StateHolder, name: &str) -> Option<eventflux::Value> {
    Some(state.aggregations(name)?.get(KEY)?.accumulators()[0].result())
}

#[track_caller]
fn assert_changed(outcome: Result<StateHolder, CoreError>, name: &str, says: &[&str]) {
    let Err(error @ CoreError::StateChanged { .. }) = outcome else { panic!("not refused: {outcome:?}") };
    let CoreError::StateChanged { state, reason } = &error else { unreachable!() };
    assert_eq!(state, name);
    assert!(says.iter().all(|part| reason.contains(part)), "{reason}");
    let shown = if name.is_empty() { "values" } else { name };
    assert!(error.to_string().contains(&format!("`{shown}`")), "{error}");
}

#[test]
fn the_same_schema_restores() {
    let declared = builder().state(groups("other", 1, "count")).state(groups("kept", 1, "count"));
    let state = restore(&mut storage(), declared, RestoreOptions::default()).unwrap();
    assert_eq!((state.get::<u32>(7_u32.to_le_bytes()).unwrap(), state.values().len()), (Some(7), 10));
    assert_eq!((count_of(&state, "kept"), count_of(&state, "other")), (Some(1.into()), Some(1.into())));
}

#[test]
fn another_version_fingerprint_or_kind_is_named() {
    let mut manager = storage();
    let mut outcome = |declared: StateHolderBuilder| restore(&mut manager, declared, RestoreOptions::default());
    let other = || groups("other", 1, "count");
    let kept = |version, description| builder().state(groups("kept", version, description)).state(other());
    assert_changed(outcome(kept(2, "count")), "kept", &["version 1", "has 2", "migrate"]);
    assert_changed(outcome(kept(0, "count")), "kept", &["version 1", "has 0"]);
    assert_changed(outcome(kept(1, "sum fare")), "kept", &["was `count`", "now `sum fare`"]);
    let windows = builder().state(StateDescriptor::new("kept", StateKind::Windows, 1, "count")).state(other());
    assert_changed(outcome(windows), "kept", &["holds aggregations", "declares windows"]);
    let values =
        StateHolder::builder("schema").values_schema(4, "u32").state(groups("kept", 1, "count")).state(other());
    assert_changed(outcome(values), "", &["version 3", "has 4"]);
    // What is allowed to be missing or unknown has not been allowed to change.
    let options = RestoreOptions { allow_missing: true, allow_unknown: true, migrate: None };
    assert_changed(restore(&mut manager, kept(2, "count"), options), "kept", &["version"]);
}

#[test]
fn missing_and_unknown_states_are_errors_unless_allowed() {
    let mut manager = storage();
    let more =
        || builder().state(groups("kept", 1, "count")).state(groups("other", 1, "count")).state(groups("new", 1, ""));
    let fewer = || builder().state(groups("kept", 1, "count"));
    let renamed = || fewer().state(groups("renamed", 1, "count"));
    let allow = |allow_missing, allow_unknown| RestoreOptions { allow_missing, allow_unknown, migrate: None };

    for options in [allow(false, false), allow(false, true)] {
        let error = restore(&mut manager, more(), options).unwrap_err();
        assert_eq!(error, CoreError::StateMissing { state: "new".into() });
    }
    for options in [allow(false, false), allow(true, false)] {
        let error = restore(&mut manager, fewer(), options).unwrap_err();
        assert_eq!(error, CoreError::StateUnknown { state: "other".into() });
    }
    assert!(restore(&mut manager, renamed(), allow(true, false)).is_err());
    assert!(restore(&mut manager, renamed(), allow(false, true)).is_err());

    let state = restore(&mut manager, more(), allow(true, false)).unwrap();
    assert_eq!((count_of(&state, "other"), state.key_count("new")), (Some(1.into()), Some(0)));
    let state = restore(&mut manager, fewer(), allow(false, true)).unwrap();
    assert_eq!((count_of(&state, "kept"), state.key_count("other")), (Some(1.into()), None));
    let mut state = restore(&mut manager, renamed(), allow(true, true)).unwrap();
    assert_eq!((count_of(&state, "kept"), state.key_count("renamed")), (Some(1.into()), Some(0)));

    // What was allowed once is in the next checkpoint, which restores without.
    state.set("later", &2_u32).unwrap();
    manager.checkpoint(&mut state, None).unwrap();
    let state = restore(&mut manager, renamed(), allow(false, false)).unwrap();
    assert_eq!((count_of(&state, "kept"), state.get::<u32>("later").unwrap()), (Some(1.into()), Some(2)));
    assert_eq!(state.get::<u32>(3_u32.to_le_bytes()).unwrap(), Some(3));
}

/// From `u32` to `(u32, u32)`, without the odd ones; and of 8 it can make nothing, if it is told so.
struct Twice {
    fails: bool,
}

impl Migrate for Twice {
    fn accepts(&self, found: &StateDescriptor) -> bool {
        found.name.is_empty() && found.version == 3
    }

    fn migrate(&self, found: &StateDescriptor, _: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        assert_eq!((found.version, found.description.as_str()), (3, "u32"));
        let number: u32 = postcard::from_bytes(value).map_err(|error| error.to_string())?;
        if self.fails && number == 8 {
            return Err("8 has no pair".into());
        }
        Ok(number.is_multiple_of(2).then(|| postcard::to_allocvec(&(number, 2 * number)).unwrap()))
    }
}

#[test]
fn migration_brings_rows_to_the_present_schema() {
    let mut manager = storage();
    let declared = || {
        let values = StateHolder::builder("schema").values_schema(4, "(u32, u32)");
        values.state(groups("kept", 1, "count")).state(groups("other", 1, "count"))
    };
    let options = |migrate| RestoreOptions { migrate: Some(migrate), ..RestoreOptions::default() };
    assert_changed(restore(&mut manager, declared(), options(&Twice { fails: true })), "", &["8 has no pair"]);
    let mut state = restore(&mut manager, declared(), options(&Twice { fails: false })).unwrap();
    assert_eq!(state.values().len(), 5);
    assert_eq!(state.get::<(u32, u32)>(6_u32.to_le_bytes()).unwrap(), Some((6, 12)));
    assert_eq!(state.get::<(u32, u32)>(7_u32.to_le_bytes()).unwrap(), None);
    assert_eq!(count_of(&state, "kept"), Some(1.into()));

    // A state that no migration accepts is an error still.
    let kept = || {
        let values = StateHolder::builder("schema").values_schema(4, "(u32, u32)");
        values.state(groups("kept", 2, "count")).state(groups("other", 1, "count"))
    };
    assert_changed(restore(&mut manager, kept(), options(&Twice { fails: false })), "kept", &["version"]);

    // Migrated once: the next checkpoints are of the present schema, whole and then by deltas.
    for step in 0..3_u32 {
        state.set(step.to_le_bytes(), &(step, step)).unwrap();
        manager.checkpoint(&mut state, None).unwrap();
        let again = restore(&mut manager, declared(), RestoreOptions::default()).unwrap();
        assert_eq!(again.values().len(), state.values().len());
        assert_eq!(again.get::<(u32, u32)>(step.to_le_bytes()).unwrap(), Some((step, step)));
        assert_eq!(again.get::<(u32, u32)>(6_u32.to_le_bytes()).unwrap(), Some((6, 12)));
        assert_eq!(count_of(&again, "other"), Some(1.into()));
    }
    // The old one is what it was, for the program as it was.
    let mut old = builder().state(groups("kept", 1, "count")).state(groups("other", 1, "count")).build().unwrap();
    manager.restore(&mut old, 0).unwrap();
    assert_eq!(old.get::<u32>(7_u32.to_le_bytes()).unwrap(), Some(7));
}
