//! What a handle keeps: keyed values, or an engine.

use eventflux_core::definition::SourceDefinition;
use eventflux_core::{CheckpointRequest, Engine, Error, JsonEvents, JsonValue, Manifest, StateHolder};

use crate::convert::{Options, TEXT_MAX, invalid};
use crate::error::{Result, coded, from_core};

/// Bytes that the lines can take at least before they are asked to grow again: for one batch, mostly.
const LINES_ROOM_BYTES: usize = 64 * 1024;

/// Keyed values, or the state of an engine.
pub(crate) enum State {
    Plain(Box<StateHolder>),
    Engine(Box<Running>),
}

/// An engine with what feeds it and what it gave.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) events: JsonEvents,
    /// Result lines that nobody has taken out.
    pub(crate) lines: Vec<u8>,
    source: SourceDefinition,
}

impl State {
    /// An empty one.
    pub(crate) fn new(options: &Options) -> Result<State> {
        match &options.definition {
            None => {
                let mut builder =
                    StateHolder::builder(options.name.clone()).values_schema(JsonValue::VERSION, JsonValue::SCHEMA);
                if let Some(budget) = options.budget_bytes {
                    builder = builder.budget_bytes(budget);
                }
                Ok(State::Plain(Box::new(builder.build().map_err(from_core)?)))
            }
            Some(definition) => {
                let events = JsonEvents::new(&definition.source).map_err(from_core)?;
                let engine =
                    Engine::with_budget(definition, events.fields(), options.budget_bytes).map_err(from_core)?;
                let source = definition.source.clone();
                Ok(State::Engine(Box::new(Running { engine, events, lines: Vec::new(), source })))
            }
        }
    }

    pub(crate) fn holder(&self) -> &StateHolder {
        match self {
            State::Plain(holder) => holder,
            State::Engine(running) => running.engine.holder(),
        }
    }

    pub(crate) fn holder_mut(&mut self) -> &mut StateHolder {
        match self {
            State::Plain(holder) => holder,
            State::Engine(running) => running.engine.holder_mut(),
        }
    }

    /// Cuts a checkpoint. Not of an engine with results that nobody has taken: no checkpoint holds them, and whoever goes on
    /// from this one would never see them.
    pub(crate) fn begin(&mut self, request: CheckpointRequest) -> Result<()> {
        match self {
            State::Plain(holder) => holder.begin(request),
            State::Engine(running) if !running.lines.is_empty() => {
                return Err(coded(
                    "BUSY",
                    "there are results that nobody has taken, which no checkpoint holds; take them with results() first",
                ));
            }
            State::Engine(running) => running.engine.begin_checkpoint(request),
        }
        .map_err(from_core)
    }

    /// Goes on from a checkpoint that was just restored.
    pub(crate) fn resume(&mut self, manifest: &Manifest) -> Result<()> {
        match self {
            State::Plain(_) => Ok(()),
            State::Engine(running) => running.engine.resume(manifest).map_err(from_core),
        }
    }

    pub(crate) fn plain(&self) -> Result<&StateHolder> {
        match self {
            State::Plain(holder) => Ok(holder),
            State::Engine(_) => {
                Err(invalid("an engine has no keyed values of its own; open them under a name of their own"))
            }
        }
    }

    pub(crate) fn plain_mut(&mut self) -> Result<&mut StateHolder> {
        self.plain()?;
        Ok(self.holder_mut())
    }

    pub(crate) fn running(&self) -> Result<&Running> {
        match self {
            State::Engine(running) => Ok(running),
            State::Plain(_) => Err(invalid("there is no engine here: it was opened without a definition")),
        }
    }

    pub(crate) fn running_mut(&mut self) -> Result<&mut Running> {
        match self {
            State::Engine(running) => Ok(running),
            State::Plain(_) => Err(invalid("there is no engine here: it was opened without a definition")),
        }
    }
}

impl Running {
    /// Takes a batch of events; results wait to be taken out as lines.
    pub(crate) fn push(&mut self, json: &str) -> Result<()> {
        let bytes = LINES_ROOM_BYTES.max(json.len());
        let room = self.lines.try_reserve(bytes);
        room.map_err(|_| from_core(Error::OutOfMemory { doing: "keeping results; take those that wait", bytes }))?;
        let events = self.events.read(json).map_err(from_core)?;
        for (at, event) in events.iter().enumerate() {
            let taken = self.engine.handle_event(event);
            self.take_results();
            if let Err(error) = taken {
                let message = format!(
                    "event {at} of the batch: {error}; the {at} before it were taken, it and the rest were not"
                );
                return Err(crate::error::with_message(error, &message));
            }
        }
        Ok(())
    }

    /// The lines that wait, or the first of them, if they are more than a text has room for.
    pub(crate) fn take_lines(&mut self) -> Vec<u8> {
        take_first(&mut self.lines, TEXT_MAX)
    }

    pub(crate) fn finish(&mut self) -> Result<()> {
        let finished = self.engine.finish().map_err(from_core);
        self.take_results();
        finished
    }

    fn take_results(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            output.append_json_line(&mut self.lines);
        }
    }

    /// What must stay the same of a source for a run to go on.
    pub(crate) fn source_fingerprint(&self) -> u64 {
        self.source.fingerprint(self.events.fields())
    }
}

/// Takes so many bytes of lines at most, or one line.
fn take_first(lines: &mut Vec<u8>, bytes: usize) -> Vec<u8> {
    let is_end = |byte: &u8| *byte == b'\n';
    let last = lines.get(..bytes).map(|first| first.iter().rposition(is_end));
    match last.and_then(|last| last.or_else(|| lines.iter().position(is_end))) {
        Some(end) if end + 1 < lines.len() => lines.drain(..=end).collect(),
        _ => std::mem::take(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_whole_until_none_is_left() {
        let all = b"one\ntwo\nthirteen\n4\n";
        for bytes in 1..=all.len() + 1 {
            let (mut lines, mut taken, mut times) = (all.to_vec(), Vec::new(), 0);
            while !lines.is_empty() {
                let first = take_first(&mut lines, bytes);
                let lines_taken = first.iter().filter(|byte| **byte == b'\n').count();
                assert!(first.ends_with(b"\n") && (first.len() <= bytes || lines_taken == 1), "{bytes}");
                taken.extend(first);
                times += 1;
            }
            assert_eq!(taken, all);
            assert!(times <= 4 && (bytes < all.len() || times == 1), "{bytes}: {times}");
        }
    }
}
