//! The functions, each over the whole list of its events in input order.

use core::cmp::Ordering;

use eventflux_core::definition::{Compute, Function};
use eventflux_core::{Event, Value};

use super::Seen;
use super::conditions::Fields;
use super::values::{compare, is_number, number};

/// Whether a function takes only numbers, and the event has something else.
pub fn is_wrong_kind(compute: &[Compute], fields: Fields, event: &Event) -> bool {
    compute.iter().any(|compute| {
        let numbers = matches!(compute.function, Function::Sum | Function::Avg | Function::Stddev | Function::Median);
        let value = compute.field.as_ref().map_or(&Value::Null, |field| fields.value(event, field));
        numbers && !is_number(value) && !value.is_null()
    })
}

/// Whether a sum of whole numbers leaves 64 bits on the way, or the smallest or largest is asked of values that do
/// not compare.
pub fn is_error(compute: &[Compute], fields: Fields, events: &[&Seen]) -> bool {
    compute.iter().any(|compute| {
        let values = values_of(compute, fields, events);
        match compute.function {
            Function::Sum => {
                let ints =
                    values.iter().filter_map(|(_, value)| if let Value::Int(int) = value { Some(*int) } else { None });
                ints.into_iter().try_fold(0_i64, i64::checked_add).is_none()
            }
            Function::Min | Function::Max => values.windows(2).any(|pair| compare(pair[0].1, pair[1].1).is_none()),
            _ => false,
        }
    })
}

/// The function's value.
pub fn result(compute: &Compute, fields: Fields, events: &[&Seen]) -> Value {
    let values = values_of(compute, fields, events);
    let count = match (compute.function, &compute.field) {
        (Function::Count, None) => events.len(),
        _ => values.len(),
    };
    match compute.function {
        Function::Count => return Value::Int(count as i64),
        Function::Distinct => return Value::Int(distinct(&values)),
        _ if values.is_empty() => return Value::Null,
        _ => {}
    }
    let numbers: Vec<f64> = values.iter().map(|(_, value)| number(value)).collect();
    let by_time = |value: &&(i64, &Value)| value.0;
    match compute.function {
        Function::Sum if values.iter().all(|(_, value)| matches!(value, Value::Int(_))) => {
            Value::Int(whole_sum(&values) as i64)
        }
        Function::Sum => Value::Float(mixed_sum(&values)),
        Function::Avg => Value::Float(mixed_sum(&values) / values.len() as f64),
        Function::Stddev => Value::Float(deviation(&numbers)),
        Function::Median => Value::Float(median(numbers)),
        // Of values that are equal, such as 1 and 1.0, the one that came first.
        Function::Min => extreme(&values, Ordering::Less),
        Function::Max => extreme(&values, Ordering::Greater),
        // `min_by_key` gives the first of several, `max_by_key` the last.
        Function::First => values.iter().min_by_key(by_time).unwrap().1.clone(),
        Function::Last => values.iter().max_by_key(by_time).unwrap().1.clone(),
        Function::Count | Function::Distinct => unreachable!("done above"),
    }
}

/// Times and values that are not null, in input order.
fn values_of<'s>(compute: &Compute, fields: Fields, events: &[&'s Seen]) -> Vec<(i64, &'s Value)> {
    let Some(field) = &compute.field else { return Vec::new() };
    let values = events.iter().map(|seen| (seen.event.timestamp, fields.value(seen.event, field)));
    values.filter(|(_, value)| !value.is_null()).collect()
}

fn distinct(values: &[(i64, &Value)]) -> i64 {
    let is_first =
        |at: usize| !values[..at].iter().any(|(_, earlier)| compare(earlier, values[at].1) == Some(Ordering::Equal));
    (0..values.len()).filter(|at| is_first(*at)).count() as i64
}

fn extreme(values: &[(i64, &Value)], side: Ordering) -> Value {
    let mut best = values[0].1;
    for (_, value) in values {
        if compare(value, best) == Some(side) {
            best = value;
        }
    }
    best.clone()
}

/// Whole numbers exactly.
fn whole_sum(values: &[(i64, &Value)]) -> i128 {
    values.iter().map(|(_, value)| if let Value::Int(int) = value { i128::from(*int) } else { 0 }).sum()
}

/// Whole numbers exactly, others in double precision in input order.
fn mixed_sum(values: &[(i64, &Value)]) -> f64 {
    let mut floats = 0.0;
    for (_, value) in values {
        if let Value::Float(float) = value {
            floats += float;
        }
    }
    whole_sum(values) as f64 + floats
}

/// By mean and sum of squared distances, one value after the other; the two passes of the schoolbook must come near.
fn deviation(numbers: &[f64]) -> f64 {
    let count = numbers.len() as f64;
    let (mut mean, mut squares) = (0.0, 0.0);
    for (at, number) in numbers.iter().enumerate() {
        let distance = number - mean;
        mean += distance / (at + 1) as f64;
        squares += distance * (number - mean);
    }
    let deviation = (squares / count).sqrt();
    let schoolbook_mean = numbers.iter().sum::<f64>() / count;
    let schoolbook = (numbers.iter().map(|number| (number - schoolbook_mean).powi(2)).sum::<f64>() / count).sqrt();
    let largest = numbers.iter().fold(1.0, |max: f64, number| max.max(number.abs()));
    assert!((deviation - schoolbook).abs() <= 1e-9 * largest, "{deviation} is not {schoolbook}");
    deviation
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[middle] } else { (numbers[middle - 1] + numbers[middle]) / 2.0 }
}
