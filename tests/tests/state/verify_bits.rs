//! Every bit of a storage, flipped one at a time: `verify` says in which object, which section and which state, and
//! which checkpoints it costs; a restore of one of those refuses, names the newest that is whole, and does not go there;
//! what does not need the bit restores as ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::object::{self, HEADER_BYTES, Manifest, Section, TRAILER_BYTES, manifest_bytes};
use crate::common::states::{Contents, contents, holder, write};
use eventflux::storage::{Fault, FaultBackend, Operation};
use eventflux::{
    CheckpointManager, Compression, Error, ManagerConfig, MemoryBackend, RestoreOptions, Retention, Selector,
    StateHolder,
};
use eventflux_core::{Backend, Error as CoreError, Head, VerifyReport};

const CHECKPOINTS: u64 = 5;

/// A storage with several checkpoints that build on each other.
struct Sample {
    storage: MemoryBackend,
    names: Vec<String>,
    truth: Vec<Contents>,
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    from: usize,
    to: usize,
    /// As the report names it: all of these occur.
    says: Vec<String>,
    /// Checkpoints that need it.
    needed_by: BTreeSet<u64>,
}

impl Sample {
    fn new(compression: Compression) -> Self {
        let config = ManagerConfig { compression, retention: Retention::default() };
        let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
        let (mut state, mut truth, mut names) = (holder(), Vec::new(), Vec::new());
        for checkpoint in 0..CHECKPOINTS {
            (2 * checkpoint..2 * checkpoint + 2).for_each(|number| write(&mut state, number));
            names.push(manager.checkpoint(&mut state, None).unwrap().object.name());
            truth.push(contents(&state));
        }
        Sample { storage: manager.backend_mut().clone(), names, truth }
    }

    fn manifest(&mut self, id: u64) -> Manifest {
        Manifest::of(&self.storage.objects_mut()[&self.names[id as usize]])
    }

    /// The manifest of a checkpoint as if it had no pages.
    fn whole_manifest(&mut self, id: u64) -> Manifest {
        let manifest = self.manifest(id);
        let objects = self.storage.objects_mut();
        manifest.without_pages(|object| objects[&object.name()].clone())
    }

    /// The parts of an object, with the checkpoints that need each.
    fn parts(&mut self, id: u64) -> Vec<Part> {
        let object = self.storage.objects_mut()[&self.names[id as usize]].clone();
        let mut sections: BTreeMap<u64, Part> = BTreeMap::new();
        for reader in id..CHECKPOINTS {
            let named = self.manifest(reader);
            for page in named.pages.iter().filter(|page| named.objects[page.object as usize].id == id) {
                let (from, to) = (page.offset as usize, (page.offset + page.stored) as usize);
                let part = Part { from, to, says: vec!["page".into()], needed_by: BTreeSet::new() };
                sections.entry(page.offset).or_insert(part).needed_by.insert(reader);
            }
            let manifest = self.whole_manifest(reader);
            let mut add = |state: u16, section: &Section, what: &str, groups: Option<(u16, u16)>| {
                if manifest.objects[section.object as usize].id != id {
                    return;
                }
                let state = &manifest.states[usize::from(state)];
                let mut says = vec![what.into(), state.kind.as_str().into()];
                says.push(if state.name.is_empty() {
                    "plain values".into()
                } else {
                    format!("state `{}`", state.name)
                });
                says.extend(groups.map(|(low, high)| match high - low {
                    1 => format!("of key group {low})"),
                    _ => format!("of key groups {low} to {})", high - 1),
                }));
                let (from, to) = (section.offset as usize, (section.offset + section.stored) as usize);
                let part = Part { from, to, says, needed_by: BTreeSet::new() };
                sections.entry(section.offset).or_insert(part).needed_by.insert(reader);
            };
            for base in &manifest.bases {
                let groups = Some((base.low, base.high));
                base.section.iter().for_each(|section| add(base.state, section, "base", groups));
                let plan = base.plan.map(|plan| &manifest.plans[plan as usize]);
                plan.iter().for_each(|plan| add(base.state, plan, "plan", None));
            }
            for delta in &manifest.deltas {
                add(delta.state, &delta.section, "delta", Some((delta.low, delta.high)));
            }
        }
        let own = BTreeSet::from([id]);
        let manifest_at = object.len() - TRAILER_BYTES - manifest_bytes(&object).len();
        let part = |from, to, says: &[&str]| Part {
            from,
            to,
            says: says.iter().map(|text| String::from(*text)).collect(),
            needed_by: own.clone(),
        };
        let mut parts = vec![part(0, HEADER_BYTES, &[])];
        parts.extend(sections.into_values());
        parts.extend([
            part(manifest_at, object.len() - TRAILER_BYTES, &["manifest"]),
            part(object.len() - TRAILER_BYTES, object.len(), &[]),
        ]);
        // They are all there is: no bit is left out.
        assert!(parts.windows(2).all(|two| two[0].to == two[1].from), "{parts:?}");
        assert_eq!(parts.last().map(|last| last.to), Some(object.len()));
        parts
    }

    fn verify(&mut self) -> VerifyReport {
        eventflux::verify(&mut self.storage).unwrap()
    }

    fn restore(&mut self, holder: &mut StateHolder, id: u64) -> eventflux::Result<()> {
        eventflux::restore(&mut self.storage, holder, Selector::Id(id), RestoreOptions::default()).map(drop)
    }

    /// A bit of a part is flipped: what is said of it, and by whom.
    fn assert_found(&mut self, id: u64, part: &Part, what: &str, restore: bool) {
        let report = self.verify();
        assert_eq!(report.findings.len(), 1, "{what}: {report:?}");
        let finding = &report.findings[0];
        let CoreError::Damaged { object, part: named, .. } = &finding.error else { panic!("{what}: {finding:?}") };
        assert_eq!(*object, self.names[id as usize], "{what}");
        assert!(part.says.iter().all(|text| named.contains(text)), "{what}: `{named}` of {:?}", part.says);
        assert_eq!(finding.checkpoints.iter().copied().collect::<BTreeSet<_>>(), part.needed_by, "{what}");
        let whole = (0..CHECKPOINTS).rev().find(|id| !part.needed_by.contains(id));
        assert_eq!(report.newest_whole, whole, "{what}");
        if restore {
            self.assert_refused(part, whole, what);
        }
    }

    fn assert_refused(&mut self, part: &Part, whole: Option<u64>, what: &str) {
        let before = self.storage.clone();
        let mut target = holder();
        write(&mut target, 9);
        let held = contents(&target);
        for id in 0..CHECKPOINTS {
            let restored = self.restore(&mut target, id);
            if !part.needed_by.contains(&id) {
                assert!(restored.is_ok(), "{what}: checkpoint {id}: {restored:?}");
                assert_eq!(contents(&target), self.truth[id as usize], "{what}");
                target = holder();
                write(&mut target, 9);
                continue;
            }
            let error = restored.expect_err(what);
            assert_eq!(error.exit_code(), 3);
            let Error::CheckpointDamaged { newest_whole, .. } = &error else { panic!("{what}: {error}") };
            assert_eq!(*newest_whole, whole, "{what}");
            let says = match whole {
                Some(whole) => format!("The newest whole checkpoint is {whole}."),
                None => String::from("No checkpoint is whole."),
            };
            assert!(error.to_string().ends_with(&says), "{error}");
            assert_eq!(contents(&target), held, "{what}: it went somewhere");
        }
        assert_eq!(self.storage, before, "{what}: a restore wrote");
    }
}

#[test]
fn every_bit_of_every_object() {
    let mut tried = 0;
    for compression in [Compression::None, Compression::Lz4] {
        let mut sample = Sample::new(compression);
        assert!(sample.verify().findings.is_empty());
        for id in 0..CHECKPOINTS {
            for part in sample.parts(id) {
                for at in part.from..part.to {
                    for bit in 0..8 {
                        let name = sample.names[id as usize].clone();
                        let flip = |sample: &mut Sample| {
                            sample.storage.objects_mut().get_mut(&name).unwrap()[at] ^= 1 << bit;
                        };
                        flip(&mut sample);
                        // Restores of all take longest: a few bits of each part, not of each byte.
                        let restore = bit == at % 8 && (at - part.from).is_multiple_of(7);
                        sample.assert_found(id, &part, &format!("byte {at}, bit {bit} of {name}"), restore);
                        flip(&mut sample);
                        tried += 1;
                    }
                }
            }
        }
        assert!(sample.verify().findings.is_empty());
    }
    println!("verify: {tried} bits of objects");
}

#[test]
fn every_bit_of_the_head() {
    let mut sample = Sample::new(Compression::Lz4);
    let whole = sample.storage.read_head().unwrap().unwrap();
    let mut target = holder();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut head = whole.clone();
            head[at] ^= 1 << bit;
            let before = sample.storage.read_head().unwrap();
            assert!(sample.storage.swap_head(before.as_deref(), &head).unwrap());
            let is_of_head = |error: &Error| {
                matches!(error, Error::Core(CoreError::Damaged { object, .. }) if object == "head")
                    && error.exit_code() == 3
            };
            assert!(
                eventflux::verify(&mut sample.storage).is_err_and(|error| is_of_head(&error)),
                "byte {at}, bit {bit}"
            );
            for id in 0..CHECKPOINTS {
                assert!(sample.restore(&mut target, id).is_err_and(|error| is_of_head(&error)), "byte {at}, bit {bit}");
            }
            let opened = CheckpointManager::open(sample.storage.clone(), ManagerConfig::default());
            assert!(opened.is_err_and(|error| is_of_head(&error)));
            assert!(contents(&target).values().all(BTreeMap::is_empty), "nothing was restored");
        }
    }
    println!("verify: {} bits of a head", whole.len() * 8);
}

/// Hashes are right, yet a row is not what it should be: `verify` reads each row, of either form.
#[test]
fn rows_that_do_not_decode_are_found() {
    let mut sample = Sample::new(Compression::None);
    let (mut tried, mut known) = (0, 0);
    for id in 0..CHECKPOINTS {
        let whole = sample.storage.objects_mut()[&sample.names[id as usize]].clone();
        let manifest = sample.manifest(id);
        for number in 0..manifest.clone().own_sections().len() {
            let section = manifest.clone().own_sections()[number].clone();
            for at in 0..section.stored as usize {
                let (mut object, mut changed) = (whole.clone(), manifest.clone());
                let stored = section.stored_mut(&mut object);
                stored[at] ^= 1 << (at % 8);
                let stored = stored.to_vec();
                changed.own_sections()[number].fix(&stored);
                let object = object::with_manifest(&object, &postcard::to_allocvec(&changed).unwrap());
                sample.storage.objects_mut().insert(sample.names[id as usize].clone(), object);
                let found = sample.verify().findings.iter().any(|finding| finding.checkpoints.contains(&id));
                if let Err(error) = sample.restore(&mut holder(), id) {
                    tried += 1;
                    known += u32::from(found);
                    // What is left is how changes fit what they are of.
                    let fits = ["not there", "not open", "more events than", "do not follow", "accumulators differs"];
                    assert!(found || fits.iter().any(|text| error.to_string().contains(text)), "{error}");
                }
            }
        }
        sample.storage.objects_mut().insert(sample.names[id as usize].clone(), whole);
    }
    println!("verify: {known} of {tried} rows that a restore refuses, hashes made right");
    assert!(known * 10 > tried * 9, "{known} of {tried}");
}

/// Two manifests name one section, and one of them says a wrong hash of it: only that one is wrong.
#[test]
fn a_wrong_reference_costs_only_its_own_checkpoint() {
    let mut sample = Sample::new(Compression::None);
    let id = CHECKPOINTS - 1;
    let whole = sample.storage.objects_mut()[&sample.names[id as usize]].clone();
    let mut manifest = sample.whole_manifest(id);
    let own = manifest.objects.iter().position(|object| *object == manifest.object).unwrap() as u32;
    let older = manifest.bases.iter_mut().filter_map(|base| base.section.as_mut());
    let older = older.chain(manifest.deltas.iter_mut().map(|delta| &mut delta.section));
    older.filter(|section| section.object != own).for_each(|section| section.hash[0] ^= 1);
    let object = object::with_manifest(&whole, &postcard::to_allocvec(&manifest).unwrap());
    sample.storage.objects_mut().insert(sample.names[id as usize].clone(), object);
    let report = sample.verify();
    assert!(!report.findings.is_empty() && report.findings.iter().all(|finding| finding.checkpoints == [id]));
    assert_eq!(report.newest_whole, Some(id - 1));
    assert!(sample.restore(&mut holder(), id).is_err());
    sample.restore(&mut holder(), id - 1).unwrap();
}

/// An outage is no damage: of what could not be read nothing is said, and no older checkpoint is named in its place.
#[test]
fn what_could_not_be_read_is_not_damaged() {
    let mut sample = Sample::new(Compression::Lz4);
    let latest = CHECKPOINTS - 1;
    let failing = |sample: &Sample, at| {
        let mut storage = FaultBackend::new(sample.storage.clone());
        storage.arm_on(&[Operation::Read], at, Fault::Fails);
        storage
    };
    let (mut of_latest, mut of_others) = (0, 0);
    for at in 0.. {
        let report = eventflux::verify(&mut failing(&sample, at)).unwrap();
        let [finding] = &report.findings[..] else {
            assert_eq!((report.findings.len(), report.newest_whole), (0, Some(latest)), "there was no such read");
            break;
        };
        assert!(matches!(finding.error, CoreError::Storage { .. }), "{finding:?}");
        let is_needed = finding.checkpoints.contains(&latest);
        assert_eq!(report.newest_whole, (!is_needed).then_some(latest), "read {at}: {finding:?}");
        *if is_needed { &mut of_latest } else { &mut of_others } += 1;
    }
    assert!(of_latest > 1 && of_others > 1, "{of_latest}, {of_others}");

    // The newest is damaged, and one read fails: in the restore, or where the newest whole one is looked for.
    let newest = sample.storage.objects_mut().get_mut(&sample.names[latest as usize]).unwrap();
    *newest.last_mut().unwrap() ^= 1;
    let (mut named, mut not_named) = (0, 0);
    for at in 0.. {
        let mut storage = failing(&sample, at);
        let selector = Selector::Id(latest);
        match eventflux::restore(&mut storage, &mut holder(), selector, RestoreOptions::default()).unwrap_err() {
            Error::CheckpointDamaged { newest_whole, .. } => {
                assert_eq!(newest_whole, Some(latest - 1), "read {at}");
                named += 1;
            }
            // The damage alone.
            Error::Core(error) if error.is_damage() => not_named += 1,
            error => assert!(matches!(error, Error::Core(CoreError::Storage { .. })), "{error}"),
        }
        if at > 0 && storage.operations() < at {
            break;
        }
    }
    assert!(named > 1 && not_named > 1, "{named}, {not_named}");
}

/// Where numbers end a writer says so, and leaves a head that can be read.
#[test]
fn a_writer_leaves_no_head_that_cannot_be_read() {
    let limit = 1_u64 << 62;
    for (generation, next_id, opens) in [(limit - 1, 0, false), (limit - 2, 0, true), (1, limit - 1, true)] {
        let mut storage = MemoryBackend::new();
        let head = Head { generation, next_id, ..Head::default() };
        assert!(storage.swap_head(None, &head.to_bytes()).unwrap());
        let opened = CheckpointManager::open(storage.clone(), ManagerConfig::default());
        assert_eq!(opened.is_ok(), opens, "generation {generation}");
        let Ok(mut manager) = opened else { continue };
        let written = manager.checkpoint(&mut holder(), None);
        assert_eq!(written.is_err(), next_id > 0, "number {next_id}");
        eventflux::read_head(manager.backend_mut()).unwrap();
    }
}
