//! `core/FORMAT.md` says all there is to know of the bytes: a reader written from it alone, with no
//! code of the project, finds in every checkpoint what the program put there.

#[path = "../common/bulk.rs"]
mod bulk;
mod bytes;
mod columns;
#[path = "../common/contents.rs"]
mod contents;
mod example;
#[path = "../common/golden_file.rs"]
mod golden_file;
mod numbers;
mod object;
mod rows;
mod schema;
mod seen;
#[path = "../common/storages.rs"]
mod storages;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eventflux_core::{Backend, MemoryBackend, Value};
use serde_json::{Map, Value as Json, json};

use self::bulk::{of_bulk, of_bulk_divided};
use self::columns::Plan;
use self::object::{Base, Manifest, ObjectId, Storage};
use self::rows::Rows;
use self::storages::{Points, keys, of_engine, of_holder};

const KINDS: [&str; 4] = ["values", "windows", "patterns", "aggregations"];

/// A storage that the program made, as its files; and what it put there.
fn written(make: impl Fn(&mut dyn Backend) -> Points) -> (Storage, Points) {
    let mut backend = MemoryBackend::new();
    let points = make(&mut backend);
    let head = backend.read_head().unwrap().unwrap();
    (Storage { head, objects: backend.objects_mut().clone() }, points)
}

/// The manifest of a checkpoint, with the bases and deltas of its pages.
fn manifest(storage: &Storage, object: ObjectId) -> Manifest {
    let mut manifest = object::manifest(object, &storage.objects[&object::name(object)]);
    for page in manifest.base_pages.iter().rev() {
        assert!(page.codec < 2);
        let (bases, plans) = object::base_page(&object::unpacked(storage, page));
        // Those that nothing newer has taken the place of.
        let shares = |a: &Base, b: &Base| a.state == b.state && a.low < b.high && b.low < a.high;
        let counts = |base: &Base| !manifest.bases.iter().any(|newer| shares(base, newer));
        let mut counting: Vec<Base> = bases.into_iter().filter(counts).collect();
        let mut places = BTreeMap::new();
        for base in &mut counting {
            base.plan = base.plan.map(|plan| {
                *places.entry(plan).or_insert_with(|| {
                    manifest.plans.push(plans[plan as usize].clone());
                    manifest.plans.len() as u64 - 1
                })
            });
        }
        manifest.bases.append(&mut counting);
    }
    manifest.bases.sort_by_key(|base| (base.state, base.low));
    let mut deltas = Vec::new();
    for page in &manifest.pages {
        assert!(page.codec < 2);
        let named = object::page(&object::unpacked(storage, page));
        deltas.extend(named.into_iter().filter(|delta| {
            let groups = delta.low..delta.high;
            groups.into_iter().any(|group| base_of(&manifest.bases, delta.state, group).checkpoint < delta.checkpoint)
        }));
    }
    deltas.append(&mut manifest.deltas);
    manifest.deltas = deltas;
    manifest
}

/// Reads a checkpoint from its manifest on: every section.
fn read(storage: &Storage, object: ObjectId) -> (Manifest, Vec<Rows>) {
    let manifest = manifest(storage, object);
    assert!(manifest.version > 1 || manifest.sections().all(|section| section.codec < 2));
    let plans: Vec<Plan> = manifest.plans.iter().map(|plan| object::plan(storage, plan)).collect();
    let mut states: Vec<Rows> = manifest.states.iter().map(|_| Rows::new()).collect();
    for base in &manifest.bases {
        let Some(section) = &base.section else { continue };
        let (state, plan) = (base.state as usize, base.plan.map(|plan| &plans[plan as usize]));
        let raw = object::rows(storage, section, plan, manifest.states[state].kind);
        let covered = |group| assert!((base.low..base.high).contains(&group));
        let skip = |group| {
            covered(group);
            false
        };
        rows::apply(&raw, manifest.states[state].kind, manifest.key_groups, &mut states[state], skip);
    }
    for delta in &manifest.deltas {
        let state = delta.state as usize;
        let raw = object::rows(storage, &delta.section, None, manifest.states[state].kind);
        let skip = |group| {
            assert!((delta.low..delta.high).contains(&group));
            base_of(&manifest.bases, delta.state, group).checkpoint >= delta.checkpoint
        };
        rows::apply(&raw, manifest.states[state].kind, manifest.key_groups, &mut states[state], skip);
    }
    (manifest, states)
}

fn base_of(bases: &[Base], state: u64, group: u64) -> &Base {
    let mut of_group = bases.iter().filter(|base| base.state == state && (base.low..base.high).contains(&group));
    let base = of_group.next().unwrap();
    assert!(of_group.next().is_none(), "one base a key group");
    base
}

fn manifest_to_json(manifest: &Manifest) -> Json {
    let state = |state: &object::State| {
        json!({ "name": state.name, "kind": KINDS[state.kind as usize], "version": state.version,
            "fingerprint": format!("{:016x}", state.fingerprint), "description": state.description })
    };
    let engine = manifest.engine.as_ref().map(|engine| {
        json!({ "events": engine.events, "timestamp_max": engine.timestamp_max, "finished": engine.finished,
            "results": engine.results, "late": engine.late })
    });
    json!({
        "id": manifest.object.0, "generation": manifest.object.1, "parent": manifest.parent,
        "created_ms": manifest.created_ms, "label": manifest.label, "holder": manifest.holder,
        "key_groups": manifest.key_groups, "states": manifest.states.iter().map(state).collect::<Vec<_>>(),
        "positions": manifest.positions, "outputs": manifest.outputs, "watermarks": manifest.watermarks,
        "engine": engine, "sizes": manifest.sizes,
    })
}

fn states_to_json(manifest: &Manifest, states: &[Rows]) -> Json {
    let rows =
        |rows: &Rows| -> Map<_, _> { rows.iter().map(|(key, held)| (contents::hex(key), held.clone())).collect() };
    let named = manifest.states.iter().zip(states);
    named.map(|(state, held)| (state.name.clone(), rows(held).into())).collect::<Map<_, _>>().into()
}

#[test]
fn a_reader_made_from_the_document_finds_what_the_program_put_there() {
    for make in [of_holder as fn(&mut dyn Backend) -> Points, of_engine, of_bulk] {
        let (storage, points) = written(make);
        let head = object::head(&storage.head);
        assert_eq!(head.latest, points.keys().last().copied());
        assert_eq!(head.next_id, points.len() as u64);
        assert_eq!(
            head.entries.iter().map(|entry| entry.object.0).collect::<Vec<_>>(),
            Vec::from_iter(0..head.next_id)
        );
        assert!(head.entries.iter().all(|entry| entry.object.1 <= head.generation));
        for entry in &head.entries {
            let (manifest, states) = read(&storage, entry.object);
            let found = contents::point(manifest_to_json(&manifest), states_to_json(&manifest, &states));
            assert_eq!(found, points[&entry.object.0], "checkpoint {}", entry.object.0);
            check_entry(&storage, entry, &manifest);
        }
    }
}

#[test]
fn it_reads_the_golden_files_of_every_version() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut versions = BTreeMap::new();
    // By name: some runtimes of wasm cannot list directories.
    for version in 1.. {
        let directory = golden.join(format!("v{version}"));
        let there = ["holder", "engine", "bulk"].map(|storage| directory.join(storage));
        let there = there.iter().filter(|directory| directory.join("head").exists());
        let there: Vec<_> = there.collect();
        if there.is_empty() {
            break;
        }
        for directory in there {
            let head = fs::read(directory.join("head")).unwrap();
            let mut storage = Storage { head, objects: BTreeMap::new() };
            for entry in object::head(&storage.head).entries {
                for needed in entry.needs.iter().flat_map(needed) {
                    let name = object::name(needed);
                    let bytes = fs::read(directory.join("objects").join(&name)).unwrap();
                    storage.objects.insert(name, bytes);
                }
            }
            let expected = golden_file::expected(directory);
            let head = object::head(&storage.head);
            assert_eq!(head.entries.len(), expected.len());
            for entry in &head.entries {
                let (manifest, states) = read(&storage, entry.object);
                let found = contents::point(manifest_to_json(&manifest), states_to_json(&manifest, &states));
                let id = entry.object.0;
                assert_eq!(golden_file::brief(&found), expected[&id], "{}, checkpoint {id}", directory.display());
                check_entry(&storage, entry, &manifest);
                *versions.entry(manifest.version).or_insert(0) += 1;
            }
        }
    }
    assert!(versions.len() > 1, "{versions:?}");
}

#[test]
fn columns_of_every_form_are_among_what_is_read() {
    let (storage, _) = written(of_bulk);
    let head = object::head(&storage.head);
    let mut base_pages = 0;
    for entry in &head.entries {
        base_pages += read(&storage, entry.object).0.base_pages.len();
    }
    assert!(base_pages > 0);
    let seen = seen::seen();
    let kinds =
        (0..4).flat_map(|kind| ["columns", "shared plan", "own plan"].map(|what| format!("{what} of kind {kind}")));
    let functions = (0..10).map(|function| format!("columns of accumulator {function}"));
    let codecs = (1..4).map(|codec| format!("codec {codec}"));
    for what in kinds.chain(functions).chain(codecs).chain(EVERYTHING.map(String::from)) {
        assert!(seen.contains_key(&what), "{what} is not among it: {seen:#?}");
    }
}

#[test]
fn what_an_adversary_changes_has_quotients_and_own_widths() {
    // As `damage_columns.rs` makes it: the checkpoint whose every bit is changed, and one of shared plans.
    for (divisor, number) in [(16, 3), (1, 0)] {
        let (storage, _) = written(|backend| of_bulk_divided(backend, divisor));
        let object = object::head(&storage.head).entries[number].object;
        let manifest = manifest(&storage, object);
        let before = seen::seen();
        for (state, section, plan) in manifest.sections_with_states().filter(|(_, section, _)| section.object == object)
        {
            let plan = plan.map(|plan| object::plan(&storage, &manifest.plans[plan as usize]));
            object::rows(&storage, section, plan.as_ref(), manifest.states[state as usize].kind);
        }
        for what in ["codes", "quotients", "errors of quotients", "plain, own widths"] {
            assert!(seen::seen().get(what) > before.get(what), "{what} is not in checkpoint {number}");
        }
    }
}

/// What a plan can say.
const EVERYTHING: [&str; 28] = [
    "plain",
    "delta",
    "delta of delta",
    "runs",
    "plain, own widths",
    "delta, own widths",
    "delta of delta, own widths",
    "scale",
    "patches",
    "scaled doubles",
    "shuffled doubles",
    "direct",
    "codes",
    "under",
    "quotients",
    "errors of quotients",
    "along",
    "along a column of another table",
    "aligned",
    "not aligned",
    "direct, kinds",
    "dictionary, kinds",
    "dictionary of integers",
    "dictionary of doubles",
    "dictionary of byte strings",
    "shape bytes",
    "shape words",
    "shape values",
];

/// What the head says of a checkpoint is what its object says.
/// The objects of a run in a head's entry.
fn needed(&(first, count, generation): &(u64, u64, u64)) -> impl Iterator<Item = ObjectId> + use<> {
    (first..first + count).map(move |id| (id, generation))
}

fn check_entry(storage: &Storage, entry: &object::Entry, manifest: &Manifest) {
    assert_eq!(entry.object_bytes, storage.objects[&object::name(entry.object)].len() as u64);
    assert_eq!((entry.parent, entry.created_ms, &entry.label), (manifest.parent, manifest.created_ms, &manifest.label));
    assert_eq!(entry.sizes, manifest.sizes);
    assert_eq!(manifest.sizes[6], manifest.sections().map(|section| section.raw as u64).sum::<u64>());
    let side = manifest.plans.iter().chain(&manifest.base_pages).chain(&manifest.pages);
    let all = manifest.sections().chain(side);
    let mut needed: Vec<ObjectId> = all.map(|section| section.object).collect();
    needed.push(manifest.object);
    needed.sort_unstable();
    needed.dedup();
    assert_eq!(entry.needs.iter().flat_map(self::needed).collect::<Vec<_>>(), needed);
    // The first checkpoint is free to spend nothing; later ones never owe.
    assert!(manifest.credit >= 0 && manifest.reserve >= 0);
}

#[test]
fn the_storages_have_one_of_everything() {
    let (storage, _) = written(of_holder);
    let head = object::head(&storage.head);
    let (mut pages, mut renewed, mut empty) = (0, 0, 0);
    let (mut codecs, mut forms) = (BTreeMap::new(), [0; 3]);
    for entry in &head.entries {
        let own = |object: ObjectId| object == entry.object;
        let (manifest, _) = read(&storage, entry.object);
        pages += manifest.pages.len();
        empty += manifest.bases.iter().filter(|base| base.section.is_none()).count();
        for (state, section, plan) in manifest.sections_with_states().filter(|(_, section, _)| own(section.object)) {
            *codecs.entry((entry.object.1, section.codec)).or_insert(0) += 1;
            let plan = plan.map(|plan| object::plan(&storage, &manifest.plans[plan as usize]));
            let kind = manifest.states[state as usize].kind;
            rows::forms(&object::rows(&storage, section, plan.as_ref(), kind), &mut forms);
        }
        renewed += usize::from(manifest.bases.iter().any(|base| base.checkpoint == entry.object.0));
    }
    assert!(pages > 0 && renewed > 1 && empty > 0, "{pages} pages, {renewed} with new bases, {empty} empty bases");
    assert!(codecs.contains_key(&(1, 0)) && codecs.contains_key(&(1, 1)), "{codecs:?}");
    assert!(codecs.contains_key(&(2, 0)) && !codecs.contains_key(&(2, 1)), "{codecs:?}");
    assert!(forms.iter().all(|count| *count > 0), "{forms:?}");
    assert!(head.entries.iter().any(|entry| entry.label.is_some()) && head.generation == 2);
}

#[test]
fn keys_of_operators_read_back_and_sort_like_their_values() {
    let (storage, points) = written(of_engine);
    let (manifest, states) = read(&storage, (*points.keys().nth(5).unwrap(), 1));
    let totals = manifest.states.iter().position(|state| state.name == "totals").unwrap();
    let mut found: Vec<Json> = states[totals].keys().map(|key| rows::key(key)[0].clone()).collect();
    // Rows come in the order of their keys' bytes, which is that of the values.
    found.dedup();
    let expected = keys().map(|key| match key {
        Value::Null => Json::Null,
        Value::Bool(bool) => bool.into(),
        Value::Int(int) => int.into(),
        Value::Float(float) => contents::float(float),
        Value::Str(text) => text.as_str().into(),
    });
    assert_eq!(found, expected);
}
