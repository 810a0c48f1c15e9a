//! Pattern state in rows: what is gone, what is new. A whole row has nothing gone.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Malformed, append, read_all};
use crate::state::PatternChange;
use crate::state::PatternState;
use crate::value::{BufferedEvent, Event};

#[derive(Debug, Serialize, Deserialize)]
struct PatternRow<'a> {
    /// Numbers of waiting events that were taken.
    taken: Cow<'a, [u64]>,
    /// Events that came to wait.
    waiting: Vec<Cow<'a, BufferedEvent>>,
    /// Ids of partial matches that are gone.
    dropped: Cow<'a, [u64]>,
    partials: Vec<PartialRow<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartialRow<'a> {
    id: u64,
    /// How many events it had; 0 for a new one.
    from: u64,
    events: Cow<'a, [Event]>,
}

pub(crate) fn append_change(out: &mut Vec<u8>, change: &PatternChange<'_>) {
    append(
        out,
        &PatternRow {
            taken: change.taken.into(),
            waiting: change.waiting.iter().map(|event| Cow::Borrowed(*event)).collect(),
            dropped: change.dropped.into(),
            partials: change.advanced.iter().map(partial_row).collect(),
        },
    );
}

fn partial_row<'a>((id, from, events): &(u64, usize, &'a [Event])) -> PartialRow<'a> {
    PartialRow { id: *id, from: *from as u64, events: Cow::Borrowed(events) }
}

/// Applies a row to the state it was taken against; a whole row to an empty state.
pub(crate) fn apply(bytes: &[u8], state: &mut PatternState) -> Result<(), Malformed> {
    let row: PatternRow<'_> = read_all(bytes)?;
    for sequence in row.taken.iter() {
        if !state.forget_waiting(*sequence) {
            return Err(Malformed::new("takes a waiting event that is not there"));
        }
    }
    state.retain(|partial| !row.dropped.contains(&partial.id()));
    for event in row.waiting {
        state.wait(event.into_owned());
    }
    for partial in row.partials {
        if partial.events.is_empty() || !state.restore_partial(partial.id, partial.from, partial.events.into_owned()) {
            return Err(Malformed::new("advances a partial match that is not there"));
        }
    }
    Ok(())
}
