//! EventFlux State: a holder, and its checkpoints in files.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use eventflux::storage::{Access, FileBackend};
use eventflux::{CheckpointManager, ManagerConfig};
use eventflux_core::{Capture, CheckpointRequest, EncodedCheckpoint, StateHolder, StepProgress};
use serde::{Deserialize, Serialize};

use super::{Map, Store};
use crate::data::{Entry, Key, Payload};

/// What is captured in a turn of the loop: as the runtime does it, for each event of the turn, but a quarter of that, for
/// an update is shorter than an event.
const STEP_BYTES: usize = 64 * 2 * 1024;

type Manager = CheckpointManager<FileBackend>;

/// A value as a program declares it: 16 bytes once encoded.
#[derive(Serialize, Deserialize)]
struct Total([u8; 8], [u8; 8]);

/// A holder and its storage.
pub struct Ours {
    holder: StateHolder,
    state: State,
}

/// Where the manager of the checkpoints is.
enum State {
    Here(Box<Manager>),
    /// With the thread that publishes, once the first checkpoint beside changes was begun.
    Beside {
        worker: Worker,
        progress: Progress,
    },
    /// For a moment, on the way from one to the other.
    Moving,
}

/// How far a checkpoint beside changes is.
#[derive(PartialEq)]
enum Progress {
    None,
    Capturing,
    Publishing,
}

struct Worker {
    captures: Sender<Capture>,
    published: Receiver<EncodedCheckpoint>,
    thread: JoinHandle<Box<Manager>>,
}

impl Ours {
    /// Opens a storage for writing, and restores what is in it.
    pub fn open(directory: &Path) -> Self {
        let backend = FileBackend::open(directory, Access::Write).expect("a directory of our own");
        let mut manager = CheckpointManager::open(backend, ManagerConfig::default()).expect("a good storage");
        let mut holder = StateHolder::builder("totals").build().expect("the defaults are good");
        if manager.latest().is_some() {
            manager.restore_latest(&mut holder).expect("a good storage");
        }
        Ours { holder, state: State::Here(Box::new(manager)) }
    }

    fn give_away(&mut self) {
        if let State::Here(manager) = std::mem::replace(&mut self.state, State::Moving) {
            self.state = State::Beside { worker: Worker::start(manager), progress: Progress::None };
        } else {
            unreachable!("only a manager that is here is given away");
        }
    }

    fn take_back(&mut self) {
        self.finish();
        self.state = match std::mem::replace(&mut self.state, State::Moving) {
            State::Beside { worker, .. } => State::Here(worker.stop()),
            other => other,
        };
    }
}

impl Store for Ours {
    fn change(&mut self, changes: &[Entry]) {
        let changes = changes.iter().map(|(key, payload)| (key, Total::from(*payload)));
        self.holder.set_many(changes).expect("there is no budget");
    }

    fn persist(&mut self) {
        self.take_back();
        let State::Here(manager) = &mut self.state else { unreachable!("it was taken back") };
        manager.checkpoint(&mut self.holder, None).expect("the disk has room");
    }

    fn persist_beside(&mut self) {
        if matches!(self.state, State::Here(_)) {
            self.give_away();
        }
        self.finish();
        self.holder.begin(CheckpointRequest::default()).expect("none is under way");
        let State::Beside { progress, .. } = &mut self.state else { unreachable!("it was given away") };
        *progress = Progress::Capturing;
    }

    fn turn(&mut self) {
        let State::Beside { worker, progress } = &mut self.state else { return };
        match progress {
            Progress::None => {}
            Progress::Capturing => {
                if self.holder.step(STEP_BYTES).expect("one is under way") == StepProgress::Done {
                    let capture = self.holder.take_capture().expect("all is captured");
                    worker.captures.send(capture).expect("the worker runs");
                    *progress = Progress::Publishing;
                }
            }
            Progress::Publishing => {
                if let Ok(encoded) = worker.published.try_recv() {
                    self.holder.commit(&encoded).expect("it was published");
                    *progress = Progress::None;
                }
            }
        }
    }

    fn is_busy(&self) -> bool {
        matches!(&self.state, State::Beside { progress, .. } if *progress != Progress::None)
    }

    fn finish(&mut self) {
        while let State::Beside { worker, progress } = &mut self.state {
            match progress {
                Progress::None => break,
                Progress::Capturing => self.turn(),
                Progress::Publishing => {
                    let encoded = worker.published.recv().expect("the worker runs");
                    self.holder.commit(&encoded).expect("it was published");
                    *progress = Progress::None;
                }
            }
        }
    }

    fn get(&self, key: &Key) -> Option<Payload> {
        self.holder.get::<Total>(key).expect("it was set so").map(Payload::from)
    }

    fn load(&self) -> Option<Map> {
        None
    }
}

impl Worker {
    /// As the runtime's: encodes, compresses, writes and publishes, one checkpoint at a time.
    fn start(mut manager: Box<Manager>) -> Self {
        let (captures, received) = channel::<Capture>();
        let (publish, published) = channel();
        let thread = thread::spawn(move || {
            for capture in received {
                let (encoded, _) = manager.publish(capture).expect("the disk has room");
                if publish.send(encoded).is_err() {
                    break;
                }
            }
            manager
        });
        Worker { captures, published, thread }
    }

    fn stop(self) -> Box<Manager> {
        drop(self.captures);
        self.thread.join().expect("the worker does not panic")
    }
}

impl From<Payload> for Total {
    fn from(payload: Payload) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = payload;
        Total([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p])
    }
}

impl From<Total> for Payload {
    fn from(total: Total) -> Self {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&total.0);
        payload[8..].copy_from_slice(&total.1);
        payload
    }
}
