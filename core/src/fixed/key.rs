//! Keys of operators, made without an allocator.

use super::error::FixedError;
use crate::format::{FixedBytes, key};
use crate::value::Value;

/// Writes the key that an operator has for these values of its key fields: bytes that sort like the values. A state
/// with such keys can be taken over by an engine, and tools show them as values.
///
/// ```
/// use eventflux_core::{Value, encode_key};
/// let mut buffer = [0; 11];
/// assert_eq!(encode_key(&[Value::from(7)], &mut buffer)?.len(), 11);
/// # Ok::<(), eventflux_core::FixedError>(())
/// ```
///
/// # Errors
/// [`FixedError::BufferFull`]: a number takes 11 bytes, null and booleans one, a text three more than it has.
pub fn encode_key<'a>(values: &[Value], buffer: &'a mut [u8]) -> Result<&'a [u8], FixedError> {
    let available = buffer.len();
    let mut out = FixedBytes::new(buffer);
    values.iter().for_each(|value| key::append_value(&mut out, value));
    out.finish().map(|key| &*key).map_err(|needed| FixedError::BufferFull { needed, available })
}
