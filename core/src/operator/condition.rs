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
    /// Against a field of the event that an earlier step took; with what that implies by itself.
    CompareStep(Comparison, usize, usize, Bounds),
    In(Vec<Value>),
    Null(bool),
}

/// Constants that a value certainly lies above or below.
#[derive(Debug, Clone, Default)]
struct Bounds {
    /// With `Gt` or `Ge`.
    low: Option<(Comparison, Value)>,
    /// With `Lt` or `Le`.
    high: Option<(Comparison, Value)>,
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
                    ResolvedTest::CompareStep(*comparison, step, place(field), Bounds::default())
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
            ResolvedTest::CompareStep(comparison, step, field, _) => {
                let operand = earlier.get(*step).and_then(|event| event.values.get(*field));
                operand.is_some_and(|operand| compare(*comparison, value, operand))
            }
            ResolvedTest::In(values) => values.iter().any(|other| value.compare(other) == Some(Ordering::Equal)),
            ResolvedTest::Null(null) => value.is_null() == *null,
        }
    }

    /// Finds out what a comparison with an earlier step implies by itself: what is greater than a
    /// value that had to be above 60 is above 60 too. `checks` gives those of an earlier step.
    pub(super) fn imply<'c>(&mut self, checks: impl Fn(usize) -> &'c [Check]) {
        let ResolvedTest::CompareStep(comparison, step, field, bounds) = &mut self.test else { return };
        for check in checks(*step).iter().filter(|check| check.field == *field) {
            match &check.test {
                ResolvedTest::Compare(earlier, value) => bounds.add(*comparison, *earlier, value),
                ResolvedTest::CompareStep(_, _, _, implied) => {
                    for (earlier, value) in implied.low.iter().chain(&implied.high) {
                        bounds.add(*comparison, *earlier, value);
                    }
                }
                ResolvedTest::In(_) | ResolvedTest::Null(_) => {}
            }
        }
    }

    /// Whether it may hold for an event, whatever the steps before took.
    pub(super) fn may_hold(&self, event: &Event) -> bool {
        match &self.test {
            ResolvedTest::CompareStep(_, _, _, bounds) => {
                let value = event.values.get(self.field).unwrap_or(&Value::Null);
                let mut known = bounds.low.iter().chain(&bounds.high);
                !value.is_null() && known.all(|(comparison, bound)| compare(*comparison, value, bound))
            }
            _ => self.holds(event, &[]),
        }
    }
}

impl Bounds {
    /// Of a value that compares so with an earlier one, which compared so with a constant.
    fn add(&mut self, comparison: Comparison, earlier: Comparison, constant: &Value) {
        use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
        let (low, high) = match (comparison, earlier) {
            (Gt, Gt | Ge | Eq) | (Ge | Eq, Gt) => (Some(Gt), None),
            (Ge, Ge | Eq) | (Eq, Ge) => (Some(Ge), None),
            (Lt, Lt | Le | Eq) | (Le | Eq, Lt) => (None, Some(Lt)),
            (Le, Le | Eq) | (Eq, Le) => (None, Some(Le)),
            (Eq, Eq) => (Some(Ge), Some(Le)),
            (Gt | Ge, Lt | Le | Ne) | (Lt | Le, Gt | Ge | Ne) | (Ne, _) | (Eq, Ne) => (None, None),
        };
        for (bound, found) in [(&mut self.low, low), (&mut self.high, high)] {
            let Some(found) = found else { continue };
            // Of two bounds the tighter one: it is what the other bound does not satisfy by itself.
            if bound.as_ref().is_none_or(|(held, value)| compare(*held, constant, value)) {
                *bound = Some((found, constant.clone()));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Comparison::{Eq, Ge, Gt, Le, Lt, Ne};

    /// Whenever `x` compares so with `e`, and `e` so with `c`, the bounds hold of `x`.
    #[test]
    fn bounds_never_keep_away_what_may_hold() {
        let all = [Eq, Ne, Lt, Le, Gt, Ge];
        let numbers = || (-2..=2).flat_map(|int| [Value::Int(int), Value::from(int as f64 + 0.5)]);
        for (first, second) in all.into_iter().flat_map(|first| all.map(|second| (first, second))) {
            for constants in numbers().flat_map(|a| numbers().map(move |b| [a.clone(), b])) {
                let mut bounds = Bounds::default();
                constants.iter().for_each(|constant| bounds.add(first, second, constant));
                for (x, e) in numbers().flat_map(|x| numbers().map(move |e| (x.clone(), e))) {
                    let held = compare(first, &x, &e) && constants.iter().all(|c| compare(second, &e, c));
                    let kept = bounds.low.iter().chain(&bounds.high).all(|(with, bound)| compare(*with, &x, bound));
                    assert!(kept || !held, "{x:?} {first:?} {e:?} {second:?} {constants:?}: {bounds:?}");
                }
            }
        }
    }
}
