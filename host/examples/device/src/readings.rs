//! Readings, made up: the same on the device and where the numbers are checked.

/// A reading of a sensor.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Which of 64.
    pub sensor: i64,
    /// What, in thousandths of a degree.
    pub value: i64,
}

/// The reading of a number.
pub fn reading(number: u64) -> Reading {
    let mixed = (number as u32).wrapping_mul(2_654_435_761);
    Reading {
        at_ms: 1_700_000_000_000 + number as i64 * 1000,
        sensor: i64::from(mixed >> 16 & 63),
        value: i64::from(mixed >> 8 & 0xffff) - 20_000,
    }
}
