//! A plugin in the state of its operator: the component, what it says of itself, and the frames it handed out.
//!
//! Plain keyed values, so that a checkpoint of a plugin is one of the application: tracked, compressed, compacted,
//! copied and verified as all state is. Keys: `component`, `plugin`, and `frame` with the numbers of epoch and frame,
//! big-endian, so that sorted frames are in the order in which they were handed out.
//!
//! Invariants:
//! - the frames are those of the last full checkpoint of the plugin and of all that followed it, complete;
//! - `plugin` tells how many frames each epoch has, so that one missing is damage, never a smaller state.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::guest::GuestDescription;
use crate::error::{Error, Result};
use crate::format::{append, read_all};
use crate::state::PlainValue;
use crate::tracked::TrackedMap;

const COMPONENT: &[u8] = b"component";
const PLUGIN: &[u8] = b"plugin";
const FRAME: &[u8] = b"frame";

/// Epochs and bytes go no further: there is room to add to them.
const NUMBER_MAX: u64 = 1 << 62;

/// What is known of the plugin whose frames are stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// SHA-256 of the component.
    pub(crate) digest: [u8; 32],
    /// The configuration it was started with.
    pub(crate) config: String,
    pub(crate) description: GuestDescription,
    /// Epochs since the last full one, with the number of their frames, oldest first.
    pub(crate) epochs: Vec<(u64, u32)>,
    /// Bytes of the frames of the full one.
    pub(crate) full_bytes: u64,
    /// Bytes of the frames since.
    pub(crate) change_bytes: u64,
    /// Of a plugin that was detached: the event at which, and why.
    pub(crate) detached: Option<(u64, String)>,
}

fn frame_key(epoch: u64, number: u32) -> [u8; 17] {
    let mut key = [0; 17];
    let (prefix, numbers) = key.split_at_mut(FRAME.len());
    prefix.copy_from_slice(FRAME);
    numbers[..8].copy_from_slice(&epoch.to_be_bytes());
    numbers[8..].copy_from_slice(&number.to_be_bytes());
    key
}

impl Stored {
    /// What a state holds; `None` if it is empty.
    pub(crate) fn read(state: &TrackedMap<PlainValue>, operator: &str) -> Result<Option<Self>> {
        let Some(value) = state.get(PLUGIN) else { return Ok(None) };
        let stored: Stored = read_all(value.as_bytes()).map_err(|malformed| damaged(operator, malformed.reason()))?;
        let rise = stored.epochs.is_sorted_by(|(before, _), (after, _)| before < after);
        if !rise || stored.epoch() > NUMBER_MAX || stored.full_bytes.max(stored.change_bytes) > NUMBER_MAX {
            return Err(damaged(operator, "numbers of its checkpoints are out of order or range"));
        }
        Ok(Some(stored))
    }

    pub(crate) fn write(&self, state: &mut TrackedMap<PlainValue>) -> Result<()> {
        let mut bytes = Vec::new();
        append(&mut bytes, self);
        state.set(PLUGIN, PlainValue::new(&bytes))
    }

    /// The epoch of the newest frames; 0 before the first.
    pub(crate) fn epoch(&self) -> u64 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Adds the frames of an epoch; those of a full one take the place of all before.
    pub(crate) fn take_frames(
        &mut self,
        state: &mut TrackedMap<PlainValue>,
        epoch: u64,
        full: bool,
        frames: &[Vec<u8>],
    ) -> Result<()> {
        for (number, frame) in (0..).zip(frames) {
            state.set(&frame_key(epoch, number), PlainValue::new(frame))?;
        }
        let bytes = frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        if full {
            for (old, count) in self.epochs.drain(..) {
                (0..count).for_each(|number| _ = state.remove(&frame_key(old, number)));
            }
            (self.full_bytes, self.change_bytes) = (bytes, 0);
        } else {
            self.change_bytes += bytes;
        }
        self.epochs.push((epoch, frames.len() as u32));
        self.write(state)
    }

    /// Hands over the frames, in the order in which they were handed out.
    pub(crate) fn for_each_frame<E: From<Error>>(
        &self,
        state: &TrackedMap<PlainValue>,
        operator: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (epoch, count) in &self.epochs {
            for number in 0..*count {
                let frame = state.get(&frame_key(*epoch, number));
                let frame = frame.ok_or_else(|| damaged(operator, "a frame of its checkpoint is missing"))?;
                each(frame.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The component that wrote the frames.
    pub(crate) fn component<'s>(&self, state: &'s TrackedMap<PlainValue>, operator: &str) -> Result<&'s [u8]> {
        let component = state.get(COMPONENT).map(PlainValue::as_bytes);
        component.ok_or_else(|| damaged(operator, "the component that wrote it is missing"))
    }

    /// Stores the component.
    pub(crate) fn set_component(state: &mut TrackedMap<PlainValue>, bytes: &[u8]) -> Result<()> {
        if state.get(COMPONENT).is_some_and(|held| held.as_bytes() == bytes) {
            return Ok(());
        }
        state.set(COMPONENT, PlainValue::new(bytes))
    }
}

/// Whether a state of this description is kept of a plugin.
pub(crate) fn is_description(description: &str) -> bool {
    description.ends_with(",\"plugin\":true}")
}

/// A key as people read it: `frame 3.0`.
pub(crate) fn key_to_text(key: &[u8]) -> Option<String> {
    let numbers = key.strip_prefix(FRAME)?;
    let (epoch, number) = numbers.split_at_checked(8)?;
    let epoch = u64::from_be_bytes(epoch.try_into().ok()?);
    let number = u32::from_be_bytes(number.try_into().ok()?);
    Some(format!("frame {epoch}.{number}"))
}

/// What is stored under a key, without the bytes that only the plugin understands: those may be any, such as a record.
pub(crate) fn value_to_json(key: &[u8], value: &[u8]) -> Json {
    let stored = if key == PLUGIN { read_all::<Stored>(value).ok() } else { None };
    let Some(stored) = stored else { return json!({ "bytes": value.len() }) };
    let digest: String = stored.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let Stored { description, config, full_bytes, change_bytes, detached, .. } = stored;
    let frames: u64 = stored.epochs.iter().map(|(_, frames)| u64::from(*frames)).sum();
    let mut json = json!({
        "name": description.name, "version": description.version,
        "schema": description.schema.name, "schema_version": description.schema.version,
        "sha256": digest, "config": config, "frames": frames, "full_bytes": full_bytes, "change_bytes": change_bytes,
    });
    if let Some((event, reason)) = detached {
        json["detached"] = json!({ "event": event, "reason": reason });
    }
    json
}

fn damaged(operator: &str, reason: impl Into<String>) -> Error {
    Error::damaged(operator, "state of the plugin", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateHolder;
    use crate::format::manifest::{StateDescriptor, StateKind};
    use crate::tracked::Clock;

    /// A frame may be any bytes, such as those of the record.
    #[test]
    fn only_the_record_is_shown_as_one() {
        let descriptor = StateDescriptor::new("", StateKind::Values, 1, r#"{"name":"p","plugin":true}"#);
        let mut holder = StateHolder::builder("h").values_descriptor(descriptor).build().unwrap();
        let mut bytes = Vec::new();
        append(&mut bytes, &Stored::default());
        for key in [PLUGIN, COMPONENT, &frame_key(1, 0)] {
            holder.set_encoded(key, &bytes).unwrap();
        }
        for (key, value) in crate::contents(&holder).unwrap().remove(0).rows {
            assert_eq!(value.get("sha256").is_some(), key == "plugin", "{key}: {value}");
        }
    }

    #[test]
    fn numbers_out_of_order_or_range_are_damage() {
        let read = |stored: Stored| {
            let mut state = TrackedMap::new(4, Clock::new());
            stored.write(&mut state).unwrap();
            Stored::read(&state, "p").map(|read| read.is_some())
        };
        assert_eq!(read(Stored { epochs: alloc::vec![(3, 1), (4, 0)], ..Stored::default() }), Ok(true));
        for epochs in [alloc::vec![(4, 1), (3, 1)], alloc::vec![(3, 1), (3, 1)], alloc::vec![(u64::MAX, 1)]] {
            assert!(read(Stored { epochs, ..Stored::default() }).is_err());
        }
        assert!(read(Stored { change_bytes: u64::MAX, ..Stored::default() }).is_err());
        assert!(read(Stored { full_bytes: u64::MAX, ..Stored::default() }).is_err());
    }
}
