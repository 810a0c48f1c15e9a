//! A state of fixed capacity and its growable twin, each in a holder of its own: what is done to both.

use eventflux_core::{
    CheckpointRequest, EncodedCheckpoint, FixedHolder, FixedMap, FixedPlain, FixedRequest, FixedStateDescriptor,
    FixedValue, MemoryBackend, ObjectId, OpenWriter, Publish, Restore, RestoreOptions, Retention, Selector,
    StateDescriptor, StateHolder, StateKind, Value, Verify, Writer, drive,
};
use proptest::prelude::*;

pub const STATE: &str = "state";
const ID: &str = "pair";
const KEY_GROUPS: u16 = 4;

pub type Keyed<V> = FixedMap<V, 6, 1>;
type Holder = FixedHolder<'static, 2, 40>;
type NoValues = FixedMap<FixedPlain<0>, 0, 0>;

/// What is compared.
pub trait Subject {
    type Fixed: FixedValue;
    type Operation: std::fmt::Debug + Clone;
    const KIND: StateKind;

    fn any_operation() -> BoxedStrategy<Self::Operation>;

    /// Does the same to both. What has no room leaves the fixed one as it was.
    fn apply(operation: &Self::Operation, number: u64, fixed: &mut Keyed<Self::Fixed>, growable: &mut StateHolder);

    /// The content of both, in words, by key.
    fn contents(fixed: &Keyed<Self::Fixed>, growable: &StateHolder) -> [Vec<String>; 2];
}

/// What comes in between.
#[derive(Debug, Clone)]
pub enum Step<O> {
    Operation(O),
    Checkpoint { durable: bool, meanwhile: Vec<O> },
    Restart,
}

pub fn any_steps<S: Subject>() -> impl Strategy<Value = Vec<Step<S::Operation>>>
where
    S::Operation: 'static,
{
    let meanwhile = prop::collection::vec(S::any_operation(), 0..3);
    let step = prop_oneof![
        10 => S::any_operation().prop_map(Step::Operation),
        3 => (prop::bool::weighted(0.8), meanwhile)
            .prop_map(|(durable, meanwhile)| Step::Checkpoint { durable, meanwhile }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..100)
}

/// Any value that needs no allocation.
pub fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zé]{0,11}".prop_map(|text| Value::from(text.as_str())),
    ]
}

/// Both, and a storage with the checkpoints of the fixed one.
struct Pair<S: Subject> {
    holder: Holder,
    fixed: Keyed<S::Fixed>,
    growable: StateHolder,
    storage: MemoryBackend,
    writer: Writer,
    /// The newest checkpoint, and what both had at its cut.
    newest: Option<(ObjectId, Vec<String>)>,
    operations: u64,
}

pub fn run<S: Subject>(steps: &[Step<S::Operation>]) {
    let mut storage = MemoryBackend::new();
    let writer = drive(OpenWriter::new(), &mut storage).unwrap();
    let (holder, growable) = (fixed_holder(), growable_holder::<S>());
    let mut pair = Pair::<S> { holder, fixed: Keyed::new(), growable, storage, writer, newest: None, operations: 0 };
    steps.iter().for_each(|step| pair.step(step));
    pair.checkpoint(true, &[]);
    pair.restart();
    pair.hand_over();
    steps.iter().for_each(|step| pair.step(step));
    pair.checkpoint(true, &[]);
    pair.restart();
    let report = drive(Verify::new(), &mut pair.storage).unwrap();
    assert!(report.findings.is_empty() && report.unneeded.is_empty(), "{report:?}");
}

fn fixed_holder() -> Holder {
    let descriptor = |name| FixedStateDescriptor { name, version: 1, description: "" };
    FixedHolder::new(ID, KEY_GROUPS, ["", STATE].map(descriptor))
}

fn growable_holder<S: Subject>() -> StateHolder {
    let builder = StateHolder::builder(ID).key_groups(KEY_GROUPS).values_schema(1, "");
    builder.state(StateDescriptor::new(STATE, S::KIND, 1, "")).build().unwrap()
}

impl<S: Subject> Pair<S> {
    fn step(&mut self, step: &Step<S::Operation>) {
        match step {
            Step::Operation(operation) => self.apply(operation),
            Step::Checkpoint { durable, meanwhile } => self.checkpoint(*durable, meanwhile),
            Step::Restart => self.restart(),
        }
    }

    fn apply(&mut self, operation: &S::Operation) {
        S::apply(operation, self.operations, &mut self.fixed, &mut self.growable);
        self.operations += 1;
        self.compare();
    }

    /// What both have.
    fn compare(&self) -> Vec<String> {
        let [fixed, growable] = S::contents(&self.fixed, &self.growable);
        assert_eq!(fixed, growable);
        fixed
    }

    fn checkpoint(&mut self, durable: bool, meanwhile: &[S::Operation]) {
        let object = self.writer.next_object();
        self.growable.begin(CheckpointRequest::default()).unwrap();
        let encoded = self.growable.take_capture().unwrap().into_row_object(object).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let states = &mut [&mut NoValues::new() as _, &mut self.fixed as _];
        let len = self.holder.encode(object, &FixedRequest::default(), states, &mut buffer).unwrap();
        buffer.truncate(len);
        assert_eq!(buffer, encoded.bytes(), "checkpoint {}", object.id);
        let cut = self.compare();

        meanwhile.iter().for_each(|operation| self.apply(operation));
        let states = &mut [&mut NoValues::new() as _, &mut self.fixed as _];
        if durable {
            // What is published is what the fixed one wrote.
            let mut arrived = EncodedCheckpoint::from_object(object, buffer).unwrap();
            let retention = Retention { max_retained: 3 };
            drive(Publish::new(&mut self.writer, &mut arrived, retention).unwrap(), &mut self.storage).unwrap();
            self.holder.commit(states).unwrap();
            self.growable.commit(&encoded).unwrap();
            self.newest = Some((object, cut));
        } else {
            self.holder.abort(states).unwrap();
            self.growable.abort().unwrap();
        }
    }

    /// New ones go on from what was published.
    fn restart(&mut self) {
        let Some((newest, cut)) = &self.newest else { return };
        self.growable = growable_holder::<S>();
        let restore = Restore::new(&mut self.growable, Selector::Latest, RestoreOptions::default());
        assert_eq!(drive(restore, &mut self.storage).unwrap().manifest.object, *newest);

        let (mut objects, mut others) = (Vec::new(), Vec::new());
        for (name, bytes) in self.storage.objects_mut() {
            if *name == newest.name() { &mut objects } else { &mut others }.push(bytes.as_slice());
        }
        objects.append(&mut others);
        (self.holder, self.fixed) = (fixed_holder(), Keyed::new());
        let states = &mut [&mut NoValues::new() as _, &mut self.fixed as _];
        assert_eq!(self.holder.restore(states, &objects).unwrap().object, *newest);
        assert_eq!(self.compare(), *cut);
    }

    /// What a growable one wrote whole goes into a fixed one, which goes on with changes.
    fn hand_over(&mut self) {
        let object = self.writer.next_object();
        self.growable.begin_full(CheckpointRequest::default()).unwrap();
        let mut encoded = self.growable.take_capture().unwrap().into_row_object(object).unwrap();
        let bytes = encoded.bytes().to_vec();
        drive(Publish::new(&mut self.writer, &mut encoded, Retention::default()).unwrap(), &mut self.storage).unwrap();
        self.growable.commit(&encoded).unwrap();
        (self.holder, self.fixed) = (fixed_holder(), Keyed::new());
        let states = &mut [&mut NoValues::new() as _, &mut self.fixed as _];
        self.holder.restore(states, &[&bytes]).unwrap();
        self.newest = Some((object, self.compare()));
    }
}
