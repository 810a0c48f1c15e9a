//! What the engine must give, from the description of the operators alone: deliberately naive.
//! There is no running state: whole windows, sequences and groups are found again in the list of all events.

#![allow(dead_code, reason = "each test file uses a part of it")]

mod conditions;
mod functions;
mod json;
mod patterns;
mod values;
mod windows;

use eventflux_core::definition::{ApplicationDefinition, Emit, OperatorDefinition, OperatorKind};
use eventflux_core::{Event, Value};

use conditions::Fields;
use windows::Gathered;

/// The watermark before the first event, and after the last.
const NEVER: i128 = i128::MIN;
const FOREVER: i128 = i128::MAX;
/// The step after all events: the end of the source.
const END: usize = usize::MAX;

/// What a stream comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Lines that each event brings out, and after them those of the end of the source.
    pub lines: Vec<Vec<String>>,
    /// Late events of each operator.
    pub late: Vec<u64>,
    /// For each event, whether it is an error: then it is as if it had not been there.
    pub refused: Vec<bool>,
}

/// An event that was no error, with its place in the input, and the watermark on both sides of it.
#[derive(Debug, Clone)]
struct Seen<'a> {
    event: &'a Event,
    place: usize,
    before: i128,
    after: i128,
}

/// One line of the output, with all that its place depends on.
struct Line {
    /// Place of the event that brings it out.
    step: usize,
    /// Whether the operator gives it as it takes the event, before the watermark moves.
    at_once: bool,
    /// End of the window, or time of the last event.
    time: i128,
    operator: usize,
    key: Vec<Value>,
    start: i64,
    text: String,
}

/// Finds what a definition must give for these events, up to the end of the source.
pub fn expect(definition: &ApplicationDefinition, fields: &[&str], events: &[Event]) -> Expected {
    let fields = Fields(fields);
    let delay = i128::from(definition.source.watermark_delay_ms);
    let mut seen: Vec<Seen> = Vec::new();
    let mut refused = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let watermark = |times: &mut dyn Iterator<Item = i64>| times.max().map_or(NEVER, |max| i128::from(max) - delay);
        let before = watermark(&mut seen.iter().map(|seen| seen.event.timestamp));
        seen.push(Seen { event, place, before, after: before });
        let after = watermark(&mut seen.iter().map(|seen| seen.event.timestamp));
        let wrong = definition.operators.iter().any(|operator| is_error(operator, fields, &seen));
        if wrong {
            seen.pop();
        } else {
            seen.last_mut().unwrap().after = after;
        }
        refused.push(wrong);
    }
    let mut lines = Vec::new();
    let mut late = Vec::new();
    for (number, operator) in definition.operators.iter().enumerate() {
        let admitted = admitted(operator, fields, &seen);
        let (mut own, own_late) = match &operator.kind {
            OperatorKind::Pattern { .. } => patterns::lines(operator, fields, &admitted, &seen),
            _ => gathered_lines(operator, fields, &admitted, &seen),
        };
        own.iter_mut().for_each(|line| line.operator = number);
        lines.extend(own);
        late.push(own_late);
    }
    Expected { lines: in_order(lines, events.len()), late, refused }
}

/// Sorts lines into the events that bring them out, and there into their order.
fn in_order(mut lines: Vec<Line>, events: usize) -> Vec<Vec<String>> {
    // Stable: matches of one event stay in the order of their partial matches.
    lines.sort_by(|a, b| {
        (b.at_once.cmp(&a.at_once))
            .then_with(|| if a.at_once { a.operator.cmp(&b.operator) } else { a.time.cmp(&b.time) })
            .then(a.operator.cmp(&b.operator))
            .then_with(|| values::compare_keys(&a.key, &b.key))
            .then(a.start.cmp(&b.start))
    });
    let mut steps = vec![Vec::new(); events + 1];
    for line in lines {
        steps[line.step.min(events)].push(line.text);
    }
    steps
}

/// The events that meet the operator's `where`.
fn admitted<'s, 'e>(operator: &OperatorDefinition, fields: Fields, seen: &'s [Seen<'e>]) -> Vec<&'s Seen<'e>> {
    seen.iter().filter(|seen| conditions::all_hold(&operator.filter, fields, seen.event, &[])).collect()
}

/// The event's key.
fn key_of(operator: &OperatorDefinition, fields: Fields, event: &Event) -> Vec<Value> {
    operator.key.iter().map(|field| fields.value(event, field).clone()).collect()
}

/// Divides events by key, in the order in which each key comes first.
fn by_key<'s, 'e>(
    operator: &OperatorDefinition,
    fields: Fields,
    events: &[&'s Seen<'e>],
) -> Vec<(Vec<Value>, Vec<&'s Seen<'e>>)> {
    let mut keys: Vec<(Vec<Value>, Vec<&Seen>)> = Vec::new();
    for &seen in events {
        let key = key_of(operator, fields, seen.event);
        match keys.iter_mut().find(|(other, _)| values::compare_keys(other, &key).is_eq()) {
            Some((_, events)) => events.push(seen),
            None => keys.push((key, vec![seen])),
        }
    }
    keys
}

/// Whether a function of the operator cannot take the newest event.
fn is_error(operator: &OperatorDefinition, fields: Fields, seen: &[Seen]) -> bool {
    let compute = match &operator.kind {
        OperatorKind::Window { compute, .. } | OperatorKind::Aggregation { compute, .. } => compute,
        OperatorKind::Pattern { .. } | OperatorKind::Plugin(_) => return false,
    };
    let admitted = admitted(operator, fields, seen);
    let newest = seen.last().unwrap();
    if admitted.last().is_none_or(|last| last.place != newest.place) {
        return false;
    }
    let (gathered, _) = gather(operator, fields, &admitted, seen);
    // What comes too late is dropped, whatever it holds.
    let is_taken = gathered.iter().any(|gathered| gathered.events.iter().any(|event| event.place == newest.place));
    is_taken && functions::is_wrong_kind(compute, fields, newest.event)
        || gathered.iter().any(|gathered| functions::is_error(compute, fields, &gathered.events))
}

/// The windows or the groups of an operator, and the number of its late events.
fn gather<'s, 'e>(
    operator: &OperatorDefinition,
    fields: Fields,
    admitted: &[&'s Seen<'e>],
    seen: &'s [Seen<'e>],
) -> (Vec<Gathered<'s, 'e>>, u64) {
    let mut all = Vec::new();
    let mut late = 0;
    for (key, events) in by_key(operator, fields, admitted) {
        let (mut own, own_late) = match &operator.kind {
            OperatorKind::Window { window, .. } => windows::gather(window, &events, seen),
            OperatorKind::Aggregation { emit: Emit::End, .. } => (vec![Gathered::at_end(events)], 0),
            OperatorKind::Aggregation { emit: Emit::Change, .. } => {
                ((1..=events.len()).map(|count| Gathered::at_once(events[..count].to_vec())).collect(), 0)
            }
            OperatorKind::Pattern { .. } | OperatorKind::Plugin(_) => unreachable!("patterns gather nothing"),
        };
        own.iter_mut().for_each(|gathered| gathered.key.clone_from(&key));
        all.extend(own);
        late += own_late;
    }
    (all, late)
}

fn gathered_lines(
    operator: &OperatorDefinition,
    fields: Fields,
    admitted: &[&Seen],
    seen: &[Seen],
) -> (Vec<Line>, u64) {
    let (all, late) = gather(operator, fields, admitted, seen);
    let lines = all.into_iter().map(|gathered| {
        let mut members = Vec::new();
        if let Some((start, end)) = gathered.interval {
            members.push(("window_start".into(), start.to_string()));
            members.push(("window_end".into(), end.to_string()));
        }
        let (OperatorKind::Window { compute, .. } | OperatorKind::Aggregation { compute, .. }) = &operator.kind else {
            unreachable!("patterns have no functions");
        };
        for function in compute {
            let result = functions::result(function, fields, &gathered.events);
            members.push((function.name.clone(), json::value(&result)));
        }
        Line {
            step: gathered.step,
            at_once: gathered.at_once,
            time: gathered.interval.map_or(FOREVER, |(_, end)| i128::from(end)),
            operator: 0,
            start: gathered.interval.map_or(0, |(start, _)| start),
            text: json::line(&operator.name, &operator.key, &gathered.key, &members),
            key: gathered.key,
        }
    });
    (lines.collect(), late)
}

/// The event that first takes the watermark to a time.
fn step_reaching(time: i128, seen: &[Seen]) -> usize {
    seen.iter().find(|seen| seen.after >= time).map_or(END, |seen| seen.place)
}
