//! States made by a program of writes, checkpoints and restores: the same program gives the same bytes, and what is
//! restored is what was written.

use arbitrary::{Result, Unstructured};
use eventflux::{
    Accumulator, AggregationState, CheckpointManager, Compression, ManagerConfig, MemoryBackend, PatternState,
    Retention, Selector, StateDescriptor, StateHolder, StateKind, Value, WindowState,
};
use eventflux_core::{
    BufferedEvent, CheckpointRequest, Event, Function, ReadManifest, RestoreOptions, StateContents, StepProgress,
    Verify, contents, drive,
};

const FUNCTIONS: [Function; 10] = [
    Function::Count,
    Function::Sum,
    Function::Min,
    Function::Max,
    Function::Avg,
    Function::Stddev,
    Function::First,
    Function::Last,
    Function::Distinct,
    Function::Median,
];
/// Operations of a program.
const OPERATIONS_MAX: usize = 100;

/// Runs a program twice; each run checks its own checkpoints.
pub fn state(input: &[u8]) {
    let first = Program::run(input);
    let second = Program::run(input);
    assert!(first == second, "the same program wrote other bytes");
}

struct Program<'a> {
    choices: Unstructured<'a>,
    holder: StateHolder,
    manager: CheckpointManager<MemoryBackend>,
    /// What each checkpoint holds.
    points: Vec<(u64, Vec<StateContents>)>,
    /// The holder as it was at a cut that is under way.
    cut: Option<Vec<StateContents>>,
    sequence: u64,
}

impl<'a> Program<'a> {
    fn run(input: &'a [u8]) -> MemoryBackend {
        let mut choices = Unstructured::new(input);
        let lz4 = choices.arbitrary().unwrap_or(false);
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let groups = choices.int_in_range(1..=6).unwrap_or(1);
        let config = ManagerConfig { compression, retention: Retention { max_retained: 4 } };
        let manager = CheckpointManager::open(MemoryBackend::new(), config).expect("memory opens");
        let mut program = Program { choices, holder: holder(groups), manager, points: vec![], cut: None, sequence: 0 };
        for _ in 0..OPERATIONS_MAX {
            if program.choices.is_empty() || program.operation().is_err() {
                break;
            }
        }
        program.end();
        program.manager.backend_mut().clone()
    }

    fn operation(&mut self) -> Result<()> {
        match self.choices.int_in_range(0..=15)? {
            0..=2 => self.change_value(),
            3..=5 => self.change_window(),
            6..=8 => self.change_pattern(),
            9..=11 => self.change_group(),
            12 => self.step(),
            13 => self.bulk(),
            14 => {
                self.checkpoint();
                Ok(())
            }
            _ => self.restore(),
        }
    }

    fn key(&mut self) -> Result<Vec<u8>> {
        Ok(match self.choices.int_in_range(0..=5)? {
            0 => Vec::new(),
            1 => self.choices.bytes(2)?.to_vec(),
            2 => vec![7; self.choices.int_in_range(20..=40)?],
            _ => vec![self.choices.int_in_range(0..=7)?],
        })
    }

    fn value(&mut self) -> Result<Value> {
        Ok(match self.choices.int_in_range(0..=6)? {
            0 => Value::Null,
            1 => self.choices.arbitrary::<bool>()?.into(),
            2 => self.choices.arbitrary::<i64>()?.into(),
            3 => self.choices.arbitrary::<f64>()?.into(),
            4 => "a text too long to lie inline".into(),
            5 => self.choices.arbitrary::<&str>()?.into(),
            _ => self.choices.int_in_range(-3..=9_i64)?.into(),
        })
    }

    fn event(&mut self) -> Result<BufferedEvent> {
        self.sequence += 1;
        let values = (0..self.choices.int_in_range(0..=3)?).map(|_| self.value()).collect::<Result<Vec<_>>>()?;
        let time = self.choices.int_in_range(-1000..=1000_i64)?;
        Ok(BufferedEvent { sequence: self.sequence, event: Event::new(time, values) })
    }

    fn change_value(&mut self) -> Result<()> {
        let key = self.key()?;
        if self.choices.ratio(1, 4)? {
            self.holder.remove(&key).expect("a key is removed");
        } else {
            let value: (u16, &str) = self.choices.arbitrary()?;
            self.holder.set(&key, &value).expect("a value fits");
        }
        Ok(())
    }

    fn change_window(&mut self) -> Result<()> {
        let (key, start, event) = (self.key()?, self.choices.int_in_range(0..=3_i64)? * 100, self.event()?);
        let what = self.choices.int_in_range(0..=9)?;
        let (function, value) = (FUNCTIONS[self.choices.choose_index(FUNCTIONS.len())?], self.value()?);
        let map = self.holder.windows_mut("windows").expect("declared");
        if what == 0 {
            map.remove(&key);
            return Ok(());
        }
        let change = |state: &mut WindowState| {
            if what == 1 {
                state.close(start);
                return;
            }
            state.update(start, |window| {
                window.set_end(start + 100);
                match what {
                    2 => drop(window.pop_front()),
                    3 if window.accumulators().is_empty() => window.accumulators_mut().push(Accumulator::new(function)),
                    4 | 5 => {
                        let accumulators = window.accumulators_mut();
                        let _ = accumulators.first_mut().map(|first| first.add(start, &value));
                    }
                    _ => window.push_back(event),
                }
            });
        };
        map.update(&key, WindowState::new, change).expect("a window fits");
        Ok(())
    }

    fn change_pattern(&mut self) -> Result<()> {
        let (key, event, what) = (self.key()?, self.event()?, self.choices.int_in_range(0..=7)?);
        let at = self.choices.int_in_range(0..=2_usize)?;
        let map = self.holder.patterns_mut("patterns").expect("declared");
        let change = |state: &mut PatternState| match what {
            0 => drop(state.take_due(event.event.timestamp)),
            1 => state.retain(|partial| partial.id() % 2 == 0),
            2 if at < state.partials().len() => drop(state.drop_at(at)),
            3 | 4 if at < state.partials().len() => state.advance(at, event.event),
            5 | 6 => drop(state.start(event)),
            _ => state.wait(event),
        };
        map.update(&key, PatternState::new, change).expect("a pattern fits");
        Ok(())
    }

    fn change_group(&mut self) -> Result<()> {
        let (key, what) = (self.key()?, self.choices.int_in_range(0..=9)?);
        let (time, value) = (self.choices.int_in_range(0..=100_i64)?, self.value()?);
        let map = self.holder.aggregations_mut("groups").expect("declared");
        if what == 0 {
            map.remove(&key);
            return Ok(());
        }
        let create = || AggregationState::new(FUNCTIONS.map(Accumulator::new).to_vec());
        let change = |state: &mut AggregationState| {
            state.update(|accumulators| {
                for accumulator in accumulators {
                    if what == 1 {
                        accumulator.add_event();
                    } else {
                        // What does not fit a function is an error, and nothing is added.
                        let _ = accumulator.add(time, &value);
                    }
                }
            });
        };
        map.update(&key, create, change).expect("a group fits");
        Ok(())
    }

    /// So much of the same that it is written as columns.
    fn bulk(&mut self) -> Result<()> {
        let (count, factor) = (self.choices.int_in_range(16..=80_u32)?, self.choices.arbitrary::<u32>()?);
        for number in 0..count {
            self.holder.set(number.to_be_bytes(), &(number.wrapping_mul(factor), "bulk")).expect("a value fits");
        }
        Ok(())
    }

    /// Cuts, or captures a part of the cut, so that writes come in between.
    fn step(&mut self) -> Result<()> {
        if self.cut.is_none() {
            let before = contents(&self.holder).expect("it is shown");
            self.holder.begin(self.request()).expect("no other is under way");
            self.cut = Some(before);
        } else if self.holder.step(self.choices.int_in_range(1..=500)?).expect("it is under way") == StepProgress::Done
        {
            self.complete();
        }
        Ok(())
    }

    fn request(&self) -> CheckpointRequest {
        CheckpointRequest { created_ms: self.points.len() as i64, ..CheckpointRequest::default() }
    }

    fn checkpoint(&mut self) {
        if self.cut.is_none() {
            let before = contents(&self.holder).expect("it is shown");
            self.holder.begin(self.request()).expect("no other is under way");
            self.cut = Some(before);
        }
        self.complete();
    }

    fn complete(&mut self) {
        let Some(before) = self.cut.take() else { return };
        let capture = self.holder.take_capture().expect("it is under way");
        let (encoded, published) = self.manager.publish(capture).expect("memory takes it");
        self.holder.commit(&encoded).expect("it is under way");
        self.points.push((published.entry.object.id, before));
    }

    /// Goes back to a checkpoint, or on from the newest.
    fn restore(&mut self) -> Result<()> {
        if self.cut.is_some() {
            self.complete();
        }
        let ids: Vec<u64> = self.manager.list().iter().map(|entry| entry.object.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let id = *self.choices.choose(&ids)?;
        let selected = Selector::Id(id);
        self.manager.restore_selected(&mut self.holder, selected, RestoreOptions::default()).expect("it is whole");
        let expected = self.points.iter().rev().find(|(point, _)| *point == id).expect("it was taken");
        assert_eq!(contents(&self.holder).expect("it is shown"), expected.1);
        Ok(())
    }

    /// Every checkpoint that is kept holds what it held.
    fn assert_points(&mut self) {
        let objects: Vec<_> = self.manager.list().iter().map(|entry| entry.object).collect();
        let storage = self.manager.backend_mut();
        for object in objects {
            let manifest = drive(ReadManifest::new(object), storage).expect("it is whole");
            let restored = super::work::restore(storage, &manifest).expect("it restores");
            let expected = self.points.iter().find(|(id, _)| *id == object.id).expect("it was taken");
            assert_eq!(contents(&restored).expect("it is shown"), expected.1, "checkpoint {}", object.id);
        }
        let report = drive(Verify::new(), storage).expect("the head is whole");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    fn end(&mut self) {
        self.checkpoint();
        self.checkpoint();
        self.assert_points();
    }
}

fn holder(groups: u16) -> StateHolder {
    let state = |name: &str, kind| StateDescriptor::new(name, kind, 1, name);
    let holder = StateHolder::builder("program").key_groups(groups).state(state("windows", StateKind::Windows));
    let holder = holder.state(state("patterns", StateKind::Patterns)).state(state("groups", StateKind::Aggregations));
    holder.build().expect("a holder")
}
