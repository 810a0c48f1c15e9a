//! Conditions, resolved to places in the event.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::definition::{Comparison, Condition, Operand, PatternStep, Test};
use crate::value::{Event, Value};

#[derive(Debug)]
pub(super) struct Check {
    field: usize,
    test: ResolvedTest,
}

#[derive(Debug)]
enum ResolvedTest {
    Compare(Comparison, Value),
    /// Against a field of the event that an earlier step took.
    CompareStep(Comparison, usize, usize),
    In(Vec<Value>),
    Null(bool),
}

impl Check {
    /// Resolves conditions; `earlier` are the steps they may refer to.
    pub(super) fn all(conditions: &[Condition], earlier: &[PatternStep], place: &dyn Fn(&str) -> usize) -> Vec<Check> {
        let resolve = |condition: &Condition| {
            let test = match &condition.test {
                Test::Compare { comparison, operand: Operand::Value(value) } => {
                    ResolvedTest::Compare(*comparison, value.clone())
                }
                Test::Compare { comparison, operand: Operand::Step { step, field } } => {
                    let step = earlier.iter().position(|other| other.name == *step).unwrap_or(usize::MAX);
                    ResolvedTest::CompareStep(*comparison, step, place(field))
                }
                Test::In(values) => ResolvedTest::In(values.clone()),
                Test::Null(null) => ResolvedTest::Null(*null),
            };
            Check { field: place(&condition.field), test }
        };
        conditions.iter().map(resolve).collect()
    }

    /// Whether it holds for an event, given the events of the steps before.
    pub(super) fn holds(&self, event: &Event, earlier: &[Event]) -> bool {
        let value = event.values.get(self.field).unwrap_or(&Value::Null);
        match &self.test {
            ResolvedTest::Compare(comparison, operand) => compare(*comparison, value, operand),
            ResolvedTest::CompareStep(comparison, step, field) => {
                let operand = earlier.get(*step).and_then(|event| event.values.get(*field));
                operand.is_some_and(|operand| compare(*comparison, value, operand))
            }
            ResolvedTest::In(values) => values.iter().any(|other| value.compare(other) == Some(Ordering::Equal)),
            ResolvedTest::Null(null) => value.is_null() == *null,
        }
    }

    /// Whether it may hold for an event, whatever the steps before took.
    pub(super) fn may_hold(&self, event: &Event) -> bool {
        matches!(self.test, ResolvedTest::CompareStep(..)) || self.holds(event, &[])
    }
}

/// Nulls and different kinds do not compare: no condition holds of them, `ne` neither.
fn compare(comparison: Comparison, value: &Value, operand: &Value) -> bool {
    let Some(order) = value.compare(operand) else { return false };
    match comparison {
        Comparison::Eq => order.is_eq(),
        Comparison::Ne => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::Le => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::Ge => order.is_ge(),
    }
}
