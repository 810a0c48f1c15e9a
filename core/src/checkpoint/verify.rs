//! Verifying a storage: every published checkpoint, every section it needs, every row.
//!
//! A section is read once, whichever and however many checkpoints need it, and no more than one is held in memory. Whole
//! values are made of their bytes and dropped; of a change each part is read. That it fits the value it was taken against
//! is what the hashes are for: only a restore puts the two together.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::open::{ReadHead, ReadManifest, ensure_new};
use super::procedure::{ByteRange, Procedure, Request, Response, Step, unexpected};
use super::sections::{Part, part_name, read_any, read_plan};
use crate::error::{Error, Result};
use crate::format::Malformed;
use crate::format::columns::Plan;
use crate::format::head::{HEAD_NAME, Head};
use crate::format::manifest::{Manifest, ObjectId, StateKind};
use crate::format::section::{SectionRef, read_section};

/// Something wrong with a checkpoint, or something of it that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Checkpoints that need it.
    pub checkpoints: Vec<u64>,
    /// What is wrong, and in which object. Unless it [is damage](Error::is_damage), it could not be read: it may be whole.
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
    /// What is wrong or could not be read; empty if all is well.
    pub findings: Vec<Finding>,
    /// Objects that no checkpoint needs: left by a crash, or put by a writer that lives and not published yet. Harmless;
    /// pruning deletes what is left.
    pub unneeded: Vec<String>,
    /// Newest checkpoint that is whole: the latest, if it is. None, too, where that is not known: a newer one than those
    /// that are whole could not be read.
    pub newest_whole: Option<u64>,
}

/// Reads every section that any published checkpoint needs, once, and checks it, each row by itself. Whether changes fit
/// what they change is not known before they are restored: that hangs on the writer, and on no bit that was flipped since.
///
/// Neither damage ends it nor something that cannot be read: both are in the report.
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
    plan: Option<(Place, Plan)>,
    report: VerifyReport,
}

/// A section to be checked.
#[derive(Debug, Clone)]
struct Queued {
    object: ObjectId,
    section: SectionRef,
    /// The first manifest that names it, and the state in it.
    manifest: usize,
    state: u16,
    kind: StateKind,
    key_groups: u16,
    part: Part,
    /// Key groups it covers.
    groups: Range<u16>,
    /// Of columns whose plan is apart: where that is.
    plan: Option<Place>,
}

/// Where a section is, and all that is said of it: two manifests may name one place and say different things of it, of
/// which one is wrong.
type Place = (ObjectId, u64, u64, u64, u8, [u8; 8], [u8; 4]);

/// A place, and as what it is read.
type Reading = (Place, u8, u16, Part, u16, u16, Option<Place>);

fn place(object: ObjectId, section: &SectionRef) -> Place {
    (object, section.offset, section.stored, section.raw, section.codec as u8, section.hash, section.check)
}

impl Queued {
    fn reading(&self) -> Reading {
        let place = place(self.object, &self.section);
        (place, self.kind as u8, self.key_groups, self.part, self.groups.start, self.groups.end, self.plan)
    }
}

/// What a restore of a manifest reads. A plan comes in front of each section that needs it.
fn parts((number, manifest): (usize, &Manifest)) -> impl Iterator<Item = Queued> {
    let object = |section: &SectionRef| manifest.objects[section.object as usize];
    let bases = manifest.bases.iter().filter_map(|base| {
        let plan = base.plan.map(|plan| &manifest.plans[plan as usize]);
        Some((base.state, Part::Base, base.low..base.high, base.section.as_ref()?, plan))
    });
    let deltas =
        manifest.deltas.iter().map(|delta| (delta.state, Part::Delta, delta.low..delta.high, &delta.section, None));
    bases.chain(deltas).flat_map(move |(state, part, groups, section, plan)| {
        let queued = |part, section: &SectionRef, plan: Option<Place>| Queued {
            object: object(section),
            section: section.clone(),
            manifest: number,
            state,
            kind: manifest.states[usize::from(state)].kind,
            key_groups: manifest.key_groups,
            part,
            groups: groups.clone(),
            plan,
        };
        let place = plan.map(|plan| place(object(plan), plan));
        plan.map(|plan| queued(Part::Plan, plan, None)).into_iter().chain([queued(part, section, place)])
    })
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
        let checkpoint = self.head.entries[at].object.id;
        // Several may need one page.
        match self.report.findings.iter_mut().find(|finding| finding.error == error) {
            Some(finding) => finding.checkpoints.push(checkpoint),
            None => self.report.findings.push(Finding { checkpoints: alloc::vec![checkpoint], error }),
        }
        self.next_manifest(at + 1);
    }

    fn queue_sections(&mut self) {
        let mut seen = BTreeSet::new();
        let mut last_plan = None;
        for manifest in self.manifests.iter().enumerate() {
            let mut plan = None;
            for queued in parts(manifest) {
                if queued.part == Part::Plan {
                    plan = Some(queued);
                } else if seen.insert(queued.reading()) {
                    // The plan is read again if another was in between: sections that share one lie together.
                    if queued.plan.is_some() && last_plan != queued.plan {
                        last_plan = queued.plan;
                        self.queue.extend(plan.take());
                    }
                    self.queue.push(queued);
                }
            }
        }
    }

    /// Checkpoints that read a section as this.
    fn affected(&self, queued: &Queued) -> Vec<u64> {
        let wanted = place(queued.object, &queued.section);
        let needs = |manifest: &(usize, &Manifest)| match queued.part {
            Part::Plan => parts(*manifest).any(|other| other.plan == Some(wanted)),
            _ => parts(*manifest).any(|other| other.reading() == queued.reading()),
        };
        self.manifests.iter().enumerate().filter(needs).map(|(_, manifest)| manifest.object.id).collect()
    }

    /// What is wrong with checkpoints that retention gave up while they were read is not wrong, and what a writer put
    /// meanwhile and published is needed.
    fn forget_gone(&mut self, now: &Head) {
        let unneeded = core::mem::take(&mut self.report.unneeded);
        self.report.unneeded = super::retention::garbage(now, unneeded.iter().map(String::as_str));
        self.head.entries.retain(|entry| now.entries.iter().any(|kept| kept.object == entry.object));
        let entries = &self.head.entries;
        for finding in &mut self.report.findings {
            finding.checkpoints.retain(|id| entries.iter().any(|entry| entry.object.id == *id));
        }
        self.report.findings.retain(|finding| !finding.checkpoints.is_empty());
    }

    /// Reads all that is in a section.
    fn check(&mut self, queued: &Queued, unpacked: &[u8]) -> core::result::Result<(), Malformed> {
        let section = &queued.section;
        if queued.part == Part::Plan {
            self.plan = None;
            self.plan = Some((place(queued.object, section), read_plan(section, unpacked)?));
            return Ok(());
        }
        let plan = self.plan.as_ref().filter(|(read, _)| Some(*read) == queued.plan).map(|(_, plan)| plan);
        if queued.plan.is_some() && plan.is_none() {
            // What is wrong with the plan was found; this says nothing without it.
            return Ok(());
        }
        read_any(section, plan, unpacked, None, |rows| {
            rows.for_each(|row| row.check(queued.kind, queued.part, &queued.groups, queued.key_groups))
        })
    }

    fn finish(&mut self) -> VerifyReport {
        let mut report = core::mem::take(&mut self.report);
        let findings = &report.findings;
        let is_needed = |finding: &Finding, id: u64| finding.checkpoints.contains(&id);
        let is_damaged = |id| findings.iter().any(|finding| finding.error.is_damage() && is_needed(finding, id));
        let newest = self.head.newest_of(|id| !is_damaged(id));
        // If it could not be read it may be whole: an older one in its place would be given up for nothing.
        report.newest_whole = newest.filter(|id| !findings.iter().any(|finding| is_needed(finding, *id)));
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
                        let entry = &self.head.entries[*at];
                        if !manifest.needed_objects().iter().all(|object| entry.needs(*object)) {
                            let part = format!("entry of checkpoint {}", manifest.object.id);
                            let reason = "lacks objects that the checkpoint needs, which retention may delete";
                            let error = Error::damaged(HEAD_NAME, part, reason);
                            self.report.findings.push(Finding { checkpoints: alloc::vec![manifest.object.id], error });
                        }
                        self.manifests.push(manifest);
                        self.next_manifest(next);
                    }
                    Err(error) => self.broken_manifest(error),
                },
                VerifyState::Sections(at) => {
                    let Some(Queued { object, section, .. }) = self.queue.get(*at) else {
                        if self.report.findings.is_empty() && self.report.unneeded.is_empty() {
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
                        // It was there. Without one all checkpoints would count as given up, and nothing as wrong.
                        self.forget_gone(&head.ok_or_else(|| Error::ObjectMissing { object: HEAD_NAME.into() })?);
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
                let objects = match response {
                    Response::Objects(objects) => objects,
                    Response::Failed(error) => return Err(error),
                    _ => return Err(unexpected("list", "")),
                };
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
                let queued = self.queue[at].clone();
                let object = queued.object.name();
                let checked = match response {
                    Response::Bytes(Some(bytes)) => read_section(&queued.section, &bytes)
                        .and_then(|unpacked| self.check(&queued, &unpacked))
                        .map_err(|malformed| {
                            let state = &self.manifests[queued.manifest].states[usize::from(queued.state)];
                            let part = part_name(state, queued.part, queued.groups.clone());
                            malformed.at(&object, part)
                        }),
                    Response::Bytes(None) => Err(Error::ObjectMissing { object }),
                    Response::Failed(error) => Err(error),
                    _ => return Err(unexpected("read", &object)),
                };
                self.report.sections += 1;
                self.report.bytes += queued.section.stored;
                if let Err(error) = checked {
                    if matches!(error, Error::OutOfMemory { .. }) {
                        return Err(error);
                    }
                    self.report.findings.push(Finding { checkpoints: self.affected(&queued), error });
                }
                self.state = VerifyState::Sections(at + 1);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, MemoryBackend, drive};
    use crate::checkpoint::{OpenWriter, Publish, Retention};
    use crate::format::section::Compression;
    use crate::state::{CheckpointRequest, StateHolder};

    /// Retention goes by what the head says.
    #[test]
    fn an_entry_that_lacks_an_object_is_found() {
        let mut storage = MemoryBackend::new();
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut holder = StateHolder::builder("orders").build().unwrap();
        for value in 0..2_u32 {
            holder.set(value.to_be_bytes(), &value).unwrap();
            holder.begin(CheckpointRequest::default()).unwrap();
            let object = writer.next_object();
            let mut encoded = holder.take_capture().unwrap().into_object(object, Compression::Lz4).unwrap();
            drive(Publish::new(&mut writer, &mut encoded, Retention::default()).unwrap(), &mut storage).unwrap();
            holder.commit(&encoded).unwrap();
        }
        assert_eq!(drive(Verify::new(), &mut storage).unwrap().findings, []);
        let bytes = storage.read_head().unwrap().unwrap();
        let mut head = Head::from_bytes(&bytes).unwrap();
        let newest = head.entries.last_mut().unwrap();
        let own = newest.object;
        newest.needs = alloc::vec![(own.id, 1, own.generation)];
        storage.swap_head(Some(&bytes), &head.to_bytes()).unwrap();
        let report = drive(Verify::new(), &mut storage).unwrap();
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(finding.checkpoints, [own.id]);
        assert!(format!("{}", finding.error).contains("lacks objects"), "{}", finding.error);
        assert_eq!(report.newest_whole, Some(own.id - 1));
    }
}
