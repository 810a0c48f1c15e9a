//! Which events meet which conditions.

use core::cmp::Ordering;

use eventflux_core::definition::{Comparison, Condition, Operand, Test};
use eventflux_core::{Event, Value};

use super::values::compare;

/// Names of the stream's fields.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [&'a str]);

impl Fields<'_> {
    pub fn value<'e>(self, event: &'e Event, field: &str) -> &'e Value {
        let place = self.0.iter().position(|name| *name == field).unwrap();
        &event.values[place]
    }
}

/// `taken` are the steps of a partial match: names, and events that fitted.
pub fn all_hold(conditions: &[Condition], fields: Fields, event: &Event, taken: &[(&str, &Event)]) -> bool {
    conditions.iter().all(|condition| {
        let value = fields.value(event, &condition.field);
        match &condition.test {
            Test::Null(null) => matches!(value, Value::Null) == *null,
            Test::In(values) => values.iter().any(|other| compare(value, other) == Some(Ordering::Equal)),
            Test::Compare { comparison, operand } => {
                let other = match operand {
                    Operand::Value(value) => value,
                    Operand::Step { step, field } => {
                        let (_, event) = taken.iter().find(|(name, _)| name == step).unwrap();
                        fields.value(event, field)
                    }
                };
                compare(value, other).is_some_and(|order| fits(*comparison, order))
            }
        }
    })
}

fn fits(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Eq => order == Ordering::Equal,
        Comparison::Ne => order != Ordering::Equal,
        Comparison::Lt => order == Ordering::Less,
        Comparison::Le => order != Ordering::Greater,
        Comparison::Gt => order == Ordering::Greater,
        Comparison::Ge => order != Ordering::Less,
    }
}
