//! What a checkpoint of a run records of its source and its output.

use eventflux_core::Manifest;

use crate::source::SourcePosition;

/// Names under which the source's position and the output's length are recorded.
pub(super) const POSITION_OFFSET: &str = "source.offset";
pub(super) const POSITION_LINE: &str = "source.line";
pub(super) const OUTPUT_LENGTH: &str = "output.length";
/// Name of a hash of what must not change about the source.
pub(super) const SOURCE_FINGERPRINT: &str = "source.fingerprint";

pub(super) fn recorded(pairs: &[(String, u64)], name: &str) -> u64 {
    pairs.iter().find(|(other, _)| other == name).map_or(0, |(_, number)| *number)
}

pub(super) fn source_position(manifest: &Manifest) -> SourcePosition {
    let positions = &manifest.progress.positions;
    SourcePosition { offset: recorded(positions, POSITION_OFFSET), line: recorded(positions, POSITION_LINE) }
}

pub(super) fn output_length(manifest: &Manifest) -> u64 {
    recorded(&manifest.progress.outputs, OUTPUT_LENGTH)
}
