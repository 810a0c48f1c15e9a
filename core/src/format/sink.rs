//! Where bytes go: memory that grows, or a buffer of fixed length.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Takes bytes, one after the other.
pub(crate) trait ByteSink {
    fn push(&mut self, byte: u8);
    fn extend_from_slice(&mut self, bytes: &[u8]);
}

#[cfg(feature = "alloc")]
impl ByteSink for alloc::vec::Vec<u8> {
    #[inline]
    fn push(&mut self, byte: u8) {
        alloc::vec::Vec::push(self, byte);
    }

    #[inline]
    fn extend_from_slice(&mut self, bytes: &[u8]) {
        alloc::vec::Vec::extend_from_slice(self, bytes);
    }
}

/// Somebody's buffer. What does not fit is counted, so that one look at the end tells whether all
/// did, and how much it would have been.
#[derive(Debug)]
pub struct FixedBytes<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> FixedBytes<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        FixedBytes { buffer, len: 0 }
    }

    /// Bytes that were to be written, whether they fitted or not.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes from a place on, as far as they fitted.
    pub(crate) fn written_from(&self, start: usize) -> &[u8] {
        let end = self.len.min(self.buffer.len());
        self.buffer.get(start..end).unwrap_or_default()
    }

    /// All bytes, or how many there would have been.
    pub(crate) fn finish(self) -> Result<&'a mut [u8], usize> {
        let len = self.len;
        self.buffer.get_mut(..len).ok_or(len)
    }
}

impl ByteSink for FixedBytes<'_> {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        if let Some(place) = self.buffer.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.len += bytes.len();
    }
}

/// Appends an unsigned number as a varint.
#[inline]
pub(crate) fn append_varint(out: &mut impl ByteSink, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a record in postcard's encoding.
pub(crate) fn append<T: Serialize + ?Sized>(out: &mut impl ByteSink, record: &T) {
    // Sinks take everything, and sequences know their lengths: no input makes this fail.
    if let Err(error) = postcard::serialize_with_flavor(record, Appending(out)) {
        unreachable!("encoding into memory failed: {error}");
    }
}

struct Appending<'a, B>(&'a mut B);

impl<B: ByteSink> Flavor for Appending<'_, B> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_tells_what_it_would_have_taken() {
        let mut buffer = [0; 4];
        let mut bytes = FixedBytes::new(&mut buffer);
        bytes.push(1);
        append(&mut bytes, &(300_u32, "ab"));
        assert_eq!((bytes.len(), bytes.written_from(1)), (6, &[0xac, 2, 2][..]));
        assert_eq!(bytes.finish(), Err(6));
        let mut bytes = FixedBytes::new(&mut buffer);
        bytes.extend_from_slice(&[7, 8]);
        assert_eq!(bytes.finish(), Ok(&mut [7, 8][..]));
    }
}
