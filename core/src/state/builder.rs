//! Declaring the states of a holder.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::type_name;

use serde::de::DeserializeOwned;

use super::any::StateMap;
use super::holder::{StateHolder, VALUES};
use crate::checkpoint::Lineage;
use crate::error::{Error, Result};
use crate::format::manifest::{StateDescriptor, StateKind};
use crate::limits::{KEY_GROUPS_DEFAULT, KEY_GROUPS_MAX, STATES_MAX};
use crate::schema::Schema;
use crate::tracked::Clock;

/// Declares the states of a [`StateHolder`].
#[derive(Debug)]
pub struct StateHolderBuilder {
    id: String,
    key_groups: u16,
    budget: Option<usize>,
    descriptors: Vec<StateDescriptor>,
    /// Why the type of the plain values cannot be described.
    undescribed: Option<Error>,
}

impl StateHolderBuilder {
    pub(super) fn new(id: String) -> Self {
        let values = StateDescriptor::new(VALUES, StateKind::Values, 1, "");
        StateHolderBuilder {
            id,
            key_groups: KEY_GROUPS_DEFAULT,
            budget: None,
            descriptors: alloc::vec![values],
            undescribed: None,
        }
    }

    /// Number of key groups; [`KEY_GROUPS_DEFAULT`] unless set. A restore takes the checkpoint's.
    #[must_use]
    pub fn key_groups(mut self, key_groups: u16) -> Self {
        self.key_groups = key_groups;
        self
    }

    /// Most bytes of memory the states may take: what is written past it is refused. A restore is not, since what it
    /// brings back was taken once.
    #[must_use]
    pub fn budget_bytes(mut self, budget: usize) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Version and description of the schema of the plain values, in words of your own; or in those of
    /// `FORMAT.md`, for a type that [`values_of`](Self::values_of) cannot describe.
    #[must_use]
    pub fn values_schema(mut self, version: u32, description: &str) -> Self {
        self.descriptors[0] = StateDescriptor::new(VALUES, StateKind::Values, version, description);
        self.undescribed = None;
        self
    }

    /// The plain values as a checkpoint has them.
    pub(crate) fn values_descriptor(mut self, values: StateDescriptor) -> Self {
        self.descriptors[0] = values;
        self
    }

    /// All plain values are of type `T`: checkpoints then carry its schema, tools show the values without the program,
    /// and a restore into a program in which fields, variants or their types have changed is
    /// [`Error::StateChanged`], which names what differs. Values of several types: make one enum of them.
    ///
    /// The schema is found out from `T`'s `Deserialize`, once, by giving it made-up values, so that it is what
    /// [`StateHolder::get`] reads, with all attributes of serde. Names of types are no part of it. `version` is for
    /// changes that it does not show, such as another unit. Values of an older type become those of the present one with
    /// [`MigrateValues`](crate::MigrateValues).
    ///
    /// ```
    /// use eventflux_core::StateHolder;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Order {
    ///     customer: String,
    ///     paid: Option<Payment>,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Payment {
    ///     Cash,
    ///     Card { number: u64 },
    /// }
    ///
    /// # fn main() -> eventflux_core::Result<()> {
    /// let mut orders = StateHolder::builder("orders").values_of::<Order>(1).build()?;
    /// orders.set("4711", &Order { customer: "Ada".into(), paid: Some(Payment::Card { number: 42 }) })?;
    ///
    /// let shown = &eventflux_core::contents(&orders)?[0]; // as of a checkpoint that `inspect` opens
    /// let (key, value) = &shown.rows[0];
    /// assert_eq!(key.to_string(), r#""4711""#);
    /// assert_eq!(value.to_string(), r#"{"customer":"Ada","paid":{"Card":{"number":42}}}"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`build`](Self::build) answers [`Error::Definition`] for a type that cannot be described: one that asks what
    /// comes next (untagged and internally tagged enums, flattened fields), which cannot be read back either, one with
    /// aliases of fields or variants, whose names serde does not tell apart, or one that refuses all the values it was
    /// given. For the latter two there is [`values_schema`](Self::values_schema). An enum that has `serde(other)` beside
    /// aliases is described with wrong names: do without one of them. Plain values have all their fields, whatever they
    /// are: what `skip_serializing_if` leaves out cannot be read back.
    #[must_use]
    pub fn values_of<T: DeserializeOwned>(mut self, version: u32) -> Self {
        match Schema::describe::<T>() {
            Ok(description) => self.values_schema(version, &description),
            Err(reason) => {
                let reason = format!("`{}` cannot be described: {reason}", type_name::<T>());
                self.undescribed = Some(Error::definition("values", reason));
                self
            }
        }
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
    /// [`Error::Definition`] for a name used twice or empty, a number of key groups that is 0, or a type of plain values
    /// that cannot be described;
    /// [`Error::OverLimit`] for too many states or key groups.
    pub fn build(self) -> Result<StateHolder> {
        if let Some(error) = self.undescribed {
            return Err(error);
        }
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
        for (at, descriptor) in self.descriptors.iter().enumerate().skip(1) {
            if descriptor.name.is_empty() {
                return Err(Error::definition(
                    "state",
                    "a state that is declared has a name; that of plain values has none",
                ));
            }
            if self.descriptors[..at].iter().any(|other| other.name == descriptor.name) {
                return Err(Error::definition("state", format!("the name `{}` is used twice", descriptor.name)));
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
            shrunk: 0,
            cuts: 0,
            driven: false,
            unresumed: false,
            scratch: Vec::new(),
        })
    }
}
