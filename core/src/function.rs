//! What can be computed over the values of a field.

/// A function over the values of a field. All of them skip nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// How many values; without a field, how many events.
    Count,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The mean.
    Avg,
    /// The standard deviation of the population.
    Stddev,
    /// The first by time.
    First,
    /// The last by time.
    Last,
    #[cfg(feature = "alloc")]
    /// How many different values.
    Distinct,
    #[cfg(feature = "alloc")]
    /// The middle value, or the mean of the two middle ones.
    Median,
}
