//! Looking into checkpoints without the program that wrote them.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value as Json;

use crate::error::Result;
use crate::format::manifest::{Manifest, StateDescriptor};
use crate::plugin::stored::{self, Stored};
use crate::state::describe::Describer;
use crate::state::{StateHolder, StateMap};

/// One state of a checkpoint, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct StateContents {
    /// The state as the checkpoint records it.
    pub descriptor: StateDescriptor,
    /// Keys with their values, in the order of the keys.
    pub rows: Vec<(Json, Json)>,
}

/// A key on which two checkpoints differ.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDifference {
    /// Name of the state.
    pub state: String,
    /// The key.
    pub key: Json,
    /// Its value in the first, if it is there.
    pub before: Option<Json>,
    /// Its value in the second, if it is there.
    pub after: Option<Json>,
}

impl StateHolder {
    /// A holder that declares what a checkpoint has, to look into it.
    ///
    /// # Errors
    /// As [`StateHolderBuilder::build`](crate::StateHolderBuilder::build).
    pub fn for_manifest(manifest: &Manifest) -> Result<StateHolder> {
        let mut builder = StateHolder::builder(manifest.holder.clone()).key_groups(manifest.key_groups);
        for (at, state) in manifest.states.iter().enumerate() {
            builder = if at == 0 { builder.values_descriptor(state.clone()) } else { builder.state(state.clone()) };
        }
        builder.build()
    }

    /// Names of operators whose plugins failed for good and got no event any more.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if what is known of a plugin does not decode.
    pub fn detached_plugins(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (descriptor, map) in self.states().iter().zip(self.maps()) {
            if let StateMap::Values(state) = map
                && stored::is_description(&descriptor.description)
                && Stored::read(state, &descriptor.name)?.is_some_and(|stored| stored.detached.is_some())
            {
                names.push(descriptor.name.clone());
            }
        }
        Ok(names)
    }
}

/// All states of a holder as JSON.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if a row does not decode.
pub fn contents(holder: &StateHolder) -> Result<Vec<StateContents>> {
    let mut states = Vec::new();
    for (descriptor, map) in holder.states().iter().zip(holder.maps()) {
        let mut rows = Vec::with_capacity(map.any().len());
        let mut failed = None;
        let describer = Describer::new(descriptor);
        map.any().for_each_whole(&mut |key, whole| match describer.value(key, whole) {
            Ok(value) => rows.push((describer.key(key), value)),
            Err(malformed) => failed = Some(malformed),
        });
        if let Some(malformed) = failed {
            return Err(malformed.at(holder.id(), descriptor.name.clone()));
        }
        states.push(StateContents { descriptor: descriptor.clone(), rows });
    }
    Ok(states)
}

/// Keys on which two holders differ, by state, then key.
///
/// # Errors
/// As [`contents`].
pub fn difference(before: &StateHolder, after: &StateHolder) -> Result<Vec<KeyDifference>> {
    /// Keys, whether it is the second that has them, and the values there.
    type Rows = Vec<(Vec<u8>, bool, Vec<u8>)>;
    /// A state, and what shows its rows in the first and in the second: its schema may have changed in between.
    type Both = (String, Option<Describer>, Option<Describer>, Rows);
    let mut states: Vec<Both> = Vec::new();
    for (holder, second) in [(before, false), (after, true)] {
        for (descriptor, map) in holder.states().iter().zip(holder.maps()) {
            let at = states.iter().position(|(name, ..)| *name == descriptor.name).unwrap_or_else(|| {
                states.push((descriptor.name.clone(), None, None, Rows::new()));
                states.len() - 1
            });
            let (_, of_first, of_second, rows) = &mut states[at];
            *(if second { of_second } else { of_first }) = Some(Describer::new(descriptor));
            map.any().for_each_whole(&mut |key, whole| rows.push((key.to_vec(), second, whole.to_vec())));
        }
    }
    let mut differences = Vec::new();
    for (state, of_first, of_second, mut rows) in states {
        rows.sort_unstable();
        let to_json = |describer: &Option<Describer>, key: &[u8], whole: Option<&[u8]>| {
            let json = describer.as_ref().zip(whole).map(|(describer, whole)| describer.value(key, whole)).transpose();
            json.map_err(|malformed| malformed.at("checkpoint", state.clone()))
        };
        for row in rows.chunk_by(|one, other| one.0 == other.0) {
            let value = |second| row.iter().find(|row| row.1 == second).map(|row| row.2.as_slice());
            let (old, new) = (value(false), value(true));
            if old != new {
                let Some(describer) = of_first.as_ref().or(of_second.as_ref()) else { continue };
                let key = &row[0].0;
                differences.push(KeyDifference {
                    state: state.clone(),
                    key: describer.key(key),
                    before: to_json(&of_first, key, old)?,
                    after: to_json(&of_second, key, new)?,
                });
            }
        }
    }
    Ok(differences)
}
