use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn schema(version: u32) -> FrameSchema {
    FrameSchema { name: "tested".into(), version }
}

fn plugin() -> (PluginState, Frames) {
    (PluginState::new(1 << 30), Frames::new(schema(1)))
}

fn frames_of(state: &mut PluginState, frames: &mut Frames, bytes_max: usize) -> Vec<Vec<u8>> {
    let mut handed = Vec::new();
    while let Some(frame) = frames.next_frame(state, bytes_max).unwrap() {
        assert!(frame.len() <= bytes_max);
        handed.push(frame);
    }
    handed
}

fn checkpoint(state: &mut PluginState, frames: &mut Frames, epoch: u64, full: bool) -> Vec<Vec<u8>> {
    frames.begin(state, epoch, full).unwrap();
    let handed = frames_of(state, frames, 4096);
    frames.end(state, epoch, true).unwrap();
    handed
}

fn restored<'a>(chain: impl IntoIterator<Item = &'a Vec<u8>>) -> Result<(PluginState, Frames), FrameError> {
    let (mut state, mut frames) = plugin();
    for frame in chain {
        frames.restore(frame, None)?;
    }
    frames.restore_end(&mut state, None)?;
    Ok((state, frames))
}

fn contents(state: &PluginState) -> Model {
    state.values.iter().map(|(key, value)| (key.to_vec(), value.as_bytes().to_vec())).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, usize),
    Remove(u8),
    Checkpoint { full: bool, bytes_max: usize, durable: bool, after_last: Option<(u8, usize)> },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (any::<u8>(), prop_oneof![4 => 0..30_usize, 1 => 0..3000_usize]);
    let checkpoint = (any::<bool>(), 64..300_usize, prop::bool::weighted(0.7), prop::option::of(change.clone()));
    let step = prop_oneof![
        10 => change.prop_map(|(key, len)| Step::Set(key, len)),
        4 => any::<u8>().prop_map(Step::Remove),
        3 => checkpoint.prop_map(|(full, bytes_max, durable, after_last)| {
            Step::Checkpoint { full, bytes_max, durable, after_last }
        }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..80)
}

/// A key for a number: most of them short, some longer than any frame of these tests.
fn key_of(number: u8) -> Vec<u8> {
    alloc::vec![number; if number.is_multiple_of(16) { 400 } else { usize::from(number % 7) + 1 }]
}

proptest! {
    #[test]
    fn a_restore_gives_the_state_of_the_newest_kept_checkpoint(steps in steps()) {
        let (mut state, mut frames) = plugin();
        let (mut model, mut kept, mut chain) = (Model::new(), None, Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            let epoch = number as u64;
            match step {
                Step::Set(key, len) => {
                    let value = alloc::vec![number as u8; len];
                    state.set(&key_of(key), value.as_slice()).unwrap();
                    model.insert(key_of(key), crate::plugin::encode_value(value.as_slice()).unwrap());
                }
                Step::Remove(key) => {
                    prop_assert_eq!(state.remove(&key_of(key)), model.remove(&key_of(key)).is_some());
                }
                Step::Checkpoint { full, bytes_max, durable, after_last } => {
                    frames.begin(&mut state, epoch, full).unwrap();
                    let at_cut = model.clone();
                    let handed = frames_of(&mut state, &mut frames, bytes_max);
                    if let Some((key, len)) = after_last {
                        let value = alloc::vec![1; len];
                        state.set(&key_of(key), value.as_slice()).unwrap();
                        model.insert(key_of(key), crate::plugin::encode_value(value.as_slice()).unwrap());
                    }
                    frames.end(&mut state, epoch, durable).unwrap();
                    if durable {
                        if full {
                            chain.clear();
                        }
                        chain.extend(handed);
                        kept = Some(at_cut);
                    }
                }
                Step::Restart => {
                    let Some(kept) = &kept else { continue };
                    (state, frames) = restored(&chain).unwrap();
                    model.clone_from(kept);
                }
            }
            prop_assert_eq!(contents(&state), model.clone());
            prop_assert_eq!(state.len(), model.len());
        }
    }

    #[test]
    fn hostile_frames_are_errors_at_most(
        place in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        cut in any::<bool>(),
    ) {
        let (mut state, mut frames) = plugin();
        (0..50_u8).for_each(|key| state.set(&key_of(key), &key).unwrap());
        frames.begin(&mut state, 1, true).unwrap();
        let mut chain = frames_of(&mut state, &mut frames, 128);
        frames.end(&mut state, 1, true).unwrap();
        let frame = &mut chain[place.index(5)];
        let at = at.index(frame.len());
        let end = if cut { frame.len() } else { (at + bytes.len()).min(frame.len()) };
        frame.splice(at..end, bytes.iter().copied());
        let _ = restored(&chain);
        let _ = restored([&bytes]);
    }
}

#[test]
fn a_value_longer_than_a_frame_goes_on_in_the_next() {
    let (mut state, mut frames) = plugin();
    state.set(b"long", [7_u8; 100_000].as_slice()).unwrap();
    let chain = checkpoint(&mut state, &mut frames, 1, true);
    assert!(chain.len() > 20);
    assert_eq!(contents(&restored(&chain).unwrap().0), contents(&state));
}

#[test]
fn what_did_not_change_is_not_handed_out() {
    let (mut state, mut frames) = plugin();
    (0..10_000_u32).for_each(|key| state.set(&key.to_le_bytes(), &key).unwrap());
    assert!(checkpoint(&mut state, &mut frames, 1, false).len() > 10, "the first is full");
    state.set(&7_u32.to_le_bytes(), &0_u32).unwrap();
    let handed = checkpoint(&mut state, &mut frames, 2, false);
    assert!(handed.len() == 1 && handed[0].len() < 30);
    let handed = checkpoint(&mut state, &mut frames, 3, false);
    assert_eq!(handed, [b"EFXF\x01\x02\x03\x02\0".to_vec()]);
}

#[test]
fn the_bytes_are_frozen() {
    let (mut state, mut frames) = plugin();
    state.set(b"k", &300_u32).unwrap();
    let chain = checkpoint(&mut state, &mut frames, 200, true);
    assert_eq!(chain, [b"EFXF\x01\x03\xc8\x01\0\x06tested\x01\x01\x01k\x02\xac\x02".to_vec()]);
    state.remove(b"k");
    let chain = checkpoint(&mut state, &mut frames, 201, false);
    assert_eq!(chain, [b"EFXF\x01\x02\xc9\x01\xc8\x01\0\0\x01k".to_vec()]);
}

#[test]
fn gaps_are_found() {
    let (mut state, mut frames) = plugin();
    (0..2000_u32).for_each(|key| state.set(&key.to_le_bytes(), &key).unwrap());
    let first = checkpoint(&mut state, &mut frames, 1, true);
    state.set(b"a", &1).unwrap();
    let second = checkpoint(&mut state, &mut frames, 2, false);
    state.set(b"b", &1).unwrap();
    let third = checkpoint(&mut state, &mut frames, 3, false);
    assert!(first.len() > 2 && second.len() == 1 && third.len() == 1);
    let gap = |chain: &[&Vec<u8>]| assert!(matches!(restored(chain.iter().copied()), Err(FrameError::ChainGap(_))));
    let whole: Vec<&Vec<u8>> = first.iter().chain(&second).chain(&third).collect();
    assert!(restored(whole.iter().copied()).is_ok());
    for missing in 0..whole.len() - 1 {
        let rest = whole.iter().enumerate().filter(|(at, _)| *at != missing);
        gap(&rest.map(|(_, frame)| *frame).collect::<Vec<_>>());
    }
    gap(&whole[..2]);
    gap(&[]);
    gap(&[&second[0]]);
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    gap(&swapped);
    let mut twice = whole.clone();
    twice.push(whole[whole.len() - 1]);
    gap(&twice);
}

#[test]
fn a_full_checkpoint_needs_nothing_before_it() {
    let (mut state, mut frames) = plugin();
    state.set(b"a", &1).unwrap();
    let mut chain = checkpoint(&mut state, &mut frames, 1, true);
    state.remove(b"a");
    state.set(b"b", &2).unwrap();
    chain.extend(checkpoint(&mut state, &mut frames, 2, true));
    assert_eq!(contents(&restored(&chain).unwrap().0), contents(&state));
    assert_eq!(contents(&restored(&chain[1..]).unwrap().0), contents(&state));
}

#[test]
fn a_failed_restore_changes_nothing() {
    let (mut state, mut frames) = plugin();
    state.set(b"a", &1).unwrap();
    let mut chain = checkpoint(&mut state, &mut frames, 1, true);
    chain[0].push(9);
    let (mut other, mut frames) = plugin();
    other.set(b"mine", &2).unwrap();
    assert!(matches!(frames.restore(&chain[0], None), Err(FrameError::Corrupt(_))));
    assert!(matches!(frames.restore_end(&mut other, None), Err(FrameError::ChainGap(_))));
    assert_eq!(other.get::<i32>(b"mine"), Ok(Some(2)));
}

struct Doubled;

impl FrameMigration for Doubled {
    fn reads(&self, found: &FrameSchema) -> bool {
        *found == schema(1)
    }

    fn migrate(&self, _: &FrameSchema, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match key {
            b"gone" => Ok(None),
            b"bad" => Err("it is bad".into()),
            _ => Ok(Some([value, value].concat())),
        }
    }
}

#[test]
fn an_older_schema_is_migrated_and_the_next_checkpoint_is_full() {
    let (mut old, mut frames) = plugin();
    old.set(b"a", &1_u8).unwrap();
    old.set(b"gone", &1_u8).unwrap();
    let mut chain = checkpoint(&mut old, &mut frames, 1, true);
    let (mut state, mut frames) = (PluginState::new(1 << 20), Frames::new(schema(2)));
    assert!(matches!(frames.restore(&chain[0], None), Err(FrameError::Schema(_))));
    frames.restore(&chain[0], Some(&Doubled)).unwrap();
    frames.restore_end(&mut state, Some(&Doubled)).unwrap();
    assert_eq!(contents(&state), Model::from([(b"a".to_vec(), alloc::vec![1, 1])]));
    // The host need not know: frames of the old schema, then those of the new one.
    chain.extend(checkpoint(&mut state, &mut frames, 2, false));
    let (mut again, mut frames) = (PluginState::new(1 << 20), Frames::new(schema(2)));
    chain.iter().for_each(|frame| frames.restore(frame, Some(&Doubled)).unwrap());
    frames.restore_end(&mut again, Some(&Doubled)).unwrap();
    assert_eq!(contents(&again), contents(&state));

    old.set(b"bad", &1_u8).unwrap();
    let mut old_frames = Frames::new(schema(1));
    let chain = checkpoint(&mut old, &mut old_frames, 1, true);
    frames.restore(&chain[0], Some(&Doubled)).unwrap();
    assert!(matches!(frames.restore_end(&mut again, Some(&Doubled)), Err(FrameError::Schema(_))));
    assert_eq!(contents(&again), contents(&state));
}

#[test]
fn calls_out_of_order_are_refused() {
    let (mut state, mut frames) = plugin();
    assert_eq!(frames.next_frame(&mut state, 4096), Err(Error::NoCheckpointUnderWay.into()));
    assert_eq!(frames.end(&mut state, 1, true), Err(Error::NoCheckpointUnderWay.into()));
    frames.begin(&mut state, 1, true).unwrap();
    assert_eq!(frames.begin(&mut state, 2, true), Err(Error::CheckpointUnderWay.into()));
    assert!(frames.end(&mut state, 1, true).is_err(), "frames are left");
    assert!(frames.end(&mut state, 2, false).is_err(), "another one");
    assert!(frames.next_frame(&mut state, 63).is_err(), "too short for a header");
    frames.end(&mut state, 1, false).unwrap();
}

#[test]
fn the_budget_holds() {
    let mut state = PluginState::new(100_000);
    let stored = (0_u32..).take_while(|key| state.set(&key.to_le_bytes(), &[0_u8; 32]).is_ok()).count();
    assert!(stored > 500 && state.size_bytes() <= 100_000);
    let refused = state.set(&(stored as u32).to_le_bytes(), &[0_u8; 32]);
    assert!(matches!(refused, Err(Error::OverBudget { .. })));
    assert_eq!((state.set(&0_u32.to_le_bytes(), &[1_u8; 32]), state.len()), (Ok(()), stored));
}
