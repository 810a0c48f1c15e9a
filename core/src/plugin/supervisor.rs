//! Keeps a plugin going: asks its instance, starts another one when that is lost, restores and repeats.
//!
//! A failure costs the plugin only: the instance is dropped, a new one gets the frames handed out last and the batches
//! since, whose results are compared with what they were and not given out again. After so many failures from one
//! checkpoint to the next it is stopped, and says why.
//!
//! Invariants:
//! - the frames in the state, and the journal on top of them, are what the instance has seen, exactly;
//! - a batch is in the journal once its results were accepted, not before.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem::replace;

use super::answer::{Answer, read_answers};
use super::checked::{CheckedGuest, shown_reason};
use super::collect::collect_frames;
use super::guest::{Component, Guest, GuestError, GuestHome, GuestSetup};
use super::notice::{Happening, PluginNotice};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::hash64;
use crate::limits::{
    PLUGIN_FAILED_BATCHES_MAX, PLUGIN_FAILURES_MAX, PLUGIN_FRAMES_PER_STATE, PLUGIN_FULL_BYTES_MIN,
    PLUGIN_JOURNAL_BYTES, plugin_results_bytes_max,
};
use crate::state::PlainValue;
use crate::tracked::TrackedMap;

/// What a call counts beside its batch.
const CALL_BYTES: usize = 32;
/// Epochs that build on one another before all of the state is asked for again.
const EPOCHS_MAX: usize = 256;

/// The state of a plugin's operator.
pub(crate) type PluginState = TrackedMap<PlainValue>;

/// What a plugin was given since its last frames.
#[derive(Debug)]
struct Call {
    /// A batch; `None` is the end of the source.
    batch: Option<Box<[u8]>>,
    /// Hash of what it answered.
    answer: u64,
}

/// What a plugin is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Given<'a> {
    /// A batch; `watermarks` has a place for each item, and a time for each that is a watermark.
    Batch { bytes: &'a [u8], watermarks: &'a [Option<i64>] },
    /// The end of the source.
    End,
}

/// Why a plugin took something not.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It refused an item of a batch, and is as it was before.
    BadEvent { item: u32, reason: String },
    /// It is stopped.
    Stopped(Error),
    /// It is stopped over the frames that it was to hand out first: whatever it would be given, it would be.
    StoppedBefore(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Stopped(error)
    }
}

/// A call failed: of the plugin's own doing, or not.
enum Failure {
    Guest(GuestError),
    Other(Error),
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Self {
        Failure::Guest(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Other(error)
    }
}

/// A plugin that is kept going.
pub(crate) struct Supervisor {
    operator: String,
    home: Box<dyn GuestHome>,
    /// What goes on: that of the definition, or of the checkpoint if that one cannot.
    component: Component,
    config: String,
    /// Component, configuration and setup of the definition, where the checkpoint's took their place.
    displaced: Option<(Component, String, GuestSetup)>,
    state_budget: u64,
    /// Number of fields of the key.
    key_fields: usize,
    guest: Option<Box<dyn Guest>>,
    setup: GuestSetup,
    stored: Stored,
    journal: Vec<Call>,
    journal_bytes: usize,
    failures: u32,
    /// How often it has failed for good over events behind the first of a batch.
    failed_batches: u32,
    /// Checkpoint from which another component was taken over; its own first is not durable yet while that is the newest.
    upgraded_from: Option<u64>,
    /// The next frames are full, and of this component.
    anew: bool,
    /// Whether the instance has seen more than its configuration.
    used: bool,
    notices: Vec<PluginNotice>,
}

impl core::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Supervisor")
            .field("operator", &self.operator)
            .field("stored", &self.stored)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Starts a plugin with an empty state.
    pub(crate) fn start(
        operator: &str,
        key_fields: usize,
        config: &str,
        state_budget: u64,
        component: Component,
        home: Box<dyn GuestHome>,
    ) -> Result<Self> {
        let mut supervisor = Supervisor {
            operator: operator.into(),
            home,
            component,
            config: config.into(),
            displaced: None,
            state_budget,
            key_fields,
            guest: None,
            setup: GuestSetup::default(),
            stored: Stored::default(),
            journal: Vec::new(),
            journal_bytes: 0,
            failures: 0,
            failed_batches: 0,
            upgraded_from: None,
            anew: true,
            used: false,
            notices: Vec::new(),
        };
        let (guest, setup) = supervisor.new_guest().map_err(|reason| supervisor.error(reason))?;
        (supervisor.guest, supervisor.setup) = (Some(guest), setup);
        Ok(supervisor)
    }

    /// What it takes and gives.
    pub(crate) fn setup(&self) -> &GuestSetup {
        &self.setup
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.stored.detached.is_some()
    }

    pub(crate) fn take_notices(&mut self) -> Vec<PluginNotice> {
        core::mem::take(&mut self.notices)
    }

    /// An instance, initialised.
    fn new_guest(&mut self) -> Result<(Box<dyn Guest>, GuestSetup), String> {
        let started = self.home.start(&self.component, self.failures).map_err(|reason| shown_reason(&reason))?;
        let mut guest = Box::new(CheckedGuest::new(started));
        let setup = guest.init(&self.config, self.state_budget).map_err(|error| error.to_string())?;
        Ok((guest, setup))
    }

    /// Goes on from a restored state; `checkpoint` is its number. With `keep` the component is the checkpoint's, whatever
    /// the definition says.
    pub(crate) fn resume(&mut self, state: &mut PluginState, checkpoint: u64, keep: bool) -> Result<()> {
        self.journal.clear();
        (self.journal_bytes, self.failures, self.upgraded_from, self.anew) = (0, 0, None, true);
        self.failed_batches = 0;
        if replace(&mut self.used, true) {
            self.guest = None;
        }
        // This checkpoint may be one that the definition's can go on from.
        if let Some((component, config, setup)) = self.displaced.take() {
            (self.component, self.config, self.setup) = (component, config, setup);
            self.guest = None;
        }
        let Some(stored) = Stored::read(state, &self.operator)? else {
            self.stored = Stored::default();
            return Ok(());
        };
        self.stored = stored;
        if self.is_detached() {
            self.guest = None;
            return Ok(());
        }
        if self.stored.digest == self.component.digest {
            self.anew = self.config != self.stored.config;
            return self.revive_until_it_holds(state);
        }
        let reason = match keep {
            true => String::from("its first checkpoint was never reached"),
            false => match self.upgrade(state) {
                Ok(()) => {
                    self.upgraded_from = Some(checkpoint);
                    let (from, to) = (self.stored.digest, self.component.digest);
                    self.notice(Happening::Upgraded { from, to });
                    return Ok(());
                }
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Guest(error)) => error.to_string(),
            },
        };
        let bytes = self.stored.component(state, &self.operator)?.into();
        let component = Component { bytes, digest: self.stored.digest };
        let own = (replace(&mut self.component, component), replace(&mut self.config, self.stored.config.clone()));
        self.displaced = Some((own.0, own.1, self.setup.clone()));
        self.anew = false;
        self.guest = None;
        self.notice(Happening::WentBack { reason });
        let (guest, setup) = self.new_guest().map_err(|reason| self.error(reason))?;
        (self.guest, self.setup) = (Some(guest), setup);
        self.revive_until_it_holds(state)
    }

    /// Restores the frames of another component into this one.
    fn upgrade(&mut self, state: &PluginState) -> Result<(), Failure> {
        if self.guest.is_none() {
            self.guest = Some(self.new_guest().map_err(GuestError::Lost)?.0);
        }
        let Some(guest) = &mut self.guest else { return Ok(()) };
        let (wanted, readable) = (&self.stored.description.schema, guest.readable()?);
        if !readable.contains(wanted) {
            let own: Vec<String> =
                readable.iter().map(|schema| format!("`{}` version {}", schema.name, schema.version)).collect();
            let reason = format!(
                "it does not read the state's schema, `{}` version {}; it reads {}",
                wanted.name,
                wanted.version,
                if own.is_empty() { "none".into() } else { own.join(", ") }
            );
            return Err(GuestError::Refused(shown_reason(&reason)).into());
        }
        restore(&mut **guest, &self.stored, state, &self.operator)
    }

    fn revive_until_it_holds(&mut self, state: &PluginState) -> Result<()> {
        // The instance that is there was initialised for this.
        if let Some(mut guest) = self.guest.take() {
            match restore(&mut *guest, &self.stored, state, &self.operator) {
                Ok(()) => self.guest = Some(guest),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Guest(error)) => self.count_failure(&error.to_string())?,
            }
        }
        while self.guest.is_none() {
            self.revive(state)?;
        }
        Ok(())
    }

    /// Starts another instance in the place of one that was lost. If that fails too, there is none yet, and it is
    /// counted.
    fn revive(&mut self, state: &PluginState) -> Result<()> {
        match self.try_revive(state) {
            Ok(guest) => self.guest = Some(guest),
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Guest(error)) => self.count_failure(&error.to_string())?,
        }
        Ok(())
    }

    fn try_revive(&mut self, state: &PluginState) -> Result<Box<dyn Guest>, Failure> {
        let (mut guest, setup) = self.new_guest().map_err(GuestError::Lost)?;
        if setup != self.setup {
            return Err(GuestError::Lost("it gives another setup for the same configuration".into()).into());
        }
        if !self.stored.epochs.is_empty() {
            restore(&mut *guest, &self.stored, state, &self.operator)?;
        }
        for call in &self.journal {
            let answer = match &call.batch {
                Some(batch) => guest.process(batch)?,
                None => guest.on_watermark(i64::MAX)?,
            };
            if hash64(&answer) != call.answer {
                let reason = "it answers a repeated batch in another way than before; a plugin must be deterministic";
                return Err(GuestError::Lost(reason.into()).into());
            }
        }
        Ok(guest)
    }

    /// Drops the instance; an error if it was one failure too many.
    fn count_failure(&mut self, reason: &str) -> Result<()> {
        self.guest = None;
        self.failures += 1;
        if self.failures >= PLUGIN_FAILURES_MAX {
            return Err(
                self.error(format!("{reason}; stopped after {PLUGIN_FAILURES_MAX} failures since its last checkpoint"))
            );
        }
        self.notice(Happening::Restarted { failures: self.failures, reason: reason.into() });
        Ok(())
    }

    /// Asks the instance, or the next one, until it answers.
    fn ask<T>(
        &mut self,
        state: &PluginState,
        mut question: impl FnMut(&mut dyn Guest) -> Result<T, GuestError>,
    ) -> Result<T, Trouble> {
        loop {
            let Some(guest) = self.guest.as_deref_mut() else {
                self.revive(state)?;
                continue;
            };
            match question(guest) {
                Ok(answer) => return Ok(answer),
                Err(GuestError::BadEvent { index, reason }) => return Err(Trouble::BadEvent { item: index, reason }),
                Err(error) => self.count_failure(&error.to_string())?,
            }
        }
    }

    /// Gives it a batch or the end of the source; what it answers.
    pub(crate) fn give(&mut self, state: &mut PluginState, given: Given<'_>) -> Result<Vec<Answer>, Trouble> {
        // Before, not after: what was given last can be taken back.
        if self.journal_bytes > PLUGIN_JOURNAL_BYTES {
            self.take_frames(state).map_err(Trouble::StoppedBefore)?;
        }
        self.used = true;
        let (key_fields, outputs, bytes_max) = (self.key_fields, self.setup.outputs.len(), self.results_bytes_max());
        let (answers, answer) = self.ask(state, |guest| {
            let (answer, watermarks) = match given {
                Given::Batch { bytes, watermarks } => {
                    (guest.process(bytes).map_err(|error| only_events(error, watermarks))?, watermarks)
                }
                Given::End => (guest.on_watermark(i64::MAX).map_err(no_events)?, &[Some(i64::MAX)][..]),
            };
            let answers = read_answers(&answer, watermarks, key_fields, outputs, bytes_max)?;
            Ok((answers, hash64(&answer)))
        })?;
        let batch: Option<Box<[u8]>> = match given {
            Given::Batch { bytes, .. } => Some(bytes.into()),
            Given::End => None,
        };
        self.journal_bytes += journal_bytes_of(batch.as_deref());
        self.journal.push(Call { batch, answer });
        Ok(answers)
    }

    /// What it answers to a batch, by an instance of its own, once. Nothing of that stays.
    pub(crate) fn probe(
        &mut self,
        state: &PluginState,
        batch: &[u8],
        watermarks: &[Option<i64>],
    ) -> Result<Vec<Answer>, GuestError> {
        let mut guest = self.try_revive(state).map_err(|failure| match failure {
            Failure::Guest(error) => error,
            Failure::Other(error) => GuestError::Lost(error.to_string()),
        })?;
        let answer = guest.process(batch).map_err(|error| only_events(error, watermarks))?;
        read_answers(&answer, watermarks, self.key_fields, self.setup.outputs.len(), self.results_bytes_max())
    }

    fn results_bytes_max(&self) -> u64 {
        plugin_results_bytes_max(self.state_budget)
    }

    /// Its failures over what it is not asked about again do not count.
    pub(crate) fn begin_anew(&mut self) {
        self.failures = 0;
    }

    /// It has failed for good over an event behind the first of a batch.
    pub(crate) fn count_failed_batch(&mut self) {
        self.failed_batches = self.failed_batches.saturating_add(1);
    }

    /// Whether it fails over batches so often that it is to get each event alone. What fails over an event is detached when
    /// that is the first: who fails over batches, but takes each event, would ask for new instances for ever.
    pub(crate) fn takes_events_alone(&self) -> bool {
        self.failed_batches > PLUGIN_FAILED_BATCHES_MAX && !self.is_detached()
    }

    /// Takes the last batch back: the instance is as before it.
    pub(crate) fn take_back(&mut self, state: &PluginState) -> Result<()> {
        if let Some(Call { batch: Some(batch), .. }) = self.journal.pop() {
            self.journal_bytes -= journal_bytes_of(Some(&batch));
            self.guest = None;
            while self.guest.is_none() {
                self.revive(state)?;
            }
        }
        Ok(())
    }

    /// Takes frames of what changed since the last, or of all, into the state.
    pub(crate) fn take_frames(&mut self, state: &mut PluginState) -> Result<()> {
        let full = self.anew
            || self.stored.epochs.is_empty()
            || self.stored.epochs.len() >= EPOCHS_MAX
            || self.stored.change_bytes > self.stored.full_bytes.max(PLUGIN_FULL_BYTES_MIN);
        let nothing_new = self.journal.is_empty() && !self.anew && !self.stored.epochs.is_empty();
        if self.is_detached() || nothing_new {
            return Ok(());
        }
        let epoch = self.stored.epoch() + 1;
        let bytes_max = self.state_budget.saturating_mul(PLUGIN_FRAMES_PER_STATE).saturating_add(PLUGIN_FULL_BYTES_MIN);
        let asked = self.ask(state, |guest| {
            let frames = collect_frames(guest, epoch, full, bytes_max)?;
            Ok((frames, guest.describe()?))
        });
        let (frames, description) = match asked {
            Ok(asked) => asked,
            Err(Trouble::Stopped(error) | Trouble::StoppedBefore(error)) => return Err(error),
            Err(Trouble::BadEvent { reason, .. }) => return Err(self.error(reason)),
        };
        if self.anew {
            Stored::set_component(state, &self.component.bytes)?;
            self.stored.digest = self.component.digest;
            self.stored.config.clone_from(&self.config);
        }
        self.stored.description = description;
        let taken = self.stored.take_frames(state, epoch, full, &frames);
        let told = self.guest.as_deref_mut().map_or(Ok(()), |guest| guest.checkpoint_end(epoch, taken.is_ok()));
        if let Err(error) = told {
            // The frames are good; the instance may not be.
            self.guest = None;
            self.notice(Happening::Restarted { failures: self.failures, reason: error.to_string() });
        }
        taken?;
        self.anew = false;
        self.journal.clear();
        (self.journal_bytes, self.failures) = (0, 0);
        Ok(())
    }

    /// From now on it gets nothing any more.
    pub(crate) fn detach(&mut self, state: &mut PluginState, event: u64, error: &Error) -> Result<()> {
        let reason = error.to_string();
        self.guest = None;
        self.journal.clear();
        self.journal_bytes = 0;
        self.stored.detached = Some((event, reason.clone()));
        self.notice(Happening::Detached { event, reason });
        self.stored.write(state)
    }

    /// So many events were taken: if it was detached behind one more, that one was refused.
    pub(crate) fn correct_detached(&mut self, state: &mut PluginState, events: u64) -> Result<()> {
        let Some((at, _)) = self.stored.detached.as_mut().filter(|(at, _)| *at > events) else { return Ok(()) };
        *at = events;
        for notice in &mut self.notices {
            if let Happening::Detached { event, .. } = &mut notice.happening {
                *event = (*event).min(events);
            }
        }
        self.stored.write(state)
    }

    /// Why it is stopped. `newest` is the newest checkpoint.
    pub(crate) fn stopped(&self, error: Error, newest: Option<u64>) -> Error {
        match error {
            Error::Plugin { operator, reason, .. } => {
                let upgraded = self.upgraded_from.is_some() && self.upgraded_from == newest;
                Error::Plugin { operator, reason, upgraded }
            }
            error => error,
        }
    }

    fn error(&self, reason: String) -> Error {
        Error::Plugin { operator: self.operator.clone(), reason, upgraded: false }
    }

    fn notice(&mut self, happening: Happening) {
        PluginNotice { operator: self.operator.clone(), happening }.push_to(&mut self.notices);
    }
}

/// What a call takes of the journal: the same on all machines, since it decides when frames are taken.
fn journal_bytes_of(batch: Option<&[u8]>) -> usize {
    CALL_BYTES + batch.map_or(0, <[u8]>::len)
}

/// Gives an instance all frames.
fn restore(guest: &mut dyn Guest, stored: &Stored, state: &PluginState, operator: &str) -> Result<(), Failure> {
    stored.for_each_frame(state, operator, |frame| {
        guest.restore(frame).map_err(|error| Failure::Guest(no_events(error)))
    })?;
    guest.restore_end().map_err(|error| Failure::Guest(no_events(error)))
}

/// Only an item that is an event can be refused.
fn only_events(error: GuestError, watermarks: &[Option<i64>]) -> GuestError {
    match error {
        GuestError::BadEvent { index, .. } if watermarks.get(index as usize) != Some(&None) => {
            GuestError::Lost(format!("it refuses item {index} of a batch, which is no event"))
        }
        error => error,
    }
}

/// For calls that are given no event.
pub(super) fn no_events(error: GuestError) -> GuestError {
    match error {
        GuestError::BadEvent { reason, .. } => {
            GuestError::Lost(format!("it refuses an event where there is none: {reason}"))
        }
        error => error,
    }
}
