//! Calls in an order that would lose something are refused, and nothing has changed.

use crate::common::stream::{FIELDS, application, poll_lines};
use eventflux::{
    CheckpointManager, CheckpointRequest, Engine, Error, Event, ManagerConfig, MemoryBackend, Progress, Selector,
    StateHolder, Value,
};
use eventflux_core::{Compression, Error as CoreError, ObjectId, StateDescriptor, StateKind, StepProgress};

const TOTALS: &str = "[[operator]]\nname = \"totals\"\naggregate = { n = \"count\" }\nemit = \"change\"";

fn engine() -> Engine {
    Engine::new(&application(0, TOTALS), &FIELDS).unwrap()
}

fn event() -> Event {
    Event::new(1, vec![Value::Null; FIELDS.len()])
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, says: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Core(CoreError::CallOrder(_))), "{error:?}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn the_state_of_an_engine_is_not_checkpointed_or_restored_behind_its_back() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut first = engine();
    first.handle_event(event()).unwrap();
    refused(manager.checkpoint_engine(&mut first, None, Progress::default()), "results are waiting");
    assert_eq!(poll_lines(&mut first).len(), 1);
    refused(manager.checkpoint(first.holder_mut(), None), "`Engine::begin_checkpoint`");
    manager.checkpoint_engine(&mut first, None, Progress::default()).unwrap();

    let mut second = engine();
    let restored = manager.restore_latest(second.holder_mut()).unwrap();
    refused(second.handle_event(event()).map_err(Error::from), "`Engine::resume`");
    refused(second.finish().map_err(Error::from), "`Engine::resume`");
    refused(manager.checkpoint_engine(&mut second, None, Progress::default()), "`Engine::resume`");
    second.resume(&restored.manifest).unwrap();
    second.handle_event(event()).unwrap();
    assert_eq!(poll_lines(&mut second), ["{\"operator\":\"totals\",\"key\":{},\"n\":2}"]);

    let mut third = engine();
    manager.restore_engine(&mut third, Selector::Latest).unwrap();
    third.handle_event(event()).unwrap();
    assert_eq!(poll_lines(&mut third), ["{\"operator\":\"totals\",\"key\":{},\"n\":2}"]);
}

#[test]
fn an_engine_goes_on_from_the_checkpoint_that_was_restored_and_no_other() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut first = engine();
    for _ in 0..2 {
        first.handle_event(event()).unwrap();
        poll_lines(&mut first);
        manager.checkpoint_engine(&mut first, None, Progress::default()).unwrap();
    }
    let mut second = engine();
    let older = manager.restore(second.holder_mut(), 0).unwrap();
    let newest = manager.restore_latest(second.holder_mut()).unwrap();
    refused(second.resume(&older.manifest).map_err(Error::from), "not the manifest of the checkpoint");
    refused(second.handle_event(event()).map_err(Error::from), "`Engine::resume`");
    second.resume(&newest.manifest).unwrap();
    assert_eq!(second.progress().events, 2);
}

/// Neither its key nor its value has changed then.
#[test]
fn a_value_that_cannot_be_encoded_is_told_so() {
    struct Unwilling;
    impl serde::Serialize for Unwilling {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let mut holder = StateHolder::builder("orders").build().unwrap();
    holder.set("eu", &3_u32).unwrap();
    let error = holder.set("eu", &Unwilling).unwrap_err();
    assert!(matches!(error, CoreError::Unencodable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("value of key `eu`, a ") && text.contains("Unwilling, cannot be encoded: "), "{text}");
    assert_eq!(holder.get::<u32>("eu").unwrap(), Some(3));
}

#[test]
fn an_engine_does_not_go_on_from_a_checkpoint_that_none_wrote() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut engine = engine();
    let states = engine.holder().states().iter().skip(1).cloned();
    let builder = states.fold(StateHolder::builder("example"), |builder, state| builder.state(state));
    manager.checkpoint(&mut builder.build().unwrap(), None).unwrap();
    let error = manager.restore_engine(&mut engine, Selector::Latest).unwrap_err();
    assert!(matches!(&error, Error::Core(CoreError::StateChanged { state, .. }) if state == "example"), "{error:?}");
    assert!(error.to_string().ends_with("an engine did not write this checkpoint"), "{error}");
    refused(engine.handle_event(event()).map_err(Error::from), "`Engine::resume`");
}

#[test]
fn a_checkpoint_of_another_state_is_not_committed() {
    let captured = |id: &str, key_groups| {
        let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
        let mut holder = StateHolder::builder(id).key_groups(key_groups).build().unwrap();
        holder.set("eu", &1_u8).unwrap();
        holder.begin(CheckpointRequest::default()).unwrap();
        let capture = holder.take_capture().unwrap();
        let (checkpoint, _) = manager.publish(capture).unwrap();
        (holder, checkpoint)
    };
    let ((mut orders, of_orders), (_, of_others), (_, of_more)) =
        (captured("orders", 16), captured("others", 16), captured("orders", 32));
    for other in [&of_others, &of_more] {
        refused(orders.commit(other).map_err(Error::from), "of another state");
    }
    orders.commit(&of_orders).unwrap();
    assert_eq!(orders.last_checkpoint(), Some(0));
}

/// As with a thread that publishes, whose answer comes after the program went back.
#[test]
fn the_late_answer_to_an_earlier_cut_is_not_committed() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut holder = StateHolder::builder("orders").build().unwrap();
    holder.set("eu", &1_u8).unwrap();
    let base = manager.checkpoint(&mut holder, None).unwrap();
    holder.set("eu", &2_u8).unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    let (late, _) = manager.publish(holder.take_capture().unwrap()).unwrap();
    manager.restore(&mut holder, base.object.id).unwrap();
    holder.set("us", &3_u8).unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    let capture = holder.take_capture().unwrap();
    refused(holder.commit(&late).map_err(Error::from), "of another cut");
    let (checkpoint, _) = manager.publish(capture).unwrap();
    holder.commit(&checkpoint).unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    holder.take_capture().unwrap();
    refused(holder.commit(&checkpoint).map_err(Error::from), "of another cut");
    holder.abort().unwrap();
    manager.checkpoint(&mut holder, None).unwrap();
    let mut restored = StateHolder::builder("orders").build().unwrap();
    manager.restore_latest(&mut restored).unwrap();
    let all = |holder: &StateHolder| ["eu", "us"].map(|key| holder.get::<u8>(key).unwrap());
    assert_eq!((all(&restored), all(&holder)), ([Some(1), Some(3)], [Some(1), Some(3)]));
}

#[test]
fn a_cut_that_was_not_captured_is_not_committed() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut holder = StateHolder::builder("orders").build().unwrap();
    holder.set("eu", &1_u8).unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    let capture = holder.take_capture().unwrap();
    let (first, _) = manager.publish(capture).unwrap();
    holder.commit(&first).unwrap();
    holder.set("eu", &2_u8).unwrap();
    holder.begin(CheckpointRequest::default()).unwrap();
    refused(holder.commit(&first).map_err(Error::from), "was not captured");
    holder.abort().unwrap();
    manager.checkpoint(&mut holder, None).unwrap();
    let mut restored = StateHolder::builder("orders").build().unwrap();
    manager.restore_latest(&mut restored).unwrap();
    assert_eq!(restored.get("eu").unwrap(), Some(2_u8), "what was dirty stayed dirty");
}

#[test]
fn the_checkpoint_of_another_holder_is_refused() {
    let mut manager = CheckpointManager::open(MemoryBackend::new(), ManagerConfig::default()).unwrap();
    let mut orders = StateHolder::builder("orders").build().unwrap();
    orders.set("eu", &1_u8).unwrap();
    manager.checkpoint(&mut orders, None).unwrap();
    let mut other = StateHolder::builder("other").build().unwrap();
    other.set("kept", &2_u8).unwrap();
    let error = manager.restore_latest(&mut other).unwrap_err();
    assert!(error.to_string().starts_with("the checkpoint is of `orders`, not of `other`"), "{error}");
    assert_eq!((other.get("kept").unwrap(), other.get::<u8>("eu").unwrap()), (Some(2_u8), None));
}

#[test]
fn states_have_names_of_their_own() {
    let refused = |descriptor: StateDescriptor| {
        let builder = StateHolder::builder("orders").state(StateDescriptor::new("a", StateKind::Windows, 1, ""));
        builder.state(descriptor).build().unwrap_err().to_string()
    };
    for (name, kind, reason) in [
        ("a", StateKind::Patterns, "the name `a` is used twice"),
        ("", StateKind::Windows, "a state that is declared has a name"),
    ] {
        let error = refused(StateDescriptor::new(name, kind, 1, ""));
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn fields_of_an_engine_have_names_of_their_own() {
    let error = Engine::new(&application(0, TOTALS), &["k", "n", "s", "n"]).unwrap_err().to_string();
    assert!(error.starts_with("fields: two fields have the name `n`"), "{error}");
}

/// Deltas are told from what is older than their base by their numbers: one that does not rise would be restored without
/// its changes.
#[test]
fn a_checkpoint_whose_number_does_not_rise_is_refused() {
    let mut holder = StateHolder::builder("numbers").build().unwrap();
    let object = |id, generation| ObjectId { id, generation };
    let mut encode = |value: u32, object| {
        holder.set("key", &value).unwrap();
        holder.begin(CheckpointRequest::default()).unwrap();
        let encoded = holder.take_capture().unwrap().into_object(object, Compression::Lz4);
        match &encoded {
            Ok(encoded) => holder.commit(encoded).unwrap(),
            Err(_) => holder.abort().unwrap(),
        }
        encoded.map(|encoded| encoded.manifest().sizes.delta_rows)
    };
    encode(1, object(5, 1)).unwrap();
    for wrong in [object(5, 1), object(5, 2), object(4, 2), object(0, 9)] {
        let error = encode(2, wrong).unwrap_err();
        assert!(matches!(error, CoreError::CallOrder(reason) if reason.contains("above")), "{error:?}");
    }
    assert_eq!(encode(3, object(6, 1)).unwrap(), 1);
}

#[test]
fn a_step_without_a_budget_captures_something() {
    let mut holder = StateHolder::builder("steps").build().unwrap();
    (0..100_u32).for_each(|number| holder.set(number.to_le_bytes(), &number).unwrap());
    holder.begin(CheckpointRequest::default()).unwrap();
    let steps = (0..10_000).position(|_| holder.step(0).unwrap() == StepProgress::Done);
    assert!(steps.is_some());
}

#[test]
fn there_is_no_room_for_more_bytes_than_can_be_counted() {
    let holder = StateHolder::builder("room").budget_bytes(1 << 20).build().unwrap();
    assert!(matches!(holder.ensure_room(usize::MAX), Err(CoreError::OverBudget { .. })));
}
