//! Splits and chains of pages while a checkpoint is under way: many keys, some made to collide, against a plain map.

use std::collections::BTreeMap;

use crate::common::random::Random;
use eventflux_core::{
    CheckpointRequest, Compression, MemoryBackend, OpenWriter, Publish, Restore, RestoreOptions, Retention, Selector,
    StateHolder, Writer, drive,
};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys, the first of which agree in the low bits of their hash: more of them than a page and its splits can take.
fn keys() -> Vec<Vec<u8>> {
    let all = (0_u64..).map(|number| number.to_le_bytes().to_vec());
    let collide = all.clone().filter(|key| xxhash_rust::xxh3::xxh3_64(key) & 0x1fff == 77).take(150);
    collide
        .chain(all.take(1500).map(|mut key| {
            key.resize(8 + key[0] as usize % 30, 7);
            key
        }))
        .collect()
}

fn map_of(holder: &StateHolder) -> Map {
    holder.values().iter().map(|(key, value)| (key.to_vec(), value.as_bytes().to_vec())).collect()
}

fn builder(groups: u16) -> StateHolder {
    StateHolder::builder("many").key_groups(groups).build().unwrap()
}

fn publish(storage: &mut MemoryBackend, writer: &mut Writer, holder: &mut StateHolder) {
    let capture = holder.take_capture().unwrap();
    let mut encoded = capture.into_object(writer.next_object(), Compression::Lz4).unwrap();
    drive(Publish::new(writer, &mut encoded, Retention { max_retained: 2 }).unwrap(), storage).unwrap();
    holder.commit(&encoded).unwrap();
}

#[test]
fn splits_and_chains_during_checkpoints() {
    let keys = keys();
    for seed in 0..12 {
        let mut numbers = Random::new(seed);
        let groups = [1, 2, 7][seed as usize % 3];
        let (mut storage, mut holder, mut map) = (MemoryBackend::new(), builder(groups), Map::new());
        let mut writer = drive(OpenWriter::new(), &mut storage).unwrap();
        let mut cut: Option<Map> = None;
        for round in 0..40 {
            // Growing and shrinking: how many keys are in play, and how often one goes.
            let range = [40, 200, 1650][numbers.below(3) as usize];
            let removes = numbers.below(10);
            for _ in 0..numbers.below(600) {
                let key = &keys[numbers.below(range) as usize];
                if numbers.below(10) < removes {
                    assert_eq!(holder.remove(key).unwrap(), map.remove(key).is_some());
                } else if numbers.below(3) == 0 {
                    let value = vec![round as u8; numbers.below(60) as usize];
                    holder.set_encoded(key, &value).unwrap();
                    map.insert(key.clone(), value);
                } else {
                    let value = numbers.below(1 << 40);
                    holder.set(key, &value).unwrap();
                    map.insert(key.clone(), holder.values().get(key).unwrap().as_bytes().to_vec());
                }
                if cut.is_some() && numbers.below(4) == 0 {
                    holder.step(numbers.below(500) as usize).unwrap();
                }
            }
            assert!(map_of(&holder) == map, "seed {seed}, round {round}");
            assert_eq!(holder.values().len(), map.len());
            match numbers.below(6) {
                0 | 1 if cut.is_none() => {
                    holder.begin(CheckpointRequest::default()).unwrap();
                    cut = Some(map.clone());
                }
                2 if cut.is_some() => {
                    // Sometimes after all of it was captured, and taken.
                    if numbers.below(2) == 0 {
                        holder.take_capture().unwrap();
                    }
                    holder.abort().unwrap();
                    cut = None;
                }
                3 | 4 => {
                    let Some(expected) = cut.take() else { continue };
                    publish(&mut storage, &mut writer, &mut holder);
                    let mut restored = builder(groups);
                    drive(Restore::new(&mut restored, Selector::Latest, RestoreOptions::default()), &mut storage)
                        .unwrap();
                    assert!(map_of(&restored) == expected, "seed {seed}, round {round}");
                    if numbers.below(3) == 0 {
                        (holder, map) = (restored, expected);
                    }
                }
                _ => {}
            }
        }
    }
}
