//! Declaring the states of a holder.

use alloc::string::String;
use alloc::vec::Vec;

use super::any::StateMap;
use super::holder::{StateHolder, VALUES};
use crate::checkpoint::Lineage;
use crate::error::{Error, Result};
use crate::format::manifest::{StateDescriptor, StateKind};
use crate::limits::{KEY_GROUPS_DEFAULT, KEY_GROUPS_MAX, STATES_MAX};
use crate::tracked::Clock;

/// Declares the states of a [`StateHolder`].
#[derive(Debug)]
pub struct StateHolderBuilder {
    id: String,
    key_groups: u16,
    budget: Option<usize>,
    descriptors: Vec<StateDescriptor>,
}

impl StateHolderBuilder {
    pub(super) fn new(id: String) -> Self {
        let values = StateDescriptor::new(VALUES, StateKind::Values, 1, "");
        StateHolderBuilder { id, key_groups: KEY_GROUPS_DEFAULT, budget: None, descriptors: alloc::vec![values] }
    }

    /// Number of key groups; [`KEY_GROUPS_DEFAULT`] unless set. A restore takes the checkpoint's.
    #[must_use]
    pub fn key_groups(mut self, key_groups: u16) -> Self {
        self.key_groups = key_groups;
        self
    }

    /// Most bytes of memory the states may take.
    #[must_use]
    pub fn budget_bytes(mut self, budget: usize) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Version and description of the schema of the plain values.
    #[must_use]
    pub fn values_schema(mut self, version: u32, description: &str) -> Self {
        self.descriptors[0] = StateDescriptor::new(VALUES, StateKind::Values, version, description);
        self
    }

    /// Declares a state.
    #[must_use]
    pub fn state(mut self, descriptor: StateDescriptor) -> Self {
        self.descriptors.push(descriptor);
        self
    }

    /// The holder, empty.
    ///
    /// # Errors
    /// [`Error::Definition`] for a name used twice or a number of key groups that is 0;
    /// [`Error::OverLimit`] for too many states or key groups.
    pub fn build(self) -> Result<StateHolder> {
        if self.key_groups == 0 {
            return Err(Error::definition("key_groups", "must be at least 1"));
        }
        let over =
            |what, found: usize, limit: usize| Err(Error::OverLimit { what, found: found as u64, limit: limit as u64 });
        if self.key_groups > KEY_GROUPS_MAX {
            return over("number of key groups", self.key_groups.into(), KEY_GROUPS_MAX.into());
        }
        if self.descriptors.len() > STATES_MAX {
            return over("number of states", self.descriptors.len(), STATES_MAX);
        }
        for (at, descriptor) in self.descriptors.iter().enumerate() {
            if self.descriptors[..at].iter().any(|other| other.name == descriptor.name) {
                return Err(Error::definition("state", alloc::format!("the name `{}` is used twice", descriptor.name)));
            }
        }
        let maps = self.descriptors.iter().map(|descriptor| StateMap::new(descriptor.kind, self.key_groups)).collect();
        Ok(StateHolder {
            id: self.id,
            key_groups: self.key_groups,
            budget: self.budget,
            descriptors: self.descriptors,
            maps,
            clock: Clock::new(),
            lineage: Lineage::default(),
            under_way: None,
            driven: false,
            unresumed: false,
            scratch: Vec::new(),
        })
    }
}
