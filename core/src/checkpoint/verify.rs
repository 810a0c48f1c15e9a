//! Verifying a storage: every published checkpoint, every section it needs, every row.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::open::{ReadHead, ReadManifest, ensure_new};
use super::procedure::{ByteRange, Procedure, Request, Response, Step, unexpected};
use super::sections::{AnyRow, read_any, read_plan};
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::columns::Plan;
use crate::format::head::Head;
use crate::format::manifest::{Manifest, ObjectId, StateKind};
use crate::format::rows::Form;
use crate::format::section::{SectionRef, read_section};

/// Something wrong with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Checkpoints that cannot be restored because of it.
    pub checkpoints: Vec<u64>,
    /// What is wrong, and in which object.
    pub error: Error,
}

/// What [`Verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Checkpoints looked at.
    pub checkpoints: u64,
    /// Sections read and checked.
    pub sections: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// What is wrong; empty if all is well.
    pub findings: Vec<Finding>,
    /// Objects that no checkpoint needs: left by a crash, harmless, deleted by pruning.
    pub unneeded: Vec<String>,
    /// Newest checkpoint that is whole: the latest, if it is.
    pub newest_whole: Option<u64>,
}

/// Reads every section that any published checkpoint needs, once, and checks it.
///
/// Damage does not end it: it is in the report.
#[derive(Debug)]
pub struct Verify {
    state: VerifyState,
    head: Head,
    /// Whether the storage has no head.
    headless: bool,
    manifests: Vec<Manifest>,
    /// Each section once.
    queue: Vec<Queued>,
    /// The plan that was read last, with its place.
    plan: Option<((ObjectId, u64), Plan)>,
    report: VerifyReport,
}

/// A section to be checked.
#[derive(Debug, Clone)]
struct Queued {
    object: ObjectId,
    section: SectionRef,
    /// What it is, for people.
    part: String,
    what: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// A plan that the sections behind it share.
    Plan,
    /// Rows of a kind of state, with the place of their plan.
    Rows(StateKind, Option<(ObjectId, u64)>),
}

#[derive(Debug)]
enum VerifyState {
    Head(ReadHead),
    List,
    Manifest(usize, Box<ReadManifest>),
    Sections(usize),
    /// Something is wrong: or has a writer given it up meanwhile?
    Again(ReadHead),
}

impl Verify {
    /// Begins to verify.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a procedure is begun, not defaulted")]
    pub fn new() -> Self {
        Verify {
            state: VerifyState::Head(ReadHead::new()),
            head: Head::default(),
            headless: false,
            manifests: Vec::new(),
            queue: Vec::new(),
            plan: None,
            report: VerifyReport::default(),
        }
    }

    fn next_manifest(&mut self, at: usize) {
        self.state = match self.head.entries.get(at) {
            Some(entry) => VerifyState::Manifest(at, Box::new(ReadManifest::new(entry.object))),
            None => {
                self.queue_sections();
                VerifyState::Sections(0)
            }
        };
    }

    /// The manifest being read cannot be: noted, and on to the next.
    fn broken_manifest(&mut self, error: Error) {
        let VerifyState::Manifest(at, _) = self.state else { return };
        self.report.findings.push(Finding { checkpoints: alloc::vec![self.head.entries[at].object.id], error });
        self.next_manifest(at + 1);
    }

    fn queue_sections(&mut self) {
        let mut seen = BTreeSet::new();
        let mut last_plan = None;
        for manifest in &self.manifests {
            let object = |section: &SectionRef| manifest.objects[section.object as usize];
            let bases = manifest.bases.iter().filter_map(|base| Some((base.state, base.section.as_ref()?, base.plan)));
            let deltas = manifest.deltas.iter().map(|delta| (delta.state, &delta.section, None));
            for (state, section, plan) in bases.chain(deltas) {
                let descriptor = &manifest.states[usize::from(state)];
                let plan = plan.map(|plan| &manifest.plans[plan as usize]);
                let place = |section: &SectionRef| (object(section), section.offset);
                if !seen.insert((object(section), section.offset, section.hash)) {
                    continue;
                }
                // The plan is read again if another was in between: sections that share one lie together.
                if let Some(plan) = plan.filter(|plan| last_plan != Some(place(plan))) {
                    last_plan = Some(place(plan));
                    self.queue.push(Queued {
                        object: object(plan),
                        section: plan.clone(),
                        part: format!("plan of state `{}`", descriptor.name),
                        what: Content::Plan,
                    });
                }
                self.queue.push(Queued {
                    object: object(section),
                    section: section.clone(),
                    part: format!("section of state `{}`", descriptor.name),
                    what: Content::Rows(descriptor.kind, plan.map(place)),
                });
            }
        }
    }

    /// Checkpoints that need a place in an object.
    fn affected(&self, object: ObjectId, offset: u64) -> Vec<u64> {
        let needs = |manifest: &&Manifest| {
            let mut sections = manifest.sections().into_iter().chain(&manifest.plans);
            sections.any(|section| manifest.objects[section.object as usize] == object && section.offset == offset)
        };
        self.manifests.iter().filter(needs).map(|manifest| manifest.object.id).collect()
    }

    /// What is wrong with checkpoints that retention gave up while they were read is not wrong.
    fn forget_gone(&mut self, now: &Head) {
        self.head.entries.retain(|entry| now.entries.iter().any(|kept| kept.object == entry.object));
        let entries = &self.head.entries;
        for finding in &mut self.report.findings {
            finding.checkpoints.retain(|id| entries.iter().any(|entry| entry.object.id == *id));
        }
        self.report.findings.retain(|finding| !finding.checkpoints.is_empty());
    }

    /// Reads all that is in a section.
    fn check(
        &mut self,
        object: ObjectId,
        section: &SectionRef,
        what: &Content,
        unpacked: &[u8],
    ) -> core::result::Result<(), Malformed> {
        match what {
            Content::Plan => {
                self.plan = None;
                self.plan = Some(((object, section.offset), read_plan(section, unpacked)?));
                Ok(())
            }
            Content::Rows(kind, place) => {
                let plan = self.plan.as_ref().filter(|(read, _)| Some(*read) == *place).map(|(_, plan)| plan);
                if place.is_some() && plan.is_none() {
                    // What is wrong with the plan was found; this says nothing without it.
                    return Ok(());
                }
                read_any(section, plan, unpacked, |row| match row {
                    AnyRow::Columns(mut row) if row.form != Form::Removed => row.skip(*kind),
                    _ => Ok(()),
                })
            }
        }
    }

    fn finish(&mut self) -> VerifyReport {
        let mut report = core::mem::take(&mut self.report);
        let broken = |id: &u64| report.findings.iter().any(|finding| finding.checkpoints.contains(id));
        let whole = self.head.entries.iter().filter(|entry| !broken(&entry.object.id));
        report.newest_whole = whole
            .max_by_key(|entry| (Some(entry.object.id) == self.head.latest, entry.created_ms, entry.object.id))
            .map(|entry| entry.object.id);
        report
    }
}

impl Procedure for Verify {
    type Output = VerifyReport;

    fn poll_request(&mut self) -> Result<Step<VerifyReport>> {
        loop {
            match &mut self.state {
                VerifyState::Head(read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(head) => {
                        self.headless = head.is_none();
                        self.head = head.unwrap_or_default();
                        self.report.checkpoints = self.head.entries.len() as u64;
                        self.state = VerifyState::List;
                    }
                },
                VerifyState::List => return Ok(Step::Request(Request::List)),
                VerifyState::Manifest(at, read) => match read.poll_request() {
                    Ok(Step::Request(request)) => return Ok(Step::Request(request)),
                    Ok(Step::Done(manifest)) => {
                        let next = *at + 1;
                        self.manifests.push(manifest);
                        self.next_manifest(next);
                    }
                    Err(error) => self.broken_manifest(error),
                },
                VerifyState::Sections(at) => {
                    let Some(Queued { object, section, .. }) = self.queue.get(*at) else {
                        if self.report.findings.is_empty() {
                            return Ok(Step::Done(self.finish()));
                        }
                        self.state = VerifyState::Again(ReadHead::new());
                        continue;
                    };
                    let range = ByteRange::At { offset: section.offset, len: section.stored };
                    return Ok(Step::Request(Request::Read { object: object.name(), range }));
                }
                VerifyState::Again(read) => match read.poll_request()? {
                    Step::Request(request) => return Ok(Step::Request(request)),
                    Step::Done(head) => {
                        self.forget_gone(&head.unwrap_or_default());
                        return Ok(Step::Done(self.finish()));
                    }
                },
            }
        }
    }

    fn handle_response(&mut self, response: Response) -> Result<()> {
        match &mut self.state {
            VerifyState::Head(read) | VerifyState::Again(read) => read.handle_response(response),
            VerifyState::List => {
                let Response::Objects(objects) = response else { return Err(unexpected("list", "")) };
                if self.headless {
                    ensure_new(&objects)?;
                }
                let names = objects.iter().map(|object| object.name.as_str());
                self.report.unneeded = super::retention::garbage(&self.head, names);
                self.next_manifest(0);
                Ok(())
            }
            VerifyState::Manifest(_, read) => {
                if let Err(error) = read.handle_response(response) {
                    self.broken_manifest(error);
                }
                Ok(())
            }
            VerifyState::Sections(at) => {
                let at = *at;
                let Queued { object, section, part, what } = self.queue[at].clone();
                let checked = match response {
                    Response::Bytes(Some(bytes)) => read_section(&section, &bytes)
                        .and_then(|unpacked| self.check(object, &section, &what, &unpacked))
                        .map_err(|malformed| Error::damaged(&object.name(), part, malformed.0)),
                    Response::Bytes(None) => Err(Error::ObjectMissing { object: object.name() }),
                    Response::Failed(error) => Err(error),
                    _ => return Err(unexpected("read", &object.name())),
                };
                self.report.sections += 1;
                self.report.bytes += section.stored;
                if let Err(error) = checked {
                    let checkpoints = self.affected(object, section.offset);
                    self.report.findings.push(Finding { checkpoints, error });
                }
                self.state = VerifyState::Sections(at + 1);
                Ok(())
            }
        }
    }
}
