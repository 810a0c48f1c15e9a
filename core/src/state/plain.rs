//! Plain keyed values: opaque bytes, whose change is the whole value.

use alloc::vec::Vec;

use crate::bytes::{INLINE_BYTES, SmallBytes};
use crate::format::Malformed;
use crate::format::rows::Form;
use crate::tracked::sealed::Sealed;
use crate::value::Footprint;

/// An encoded value of [`StateHolder::set`](crate::StateHolder::set).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainValue(SmallBytes);

impl PlainValue {
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        PlainValue(SmallBytes::new(bytes))
    }

    /// The value in the first `len` bytes of a buffer of just the size that needs no allocation.
    #[inline]
    pub(crate) fn from_inline(len: usize, data: [u8; INLINE_BYTES]) -> Self {
        PlainValue(SmallBytes::Inline { len: len.min(INLINE_BYTES) as u8, data })
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Sealed for PlainValue {
    fn write_whole(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_slice());
    }

    fn write_change(&self, out: &mut Vec<u8>) -> Form {
        self.write_whole(out);
        Form::Whole
    }

    fn read_whole(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(PlainValue::new(bytes))
    }

    fn apply_change(&mut self, _: &[u8]) -> Result<(), Malformed> {
        Err(Malformed::new("a plain value does not change in part"))
    }

    fn settle(&mut self) {}

    #[inline]
    fn footprint(&self) -> Footprint {
        Footprint { memory: self.0.heap_bytes() as u64, encoded: self.0.as_slice().len() as u64 }
    }
}
