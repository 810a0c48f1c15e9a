//! An engine with checkpoints in memory, driven by a programme of events and cuts, with restarts on the way.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;

use eventflux_core::definition::ApplicationDefinition;
use eventflux_core::{
    CheckpointRequest, Compression, Engine, Event, MemoryBackend, OpenWriter, Progress, Publish, Restore,
    RestoreOptions, Retention, Selector, StepProgress, Writer, drive,
};

use super::stream::{poll_lines, take};

/// One thing to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// Take the next event.
    Event,
    /// Cut a checkpoint, after ending the one under way, and capture so many bytes after each action. It is published
    /// once all is captured, or given up after so many actions, however much is captured by then.
    Cut { budget: usize, abort_after: Option<usize> },
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    cut: Place,
    budget: usize,
    abort_after: Option<usize>,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lines that each event brought out; in the end those of the end of the source.
    pub lines: Vec<Vec<String>>,
    /// The objects of the checkpoints, in order, each with the number of events before its cut.
    pub objects: Vec<(usize, Vec<u8>)>,
    pub late: Vec<u64>,
    pub restarts: usize,
    pub aborts: usize,
}

/// The engine, its storage, and how far it is.
pub struct Session<'a> {
    definition: &'a ApplicationDefinition,
    fields: &'a [&'a str],
    compression: Compression,
    retention: Retention,
    engine: Engine,
    storage: MemoryBackend,
    writer: Writer,
    /// Place in the programme, and number of events taken.
    at: Place,
    under_way: Option<UnderWay>,
    restart_after: BTreeSet<usize>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    action: usize,
    event: usize,
}

impl<'a> Session<'a> {
    pub fn new(definition: &'a ApplicationDefinition, fields: &'a [&'a str], max_retained: u32) -> Self {
        let mut storage = MemoryBackend::new();
        let writer = drive(OpenWriter::new(), &mut storage).unwrap();
        Session {
            definition,
            fields,
            compression: definition.checkpoint.compression,
            retention: Retention { max_retained },
            engine: Engine::new(definition, fields).unwrap(),
            storage,
            writer,
            at: Place { action: 0, event: 0 },
            under_way: None,
            restart_after: BTreeSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// Runs a programme over the events to the end of the source. After each of the checkpoints whose numbers are in
    /// `restart_after` the engine is thrown away, and a new one goes on from the checkpoint.
    pub fn run(mut self, programme: &[Action], events: &[Event], restart_after: BTreeSet<usize>) -> Outcome {
        self.restart_after = restart_after;
        loop {
            match programme.get(self.at.action) {
                Some(action) => {
                    self.at.action += 1;
                    self.act(action, events);
                    self.step();
                }
                // The last checkpoint, too, may be followed by a restart.
                None if self.under_way.is_some() => self.complete(),
                None => break,
            }
        }
        assert_eq!(self.at.event, events.len(), "the programme takes all events");
        self.finish()
    }

    fn act(&mut self, action: &Action, events: &[Event]) {
        match action {
            Action::Event => {
                let (_, lines) = take(&mut self.engine, &events[self.at.event]);
                self.record(lines);
                self.at.event += 1;
            }
            Action::Cut { budget, abort_after } => {
                // If that leads to a restart, the cut is still to come.
                let here = self.at;
                let restarts = self.outcome.restarts;
                self.complete();
                if self.outcome.restarts == restarts {
                    self.at = here;
                    self.cut(*budget, *abort_after);
                }
            }
        }
    }

    /// Lines of the event at this place: the same again after a restart.
    fn record(&mut self, lines: Vec<String>) {
        match self.outcome.lines.get(self.at.event) {
            Some(before) => assert_eq!(&lines, before, "event {} after a restart", self.at.event),
            None => self.outcome.lines.push(lines),
        }
    }

    fn cut(&mut self, budget: usize, abort_after: Option<usize>) {
        let event = self.at.event;
        let progress = Progress { positions: vec![("events".into(), event as u64)], ..Progress::default() };
        self.engine.begin_checkpoint(CheckpointRequest { created_ms: event as i64, label: None, progress }).unwrap();
        self.under_way = Some(UnderWay { cut: self.at, budget, abort_after });
    }

    /// What is done for the checkpoint under way after each action.
    fn step(&mut self) {
        let Some(under_way) = &mut self.under_way else { return };
        let progress = self.engine.holder_mut().step(under_way.budget).unwrap();
        match &mut under_way.abort_after {
            Some(0) => self.abort(),
            Some(left) => *left -= 1,
            None if progress == StepProgress::Done => self.publish(),
            None => {}
        }
    }

    /// Ends the checkpoint under way.
    fn complete(&mut self) {
        match self.under_way {
            Some(UnderWay { abort_after: Some(_), .. }) => self.abort(),
            Some(_) => {
                while self.engine.holder_mut().step(usize::MAX).unwrap() == StepProgress::More {}
                self.publish();
            }
            None => {}
        }
    }

    fn abort(&mut self) {
        self.under_way = None;
        self.engine.holder_mut().abort().unwrap();
        self.outcome.aborts += 1;
    }

    fn publish(&mut self) {
        let cut = self.under_way.take().unwrap().cut;
        let capture = self.engine.holder_mut().take_capture().unwrap();
        let mut encoded = capture.into_object(self.writer.next_object(), self.compression).unwrap();
        let number = self.outcome.objects.len();
        self.outcome.objects.push((cut.event, encoded.bytes().to_vec()));
        drive(Publish::new(&mut self.writer, &mut encoded, self.retention).unwrap(), &mut self.storage).unwrap();
        self.engine.holder_mut().commit(&encoded).unwrap();
        if self.restart_after.contains(&number) {
            self.restart();
            self.at = cut;
        }
    }

    /// Throws the engine away, a new one has the state of the newest checkpoint; or every third time takes the same one
    /// back to it.
    fn restart(&mut self) {
        if self.outcome.restarts % 3 != 2 {
            self.engine = Engine::new(self.definition, self.fields).unwrap();
        }
        let restore = Restore::new(self.engine.holder_mut(), Selector::Latest, RestoreOptions::default());
        let restored = drive(restore, &mut self.storage).unwrap();
        self.engine.resume(&restored.manifest).unwrap();
        self.outcome.restarts += 1;
    }

    /// The end of the source, and a last checkpoint of what is left then.
    fn finish(mut self) -> Outcome {
        self.engine.finish().unwrap();
        let lines = poll_lines(&mut self.engine);
        self.record(lines);
        self.cut(usize::MAX, None);
        self.complete();
        self.outcome.late.clone_from(&self.engine.progress().late);
        assert!(self.engine.progress().finished);
        self.outcome
    }
}
