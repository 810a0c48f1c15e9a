//! Damage of columns and of the plans that several sections share: seen by its hash; and where an
//! adversary makes all hashes right again, an error or a state that is fit to work with, in
//! bounded memory.

use crate::common::bulk::{of_bulk, of_bulk_divided};
use crate::common::contents::contents;
use crate::common::object::{self, Manifest, Section, append_section, with_manifest};
use crate::measured;
use eventflux_core::{
    Backend, CheckpointRequest, Compression, Error, MemoryBackend, ObjectId, ReadHead, ReadManifest, Restore,
    RestoreOptions, Selector, StateHolder, Verify, drive,
};

/// What reading a few kilobytes may take at most, beside the state that they hold.
const PEAK_BYTES_MAX: usize = 4 << 20;

/// A storage, one of whose objects is changed.
struct Sample {
    storage: MemoryBackend,
    id: ObjectId,
    whole: Vec<u8>,
    manifest: Manifest,
    /// What it holds.
    truth: serde_json::Value,
    peak_max: usize,
}

impl Sample {
    fn new(make: impl FnOnce(&mut dyn Backend), number: usize) -> Self {
        let mut storage = MemoryBackend::new();
        make(&mut storage);
        let head = drive(ReadHead::new(), &mut storage).unwrap().unwrap();
        let id = head.entries[number].object;
        let whole = storage.objects_mut()[&id.name()].clone();
        // What its pages name is to be changed too.
        let manifest =
            Manifest::of(&whole).without_pages(|object| storage.clone().objects_mut()[&object.name()].clone());
        let whole = with_manifest(&whole, &postcard::to_allocvec(&manifest).unwrap());
        storage.objects_mut().insert(id.name(), whole.clone());
        let mut sample = Sample { storage, id, whole, manifest, truth: serde_json::Value::Null, peak_max: usize::MAX };
        let mut holder = sample.holder();
        let (restored, peak) = measured(|| sample.restore(&mut holder));
        restored.unwrap();
        sample.truth = contents(&holder);
        sample.peak_max = 2 * peak + PEAK_BYTES_MAX;
        sample
    }

    fn holder(&mut self) -> StateHolder {
        let manifest = drive(ReadManifest::new(self.id), &mut self.storage).unwrap();
        StateHolder::for_manifest(&manifest).unwrap()
    }

    fn restore(&mut self, holder: &mut StateHolder) -> Result<(), Error> {
        let restore = Restore::new(holder, Selector::Id(self.id.id), RestoreOptions::default());
        drive(restore, &mut self.storage).map(drop)
    }

    fn put(&mut self, object: Vec<u8>) {
        self.storage.objects_mut().insert(self.id.name(), object);
    }

    /// Sections of columns that are in this object, plans among them.
    fn columns(&self) -> Vec<(usize, Section)> {
        let mut manifest = self.manifest.clone();
        let own = manifest.own_sections().into_iter().map(|section| section.clone()).enumerate();
        own.filter(|(_, section)| section.codec >= 2).collect()
    }

    /// Writes other bytes in the place of a section; the hashes right again, or not.
    fn change(&mut self, number: usize, change: impl FnOnce(&mut [u8]), fixed: bool) {
        let (mut object, mut manifest) = (self.whole.clone(), self.manifest.clone());
        let section = manifest.own_sections().remove(number);
        let stored = section.clone().stored_mut(&mut object);
        change(stored);
        if fixed {
            section.fix(stored);
            object = with_manifest(&object, &postcard::to_allocvec(&manifest).unwrap());
        }
        self.put(object);
    }

    /// An error, or a state that is fit to work with; neither takes much memory. Whether it is a state.
    fn assert_harmless(&mut self, what: &str) -> bool {
        self.put_back_after(|sample| {
            let (_, peak) = measured(|| drive(Verify::new(), &mut sample.storage).unwrap());
            assert!(peak < sample.peak_max, "{what}: {peak} bytes to verify");
            let whole = Manifest::of(&sample.whole);
            let mut holder = StateHolder::builder(&whole.holder).key_groups(whole.key_groups);
            for state in whole.states.iter().filter(|state| !state.name.is_empty()) {
                holder = holder.state(state.clone());
            }
            let values = &whole.states[0];
            let mut holder = holder.values_schema(values.version, &values.description).build().unwrap();
            let (restored, peak) = measured(|| sample.restore(&mut holder));
            assert!(peak < sample.peak_max, "{what}: {peak} bytes to restore");
            match restored {
                Ok(()) => work_with(&mut holder),
                Err(error) => {
                    assert!(error.is_damage(), "{what}: {error}");
                    assert_eq!(holder.last_checkpoint(), None);
                    return false;
                }
            }
            true
        })
    }

    fn put_back_after<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let outcome = run(self);
        let whole = self.whole.clone();
        self.put(whole);
        outcome
    }
}

/// Whatever it holds, it can be shown, changed and captured.
fn work_with(holder: &mut StateHolder) {
    drop(contents(holder));
    holder.set("another", &1).unwrap();
    let object = ObjectId { id: 99, generation: 9 };
    holder.begin(CheckpointRequest::default()).unwrap();
    let encoded = holder.take_capture().unwrap().into_object(object, Compression::Lz4).unwrap();
    holder.commit(&encoded).unwrap();
}

/// Numbers without an order, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn rounds(usual: usize) -> usize {
    if std::env::var_os("EVENTFLUX_LONG").is_some() { 50 * usual } else { usual }
}

#[test]
fn a_changed_byte_of_columns_is_seen() {
    let mut kinds = [0; 4];
    for number in [0, 3] {
        let mut sample = Sample::new(|backend| drop(of_bulk_divided(backend, 6)), number);
        for (number, section) in sample.columns() {
            kinds[section.codec as usize] += 1;
            for at in (0..section.stored as usize).step_by(19) {
                sample.change(number, |stored| stored[at] ^= 1 << (at % 8), false);
                let mut holder =
                    StateHolder::for_manifest(&drive(ReadManifest::new(sample.id), &mut sample.storage).unwrap())
                        .unwrap();
                let restored = sample.restore(&mut holder);
                assert!(matches!(restored, Err(Error::Damaged { .. })), "byte {at} of section {number}: {restored:?}");
                let report = drive(Verify::new(), &mut sample.storage).unwrap();
                assert!(report.findings.iter().any(|finding| finding.checkpoints.contains(&sample.id.id)));
            }
        }
    }
    assert!(kinds[2] > 2 && kinds[3] > 2, "{kinds:?}");
}

#[test]
fn an_adversary_changes_columns() {
    // The one without LZ4.
    let mut sample = Sample::new(|backend| drop(of_bulk_divided(backend, 16)), 3);
    let (mut tried, mut restored) = (0, 0);
    for (number, section) in sample.columns() {
        for at in 0..section.stored as usize {
            sample.change(number, |stored| stored[at] ^= 1 << (at % 8), true);
            tried += 1;
            restored += u32::from(sample.assert_harmless(&format!("byte {at} of section {number}")));
        }
    }
    println!("damage: {tried} bits of columns, hashes made right; {restored} restore");
    assert!(restored > 0 && restored < tried);
}

#[test]
fn an_adversary_writes_anything_into_columns() {
    let mut random = Random(1);
    for number in [0, 3, 4] {
        let mut sample = Sample::new(|backend| drop(of_bulk_divided(backend, 16)), number);
        let columns = sample.columns();
        for round in 0..rounds(250) {
            let (number, _) = &columns[random.below(columns.len())];
            let scribble = |stored: &mut [u8]| {
                for _ in 0..=random.below(4) {
                    let at = random.below(stored.len());
                    let end = (at + 1 + random.below(6)).min(stored.len());
                    stored[at..end].fill([0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8][random.below(6)]);
                }
            };
            sample.change(*number, scribble, true);
            sample.assert_harmless(&format!("round {round}"));
        }
    }
}

#[test]
fn an_adversary_changes_shared_plans() {
    let mut sample = Sample::new(|backend| drop(of_bulk(backend)), 0);
    assert!(sample.manifest.plans.len() >= 4);
    // Without LZ4, so that the hashes can be made right.
    let plans = unpacked_plans(&mut sample);
    let mut random = Random(7);
    let mut restored = 0;
    for round in 0..rounds(150) {
        let number = plans[random.below(plans.len())];
        let scribble = |stored: &mut [u8]| {
            let at = random.below(stored.len());
            stored[at] = [0, 1, 0x7f, 0x80, 0xff, stored[at] ^ 1 << random.below(8)][random.below(6)];
        };
        sample.change(number, scribble, true);
        restored += u32::from(sample.assert_harmless(&format!("round {round}")));
    }
    println!("damage: plans that are shared, hashes made right; {restored} restore");
}

/// Stores the plans of an object without LZ4; which of its sections they are.
fn unpacked_plans(sample: &mut Sample) -> Vec<usize> {
    let end = sample.whole.len() - 24 - object::manifest_bytes(&sample.whole).len();
    let mut object = sample.whole[..end].to_vec();
    let mut manifest = sample.manifest.clone();
    for plan in &mut manifest.plans {
        let stored = plan.stored_mut(&mut sample.whole).to_vec();
        let unpacked = if plan.is_packed() { unpack(&stored) } else { stored };
        *plan = append_section(&mut object, &unpacked, &unpacked, 2, unpacked.len() as u64);
    }
    object.extend_from_slice(&sample.whole[end..]);
    sample.whole = with_manifest(&object, &postcard::to_allocvec(&manifest).unwrap());
    sample.manifest = manifest;
    let whole = sample.whole.clone();
    sample.put(whole);
    assert!(sample.assert_harmless("as it was"));
    let columns = sample.columns();
    let is_plan = |section: &Section| sample.manifest.plans.contains(section);
    columns.into_iter().filter(|(_, section)| is_plan(section)).map(|(number, _)| number).collect()
}

/// The columns that codec 3 packed.
fn unpack(stored: &[u8]) -> Vec<u8> {
    let (len, mut rest) = postcard::take_from_bytes::<u64>(stored).unwrap();
    let mut unpacked = Vec::new();
    while (unpacked.len() as u64) < len {
        let (packed_len, packed) = postcard::take_from_bytes::<u64>(rest).unwrap();
        let (block, more) = packed.split_at(packed_len as usize);
        let block_len = (len as usize - unpacked.len()).min(65_280);
        unpacked.extend(lz4_flex::block::decompress(block, block_len).unwrap());
        rest = more;
    }
    unpacked
}

#[test]
fn plans_that_are_of_others() {
    let mut sample = Sample::new(|backend| drop(of_bulk(backend)), 0);
    let count = sample.manifest.plans.len() as u32;
    let bases = sample.manifest.bases.len();
    for base in 0..bases {
        for plan in (0..=count).map(Some).chain([None, Some(u32::MAX)]) {
            if sample.manifest.bases[base].plan == plan {
                continue;
            }
            let mut manifest = sample.manifest.clone();
            manifest.bases[base].plan = plan;
            let object = with_manifest(&sample.whole, &postcard::to_allocvec(&manifest).unwrap());
            sample.put(object);
            assert!(!sample.assert_harmless(&format!("plan {plan:?} of base {base}")));
        }
    }
    for plan in 0..count as usize {
        // Rows, or a section with cells, are no plan.
        for section in sample.manifest.bases.iter().filter_map(|base| base.section.clone()).collect::<Vec<_>>() {
            let mut manifest = sample.manifest.clone();
            manifest.plans[plan] = section;
            let object = with_manifest(&sample.whole, &postcard::to_allocvec(&manifest).unwrap());
            sample.put(object);
            assert!(!sample.assert_harmless(&format!("plan {plan} is another section")));
        }
    }
}

/// A `uint`.
fn uint(number: u64) -> Vec<u8> {
    postcard::to_allocvec(&number).unwrap()
}

/// A plan with keys and values as byte strings, of one table with so many columns.
fn plan(columns: u64, of_columns: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 1, 3][..], &uint(columns), of_columns].concat()
}

/// An aligned column of integers as codes, with a dictionary that claims so many entries, all in blocks without bits.
fn claiming(number: u64, entries: u64) -> Vec<u8> {
    claiming_in(number, entries, 16 << 2)
}

/// As [`claiming`], with entries in this form of integers.
fn claiming_in(number: u64, entries: u64, form: u8) -> Vec<u8> {
    let blocks = entries.div_ceil(1 << 16).min(1 << 14) as usize;
    [&uint(number)[..], &[1 << 3 | 1 << 7, 1], &uint(entries), &[form, 0, 1], &[0, 0].repeat(blocks), &[0, 0, 1]]
        .concat()
}

#[test]
fn plans_that_claim_more_than_they_have() {
    let mut sample = Sample::new(|backend| drop(of_bulk_divided(backend, 16)), 0);
    let many_children: Vec<u8> = (1..5000)
        .flat_map(|number| {
            // Under column 0: two entries, a list of one for each of the parent's.
            let lists = [&[3, 0, 1, 1, 0, 0, 0, 0][..], &[16 << 2, 0, 1], &[0, 0]].concat();
            [&uint(number)[..], &[1 << 3 | 1 << 7, 2, 2, 16 << 2, 0, 1, 0, 2, 2, 0], &lists].concat()
        })
        .collect();
    // Over column 0: numerators and errors in blocks without bits.
    let many_quotients: Vec<u8> = (1..2500)
        .flat_map(|number| [&uint(number)[..], &[1 << 4 | 1 << 7, 3, 0, 16 << 2, 0, 1, 16 << 2, 0, 1]].concat())
        .collect();
    let own_widths = 1 << 7 | 16 << 2;
    let bombs = [
        ("columns", plan(1 << 40, &[])),
        ("columns", plan(1 << 20, &[0; 3000])),
        ("columns in zeros", plan(1 << 18, &vec![0; 1 << 18])),
        ("entries", plan(1, &claiming(0, 1 << 40))),
        ("entries", plan(1, &claiming(0, 1 << 24))),
        ("entries of many blocks", plan(1, &claiming(0, 1 << 30))),
        ("entries of two", plan(2, &[claiming(0, 1 << 16), claiming(1, 1 << 16)].concat())),
        ("lists", plan(5000, &[claiming(0, 1 << 16), many_children].concat())),
        ("entries with widths of their own", plan(1, &claiming_in(0, 1 << 30, own_widths))),
        ("quotients", plan(2500, &[claiming(0, 1 << 16), many_quotients].concat())),
        ("tables", [&[0, 0, 0, 0][..], &uint(1 << 50)].concat()),
    ];
    for (what, bomb) in bombs {
        for packed in [false, true] {
            let end = sample.whole.len() - 24 - object::manifest_bytes(&sample.whole).len();
            let (mut object, mut manifest) = (sample.whole[..end].to_vec(), sample.manifest.clone());
            let stored = if packed { pack(&bomb) } else { bomb.clone() };
            let codec = if packed { 3 } else { 2 };
            let section = append_section(&mut object, &bomb, &stored, codec, bomb.len() as u64);
            // As a plan that is shared, and as one in front of cells.
            let as_plan = manifest.plans.len() as u32;
            manifest.plans.push(section.clone());
            for base in manifest.bases.iter_mut().filter(|base| base.section.as_ref().is_some_and(|it| it.codec >= 2)) {
                base.plan = Some(as_plan);
            }
            let mut in_front = sample.manifest.clone();
            let own = Section { raw: 1024 * section.stored, ..section };
            in_front.bases.iter_mut().filter(|base| base.section.is_some()).for_each(|base| {
                (base.section, base.plan) = (Some(own.clone()), None);
            });
            object.extend_from_slice(&sample.whole[end..]);
            for manifest in [manifest, in_front] {
                let object = with_manifest(&object, &postcard::to_allocvec(&manifest).unwrap());
                sample.put(object);
                assert!(!sample.assert_harmless(&format!("{what}, {} bytes stored", stored.len())));
            }
        }
    }
}

/// What an entry of a dictionary takes of memory when it is read, and a little more.
const ENTRY_BYTES_MAX: u64 = 28;

#[test]
fn entries_that_cost_nothing_are_no_larger_than_a_number() {
    let mut sample = Sample::new(|backend| drop(of_bulk_divided(backend, 16)), 0);
    // A column of doubles makes the object as large as entries without bits need it.
    let doubles = 2000_u64;
    let mut random = Random(11);
    let padding: Vec<u8> = (0..8 * doubles).map(|_| random.below(256) as u8).collect();
    let padding = [&uint(0)[..], &[1 << 4 | 1 << 7, 1], &uint(doubles), &padding, &[0, 0, 1]].concat();
    let granted = 1024 * padding.len() as u64;
    let columns = granted / (1 << 16) - 1;
    let claims: Vec<u8> = (1..=columns).flat_map(|number| claiming(number, 1 << 16)).collect();
    let bomb = plan(columns + 1, &[padding, claims].concat());

    let end = sample.whole.len() - 24 - object::manifest_bytes(&sample.whole).len();
    let (mut object, mut manifest) = (sample.whole[..end].to_vec(), sample.manifest.clone());
    let section = append_section(&mut object, &bomb, &bomb, 2, bomb.len() as u64);
    manifest.plans.push(section);
    for base in manifest.bases.iter_mut().filter(|base| base.section.as_ref().is_some_and(|it| it.codec >= 2)) {
        base.plan = Some(manifest.plans.len() as u32 - 1);
    }
    object.extend_from_slice(&sample.whole[end..]);
    sample.put(with_manifest(&object, &postcard::to_allocvec(&manifest).unwrap()));
    sample.peak_max += (columns << 16) as usize * ENTRY_BYTES_MAX as usize;
    let whole = sample.storage.objects_mut()[&sample.id.name()].clone();
    sample.whole = whole;
    assert!(!sample.assert_harmless("entries without bits, beside doubles"));
}

/// Columns in LZ4.
fn pack(columns: &[u8]) -> Vec<u8> {
    let mut stored = uint(columns.len() as u64);
    for block in columns.chunks(65_280) {
        let packed = lz4_flex::block::compress(block);
        stored.extend(uint(packed.len() as u64));
        stored.extend(packed);
    }
    stored
}
