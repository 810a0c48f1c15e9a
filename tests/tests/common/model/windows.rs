//! Which events a window holds, and when it gives its result.

use eventflux_core::Value;
use eventflux_core::definition::WindowKind;

use super::{END, Seen, step_reaching};

/// The events of one window or group.
pub struct Gathered<'s, 'e> {
    pub key: Vec<Value>,
    /// In input order.
    pub events: Vec<&'s Seen<'e>>,
    /// Start and end of a window by time.
    pub interval: Option<(i64, i64)>,
    /// The event that brings it out, and whether before the watermark moves.
    pub step: usize,
    pub at_once: bool,
}

impl<'s, 'e> Gathered<'s, 'e> {
    /// With the last of its events.
    pub fn at_once(events: Vec<&'s Seen<'e>>) -> Self {
        let step = events.last().unwrap().place;
        Gathered { key: Vec::new(), events, interval: None, step, at_once: true }
    }

    /// At the end of the source.
    pub fn at_end(events: Vec<&'s Seen<'e>>) -> Self {
        Gathered { key: Vec::new(), events, interval: None, step: END, at_once: false }
    }

    fn by_time(events: Vec<&'s Seen<'e>>, start: i64, end: i64, step: usize) -> Self {
        Gathered { key: Vec::new(), events, interval: Some((start, end)), step, at_once: false }
    }
}

/// The windows of one key, and its number of late events.
pub fn gather<'s, 'e>(
    window: &WindowKind,
    events: &[&'s Seen<'e>],
    seen: &'s [Seen<'e>],
) -> (Vec<Gathered<'s, 'e>>, u64) {
    match *window {
        WindowKind::Tumbling { size_ms } => aligned(size_ms, size_ms, events, seen),
        WindowKind::Hopping { size_ms, every_ms } => aligned(size_ms, every_ms, events, seen),
        WindowKind::Session { gap_ms } => sessions(gap_ms, events, seen),
        WindowKind::Length { events: length } => {
            let chunks = events.chunks(length as usize).map(|chunk| match chunk.len() as u64 == length {
                true => Gathered::at_once(chunk.to_vec()),
                false => Gathered::at_end(chunk.to_vec()),
            });
            (chunks.collect(), 0)
        }
    }
}

/// Windows of one size that start at the multiples of `every`.
fn aligned<'s, 'e>(size: i64, every: i64, events: &[&'s Seen<'e>], seen: &[Seen]) -> (Vec<Gathered<'s, 'e>>, u64) {
    let Some(first) = events.iter().map(|seen| seen.event.timestamp).min() else { return (Vec::new(), 0) };
    let last = events.iter().map(|seen| seen.event.timestamp).max().unwrap();
    // From a multiple well before the first event, every window there could be.
    let from = (first - size).div_euclid(every) - 1;
    let holds = |seen: &Seen, start: i64| {
        let time = seen.event.timestamp;
        start <= time && time < start + size && i128::from(start + size) > seen.before
    };
    let mut all = Vec::new();
    let mut in_time = vec![false; events.len()];
    for start in (from..).map(|number| number * every).take_while(|start| *start <= last) {
        let held: Vec<&Seen> = events.iter().copied().filter(|seen| holds(seen, start)).collect();
        events.iter().zip(&mut in_time).for_each(|(seen, in_time)| *in_time |= holds(seen, start));
        if !held.is_empty() {
            all.push(Gathered::by_time(held, start, start + size, step_reaching(i128::from(start + size), seen)));
        }
    }
    (all, in_time.iter().filter(|in_time| !**in_time).count() as u64)
}

/// Events closer than the gap hang together.
fn sessions<'s, 'e>(gap: i64, events: &[&'s Seen<'e>], seen: &'s [Seen<'e>]) -> (Vec<Gathered<'s, 'e>>, u64) {
    let mut open: Vec<&Seen> = Vec::new();
    let mut all = Vec::new();
    let mut late = 0;
    for now in seen {
        if let Some(event) = events.iter().copied().find(|event| event.place == now.place) {
            open.push(event);
            let own = chains(gap, &open).into_iter().find(|chain| chain.iter().any(|seen| seen.place == now.place));
            if end(gap, &own.unwrap()) <= now.before {
                open.pop();
                late += 1;
            }
        }
        for chain in chains(gap, &open) {
            if end(gap, &chain) <= now.after {
                open.retain(|seen| chain.iter().all(|closed| closed.place != seen.place));
                all.push(session(gap, chain, now.place));
            }
        }
    }
    all.extend(chains(gap, &open).into_iter().map(|chain| session(gap, chain, END)));
    (all, late)
}

fn session<'s, 'e>(gap: i64, mut chain: Vec<&'s Seen<'e>>, step: usize) -> Gathered<'s, 'e> {
    let start = chain[0].event.timestamp;
    let end = end(gap, &chain) as i64;
    chain.sort_by_key(|seen| seen.place);
    Gathered::by_time(chain, start, end, step)
}

/// Events by time, cut where two neighbours are the gap apart or more.
fn chains<'s, 'e>(gap: i64, events: &[&'s Seen<'e>]) -> Vec<Vec<&'s Seen<'e>>> {
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|seen| (seen.event.timestamp, seen.place));
    let chains = sorted.chunk_by(|a, b| b.event.timestamp - a.event.timestamp < gap);
    chains.map(<[_]>::to_vec).collect()
}

fn end(gap: i64, chain: &[&Seen]) -> i128 {
    i128::from(chain.iter().map(|seen| seen.event.timestamp).max().unwrap() + gap)
}
