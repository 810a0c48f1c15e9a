//! What a checkpoint of a run records of its source and its output.

use eventflux_core::Manifest;

use crate::source::{Imprint, SourcePosition};

/// Names under which the source's position and what is accounted for of the output are recorded.
const POSITION_OFFSET: &str = "source.offset";
const POSITION_LINE: &str = "source.line";
/// In the place of the offset: bytes that a run read of standard input where another one had left it, which are a place in
/// no file.
const POSITION_SENT: &str = "source.sent";
const OUTPUT_LENGTH: &str = "output.length";
/// In the place of the length of a file: what was printed, of which there is no file.
const OUTPUT_PRINTED: &str = "output.printed";
const OUTPUT_TAIL: &str = "output.tail";
/// Name of a hash of what must not change about the source.
const SOURCE_FINGERPRINT: &str = "source.fingerprint";

/// Names of hashes of how the source begins, and of what lies before the position.
const SOURCE_BEGINNING: &str = "source.beginning";
const SOURCE_BEFORE: &str = "source.before";

fn find(pairs: &[(String, u64)], name: &str) -> Option<u64> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, number)| *number)
}

fn recorded(pairs: &[(String, u64)], name: &str) -> u64 {
    find(pairs, name).unwrap_or(0)
}

/// For the manifest: where a run is in its source.
pub(super) fn positions(at: SourcePosition, fingerprint: u64, imprint: &Imprint, is_sent: bool) -> Vec<(String, u64)> {
    let pair = |name: &str, number| (String::from(name), number);
    let before = imprint.end_before(at.offset).map(|hash| pair(SOURCE_BEFORE, hash));
    // A file never goes on from what was sent.
    let beginning = imprint.beginning_before(at.offset).filter(|_| !is_sent);
    let beginning = beginning.map(|hash| pair(SOURCE_BEGINNING, hash));
    let offset = if is_sent { POSITION_SENT } else { POSITION_OFFSET };
    let others = [pair(SOURCE_FINGERPRINT, fingerprint), pair(POSITION_LINE, at.line), pair(offset, at.offset)];
    before.into_iter().chain(beginning).chain(others).collect()
}

/// The hash of what must not change about the source, if it was one of a run.
pub(super) fn source_fingerprint(manifest: &Manifest) -> Option<u64> {
    find(&manifest.progress.positions, SOURCE_FINGERPRINT)
}

/// Whether the source was what came in on standard input after an earlier run.
pub(super) fn is_of_standard_input(manifest: &Manifest) -> bool {
    find(&manifest.progress.positions, POSITION_SENT).is_some()
}

pub(super) fn source_position(manifest: &Manifest) -> SourcePosition {
    let positions = &manifest.progress.positions;
    SourcePosition { offset: recorded(positions, POSITION_OFFSET), line: recorded(positions, POSITION_LINE) }
}

/// How far the source was read, if it was one of a run.
pub(super) fn source_offset(manifest: &Manifest) -> Option<u64> {
    find(&manifest.progress.positions, POSITION_OFFSET)
}

/// The hash of how the source began, as far as it was read.
pub(super) fn source_beginning(manifest: &Manifest) -> Option<u64> {
    find(&manifest.progress.positions, SOURCE_BEGINNING)
}

/// The hash of the last bytes of the source that were read.
pub(super) fn source_before(manifest: &Manifest) -> Option<u64> {
    find(&manifest.progress.positions, SOURCE_BEFORE)
}

/// Whether a checkpoint tells where it was in some source, but not in that of a run of this definition: another program
/// took it, and what it has taken in would be read once more.
pub(super) fn is_of_other_source(manifest: &Manifest) -> bool {
    let positions = &manifest.progress.positions;
    !positions.is_empty() && find(positions, POSITION_OFFSET).is_none()
}

/// What a checkpoint accounts for of an output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Accounted {
    /// Its length.
    pub(super) length: u64,
    /// A hash of its last bytes, if it is a file: so that no other file is taken for it, and cut. Checkpoints of older
    /// versions and of the npm package have none.
    pub(super) tail: Option<u64>,
    /// Whether it was printed, so that no file is it.
    pub(super) is_printed: bool,
}

impl Accounted {
    /// `None` if it accounts for none: another program took it.
    pub(super) fn of(manifest: &Manifest) -> Option<Self> {
        let outputs = &manifest.progress.outputs;
        let file = find(outputs, OUTPUT_LENGTH);
        let length = file.or_else(|| find(outputs, OUTPUT_PRINTED))?;
        Some(Accounted { length, tail: find(outputs, OUTPUT_TAIL), is_printed: file.is_none() })
    }

    /// For the manifest.
    pub(super) fn to_outputs(self) -> Vec<(String, u64)> {
        let name = if self.is_printed { OUTPUT_PRINTED } else { OUTPUT_LENGTH };
        let tail = self.tail.map(|tail| (OUTPUT_TAIL.into(), tail));
        [(name.into(), self.length)].into_iter().chain(tail).collect()
    }
}
