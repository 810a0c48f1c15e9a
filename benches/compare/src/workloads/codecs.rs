//! State as bytes: ours against codecs, in turns.

use crate::codecs::Codec;
use crate::floor;
use crate::report::{FLOOR, OURS, Report, Row, Samples, Unit};

use super::timed;

/// With fewer rounds than this, slow codecs are left out.
const SLOW_FROM_ROUNDS: usize = 5;

/// State of one kind, ours and theirs.
pub struct Comparison<'a, T> {
    /// What it is.
    pub case: String,
    /// The state as rows.
    pub state: &'a T,
    /// The codecs; the first is the measure of all.
    pub codecs: Vec<Box<dyn Codec<T>>>,
    /// Turns ours into bytes: seconds, and how many.
    pub encode: &'a mut dyn FnMut() -> (f64, usize),
    /// Restores ours to live state: seconds.
    pub restore: &'a mut dyn FnMut() -> f64,
}

#[derive(Default)]
struct Measured {
    bytes: usize,
    encode: Vec<f64>,
    restore: Vec<f64>,
}

/// Measures and prints; in few rounds, leaves out what is slow. `ready` makes live state, by key, of decoded rows.
pub fn compare<T: Clone + PartialEq, U>(
    comparison: Comparison<'_, T>,
    rounds: usize,
    report: &mut Report,
    ready: impl Fn(T) -> U,
) {
    let Comparison { case, state, mut codecs, encode, restore } = comparison;
    codecs.retain(|codec| rounds >= SLOW_FROM_ROUNDS || !codec.is_slow());
    let mut ours = Measured::default();
    let mut theirs: Vec<Measured> = codecs.iter().map(|_| Measured::default()).collect();
    let mut floors = Vec::new();
    let measure = codecs[0].encode(state);
    let mut target = Vec::new();
    for round in 0..rounds {
        let (seconds, bytes) = encode();
        ours.bytes = bytes;
        ours.encode.push(seconds);
        ours.restore.push(restore());
        for (codec, measured) in codecs.iter().zip(&mut theirs) {
            if round > 0 && codec.is_slow() {
                continue;
            }
            let (seconds, bytes) = timed(|| codec.encode(state));
            measured.bytes = bytes.len();
            measured.encode.push(seconds);
            if round == 0 {
                assert!(codec.decode(&bytes) == *state, "{} gives back what it got", codec.name());
            }
            let (seconds, live) = timed(|| ready(codec.decode(&bytes)));
            measured.restore.push(seconds);
            drop(live);
        }
        floors.push(floor::copy(&measure, &mut target));
    }
    let to_row = |who: String, measured: Measured| {
        let saved = 100.0 * (1.0 - measured.bytes as f64 / measure.len() as f64);
        Row::new(who)
            .cell("bytes", Unit::Bytes, measured.bytes)
            .cell("saved", Unit::Percent, saved)
            .throughput("encode", "enc MB/s", measure.len(), Samples::new(measured.encode))
            .throughput("restore", "res MB/s", measure.len(), Samples::new(measured.restore))
    };
    let mut rows = vec![to_row(OURS.into(), ours)];
    rows.extend(codecs.iter().zip(theirs).map(|(codec, measured)| to_row(codec.name(), measured)));
    let floors = Samples::new(floors);
    let floor = Row::new(format!("{FLOOR}: memcpy"))
        .throughput("encode", "enc MB/s", measure.len(), floors.clone())
        .throughput("restore", "res MB/s", measure.len(), floors);
    rows.push(floor);
    report.table(&case, &rows);
}
