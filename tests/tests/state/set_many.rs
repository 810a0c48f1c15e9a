//! Values written together are those written one after the other: same state, same bytes of every checkpoint.

use eventflux_core::{CheckpointRequest, Compression, Error, ObjectId, StateHolder, StepProgress};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(u16, String)>),
    Remove(u16),
    Begin,
    Capture,
    Commit,
    Abort,
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = || prop_oneof![0_u16..20, 0_u16..3000];
    // Some values are longer than what is held in place.
    let value = (0_usize..40).prop_map(|len| "v".repeat(len));
    prop_oneof![
        8 => prop::collection::vec((key(), value), 0..150).prop_map(Step::Write),
        2 => key().prop_map(Step::Remove),
        2 => Just(Step::Begin),
        3 => Just(Step::Capture),
        1 => Just(Step::Commit),
        1 => Just(Step::Abort),
    ]
}

/// A holder, with the checkpoints that were taken of it.
struct Side {
    holder: StateHolder,
    under_way: bool,
    objects: Vec<Vec<u8>>,
}

impl Side {
    fn new() -> Self {
        let holder = StateHolder::builder("side").key_groups(8).build().unwrap();
        Side { holder, under_way: false, objects: Vec::new() }
    }

    fn take(&mut self, step: &Step, write: impl FnOnce(&mut StateHolder, &[(u16, String)])) {
        match step {
            Step::Write(entries) => write(&mut self.holder, entries),
            Step::Remove(key) => drop(self.holder.remove(key.to_be_bytes()).unwrap()),
            Step::Begin if !self.under_way => {
                self.holder.begin(CheckpointRequest::default()).unwrap();
                self.under_way = true;
            }
            Step::Capture if self.under_way => drop(self.holder.step(200).unwrap()),
            Step::Commit if self.under_way => {
                while self.holder.step(1000).unwrap() != StepProgress::Done {}
                let id = ObjectId { id: self.objects.len() as u64, generation: 1 };
                let object = self.holder.take_capture().unwrap().into_object(id, Compression::Lz4).unwrap();
                self.holder.commit(&object).unwrap();
                self.objects.push(object.bytes().into());
                self.under_way = false;
            }
            Step::Abort if self.under_way => {
                self.holder.abort().unwrap();
                self.under_way = false;
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn together_or_one_by_one(steps in prop::collection::vec(any_step(), 0..40)) {
        let (mut together, mut one_by_one) = (Side::new(), Side::new());
        for step in steps.iter().chain(&[Step::Begin, Step::Commit]) {
            together.take(step, |holder, entries| {
                holder.set_many(entries.iter().map(|(key, value)| (key.to_be_bytes(), value))).unwrap();
            });
            one_by_one.take(step, |holder, entries| {
                entries.iter().for_each(|(key, value)| holder.set(key.to_be_bytes(), value).unwrap());
            });
            prop_assert_eq!(together.holder.values().len(), one_by_one.holder.values().len());
        }
        prop_assert_eq!(together.objects, one_by_one.objects);
    }
}

#[test]
fn those_before_one_that_cannot_be_written_are() {
    let mut holder = StateHolder::builder("orders").build().unwrap();
    let long = "k".repeat(1 << 20);
    let error = holder.set_many([("a", 1), ("b", 2), (&long, 3), ("c", 4)]).unwrap_err();
    assert!(matches!(error, Error::OverLimit { .. }), "{error}");
    assert_eq!(holder.values().len(), 2);
    assert_eq!((holder.get("b").unwrap(), holder.get::<i32>("c").unwrap()), (Some(2), None));
    holder.set_many(Vec::<(String, i32)>::new()).unwrap();
    assert_eq!(holder.values().len(), 2);
}
