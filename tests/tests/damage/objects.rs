//! Damage of any kind is a typed error: no panic, no large allocation, never wrong state. Every bit
//! and every length of small objects and of the head is tried; then the same by an adversary who
//! makes all hashes right again.

use crate::common::object::{HEADER_BYTES, Manifest, fix_head, manifest_bytes, with_manifest};
use crate::common::states::{Contents, contents, event, holder, write};
use crate::measured;
use eventflux::{
    Backend, CheckpointManager, Compression, ManagerConfig, MemoryBackend, Retention, Selector, StateHolder,
};
use eventflux_core::{
    CheckpointRequest, Error, FORMAT_VERSION, ObjectId, Restore, RestoreOptions, StateDescriptor, StateKind, Verify,
    VerifyReport, drive,
};

/// What reading a few kilobytes may take at most.
const PEAK_BYTES_MAX: usize = 4 << 20;
const OBJECTS: u64 = 3;

/// A storage with three small checkpoints that have all kinds of states in bases and deltas.
struct Sample {
    storage: MemoryBackend,
    names: Vec<String>,
    truth: Vec<Contents>,
    /// What the holders have that are restored into.
    before: StateHolder,
    before_contents: Contents,
    tried: usize,
}

impl Sample {
    fn new(compression: Compression) -> Self {
        let config = ManagerConfig { compression, retention: Retention::default() };
        let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
        let (mut state, mut truth, mut names) = (holder(), Vec::new(), Vec::new());
        for checkpoint in 0..OBJECTS {
            (4 * checkpoint..4 * checkpoint + 4).for_each(|number| write(&mut state, number));
            let label = (checkpoint == 1).then_some("label");
            names.push(manager.checkpoint(&mut state, label).unwrap().object.name());
            truth.push(contents(&state));
        }
        let mut before = holder();
        write(&mut before, 9);
        let before_contents = contents(&before);
        Sample { storage: manager.backend_mut().clone(), names, truth, before, before_contents, tried: 0 }
    }

    fn object(&mut self, id: u64) -> &mut Vec<u8> {
        self.storage.objects_mut().get_mut(&self.names[id as usize]).unwrap()
    }

    fn head(&mut self) -> Vec<u8> {
        self.storage.read_head().unwrap().unwrap()
    }

    fn set_head(&mut self, bytes: &[u8]) {
        let old = self.head();
        assert!(self.storage.swap_head(Some(&old), bytes).unwrap());
    }

    /// Runs something that must not take much memory.
    fn frugally<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let (outcome, peak) = measured(|| run(self));
        assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
        self.tried += 1;
        outcome
    }

    /// Restores on top of what a holder has; on an error it has that still.
    fn restore(&mut self, id: u64) -> Result<StateHolder, Error> {
        let (size, last) = (self.before.size_bytes(), self.before.last_checkpoint());
        let restore = Restore::new(&mut self.before, Selector::Id(id), RestoreOptions::default());
        let outcome = drive(restore, &mut self.storage);
        if outcome.is_ok() {
            let mut fresh = holder();
            write(&mut fresh, 9);
            return Ok(std::mem::replace(&mut self.before, fresh));
        }
        assert_eq!((self.before.size_bytes(), self.before.last_checkpoint()), (size, last));
        if self.tried.is_multiple_of(101) {
            assert_eq!(contents(&self.before), self.before_contents);
        }
        outcome.map(|_| unreachable!())
    }

    fn verify(&mut self) -> Result<VerifyReport, Error> {
        drive(Verify::new(), &mut self.storage)
    }

    /// The object of a checkpoint is damaged: that is seen, by a restore and by verify.
    fn assert_seen(&mut self, id: u64, what: &str) {
        let restored = self.frugally(|sample| sample.restore(id));
        assert!(matches!(restored, Err(Error::Damaged { .. })), "{what}: {restored:?}");
        let report = self.frugally(Self::verify).unwrap();
        assert!(report.findings.iter().any(|finding| finding.checkpoints.contains(&id)), "{what}: verify is content");
        assert!(report.findings.iter().all(|finding| finding.error.is_damage()), "{what}: {report:?}");
        // The newest checkpoint builds on this one: it restores as it was, or not at all.
        if let Ok(latest) = self.restore(OBJECTS - 1) {
            assert_eq!(contents(&latest), self.truth[OBJECTS as usize - 1], "{what}");
        }
    }

    /// Whatever this is, it neither panics nor takes much memory; if it restores, the state is fit
    /// to work with.
    fn assert_harmless(&mut self, id: u64) -> Option<Contents> {
        let _ = self.frugally(Self::verify);
        let Ok(mut restored) = self.frugally(|sample| sample.restore(id)) else { return None };
        self.frugally(|_| {
            let found = contents(&restored);
            for number in 0..6 {
                write_somehow(&mut restored, number);
            }
            restored.begin(CheckpointRequest::default()).unwrap();
            let object = ObjectId { id: 99, generation: 9 };
            let encoded = restored.take_capture().unwrap().into_object(object, Compression::Lz4).unwrap();
            restored.commit(&encoded).unwrap();
            Some(found)
        })
    }
}

/// Writes that fit whatever the states are.
fn write_somehow(holder: &mut StateHolder, number: u64) {
    holder.set([number as u8, 7], &number).unwrap();
    let key = [number as u8 % 5, 7];
    holder.windows_mut("windows").unwrap().modify(&key, |state| {
        let starts: Vec<i64> = state.windows().iter().map(|window| window.start()).collect();
        for start in starts {
            state.update(start, |window| {
                window.pop_front();
                window.push_back(event(number));
            });
            state.close(start);
        }
    });
    holder.patterns_mut("patterns").unwrap().modify(&key, |state| {
        drop(state.take_due(i64::MAX));
        state.advance(0, event(number).event);
        state.retain(|partial| partial.id() % 2 == 0);
    });
    holder.aggregations_mut("groups").unwrap().remove(&key);
}

fn each_bit(bytes: &[u8]) -> impl Iterator<Item = (usize, u8)> + use<> {
    (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)))
}

#[test]
fn every_flipped_bit_of_an_object_is_seen() {
    for (compression, id) in [(Compression::None, 2), (Compression::Lz4, 0), (Compression::Lz4, 1)] {
        let mut sample = Sample::new(compression);
        let whole = sample.object(id).clone();
        for (at, bit) in each_bit(&whole) {
            sample.object(id)[at] ^= bit;
            sample.assert_seen(id, &format!("byte {at} of {}, bit {bit}", whole.len()));
            sample.object(id)[at] ^= bit;
        }
        let restored = sample.restore(id).unwrap();
        assert_eq!(contents(&restored), sample.truth[id as usize]);
        println!("damage: {} bits of an object of {} bytes, {compression:?}", whole.len() * 8, whole.len());
    }
}

#[test]
fn every_truncation_of_an_object_is_seen() {
    for id in 0..OBJECTS {
        let mut sample = Sample::new(Compression::Lz4);
        let whole = sample.object(id).clone();
        for len in 0..whole.len() {
            sample.object(id).truncate(len);
            sample.assert_seen(id, &format!("{len} bytes of {}", whole.len()));
            sample.object(id).clone_from(&whole);
            // As a torn write leaves it: the length is right, the rest is not.
            sample.object(id)[len..].fill(0);
            if *sample.object(id) != whole {
                sample.assert_seen(id, &format!("zeroes from byte {len}"));
            }
            sample.object(id).clone_from(&whole);
        }
        sample.object(id).push(0);
        sample.assert_seen(id, "a byte too many");
        sample.storage.objects_mut().remove(&sample.names[id as usize]);
        assert!(
            matches!(sample.restore(id), Err(Error::ObjectMissing { object }) if object == sample.names[id as usize])
        );
        assert!(!sample.verify().unwrap().findings.is_empty());
    }
}

#[test]
fn objects_that_took_each_others_place_are_seen() {
    for (id, other) in [(0, 1), (1, 2), (2, 0)] {
        let mut sample = Sample::new(Compression::Lz4);
        *sample.object(id) = sample.object(other).clone();
        sample.assert_seen(id, "another object");
    }
}

#[test]
fn every_change_of_the_head_is_seen() {
    let mut sample = Sample::new(Compression::Lz4);
    let whole = sample.head();
    let flipped = each_bit(&whole).map(|(at, bit)| {
        let mut bytes = whole.clone();
        bytes[at] ^= bit;
        bytes
    });
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    for bytes in flipped.chain(cut) {
        sample.set_head(&bytes);
        let damaged = |error: &Error| matches!(error, Error::Damaged { object, .. } if object == "head");
        assert!(sample.frugally(|sample| sample.restore(0)).is_err_and(|error| damaged(&error)));
        assert!(sample.frugally(Sample::verify).is_err_and(|error| damaged(&error)));
        // Nor is it taken for an empty storage.
        let opened = CheckpointManager::open(sample.storage.clone(), ManagerConfig::default());
        assert!(matches!(opened, Err(eventflux::Error::Core(error)) if damaged(&error)));
    }
}

#[test]
fn a_lost_head_is_no_empty_storage() {
    let mut sample = Sample::new(Compression::Lz4);
    let mut storage = MemoryBackend::new();
    storage.objects_mut().clone_from(sample.storage.objects_mut());
    let before = storage.clone();
    let missing = |error: &Error| matches!(error, Error::ObjectMissing { object } if object == "head");
    let opened = drive(eventflux_core::OpenWriter::new(), &mut storage);
    assert!(opened.is_err_and(|error| missing(&error)));
    assert!(drive(Verify::new(), &mut storage).is_err_and(|error| missing(&error)));
    assert_eq!(storage, before, "nothing was written over");
}

#[test]
fn newer_versions_are_named() {
    let mut sample = Sample::new(Compression::Lz4);
    let whole = sample.object(2).clone();
    let mut newer = whole.clone();
    newer[4] += 1;
    *sample.object(2) = with_manifest(&newer, manifest_bytes(&whole));
    const NEXT: u16 = FORMAT_VERSION + 1;
    let too_new = |error: &Error| matches!(error, Error::VersionTooNew { found: NEXT, newest: FORMAT_VERSION, .. });
    assert!(sample.restore(2).is_err_and(|error| too_new(&error)));
    assert!(too_new(&sample.verify().unwrap().findings[0].error));
    *sample.object(2) = whole;
    let mut head = sample.head();
    head[4] += 1;
    fix_head(&mut head);
    sample.set_head(&head);
    assert!(sample.restore(2).is_err_and(|error| too_new(&error)));
}

#[test]
fn an_adversary_changes_the_manifest() {
    let mut sample = Sample::new(Compression::Lz4);
    let whole = sample.object(2).clone();
    let manifest = manifest_bytes(&whole).to_vec();
    assert_eq!(with_manifest(&whole, &manifest), whole, "the test knows the format");
    let mut restored = 0;
    for (at, bit) in each_bit(&manifest) {
        let mut changed = manifest.clone();
        changed[at] ^= bit;
        *sample.object(2) = with_manifest(&whole, &changed);
        restored += u32::from(sample.assert_harmless(2).is_some());
    }
    println!("damage: {} bits of a manifest, hashes made right; {restored} restore", manifest.len() * 8);
    for (at, bit) in each_bit(&whole[..HEADER_BYTES]) {
        let mut changed = whole.clone();
        changed[at] ^= bit;
        *sample.object(2) = with_manifest(&changed, &manifest);
        assert!(sample.assert_harmless(2).is_none(), "byte {at} of the header");
    }
}

#[test]
fn an_adversary_writes_large_numbers() {
    let mut sample = Sample::new(Compression::Lz4);
    let whole = sample.object(2).clone();
    let manifest = Manifest::of(&whole);
    let change = |sample: &mut Sample, change: &dyn Fn(&mut Manifest)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        *sample.object(2) = with_manifest(&whole, &postcard::to_allocvec(&changed).unwrap());
        sample.assert_harmless(2).is_some()
    };
    for large in [1 << 20, 1 << 32, 1 << 40, 1 << 62, u64::MAX / 256, u64::MAX - 1, u64::MAX] {
        let changes: [&dyn Fn(&mut Manifest); 14] = [
            &|it| it.own_sections().iter_mut().for_each(|section| section.raw = large),
            &|it| it.own_sections().iter_mut().for_each(|section| section.stored = large),
            &|it| it.own_sections().iter_mut().for_each(|section| (section.raw, section.stored) = (large, large)),
            &|it| it.own_sections().iter_mut().for_each(|section| section.offset = large),
            &|it| it.own_sections().iter_mut().for_each(|section| section.object = large as u32),
            &|it| it.sizes.restore_raw = large,
            &|it| (it.sizes.dirty, it.sizes.delta_raw, it.sizes.base_raw) = (large, large, large),
            &|it| (it.credit, it.reserve) = (large as i64, large as i64),
            &|it| (it.credit, it.reserve) = ((large as i64).wrapping_neg(), (large as i64).wrapping_neg()),
            &|it| it.bases.iter_mut().for_each(|base| base.checkpoint = large),
            &|it| it.deltas.iter_mut().for_each(|delta| delta.checkpoint = large),
            &|it| it.key_groups = large as u16,
            &|it| it.created_ms = large as i64,
            &|it| it.parent = Some(large),
        ];
        for each in changes {
            change(&mut sample, each);
        }
    }
    assert!(change(&mut sample, &|_| ()));
    assert!(!change(&mut sample, &|it| it.bases.reverse()), "bases out of order");
    assert!(!change(&mut sample, &|it| it.bases.truncate(1)));
    assert!(!change(&mut sample, &|it| it.states.clear()));
    assert!(!change(&mut sample, &|it| it.states = vec![it.states[0].clone(); 2000]));
    assert!(!change(&mut sample, &|it| it.states[2].name = it.states[1].name.clone()));
}

#[test]
fn an_adversary_changes_sections() {
    for (compression, id) in [(Compression::None, 1), (Compression::None, 0), (Compression::Lz4, 0)] {
        let mut sample = Sample::new(compression);
        let whole = sample.object(id).clone();
        let mut manifest = Manifest::of(&whole);
        let sections = manifest.own_sections().len();
        let (mut tried, mut restored) = (0, 0);
        for number in 0..sections {
            let section = manifest.own_sections()[number].clone();
            let stored = section.clone().stored_mut(&mut whole.clone()).to_vec();
            for (at, bit) in each_bit(&stored) {
                let (mut object, mut changed) = (whole.clone(), manifest.clone());
                let bytes = section.stored_mut(&mut object);
                bytes[at] ^= bit;
                let bytes = bytes.to_vec();
                changed.own_sections()[number].fix(&bytes);
                *sample.object(id) = with_manifest(&object, &postcard::to_allocvec(&changed).unwrap());
                let found = sample.assert_harmless(id);
                tried += 1;
                restored += u32::from(found.is_some());
                // The hash of what is unpacked is still the true one.
                if section.is_packed() && found.is_some() {
                    assert!(found.as_ref() == Some(&sample.truth[id as usize]), "byte {at} of section {number}");
                }
            }
        }
        println!("damage: {tried} bits of sections, {compression:?}, hashes made right; {restored} restore");
    }
}

#[test]
fn an_adversary_changes_the_head() {
    let mut sample = Sample::new(Compression::Lz4);
    let whole = sample.head();
    let storage = sample.storage.clone();
    for (at, bit) in each_bit(&whole) {
        let mut head = whole.clone();
        head[at] ^= bit;
        fix_head(&mut head);
        sample.storage = storage.clone();
        sample.set_head(&head);
        let _ = sample.frugally(Sample::verify);
        let _ = sample.frugally(|sample| sample.restore(2));
        sample.frugally(|sample| {
            let Ok(mut manager) = CheckpointManager::open(sample.storage.clone(), ManagerConfig::default()) else {
                return;
            };
            let mut state = holder();
            let _ = manager.restore_latest(&mut state);
            write_somehow(&mut state, 1);
            let _ = manager.checkpoint(&mut state, None);
            let _ = manager.prune(Retention { max_retained: 1 });
        });
    }
}

/// A storage whose newest checkpoint has a page of bases, its object, and the page among its sections.
fn paged_bases() -> (MemoryBackend, ObjectId, usize) {
    let config = ManagerConfig { compression: Compression::None, retention: Retention { max_retained: 1 } };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    let mut state = holder_of_bases();
    state.set("key", &1).unwrap();
    let object = manager.checkpoint(&mut state, None).unwrap().object;
    let mut storage = manager.backend_mut().clone();
    let mut manifest = Manifest::of(&storage.objects_mut()[&object.name()]);
    let page = manifest.base_pages[0].clone();
    let at = manifest.own_sections().iter().position(|section| **section == page).unwrap();
    (storage, object, at)
}

/// A holder of so many states that a page names their bases.
fn holder_of_bases() -> StateHolder {
    let state = |number: u32| StateDescriptor::new(format!("state {number}"), StateKind::Aggregations, 1, "");
    (0..9).fold(StateHolder::builder("paged"), |builder, number| builder.state(state(number))).build().unwrap()
}

/// A storage whose newest checkpoint has a page of deltas, its object, and the page among its sections.
fn paged_deltas() -> (MemoryBackend, ObjectId, usize) {
    let config = ManagerConfig { compression: Compression::None, retention: Retention { max_retained: 1 } };
    let mut manager = CheckpointManager::open(MemoryBackend::new(), config).unwrap();
    let mut state = StateHolder::builder("paged").build().unwrap();
    (0..2000_u32).for_each(|key| state.set(key.to_le_bytes(), &vec![key; 50]).unwrap());
    for step in 0..100_u32 {
        state.set((step % 3).to_le_bytes(), &step).unwrap();
        let object = manager.checkpoint(&mut state, None).unwrap().object;
        let mut storage = manager.backend_mut().clone();
        let mut manifest = Manifest::of(&storage.objects_mut()[&object.name()]);
        let page = manifest.pages.first().cloned();
        let at = manifest.own_sections().iter().position(|section| page.as_ref() == Some(*section));
        if let Some(at) = at {
            return (storage, object, at);
        }
    }
    panic!("no pages");
}

#[test]
fn a_damaged_page_is_seen() {
    let paged = StateHolder::builder("paged").build().unwrap();
    for (sample, state) in [(paged_deltas(), paged), (paged_bases(), holder_of_bases())] {
        each_bit_of_a_page(sample, state);
    }
}

fn each_bit_of_a_page((mut storage, id, number): (MemoryBackend, ObjectId, usize), mut state: StateHolder) {
    let whole = storage.objects_mut()[&id.name()].clone();
    let manifest = Manifest::of(&whole);
    let section = manifest.clone().own_sections()[number].clone();
    let stored = section.stored_mut(&mut whole.clone()).to_vec();
    let mut fine = 0;
    for (at, bit) in each_bit(&stored) {
        for fixed in [false, true] {
            let (mut object, mut changed) = (whole.clone(), manifest.clone());
            let bytes = section.stored_mut(&mut object);
            bytes[at] ^= bit;
            if fixed {
                changed.own_sections()[number].fix(bytes);
                object = with_manifest(&object, &postcard::to_allocvec(&changed).unwrap());
            }
            storage.objects_mut().insert(id.name(), object);
            let restore = Restore::new(&mut state, Selector::Latest, RestoreOptions::default());
            let (restored, peak) = measured(|| drive(restore, &mut storage));
            assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
            assert!(fixed || matches!(restored, Err(Error::Damaged { .. })));
            if restored.is_err() && at % 8 == 0 {
                assert!(!drive(Verify::new(), &mut storage).unwrap().findings.is_empty());
            }
            fine += u32::from(restored.is_ok());
        }
    }
    println!("damage: {} bits of a page; {fine} of them restore with hashes made right", stored.len() * 8);
}

#[test]
fn an_adversary_writes_anything() {
    let rounds = if std::env::var_os("EVENTFLUX_LONG").is_some() { 300_000 } else { 4_000 };
    let mut sample = Sample::new(Compression::None);
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for _ in 0..rounds {
        let id = next(OBJECTS as usize) as u64;
        let whole = sample.object(id).clone();
        let (mut object, mut manifest) = (whole.clone(), Manifest::of(&whole));
        let mut scribble = |bytes: &mut [u8]| {
            for _ in 0..=next(4) {
                let (at, value) = (next(bytes.len()), [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)]);
                let end = (at + 1 + next(10)).min(bytes.len());
                bytes[at..end].fill(value);
            }
            next(3)
        };
        let mut how = 0;
        for section in manifest.own_sections() {
            let stored = section.stored_mut(&mut object);
            how = scribble(stored);
            if how > 0 {
                stored.copy_from_slice(section.clone().stored_mut(&mut whole.clone()));
            }
            section.fix(stored);
        }
        let mut bytes = postcard::to_allocvec(&manifest).unwrap();
        if how == 0 {
            scribble(&mut bytes);
        }
        *sample.object(id) = with_manifest(&object, &bytes);
        sample.assert_harmless(id);
        *sample.object(id) = whole;
    }
}
