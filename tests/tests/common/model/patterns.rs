//! Which sequences of events match.

use eventflux_core::Event;
use eventflux_core::definition::{OperatorDefinition, OperatorKind, PatternStep, Skip};

use super::conditions::{Fields, all_hold};
use super::{Line, Seen, by_key, json, step_reaching};

/// The events a partial match has taken, one a step.
type Taken<'s, 'e> = Vec<&'s Seen<'e>>;

/// Lines of a pattern, in the order of its matches, and the number of its late events.
pub fn lines(operator: &OperatorDefinition, fields: Fields, admitted: &[&Seen], seen: &[Seen]) -> (Vec<Line>, u64) {
    let in_time = |seen: &&&Seen| i128::from(seen.event.timestamp) >= seen.before;
    let taking_part: Vec<&Seen> = admitted.iter().filter(in_time).copied().collect();
    let late = admitted.len() - taking_part.len();
    let mut lines = Vec::new();
    for (key, mut events) in by_key(operator, fields, &taking_part) {
        events.sort_by_key(|seen| (seen.event.timestamp, seen.place));
        for matched in matches(operator, fields, &events) {
            let last = matched.last().unwrap();
            let time = i128::from(last.event.timestamp);
            lines.push(Line {
                // An event can come when the watermark is there already: at its very time.
                step: step_reaching(time, seen).max(last.place),
                at_once: false,
                time,
                operator: 0,
                key: key.clone(),
                start: 0,
                text: json::line(
                    &operator.name,
                    &operator.key,
                    &key,
                    &[("matched".into(), steps(operator, fields, &matched))],
                ),
            });
        }
    }
    (lines, late as u64)
}

/// The matches of one key's events, which are by time.
fn matches<'s, 'e>(operator: &OperatorDefinition, fields: Fields, events: &[&'s Seen<'e>]) -> Vec<Taken<'s, 'e>> {
    let OperatorKind::Pattern { steps, within_ms, skip } = &operator.kind else { unreachable!("only patterns match") };
    let mut partial: Vec<Taken> = Vec::new();
    let mut matches = Vec::new();
    for &event in events {
        let (before, mut kept) = (std::mem::take(&mut partial), Vec::new());
        let mut matched_now = false;
        for mut taken in before {
            let first = taken[0].event.timestamp;
            if within_ms.is_some_and(|within| event.event.timestamp - first > within) {
                continue;
            }
            let step = &steps[taken.len()];
            if !fits(step, steps, fields, event.event, &taken) {
                // The very next event had to fit, and does not.
                if !step.next {
                    kept.push(taken);
                }
                continue;
            }
            taken.push(event);
            if taken.len() < steps.len() {
                kept.push(taken);
                continue;
            }
            matches.push(taken);
            matched_now = true;
            if *skip == Skip::PastLast {
                break;
            }
        }
        if matched_now && *skip == Skip::PastLast {
            // All that had started by now are gone, and this event starts none.
            continue;
        }
        partial = kept;
        if fits(&steps[0], steps, fields, event.event, &[]) {
            match steps.len() {
                1 => matches.push(vec![event]),
                _ => partial.push(vec![event]),
            }
        }
    }
    matches
}

fn fits(step: &PatternStep, steps: &[PatternStep], fields: Fields, event: &Event, taken: &[&Seen]) -> bool {
    let named: Vec<(&str, &Event)> =
        steps.iter().zip(taken).map(|(step, seen)| (step.name.as_str(), seen.event)).collect();
    all_hold(&step.conditions, fields, event, &named)
}

/// The list `matched`.
fn steps(operator: &OperatorDefinition, fields: Fields, matched: &[&Seen]) -> String {
    let OperatorKind::Pattern { steps, .. } = &operator.kind else { unreachable!("only patterns match") };
    let objects = steps.iter().zip(matched).map(|(step, seen)| {
        let mut members = vec![
            json::member("step", &json::text(&step.name)),
            json::member("timestamp", &seen.event.timestamp.to_string()),
        ];
        members.extend(
            fields.0.iter().zip(&seen.event.values).map(|(field, value)| json::member(field, &json::value(value))),
        );
        format!("{{{}}}", members.join(","))
    });
    format!("[{}]", objects.collect::<Vec<_>>().join(","))
}
